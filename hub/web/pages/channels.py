"""Channels: one page each, with its connections and failures, and pausing."""

from __future__ import annotations

from starlette.responses import Response

from hub.core.clock import at, real_ms
from hub.core.errors import HubError
from hub.web.call import STARRED, Call, NotFound
from hub.web.deployed import Deployed, deployed
from hub.web.overview import overview
from hub.web.queries import channels as paces
from hub.web.queries import messages
from hub.web.render import Bar

REASON_LENGTH = 10


def listing(call: Call) -> Response:
    """Every channel."""
    return call.page("channels.html", title="Channels", view=overview(call, "all"))


def show(call: Call) -> Response:
    """One channel."""
    return _page(call, {}, "")


def pause(call: Call) -> Response:
    """Pause the channel, or one of its destinations, with a reason."""
    return _switch(call, "pause")


def drain(call: Call) -> Response:
    """Take nothing in any more and work off what is there, with a reason."""
    return _switch(call, "drain")


def resume(call: Call) -> Response:
    """Go on."""
    return _switch(call, "resume")


def star(call: Call) -> Response:
    """Star the channel in this browser, or take its star away."""
    name = call.request.path_params["name"]
    if not call.sees(name) or name not in {channel.name for channel in call.site.settings.channels}:
        raise NotFound("There is no channel of that name.")
    response = call.back(f"/channels/{name}")
    call.keep(response, STARRED, ".".join(sorted(call.starred ^ {name})))
    return response


def _switch(call: Call, command: str) -> Response:
    name = call.request.path_params["name"]
    reason = str(call.form.get("reason", "")).strip()
    destination = str(call.form.get("destination", ""))
    if not call.sees(name):
        raise NotFound("There is no channel of that name.")
    if command != "resume" and len(reason) < REASON_LENGTH:
        return _page(call, {"reason": f"Say why it stops, at least {REASON_LENGTH} letters."}, reason)
    args = {"channel": name, "destination": destination or None, "reason": reason}
    try:
        call.site.control.ask(command, args, call.actor)
    except HubError as error:
        return _page(call, {"reason": f"{error.what} {error.fix}".strip()}, reason)
    said = {"pause": "paused", "drain": "draining", "resume": "resumed"}[command]
    return call.back(f"/channels/{name}", said)


def _page(call: Call, errors: dict[str, str], reason: str) -> Response:
    name = call.request.path_params["name"]
    view = overview(call, "today" if call.query.get("period") == "today" else "all")
    channel = next((c for c in view.channels if c.info.name == name), None)
    if channel is None:
        raise NotFound("There is no channel of that name.")
    with call.reading() as connection:
        failures = messages.failures(connection, name)
        ambiguous = messages.ambiguous(connection, name)
        begins, received, done = paces.by_quarter(connection, name, real_ms())
        sent = {
            d.info.name: paces.sent(connection, name, d.info.name, real_ms() - 86_400_000) for d in channel.destinations
        }
    zone = call.site.settings.clock.zone
    quarters = [
        Bar(at(begins + number * 900_000, zone).strftime("%H:%M"), value, done[number])
        for number, value in enumerate(received)
    ]
    return call.page(
        "channel.html",
        code=422 if errors else 200,
        title=name,
        view=view,
        channel=channel,
        failures=failures,
        ambiguous=ambiguous,
        quarters=quarters,
        usual_quarter=channel.usual.per_hour / 4 if channel.usual else 0,
        sent=sent,
        deployed=_deployed(call, name),
        need=next((n for n in view.needs if n.channel == name), None),
        errors=errors,
        reason=reason,
    )


def _deployed(call: Call, name: str) -> Deployed:
    """Which version runs, and how the channel's file on disk differs from it."""
    return deployed(call.site.settings, f"channels/{name}.toml")
