"""What a payer decides, and the 835 that it writes about it, balances whatever was claimed."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import hypothesis.strategies as st
from hypothesis import given, settings

from hub.simulators import whole_world
from hub.simulators.adjudication import Adjudicator
from hub.simulators.remittance import ProviderAdjustment, Remittance, write_835
from hub.simulators.world import FEES, PAYERS, PROVIDERS, luhn_npi
from hub.simulators.x12 import Claim837, Line837, cents, money, read_interchange

WHEN = dt.datetime(2026, 3, 9, 18, tzinfo=dt.UTC)

lines = st.builds(
    Line837,
    number=st.just("1"),
    code=st.sampled_from([*FEES, "J3490"]),
    modifiers=st.lists(st.sampled_from(["25", "59", "QW"]), max_size=2, unique=True),
    charge=st.integers(0, 500_000),
    units=st.sampled_from(["1", "2", "3", "7", "1.5"]),
    date=st.just("20260302"),
    control=st.just("L1"),
    patient_before=st.integers(0, 600_000),
)
claims = st.builds(
    Claim837,
    pcn=st.text("ABC123", min_size=4, max_size=8),
    place=st.just("11"),
    frequency=st.just("1"),
    sequence=st.sampled_from("PPPS"),
    member_id=st.from_regex(r"MBS\d{8}", fullmatch=True),
    patient=st.just(["NOBODY", "A", ""]),
    lines=st.lists(lines, min_size=1, max_size=5),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(claims, min_size=1, max_size=4), st.sampled_from(sorted(PAYERS)), st.integers(0, 99), st.data())
def test_every_decision_its_reversal_and_its_correction_balance(found, payer_id, seed, data):
    payer = PAYERS[payer_id]
    adjudicator = Adjudicator(payer, seed)
    decisions = []
    for number, claim in enumerate(found):
        decision = adjudicator.decide(claim, f"ICN{number}")
        decisions += [decision, decision.reversed(), adjudicator.better(decision)]
        assert decision.charge == sum(line.charge for line in claim.lines)
    for decision in decisions:
        for line in decision.lines:
            assert line.charge - sum(each.amount for each in line.adjustments) == line.paid
            if decision.status != "22":
                assert line.paid >= 0
                assert all(each.amount > 0 for each in line.adjustments if line.charge)
    taken = data.draw(st.lists(st.integers(-5000, 5000), max_size=8))
    adjustments = tuple(ProviderAdjustment("WO", "ICN1", amount) for amount in taken)
    remittance = Remittance(payer, "TRACE1", tuple(decisions), adjustments)
    text = write_835(remittance, "CLEARWAY01", 1, WHEN)
    interchange = read_interchange(text)
    segments = interchange.transactions[0].segments
    paid = sum(cents(each[4]) for each in segments if each[0] == "CLP")
    plb = sum(cents(amount) for each in segments if each[0] == "PLB" for amount in each[4::2])
    assert paid - plb == sum(cents(each[2]) for each in segments if each[0] == "BPR")


@given(st.integers(-(10**9), 10**9))
def test_amounts_are_written_and_read_back_to_the_cent(amount):
    assert cents(money(amount)) == amount
    assert Decimal(money(amount)) * 100 == amount


def test_the_world_s_providers_have_real_check_digits():
    assert all(luhn_npi(provider.npi) for provider in PROVIDERS.values())
    assert not luhn_npi("1999000011")


def test_the_same_seed_decides_the_same():
    claim = Claim837(
        pcn="A1",
        member_id="CM12345678",
        frequency="1",
        patient=["NOBODY", "A", ""],
        lines=[Line837("1", "99213", [], 13500, "1", "20260302", "L1")],
    )
    first, second = (Adjudicator(PAYERS["90001"], 5).decide(claim, "ICN1").entry() for _ in range(2))
    assert first == second


def test_the_larger_world_has_twelve_payers_eight_providers_and_forty_denials() -> None:
    assert len({*PAYERS, *(payer.payer_id for payer in whole_world.MORE_PAYERS)}) == 12
    providers = PROVIDERS | whole_world.MORE_PROVIDERS
    assert len(providers) == 8
    assert all(luhn_npi(provider.npi) for provider in providers.values())
    assert len(set(whole_world.FORTY_DENIALS)) == 40
