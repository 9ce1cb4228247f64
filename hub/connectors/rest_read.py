"""Reading from a REST server that answers JSON: what a mapping asks for becomes one document, a message of its own.

For EHRs that tell by webhook only which record changed. A document is read in parts, one request each; what an earlier
part says can stand in the address of a later one (``patients/{claim.patientid}``). A read changes nothing, so one that
got no answer is simply done again: it is never ambiguous.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import quote, urljoin

from pydantic import Field

from hub.connectors.asking import (
    ACCEPT,
    AskingDestination,
    FailedError,
    PagedSettings,
    good,
    read_json,
    refused,
)
from hub.connectors.settings import WebAddress
from hub.connectors.web_client import NoAnswerError
from hub.connectors.web_probe import probe
from hub.core.exact_json import json_bytes
from hub.engine.contracts import Connector, DestinationContext, Outcome, Parcel

_PART = re.compile(r"[a-z][a-z0-9_]{0,39}\Z")
_PATH = re.compile(r"[A-Za-z0-9{][A-Za-z0-9._~!$'()*+,;=:@%/?&{}-]{0,2000}\Z")
_HOLE = re.compile(r"\{([a-z][a-z0-9_]*(?:\.[A-Za-z0-9_]+)*)\}")
_OWN_NAMES = frozenset({"event", "read_at"})
BEGUN = 100
"""How many documents may be half read while they wait for their quota; beyond that the oldest begins anew."""


class RestReadSettings(PagedSettings):
    """A REST server to read from."""

    base: WebAddress = Field(
        description="The address that the paths of a fetch go beneath.",
        examples=["https://api.ehr.example/v1/195900"],
    )
    requests: int = Field(4, ge=1, le=64, description="How many documents may be read at a time.", examples=[4])


@dataclass(frozen=True, slots=True)
class _Part:
    name: str
    path: str
    each: str
    optional: bool


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a parcel asks for: the kind of the document, its parts in order, and what is copied to its top."""

    kind: str
    parts: tuple[_Part, ...]
    keys: Mapping[str, str]


@dataclass(slots=True)
class _Begun:
    """A document that is being read: when that began, and what is there of it."""

    read_at: str
    parts: dict[str, Any] = field(default_factory=dict)


class RestReadDestination(AskingDestination):
    """Fetches what a parcel asks for. The answer is a JSON object: ``event``, ``read_at``, the keys and the parts."""

    def __init__(self, settings: RestReadSettings, context: DestinationContext) -> None:
        super().__init__(settings, context, address=settings.base, requests=settings.requests, lasting=True)
        self._settings = settings
        self._base = settings.base.rstrip("/") + "/"
        self._clock = context.clock
        self._begun: OrderedDict[int, _Begun] = OrderedDict()

    async def converse(self, parcel: Parcel) -> Outcome:
        """Read the parts of a document, or what is still missing of them."""
        wanted = _wanted(parcel.body)
        begun = self._begun.pop(parcel.delivery_id, None) or _Begun(self._clock.now().isoformat())
        try:
            for part in wanted.parts:
                if part.name not in begun.parts:
                    await self._read(part, begun.parts)
        except NoAnswerError as error:
            if error.retry_after is not None:  # a slow quota would else never let it come to an end
                self._keep(parcel.delivery_id, begun)
            raise NoAnswerError(error.reason, error.state, sent=False, retry_after=error.retry_after) from None
        keys = {name: _filled(text, begun.parts, quoted=False) or "" for name, text in wanted.keys.items()}
        try:
            return Outcome(
                None, answer=json_bytes({"event": wanted.kind, "read_at": begun.read_at, **keys, **begun.parts})
            )
        except (ValueError, RecursionError):
            raise refused("The answer holds half a character, or is nested too deeply.") from None

    def _keep(self, delivery_id: int, begun: _Begun) -> None:
        self._begun[delivery_id] = begun
        if len(self._begun) > BEGUN:
            self._begun.popitem(last=False)

    async def _read(self, part: _Part, parts: dict[str, Any]) -> None:
        path = _filled(part.path, parts, quoted=True)
        if path is None:
            if part.optional:
                return
            raise refused(f'The server did not say what the address of "{part.name}" needs.')
        url = urljoin(self._base, path)
        if not url.startswith(self._base):
            raise refused(f'The address of "{part.name}" leaves the base.')
        try:
            parts[part.name] = await (self._list(url, part.each) if part.each else self._one(url))
        except FailedError as failed:
            if not part.optional or failed.status not in {404, 410}:
                raise

    async def _one(self, url: str) -> Any:
        """The thing at *url*; a list of one is that one."""
        found = await self._get(url)
        return found[0] if isinstance(found, list) and len(found) == 1 else found

    async def _list(self, url: str, each: str) -> list[Any]:
        found: list[Any] = []
        async for body in self.pages(url, self._settings):
            page = read_json(body)
            items = page.get(each) if isinstance(page, dict) else page
            if not isinstance(items, list):
                raise refused(f'The answer has no list "{each}".')
            found += items
        return found

    async def _get(self, url: str) -> Any:
        return read_json(good(await self.client.request("GET", url, ACCEPT)))


def _wanted(body: bytes) -> _Wanted:
    """What *body* asks for; what cannot be an address beneath the base is refused."""
    try:
        plain = json.loads(body)
        parts = tuple(
            _Part(name, str(part["path"]), str(part.get("each", "")), bool(part.get("optional")))
            for name, part in plain["parts"].items()
        )
        wanted = _Wanted(str(plain["kind"]), parts, {**plain.get("keys", {})})
    except (ValueError, KeyError, AttributeError, TypeError):
        wanted = _Wanted("", (), {})
    names = [*(part.name for part in wanted.parts), *wanted.keys]
    good_names = all(_PART.match(name) for name in names) and not _OWN_NAMES & set(names)
    if not wanted.kind or not wanted.parts or not good_names or not all(_PATH.match(p.path) for p in wanted.parts):
        raise refused("The output is no fetch: it needs a kind, and parts with names and paths beneath the base.")
    return wanted


def _filled(text: str, parts: Mapping[str, Any], *, quoted: bool) -> str | None:
    """*text* with each hole filled from what was read; None when something is not there."""
    values = {hole: _scalar(parts, hole.split(".")) for hole in _HOLE.findall(text)}
    if any(value is None for value in values.values()):
        return None
    turn: Callable[[str], str] = (lambda value: quote(value, safe="")) if quoted else str
    return _HOLE.sub(lambda found: turn(values[found[1]] or ""), text)


def _scalar(value: Any, path: list[str]) -> str | None:
    """The text or number at *path*; of a list its first item."""
    for name in path:
        if isinstance(value, list):
            value = value[0] if value else None
        value = value.get(name) if isinstance(value, Mapping) else None
    return (
        str(value) if isinstance(value, str | int | Decimal) and not isinstance(value, bool) and value != "" else None
    )


CONNECTOR = Connector(
    name="rest_read",
    summary="Records fetched from a REST server that answers JSON; the answer comes back as a linked message.",
    destination_settings=RestReadSettings,
    open_destination=RestReadDestination,
    probe=probe,
)
