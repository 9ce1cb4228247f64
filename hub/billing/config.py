"""What a site says of its practice, partners and payers, and how it wants to bill.

These are the models of ``config/*.toml``. Codes are strings: a code that looks like a number is still a code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hub.billing.denials.table import DenialTable, shipped
from hub.billing.rules.model import Rule
from hub.connectors.settings import Secret
from hub.core.units import Duration

Npi = Annotated[str, Field(pattern=r"^\d{10}$", description="National provider identifier, ten digits.")]

PlaceOfService = Annotated[str, Field(pattern=r"^\d{2}$", description="A place of service, two digits.")]

AWAY = frozenset({"02", "10", "12"})
"""Places of service that are where the patient is, by telehealth or at home, and no facility's."""

CutOff = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$", description="A time of day, HH:MM.")]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PostalAddress(_File):
    """A street address. X12 wants the nine-digit ZIP of billing providers."""

    line: str = Field(examples=["214 ALDER STREET"])
    line2: str = ""
    city: str
    state: str = Field(pattern=r"^[A-Z]{2}$", examples=["WI"])
    postal_code: str = Field(pattern=r"^\d{5}(\d{4})?$", examples=["537030001"])


class Provider(_File):
    """A person who renders services. Licence and UPIN are for payers that want them besides the NPI."""

    npi: Npi
    taxonomy: str = Field(pattern=r"^[0-9A-Z]{9}X$", examples=["207Q00000X"])
    family: str
    given: str
    license: str = Field(default="", max_length=50, description="The state's licence number (REF*0B).")
    upin: str = Field(default="", max_length=50, description="REF*1G.")


class Facility(_File):
    """A place where services are done that is not the practice's own address."""

    code: str
    name: str
    address: PostalAddress
    npi: str = Field(default="", pattern=r"^(\d{10})?$")
    clia: str = Field(default="", pattern=r"^(\d{2}D\d{7})?$", description="Its laboratory's CLIA number.")
    license: str = Field(default="", max_length=50, description="The state's licence number (REF*0B).")
    places_of_service: tuple[PlaceOfService, ...] = Field(
        default=(), examples=[["22", "23"]], description="Those that it may have; unset: those of its departments."
    )


class Department(_File):
    """Where a service was done, as the EHR names it, and on which form it is billed.

    The admission's figures are for visits whose source does not say them.
    """

    code: str
    title: str
    place_of_service: PlaceOfService = Field(examples=["11"])
    facility: str = Field(default="", description="The code of the facility that it belongs to.")
    bills: Literal["837P", "837I", "both"] = Field(
        default="837P", description="both: charges with a revenue code on an 837I, the others on an 837P."
    )
    type_of_bill: str = Field(default="13", pattern=r"^\d{2}$", description="Its first two digits, for the 837I.")
    admission_type: str = Field(default="", description="CL101, where the source does not say it.", examples=["3"])
    admission_source: str = Field(default="", description="CL102, where the source does not say it.", examples=["1"])
    patient_status: str = Field(default="", description="CL103, where the source does not say it.", examples=["01"])


class PayToPlan(_File):
    """A plan that asks to be paid in the practice's place (2010AC)."""

    name: str
    id: str
    tax_id: str = Field(pattern=r"^\d{9}$", examples=["999999992"])
    address: PostalAddress


class SoleProprietor(_File):
    """A person who is the billing provider."""

    family: str
    given: str
    middle: str = ""


class Practice(_File):
    """``config/practice.toml``: the billing provider, its people and places."""

    schema_: Literal[1] = Field(alias="schema")
    organisation: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="Short name, used as the owner of rows.")
    name: str
    npi: Npi
    sole_proprietor: SoleProprietor | None = Field(
        default=None, description="The person, where one bills in their own name and not as an organisation."
    )
    tax_id: str = Field(pattern=r"^\d{9}$", examples=["999999992"])
    tax_id_kind: Literal["EI", "SY"] = Field(default="EI", description="SY: a person's social security number.")
    taxonomy: str = Field(pattern=r"^[0-9A-Z]{9}X$", examples=["207Q00000X"])
    address: PostalAddress
    phone: str = Field(pattern=r"^\d{10}$", examples=["6085550100"])
    contact: str = Field(default="BILLING OFFICE", description="Name in 1000A PER.")
    time_zone: str = Field(examples=["America/Chicago"])
    pay_to: PostalAddress | None = Field(default=None, description="Where payments go, if not to the address.")
    pay_to_plan: PayToPlan | None = None
    clia: str = Field(default="", pattern=r"^(\d{2}D\d{7})?$", description="The laboratory's CLIA number.")
    license: str = Field(default="", max_length=50, description="The state's licence number (2010AA REF*0B).")
    upin: str = Field(default="", max_length=50, description="2010AA REF*1G.")
    places_of_service: tuple[PlaceOfService, ...] = Field(
        default=(), examples=[["11", "20"]], description="Those that its own address may have; unset: any."
    )
    providers: tuple[Provider, ...] = Field(alias="provider")
    outside_providers: tuple[Provider, ...] = Field(
        default=(), alias="outside_provider", description="Those who refer or order from elsewhere."
    )
    departments: tuple[Department, ...] = Field(default=(), alias="department")
    facilities: tuple[Facility, ...] = Field(default=(), alias="facility")


class Partner(_File):
    """``config/partners/NAME.toml``: who takes our interchanges, a clearinghouse or a payer directly."""

    schema_: Literal[1] = Field(alias="schema")
    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    title: str
    submitter_id: str = Field(description="ISA06, GS02 and 1000A NM109.")
    submitter_qualifier: str = "ZZ"
    receiver_id: str = Field(description="ISA08, GS03 and 1000B NM109.")
    receiver_qualifier: str = "ZZ"
    receiver_name: str
    authorisation: Secret | None = Field(
        default=None, description="What it assigned for ISA02, at most ten characters; ISA01 is then 03."
    )
    password: Secret | None = Field(
        default=None, description="What it assigned for ISA04, at most ten characters; ISA03 is then 01."
    )
    environment: Literal["production", "test"] = Field(description="Bound to ISA15; must equal the site's own.")
    ask_for_ta1: bool = True
    batch_every: Duration = Field(default=900.0, description="Business time between two batches.")
    max_claims: int = Field(default=500, ge=1, le=5000)
    max_bytes: int = Field(default=2_000_000, ge=20_000, description="A batch that is larger is parted.")
    cut_offs: tuple[CutOff, ...] = Field(
        default=(),
        description="Until when the partner takes files; a batch is made before each, instead of every batch_every.",
        examples=[["11:00", "17:00"]],
    )
    cut_off_lead: Duration = Field(default=900.0, description="How long before a cut-off its batch is made.")
    every_day: bool = Field(default=True, description="False: batches are made on the partner's business days only.")
    closed_on: tuple[date, ...] = Field(default=(), description="Days besides weekends that are no business days.")
    acknowledges_within: int = Field(default=1, ge=1, description="Business days until a 999 is missed.")
    answers_within: int = Field(default=2, ge=1, description="Business days until a claim without 277CA is missed.")
    wants: tuple[Literal["TA1", "999"], ...] = Field(
        default=(), description="How the partner wants its own files acknowledged; a channel must take these kinds."
    )
    rules: tuple[Rule, ...] = Field(default=(), alias="rule", description="See docs/payer-rules.md.")


class TherapyThreshold(_File):
    """From which amount of a calendar year's therapy a payer wants modifier KX, for services from *effective* on."""

    effective: date
    ends: date | None = Field(default=None, description="The last day of service; unset: until the next one begins.")
    physical_and_speech: Decimal = Field(ge=0, examples=["2480.00"], description="GP and GN together.")
    occupational: Decimal = Field(ge=0, examples=["2480.00"], description="GO.")


class Payer(_File):
    """``config/payers/ID_NAME.toml``: one payer, by the id that the EHR and the partner use."""

    schema_: Literal[1] = Field(alias="schema")
    payer_id: str
    name: str
    partner: str = Field(description="Which partner takes this payer's claims.")
    claim_filing: str = Field(description="SBR09.", examples=["CI", "MB", "MC"])
    effective: date | None = None
    member_id: str = Field(default="", description="Regular expression that member ids match.")
    address: PostalAddress | None = Field(default=None, description="2010BB N3 and N4, for payers that want it.")
    provider_id: str = Field(default="", description="Its own number of the practice (2010BB REF*G2), if it wants it.")
    location_id: str = Field(default="", description="Its number of the practice's location (2010BB REF*LU).")
    secondary_id: str = Field(default="", description="A further id of the payer, as it gives it (2010BB REF*2U).")
    tax_id: str = Field(default="", pattern=r"^(\d{9})?$", description="The payer's tax id (2010BB REF*EI).")
    claim_office: str = Field(default="", description="The number of its claim office (2010BB REF*FY).")
    naic: str = Field(default="", description="Its number at the NAIC (2010BB REF*NF).")
    wants_license: bool = Field(default=False, description="Wants the licences of providers and places (REF*0B).")
    wants_upin: bool = Field(default=False, description="Wants the UPINs of providers (REF*1G).")
    provider_numbers: dict[str, str] = Field(
        default={},
        description="Its own numbers of providers, by NPI, and of facilities, by code (REF*G2).",
        examples=[{"1999000114": "CM20417"}],
    )
    location_numbers: dict[str, str] = Field(
        default={}, description="Its numbers of locations: of providers, by NPI, and of facilities, by code (REF*LU)."
    )
    encounters: bool = Field(
        default=False,
        description="Its claims report encounters that are paid for otherwise (BHT06 RP): they go in batches of their "
        "own and may charge nothing.",
    )
    accepts_assignment: Literal["A", "B", "C"] = Field(
        default="A", description="CLM07: the practice accepts assignment, for laboratory services only, or not."
    )
    accepts_replacement: bool = True
    timely_filing_days: int = 90
    decides_within: int = Field(default=45, ge=1, description="Days until a claim without remittance is missed.")
    corrected_days: int | None = Field(
        default=None, ge=1, description="Days from a decision in which a corrected claim is taken; unset: the policy's."
    )
    appeal_days: tuple[int, ...] = Field(
        default=(), examples=[[120, 180]], description="Days for each level of appeal; empty: the policy's."
    )
    records_days: int | None = Field(
        default=None, ge=1, description="Days in which records that it asks for are taken; unset: the policy's."
    )
    timely_filing_warning: int = Field(default=14, description="How many days before the limit a claim is warned of.")
    information_days: int = Field(default=30, ge=1, description="Days in which it wants the documents it asks for.")
    patient_share: Literal["patient", "never"] = Field(
        default="patient", description="Who owes what this payer leaves to the patient; never: nobody may be asked."
    )
    pays_after_others: bool = Field(
        default=True, description="Whether it is worth billing as second payer; false for plans that pay nothing then."
    )
    pays_up_to: Literal["what is left", "what it allows"] = Field(
        default="what is left",
        description="As second payer. what it allows: nothing, once the payers before paid as much as its contract "
        "allows (non-duplication, carve-out); then it is not billed.",
    )
    interim: Literal["month"] | Annotated[int, Field(ge=1)] | None = Field(
        default=None,
        description="Bills long stays and recurring visits in parts while they go on: how many days a bill is for, or "
        "month, a calendar month. Unset: as a whole, at the end.",
        examples=[30, "month"],
    )
    late_charges: Literal["7", "5"] = Field(
        default="7",
        description="How a hospital's charges reach it that come after their claim was sent: on a replacement (7), or "
        "on a bill of their own (5, type of bill xx5). Unverified for most payers.",
    )
    late_charges_number: bool = Field(
        default=False, description="Wants its number of the first claim (REF*F8) on bills of late charges, too."
    )
    source: str = ""
    needs_taxonomy: bool = Field(default=False, description="Refuses claims without the practice's taxonomy code.")
    needs_group: bool | None = Field(default=None, description="Wants the group number; unset: not known.")
    needs_referral: bool | None = Field(default=None, description="Wants a referral number; unset: not known.")
    needs_ndc: bool | None = Field(default=None, description="Wants the NDC of drugs; unset: not known.")
    rendering: Literal["always", "when different"] = Field(
        default="always", description="Whether a person who bills alone is also named as rendering provider."
    )
    roster: tuple[str, ...] | None = Field(default=None, description="NPIs of the providers enrolled with the payer.")
    requires_auth: tuple[str, ...] | None = Field(default=None, description="Codes that want a prior authorisation.")
    requires_documentation: tuple[str, ...] | None = Field(default=None, description="Codes that want an attachment.")
    telehealth_modifiers: tuple[str, ...] | None = Field(default=None, examples=[["95", "93"]])
    therapy_thresholds: tuple[TherapyThreshold, ...] = Field(
        default=(),
        alias="therapy_threshold",
        description="From which amount on a year's therapy wants KX. Unset: for Medicare (MB) what CMS published for "
        "2023 to 2026, for others none.",
    )
    admission_at: tuple[str, ...] = Field(
        default=("21",),
        examples=[["21", "51", "61"]],
        description="Places of service whose claims want the date of admission. Unverified for others than 21.",
    )
    facility_at_home: bool = Field(
        default=False, description="Wants a place of service also for the patient's home (12). Unverified: most do not."
    )
    weight_for: tuple[str, ...] = Field(
        default=("J0881", "J0882", "J0885", "J0887", "J0888", "Q4081"),
        description="Codes whose claims tell the patient's weight (PAT08), where it is known. Unverified: those of "
        "drugs that make red blood cells.",
    )
    unit_decimals: int = Field(
        default=3, ge=0, le=6, description="Decimals of a line's units that it takes. Unverified: 3 is what most take."
    )
    may_span_years: bool = Field(default=False, description="Takes a claim whose services lie in two years.")
    rules: tuple[Rule, ...] = Field(default=(), alias="rule", description="See docs/payer-rules.md.")

    @model_validator(mode="after")
    def _three_ids(self) -> Payer:
        if all((self.secondary_id, self.tax_id, self.claim_office, self.naic)):
            raise ValueError("a claim carries three of secondary_id, tax_id, claim_office and naic at most")
        return self


class DenialPolicy(_File):
    """``[denials]`` of ``config/billing.toml``: what the machine may do about denials, and how fast it stops itself."""

    corrections: Literal["automatic", "person"] = Field(
        default="person", description="Whether a correction of form goes by itself, or a person releases it."
    )
    small_balance: Decimal = Field(
        default=Decimal("0.00"), ge=0, description="Denied amount up to which the hub writes off by itself; 0: never."
    )
    most_corrections: int = Field(default=2, ge=0, description="Corrected claims of one claim; then a person decides.")
    most_amount: Decimal = Field(
        default=Decimal("500.00"), ge=0, description="Denied amount up to which the machine corrects."
    )
    most_in_a_day: int = Field(default=50, ge=0, description="Automatic corrections of one rule in a day.")
    win_rate: int = Field(default=50, ge=0, le=100, description="Below it, of a hundred, a rule suspends itself.")
    win_window: int = Field(default=20, ge=1, description="Over how many decided corrections that is counted.")
    corrected_days: int = Field(default=90, ge=1, description="Where a payer's file says nothing.")
    appeal_days: int = Field(default=90, ge=1, description="Where a payer's file says nothing.")
    records_days: int = Field(default=45, ge=1, description="Where a payer's file says nothing.")


class BillingPolicy(_File):
    """``config/billing.toml``: when charges become claims, and what may be posted without a person."""

    schema_: Literal[1] = Field(alias="schema")
    bill_hold: Duration = Field(default=86_400.0, description="Business time that charges wait for late ones.")
    approval: Literal["automatic", "person"] = "automatic"
    approval_payers: tuple[str, ...] = Field(
        default=(), description="Payers whose claims a person approves in any case."
    )
    approval_providers: tuple[Npi, ...] = Field(
        default=(), description="Rendering providers (NPI) whose claims a person approves in any case."
    )
    missing_charge_after: Duration = Field(
        default=3 * 86_400.0, description="How long after a visit its charges, and those of its procedures, are missed."
    )
    late_charges: Literal["replacement", "new claim"] = Field(
        default="replacement",
        description="What becomes of a charge whose visit's claim was sent before it: a replacement that a person "
        "releases, or a claim of its own.",
    )
    needs_signature: bool = Field(
        default=False,
        description="A claim waits until the EHR said that its visit is signed; for an EHR that says it of all.",
    )
    orphan_wait: Duration = Field(default=3 * 86_400.0, description="How long a charge waits for its visit.")
    contractual: tuple[str, ...] = Field(
        default=("CO-45", "CO-253", "CO-59", "CO-24", "CO-89", "CO-223", "CO-237", "CO-246", "CO-A7"),
        description="Adjustments that are written off as contractual; every other CO goes to a person.",
    )
    other_adjustments: tuple[str, ...] = Field(
        default=("OA-23", "OA-94", "CO-144", "CO-161"),
        description="Adjustments that are neither ours nor the patient's; what is paid on top (CO-144) is among them.",
    )
    patient: tuple[str, ...] = Field(
        default=("PR-1", "PR-2", "PR-3", "PR-66", "PR-126", "PR-127", "PR-247", "PR-248", "OA-187"),
        description="Patient shares that need no person's look; what their health account paid (OA-187) lowers them.",
    )
    provider_adjustments: tuple[str, ...] = Field(
        default=("J1",),
        description="PLB reasons that need no person's look; forwarded balances (FB) and interest (L6) never do.",
    )
    patient_stops: tuple[str, ...] = Field(
        default=("209", "303", "N192", "N781", "N782", "N783"),
        description="Reason and remark codes that say that the patient may not be asked (qualified beneficiaries).",
    )
    next_payer: Literal["automatic", "person"] = Field(
        default="automatic",
        description="Who releases claims to a second or further payer; approval and approval_payers hold them, too.",
    )
    crossover_wait: Duration = Field(
        default=30 * 86_400.0, description="Business time that a payer has to answer a claim passed on to it."
    )
    correction_wait: Duration = Field(
        default=14 * 86_400.0, description="Business time that a payer has to decide anew after taking a payment back."
    )
    crossover_remarks: tuple[str, ...] = Field(
        default=("MA07", "MA18", "N89"), description="Remark codes by which a payer says that it passed the claim on."
    )
    refund_days: int = Field(
        default=60, ge=1, description="In how many days what a payer has paid too much must be returned."
    )
    verified_within: int = Field(
        default=30,
        ge=1,
        description="How many days before a service a payer's word about the coverage may be and still count.",
    )
    variance_tolerance: Decimal = Field(
        default=Decimal("1.00"), ge=0, description="How much less than its contract a payer may allow unremarked."
    )

    denials: DenialPolicy = DenialPolicy()


@dataclass(frozen=True, slots=True)
class BillingConfig:
    """Everything billing knows of its site, checked."""

    environment: str
    practice: Practice
    policy: BillingPolicy
    partners: dict[str, Partner]
    payers: dict[str, Payer]
    fees: dict[str, Decimal]  # by code, from config/fees.csv; may be empty
    site_rules: tuple[Rule, ...] = ()  # of config/rules/*.toml
    checks: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)  # what rules call, by "module:function"
    bundle: str = ""  # the version of the site's files
    contracts: dict[tuple[str, str], Decimal] = field(default_factory=dict)  # by payer and code, for one unit
    denials: DenialTable = field(default_factory=shipped)  # with the rows of config/denials.csv
    appeals: Mapping[str, str] = field(default_factory=dict)  # letters of config/appeals/*.txt, by name

    def provider(self, npi: str) -> Provider | None:
        """The practice's provider of that NPI."""
        return next((p for p in self.practice.providers if p.npi == npi), None)

    def known_provider(self, npi: str) -> Provider | None:
        """The provider of that NPI, one of the practice's or one from outside."""
        return next((p for p in (*self.practice.providers, *self.practice.outside_providers) if p.npi == npi), None)

    def department(self, code: str) -> Department | None:
        """The department of that code."""
        return next((d for d in self.practice.departments if d.code == code), None)

    def facility(self, department: str) -> Facility | None:
        """The facility that the department of that code belongs to; None for the practice's own address."""
        found = self.department(department)
        return next((f for f in self.practice.facilities if found and f.code == found.facility), None)

    def place_of_service(self, department: str) -> str | None:
        """The place of service of a department's code."""
        found = self.department(department)
        return found.place_of_service if found else None
