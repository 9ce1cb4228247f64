"""What the status page, a channel's page and programs are told of the whole hub, worst first."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy import Connection

from hub.core.clock import real_ms
from hub.store.forecast import Forecast, forecast
from hub.web.call import Call, Site
from hub.web.causes import needs_of
from hub.web.channel_view import ChannelView, ask_engine, channel_views
from hub.web.needs import Need, look_around
from hub.web.queries import status as queries

_STAGES = (
    ("Not sent yet", ("draft", "held", "needs fix", "ready", "batched"), ""),
    ("Passed on by another payer", ("forwarded",), ""),
    ("Sent", ("sent", "accepted 999", "received"), ""),
    ("Accepted by the clearinghouse", ("accepted clearinghouse",), ""),
    ("Accepted by the payer", ("accepted payer", "pended"), ""),
    ("Rejected", ("rejected",), "bad"),
    ("Denied", ("denied",), "bad"),
    ("Paid, in whole or part", ("paid", "partly paid", "closed"), ""),
    ("Reversed or void", ("reversed", "void"), ""),
)


@dataclass(frozen=True, slots=True)
class StageView:
    """Claims that have come this far."""

    title: str
    tone: str
    claims: int
    cents: int
    share: float
    states: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything the status page shows."""

    period: str
    channels: tuple[ChannelView, ...]
    needs: tuple[Need, ...]
    total: queries.Counts
    waiting: int
    stages: tuple[StageView, ...]
    claims: int
    claim_cents: int
    engine_problem: str
    bundle: str
    disk: Forecast
    narrowed: bool = False
    at: int = field(default_factory=real_ms)

    @property
    def urgent(self) -> tuple[Need, ...]:
        """What needs a person now: the others are snoozed."""
        return tuple(need for need in self.needs if not need.snoozed_until)

    @property
    def shape(self) -> str:
        """Changes when more than numbers changed: then the page offers to be shown anew."""
        parts = [f"{c.info.name} {c.state}" for c in self.channels] + [n.sentence for n in self.needs]
        return hashlib.sha256("\n".join(sorted(parts)).encode()).hexdigest()[:16]


def overview(call: Call, period: str) -> Overview:
    """The whole state of the hub as far as the person may see it, worst first."""
    site = call.site
    engine, problem = ask_engine(site.control, call.actor)
    with call.reading() as connection:
        waits = [wait for wait in waiting(site, connection) if call.sees(wait.channel)]
        channels = channel_views(
            connection, site.settings, waits, engine, problem, since_day=_since_day(site, period), sees=call.sees
        )
        channels.sort(key=lambda view: (view.rank[0], view.info.name not in call.starred, *view.rank[1:]))
        stages = claims_by_state(call, connection)
        disk = forecast(connection, site.settings.control_socket.parent, real_ms())
        needs = needs_of(look_around(connection, site.settings, channels, waits, problem), call.may)
        if call.session.channels:
            needs = [need for need in needs if need.channel or need.key == "engine"]
    total = _sum_counts([view.counts for view in channels])
    return Overview(
        period=period,
        channels=tuple(channels),
        needs=tuple(needs),
        total=total,
        waiting=sum(view.waiting for view in channels),
        stages=_stages(stages),
        claims=sum(stage.claims for stage in stages),
        claim_cents=sum(stage.cents for stage in stages),
        engine_problem=problem,
        bundle=site.settings.bundle,
        disk=disk,
        narrowed=bool(call.session.channels),
    )


def claims_by_state(call: Call, connection: Connection) -> list[queries.Stage]:
    """How many claims stand in each state; where there are very many, as of a few seconds ago.

    None for an account that is narrowed to channels: the sums are of the whole practice.
    """
    return [] if call.session.channels else all_claims_by_state(call.site, connection)


def all_claims_by_state(site: Site, connection: Connection) -> list[queries.Stage]:
    """How many claims of the whole practice stand in each state."""
    return site.kept.get("claims by state", lambda: queries.claims_by_state(connection))


def waiting(site: Site, connection: Connection) -> list[queries.Waiting]:
    """What waits to be sent, by destination; where very much does, as of a few seconds ago."""
    return site.kept.get("waiting", lambda: queries.waiting(connection))


def _since_day(site: Site, period: str) -> str:
    today = site.settings.clock.today()
    if period == "all":
        return ""
    return (today - timedelta(days=6) if period == "week" else today).isoformat()


def _stages(found: list[queries.Stage]) -> tuple[StageView, ...]:
    by_state = {stage.state: stage for stage in found}
    highest = max(1, sum(stage.claims for stage in found))
    views = []
    for title, states, tone in _STAGES:
        here = [by_state[state] for state in states if state in by_state]
        number = sum(stage.claims for stage in here)
        views.append(
            StageView(title, tone, number, sum(s.cents for s in here), round(100 * number / highest, 1), states)
        )
    return tuple(views)


def _sum_counts(all_counts: list[queries.Counts]) -> queries.Counts:
    summed: dict[str, int] = {}
    for counts in all_counts:
        for name, value in counts.values.items():
            summed[name] = summed.get(name, 0) + value
    return queries.Counts(summed)
