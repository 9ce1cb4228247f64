"""What mapping scripts hand to billing: plain values, named in the field's terms.

Each value says what its source said and nothing more; billing decides what it means. Amounts are `Decimal`
dollars, quantities `Decimal`, dates are dates. ``source_path`` (``FT1[2]``) is filled in by the mapping
runtime, so that any figure can be followed back to the message, and so are ``origins``: the fields whose values were
read from the message or from a table, each with its place.

Some look like a part of :class:`hub.formats.x12.claim.Claim` (`Drug`, `Attachment`, `Transport`) and are not it: these
are what mapping scripts rely on and stored visits keep, those change with the guide that claims are written by.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

Origins = tuple[tuple[str, str], ...]
FROM_MESSAGE = "message "
"""Before a message's id and ``:``, in the place of a value that another message said than the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """A person's name."""

    family: str
    given: str = ""
    middle: str = ""
    suffix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A postal address; *state* is the two-letter code, *postal_code* without a hyphen."""

    line: str = ""
    line2: str = ""
    city: str = ""
    state: str = ""
    postal_code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clinician:
    """A person whom the source names by NPI, so that claims can name people from outside of the practice."""

    npi: str
    family: str
    given: str = ""
    middle: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A document about the visit that goes to the payer another way.

    *kind* is PWK01 (``OB`` operative note), *way* PWK02 (``EL`` electronic, ``FX`` fax, ``BM`` mail, ``AA`` on
    request), *control_number* what joins it with the claim.
    """

    kind: str
    way: str = "AA"
    control_number: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accident:
    """The accident that the visit is about: *cause* is ``auto``, ``work`` or ``other``."""

    cause: str
    on: date | None = None
    state: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class IllnessDates:
    """The days of an illness that payers want on a professional claim (DTP of loop 2300), as far as they are known.

    *last_seen* is by the physician who ordered foot care or therapy, *acute* the acute manifestation that a
    chiropractor treats, *menstrual* the last menstrual period, *returned* the authorised return to work.
    """

    initial_treatment: date | None = None
    last_seen: date | None = None
    acute: date | None = None
    menstrual: date | None = None
    xray: date | None = None
    prescription: date | None = None
    disability_from: date | None = None
    disability_to: date | None = None
    last_worked: date | None = None
    returned: date | None = None
    care_assumed: date | None = None
    care_relinquished: date | None = None
    first_contact: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DatedCode:
    """A procedure, or an occurrence code, and its day; *until* makes it a span."""

    code: str
    on: date
    until: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AmountCode:
    """A value code of the UB-04 and its amount."""

    code: str
    amount: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Stay:
    """What a hospital says of a visit, in the terms of the UB-04.

    *type_of_bill* is its first two digits (``13``), *admission_time* and *discharge_time* are HHMM. *present* goes with
    *diagnoses*, one indicator each. Codes are without dots.
    """

    type_of_bill: str = ""
    admitted: date | None = None
    admission_time: str = ""
    discharged: date | None = None
    discharge_time: str = ""
    admission_type: str = ""
    admission_source: str = ""
    patient_status: str = ""
    diagnoses: tuple[str, ...] = ()
    present: tuple[str, ...] = ()
    admitting_diagnosis: str = ""
    visit_reasons: tuple[str, ...] = ()
    external_causes: tuple[str, ...] = ()
    drg: str = ""
    procedures: tuple[DatedCode, ...] = ()
    occurrences: tuple[DatedCode, ...] = ()
    values: tuple[AmountCode, ...] = ()
    conditions: tuple[str, ...] = ()
    operating_npi: str = ""
    other_operating_npi: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drug:
    """A drug that was given: its NDC, how much, and in what (``F2``, ``GR``, ``ME``, ``ML``, ``UN``)."""

    ndc: str
    quantity: Decimal
    unit: str = "UN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transport:
    """A transport by ambulance (CR1): *reason* is CR104 (``A`` to ``E``), *miles* how far.

    *round_trip* and *stretcher* say why these were needed, *conditions* are the codes that apply (CRC*07), *pick_up*
    and *drop_off* where it went from and to. *weight* is the patient's in pounds, where it is not the visit's.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """One insurance of the patient.

    *relationship* is the patient's to the insured: ``self``, ``spouse``, ``child``, ``other``. *insurance_type* says
    why Medicare pays second (SBR05: ``12`` working aged, ``43`` disabled…), where the source knows it. *claim_number*
    is the casualty insurer's number of the event. *assigned* says whether the patient assigned the benefits (``Y``,
    ``N``, ``W`` refused), *released* whether medical facts may be told (``Y``, ``I`` by law); empty: not said.
    *verified* is the day on which the source asked the payer, *active* whether that said the coverage was in force.
    """

    priority: int
    payer_id: str
    payer_name: str = ""
    member_id: str = ""
    group_number: str = ""
    relationship: str = "self"
    insured_name: Name | None = None
    insured_birth_date: date | None = None
    insured_sex: str = ""
    insured_address: Address | None = None
    insurance_type: str = ""
    group_name: str = ""
    claim_number: str = ""
    assigned: str = ""
    released: str = ""
    verified: date | None = None
    active: bool | None = None
    effective: date | None = None
    expires: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """A person as the source knows them. *mrn* is unique within *authority*; *sex* is F, M or U."""

    mrn: str
    authority: str = ""
    name: Name
    birth_date: date | None = None
    sex: str = "U"
    address: Address | None = None
    phone: str = ""
    death_date: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A registration or its update (ADT A04, A08; Encounter).

    *as_of* is the source's own time of it, ISO text: an older one never overwrites a newer. *coverages* is the whole
    list, or None when the message does not speak of insurance. *procedures* are the codes that the source documents as
    done (PR1, Procedure), charged or not. *cancelled* voids the visit (A11). *clinicians* are the people whom the
    message names, whatever their part; *special_program* is CLM12; *stay* is what a hospital bills by. *charged* names
    the transactions that the visit's charges consist of, where the source tells all of them: one that is not named any
    more is taken back. None when the message does not speak of charges. *signed* says whether its provider has signed
    it, None where the source does not speak of that; single notes are a `Document` each. *patient_paid* is all that the
    patient paid for the visit so far, None where the source tells single payments (`PatientPayment`) or none. *weight*
    is the patient's in pounds; *transport* is for ambulances.
    """

    account: str
    visit_number: str = ""
    patient: Patient
    as_of: str = ""
    visit_date: date | None = None
    patient_class: str = "O"
    department: str = ""
    attending_npi: str = ""
    referring_npi: str = ""
    supervising_npi: str = ""
    clinicians: tuple[Clinician, ...] = ()
    coverages: tuple[Coverage, ...] | None = None
    procedures: tuple[str, ...] = ()
    accident: Accident | None = None
    onset: date | None = None
    dates: IllnessDates | None = None
    pregnant: bool = False
    special_program: str = ""
    prior_authorisation: str = ""
    referral_number: str = ""
    attachments: tuple[Attachment, ...] = ()
    stay: Stay | None = None
    charged: tuple[str, ...] | None = None
    signed: bool | None = None
    patient_paid: Decimal | None = None
    weight: Decimal | None = None
    transport: Transport | None = None
    cancelled: bool = False
    source_path: str = ""
    origins: Origins = field(default=(), compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """One charge line (FT1, ChargeItem). *transaction* is the source's own id of it and makes it idempotent.

    *kind* is ``charge`` or ``credit``; *amount* is the extended amount, positive for both; *credits* names the
    transaction that a credit takes back. *diagnoses* are ICD-10-CM codes without the dot, in pointer order.
    *revenue_code* is for hospitals' charges, whose *code* may be empty. *minutes* are those of anaesthesia. *notice*
    says whether a notice to the patient (ABN) is on file, None where the source does not speak of it. *referring_clia*
    is the CLIA number of the laboratory that referred a test to another. *as_of* is the source's own time of what it
    says, ISO text: an older one never overwrites a newer. Empty, the last one that comes is the newest.
    """

    transaction: str
    account: str
    mrn: str = ""
    authority: str = ""
    kind: str = "charge"
    service_date: date
    code: str
    modifiers: tuple[str, ...] = ()
    units: Decimal = Decimal(1)
    amount: Decimal
    diagnoses: tuple[str, ...] = ()
    performing_npi: str = ""
    ordering_npi: str = ""
    clinicians: tuple[Clinician, ...] = ()
    place_of_service: str = ""
    department: str = ""
    credits: str = ""
    service_to: date | None = None
    revenue_code: str = ""
    minutes: Decimal | None = None
    drug: Drug | None = None
    description: str = ""
    note: str = ""
    emergency: bool = False
    epsdt: bool = False
    family_planning: bool = False
    copay_exempt: bool = False
    prior_authorisation: str = ""
    notice: bool | None = None
    referring_clia: str = ""
    as_of: str = field(default="", compare=False)
    source_path: str = ""
    origins: Origins = field(default=(), compare=False)

    @property
    def billed_code(self) -> str:
        """The procedure, or the revenue code of a charge that has none."""
        return self.code or self.revenue_code


@dataclass(frozen=True, slots=True, kw_only=True)
class Appointment:
    """A booking (SIU, Appointment).

    *state* is ``booked``, ``cancelled`` or ``no show``; *starts* is ISO text with zone. *as_of* as of a `Charge`.
    """

    appointment: str
    mrn: str = ""
    authority: str = ""
    starts: str
    state: str = "booked"
    department: str = ""
    provider_npi: str = ""
    as_of: str = ""
    source_path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A note or other document of a visit (MDM, DocumentReference), by the source's own id.

    *state* is ``unsigned``, ``signed`` or ``withdrawn`` (entered in error); any other is as good as unsigned. *as_of*
    as of a `Charge`.
    """

    document: str
    account: str
    mrn: str = ""
    authority: str = ""
    state: str
    as_of: str = ""
    source_path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientPayment:
    """What a patient paid at the desk for a visit (FT1-6 PY), by the source's own id of it; less than zero: given back.

    It stands on claims that are made after it (AMT*F5) and moves no money. *as_of* as of a `Charge`.
    """

    transaction: str
    account: str
    amount: Decimal
    mrn: str = ""
    authority: str = ""
    as_of: str = ""
    source_path: str = ""
    origins: Origins = field(default=(), compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """The source says that two records are one person (ADT A40): *retired* is *survivor* from now on."""

    survivor: Patient
    retired_mrn: str
    retired_authority: str = ""
    source_path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EligibilityAnswer:
    """What a payer answered about a patient's coverage (271, CoverageEligibilityResponse) on the day *answered*.

    *active* says whether the coverage is in force, None where that is not clear; *effective* and *expires* are its days
    where they are said. *member_id*, *name* and *birth_date* are as the payer has them, empty where it says none.
    *not_to_be_billed*: a qualified beneficiary. *other_payers* are the names of further payers that it tells of.
    """

    payer_id: str
    answered: date
    mrn: str = ""
    authority: str = ""
    member_id: str = ""
    name: Name | None = None
    birth_date: date | None = None
    active: bool | None = None
    effective: date | None = None
    expires: date | None = None
    plan: str = ""
    not_to_be_billed: bool | None = None
    other_payers: tuple[str, ...] = ()
    source_path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorisedService:
    """A service that a payer authorised: its *code* (empty: any), and how many *units*, None where it does not say."""

    code: str = ""
    units: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorisation:
    """What a payer authorised beforehand, under its *number* (AUT, a ClaimResponse to a preauthorisation).

    It is for *services* (none: any), from *effective* to *expires*, by one of *provider_npis* (none: anybody).
    *payer_id* is empty where the source does not say whose it is. *active* is False for one that was refused or taken
    back. *as_of* as of a `Charge`.
    """

    number: str
    mrn: str
    authority: str = ""
    payer_id: str = ""
    services: tuple[AuthorisedService, ...] = ()
    effective: date | None = None
    expires: date | None = None
    provider_npis: tuple[str, ...] = ()
    active: bool = True
    as_of: str = field(default="", compare=False)
    source_path: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerFile:
    """A whole X12 file from a clearinghouse or payer, for billing to read: TA1, 999, 277CA, 277, 271, 835.

    Its bytes are the message's own raw content; billing reads them from the store.
    """

    partner: str
    kinds: tuple[str, ...]
    source_path: str = ""


BillingValue = (
    Visit | Charge | PatientPayment | Appointment | Document | EligibilityAnswer | Authorisation | Merge | PartnerFile
)
BY_NAME: dict[str, type[BillingValue]] = {
    kind.__name__: kind
    for kind in (
        Visit,
        Charge,
        PatientPayment,
        Appointment,
        Document,
        EligibilityAnswer,
        Authorisation,
        Merge,
        PartnerFile,
    )
}
