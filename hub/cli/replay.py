"""``hub replay``: take messages through their steps again, or send one delivery again. Never without a reason.

The messages are named by their ids, or found by a search, as `hub find` does: then they are counted and shown first,
and go one after the other at a rate.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hub.cli.common import UsageError, print_json, site_argument, site_folder
from hub.cli.searching import found, is_asked, search_options
from hub.cli.text import columns, moment
from hub.cli.values import positive, rate
from hub.core.errors import HubError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from hub.cli.opened import OpenedSite
    from hub.web.queries.messages import Delivery, MessageDetail, MessageRow

SHOWN = 10
MOST = 1000


@dataclass(frozen=True, slots=True)
class _Which:
    """The delivery that is meant: its id, its destination, or the only one."""

    delivery: int | None
    destination: str | None


class NotConfirmedError(HubError):
    """A replay could do harm and nobody said that it should go on."""

    code = "H651"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    site_argument(parser)
    parser.add_argument("id", type=int, nargs="*", help="message ids (`hub find` shows them), or a search instead")
    search_options(parser)
    parser.add_argument(
        "--from",
        dest="stage",
        choices=("raw", "delivery"),
        default="raw",
        help="raw: the message with today's mapping; delivery: the same bytes to the same destination",
    )
    parser.add_argument("--delivery", type=int, metavar="ID", help="which delivery of the one message")
    parser.add_argument("--to", metavar="DEST", help="which delivery of each message: the one to this destination")
    parser.add_argument("--reason", metavar="TEXT", help="why; it is kept with each message")
    parser.add_argument("--count", action="store_true", help="say what the search finds, and do nothing")
    parser.add_argument("--rate", type=rate, default=5.0, metavar="5/s", help="how fast a search's messages go")
    parser.add_argument(
        "--limit", type=positive, default=MOST, metavar="N", help=f"refuse a search that finds more (default {MOST})"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(arguments: argparse.Namespace) -> int:
    """Ask for the replays, one by one; 1 when one of them is refused."""
    from hub.cli.opened import open_site

    reason = (arguments.reason or "").strip()
    if not (reason or arguments.count):
        raise UsageError("A replay needs a reason.", expected="--reason TEXT")
    if is_asked(arguments) == bool(arguments.id):
        raise UsageError("Say which messages.", expected="ids, or a search such as --channel NAME --outcome errored")
    if arguments.count and arguments.id:
        raise UsageError("Ids need no counting.", expected="--count with a search")
    opened = open_site(site_folder(arguments))
    if is_asked(arguments):
        if arguments.stage == "delivery" or arguments.delivery is not None or arguments.to:
            raise UsageError("A search goes through the steps again.", expected="one id with --from delivery")
        return _all_found(opened, arguments, reason)
    return _by_id(opened, arguments, reason)


def _by_id(opened: OpenedSite, arguments: argparse.Namespace, reason: str) -> int:
    from hub.store.database import reading

    if arguments.delivery is not None and len(arguments.id) > 1:
        raise UsageError("One delivery belongs to one message.", expected="one ID with --delivery")
    which = _Which(arguments.delivery, arguments.to)
    from_delivery = arguments.stage == "delivery" or which != _Which(None, None)
    with reading(opened.store) as connection:
        jobs = [_job(connection, message_id, which if from_delivery else None) for message_id in arguments.id]
    warnings = [warning for detail, delivery in jobs for warning in dangers(detail, delivery)]
    if warnings and not arguments.yes:
        _confirm(warnings)
    done = []
    for detail, delivery in jobs:
        answer = opened.ask(
            "replay",
            {
                "message_id": detail.id,
                "from": "raw" if delivery is None else "delivery",
                "delivery_id": delivery.id if delivery else None,
                "reason": reason,
            },
        )
        done.append(
            {"message_id": detail.id, "delivery_id": delivery.id if delivery else None, "became": answer["message_id"]}
        )
        if not arguments.json:
            what = f"delivery {delivery.id} to {delivery.destination} goes out again" if delivery else ""
            print(f"{detail.id}: {what or 'now message ' + str(answer['message_id'])}")
    if arguments.json:
        print_json({"replayed": done})
    return 0


# ---------------------------------------------------------------- all that a search finds


@dataclass(slots=True)
class _Going:
    """How a replay of many goes: what became of whom, and who was refused, by reason."""

    became: list[tuple[int, int]] = field(default_factory=list)
    refused: list[tuple[int, str]] = field(default_factory=list)


def _all_found(opened: OpenedSite, arguments: argparse.Namespace, reason: str) -> int:
    """Show what the search finds, ask, and replay it, the oldest first."""
    from hub.store.database import reading
    from hub.web.queries.messages import newest_sequence

    with reading(opened.store) as connection:
        # What a replay makes would be found again: nothing that comes from now on is meant.
        upto = newest_sequence(connection) + 1
        rows = found(opened, connection, arguments, arguments.limit + 1, before=upto, oldest_first=True)
    if len(rows) > arguments.limit:
        raise UsageError(
            f"The search finds more than {arguments.limit} messages.",
            fix="Narrow it, or raise --limit when all of them are meant.",
        )
    if not arguments.json:
        _show(rows, opened)
    if arguments.count or not rows:
        if arguments.json:
            print_json({"found": [row.id for row in rows]})
        return 0 if rows else 1
    if not arguments.yes:
        _confirm(_dangers_of(rows, arguments.rate))
    going = _Going()
    try:
        _go(opened, rows, reason, arguments.rate, going)
    except KeyboardInterrupt:
        print(f"\nEnded: {len(going.became)} of {len(rows)} went; the others are as they were.", file=sys.stderr)
        return 130
    _tell(going, as_json=arguments.json)
    return 1 if going.refused else 0


def _go(opened: OpenedSite, rows: Sequence[MessageRow], reason: str, per_second: float, going: _Going) -> None:
    from hub.engine.control import EngineAwayError

    token = secrets.token_urlsafe(12)
    begun = time.monotonic()
    for number, row in enumerate(rows):
        time.sleep(max(0.0, begun + number / per_second - time.monotonic()))
        ask = {"message_id": row.id, "from": "raw", "reason": reason, "token": f"{token}/{row.id}"}
        try:
            going.became.append((row.id, opened.ask("replay", ask)["message_id"]))
        except EngineAwayError:  # nor will it answer for the others
            raise
        except HubError as error:
            going.refused.append((row.id, error.what))


def _show(rows: Sequence[MessageRow], opened: OpenedSite) -> None:
    if not rows:
        print("No message fits.")
        return
    kinds = Counter((row.channel, row.kind, row.onward) for row in rows)
    print(f"{len(rows)} messages:")
    print(columns(("NUMBER", "CHANNEL", "KIND", "OUTCOME"), [(n, *key) for key, n in kinds.most_common()]))
    zone = opened.site.zone
    table = [(row.id, moment(row.received_at, zone), row.control_id, row.reason) for row in rows[:SHOWN]]
    print(f"\nThe first of them{'' if len(rows) > SHOWN else ' are all'}:")
    print(columns(("ID", "RECEIVED", "CONTROL ID", "REASON"), table))


def _dangers_of(rows: Sequence[MessageRow], per_second: float) -> list[str]:
    claims = sum(row.kind.startswith("837") for row in rows)
    done = sum(row.onward == "done" for row in rows)
    found = [f"{len(rows)} messages go through their steps again, {per_second:g} a second."]
    if done:
        found.append(f"{done} of them are done: what they made goes out a second time.")
    if claims:
        found.append(f"{claims} of them carry claims: the payer can be billed twice.")
    return found


def _tell(going: _Going, *, as_json: bool) -> None:
    if as_json:
        replayed = [{"message_id": old, "became": new} for old, new in going.became]
        refused = [{"message_id": old, "what": what} for old, what in going.refused]
        print_json({"replayed": replayed, "refused": refused})
        return
    print(f"{len(going.became)} replayed, {len(going.refused)} refused.")
    for what, number in Counter(what for _, what in going.refused).most_common():
        print(f"  {number}: {what}")


# ---------------------------------------------------------------- single messages


def _job(connection: Connection, message_id: int, which: _Which | None) -> tuple[MessageDetail, Delivery | None]:
    """The message, and the delivery of it that is meant when one is sent again."""
    from hub.web.queries import messages

    detail = messages.get(connection, message_id)
    if detail is None:
        raise UsageError("There is no message of that id.", where=str(message_id), fix="`hub find` shows ids.")
    if which is None:
        return detail, None
    deliveries = messages.deliveries(connection, detail.sequence)
    chosen = [d for d in deliveries if which.delivery in {None, d.id} and which.destination in {None, d.destination}]
    if len(chosen) != 1:
        known = ", ".join(f"{d.id} ({d.destination}, {d.state})" for d in deliveries) or "none"
        raise UsageError(
            "Say which delivery.", where=f"message {message_id}", expected=f"--to or --delivery, of: {known}"
        )
    return detail, chosen[0]


def dangers(detail: MessageDetail, delivery: Delivery | None) -> list[str]:
    """What a replay of *detail* (or of its *delivery* alone) could do that nobody can take back."""
    found = []
    if delivery is not None and delivery.state == "ambiguous":
        found.append(f"Delivery {delivery.id} may have arrived at {delivery.destination}: it would arrive twice.")
    if delivery is not None and delivery.state == "delivered":
        found.append(f"Delivery {delivery.id} was taken by {delivery.destination}: it would arrive twice.")
    if detail.kind.startswith("837") or (delivery is not None and delivery.kind.startswith("837")):
        found.append(f"Message {detail.id} carries claims: the payer can be billed twice.")
    return found


def _confirm(warnings: list[str]) -> None:
    for warning in warnings:
        print(warning, file=sys.stderr)
    if not sys.stdin.isatty():
        raise NotConfirmedError("Nothing was replayed.", fix="Add --yes when it is meant.")
    print("Go on? Type yes: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() != "yes":
        raise NotConfirmedError("Nothing was replayed.")
