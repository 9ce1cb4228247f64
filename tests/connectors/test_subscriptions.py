"""The hub keeps its subscriptions: a FHIR server in memory that loses, stops, forgets and miscounts them."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import pytest_twisted
from pydantic import ValidationError
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import Clock

from hub.connectors import subscriptions
from hub.connectors.fhir import CONNECTOR, FhirSourceSettings
from hub.connectors.subscription_settings import SubscriptionServer, SubscriptionSettings
from hub.connectors.subscriptions import Keeper, Known
from hub.connectors.web_client import Answer, NoAnswerError
from hub.core.clock import BusinessClock
from hub.core.errors import HubError
from hub.core.secret import SecretName
from hub.engine.contracts import EndpointState, SourceContext
from hub.formats.fhir.check import validate
from tests.connectors.peers import Surroundings, describe_fhir, within
from tests.connectors.test_fhir_source import notification

BASE, HOOK = "https://ehr.example/fhir", "https://hub.example/fhir/ehr"
TOPIC = "https://ehr.example/SubscriptionTopic/finished"
ENCOUNTERS = {"name": "encounters", "criteria": "Encounter?status=finished"}
FINISHED = {"name": "finished", "topic": TOPIC, "heartbeat": "60s", "catch_up": "Encounter?status=finished"}
Json = dict[str, Any]


class Server:
    """Keeps subscriptions as FHIR R4 with the backport guide has it. What it was asked stands in *asked*."""

    def __init__(self) -> None:
        self.subscriptions: dict[str, Json] = {}
        self.events: dict[int, str] = {}
        self.changed: list[Json] = []
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.down = False
        self.forgets_to_answer = False
        self.without: set[str] = set()
        self._made = 0

    async def request(
        self, method: str, url: str, headers: dict[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        path = url.removeprefix(f"{BASE}/")
        self.asked.append(f"{method} {path}")
        self.headers.append(headers or {})
        if self.down:
            raise NoAnswerError("The server refused the connection.", EndpointState.REFUSED, sent=False)
        status, answer = self._answer(method, path, json.loads(body) if body else {})
        if self.forgets_to_answer and method == "POST":
            raise NoAnswerError("No answer came.", EndpointState.RETRYING, sent=True)
        return Answer(status, json.dumps(answer).encode())

    def _answer(self, method: str, path: str, body: Json) -> tuple[int, Json]:
        kind, _, rest = path.partition("/")
        if any(name in path for name in self.without):
            return 404, {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "not-supported"}]}
        if method in {"POST", "PUT"}:
            assert validate(body) == ()
            self._made += method == "POST"
            number = rest or f"s{self._made}"
            self.subscriptions[number] = body | {"id": number, "status": "active"}
            return 201, self.subscriptions[number]
        if method == "DELETE":
            return (204, {}) if self.subscriptions.pop(rest, None) else (404, {})
        if path.startswith("Subscription?"):
            return 200, bundle("searchset", *self.subscriptions.values())
        if "$status" in path:
            return 200, bundle("searchset", self._status(rest.partition("/")[0], "query-status"))
        if "$events" in path:
            asked = {name: int(value[0]) for name, value in parse_qs(urlsplit(path).query).items()}
            wanted = [n for n in self.events if asked["eventsSinceNumber"] <= n <= asked["eventsUntilNumber"]]
            return 200, bundle("history", self._status(rest.partition("/")[0], "query-event", wanted))
        if kind == "Subscription":
            found = self.subscriptions.get(rest)
            return (200, found) if found else (404, {})
        return 200, bundle("searchset", *self.changed)

    def _status(self, number: str, kind: str, events: list[int] | None = None) -> Json:
        parameters = [
            {"name": "subscription", "valueReference": {"reference": f"Subscription/{number}"}},
            {"name": "status", "valueCode": self.subscriptions[number]["status"]},
            {"name": "type", "valueCode": kind},
            {"name": "events-since-subscription-start", "valueString": str(max(self.events, default=0))},
        ]
        for event in events or []:
            part = [{"name": "event-number", "valueString": str(event)}]
            part.append({"name": "focus", "valueReference": {"reference": self.events[event]}})
            parameters.append({"name": "notification-event", "part": part})
        return {"resourceType": "Parameters", "parameter": parameters}

    def writes(self) -> list[str]:
        return [each for each in self.asked if each.startswith(("POST", "PUT"))]


def bundle(kind: str, *resources: Json) -> Json:
    return {"resourceType": "Bundle", "type": kind, "entry": [{"resource": each} for each in resources]}


class Site:
    """A hub beside *server*; :meth:`again` is one that was started anew with what the store holds."""

    def __init__(self, around: Surroundings, server: Server, clock: Clock, *wanted: Json) -> None:
        around.secret("hook_token", "t0")
        self.around, self.server, self.clock = around, server, clock
        self.wanted = wanted
        self.days = 0.0
        self.keeper = self._keeper()

    def _keeper(self) -> Keeper:
        settings = SubscriptionServer.model_validate({"base": BASE, "hook": HOOK, "token": {"secret": "t"}})
        wanted = tuple(SubscriptionSettings.model_validate(each) for each in self.wanted)
        plain = self.around.source(CONNECTOR, describe=describe_fhir)
        told = {name: getattr(plain, name) for name in plain.__dataclass_fields__} | {"clock": Business(self)}
        context = SourceContext(**told)
        return Keeper(settings, wanted, context, self.server, lambda _: None, SecretName("hook_token"))

    async def look(self, times: int = 1) -> None:
        for _ in range(times):
            await within(ensureDeferred(self.keeper.look()))

    def again(self) -> None:
        self.keeper = self._keeper()

    def tell(self, kind: str, number: int, subscription: str = "s1") -> None:
        """Have the server's notification heard, as the hook does once it is stored."""
        raw = notification(kind, str(number)).replace(b"Subscription/1", f"Subscription/{subscription}".encode())
        self.keeper.heard(raw)

    @property
    def known(self) -> Known:
        (name,) = (each["name"] for each in self.wanted)
        return self.keeper._known[name]

    @property
    def said(self) -> tuple[EndpointState, str]:
        (health,) = self.keeper.health()
        return health.state, health.detail

    @property
    def kinds(self) -> list[str]:
        return [each.description.kind for each in self.around.intake.received]


class Business(BusinessClock):
    """The business clock of a site, some days on."""

    def __init__(self, site: Site) -> None:
        super().__init__()
        object.__setattr__(self, "_site", site)

    def now_ms(self) -> int:
        return int(dt.datetime(2026, 11, 9, tzinfo=dt.UTC).timestamp() * 1000 + self._site.days * 86_400_000)  # type: ignore[attr-defined]

    __slots__ = ("_site",)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    fake = Clock()
    monkeypatch.setattr(subscriptions, "reactor", fake)
    return fake


@pytest.fixture
def server() -> Server:
    return Server()


@pytest_twisted.ensureDeferred
async def test_what_is_asked_for_is_a_valid_resource_with_our_address_and_token(
    around: Surroundings, server: Server, clock: Clock
) -> None:
    await Site(around, server, clock, ENCOUNTERS).look()
    (resource,) = server.subscriptions.values()
    assert resource["criteria"] == "Encounter?status=finished"
    assert resource["channel"]["endpoint"] == HOOK
    assert resource["channel"]["payload"] == "application/fhir+json"
    assert resource["channel"]["header"] == ["Authorization: Bearer t0"]
    assert resource["end"] == "2026-12-09T00:00:00Z"


@pytest_twisted.ensureDeferred
async def test_a_topic_is_asked_for_as_the_backport_guide_has_it(
    around: Surroundings, server: Server, clock: Clock
) -> None:
    await Site(around, server, clock, FINISHED | {"filters": ["Encounter?class=AMB"]}).look()
    (resource,) = server.subscriptions.values()
    guide = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition"
    assert resource["criteria"] == TOPIC
    assert resource["_criteria"]["extension"] == [
        {"url": f"{guide}/backport-filter-criteria", "valueString": "Encounter?class=AMB"}
    ]
    assert {"url": f"{guide}/backport-heartbeat-period", "valueUnsignedInt": 60} in resource["channel"]["extension"]
    assert resource["channel"]["_payload"]["extension"][0]["valueCode"] == "id-only"


@pytest_twisted.ensureDeferred
async def test_it_is_made_once_whatever_is_started_again(around: Surroundings, server: Server, clock: Clock) -> None:
    site = Site(around, server, clock, ENCOUNTERS)
    await site.look(3)
    site.again()
    await site.look(3)
    assert server.writes() == ["POST Subscription"]
    assert site.said == (EndpointState.CONNECTED, "active until 2026-12-09")


@pytest_twisted.ensureDeferred
async def test_one_whose_making_got_no_answer_is_found_again(
    around: Surroundings, server: Server, clock: Clock
) -> None:
    site = Site(around, server, clock, ENCOUNTERS)
    server.forgets_to_answer = True
    await site.look()
    assert site.said[0] == EndpointState.RETRYING
    server.forgets_to_answer = False
    await site.look()
    assert server.writes() == ["POST Subscription", "PUT Subscription/s1"]
    assert len(server.subscriptions) == 1


@pytest_twisted.ensureDeferred
async def test_it_is_renewed_before_its_end(around: Surroundings, server: Server, clock: Clock) -> None:
    site = Site(around, server, clock, ENCOUNTERS)
    await site.look()
    site.days = 19
    await site.look()
    assert server.writes() == ["POST Subscription"]
    site.days = 21
    await site.look()
    assert server.writes()[1:] == ["PUT Subscription/s1"]
    assert server.subscriptions["s1"]["end"] == "2026-12-30T00:00:00Z"


@pytest.mark.parametrize("status", ["error", "off"])
@pytest_twisted.ensureDeferred
async def test_one_that_the_server_stopped_is_woken_and_what_was_missed_is_searched_for(
    around: Surroundings, server: Server, clock: Clock, status: str
) -> None:
    site = Site(around, server, clock, ENCOUNTERS)
    await site.look()
    server.subscriptions["s1"]["status"] = status
    server.changed = [{"resourceType": "Encounter", "id": "7"}]
    await site.look()
    assert server.writes()[1:] == ["PUT Subscription/s1"]
    assert server.asked[-1] == "GET Encounter?status=finished&_lastUpdated=ge2026-11-08T23:50:00Z"
    assert site.kinds == ["Bundle/searchset"]
    await site.look()
    assert site.kinds == ["Bundle/searchset"]


@pytest_twisted.ensureDeferred
async def test_one_that_the_server_lost_is_made_again_and_caught_up_with(
    around: Surroundings, server: Server, clock: Clock
) -> None:
    site = Site(around, server, clock, ENCOUNTERS)
    await site.look()
    del server.subscriptions["s1"]
    server.changed = [{"resourceType": "Encounter", "id": "7"}]
    await site.look()
    assert list(server.subscriptions) == ["s2"]
    assert site.kinds == ["Bundle/searchset"]


@pytest_twisted.ensureDeferred
async def test_after_an_outage_of_the_hub_what_changed_meanwhile_is_searched_for(
    around: Surroundings, server: Server, clock: Clock
) -> None:
    site = Site(around, server, clock, ENCOUNTERS)
    await site.look()
    site.days = 0.001  # a restart
    site.again()
    await site.look()
    assert not any("_lastUpdated" in each for each in server.asked)
    site.days = 2.0
    site.again()
    await site.look()
    assert server.asked[-1].endswith("_lastUpdated=ge2026-11-08T23:51:26Z")


@pytest_twisted.ensureDeferred
async def test_a_catch_up_that_failed_is_done_by_the_next_look_and_survives_a_restart(
    around: Surroundings, server: Server, clock: Clock
) -> None:
    site = Site(around, server, clock, ENCOUNTERS)
    await site.look()
    await within(ensureDeferred(site.keeper.pinged()))
    site.again()  # before anything was done about it
    server.without = {"_lastUpdated"}
    await site.look()
    assert site.said[0] == EndpointState.REFUSED
    assert "does not have this" in site.said[1]
    server.without = set()
    server.changed = [{"resourceType": "Encounter", "id": "7"}]
    await site.look()
    assert site.kinds == ["Bundle/searchset"]


@pytest_twisted.ensureDeferred
async def test_a_gap_in_the_numbers_is_fetched_once_it_has_stood(
    around: Surroundings, server: Server, clock: Clock
) -> None:
    site = Site(around, server, clock, FINISHED)
    await site.look()
    server.events = {number: f"Encounter/{number}" for number in range(1, 6)}
    for number in (1, 2, 5):
        site.tell("event-notification", number)
    assert site.known.gap() == (3, 4)
    await site.look()
    assert not any("$events" in each for each in server.asked)  # it may be out of order
    await site.look()
    assert server.asked[-1] == "GET Subscription/s1/$events?eventsSinceNumber=3&eventsUntilNumber=4"
    assert site.kinds == ["Bundle/query-event"]
    assert (site.known.seen, site.known.gap()) == (5, None)


@pytest_twisted.ensureDeferred
async def test_what_comes_out_of_order_is_no_gap(around: Surroundings, server: Server, clock: Clock) -> None:
    site = Site(around, server, clock, FINISHED)
    await site.look()
    for number in (2, 1, 4):
        site.tell("event-notification", number)
    await site.look()
    site.tell("event-notification", 3)
    await site.look(2)
    assert not any("$events" in each for each in server.asked)


@pytest_twisted.ensureDeferred
async def test_the_last_events_before_a_crash_are_asked_for_by_their_count(
    around: Surroundings, server: Server, clock: Clock
) -> None:
    site = Site(around, server, clock, FINISHED)
    await site.look()
    server.events = {1: "Encounter/1", 2: "Encounter/2"}
    site.again()
    await site.look()
    assert site.kinds == ["Bundle/query-event"]
    assert site.known.seen == 2


@pytest.mark.parametrize("without", ["$events", "$status"])
@pytest_twisted.ensureDeferred
async def test_where_the_server_cannot_give_events_the_search_finds_them(
    around: Surroundings, server: Server, clock: Clock, without: str
) -> None:
    site = Site(around, server, clock, FINISHED)
    server.without = {without}
    await site.look()
    server.changed = [{"resourceType": "Encounter", "id": "1"}]
    if without == "$status":
        server.without.add("$events")
    site.tell("event-notification", 3)
    await site.look(2)
    assert site.kinds == ["Bundle/searchset"]
    assert site.known.gap() is None


@pytest_twisted.ensureDeferred
async def test_a_heartbeat_that_stays_out_is_said_and_asked_after(
    around: Surroundings, server: Server, clock: Clock
) -> None:
    site = Site(around, server, clock, FINISHED)
    await site.look()
    clock.advance(90)
    site.tell("heartbeat", 0)
    clock.advance(90)
    await site.look()
    assert site.said[0] == EndpointState.CONNECTED
    clock.advance(60)
    server.asked.clear()
    await site.look()
    assert "GET Subscription/s1/$status" in server.asked
    assert site.said == (EndpointState.RETRYING, "active until 2026-12-09, no heartbeat for 150 s")
    site.tell("heartbeat", 0)
    await site.look()
    assert site.said[0] == EndpointState.CONNECTED


@pytest_twisted.ensureDeferred
async def test_a_server_that_counts_within_each_notification_has_no_gaps(
    around: Surroundings, server: Server, clock: Clock
) -> None:
    site = Site(around, server, clock, FINISHED | {"numbered": False})
    await site.look()
    for number in (1, 1, 3):
        site.tell("event-notification", number)
    await site.look(3)
    assert not any("$events" in each for each in server.asked)


@pytest_twisted.ensureDeferred
async def test_once_a_day_what_changed_is_searched_for_though_nothing_seems_to_be_missing(
    around: Surroundings, server: Server, clock: Clock
) -> None:
    site = Site(around, server, clock, ENCOUNTERS)
    await site.look()
    for days in (0.5, 0.9):
        site.days = days
        await site.look()
    assert not any("_lastUpdated" in each for each in server.asked)
    site.days = 1.1
    await site.look(2)
    searches = [each for each in server.asked if "_lastUpdated" in each]
    assert searches == ["GET Encounter?status=finished&_lastUpdated=ge2026-11-08T23:50:00Z"]


@pytest_twisted.ensureDeferred
async def test_one_that_is_not_wanted_any_more_is_ended(around: Surroundings, server: Server, clock: Clock) -> None:
    site = Site(around, server, clock, ENCOUNTERS)
    await site.look()
    site.wanted = (ENCOUNTERS | {"name": "others", "criteria": "Encounter?status=cancelled"},)
    server.down = True
    site.again()
    await site.look()  # it cannot be ended now
    server.down = False
    site.again()
    await site.look()
    assert "DELETE Subscription/s1" in server.asked
    assert [each["criteria"] for each in server.subscriptions.values()] == ["Encounter?status=cancelled"]


@pytest_twisted.ensureDeferred
async def test_what_cannot_be_stored_is_caught_up_with_later(
    around: Surroundings, server: Server, clock: Clock
) -> None:
    site = Site(around, server, clock, ENCOUNTERS)
    await site.look()
    server.subscriptions["s1"]["status"] = "error"
    server.changed = [{"resourceType": "Encounter", "id": "7"}]
    around.intake.failing = HubError("The store is away.")
    await site.look()
    assert site.said == (EndpointState.RETRYING, "The store is away.")
    around.intake.failing = None
    await site.look()
    assert site.kinds == ["Bundle/searchset"] * 2
    assert site.known.due == ""


@pytest_twisted.ensureDeferred
async def test_a_server_that_is_away_is_said_in_words_and_asked_again(
    around: Surroundings, server: Server, clock: Clock
) -> None:
    site = Site(around, server, clock, ENCOUNTERS)
    server.down = True
    await site.look()
    assert site.said == (EndpointState.REFUSED, "The server refused the connection.")
    server.down = False
    await site.look()
    assert site.said[0] == EndpointState.CONNECTED


@pytest_twisted.ensureDeferred
async def test_another_token_is_told_to_the_server(around: Surroundings, server: Server, clock: Clock) -> None:
    site = Site(around, server, clock, ENCOUNTERS)
    await site.look()
    around.secret("hook_token", "t2")
    await site.look(2)
    assert server.writes() == ["POST Subscription", "PUT Subscription/s1"]
    assert server.subscriptions["s1"]["channel"]["header"] == ["Authorization: Bearer t2"]
    assert "t2" not in json.dumps(around.intake.marks)


def test_numbers_are_noted_whatever_their_order() -> None:
    known = Known()
    for numbers in ([3], [1, 2], [9], [5, 4]):
        known.note(numbers)
    assert (known.seen, known.above, known.gap()) == (5, [9], (6, 8))
    assert Known.of(known.place) == known
    assert Known.of("nonsense") == Known()


@pytest.mark.parametrize(
    "given",
    [
        {"name": "a"},
        {"name": "a", "criteria": "Encounter?x=1", "topic": TOPIC},
        {"name": "a", "criteria": "Encounter?x=1", "payload": "id-only"},
        {"name": "a", "criteria": "no search"},
    ],
)
def test_a_subscription_that_no_server_could_keep_is_refused(given: Json) -> None:
    with pytest.raises(ValidationError):
        SubscriptionSettings.model_validate(given)


def test_subscriptions_need_their_server() -> None:
    with pytest.raises(ValidationError, match="go together"):
        FhirSourceSettings.model_validate(
            {"listen": "tcp:127.0.0.1:0", "token": {"secret": "t"}, "subscription": [ENCOUNTERS]}
        )


def test_the_name_of_a_mark_fits_the_store() -> None:
    assert re.fullmatch(r"subscription \w+", subscriptions._mark("encounters"))
