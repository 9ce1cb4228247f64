"""Work queues: what stands in each, one item, and what a person does with it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from typing import Any

from sqlalchemy import Connection
from starlette.responses import RedirectResponse, Response

from hub.billing.findings import Told, latest
from hub.core.errors import HubError
from hub.security.users import list_users, permissions_of
from hub.web.call import Call, NotFound, whole_number
from hub.web.masking import Piece, json_facts
from hub.web.pages import item_acts, queue_bulk
from hub.web.pages.item_acts import Conflict, MatchOffer, Offer, ProposalOffer
from hub.web.pages.people import Person, person
from hub.web.queries import accounts, queues
from hub.web.queries.queues import Item
from hub.web.render import day
from hub.web.words import QUEUES

RESOLUTIONS = {
    "charge review": ("corrected at the source", "released", "not billable"),
    "missing charges": ("charged since", "nothing to charge", "not kept"),
    "claim edits": ("corrected", "released", "not billable"),
    "approval": ("corrected", "not billable"),
    "rejections": ("corrected and sent again", "not billable"),
    "coding": ("corrected and sent again", "not billable"),
    "enrolment": ("completed", "not wanted"),
    "lost claims": ("they have it", "sent again"),
    "documents": ("sent to the payer", "not needed"),
    "denials": ("corrected and sent again", "appealed", "accepted", "written off"),
    "unmatched payments": ("matched by hand", "returned to the payer", "not ours"),
    "unbalanced remittances": ("the payer sent it again", "posted by hand", "not ours"),
    "credits": ("replacement sent", "void sent", "no action needed"),
    "secondary": ("sent to the other insurer", "patient's part", "no other insurer"),
    "messages": ("corrected at the source", "replayed", "not needed"),
    "deliveries": ("it had arrived", "sent again", "not needed"),
    "anomalies": ("explained", "reported"),
}
COMMENT_LENGTH = 2
#: How a page calls what billing keeps of an item, where its own word does not say it.
_CALLED = {"said": "payer_says", "for": "work_of", "next": "to_do", "edits": "found_by_edit"}
#: What to do about a denial, by the word of the denial table.
_TO_DO = {
    "correct": "correct the claim",
    "records": "send records",
    "appeal": "write an appeal",
    "other payer": "bill the other payer",
    "patient": "bill the patient",
    "accept": "accept it",
    "wait": "wait for the payer",
    "close": "close it",
    "review": "look at it closely",
}
#: Whether a denial can be appealed, by the word of the denial table.
_APPEAL = {"no": "hardly worth one", "yes": "possible", "proof": "with a proof"}


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One thing a person did with an item, with their words."""

    at: int
    actor: str
    kind: str
    words: str


@dataclass(frozen=True, slots=True)
class Shown:
    """The list as it is shown: one page of what was *asked*, how many there are on all pages, and their money.

    *mine* of them are the person's own, *resting* others of the queue rest; *counts* are of every queue.
    """

    asked: queues.Listing
    page: queues.ItemPage
    count: int
    cents: int
    mine: int
    resting: int
    counts: dict[str, queues.QueueCount]


@dataclass(frozen=True, slots=True)
class AppealView:
    """The appeal under way, with its letter: patient data as a whole."""

    row: queues.Appeal
    letter: tuple[Piece, ...]
    proofs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Opened:
    """The open item: its evidence, history, patient, and what can be done about it."""

    facts: tuple[tuple[str, Piece], ...]
    lines: tuple[queues.About, ...]
    history: tuple[HistoryRow, ...]
    who: Person | None
    advice: str
    offers: tuple[Offer, ...]
    proposals: tuple[ProposalOffer, ...]
    candidates: tuple[MatchOffer, ...]
    found: tuple[Told, ...]
    seen: str
    appeal: AppealView | None


def listing(call: Call) -> Response:
    """The queues; straight to the first that has something in it."""
    with call.reading() as connection:
        counts = queues.counts(connection, call.today, call.session.channels)
    first = next((name for name in QUEUES if name in counts), next(iter(QUEUES)))
    return RedirectResponse(f"/queues/{slug(first)}", status_code=303)


def show(call: Call) -> Response:
    """One queue with its first item open."""
    return _page(call, _queue(call), None, {}, {})


def show_item(call: Call) -> Response:
    """One queue with the item that the address names open."""
    return _page(call, None, call.path_id(), {}, {})


def comment(call: Call) -> Response:
    """Add a comment to an item."""
    text = str(call.form.get("text", "")).strip()
    if len(text) < COMMENT_LENGTH:
        return _page(call, None, call.path_id(), {"text": "Write a comment first."}, {})
    return _act(call, "comment_item", {"comment": text}, "commented")


def assign(call: Call) -> Response:
    """Give an item to somebody, or to nobody."""
    return _act(call, "assign_item", {"assignee": str(call.form.get("assignee", "")).strip()}, "assigned")


def snooze(call: Call) -> Response:
    """Let an item rest until a day, or (without one) wake it."""
    args = {"until": str(call.form.get("until", ""))[:10], "comment": str(call.form.get("why", "")).strip()}
    return _act(call, "snooze_item", args, "resting" if args["until"] else "woken")


def bulk(call: Call) -> Response:
    """Do something with several items at once."""
    name = _queue(call)
    done, refused, problem = queue_bulk.run(call, RESOLUTIONS.get(name, ("done",)))
    if not problem and not refused:
        return queue_bulk.answer(call, f"/queues/{slug(name)}", done)
    errors = {f"bulk-{number}": f"{times} not done: {what}" for number, (what, times) in enumerate(refused.items())}
    errors |= {"bulk": problem} if problem else {}
    errors |= {"bulk-done": f"{done} done."} if done else {}
    return _page(call, name, None, errors, {})


def resolve(call: Call) -> Response:
    """Close an item, saying what was done."""
    resolution = str(call.form.get("resolution", ""))
    text = str(call.form.get("note", "")).strip()
    if not resolution:
        return _page(call, None, call.path_id(), {"resolution": "Choose what was done."}, {"note": text})
    return _act(call, "resolve_item", {"resolution": resolution, "comment": text}, "resolved")


def reopen(call: Call) -> Response:
    """Open an item again that was resolved too early."""
    return _act(call, "reopen_item", {"comment": str(call.form.get("comment", "")).strip()}, "reopened")


def act(call: Call) -> Response:
    """Do something about the charge or the claim of an item."""
    return item_acts.act(call, partial(_again, call), partial(_done, call))


def match(call: Call) -> Response:
    """Say which claim the payment of an item is for."""
    return item_acts.match(call, partial(_again, call), partial(_done, call))


def slug(queue: str) -> str:
    """A queue's name in addresses."""
    return queue.replace(" ", "-")


def _act(call: Call, name: str, args: dict[str, Any], said: str) -> Response:
    """Run a command about the item itself, with the version that the person saw."""
    item_id = call.path_id()
    version = whole_number(str(call.form.get("version", "")))
    given = {"item_id": item_id, **args} | ({"version": version} if version is not None else {})
    try:
        call.site.control.billing(name, given, call.actor)
    except HubError as error:
        return _page(
            call,
            None,
            item_id,
            {"act": f"{error.what} {error.fix}".strip()},
            args | {"note": args.get("comment", "")},
            _item_conflict(call, item_id, version),
        )
    return _done(call, item_id, said)


def _again(
    call: Call, item_id: int, errors: dict[str, str], typed: dict[str, Any], conflict: Conflict | None = None
) -> Response:
    return _page(call, None, item_id, errors, typed, conflict)


def _done(call: Call, item_id: int, said: str) -> Response:
    """On to the item, or to its queue when it has left it: the next one then stands first."""
    with call.reading() as connection:
        item = queues.get(connection, item_id)
    if item is not None and item.state == "resolved":
        return call.back(f"/queues/{slug(item.queue)}", said)
    return call.back(f"/queues/items/{item_id}", said)


def _item_conflict(call: Call, item_id: int, version: int | None) -> Conflict | None:
    with call.reading() as connection:
        item = queues.get(connection, item_id)
    if item is None or item.version == version:
        return None
    return Conflict(str(call.form.get("seen", ""))[:100], item_seen(item))


def item_seen(item: Item) -> str:
    """An item's state in a few words, as it stands in the form that acts on it."""
    state = f"{item.state}: {item.resolution}" if item.resolution else item.state
    return f"{state.capitalize()}, with {item.assignee or 'nobody'}"


def _queue(call: Call) -> str:
    name = call.request.path_params["queue"].replace("-", " ")
    if name not in QUEUES:
        raise NotFound("There is no queue of that name.")
    return str(name)


def _page(
    call: Call,
    queue: str | None,
    item_id: int | None,
    errors: dict[str, str],
    typed: dict[str, Any],
    conflict: Conflict | None = None,
) -> Response:
    with call.reading() as connection:
        item = queues.get(connection, item_id) if item_id is not None else None
        if item_id is not None and item is None:
            raise NotFound("There is no work item of that number.")
        shown = _shown(call, connection, queue or (item.queue if item else ""))
        item = item or next(iter(shown.page.rows), None)
        workers = [user for user in list_users(connection) if "queues.work" in permissions_of(user.roles)]
    patients = [each.patient_id for each in shown.page.rows]
    call.look("queue", shown.asked.queue, patients=patients, action="list", always=False)
    name = shown.asked.queue
    return call.page(
        "queue.html",
        code=422 if errors else 200,
        title=name.capitalize(),
        queue=name,
        about=QUEUES.get(name, ""),
        queues=[(other, slug(other), shown.counts.get(other)) for other in QUEUES],
        shown=shown,
        items=shown.page.rows,
        item=item,
        opened=_opened(call, item) if item is not None else None,
        state=shown.asked.state,
        workers=[user.name for user in workers if not user.disabled],
        left=lambda day: (date.fromisoformat(day) - call.site.settings.clock.today()).days,
        mine=bool(shown.asked.assignee),
        resolutions=RESOLUTIONS.get(name, ("done",)),
        errors=errors,
        typed=typed,
        conflict=conflict,
        today=call.site.settings.clock.today(),
        payers=call.site.settings.payers,
    )


def _shown(call: Call, connection: Connection, name: str) -> Shown:
    """The list that the address asks for."""
    state = call.query.get("state", "")
    after = call.number("after")
    asked = queues.Listing(
        queue=name,
        state=state if state in {"resolved", "resting"} else "open",
        today=call.today,
        assignee=call.actor if call.query.get("mine") == "1" else "",
        after=queues.get(connection, after) if after is not None else None,
        within=call.session.channels,
    )
    whole = replace(asked, after=None)
    count, cents = queues.total(connection, whole)
    return Shown(
        asked=asked,
        page=queues.items(connection, asked),
        count=count,
        cents=cents,
        mine=queues.total(connection, replace(whole, assignee=call.actor))[0],
        resting=queues.total(connection, replace(whole, state="resting", assignee=""))[0],
        counts=queues.counts(connection, call.today, call.session.channels),
    )


def _opened(call: Call, item: Item) -> Opened:
    """What is shown of the item that stands open; the look is recorded."""
    with call.reading() as connection:
        patient = accounts.current(connection, item.patient_id) if item.patient_id else None
        history = queues.history(connection, item.id)
        appeal = queues.appeal(connection, item.id)
        evidence = call.unseal("work_item", item.sealed)
        offers = item_acts.offers(call, connection, item)
        proposals = item_acts.proposals(call, connection, item, evidence)
        lines = queues.about(connection, item) if call.may("claims.view") else []
    call.look("work item", item.id, patients=[patient.patient_id if patient else item.patient_id])
    candidates = item_acts.candidates(item, evidence)
    elsewhere = {"denial", "note", "findings"} | ({"candidates"} if candidates else set())
    return Opened(
        facts=tuple(json_facts(_told({key: value for key, value in evidence.items() if key not in elsewhere}, item))),
        lines=tuple(lines),
        history=tuple(HistoryRow(each.at, each.actor, each.kind, _words(call, each.sealed)) for each in history),
        who=person(call, patient) if patient else None,
        advice=str(evidence.get("note") or "") if "denial" in evidence else "",
        offers=tuple(offers),
        proposals=tuple(proposals),
        found=tuple(latest([{"found": evidence.get("findings", ())}])),
        candidates=tuple(candidates),
        seen=item_seen(item),
        appeal=_appeal(call, appeal) if appeal is not None else None,
    )


def _told(evidence: dict[str, Any], item: Item) -> dict[str, Any]:
    """What billing keeps of *item*, in the words of a page; without what the page says already."""
    told = dict(evidence)
    if "next" in told:  # what the denial table says of the denial
        told["next"] = _TO_DO.get(str(told["next"]), told["next"])
        told["appeal"] = _APPEAL.get(str(told.get("appeal")), told.get("appeal"))
        told.pop("rule", None)
    for key, value in evidence.items():
        if value in ([item.rule], [item.claim_number], item.claim_number):
            told.pop(key, None)
    return {_CALLED.get(key, key): value for key, value in told.items()}


def _appeal(call: Call, row: queues.Appeal) -> AppealView:
    body = call.unseal("denial_action", row.sealed)
    proofs = [str(each.get("title", "")) for each in body.get("evidence", ()) if isinstance(each, dict)]
    return AppealView(row, call.shown(str(body.get("letter") or ""), "letter"), tuple(proofs))


def _words(call: Call, sealed: bytes) -> str:
    """The words of an event: to whom, until when, how it ended, and the person's remark."""
    body = call.unseal("work_event", sealed)
    said = [
        f"to {body['assignee'] or 'nobody'}" if "assignee" in body else "",
        f"until {day(str(body['until']))}" if body.get("until") else "",
        str(body.get("resolution") or ""),
    ]
    remarks = [str(body[key]) for key in ("text", "comment", "reason", "note") if body.get(key)]
    return ": ".join([*filter(None, said), *remarks])
