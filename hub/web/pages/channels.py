"""Channels: one page each, with its connections and failures, and pausing."""

from __future__ import annotations

from starlette.responses import Response

from hub.core.errors import HubError
from hub.web.call import Call, NotFound
from hub.web.pages import status
from hub.web.queries import messages

REASON_LENGTH = 10


def listing(call: Call) -> Response:
    """Every channel."""
    return call.page("channels.html", title="Channels", view=status.overview(call.site, call.actor, "all"))


def show(call: Call) -> Response:
    """One channel."""
    return _page(call, {}, "")


def pause(call: Call) -> Response:
    """Pause the channel, or one of its destinations, with a reason."""
    return _switch(call, "pause")


def resume(call: Call) -> Response:
    """Go on."""
    return _switch(call, "resume")


def _switch(call: Call, command: str) -> Response:
    name = call.request.path_params["name"]
    reason = str(call.form.get("reason", "")).strip()
    destination = str(call.form.get("destination", ""))
    if command == "pause" and len(reason) < REASON_LENGTH:
        return _page(call, {"reason": f"Say why it stops, at least {REASON_LENGTH} letters."}, reason)
    args = {"channel": name, "destination": destination or None, "reason": reason}
    try:
        call.site.control.ask(command, args, call.actor)
    except HubError as error:
        return _page(call, {"reason": f"{error.what} {error.fix}".strip()}, reason)
    return call.back(f"/channels/{name}", "paused" if command == "pause" else "resumed")


def _page(call: Call, errors: dict[str, str], reason: str) -> Response:
    name = call.request.path_params["name"]
    view = status.overview(call.site, call.actor, "today" if call.query.get("period") == "today" else "all")
    channel = next((c for c in view.channels if c.info.name == name), None)
    if channel is None:
        raise NotFound("There is no channel of that name.")
    with call.reading() as connection:
        failures = messages.failures(connection, name)
        ambiguous = messages.ambiguous(connection, name)
    return call.page(
        "channel.html",
        code=422 if errors else 200,
        title=name,
        view=view,
        channel=channel,
        failures=failures,
        ambiguous=ambiguous,
        errors=errors,
        reason=reason,
    )
