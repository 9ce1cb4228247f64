"""Every shape that a remittance may have (005010X221A1, section 1.10), written by a generator of our own.

Another parser reads each file too: what is posted has its totals, and what is held has a reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import oxedi
import pytest

from hub.core.money import from_cents
from hub.store import tables
from tests.billing.payer import Desk, Line, Paid, Remit, check, written

Claim = dict[str, Any]
Shape = Callable[[Claim, Claim], bytes]


def paid(claim: Claim, **fields: Any) -> Paid:
    given: dict[str, Any] = {
        "number": claim["control_number"],
        "charge": "150",
        "paid": "100",
        "lines": (Line("99213", "150", "100", (("CO", "45", "50"),)),),
        "icn": f"ICN{claim['control_number']}",
    }
    return Paid(**{**given, **fields})


def one(said: Paid, **remit: Any) -> bytes:
    return written(Remit((said,), **remit))


def split_line(a: Claim, _b: Claim) -> bytes:
    control = f"{a['control_number']}L01"
    lines = (
        Line("99213", "100", "70", (("CO", "45", "30"),), control=control),
        Line("99213", "50", "30", (("CO", "45", "20"),), control=control),
    )
    return one(paid(a, lines=lines))


def bundled(a: Claim, _b: Claim) -> bytes:
    return one(paid(a, lines=(Line("99214", "150", "100", (("CO", "45", "50"),), original="99213"),)))


def dropped_modifier(a: Claim, _b: Claim) -> bytes:
    return one(paid(a, lines=(Line("99213", "150", "100", (("CO", "45", "50"),), modifiers=("59",)),)))


def claim_only(a: Claim, _b: Claim) -> bytes:
    return one(paid(a, lines=(), cas=(("CO", "45", "50"),)))


def claim_and_line_adjustments(a: Claim, _b: Claim) -> bytes:
    line = Line("99213", "150", "110", (("CO", "45", "40"),))
    return one(paid(a, lines=(line,), cas=(("PR", "1", "10"),)))


def reversed_and_corrected(a: Claim, _b: Claim) -> bytes:
    first = paid(a)
    corrected = paid(a, paid="90", lines=(Line("99213", "150", "90", (("CO", "45", "60"),)),))
    return written(Remit((first,)), Remit((first.reversed(), corrected), plb=(("FB:X", "-10"),), trace="EFT2"))


def interest(a: Claim, _b: Claim) -> bytes:
    return one(paid(a, interest="1.25"), plb=(("L6:ICN", "-1.25"),))


def taken_back(a: Claim, b: Claim) -> bytes:
    first = paid(a)
    return written(Remit((first,)), Remit((first.reversed(), paid(b)), trace="EFT2", handling="H", method="NON"))


def more_taken_back_than_paid(a: Claim, b: Claim) -> bytes:
    first, small = paid(a), paid(b, paid="40", lines=(Line("99213", "150", "40", (("CO", "45", "110"),)),))
    forward = Remit((first.reversed(), small), plb=(("FB:X", "-60"),), trace="EFT2", handling="H", method="NON")
    return written(Remit((first,)), forward)


def recovery(a: Claim, b: Claim) -> bytes:
    first = paid(a)
    later = Remit((first.reversed(),), plb=((f"WO:{first.icn}", "-100"),), trace="EFT2", handling="H", method="NON")
    return written(
        Remit((first,)), later, Remit((paid(b),), plb=((f"WO:{first.icn}", "100"),), trace="EFT3", amount="0")
    )


def zero_pay(a: Claim, _b: Claim) -> bytes:
    denied = paid(a, paid="0", lines=(Line("99213", "150", "0", (("CO", "50", "150"),)),))
    return one(denied, handling="H", method="NON", trace="0")


def patient_share(a: Claim, _b: Claim) -> bytes:
    line = Line("99213", "150", "80", (("CO", "45", "40"), ("PR", "1", "20"), ("PR", "3", "10")))
    return one(paid(a, paid="80", patient="30", lines=(line,)))


def several_transactions(a: Claim, b: Claim) -> bytes:
    return written(Remit((paid(a),)), Remit((paid(b),), trace="EFT2"))


def several_interchanges(a: Claim, b: Claim) -> bytes:
    return written(Remit((paid(a),))) + b"\r\n" + written(Remit((paid(b),), trace="EFT2"), control=2)


def one_payment_in_parts(a: Claim, b: Claim) -> bytes:
    return written(Remit((paid(a),)), Remit((paid(b),)))


def capitation_and_letters(a: Claim, _b: Claim) -> bytes:
    return one(paid(a), plb=(("CT:PANEL", "-25"), ("CS:LETTER", "5"), ("72:REFUND", "10"), ("J1", "0")))


def estimate(a: Claim, _b: Claim) -> bytes:
    return one(paid(a, status="25", paid="0", lines=(), cas=(("OA", "101", "150"),)), handling="H", method="NON")


def passed_on(a: Claim, _b: Claim) -> bytes:
    line = Line("99213", "150", "80", (("CO", "45", "40"), ("PR", "2", "30")))
    return one(paid(a, status="19", paid="80", lines=(line,)))


def nothing_at_all(_a: Claim, _b: Claim) -> bytes:
    return written(Remit((), plb=(("L6:X", "-3"),)))


def paid_with_another_line(a: Claim, _b: Claim) -> bytes:
    """Two services bundled: the second is decided as the first's code, with CARC 97 and nothing."""
    lines = (
        Line("99214", "150", "180", (("CO", "45", "-30"),), original="99213"),
        Line("99214", "65", "0", (("CO", "97", "65"),), original="83036"),
    )
    return one(paid(a, charge="215", paid="180", lines=lines))


def panel_taken_apart(a: Claim, _b: Claim) -> bytes:
    control = f"{a['control_number']}L01"
    lines = tuple(
        Line(code, charge, pays, (("CO", "45", "20"),), control=control, original="99213")
        for code, charge, pays in (("82947", "50", "30"), ("82565", "60", "40"), ("84132", "40", "20"))
    )
    return one(paid(a, paid="90", lines=lines))


def several_groups(a: Claim, b: Claim) -> bytes:
    first, second = written(Remit((paid(a),))), written(Remit((paid(b),), trace="EFT2"), control=2)
    group = second[second.index(b"GS*") : second.index(b"IEA*")]
    return first.replace(b"IEA*1*", group + b"IEA*2*")


def six_reasons_in_one_segment(a: Claim, _b: Claim) -> bytes:
    raw = one(paid(a))
    return raw.replace(b"CAS*CO*45*50~", b"CAS*CO*45*20**253*2**59*3*1*B4*5**237*8**A2*12~")


def of_a_stay(a: Claim, _b: Claim) -> bytes:
    """An institutional claim: summaries by provider, DRG, a stay's remarks, everything adjusted on the claim."""
    raw = one(paid(a, lines=(), cas=(("CO", "45", "50"),)))
    raw = raw.replace(b"LX*1~", b"LX*1~TS3*1999000015*11*20261231*1*150~TS2*90~")
    raw = raw.replace(b"*11*1~", b"*11*1**291*1.2~").replace(b"~NM1*QC", b"~MIA*2****MA01~NM1*QC", 1)
    return re.sub(rb"SE\*(\d+)", lambda count: b"SE*%d" % (int(count[1]) + 3), raw)


def second_payer(a: Claim, _b: Claim) -> bytes:
    first = paid(a, paid="80", lines=(Line("99213", "150", "80", (("CO", "45", "40"), ("PR", "2", "30"))),))
    again = Line("99213", "150", "30", (("OA", "23", "120"),))
    other = Remit(
        (paid(a, status="2", paid="30", lines=(again,), icn="N1"),), payer="77777", trace="EFT2", name="OTHER"
    )
    return written(Remit((first,)), other)


def nobody_of_theirs(a: Claim, _b: Claim) -> bytes:
    """CLP02 4: the patient is not known to the payer; all of it is open, and nothing is written off."""
    unknown = paid(a, status="4", paid="0", lines=(), cas=(("CO", "31", "150"),))
    return one(unknown, handling="I", method="NON")


def pairs_of_adjustments(a: Claim, _b: Claim) -> bytes:
    raw = one(paid(a), plb=(("IR", "28"),), amount="63.50")
    whole = b"PLB*1999000015*20261231*IR*28*AP:EARLY*1.50*L6:X*-2*WO:OLD*10*FB:Y*-3*CS:Z*2~"
    return raw.replace(b"PLB*1999000015*20261231*IR*28~", whole)


def a_line_left_out(a: Claim, _b: Claim) -> bytes:
    """The second of two lines was decided with nothing of it said; the claim is what was decided."""
    return one(
        paid(a, lines=(Line("99213", "150", "100", (("CO", "45", "50"),), control=f"{a['control_number']}L01"),))
    )


def with_line_ends(a: Claim, _b: Claim) -> bytes:
    return one(paid(a)).replace(b"~", b"~\r\n")


GOOD: tuple[Shape, ...] = (
    panel_taken_apart,
    several_groups,
    six_reasons_in_one_segment,
    of_a_stay,
    second_payer,
    nobody_of_theirs,
    pairs_of_adjustments,
    a_line_left_out,
    with_line_ends,
    split_line,
    bundled,
    dropped_modifier,
    claim_only,
    claim_and_line_adjustments,
    reversed_and_corrected,
    interest,
    taken_back,
    more_taken_back_than_paid,
    recovery,
    zero_pay,
    patient_share,
    several_transactions,
    several_interchanges,
    one_payment_in_parts,
    capitation_and_letters,
    estimate,
    passed_on,
    nothing_at_all,
)


def off_by_a_cent(a: Claim, _b: Claim) -> bytes:
    return one(paid(a), amount="100.01")


def cut_short(a: Claim, b: Claim) -> bytes:
    whole = one(paid(a))
    return whole[: whole.index(b"SVC")]


def somebody_elses(a: Claim, _b: Claim) -> bytes:
    return one(paid(a), payee="1234567893", tax_id="999999999")


def of_production(a: Claim, _b: Claim) -> bytes:
    return written(Remit((paid(a),)), usage="P")


def prenote(a: Claim, _b: Claim) -> bytes:
    return one(paid(a), handling="P")


def without_payment(a: Claim, _b: Claim) -> bytes:
    return one(paid(a), method="NON")


def miscounted(a: Claim, _b: Claim) -> bytes:
    return one(paid(a)).replace(b"SE*1", b"SE*9")


BAD: tuple[tuple[Shape, str], ...] = (
    (off_by_a_cent, "unbalanced remittance"),
    (cut_short, "unbalanced remittance"),
    (somebody_elses, "other payee"),
    (of_production, "other environment"),
    (prenote, "test payment"),
    (without_payment, "no payment"),
    (miscounted, "damaged remittance"),
)


@pytest.mark.parametrize("shape", GOOD, ids=lambda shape: shape.__name__)
def test_every_shape_is_posted_with_the_totals_that_another_parser_reads(desk: Desk, shape: Shape) -> None:
    first, second = desk.claim("A1"), desk.claim("A2")
    raw = shape(first, second)
    rows = desk.take(raw)
    assert {row["state"] for row in rows} == {"posted"}, [row["reason"] for row in rows]
    theirs = oxedi.parse(raw)
    assert from_cents(sum(row["amount_cents"] for row in rows)) == theirs.sum_payments()
    assert sum(row["claims"] for row in rows) == theirs.count_claims()
    assert sum(row["claims_held"] for row in rows) == 0
    figures = check(desk)
    assert figures.cash == theirs.sum_payments()
    assert figures.unapplied == 0
    before = desk.world.rows(tables.ledger_posting)
    assert {row["state"] for row in desk.take(raw)} == {"duplicate"}
    assert desk.world.rows(tables.ledger_posting) == before


@pytest.mark.parametrize(("shape", "kind"), BAD, ids=lambda each: getattr(each, "__name__", each))
def test_what_cannot_be_posted_is_held_for_the_right_reason(desk: Desk, shape: Shape, kind: str) -> None:
    first, second = desk.claim("A1"), desk.claim("A2")
    before = desk.world.balances()
    (row,) = desk.take(shape(first, second))
    assert row["state"] == "held"
    (item,) = desk.world.items("unbalanced remittances")
    assert (item["kind"], item["sentence"]) == (kind, row["reason"])
    assert desk.world.balances() == before
    check(desk)


def test_a_line_paid_with_another_leaves_nothing_open_but_what_is_not_paid(desk: Desk) -> None:
    claim = desk.claim("A1", ("150.00", "65.00"))
    raw = paid_with_another_line(claim, claim)
    (row,) = desk.take(raw)
    assert (row["state"], row["claims_held"]) == ("posted", 0)
    assert from_cents(row["amount_cents"]) == oxedi.parse(raw).sum_payments()
    (item,) = desk.world.items("denials")
    assert (item["kind"], item["money_cents"]) == ("bundled line", 6500)
    check(desk)


def test_a_claim_that_the_payer_passed_to_another_one_is_neither_paid_nor_denied_here(desk: Desk) -> None:
    claim = desk.claim("A1")
    said = paid(claim, status="23", paid="0", lines=(), cas=(("OA", "B11", "150"),))
    desk.take(one(said, handling="I", method="NON"))
    assert desk.world.balances(claim_id=claim["id"])["receivable payer"] == 15000
    desk.world.run_due("correct denial")
    assert desk.world.one(tables.denial)["state"] == "waiting"
    check(desk)


def test_a_reversal_in_a_later_file_takes_back_what_an_earlier_one_paid(desk: Desk) -> None:
    first, second = desk.claim("A1"), desk.claim("A2")
    untouched = desk.world.balances(claim_id=first["id"])
    said = paid(first)
    desk.send(Remit((said,)))
    desk.send(Remit((said.reversed(), paid(second)), trace="EFT2", handling="H", method="NON"))
    assert desk.world.balances(claim_id=first["id"]) == untouched
    desk.send(Remit((replace(said, icn="NEW"),), trace="EFT3"))
    assert desk.state(first) == "paid"
    check(desk)
