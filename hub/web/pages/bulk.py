"""What is done with everything that a search finds: replayed from the start, or written down as CSV."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, replace

from starlette.responses import Response

from hub.core.clock import at
from hub.core.errors import HubError
from hub.web.call import Call
from hub.web.csv_text import csv_file
from hub.web.pages.messages import PERIODS, REASON_LENGTH, digests_for, search_of
from hub.web.queries import messages

MOST_REPLAYED = 200
MOST_EXPORTED = 50_000
RATES = (2, 5, 20)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a bulk replay came to: how many went, and why the others did not, each reason once."""

    replayed: int
    refused: tuple[tuple[str, int], ...]


def export(call: Call) -> Response:
    """The messages that a search finds, for a spreadsheet: what the list shows, nobody's name."""
    found = _found(call, MOST_EXPORTED)
    call.look("messages", call.request.url.query[:64], action="export")
    zone = call.site.settings.clock.zone
    return csv_file(
        "messages.csv",
        ("Received", "Type", "Control ID", "Channel", "Onward", "Answer", "What happened", "Bytes", "Message"),
        [
            (
                at(row.received_at, zone).isoformat(timespec="milliseconds"),
                row.kind,
                row.control_id,
                row.channel,
                row.onward,
                row.answer,
                row.reason,
                row.size,
                row.id,
            )
            for row in found
        ],
    )


def form(call: Call) -> Response:
    """How many messages would be replayed, a sample of them, and the form that does it."""
    return _page(call, {}, None)


def replay(call: Call) -> Response:
    """Replay what the search found, one after the other, at the rate chosen; each message once for this form."""
    reason = str(call.form.get("reason", "")).strip()
    rate = next((each for each in RATES if str(each) == call.form.get("rate")), RATES[0])
    token = str(call.form.get("token", ""))
    found = _found(call, MOST_REPLAYED + 1)
    errors = {}
    if len(reason) < REASON_LENGTH:
        errors["reason"] = f"Say why they should be sent again, at least {REASON_LENGTH} letters."
    if not found or len(found) > MOST_REPLAYED:
        errors["rate"] = f"A replay takes 1 to {MOST_REPLAYED} messages; change the search."
    if str(len(found)) != call.form.get("count") and not errors:
        errors["rate"] = "The search finds other messages than before. Look again."
    if errors:
        return _page(call, errors, None)
    replayed, refused = 0, dict[str, int]()
    for number, row in enumerate(found):
        if number:
            time.sleep(1 / rate)
        args = {"message_id": row.id, "from": "raw", "reason": reason, "token": f"{token}/{row.id}"}
        try:
            call.site.control.ask("replay", args, call.actor)
            replayed += 1
        except HubError as error:
            refused[error.what] = refused.get(error.what, 0) + 1
    return _page(call, {}, Outcome(replayed, tuple(refused.items())))


def _found(call: Call, at_most: int) -> list[messages.MessageRow]:
    """The oldest first, none that came after the form was shown: what a replay makes would be found again."""
    search = replace(search_of(call), before=call.number("upto"), after=None)
    digests = digests_for(call, search)
    with call.reading() as connection:
        return messages.everything(connection, search, digests, at_most)


def _page(call: Call, errors: dict[str, str], outcome: Outcome | None) -> Response:
    with call.reading() as connection:
        upto = call.number("upto") or messages.newest_sequence(connection) + 1
    found = _found(call, MOST_REPLAYED + 1)
    search = search_of(call)
    period = call.query.get("since", "day")
    return call.page(
        "bulk.html",
        code=422 if errors else 200,
        title="Replay a search",
        search=search,
        period=PERIODS.get(period, PERIODS["day"])[0],
        since=period,
        found=found,
        most=MOST_REPLAYED,
        rates=RATES,
        upto=upto,
        errors=errors,
        outcome=outcome,
        reason=str(call.form.get("reason", "")),
        token=str(call.form.get("token", "")) or secrets.token_urlsafe(18),
        bills=any(row.kind.startswith("837") for row in found),
    )
