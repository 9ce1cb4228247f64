from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from hub.formats.x12.claim import (
    Address,
    Adjustment,
    BillingProvider,
    Claim,
    ClaimLine,
    Organisation,
    Patient,
    Payer,
    Person,
    Provider,
    Subscriber,
)
from hub.formats.x12.envelope import read_interchanges
from hub.formats.x12.errors import BadRecordError, UnwritableError, WrongTransactionError, WrongValueError
from hub.formats.x12.judge import judge
from hub.formats.x12.professional import read_837p, write_837p
from hub.formats.x12.segments import Delimiters
from tests.formats.x12.claim_shapes import ENVELOPE, SUBMITTER, batch

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
