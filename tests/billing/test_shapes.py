"""Every shape that a remittance may have (005010X221A1, section 1.10), written by a generator of our own.

Another parser reads each file too: what is posted has its totals, and what is held has a reason.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import oxedi
import pytest

from hub.billing import reconcile
from hub.core.money import from_cents
from hub.store import tables
from hub.store.database import reading
from tests.billing.payer import Desk, Line, Paid, Remit, written

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


GOOD: tuple[Shape, ...] = (
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


@pytest.fixture
def desk(world: Any) -> Desk:
    return Desk(world)


def check(desk: Desk) -> reconcile.Figures:
    desk.world.check_ledger()
    with reading(desk.world.store) as connection:
        report = reconcile.report(connection)
    assert report.figures.ok, [str(each) for each in report.figures.differences]
    # Messages and their lines are counted by the engine, which is not here.
    lost = [stage for stage in report.stages if not stage.ok and stage.name not in {"received", "mapped"}]
    assert lost == []
    return report.figures


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
