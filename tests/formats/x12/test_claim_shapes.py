"""Claims of every shape: each is read back equal, and two judges that share no code with the hub accept it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass, replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from x12sdk.io import X12ModelReader

from hub.formats.x12.claim import Claim, ClaimLine, Drug, Patient, Provider, Subscriber
from hub.formats.x12.errors import UnwritableError
from hub.formats.x12.institutional import read_837i, write_837i
from hub.formats.x12.judge import judge
from hub.formats.x12.professional import read_837p, write_837p
from tests.formats.x12.claim_shapes import ENVELOPE, Maker, batch, institutional_claims, professional_claims

EACH = 120
PROFESSIONAL = professional_claims("shapes", EACH)
INSTITUTIONAL = institutional_claims("shapes", EACH)


def by_control_number(found: list[Claim]) -> list[Claim]:
    return sorted(found, key=lambda claim: claim.control_number)


def test_professional_claims_of_every_shape_read_back_equal() -> None:
    assert by_control_number(read_837p(write_837p(ENVELOPE, batch(*PROFESSIONAL)))) == PROFESSIONAL


def test_institutional_claims_of_every_shape_read_back_equal() -> None:
    assert by_control_number(read_837i(write_837i(ENVELOPE, batch(*INSTITUTIONAL)))) == INSTITUTIONAL


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**9))
def test_any_claim_is_read_back_and_stored_without_loss(seed: int) -> None:
    maker = Maker(str(seed))
    p, i = maker.professional(1), maker.institutional(2)
    assert read_837p(write_837p(ENVELOPE, batch(p))) == [p]
    assert read_837i(write_837i(ENVELOPE, batch(i))) == [i]
    for claim in (p, i):
        assert Claim.from_dict(json.loads(json.dumps(claim.to_dict()))) == claim


def test_pyx12_accepts_every_one() -> None:
    for data in (
        write_837p(ENVELOPE, batch(*PROFESSIONAL)),
        write_837i(ENVELOPE, batch(*INSTITUTIONAL)),
    ):
        verdict = judge(data)
        assert verdict.findings == ()
        assert verdict.ok


def test_x12sdk_accepts_every_one_and_counts_the_same_money() -> None:
    for made, data in (
        (PROFESSIONAL, write_837p(ENVELOPE, batch(*map(undisputed, PROFESSIONAL)))),
        (INSTITUTIONAL, write_837i(ENVELOPE, batch(*map(undisputed, INSTITUTIONAL)))),
    ):
        with X12ModelReader(data.decode()) as reader:
            models = list(reader.models())
        found = {
            claim.patient_control_number: (claim.charge, len(claim.service_lines))
            for model in models
            for claim in model.claims()
        }
        assert found == {claim.control_number: (claim.charge, len(claim.lines)) for claim in made}


def undisputed(claim: Claim) -> Claim:
    """*claim* without what the guides allow and x12sdk 2.2 does not: its models have other lists there."""
    told = {"F", "M"}
    subscriber = claim.subscriber
    patient = claim.patient
    plain = replace(claim.billing_provider, pay_to_plan=None)  # it knows no tax id of the plan
    return _without_ids(
        replace(
            claim,
            billing_provider=plain,
            subscriber=replace(subscriber, sex=subscriber.sex if subscriber.sex in told else "F"),
            patient=replace(patient, sex=patient.sex if patient.sex in told else "F") if patient else None,
            primary_care=None,  # one referring provider only
            note_kind=claim.note_kind if claim.form == "837P" else "DCP",  # no billing note
            lines=tuple(_undisputed_line(line, claim.form) for line in claim.lines),
        )
    )


def _undisputed_line(line: ClaimLine, form: str) -> ClaimLine:
    drug = line.drug
    if drug and form == "837I":  # it wants a prescription number
        drug = replace(drug, link="", prescription=drug.prescription or "RX1")
    elif drug:
        drug = replace(drug, link="")
    single = form == "837I"  # it knows no ranges and no operating provider of a line there
    return replace(
        line,
        drug=drug,
        ambulance=None,  # it wants names of places and knows no conditions
        purchase=None,
        service_to=None if single else line.service_to,
        operating=None,
        adjudications=line.adjudications[:1],  # of several it keeps the last
    )


def _without_ids(claim: Claim) -> Claim:
    def bare(provider: Provider | None) -> Provider | None:
        return replace(provider, secondary_ids=()) if provider else None

    said = claim.institutional
    return replace(
        claim,
        supervising=bare(claim.supervising),
        referring=bare(claim.referring),
        rendering=bare(claim.rendering),
        institutional=replace(said, attending=bare(said.attending), operating=bare(said.operating)) if said else None,
    )


# What the generator reaches ---------------------------------------------------------------------------------------


def test_every_field_of_a_claim_is_used_by_some_shape() -> None:
    used: set[tuple[str, str]] = set()
    kinds: set[type] = set()
    for claim in (*PROFESSIONAL, *INSTITUTIONAL):
        for part in parts(claim):
            kinds.add(type(part))
            used |= {
                (type(part).__name__, f.name)
                for f in fields(part)
                if f.default is MISSING or getattr(part, f.name) != f.default
            }
    every = {(kind.__name__, f.name) for kind in kinds for f in fields(kind)}
    assert {Claim, ClaimLine, Subscriber, Patient, Drug} <= kinds
    assert every - used == {("Address", "country")}


def parts(owner: object) -> Iterator[object]:
    if is_dataclass(owner):
        yield owner
        for f in fields(owner):
            yield from parts(getattr(owner, f.name))
    elif isinstance(owner, tuple):
        for each in owner:
            yield from parts(each)


# Particular institutional claims ----------------------------------------------------------------------------------

OUTPATIENT = Maker("outpatient").institutional(1)


def test_an_institutional_claim_is_written_by_its_own_guide() -> None:
    text = write_837i(ENVELOPE, batch(OUTPATIENT)).decode()
    assert "*X*005010X223A2~ST*837*0001*005010X223A2~" in text
    said = OUTPATIENT.institutional
    assert said
    assert f":A:{OUTPATIENT.frequency}**" in text
    assert f"DTP*434*RD8*{said.statement_from:%Y%m%d}-{said.statement_to:%Y%m%d}~" in text


def test_the_sample_of_the_guide_is_written_as_it_stands(samples) -> None:
    (claim,) = read_837i(samples["837i_outpatient"])
    assert claim.institutional
    assert claim.institutional.visit_reasons == ("R079",)
    made = replace(batch(claim, reference="B20261123004"))
    envelope = replace(ENVELOPE, interchange_control=104, group_control=104)
    assert write_837i(envelope, made).decode().replace("~", "~\n") == samples["837i_outpatient"].decode()
    assert judge(samples["837i_outpatient"]).ok


def test_a_claim_of_one_form_does_not_go_into_a_file_of_the_other() -> None:
    with pytest.raises(UnwritableError, match="other form"):
        write_837p(ENVELOPE, batch(OUTPATIENT))
    with pytest.raises(UnwritableError, match="other form"):
        write_837i(ENVELOPE, batch(PROFESSIONAL[0]))


def test_an_institutional_line_needs_a_revenue_code() -> None:
    line = replace(OUTPATIENT.lines[0], revenue_code="")
    with pytest.raises(UnwritableError, match="revenue code"):
        write_837i(ENVELOPE, batch(replace(OUTPATIENT, lines=(line,))))


def test_the_charge_of_an_institutional_claim_is_what_its_lines_add_up_to() -> None:
    line = replace(OUTPATIENT.lines[0], charge=Decimal("0.10"))
    assert replace(OUTPATIENT, lines=(line,) * 3).charge == Decimal("0.30")
