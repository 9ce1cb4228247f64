"""Institutional claims as 837I (005010X223A2), written and read back.

Which code goes with which figure of the UB-04 is the National Uniform Billing Committee's; nothing here knows codes.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from hub.core.money import MoneyError, money, plain
from hub.formats.x12.claim import (
    Claim,
    ClaimBatch,
    ClaimLine,
    Diagnosis,
    Institutional,
    Occurrence,
    OtherPayer,
    Procedure,
    ValueCode,
)
from hub.formats.x12.claim_reader import (
    Levels,
    claim_fields,
    coded,
    line_parts,
    read_attachments,
    read_codes,
    read_levels,
    read_provider,
)
from hub.formats.x12.claim_writer import ClaimWriter
from hub.formats.x12.envelope import Transaction, read_transactions
from hub.formats.x12.errors import UnwritableError, WrongValueError
from hub.formats.x12.parts import element, first, split
from hub.formats.x12.parts import parties as parties_of
from hub.formats.x12.segments import Segment
from hub.formats.x12.values import ZERO, amount, day, optional_amount, period, quantity
from hub.formats.x12.values import number as digits
from hub.formats.x12.writer import Envelope

VERSION = "005010X223A2"

_REFERENCES = (
    ("4N", "authorisation_exception"),
    ("9F", "referral_number"),
    ("G1", "prior_authorisation"),
    ("F8", "payer_claim_control_number"),
    ("LX", "investigational_device"),
    ("D9", "intermediary_trace"),
    ("LU", "accident_state"),
    ("EA", "medical_record_number"),
    ("P4", "demonstration"),
)
_LINE_AMOUNTS = (("GT", "service_tax"), ("N8", "facility_tax"))


def write_837i(envelope: Envelope, batch: ClaimBatch) -> bytes:
    """The interchange that carries *batch*, one transaction set.

    Claims are gathered as :func:`hub.formats.x12.professional.write_837p` does. Raises :class:`UnwritableError` for an
    empty batch, a claim that is professional or without lines, diagnoses or revenue codes, and an envelope that cannot
    be written.
    """
    return _Writer(envelope).write(batch)


def read_837i(data: bytes) -> list[Claim]:
    """Every claim in the 837I transactions of *data*, in the order of the file.

    Reads back what :func:`write_837i` wrote as equal values, and of other senders' files what a :class:`Claim`
    can hold. Raises as :func:`hub.formats.x12.professional.read_837p`.
    """
    return [claim for transaction in read_transactions(data) for claim in claims_of(transaction)]


def claims_of(transaction: Transaction) -> list[Claim]:
    """The claims of one 837I transaction; raises as :func:`read_837i` does."""
    return list(read_levels(transaction, "837I", _claim))


# --- writing


class _Writer(ClaimWriter):
    form = "837I"
    version = VERSION

    def check(self, claim: Claim) -> None:
        super().check(claim)
        if not all(line.revenue_code for line in claim.lines):
            raise UnwritableError("A line has no revenue code.", where=f"claim {claim.control_number}")

    def details(self, claim: Claim) -> None:
        said = claim.institutional
        assert said is not None
        self.add(
            "CLM",
            self.clean(claim.control_number),
            plain(claim.charge),
            "",
            "",
            (said.facility_type, "A", claim.frequency),
            "",
            claim.assignment,
            claim.benefits_assignment,
            claim.release,
            *[""] * 10,
            claim.delay_reason,
        )
        self._stay(claim, said)
        self.add("CL1", said.admission_type, said.admission_source, said.patient_status)
        self.attachments(claim.attachments)
        if said.patient_due is not None:
            self.amount("F3", said.patient_due)
        self.references(_REFERENCES, claim)
        self.texts(claim)
        self.epsdt(claim)
        self._diagnoses(claim, said)
        self._ub_codes(claim, said)
        self.provider("71", said.attending)  # 2310A
        self.provider("72", said.operating)  # 2310B
        self.provider("ZZ", said.other_operating)  # 2310C
        self.provider("82", claim.rendering)  # 2310D
        self.facility(claim.facility)  # 2310E
        self.provider("DN", claim.referring)  # 2310F

    def _stay(self, claim: Claim, said: Institutional) -> None:
        if said.discharge_time:
            self.add("DTP", "096", "TM", said.discharge_time)
        self.days_between("434", said.statement_from, said.statement_to)
        if claim.admission_date and said.admission_time:
            self.add("DTP", "435", "DT", f"{claim.admission_date:%Y%m%d}{said.admission_time}")
        elif claim.admission_date:
            self.day("435", claim.admission_date)

    def _diagnoses(self, claim: Claim, said: Institutional) -> None:
        present = (*said.present, *[""] * len(claim.diagnoses))
        first_one, *others = zip(claim.diagnoses, present, strict=False)
        self.codes([_with_presence("ABK", *first_one)])
        if said.admitting_diagnosis:
            self.codes([("ABJ", said.admitting_diagnosis)])
        self.codes((("APR", code) for code in said.visit_reasons), most=3)
        self.codes(_with_presence("ABN", each.code, each.present) for each in said.external_causes)
        if said.drg:
            self.codes([("DR", said.drg)])
        self.codes(_with_presence("ABF", *each) for each in others)

    def _ub_codes(self, claim: Claim, said: Institutional) -> None:
        done = [(each.code, "D8", f"{each.on:%Y%m%d}") for each in said.procedures]
        self.codes([("BBR", *each) for each in done[:1]])
        self.codes(("BBQ", *each) for each in done[1:])
        self.codes(
            ("BI", each.code, "RD8", f"{each.on:%Y%m%d}-{each.until:%Y%m%d}") for each in said.occurrences if each.until
        )
        self.codes(("BH", each.code, "D8", f"{each.on:%Y%m%d}") for each in said.occurrences if not each.until)
        values = (*said.values, *_before_medicare(claim, said))
        self.codes(("BE", each.code, "", "", plain(each.amount)) for each in values)
        self.codes(("BG", code) for code in claim.condition_codes)
        self.codes(("TC", code) for code in said.treatment_codes)

    def other_amounts(self, other: OtherPayer) -> tuple[tuple[str, Decimal | None], ...]:
        return (("D", other.paid), ("EAF", other.remaining), ("A8", other.not_covered))

    def line(self, line: ClaimLine) -> None:
        self.add(
            "SV2",
            self.clean(line.revenue_code),
            self.procedure(line.code, line.modifiers, line.description),
            plain(line.charge),
            line.unit_code,
            digits(line.units),
            "",
            "" if line.not_covered is None else plain(line.not_covered),
        )
        self.attachments(line.attachments)
        self.served(line)
        self.reference("6R", line.control_number)
        self.amounts(_LINE_AMOUNTS, line)
        if line.third_party_note:
            self.add("NTE", "TPO", self.clean(line.third_party_note))
        self.drug(line)  # 2410
        self.provider("72", line.operating)  # 2420A
        self.provider("ZZ", line.other_operating)  # 2420B
        self.provider("82", line.rendering)  # 2420C
        self.provider("DN", line.referring)  # 2420D


def _before_medicare(claim: Claim, said: Institutional) -> tuple[ValueCode, ...]:
    """Why another payer pays before Medicare, and what it paid.

    The value codes 12 to 16, 41 to 43 and 47 say what SBR05 says on an 837P and an 837I has no place for.
    """
    reason = claim.subscriber.insurance_type
    if not reason or any(each.code == reason for each in said.values):
        return ()
    paid = sum((other.paid or Decimal(0) for other in claim.other_payers), Decimal(0))
    return (ValueCode(reason, paid),)


def _with_presence(qualifier: str, code: str, present: str) -> tuple[str, ...]:
    """The composite of a diagnosis; its ninth component says whether it was present on admission."""
    return (qualifier, code, "", "", "", "", "", "", present) if present else (qualifier, code)


# --- reading


def _claim(segments: list[Segment], levels: Levels) -> Claim:
    before_lines, lines = split(segments, "LX")
    own, others = split(before_lines, "SBR")
    head, parties = parties_of(own)
    admitted = first(head, "DTP", "435")
    said = _institutional(segments[0], head, parties)
    return Claim(
        place_of_service="",
        lines=tuple(_line(line, said.statement_from) for line in lines),
        admission_date=period("D8", admitted[3])[0] if admitted else None,
        institutional=said,
        **claim_fields(levels, head, parties, others),
        **coded(head, references=_REFERENCES),
    )


def _institutional(clm: Segment, head: list[Segment], parties: dict[str, list[Segment]]) -> Institutional:
    statement = first(head, "DTP", "434")
    begin, end = period(statement[2], statement[3]) if statement else (None, None)
    if begin is None:
        raise WrongValueError("A claim has no statement period.", where=(statement or clm).place, expected="DTP*434")
    cl1 = first(head, "CL1")
    admitted = first(head, "DTP", "435")
    present = [code[7] for code in read_codes(head, "ABK", "ABF")]
    while present and not present[-1]:
        present.pop()
    due = first(head, "AMT", "F3")
    return Institutional(
        facility_type=clm.component(5, 1),
        statement_from=begin,
        statement_to=end or begin,
        patient_status=cl1[3] if cl1 else "",
        admission_type=cl1[1] if cl1 else "",
        admission_source=cl1[2] if cl1 else "",
        admission_time=admitted[3][8:] if admitted and admitted[2] == "DT" else "",
        discharge_time=element(head, "DTP", 3, "096"),
        present=tuple(present),
        admitting_diagnosis=next((code[0] for code in read_codes(head, "ABJ")), ""),
        visit_reasons=tuple(code[0] for code in read_codes(head, "APR")),
        external_causes=tuple(Diagnosis(code[0], code[7]) for code in read_codes(head, "ABN")),
        drg=next((code[0] for code in read_codes(head, "DR")), ""),
        procedures=tuple(Procedure(code[0], _day(code[2], clm)) for code in read_codes(head, "BBR", "BBQ")),
        occurrences=(
            *(
                Occurrence(code[0], _day(code[2], clm), period("RD8", code[2])[1] or _day(code[2], clm))
                for code in read_codes(head, "BI")
            ),
            *(Occurrence(code[0], _day(code[2], clm)) for code in read_codes(head, "BH")),
        ),
        values=tuple(ValueCode(code[0], _value(code[3], clm)) for code in read_codes(head, "BE")),
        treatment_codes=tuple(code[0] for code in read_codes(head, "TC")),
        patient_due=optional_amount(due, 2) if due else None,
        attending=read_provider(parties.get("71")),
        operating=read_provider(parties.get("72")),
        other_operating=read_provider(parties.get("ZZ")),
    )


def _day(text: str, clm: Segment) -> date:
    found = day(text)
    if found is None:
        raise WrongValueError("A code that has a date lacks it.", where=clm.place, expected="CCYYMMDD")
    return found


def _value(text: str, clm: Segment) -> Decimal:
    try:
        return money(text)
    except MoneyError:
        raise WrongValueError("A value code's amount is none.", where=clm.place, expected="an amount") from None


def _line(segments: list[Segment], statement_from: date) -> ClaimLine:
    head, parties, drug, adjudications, _ = line_parts(segments)
    sv2 = first(head, "SV2") or segments[0]
    dtp = first(head, "DTP", "472")
    begin, end = period(dtp[2], dtp[3]) if dtp else (None, None)
    return ClaimLine(
        control_number=element(head, "REF", 2, "6R"),
        revenue_code=sv2[1],
        code=sv2.component(2, 2),
        charge=amount(sv2, 3),
        units=quantity(sv2, 5) or ZERO,
        service_date=begin or statement_from,  # an inpatient's line may leave its date to the statement
        pointers=(),
        modifiers=tuple(m for m in sv2.components(2)[2:6] if m),
        description=sv2.component(2, 7),
        unit_code=sv2[4],
        service_to=end if end != begin else None,
        not_covered=optional_amount(sv2, 7),
        attachments=read_attachments(head),
        drug=drug,
        third_party_note=element(head, "NTE", 2, "TPO"),
        rendering=read_provider(parties.get("82")),
        operating=read_provider(parties.get("72")),
        other_operating=read_provider(parties.get("ZZ")),
        referring=read_provider(parties.get("DN")),
        adjudications=adjudications,
        **coded(head, amounts=_LINE_AMOUNTS),
    )
