"""Application acknowledgements by a connection of their own, and on the one that the message came on."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_twisted

from hub.connectors.mllp import acks
from hub.core.errors import HubError
from hub.engine.contracts import Processed
from hub.formats.hl7v2.ack import acknowledge, read_ack
from hub.formats.hl7v2.header import read_header
from hub.formats.hl7v2.mllp import frame
from tests.connectors.behaviour import Peer, free_port, serving
from tests.connectors.peers import Surroundings
from tests.connectors.test_mllp_destination import answering
from tests.connectors.test_mllp_source import adt, listening, pause, sender


class Elsewhere:
    """Where acknowledgements come in; each is answered with the next of *codes*, or CA.

    One for the message *never* is answered CR whenever it comes.
    """

    def __init__(self, *codes: Any, never: str = "") -> None:
        self.came: list[bytes] = []
        self._codes = list(codes)
        self._never = never

    def __call__(self, peer: Peer, raw: bytes) -> None:
        self.came.append(raw)
        code = self._codes.pop(0) if self._codes else "CA"
        code = "CR" if read_ack(raw).control_id == self._never else code
        peer.say(frame(acknowledge(read_header(raw), code, control_id="P1", now=datetime.now(UTC))))

    async def until(self, count: int) -> list[str]:
        for _ in range(100):
            if len(self.came) >= count:
                break
            await pause()
        return [read_ack(raw).code for raw in self.came]


@pytest.mark.parametrize(
    ("conditions", "failed", "here", "there"),
    [
        ("AL|AL", False, ["CA"], ["AA"]),
        ("AL|AL", True, ["CA"], ["AE"]),
        ("AL|ER", False, ["CA"], []),
        ("NE|AL", False, [], ["AA"]),
        ("NE|ER", True, [], ["AE"]),
        ("AL|NE", True, ["CA"], []),
        ("", True, ["AA"], []),
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_became_of_a_message_is_told_where_the_site_says(
    around: Surroundings, conditions: str, failed: bool, here: list[str], there: list[str]
) -> None:
    around.intake.outcome = Processed(HubError("The table has no such department.") if failed else None)
    elsewhere = Elsewhere()
    async with serving(answering(elsewhere)) as server:
        endpoint = {"endpoint": f"tcp:127.0.0.1:{server.port}"}
        async with listening(around, application_acks=endpoint) as source:
            peer = await sender(source)
            peer.write(frame(adt("A1", tail=f"2.5.1|||{conditions}")))
            assert [ack.code for ack in await peer.acks(len(here))] == here
            assert await elsewhere.until(len(there)) == there
            await pause()
            assert len(peer.answers) == len(here)
    for raw in elsewhere.came:
        assert read_ack(raw).control_id == "A1"
        assert (read_header(raw).accept_ack, read_header(raw).application_ack) == ("AL", "NE")
    assert around.intake.answers == ([(1, bool(there))] if conditions != "AL|NE" and conditions else [])


@pytest.mark.parametrize(("processing", "unlisted", "code"), [("P", "filter", "AR"), ("T", "filter", "AA")])
@pytest_twisted.ensureDeferred
async def test_what_goes_no_further_is_told_there_too(
    around: Surroundings, processing: str, unlisted: str, code: str
) -> None:
    elsewhere = Elsewhere()
    async with serving(answering(elsewhere)) as server:
        endpoint = {"endpoint": f"tcp:127.0.0.1:{server.port}"}
        async with listening(around, application_acks=endpoint, accepts=frozenset({"ORU^R01"})) as source:
            peer = await sender(source)
            peer.write(frame(adt("A1", processing=processing, tail="2.5.1|||NE|AL")))
            assert await elsewhere.until(1) == [code]
    assert peer.answers == []
    assert around.intake.answers == [(1, True)]


@pytest_twisted.ensureDeferred
async def test_an_acknowledgement_that_is_not_taken_goes_again_though_its_sender_has_left(
    around: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acks, "WAITS", (0.05, 0.05, 0.05))
    around.intake.outcome = None
    elsewhere = Elsewhere("CR", "CR")
    port = await free_port()
    async with listening(around, application_acks={"endpoint": f"tcp:127.0.0.1:{port}"}) as source:
        peer = await sender(source)
        peer.write(frame(adt("A1", tail="2.5.1|||AL|AL")))
        await peer.acks(1)
        peer.transport.abortConnection()
        async with serving(answering(elsewhere), port=port):
            around.intake.awaited.ended(1, Processed())
            assert await elsewhere.until(3) == ["AA"] * 3
            await pause()
    assert len(set(elsewhere.came)) == 1, "the same bytes"
    assert around.intake.answers == [(1, True)]


@pytest_twisted.ensureDeferred
async def test_an_acknowledgement_that_is_refused_stays_undelivered(around: Surroundings) -> None:
    elsewhere = Elsewhere("CE")
    async with serving(answering(elsewhere)) as server:
        endpoint = {"endpoint": f"tcp:127.0.0.1:{server.port}"}
        async with listening(around, application_acks=endpoint) as source:
            peer = await sender(source)
            peer.write(frame(adt("A1", tail="2.5.1|||AL|AL")))
            assert await elsewhere.until(1) == ["AA"]
            await pause()
    assert around.intake.answers == []
    assert "application acknowledgement not delivered" in around.log.getvalue()


@pytest_twisted.ensureDeferred
async def test_a_type_that_is_filtered_has_its_application_acknowledgement_too(around: Surroundings) -> None:
    async with listening(around, accepts=frozenset({"ORU^R01"})) as source:
        peer = await sender(source)
        peer.write(frame(adt("A1", tail="2.5.1|||AL|AL")))
        assert [ack.code for ack in await peer.acks(2)] == ["CA", "AA"]
