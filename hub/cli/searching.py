"""What messages a command is about: the options of a search, and what they find. Searches by identity are audited."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Connection, Select, and_, select, union

from hub.cli.values import duration
from hub.core.clock import real_ms
from hub.store.identifiers import identified
from hub.store.tables import batch, claim, claim_event, message

if TYPE_CHECKING:
    from hub.cli.opened import OpenedSite
    from hub.core.vault import Vault
    from hub.web.queries.messages import MessageRow

_BY_DIGEST = ("account", "mrn", "name", "claim")
_OUTCOMES = ("in progress", "held", "errored", "rejected", "done", "filtered")
_OPTIONS = (*_BY_DIGEST, "control_id", "kind", "channel", "outcome", "since")


def search_options(parser: argparse.ArgumentParser) -> None:
    """Say what a search takes."""
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


def is_asked(arguments: argparse.Namespace) -> bool:
    """Whether any option of a search was given."""
    return any(getattr(arguments, name) is not None for name in _OPTIONS)


def found(
    opened: OpenedSite,
    connection: Connection,
    arguments: argparse.Namespace,
    limit: int,
    *,
    before: int | None = None,
    oldest_first: bool = False,
) -> list[MessageRow]:
    """Up to *limit* messages that the search finds, older than the sequence *before*."""
    from hub.web.queries.messages import first_sequence_since

    asked = {name: value for name in _BY_DIGEST if (value := getattr(arguments, name))}
    if asked:
        opened.audit("search", "messages", detail={"fields": sorted(asked)})
    conditions = _conditions(arguments)
    if before is not None:
        conditions.append(message.c.sequence < before)
    if asked:
        conditions += _identified(connection, opened.vault(), asked)
    if arguments.since is not None:
        first = first_sequence_since(connection, real_ms() - int(arguments.since * 1000))
        conditions.append(message.c.sequence >= first if first is not None else message.c.sequence < 0)
    return _rows(connection, conditions, limit, oldest_first=oldest_first)


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
    return found


def _identified(connection: Connection, vault: Vault, asked: dict[str, str]) -> list[ColumnElement[bool]]:
    """The conditions that the blind indexes answer; for claims also what happened to the claim and carried it."""
    from hub.web.queries.messages import digests_of

    found: list[ColumnElement[bool]] = []
    for kind, text in asked.items():
        ways: list[Select[Any]] = [*identified(each for each in digests_of(vault, text) if each[0] == kind)]
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


def _rows(
    connection: Connection, conditions: list[ColumnElement[bool]], limit: int, *, oldest_first: bool
) -> list[MessageRow]:
    from hub.web.queries.messages import MessageRow

    order = message.c.sequence if oldest_first else message.c.sequence.desc()
    statement = select(message).where(*conditions).order_by(order).limit(limit)
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
