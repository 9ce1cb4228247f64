"""The edits: each has its row, its function, a claim that passes it and one that fails it and nothing else."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from hub.billing.claim_body import ClaimBody
from hub.billing.edits import CHECKS, EDITS, REPAIRS, Context, is_npi, scrub
from hub.billing.refdata.kinds import KINDS
from hub.billing.rules.sample import SAMPLE
from hub.formats.x12.claim import Address as X12Address
from hub.formats.x12.claim import Circumstances, Procedure
from hub.formats.x12.claim import Facility as X12Facility
from hub.formats.x12.claim import Person as X12Person
from hub.formats.x12.claim import Provider as X12Provider

from .edit_samples import (
    CONTEXT,
    MAMMOGRAM,
    PAYER,
    SAMPLES,
    SERVICE_DATE,
    TODAY,
    Case,
    claim,
    lines,
    of,
    payer,
    stay,
    subscriber,
)


def found(case: Case) -> set[str]:
    result = scrub(*case)
    return {finding.rule for finding in result.findings} | {repair.rule for repair in result.repairs}


def unchecked(case: Case) -> set[str]:
    return {missing.rule for missing in scrub(*case).unchecked}


def test_the_table_has_the_112_edits_of_the_reference_and_a_sentence_for_each() -> None:
    assert len(EDITS) == 112
    for edit in EDITS.values():
        assert re.fullmatch(r"(ID|CL|DX|LN|CB|IN)-\d\d", edit.id)
        assert edit.sentence.endswith(".")
        assert edit.prevents


def test_every_edit_has_a_function_and_samples() -> None:
    assert set(CHECKS) | set(REPAIRS) == set(EDITS)
    assert set(SAMPLES) == set(EDITS)


@pytest.mark.parametrize("name", SAMPLES)
def test_the_passing_sample_passes_and_the_failing_one_fails_this_edit_only(name: str) -> None:
    passing, failing = SAMPLES[name]
    assert name not in unchecked(passing)
    assert name not in found(passing)
    assert found(failing) == {name}


ELSEWHERE = X12Address("9 BIRCH LANE", "SPRINGFIELD", "IL", "627011234")


def without_check_digit() -> X12Provider:
    return X12Provider(X12Person("EXAMPLAR", "RIN"), "1999000115", "207Q00000X")


@pytest.mark.parametrize(
    ("edit", "case"),
    [
        ("ID-02", of(lines({"ordering": without_check_digit()}))),
        ("ID-02", stay(attending=without_check_digit())),
        ("CL-09", stay(procedures=(Procedure("0DTJ4ZZ", TODAY + timedelta(days=1)),))),
        ("CL-10", of(subscriber(circumstances=Circumstances(death_date=SERVICE_DATE - timedelta(days=1))))),
        ("CL-13", of(claim(place_of_service="51"), **payer(admission_at=("21", "51")))),
        ("CL-22", of(claim(facility=X12Facility("A" * 61, ELSEWHERE)))),
        ("LN-05", of(lines({"code": "J1885", "units": Decimal("1.0005")}))),
    ],
)
def test_an_edit_looks_at_everything_that_it_speaks_of(edit: str, case: Case) -> None:
    assert edit in found(case)


@pytest.mark.parametrize(
    ("edit", "case"),
    [
        ("CL-13", of(claim(place_of_service="51"))),
        ("CL-14", of(lines({**MAMMOGRAM, "prior_authorisation": "A100"}))),
        ("CL-15", of(lines({"referral_number": "R1"}), **payer(needs_referral=True))),
        ("LN-05", of(lines({"code": "J1885", "units": Decimal("1.0005")}), **payer(unit_decimals=4))),
    ],
)
def test_an_edit_is_content_with_what_a_line_says_and_with_what_the_payer_takes(edit: str, case: Case) -> None:
    assert edit not in found(case)


def test_a_whole_claim_with_all_data_loaded_passes_and_leaves_nothing_unchecked() -> None:
    assert found(of()) == set()
    assert unchecked(of()) == set()


def test_an_edit_without_its_data_says_so_and_finds_nothing() -> None:
    result = scrub(SAMPLE, Context(PAYER, TODAY))
    assert result.findings == ()
    needs = {missing.rule: missing.needs for missing in result.unchecked}
    assert needs["DX-03"] == "icd10"
    assert needs["LN-04"] == "mue"
    assert needs["ID-23"] == "eligibility"


def test_hospitals_and_medicaid_have_sets_of_their_own() -> None:
    pair = {"code": "17110"}, {"code": "36415"}
    professional, context = of(lines(*pair))
    medicaid = replace(professional, payer=replace(professional.payer, filing_indicator="MC"))
    hospital = replace(professional, institutional=stay()[0].institutional)
    assert "LN-03" in found((professional, context))
    for case, kind in ((medicaid, "ncci_medicaid"), (hospital, "ncci_outpatient")):
        assert "LN-03" in unchecked((case, context))
        editions = {**context.reference.editions, kind: context.reference.editions["ncci"]}
        assert "LN-03" in found((case, replace(context, reference=replace(context.reference, editions=editions))))


def test_a_set_for_later_dates_of_service_says_nothing_about_earlier_ones() -> None:
    edition = replace(CONTEXT.reference.editions["icd10"][0], effective="2026-10-01")
    reference = replace(CONTEXT.reference, editions={**CONTEXT.reference.editions, "icd10": (edition,)})
    assert "DX-03" in unchecked(of(reference=reference))


def test_what_an_edit_needs_is_a_kind_of_reference_data_or_a_part_of_the_context() -> None:
    others = {"charged", "coverages", "eligibility", "history", "notices", "signed"}
    for edit in EDITS.values():
        assert all(need in KINDS or need in others or need.startswith("payer.") for need in edit.needs), edit.id


@pytest.mark.parametrize("name", REPAIRS)
def test_a_repair_changes_form_only_and_is_recorded_with_what_stood_there(name: str) -> None:
    own = replace(SAMPLE.billing_provider.address, postal_code="62701")
    failing = {
        "ID-07": of(claim(billing_provider=replace(SAMPLE.billing_provider, address=own))),
        "ID-27": of(subscriber(group_number="NONE")),
    }.get(name, SAMPLES.get(name, (of(), of()))[1])
    result = scrub(*failing)
    assert {repair.rule for repair in result.repairs} == {name}
    assert all(repair.before != repair.after for repair in result.repairs)
    before, after = failing[0], result.claim
    assert after.charge == before.charge
    for old, new in zip(before.lines, after.lines, strict=True):
        facts = ("code", "modifiers", "units", "charge", "service_date", "pointers")
        assert all(getattr(old, fact) == getattr(new, fact) for fact in facts)
    if name != "DX-05":
        assert after.diagnoses == before.diagnoses
    assert scrub(after, failing[1]).repairs == ()
    assert scrub(before, failing[1], undone={name}).claim == before


@pytest.mark.parametrize(
    ("frequency", "status", "fits"),
    [
        *((frequency, "30", frequency in {"2", "3", "7", "8"}) for frequency in "123478"),
        *((frequency, "01", frequency in {"1", "4", "7", "8"}) for frequency in "123478"),
    ],
)
def test_a_patient_is_still_there_on_the_first_and_continuing_bills_of_a_stay_only(
    frequency: str, status: str, fits: bool
) -> None:
    assert ("IN-03" not in found(stay({"frequency": frequency}, patient_status=status))) is fits


@pytest.mark.parametrize("frequency", ["1", "2", "3", "4"])
def test_every_bill_that_replaces_none_can_be_a_duplicate_and_too_late(frequency: str) -> None:
    twice, late = SAMPLES["CL-18"][1], SAMPLES["CL-28"][1]
    for case, name in ((twice, "CL-18"), (late, "CL-28")):
        assert name in found((replace(case[0], frequency=frequency), case[1]))
        assert name not in found((replace(case[0], frequency="7"), case[1]))


def test_codes_are_only_proposed() -> None:
    case = of(claim(diagnoses=("E119", "I10", "E119")))
    (finding,) = scrub(*case).findings
    assert finding.proposal is not None
    assert scrub(*case).claim.diagnoses == ("E119", "I10", "E119")
    body = ClaimBody.new(case[0]).accept(finding.proposal)
    assert body.decided().diagnoses == ("E119", "I10")
    assert ClaimBody.from_plain(body.plain()) == body


def test_an_npi_is_ten_digits_with_the_right_check_digit() -> None:
    assert is_npi("1999000015")
    assert not is_npi("1999000016")
    assert not is_npi("19990000")


def test_all_edits_of_a_claim_take_less_than_three_milliseconds() -> None:
    full = lines(*[{"code": "17000", "modifiers": ("76",), "charge": Decimal("10.00")}] * 10)
    best = min(_seconds(full) for _ in range(20))
    assert best < 0.003


def _seconds(full: object) -> float:
    began = time.perf_counter()
    scrub(full, CONTEXT)  # type: ignore[arg-type]
    return time.perf_counter() - began
