"""The web application: guards around every route, headers on every answer, errors as pages."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

from sqlalchemy import Engine
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hub.core.clock import real_ms
from hub.core.errors import HubError
from hub.core.vault import Vault
from hub.security.sessions import Session, find_session
from hub.store.database import reading
from hub.web import scope
from hub.web.api.guard import api_routes, our_mistake
from hub.web.api.table import BASE
from hub.web.call import Call, NotFound, Site
from hub.web.control import Control, EngineAwayError
from hub.web.pages import health, login
from hub.web.render import make_environment
from hub.web.routes import BEFORE_PASSWORD, ROUTES, Entry
from hub.web.settings import WebSettings

_STATIC = Path(__file__).parent / "static"
_TOUCH_AFTER_MS = 60_000
_FORM_LIMIT = 64 * 1024

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; "
        "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def create_app(store: Engine, vault: Vault, settings: WebSettings) -> Starlette:
    """The pages of one site, reading *store*, asking the engine at ``settings.control_socket`` for changes."""
    site = Site(store, vault, settings, Control(settings.control_socket), make_environment(ZoneInfo(settings.zone)))
    throttle = login.Throttle()

    async def login_form(request: Request) -> Response:
        return await run_in_threadpool(login.form, site, request)

    async def sign_in(request: Request) -> Response:
        fields = await _form(request)
        return await run_in_threadpool(login.sign_in, site, request, fields, throttle)

    def machine(answer: Callable[[Site], Response]) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(_request: Request) -> Response:
            return await run_in_threadpool(answer, site)

        return endpoint

    routes: list[Route | Mount] = [
        Route("/login", login_form, methods=["GET"]),
        Route("/login", sign_in, methods=["POST"]),
        Route("/healthz", machine(health.healthz), methods=["GET"]),
        Route("/readyz", machine(health.readyz), methods=["GET"]),
        Route("/metrics", machine(health.metrics), methods=["GET"]),
        Route("/.well-known/jwks.json", machine(health.client_keys), methods=["GET"]),
        *(Route(entry.path, _guarded(site, entry), methods=[entry.method]) for entry in ROUTES),
        *api_routes(site),
        Mount("/static", StaticFiles(directory=_STATIC)),
    ]

    async def http_error(request: Request, error: Exception) -> Response:
        code = error.status_code if isinstance(error, HTTPException) else 500
        if code == 500 and request.url.path.startswith(BASE):
            return our_mistake()
        return await run_in_threadpool(_outside, site, request, code)

    app = Starlette(routes=routes, exception_handlers={HTTPException: http_error, 500: http_error})
    app.add_middleware(SecurityHeaders, secure=settings.secure)
    return app


class SecurityHeaders:
    """Adds the headers that every answer carries; pages are never kept by browsers or what stands between."""

    def __init__(self, app: ASGIApp, secure: bool) -> None:
        self._app = app
        self._secure = secure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass *scope* on, adding headers to what comes back."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        static = scope["path"].startswith("/static/")

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(SECURITY_HEADERS)
                headers["Cache-Control"] = "public, max-age=300" if static else "no-store"
                if self._secure:
                    headers["Strict-Transport-Security"] = "max-age=31536000"
            await send(message)

        await self._app(scope, receive, with_headers)


def _guarded(site: Site, entry: Entry) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        form = await _form(request) if entry.method == "POST" else FormData()
        return await run_in_threadpool(_answer, site, entry, request, form)

    return endpoint


def _answer(site: Site, entry: Entry, request: Request, form: FormData) -> Response:
    """Check who asks, that they may, and that they meant it; then let the page's handler answer."""
    with reading(site.store) as connection:
        session = find_session(connection, request.cookies.get(login.cookie_name(site), ""))
    if session is None:
        return _to_login(request, entry)
    call = Call(site, request, session, form)
    if session.organisations and site.settings.organisation not in session.organisations:
        return _error(call, 403, "Your account is for other organisations.", "An administrator can change that.")
    if entry.permission and not any(call.may(each) for each in entry.permission.split("|")):
        return _error(call, 403, "Your role does not include this.", "An administrator can give you a role that does.")
    if entry.method == "POST" and not secrets.compare_digest(
        str(form.get("csrf", "")).encode(), session.csrf_token.encode()
    ):
        return _error(
            call, 403, "This form was too old or came from elsewhere.", "Go back, load the page, send it again."
        )
    if session.must_change_password and entry.path not in BEFORE_PASSWORD:
        return RedirectResponse("/me", status_code=303)
    _touch(call, session, entry)
    try:
        scope.hold(call, entry.path)
        return entry.handler(call)
    except scope.NarrowedError as error:
        return _error(call, 403, error.what, error.fix)
    except NotFound as error:
        return _error(call, 404, error.what, "It may have been pruned, or the address is not complete.")
    except EngineAwayError as error:
        return _error(call, 503, error.what, error.fix)
    except HubError as error:
        return _error(call, 422, error.what, error.fix)


def _touch(call: Call, session: Session, entry: Entry) -> None:
    """Keep the session alive, at most once a minute; what runs by itself is no activity."""
    if entry.path.startswith("/live/") or real_ms() - session.seen_at < _TOUCH_AFTER_MS:
        return
    try:
        call.site.control.write("session_touch", {"token_digest": session.token_digest.hex()}, call.actor)
    except EngineAwayError as error:
        call.engine_problem = error.what


def _to_login(request: Request, entry: Entry) -> Response:
    if entry.method != "GET" or entry.path.startswith("/live/"):
        return RedirectResponse("/login", status_code=303) if entry.method == "POST" else Response(status_code=401)
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"/login?{urlencode({'next': here}, quote_via=quote)}", status_code=303)


def _error(call: Call, code: int, what: str, fix: str) -> Response:
    return call.page("error.html", code=code, title="Not possible", status=code, what=what, fix=fix)


def _outside(site: Site, request: Request, code: int) -> Response:
    """A page for addresses that no route knows, and for our own mistakes; it tells nothing about either."""
    with reading(site.store) as connection:
        session = find_session(connection, request.cookies.get(login.cookie_name(site), ""))
    what, fix = (
        ("There is no page at this address.", "Check the address, or start from the status page.")
        if code < 500
        else (
            "This page could not be made. Nothing was changed.",
            "Try again; if it happens again, keep the time for whoever looks at the log.",
        )
    )
    if session is not None:
        return _error(Call(site, request, session), code, what, fix)
    return HTMLResponse(f"<!doctype html><title>{code}</title><p>{what}", status_code=code)


async def _form(request: Request) -> FormData:
    """The fields of a small form. Raises 413 for a large one, and never keeps files."""
    length = request.headers.get("content-length", "")
    if not length.isdecimal() or int(length) > _FORM_LIMIT:
        raise HTTPException(413)
    form = await request.form(max_files=0, max_fields=100)
    return FormData([(key, value) for key, value in form.multi_items() if isinstance(value, str)])
