"""One channel as pages show it: its state in a word, the sentence why, its counts, its endpoints, its pace."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from hub.core.clock import real_ms
from hub.core.errors import HubError
from hub.web.control import Control
from hub.web.queries import channels as paces
from hub.web.queries import status as queries
from hub.web.render import age
from hub.web.settings import ChannelInfo, DestinationInfo, WebSettings

_SLOW_MS = 60_000
_RANK = (
    "failed", "ambiguous", "retrying", "quiet", "unknown", "stopped", "paused", "draining", "drained", "running",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How a connector's endpoint stands, in the engine's words."""

    state: str
    address: str
    since_at: int
    detail: str
    peers: int


@dataclass(frozen=True, slots=True)
class DestinationView:
    """One destination: as declared, how it stands, what waits for it."""

    info: DestinationInfo
    endpoints: tuple[Endpoint, ...]
    waiting: queries.Waiting | None
    pause: queries.Pause | None


@dataclass(frozen=True, slots=True)
class ChannelView:
    """One row of the channel table. *why* is the sentence of its reason row, in *tone*."""

    info: ChannelInfo
    state: str
    detail: str
    tone: str
    why: str
    counts: queries.Counts
    waiting: int
    oldest_at: int | None
    last_in: int | None
    last_out: int | None
    rate: queries.Rate
    latency: paces.Latency | None
    usual: paces.Usual | None
    sources: tuple[Endpoint, ...]
    destinations: tuple[DestinationView, ...]
    pause: queries.Pause | None

    @property
    def clears_in_ms(self) -> int | None:
        """How long the queue takes at the pace of the last hour; None when nothing waits, or it does not move."""
        stands = self.state != "running" or any(each.pause for each in self.destinations)
        return self.waiting * 3_600_000 // self.rate.done if self.waiting and self.rate.done and not stands else None

    @property
    def links(self) -> list[str]:
        """How its endpoints stand, those of one state together: ``listening, 4 connected``, ``2 connected``."""
        listening = [f"{e.state}{f', {e.peers} connected' if e.peers else ''}" for e in self.sources]
        by_state = Counter(e.state for each in self.destinations for e in each.endpoints)
        several = [f"{count} {state}" if sum(by_state.values()) > 1 else state for state, count in by_state.items()]
        return [*dict.fromkeys(listening), *([f"out: {', '.join(several)}"] if several else [])]

    @property
    def rank(self) -> tuple[int, int, int]:
        """How bad it is, the worst first: its state, whether it says why, how many messages failed."""
        state = _RANK.index(self.state) if self.state in _RANK else 0
        return state, not self.why, -(self.counts["errored"] + self.counts["rejected"] + self.counts["held"])


def ask_engine(control: Control, actor: str) -> tuple[dict[str, Any], str]:
    """How the engine says that each channel stands, by name; and why it says nothing, empty when it does."""
    try:
        answer = control.ask("status", {}, actor)
    except HubError as error:
        return {}, error.what
    return answer.get("channels", {}), ""


def channel_views(
    connection: Connection,
    settings: WebSettings,
    waits: list[queries.Waiting],
    engine: dict[str, Any],
    problem: str,
    *,
    since_day: str = "",
    sees: Callable[[str], bool] = lambda _name: True,
) -> list[ChannelView]:
    """Every channel that is declared or has counters, and that one who *sees* some may see, as they are declared."""
    counts = queries.counts_by_channel(connection, since_day)
    pauses = queries.pauses(connection)
    declared = {channel.name: channel for channel in settings.channels}
    return [
        channel_view(
            connection,
            declared.get(name, ChannelInfo(name)),
            counts.get(name, queries.Counts({})),
            [wait for wait in waits if wait.channel == name],
            [pause for pause in pauses if pause.channel == name],
            engine.get(name, {}),
            problem,
        )
        for name in [*declared, *sorted(counts.keys() - declared.keys())]
        if sees(name)
    ]


def channel_view(
    connection: Connection,
    info: ChannelInfo,
    counts: queries.Counts,
    waits: list[queries.Waiting],
    pauses: list[queries.Pause],
    engine: dict[str, Any],
    problem: str,
) -> ChannelView:
    """The channel *info* as the store and (in *engine*) the engine say it is; *problem*: the engine says nothing."""
    now = real_ms()
    last_in, usual = queries.last_received(connection, info.name), paces.usual(connection, info.name, now)
    sources = _endpoints(engine.get("sources", engine.get("source", [])))
    reported = engine.get("destinations", {})
    known = [d.name for d in info.destinations]
    infos = [*info.destinations, *(DestinationInfo(name, "") for name in reported if name not in known)]
    destinations = tuple(
        DestinationView(
            destination,
            _endpoints(reported.get(destination.name, [])),
            next((w for w in waits if w.destination == destination.name), None),
            next((p for p in pauses if p.destination == destination.name), None),
        )
        for destination in infos
    )
    pause = next((p for p in pauses if not p.destination), None)
    state, detail, tone, why = _state(pause, sources, destinations, waits, bool(engine.get("idle")), problem)
    if state == "running" and last_in is not None:
        after_ms = None if info.quiet_after is None else int(info.quiet_after * 1000)
        missed = paces.missed(connection, info.name, last_in, now, after_ms)
        if missed:
            state, detail, tone = "quiet", age(now - last_in), "warn"
            why = f"Nothing came for {age(now - last_in)}. {missed}"
    return ChannelView(
        info=info,
        state=state,
        detail=detail,
        tone=tone,
        why=why,
        counts=counts,
        waiting=sum(w.count for w in waits),
        oldest_at=min((w.oldest_at for w in waits), default=None),
        last_in=last_in,
        last_out=max(filter(None, (paces.last_sent(connection, info.name, d.name) for d in infos)), default=None),
        rate=queries.rate_of(connection, info.name, now),
        latency=paces.latency(connection, info.name),
        usual=usual,
        sources=sources,
        destinations=destinations,
        pause=pause,
    )


def _state(
    pause: queries.Pause | None,
    sources: tuple[Endpoint, ...],
    destinations: tuple[DestinationView, ...],
    waits: list[queries.Waiting],
    idle: bool,
    problem: str,
) -> tuple[str, str, str, str]:
    """State, a few words beside it, the tone of the reason row, and its sentence."""
    now = real_ms()
    if pause:
        quoted = _quoted(pause.reason)
        if pause.draining:
            rest = "Everything is worked off; nothing is in hand." if idle else "What is there is worked off."
            return "drained" if idle else "draining", f"by {pause.actor}", "info", f"{quoted} {rest}"
        return "paused", f"by {pause.actor}", "info", quoted
    if problem:
        return "unknown", "the engine is not running", "", ""
    for place, endpoints in [("source", sources), *((d.info.name, d.endpoints) for d in destinations)]:
        for endpoint in endpoints:
            if endpoint.state in {"login failed", "refused", "stopped"}:
                why = f"{place}: {endpoint.state}. {endpoint.detail}".strip()
                return "failed", place, "bad", why
    ambiguous = sum(w.ambiguous for w in waits)
    if ambiguous:
        sentence = (
            "1 send may have arrived; it waits for a decision."
            if ambiguous == 1
            else (f"{ambiguous} sends may have arrived; they wait for a decision.")
        )
        return "ambiguous", f"{ambiguous} to decide", "ask", f"{sentence} Others of the channel go on."
    for destination in destinations:
        retrying = next((e for e in destination.endpoints if e.state == "retrying"), None)
        if retrying or (destination.waiting and destination.waiting.reason and destination.waiting.attempts > 1):
            why = _waits(destination.waiting) if destination.waiting else retrying.detail if retrying else ""
            return "retrying", destination.info.name, "warn", f"{destination.info.name}: {why}"
    stopped = next((d.pause for d in destinations if d.pause), None)
    if stopped:
        return "running", "", "info", f"{stopped.destination} is paused by {stopped.actor}: {_quoted(stopped.reason)}"
    slow = next((w for w in waits if now - w.oldest_at > _SLOW_MS), None)
    return "running", "", "warn" if slow else "info", f"{slow.destination}: {_waits(slow)}" if slow else ""


def _quoted(reason: str) -> str:
    """A person's own words, closed by a full stop."""
    return f"\N{LEFT DOUBLE QUOTATION MARK}{reason.rstrip('.')}.\N{RIGHT DOUBLE QUOTATION MARK}"


def _waits(waiting: queries.Waiting) -> str:
    """Why deliveries wait, in words: the reason of the oldest, and how often it was tried."""
    tries = f" {waiting.attempts} tries." if waiting.attempts > 1 else " 1 try." if waiting.attempts else ""
    return f"{waiting.reason or 'Nothing was tried yet.'}{tries}"


def _endpoints(found: Any) -> tuple[Endpoint, ...]:
    entries = [found] if isinstance(found, dict) else list(found or [])
    return tuple(
        Endpoint(
            str(entry.get("state", "idle")),
            str(entry.get("address", "")),
            int(entry.get("since_at", 0)),
            str(entry.get("detail", "")),
            int(entry.get("peers", 0)),
        )
        for entry in entries
    )
