from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub.formats.x12.claim import (
    Address,
    Adjustment,
    BillingProvider,
    Claim,
    ClaimBatch,
    ClaimLine,
    Drug,
    Facility,
    LineAdjudication,
    Organisation,
    OtherPayer,
    Patient,
    Payer,
    Person,
    Provider,
    Receiver,
    Submitter,
    Subscriber,
)
from hub.formats.x12.envelope import read_interchanges
from hub.formats.x12.errors import BadRecordError, UnwritableError, WrongTransactionError, WrongValueError
from hub.formats.x12.judge import judge
from hub.formats.x12.professional import read_837p, write_837p
from hub.formats.x12.segments import Delimiters
from hub.formats.x12.writer import Envelope

ENVELOPE = Envelope(
    "ALDERST01", "CLEARWAY01", datetime(2026, 11, 23, 8, 15, tzinfo=ZoneInfo("America/Chicago")), 101, 101, "T"
)
SUBMITTER = Submitter("ALDER STREET FAMILY CLINIC", "ALDERST01", "BILLING DESK", "2175550142", "BILLING@ALDER.EXAMPLE")
RECEIVER = Receiver("CLEARWAY", "CLEARWAY01")

CLINIC = BillingProvider(
    Organisation("ALDER STREET FAMILY CLINIC"),
    "1999000015",
    "371990001",
    Address("214 ALDER STREET", "SPRINGFIELD", "IL", "627014410"),
    "207Q00000X",
)
OKAFOR = Provider(Person("OKAFOR", "MARIN"), "1999000114", "207Q00000X")
JUNIPER = Subscriber(
    Person("SAMPLEWOOD", "JUNIPER", "A"),
    "W123456789",
    Address("42 FICTION AVE", "SPRINGFIELD", "IL", "62702"),
    date(1980, 2, 14),
    "F",
    "GRP100",
)
CEDAR = Payer("CEDAR MUTUAL", "90001")
ORIGINAL = Claim(
    control_number="H7K2M9Q4A1",
    billing_provider=CLINIC,
    subscriber=JUNIPER,
    payer=CEDAR,
    place_of_service="11",
    diagnoses=("E119", "I10"),
    lines=(
        ClaimLine("H7K2M9Q4A1L01", "99213", Decimal(150), Decimal(1), date(2026, 11, 10), (1, 2), modifiers=("25",)),
        ClaimLine("H7K2M9Q4A1L02", "83036", Decimal(65), Decimal(1), date(2026, 11, 10), (1,)),
    ),
    medical_record_number="MRN0001",
    rendering=OKAFOR,
)


def batch(*claims: Claim, reference: str = "B20261123001") -> ClaimBatch:
    return ClaimBatch(SUBMITTER, RECEIVER, reference, claims)


# Generated claims -------------------------------------------------------------------------------------------------

word = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=2, max_size=12)
code = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=2, max_size=15)
names = st.builds(lambda a, b: f"{a} {b}", word, word)
npis = st.sampled_from(["1999000015", "1999000114", "1999000221", "1999000338", "1999000445"])
amounts = st.decimals(min_value=Decimal("0.01"), max_value=Decimal("99999.99"), places=2)
past = st.dates(date(2024, 1, 1), date(2026, 11, 20))
births = st.dates(date(1930, 1, 1), date(2023, 12, 31))
addresses = st.builds(
    Address,
    line1=names,
    city=word,
    state=st.sampled_from(["IL", "WI", "MO"]),
    postal_code=st.sampled_from(["627014410", "62702", "537031234"]),
    line2=st.just("") | word,
)
people = st.builds(Person, word, word, st.just("") | st.just("Q"), st.just("") | st.just("JR"))
persons_or_clinics = people | st.builds(Organisation, names)
renderers = st.builds(Provider, people, npis, st.sampled_from(["", "207Q00000X", "363LF0000X"]))
others = st.builds(Provider, people, npis)
pairs = st.tuples(st.sampled_from(["CO", "PR", "OA", "PI"]), st.sampled_from(["1", "2", "3", "45", "97"]))
reasons = (
    st.lists(pairs, unique=True, max_size=9)
    .map(sorted)
    .flatmap(lambda keys: st.tuples(*(st.builds(Adjustment, st.just(g), st.just(r), amounts) for g, r in keys)))
)
drugs = st.builds(
    Drug, st.from_regex(r"[0-9]{11}", fullmatch=True), st.sampled_from([Decimal("1.5"), Decimal(10)]), st.just("ML")
)
subscribers = st.builds(
    Subscriber,
    person=people,
    member_id=code,
    address=addresses,
    birth_date=births,
    sex=st.sampled_from("FMU"),
    group_number=st.just("") | code,
    group_name=st.just(""),
    sequence=st.just("P"),
)
patients = st.builds(
    Patient, people, addresses, births, st.sampled_from("FMU"), st.sampled_from(["01", "19", "20", "21", "53", "G8"])
)
payers = st.builds(Payer, names, code, st.sampled_from(["CI", "MC", "MB", "BL", "12"]))
billing_providers = st.builds(
    BillingProvider,
    party=persons_or_clinics,
    npi=npis,
    tax_id=st.just("371990001"),
    address=addresses,
    taxonomy=st.sampled_from(["", "207Q00000X"]),
    tax_id_kind=st.sampled_from(["EI", "SY"]),
    pay_to=st.none() | addresses,
)


@st.composite
def lines(draw, control_number: str, diagnoses: int, payer_ids: tuple[str, ...]) -> ClaimLine:
    first = draw(past)
    units = st.integers(1, 40).map(Decimal) | st.decimals("0.5", "99.5", places=1).filter(bool)
    procedure = st.sampled_from(["99213", "83036", "J1100", "00400", "G0439"])
    modifiers = st.lists(st.sampled_from(["25", "59", "LT", "95"]), unique=True, max_size=4).map(tuple)
    return ClaimLine(
        control_number=control_number,
        code=draw(procedure),
        charge=draw(amounts),
        units=draw(units),
        service_date=first,
        pointers=tuple(draw(st.lists(st.integers(1, diagnoses), unique=True, min_size=1, max_size=4))),
        modifiers=draw(modifiers),
        unit_code=draw(st.sampled_from(["UN", "MJ"])),
        service_to=draw(st.none() | st.dates(first, date(2026, 11, 21)).filter(lambda d: d != first)),
        place_of_service=draw(st.sampled_from(["", "12", "22"])),
        description=draw(st.just("") | names),
        emergency=draw(st.booleans()),
        drug=draw(st.none() | drugs),
        note=draw(st.just("") | names),
        rendering=draw(st.none() | renderers),
        adjudications=tuple(
            LineAdjudication(
                payer_id=payer_id,
                paid=draw(amounts),
                code=draw(procedure),
                units=draw(units),
                decided=draw(past),
                modifiers=draw(modifiers),
                adjustments=draw(reasons),
                remaining=draw(st.none() | amounts),
            )
            for payer_id in payer_ids
        ),
    )


@st.composite
def claims(draw, control_number: str = "H7K2M9Q4A1") -> Claim:
    diagnoses = tuple(
        draw(
            st.lists(
                st.sampled_from(["E119", "I10", "Z0000", "S82101A", "M545", "R079", "J069", "F329"]),
                unique=True,
                min_size=1,
                max_size=8,
            )
        )
    )
    has_other = draw(st.booleans())
    other = OtherPayer(
        payer=replace(draw(payers), id="OTHERPAYER"),
        subscriber=replace(draw(subscribers), birth_date=None, sex="", sequence="S"),
        relationship=draw(st.sampled_from(["18", "01", "19"])),
        paid=draw(st.none() | amounts),
        remaining=draw(st.none() | amounts),
        adjustments=draw(reasons),
        claim_control_number=draw(st.just("") | code),
    )
    causes = draw(st.sampled_from([(), ("AA",), ("EM",), ("OA", "EM")]))
    frequency = draw(st.sampled_from("178"))
    count = draw(st.integers(1, 3))
    payer_ids = ("OTHERPAYER",) if has_other else ()
    return Claim(
        control_number=control_number,
        billing_provider=draw(billing_providers),
        subscriber=draw(subscribers),
        payer=draw(payers),
        place_of_service=draw(st.sampled_from(["11", "10", "20", "22"])),
        diagnoses=diagnoses,
        lines=tuple(draw(lines(f"{control_number}L{n}", len(diagnoses), payer_ids)) for n in range(count)),
        patient=draw(st.none() | patients),
        frequency=frequency,
        signature=draw(st.booleans()),
        assignment=draw(st.sampled_from("ABC")),
        benefits_assignment=draw(st.sampled_from("YNW")),
        release=draw(st.sampled_from("YI")),
        related_causes=causes,
        accident_state="IL" if "AA" in causes else "",
        accident_date=draw(past) if causes else None,
        onset_date=draw(st.none() | past),
        admission_date=draw(st.none() | past),
        delay_reason=draw(st.sampled_from(["", "7"])),
        patient_paid=draw(st.none() | amounts),
        referral_number=draw(st.just("") | code),
        prior_authorisation=draw(st.just("") | code),
        payer_claim_control_number=draw(code) if frequency != "1" else "",
        clia=draw(st.sampled_from(["", "14D0000001"])),
        medical_record_number=draw(st.just("") | code),
        note=draw(st.just("") | names),
        referring=draw(st.none() | others),
        rendering=draw(st.none() | renderers),
        facility=draw(st.none() | st.builds(Facility, names, addresses, st.just("") | npis)),
        supervising=draw(st.none() | others),
        other_payers=(other,) if has_other else (),
    )


@st.composite
def claim_batches(draw, size: int) -> ClaimBatch:
    made = [draw(claims(f"PCN{n:03d}X")) for n in range(size)]
    for n in range(1, size):  # some share a provider, a subscriber, a patient: the hierarchy must gather them
        sharing = draw(st.sampled_from(["", "provider", "subscriber", "patient"]))
        before = made[n - 1]
        if sharing:
            made[n] = replace(made[n], billing_provider=before.billing_provider)
        if sharing in {"subscriber", "patient"}:
            made[n] = replace(made[n], subscriber=before.subscriber, payer=before.payer)
        if sharing == "patient":
            made[n] = replace(made[n], patient=before.patient)
    return batch(*made)


def by_control_number(found: list[Claim] | tuple[Claim, ...]) -> list[Claim]:
    return sorted(found, key=lambda c: c.control_number)


GENERATED = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@GENERATED
@given(claim_batches(3))
def test_written_claims_read_back_equal(made: ClaimBatch) -> None:
    assert by_control_number(read_837p(write_837p(ENVELOPE, made))) == list(made.claims)


@settings(GENERATED, max_examples=15)
@given(claim_batches(8))
def test_the_judge_accepts_every_generated_claim(made: ClaimBatch) -> None:
    verdict = judge(write_837p(ENVELOPE, made))
    assert verdict.findings == ()
    assert verdict.ok


@GENERATED
@given(claims())
def test_a_claim_survives_being_stored_as_json(claim: Claim) -> None:
    stored = json.dumps(claim.to_dict())
    assert Claim.from_dict(json.loads(stored)) == claim


# Particular claims ------------------------------------------------------------------------------------------------


def test_the_original_claim_is_written_as_the_sample_has_it(samples) -> None:
    assert write_837p(ENVELOPE, batch(ORIGINAL)).decode().replace("~", "~\n") == samples["837p_original"].decode()


def test_the_samples_read_as_claims_and_write_as_they_were(samples) -> None:
    (claim,) = read_837p(samples["837p_secondary"])
    assert claim.charge == Decimal(215)
    (other,) = claim.other_payers
    assert (other.payer.id, other.paid, other.claim_control_number) == ("90001", Decimal(120), "ICN2026110001")
    first, second = (line.adjudications[0] for line in claim.lines)
    assert first.adjustments == (Adjustment("CO", "45", Decimal(45)), Adjustment("PR", "3", Decimal(25)))
    assert (second.paid, second.remaining, second.decided) == (Decimal(40), Decimal(10), date(2026, 11, 18))
    envelope = replace(ENVELOPE, interchange_control=102, group_control=102)
    made = replace(batch(claim, reference="B20261123002"), submitter=replace(SUBMITTER, email=""))
    assert write_837p(envelope, made).decode().replace("~", "~\n") == samples["837p_secondary"].decode()


def test_a_replacement_names_the_payers_claim_number() -> None:
    claim = replace(ORIGINAL, control_number="H7K2M9Q4A3", frequency="7", payer_claim_control_number="ICN2026110001")
    data = write_837p(ENVELOPE, batch(claim))
    assert b"CLM*H7K2M9Q4A3*215***11:B:7*Y*A*Y*Y~REF*F8*ICN2026110001~REF*EA*" in data
    assert judge(data).ok


def test_a_patient_who_is_not_the_subscriber_stands_one_level_lower() -> None:
    child = Patient(
        Person("SAMPLEWOOD", "WREN"),
        Address("42 FICTION AVE", "SPRINGFIELD", "IL", "62702"),
        date(2015, 1, 2),
        "M",
        "19",
    )
    claims = (ORIGINAL, replace(ORIGINAL, control_number="CHILD1", patient=child))
    text = write_837p(ENVELOPE, batch(*claims)).decode()
    assert [row for row in text.split("~") if row.startswith(("HL", "SBR", "PAT", "CLM"))] == [
        "HL*1**20*1",
        "HL*2*1*22*0",
        "SBR*P*18*GRP100******CI",
        "CLM*H7K2M9Q4A1*215***11:B:1*Y*A*Y*Y",
        "HL*3*1*22*1",
        "SBR*P**GRP100******CI",
        "HL*4*3*23*0",
        "PAT*19",
        "CLM*CHILD1*215***11:B:1*Y*A*Y*Y",
    ]


def test_more_claims_than_a_level_may_hold_open_another_one() -> None:
    claims = [replace(ORIGINAL, control_number=f"PCN{n}") for n in range(150)]
    data = write_837p(ENVELOPE, batch(*claims))
    assert data.count(b"HL*") == 3
    assert judge(data).ok


def test_the_same_claims_give_the_same_bytes() -> None:
    made = batch(ORIGINAL, replace(ORIGINAL, control_number="B", subscriber=replace(JUNIPER, member_id="X1")))
    assert write_837p(ENVELOPE, made) == write_837p(ENVELOPE, made)


def test_text_from_people_never_breaks_out_of_its_element() -> None:
    claim = replace(ORIGINAL, note="see *attached*~CLM:evil^ café", subscriber=replace(JUNIPER, group_name="a~b*c"))
    data = write_837p(ENVELOPE, batch(claim))
    (read,) = read_837p(data)
    assert (read.note, read.subscriber.group_name) == ("SEE ATTACHED CLM EVIL CAFE", "A B C")
    assert judge(data).ok


def test_other_delimiters_are_written_and_read() -> None:
    envelope = replace(ENVELOPE, delimiters=Delimiters("|", ">", "\n", "!"))
    assert read_837p(write_837p(envelope, batch(ORIGINAL))) == [ORIGINAL]


def test_the_charge_is_what_the_lines_add_up_to() -> None:
    line = ORIGINAL.lines[0]
    claim = replace(ORIGINAL, lines=(replace(line, charge=Decimal("0.10")),) * 3)
    assert claim.charge == Decimal("0.30")
    assert b"*0.3***" in write_837p(ENVELOPE, batch(claim))


@pytest.mark.parametrize("claims", [(), (replace(ORIGINAL, lines=()),), (replace(ORIGINAL, diagnoses=()),)])
def test_what_is_no_claim_is_not_written(claims: tuple[Claim, ...]) -> None:
    with pytest.raises(UnwritableError):
        write_837p(ENVELOPE, batch(*claims))


def test_another_transaction_is_not_read_as_claims(samples) -> None:
    with pytest.raises(WrongTransactionError):
        read_837p(samples["835"])


def test_an_amount_that_is_none_is_named_by_its_place_and_masked(samples) -> None:
    data = samples["837p_original"].replace(b"25*150*UN", b"25*15O.0*UN")
    with pytest.raises(WrongValueError) as caught:
        read_837p(data)
    assert caught.value.where == "ISA 000000101, segment 25 SV102"
    assert "15O" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"surprise": 1}, "Claim"),
        ({"frequency": 1}, "Claim.frequency"),
        ({"onset_date": "yesterday"}, "Claim.onset_date"),
        ({"patient_paid": "ten"}, "Claim.patient_paid"),
        ({"lines": {}}, "Claim.lines"),
        ({"lines": [{"code": "99213"}]}, "Claim.lines[0]"),
        ({"rendering": {"party": {"surname": "X"}}}, "Claim.rendering.party"),
    ],
)
def test_a_stored_claim_that_is_none_says_where(change: dict[str, object], where: str) -> None:
    with pytest.raises(BadRecordError) as caught:
        Claim.from_dict(ORIGINAL.to_dict() | change)
    assert caught.value.where.startswith(where)


def test_a_written_batch_has_a_sound_envelope() -> None:
    (interchange,) = read_interchanges(write_837p(ENVELOPE, batch(ORIGINAL)))
    assert interchange.problems == ()
    assert (interchange.isa.usage, interchange.transactions[0].version) == ("T", "005010X222A1")
