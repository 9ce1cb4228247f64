"""API tokens of the signed-in person: making one, shown once, and withdrawing it."""

from __future__ import annotations

from starlette.responses import Response

from hub.core.errors import HubError
from hub.security.sessions import new_token, token_digest
from hub.security.tokens import PREFIX, tokens_of
from hub.security.users import PERMISSIONS
from hub.web.call import Call

DAYS = {"7": "a week", "30": "30 days", "90": "90 days", "365": "a year"}


def listing(call: Call) -> Response:
    """The person's tokens; for who manages people everybody's."""
    return _page(call, {}, {})


def add(call: Call) -> Response:
    """Make a token; it is shown once, on this answer."""
    name = str(call.form.get("name", "")).strip()
    wanted = [str(each) for each in call.form.getlist("permission")]  # type: ignore[attr-defined]
    days = str(call.form.get("days", ""))
    typed: dict[str, object] = {"name": name, "wanted": wanted, "days": days}
    if days not in DAYS:
        return _page(call, {"days": "Choose how long it lasts."}, typed)
    token = PREFIX + new_token()
    args = {
        "actor": call.actor,
        "name": name,
        "token_digest": token_digest(token).hex(),
        "permissions": wanted,
        "days": int(days),
    }
    try:
        call.site.control.write("token_add", args, call.actor)
    except HubError as error:
        return _page(call, {"name": f"{error.what} {error.expected} {error.fix}".strip()}, typed)
    return _page(call, {}, {}, made=token)


def revoke(call: Call) -> Response:
    """Withdraw a token: an own one, or anybody's for who manages people."""
    owner = str(call.form.get("owner", "")) if call.may("users.manage") else call.actor
    args = {"actor": call.actor, "owner": owner or call.actor, "name": str(call.form.get("name", ""))}
    try:
        call.site.control.write("token_revoke", args, call.actor)
    except HubError as error:
        return _page(call, {"name": error.what}, {})
    return call.back("/me/tokens", "withdrawn")


def _page(call: Call, errors: dict[str, str], typed: dict[str, object], made: str = "") -> Response:
    with call.reading() as connection:
        found = tokens_of(connection, "" if call.may("users.manage") else call.actor)
    return call.page(
        "tokens.html",
        code=422 if errors else 200,
        title="API tokens",
        tokens=found,
        permissions={name: text for name, text in PERMISSIONS.items() if call.may(name)},
        days=DAYS,
        errors=errors,
        typed=typed,
        made=made,
    )
