"""What listeners keep in the store is there for the listener that comes after them."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from sqlalchemy import Engine, select, update
from twisted.internet import reactor

from hub.connectors.http import CONNECTOR as HTTP
from hub.connectors.mllp import acks
from hub.core.clock import BusinessClock, real_ms
from hub.core.errors import HubError
from hub.core.ids import IdMaker
from hub.core.log import Log
from hub.core.vault import Vault
from hub.engine.awaited import Awaited
from hub.engine.contracts import Processed
from hub.engine.intake import StoreIntake
from hub.engine.items import open_item
from hub.engine.journal import Journal
from hub.engine.plan import ChannelPlan, SitePlan
from hub.engine.upkeep import Upkeep
from hub.formats.hl7v2.ack import read_ack
from hub.formats.hl7v2.message import Message
from hub.formats.hl7v2.mllp import frame
from hub.store.contents import read_content
from hub.store.database import open_store, reading
from hub.store.retention import Retention
from hub.store.schema import upgrade
from hub.store.tables import content, message, setting, source_note, work_item
from tests.connectors.behaviour import free_port, serving
from tests.connectors.peers import Surroundings, describe_hl7, within
from tests.connectors.test_hook import post
from tests.connectors.test_mllp_acks import Elsewhere
from tests.connectors.test_mllp_destination import answering
from tests.connectors.test_mllp_source import adt, listening, part, pause, sender

VAULT = Vault({1: b"k" * 32}, b"i" * 32)
DAY = 86_400_000


class Kept:
    """A store with the intake of one life of a hub after another."""

    def __init__(self, store: Engine, around: Surroundings) -> None:
        self.store = store
        self._around = around
        self._ids = IdMaker()
        upgrade(store)
        self.begin()

    def begin(self) -> None:
        """What a hub that starts has."""
        failures: list[BaseException] = []
        self.awaited = Awaited()
        self.journal = Journal(self.store, reactor, failures.append)  # type: ignore[arg-type]
        self.journal.start()
        channel = ChannelPlan("ehr", "Visits", describe_hl7, (), {})
        plan = SitePlan("clinic", "test", "America/Chicago", "v1", {"ehr": channel})
        intake: Any = StoreIntake(self.journal, VAULT, self._ids, BusinessClock(), plan, lambda _: None, self.awaited)
        self._around.intake = intake

    def die(self) -> None:
        """All that was not in the store is gone."""
        self.journal.stop()
        self.begin()

    async def look_after(self, *, later: int = 0) -> None:
        """Let upkeep do all that is due."""
        tell = partial(open_item, self._ids, VAULT, BusinessClock(), "clinic")
        nothing = Retention(0, 0, 0, 0, 0)
        log = Log(self._around.log)
        now = real_ms() + later
        upkeep = Upkeep(self.store, self.journal, nothing, log, reactor, tell, now=lambda: now)
        while await within(upkeep.step()):
            pass

    async def settle(self) -> None:
        """Wait until all that was asked of the journal is written."""
        await within(self.journal.submit(lambda _: None))

    def rows(self, *columns: Any) -> list[Any]:
        with reading(self.store) as connection:
            return list(connection.execute(select(*columns)).all())

    def raws(self) -> list[bytes]:
        with reading(self.store) as connection:
            ids = connection.execute(select(message.c.raw_id).order_by(message.c.sequence)).scalars()
            return [read_content(connection, VAULT, each) for each in ids]

    def mapped(self, outcome: str, reason: str = "") -> None:
        """The steps of every message end."""
        with self.store.connect().execution_options(writes=True) as connection, connection.begin():
            ended = update(message).where(message.c.onward == "in progress")
            connection.execute(ended.values(steps_outcome=outcome, reason=reason, answer="undelivered", mapped=True))


@pytest.fixture
def kept(tmp_path: Path, around: Surroundings) -> Iterator[Kept]:
    store = open_store(f"sqlite:///{tmp_path / 'hub.db'}")
    made = Kept(store, around)
    yield made
    made.journal.stop()
    store.dispose()


async def said(around: Surroundings, *raws: bytes, **options: Any) -> list[str]:
    """What a listener that lives for these messages answers."""
    async with listening(around, **options) as source:
        peer = await sender(source)
        for number, raw in enumerate(raws, 1):
            peer.write(frame(raw))
            await peer.blocks(number)
        return [ack.code for ack in await peer.acks(len(raws))]


FIRST = part("P1", "PID|1||100001\rOBX|1\r", goes_on="A")
SECOND = part("P2", "OBX|2\r", after="A", goes_on="B")
LAST = part("P3", "OBX|3\r", after="B")


@pytest_twisted.ensureDeferred
async def test_parts_become_whole_though_the_hub_was_started_again_after_each(kept: Kept, around: Surroundings) -> None:
    for each in (FIRST, SECOND, LAST):
        assert await said(around, each) == ["AA"]
        kept.die()
    assert [raw.count(b"OBX") for raw in kept.raws()] == [1, 1, 3]
    whole = Message(kept.raws()[-1])
    assert [segment["OBX-1"] for segment in whole.each("OBX")] == ["1", "2", "3"]
    assert whole.header.control_id == "P1"


@pytest_twisted.ensureDeferred
async def test_a_part_that_is_sent_again_after_a_restart_changes_nothing(kept: Kept, around: Surroundings) -> None:
    assert await said(around, FIRST, SECOND) == ["AA", "AA"]
    kept.die()
    assert await said(around, FIRST, SECOND, LAST) == ["AA", "AA", "AA"]
    kept.die()
    assert await said(around, LAST) == ["AA"]
    assert [raw.count(b"OBX") for raw in kept.raws()] == [1, 1, 3]
    await kept.look_after(later=DAY)
    assert kept.rows(work_item.c.kind) == []
    assert kept.rows(source_note.c.name) == []
    assert len(kept.rows(content.c.id)) == 2, "of the whole and its answer; the parts have gone"


@pytest_twisted.ensureDeferred
async def test_parts_that_never_become_whole_are_a_work_item_and_stay_until_it_is_resolved(
    kept: Kept, around: Surroundings
) -> None:
    assert await said(around, FIRST, SECOND, idle="60s") == ["AA", "AA"]
    kept.die()
    await kept.look_after(later=50_000)
    assert kept.rows(work_item.c.kind) == []
    await kept.look_after(later=70_000)
    ((kind, of, sentence),) = kept.rows(work_item.c.kind, work_item.c.message_id, work_item.c.sentence)
    parts = {row.control_id: row.id for row in kept.rows(message.c.control_id, message.c.id)}
    assert (kind, of) == ("lost part", parts["P2"])
    assert "ask for the whole message again" in sentence
    assert {raw.count(b"OBX") for raw in kept.raws()} == {1}, "both are there to be looked at"


@pytest_twisted.ensureDeferred
async def test_what_an_open_part_said_outlives_its_retention(kept: Kept, around: Surroundings) -> None:
    assert await said(around, FIRST, SECOND) == ["AA", "AA"]
    await kept.look_after(later=1000)
    kept.die()
    assert await said(around, LAST) == ["AA"]
    assert kept.raws()[-1].count(b"OBX") == 3


@pytest_twisted.ensureDeferred
async def test_a_hub_that_was_away_for_longer_than_parts_wait_gives_them_that_long_again(
    kept: Kept, around: Surroundings
) -> None:
    assert await said(around, FIRST, idle="60s") == ["AA"]
    with kept.store.connect().execution_options(writes=True) as connection, connection.begin():
        connection.execute(update(source_note).values(until_at=real_ms() - DAY))
    kept.die()
    async with listening(around, idle="60s") as source:
        await kept.look_after(later=50_000)
        peer = await sender(source)
        peer.write(frame(part("P2", "OBX|2\r", after="A")))
        assert [ack.code for ack in await peer.acks(1)] == ["AA"]
    assert kept.rows(work_item.c.kind) == []


# ---------------------------------------------------------------- application acknowledgements


def owing(port: int) -> dict[str, Any]:
    return {"application_acks": {"endpoint": f"tcp:127.0.0.1:{port}"}}


async def answers(kept: Kept, *wanted: str) -> None:
    """Wait until the messages' answers stand so."""
    for _ in range(200):
        await kept.settle()
        if [row.answer for row in kept.rows(message.c.answer, message.c.sequence)] == list(wanted):
            return
        await pause()
    assert [row.answer for row in kept.rows(message.c.answer)] == list(wanted)


@pytest.mark.parametrize(("outcome", "code"), [("done", "AA"), ("errored", "AE")])
@pytest_twisted.ensureDeferred
async def test_what_was_owed_is_told_after_the_restart(
    kept: Kept, around: Surroundings, outcome: str, code: str
) -> None:
    elsewhere = Elsewhere()
    port = await free_port()
    assert await said(around, adt("A1", tail="2.5.1|||AL|AL"), **owing(port)) == ["CA"]
    kept.mapped(outcome, "The table has no such department.")
    kept.die()
    async with serving(answering(elsewhere), port=port), listening(around, **owing(port)):
        assert await elsewhere.until(1) == [code]
        await answers(kept, "delivered")
    assert read_ack(elsewhere.came[0]).control_id == "A1"
    kept.die()
    async with serving(answering(elsewhere), port=port), listening(around, **owing(port)):
        await pause()
    assert len(elsewhere.came) == 1, "it is owed no more"


@pytest_twisted.ensureDeferred
async def test_a_message_whose_steps_end_after_the_restart_is_told_then(kept: Kept, around: Surroundings) -> None:
    elsewhere = Elsewhere()
    async with serving(answering(elsewhere)) as server:
        assert await said(around, adt("A1", tail="2.5.1|||AL|AL"), **owing(server.port)) == ["CA"]
        kept.die()
        async with listening(around, **owing(server.port)):
            await kept.settle()
            await pause()
            assert elsewhere.came == []
            (row,) = kept.rows(message.c.id)
            kept.awaited.ended(row.id, Processed(HubError("No such table.")))
            assert await elsewhere.until(1) == ["AE"]
            await answers(kept, "delivered")


@pytest_twisted.ensureDeferred
async def test_a_refusal_that_is_told_elsewhere_is_told_after_the_restart(kept: Kept, around: Surroundings) -> None:
    elsewhere = Elsewhere()
    port = await free_port()
    async with listening(around, **owing(port)) as source:
        peer = await sender(source)
        peer.write(frame(adt("A1", processing="P", tail="2.5.1|||NE|AL")))
        await answers(kept, "owed")
    kept.die()
    async with serving(answering(elsewhere), port=port), listening(around, **owing(port)):
        assert await elsewhere.until(1) == ["AR"]
        await answers(kept, "delivered")


@pytest_twisted.ensureDeferred
async def test_a_joined_message_is_told_by_the_name_of_its_last_part(kept: Kept, around: Surroundings) -> None:
    elsewhere = Elsewhere()
    port = await free_port()
    parts = [
        FIRST,
        part("P2", "OBX|2\r", after="A").replace(b"|A\r", b"|A|AL|AL\r", 1),
    ]
    assert await said(around, *parts, **owing(port)) == ["AA", "CA"]
    kept.mapped("done")
    kept.die()
    async with serving(answering(elsewhere), port=port), listening(around, **owing(port)):
        assert await elsewhere.until(1) == ["AA"]
    assert read_ack(elsewhere.came[0]).control_id == "P2"


OWED = "2.5.1|||AL|AL"


async def items(kept: Kept, *wanted: tuple[str, str]) -> list[str]:
    """Wait until the work items, by kind and state, are these; their sentences."""
    found: list[Any] = []
    for _ in range(200):
        await kept.look_after()
        found = kept.rows(work_item.c.kind, work_item.c.state, work_item.c.sentence, work_item.c.id)
        if [tuple(row[:2]) for row in found] == list(wanted):
            break
        await pause()
    assert [tuple(row[:2]) for row in found] == list(wanted)
    return [row.sentence for row in found]


@pytest_twisted.ensureDeferred
async def test_an_acknowledgement_that_is_not_taken_while_others_are_is_given_up_and_a_work_item(
    kept: Kept, around: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acks, "WAITS", (0.05,))
    elsewhere = Elsewhere(never="A1")
    async with serving(answering(elsewhere)) as server, listening(around, **owing(server.port)) as source:
        peer = await sender(source)
        for number in range(1, 60):
            peer.write(frame(adt(f"A{number}", tail=OWED)))
            await peer.acks(number)
            newest = max(kept.rows(message.c.sequence, message.c.id))
            kept.awaited.ended(newest.id, Processed())
            await pause()
            await kept.look_after()
            if kept.rows(work_item.c.id):
                break
        (sentence,) = await items(kept, ("lost answer", "open"))
        assert "was not taken: The receiver did not take the message now: CR" in sentence
        tries = [read_ack(raw).control_id for raw in elsewhere.came].count("A1")
    kept.die()
    async with listening(around, **owing(server.port)):
        await pause()
    assert tries == [read_ack(raw).control_id for raw in elsewhere.came].count("A1"), "it is not sent again"


@pytest_twisted.ensureDeferred
async def test_while_none_is_taken_all_are_one_work_item_until_they_have_gone(
    kept: Kept, around: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acks, "WAITS", (0.02, 0.02))
    monkeypatch.setattr(acks, "DOWN", 0.04)
    monkeypatch.setattr(acks, "_SAY_EVERY", 0.01)
    monkeypatch.setattr(acks, "IN_HAND", 2)
    elsewhere = Elsewhere()
    port = await free_port()
    names = [f"A{number}" for number in range(1, 8)]
    assert await said(around, *(adt(name, tail=OWED) for name in names[:5]), **owing(port)) == ["CA"] * 5
    kept.mapped("done")
    kept.die()
    async with listening(around, **owing(port)):
        (sentence,) = await items(kept, ("stuck answer", "open"))
    assert sentence.startswith(f"5 application acknowledgements wait to be sent: 127.0.0.1:{port} has taken none")
    since = real_ms()
    kept.die()
    assert await said(around, *(adt(name, tail=OWED) for name in names[5:]), **owing(port)) == ["CA"] * 2
    kept.mapped("done")
    kept.die()
    (mark,) = [row.value for row in kept.rows(setting.c.name, setting.c.value) if "outage" in row.name]
    assert 0 < int(mark) < since, "the outage began in the life before"
    async with listening(around, **owing(port)):
        for _ in range(100):
            (sentence,) = await items(kept, ("stuck answer", "open"))
            if sentence.startswith("7 "):
                break
            await pause()
        assert sentence.startswith("7 application acknowledgements wait")
        await answers(kept, *["undelivered"] * 7)
        async with serving(answering(elsewhere), port=port):
            await answers(kept, *["delivered"] * 7)
            await items(kept, ("stuck answer", "resolved"))
    assert sorted(read_ack(raw).control_id for raw in elsewhere.came) == names, "each once"
    assert kept.rows(source_note.c.name) == []


@pytest_twisted.ensureDeferred
async def test_a_second_outage_opens_the_item_again(
    kept: Kept, around: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acks, "WAITS", (0.02,))
    monkeypatch.setattr(acks, "DOWN", 0.04)
    port = await free_port()
    for name in ("A1", "A2"):
        assert await said(around, adt(name, tail=OWED), **owing(port)) == ["CA"]
        kept.mapped("done")
        kept.die()
        async with listening(around, **owing(port)):
            (sentence,) = await items(kept, ("stuck answer", "open"))
            assert sentence.startswith("1 application acknowledgement waits")
            async with serving(answering(Elsewhere()), port=port):
                await items(kept, ("stuck answer", "resolved"))


@pytest_twisted.ensureDeferred
async def test_an_item_of_an_outage_that_ended_while_the_hub_was_away_is_resolved_too(
    kept: Kept, around: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acks, "WAITS", (0.02,))
    monkeypatch.setattr(acks, "DOWN", 0.04)
    port = await free_port()
    assert await said(around, adt("A1", tail=OWED), **owing(port)) == ["CA"]
    kept.mapped("done")
    kept.die()
    async with listening(around, **owing(port)):
        await items(kept, ("stuck answer", "open"))
    kept.die()
    async with serving(answering(Elsewhere()), port=port), listening(around, **owing(port)):
        await items(kept, ("stuck answer", "resolved"))
        await answers(kept, "delivered")


# ---------------------------------------------------------------- signed requests

STAMP = str(int(time.time()))
SIGNATURE = {
    "header": "X-Sig",
    "secret": {"secret": "key"},
    "signs": "{timestamp}.{nonce}.{body}",
    "timestamp_header": "X-Time",
    "nonce_header": "X-Nonce",
}


@asynccontextmanager
async def hook(around: Surroundings) -> AsyncIterator[Any]:
    assert HTTP.source_settings is not None
    assert HTTP.open_source is not None
    settings = HTTP.source_settings.model_validate({"listen": "tcp:127.0.0.1:0", "tls": False, "signature": SIGNATURE})
    source: Any = HTTP.open_source(settings, around.source(HTTP))
    await within(source.start())
    try:
        yield source
    finally:
        await within(source.stop())


async def send(around: Surroundings, source: Any, nonce: str, body: bytes) -> int:
    """The status that the signed request is answered with; the same one for the same nonce."""
    given = hmac.new(b"secret", f"{STAMP}.{nonce}.".encode() + body, hashlib.sha256).hexdigest()
    headers = {"X-Sig": f"sha256={given}", "X-Time": STAMP, "X-Nonce": nonce}
    return (await post(around, source, body, **headers)).status


@pytest.mark.parametrize("body", [adt("A1"), b"not a message", b""])
@pytest_twisted.ensureDeferred
async def test_a_captured_request_is_refused_though_the_hub_was_started_again(
    kept: Kept, around: Surroundings, body: bytes
) -> None:
    around.secret("key", "secret")
    statuses = []
    for nonce in ("n1", "n1", "n2"):
        async with hook(around) as source:
            statuses.append(await send(around, source, nonce, body))
        kept.die()
    taken = {b"": [200, 200], b"not a message": [400, 400]}.get(body, [202, 200])
    assert statuses == [taken[0], 401, taken[1]]


@pytest_twisted.ensureDeferred
async def test_a_nonce_is_kept_no_longer_than_its_time_is_good(kept: Kept, around: Surroundings) -> None:
    around.secret("key", "secret")
    async with hook(around) as source:
        assert await send(around, source, "n1", adt("A1")) == 202
    ((name, until),) = kept.rows(source_note.c.name, source_note.c.until_at)
    assert "n1" not in name
    assert 0 < until - real_ms() <= 600_000
    await kept.look_after(later=599_000 - 60_000)
    assert len(kept.rows(source_note.c.name)) == 1
    await kept.look_after(later=601_000)
    assert kept.rows(source_note.c.name) == []
    assert kept.rows(work_item.c.kind) == []
