"""The signed-in person: who they are, their password, what they see; people, for who manages them."""

from __future__ import annotations

from starlette.responses import RedirectResponse, Response

from hub.core.errors import HubError
from hub.security.passwords import hash_password, objection, random_password, verify_password
from hub.security.sessions import EMERGENCY_LENGTH, REASON_LENGTH
from hub.security.users import PERMISSIONS, ROLES, find_user, list_users
from hub.web.call import Call, local_path
from hub.web.words import ROLE_WORDS


def show(call: Call) -> Response:
    """The person's own page."""
    return _page(call, {})


def password(call: Call) -> Response:
    """Change the own password."""
    old, new = str(call.form.get("old", "")), str(call.form.get("new", ""))
    with call.reading() as connection:
        user = find_user(connection, call.actor)
    errors = {}
    if user is None or not verify_password(user.password_hash, old):
        errors["old"] = "This is not the present password."
    problem = objection(new, call.actor)
    if problem:
        errors["new"] = problem
    elif new != str(call.form.get("again", "")):
        errors["again"] = "The two do not match."
    if errors:
        return _page(call, errors)
    args = {
        "actor": call.actor,
        "name": call.actor,
        "password_hash": hash_password(new),
        "keep": call.session.token_digest.hex(),
    }
    try:
        call.site.control.write("user_password", args, call.actor)
    except HubError as error:
        return _page(call, {"new": error.what})
    return call.back("/me", "saved")


def preferences(call: Call) -> Response:
    """How pages look and whether single keys do something; kept in this browser."""
    response = call.back("/me", "saved")
    for name, field in (("hub_theme", "theme"), ("hub_keys", "keys")):
        value = str(call.form.get(field, ""))
        value = value if value in {"light", "dark", "off"} else ""
        call.keep(response, name, value)
    return response


def reveal_form(call: Call) -> Response:
    """The reason for seeing patient data; for some roles only in an emergency."""
    return _reveal_page(call, local_path(call.query.get("next", "/")), "", "")


def reveal(call: Call) -> Response:
    """Show patient data in this session for 15 minutes."""
    back, reason = local_path(str(call.form.get("next", "/"))), str(call.form.get("reason", "")).strip()
    emergency = not call.may("patients.reveal")
    least = EMERGENCY_LENGTH if emergency else REASON_LENGTH
    problem = ""
    if len(reason) < least:
        problem = f"Say why you need to see it, at least {least} letters."
    elif emergency and call.form.get("understood") != "yes":
        problem = "Say that you know that an auditor will ask you about it."
    else:
        path = back.split("?")[0]
        args = {
            "token_digest": call.session.token_digest.hex(),
            "reason": reason,
            "object_type": "page",
            "object_id": path[:64],
            "emergency": emergency,
        }
        try:
            call.site.control.write("reveal", args, call.actor)
        except HubError as error:
            problem = error.what
    if problem:
        return _reveal_page(call, back, reason, problem)
    return RedirectResponse(back, status_code=303)


def _reveal_page(call: Call, back: str, reason: str, problem: str) -> Response:
    return call.page(
        "reveal.html",
        code=422 if problem else 200,
        title="Reveal",
        back=back,
        errors={"reason": problem} if problem else {},
        reason=reason,
        emergency=not call.may("patients.reveal"),
    )


def hide(call: Call) -> Response:
    """Mask patient data again."""
    call.site.control.write("hide", {"token_digest": call.session.token_digest.hex()}, call.actor)
    return RedirectResponse(local_path(str(call.form.get("next", "/"))), status_code=303)


def users(call: Call) -> Response:
    """Everybody who may sign in."""
    return _users(call, {}, {})


def add_user(call: Call) -> Response:
    """Add a person with a first password, shown once."""
    name = str(call.form.get("name", "")).strip()
    roles = [str(role) for role in call.form.getlist("role")]  # type: ignore[attr-defined]
    first = random_password()
    args = {
        "actor": call.actor,
        "name": name,
        "title": str(call.form.get("title", "")).strip()[:128],
        "password_hash": hash_password(first),
        "roles": roles,
        "must_change": True,
        **_scope(call),
    }
    try:
        call.site.control.write("user_add", args, call.actor)
    except HubError as error:
        return _users(call, {"name": f"{error.what} {error.expected}".strip()}, {"name": name, "roles": roles})
    return _users(call, {}, {}, made=(name, first))


def change_user(call: Call) -> Response:
    """Give a person other roles, and say for which channels and organisations the account is."""
    roles = [str(role) for role in call.form.getlist("role")]  # type: ignore[attr-defined]
    name = str(call.request.path_params["name"])
    args = {"actor": call.actor, "name": name, "roles": roles, **_scope(call)}
    try:
        call.site.control.write("user_change", args, call.actor)
    except HubError as error:
        return _users(call, {"name": f"{error.what} {error.expected}".strip()}, {})
    return call.back("/users", "saved")


def _scope(call: Call) -> dict[str, list[str]]:
    return {part: str(call.form.get(part, "")).replace(",", " ").split() for part in ("channels", "organisations")}


def disable_user(call: Call) -> Response:
    """Disable or enable an account."""
    args = {
        "actor": call.actor,
        "name": str(call.request.path_params["name"]),
        "disabled": call.form.get("disabled") == "1",
    }
    try:
        call.site.control.write("user_disable", args, call.actor)
    except HubError as error:
        return _users(call, {"name": error.what}, {})
    return call.back("/users", "saved")


def _page(call: Call, errors: dict[str, str]) -> Response:
    return call.page(
        "me.html",
        code=422 if errors else 200,
        title="You",
        errors=errors,
        permissions=[text for name, text in PERMISSIONS.items() if call.may(name)],
    )


def _users(
    call: Call, errors: dict[str, str], typed: dict[str, object], made: tuple[str, str] | None = None
) -> Response:
    with call.reading() as connection:
        everybody = list_users(connection)
    return call.page(
        "users.html",
        code=422 if errors else 200,
        title="People",
        everybody=everybody,
        roles=ROLES,
        role_words=ROLE_WORDS,
        known_channels=[channel.name for channel in call.site.settings.channels],
        errors=errors,
        typed=typed,
        made=made,
    )
