"""What is done with several work items at once: taken, given to somebody, put to rest, resolved."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from hub.core.errors import HubError
from hub.web.call import Call, whole_number
from hub.web.queries.scope import has_item

MOST = 100
COMMANDS = {"assign": "assign_item", "snooze": "snooze_item", "resolve": "resolve_item"}


def run(call: Call, resolutions: tuple[str, ...]) -> tuple[int, dict[str, int], str]:
    """Do it with every item that was chosen, each with the version that was seen.

    Returns how many it was done with, why not with the others (each reason once, how often), and what was wrong with
    the whole of it.
    """
    chosen = [str(each) for each in call.form.getlist("item")][:MOST]  # type: ignore[attr-defined]
    what = str(call.form.get("what", ""))
    args: dict[str, Any] = {
        "assign": {"assignee": str(call.form.get("assignee", ""))[:64]},
        "snooze": {"until": str(call.form.get("until", ""))[:10], "comment": ""},
        "resolve": {"resolution": str(call.form.get("resolution", ""))[:48], "comment": ""},
    }.get(what, {})
    if not chosen:
        return 0, {}, "Choose items first: the box beside each, or the key x."
    if what not in COMMANDS:
        return 0, {}, "Choose what is done with them."
    if what == "resolve" and args["resolution"] not in resolutions:
        return 0, {}, "Choose what was done."
    done, refused = 0, dict[str, int]()
    for each in chosen:
        item_id, version = (whole_number(part) for part in each.partition(":")[::2])
        if item_id is None or version is None or not _is_theirs(call, item_id):
            continue
        try:
            given = {"item_id": item_id, "version": version, **args}
            call.site.control.billing(COMMANDS[what], given, call.actor)
            done += 1
        except HubError as error:
            refused[error.what] = refused.get(error.what, 0) + 1
    return done, refused, ""


def _is_theirs(call: Call, item_id: int) -> bool:
    """Whether the item is of the channels that the person's account is for."""
    if not call.session.channels:
        return True
    with call.reading() as connection:
        return has_item(connection, item_id, call.session.channels)


def answer(call: Call, path: str, done: int) -> Response:
    """Back to the queue, with how many were done."""
    return call.back(path, "bulk" if done != 1 else "done")
