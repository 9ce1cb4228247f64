"""Professional claims as 837P (005010X222A1), written and read back.

The order of loops and segments is the implementation guide's; numbers in comments are its loop ids. What is
written is a pure function of the envelope and the batch: the same claims give the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import date
from decimal import Decimal
from typing import TypeVar

from hub.core.money import plain
from hub.formats.x12.claim import (
    SELF,
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
    Party,
    Patient,
    Payer,
    Person,
    Provider,
    Subscriber,
)
from hub.formats.x12.envelope import Transaction, read_transactions
from hub.formats.x12.errors import UnwritableError, WrongTransactionError, WrongValueError
from hub.formats.x12.parts import adjustments, element, first, party, split
from hub.formats.x12.parts import parties as parties_of
from hub.formats.x12.segments import Segment
from hub.formats.x12.values import ZERO, amount, number, optional_amount, period, quantity
from hub.formats.x12.writer import Envelope, InterchangeWriter, clean

VERSION = "005010X222A1"
_CLAIMS_PER_LEVEL = 100  # the guide's limit of loop 2300 below one 2000B or 2000C
_TRIPLETS_PER_CAS = 6
_REMARKS_IN_MOA = 5

K = TypeVar("K")
V = TypeVar("V")


def write_837p(envelope: Envelope, batch: ClaimBatch) -> bytes:
    """The interchange that carries *batch*, one transaction set.

    Claims are gathered by billing provider, then subscriber and payer, then patient, each in the order of its
    first claim. Raises :class:`UnwritableError` for an empty batch, a claim without lines or diagnoses, and an
    envelope that cannot be written. Whether the content is right is for the judge and the edits to say.
    """
    if not batch.claims:
        raise UnwritableError("A batch needs at least one claim.", where="837P")
    for claim in batch.claims:
        if not claim.lines or not claim.diagnoses:
            missing = "service line" if not claim.lines else "diagnosis"
            raise UnwritableError(f"A claim has no {missing}.", where=f"claim {claim.control_number}")
    out = InterchangeWriter(envelope, "HC", VERSION)
    _Writer(out).batch(batch)
    return out.finish()


def read_837p(data: bytes) -> list[Claim]:
    """Every claim in the 837P transactions of *data*, in the order of the file.

    Reads back what :func:`write_837p` wrote as equal values, and of other senders' files what a :class:`Claim`
    can hold. Raises :class:`WrongTransactionError` when there is another kind of transaction,
    :class:`WrongValueError` for elements that are no amounts, quantities or dates, and what
    :func:`read_interchanges` raises.
    """
    claims: list[Claim] = []
    for transaction in read_transactions(data):
        claims += claims_of(transaction)
    return claims


def claims_of(transaction: Transaction) -> list[Claim]:
    """The claims of one 837P transaction; raises as :func:`read_837p` does."""
    if transaction.kind != "837P":
        raise WrongTransactionError(
            "This is not a professional claim.", where=transaction.segments[0].place, found=transaction.kind
        )
    return list(_claims(transaction.segments))


# --- writing


class _Writer:
    def __init__(self, out: InterchangeWriter) -> None:
        self.out = out
        self.add = out.add
        self.level = 0

    def clean(self, text: str, also: str = "") -> str:
        return clean(text, self.out.delimiters, also)

    def batch(self, batch: ClaimBatch) -> None:
        at = self.out.envelope.at
        self.out.begin("837", VERSION)
        self.add(
            "BHT",
            "0019",
            "18" if batch.reissue else "00",
            self.clean(batch.reference),
            at.strftime("%Y%m%d"),
            at.strftime("%H%M"),
            "RP" if batch.reporting else "CH",
        )
        submitter = batch.submitter
        self.add("NM1", "41", "2", self.clean(submitter.name), "", "", "", "", "46", self.clean(submitter.id))
        numbers: list[str] = []
        if submitter.phone:
            numbers += ["TE", "".join(c for c in submitter.phone if c.isdigit())]
        if submitter.email:
            numbers += ["EM", self.clean(submitter.email, also="@_")]
        self.add("PER", "IC", self.clean(submitter.contact), *numbers)
        receiver = batch.receiver
        self.add("NM1", "40", "2", self.clean(receiver.name), "", "", "", "", "46", self.clean(receiver.id))
        for billing_provider, claims in _gathered(batch.claims, lambda c: c.billing_provider):
            self.billing_provider(billing_provider, claims)
        self.out.end()

    def hierarchy(self, parent: int, code: str, has_children: bool) -> int:
        self.level += 1
        self.add("HL", str(self.level), str(parent) if parent else "", code, "1" if has_children else "0")
        return self.level

    def billing_provider(self, provider: BillingProvider, claims: list[Claim]) -> None:
        level = self.hierarchy(0, "20", True)  # 2000A
        if provider.taxonomy:
            self.add("PRV", "BI", "PXC", self.clean(provider.taxonomy))
        self.party("85", provider.party, "XX", provider.npi)  # 2010AA
        self.address(provider.address)
        self.add("REF", provider.tax_id_kind, self.clean(provider.tax_id))
        if provider.pay_to:  # 2010AB
            self.add("NM1", "87", "1" if isinstance(provider.party, Person) else "2")
            self.address(provider.pay_to)
        for (subscriber, payer, is_self), group in _gathered(
            claims, lambda c: (c.subscriber, c.payer, c.patient is None)
        ):
            for part in _parts(group) if is_self else [group]:
                self.subscriber(level, subscriber, payer, part)

    def subscriber(self, parent: int, subscriber: Subscriber, payer: Payer, claims: list[Claim]) -> None:
        is_self = claims[0].patient is None
        level = self.hierarchy(parent, "22", not is_self)  # 2000B
        self.coverage(subscriber, payer, SELF if is_self else "")
        self.party("IL", subscriber.person, "MI", subscriber.member_id)  # 2010BA
        if subscriber.address:
            self.address(subscriber.address)
        self.demographics(subscriber.birth_date, subscriber.sex)
        self.party("PR", Organisation(payer.name), "PI", payer.id)  # 2010BB
        if is_self:
            for claim in claims:
                self.claim(claim)
            return
        for patient, group in _gathered(claims, lambda c: c.patient):
            assert patient is not None
            for part in _parts(group):
                self.patient(level, patient, part)

    def patient(self, parent: int, patient: Patient, claims: list[Claim]) -> None:
        self.hierarchy(parent, "23", False)  # 2000C
        self.add("PAT", patient.relationship)
        self.party("QC", patient.person)  # 2010CA
        self.address(patient.address)
        self.demographics(patient.birth_date, patient.sex)
        for claim in claims:
            self.claim(claim)

    def claim(self, claim: Claim) -> None:
        causes = (*claim.related_causes[:2], "", "")[:2]
        self.add(  # 2300
            "CLM",
            self.clean(claim.control_number),
            plain(claim.charge),
            "",
            "",
            (claim.place_of_service, "B", claim.frequency),
            "Y" if claim.signature else "N",
            claim.assignment,
            claim.benefits_assignment,
            claim.release,
            "",
            (*causes, "", claim.accident_state) if claim.related_causes else "",
            *[""] * 8,
            claim.delay_reason,
        )
        for qualifier, value in (
            ("431", claim.onset_date),
            ("439", claim.accident_date),
            ("435", claim.admission_date),
        ):
            if value:
                self.day(qualifier, value)
        if claim.patient_paid is not None:
            self.add("AMT", "F5", plain(claim.patient_paid))
        for qualifier, text in (
            ("9F", claim.referral_number),
            ("G1", claim.prior_authorisation),
            ("F8", claim.payer_claim_control_number),
            ("X4", claim.clia),
            ("EA", claim.medical_record_number),
        ):
            if text:
                self.add("REF", qualifier, self.clean(text))
        if claim.note:
            self.add("NTE", "ADD", self.clean(claim.note))
        self.add(
            "HI",
            *(("ABF" if index else "ABK", self.clean(code)) for index, code in enumerate(claim.diagnoses)),
        )
        self.provider("DN", claim.referring)  # 2310A
        self.provider("82", claim.rendering)  # 2310B
        if claim.facility:  # 2310C
            facility = claim.facility
            self.party("77", Organisation(facility.name), "XX" if facility.npi else "", facility.npi)
            self.address(facility.address)
        self.provider("DQ", claim.supervising)  # 2310D
        for other in claim.other_payers:
            self.other_payer(other)
        for index, line in enumerate(claim.lines, start=1):
            self.line(index, line)

    def other_payer(self, other: OtherPayer) -> None:
        self.coverage(other.subscriber, other.payer, other.relationship)  # 2320
        self.adjustments(other.adjustments)
        if other.paid is not None:
            self.add("AMT", "D", plain(other.paid))
        if other.remaining is not None:
            self.add("AMT", "EAF", plain(other.remaining))
        self.add("OI", "", "", other.benefits_assignment, "", "", other.release)
        if other.remark_codes:
            self.add("MOA", "", "", *(self.clean(code) for code in other.remark_codes[:_REMARKS_IN_MOA]))
        self.party("IL", other.subscriber.person, "MI", other.subscriber.member_id)  # 2330A
        if other.subscriber.address:
            self.address(other.subscriber.address)
        self.party("PR", Organisation(other.payer.name), "PI", other.payer.id)  # 2330B
        if other.decided:
            self.day("573", other.decided)
        if other.claim_control_number:
            self.add("REF", "F8", self.clean(other.claim_control_number))

    def line(self, index: int, line: ClaimLine) -> None:
        self.add("LX", str(index))  # 2400
        self.add(
            "SV1",
            _procedure(line.code, line.modifiers, self.clean(line.description)),
            plain(line.charge),
            line.unit_code,
            number(line.units),
            line.place_of_service,
            "",
            tuple(str(p) for p in line.pointers),
            "",
            "Y" if line.emergency else "",
        )
        if line.service_to and line.service_to != line.service_date:
            self.add("DTP", "472", "RD8", f"{line.service_date:%Y%m%d}-{line.service_to:%Y%m%d}")
        else:
            self.day("472", line.service_date)
        self.add("REF", "6R", self.clean(line.control_number))
        if line.note:
            self.add("NTE", "ADD", self.clean(line.note))
        if line.drug:  # 2410
            self.add("LIN", "", "N4", self.clean(line.drug.ndc))
            self.add("CTP", "", "", "", number(line.drug.quantity), (line.drug.unit,))
        self.provider("82", line.rendering)  # 2420A
        for decision in line.adjudications:  # 2430
            procedure = _procedure(decision.code, decision.modifiers, "")
            payer_id = self.clean(decision.payer_id)
            bundled = str(decision.bundled_into) if decision.bundled_into else ""
            self.add("SVD", payer_id, plain(decision.paid), procedure, "", number(decision.units), bundled)
            self.adjustments(decision.adjustments)
            self.day("573", decision.decided)
            if decision.remaining is not None:
                self.add("AMT", "EAF", plain(decision.remaining))

    def coverage(self, subscriber: Subscriber, payer: Payer, relationship: str) -> None:
        self.add(
            "SBR",
            subscriber.sequence,
            relationship,
            self.clean(subscriber.group_number),
            self.clean(subscriber.group_name),
            subscriber.insurance_type,
            "",
            "",
            "",
            payer.filing_indicator,
        )

    def party(self, role: str, party: Party, qualifier: str = "", identifier: str = "") -> None:
        identified = (qualifier, self.clean(identifier)) if identifier else ("", "")
        if isinstance(party, Organisation):
            self.add("NM1", role, "2", self.clean(party.name), "", "", "", "", *identified)
        else:
            names = (party.last, party.first, party.middle)
            suffix = self.clean(party.suffix)
            self.add("NM1", role, "1", *(self.clean(n) for n in names), "", suffix, *identified)

    def provider(self, role: str, provider: Provider | None) -> None:
        if provider is None:
            return
        self.party(role, provider.party, "XX", provider.npi)
        if provider.taxonomy and role == "82":
            self.add("PRV", "PE", "PXC", self.clean(provider.taxonomy))

    def address(self, address: Address) -> None:
        self.add("N3", self.clean(address.line1), self.clean(address.line2))
        parts = (address.city, address.state, address.postal_code, address.country)
        self.add("N4", *(self.clean(p) for p in parts))

    def demographics(self, birth_date: date | None, sex: str) -> None:
        if birth_date:
            self.add("DMG", "D8", birth_date.strftime("%Y%m%d"), sex)

    def day(self, qualifier: str, value: date) -> None:
        self.add("DTP", qualifier, "D8", value.strftime("%Y%m%d"))

    def adjustments(self, adjustments: tuple[Adjustment, ...]) -> None:
        """Write one CAS of up to six triplets per group code, in the order in which the groups appear."""
        for group, members in _gathered(adjustments, lambda a: a.group):
            for start in range(0, len(members), _TRIPLETS_PER_CAS):
                elements: list[str] = []
                for adjustment in members[start : start + _TRIPLETS_PER_CAS]:
                    count = "" if adjustment.quantity is None else number(adjustment.quantity)
                    elements += [self.clean(adjustment.reason), plain(adjustment.amount), count]
                self.add("CAS", group, *elements)


def _procedure(code: str, modifiers: tuple[str, ...], description: str) -> tuple[str, ...]:
    return ("HC", code, *(*modifiers, "", "", "", "")[:4], description)


def _gathered(items: Iterable[V], key: Callable[[V], K]) -> list[tuple[K, list[V]]]:
    """*items* by *key*, in the order of each key's first item."""
    groups: dict[K, list[V]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return list(groups.items())


def _parts(claims: list[Claim]) -> Iterator[list[Claim]]:
    for start in range(0, len(claims), _CLAIMS_PER_LEVEL):
        yield claims[start : start + _CLAIMS_PER_LEVEL]


# --- reading


def _claims(segments: tuple[Segment, ...]) -> Iterator[Claim]:
    billing_provider = _billing_provider([])
    subscriber, payer = _coverage([])
    for level in split(segments, "HL")[1]:
        head, claims = split(level, "CLM")
        patient: Patient | None = None
        match level[0][3]:
            case "20":
                billing_provider = _billing_provider(head)
            case "22":
                subscriber, payer = _coverage(head)
            case "23":
                patient = _patient(head)
        for claim in claims:
            yield _claim(claim, billing_provider, subscriber, payer, patient)


def _billing_provider(level: list[Segment]) -> BillingProvider:
    head, parties = parties_of(level)
    own = parties.get("85", [])
    tax = next((s for s in own if s.id == "REF" and s[1] in {"EI", "SY"}), None)
    return BillingProvider(
        party=_party(own),
        npi=_identifier(own),
        tax_id=tax[2] if tax else "",
        address=_address(own) or Address("", "", "", ""),
        taxonomy=element(head, "PRV", 3),
        tax_id_kind=tax[1] if tax else "EI",
        pay_to=_address(parties.get("87", [])),
    )


def _coverage(level: list[Segment]) -> tuple[Subscriber, Payer]:
    """Read the subscriber and the payer below an SBR: loops 2000B and 2010B, or 2320 and 2330."""
    head, parties = parties_of(level)
    sbr = first(head, "SBR")
    own = parties.get("IL", [])
    dmg = first(own, "DMG")
    paying = parties.get("PR", [])
    subscriber = Subscriber(
        person=_party(own),
        member_id=_identifier(own),
        address=_address(own),
        birth_date=period("D8", dmg[2])[0] if dmg else None,
        sex=dmg[3] if dmg else "",
        group_number=sbr[3] if sbr else "",
        group_name=sbr[4] if sbr else "",
        sequence=sbr[1] if sbr else "",
        insurance_type=sbr[5] if sbr else "",
    )
    name = element(paying, "NM1", 3)
    return subscriber, Payer(name, _identifier(paying), sbr[9] if sbr else "")


def _patient(level: list[Segment]) -> Patient:
    head, parties = parties_of(level)
    own = parties.get("QC", [])
    person = _party(own)
    dmg = first(own, "DMG")
    return Patient(
        person=person if isinstance(person, Person) else Person(person.name),
        address=_address(own) or Address("", "", "", ""),
        birth_date=_required_day(dmg or level[0], 2),
        sex=dmg[3] if dmg else "",
        relationship=element(head, "PAT", 1),
    )


def _claim(
    segments: list[Segment],
    billing_provider: BillingProvider,
    subscriber: Subscriber,
    payer: Payer,
    patient: Patient | None,
) -> Claim:
    before_lines, lines = split(segments, "LX")
    own, others = split(before_lines, "SBR")
    head, parties = parties_of(own)
    clm = segments[0]
    causes = clm.components(11)
    references = {s[1]: s[2] for s in reversed(head) if s.id == "REF"}
    diagnoses = [
        s.component(n, 2)
        for s in head
        if s.id == "HI"
        for n in range(1, len(s) + 1)
        if s.component(n, 1) in {"ABK", "ABF"}
    ]
    return Claim(
        control_number=clm[1],
        billing_provider=billing_provider,
        subscriber=subscriber,
        payer=payer,
        place_of_service=clm.component(5, 1),
        diagnoses=tuple(diagnoses),
        lines=tuple(_line(line) for line in lines),
        patient=patient,
        frequency=clm.component(5, 3),
        signature=clm[6] == "Y",
        assignment=clm[7],
        benefits_assignment=clm[8],
        release=clm[9],
        related_causes=tuple(c for c in causes[:2] if c),
        accident_state=clm.component(11, 4),
        accident_date=_date(head, "439"),
        onset_date=_date(head, "431"),
        admission_date=_date(head, "435"),
        delay_reason=clm[20],
        patient_paid=_money(head, "F5"),
        referral_number=references.get("9F", ""),
        prior_authorisation=references.get("G1", ""),
        payer_claim_control_number=references.get("F8", ""),
        clia=references.get("X4", ""),
        medical_record_number=references.get("EA", ""),
        note=element(head, "NTE", 2),
        referring=_provider(parties.get("DN")),
        rendering=_provider(parties.get("82")),
        facility=_facility(parties.get("77")),
        supervising=_provider(parties.get("DQ")),
        other_payers=tuple(_other_payer(other) for other in others),
    )


def _other_payer(segments: list[Segment]) -> OtherPayer:
    head, parties = parties_of(segments)
    subscriber, payer = _coverage(segments)
    return OtherPayer(
        payer=payer,
        subscriber=subscriber,
        relationship=segments[0][2],
        paid=_money(head, "D"),
        remaining=_money(head, "EAF"),
        adjustments=adjustments(head),
        claim_control_number=element(parties.get("PR", []), "REF", 2, "F8"),
        benefits_assignment=element(head, "OI", 3),
        release=element(head, "OI", 6),
        decided=_date(parties.get("PR", []), "573"),
        remark_codes=tuple(code for code in (element(head, "MOA", n) for n in range(3, 8)) if code),
    )


def _line(segments: list[Segment]) -> ClaimLine:
    own, adjudications = split(segments, "SVD")
    before_drug, drugs = split(own, "LIN")
    head, parties = parties_of(before_drug)
    if drugs:  # the line's providers follow its drug
        parties = parties_of(drugs[0])[1] | parties
    sv1 = first(head, "SV1") or segments[0]
    dtp = first(head, "DTP", "472")
    procedure = sv1.components(1)
    begin, end = period(dtp[2], dtp[3]) if dtp else (None, None)
    return ClaimLine(
        control_number=element(head, "REF", 2, "6R"),
        code=sv1.component(1, 2),
        charge=amount(sv1, 2),
        units=quantity(sv1, 4) or ZERO,
        service_date=begin or _required_day(dtp or sv1, 3),
        pointers=tuple(int(p) for p in sv1.components(7) if p.isdecimal()),
        modifiers=tuple(m for m in procedure[2:6] if m),
        unit_code=sv1[3],
        service_to=end if end != begin else None,
        place_of_service=sv1[5],
        description=sv1.component(1, 7),
        emergency=sv1[9] == "Y",
        drug=_drug(drugs[0]) if drugs else None,
        note=element(head, "NTE", 2),
        rendering=_provider(parties.get("82")),
        adjudications=tuple(_adjudication(a) for a in adjudications),
    )


def _drug(segments: list[Segment]) -> Drug:
    ctp = first(segments, "CTP") or segments[0]
    return Drug(segments[0][3], quantity(ctp, 4) or ZERO, ctp.component(5, 1))


def _adjudication(segments: list[Segment]) -> LineAdjudication:
    svd = segments[0]
    dtp = first(segments, "DTP", "573")
    return LineAdjudication(
        payer_id=svd[1],
        paid=amount(svd, 2),
        code=svd.component(3, 2),
        units=quantity(svd, 5) or ZERO,
        decided=_required_day(dtp or svd, 3),
        modifiers=tuple(m for m in svd.components(3)[2:6] if m),
        adjustments=adjustments(segments),
        remaining=_money(segments, "EAF"),
        bundled_into=int(svd[6]) if svd[6].isdecimal() else 0,
    )


def _money(segments: Iterable[Segment], qualifier: str) -> Decimal | None:
    segment = first(segments, "AMT", qualifier)
    return optional_amount(segment, 2) if segment else None


def _date(segments: Iterable[Segment], qualifier: str) -> date | None:
    segment = first(segments, "DTP", qualifier)
    return period(segment[2], segment[3])[0] if segment else None


def _required_day(segment: Segment, element: int) -> date:
    value = period("RD8", segment[element])[0]
    if value is None:
        raise WrongValueError("A date is missing or not a date.", where=segment.place, expected="CCYYMMDD")
    return value


def _party(segments: list[Segment]) -> Party:
    return party(first(segments, "NM1"))


def _identifier(segments: list[Segment]) -> str:
    return element(segments, "NM1", 9)


def _address(segments: list[Segment]) -> Address | None:
    n3, n4 = first(segments, "N3"), first(segments, "N4")
    if not n3 or not n4:
        return None
    return Address(n3[1], n4[1], n4[2], n4[3], line2=n3[2], country=n4[4])


def _provider(segments: list[Segment] | None) -> Provider | None:
    if not segments:
        return None
    return Provider(_party(segments), _identifier(segments), element(segments, "PRV", 3))


def _facility(segments: list[Segment] | None) -> Facility | None:
    if not segments:
        return None
    name = element(segments, "NM1", 3)
    return Facility(name, _address(segments) or Address("", "", "", ""), _identifier(segments))
