"""One request as a page handler sees it: who asks, what they may do and see, and the store to answer from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment
from sqlalchemy import Connection, Engine
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from hub.core.clock import real_ms
from hub.core.errors import HubError
from hub.core.vault import Vault
from hub.security.sessions import Session, find_session_by_digest
from hub.security.tokens import find_token_by_digest
from hub.store.database import reading
from hub.web.control import Control
from hub.web.kept import Kept
from hub.web.masking import Piece
from hub.web.queries import queues, status
from hub.web.settings import WebSettings


class NotFound(HubError):  # noqa: N818  a page's outcome
    """There is no such thing, or not any more."""

    code = "H740"


#: The cookie that holds the names of the channels that a person has starred.
STARRED = "hub_starred"
_YEAR = 365 * 86_400


@dataclass(frozen=True, slots=True)
class Site:
    """What every request shares."""

    store: Engine
    vault: Vault
    settings: WebSettings
    control: Control
    templates: Environment
    kept: Kept = field(default_factory=Kept)


@dataclass(slots=True)
class Call:
    """One request of a signed-in person. *form* holds a POST's fields; *path* the path's parameters."""

    site: Site
    request: Request
    session: Session
    form: Mapping[str, Any] = field(default_factory=dict)
    engine_problem: str = ""
    _concealed: bool = False

    @property
    def actor(self) -> str:
        """The person's user name, as records keep it."""
        return self.session.user_name

    @property
    def query(self) -> Mapping[str, str]:
        """The parameters of the address."""
        return self.request.query_params

    def may(self, permission: str) -> bool:
        """Whether the person has *permission*."""
        return permission in self.session.permissions

    def sees(self, channel: str) -> bool:
        """Whether *channel* is within what the person's account is for."""
        return not self.session.channels or channel in self.session.channels

    @property
    def today(self) -> str:
        """The practice's day, ISO text."""
        return self.site.settings.clock.today().isoformat()

    @property
    def revealed(self) -> bool:
        """Whether patient data is shown: revealed with a reason, not yet over, and the look could be recorded."""
        entitled = self.may("patients.reveal") or (self.session.broke_glass and self.may("patients.break_glass"))
        return not self._concealed and self.session.revealed_until_at > real_ms() and entitled

    def still_signed_in(self) -> bool:
        """Whether the session is still live; a long answer asks again and again."""
        find = find_session_by_digest if self.session.csrf_token else find_token_by_digest
        with self.reading() as connection:
            return find(connection, self.session.token_digest) is not None

    def path_id(self, name: str = "id") -> int:
        """The id in the path. Raises :class:`NotFound` when it is no number that an id can be."""
        found = whole_number(str(self.request.path_params[name]))
        if found is None:
            raise NotFound("There is no page at this address.")
        return found

    def number(self, name: str) -> int | None:
        """The number that the address's parameter *name* holds, or None."""
        return whole_number(self.query.get(name, ""))

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A read snapshot of the store."""
        with reading(self.site.store) as connection:
            yield connection

    def look(
        self,
        object_type: str,
        object_id: object,
        *,
        patients: Iterable[int | None] = (),
        action: str = "view",
        always: bool = True,
    ) -> None:
        """Record that the person looks at something of *patients*, one record for each, so that each can be traced.

        A page of several patients whose data stays masked is one record without a name, unless *always*: it showed
        nothing of any of them. When a look cannot be recorded nothing is revealed on this page.
        """
        known = sorted({each for each in patients if each is not None})
        if len(known) > 1 and not (self.revealed or always):
            known = []
        try:
            self.site.control.write(
                "audit",
                {
                    "actor": self.actor,
                    "action": action,
                    "object_type": object_type,
                    "object_id": str(object_id),
                    "patients": known,
                    "reason": self.session.reveal_reason if self.revealed else "",
                    "detail": {"revealed": self.revealed},
                },
                self.actor,
            )
        except HubError as error:
            self.engine_problem = error.what
            self._concealed = True

    def unseal(self, table: str, sealed: bytes | None) -> dict[str, Any]:
        """The sealed JSON object of a row's ``body``; empty when there is none."""
        value = self.site.vault.open_json(sealed, f"{table}.body") if sealed else {}
        return value if isinstance(value, dict) else {"value": value}

    def shown(self, text: str, what: str) -> tuple[Piece, ...]:
        """*text* as patient data called *what*; no piece when there is none."""
        return (Piece(text, what),) if text else ()

    def page(self, template: str, *, code: int = 200, **values: Any) -> Response:
        """The page that *template* makes of *values*."""
        settings, now = self.site.settings, real_ms()
        with self.reading() as connection:
            badges = {
                "queues": queues.open_total(connection, self.today, self.session.channels)
                if self.may("queues.view")
                else 0,
                "waiting": status.undecided(connection, self.session.channels),
            }
        html = self.site.templates.get_template(template).render(
            call=self,
            settings=settings,
            path=self.request.url.path,
            here=_here(self.request),
            now=now,
            business_now=settings.clock.now_ms(),
            badges=badges,
            theme=_cookie_word(self.request, "hub_theme", {"light", "dark"}),
            starred=self.starred,
            keys_off=self.request.cookies.get("hub_keys") == "off",
            toast=TOASTS.get(self.query.get("said", ""), ""),
            **values,
        )
        return HTMLResponse(html, status_code=code)

    def keep(self, response: Response, name: str, value: str) -> None:
        """Have the person's browser keep *value* under *name* for a year."""
        secure = self.site.settings.secure
        response.set_cookie(name, value, max_age=_YEAR, httponly=True, samesite="lax", secure=secure)

    @property
    def starred(self) -> frozenset[str]:
        """The channels that the person has starred in this browser."""
        return frozenset(self.request.cookies.get(STARRED, "").split(".")) - {""}

    def back(self, path: str, said: str = "") -> Response:
        """Send the browser on to *path* after an act, with a word of confirmation (a key of `TOASTS`)."""
        address = f"{path}{'&' if '?' in path else '?'}{urlencode({'said': said})}" if said else path
        return RedirectResponse(address, status_code=303)


#: What is confirmed after an act. Keys stand in addresses, so that no sentence of a stranger's link is ever shown.
TOASTS = {
    "draining": "Draining. Nothing more is taken in; what is there is worked off.",
    "paused": "Paused. Nothing that is stored is lost; it goes on when you resume.",
    "resumed": "Resumed.",
    "replayed": "Sent again: it waits its turn, as an attempt linked to this message.",
    "closed": "Closed without sending.",
    "commented": "Comment added.",
    "assigned": "Assigned.",
    "resolved": "Resolved. It left the queue.",
    "reopened": "Opened again.",
    "done": "Done.",
    "bulk": "Done with all of them.",
    "resting": "It rests until then.",
    "matched": "Matched and posted.",
    "unmatched": "Taken off the claim. The payment waits for its claim again.",
    "entered": "Taken in. It is posted in a moment.",
    "next": "The claim to the next insurance is made.",
    "voiding": "The void is drafted. It goes when somebody approves it.",
    "approved": "Approved. The claim goes out with the next batch.",
    "revealed": "Patient data is shown for 15 minutes.",
    "hidden": "Patient data is masked again.",
    "saved": "Saved.",
    "merged": "This record was merged; here is the one that it became.",
    "taken": "It is yours now.",
    "given": "It is nobody's now.",
    "snoozed": "Quiet until then. It stays on the page, below the others.",
    "woken": "Back among the others.",
    "withdrawn": "Withdrawn. Programs that use it are refused from now on.",
    "reviewed": "Reviewed. The audit log keeps that you did.",
    "added": "Added. Hand over the first password in person.",
}


def whole_number(text: str) -> int | None:
    """The number that *text* writes in plain digits, when the store can hold it; else None."""
    plain = text.isascii() and text.isdigit() and len(text) <= 19
    return int(text) if plain and int(text) < 2**63 else None


def local_path(text: str) -> str:
    """*text* when it is a path of this site, else the status page: a form must not send people elsewhere."""
    safe = text.startswith("/") and not text.startswith(("//", "/\\")) and "\\" not in text and "\n" not in text
    return text if safe else "/"


def _here(request: Request) -> str:
    query = urlencode([(k, v) for k, v in request.query_params.multi_items() if k != "said"])
    return f"{request.url.path}?{query}" if query else request.url.path


def _cookie_word(request: Request, name: str, allowed: set[str]) -> str:
    value = request.cookies.get(name, "")
    return value if value in allowed else ""
