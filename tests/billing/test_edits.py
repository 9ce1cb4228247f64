"""The edits: each has its row, its function, a claim that passes it and one that fails it and nothing else."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from hub.billing.claim_body import ClaimBody
from hub.billing.config import Department, Facility, PostalAddress, Practice
from hub.billing.edits import CHECKS, EDITS, REPAIRS, Context, Edit, is_npi, scrub
from hub.billing.refdata.kinds import KINDS
from hub.billing.rules.sample import SAMPLE
from hub.formats.x12.claim import Address as X12Address
from hub.formats.x12.claim import Adjustment, Circumstances, Procedure, ValueCode
from hub.formats.x12.claim import Facility as X12Facility
from hub.formats.x12.claim import Person as X12Person
from hub.formats.x12.claim import Provider as X12Provider

from .edit_samples import (
    CHILD,
    CONTEXT,
    DRUG,
    MAMMOGRAM,
    PAYER,
    PRACTICE,
    SAMPLES,
    SERVICE_DATE,
    TODAY,
    Case,
    billing,
    claim,
    decided,
    line,
    lines,
    of,
    payer,
    second,
    stay,
    subscriber,
)
from .guide_places import of_the_guide, written


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


ABSENT = {
    *("ID-09", "ID-11", "ID-12", "ID-13", "ID-18", "ID-19", "ID-20", "ID-27", "ID-28"),
    *("CL-05", "CL-08", "CL-13", "CL-14", "CL-15", "CL-23", "CL-25", "CB-03"),
    *("LN-07", "LN-10", "LN-12", "LN-13", "LN-14", "LN-15", "LN-24", "IN-02", "IN-05", "IN-06", "IN-10"),
}
"""The edits whose failing sample lacks the element that they name; all others name one that is filled."""


@pytest.mark.parametrize("name", SAMPLES)
def test_an_edit_names_the_place_in_the_837_where_the_claim_says_it_or_where_it_would_stand(name: str) -> None:
    claim, context = SAMPLES[name][1]
    candidates = EDITS[name].places_of(claim.form)
    places = {finding.place for finding in scrub(claim, context).findings} or {candidates[0]}
    assert places <= of_the_guide(claim.form)
    assert all(any(candidate.covers(place) for candidate in candidates) for place in places)
    said = written(claim)
    assert {place in said for place in places} == {name not in ABSENT}


@pytest.mark.parametrize("edit", EDITS.values(), ids=lambda edit: edit.id)
def test_every_place_of_an_edit_is_one_of_its_forms_guide(edit: Edit) -> None:
    for form in ("837P", "837I") if edit.form == "837" else (edit.form,):
        assert edit.places_of(form)
        assert {str(place) for place in edit.places_of(form) if place not in of_the_guide(form)} == set()


def test_every_edit_has_a_level_a_word_of_what_to_do_and_the_status_codes_that_it_prevents() -> None:
    for edit in EDITS.values():
        assert edit.snip in range(1, 8)
        assert edit.fix.endswith(".")
        assert all(code in edit.prevents for code in edit.stc)
    assert EDITS["ID-02"].stc == ("A7:562:82", "A7:562:DN", "A7:562:DK", "A7:562:DQ", "A7:562:71")
    assert EDITS["LN-12"].stc == ("A6:544",)


ELSEWHERE = X12Address("9 BIRCH LANE", "SPRINGFIELD", "IL", "627011234")


HOSPITAL = X12Facility("ELM HOSPITAL", ELSEWHERE)
AT_HOSPITAL = PRACTICE.model_copy(
    update={
        "places_of_service": ("11",),
        "departments": (Department(code="OR", title="Theatre", place_of_service="22", facility="ELM"),),
        "facilities": (
            Facility(
                code="ELM",
                name="Elm Hospital",
                address=PostalAddress(line="9 BIRCH LANE", city="SPRINGFIELD", state="IL", postal_code="627011234"),
                places_of_service=("22", "23"),
            ),
        ),
    }
)


AT_LINE: dict[str, Any] = {"lines": lines({"place_of_service": "11"}).lines}


def departments_only() -> Practice:
    """The same practice, of whose hospital only its departments say what it has."""
    silent = AT_HOSPITAL.facilities[0].model_copy(update={"places_of_service": ()})
    return AT_HOSPITAL.model_copy(update={"facilities": (silent,)})


def without_check_digit() -> X12Provider:
    return X12Provider(X12Person("EXAMPLAR", "RIN"), "1999000115", "207Q00000X")


@pytest.mark.parametrize(
    ("edit", "case"),
    [
        ("ID-02", of(lines({"ordering": without_check_digit()}))),
        ("ID-02", stay(attending=without_check_digit())),
        ("CL-09", stay(procedures=(Procedure("0DTJ4ZZ", TODAY + timedelta(days=1)),))),
        ("CL-10", of(subscriber(circumstances=Circumstances(death_date=SERVICE_DATE - timedelta(days=1))))),
        ("CL-04", of(claim(place_of_service="24", facility=HOSPITAL), practice=AT_HOSPITAL)),
        ("CL-04", of(claim(place_of_service="23", facility=HOSPITAL), practice=departments_only())),
        ("CL-04", of(claim(place_of_service="22"), practice=AT_HOSPITAL)),
        (
            "CL-04",
            of(lines({"place_of_service": "11"}, facility=HOSPITAL, place_of_service="22"), practice=AT_HOSPITAL),
        ),
        ("CL-13", of(claim(place_of_service="51"), **payer(admission_at=("21", "51")))),
        ("LN-12", of(lines({"referring_clia": "14-0002"}))),
        ("CL-22", of(claim(facility=X12Facility("A" * 61, ELSEWHERE)))),
        ("LN-05", of(lines({"code": "J1885", "units": Decimal("1.0005")}))),
    ],
)
def test_an_edit_looks_at_everything_that_it_speaks_of(edit: str, case: Case) -> None:
    assert edit in found(case)


NOWHERE = replace(ELSEWHERE, postal_code="627010000")
UNGROUPED = Adjustment("", "45", Decimal(1))
FIXABLE = Adjustment("CO", "16", Decimal(1))
SEVEN = (*[replace(FIXABLE, reason="45")] * 6, replace(FIXABLE, reason="999"))  # the seventh begins another CAS
PROCEDURE = Procedure("0DTJ4ZZ", SERVICE_DATE)
FIVE = ("25", "59", "RT", "GP", "GA")


@pytest.mark.parametrize(
    ("edit", "case", "place"),
    [
        ("ID-02", of(claim(rendering=without_check_digit())), "2310B NM109"),
        ("ID-02", of(lines({"rendering": without_check_digit()})), "2420A NM109"),
        ("ID-02", of(lines({"ordering": without_check_digit()})), "2420E NM109"),
        ("ID-02", stay(attending=without_check_digit()), "2310A NM109"),
        ("ID-02", stay({"referring": without_check_digit()}), "2310F NM109"),
        ("ID-04", of(lines({"rendering": without_check_digit()})), "2420A NM109"),
        ("ID-06", of(billing(address=replace(ELSEWHERE, line2="PO BOX 1"))), "2010AA N302"),
        ("ID-07", of(billing(address=NOWHERE)), "2010AA N403"),
        ("ID-07", of(claim(facility=X12Facility("A", NOWHERE))), "2310C N403"),
        ("ID-07", stay({"facility": X12Facility("A", NOWHERE)}), "2310E N403"),
        ("ID-09", of(claim(rendering=X12Provider(X12Person("A", "B"), "1999000114", "2"))), "2310B PRV03"),
        ("ID-18", of(claim(patient=replace(CHILD, birth_date=TODAY + timedelta(days=9)))), "2010CA DMG02"),
        ("ID-20", of(claim(patient=replace(CHILD, address=replace(ELSEWHERE, city="")))), "2010CA N401"),
        ("CL-04", of(claim(place_of_service="24", facility=HOSPITAL), practice=AT_HOSPITAL), "2300 CLM05-1"),
        ("CL-04", of(claim(**AT_LINE, facility=HOSPITAL, place_of_service="22"), practice=AT_HOSPITAL), "2400 SV105"),
        ("CL-09", of(lines({"service_date": TODAY + timedelta(days=9)})), "2400 DTP03 (472)"),
        ("CL-09", stay(statement_to=TODAY + timedelta(days=9)), "2300 DTP03 (434)"),
        ("CL-17", of(claim(release="N")), "2300 CLM09"),
        ("CL-22", of(claim(facility=X12Facility("A" * 61, ELSEWHERE))), "2310C NM103"),
        ("CL-22", of(lines({"note": "X" * 81})), "2400 NTE02"),
        ("DX-03", of(claim(diagnoses=("E119", "I10", "E9999"))), "2300 HI03-2 (ABF)"),
        ("DX-03", stay({"diagnoses": ("E119", "I10", "E9999")}), "2300 HI02-2 (ABF)"),
        ("LN-01", stay({"lines": (line(code="99999", revenue_code="0360", pointers=()),)}), "2400 SV202-2"),
        ("LN-02", of(lines({"modifiers": FIVE})), "2400 SV101-6"),
        ("LN-02", of(lines({"modifiers": ("25", "25")})), "2400 SV101-4"),
        ("LN-12", of(lines({"code": "83036", "clia": "14D"})), "2400 REF02 (X4)"),
        ("LN-12", of(lines({"referring_clia": "14-0002"})), "2400 REF02 (F4)"),
        ("LN-13", of(lines({"code": "J1885", "drug": replace(DRUG, quantity=Decimal(0))})), "2410 CTP04"),
        ("LN-16", of(lines({"code": "00400", "unit_code": "MJ"})), "2400 SV101-3"),
        ("IN-07", stay(values=(ValueCode("80", Decimal(2)), ValueCode("99", Decimal(1)))), "2300 HI02-2 (BE)"),
        ("IN-09", stay(procedures=(PROCEDURE, replace(PROCEDURE, code="X"))), "2300 HI01-2 (BBQ)"),
        ("IN-10", stay(procedures=(PROCEDURE,)), "2310B NM109"),
        ("ID-05", of(billing(tax_id="1", tax_id_kind="SY")), "2010AA REF02 (SY)"),
        ("ID-05", of(billing(tax_id="1", tax_id_kind="")), "2010AA REF02 (EI)"),
        ("CB-05", of(second(decisions=decided(adjustments=(UNGROUPED,))), coverages=2), "2430 CAS01"),
        ("CB-05", of(second(adjustments=(replace(UNGROUPED, group="C O"),)), coverages=2), "2320 CAS01"),
        ("CB-05", of(second(decisions=decided(adjustments=SEVEN)), coverages=2), "2430 CAS02 (CO)"),
        ("CB-09", of(second(decisions=decided(adjustments=(UNGROUPED, FIXABLE))), coverages=2), "2430 CAS02 (CO)"),
    ],
)
def test_an_edit_that_looks_at_several_places_names_the_one(edit: str, case: Case, place: str) -> None:
    places = {str(finding.place) for finding in scrub(*case).findings if finding.rule == edit}
    assert places == {place}


@pytest.mark.parametrize(
    ("edit", "case"),
    [
        ("CL-04", of(claim(place_of_service="22", facility=HOSPITAL), practice=AT_HOSPITAL)),
        ("CL-04", of(claim(place_of_service="22", facility=HOSPITAL), practice=departments_only())),
        ("CL-04", of(claim(place_of_service="10", facility=HOSPITAL), practice=AT_HOSPITAL)),
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
