"""``hub replay ID…``: take messages through their steps again, or send one delivery again. Never without a reason."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hub.cli.common import UsageError, print_json, site_argument, site_folder
from hub.core.errors import HubError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from hub.web.queries.messages import Delivery, MessageDetail


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
    parser.add_argument("id", type=int, nargs="+", help="message ids (`hub find` shows them)")
    parser.add_argument(
        "--from",
        dest="stage",
        choices=("raw", "delivery"),
        default="raw",
        help="raw: the message with today's mapping; delivery: the same bytes to the same destination",
    )
    parser.add_argument("--delivery", type=int, metavar="ID", help="which delivery of the one message")
    parser.add_argument("--to", metavar="DEST", help="which delivery of each message: the one to this destination")
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why; it is kept with the message")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(arguments: argparse.Namespace) -> int:
    """Ask for the replays, one by one; 1 when one of them is refused."""
    from hub.cli.opened import open_site
    from hub.store.database import reading

    if not arguments.reason.strip():
        raise UsageError("A replay needs a reason.", expected="--reason TEXT")
    if arguments.delivery is not None and len(arguments.id) > 1:
        raise UsageError("One delivery belongs to one message.", expected="one ID with --delivery")
    opened = open_site(site_folder(arguments))
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
                "reason": arguments.reason.strip(),
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
