from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hub.billing.matching import BilledLine, match_line
from hub.billing.number_rules import normalised
from hub.store import tables
from tests.billing.payer import Desk, Line, Paid, Remit


def paid(claim: dict[str, Any], **fields: Any) -> Paid:
    """The 150.00 claim, paid, with nothing in it that names the claim but its control number."""
    given: dict[str, Any] = {
        "number": claim["control_number"],
        "charge": "150",
        "paid": "100",
        "icn": "X",
        "member": "",
        "lines": (Line("99213", "150", "100", (("CO", "45", "50"),), day=claim["service_on"].replace("-", "")),),
    }
    return Paid(**{**given, **fields})


def matched(desk: Desk, said: Paid, **remit: Any) -> dict[str, Any]:
    """The row of the one payment, after it was taken in."""
    number = len(desk.world.rows(tables.remittance))
    (row,) = desk.send(Remit((said,), trace=f"EFT{number}", **remit))
    return dict(desk.world.one(tables.remittance_claim, remittance_id=row["id"]))


def test_our_control_number_as_we_sent_it_is_the_first_rule(desk: Desk) -> None:
    claim = desk.claim("A1")
    row = matched(desk, paid(claim))
    assert (row["claim_id"], row["matched_by"]) == (claim["id"], "control number")


def test_the_payers_own_number_finds_a_claim_whose_number_was_lost(desk: Desk) -> None:
    claim = desk.claim("A1")
    with desk.world.writing() as connection:
        connection.execute(tables.claim.update().values(payer_claim_number="ICN9"))
    row = matched(desk, paid(claim, number="0", icn="ICN9"))
    assert (row["claim_id"], row["matched_by"]) == (claim["id"], "payer claim number")


@pytest.mark.parametrize(
    "damage",
    [str.lower, lambda n: f"000{n}", lambda n: n[:-3], lambda n: f"{n[:4]}-{n[4:]}", lambda n: f"00{n[:-2]}".lower()],
)  # fmt: skip
def test_a_damaged_control_number_is_repaired(desk: Desk, damage: Any) -> None:
    desk.claim("A0")
    claim = desk.claim("A1")
    row = matched(desk, paid(claim, number=damage(claim["control_number"])))
    assert (row["claim_id"], row["matched_by"]) == (claim["id"], "control number, repaired")


def test_a_number_cut_too_short_matches_nothing(desk: Desk) -> None:
    claim = desk.claim("A1")
    assert matched(desk, paid(claim, number=claim["control_number"][:4]))["state"] == "unmatched"


def test_our_line_number_finds_the_claim(desk: Desk) -> None:
    desk.claim("A0")
    claim = desk.claim("A1")
    (line,) = desk.lines(claim)
    said = paid(claim, number="LOST")
    said = replace(said, lines=(replace(said.lines[0], control=line["control_number"]),))
    row = matched(desk, said)
    assert (row["claim_id"], row["matched_by"]) == (claim["id"], "line control number")


def test_member_day_and_charge_together_name_a_claim(desk: Desk) -> None:
    claim = desk.claim("A1")
    row = matched(desk, paid(claim, number="LOST", member="w123456789"))
    assert (row["claim_id"], row["matched_by"]) == (claim["id"], "member, day and charge")


def test_two_claims_that_fit_alike_are_for_a_person_who_gets_both_as_candidates(desk: Desk) -> None:
    first, second = desk.claim("A1"), desk.claim("A2")
    with desk.world.writing() as connection:
        connection.execute(tables.claim_line.update().values(service_on=first["service_on"]))
    said = paid(first, number="LOST", member="W123456789")
    assert matched(desk, said)["state"] == "unmatched"
    (item,) = desk.world.items("unmatched payments")
    evidence = desk.world.open(tables.work_item, item)
    assert {each["claim_id"] for each in evidence["candidates"]} == {first["id"], second["id"]}
    assert "2 claims come close" in item["sentence"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"charge": "160", "lines": (Line("99213", "160", "100", (("CO", "45", "60"),)),)}, "charge differs"),
        (
            {
                "number": "H",
                "member": "W123456789",
                "lines": (Line("99213", "150", "100", (("CO", "45", "50"),), day="20250101"),),
            },
            "day of service differs",
        ),
    ],
)  # fmt: skip
def test_what_contradicts_the_claim_keeps_the_payment_unmatched(desk: Desk, fields: dict[str, Any], words: str) -> None:
    claim = desk.claim("A1")
    assert matched(desk, paid(claim, **fields))["state"] == "unmatched"
    (item,) = desk.world.items("unmatched payments")
    assert words in item["sentence"]


def test_a_patient_of_the_same_name_is_a_candidate_and_never_more(desk: Desk) -> None:
    claim = desk.claim("A1")
    stranger = Paid("LOST1", "150", "100", (Line("99213", "150", "100", (("CO", "45", "50"),)),), icn="X9", member="Z1")
    assert matched(desk, stranger)["state"] == "unmatched"
    (item,) = desk.world.items("unmatched payments")
    (candidate,) = desk.world.open(tables.work_item, item)["candidates"]
    assert candidate["claim_id"] == claim["id"]
    assert "the patient's name is the same" in candidate["reasons"]
    assert "the member id differs" in candidate["reasons"]


def test_another_known_payer_may_not_pay_the_claim(desk: Desk) -> None:
    claim = desk.claim("A1")
    assert matched(desk, paid(claim), payer="90003", name="NORTHWIND")["state"] == "unmatched"
    assert matched(desk, paid(claim), payer="777", name="CEDAR")["state"] == "posted"


def test_part_of_a_claim_is_accepted_when_the_payer_names_our_lines(desk: Desk) -> None:
    claim = desk.claim("A1", ("150.00", "65.00"))
    first, second = desk.lines(claim)
    for line, charge in ((first, "150"), (second, "65")):
        said = Paid(
            claim["control_number"],
            charge,
            charge,
            (Line(line["code"], charge, charge, control=line["control_number"]),),
            icn=f"S{charge}",
        )
        assert matched(desk, said)["state"] == "posted"
    assert desk.state(claim) == "paid"


def test_a_control_number_loses_what_payers_change() -> None:
    assert normalised("000h6-q4 s") == "H6Q4S"


def service(code: str, charge: str = "100", **fields: Any) -> Any:
    from hub.formats.x12.remittance import RemittanceStream
    from hub.formats.x12.segments import read_segments
    from tests.billing.payer import written

    raw = written(Remit((Paid("N", charge, charge, (Line(code, charge, charge, **fields),)),)))
    return next(iter(RemittanceStream(read_segments(raw)))).lines[0]


def line(ordinal: int, code: str, cents: int = 10000, modifiers: tuple[str, ...] = ()) -> BilledLine:
    return BilledLine(
        ordinal=ordinal,
        control_number=f"C{ordinal}",
        charge_id=ordinal,
        code=code,
        modifiers=modifiers,
        charge_cents=cents,
        service_on="2026-11-10",
    )


def test_lines_are_found_by_modifiers_then_original_code_then_code_then_place() -> None:
    plain, modified, other = line(1, "A"), line(2, "A", modifiers=("25",)), line(3, "B", 500)
    ours = [plain, modified, other]
    assert match_line(service("A", modifiers=("25",)), ours, set()) is modified
    assert match_line(service("A"), ours, set()) is plain
    assert match_line(service("A"), ours, {1}) is modified
    assert match_line(service("Z", original="A"), ours, set()) is plain
    assert match_line(service("B", "7"), ours, set()) is other
    assert match_line(service("Z", "5"), ours, set()) is other
    assert match_line(service("Z", "7"), ours, set()) is None
    assert match_line(service("Z", control="c2"), ours, {2}) is modified


def test_a_panel_that_the_payer_took_apart_is_decided_in_parts_of_its_one_line() -> None:
    panel, other = line(1, "P", 10000), line(2, "B", 4000)
    assert match_line(service("X1", "60", original="P"), [panel, other], set()) is panel
    assert match_line(service("X2", "40", original="P"), [panel, other], {1}) is panel  # not the other of that charge
    assert match_line(service("X3", "40"), [panel, other], {1}) is other
