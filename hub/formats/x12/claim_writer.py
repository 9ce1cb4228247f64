"""What the writers of the 837P and the 837I share: hierarchy, parties, coverages, other payers' decisions.

The order of loops and segments is the implementation guides'; numbers in comments are their loop ids. What is
written is a pure function of the envelope and the batch: the same claims give the same bytes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from datetime import date
from decimal import Decimal
from typing import TypeVar

from hub.core.money import plain
from hub.formats.x12.claim import (
    SELF,
    Address,
    Adjustment,
    Attachment,
    BillingProvider,
    Circumstances,
    Claim,
    ClaimBatch,
    ClaimLine,
    Facility,
    LineAdjudication,
    Organisation,
    OtherPayer,
    Party,
    Patient,
    Payer,
    Person,
    Provider,
    SecondaryId,
    Subscriber,
)
from hub.formats.x12.errors import UnwritableError
from hub.formats.x12.values import number
from hub.formats.x12.writer import Element, Envelope, InterchangeWriter, clean

_CLAIMS_PER_LEVEL = 100  # the guides' limit of loop 2300 below one 2000B or 2000C
TRIPLETS_PER_CAS = 6
_MIA_REMARKS = (20, 21, 22, 23)
Coded = tuple[tuple[str, str], ...]  # a segment's qualifier and the field that it carries, in the guide's order

K = TypeVar("K")
V = TypeVar("V")


class ClaimWriter(ABC):
    """Writes one batch of claims of one form."""

    form: str
    version: str

    def __init__(self, envelope: Envelope) -> None:
        self.out = InterchangeWriter(envelope, "HC", self.version)
        self.add = self.out.add
        self.level = 0

    @abstractmethod
    def details(self, claim: Claim) -> None:
        """Write loop 2300 up to the providers of 2310."""

    @abstractmethod
    def line(self, line: ClaimLine) -> None:
        """Write what follows the LX of loop 2400, up to the other payers' decisions."""

    def write(self, batch: ClaimBatch) -> bytes:
        """The interchange. Raises :class:`UnwritableError` for what cannot be a claim of this form."""
        if not batch.claims:
            raise UnwritableError("A batch needs at least one claim.", where=self.form)
        for claim in batch.claims:
            self.check(claim)
        self._head(batch)
        for billing_provider, claims in gathered(batch.claims, lambda c: c.billing_provider):
            self._billing_provider(billing_provider, claims)
        self.out.end()
        return self.out.finish()

    def check(self, claim: Claim) -> None:
        """Refuse a claim that cannot be written at all."""
        missing = "service line" if not claim.lines else "diagnosis" if not claim.diagnoses else ""
        if missing:
            raise UnwritableError(f"A claim has no {missing}.", where=f"claim {claim.control_number}")
        if claim.form != self.form:
            raise UnwritableError(
                "A claim is of the other form.",
                where=f"claim {claim.control_number}",
                expected=self.form,
                found=claim.form,
            )

    def clean(self, text: str, also: str = "") -> str:
        """*text* in the basic character set."""
        return clean(text, self.out.delimiters, also)

    # --- levels

    def _head(self, batch: ClaimBatch) -> None:
        at = self.out.envelope.at
        self.out.begin("837", self.version)
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

    def _hierarchy(self, parent: int, code: str, has_children: bool) -> int:
        self.level += 1
        self.add("HL", str(self.level), str(parent) if parent else "", code, "1" if has_children else "0")
        return self.level

    def _billing_provider(self, provider: BillingProvider, claims: list[Claim]) -> None:
        level = self._hierarchy(0, "20", True)  # 2000A
        if provider.taxonomy:
            self.add("PRV", "BI", "PXC", self.clean(provider.taxonomy))
        self.party("85", provider.party, "XX", provider.npi)  # 2010AA
        self.address(provider.address)
        self.add("REF", provider.tax_id_kind, self.clean(provider.tax_id))
        self.secondary_ids(provider.secondary_ids)
        if provider.pay_to:  # 2010AB
            self.add("NM1", "87", "1" if isinstance(provider.party, Person) else "2")
            self.address(provider.pay_to)
        if plan := provider.pay_to_plan:  # 2010AC
            self.party("PE", Organisation(plan.name), "PI", plan.id)
            self.address(plan.address)
            self.add("REF", "EI", self.clean(plan.tax_id))
        for (subscriber, payer, is_self), group in gathered(
            claims, lambda c: (c.subscriber, c.payer, c.patient is None)
        ):
            for part in _parts(group) if is_self else [group]:
                self._subscriber(level, subscriber, payer, part)

    def _subscriber(self, parent: int, subscriber: Subscriber, payer: Payer, claims: list[Claim]) -> None:
        is_self = claims[0].patient is None
        level = self._hierarchy(parent, "22", not is_self)  # 2000B
        self.coverage(subscriber, payer, SELF if is_self else "")
        self.circumstances("", subscriber.circumstances)
        self.party("IL", subscriber.person, "MI", subscriber.member_id)  # 2010BA
        if subscriber.address:
            self.address(subscriber.address)
        self._demographics(subscriber.birth_date, subscriber.sex)
        self.reference("Y4", subscriber.property_claim_number)
        self.party("PR", Organisation(payer.name), "PI", payer.id)  # 2010BB
        if payer.address:
            self.address(payer.address)
        self.secondary_ids((*payer.secondary_ids, *payer.provider_ids))
        if is_self:
            for claim in claims:
                self._claim(claim)
            return
        for patient, group in gathered(claims, lambda c: c.patient):
            assert patient is not None
            for part in _parts(group):
                self._patient(level, patient, part)

    def _patient(self, parent: int, patient: Patient, claims: list[Claim]) -> None:
        self._hierarchy(parent, "23", False)  # 2000C
        self.circumstances(patient.relationship, patient.circumstances)
        self.party("QC", patient.person)  # 2010CA
        self.address(patient.address)
        self._demographics(patient.birth_date, patient.sex)
        self.reference("Y4", patient.property_claim_number)
        for claim in claims:
            self._claim(claim)

    def _claim(self, claim: Claim) -> None:
        self.details(claim)
        for other in claim.other_payers:
            self._other_payer(other)
        for index, line in enumerate(claim.lines, start=1):
            self.add("LX", str(index))  # 2400
            self.line(line)
            for decision in line.adjudications:
                self._adjudication(decision)
            for form in line.forms:  # 2440
                self.add("LQ", form.list, self.clean(form.code))
                for answer in form.answers:
                    on = f"{answer.on:%Y%m%d}" if answer.on else ""
                    percent = "" if answer.percent is None else number(answer.percent)
                    self.add("FRM", answer.question, answer.choice, self.clean(answer.text), on, percent)

    # --- other payers

    def _other_payer(self, other: OtherPayer) -> None:
        self.coverage(other.subscriber, other.payer, other.relationship)  # 2320
        self._adjustments(other.adjustments)
        for qualifier, value in self.other_amounts(other):
            if value is not None:
                self.amount(qualifier, value)
        self.add("OI", "", "", other.benefits_assignment, "", "", other.release)
        self._remarks(other)
        self.party("IL", other.subscriber.person, "MI", other.subscriber.member_id)  # 2330A
        if other.subscriber.address:
            self.address(other.subscriber.address)
        self.party("PR", Organisation(other.payer.name), "PI", other.payer.id)  # 2330B
        if other.payer.address:
            self.address(other.payer.address)
        if other.decided:
            self.day("573", other.decided)
        self.secondary_ids(other.secondary_ids)
        self.reference("G1", other.prior_authorisation)
        self.reference("9F", other.referral_number)
        self.reference("F8", other.claim_control_number)

    def other_amounts(self, other: OtherPayer) -> tuple[tuple[str, Decimal | None], ...]:
        """The amounts of loop 2320, whose order differs between the guides."""
        return (("D", other.paid), ("A8", other.not_covered), ("EAF", other.remaining))

    def _remarks(self, other: OtherPayer) -> None:
        remarks = [self.clean(code) for code in other.remark_codes[:5]]
        if other.inpatient and remarks:
            elements = ["0", "", "", "", *remarks[:1]] + [""] * 18  # the guide wants no days here
            for place, code in zip(_MIA_REMARKS, remarks[1:], strict=False):
                elements[place - 1] = code
            self.add("MIA", *elements)
        elif remarks:
            self.add("MOA", "", "", *remarks)

    def _adjudication(self, decision: LineAdjudication) -> None:  # 2430
        procedure = self.procedure(decision.code, decision.modifiers)
        units = number(decision.units)
        payer_id, paid = self.clean(decision.payer_id), plain(decision.paid)
        bundled = str(decision.bundled_into) if decision.bundled_into else ""
        self.add("SVD", payer_id, paid, procedure, decision.revenue_code, units, bundled)
        self._adjustments(decision.adjustments)
        self.day("573", decision.decided)
        if decision.remaining is not None:
            self.amount("EAF", decision.remaining)

    def _adjustments(self, adjustments: tuple[Adjustment, ...]) -> None:
        """Write one CAS of up to six triplets per group code, in the order in which the groups appear."""
        for group, members in gathered(adjustments, lambda a: a.group):
            for start in range(0, len(members), TRIPLETS_PER_CAS):
                elements: list[str] = []
                for adjustment in members[start : start + TRIPLETS_PER_CAS]:
                    count = "" if adjustment.quantity is None else number(adjustment.quantity)
                    elements += [self.clean(adjustment.reason), plain(adjustment.amount), count]
                self.add("CAS", group, *elements)

    # --- segments

    def coverage(self, subscriber: Subscriber, payer: Payer, relationship: str) -> None:
        """Write an SBR."""
        self.add(
            "SBR",
            subscriber.sequence,
            relationship,
            self.clean(subscriber.group_number),
            self.clean(subscriber.group_name),
            subscriber.insurance_type if self.form == "837P" else "",  # an 837I says it by a value code
            "",
            "",
            "",
            payer.filing_indicator,
        )

    def circumstances(self, relationship: str, said: Circumstances) -> None:
        """Write a PAT, if it has anything to say; the weight and its like are professional claims' only."""
        known: list[str] = []
        if said != Circumstances() and self.form == "837P":
            known += ["", "", "", *(("D8", f"{said.death_date:%Y%m%d}") if said.death_date else ("", ""))]
            known += ["01", number(said.weight)] if said.weight is not None else ["", ""]
            known += ["Y"] if said.pregnant else []
        if relationship or known:
            self.add("PAT", relationship, *known)

    def party(self, role: str, party: Party, qualifier: str = "", identifier: str = "") -> None:
        """Write an NM1."""
        identified = (qualifier, self.clean(identifier)) if identifier else ("", "")
        if isinstance(party, Organisation):
            self.add("NM1", role, "2", self.clean(party.name), "", "", "", "", *identified)
        else:
            names = (party.last, party.first, party.middle)
            suffix = self.clean(party.suffix)
            self.add("NM1", role, "1", *(self.clean(n) for n in names), "", suffix, *identified)

    def provider(self, role: str, provider: Provider | None) -> None:
        """Write the NM1 of *provider* and what its role may have besides."""
        if provider is None:
            return
        self.party(role, provider.party, "XX", provider.npi)
        kind = {"82": "PE", "71": "AT"}.get(role) if self.form == "837P" or role == "71" else None
        if provider.taxonomy and kind:
            self.add("PRV", kind, "PXC", self.clean(provider.taxonomy))
        if provider.address and role == "DK":
            self.address(provider.address)
        self.secondary_ids(provider.secondary_ids)

    def facility(self, facility: Facility | None) -> None:
        """Write the place of service's loop."""
        if facility:
            self.party("77", Organisation(facility.name), "XX" if facility.npi else "", facility.npi)
            self.address(facility.address)
            self.secondary_ids(facility.secondary_ids)

    def _demographics(self, birth_date: date | None, sex: str) -> None:
        if birth_date:
            self.add("DMG", "D8", birth_date.strftime("%Y%m%d"), sex)

    def address(self, address: Address) -> None:
        """Write N3 and N4."""
        self.add("N3", self.clean(address.line1), self.clean(address.line2))
        parts = (address.city, address.state, address.postal_code, address.country)
        self.add("N4", *(self.clean(p) for p in parts))

    def texts(self, claim: Claim) -> None:
        """Write the K3 and the NTE of a claim."""
        for text in claim.fixed_information:
            self.add("K3", self.clean(text))
        if claim.note:
            self.add("NTE", claim.note_kind, self.clean(claim.note))

    def epsdt(self, claim: Claim) -> None:
        """Write the CRC that says what came of a screening."""
        if claim.epsdt_referral:
            self.add("CRC", "ZZ", "N" if claim.epsdt_referral == ("NU",) else "Y", *claim.epsdt_referral)

    def attachments(self, attachments: tuple[Attachment, ...]) -> None:
        """Write a PWK for each."""
        for each in attachments:
            numbered = ("", "", "AC", self.clean(each.control_number)) if each.control_number else ()
            self.add("PWK", each.kind, each.way, *numbered)

    def secondary_ids(self, ids: tuple[SecondaryId, ...]) -> None:
        """Write a REF for each."""
        for each in ids:
            self.reference(each.kind, each.id)

    def reference(self, qualifier: str, text: str) -> None:
        """Write a REF, if there is anything to refer to."""
        if text:
            self.add("REF", qualifier, self.clean(text))

    def references(self, table: Coded, owner: object) -> None:
        """Write the REF of every field of *owner* that *table* names."""
        for qualifier, field in table:
            self.reference(qualifier, getattr(owner, field))

    def days(self, table: Coded, owner: object) -> None:
        """Write the DTP of every date of *owner* that *table* names."""
        for qualifier, field in table:
            if value := getattr(owner, field):
                self.day(qualifier, value)

    def day(self, qualifier: str, value: date) -> None:
        """Write a DTP of one day."""
        self.add("DTP", qualifier, "D8", value.strftime("%Y%m%d"))

    def days_between(self, qualifier: str, begin: date, end: date) -> None:
        """Write a DTP of a range."""
        self.add("DTP", qualifier, "RD8", f"{begin:%Y%m%d}-{end:%Y%m%d}")

    def served(self, line: ClaimLine) -> None:
        """Write when the line's service was."""
        if line.service_to and line.service_to != line.service_date:
            self.days_between("472", line.service_date, line.service_to)
        else:
            self.day("472", line.service_date)

    def amount(self, qualifier: str, value: Decimal) -> None:
        """Write an AMT."""
        self.add("AMT", qualifier, plain(value))

    def amounts(self, table: Coded, owner: object) -> None:
        """Write the AMT of every amount of *owner* that *table* names."""
        for qualifier, field in table:
            if (value := getattr(owner, field)) is not None:
                self.amount(qualifier, value)

    def drug(self, line: ClaimLine) -> None:
        """Write loop 2410."""
        if drug := line.drug:
            self.add("LIN", "", "N4", self.clean(drug.ndc))
            self.add("CTP", "", "", "", number(drug.quantity), (drug.unit,))
            self.reference("VY", drug.link)
            if not drug.link:
                self.reference("XZ", drug.prescription)

    def codes(self, codes: Iterable[tuple[str, ...]], most: int = 12) -> None:
        """Write *codes*, each a composite that begins with its qualifier, as HI segments of up to *most*."""
        kept = list(codes)
        for start in range(0, len(kept), most):
            composites: list[Element] = [
                tuple(self.clean(part) for part in code) for code in kept[start : start + most]
            ]
            self.add("HI", *composites)

    def procedure(self, code: str, modifiers: tuple[str, ...], description: str = "") -> Element:
        """The composite of a procedure; empty when there is no code."""
        if not code:
            return ""
        return ("HC", self.clean(code), *(*modifiers, "", "", "", "")[:4], self.clean(description))


def gathered(items: Iterable[V], key: Callable[[V], K]) -> list[tuple[K, list[V]]]:
    """*items* by *key*, in the order of each key's first item."""
    groups: dict[K, list[V]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return list(groups.items())


def _parts(claims: list[Claim]) -> Iterator[list[Claim]]:
    for start in range(0, len(claims), _CLAIMS_PER_LEVEL):
        yield claims[start : start + _CLAIMS_PER_LEVEL]
