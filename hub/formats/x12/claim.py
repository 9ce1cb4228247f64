"""The canonical claim, professional or institutional: what an 837P or 837I says, in the terms of the field.

Values are as the guide wants them (upper case, codes without points, dates as dates); making them so is the
work of whoever fills them, and :func:`hub.formats.x12.writer.clean` helps. Nothing here knows segments.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Self

from hub.formats.x12.records import Plain, from_plain, to_plain

SELF = "18"
STILL_A_PATIENT = "30"  # CL103
_INPATIENT = frozenset({"11", "18", "21", "28", "41", "51", "61", "65", "66", "86"})


@dataclass(frozen=True, slots=True)
class Address:
    """A postal address; *postal_code* has five or nine digits and no dash.

    *country* is empty for the United States.
    """

    line1: str
    city: str
    state: str
    postal_code: str
    line2: str = ""
    country: str = ""


@dataclass(frozen=True, slots=True)
class Person:
    """A person's name."""

    last: str
    first: str = ""
    middle: str = ""
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class Organisation:
    """An organisation's name."""

    name: str


Party = Person | Organisation


@dataclass(frozen=True, slots=True)
class SecondaryId:
    """An identifier besides the NPI or payer id (REF): its qualifier, ``G2`` for example, and itself."""

    kind: str
    id: str


@dataclass(frozen=True, slots=True)
class Submitter:
    """Who sends the batch (loop 1000A): the id that the receiver knows, and whom to ask."""

    name: str
    id: str
    contact: str = ""
    phone: str = ""
    email: str = ""


@dataclass(frozen=True, slots=True)
class Receiver:
    """Who gets the batch (loop 1000B)."""

    name: str
    id: str


@dataclass(frozen=True, slots=True)
class PayToPlan:
    """A plan that asks to be paid in the billing provider's place, in subrogation (loop 2010AC)."""

    name: str
    id: str
    tax_id: str
    address: Address


@dataclass(frozen=True, slots=True)
class BillingProvider:
    """Who bills (loop 2010AA). *tax_id* has nine digits; *tax_id_kind* is ``EI`` or ``SY`` (social security).

    *address* is a street; a box or lockbox goes into *pay_to* (loop 2010AB). *secondary_ids* are its licence (``0B``)
    and UPIN (``1G``), on professional claims.
    """

    party: Party
    npi: str
    tax_id: str
    address: Address
    taxonomy: str = ""
    tax_id_kind: str = "EI"
    pay_to: Address | None = None
    pay_to_plan: PayToPlan | None = None
    secondary_ids: tuple[SecondaryId, ...] = ()


@dataclass(frozen=True, slots=True)
class Provider:
    """A person, or for rendering an organisation, with a part in the claim or line: rendering, referring, attending.

    *taxonomy* is sent of rendering and attending providers only, *address* of ordering ones.
    """

    party: Party
    npi: str = ""
    taxonomy: str = ""
    secondary_ids: tuple[SecondaryId, ...] = ()
    address: Address | None = None


@dataclass(frozen=True, slots=True)
class Facility:
    """Where the service took place, when that is not the billing provider's address (loop 2310C, 837I 2310E)."""

    name: str
    address: Address
    npi: str = ""
    secondary_ids: tuple[SecondaryId, ...] = ()


@dataclass(frozen=True, slots=True)
class Payer:
    """A payer: its id in the receiver's list and its claim filing indicator (SBR09).

    *secondary_ids* are further ids of the payer (``2U``, ``EI``, ``FY``, ``NF``), *provider_ids* those that it gave the
    billing provider (``G2``, ``LU``).
    """

    name: str
    id: str
    filing_indicator: str = "CI"
    address: Address | None = None
    secondary_ids: tuple[SecondaryId, ...] = ()
    provider_ids: tuple[SecondaryId, ...] = ()


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a professional claim may say of the patient besides demographics (PAT): *weight* is in pounds."""

    death_date: date | None = None
    weight: Decimal | None = None
    pregnant: bool = False


@dataclass(frozen=True, slots=True)
class Subscriber:
    """Whose policy it is (loop 2010BA). *sequence* is SBR01: ``P``, ``S``, ``T``, and so on.

    *insurance_type* (SBR05) is for Medicare as secondary payer only. Address, birth date and sex are
    required by the guide when the subscriber is the patient.
    """

    person: Party
    member_id: str
    address: Address | None = None
    birth_date: date | None = None
    sex: str = ""
    group_number: str = ""
    group_name: str = ""
    sequence: str = "P"
    insurance_type: str = ""
    property_claim_number: str = ""
    circumstances: Circumstances = Circumstances()


@dataclass(frozen=True, slots=True)
class Patient:
    """The patient when that is not the subscriber (loop 2010CA); *relationship* is PAT01, ``19`` a child.

    *property_claim_number* (REF*Y4) is the casualty insurer's number of the event, here as in :class:`Subscriber`.
    """

    person: Person
    address: Address
    birth_date: date
    sex: str
    relationship: str
    property_claim_number: str = ""
    circumstances: Circumstances = Circumstances()


@dataclass(frozen=True, slots=True)
class Drug:
    """A drug on a line (loop 2410): eleven digits, how much, and ``F2``, ``GR``, ``ME``, ``ML`` or ``UN``.

    *prescription* is the prescription's number (REF*XZ), *link* what joins the parts of a compound (REF*VY).
    """

    ndc: str
    quantity: Decimal
    unit: str
    prescription: str = ""
    link: str = ""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A document that goes another way (PWK): its kind, how it is sent, and the number by which both are joined.

    *kind* is PWK01 (``OB`` operative note), *way* PWK02 (``EL``, ``FX``, ``BM``, or ``AA`` on request, which needs no
    *control_number*).
    """

    kind: str
    way: str
    control_number: str = ""


@dataclass(frozen=True, slots=True)
class Ambulance:
    """A transport (CR1, CRC*07, loops 2310E and F or 2420G and H): why and how far, and from where to where.

    *reason* is CR104 (``A`` to ``E``), *conditions* are the codes of CRC*07 that apply.
    """

    reason: str
    miles: Decimal
    weight: Decimal | None = None
    round_trip: str = ""
    stretcher: str = ""
    conditions: tuple[str, ...] = ()
    pick_up: Address | None = None
    drop_off: Address | None = None
    drop_off_name: str = ""


@dataclass(frozen=True, slots=True)
class Measurement:
    """A test result on a line (MEA): ``OG`` or ``TR``, what was measured (``HT``, ``R1`` ...), and the value."""

    kind: str
    what: str
    value: Decimal


@dataclass(frozen=True, slots=True)
class Purchase:
    """A service that the billing provider bought (PS1, loop 2420B): from whom, and for how much."""

    seller: str
    amount: Decimal
    npi: str = ""
    is_person: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer on a form (FRM): the question's number and yes/no, text, date or percentage, one of them."""

    question: str
    choice: str = ""
    text: str = ""
    on: date | None = None
    percent: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Form:
    """A form that supports a line (loop 2440): the list of forms (``UT``, ``AS``), the form, its answers."""

    list: str
    code: str
    answers: tuple[Answer, ...]


@dataclass(frozen=True, slots=True)
class Adjustment:
    """A reason and amount by which a payer paid less than was charged (CAS): a group code and one triplet."""

    group: str
    reason: str
    amount: Decimal
    quantity: Decimal | None = None


@dataclass(frozen=True, slots=True)
class LineAdjudication:
    """What another payer decided about a line (loop 2430).

    *payer_id* is the id of one of the claim's other payers, *code* the procedure that it decided. *bundled_into* is the
    number of the line that it paid this one with; 0 when it did not.
    """

    payer_id: str
    paid: Decimal
    code: str
    units: Decimal
    decided: date
    modifiers: tuple[str, ...] = ()
    adjustments: tuple[Adjustment, ...] = ()
    remaining: Decimal | None = None
    revenue_code: str = ""
    bundled_into: int = 0


@dataclass(frozen=True, slots=True)
class OtherPayer:
    """Another payer of the claim and what it decided (loops 2320, 2330A, 2330B).

    *decided* is given here or on the lines, never both. *remark_codes* are those of its MOA, or of its MIA when
    it decided about an *inpatient*. *not_covered* is AMT*A8.
    """

    payer: Payer
    subscriber: Subscriber
    relationship: str = SELF
    paid: Decimal | None = None
    remaining: Decimal | None = None
    adjustments: tuple[Adjustment, ...] = ()
    claim_control_number: str = ""
    benefits_assignment: str = "Y"
    release: str = "Y"
    not_covered: Decimal | None = None
    decided: date | None = None
    inpatient: bool = False
    remark_codes: tuple[str, ...] = ()
    prior_authorisation: str = ""
    referral_number: str = ""
    secondary_ids: tuple[SecondaryId, ...] = ()


@dataclass(frozen=True, slots=True)
class ClaimLine:
    """A service line (loop 2400). *control_number* is REF*6R, which comes back in the 277CA and the 835.

    *pointers* are 1-based positions in the claim's diagnoses. *place_of_service* is given only when it
    differs from the claim's, *service_to* only for a range. *description* (SV101-7) is for codes that
    require one. Anaesthesia has minutes: *unit_code* ``MJ``. Institutional lines have a *revenue_code* and no pointers,
    and their *code* may be empty.
    """

    control_number: str
    code: str
    charge: Decimal
    units: Decimal
    service_date: date
    pointers: tuple[int, ...]
    modifiers: tuple[str, ...] = ()
    unit_code: str = "UN"
    service_to: date | None = None
    place_of_service: str = ""
    description: str = ""
    emergency: bool = False
    drug: Drug | None = None
    note: str = ""
    rendering: Provider | None = None
    adjudications: tuple[LineAdjudication, ...] = ()
    revenue_code: str = ""
    not_covered: Decimal | None = None
    service_tax: Decimal | None = None
    facility_tax: Decimal | None = None
    epsdt: bool = False
    family_planning: bool = False
    copay_exempt: bool = False
    attachments: tuple[Attachment, ...] = ()
    ambulance: Ambulance | None = None
    prescription_date: date | None = None
    last_seen_date: date | None = None
    haemoglobin_date: date | None = None
    creatinine_date: date | None = None
    shipped_date: date | None = None
    xray_date: date | None = None
    initial_treatment_date: date | None = None
    ambulance_patients: Decimal | None = None
    obstetric_units: Decimal | None = None
    measurements: tuple[Measurement, ...] = ()
    prior_authorisation: str = ""
    referral_number: str = ""
    mammography_certification: str = ""
    clia: str = ""
    referring_clia: str = ""
    immunisation_batch: str = ""
    sales_tax: Decimal | None = None
    postage: Decimal | None = None
    note_kind: str = "ADD"
    third_party_note: str = ""
    purchase: Purchase | None = None
    facility: Facility | None = None
    supervising: Provider | None = None
    ordering: Provider | None = None
    referring: Provider | None = None
    operating: Provider | None = None
    other_operating: Provider | None = None
    forms: tuple[Form, ...] = ()

    @property
    def billed_code(self) -> str:
        """The procedure, or the revenue code of a line that has none."""
        return self.code or self.revenue_code


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A diagnosis with its present-on-admission indicator (``Y``, ``N``, ``U``, ``W``, or empty when exempt)."""

    code: str
    present: str = ""


@dataclass(frozen=True, slots=True)
class Procedure:
    """An inpatient procedure (ICD-10-PCS) and its day."""

    code: str
    on: date


@dataclass(frozen=True, slots=True)
class Occurrence:
    """An occurrence code and its day, or its days when *until* is given (an occurrence span)."""

    code: str
    on: date
    until: date | None = None


@dataclass(frozen=True, slots=True)
class ValueCode:
    """A value code and its amount, which may be a count: it has two decimals all the same."""

    code: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Institutional:
    """What a claim says on a UB-04 besides what every claim says (837I loop 2300).

    *facility_type* is the first two digits of the type of bill; the third is the claim's frequency. *present* goes with
    the claim's diagnoses, one by one, and may be shorter. *admitted* and *discharge_hour* are HHMM where they are
    times. *statement_to* is the last day of the statement.
    """

    facility_type: str
    statement_from: date
    statement_to: date
    patient_status: str
    admission_type: str = ""
    admission_source: str = ""
    admission_time: str = ""
    discharge_time: str = ""
    present: tuple[str, ...] = ()
    admitting_diagnosis: str = ""
    visit_reasons: tuple[str, ...] = ()
    external_causes: tuple[Diagnosis, ...] = ()
    drg: str = ""
    procedures: tuple[Procedure, ...] = ()
    occurrences: tuple[Occurrence, ...] = ()
    values: tuple[ValueCode, ...] = ()
    treatment_codes: tuple[str, ...] = ()
    patient_due: Decimal | None = None
    attending: Provider | None = None
    operating: Provider | None = None
    other_operating: Provider | None = None

    @property
    def is_inpatient(self) -> bool:
        """Whether the type of bill is one of an inpatient stay."""
        return self.facility_type in _INPATIENT

    @property
    def still_a_patient(self) -> bool:
        """Whether the patient is still there when the statement ends."""
        return self.patient_status == STILL_A_PATIENT

    @property
    def days(self) -> int:
        """How many days of a stay the statement covers; that of the discharge is none, unless it is the only one."""
        return max(1, (self.statement_to - self.statement_from).days + self.still_a_patient)


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim for one patient and payer (loop 2300), institutional when it has an :class:`Institutional` part.

    *control_number* is our own, CLM01.

    *frequency* is one of :mod:`hub.formats.x12.frequency`; 7 and 8 carry *payer_claim_control_number* (REF*F8).
    *assignment* is CLM07 (``A``, ``B``, ``C``), *benefits_assignment* CLM08 (``Y``, ``N``, ``W``), *release* CLM09
    (``Y``, ``I``), *signature* CLM06. *related_causes* are ``AA``, ``EM``, ``OA``; *accident_state* goes with ``AA``.
    An institutional claim has no place of service, and no signature, causes or dates of illness.
    """

    control_number: str
    billing_provider: BillingProvider
    subscriber: Subscriber
    payer: Payer
    place_of_service: str
    diagnoses: tuple[str, ...]
    lines: tuple[ClaimLine, ...]
    patient: Patient | None = None
    frequency: str = "1"
    signature: bool = True
    assignment: str = "A"
    benefits_assignment: str = "Y"
    release: str = "Y"
    related_causes: tuple[str, ...] = ()
    accident_state: str = ""
    accident_date: date | None = None
    onset_date: date | None = None
    admission_date: date | None = None
    delay_reason: str = ""
    patient_paid: Decimal | None = None
    referral_number: str = ""
    prior_authorisation: str = ""
    payer_claim_control_number: str = ""
    clia: str = ""
    medical_record_number: str = ""
    note: str = ""
    referring: Provider | None = None
    rendering: Provider | None = None
    facility: Facility | None = None
    supervising: Provider | None = None
    other_payers: tuple[OtherPayer, ...] = ()
    institutional: Institutional | None = None
    signature_source: str = ""
    accident_country: str = ""
    special_program: str = ""
    initial_treatment_date: date | None = None
    last_seen_date: date | None = None
    acute_date: date | None = None
    menstrual_date: date | None = None
    xray_date: date | None = None
    prescription_date: date | None = None
    disability_from: date | None = None
    disability_to: date | None = None
    last_worked_date: date | None = None
    return_date: date | None = None
    discharge_date: date | None = None
    care_assumed_date: date | None = None
    care_relinquished_date: date | None = None
    first_contact_date: date | None = None
    attachments: tuple[Attachment, ...] = ()
    authorisation_exception: str = ""
    medicare_4081: str = ""
    mammography_certification: str = ""
    investigational_device: str = ""
    intermediary_trace: str = ""
    demonstration: str = ""
    care_plan_oversight: str = ""
    fixed_information: tuple[str, ...] = ()
    note_kind: str = "ADD"
    ambulance: Ambulance | None = None
    homebound: bool = False
    epsdt_referral: tuple[str, ...] = ()
    anaesthesia_procedures: tuple[str, ...] = ()
    condition_codes: tuple[str, ...] = ()
    primary_care: Provider | None = None

    @property
    def form(self) -> str:
        """``837P`` or ``837I``."""
        return "837I" if self.institutional else "837P"

    @property
    def charge(self) -> Decimal:
        """The claim's total charge, CLM02: what its lines charge, never a figure of its own."""
        return sum((line.charge for line in self.lines), Decimal("0.00"))

    def to_dict(self) -> dict[str, Plain]:
        """Return the claim as JSON values; amounts and quantities are texts."""
        plain = to_plain(self)
        assert isinstance(plain, dict)
        return plain

    @classmethod
    def from_dict(cls, data: dict[str, Plain]) -> Self:
        """Return the claim that :meth:`to_dict` wrote. Raises :class:`BadRecordError`."""
        return from_plain(cls, data)


@dataclass(frozen=True, slots=True)
class ClaimBatch:
    """The claims of one 837: *reference* is BHT03, which the 277CA gives back in its receiver's TRN02.

    *reissue* marks a batch sent again (BHT02 18); *reporting* one that reports encounters and asks for no
    money.
    """

    submitter: Submitter
    receiver: Receiver
    reference: str
    claims: tuple[Claim, ...]
    reissue: bool = False
    reporting: bool = False
