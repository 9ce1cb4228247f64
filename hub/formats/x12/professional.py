"""Professional claims as 837P (005010X222A1), written and read back."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from hub.core.money import plain
from hub.formats.x12.claim import Ambulance, Claim, ClaimBatch, ClaimLine, Measurement, Purchase
from hub.formats.x12.claim_reader import (
    Levels,
    claim_fields,
    coded,
    line_parts,
    organisation_name,
    read_address,
    read_attachments,
    read_codes,
    read_facility,
    read_levels,
    read_provider,
    required_day,
)
from hub.formats.x12.claim_writer import ClaimWriter
from hub.formats.x12.envelope import Transaction, read_transactions
from hub.formats.x12.parts import element, first, split
from hub.formats.x12.parts import parties as parties_of
from hub.formats.x12.segments import Segment
from hub.formats.x12.values import ZERO, amount, optional_amount, period, quantity
from hub.formats.x12.values import number as digits
from hub.formats.x12.writer import Envelope

VERSION = "005010X222A1"

_DAYS = (
    ("431", "onset_date"),
    ("454", "initial_treatment_date"),
    ("304", "last_seen_date"),
    ("453", "acute_date"),
    ("439", "accident_date"),
    ("484", "menstrual_date"),
    ("455", "xray_date"),
    ("471", "prescription_date"),
)
_DAYS_AFTER_DISABILITY = (
    ("297", "last_worked_date"),
    ("296", "return_date"),
    ("435", "admission_date"),
    ("096", "discharge_date"),
    ("090", "care_assumed_date"),
    ("091", "care_relinquished_date"),
    ("444", "first_contact_date"),
)
_REFERENCES = (
    ("4N", "authorisation_exception"),
    ("F5", "medicare_4081"),
    ("EW", "mammography_certification"),
    ("9F", "referral_number"),
    ("G1", "prior_authorisation"),
    ("F8", "payer_claim_control_number"),
    ("X4", "clia"),
    ("LX", "investigational_device"),
    ("D9", "intermediary_trace"),
    ("EA", "medical_record_number"),
    ("P4", "demonstration"),
    ("1J", "care_plan_oversight"),
)
_LINE_DAYS = (
    ("471", "prescription_date"),
    ("304", "last_seen_date"),
    ("738", "haemoglobin_date"),
    ("739", "creatinine_date"),
    ("011", "shipped_date"),
    ("455", "xray_date"),
    ("454", "initial_treatment_date"),
)
_LINE_REFERENCES = (
    ("G1", "prior_authorisation"),
    ("6R", "control_number"),
    ("EW", "mammography_certification"),
    ("X4", "clia"),
    ("F4", "referring_clia"),
    ("BT", "immunisation_batch"),
    ("9F", "referral_number"),
)
_LINE_AMOUNTS = (("T", "sales_tax"), ("F4", "postage"))


def write_837p(envelope: Envelope, batch: ClaimBatch) -> bytes:
    """The interchange that carries *batch*, one transaction set.

    Claims are gathered by billing provider, then subscriber and payer, then patient, each in the order of its
    first claim. Raises :class:`UnwritableError` for an empty batch, a claim that is institutional or without lines or
    diagnoses, and an envelope that cannot be written. Whether the content is right is for the judge and the edits to
    say.
    """
    return _Writer(envelope).write(batch)


def read_837p(data: bytes) -> list[Claim]:
    """Every claim in the 837P transactions of *data*, in the order of the file.

    Reads back what :func:`write_837p` wrote as equal values, and of other senders' files what a :class:`Claim`
    can hold. Raises :class:`WrongTransactionError` when there is another kind of transaction,
    :class:`WrongValueError` for elements that are no amounts, quantities or dates, and what
    :func:`read_interchanges` raises.
    """
    return [claim for transaction in read_transactions(data) for claim in claims_of(transaction)]


def claims_of(transaction: Transaction) -> list[Claim]:
    """The claims of one 837P transaction; raises as :func:`read_837p` does."""
    return list(read_levels(transaction, "837P", _claim))


# --- writing


class _Writer(ClaimWriter):
    form = "837P"
    version = VERSION

    def details(self, claim: Claim) -> None:
        self._clm(claim)
        self.days(_DAYS, claim)
        self._disability(claim)
        self.days(_DAYS_AFTER_DISABILITY, claim)
        self.attachments(claim.attachments)
        if claim.patient_paid is not None:
            self.amount("F5", claim.patient_paid)
        self.references(_REFERENCES, claim)
        self.texts(claim)
        self._transport(claim.ambulance)
        self._conditions(claim.ambulance)
        if claim.homebound:
            self.add("CRC", "75", "Y", "IH")
        self.epsdt(claim)
        self.codes(("ABF" if index else "ABK", code) for index, code in enumerate(claim.diagnoses))
        self.codes(("BO" if index else "BP", code) for index, code in enumerate(claim.anaesthesia_procedures))
        self.codes(("BG", code) for code in claim.condition_codes)
        self.provider("DN", claim.referring)  # 2310A
        self.provider("P3", claim.primary_care)
        self.provider("82", claim.rendering)  # 2310B
        self.facility(claim.facility)  # 2310C
        self.provider("DQ", claim.supervising)  # 2310D
        self._way(claim.ambulance)  # 2310E, 2310F

    def _clm(self, claim: Claim) -> None:
        causes = (*claim.related_causes[:2], "", "")[:2]
        self.add(
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
            claim.signature_source,
            (*causes, "", claim.accident_state, claim.accident_country) if claim.related_causes else "",
            claim.special_program,
            *[""] * 7,
            claim.delay_reason,
        )

    def _disability(self, claim: Claim) -> None:
        begin, end = claim.disability_from, claim.disability_to
        if begin and end:
            self.days_between("314", begin, end)
        elif begin:
            self.day("360", begin)
        elif end:
            self.day("361", end)

    def _transport(self, ambulance: Ambulance | None) -> None:
        if ambulance is None:
            return
        weighed = ("LB", digits(ambulance.weight)) if ambulance.weight is not None else ("", "")
        purposes = (self.clean(ambulance.round_trip), self.clean(ambulance.stretcher))
        self.add("CR1", *weighed, "", ambulance.reason, "DH", digits(ambulance.miles), "", "", *purposes)

    def _conditions(self, ambulance: Ambulance | None) -> None:
        if ambulance and ambulance.conditions:
            self.add("CRC", "07", "Y", *ambulance.conditions[:5])

    def _way(self, ambulance: Ambulance | None) -> None:
        if ambulance and ambulance.pick_up:
            self.add("NM1", "PW", "2")
            self.address(ambulance.pick_up)
        if ambulance and ambulance.drop_off:
            self.add("NM1", "45", "2", self.clean(ambulance.drop_off_name))
            self.address(ambulance.drop_off)

    def line(self, line: ClaimLine) -> None:
        self._sv1(line)
        self.attachments(line.attachments)
        self._transport(line.ambulance)
        self._conditions(line.ambulance)
        self.served(line)
        self.days(_LINE_DAYS, line)
        if line.ambulance_patients is not None:
            self.add("QTY", "PT", digits(line.ambulance_patients))
        if line.obstetric_units is not None:
            self.add("QTY", "FL", digits(line.obstetric_units))
        for result in line.measurements:
            self.add("MEA", result.kind, result.what, digits(result.value))
        self.references(_LINE_REFERENCES, line)
        self.amounts(_LINE_AMOUNTS, line)
        if line.note:
            self.add("NTE", line.note_kind, self.clean(line.note))
        if line.third_party_note:
            self.add("NTE", "TPO", self.clean(line.third_party_note))
        bought = line.purchase
        if bought:
            self.add("PS1", self.clean(bought.seller), plain(bought.amount))
        self.drug(line)  # 2410
        self.provider("82", line.rendering)  # 2420A
        if bought:  # 2420B
            identified = ("XX", bought.npi) if bought.npi else ()
            self.add("NM1", "QB", "1" if bought.is_person else "2", *([""] * 5 if identified else ()), *identified)
        self.facility(line.facility)  # 2420C
        self.provider("DQ", line.supervising)  # 2420D
        self.provider("DK", line.ordering)  # 2420E
        self.provider("DN", line.referring)  # 2420F
        self._way(line.ambulance)  # 2420G, 2420H

    def _sv1(self, line: ClaimLine) -> None:
        self.add(
            "SV1",
            self.procedure(line.code, line.modifiers, line.description),
            plain(line.charge),
            line.unit_code,
            digits(line.units),
            line.place_of_service,
            "",
            tuple(str(p) for p in line.pointers),
            "",
            "Y" if line.emergency else "",
            "",
            "Y" if line.epsdt else "",
            "Y" if line.family_planning else "",
            "",
            "",
            "0" if line.copay_exempt else "",
        )


# --- reading


def _claim(segments: list[Segment], levels: Levels) -> Claim:
    before_lines, lines = split(segments, "LX")
    own, others = split(before_lines, "SBR")
    head, parties = parties_of(own)
    clm = segments[0]
    disability = next((s for s in head if s.id == "DTP" and s[1] in {"314", "360", "361"}), None)
    begin, end = period(disability[2], disability[3]) if disability else (None, None)
    return Claim(
        place_of_service=clm.component(5, 1),
        lines=tuple(_line(line) for line in lines),
        signature=clm[6] == "Y",
        related_causes=tuple(c for c in clm.components(11)[:2] if c),
        accident_state=clm.component(11, 4),
        accident_country=clm.component(11, 5),
        signature_source=clm[10],
        special_program=clm[12],
        disability_from=begin if disability and disability[1] != "361" else None,
        disability_to=None if disability is None or disability[1] == "360" else end,
        ambulance=_ambulance(head, parties),
        homebound=first(head, "CRC", "75") is not None,
        anaesthesia_procedures=tuple(code[0] for code in read_codes(head, "BP", "BO")),
        primary_care=read_provider(parties.get("P3")),
        supervising=read_provider(parties.get("DQ")),
        **claim_fields(levels, head, parties, others),
        **coded(head, days=_DAYS + _DAYS_AFTER_DISABILITY, references=_REFERENCES, amounts=(("F5", "patient_paid"),)),
    )


def _ambulance(head: list[Segment], parties: dict[str, list[Segment]]) -> Ambulance | None:
    cr1 = first(head, "CR1")
    if cr1 is None:
        return None
    crc = first(head, "CRC", "07")
    return Ambulance(
        reason=cr1[4],
        miles=quantity(cr1, 6) or ZERO,
        weight=quantity(cr1, 2),
        round_trip=cr1[9],
        stretcher=cr1[10],
        conditions=tuple(code for code in crc.elements[3:8] if code) if crc else (),
        pick_up=read_address(parties.get("PW", [])),
        drop_off=read_address(parties.get("45", [])),
        drop_off_name=organisation_name(parties.get("45")),
    )


def _line(segments: list[Segment]) -> ClaimLine:
    head, parties, drug, adjudications, forms = line_parts(segments)
    sv1 = first(head, "SV1") or segments[0]
    dtp = first(head, "DTP", "472")
    begin, end = period(dtp[2], dtp[3]) if dtp else (None, None)
    notes = [s for s in head if s.id == "NTE"]
    note = next((s for s in notes if s[1] != "TPO"), None)
    fields = coded(head, days=_LINE_DAYS, references=_LINE_REFERENCES, amounts=_LINE_AMOUNTS)
    return ClaimLine(
        control_number=fields.pop("control_number", ""),
        code=sv1.component(1, 2),
        charge=amount(sv1, 2),
        units=quantity(sv1, 4) or ZERO,
        service_date=begin or required_day(dtp or sv1, 3),
        pointers=tuple(int(p) for p in sv1.components(7) if p.isdecimal() and p.isascii()),
        modifiers=tuple(m for m in sv1.components(1)[2:6] if m),
        unit_code=sv1[3],
        service_to=end if end != begin else None,
        place_of_service=sv1[5],
        description=sv1.component(1, 7),
        emergency=sv1[9] == "Y",
        epsdt=sv1[11] == "Y",
        family_planning=sv1[12] == "Y",
        copay_exempt=sv1[15] == "0",
        attachments=read_attachments(head),
        ambulance=_ambulance(head, parties),
        ambulance_patients=_counted(head, "PT"),
        obstetric_units=_counted(head, "FL"),
        measurements=tuple(Measurement(s[1], s[2], quantity(s, 3) or ZERO) for s in head if s.id == "MEA"),
        drug=drug,
        note=note[2] if note else "",
        note_kind=note[1] if note else "ADD",
        third_party_note=element(head, "NTE", 2, "TPO"),
        purchase=_purchase(head, parties),
        rendering=read_provider(parties.get("82")),
        facility=read_facility(parties.get("77")),
        supervising=read_provider(parties.get("DQ")),
        ordering=read_provider(parties.get("DK")),
        referring=read_provider(parties.get("DN")),
        adjudications=adjudications,
        forms=forms,
        **fields,
    )


def _counted(head: Iterable[Segment], qualifier: str) -> Decimal | None:
    segment = first(head, "QTY", qualifier)
    return quantity(segment, 2) if segment else None


def _purchase(head: Iterable[Segment], parties: dict[str, list[Segment]]) -> Purchase | None:
    ps1 = first(head, "PS1")
    if ps1 is None:
        return None
    seller = first(parties.get("QB", []), "NM1")
    return Purchase(
        ps1[1],
        optional_amount(ps1, 2) or ZERO,
        seller[9] if seller else "",
        seller is not None and seller[2] == "1",
    )
