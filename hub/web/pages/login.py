"""Signing in and out. The password is verified here, in the process that received it; the engine opens the session."""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from hub.core.clock import real_ms
from hub.core.errors import HubError
from hub.security.passwords import verify_password
from hub.security.sessions import ABSOLUTE_MS, new_token, token_digest
from hub.security.users import find_user
from hub.store.database import reading
from hub.web.call import Call, Site, local_path
from hub.web.control import EngineAwayError

FAILURES_PER_ADDRESS = 10
WINDOW_SECONDS = 300.0
_REFUSED = "User name or password is not right, or the account is locked for now."


class Throttle:
    """Counts failed sign-ins per address; too many within five minutes and the address waits."""

    def __init__(self) -> None:
        self._failures: dict[str, deque[float]] = {}

    def is_full(self, address: str) -> bool:
        """Whether *address* must wait."""
        failures = self._failures.get(address)
        while failures and failures[0] < time.monotonic() - WINDOW_SECONDS:
            failures.popleft()
        if failures is not None and not failures:
            del self._failures[address]
        return failures is not None and len(failures) >= FAILURES_PER_ADDRESS

    def failed(self, address: str) -> None:
        """Count one."""
        self._failures.setdefault(address, deque()).append(time.monotonic())


def cookie_name(site: Site) -> str:
    """The session cookie; with TLS its name lets no other host or path set it."""
    return "__Host-hub_session" if site.settings.secure else "hub_session"


def login_cookie_name(site: Site) -> str:
    """The cookie that a sign-in form must match, so that nobody is signed in by another's form."""
    return "__Host-hub_login" if site.settings.secure else "hub_login"


def form(site: Site, request: Request) -> Response:
    """The sign-in page."""
    return _page(site, request, "", 200)


def sign_in(site: Site, request: Request, fields: Mapping[str, Any], throttle: Throttle) -> Response:
    """Verify the password and have the engine open a session."""
    address = request.client.host if request.client else ""
    cookie, typed = request.cookies.get(login_cookie_name(site), ""), str(fields.get("csrf", ""))
    if not cookie or not secrets.compare_digest(cookie.encode(), typed.encode()):
        return _page(site, request, "This form was too old. Sign in again.", 403)
    if throttle.is_full(address):
        return _page(site, request, "Too many tries from this address. Wait five minutes.", 429)
    name = str(fields.get("name", "")).strip()[:64]
    with reading(site.store) as connection:
        user = find_user(connection, name)
    right = verify_password(user.password_hash if user else None, str(fields.get("password", ""))[:1000])
    able = user is not None and not user.disabled and user.locked_until_at <= real_ms()
    try:
        if not (right and able):
            throttle.failed(address)
            site.control.write("login_failed", {"user": name}, "hub")
            return _page(site, request, _REFUSED, 401)
        token = new_token()
        args = {
            "user": name,
            "token_digest": token_digest(token).hex(),
            "csrf_token": secrets.token_urlsafe(24),
        }
        site.control.write("session_open", args, name)
    except EngineAwayError as error:
        return _page(site, request, f"{error.what} {error.fix}", 503)
    except HubError:
        return _page(site, request, _REFUSED, 401)
    response = RedirectResponse(local_path(str(fields.get("next", "/"))), status_code=303)
    response.set_cookie(
        cookie_name(site),
        token,
        max_age=ABSOLUTE_MS // 1000,
        httponly=True,
        samesite="lax",
        secure=site.settings.secure,
    )
    response.delete_cookie(login_cookie_name(site), secure=site.settings.secure)
    return response


def sign_out(call: Call) -> Response:
    """End the session."""
    args = {"token_digest": call.session.token_digest.hex()}
    call.site.control.write("session_close", args, call.actor)
    response = RedirectResponse("/login", status_code=303)
    response.delete_cookie(cookie_name(call.site), secure=call.site.settings.secure)
    return response


def _page(site: Site, request: Request, problem: str, code: int) -> Response:
    csrf = request.cookies.get(login_cookie_name(site)) or secrets.token_urlsafe(24)
    html = site.templates.get_template("login.html").render(
        settings=site.settings,
        problem=problem,
        csrf=csrf,
        back=local_path(request.query_params.get("next", "/")),
        theme=request.cookies.get("hub_theme", "") if request.cookies.get("hub_theme") in {"light", "dark"} else "",
    )
    response = HTMLResponse(html, status_code=code)
    response.set_cookie(login_cookie_name(site), csrf, httponly=True, samesite="strict", secure=site.settings.secure)
    return response
