"""What a person can do about a work item where it stands: release, void, approve, bill anew, write off, match.

Every act is a command of billing (`hub.billing.commands`) and names the version of the row that the person saw. When
that changed meanwhile nothing is done; the page then shows what was seen beside what is there now, and keeps what was
typed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection
from starlette.responses import Response

from hub.core.errors import HubError
from hub.core.money import from_cents, shown
from hub.web.call import Call, NotFound
from hub.web.queries import claims, queues
from hub.web.queries.queues import Item, Subject

UNSENT = ("draft", "held", "needs fix", "ready")
REASON_LENGTH = 5


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that can be done. *key* is its word in addresses, *subject* the row whose version it names.

    *needs* is the field it asks for ("reason", "comment", or none); *cautious* marks what is hard to undo.
    """

    key: str
    command: str
    label: str
    hint: str
    subject: str
    permission: str
    needs: str = ""
    cautious: bool = False


@dataclass(frozen=True, slots=True)
class Offer:
    """An act as an item's page offers it: with the row's id and version, what was seen of it, and more choices."""

    act: Act
    subject_id: int
    version: int
    seen: str
    allowed: bool
    owed: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Conflict:
    """Somebody was faster: what the person had before them, and what is there now."""

    seen: str
    now: str


@dataclass(frozen=True, slots=True)
class MatchOffer:
    """A claim that a payment might be for, ranked; *reasons* speak for it and against it."""

    claim_id: int
    control_number: str
    reasons: str


ACTS = {
    act.key: act
    for act in (
        Act(
            "release",
            "release_charge",
            "Release the charge",
            "It goes on to be billed. Whatever else stood against it must be corrected first.",
            "charge",
            "claims.correct",
        ),
        Act(
            "void",
            "void_charge",
            "Take the charge back",
            "It is not billed to anybody.",
            "charge",
            "claims.correct",
            needs="reason",
            cautious=True,
        ),
        Act(
            "approve",
            "approve_claim",
            "Approve the claim",
            "It goes out with the next batch.",
            "claim",
            "claims.approve",
        ),
        Act(
            "hold",
            "hold_claim",
            "Hold the claim",
            "It waits until somebody approves it.",
            "claim",
            "claims.correct",
            needs="reason",
        ),
        Act(
            "rebill",
            "rebill_claim",
            "Bill anew",
            "The claim is withdrawn, and a new one is made of its charges as they are now.",
            "claim",
            "claims.correct",
            needs="reason",
            cautious=True,
        ),
        Act(
            "write-off",
            "write_off",
            "Write off",
            "What is owed is given up. The ledger keeps who did it and why.",
            "claim",
            "money.post",
            needs="reason",
            cautious=True,
        ),
    )
}
_WRITE_OFF_QUEUES = {"denials", "secondary"}


def offers(call: Call, connection: Connection, item: Item) -> list[Offer]:
    """What can be done about *item* as its charge and claim stand now, the likeliest first."""
    if item.state != "open":
        return []
    found: list[Offer] = []

    def offer(key: str, row: Subject, owed: tuple[tuple[str, str], ...] = ()) -> None:
        act = ACTS[key]
        found.append(Offer(act, row.id, row.version, _seen(act.subject, row.state), call.may(act.permission), owed))

    charge = queues.charge(connection, item.charge_id) if item.charge_id is not None else None
    if charge is not None and charge.state == "held":
        offer("release", charge)
    if charge is not None and charge.state in {"held", "open"}:
        offer("void", charge)
    claim = queues.claim_subject(connection, item.claim_id) if item.claim_id is not None else None
    if claim is not None:
        if claim.state == "held":
            offer("approve", claim)
        if claim.state == "ready":
            offer("hold", claim)
        if claim.state in {*UNSENT, "rejected"}:
            offer("rebill", claim)
        owed = _owed(connection, claim.id) if item.queue in _WRITE_OFF_QUEUES else ()
        if owed:
            offer("write-off", claim, owed)
    return found


def candidates(item: Item, evidence: dict[str, Any]) -> list[MatchOffer]:
    """The claims that the payment of *item* might be for, the likeliest first."""
    if item.remittance_claim_id is None or item.state != "open" or item.queue != "unmatched payments":
        return []
    return [
        MatchOffer(int(each["claim_id"]), str(each["control_number"]), "; ".join(each.get("reasons", ())))
        for each in evidence.get("candidates", ())
    ]


def act(call: Call, page: Callable[..., Response], done: Callable[[int, str], Response]) -> Response:
    """Do what the address names with the item that it names.

    *page* shows the item again with errors; *done* leads on after the act.
    """
    chosen = ACTS.get(str(call.request.path_params["act"]))
    if chosen is None:
        raise NotFound("There is no such act.")
    item_id = call.path_id()
    typed = {name: str(call.form.get(name, "")).strip() for name in ("reason", "comment", "account", "amount")}
    if not call.may(chosen.permission):
        return page(item_id, {chosen.key: "Your role does not include this."}, typed)
    if chosen.needs == "reason" and len(typed["reason"]) < REASON_LENGTH:
        return page(item_id, {f"{chosen.key}-reason": "Say why, in a few words."}, typed)
    args: dict[str, Any] = {
        f"{chosen.subject}_id": int(call.form["subject_id"]) if str(call.form.get("subject_id")).isdigit() else 0,
        "version": str(call.form.get("version", "")),
        **{name: typed[name] for name in ("reason", "comment", "account", "amount") if typed[name]},
    }
    try:
        call.site.control.billing(chosen.command, args, call.actor)
    except HubError as error:
        problem = {chosen.key: f"{error.what} {error.fix}".strip()}
        return page(item_id, problem, typed, conflict=_conflict(call, item_id, chosen))
    return done(item_id, "done")


def match(call: Call, page: Callable[..., Response], done: Callable[[int, str], Response]) -> Response:
    """Say which claim the payment of an item is for: a candidate, or one whose control number was typed."""
    item_id = call.path_id()
    number = str(call.form.get("control_number", "")).strip().upper()[:20]
    with call.reading() as connection:
        item = queues.get(connection, item_id)
        claim_id = claims.by_number(connection, number) if number else None
    if item is None or item.remittance_claim_id is None:
        raise NotFound("There is no payment in this item.")
    if claim_id is None:
        return page(item_id, {"control_number": "No claim of ours has this number."}, {"control_number": number})
    args = {"remittance_claim_id": item.remittance_claim_id, "claim_id": claim_id}
    try:
        call.site.control.billing("match_payment", args, call.actor)
    except HubError as error:
        problem = {"control_number": f"{error.what} {error.fix}".strip()}
        return page(item_id, problem, {"control_number": number})
    return done(item_id, "matched")


def _conflict(call: Call, item_id: int, chosen: Act) -> Conflict | None:
    """What was seen and what is, when they are not the same."""
    with call.reading() as connection:
        item = queues.get(connection, item_id)
        if item is None:
            return None
        row = (
            queues.charge(connection, item.charge_id or 0)
            if chosen.subject == "charge"
            else queues.claim_subject(connection, item.claim_id or 0)
        )
    if row is None or str(row.version) == str(call.form.get("version", "")):
        return None
    return Conflict(str(call.form.get("seen", ""))[:100], f"{_seen(chosen.subject, row.state)}, changed since")


def _seen(subject: str, state: str) -> str:
    return f"The {subject} is {state}"


def _owed(connection: Connection, claim_id: int) -> tuple[tuple[str, str], ...]:
    """Who owes what of a claim: word for the command, and words for people."""
    payer, patient = queues.owed(connection, claim_id)
    return tuple(
        (word, f"what the {word} owes, {shown(from_cents(cents))}")
        for word, cents in (("payer", payer), ("patient", patient))
        if cents > 0
    )
