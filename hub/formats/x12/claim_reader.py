"""What the readers of the 837P and the 837I share: levels, parties, coverages, other payers' decisions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from hub.formats.x12.claim import (
    Address,
    Answer,
    Attachment,
    BillingProvider,
    Circumstances,
    Claim,
    Drug,
    Facility,
    Form,
    LineAdjudication,
    Organisation,
    OtherPayer,
    Party,
    Patient,
    Payer,
    PayToPlan,
    Person,
    Provider,
    SecondaryId,
    Subscriber,
)
from hub.formats.x12.envelope import Transaction
from hub.formats.x12.errors import WrongTransactionError, WrongValueError
from hub.formats.x12.parts import adjustments, element, first, party, split
from hub.formats.x12.parts import parties as parties_of
from hub.formats.x12.segments import Segment
from hub.formats.x12.values import ZERO, amount, optional_amount, period, quantity

_NO_ADDRESS = Address("", "", "", "")
_TAX_IDS = frozenset({"EI", "SY"})
_PAYER_IDS = frozenset({"2U", "EI", "FY", "NF"})
_PROVIDER_IDS = frozenset({"G2", "LU"})
Coded = tuple[tuple[str, str], ...]
Levels = tuple[BillingProvider, Subscriber, Payer, Patient | None]


def read_levels(transaction: Transaction, form: str, read: Callable[[list[Segment], Levels], Claim]) -> Iterator[Claim]:
    """Yield what *read* makes of each claim's segments and of what stands above it.

    Raises :class:`WrongTransactionError` for a transaction of another form.
    """
    if transaction.kind != form:
        raise WrongTransactionError(
            "This is a transaction of another kind.",
            where=transaction.segments[0].place,
            expected=form,
            found=transaction.kind,
        )
    billing_provider = _billing_provider([])
    subscriber, payer = read_coverage([])
    for level in split(transaction.segments, "HL")[1]:
        head, claims = split(level, "CLM")
        patient: Patient | None = None
        match level[0][3]:
            case "20":
                billing_provider = _billing_provider(head)
            case "22":
                subscriber, payer = read_coverage(head)
            case "23":
                patient = _patient(head)
        for claim in claims:
            yield read(claim, (billing_provider, subscriber, payer, patient))


def _billing_provider(level: list[Segment]) -> BillingProvider:
    head, parties = parties_of(level)
    own = parties.get("85", [])
    tax = next((s for s in own if s.id == "REF" and s[1] in _TAX_IDS), None)
    plan = parties.get("PE")
    return BillingProvider(
        party=_party(own),
        npi=_identifier(own),
        tax_id=tax[2] if tax else "",
        address=read_address(own) or _NO_ADDRESS,
        taxonomy=element(head, "PRV", 3),
        tax_id_kind=tax[1] if tax else "EI",
        pay_to=read_address(parties.get("87", [])),
        pay_to_plan=PayToPlan(
            element(plan, "NM1", 3),
            _identifier(plan),
            element(plan, "REF", 2, "EI"),
            read_address(plan) or _NO_ADDRESS,
        )
        if plan
        else None,
        secondary_ids=tuple(each for each in _secondary_ids(own) if each.kind not in _TAX_IDS),
    )


def read_coverage(level: Sequence[Segment]) -> tuple[Subscriber, Payer]:
    """Read the subscriber and the payer below an SBR: loops 2000B and 2010B, or 2320 and 2330."""
    head, parties = parties_of(level)
    sbr = first(head, "SBR")
    own = parties.get("IL", [])
    dmg = first(own, "DMG")
    paying = parties.get("PR", [])
    subscriber = Subscriber(
        person=_party(own),
        member_id=_identifier(own),
        address=read_address(own),
        birth_date=period("D8", dmg[2])[0] if dmg else None,
        sex=dmg[3] if dmg else "",
        group_number=sbr[3] if sbr else "",
        group_name=sbr[4] if sbr else "",
        sequence=sbr[1] if sbr else "",
        insurance_type=sbr[5] if sbr else "",
        property_claim_number=element(own, "REF", 2, "Y4"),
        circumstances=_circumstances(head),
    )
    ids = _secondary_ids(paying)
    payer = Payer(
        name=element(paying, "NM1", 3),
        id=_identifier(paying),
        filing_indicator=sbr[9] if sbr else "",
        address=read_address(paying),
        secondary_ids=tuple(each for each in ids if each.kind in _PAYER_IDS),
        provider_ids=tuple(each for each in ids if each.kind in _PROVIDER_IDS),
    )
    return subscriber, payer


def _circumstances(level: list[Segment]) -> Circumstances:
    pat = first(level, "PAT")
    if pat is None:
        return Circumstances()
    return Circumstances(period(pat[5], pat[6])[0], quantity(pat, 8), pat[9] == "Y")


def _patient(level: list[Segment]) -> Patient:
    head, parties = parties_of(level)
    own = parties.get("QC", [])
    person = _party(own)
    dmg = first(own, "DMG")
    return Patient(
        person=person if isinstance(person, Person) else Person(person.name),
        address=read_address(own) or _NO_ADDRESS,
        birth_date=required_day(dmg or level[0], 2),
        sex=dmg[3] if dmg else "",
        relationship=element(head, "PAT", 1),
        property_claim_number=element(own, "REF", 2, "Y4"),
        circumstances=_circumstances(head),
    )


# --- other payers


def read_other_payer(segments: list[Segment]) -> OtherPayer:
    """Read loop 2320 with what is below it."""
    head, parties = parties_of(segments)
    subscriber, payer = read_coverage(segments)
    paying = parties.get("PR", [])
    mia, moa = first(head, "MIA"), first(head, "MOA")
    remarks: tuple[str, ...] = ()
    if mia:
        remarks = (mia[5], mia[20], mia[21], mia[22], mia[23])
    elif moa:
        remarks = tuple(moa[place] for place in range(3, 8))
    return OtherPayer(
        payer=Payer(payer.name, payer.id, payer.filing_indicator, payer.address),
        subscriber=subscriber,
        relationship=segments[0][2],
        paid=money(head, "D"),
        remaining=money(head, "EAF"),
        adjustments=adjustments(head),
        claim_control_number=element(paying, "REF", 2, "F8"),
        benefits_assignment=element(head, "OI", 3),
        release=element(head, "OI", 6),
        not_covered=money(head, "A8"),
        decided=read_day(paying, "573"),
        inpatient=mia is not None,
        remark_codes=tuple(code for code in remarks if code),
        prior_authorisation=element(paying, "REF", 2, "G1"),
        referral_number=element(paying, "REF", 2, "9F"),
        secondary_ids=tuple(each for each in _secondary_ids(paying) if each.kind in _PAYER_IDS),
    )


def read_adjudication(segments: list[Segment]) -> LineAdjudication:
    """Read loop 2430."""
    svd = segments[0]
    dtp = first(segments, "DTP", "573")
    return LineAdjudication(
        payer_id=svd[1],
        paid=amount(svd, 2),
        code=svd.component(3, 2),
        units=quantity(svd, 5) or ZERO,
        decided=required_day(dtp or svd, 3),
        modifiers=tuple(m for m in svd.components(3)[2:6] if m),
        adjustments=adjustments(segments),
        remaining=money(segments, "EAF"),
        revenue_code=svd[4],
        bundled_into=int(svd[6]) if svd[6].isdecimal() and svd[6].isascii() else 0,
    )


# --- parts


def line_parts(
    segments: list[Segment],
) -> tuple[list[Segment], dict[str, list[Segment]], Drug | None, tuple[LineAdjudication, ...], tuple[Form, ...]]:
    """Part a line (loop 2400) into its own segments, its parties, its drug, its decisions and its forms."""
    before_forms, forms = split(segments, "LQ")
    own, adjudications = split(before_forms, "SVD")
    before_drug, drugs = split(own, "LIN")
    head, parties = parties_of(before_drug)
    if drugs:  # the line's providers follow its drug
        parties = parties_of(drugs[0])[1] | parties
    drug = _drug(drugs[0]) if drugs else None
    return head, parties, drug, tuple(map(read_adjudication, adjudications)), tuple(map(_form, forms))


def _drug(segments: list[Segment]) -> Drug:
    head, _ = parties_of(segments)
    ctp = first(head, "CTP") or head[0]
    return Drug(
        ndc=head[0][3],
        quantity=quantity(ctp, 4) or ZERO,
        unit=ctp.component(5, 1),
        prescription=element(head, "REF", 2, "XZ"),
        link=element(head, "REF", 2, "VY"),
    )


def _form(segments: list[Segment]) -> Form:
    answers = tuple(
        Answer(frm[1], frm[2], frm[3], period("D8", frm[4])[0], quantity(frm, 5)) for frm in segments if frm.id == "FRM"
    )
    return Form(segments[0][1], segments[0][2], answers)


def read_attachments(segments: Iterable[Segment]) -> tuple[Attachment, ...]:
    """Every PWK but the kind that belongs to durable equipment."""
    return tuple(Attachment(s[1], s[2], s[6]) for s in segments if s.id == "PWK" and s[1] != "CT")


def read_codes(segments: Iterable[Segment], *qualifiers: str) -> Iterator[tuple[str, ...]]:
    """The composites of the HI segments that begin with one of *qualifiers*, without it, at least nine long."""
    for segment in segments:
        if segment.id == "HI":
            for number in range(1, len(segment) + 1):
                parts = segment.components(number)
                if parts[0] in qualifiers:
                    yield (*parts[1:], *[""] * 9)


def claim_fields(
    levels: Levels, head: list[Segment], parties: dict[str, list[Segment]], others: list[list[Segment]]
) -> dict[str, Any]:
    """The fields of a claim that stand at the same places in both guides.

    *head* is the claim's loop 2300, *parties* its loops 2310 by role, *others* its loops 2320.
    """
    billing_provider, subscriber, payer, patient = levels
    clm, note, crc = head[0], first(head, "NTE"), first(head, "CRC", "ZZ")
    return {
        "control_number": clm[1],
        "billing_provider": billing_provider,
        "subscriber": subscriber,
        "payer": payer,
        "patient": patient,
        "frequency": clm.component(5, 3),
        "assignment": clm[7],
        "benefits_assignment": clm[8],
        "release": clm[9],
        "delay_reason": clm[20],
        "diagnoses": tuple(code[0] for code in read_codes(head, "ABK", "ABF")),
        "condition_codes": tuple(code[0] for code in read_codes(head, "BG")),
        "attachments": read_attachments(head),
        "fixed_information": tuple(s[1] for s in head if s.id == "K3"),
        "note": note[2] if note else "",
        "note_kind": note[1] if note else "ADD",
        "epsdt_referral": tuple(c for c in crc.elements[3:6] if c) if crc else (),
        "referring": read_provider(parties.get("DN")),
        "rendering": read_provider(parties.get("82")),
        "facility": read_facility(parties.get("77")),
        "other_payers": tuple(read_other_payer(other) for other in others),
    }


def coded(segments: list[Segment], *, days: Coded = (), references: Coded = (), amounts: Coded = ()) -> dict[str, Any]:
    """The fields of a claim or line that the tables name, as far as their DTP, REF and AMT are there.

    Each table has a segment's qualifier and the field that it carries.
    """
    found = {(s.id, s[1]): s for s in reversed(segments)}
    said: dict[str, Any] = {}
    for qualifier, field in days:
        if ("DTP", qualifier) in found and (day := read_day(segments, qualifier)):
            said[field] = day
    said |= {field: found["REF", code][2] for code, field in references if ("REF", code) in found}
    said |= {field: amount(found["AMT", code], 2) for code, field in amounts if ("AMT", code) in found}
    return said


def money(segments: Iterable[Segment], qualifier: str) -> Decimal | None:
    """The amount of the AMT with that qualifier."""
    segment = first(segments, "AMT", qualifier)
    return optional_amount(segment, 2) if segment else None


def read_day(segments: Iterable[Segment], qualifier: str) -> date | None:
    """The (first) day of the DTP with that qualifier."""
    segment = first(segments, "DTP", qualifier)
    return period(segment[2], segment[3])[0] if segment else None


def required_day(segment: Segment, place: int) -> date:
    """The day in that element. Raises :class:`WrongValueError` when there is none."""
    value = period("RD8", segment[place])[0]
    if value is None:
        raise WrongValueError("A date is missing or not a date.", where=segment.place, expected="CCYYMMDD")
    return value


def read_address(segments: Iterable[Segment]) -> Address | None:
    """N3 and N4, None when one of them is missing."""
    kept = list(segments)
    n3, n4 = first(kept, "N3"), first(kept, "N4")
    if not n3 or not n4:
        return None
    return Address(n3[1], n4[1], n4[2], n4[3], line2=n3[2], country=n4[4])


def read_provider(segments: list[Segment] | None) -> Provider | None:
    """A provider's loop."""
    if not segments:
        return None
    return Provider(
        _party(segments),
        _identifier(segments),
        element(segments, "PRV", 3),
        _secondary_ids(segments),
        read_address(segments),
    )


def read_facility(segments: list[Segment] | None) -> Facility | None:
    """The loop of the place of service."""
    if not segments:
        return None
    name = element(segments, "NM1", 3)
    return Facility(name, read_address(segments) or _NO_ADDRESS, _identifier(segments), _secondary_ids(segments))


def organisation_name(segments: list[Segment] | None) -> str:
    """The name in a loop's NM1."""
    found = _party(segments or [])
    return found.name if isinstance(found, Organisation) else found.last


def _party(segments: list[Segment]) -> Party:
    return party(first(segments, "NM1"))


def _identifier(segments: list[Segment]) -> str:
    return element(segments, "NM1", 9)


def _secondary_ids(segments: list[Segment]) -> tuple[SecondaryId, ...]:
    return tuple(SecondaryId(s[1], s[2]) for s in segments if s.id == "REF" and s[1] not in {"Y4", "SY", "1W"})
