"""What programs send and get. Amounts are decimal texts, ids are texts (64 bits), times are milliseconds since 1970.

Nothing here names, reaches or identifies a person; what does is read with a reason, as on the pages.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Text = Annotated[str, Field(max_length=200, pattern=r"^[^\x00]*$")]
Reason = Annotated[str, Field(min_length=10, max_length=500, pattern=r"^[^\x00]*$", description="Kept and audited.")]


def _storable(text: str) -> str:
    if int(text) >= 2**63:
        raise ValueError("an id has 64 bits at most")
    return text


Id = Annotated[str, Field(pattern=r"^[0-9]{1,19}$", examples=["7241881723904000"]), AfterValidator(_storable)]
Cursor = Annotated[int, Field(ge=0, lt=2**63)]
Moment = Annotated[int, Field(ge=0, lt=2**53, description="Milliseconds since 1970.")]
Outcome = Literal["in progress", "held", "errored", "rejected", "done", "filtered"]


class _Input(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Nothing(_Input):
    """No parameters."""


class StatusQuery(_Input):
    """Over what the counters are summed."""

    period: Literal["today", "week", "all"] = "today"


class MessageQuery(_Input):
    """A search for messages; pages go by key, newest first."""

    q: Text = Field(default="", description="Control id, account, record number, claim, trace, or name: whole.")
    channel: Text = ""
    kind: Text = ""
    onward: Outcome | Literal[""] = ""
    answer: Literal["", "owed", "delivered", "undelivered", "not owed"] = ""
    since: Literal["hour", "day", "week", "any"] = Field(
        default="day", description="Counts where neither `received_from` nor `received_until` is given."
    )
    received_from: Moment | None = None
    received_until: Moment | None = Field(default=None, description="This moment itself is left out.")
    before: Cursor | None = Field(default=None, description="The `next` of the page before.")


class ClaimQuery(_Input):
    """A search for claims; pages go by key, newest first."""

    q: Text = Field(default="", description="Our control number or the payer's.")
    state: Text = ""
    payer: Text = ""
    before: Cursor | None = None


class QueueQuery(_Input):
    """Which items of a queue."""

    state: Literal["open", "resting", "resolved"] = "open"
    after: Cursor | None = Field(default=None, description="The id of the last item of the page before.")


class RemittanceQuery(_Input):
    """Which remittances; pages go by key, newest first."""

    state: Text = ""
    before: Cursor | None = None


class FigureQuery(_Input):
    """Over which services the figures are."""

    period: Literal["90", "365", "all"] = "90"


class AuditQuery(_Input):
    """Which records; pages go by key, newest first."""

    actor: Text = ""
    action: Text = ""
    account: Id | None = None
    before: Cursor | None = None


class Because(_Input):
    """Why."""

    reason: Reason


class PauseBody(Because):
    """Why a channel stops, or only one of its destinations."""

    destination: Text = ""


class ReplayBody(Because):
    """Send a message again: from the raw message, or the same bytes of one delivery."""

    delivery: Id | None = Field(default=None, description="Left out: the message is mapped from the start.")
    token: Annotated[str, Field(min_length=8, max_length=100, pattern=r"^[\x21-\x7e]+$")] = Field(
        description="Any text of your own, used once: a repeated request then does nothing twice."
    )


class VersionBody(_Input):
    """The version of what you saw; when somebody changed it since, nothing is done."""

    version: Annotated[int, Field(ge=0, lt=2**31)]


class AssignBody(VersionBody):
    """Whose the item is; empty for nobody's."""

    assignee: Annotated[str, Field(max_length=64, pattern=r"^[^\x00]*$")]


class ResolveBody(VersionBody):
    """What was done."""

    resolution: Annotated[str, Field(min_length=1, max_length=48, pattern=r"^[^\x00]*$")]
    comment: Text = ""


class SnoozeBody(VersionBody):
    """Until which day of the practice the item rests; empty wakes it."""

    until: Annotated[str, Field(pattern=r"^([0-9]{4}-[0-9]{2}-[0-9]{2})?$")]
    comment: Text = ""


class CommentBody(_Input):
    """A remark; no patient names."""

    comment: Annotated[str, Field(min_length=1, max_length=2000, pattern=r"^[^\x00]*$")]


@dataclass(frozen=True, slots=True)
class Done:
    """It was done."""

    done: bool = True


@dataclass(frozen=True, slots=True)
class Need:
    """Something that needs a person."""

    key: str
    state: str
    sentence: str
    first: str
    owner: str
    snoozed_until: int


@dataclass(frozen=True, slots=True)
class Connection:
    """How an endpoint stands, in words."""

    place: str
    state: str
    address: str
    detail: str
    peers: int
    since: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a destination has not sent, and why."""

    destination: str
    count: int
    ambiguous: int
    oldest_at: int
    reason: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel: received = in progress + held + errored + rejected + done + filtered; *difference* is what lacks."""

    name: str
    title: str
    owner: str
    state: str
    reason: str
    received: int
    in_progress: int
    held: int
    errored: int
    rejected: int
    done: int
    filtered: int
    difference: int
    last_in: int | None
    p50_ms: int | None
    p95_ms: int | None
    connections: list[Connection]
    waiting: list[Waiting]


@dataclass(frozen=True, slots=True)
class Stage:
    """How many claims have come this far, and what they charge."""

    stage: str
    claims: int
    charge: Decimal


@dataclass(frozen=True, slots=True)
class Status:
    """The whole state of the hub, worst first."""

    at: int
    period: str
    version: str
    engine: str
    needs: list[Need]
    channels: list[Channel]
    claims: list[Stage]


@dataclass(frozen=True, slots=True)
class Message:
    """One message's metadata."""

    id: str
    channel: str
    kind: str
    control_id: str
    received_at: int
    onward: str
    answer: str
    reason: str
    size: int


@dataclass(frozen=True, slots=True)
class MessagePage:
    """One page; *next* leads to the older ones, and is null at the end."""

    items: list[Message]
    next: int | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to deliver."""

    number: int
    started_at: int
    ended_at: int | None
    outcome: str
    reason: str
    actor: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """One output of a message, with its attempts."""

    id: str
    destination: str
    kind: str
    name: str
    state: str
    reason: str
    attempts: list[Attempt]


@dataclass(frozen=True, slots=True)
class MessageDetail:
    """One message with what it put out and the messages that it is linked to."""

    message: Message
    version: str
    source: str
    parent: str | None
    children: list[str]
    deliveries: list[Delivery]


@dataclass(frozen=True, slots=True)
class Money:
    """Where a charge went: charge = paid + contract + patient + other + open + elsewhere + difference.

    *elsewhere* is what other claims of the same charges account for.
    """

    charge: Decimal
    paid: Decimal
    contract: Decimal
    patient: Decimal
    other: Decimal
    open: Decimal
    elsewhere: Decimal
    difference: Decimal


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim with its money from the ledger."""

    id: str
    control_number: str
    payer_id: str
    partner: str
    service_on: str
    state: str
    frequency: str
    money: Money


@dataclass(frozen=True, slots=True)
class ClaimPage:
    """One page; *next* leads to the older ones, and is null at the end."""

    items: list[Claim]
    next: str | None


@dataclass(frozen=True, slots=True)
class ClaimLine:
    """One service line with where its charge went."""

    control_number: str
    code: str
    modifiers: str
    units: Decimal
    service_on: str
    money: Money


@dataclass(frozen=True, slots=True)
class ClaimEvent:
    """Something that happened to a claim."""

    kind: str
    at: int
    actor: str
    state_after: str
    anomaly: bool
    message: str | None


@dataclass(frozen=True, slots=True)
class Finding:
    """What an edit, a rule or the guide's check found when the claim was last examined.

    *severity* is `error`, `hold`, `warning` or `info`; *line* is 0 for the whole claim; *snip* the level of the WEDI
    SNIP types, 1 to 7. *place* says loop, segment, element and qualifier in one: `2300 REF02 (G1)`. *value_hash* is a
    keyed digest of what stands there, empty where nothing does. *stc* are the 277CA status codes that it prevents.
    Claims that were examined by an earlier version kept no place.
    """

    rule: str
    severity: str
    line: int
    snip: int
    place: str
    loop: str
    segment: str
    element: str
    qualifier: str
    value_hash: str
    sentence: str
    fix: str
    stc: list[str]


@dataclass(frozen=True, slots=True)
class ClaimDetail:
    """One claim with its lines, what was found on it, and everything that happened to it."""

    claim: Claim
    payer_claim_number: str
    account: str
    version: int
    lines: list[ClaimLine]
    findings: list[Finding]
    events: list[ClaimEvent]


@dataclass(frozen=True, slots=True)
class Queue:
    """A work queue: how many items are open, and their money."""

    queue: str
    open: int
    money: Decimal


@dataclass(frozen=True, slots=True)
class WorkItem:
    """One item: what is wrong, in a biller's words. *findings* are those of its claim; null in a list of items."""

    id: str
    queue: str
    sentence: str
    why: str
    rule: str
    money: Decimal
    opened_at: int
    due_on: str
    snoozed_until: str
    state: str
    resolution: str
    assignee: str
    claim: str | None
    account: str | None
    message: str | None
    remittance: str | None
    version: int
    findings: list[Finding] | None = None


@dataclass(frozen=True, slots=True)
class Remittance:
    """One 835 transaction; *difference* is what its claims come to beyond the payment."""

    id: str
    trace: str
    payer_id: str
    payer_name: str
    amount: Decimal
    paid_on: str
    claims: int
    claims_posted: int
    claims_held: int
    difference: Decimal
    state: str
    reason: str


@dataclass(frozen=True, slots=True)
class RemittancePage:
    """One page; *next* leads to the older ones, and is null at the end."""

    items: list[Remittance]
    next: str | None


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One entry of a patient's account, with the balances after it."""

    id: str
    posted_on: str
    kind: str
    code: str
    claim: str | None
    remittance: str | None
    unbilled: Decimal
    payer: Decimal
    patient: Decimal
    balance: Decimal


@dataclass(frozen=True, slots=True)
class Account:
    """What is owed for one patient, and every entry of it."""

    id: str
    payers_owe: Decimal
    patient_owes: Decimal
    ledger: list[LedgerEntry]


@dataclass(frozen=True, slots=True)
class FigurePart:
    """A part of a figure: how many claims it counts, and their money."""

    part: str
    claims: int
    amount: Decimal
    share: str


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of the practice with its definition."""

    figure: str
    title: str
    value: str
    definition: str
    parts: list[FigurePart]


@dataclass(frozen=True, slots=True)
class Difference:
    """Two figures that must be equal and are not."""

    kind: str
    subject: str | None
    what: str
    expected: Decimal
    found: Decimal


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """The money of the whole store: charged = paid + contract + patient + written_off + other + open."""

    charged: Decimal
    paid: Decimal
    contract: Decimal
    patient: Decimal
    written_off: Decimal
    other: Decimal
    open: Decimal
    unbilled: Decimal
    payers_owe: Decimal
    cash: Decimal
    unapplied: Decimal
    provider_level: Decimal
    interest: Decimal
    held: Decimal
    differences: list[Difference]


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """Who did what; *hash* chains it to the record before."""

    sequence: int
    at: int
    actor: str
    action: str
    object_type: str
    object_id: str
    reason: str
    hash: str


@dataclass(frozen=True, slots=True)
class AuditPage:
    """One page; *next* leads to the older ones, and is null at the end."""

    items: list[AuditRecord]
    next: int | None


@dataclass(frozen=True, slots=True)
class Error:
    """What went wrong: a stable code, what happened, where, and what to do."""

    code: str
    what: str
    where: str
    expected: str
    fix: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """The body of every answer that is no success."""

    error: Error
