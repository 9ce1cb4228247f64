"""The minute after a deploy: whether what the new version does is worse than what the one before did.

Worse is an error among messages where the version before had fewer, far more that are held or refused, or a connection
that was well before and is not any more. The first message that went well is told too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, func, select

from hub.store.tables import message

if TYPE_CHECKING:
    from hub.cli.opened import OpenedSite

EVERY_SECONDS = 1.0
DOWN_SECONDS = 5.0
"""How long a connection may take to come up again before it counts as down."""
_COMPARED = 500
_ENDED = ("done", "filtered", "held", "errored", "rejected")
_UNWELL = frozenset({"failed", "login failed", "refused", "retrying", "stopped"})
_FEWEST, _TIMES = 3, 2.0
"""Held and refused messages are work as well as trouble: this many, and so many times their share before, is worse."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Messages of one version that have ended, by outcome, and the reason of the newest one in error."""

    outcomes: Mapping[str, int] = field(default_factory=dict)
    reason: str = ""

    @property
    def ended(self) -> int:
        """How many have ended."""
        return sum(self.outcomes.values())

    def share(self, outcome: str) -> float:
        """Which part of them came to *outcome*."""
        return self.outcomes.get(outcome, 0) / self.ended if self.ended else 0.0


@dataclass(frozen=True, slots=True)
class Standing:
    """How things stand at one look: what messages of a version came to, and the endpoints that are not well."""

    tally: Tally
    unwell: frozenset[str]


def worse(before: Standing, now: Standing) -> list[str]:
    """What is worse *now*, a sentence each."""
    told = []
    errors = now.tally.outcomes.get("errored", 0)
    if errors and now.tally.share("errored") > before.tally.share("errored"):
        told.append(f"{errors} of {now.tally.ended} messages ended in an error: {now.tally.reason}".rstrip(": "))
    for outcome in ("held", "rejected"):
        count, usual = now.tally.outcomes.get(outcome, 0), before.tally.share(outcome)
        if count >= _FEWEST and now.tally.share(outcome) > _TIMES * usual:
            told.append(f"{count} of {now.tally.ended} messages were {outcome}; {usual:.0%} before.")
    told += [f"{place} is not well any more." for place in sorted(now.unwell - before.unwell)]
    return told


class DeployWatch:
    """Looks at a site before and after a deploy. Make it before, with the version that runs: *before* stands then."""

    def __init__(
        self,
        opened: OpenedSite,
        running: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.opened, self._clock, self._sleep = opened, clock, sleep
        self._down_since: dict[str, float] = {}
        with opened.store.connect() as connection:
            self._mark = int(connection.execute(select(func.max(message.c.sequence))).scalar() or 0)
            tally = _tally(connection, running, 0)
        self.before = Standing(tally, frozenset(_unwell(opened.ask("status", {}))))

    def watch(self, bundle: str, seconds: float) -> tuple[Standing, list[str]]:
        """Look for *seconds* at what *bundle* does; the last look, and what is worse: then at once, without waiting."""
        until = self._clock() + seconds
        while True:
            now = self._look(bundle)
            found = worse(self.before, now)
            if found or self._clock() >= until:
                return now, found
            self._sleep(min(EVERY_SECONDS, seconds))

    def _look(self, bundle: str) -> Standing:
        down = _unwell(self.opened.ask("status", {}))
        at = self._clock()
        self._down_since = {place: self._down_since.get(place, at) for place in down}
        with self.opened.store.connect() as connection:
            tally = _tally(connection, bundle, self._mark)
        return Standing(tally, frozenset(p for p, since in self._down_since.items() if at - since >= DOWN_SECONDS))


def _tally(connection: Connection, bundle: str, after: int) -> Tally:
    """The newest messages beyond the sequence *after* that ended on *bundle*."""
    newest = connection.execute(
        select(message.c.bundle, message.c.onward, message.c.reason)
        .where(message.c.sequence > after)
        .order_by(message.c.sequence.desc())
        .limit(_COMPARED)
    ).all()
    outcomes: dict[str, int] = {}
    for row in newest:
        if row.bundle == bundle and row.onward in _ENDED:
            outcomes[row.onward] = outcomes.get(row.onward, 0) + 1
    reason = next((row.reason for row in newest if row.bundle == bundle and row.onward == "errored"), "")
    return Tally(outcomes, reason or "")


def _unwell(status: Mapping[str, Any]) -> Iterator[str]:
    """The endpoints of *status* that are not well, of channels that work."""
    for name, channel in status["channels"].items():
        if channel["paused"] or channel["draining"]:
            continue
        for place, ends in (("source", channel["sources"]), *channel["destinations"].items()):
            if any(end["state"] in _UNWELL for end in ends):
                yield f"{name}.{place}"
