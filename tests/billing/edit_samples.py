"""For every edit a claim that passes it and one that fails it, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from hub.billing.config import Payer, PostalAddress, Practice, Provider
from hub.billing.edits import Context, Eligibility, History, PastService
from hub.billing.refdata.kinds import Entry
from hub.billing.refdata.lookup import reference_of
from hub.billing.rules.sample import SAMPLE, SERVICE_DATE
from hub.formats.x12.claim import (
    Address,
    Adjustment,
    Claim,
    Drug,
    Facility,
    Institutional,
    LineAdjudication,
    Occurrence,
    OtherPayer,
    Patient,
    Person,
    Procedure,
    ValueCode,
)
from hub.formats.x12.claim import Payer as ClaimPayer
from hub.formats.x12.claim import Provider as ClaimProvider

TODAY = SERVICE_DATE + timedelta(days=3)
D = Decimal
NPI = "1999000221"
LINE = SAMPLE.lines[0]


def codes(*names: str, **facts: str) -> tuple[Entry, ...]:
    return tuple(Entry(name, facts=facts) for name in names)


TABLES: dict[str, tuple[Entry, ...]] = {
    "npi": (
        Entry("1999000015", facts={"entity": "2"}),
        *codes("1999000114", NPI, entity="1"),
        Entry("1999000338", ends="2026-01-01", facts={"entity": "1"}),
    ),
    "zip": (*codes("62701", "62702", state="IL"), *codes("53703", state="WI")),
    "taxonomy": codes("207Q00000X", "208000000X"),
    "referring": codes("92557"),
    "ordering": codes("80061"),
    "payers": codes("90001", "90004"),
    "pos": codes("02", "10", "11", "21", "22"),
    "icd10": (
        *codes("E119", "I10", "S8001XA", "B9620", "Z0000", billable="1"),
        *codes("E11", billable="0"),
        *codes("F0280", billable="1", not_principal="1"),
        *codes("N400", billable="1", sex="M"),
        *(Entry(f"M25{n}", facts={"billable": "1"}) for n in range(500, 513)),
    ),
    "excludes1": (Entry("E119", "Z0000"),),
    "coverage": (Entry("83036", "E119"),),
    "hcpcs": codes("J1885", "G0008"),
    "cpt": codes(
        "99213", "99203", "83036", "17110", "92557", "80061", "36415", "20610", "17999", "97110", "00400", "77067",
        "90471", "90686", "99395", "17003", "93010", "17000",
    ),
    "modifiers": codes("25", "50", "59", "26", "TC", "80", "QW", "GP", "GA", "GZ", "JZ", "AA", "95", "RT", "LT", "76"),
    "ncci": (Entry("17110", "36415", facts={"indicator": "0"}), Entry("20610", "36415", facts={"indicator": "1"})),
    "mue": codes("83036", units="1", indicator="2"),
    "mpfs": (
        Entry("17110", facts={"global_days": "010", "bilateral": "0", "assistant": "1"}),
        Entry("20610", facts={"bilateral": "1", "assistant": "2"}),
        Entry("93010", facts={"pctc": "2"}),
        Entry("77067", facts={"pctc": "1"}),
    ),
    "clia": (*codes("83036", waived="1"), *codes("80061")),
    "unlisted": codes("17999"),
    "ndc": codes("00409379501"),
    "single_dose": codes("J1885"),
    "therapy": codes("97110"),
    "limits": codes("77067", sex="F", age_from="35"),
    "frequency": codes("77067", days="365"),
    "addon": (Entry("17003", "17000"),),
    "usual": (Entry("83036", "36415"),),
    "carc": codes("45", "1", "16"),
    "fixable": codes("16"),
    "type_of_bill": codes("111", "113", "131"),
    "revenue": (*codes("0120"), *codes("0360", "0450", needs_code="1")),
    "condition": codes("17"),
    "occurrence": codes("11", "71"),
    "value": codes("80", "81"),
    "pcs": codes("0DTJ4ZZ"),
    "poa_exempt": codes("Z0000"),
}  # fmt: skip
PRACTICE = Practice(
    schema=1,
    organisation="example",
    name="Example Family Clinic",
    npi="1999000015",
    tax_id="371990001",
    taxonomy="207Q00000X",
    address=PostalAddress(line="100 EXAMPLE STREET", city="SPRINGFIELD", state="IL", postal_code="627011234"),
    phone="2175550142",
    time_zone="America/Chicago",
    provider=(Provider(npi="1999000114", taxonomy="207Q00000X", family="EXAMPLAR", given="ROBIN"),),
)
PAYER = Payer(
    schema=1,
    payer_id="90001",
    name="Example Health Plan",
    partner="clearway",
    claim_filing="CI",
    member_id=r"W\d{9}",
    timely_filing_days=90,
    needs_taxonomy=True,
    needs_group=False,
    needs_referral=False,
    needs_ndc=True,
    roster=("1999000114", NPI),
    requires_auth=("77067",),
    requires_documentation=("17999",),
    telehealth_modifiers=("95",),
)
ELIGIBLE = Eligibility(
    active=True,
    member_id="W123456789",
    last="EXAMPLAR",
    first="WREN",
    birth_date=date(1980, 2, 14),
    not_to_be_billed=False,
)
CONTEXT = Context(
    payer=PAYER,
    today=TODAY,
    practice=PRACTICE,
    reference=reference_of(TABLES),
    charged=SAMPLE.charge,
    history=History(),
    eligibility=ELIGIBLE,
    coverages=1,
    signed=True,
    notices=frozenset(),
    fees={"99213": D("150.00")},
)
Case = tuple[Claim, Context]


def of(claim: Claim = SAMPLE, **context: Any) -> Case:
    """A claim in a context that knows everything; what its charges were entered with is its own total."""
    return claim, replace(CONTEXT, **{"charged": claim.charge, **context})


def claim(**fields: Any) -> Claim:
    return replace(SAMPLE, **fields)


def subscriber(**fields: Any) -> Claim:
    return claim(subscriber=replace(SAMPLE.subscriber, **fields))


def billing(**fields: Any) -> Claim:
    return claim(billing_provider=replace(SAMPLE.billing_provider, **fields))


def line(number: int = 1, **fields: Any) -> Any:
    return replace(LINE, control_number=f"HSAMPLE00001L{number:02d}", **fields)


def lines(*each: dict[str, Any], **fields: Any) -> Claim:
    """The sample claim with these lines in place of its own."""
    return claim(lines=tuple(line(number, **one) for number, one in enumerate(each, 1)), **fields)


def payer(**fields: Any) -> dict[str, Any]:
    return {"payer": PAYER.model_copy(update=fields)}


def person(**fields: Any) -> Claim:
    return subscriber(person=replace(SAMPLE.subscriber.person, **fields))


def past(code: str, days: int, **fields: Any) -> dict[str, Any]:
    """A history with one service, so many days before."""
    service = PastService(code, (), SERVICE_DATE - timedelta(days=days), "1999000114", open=True)
    return {"history": History((replace(service, **fields),))}


FIRST = replace(SAMPLE.subscriber, sequence="P")


def second(*, decisions: tuple[LineAdjudication, ...] | None = None, **other: Any) -> Claim:
    """A claim to the second payer, balanced: 150 = 80 + 45 + 25."""
    decided = LineAdjudication(
        payer_id="60054",
        paid=D("80.00"),
        code="99213",
        units=D(1),
        decided=SERVICE_DATE + timedelta(days=1),
        adjustments=(Adjustment("CO", "45", D("45.00")), Adjustment("PR", "1", D("25.00"))),
    )
    first = OtherPayer(ClaimPayer("FIRST HEALTH PLAN", "60054"), FIRST, paid=D("80.00"))
    return claim(
        subscriber=replace(SAMPLE.subscriber, sequence="S"),
        lines=(replace(LINE, adjudications=(decided,) if decisions is None else decisions),),
        other_payers=(replace(first, **other),),
    )


def decided(**fields: Any) -> tuple[LineAdjudication, ...]:
    return (replace(second().lines[0].adjudications[0], **fields),)


BOX = replace(SAMPLE.billing_provider.address, line1="PO BOX 12")
SHORT = replace(SAMPLE.billing_provider.address, postal_code="627011234"[:5])
PLACE = Facility("EXAMPLE HOSPITAL", Address("9 HILL ROAD", "SPRINGFIELD", "IL", "627025678"), NPI)
CHILD = Patient(Person("EXAMPLAR", "LINNET"), SAMPLE.subscriber.address, date(2015, 3, 1), "F", "19")
OTHER = ClaimProvider(Person("EXAMPLAR", "TERN"), NPI)
BAD = ClaimProvider(Person("EXAMPLAR", "TERN"), "1999000222")
LAB = {"code": "83036", "modifiers": ("QW",)}
DRUG = Drug("00409379501", D(1), "ML")
PROC: dict[str, Any] = {"code": "17110"}
MAMMOGRAM: dict[str, Any] = {"code": "77067"}

ATTENDING = ClaimProvider(Person("EXAMPLAR", "ROBIN"), "1999000114", "207Q00000X")
DAY = timedelta(days=1)
STAY = claim(
    place_of_service="",
    rendering=None,
    admission_date=SERVICE_DATE,
    lines=(line(code="", revenue_code="0120", charge=D("900.00"), units=D(2), pointers=()),),
    condition_codes=("17",),
    institutional=Institutional(
        facility_type="11",
        statement_from=SERVICE_DATE,
        statement_to=SERVICE_DATE + 2 * DAY,
        patient_status="01",
        admission_type="1",
        admission_source="1",
        admission_time="0930",
        discharge_time="1500",
        present=("Y", "N"),
        admitting_diagnosis="E119",
        occurrences=(Occurrence("11", SERVICE_DATE), Occurrence("71", SERVICE_DATE - DAY, SERVICE_DATE)),
        values=(ValueCode("80", D(2)),),
        attending=ATTENDING,
    ),
)
"""A stay of two days: a whole, clean inpatient claim."""


def stay(of_claim: dict[str, Any] | None = None, **fields: Any) -> Case:
    """The stay with other fields of its institutional part, or of the claim."""
    assert STAY.institutional is not None
    return of(replace(STAY, institutional=replace(STAY.institutional, **fields), **(of_claim or {})))


def outpatient(of_claim: dict[str, Any] | None = None, **fields: Any) -> Case:
    """An unscheduled outpatient visit of the same day."""
    usual: dict[str, Any] = {
        "facility_type": "13",
        "statement_to": SERVICE_DATE,
        "discharge_time": "",
        "values": (),
        "visit_reasons": ("E119",),
    }
    lines = (line(code="99213", revenue_code="0450", pointers=()),)
    return stay({"lines": lines, "admission_date": None, **(of_claim or {})}, **{**usual, **fields})


SAMPLES: dict[str, tuple[Case, Case]] = {
    "ID-01": (
        of(),
        of(
            billing(npi="1999000016"),
            reference=reference_of({**TABLES, "npi": (*TABLES["npi"], Entry("1999000016", facts={"entity": "2"}))}),
        ),
    ),
    "ID-02": (
        of(claim(referring=OTHER)),
        of(
            claim(referring=BAD),
            reference=reference_of({**TABLES, "npi": (*TABLES["npi"], Entry(BAD.npi, facts={"entity": "1"}))}),
        ),
    ),
    "ID-03": (of(), of(claim(referring=replace(OTHER, npi="1999000338")))),
    "ID-04": (of(), of(**payer(roster=(NPI,)))),
    "ID-05": (of(), of(billing(tax_id="000000000"))),
    "ID-06": (of(), of(billing(address=BOX))),
    "ID-07": (
        of(claim(facility=PLACE)),
        of(claim(facility=replace(PLACE, address=replace(PLACE.address, postal_code="62702")))),
    ),
    "ID-08": (of(), of(subscriber(address=Address("42 ELM AVENUE", "SPRINGFIELD", "WI", "62702")))),
    "ID-09": (of(), of(billing(taxonomy=""))),
    "ID-10": (of(claim(facility=PLACE)), of(claim(facility=replace(PLACE, npi="1999000015")))),
    "ID-11": (of(), of(claim(rendering=None))),
    "ID-12": (of(lines({"code": "92557"}, referring=OTHER)), of(lines({"code": "92557"}))),
    "ID-13": (
        of(lines({"code": "80061"}, referring=OTHER, clia="14D0000001")),
        of(lines({"code": "80061"}, clia="14D0000001")),
    ),
    "ID-14": (of(), of(claim(payer=ClaimPayer("OTHER PLAN", "77777")))),
    "ID-15": (of(), of(subscriber(member_id="X1"), eligibility=replace(ELIGIBLE, member_id="X1"))),
    "ID-16": (of(), of(subscriber(member_id="W-123 456 789"))),
    "ID-17": (of(person(suffix="JR")), of(person(last="EXAMPLAR JR"))),
    "ID-18": (of(), of(subscriber(birth_date=None), eligibility=replace(ELIGIBLE, birth_date=None))),
    "ID-19": (of(subscriber(sex="U")), of(subscriber(sex=""))),
    "ID-20": (of(), of(subscriber(address=None))),
    "ID-21": (
        of(claim(patient=CHILD), eligibility=replace(ELIGIBLE, first="LINNET", birth_date=CHILD.birth_date)),
        of(
            claim(patient=replace(CHILD, relationship="18")),
            eligibility=replace(ELIGIBLE, first="LINNET", birth_date=CHILD.birth_date),
        ),
    ),
    "ID-22": (of(), of(eligibility=replace(ELIGIBLE, last="OTHERWISE"))),
    "ID-23": (of(), of(eligibility=replace(ELIGIBLE, active=False))),
    "ID-24": (of(second(), coverages=2), of(second(subscriber=replace(FIRST, sequence="S")), coverages=2)),
    "ID-25": (of(), of(claim(payer=ClaimPayer("EXAMPLE HEALTH PLAN", "90001", "BL")))),
    "ID-26": (of(), of(subscriber(insurance_type="12"))),
    "ID-27": (of(subscriber(group_number="G1"), **payer(needs_group=True)), of(**payer(needs_group=True))),
    "ID-28": (of(second(), coverages=2), of(coverages=2)),
    "CL-01": (of(), of(claim(control_number="h-sample"))),
    "CL-02": (of(), of(charged=D("151.00"))),
    "CL-03": (of(), of(lines({"charge": D("0.00")}), fees={})),
    "CL-04": (of(claim(place_of_service="22")), of(claim(place_of_service="99"))),
    "CL-05": (of(claim(frequency="7", payer_claim_control_number="ICN1")), of(claim(frequency="7"))),
    "CL-06": (
        of(claim(frequency="7", payer_claim_control_number="ICN1"), history=History(payer_claim_number="ICN1")),
        of(claim(frequency="7", payer_claim_control_number="ICN1"), history=History(payer_claim_number="ICN2")),
    ),
    "CL-07": (of(), of(claim(frequency="7", payer_claim_control_number="ICN1"), **payer(accepts_replacement=False))),
    "CL-08": (
        of(
            claim(related_causes=("AA",), accident_state="IL", accident_date=SERVICE_DATE, diagnoses=("S8001XA", "I10"))
        ),
        of(claim(related_causes=("AA",), accident_date=SERVICE_DATE)),
    ),
    "CL-09": (of(claim(onset_date=SERVICE_DATE)), of(claim(onset_date=TODAY + timedelta(days=1)))),
    "CL-10": (of(), of(subscriber(birth_date=TODAY), eligibility=replace(ELIGIBLE, birth_date=TODAY))),
    "CL-11": (of(), of(**payer(timely_filing_days=2))),
    "CL-12": (of(claim(delay_reason="7", note="PROOF SENT BY FAX")), of(claim(delay_reason="7"))),
    "CL-13": (of(claim(place_of_service="21", admission_date=SERVICE_DATE)), of(claim(place_of_service="21"))),
    "CL-14": (of(lines(MAMMOGRAM, prior_authorisation="A100")), of(lines(MAMMOGRAM))),
    "CL-15": (of(claim(referral_number="R1"), **payer(needs_referral=True)), of(**payer(needs_referral=True))),
    "CL-16": (of(claim(prior_authorisation="A100")), of(claim(prior_authorisation="A100,A101"))),
    "CL-17": (of(claim(assignment="C")), of(claim(assignment="Y"))),
    "CL-18": (of(**past("99213", 0, rendering_npi=NPI)), of(**past("99213", 0))),
    "CL-19": (of(), of(lines(*[{"code": "17000", "modifiers": ("76",)}] * 51))),
    "CL-20": (
        of(),
        of(
            lines({"service_date": date(2025, 12, 31)}, {"code": "17000", "service_date": date(2026, 1, 2)}),
            today=date(2026, 1, 5),
        ),
    ),
    "CL-21": (of(), of(claim(note="Prüfung * siehe Akte"))),
    "CL-22": (of(claim(note="X" * 80)), of(claim(note="X" * 81))),
    "CL-23": (
        of(lines({"code": "17999", "note": "SEE PWK", "description": "X"})),
        of(lines({"code": "17999", "description": "X"})),
    ),
    "CL-24": (of(claim(patient_paid=D("20.00"))), of(claim(patient_paid=D("151.00")))),
    "CL-25": (of(lines({"modifiers": ("95",)}, place_of_service="10")), of(claim(place_of_service="10"))),
    "CL-26": (of(), of(eligibility=replace(ELIGIBLE, not_to_be_billed=True))),
    "CL-27": (of(), of(signed=False)),
    "CL-28": (of(), of(today=SERVICE_DATE + timedelta(days=40))),
    "DX-01": (of(), of(claim(diagnoses=tuple(f"M25{n}" for n in range(500, 513))))),
    "DX-02": (of(), of(claim(diagnoses=("E119", "I10", "E119")))),
    "DX-03": (of(), of(claim(diagnoses=("E119", "E9999")))),
    "DX-04": (of(), of(claim(diagnoses=("E11", "I10")))),
    "DX-05": (of(), of(claim(diagnoses=("E11.9", "i10")))),
    "DX-06": (of(claim(diagnoses=("I10", "F0280"))), of(claim(diagnoses=("F0280", "I10")))),
    "DX-07": (
        of(claim(diagnoses=("N400", "I10"), subscriber=replace(SAMPLE.subscriber, sex="M"))),
        of(claim(diagnoses=("N400", "I10"))),
    ),
    "DX-08": (of(), of(claim(diagnoses=("E119", "Z0000")))),
    "DX-09": (of(), of(lines({"pointers": (1, 3)}))),
    "DX-10": (
        of(lines(LAB, {"code": "36415"}, clia="14D0000001")),
        of(lines({**LAB, "pointers": (2,)}, {"code": "36415"}, clia="14D0000001")),
    ),
    "LN-01": (of(), of(lines({"code": "99999"}))),
    "LN-02": (of(lines({"modifiers": ("25",)})), of(lines({"modifiers": ("25", "ZZ")}))),
    "LN-03": (
        of(lines({"code": "20610"}, {"code": "36415", "modifiers": ("59",)})),
        of(lines({"code": "17110"}, {"code": "36415"})),
    ),
    "LN-04": (
        of(lines(LAB, {"code": "36415"}, clia="14D0000001")),
        of(lines({**LAB, "units": D(2)}, {"code": "36415"}, clia="14D0000001")),
    ),
    "LN-05": (of(lines({"units": D(2), "code": "17000"})), of(lines({"units": D("1.5"), "code": "17000"}))),
    "LN-06": (of(), of(lines({"charge": D("149.00")}))),
    "LN-07": (
        of(lines({"code": "17999", "description": "X", "note": "Y"})),
        of(lines({"code": "17999"}), **payer(requires_documentation=())),
    ),
    "LN-08": (of(lines({"code": "20610", "modifiers": ("50",)})), of(lines({"code": "17110", "modifiers": ("50",)}))),
    "LN-09": (
        of(lines({**MAMMOGRAM, "modifiers": ("26",)}, prior_authorisation="A1")),
        of(lines({"code": "93010", "modifiers": ("26",)})),
    ),
    "LN-10": (of(lines({"modifiers": ("25",)}, PROC)), of(lines({}, PROC))),
    "LN-11": (of(lines({"code": "99203"}), **past("99213", 1200)), of(lines({"code": "99203"}), **past("99213", 400))),
    "LN-12": (of(lines(LAB, {"code": "36415"}, clia="14D0000001")), of(lines(LAB, {"code": "36415"}))),
    "LN-13": (of(lines({"code": "J1885", "drug": DRUG})), of(lines({"code": "J1885"}))),
    "LN-14": (
        of(
            lines({"code": "J1885", "drug": DRUG, "modifiers": ("JZ",)}, payer=ClaimPayer("SUMMIT", "90004", "MB")),
            **payer(claim_filing="MB"),
        ),
        of(
            lines({"code": "J1885", "drug": DRUG}, payer=ClaimPayer("SUMMIT", "90004", "MB")),
            **payer(claim_filing="MB"),
        ),
    ),
    "LN-15": (of(lines({"code": "97110", "modifiers": ("GP",)})), of(lines({"code": "97110"}))),
    "LN-16": (
        of(lines({"code": "00400", "modifiers": ("AA",), "unit_code": "MJ", "units": D(45)})),
        of(lines({"code": "00400", "modifiers": ("AA",)})),
    ),
    "LN-17": (
        of(lines(MAMMOGRAM, prior_authorisation="A1")),
        of(lines(MAMMOGRAM, prior_authorisation="A1", subscriber=replace(SAMPLE.subscriber, sex="M"))),
    ),
    "LN-18": (
        of(lines(MAMMOGRAM, prior_authorisation="A1"), **past("77067", 400)),
        of(lines(MAMMOGRAM, prior_authorisation="A1"), **past("77067", 100)),
    ),
    "LN-19": (of(lines({"code": "17000"}, {"code": "17003"})), of(lines({"code": "17003"}))),
    "LN-20": (of(lines({"service_to": SERVICE_DATE})), of(lines({"service_to": SERVICE_DATE - timedelta(days=1)}))),
    "LN-21": (of(), of(claim(lines=(LINE, replace(LINE, code="17000"))))),
    "LN-22": (of(lines({"code": "20610", "modifiers": ("80",)})), of(lines({"code": "17110", "modifiers": ("80",)}))),
    "LN-23": (of(lines({"code": "90471"}, {"code": "90686"})), of(lines({"code": "90686"}))),
    "LN-24": (of(lines({"code": "99395"}, {"modifiers": ("25",)})), of(lines({"code": "99395"}, {}))),
    "LN-25": (of(lines({"modifiers": ("GA",)}), notices=frozenset({1})), of(lines({"modifiers": ("GA",)}))),
    "LN-26": (of(lines(LAB, {"code": "36415"}, clia="14D0000001")), of(lines(LAB, clia="14D0000001"))),
    "CB-01": (
        of(second(), coverages=2),
        of(
            replace(
                second(),
                lines=(
                    replace(LINE, adjudications=decided(paid=D("81.00"))),
                    line(2, code="17000", adjudications=decided(paid=D("79.00"))),
                ),
                other_payers=(replace(second().other_payers[0], paid=D("160.00")),),
            ),
            coverages=2,
        ),
    ),
    "CB-02": (of(second(), coverages=2), of(second(paid=D("81.00")), coverages=2)),
    "CB-03": (of(second(), coverages=2), of(second(decisions=(), paid=D("150.00")), coverages=2)),
    "CB-04": (
        of(second(), coverages=2),
        of(
            replace(second(), lines=(replace(LINE, adjudications=(*decided(), *decided(payer_id="60055"))),)),
            coverages=2,
        ),
    ),
    "CB-05": (
        of(second(), coverages=2),
        of(
            second(
                decisions=decided(adjustments=(Adjustment("CO", "999", D("45.00")), Adjustment("PR", "1", D("25.00"))))
            ),
            coverages=2,
        ),
    ),
    "CB-06": (
        of(second(remaining=D("25.00")), coverages=2),
        of(second(remaining=D("25.00"), decisions=decided(remaining=D("25.00"))), coverages=2),
    ),
    "CB-07": (
        of(second(), coverages=2),
        of(replace(second(), subscriber=replace(SAMPLE.subscriber, sequence="T")), coverages=2),
    ),
    "CB-08": (of(second(), coverages=2), of(second(), coverages=2, history=History(crossed_over=frozenset({"60054"})))),
    "CB-09": (
        of(second(), coverages=2),
        of(
            second(
                decisions=decided(adjustments=(Adjustment("CO", "16", D("45.00")), Adjustment("PR", "1", D("25.00"))))
            ),
            coverages=2,
        ),
    ),
    "IN-01": (stay(), stay(facility_type="18")),
    "IN-02": (outpatient(), outpatient({"lines": (line(code="", revenue_code="0450", pointers=()),)})),
    "IN-03": (stay(), stay({"frequency": "3"}, discharge_time="")),
    "IN-04": (stay(), stay({"frequency": "3"}, patient_status="30", values=(ValueCode("80", D(3)),))),
    "IN-05": (stay(), outpatient(visit_reasons=())),
    "IN-06": (stay({"diagnoses": ("E119", "Z0000")}, present=("Y",)), stay(present=("Y",))),
    "IN-07": (stay(), stay({"condition_codes": ("17", "17")})),
    "IN-08": (stay(), stay(values=(ValueCode("80", D(2)), ValueCode("81", D(1))))),
    "IN-09": (
        stay(procedures=(Procedure("0DTJ4ZZ", SERVICE_DATE),), operating=ATTENDING),
        stay(procedures=(Procedure("0DTJ4ZZ", SERVICE_DATE - 9 * DAY),), operating=ATTENDING),
    ),
    "IN-10": (stay(), stay(attending=None)),
    "IN-11": (
        outpatient(),
        (outpatient()[0], replace(outpatient()[1], history=History(stays=(SERVICE_DATE + 2 * DAY,)))),
    ),
}
