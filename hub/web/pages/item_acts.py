"""What a person can do about a work item where it stands, and doing it.

Every act is a command of billing and names the version of the row that the person saw. When that changed meanwhile
nothing is done; the page then shows what was seen beside what is there now, and keeps what was typed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection
from starlette.responses import Response

from hub.core.errors import HubError
from hub.core.money import from_cents, shown
from hub.web.acts import ACCEPT, ACTS, Act
from hub.web.call import Call, NotFound, whole_number
from hub.web.queries import claims, queues
from hub.web.queries.queues import Item, Subject

_CALLED = {"denial action": "appeal"}
_REPLACEMENTS = frozenset({"replacement claim", "void claim"})  # kinds of items


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
class ProposalOffer:
    """A change that a rule proposes for the claim of an item: the person accepts it, or not."""

    rule: str
    line: int
    sentence: str
    change: str
    offer: Offer


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


def offers(call: Call, connection: Connection, item: Item) -> list[Offer]:
    """What can be done about *item* as its charge, claim, denial or remittance stand now, the likeliest first."""
    found: list[Offer] = []
    denied = queues.subject(connection, item, "denial") is not None
    for act in ACTS.values():
        if item.state != "open" and act.subject != "denial action":
            continue  # an appeal goes on when its item has left the queue
        row = queues.subject(connection, item, act.subject)
        if act.key == "appeal" and queues.appeal(connection, item.id) is not None:
            continue  # one at a time
        if row is None or (act.queues and item.queue not in act.queues):
            continue
        owed: tuple[tuple[str, str], ...] = ()
        if act.key == "write-off":
            owed = _owed(connection, row.id) if not denied else ()
            if not owed:
                continue
        elif row.state not in act.states or not _fits(act, item):
            continue
        found.append(Offer(act, row.id, row.version, _seen(act.subject, row), call.may(act.permission), owed))
    return found


def _fits(act: Act, item: Item) -> bool:
    """Whether an act that is for some kinds of items only is for this one."""
    if act.key == "resend-batch":
        return item.claim_id is None
    return act.key != "discard" or item.kind in _REPLACEMENTS


def proposals(call: Call, connection: Connection, item: Item, evidence: dict[str, Any]) -> list[ProposalOffer]:
    """The changes that rules propose for the claim of *item*."""
    row = queues.subject(connection, item, "claim")
    if row is None or item.state != "open" or row.state not in ACCEPT.states:
        return []
    offer = Offer(ACCEPT, row.id, row.version, _seen("claim", row), call.may(ACCEPT.permission))
    found = []
    for each in evidence.get("findings", ()):
        proposal = each.get("proposal") if isinstance(each, dict) else None
        if proposal:
            line = int(proposal.get("line") or 0)
            place = f"{str(proposal['field']).replace('_', ' ')}{f' of line {line}' if line else ''}"
            change = f"{place}: {proposal['value'] or 'nothing'}"
            found.append(ProposalOffer(str(each["rule"]), line, str(each["sentence"]), change, offer))
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
    chosen = (ACTS | {ACCEPT.key: ACCEPT}).get(str(call.request.path_params["act"]))
    if chosen is None:
        raise NotFound("There is no such act.")
    item_id = call.path_id()
    typed = {ask.name: str(call.form.get(ask.name, "")).strip()[:2000] for ask in chosen.asks}
    typed |= {name: str(call.form.get(name, "")).strip()[:40] for name in ("account",) if call.form.get(name)}
    if not call.may(chosen.permission):
        return page(item_id, {chosen.key: "Your role does not include this."}, typed)
    errors = {
        f"{chosen.key}-{ask.name}": objection for ask in chosen.asks if (objection := ask.objection(typed[ask.name]))
    }
    if errors:
        return page(item_id, errors, typed)
    args: dict[str, Any] = {
        f"{chosen.subject.replace(' ', '_')}_id": whole_number(str(call.form.get("subject_id"))) or 0,
        "version": str(call.form.get("version", "")),
        **{name: text for name, text in typed.items() if text},
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
        row = queues.subject(connection, item, chosen.subject) if item is not None else None
    if row is None or str(row.version) == str(call.form.get("version", "")):
        return None
    return Conflict(str(call.form.get("seen", ""))[:100], f"{_seen(chosen.subject, row)}, changed since")


def _seen(subject: str, row: Subject) -> str:
    return f"The {_CALLED.get(subject, subject)} is {row.state}"


def _owed(connection: Connection, claim_id: int) -> tuple[tuple[str, str], ...]:
    """Who owes what of a claim: word for the command, and words for people."""
    payer, patient = queues.owed(connection, claim_id)
    return tuple(
        (word, f"what the {word} owes, {shown(from_cents(cents))}")
        for word, cents in (("payer", payer), ("patient", patient))
        if cents > 0
    )
