from __future__ import annotations

from typing import Any

import pytest

from tests.billing.payer import Desk, Line, Paid, Remit


def paid(claim: dict[str, Any], **fields: Any) -> Paid:
    line = Line("99213", "150", "100", (("CO", "45", "50"),))
    return Paid(claim["control_number"], "150", "100", (line,), **fields)


@pytest.mark.parametrize(
    ("news", "queue", "words"),
    [
        ("NM1*74*1******C*W999999999", "charge review", "another member id."),
        ("NM1*74*1*EXEMPLAR*WREN****C*W123456789", "charge review", "another name."),
        ("DTM*036*20261101", "charge review", "the coverage ended on 2026-11-01"),
        ("NM1*PR*2*GRANITE*****PI*90005", "secondary", "GRANITE must pay first"),
    ],
)
def test_what_a_payer_says_beside_the_money_is_for_a_person_and_once(
    desk: Desk, news: str, queue: str, words: str
) -> None:
    claim = desk.claim("A1")
    desk.send(Remit((paid(claim, news=news),)))
    (item,) = desk.world.items()
    assert (item["queue"], item["claim_id"]) == (queue, claim["id"])
    assert words in item["sentence"]
    again = desk.claim("A2", codes=("99214",))
    line = Line("99214", "150", "100", (("CO", "45", "50"),))
    desk.send(Remit((Paid(again["control_number"], "150", "100", (line,), news=news),), trace="EFT2"))
    assert len(desk.world.items()) == 1


def test_what_is_known_already_is_no_news(desk: Desk) -> None:
    claim = desk.claim("A1")
    desk.send(Remit((paid(claim, news="NM1*74*1******C*W123456789"),)))
    assert desk.world.items() == []


@pytest.mark.parametrize("corrected", [False, True])
def test_a_reversal_that_no_correction_follows_is_told_after_two_weeks(desk: Desk, corrected: bool) -> None:
    claim = desk.claim("A1")
    said = paid(claim)
    desk.send(Remit((said,)))
    desk.send(Remit((said.reversed(),), trace="EFT2", plb=(("FB", "-100"),)))
    if corrected:
        desk.send(Remit((paid(claim, icn="ICN2"),), trace="EFT3", plb=(("FB", "100"),)))
    desk.world.advance(days=15)
    desk.world.run_due("correction")
    kinds = [item["kind"] for item in desk.world.items()]
    assert kinds == ([] if corrected else ["correction overdue"])
