"""The status page, and the same figures for programs and live updates."""

from __future__ import annotations

from starlette.responses import JSONResponse, Response

from hub.core.money import from_cents, shown
from hub.web.call import Call
from hub.web.overview import Overview, overview
from hub.web.queries import status as queries
from hub.web.render import age

PERIODS = {"today": "today", "week": "the last 7 days", "all": "everything kept"}


def show(call: Call) -> Response:
    """The status page."""
    only = call.query.get("starred") == "1"
    return call.page("status.html", title="Status", view=overview(call, _period(call)), only_starred=only)


def as_json(call: Call) -> Response:
    """The same figures for programs."""
    view = overview(call, _period(call))
    return JSONResponse(
        {
            "at": view.at,
            "period": view.period,
            "bundle": view.bundle,
            "engine": view.engine_problem or "running",
            "needs": [
                {"key": n.key, "state": n.state, "what": n.sentence, "first": n.first, "owner": n.owner}
                for n in view.needs
            ],
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
                    "last_out": c.last_out,
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
        values[f"{channel.info.name}/out"] = age(view.at - channel.last_out) if channel.last_out else "none"
    for stage in view.stages:
        values[f"stage/{stage.title}"] = f"{stage.claims:,}"
        values[f"stage/{stage.title}/cents"] = shown(from_cents(stage.cents))
    return values


def _period(call: Call) -> str:
    fast = call.site.settings.clock.day_seconds < 86_400
    chosen = call.query.get("period", "")
    return chosen if chosen in PERIODS else "all" if fast else "today"
