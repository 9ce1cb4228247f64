"""What the EHR said and what a partner read are held against each other, fact by fact."""

from __future__ import annotations

from typing import Any

import pytest

from hub.demo.unchanged import changed_facts

SAID: dict[str, Any] = {
    "kind": "charge",
    "transaction": "T1",
    "code": "99213",
    "revenue": "",
    "modifiers": ["25"],
    "units": 1,
    "amount_cents": 15000,
    "service_date": "20261110",
    "diagnoses": ["E119", "I10"],
    "performer": "1999000114",
    "person": "M1",
    "patient": ["EXAMPLAR", "WREN", "19800214", "F"],
    "members": ["CM-12345678"],
}
READ: dict[str, Any] = {
    "kind": "claim",
    "pcn": "HUB1",
    "frequency": "1",
    "lines": [
        {
            "control": "HUB1L01",
            "code": "99213",
            "revenue": "",
            "modifiers": ["25"],
            "units": "1",
            "date": "20261110",
            "charge_cents": 15000,
        }
    ],
    "diagnoses": ["E119"],
    "rendering": "1999000114",
    "patient": ["EXAMPLAR", "WREN", "19800214", "F"],
    "member": "CM12345678",
}


def differences(read: dict[str, Any], *said: dict[str, Any]) -> list[str]:
    return changed_facts({"HUB1L01": "T1"}, [SAID, *said], [read])[1]


def with_line(**fields: Any) -> dict[str, Any]:
    return {**READ, "lines": [{**READ["lines"][0], **fields}]}


def test_a_claim_that_says_what_was_said_has_no_difference() -> None:
    assert changed_facts({"HUB1L01": "T1"}, [SAID], [READ]) == (1, [])


@pytest.mark.parametrize(
    "read",
    [
        with_line(code="99214"),
        with_line(revenue="0450"),
        with_line(modifiers=[]),
        with_line(units="2"),
        with_line(charge_cents=15001),
        with_line(date="20261111"),
        with_line(control="HUB1L02"),
        {**READ, "diagnoses": ["E119", "E118"]},
        {**READ, "rendering": "1999000221"},
        {**READ, "patient": ["EXAMPLAR", "LARK", "19800214", "F"]},
        {**READ, "patient": ["EXAMPLAR", "WREN", "19800214", "M"]},
        {**READ, "member": "CM12345679"},
    ],
)
def test_every_fact_that_is_another_is_told(read: dict[str, Any]) -> None:
    (difference,) = differences(read)
    assert difference.startswith("claim HUB1: ")


def test_a_new_card_that_was_told_is_no_difference() -> None:
    told = {**SAID, "kind": "registration", "members": ["CM99999999"]}
    assert differences({**READ, "member": "CM99999999"}, told) == []


def test_what_a_person_changed_afterwards_is_not_compared() -> None:
    assert differences({**with_line(code="99214"), "frequency": "7"}) == []
