"""Edits that weigh a service against the patient's others: global periods, and the therapy of a year."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from hub.billing.config import TherapyThreshold
from hub.billing.edits import Finding, History, PastService, scrub
from hub.billing.refdata.kinds import Entry
from hub.billing.refdata.lookup import reference_of
from hub.formats.x12.claim import Payer as ClaimPayer
from hub.store import tables

from .edit_samples import SERVICE_DATE, TABLES, Case, lines, of, payer
from .payer import Desk, Line, Paid, Remit

SURGEON, COLLEAGUE, OTHER = "1999000114", "1999000221", "1999000338"
GLOBAL = reference_of(
    {
        **TABLES,
        "mpfs": (
            Entry("17110", facts={"global_days": "010"}),
            Entry("20610", facts={"global_days": "000"}),
            Entry("17000", facts={"global_days": "090"}),
            Entry("93010", facts={"global_days": "XXX"}),
        ),
    }
)


def of_edit(case: Case, name: str) -> list[Finding]:
    return [finding for finding in scrub(*case).findings if finding.rule == name]


def after(code: str, days: int, *services: dict[str, Any], npi: str = SURGEON) -> Case:
    """A claim for *services*, *days* after the procedure *code* of another claim."""
    past = PastService(code, (), SERVICE_DATE - timedelta(days=days), npi, open=True)
    return of(lines(*services), reference=GLOBAL, history=History((past,)))


@pytest.mark.parametrize(
    ("code", "days", "lies_within"),
    [
        *[("17110", days, days in {0, 1, 10}) for days in (-1, 0, 1, 10, 11)],
        *[("17000", days, days in {-1, 0, 1, 90}) for days in (-2, -1, 0, 1, 90, 91)],
        *[("20610", days, days == 0) for days in (-1, 0, 1)],
        ("93010", 0, False),
    ],
)
def test_a_visit_within_the_global_days_of_a_procedure_says_why_it_is_billed(
    code: str, days: int, lies_within: bool
) -> None:
    assert bool(of_edit(after(code, days, {}), "LN-10")) is lies_within


@pytest.mark.parametrize(
    ("code", "days", "modifier"), [("17110", 5, "24"), ("17110", 0, "25"), ("17000", 0, "57"), ("17000", -1, "57")]
)
def test_the_modifier_that_fits_is_proposed_and_parts_the_two(code: str, days: int, modifier: str) -> None:
    (finding,) = of_edit(after(code, days, {}), "LN-10")
    assert finding.proposal is not None
    assert finding.proposal.value == modifier
    assert of_edit(after(code, days, {"modifiers": (modifier,)}), "LN-10") == []


@pytest.mark.parametrize(("modifiers", "found"), [((), True), (("59",), True), (("58",), False), (("78",), False)])
def test_a_procedure_within_the_global_days_of_another_says_why(modifiers: tuple[str, ...], found: bool) -> None:
    case = after("17000", 30, {"code": "20610", "modifiers": modifiers})
    assert bool(of_edit(case, "LN-10")) is found


def test_what_has_no_global_days_is_billed_within_those_of_others() -> None:
    assert of_edit(after("17000", 30, {"code": "93010"}), "LN-10") == []


@pytest.mark.parametrize(("npi", "found"), [(SURGEON, True), (OTHER, False), (COLLEAGUE, False)])
def test_global_days_are_those_of_one_provider(npi: str, found: bool) -> None:
    assert bool(of_edit(after("17000", 30, {}, npi=npi), "LN-10")) is found


def test_colleagues_of_one_specialty_are_one_provider_to_a_payer() -> None:
    claim, context = after("17000", 30, {}, npi=COLLEAGUE)
    assert context.practice is not None
    colleague = context.practice.providers[0].model_copy(update={"npi": COLLEAGUE})
    both = context.practice.model_copy(update={"providers": (*context.practice.providers, colleague)})
    assert of_edit((claim, replace(context, practice=both)), "LN-10")


def test_lines_of_one_claim_lie_in_each_others_global_days() -> None:
    case = of(lines({"code": "17110"}, {"service_date": SERVICE_DATE + timedelta(days=3)}), reference=GLOBAL)
    assert [finding.line for finding in of_edit(case, "LN-10")] == [2]


def test_without_the_patients_history_the_same_day_is_judged_all_the_same() -> None:
    result = scrub(*of(lines({}, {"code": "17110"}), reference=GLOBAL, history=None))
    assert "LN-10" in {finding.rule for finding in result.findings}
    assert "LN-10" in {missing.rule for missing in result.unchecked}


# ---------------------------------------------------------------- therapy


MEDICARE = ClaimPayer("SUMMIT", "90004", "MB")


def therapy(
    spent: str, *modifiers: str, charge: str = "100.00", context: dict[str, Any] | None = None, **past: Any
) -> Case:
    """A therapy claim to Medicare of a patient who had therapy for *spent* before in the year."""
    earlier = PastService(
        "97110", ("GP",), SERVICE_DATE - timedelta(days=30), SURGEON, open=True, payer_id="90004", amount=Decimal(spent)
    )
    service = {"code": "97110", "charge": Decimal("100.00"), "modifiers": modifiers}
    history = History((replace(earlier, **past),))
    given = {**payer(claim_filing="MB"), **(context or {})}
    return of(lines(service, payer=MEDICARE), fees={}, history=history, **given)


@pytest.mark.parametrize(("spent", "found"), [("2380.00", False), ("2380.01", True)])
def test_therapy_past_the_years_threshold_wants_kx(spent: str, found: bool) -> None:
    assert bool(of_edit(therapy(spent, "GP"), "LN-15")) is found


def test_kx_is_proposed_behind_the_plan_of_care_and_is_enough() -> None:
    (finding,) = of_edit(therapy("2400.00", "GP"), "LN-15")
    assert finding.proposal is not None
    assert finding.proposal.value == "GP KX"
    assert str(finding.place) == "2400 SV101-4"
    assert of_edit(therapy("2400.00", "GP", "KX"), "LN-15") == []


def test_speech_counts_with_physical_therapy_and_occupational_therapy_alone() -> None:
    assert of_edit(therapy("2400.00", "GN"), "LN-15")
    assert of_edit(therapy("2400.00", "GO"), "LN-15") == []


@pytest.mark.parametrize(
    "past",
    [{"service_date": date(2025, 12, 31)}, {"payer_id": "90001"}, {"service_date": SERVICE_DATE + timedelta(days=1)}],
)
def test_only_what_the_same_payer_had_before_in_the_calendar_year_counts(past: dict[str, Any]) -> None:
    assert of_edit(therapy("2400.00", "GP", **past), "LN-15") == []


def test_what_the_contract_allows_counts_and_not_what_is_charged() -> None:
    allows = {"contracts": {"97110": Decimal("30.00")}}
    assert of_edit(therapy("2440.00", "GP", context=allows), "LN-15") == []
    assert of_edit(therapy("2460.00", "GP", context=allows), "LN-15")


def test_a_payers_own_thresholds_stand_in_place_of_medicares() -> None:
    own = (TherapyThreshold(effective=date(2026, 6, 1), physical_and_speech="500.00", occupational="400.00"),)  # type: ignore[arg-type]  # pydantic reads texts
    assert of_edit(therapy("450.00", "GP", context=payer(therapy_thresholds=own)), "LN-15")
    assert of_edit(therapy("390.00", "GP", context=payer(therapy_thresholds=own)), "LN-15") == []


def test_a_year_whose_threshold_nobody_knows_is_not_checked() -> None:
    claim, context = therapy("9000.00", "GP")
    later = replace(claim.lines[0], service_date=date(2031, 2, 1))
    result = scrub(replace(claim, lines=(later,)), context)
    assert "payer.therapy_threshold" in {missing.needs for missing in result.unchecked if missing.rule == "LN-15"}


# ---------------------------------------------------------------- what the hub knows of earlier claims


@pytest.mark.parametrize(("allowed", "found"), [("2400", True), ("2300", False)])
def test_therapy_that_was_decided_counts_with_what_the_payer_allowed(world: Any, allowed: str, found: bool) -> None:
    medicare = world.config.payers["90001"].model_copy(update={"claim_filing": "MB"})
    world.config = replace(world.config, payers={**world.config.payers, "90001": medicare})
    desk = Desk(world)

    def billed(account: str, amount: str) -> dict[str, Any]:
        charge = {"code": "97110", "modifiers": ("GP",), "amount": Decimal(amount)}
        world.decide_values([world.visit(account=account), world.charge(account, account, **charge)])
        world.bill_and_batch()
        return dict(world.rows(tables.claim)[-1])

    first = billed("A1", "3000.00")
    line = Line("97110", "3000", allowed, (("CO", "45", str(3000 - int(allowed))),), modifiers=("GP",))
    desk.send(Remit((Paid(number=first["control_number"], charge="3000", paid=allowed, lines=(line,)),)))
    assert desk.state(first) == "paid"
    second = billed("A2", "100.00")
    event = world.rows(tables.claim_event, claim_id=second["id"], kind="edit_result")[0]
    assert ("LN-15" in json.loads(event["detail"])["rules"]) is found
