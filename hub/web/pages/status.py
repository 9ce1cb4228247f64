"""The status page and its figures, which live updates and `/status.json` share."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection
from starlette.responses import JSONResponse, Response

from hub.core.clock import real_ms
from hub.core.errors import HubError
from hub.core.money import from_cents, shown
from hub.store.database import reading
from hub.web.call import Call, Site
from hub.web.queries import status as queries
from hub.web.render import age
from hub.web.settings import ChannelInfo, DestinationInfo

SILENT_DAYS = 5
_DAY_MS = 86_400_000
PERIODS = {"today": "today", "week": "the last 7 days", "all": "everything kept"}
_STAGES = (
    ("Not sent yet", ("draft", "held", "needs fix", "ready", "batched"), ""),
    ("Sent", ("sent", "accepted 999", "received"), ""),
    ("Passed on by another payer", ("forwarded",), ""),
    ("Accepted by the clearinghouse", ("accepted clearinghouse",), ""),
    ("Accepted by the payer", ("accepted payer", "pended"), ""),
    ("Rejected", ("rejected",), "bad"),
    ("Denied", ("denied",), "bad"),
    ("Paid, in whole or part", ("paid", "partly paid", "closed"), ""),
    ("Reversed or void", ("reversed", "void"), ""),
)
#: What stands in a queue, for one and for several.
_QUEUE_SENTENCES = {
    "charge review": ("1 charge to look at before it can be billed.", "{n} charges to look at before they are billed."),
    "claim edits": (
        "1 item stopped by a rule before it was sent.",
        "{n} items stopped by a rule before they were sent.",
    ),
    "approval": ("1 claim waits for approval.", "{n} claims wait for approval."),
    "rejections": ("1 claim was not taken in by its receiver.", "{n} claims were not taken in by their receivers."),
    "lost claims": ("1 item of claims that nobody speaks of.", "{n} items of claims that nobody speaks of."),
    "denials": ("1 line was denied by a payer.", "{n} lines were denied by payers."),
    "unmatched payments": ("1 payment is not matched to a claim.", "{n} payments are not matched to a claim."),
    "credits": ("1 charge was taken back after it was billed.", "{n} charges were taken back after they were billed."),
    "secondary": ("1 balance may be another insurer's.", "{n} balances may be another insurer's."),
    "messages": ("1 message could not be mapped to the end.", "{n} messages could not be mapped to the end."),
    "deliveries": ("1 send was refused, or may have arrived.", "{n} sends were refused, or may have arrived."),
    "anomalies": ("1 event should not have been possible.", "{n} events should not have been possible."),
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How a connector's endpoint stands, in the engine's words."""

    state: str
    address: str
    since_ms: int
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
    rate: queries.Rate
    sources: tuple[Endpoint, ...]
    destinations: tuple[DestinationView, ...]
    pause: queries.Pause | None


@dataclass(frozen=True, slots=True)
class Need:
    """Something that needs a person: what, since when, the first thing to try, one link."""

    state: str
    sentence: str
    first: str
    since: str
    address: str
    link: str


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
    at: int = field(default_factory=real_ms)

    @property
    def shape(self) -> str:
        """Changes when more than numbers changed: then the page offers to be shown anew."""
        parts = [f"{c.info.name} {c.state}" for c in self.channels] + [n.sentence for n in self.needs]
        return hashlib.sha256("\n".join(sorted(parts)).encode()).hexdigest()[:16]


_SLOW_MS = 60_000
_RANK = ["failed", "ambiguous", "retrying", "unknown", "stopped", "paused", "draining", "running"]


def overview(site: Site, actor: str, period: str) -> Overview:
    """The whole state of the hub, worst first."""
    engine, problem = _ask_engine(site, actor)
    now = real_ms()
    with reading(site.store) as connection:
        counts = queries.counts_by_channel(connection, _since_day(site, period))
        waits = queries.waiting(connection)
        pauses = queries.pauses(connection)
        rates = queries.rates(connection, now)
        declared = {channel.name: channel for channel in site.settings.channels}
        names = [*declared, *sorted(counts.keys() - declared.keys())]
        channels = [
            _channel(
                declared.get(name, ChannelInfo(name)),
                counts.get(name, queries.Counts({})),
                [w for w in waits if w.channel == name],
                [p for p in pauses if p.channel == name],
                rates.get(name, queries.Rate()),
                queries.last_received(connection, name),
                engine.get(name, {}),
                problem,
            )
            for name in names
        ]
        channels.sort(key=lambda view: _RANK.index(view.state) if view.state in _RANK else 0)
        stages = queries.claims_by_state(connection)
        needs = _needs(site, connection, channels, waits, problem)
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
    )


def show(call: Call) -> Response:
    """The status page."""
    return call.page("status.html", title="Status", view=overview(call.site, call.actor, _period(call)))


def as_json(call: Call) -> Response:
    """The same figures for programs."""
    view = overview(call.site, call.actor, _period(call))
    return JSONResponse(
        {
            "at": view.at,
            "period": view.period,
            "bundle": view.bundle,
            "engine": view.engine_problem or "running",
            "needs": [{"state": n.state, "what": n.sentence, "first": n.first} for n in view.needs],
            "channels": [
                {
                    "name": c.info.name,
                    "state": c.state,
                    "reason": c.why,
                    "counts": {name: c.counts[name] for name in ("received", *queries.OUTCOMES)},
                    "difference": c.counts.difference,
                    "waiting": c.waiting,
                    "oldest_at": c.oldest_at,
                    "last_in": c.last_in,
                }
                for c in view.channels
            ],
            "claims": [{"stage": s.title, "claims": s.claims, "cents": s.cents} for s in view.stages],
        }
    )


def live_values(view: Overview) -> dict[str, str]:
    """The texts that change in place, by the name of their place on the page."""
    values = {"shape": view.shape}
    for prefix, counts in [("all", view.total), *((c.info.name, c.counts) for c in view.channels)]:
        for name in ("received", *queries.OUTCOMES):
            values[f"{prefix}/{name}"] = f"{counts[name]:,}"
    for channel in view.channels:
        values[f"{channel.info.name}/waiting"] = f"{channel.waiting:,}"
        values[f"{channel.info.name}/last"] = age(view.at - channel.last_in) if channel.last_in else "none"
    for stage in view.stages:
        values[f"stage/{stage.title}"] = f"{stage.claims:,}"
        values[f"stage/{stage.title}/cents"] = shown(from_cents(stage.cents))
    return values


def _period(call: Call) -> str:
    fast = call.site.settings.clock.day_seconds < 86_400
    chosen = call.query.get("period", "")
    return chosen if chosen in PERIODS else "all" if fast else "today"


def _since_day(site: Site, period: str) -> str:
    today = site.settings.clock.today()
    if period == "all":
        return ""
    return (today - timedelta(days=6) if period == "week" else today).isoformat()


def _ask_engine(site: Site, actor: str) -> tuple[dict[str, Any], str]:
    try:
        answer = site.control.ask("status", {}, actor)
    except HubError as error:
        return {}, error.what
    channels = answer.get("channels", {})
    if isinstance(channels, list):
        channels = {entry["name"]: entry for entry in channels}
    return channels, ""


def _channel(
    info: ChannelInfo,
    counts: queries.Counts,
    waits: list[queries.Waiting],
    pauses: list[queries.Pause],
    rate: queries.Rate,
    last_in: int | None,
    engine: dict[str, Any],
    problem: str,
) -> ChannelView:
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
    state, detail, tone, why = _state(pause, sources, destinations, waits, "", problem)
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
        rate=rate,
        sources=sources,
        destinations=destinations,
        pause=pause,
    )


def _state(
    pause: queries.Pause | None,
    sources: tuple[Endpoint, ...],
    destinations: tuple[DestinationView, ...],
    waits: list[queries.Waiting],
    reported: str,
    problem: str,
) -> tuple[str, str, str, str]:
    """State, a few words beside it, the tone of the reason row, and its sentence."""
    now = real_ms()
    if pause:
        return (
            "paused",
            f"by {pause.actor}",
            "info",
            f"\N{LEFT DOUBLE QUOTATION MARK}{pause.reason}\N{RIGHT DOUBLE QUOTATION MARK}",
        )
    if problem:
        return "unknown", "the engine is not running", "", ""
    for place, endpoints in [("source", sources), *((d.info.name, d.endpoints) for d in destinations)]:
        for endpoint in endpoints:
            if endpoint.state in {"login failed", "refused", "stopped"} and reported != "stopped":
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
        return "running", "", "info", f"{stopped.destination} is paused by {stopped.actor}: {stopped.reason}"
    slow = next((w for w in waits if now - w.oldest_at > _SLOW_MS), None)
    return reported or "running", "", "warn" if slow else "info", f"{slow.destination}: {_waits(slow)}" if slow else ""


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
            int(entry.get("since_ms", 0)),
            str(entry.get("detail", "")),
            int(entry.get("peers", 0)),
        )
        for entry in entries
    )


def _needs(
    site: Site,
    connection: Connection,
    channels: list[ChannelView],
    waits: list[queries.Waiting],
    problem: str,
) -> list[Need]:
    now, business_now = real_ms(), site.settings.clock.now_ms()
    needs = []
    if problem:
        needs.append(
            Need("failed", problem, "Start it with hub run; nothing that is stored is lost.", "", "/healthz", "Health")
        )
    needs += [
        Need(
            "failed",
            f"{view.info.title or view.info.name}: {view.why}",
            "The channel's page shows its connections.",
            age(now - view.oldest_at) if view.oldest_at else "",
            f"/channels/{view.info.name}",
            f"Open {view.info.name}",
        )
        for view in channels
        if view.state == "failed"
    ]
    needs += [
        Need(
            "out of balance",
            f"{view.info.name} does not account for {abs(view.counts.difference)} of its messages.",
            "Nothing may be missing: write down the time and keep the log.",
            "",
            f"/messages?channel={view.info.name}&since=any",
            "See its messages",
        )
        for view in channels
        if view.counts.difference
    ]
    needs += [
        Need(
            "ambiguous",
            f"{wait.ambiguous} {'send' if wait.ambiguous == 1 else 'sends'} to {wait.destination} may have arrived. "
            "Nothing goes again until a person decides.",
            wait.reason,
            age(now - wait.oldest_at),
            f"/channels/{wait.channel}",
            "Decide\N{HORIZONTAL ELLIPSIS}",
        )
        for wait in waits
        if wait.ambiguous
    ]
    for remittance_id, trace, payer, cents, reason, since in queries.held_remittances(connection):
        needs.append(
            Need(
                "out of balance",
                f"Remittance {trace} from {payer} is held, so none of its {shown(from_cents(cents))} is posted.",
                reason,
                age(business_now - since),
                f"/remittances/{remittance_id}",
                "Open remittance",
            )
        )
    silent = queries.silent_claims(connection, business_now - SILENT_DAYS * _DAY_MS)
    if silent.claims:
        claims, hear = (
            ("1 claim has", "it was") if silent.claims == 1 else (f"{silent.claims:,} claims have", "they were")
        )
        needs.append(
            Need(
                "quiet",
                f"{claims} had no answer since {hear} sent, for {SILENT_DAYS} days or longer.",
                f"Worth {shown(from_cents(silent.cents))}. Ask the clearinghouse whether the files arrived.",
                age(business_now - silent.oldest),
                "/claims?silent=1",
                "See the claims",
            )
        )
    for queue, number, cents, oldest in sorted(queries.open_items(connection), key=lambda row: -row[2]):
        if queue == "unbalanced remittances" or queue not in _QUEUE_SENTENCES:
            continue
        one, several = _QUEUE_SENTENCES[queue]
        sentence = one if number == 1 else several.format(n=f"{number:,}")
        worth = f"Worth {shown(from_cents(cents))}." if cents else ""
        state = {"denials": "denied", "rejections": "rejected", "deliveries": "refused"}.get(queue, "held")
        needs.append(
            Need(
                state,
                sentence,
                worth,
                age(business_now - oldest),
                f"/queues/{queue.replace(' ', '-')}",
                "Open the queue",
            )
        )
    return needs


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
