"""Worker pools, with real processes: replies, errors, deaths, time limits, and an orderly end."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList

from hub.core.ids import BLOCK_SIZE, IdMaker
from hub.core.log import Log
from hub.engine.workers import TaskFailedError, WorkerDiedError, WorkerPool, WorkerPools, WorkerTimedOutError
from tests.engine.node import pause

SCRIPT = [sys.executable, str(Path(__file__).with_name("worker_of_the_test.py"))]


@pytest.fixture
def lines() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def make_pool(lines: io.StringIO) -> Iterator[Callable[..., WorkerPool]]:
    pools: list[WorkerPool] = []

    def make(size: int = 1, command: list[str] = SCRIPT) -> WorkerPool:
        pool = WorkerPool("mapping", size, command, reactor, IdMaker(), Log(lines))
        pools.append(pool)
        pool.start()
        return pool

    yield make
    for pool in pools:
        gone = pool.stop()
        pool.kill()
        pytest_twisted.blockon(DeferredList(gone))


@pytest_twisted.inlineCallbacks
def test_a_task_gets_its_header_and_parts_and_ids_and_its_reply_comes_back(make_pool: Callable[..., WorkerPool]) -> Any:
    pool = make_pool()
    first, second = yield DeferredList(
        [pool.call("echo", {"n": n, "text": "ü"}, (b"", b"\x00\xff" * 100_000)) for n in (1, 2)]
    )

    for n, (good, reply) in ((1, first), (2, second)):
        assert good
        assert (reply.header["n"], reply.header["text"]) == (n, "ü")
        assert reply.parts == (b"", b"\x00\xff" * 100_000)
    assert abs(first[1].header["first"] - second[1].header["first"]) >= BLOCK_SIZE


@pytest_twisted.inlineCallbacks
def test_an_error_of_a_task_comes_over_in_its_own_words(make_pool: Callable[..., WorkerPool]) -> Any:
    with pytest.raises(TaskFailedError) as failed:
        yield make_pool().call("fail", {})

    error = failed.value
    assert (error.task_code, error.what, error.where) == ("H978", "PID-3 is empty.", "acme.py:7")
    assert (error.expected, error.found, error.fix) == ("a number", "", "Ask the EHR.")


@pytest_twisted.inlineCallbacks
def test_an_unforeseen_error_comes_over_by_type_and_place_alone(make_pool: Callable[..., WorkerPool]) -> Any:
    pool = make_pool()
    with pytest.raises(TaskFailedError) as failed:
        yield pool.call("burst", {})

    assert "ValueError" in failed.value.what
    assert "worker_of_the_test.py" in failed.value.where
    assert "QUIGLEY" not in str(failed.value)
    reply = yield pool.call("echo", {})
    assert "pid" in reply.header, "the same worker goes on"


@pytest_twisted.inlineCallbacks
def test_what_a_script_prints_is_counted_and_not_repeated(
    make_pool: Callable[..., WorkerPool], lines: io.StringIO
) -> Any:
    pool = make_pool()
    yield pool.call("echo", {})
    yield DeferredList(pool.stop())
    assert "QUIGLEY" not in lines.getvalue()


@pytest_twisted.inlineCallbacks
def test_a_worker_that_dies_fails_its_own_task_and_is_replaced(make_pool: Callable[..., WorkerPool]) -> Any:
    pool = make_pool()
    died, after = yield DeferredList([pool.call("die", {}), pool.call("echo", {})], consumeErrors=True)

    assert died[1].check(WorkerDiedError)
    assert not died[1].check(WorkerTimedOutError)
    assert after[0]


@pytest_twisted.inlineCallbacks
def test_a_task_that_takes_too_long_is_ended_and_the_next_one_goes_on(make_pool: Callable[..., WorkerPool]) -> Any:
    pool = make_pool()
    yield pool.call("echo", {})
    looped, after = yield DeferredList(
        [pool.call("loop", {}, timeout=0.3), pool.call("echo", {}, timeout=60)], consumeErrors=True
    )

    assert looped[1].check(WorkerTimedOutError)
    assert "0.3 s" in looped[1].value.what
    assert after[0]


@pytest_twisted.inlineCallbacks
def test_a_worker_that_dies_before_it_is_ready_blames_no_task(
    make_pool: Callable[..., WorkerPool], lines: io.StringIO
) -> Any:
    pool = make_pool(command=[*SCRIPT, "stillborn"])
    waiting = pool.call("echo", {})
    for _ in range(3_000):
        if lines.getvalue().count("worker.died") >= 2:
            break
        yield pause(0.01)

    assert lines.getvalue().count("worker.died") >= 2
    assert not waiting.called
    assert pool.waiting == 1
    waiting.addErrback(lambda _: None)


@pytest_twisted.inlineCallbacks
def test_stopping_lets_the_running_task_end_and_fails_those_that_wait(
    make_pool: Callable[..., WorkerPool], tmp_path: Path
) -> Any:
    pool = make_pool()
    yield pool.call("echo", {})
    yield pause()
    running = pool.call("wait", {"path": str(tmp_path / "go")})
    waiting = pool.call("echo", {})
    gone = DeferredList(pool.stop())
    late = pool.call("echo", {})
    for refused in (waiting, late):
        with pytest.raises(WorkerDiedError, match="stopping"):
            yield refused
    assert not running.called

    (tmp_path / "go").touch()
    reply = yield running
    assert reply.header == {"waited": True}
    yield gone


@pytest_twisted.inlineCallbacks
def test_several_workers_run_side_by_side(make_pool: Callable[..., WorkerPool], tmp_path: Path) -> Any:
    pool = make_pool(size=2)
    blocked = pool.call("wait", {"path": str(tmp_path / "go")})
    yield pool.call("echo", {})
    assert not blocked.called
    (tmp_path / "go").touch()
    yield blocked


@pytest_twisted.inlineCallbacks
def test_a_task_goes_to_the_pool_of_its_name(make_pool: Callable[..., WorkerPool]) -> Any:
    asked: list[tuple[str, str]] = []

    class Pool:
        def __init__(self, name: str) -> None:
            self.name = name

        def call(self, task: str, _header: Any, _parts: Any, *, timeout: float) -> Any:
            asked.append((self.name, task))
            return pause()

    pools = WorkerPools({name: Pool(name) for name in ("mapping", "billing", "transfer")})  # type: ignore[misc]
    for task in ("map", "billing.decide", "sftp.put", "anything"):
        yield pools.call(task, {})
    assert asked == [
        ("mapping", "map"),
        ("billing", "billing.decide"),
        ("transfer", "sftp.put"),
        ("transfer", "anything"),
    ]


def test_pools_start_one_after_another_whatever_becomes_of_each() -> None:
    begun: dict[str, Deferred[None]] = {}

    class Pool:
        def __init__(self, name: str) -> None:
            self.name = name

        def begin(self) -> Deferred[None]:
            begun[self.name] = Deferred()
            return begun[self.name]

    WorkerPools({name: Pool(name) for name in ("mapping", "billing", "transfer")}).start()  # type: ignore[misc]
    assert list(begun) == ["mapping"]
    begun["mapping"].callback(None)
    assert list(begun) == ["mapping", "billing"]
    begun["billing"].errback(WorkerDiedError("It could not be started."))
    assert list(begun) == ["mapping", "billing", "transfer"]


@pytest_twisted.inlineCallbacks
def test_a_pool_that_was_stopped_begins_nothing(make_pool: Callable[..., WorkerPool]) -> Any:
    pool = make_pool()
    yield DeferredList(pool.stop())
    yield pool.begin()
    assert pool.stop() == []
