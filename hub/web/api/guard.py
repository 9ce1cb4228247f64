"""How programs get in: a token or a signed-in browser, what they may, how often, and errors with a stable body."""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Route
from starlette.types import Receive, Scope, Send

from hub import __version__
from hub.core.clock import real_ms
from hub.core.errors import HubError
from hub.security.sessions import REASON_LENGTH, Session, find_session
from hub.security.tokens import find_token
from hub.store.database import reading
from hub.web import scope
from hub.web.api.models import StatusQuery
from hub.web.api.openapi import document
from hub.web.api.table import BASE, OPERATIONS, Operation
from hub.web.call import Call, NotFound, Site
from hub.web.control import EngineAwayError
from hub.web.pages import live
from hub.web.pages.login import cookie_name

_BODY_LIMIT = 64 * 1024
_TOUCH_AFTER_MS = 60_000
_WINDOW_SECONDS = 60.0


class ApiRefused(HubError):  # noqa: N818  it reads as what happened
    """A request of a program that is not answered: who asks, what was sent, or how often."""

    code = "H750"

    def __init__(self, status: int, what: str, *, where: str = "", expected: str = "", fix: str = "") -> None:
        super().__init__(what, where=where, expected=expected, fix=fix)
        self.status = status


class Pace:
    """So many requests a minute for each session or token, from its first one on; what was not used is not kept."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._windows: dict[bytes, tuple[float, int]] = {}

    def take(self, who: bytes) -> bool:
        """Whether one more may be answered."""
        now = time.monotonic()
        began, taken = self._windows.get(who, (now, 0))
        if now - began >= _WINDOW_SECONDS:
            began, taken = now, 0
            self._windows = {each: held for each, held in self._windows.items() if now - held[0] < _WINDOW_SECONDS}
        self._windows[who] = (began, taken + 1)
        return taken < self._per_minute


def api_routes(site: Site) -> list[Route]:
    """The routes of the API."""
    pace = Pace(site.settings.api_per_minute)
    described = document(__version__)

    def guarded(operation: Operation) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            sent = bytearray()
            async for part in request.stream():  # without end, where no length was announced
                sent += part
                if len(sent) > _BODY_LIMIT:
                    return _refusal(ApiRefused(413, "Too much was sent.", expected=f"at most {_BODY_LIMIT} bytes"))
            return await run_in_threadpool(_answer, site, pace, operation, request, bytes(sent))

        return endpoint

    async def openapi(_request: Request) -> Response:
        return JSONResponse(described)

    async def events(request: Request) -> Response:
        def opened() -> Response:
            try:
                call = _call(site, pace, request, "status.view")
                _checked(StatusQuery, dict(request.query_params), b"", "query")
                return live.status_values(call)
            except HubError as error:
                return _refusal(error)

        return await run_in_threadpool(opened)

    routes = [
        Route(f"{BASE}/openapi.json", openapi, methods=["GET"]),
        Route(f"{BASE}/events", events, methods=["GET"]),
        *(Route(BASE + each.path, guarded(each), methods=[each.method]) for each in OPERATIONS),
    ]
    return [*routes, Route("/api/{rest:path}", _Elsewhere(routes))]


class _Elsewhere:
    """What no operation answers: an address that none has, or a method that the address does not take.

    Starlette gives a route whose endpoint is an application, and no function, every method there is.
    """

    def __init__(self, routes: list[Route]) -> None:
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request of *scope*."""
        here = [route for route in self._routes if route.matches(scope)[0] is not Match.NONE]
        taken = sorted({method for route in here for method in route.methods or ()})
        refused = (
            ApiRefused(405, "This address does not take that method.", expected=", ".join(taken))
            if taken
            else NotFound("There is no operation at this address.", where=scope["path"])
        )
        await _refusal(refused)(scope, receive, send)


def _answer(site: Site, pace: Pace, operation: Operation, request: Request, sent: bytes) -> Response:
    try:
        call = _call(site, pace, request, operation.permission)
        if operation.needs_reason and len(request.headers.get("x-reason", "").strip()) < REASON_LENGTH:
            raise ApiRefused(400, "The header X-Reason must say why.", expected=f"at least {REASON_LENGTH} letters")
        asked = _checked(operation.query, dict(request.query_params), b"", "query")
        body = _checked(operation.body, None, sent, "body") if operation.body is not None else None
        scope.hold(call, operation.path)
        made = operation.handler(call, asked, body)
    except HubError as error:
        return _refusal(error)
    if operation.gives_bytes:
        return Response(made, media_type="application/octet-stream")
    return Response(operation.answer.dump_json(made), media_type="application/json")


def _call(site: Site, pace: Pace, request: Request, permission: str) -> Call:
    """Who asks. Raises :class:`ApiRefused` when nobody does, or when they may not."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    with reading(site.store) as connection:
        session = (
            find_token(connection, token.strip())
            if scheme.lower() == "bearer"
            else find_session(connection, request.cookies.get(cookie_name(site), ""))
        )
    if session is None or session.must_change_password:
        raise ApiRefused(401, "Nobody is signed in.", fix="Send `Authorization: Bearer` with a token made under You.")
    if not pace.take(session.token_digest):
        raise ApiRefused(429, "Too many requests within a minute.", fix="Wait a minute.")
    if not session.csrf_token:
        _touch(site, session)
    elif request.method != "GET" and not secrets.compare_digest(
        request.headers.get("x-csrf-token", "").encode(), session.csrf_token.encode()
    ):
        raise ApiRefused(403, "A browser's session changes nothing here without its token.", expected="X-CSRF-Token")
    if session.organisations and site.settings.organisation not in session.organisations:
        raise ApiRefused(403, "This account is for other organisations.")
    call = Call(site, request, session)
    if not call.may(permission):
        raise ApiRefused(403, "This token or its owner may not do this.", expected=permission)
    return call


def _touch(site: Site, session: Session) -> None:
    """Note that a token is in use, at most once a minute; an engine that is away hinders no reading."""
    if real_ms() - session.seen_at > _TOUCH_AFTER_MS:
        try:
            site.control.write("token_touch", {"token_digest": session.token_digest.hex()}, session.user_name)
        except EngineAwayError:
            return


def _checked(model: type[BaseModel], fields: dict[str, Any] | None, sent: bytes, where: str) -> BaseModel:
    try:
        return model.model_validate(fields) if fields is not None else model.model_validate_json(sent or b"{}")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join([where, *(str(part) for part in first["loc"])])
        raise ApiRefused(400, "What was sent is not as described.", where=place, expected=first["msg"]) from None


def our_mistake() -> Response:
    """What a program is told when an operation broke; it tells nothing of how."""
    what, fix = "This could not be answered. It is our mistake.", "Keep the time for whoever looks at the log."
    return _refusal(ApiRefused(500, what, fix=fix))


def _refusal(error: HubError) -> Response:
    match error:
        case ApiRefused():
            status = error.status
        case NotFound():
            status = 404
        case scope.NarrowedError():
            status = 403
        case EngineAwayError():
            status = 503
        case _:
            status = 409
    said = {name: getattr(error, name) for name in ("code", "what", "where", "expected", "fix")}
    headers = {401: {"WWW-Authenticate": "Bearer"}, 405: {"Allow": error.expected}, 429: {"Retry-After": "60"}}
    return JSONResponse({"error": said}, status_code=status, headers=headers.get(status))
