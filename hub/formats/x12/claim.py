"""The canonical professional claim: what an 837P says, in the terms of the field.

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
class BillingProvider:
    """Who bills (loop 2010AA). *tax_id* has nine digits; *tax_id_kind* is ``EI`` or ``SY`` (social security).

    *address* is a street; a box or lockbox goes into *pay_to* (loop 2010AB).
    """

    party: Party
    npi: str
    tax_id: str
    address: Address
    taxonomy: str = ""
    tax_id_kind: str = "EI"
    pay_to: Address | None = None


@dataclass(frozen=True, slots=True)
class Provider:
    """A rendering, referring or supervising provider."""

    party: Party
    npi: str = ""
    taxonomy: str = ""


@dataclass(frozen=True, slots=True)
class Facility:
    """Where the service took place, when that is not the billing provider's address (loop 2310C)."""

    name: str
    address: Address
    npi: str = ""


@dataclass(frozen=True, slots=True)
class Payer:
    """A payer: its id in the receiver's list and its claim filing indicator (SBR09)."""

    name: str
    id: str
    filing_indicator: str = "CI"


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


@dataclass(frozen=True, slots=True)
class Patient:
    """The patient when that is not the subscriber (loop 2010CA); *relationship* is PAT01, ``19`` a child."""

    person: Person
    address: Address
    birth_date: date
    sex: str
    relationship: str


@dataclass(frozen=True, slots=True)
class Drug:
    """A drug on a line (loop 2410): eleven digits, how much, and ``F2``, ``GR``, ``ME``, ``ML`` or ``UN``."""

    ndc: str
    quantity: Decimal
    unit: str


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
    bundled_into: int = 0


@dataclass(frozen=True, slots=True)
class OtherPayer:
    """Another payer of the claim and what it decided (loops 2320, 2330A, 2330B).

    *decided* is the day of its decision where no line says it; *remark_codes* (MOA) are of the whole claim.
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
    decided: date | None = None
    remark_codes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClaimLine:
    """A service line (loop 2400). *control_number* is REF*6R, which comes back in the 277CA and the 835.

    *pointers* are 1-based positions in the claim's diagnoses. *place_of_service* is given only when it
    differs from the claim's, *service_to* only for a range. *description* (SV101-7) is for codes that
    require one.
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


@dataclass(frozen=True, slots=True)
class Claim:
    """A professional claim for one patient and payer (loop 2300). *control_number* is our own, CLM01.

    *frequency* is ``1`` original, ``7`` replacement or ``8`` void; 7 and 8 carry
    *payer_claim_control_number* (REF*F8). *assignment* is CLM07 (``A``, ``B``, ``C``), *benefits_assignment*
    CLM08 (``Y``, ``N``, ``W``), *release* CLM09 (``Y``, ``I``), *signature* CLM06. *related_causes* are
    ``AA``, ``EM``, ``OA``; *accident_state* goes with ``AA``.
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
