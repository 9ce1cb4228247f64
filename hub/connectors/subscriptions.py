"""The life of subscriptions on a FHIR server: created, watched, renewed, and caught up with after what was missed.

What is known of one is kept in the store: its id, the numbers of the events that are stored, and until when nothing can
have been missed. It is written after the messages that it stands for, so that a crash makes the hub ask again for what
it has, never forget what it has not.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, Protocol
from urllib.parse import quote, urljoin, urlsplit

from twisted.internet import reactor as _reactor

from hub.connectors.polling import Polling
from hub.connectors.settings import Secret
from hub.connectors.subscription_settings import SubscriptionServer, SubscriptionSettings
from hub.connectors.web_client import Answer, NoAnswerError
from hub.core.clock import real_ms
from hub.core.errors import HubError
from hub.core.secret import Secrets
from hub.engine.contracts import EndpointState, Health, Mark, Received, SourceContext
from hub.formats.fhir.notification import Notification, next_link, notification_of, resources_of
from hub.formats.fhir.outcome import in_words, issues_in
from hub.formats.fhir.subscription import Standing, Wanted, standing, subscription
from hub.formats.fhir.text import FhirError, Resource, read, write

reactor: Any = _reactor

ASK = {"Accept": "application/fhir+json"}
TELL = {**ASK, "Content-Type": "application/fhir+json", "Prefer": "return=representation"}
OVERLAP_MS = 600_000
"""Searches for what was missed begin so much earlier: clocks differ, and servers index late."""
KEEP_AFTER = 1.0
"""Seconds after which what was heard is kept in the store."""
OUTAGE_LOOKS = 3.0
"""After so many looks' time without one, the hub counts as having been away."""
MOST_NUMBERS = 2_000
"""How many numbers beyond a gap are remembered; with more, the gap is searched for instead."""


class Client(Protocol):
    """What the keeper asks its server by: :class:`hub.connectors.web_client.WebClient`."""

    def request(
        self, method: str, url: str, headers: dict[str, str] | None = None, body: bytes | None = None
    ) -> Awaitable[Answer]:
        """Ask, and return what was answered."""


@dataclass(slots=True)
class Known:
    """What is known of one subscription. It is kept in the store as JSON."""

    id: str = ""
    asked: str = ""
    """What the server was last asked for, as a hash."""
    seen: int = 0
    """Every event up to this number is stored, or was searched for."""
    above: list[int] = field(default_factory=list)
    """Further events that are stored."""
    told: int = 0
    """How many events there were, as the server says."""
    whole_until: int = 0
    """Business time in milliseconds before which nothing can have been missed; 0 when nothing is known yet."""
    searched_until: int = 0
    """Business time in milliseconds before which everything was searched for."""
    due: str = ""
    """Why what was missed is to be searched for; empty when it is not."""

    @classmethod
    def of(cls, place: str | None) -> Known:
        """What *place* keeps; nothing known when it cannot be read."""
        try:
            plain = json.loads(place or "{}")
            names = {each.name for each in fields(cls)}
            return cls(**{name: value for name, value in plain.items() if name in names})
        except (ValueError, TypeError, AttributeError):
            return cls()

    @property
    def place(self) -> str:
        """The same as text."""
        return json.dumps(asdict(self), separators=(",", ":"))

    def note(self, numbers: list[int]) -> None:
        """The events of these *numbers* are stored."""
        self.told = max([self.told, *numbers])
        waiting = {number for number in (*self.above, *numbers) if number > self.seen}
        while self.seen + 1 in waiting:
            self.seen += 1
            waiting.discard(self.seen)
        self.above = sorted(waiting)
        if len(self.above) > MOST_NUMBERS:
            self.give_up("too many events are missing to count them")

    def gap(self) -> tuple[int, int] | None:
        """The first and last number of the first stretch of events that are not stored."""
        last = (self.above[0] - 1) if self.above else self.told
        return (self.seen + 1, last) if last > self.seen else None

    def give_up(self, why: str) -> None:
        """What the numbers say is missing is searched for instead."""
        self.seen = max(self.told, *self.above, self.seen)
        self.above = []
        self.due = why


class _TroubleError(Exception):
    """A request did not do what it should; *status* is 0 when no answer came."""

    def __init__(self, words: str, state: EndpointState, status: int = 0) -> None:
        super().__init__(words)
        self.words = words
        self.state = state
        self.status = status


class Keeper(Polling):
    """Keeps the subscriptions of one source. *endpoint_headers* are what the server is to show at our door.

    *filtered* says why a kind of message goes no further in the channel; None when it goes on.
    """

    def __init__(
        self,
        server: SubscriptionServer,
        wanted: tuple[SubscriptionSettings, ...],
        context: SourceContext,
        client: Client,
        filtered: Callable[[str], str | None],
        token: Secret | None,
    ) -> None:
        beats = [each.heartbeat for each in wanted if each.heartbeat is not None]
        self._pause = min([server.check, *beats])
        super().__init__("subscriptions", server.base, context, self._pause)
        self._server = server
        self._base = server.base.rstrip("/")
        self._client = client
        self._filtered = filtered
        self._token = token
        self._wanted = {each.name: each for each in wanted}
        self._known: dict[str, Known] = {}
        self._standing: dict[str, tuple[EndpointState, str, int]] = {}
        self._heard: dict[str, float] = {}
        self._gaps: dict[str, tuple[int, int]] = {}
        self._keeping: Any = None
        self._began = False

    # ------------------------------------------------------------ what the hook tells, on the reactor

    def heard(self, raw: bytes) -> None:
        """A notification is stored. Gaps are noticed by its numbers, and looked after by the next look."""
        try:
            resource = read(raw)
        except FhirError:
            return
        told = notification_of(resource)
        if told is None:
            for name in self._of_style("criteria"):
                self._heard[name] = reactor.seconds()
            return
        named = [each for each, known in self._known.items() if _refers_to(told.subscription, known.id)]
        if not named:
            return  # handshakes may come before the answer that says the id
        name = named[0]
        self._note(name, told)
        if told.type == "event-notification" and not _says_what(told):
            self._known[name].due = "the server said that something happened, and not what"
        if told.status in {"error", "off"} or self._known[name].due:
            self.hurry()
        self._keep_later()

    async def pinged(self) -> None:
        """The server said that something happened, and no more. Durable when this returns."""
        for name in self._of_style("criteria"):
            known = await self._load(name)
            known.due = "the server said that something happened, and not what"
            self._heard[name] = reactor.seconds()
            await self._keep(name)
        self.hurry()

    def _note(self, name: str, told: Notification) -> None:
        self._heard[name] = reactor.seconds()
        known = self._known[name]
        if not self._wanted[name].numbered:
            return
        known.told = max(known.told, told.count or 0)
        known.note([int(event.number) for event in told.events if event.number.isdecimal()])

    def _of_style(self, style: Literal["criteria", "topic"]) -> list[str]:
        return [name for name, each in self._wanted.items() if getattr(each, style) is not None]

    def hurry(self) -> None:
        """Look at once, unless a look is under way."""
        if self.goes_on and not self._visiting:
            self._cancel()
            self._later(0)

    # ------------------------------------------------------------ looking after them

    async def look(self) -> float:
        """Look after each subscription; one that fails does not keep the others waiting."""
        troubled = False
        if not self._began:
            await self._retire()
        for name in self._wanted:
            try:
                await self._look_after(name)
            except _TroubleError as trouble:
                self._stand(name, trouble.state, trouble.words)
                troubled = True
            except HubError as error:  # a secret that is not there, or the store
                self._stand(name, EndpointState.RETRYING, error.what)
                troubled = True
        self._began = True
        # Something may have been told while the look went on.
        return 0.0 if not troubled and any(known.due for known in self._known.values()) else self._pause

    async def _look_after(self, name: str) -> None:
        known, now = await self._load(name), self._context.clock.now_ms()
        if not self._began and known.whole_until and now - known.whole_until > self._away_ms():
            known.due = known.due or "the hub was away"
        stands = await self._ensure(name, known)
        if stands.status in {"requested", "active"}:
            await self._count(name, known)
        if known.due:
            await self._search(name, known, known.whole_until, now)
        elif self._is_to_be_rechecked(name, known, now):
            await self._search(name, known, known.searched_until, now)
        known.searched_until = known.searched_until or now
        if (stands.status == "active" and known.gap() is None) or not known.whole_until:
            known.whole_until = now
        await self._keep(name)
        self._say(name, known, stands)

    async def _retire(self) -> None:
        """End the subscriptions that this source does not want any more."""
        intake, channel = self._context.intake, self._context.channel
        kept = json.loads(await intake.place(channel, _NAMES) or "[]")
        left = []
        for name in (each for each in kept if each not in self._wanted):
            number = Known.of(await intake.place(channel, _mark(name))).id
            try:
                if number:
                    await self._ask("DELETE", f"Subscription/{number}")
            except _TroubleError as trouble:
                if trouble.status not in {404, 410}:
                    left.append(name)
                    continue
            await intake.keep(channel, Mark(_mark(name), Known().place))
        await intake.keep(channel, Mark(_NAMES, json.dumps(sorted([*self._wanted, *left]))))

    async def _ensure(self, name: str, known: Known) -> Standing:
        """Have the subscription stand as it is wanted: create it, renew it, or wake it up."""
        wanted = self._as_asked(name)
        asked = _fingerprint(wanted)
        stands = await self._read(known.id) if known.id else await self._adopt(wanted)
        now = self._context.clock.now()
        lasts = self._wanted[name].lasts
        end = now + dt.timedelta(seconds=lasts)
        if stands is None:
            if known.id:
                known.due = "the server had lost the subscription"
            stands = await self._put(subscription(wanted, end))
            known.id, known.seen, known.above, known.told = stands.id, 0, [], 0
            known.asked = asked
            await self._keep(name)
            return stands
        known.id = stands.id
        ends_soon = stands.end is not None and stands.end - now < dt.timedelta(seconds=lasts / 3)
        stopped = stands.status in {"error", "off"}
        if stopped or ends_soon or known.asked != asked:
            if stopped:
                known.due = f"the server had it in the status {stands.status}"
            stands = await self._put(subscription(wanted, end, stands.id))
            known.asked = asked
        return stands

    async def _read(self, number: str) -> Standing | None:
        try:
            return standing(await self._ask("GET", f"Subscription/{number}"))
        except _TroubleError as trouble:
            if trouble.status in {404, 410}:
                return None
            raise

    async def _adopt(self, wanted: Wanted) -> Standing | None:
        """One like it that an attempt without an answer created. Not every server can say."""
        try:
            found = await self._ask("GET", f"Subscription?url={quote(wanted.endpoint, safe='')}")
        except _TroubleError as trouble:
            if 400 <= trouble.status < 500 and trouble.status not in {401, 403, 429}:
                return None
            raise
        same = {"criteria": wanted.topic or wanted.criteria, "endpoint": wanted.endpoint}
        each = (standing(resource) for resource in resources_of(found))
        return next((stands for stands in each if stands is not None and stands.same == same), None)

    async def _put(self, resource: Resource) -> Standing:
        number = resource.get("id")
        path = f"Subscription/{number}" if number else "Subscription"
        secrets: Secrets = self._context.secrets
        headers = {header: secrets.value(secret) for header, secret in self._server.with_request.items()}
        answered = await self._ask("PUT" if number else "POST", path, TELL | headers, write(resource))
        stands = standing(answered)
        if stands is None:
            if number:
                return Standing(str(number), "requested", None, {})
            raise _TroubleError("The server does not say which subscription it made.", EndpointState.RETRYING)
        return stands

    def _as_asked(self, name: str) -> Wanted:
        settings = self._wanted[name]
        headers = (f"Authorization: Bearer {self._context.secrets.value(self._token)}",) if self._token else ()
        return Wanted(
            endpoint=self._server.hook,
            payload=settings.content,
            criteria=settings.criteria or "",
            topic=settings.topic or "",
            filters=settings.filters,
            heartbeat=int(settings.heartbeat) if settings.heartbeat else None,
            headers=headers,
            reason=f"claimhub: {self._context.channel}, {name}",
        )

    # ------------------------------------------------------------ what was missed

    async def _count(self, name: str, known: Known) -> None:
        """Have the server say how many events there were, when it was silent; fetch those that are not here."""
        settings = self._wanted[name]
        if settings.topic is None:
            return
        silent = settings.heartbeat is not None and self._silence(name) > 2 * settings.heartbeat
        if settings.numbered and (silent or not self._began):
            await self._ask_count(known)
        gap = known.gap() if settings.numbered else None
        if gap is None:
            self._gaps.pop(name, None)
        elif self._gaps.get(name) == gap or not self._began:  # it stood a look ago: not only out of order
            await self._fetch(name, known, gap)
        else:
            self._gaps[name] = gap

    async def _ask_count(self, known: Known) -> None:
        try:
            status = await self._ask("GET", f"Subscription/{known.id}/$status")
        except _TroubleError as trouble:
            if 400 <= trouble.status < 500:
                return  # it is not there everywhere
            raise
        for resource in resources_of(status):
            told = notification_of(resource)
            if told is not None:
                known.told = max(known.told, told.count or 0)

    async def _fetch(self, name: str, known: Known, gap: tuple[int, int]) -> None:
        """Fetch the events of a gap (``$events``); where the server cannot give them, search for what changed."""
        path = f"Subscription/{known.id}/$events?eventsSinceNumber={gap[0]}&eventsUntilNumber={gap[1]}"
        try:
            bundle = await self._ask("GET", path)
        except _TroubleError as trouble:
            if 400 <= trouble.status < 500 and trouble.status not in {401, 403, 429}:
                known.give_up("the server does not give out missed events")
                return
            raise
        told = notification_of(bundle)
        if told is not None and (told.events or told.resources):
            await self._store(write(bundle))
            self._note(name, told)
        if known.gap() == gap:  # nothing of it came
            known.give_up("the server does not have the missed events any more")

    async def _search(self, name: str, known: Known, since: int, now: int) -> None:
        """Store what the server changed since then (business time); the next search goes on from *now*."""
        search, why = self._wanted[name].search, known.due
        known.due = ""  # what is told from now on is due anew
        if search is None or not since:
            return
        begin = dt.datetime.fromtimestamp((since - OVERLAP_MS) / 1000, dt.UTC)
        try:
            await self._store_pages(f"{self._base}/{search}&_lastUpdated=ge{begin:%Y-%m-%dT%H:%M:%SZ}")
        except Exception:
            known.due = known.due or why
            raise
        if since <= known.searched_until or not known.searched_until:
            known.searched_until = now

    def _is_to_be_rechecked(self, name: str, known: Known, now: int) -> bool:
        settings = self._wanted[name]
        if settings.recheck is None or settings.search is None or not known.searched_until:
            return False
        return now - known.searched_until >= settings.recheck * 1000

    async def _store_pages(self, url: str) -> None:
        for _ in range(self._server.pages):
            page = await self._ask("GET", url)
            if resources_of(page):
                await self._store(write(page))
            link = next_link(page)
            if link is None:
                return
            url = urljoin(url, link)
            if urlsplit(url)[:2] != urlsplit(self._base)[:2]:  # the token is for this server alone
                raise _TroubleError("The server points to another server for more.", EndpointState.RETRYING)
        raise _TroubleError("There is more to catch up with than pages allows.", EndpointState.RETRYING)

    async def _store(self, raw: bytes) -> None:
        context = self._context
        try:
            description = context.describe(raw)
        except HubError as error:
            raise _TroubleError(f"What was missed cannot be read: {error.what}", EndpointState.RETRYING) from None
        filtered = self._filtered(description.kind)
        await context.intake.receive(Received(context.channel, raw, description, "caught up", filtered=filtered))

    # ------------------------------------------------------------ asking, keeping, saying

    async def _ask(
        self, method: str, path: str, headers: Mapping[str, str] = ASK, body: bytes | None = None
    ) -> Resource:
        url = path if path.startswith(self._base) else f"{self._base}/{path}"
        try:
            answer = await self._client.request(method, url, dict(headers), body)
        except NoAnswerError as error:
            raise _TroubleError(error.reason, error.state) from None
        except HubError as error:
            raise _TroubleError(error.what, EndpointState.LOGIN_FAILED) from None
        if not answer.ok:
            said = in_words(issues_in(answer.body))
            state = EndpointState.LOGIN_FAILED if answer.status in {401, 403} else EndpointState.REFUSED
            raise _TroubleError(answer.reason + (f" It says: {said}." if said else ""), state, answer.status)
        try:
            return read(answer.body) if answer.whole and answer.body.strip() else {"resourceType": "None"}
        except FhirError as error:
            words = f"The answer cannot be read: {error.what}"
            raise _TroubleError(words, EndpointState.RETRYING) from None

    async def _load(self, name: str) -> Known:
        if name not in self._known:
            place = await self._context.intake.place(self._context.channel, _mark(name))
            self._known.setdefault(name, Known.of(place))
        return self._known[name]

    async def _keep(self, name: str) -> None:
        await self._context.intake.keep(self._context.channel, Mark(_mark(name), self._known[name].place))

    def _keep_later(self) -> None:
        def keep() -> None:
            self._keeping = None
            for name, known in self._known.items():
                kept = self._context.intake.keep(self._context.channel, Mark(_mark(name), known.place))
                kept.addErrback(lambda _: None)  # the next look keeps it

        if self._keeping is None:
            self._keeping = reactor.callLater(KEEP_AFTER, keep)

    def stop(self) -> Any:
        """End after the look under way."""
        if self._keeping is not None:
            self._keeping.cancel()
            self._keeping = None
        return super().stop()

    def health(self) -> tuple[Health, ...]:
        """How each subscription stands, in words."""
        if self._paused or self._state == EndpointState.STOPPED:
            return super().health()
        nothing = (EndpointState.IDLE, "not looked at yet", self._since)
        return tuple(
            Health(state, f"{self._base} subscription {name}", since, words)
            for name in self._wanted
            for state, words, since in (self._standing.get(name, nothing),)
        )

    def _say(self, name: str, known: Known, stands: Standing) -> None:
        words = [stands.status + (f" until {stands.end:%Y-%m-%d}" if stands.end else "")]
        if known.told:
            words.append(f"{known.told} events")
        if gap := known.gap():
            words.append(f"{gap[1] - gap[0] + 1} missing")
        beat = self._wanted[name].heartbeat
        silent = self._silence(name)
        if beat is not None and silent > 2 * beat:
            words.append(f"no heartbeat for {silent:.0f} s")
            self._stand(name, EndpointState.RETRYING, ", ".join(words))
        else:
            good = stands.status in {"active", "requested"}
            self._stand(name, EndpointState.CONNECTED if good else EndpointState.RETRYING, ", ".join(words))

    def _stand(self, name: str, state: EndpointState, words: str) -> None:
        before = self._standing.get(name)
        since = before[2] if before is not None and before[0] == state else real_ms()
        if state != EndpointState.CONNECTED and (before is None or before[0] != state):
            self._context.log.warning("subscription stands badly", subscription=name, state=state.value)
        self._standing[name] = (state, words, since)

    def _silence(self, name: str) -> float:
        """Real seconds since the server was heard, or since the keeper began to listen."""
        return float(reactor.seconds() - self._heard.setdefault(name, reactor.seconds()))

    def _away_ms(self) -> float:
        return OUTAGE_LOOKS * self._pause * 86_400_000 / self._context.clock.day_seconds


_NAMES = "subscriptions"
"""The mark that keeps the names of all that were made."""


def _mark(name: str) -> str:
    return f"subscription {name}"


def _fingerprint(wanted: Wanted) -> str:
    plain = subscription(wanted, dt.datetime(2000, 1, 1, tzinfo=dt.UTC))
    return hashlib.sha256(write(plain)).hexdigest()[:16]


def _refers_to(reference: str, number: str) -> bool:
    return bool(number) and reference.rpartition("/")[2] == number


def _says_what(told: Notification) -> bool:
    return bool(told.resources) or any(event.focus for event in told.events)
