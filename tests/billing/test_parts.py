"""The parts that need no store: control numbers, grouping, the edits."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.billing import canonical, edits
from hub.billing.control_numbers import control_number, is_intact, line_control_number
from hub.billing.grouping import Billable, group
from hub.billing.values import Address, Charge, Coverage, Name, Patient, Visit
from hub.core.vault import Vault
from tests.billing.conftest import billing_config

VAULT = Vault({1: b"k" * 32}, b"i" * 32)
TODAY = date(2026, 11, 10)
ids = st.integers(1, 2**63 - 1)


@given(ids)
def test_a_control_number_is_short_plain_and_always_the_same(claim_id):
    number = control_number(VAULT, claim_id)
    assert number == control_number(VAULT, claim_id)
    assert len(number) == 12
    assert number.isascii()
    assert number.isalnum()
    assert number == number.upper()
    assert not number.startswith("0")
    assert is_intact(number)
    assert len(line_control_number(number, 50)) <= 30


@given(ids, st.integers(0, 11), st.sampled_from("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
def test_one_wrong_character_is_always_seen(claim_id, place, wrong):
    number = control_number(VAULT, claim_id)
    damaged = number[:place] + wrong + number[place + 1 :]
    assert is_intact(damaged) == (damaged == number)


def swaps(number):
    """What becomes of *number* where two neighbours change places."""
    for place in range(11):
        swapped = number[:place] + number[place + 1] + number[place] + number[place + 2 :]
        if swapped != number:
            yield swapped


@given(ids)
def test_two_swapped_characters_are_always_seen(claim_id):
    assert not any(is_intact(swapped) for swapped in swaps(control_number(VAULT, claim_id)))


def test_they_are_seen_too_where_the_check_character_alone_would_not_see_them():
    numbers = [control_number(VAULT, claim_id) for claim_id in range(1, 3001)]
    assert not any(is_intact(swapped) for number in numbers for swapped in swaps(number))
    assert len(set(numbers)) == len(numbers)


billables = st.lists(
    st.builds(
        Billable,
        charge_id=st.integers(1, 10**6),
        rendering_npi=st.sampled_from(["1", "2"]),
        place_of_service=st.sampled_from(["11", "10"]),
        diagnoses=st.lists(st.integers(0, 40).map(lambda n: f"E{n:02d}"), max_size=6).map(tuple),
    ),
    max_size=130,
    unique_by=lambda each: each.charge_id,
)


@given(billables)
def test_grouping_loses_nothing_and_no_claim_is_too_large(charges):
    groups = group(charges)
    assert sorted(m.charge_id for g in groups for m in g.members) == sorted(c.charge_id for c in charges)
    for each in groups:
        assert 1 <= len(each.members) <= 50
        assert len(each.diagnoses) == len(set(each.diagnoses)) <= 12
        assert len({(m.rendering_npi, m.place_of_service) for m in each.members}) == 1
        assert all(set(m.pointed) <= set(each.diagnoses) for m in each.members)


@pytest.mark.parametrize("npi", ["1999000015", "1999000114", "1999000221", "1234567893"])
def test_an_npi_with_the_right_check_digit_is_one(npi):
    assert edits.is_npi(npi)
    assert not edits.is_npi(npi[:-1] + str((int(npi[-1]) + 1) % 10))


def claim(**fields):
    config = billing_config()
    said = {
        "patient": Patient(
            mrn="M1",
            authority="ALDER",
            name=Name(family="Examplar", given="Wren"),
            birth_date=date(1980, 2, 14),
            sex="F",
            address=Address(line="42 Elm", city="Springfield", state="IL", postal_code="62702"),
        ),
        "coverage": Coverage(priority=1, payer_id="90001", member_id="W123456789"),
        "charge": Charge(
            transaction="T1",
            account="A1",
            service_date=TODAY,
            code="99213",
            amount=Decimal("150.00"),
            diagnoses=("E119",),
            performing_npi="1999000114",
        ),
    }
    for name, (owner, value) in fields.items():
        said[owner] = replace(said[owner], **{name: value})
    charge = said["charge"]
    (only,) = group([Billable(1, charge.performing_npi, "11", charge.diagnoses)])
    return canonical.build(
        config,
        control_number=control_number(VAULT, 1),
        payer=config.payers["90001"],
        visit=Visit(account="A1", patient=said["patient"]),
        patient=said["patient"],
        coverage=said["coverage"],
        group=only,
        charges=[charge],
    )


def rules(made):
    return {finding.rule for finding in edits.findings(made, billing_config().payers["90001"], TODAY)}


def test_a_whole_claim_passes_every_edit():
    assert rules(claim()) == set()


@pytest.mark.parametrize(
    ("field", "owner", "value", "rule"),
    [
        ("member_id", "coverage", "", "ID-15"),
        ("member_id", "coverage", "X1", "ID-15"),
        ("name", "patient", Name(family="Examplar"), "ID-17"),
        ("birth_date", "patient", None, "ID-18"),
        ("birth_date", "patient", TODAY + timedelta(days=1), "ID-18"),
        ("sex", "patient", "", "ID-19"),
        ("address", "patient", None, "ID-20"),
        ("address", "patient", Address(line="42 Elm", city="Springfield", state="IL"), "ID-20"),
        ("diagnoses", "charge", (), "DX-01"),
        ("diagnoses", "charge", ("E119X9XYZ",), "DX-03"),
        ("amount", "charge", Decimal("0.00"), "CL-03"),
        ("service_date", "charge", TODAY + timedelta(days=1), "CL-09"),
        ("code", "charge", "9921", "LN-01"),
        ("modifiers", "charge", ("25", "25"), "LN-02"),
        ("units", "charge", Decimal(0), "LN-05"),
        ("performing_npi", "charge", "1999000115", "ID-11"),
    ],
)
def test_each_edit_finds_its_fault(field, owner, value, rule):
    assert rule in rules(claim(**{field: (owner, value)}))


def test_an_insured_parent_is_the_subscriber_and_the_child_the_patient():
    made = claim(relationship=("coverage", "child"))
    assert made.patient is not None
    assert "ID-17" in rules(made)
