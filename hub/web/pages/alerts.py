"""What people do about what needs a person: take it, or keep it quiet for a while."""

from __future__ import annotations

from starlette.responses import Response

from hub.core.errors import HubError
from hub.web.call import Call, NotFound
from hub.web.needs import Need
from hub.web.overview import overview

SNOOZES = {"60": "an hour", "240": "four hours", "1440": "a day", "4320": "three days", "10080": "a week"}


def form(call: Call) -> Response:
    """One alert, with the forms that take it or keep it quiet."""
    return _page(call, {}, "")


def take(call: Call) -> Response:
    """Take it, or give it back when it is one's own."""
    owner = str(call.form.get("owner", ""))
    return _write(call, "alert_own", {"owner": call.actor if owner == "me" else ""}, "taken" if owner else "given")


def snooze(call: Call) -> Response:
    """Keep it quiet for a while, with a reason; or wake it."""
    minutes, reason = str(call.form.get("minutes", "")), str(call.form.get("reason", "")).strip()
    if minutes != "0" and minutes not in SNOOZES:
        return _page(call, {"minutes": "Choose for how long."}, reason)
    args = {"minutes": int(minutes), "reason": reason}
    return _write(call, "alert_snooze", args, "woken" if minutes == "0" else "snoozed")


def _write(call: Call, name: str, args: dict[str, object], said: str) -> Response:
    need = _need(call)
    try:
        call.site.control.write(name, {"actor": call.actor, "key": need.key, **args}, call.actor)
    except HubError as error:
        return _page(
            call,
            {"reason": " ".join(filter(None, (error.what, _sentence(error.expected), error.fix)))},
            str(args.get("reason", "")),
        )
    return call.back("/", said)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _need(call: Call) -> Need:
    """The alert that is meant, as the person sees it: nobody speaks for channels that are not theirs to see."""
    key = str(call.form.get("key", "") or call.query.get("key", ""))
    need = next((each for each in overview(call, "all").needs if each.key == key), None)
    if need is None:
        raise NotFound("This needs nobody any more.")
    return need


def _page(call: Call, errors: dict[str, str], reason: str) -> Response:
    return call.page(
        "alert.html", code=422 if errors else 200, title="Alert", need=_need(call), errors=errors, reason=reason,
        snoozes=SNOOZES,
    )  # fmt: skip
