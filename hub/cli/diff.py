"""``hub diff --against last:500``: what the files as they are now would change, before anyone is affected.

Recorded messages are run through the mappings that run and through those on disk, and recorded claims are examined by
the rules of both. What differs is told by group, with how many it concerns. Nothing is sent, stored or changed.
"""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from hub.cli.common import UsageError, print_json, site_argument, site_folder
from hub.core.errors import masked

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from hub.cli.diff_claims import ClaimsCompared
    from hub.site.load import Site
    from hub.web.masking import Piece
    from hub.web.preview import Made

_AGAINST = re.compile(r"last:(\d{1,6})\Z")
_MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class Recorded:
    """One message as it was stored."""

    id: int
    channel: str
    about: Mapping[str, Any]
    raw: bytes


@dataclass(frozen=True, slots=True)
class Group:
    """One way in which outputs differ, and the messages that it concerns."""

    channel: str
    place: str
    was: str
    now: str
    messages: tuple[int, ...]


def against(text: str) -> int:
    """How many messages ``last:500`` means."""
    match = _AGAINST.match(text)
    if match is None or int(match[1]) < 1:
        raise argparse.ArgumentTypeError('messages are named "last:500"')
    return int(match[1])


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    site_argument(parser)
    told = "also run the last N recorded messages, and the last N claims"
    parser.add_argument("--against", type=against, metavar="last:N", help=told)
    parser.add_argument("--channel", help="only messages of this channel")


def run(arguments: argparse.Namespace) -> int:
    """Print what would change; 1 when the files have errors."""
    from hub.cli.diff_claims import billing_of, compare_claims, recorded_claims
    from hub.cli.opened import open_site
    from hub.site.bundle import current, remember_base
    from hub.site.compare import UNCHANGED, compare, connector_changes
    from hub.site.load import load_running, load_site
    from hub.store.database import reading

    folder = site_folder(arguments)
    opened = open_site(folder)
    running = current(folder.resolve())
    before = load_running(folder, running).require_sound()
    after = load_site(folder).require_sound()
    parts = [part for part in compare(before, after) if part.change != UNCHANGED]
    groups: list[Group] = []
    same = 0
    claims = None
    if arguments.against:
        opened.audit("diff", "messages", detail={"messages": arguments.against})
        with reading(opened.store) as connection:
            vault = opened.vault()
            found = _recorded(connection, vault, arguments.against, arguments.channel, before)
            wanted = 0 if arguments.channel else arguments.against
            recorded = recorded_claims(connection, lambda sealed: vault.open_json(sealed, "claim.body"), wanted)
        groups, same = compare_outputs(before, after, found)
        claims = compare_claims(billing_of(before), billing_of(after), recorded, before.clock.today())
    remember_base(folder, running)
    if arguments.json:
        print_json(
            {
                "running": running,
                "files": after.bundle,
                "parts": [{"name": part.name, "change": part.change} for part in parts],
                "same": same,
                "groups": [
                    {"channel": g.channel, "place": g.place, "was": g.was, "now": g.now, "messages": list(g.messages)}
                    for g in groups
                ],
                "claims": asdict(claims) if claims else None,
            }
        )
        return 0
    print(f"{running} runs; the files on disk are {after.bundle}.")
    print("\n".join(connector_changes(parts)) or "Nothing differs.")
    if arguments.against:
        print("\n".join(_message_lines(groups, same)))
    if claims is not None and (claims.seen or claims.rules):
        print("\n".join(_claim_lines(claims)))
    return 0


def _message_lines(groups: list[Group], same: int) -> Iterator[str]:
    differing = {message_id for group in groups for message_id in group.messages}
    yield f"\n{same} of {same + len(differing)} messages: same output"
    for group in groups:
        yield f"  {len(group.messages):>4} {group.channel}: {group.place}  {group.was} -> {group.now}  {_ids(group)}"


def _claim_lines(claims: ClaimsCompared) -> Iterator[str]:
    yield f"\n{claims.same} of {claims.seen} claims: same outcome"
    for rule in claims.rules:
        concerned = f"{rule.claims} of {rule.seen} claims come out otherwise"
        yield f"  rule {rule.rule} of payer {rule.payer} {rule.change}: {concerned}"
    for group in claims.groups:
        named = ", ".join(group.claims[:_MOST_NAMED])
        more = len(group.claims) - _MOST_NAMED
        yield (
            f"  {len(group.claims):>4} {group.payer}: {group.rule}  {group.was} -> {group.now}  "
            f"({named}{f', +{more}' if more > 0 else ''})"
        )


def compare_outputs(before: Site, after: Site, found: list[Recorded]) -> tuple[list[Group], int]:
    """Where the versions differ on the messages *found*, the most frequent first; and how many come out the same."""
    from hub.web.preview import compared

    old, new = _mapper(before), _mapper(after)
    groups: dict[tuple[str, str, str, str], list[int]] = defaultdict(list)
    same = 0
    for one in found:
        differences = compared(old(one), new(one)).differences if one.channel in after.channels else ()
        if one.channel not in after.channels:
            groups[one.channel, "the channel", "there", "removed"].append(one.id)
        elif not differences:
            same += 1
        for each in differences:
            place = re.sub(r"\[\d+\]", "", each.place)
            ids = groups[one.channel, place, _shown(each.was), _shown(each.now)]
            if one.id not in ids[-1:]:
                ids.append(one.id)
    made = [Group(*key, tuple(ids)) for key, ids in groups.items()]
    return sorted(made, key=lambda group: (-len(group.messages), group.channel, group.place)), same


def _mapper(site: Site) -> Callable[[Recorded], Made]:
    """Runs the steps of *site* over a recorded message."""
    from hub.site.mapping import results_of
    from hub.web.preview import made_of

    def run_one(one: Recorded) -> Made:
        results, bodies = results_of(site.channels[one.channel], site.scripts, site.zone, [(one.about, one.raw)])
        return made_of(results[0], bodies)

    return run_one


def _recorded(connection: Connection, vault: Any, most: int, channel: str | None, before: Site) -> list[Recorded]:
    """The newest *most* messages that were mapped and whose bytes are still kept."""
    from sqlalchemy import select

    from hub.core.clock import at
    from hub.store.contents import read_content
    from hub.store.tables import message

    if channel is not None and channel not in before.channels:
        raise UsageError(f'There is no channel "{channel}".', expected=", ".join(before.channels))
    wanted = select(message).where(message.c.mapped, message.c.onward != "rejected")
    if channel is not None:
        wanted = wanted.where(message.c.channel == channel)
    found = []
    for row in connection.execute(wanted.order_by(message.c.sequence.desc()).limit(most)).all():
        if row.channel not in before.channels:
            continue
        try:
            raw = read_content(connection, vault, row.raw_id)
        except KeyError:  # pruned
            continue
        about = {
            "id": row.id,
            "kind": row.kind,
            "control_id": row.control_id,
            "source": row.source,
            "received_on": at(row.received_at, before.zone).isoformat(timespec="seconds"),
        }
        found.append(Recorded(row.id, row.channel, about, raw))
    return found


def _shown(piece: Piece) -> str:
    return masked(piece.text) if piece.what else piece.text


def _ids(group: Group) -> str:
    named = ", ".join(str(number) for number in group.messages[:_MOST_NAMED])
    more = len(group.messages) - _MOST_NAMED
    return f"({named}{f', +{more}' if more > 0 else ''})"
