"""Claims of every shape, made from a seed: what is optional is there in one claim and absent in the next."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TypeVar
from zoneinfo import ZoneInfo

from hub.formats.x12.claim import (
    Address,
    Adjustment,
    Ambulance,
    Answer,
    Attachment,
    BillingProvider,
    Circumstances,
    Claim,
    ClaimBatch,
    ClaimLine,
    Diagnosis,
    Drug,
    Facility,
    Form,
    Institutional,
    LineAdjudication,
    Measurement,
    Occurrence,
    Organisation,
    OtherPayer,
    Party,
    Patient,
    Payer,
    PayToPlan,
    Person,
    Procedure,
    Provider,
    Purchase,
    Receiver,
    SecondaryId,
    Submitter,
    Subscriber,
    ValueCode,
)
from hub.formats.x12.writer import Envelope

T = TypeVar("T")
ENVELOPE = Envelope(
    "ALDERST01", "CLEARWAY01", datetime(2026, 11, 23, 8, 15, tzinfo=ZoneInfo("America/Chicago")), 101, 101, "T"
)
SUBMITTER = Submitter("ALDER STREET FAMILY CLINIC", "ALDERST01", "BILLING DESK", "2175550142", "BILLING@ALDER.EXAMPLE")
RECEIVER = Receiver("CLEARWAY", "CLEARWAY01")
FIRST_DAY = date(2026, 9, 1)
NPIS = ("1999000015", "1999000114", "1999000221", "1999000338", "1999000445")
DIAGNOSES = (
    "E119",
    "I10",
    "Z0000",
    "S82101A",
    "M545",
    "R079",
    "J069",
    "F329",
    "N179",
    "K219",
    "L0390",
    "G4733",
    "D649",
)
CAUSES = ((), ("AA",), ("EM",), ("OA", "EM"))


def batch(*claims: Claim, reference: str = "B20261123001") -> ClaimBatch:
    return ClaimBatch(SUBMITTER, RECEIVER, reference, claims)


class Maker:
    """Draws values from one random source."""

    def __init__(self, seed: str) -> None:
        self.rng = random.Random(seed)

    def some(self, make: Callable[[], T], share: float = 0.4) -> T | None:
        return make() if self.rng.random() < share else None

    def often(self, make: Callable[[], str], share: float = 0.4) -> str:
        return make() if self.rng.random() < share else ""

    def several(self, make: Callable[[], T], most: int) -> tuple[T, ...]:
        return tuple(dict.fromkeys(make() for _ in range(self.rng.choice([0, 0, 1, most]))))

    def one_of(self, *choices: T) -> T:
        return self.rng.choice(choices)

    def flag(self) -> bool:
        return self.rng.random() < 0.3

    def word(self, most: int = 12) -> str:
        return "".join(self.rng.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=self.rng.randint(2, most)))

    def phrase(self) -> str:
        return f"{self.word()} {self.word()}"

    def code(self, least: int = 4, most: int = 15) -> str:
        return "".join(self.rng.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", k=self.rng.randint(least, most)))

    def digits(self, count: int) -> str:
        return "".join(self.rng.choices("0123456789", k=count))

    def amount(self) -> Decimal:
        return Decimal(self.rng.randint(1, 9_999_999)).scaleb(-2)

    def day(self, first: date = FIRST_DAY, span: int = 60) -> date:
        return first + timedelta(days=self.rng.randint(0, span))

    def npi(self) -> str:
        return self.one_of(*NPIS)

    # --- people and places

    def address(self) -> Address:
        states = ("IL", "WI", "MO")
        zips = ("627014410", "62702", "537031234")
        return Address(self.phrase(), self.word(), self.one_of(*states), self.one_of(*zips), self.often(self.word))

    def person(self) -> Person:
        return Person(self.word(), self.word(), self.often(lambda: "Q"), self.often(lambda: "JR", 0.2))

    def party(self) -> Party:
        return self.person() if self.flag() else Organisation(self.phrase())

    def ids(self, *kinds: str) -> tuple[SecondaryId, ...]:
        return tuple(SecondaryId(kind, self.code()) for kind in kinds if self.rng.random() < 0.2)

    def clinician(self, taxonomy: bool = False, address: bool = False, location: bool = False) -> Provider:
        return Provider(
            self.person(),
            self.npi(),
            self.often(lambda: "207Q00000X") if taxonomy else "",
            self.ids("0B", "1G", "G2", *(["LU"] if location else [])),
            self.some(self.address) if address else None,
        )

    def facility(self, *others: str) -> Facility:
        return Facility(self.phrase(), self.address(), self.often(self.npi), self.ids(*others, "G2", "LU"))

    def billing_provider(self, organisation: bool) -> BillingProvider:
        return BillingProvider(
            party=Organisation(self.phrase()) if organisation else self.party(),
            npi=self.npi(),
            tax_id=self.digits(9),
            address=replace(self.address(), postal_code="627014410"),
            taxonomy=self.often(lambda: "207Q00000X"),
            tax_id_kind="EI" if organisation else self.one_of("EI", "SY"),
            pay_to=self.some(self.address),
            pay_to_plan=self.some(lambda: PayToPlan(self.phrase(), self.code(), self.digits(9), self.address()), 0.2),
            secondary_ids=() if organisation else self.ids("0B", "1G"),
        )

    def payer(self, professional: bool) -> Payer:
        return Payer(
            self.phrase(),
            self.code(),
            self.one_of("CI", "MC", "MB", "BL", "12"),
            self.some(self.address, 0.3),
            self.ids("2U", "EI", "FY", "NF")[:3],
            self.ids(*(("G2", "LU") if professional else (self.one_of("G2", "LU"),))),
        )

    def circumstances(self) -> Circumstances:
        return Circumstances(self.some(self.day, 0.3), self.some(lambda: Decimal(151), 0.3), self.flag())

    def subscriber(self, professional: bool, sequence: str = "P") -> Subscriber:
        return Subscriber(
            person=self.person() if self.rng.random() < 0.9 else Organisation(self.phrase()),
            member_id=self.code(),
            address=self.address(),
            birth_date=self.day(date(1930, 1, 1), 30_000),
            sex=self.one_of("F", "M", "U"),
            group_number=self.often(self.code),
            group_name=self.often(self.word, 0.2),
            sequence=sequence,
            insurance_type=self.often(lambda: "12", 0.2) if professional else "",
            property_claim_number=self.often(self.code, 0.2),
            circumstances=self.circumstances() if professional else Circumstances(),
        )

    def patient(self, professional: bool) -> Patient:
        return Patient(
            person=self.person(),
            address=self.address(),
            birth_date=self.day(date(1930, 1, 1), 30_000),
            sex=self.one_of("F", "M", "U"),
            relationship=self.one_of("01", "19", "20", "21", "53", "G8"),
            property_claim_number=self.often(self.code, 0.2),
            circumstances=self.circumstances() if professional else Circumstances(),
        )

    # --- other payers

    def adjustments(self) -> tuple[Adjustment, ...]:
        reasons = sorted(
            {
                (self.one_of("CO", "OA", "PR"), self.one_of("1", "2", "45", "97", "253"))
                for _ in range(self.one_of(0, 2, 9))
            }
        )
        return tuple(Adjustment(*each, self.amount(), self.some(lambda: Decimal(2), 0.2)) for each in reasons)

    def other_payer(self, payer_id: str, professional: bool, sequence: str) -> OtherPayer:
        subscriber = self.subscriber(professional, sequence)
        payer = self.payer(professional)
        remarks = self.several(lambda: self.one_of("MA01", "N130", "MA18", "N381", "M15", "N19"), 5)
        return OtherPayer(
            payer=replace(payer, id=payer_id, secondary_ids=(), provider_ids=()),
            subscriber=replace(
                subscriber, birth_date=None, sex="", property_claim_number="", circumstances=Circumstances()
            ),
            relationship=self.one_of("18", "01", "19"),
            paid=self.some(self.amount, 0.8),
            remaining=self.some(self.amount),
            adjustments=self.adjustments(),
            claim_control_number=self.often(self.code),
            benefits_assignment=self.one_of("Y", "N"),
            release=self.one_of("Y", "I"),
            not_covered=self.some(self.amount, 0.2),
            decided=self.some(self.day, 0.3),
            remark_codes=remarks,
            inpatient=bool(remarks) and not professional and self.flag(),
            prior_authorisation=self.often(self.code, 0.2),
            referral_number=self.often(self.code, 0.2),
            secondary_ids=self.ids("2U", "EI", "FY", "NF")[:2],
        )

    def decision(self, payer_id: str, revenue_code: str) -> LineAdjudication:
        return LineAdjudication(
            payer_id=payer_id,
            paid=self.amount(),
            code="99213",
            units=Decimal(self.rng.randint(1, 5)),
            decided=self.day(),
            modifiers=self.several(lambda: self.one_of("25", "59", "LT"), 3),
            adjustments=self.adjustments(),
            remaining=self.some(self.amount),
            revenue_code=revenue_code,
            bundled_into=self.some(lambda: 1, 0.2) or 0,
        )

    # --- lines

    def drug(self) -> Drug:
        quantity, unit = self.one_of((Decimal("1.5"), "ML"), (Decimal(10), "UN"), (Decimal(2), "GR"))
        made = Drug(self.digits(11), quantity, unit)
        return self.one_of(made, replace(made, prescription=self.code()), replace(made, link=self.code()))

    def attachments(self) -> tuple[Attachment, ...]:
        return self.several(
            lambda: self.one_of(
                Attachment("OB", "AA"), Attachment("B4", "EL", self.code()), Attachment("03", "FX", self.code())
            ),
            3,
        )

    def ambulance(self) -> Ambulance:
        return Ambulance(
            reason=self.one_of("A", "B", "C", "D", "E"),
            miles=Decimal(self.rng.randint(1, 90)),
            weight=self.some(lambda: Decimal(180)),
            round_trip=self.often(self.phrase, 0.3),
            stretcher=self.often(self.phrase, 0.3),
            conditions=self.several(lambda: self.one_of("01", "04", "06", "12"), 3),
            pick_up=self.address(),
            drop_off=self.address(),
            drop_off_name=self.often(self.word),
        )

    def answers(self) -> tuple[Answer, ...]:
        return (
            Answer("1A", choice="Y"),
            Answer("2", text=self.word()),
            Answer("3", on=self.day()),
            Answer("4", percent=Decimal("12.5")),
        )

    def line(self, control_number: str, payer_ids: tuple[str, ...]) -> ClaimLine:
        first = self.day()
        return ClaimLine(
            control_number=control_number,
            code=self.one_of("99213", "83036", "J1100", "00400", "G0439"),
            charge=self.amount(),
            units=self.one_of(Decimal(1), Decimal(45), Decimal("2.5")),
            service_date=first,
            pointers=(1,),
            modifiers=self.several(lambda: self.one_of("25", "59", "LT", "95", "QW"), 4),
            service_to=self.some(lambda: self.day(first + timedelta(days=1), 5), 0.3),
            description=self.often(self.phrase, 0.3),
            drug=self.some(self.drug),
            attachments=self.attachments(),
            third_party_note=self.often(self.phrase, 0.2),
            rendering=self.some(lambda: self.clinician(location=True)),
            referring=self.some(self.clinician, 0.2),
            adjudications=tuple(self.decision(each, "") for each in payer_ids),
        )

    def professional_line(self, control_number: str, diagnoses: int, payer_ids: tuple[str, ...]) -> ClaimLine:
        pointers = self.rng.sample(range(1, diagnoses + 1), min(diagnoses, self.rng.randint(1, 4)))
        note = self.often(self.phrase, 0.3)
        return replace(
            self.line(control_number, payer_ids),
            pointers=tuple(pointers),
            unit_code=self.one_of("UN", "UN", "MJ"),
            place_of_service=self.often(lambda: "12", 0.2),
            emergency=self.flag(),
            note=note,
            note_kind="DCP" if note and self.flag() else "ADD",
            rendering=self.some(
                lambda: replace(
                    self.clinician(location=True), party=self.party(), taxonomy=self.often(lambda: "207Q00000X")
                )
            ),
            epsdt=self.flag(),
            family_planning=self.flag(),
            copay_exempt=self.flag(),
            ambulance=self.some(self.ambulance, 0.15),
            prescription_date=self.some(self.day, 0.2),
            last_seen_date=self.some(self.day, 0.2),
            haemoglobin_date=self.some(self.day, 0.2),
            creatinine_date=self.some(self.day, 0.2),
            shipped_date=self.some(self.day, 0.2),
            xray_date=self.some(self.day, 0.2),
            initial_treatment_date=self.some(self.day, 0.2),
            ambulance_patients=self.some(lambda: Decimal(2), 0.1),
            obstetric_units=self.some(lambda: Decimal(3), 0.1),
            measurements=self.several(lambda: Measurement("TR", self.one_of("R1", "R2"), Decimal("11.3")), 2),
            prior_authorisation=self.often(self.code, 0.2),
            referral_number=self.often(self.code, 0.2),
            mammography_certification=self.often(self.code, 0.1),
            clia=self.often(lambda: "14D0000001", 0.2),
            referring_clia=self.often(lambda: "14D0000002", 0.2),
            immunisation_batch=self.often(self.code, 0.2),
            sales_tax=self.some(self.amount, 0.2),
            postage=self.some(self.amount, 0.2),
            purchase=self.some(lambda: Purchase(self.npi(), self.amount(), self.often(self.npi), self.flag()), 0.15),
            facility=self.some(self.facility, 0.2),
            supervising=self.some(lambda: self.clinician(location=True), 0.2),
            ordering=self.some(lambda: self.clinician(address=True), 0.3),
            forms=self.several(lambda: Form("UT", self.one_of("01.02", "04.03C"), self.answers()), 2),
        )

    def institutional_line(self, control_number: str, payer_ids: tuple[str, ...]) -> ClaimLine:
        revenue_code = self.one_of("0450", "0730", "0250", "0300", "0120")
        line = self.line(control_number, payer_ids)
        with_code = self.rng.random() < 0.8
        return replace(
            line,
            pointers=(),
            revenue_code=revenue_code,
            code=line.code if with_code else "",
            modifiers=line.modifiers if with_code else (),
            description=line.description if with_code else "",
            unit_code=self.one_of("UN", "DA"),
            not_covered=self.some(self.amount, 0.3),
            service_tax=self.some(self.amount, 0.2),
            facility_tax=self.some(self.amount, 0.2),
            operating=self.some(lambda: self.clinician(location=True), 0.2),
            other_operating=self.some(lambda: self.clinician(location=True), 0.2),
            adjudications=tuple(self.decision(each, revenue_code) for each in payer_ids),
        )

    # --- claims

    def claim(self, number: int, professional: bool) -> Claim:
        """What claims of both forms have."""
        payer_ids = self.one_of((), (), ("OTHER1",), ("OTHER1", "OTHER2"))
        frequency = self.one_of("1", "1", "7", "8")
        return Claim(
            control_number=f"PCN{number:05d}X",
            billing_provider=self.billing_provider(organisation=not professional),
            subscriber=self.subscriber(professional, "PST"[len(payer_ids)]),
            payer=self.payer(professional),
            place_of_service="",
            diagnoses=tuple(self.rng.sample(DIAGNOSES, self.rng.randint(1, 12))),
            lines=(),
            patient=self.some(lambda: self.patient(professional)),
            frequency=frequency,
            assignment=self.one_of("A", "B", "C"),
            benefits_assignment=self.one_of("Y", "N", "W"),
            release=self.one_of("Y", "I"),
            admission_date=self.some(self.day, 0.4),
            delay_reason=self.often(lambda: "7", 0.2),
            referral_number=self.often(self.code, 0.3),
            prior_authorisation=self.often(self.code, 0.3),
            payer_claim_control_number=self.code() if frequency != "1" else "",
            medical_record_number=self.often(self.code),
            note=self.often(self.phrase, 0.3),
            referring=self.some(self.clinician, 0.3),
            facility=self.some(lambda: self.facility("0B"), 0.3),
            other_payers=tuple(
                self.other_payer(each, professional, "PST"[place]) for place, each in enumerate(payer_ids)
            ),
            attachments=self.attachments(),
            authorisation_exception=self.often(lambda: "1", 0.2),
            investigational_device=self.often(self.code, 0.2),
            intermediary_trace=self.often(self.code, 0.2),
            demonstration=self.often(self.code, 0.2),
            fixed_information=self.several(self.phrase, 2),
            epsdt_referral=self.one_of((), (), ("NU",), ("AV", "S2")),
            condition_codes=self.several(lambda: self.one_of("01", "17", "W2"), 2),
        )

    def professional(self, number: int) -> Claim:
        """A claim on an 837P."""
        made = self.claim(number, True)
        causes = self.one_of(*CAUSES)
        payer_ids = tuple(other.payer.id for other in made.other_payers)
        lines = tuple(
            self.professional_line(f"{made.control_number}L{place}", len(made.diagnoses), payer_ids)
            for place in range(self.rng.randint(1, 3))
        )
        return replace(
            made,
            lines=lines,
            place_of_service=self.one_of("11", "10", "20", "22"),
            signature=not self.flag(),
            related_causes=causes,
            accident_state="IL" if "AA" in causes else "",
            accident_country="US" if "AA" in causes and self.flag() else "",
            accident_date=self.day() if causes else None,
            onset_date=self.some(self.day, 0.2),
            patient_paid=self.some(self.amount, 0.3),
            clia=self.often(lambda: "14D0000001", 0.2),
            rendering=self.some(lambda: replace(self.clinician(taxonomy=True, location=True), party=self.party())),
            supervising=self.some(lambda: self.clinician(location=True), 0.2),
            signature_source=self.often(lambda: "P", 0.2),
            special_program=self.often(lambda: "03", 0.2),
            initial_treatment_date=self.some(self.day, 0.2),
            last_seen_date=self.some(self.day, 0.2),
            acute_date=self.some(self.day, 0.2),
            menstrual_date=self.some(self.day, 0.2),
            xray_date=self.some(self.day, 0.2),
            prescription_date=self.some(self.day, 0.2),
            disability_from=self.some(self.day, 0.3),
            disability_to=self.some(lambda: self.day(FIRST_DAY + timedelta(days=70)), 0.3),
            last_worked_date=self.some(self.day, 0.2),
            return_date=self.some(self.day, 0.2),
            discharge_date=self.some(self.day, 0.2),
            care_assumed_date=self.some(self.day, 0.2),
            care_relinquished_date=self.some(self.day, 0.2),
            first_contact_date=self.some(self.day, 0.2),
            medicare_4081=self.often(lambda: "Y", 0.2),
            mammography_certification=self.often(self.code, 0.2),
            care_plan_oversight=self.often(self.npi, 0.2),
            note_kind="CER" if made.note and self.flag() else "ADD",
            ambulance=self.some(self.ambulance, 0.2),
            homebound=self.flag(),
            anaesthesia_procedures=self.several(lambda: self.one_of("00400", "01996"), 2),
            primary_care=self.some(self.clinician, 0.2) if made.referring else None,
        )

    def institutional(self, number: int) -> Claim:
        """A claim on an 837I."""
        made = self.claim(number, False)
        payer_ids = tuple(other.payer.id for other in made.other_payers)
        frequency = made.frequency if made.frequency != "1" else self.one_of("1", "2", "3", "4")
        first = self.day()
        present = [self.one_of("Y", "N", "U", "W", "") for _ in made.diagnoses] if self.flag() else []
        while present and not present[-1]:
            present.pop()
        last = FIRST_DAY + timedelta(days=70)
        span_codes = self.several(lambda: self.one_of("70", "74", "M0"), 2)
        codes = self.several(lambda: self.one_of("11", "A1", "05"), 2)
        spans = tuple(Occurrence(code, self.day(), self.day(last)) for code in span_codes)
        days = tuple(Occurrence(code, self.day()) for code in codes)
        causes = self.several(lambda: self.one_of("W010XXA", "Y92009"), 2)
        return replace(
            made,
            frequency=frequency,
            lines=tuple(
                self.institutional_line(f"{made.control_number}L{place}", payer_ids)
                for place in range(self.rng.randint(1, 4))
            ),
            accident_state=self.often(lambda: "IL", 0.2),
            note_kind=self.one_of("ADD", "DCP", "MED") if made.note else "ADD",
            rendering=self.some(lambda: self.clinician(location=True), 0.3),
            institutional=Institutional(
                facility_type=self.one_of("13", "11", "85", "22"),
                statement_from=first,
                statement_to=self.day(first, 9),
                patient_status=self.one_of("01", "30", "03"),
                admission_type=self.one_of("1", "3"),
                admission_source=self.one_of("1", "7"),
                admission_time=self.one_of("", "0915", "2359") if made.admission_date else "",
                discharge_time=self.often(lambda: "1430", 0.3),
                present=tuple(present),
                admitting_diagnosis=self.often(lambda: "R079"),
                visit_reasons=self.several(lambda: self.one_of("R079", "R51", "M545"), 3),
                external_causes=tuple(Diagnosis(code, self.one_of("", "Y")) for code in causes),
                drg=self.often(lambda: "470", 0.3),
                procedures=self.several(lambda: Procedure(self.one_of("0SR90JZ", "0DTJ4ZZ", "5A1221Z"), self.day()), 3),
                occurrences=(*spans, *days),
                values=self.several(lambda: ValueCode(self.one_of("80", "A1", "01"), self.amount()), 3),
                treatment_codes=self.several(lambda: self.one_of("A01", "A12"), 2),
                patient_due=self.some(self.amount, 0.2),
                attending=self.some(lambda: self.clinician(taxonomy=True, location=True), 0.9),
                operating=self.some(lambda: self.clinician(location=True), 0.3),
                other_operating=self.some(lambda: self.clinician(location=True), 0.2),
            ),
        )


def professional_claims(seed: str, count: int) -> list[Claim]:
    """So many professional claims; some share a provider, a subscriber or a patient with the one before."""
    return _related(Maker(seed), [Maker(f"{seed}/{number}").professional(number) for number in range(count)])


def institutional_claims(seed: str, count: int) -> list[Claim]:
    """So many institutional claims, related as professional ones are."""
    return _related(Maker(seed), [Maker(f"{seed}/{number}").institutional(number) for number in range(count)])


def _related(maker: Maker, claims: list[Claim]) -> list[Claim]:
    for number in range(1, len(claims)):
        before = claims[number - 1]
        sharing = maker.one_of("", "provider", "subscriber", "patient")
        if sharing:
            claims[number] = replace(claims[number], billing_provider=before.billing_provider)
        if sharing in {"subscriber", "patient"}:
            claims[number] = replace(claims[number], subscriber=before.subscriber, payer=before.payer)
        if sharing == "patient":
            claims[number] = replace(claims[number], patient=before.patient)
    return claims
