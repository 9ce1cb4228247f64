"""The course of alerts: one for each cause. It opens after a while, escalates while nobody takes it, closes itself.

Nothing here sends or stores: :mod:`hub.web.watch` does, with what these functions say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from sqlalchemy import Connection

from hub.security.alerts import AlertState
from hub.site.settings import AlertSettings
from hub.web.causes import needs_of
from hub.web.channel_view import channel_views
from hub.web.needs import Need, look_around
from hub.web.queries import status
from hub.web.settings import WebSettings

Way = Literal["mailed", "posted"]


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert as it stands after a look: its *state*, its *need* while that is seen, and the *level* due by then.

    The level is 0 while nobody is to be told, 1 for those who are told first, then one more for each escalation.
    """

    state: AlertState
    need: Need | None
    level: int


@dataclass(frozen=True, slots=True)
class News:
    """What people are told of by one way: what opened, what nobody has taken yet, what is over."""

    opened: tuple[Alert, ...] = ()
    escalated: tuple[Alert, ...] = ()
    closed: tuple[Alert, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.opened or self.escalated or self.closed)


def look_at(connection: Connection, settings: WebSettings, engine: Mapping[str, object], problem: str) -> list[Need]:
    """Everything that needs a person at a site, whoever looks; *engine* and *problem* as :func:`ask_engine` says."""
    waits = status.waiting(connection)
    views = channel_views(connection, settings, waits, dict(engine), problem)
    return needs_of(look_around(connection, settings, views, waits, problem), lambda _right: True)


def follow(
    needs: Iterable[Need], known: Mapping[str, AlertState], settings: AlertSettings, now: int
) -> dict[str, Alert]:
    """Every alert as *needs* leave it at *now* (ms), by key; *known* is how they stood before."""
    seen = {need.key: need for need in needs}
    found = {}
    for key, need in seen.items():
        state = known.get(key) or AlertState(key)
        opened = state.opened_at or now
        state = replace(state, sentence=need.sentence, first=need.first, opened_at=opened, gone_at=0)
        found[key] = Alert(state, need, 0 if need.work else _level(state, settings, now))
    for key, state in known.items():
        if key not in seen and state.opened_at:
            found[key] = Alert(replace(state, gone_at=state.gone_at or now), None, 0)
    return found


def _level(state: AlertState, settings: AlertSettings, now: int) -> int:
    told_for = now - state.opened_at - settings.open_after * 1000
    if told_for < 0 or state.snoozed:
        return 0
    return 1 + (0 if state.owner else sum(told_for >= step.after * 1000 for step in settings.escalation))


def news(alerts: Mapping[str, Alert], way: Way, settings: AlertSettings, now: int) -> News:
    """What is to be told by *way*: each opening, each escalation and each end once, however often one looks."""
    opened, escalated, closed = [], [], []
    for alert in alerts.values():
        told = getattr(alert.state, way)
        if not told and alert.level:
            opened.append(alert)
        elif told and alert.level > told:
            escalated.append(alert)
        elif told and _is_over(alert, settings, now):
            closed.append(alert)
    return News(tuple(opened), tuple(escalated), tuple(closed))


def told(alerts: Mapping[str, Alert], way: Way, said: News) -> dict[str, Alert]:
    """The *alerts* once people were told of what was *said* by *way*."""
    after = {each.state.key: each.level for each in (*said.opened, *said.escalated)}
    after |= {each.state.key: 0 for each in said.closed}
    return {
        key: replace(alert, state=_told(alert.state, way, after[key])) if key in after else alert
        for key, alert in alerts.items()
    }


def _told(state: AlertState, way: Way, level: int) -> AlertState:
    return replace(state, mailed=level) if way == "mailed" else replace(state, posted=level)


def settled(alerts: Mapping[str, Alert]) -> dict[str, AlertState]:
    """How the alerts are kept: what is over, and was told of to nobody or said to be over, is closed."""
    kept = {}
    for key, alert in alerts.items():
        state = alert.state
        if state.gone_at and not (state.mailed or state.posted):
            state = replace(state, opened_at=0, gone_at=0)
        kept[key] = state
    return kept


def changed(kept: Mapping[str, AlertState], known: Mapping[str, AlertState]) -> list[AlertState]:
    """Those of *kept* that are to be written: a sentence that merely counts on is not."""
    return [state for key, state in kept.items() if key not in known or _course(state) != _course(known[key])]


def _course(state: AlertState) -> tuple[int, ...]:
    return (state.opened_at, state.gone_at, state.mailed, state.posted)


def _is_over(alert: Alert, settings: AlertSettings, now: int) -> bool:
    gone = alert.state.gone_at
    return bool(gone) and now - gone >= settings.open_after * 1000
