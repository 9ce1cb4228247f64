"""``hub find``: messages by control id, kind, outcome, patient, account or claim. Masked and audited."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Connection, Select, and_, select, union

from hub.cli.common import print_json, site_argument, site_folder
from hub.cli.text import columns, moment
from hub.cli.values import duration, positive
from hub.core.clock import real_ms
from hub.store.tables import batch, claim, claim_event, identifier, message

if TYPE_CHECKING:
    from hub.core.vault import Vault
    from hub.web.queries.messages import MessageRow

_BY_DIGEST = ("account", "mrn", "name", "claim")
_OUTCOMES = ("in progress", "held", "errored", "rejected", "done", "filtered")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    site_argument(parser)
    parser.add_argument(
        "--control-id", metavar="ID", help="MSH-10, ISA13, or a claim batch's reference; its beginning is enough"
    )
    parser.add_argument("--kind", "--type", metavar="KIND", help="ADT^A04, 835, ...")
    parser.add_argument("--account", help="the patient account number")
    parser.add_argument("--mrn", help="the medical record number")
    parser.add_argument("--name", help="family name, or family and given name")
    parser.add_argument("--claim", metavar="NUMBER", help="the claim's control number (CLM01): all that concerns it")
    parser.add_argument("--channel")
    parser.add_argument("--outcome", choices=_OUTCOMES)
    parser.add_argument("--since", type=duration, metavar="24h", help="received in the last so many m, h, d")
    parser.add_argument("--before", type=int, metavar="SEQUENCE", help="the next page: older than this row")
    parser.add_argument("--limit", type=positive, default=50, metavar="N", help="at most so many rows (default 50)")


def run(arguments: argparse.Namespace) -> int:
    """Print what is found, newest first; 1 when there is nothing."""
    from hub.cli.opened import open_site
    from hub.store.database import reading
    from hub.web.queries.messages import first_sequence_since

    opened = open_site(site_folder(arguments))
    asked = {name: value for name in _BY_DIGEST if (value := getattr(arguments, name))}
    if asked:
        opened.audit("search", "messages", detail={"fields": sorted(asked)})
    conditions = _conditions(arguments)
    with reading(opened.store) as connection:
        if asked:
            conditions += _identified(connection, opened.vault(), asked)
        if arguments.since is not None:
            first = first_sequence_since(connection, real_ms() - int(arguments.since * 1000))
            conditions.append(message.c.sequence >= first if first is not None else message.c.sequence < 0)
        rows = _rows(connection, conditions, arguments.limit + 1)
    more, rows = len(rows) > arguments.limit, rows[: arguments.limit]
    if arguments.json:
        print_json({"messages": [asdict(row) for row in rows], "next": rows[-1].sequence if more else None})
        return 0 if rows else 1
    if not rows:
        print("No message fits.")
        return 1
    zone = opened.site.zone
    table = [
        (
            row.id,
            moment(row.received_at, zone),
            row.channel,
            row.kind,
            row.control_id,
            row.onward,
            row.answer,
            row.reason,
        )
        for row in rows
    ]
    print(columns(("ID", "RECEIVED", "CHANNEL", "KIND", "CONTROL ID", "OUTCOME", "ANSWER", "REASON"), table))
    if more:
        print(f"\nThere are more: add --before {rows[-1].sequence}")
    return 0


def _conditions(arguments: argparse.Namespace) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = [
        column == wanted
        for column, wanted in (
            (message.c.kind, arguments.kind),
            (message.c.channel, arguments.channel),
            (message.c.onward, arguments.outcome),
        )
        if wanted
    ]
    if arguments.control_id:
        end = arguments.control_id + "\U0010ffff"
        found.append(and_(message.c.control_id >= arguments.control_id, message.c.control_id < end))
    if arguments.before is not None:
        found.append(message.c.sequence < arguments.before)
    return found


def _identified(connection: Connection, vault: Vault, asked: dict[str, str]) -> list[ColumnElement[bool]]:
    """The conditions that the blind indexes answer; for claims also what happened to the claim and carried it."""
    from hub.web.queries.messages import digests_of

    found: list[ColumnElement[bool]] = []
    for kind, text in asked.items():
        digests = [digest for name, digest in digests_of(vault, text) if name == kind]
        ways: list[Select[Any]] = [
            select(identifier.c.message_sequence).where(identifier.c.kind == kind, identifier.c.digest.in_(digests))
        ]
        if kind == "claim":
            ways += _concerning(connection, text)
        found.append(message.c.sequence.in_(union(*ways).scalar_subquery()))
    return found


def _concerning(connection: Connection, control_number: str) -> list[Select[Any]]:
    row = connection.execute(
        select(claim.c.id, claim.c.batch_id).where(claim.c.control_number == control_number.strip().upper())
    ).first()
    if row is None:
        return []
    events = select(claim_event.c.message_id).where(claim_event.c.claim_id == row.id)
    carried = select(batch.c.message_id).where(batch.c.id == row.batch_id)
    return [select(message.c.sequence).where(message.c.id.in_(ids.scalar_subquery())) for ids in (events, carried)]


def _rows(connection: Connection, conditions: list[ColumnElement[bool]], limit: int) -> list[MessageRow]:
    from hub.web.queries.messages import MessageRow

    statement = select(message).where(*conditions).order_by(message.c.sequence.desc()).limit(limit)
    return [
        MessageRow(
            sequence=row.sequence,
            id=row.id,
            channel=row.channel,
            kind=row.kind,
            control_id=row.control_id,
            received_at=row.received_at,
            onward=row.onward,
            answer=row.answer,
            reason=row.reason or "",
            size=row.size,
            flags=row.flags,
            relation=row.relation or "",
        )
        for row in connection.execute(statement)
    ]
