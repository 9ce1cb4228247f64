"""What charges, coverages and the site's files say, as it stands on the 837 that leaves."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from hub.billing.config import Department, Facility, PayToPlan, PostalAddress, Provider, SoleProprietor
from hub.billing.ndc import eleven_digits
from hub.billing.values import (
    Accident,
    Address,
    AmountCode,
    Attachment,
    Clinician,
    DatedCode,
    Drug,
    IllnessDates,
    PatientPayment,
    Stay,
    Transport,
)
from hub.formats.x12.claim import Claim, Occurrence, Person, Procedure, SecondaryId, ValueCode
from hub.formats.x12.institutional import read_837i
from hub.formats.x12.professional import read_837p
from hub.store import tables
from tests.billing.conftest import World

ANNEX = PostalAddress(line="9 BIRCH LANE", city="SPRINGFIELD", state="IL", postal_code="627011234")


def set_practice(world: World, **values: Any) -> None:
    practice = world.config.practice
    departments = (
        *practice.departments,
        Department(code="ANX", title="Annex", place_of_service="22", facility="annex"),
        Department(
            code="ED",
            title="Emergency",
            place_of_service="23",
            bills="both",
            admission_type="1",
            admission_source="1",
            patient_status="01",
        ),
        Department(code="WARD", title="Ward", place_of_service="21", bills="837I", type_of_bill="11"),
    )
    facilities = (Facility(code="annex", name="Annex", address=ANNEX, npi="1999000239", clia="14D0000002"),)
    changes = {"departments": departments, "facilities": facilities, **values}
    world.config = replace(world.config, practice=practice.model_copy(update=changes))


def sent(world: World) -> list[Claim]:
    world.bill_and_batch()
    found: list[Claim] = []
    for emit in world.emitted:
        if emit.kind in {"837P", "837I"}:
            found += (read_837p if emit.kind == "837P" else read_837i)(emit.body)
    return found


def test_what_a_charge_says_stands_on_its_line(world: World) -> None:
    set_practice(world, clia="14D0000001")
    world.decide_values([world.visit()])
    charges = [
        world.charge(
            "T1",
            code="J1100",
            drug=Drug(ndc="63323-0165-01", quantity=Decimal("1.5"), unit="ML"),
            description="dexamethasone",
            note="from stock",
            emergency=True,
            prior_authorisation="PA-77",
            ordering_npi="1999000221",
        ),
        world.charge("T2", code="00400", modifiers=("AA",), minutes=Decimal(45)),
        world.charge("T3", code="83036", service_to=world.clock.today() + timedelta(days=0)),
    ]
    world.decide_values(charges)
    (claim,) = sent(world)
    drug, anaesthesia, laboratory = claim.lines
    assert drug.drug
    assert (drug.drug.ndc, drug.drug.quantity, drug.drug.unit) == ("63323016501", Decimal("1.5"), "ML")
    assert (drug.description, drug.note, drug.emergency) == ("DEXAMETHASONE", "FROM STOCK", True)
    assert drug.prior_authorisation == "PA-77"
    assert drug.ordering
    assert drug.ordering.party == Person("LINDQVIST", "TESS")
    assert (anaesthesia.unit_code, anaesthesia.units) == ("MJ", Decimal(45))
    assert (claim.clia, laboratory.service_to) == ("14D0000001", None)


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("0409-3795-01", "00409379501"),
        ("63323-165-01", "63323016501"),
        ("63323-0165-1", "63323016501"),
        ("63323016501", "63323016501"),
        ("6332316501", "6332316501"),
    ],
)
def test_an_ndc_has_its_short_segment_filled(written: str, sent: str) -> None:
    assert eleven_digits(written) == sent


def test_a_payer_may_want_the_patients_home_as_a_place_of_service(world: World) -> None:
    home = Department(code="HOM", title="Home", place_of_service="12", facility="annex")
    set_practice(world)
    practice = world.config.practice
    departments = (*practice.departments, home)
    world.config = replace(world.config, practice=practice.model_copy(update={"departments": departments}))
    world.decide_values([world.visit("A1", department="HOM"), world.charge("T1", "A1", department="HOM")])
    payer = world.config.payers["90001"].model_copy(update={"facility_at_home": True})
    assert [claim.facility is None for claim in sent(world)] == [True]
    world.config = replace(world.config, payers={**world.config.payers, "90001": payer})
    world.decide_values([world.visit("A2", department="HOM"), world.charge("T2", "A2", department="HOM", code="99214")])
    assert [claim.facility is None for claim in sent(world)[-1:]] == [False]


def test_a_sole_proprietor_bills_as_a_person_and_is_named_twice_where_the_payer_wants_it(world: World) -> None:
    me = Provider(npi="1999000015", taxonomy="207Q00000X", family="OKAFOR", given="MARIN")
    owner = SoleProprietor(family="Okafor", given="Marin")
    set_practice(world, sole_proprietor=owner, tax_id_kind="SY", providers=(me, *world.config.practice.providers))
    payer = world.config.payers["90001"].model_copy(update={"rendering": "when different"})
    for account, named in (("A1", True), ("A2", False)):
        world.decide_values([world.visit(account), world.charge(f"T{account}", account, performing_npi="1999000015")])
        claim = sent(world)[-1]
        assert claim.billing_provider.party == Person("OKAFOR", "MARIN")
        assert claim.billing_provider.tax_id_kind == "SY"
        assert (claim.rendering is not None) == named
        world.config = replace(world.config, payers={**world.config.payers, "90001": payer})
        world.advance(days=1)


def test_the_days_of_an_illness_and_what_a_line_is_exempt_of_stand_on_the_claim(world: World) -> None:
    day = world.clock.today() - timedelta(days=9)
    dates = IllnessDates(initial_treatment=day, acute=day, menstrual=day, xray=day, disability_from=day, returned=day)
    world.decide_values(
        [
            world.visit(dates=dates, pregnant=True, special_program="02"),
            world.charge(epsdt=True, family_planning=True, copay_exempt=True),
        ]
    )
    (claim,) = sent(world)
    assert {claim.initial_treatment_date, claim.acute_date, claim.menstrual_date, claim.xray_date} == {day}
    assert (claim.disability_from, claim.return_date, claim.special_program) == (day, day, "02")
    assert claim.subscriber.circumstances.pregnant
    assert (claim.lines[0].epsdt, claim.lines[0].family_planning, claim.lines[0].copay_exempt) == (True, True, True)


def test_what_a_visit_says_stands_on_the_claim(world: World) -> None:
    today = world.clock.today()
    visit = world.visit(
        referring_npi="1999000338",
        supervising_npi="1999000221",
        clinicians=(Clinician(npi="1999000338", family="Duarte", given="Ivo"),),
        accident=Accident(cause="auto", on=today - timedelta(days=3), state="IL"),
        onset=today - timedelta(days=3),
        prior_authorisation="PA-1",
        referral_number="RF-2",
        attachments=(Attachment(kind="OB", way="FX", control_number="ACN1"),),
        coverages=(world.coverage(group_name="Works", claim_number="CAS-5", assigned="N", released="I"),),
    )
    world.decide_values([visit])
    world.decide_values([world.charge()])
    (claim,) = sent(world)
    assert claim.referring
    assert claim.referring.party == Person("DUARTE", "IVO")
    assert claim.supervising
    assert claim.supervising.npi == "1999000221"
    assert (claim.related_causes, claim.accident_state) == (("AA",), "IL")
    assert claim.accident_date == claim.onset_date == today - timedelta(days=3)
    assert (claim.prior_authorisation, claim.referral_number) == ("PA-1", "RF-2")
    assert [(each.kind, each.way, each.control_number) for each in claim.attachments] == [("OB", "FX", "ACN1")]
    assert (claim.subscriber.group_name, claim.subscriber.property_claim_number) == ("WORKS", "CAS-5")
    assert (claim.assignment, claim.benefits_assignment, claim.release) == ("A", "N", "I")


def test_what_the_site_says_stands_on_the_claim(world: World) -> None:
    lockbox = PostalAddress(line="BOX 9", city="SPRINGFIELD", state="IL", postal_code="627050001")
    outside = Provider(npi="1999000445", taxonomy="208000000X", family="HALVORSEN", given="PIA")
    plan = PayToPlan(name="Plan", id="P9", tax_id="371990009", address=lockbox)
    set_practice(world, pay_to=lockbox, pay_to_plan=plan, outside_providers=(outside,))
    payer = world.config.payers["90001"].model_copy(
        update={"address": ANNEX, "provider_id": "LEGACY1", "accepts_assignment": "C"}
    )
    world.config.payers["90001"] = payer
    world.decide_values([world.visit(referring_npi="1999000445")])
    world.decide_values([world.charge(department="ANX"), world.charge("T2", code="99212")])
    annex, own = sorted(sent(world), key=lambda claim: claim.place_of_service, reverse=True)
    billing = annex.billing_provider
    assert billing.pay_to
    assert billing.pay_to.line1 == "BOX 9"
    assert billing.pay_to_plan
    assert billing.pay_to_plan.id == "P9"
    assert annex.facility
    assert (annex.facility.name, annex.facility.npi) == ("ANNEX", "1999000239")
    assert own.facility is None
    assert annex.payer.address
    assert annex.payer.provider_ids == (SecondaryId("G2", "LEGACY1"),)
    assert annex.assignment == "C"
    assert annex.referring
    assert annex.referring.party == Person("HALVORSEN", "PIA")


def test_a_payer_that_wants_more_numbers_than_the_npi_gets_them_where_the_guide_has_room(world: World) -> None:
    set_practice(world)
    practice = world.config.practice
    doctor = practice.providers[0].model_copy(update={"license": "036-11", "upin": "U9"})
    annex = practice.facilities[0].model_copy(update={"license": "H-77"})
    set_practice(world, license="P-1", providers=(doctor, *practice.providers[1:]), facilities=(annex,))
    world.config.payers["90001"] = world.config.payers["90001"].model_copy(
        update={
            "location_id": "LOC1",
            "secondary_id": "CM2",
            "naic": "12345",
            "wants_license": True,
            "wants_upin": True,
            "provider_numbers": {doctor.npi: "G2-1", annex.code: "G2-9"},
            "location_numbers": {annex.code: "LU-9"},
        }
    )
    world.decide_values([world.visit(referring_npi=doctor.npi), world.charge(department="ANX")])
    (claim,) = sent(world)
    assert claim.payer.secondary_ids == (SecondaryId("2U", "CM2"), SecondaryId("NF", "12345"))
    assert claim.payer.provider_ids == (SecondaryId("LU", "LOC1"),)
    assert claim.billing_provider.secondary_ids == (SecondaryId("0B", "P-1"),)
    assert claim.rendering
    of_doctor = (SecondaryId("0B", "036-11"), SecondaryId("1G", "U9"), SecondaryId("G2", "G2-1"))
    assert claim.rendering.secondary_ids == of_doctor
    assert claim.referring
    assert claim.referring.secondary_ids == of_doctor
    assert claim.facility
    assert claim.facility.secondary_ids == (
        SecondaryId("0B", "H-77"),
        SecondaryId("G2", "G2-9"),
        SecondaryId("LU", "LU-9"),
    )


def test_a_payer_that_says_nothing_gets_the_npi_alone(world: World) -> None:
    set_practice(world)
    doctor = world.config.practice.providers[0].model_copy(update={"license": "036-11"})
    set_practice(world, license="P-1", providers=(doctor, *world.config.practice.providers[1:]))
    world.decide_values([world.visit(), world.charge()])
    (claim,) = sent(world)
    assert claim.rendering
    assert claim.rendering.secondary_ids == claim.billing_provider.secondary_ids == claim.payer.secondary_ids == ()


def test_a_referring_provider_whose_name_nobody_knows_is_left_out(world: World) -> None:
    world.decide_values([world.visit(referring_npi="1999000445")])
    world.decide_values([world.charge()])
    (claim,) = sent(world)
    assert claim.referring is None


# What the patient paid, weighs, and where they were taken -------------------------------------------------------------


def paid(world: World, amount: str, transaction: str = "P1", **fields: Any) -> PatientPayment:
    return PatientPayment(
        transaction=transaction, account="A1", mrn="M1", authority="ALDER", amount=Decimal(amount), **fields
    )


def sent_now(world: World) -> list[Claim]:
    """Those claims only that leave now, the dearest first."""
    world.emitted.clear()
    return sorted(sent(world), key=lambda claim: -claim.charge)


def amounts(world: World) -> list[Decimal | None]:
    return [claim.patient_paid for claim in sent_now(world)]


def test_what_the_patient_paid_at_the_desk_stands_on_the_claim(world: World) -> None:
    world.decide_values([world.visit(), world.charge(), paid(world, "25.00"), paid(world, "5.50", "P2")])
    assert amounts(world) == [Decimal("30.50")]


def test_a_payment_may_come_before_its_visit_twice_and_be_given_back(world: World) -> None:
    world.decide_values([paid(world, "25.00"), paid(world, "25.00"), paid(world, "40.00", "P2")])
    world.decide_values([paid(world, "-40.00", "P3"), world.visit(), world.charge()])
    assert world.counts["duplicate payments of patients"] == 1
    assert amounts(world) == [Decimal("25.00")]


def test_the_sources_own_total_counts_before_single_payments(world: World) -> None:
    world.decide_values([world.visit(patient_paid=Decimal("60.00")), paid(world, "25.00"), world.charge()])
    assert amounts(world) == [Decimal("60.00")]


def test_it_is_parted_among_the_claims_of_the_visit_and_never_more_than_they_charge(world: World) -> None:
    other = world.charge("T2", code="99212", amount=Decimal("80.00"), performing_npi="1999000221")
    world.decide_values([world.visit(), world.charge(), other, paid(world, "200.00")])
    assert amounts(world) == [Decimal("150.00"), Decimal("50.00")]


def test_a_later_claim_of_the_visit_states_what_is_left(world: World) -> None:
    world.config = replace(world.config, policy=world.config.policy.model_copy(update={"late_charges": "new claim"}))
    world.decide_values([world.visit(), world.charge(), paid(world, "160.00")])
    assert amounts(world) == [Decimal("150.00")]
    world.decide_values([world.charge("T2", code="99212", amount=Decimal("80.00"))])
    assert amounts(world) == [Decimal("10.00")]


@pytest.mark.parametrize("payments", [(), ("0.00",), ("25.00", "-25.00")])
def test_where_nothing_is_paid_the_claim_says_nothing(world: World, payments: tuple[str, ...]) -> None:
    said = [paid(world, amount, f"P{number}") for number, amount in enumerate(payments)]
    world.decide_values([world.visit(), world.charge(), *said])
    assert amounts(world) == [None]


def test_a_visit_that_is_told_again_keeps_its_payments(world: World) -> None:
    world.decide_values([world.visit(), paid(world, "25.00")])
    world.advance(hours=1)
    world.decide_values([world.visit(), world.charge()])
    assert amounts(world) == [Decimal("25.00")]


def test_the_weight_stands_on_claims_for_the_drugs_that_want_it(world: World) -> None:
    world.decide_values([world.visit(weight=Decimal("180.5")), world.charge(code="J0885"), world.charge("T2", "A1")])
    (claim,) = sent(world)
    assert claim.subscriber.circumstances.weight == Decimal("180.5")
    world.decide_values([world.visit("A2", weight=Decimal("180.5")), world.charge("T3", "A2", code="99212")])
    assert [claim.subscriber.circumstances.weight for claim in sent_now(world)] == [None]


def test_a_transport_stands_on_the_claim_with_the_patients_weight(world: World) -> None:
    home = Address(line="42 Elm Avenue", city="Springfield", state="IL", postal_code="62702")
    transport = Transport(reason="A", miles=Decimal(12), conditions=("01",), pick_up=home, drop_off=home)
    world.decide_values([world.visit(weight=Decimal(180), transport=transport), world.charge(code="A0429")])
    (claim,) = sent(world)
    assert claim.ambulance
    assert (claim.ambulance.reason, claim.ambulance.miles, claim.ambulance.weight) == ("A", Decimal(12), Decimal(180))
    assert claim.ambulance.pick_up
    assert claim.ambulance.pick_up.line1 == "42 ELM AVENUE"


def test_a_referred_test_names_the_laboratory_that_referred_it(world: World) -> None:
    charge = world.charge(code="83036", modifiers=("90",), referring_clia="14D0000002")
    world.decide_values([world.visit(), charge])
    (claim,) = sent(world)
    assert claim.lines[0].referring_clia == "14D0000002"


# Hospitals --------------------------------------------------------------------------------------------------------


def test_an_outpatient_visit_leaves_as_one_837i_beside_its_837p(world: World) -> None:
    set_practice(world)
    world.decide_values([world.visit(attending_npi="1999000114", department="ED", stay=Stay(visit_reasons=("R0789",)))])
    facility = world.charge("F1", code="99284", amount=Decimal("900.00"), department="ED", revenue_code="450")
    trace = world.charge("F2", code="93005", amount=Decimal("300.00"), department="ED", revenue_code="0730")
    doctor = world.charge("P1", code="99284", modifiers=("26",), department="ED")
    world.decide_values([replace(facility, performing_npi=""), replace(trace, performing_npi=""), doctor])
    professional, institutional = sorted(sent(world), key=lambda claim: claim.form, reverse=True)
    assert [emit.kind for emit in world.emitted if emit.kind.startswith("837")] == ["837P", "837I"]
    assert [line.code for line in professional.lines] == ["99284"]
    assert [(line.revenue_code, line.code) for line in institutional.lines] == [("0450", "99284"), ("0730", "93005")]
    said = institutional.institutional
    assert said
    assert (said.facility_type, said.patient_status, said.admission_type) == ("13", "01", "1")
    assert (said.statement_from, said.statement_to) == (world.clock.today() - timedelta(days=1),) * 2
    assert said.attending
    assert said.attending.npi == "1999000114"
    assert institutional.admission_date is None
    assert {row["form"]: row["state"] for row in world.rows(tables.claim)} == {"837P": "sent", "837I": "sent"}
    world.check_ledger()


def test_a_stay_is_billed_as_a_whole_once_the_patient_has_left(world: World) -> None:
    set_practice(world)
    day = world.clock.today()
    stay = Stay(
        admitted=day,
        admission_time="0915",
        admission_type="3",
        admission_source="1",
        diagnoses=("K3580", "E119"),
        present=("Y", "Y"),
        admitting_diagnosis="R1031",
        operating_npi="1999000221",
    )
    arriving = world.visit(attending_npi="1999000114", department="WARD", patient_class="I", stay=stay)
    world.decide_values([arriving])
    pharmacy = world.charge("D1", code="", revenue_code="0250", department="WARD", performing_npi="")
    world.decide_values([pharmacy])
    for number in (1, 2):
        bed = world.charge(f"B{number}", code="", revenue_code="0120", department="WARD", performing_npi="")
        world.decide_values([replace(bed, service_date=day + timedelta(days=number - 1))])
    assert sent(world) == []
    left = replace(
        stay,
        discharged=day + timedelta(days=2),
        discharge_time="1430",
        patient_status="01",
        drg="343",
        procedures=(DatedCode(code="0DTJ4ZZ", on=day),),
        occurrences=(DatedCode(code="11", on=day), DatedCode(code="70", on=day, until=day + timedelta(days=1))),
        values=(AmountCode(code="80", amount=Decimal("2.00")),),
        conditions=("17",),
    )
    world.decide_values([replace(arriving, as_of=world.clock.now().isoformat(), stay=left)])
    (claim,) = sent(world)
    said = claim.institutional
    assert said
    assert [line.revenue_code for line in claim.lines] == ["0250", "0120", "0120"]
    assert (said.facility_type, claim.admission_date, said.admission_time) == ("11", day, "0915")
    assert (said.statement_from, said.statement_to, said.discharge_time) == (day, day + timedelta(days=2), "1430")
    assert (claim.diagnoses, said.present, said.admitting_diagnosis) == (("K3580", "E119"), ("Y", "Y"), "R1031")
    assert said.procedures == (Procedure("0DTJ4ZZ", day),)
    assert said.occurrences == (Occurrence("70", day, day + timedelta(days=1)), Occurrence("11", day))
    assert (said.values, claim.condition_codes, said.drg) == ((ValueCode("80", Decimal("2.00")),), ("17",), "343")
    assert said.operating
    assert said.operating.party == Person("LINDQVIST", "TESS")


def test_a_hospital_charge_without_revenue_code_waits_for_a_person(world: World) -> None:
    set_practice(world)
    stay = Stay(admitted=date(2026, 11, 10), discharged=date(2026, 11, 10), patient_status="01")
    world.decide_values([world.visit(attending_npi="1999000114", department="WARD", patient_class="I", stay=stay)])
    world.decide_values([world.charge(department="WARD")])
    assert sent(world) == []
    assert [item["queue"] for item in world.items()] == ["claim edits"]
