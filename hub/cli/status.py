"""``hub status``: channels, what waits and why, claims by state, and whether messages and money add up."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hub.cli.common import print_json, site_argument, site_folder
from hub.cli.text import age, columns
from hub.core.clock import real_ms
from hub.core.money import from_cents, shown

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from hub.billing.reconcile import Figures
    from hub.store.forecast import Forecast
    from hub.web.queries.status import Counts, Pause, Stage, Waiting

_MB = 1_000_000
_UNWELL = ("failed", "login failed", "retrying")


@dataclass(frozen=True, slots=True)
class ChannelLine:
    """One channel: *state* in a word, *detail* why, *counts* of all days."""

    name: str
    state: str
    detail: str
    counts: Counts
    connections: int
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """How the hub stands. *away* is the engine's absence in words, empty while it runs."""

    away: str
    bundle: str
    idle: bool
    channels: tuple[ChannelLine, ...]
    waiting: tuple[Waiting, ...]
    claims: tuple[Stage, ...]
    queues: tuple[tuple[str, int, Decimal], ...]
    money: Figures
    disk: Forecast


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    site_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print how the hub stands; 1 when messages or money do not add up."""
    from hub.cli.opened import open_site
    from hub.engine.control import EngineAwayError
    from hub.store.database import reading
    from hub.store.forecast import forecast

    opened = open_site(site_folder(arguments))
    try:
        engine, away = opened.ask("status", {}), ""
    except EngineAwayError as error:
        engine, away = {}, error.what
    with reading(opened.store) as connection:
        disk = forecast(connection, opened.site.var, real_ms())
        standing = _standing(connection, list(opened.site.channels), engine, away, disk)
    if arguments.json:
        print_json(document(standing))
    else:
        _print(standing)
    even = all(line.counts.difference == 0 for line in standing.channels) and standing.money.ok
    return 0 if even else 1


def _standing(connection: Connection, names: list[str], engine: dict[str, Any], away: str, disk: Forecast) -> Standing:
    from hub.billing import reconcile
    from hub.web.queries import status

    counts = status.counts_by_channel(connection, "")
    pauses = {(pause.channel, pause.destination): pause for pause in status.pauses(connection)}
    running = engine.get("channels", {})
    everything = dict.fromkeys([*names, *running, *counts])
    return Standing(
        away=away,
        bundle=engine.get("bundle", ""),
        idle=engine.get("idle", False),
        channels=tuple(
            _channel(name, counts.get(name) or status.Counts({}), pauses.get((name, "")), running.get(name))
            for name in everything
        ),
        waiting=tuple(status.waiting(connection)),
        claims=tuple(sorted(status.claims_by_state(connection), key=lambda stage: stage.state)),
        queues=tuple((queue, number, from_cents(cents)) for queue, number, cents, _ in status.open_items(connection)),
        money=reconcile.figures(connection),
        disk=disk,
    )


def _channel(name: str, counts: Counts, pause: Pause | None, running: dict[str, Any] | None) -> ChannelLine:
    if running is None:
        return ChannelLine(name, "not running", "", counts, 0, ())
    sources = running["sources"]
    ends = [*sources, *(end for found in running["destinations"].values() for end in found)]
    unwell = next((end for end in ends if end["state"] in _UNWELL), None)
    state, detail = "running", ""
    if running["paused"]:
        state, detail = "paused", f"by {pause.actor}: {pause.reason}" if pause else ""
    elif unwell is not None:
        state, detail = unwell["state"], f"{unwell['address']} {unwell['detail']}".strip()
    peers = sum(end["peers"] for end in sources)
    places = tuple(f"{end['address']} ({end['detail']})" if end["detail"] else end["address"] for end in sources)
    return ChannelLine(name, state, detail, counts, peers, places)


def document(standing: Standing) -> dict[str, Any]:
    """*standing* for ``--json``; money is text with two places."""
    from hub.web.queries.status import OUTCOMES

    now = real_ms()
    charges = standing.money.charges
    return {
        "engine": {"running": not standing.away, "bundle": standing.bundle, "idle": standing.idle},
        "channels": [
            {
                "name": line.name,
                "state": line.state,
                "detail": line.detail,
                "received": line.counts["received"],
                "outcomes": {name: line.counts[name] for name in OUTCOMES},
                "repeated": line.counts["repeated"],
                "difference": line.counts.difference,
                "lines_difference": line.counts.line_difference,
                "connections": line.connections,
                "addresses": list(line.addresses),
            }
            for line in standing.channels
        ],
        "waiting": [
            {
                "channel": one.channel,
                "destination": one.destination,
                "count": one.count,
                "oldest_seconds": max(now - one.oldest_at, 0) // 1000,
                "reason": one.reason,
                "ambiguous": one.ambiguous,
            }
            for one in standing.waiting
        ],
        "claims": {
            stage.state: {"claims": stage.claims, "total": str(from_cents(stage.cents))} for stage in standing.claims
        },
        "queues": {queue: {"items": number, "money": str(cents)} for queue, number, cents in standing.queues},
        "money": {
            "charged": str(charges.charged),
            "paid": str(charges.paid),
            "contractual": str(charges.contractual),
            "patient": str(charges.patient),
            "written_off": str(charges.written_off),
            "other": str(charges.other),
            "open": str(charges.open),
            "difference": str(charges.difference),
            "differences": [str(difference) for difference in standing.money.differences],
        },
        "store": {
            "bytes": standing.disk.used,
            "disk_free_bytes": standing.disk.free,
            "growth_bytes_a_day": standing.disk.growth,
            "days_until_full": standing.disk.days_left,
        },
    }


def _print(standing: Standing) -> None:
    from hub.web.queries.status import OUTCOMES

    if standing.away:
        print(f"{standing.away} What follows is what the store holds.\n")
    rows = [
        (
            line.name,
            line.state,
            line.counts["received"],
            *(line.counts[name] for name in OUTCOMES),
            _even(line.counts.difference),
            line.connections,
            " ".join(line.addresses),
        )
        for line in standing.channels
    ]
    headings = ("CHANNEL", "STATE", "RECEIVED", *(name.upper() for name in OUTCOMES), "BALANCE", "PEERS", "AT")
    print(columns(headings, rows, right=frozenset({2, 3, 4, 5, 6, 7, 8, 10})))
    for line in standing.channels:
        if line.detail:
            print(f"{line.name}: {line.detail}")
    print(f"\nmessages  {_equation(standing.channels)}")
    _print_waiting(standing.waiting)
    if standing.claims:
        print()
        states = [(stage.state, stage.claims, shown(from_cents(stage.cents))) for stage in standing.claims]
        print(columns(("CLAIMS", "NUMBER", "CHARGED"), states, right=frozenset({1, 2})))
    if standing.queues:
        print()
        items = [(queue, number, shown(money)) for queue, number, money in standing.queues]
        print(columns(("QUEUE", "ITEMS", "MONEY"), items, right=frozenset({1, 2})))
    _print_money(standing.money)
    _print_disk(standing.disk)


def _equation(lines: tuple[ChannelLine, ...]) -> str:
    """Everything received is in exactly one outcome, or the difference is said."""
    from hub.web.queries.status import OUTCOMES

    received = sum(line.counts["received"] for line in lines)
    sums = {name: sum(line.counts[name] for line in lines) for name in OUTCOMES}
    terms = " + ".join(f"{number} {name}" for name, number in sums.items())
    return f"{received} received = {terms}: {_even(received - sum(sums.values()))}"


def _print_waiting(waiting: tuple[Waiting, ...]) -> None:
    if not waiting:
        print("\nnothing waits to be sent")
        return
    now = real_ms()
    rows = [
        (f"{one.channel} → {one.destination}", one.count, age(max(now - one.oldest_at, 0)), one.ambiguous, one.reason)
        for one in waiting
    ]
    print()
    print(columns(("WAITING", "NUMBER", "OLDEST", "AMBIGUOUS", "REASON"), rows, right=frozenset({1, 2, 3})))


def _print_money(money: Figures) -> None:
    charges = money.charges
    terms = [
        (charges.paid, "paid"),
        (charges.contractual, "contractual"),
        (charges.patient, "patient"),
        (charges.written_off, "written off"),
        (charges.other, "other"),
        (charges.open, "open"),
    ]
    told = " + ".join(f"{shown(amount)} {name}" for amount, name in terms)
    print(f"\nmoney     {shown(charges.charged)} charged = {told}: {_even(charges.difference)}")
    for difference in money.differences:
        print(f"          {difference}")


def _print_disk(disk: Forecast) -> None:
    told = f"{disk.used / _MB:,.1f} MB"
    if disk.free is not None:
        told += f", {disk.free / _MB:,.0f} MB free on its disk"
    if disk.growth is None:
        told += "; how fast it grows is known after two hours"
    elif disk.days_left is not None:
        told += f"; grows {disk.growth / _MB:,.1f} MB a day, full in {disk.days_left:,.0f} days"
    print(f"store     {told}")


def _even(difference: int | Decimal) -> str:
    return "even" if not difference else f"off by {difference}"
