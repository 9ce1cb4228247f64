from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import pytest_twisted
from sqlalchemy import Connection, Engine
from twisted.internet.defer import Deferred, fail, succeed

from hub.core.errors import HubError
from hub.engine.contracts import Failure, Outcome, SourceContext
from hub.engine.plan import ChannelPlan, SitePlan
from hub.engine.swap import DeployError, Deployment, MovedError, Prepared
from tests.engine.node import (
    CHANNEL,
    FakeDestination,
    MakeNode,
    Mapping,
    Node,
    copy_to,
    decided,
    describe,
    destination,
    pause,
    raw,
)


class Pool:
    """A worker pool that loads as *ready* says and maps as *mapping* does."""

    def __init__(self, mapping: Mapping, ready: Deferred[None] | None = None) -> None:
        self.mapping = mapping
        self._ready = ready or succeed(None)
        self.killed = False

    def begin(self) -> Deferred[None]:
        return self._ready

    def stop(self) -> list[Deferred[None]]:
        return []

    def kill(self) -> None:
        self.killed = True


class Source:
    """A source that opens, or refuses to."""

    def __init__(self, refusal: str = "") -> None:
        self.refusal = refusal
        self.open = self.paused = False
        self.times = 0

    def __call__(self, _context: SourceContext) -> Source:
        return self

    def start(self) -> None:
        if self.refusal:
            raise HubError(self.refusal)
        assert not self.open
        self.open, self.times = True, self.times + 1

    def stop(self) -> None:
        self.open = False

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def health(self) -> tuple[()]:
        return ()


class Bundles:
    """The versions that a test deploys, and what was written down of it."""

    def __init__(self) -> None:
        self.known: dict[str, Prepared] = {}
        self.recorded: list[Deployment] = []

    def prepare(self, name: str) -> Prepared:
        return self.known[name]

    def record(self, _connection: Connection, deployment: Deployment) -> None:
        self.recorded.append(deployment)

    def add(self, name: str, plan: SitePlan, mapping: Mapping | None = None, **pool: Any) -> Pool:
        made = Pool(mapping or copy_to("peer"), **pool)
        self.known[name] = Prepared(replace(plan, bundle=name), {"mapping": made}, [])  # type: ignore[dict-item]
        return made


@pytest.fixture
def bundles() -> Bundles:
    return Bundles()


@pytest.fixture
def node(store: Engine, make_node: MakeNode, bundles: Bundles) -> Node:
    made = make_node(store, destinations=[destination()], prepare=bundles.prepare, record=bundles.record)
    pytest_twisted.blockon(made.start())
    return made


def deploy(node: Node, bundle: str, **more: Any) -> Deferred[Any]:
    arguments = {"bundle": bundle, "expected": node.engine.plan.bundle, "reason": "because", **more}
    return node.ask("deploy", **arguments)


def with_channel(plan: SitePlan, channel: ChannelPlan) -> SitePlan:
    return replace(plan, channels={**plan.channels, channel.name: channel})


def changed(plan: SitePlan, **parts: Any) -> SitePlan:
    return with_channel(plan, replace(plan.channels[CHANNEL], **parts))


@pytest_twisted.inlineCallbacks
def test_a_message_ends_on_the_bundle_that_it_began_with_and_the_next_one_goes_over(
    node: Node, bundles: Bundles
) -> Any:
    began: Deferred[None] = Deferred()
    go_on: Deferred[Any] = Deferred()

    def slow(_message: dict[str, Any], body: bytes) -> Any:
        began.callback(None)
        return go_on.addCallback(lambda _: {"deliveries": [("peer", body)]})

    node.workers.mapping = slow
    bundles.add("b2", node.plan)
    yield node.receive(raw("M1", "a"))
    yield began
    deploying = deploy(node, "b2")
    yield node.receive(raw("M2", "a"))  # intake does not wait for a deploy
    assert node.engine.plan.bundle == "b1"
    go_on.callback(None)
    answer = yield deploying
    assert answer == {"bundle": "b2", "previous": "b1"}
    yield node.until(lambda: set(node.outcomes().values()) == {"done"} and len(node.outcomes()) == 2)
    assert {name: row.bundle for name, row in node.messages().items()} == {"M1": "b1", "M2": "b2"}
    assert node.peer.ids == ["M1", "M2"]
    assert not node.peer.stopped  # its destination is the same in both: the session stays
    assert [(each.bundle, each.previous, each.kind, each.reason) for each in bundles.recorded][-1] == (
        "b2", "b1", "deploy", "because",
    )  # fmt: skip


@pytest_twisted.inlineCallbacks
def test_what_differs_is_opened_anew_and_what_does_not_is_left_alone(node: Node, bundles: Bundles) -> Any:
    stays, goes, comes = Source(), Source(), Source()
    bundles.add("b2", changed(node.plan, sources=(stays, goes)))
    yield deploy(node, "b2")
    other = FakeDestination()
    plans = {**node.plan.channels[CHANNEL].destinations, "other": replace(destination("other"), open=lambda _: other)}
    bundles.add("b3", changed(node.plan, sources=(stays, comes), destinations=plans), copy_to("peer", "other"))
    yield deploy(node, "b3")
    assert (stays.open, stays.times) == (True, 1)
    assert (goes.open, comes.open) == (False, True)
    yield node.receive(raw("M1"))
    yield node.until(lambda: len(other.parcels) == 1 and node.peer.ids == ["M1"])
    assert not node.peer.stopped


@pytest_twisted.inlineCallbacks
def test_where_something_cannot_be_opened_the_old_plan_is_applied_again(node: Node, bundles: Bundles) -> Any:
    good = Source()
    bundles.add("b2", changed(node.plan, sources=(good,)))
    yield deploy(node, "b2")
    fresh = ChannelPlan("fresh", "Fresh", describe, (Source(),), {})
    plan = with_channel(changed(node.plan, sources=(Source("Port 2575 is taken."),)), fresh)
    pool = bundles.add("b3", plan)
    with pytest.raises(DeployError, match=r"Port 2575 is taken\. The version that ran before runs on\."):
        yield deploy(node, "b3")
    assert pool.killed
    assert node.engine.plan.bundle == "b2"
    assert set(node.engine._channels) == {CHANNEL}
    assert good.open
    assert good.times == 2  # closed for the other one, and opened again
    yield node.receive(raw("M1"))
    yield node.until(lambda: node.outcomes() == {"M1": "done"})
    assert node.messages()["M1"].bundle == "b2"


@pytest_twisted.inlineCallbacks
def test_workers_that_cannot_load_a_version_keep_it_from_running(node: Node, bundles: Bundles) -> Any:
    pool = bundles.add("b2", node.plan, ready=fail(HubError("A worker could not be started.")))
    with pytest.raises(DeployError, match="Workers could not load this version"):
        yield deploy(node, "b2")
    assert pool.killed
    yield node.receive(raw("M1"))
    yield node.until(lambda: node.outcomes() == {"M1": "done"})
    assert node.messages()["M1"].bundle == "b1"


@pytest_twisted.inlineCallbacks
def test_two_people_cannot_overwrite_each_other(node: Node, bundles: Bundles) -> Any:
    bundles.add("mine", node.plan)
    bundles.add("yours", node.plan)
    mine = node.ask("deploy", bundle="mine", expected="b1", reason="mine")
    yours = node.ask("deploy", bundle="yours", expected="b1", reason="yours")  # waits its turn
    yield mine
    with pytest.raises(MovedError):
        yield yours
    assert node.engine.plan.bundle == "mine"
    with pytest.raises(HubError, match="needs a reason"):
        yield node.ask("deploy", bundle="yours", expected="mine", reason=" ")


@pytest_twisted.inlineCallbacks
def test_a_destination_for_which_something_waits_cannot_be_taken_away(node: Node, bundles: Bundles) -> Any:
    node.peer.answer = lambda _parcel: Outcome(Failure.TRANSIENT, "Nobody is there.")
    yield node.receive(raw("M1"))
    yield node.until(lambda: len(node.peer.parcels) > 0)
    bundles.add("b2", changed(node.plan, destinations={}))
    with pytest.raises(DeployError, match=r"1 deliveries wait for visits\.peer"):
        yield deploy(node, "b2")
    assert node.engine.plan.bundle == "b1"


@pytest_twisted.inlineCallbacks
def test_what_is_paused_stays_paused(node: Node, bundles: Bundles) -> Any:
    yield node.ask("pause", channel=CHANNEL, reason="maintenance")
    fresh = Source()
    other = FakeDestination()
    plans = {"peer": replace(destination("peer"), concurrency=2, open=lambda _: other)}
    bundles.add("b2", changed(node.plan, sources=(fresh,), destinations=plans))
    yield deploy(node, "b2")
    assert fresh.paused
    yield node.receive(raw("M1"))
    yield node.until(lambda: node.messages()["M1"].mapped)
    assert node.states() == ["queued"]
    yield node.ask("resume", channel=CHANNEL)
    yield node.until(lambda: node.outcomes() == {"M1": "done"})
    assert other.ids == ["M1"]
    assert not fresh.paused


@pytest_twisted.inlineCallbacks
def test_decisions_in_hand_end_before_a_deploy_and_later_ones_wait_for_it(
    store: Engine, make_node: MakeNode, bundles: Bundles
) -> Any:
    node = make_node(store, billing=True, prepare=bundles.prepare, record=bundles.record)
    answers: list[Deferred[Any]] = []

    def decide(_header: dict[str, Any], _parts: tuple[bytes, ...]) -> Deferred[Any]:
        answers.append(Deferred())
        return answers[-1]

    node.workers.decide = decide
    yield node.start()
    bundles.add("b2", node.plan, copy_to("billing"))
    yield node.receive(raw("M1"))
    yield node.until(lambda: len(answers) == 1)
    deploying = deploy(node, "b2")
    yield node.receive(raw("M2"))
    yield pause(0.05)
    assert len(answers) == 1
    assert node.engine.plan.bundle == "b1"
    answers[0].callback(decided())
    yield deploying
    yield node.until(lambda: len(answers) == 2)
    answers[1].callback(decided())
    yield node.until(lambda: set(node.outcomes().values()) == {"done"})
