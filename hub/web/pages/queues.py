"""Work queues: what stands in each, one item, and what a person does with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.responses import RedirectResponse, Response

from hub.core.errors import HubError
from hub.web.call import Call, NotFound
from hub.web.masking import json_facts
from hub.web.pages.people import person
from hub.web.queries import accounts, queues
from hub.web.words import QUEUES

RESOLUTIONS = {
    "charge review": ("corrected at the source", "released", "not billable"),
    "claim edits": ("corrected", "released", "not billable"),
    "approval": ("corrected", "not billable"),
    "rejections": ("corrected and sent again", "not billable"),
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


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One thing a person did with an item, with their words."""

    at: int
    actor: str
    kind: str
    words: str


def listing(call: Call) -> Response:
    """The queues; straight to the first that has something in it."""
    with call.reading() as connection:
        counts = queues.counts(connection)
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


def resolve(call: Call) -> Response:
    """Close an item, saying what was done."""
    resolution = str(call.form.get("resolution", ""))
    text = str(call.form.get("note", "")).strip()
    if not resolution:
        return _page(call, None, call.path_id(), {"resolution": "Choose what was done."}, {"note": text})
    return _act(call, "resolve_item", {"resolution": resolution, "comment": text}, "resolved")


def slug(queue: str) -> str:
    """A queue's name in addresses."""
    return queue.replace(" ", "-")


def _act(call: Call, name: str, args: dict[str, Any], said: str) -> Response:
    item_id = call.path_id()
    version = str(call.form.get("version", ""))
    given = {"item_id": item_id, **args} | ({"version": int(version)} if version.isdigit() else {})
    try:
        call.site.control.billing(name, given, call.actor)
    except HubError as error:
        return _page(call, None, item_id, {"act": f"{error.what} {error.fix}".strip()}, args)
    if name != "resolve_item":
        return call.back(f"/queues/items/{item_id}", said)
    with call.reading() as connection:
        item = queues.get(connection, item_id)
    return call.back(f"/queues/{slug(item.queue)}" if item else "/queues", said)


def _queue(call: Call) -> str:
    name = call.request.path_params["queue"].replace("-", " ")
    if name not in QUEUES:
        raise NotFound("There is no queue of that name.")
    return str(name)


def _page(
    call: Call, queue: str | None, item_id: int | None, errors: dict[str, str], typed: dict[str, Any]
) -> Response:
    with call.reading() as connection:
        item = queues.get(connection, item_id) if item_id is not None else None
        if item_id is not None and item is None:
            raise NotFound("There is no work item of that number.")
        name = queue or (item.queue if item else "")
        state = "resolved" if call.query.get("state") == "resolved" else "open"
        items = queues.items(connection, name, state)
        item = item or (items[0] if items else None)
        counts = queues.counts(connection)
    values: dict[str, Any] = {"facts": [], "history": [], "who": None}
    if item is not None:
        call.look("work item", item.id, item.patient_id)
        with call.reading() as connection:
            patient = accounts.get(connection, item.patient_id) if item.patient_id else None
            history = queues.history(connection, item.id)
        values = {
            "facts": json_facts(call.unseal("work_item", item.sealed)),
            "history": [HistoryRow(e.at, e.actor, e.kind, _words(call, e.sealed)) for e in history],
            "who": person(call, patient) if patient else None,
        }
    return call.page(
        "queue.html",
        code=422 if errors else 200,
        title=name.capitalize(),
        queue=name,
        about=QUEUES.get(name, ""),
        queues=[(other, slug(other), counts.get(other)) for other in QUEUES],
        items=items,
        item=item,
        state=state,
        mine=call.query.get("mine") == "1",
        resolutions=RESOLUTIONS.get(name, ("done",)),
        errors=errors,
        typed=typed,
        today=call.site.settings.clock.today(),
        payers=call.site.settings.payers,
        **values,
    )


def _words(call: Call, sealed: bytes) -> str:
    body = call.unseal("work_event", sealed)
    parts = [str(body[key]) for key in ("resolution", "assignee", "text", "comment", "reason", "note") if body.get(key)]
    return ": ".join(parts)
