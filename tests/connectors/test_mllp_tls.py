"""The hub's own sender and listener, over TLS, and what strangers get."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from pydantic import ValidationError

from hub.connectors.mllp import CONNECTOR, MllpDestination, MllpDestinationSettings, MllpSourceSettings
from hub.engine.contracts import EndpointState, Outcome
from tests.connectors.authority import Authority
from tests.connectors.behaviour import delivered, serving
from tests.connectors.peers import Surroundings, failure_of, parcel
from tests.connectors.test_mllp_source import adt, listening


@pytest.fixture
def authority(around: Surroundings) -> Authority:
    """Issued: one certificate for the listener, some for senders, one of an authority that nobody trusts."""
    trusted = Authority(around.folder / "tls")
    for name in ("hub.example", "ehr.example", "lab.example"):
        _, key = trusted.issue(name)
        around.secret(name.replace(".", "_"), key.read_text())
    _, key = trusted.issue("old.example", days=-1)
    around.secret("old_example", key.read_text())
    _, key = Authority(around.folder / "tls", "other").issue("stranger.example")
    around.secret("stranger_example", key.read_text())
    return trusted


def identity(name: str) -> dict[str, Any]:
    return {"certificate": f"tls/{name}.pem", "private_key": {"secret": name.replace(".", "_")}}


async def sent(around: Surroundings, address: str, **options: Any) -> tuple[Outcome, MllpDestination]:
    settings = {
        "endpoint": f"tcp:localhost:{address.rpartition(':')[2]}",
        "tls": True,
        "connect_within": "5s",
        "answer_within": "5s",
        **options,
    }
    destination = MllpDestination(MllpDestinationSettings.model_validate(settings), around.destination(CONNECTOR))
    (outcome,) = await delivered(destination, parcel(adt("A1")))
    return outcome, destination


@pytest_twisted.ensureDeferred
async def test_a_message_crosses_by_tls_with_the_certificate_that_the_hub_makes(around: Surroundings) -> None:
    async with listening(around, tls=True) as source:
        outcome, _ = await sent(around, source.health()[0].address, trust="var/tls/ehr.pem")
    assert failure_of(outcome) == "delivered"
    assert [item.raw for item in around.intake.received] == [adt("A1")]


@pytest.mark.parametrize("trust", [None, "tls/other.pem"])
@pytest_twisted.ensureDeferred
async def test_nothing_is_sent_to_a_receiver_that_is_not_trusted(
    around: Surroundings, authority: Authority, trust: str | None
) -> None:
    async with listening(around, tls=True, **identity("hub.example")) as source:
        options = {"trust": trust} if trust else {}
        outcome, _ = await sent(around, source.health()[0].address, **options)
    assert (failure_of(outcome), outcome.reason) == ("transient", "The receiver's certificate is not trusted.")
    assert around.intake.received == []


@pytest.mark.parametrize(
    ("shown", "names", "expected"),
    [
        ("ehr.example", (), "delivered"),
        ("ehr.example", ("ehr.example",), "delivered"),
        ("lab.example", ("ehr.example",), "not delivered"),
        ("old.example", (), "not delivered"),
        ("stranger.example", (), "not delivered"),
        (None, (), "not delivered"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_with_mutual_tls_only_known_certificates_bring_messages(
    around: Surroundings, authority: Authority, shown: str | None, names: tuple[str, ...], expected: str
) -> None:
    options = {"client_ca": "tls/ca.pem", "client_names": names, **identity("hub.example")}
    async with listening(around, tls=True, **options) as source:
        own = identity(shown) if shown else {}
        outcome, _ = await sent(around, source.health()[0].address, trust="tls/ca.pem", **own)
        if shown == "lab.example":
            assert source.counts["certificate of a stranger"] == 1
    assert (outcome.failure is None) == (expected == "delivered")
    assert len(around.intake.received) == (1 if expected == "delivered" else 0)
    if shown in {"old.example", "stranger.example", None}:
        assert failure_of(outcome) == "transient"  # the receiver said so, so it handed nothing on


@pytest_twisted.ensureDeferred
async def test_a_receiver_that_speaks_no_tls_is_sent_nothing(around: Surroundings) -> None:
    async with serving(lambda peer, data: None) as server:
        outcome, destination = await sent(around, f":{server.port}", connect_within="300ms")
        assert b"MSH" not in server.peers[0].seen
    assert failure_of(outcome) == "transient"
    assert destination.health()[0].state == EndpointState.STOPPED


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"client_ca": "ca.pem"}, "needs tls = true"),
        ({"tls": True, "client_names": ["a"]}, "need client_ca"),
        ({"tls": True, "certificate": "a.pem"}, "private_key"),
        ({"peers": ["ehr.example"]}, "address or a network"),
        ({"lenient": ["everything"]}, "no_start_block"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        MllpSourceSettings.model_validate({"listen": "tcp:2575", **settings})


def test_trust_without_tls_is_refused() -> None:
    with pytest.raises(ValidationError, match="tls = true"):
        MllpDestinationSettings.model_validate({"endpoint": "tcp:ehr.example:1", "trust": "ca.pem"})
