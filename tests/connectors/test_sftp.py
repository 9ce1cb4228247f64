from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import ValidationError
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from hub.connectors import sftp
from hub.connectors.sftp import (
    CONNECTOR,
    SftpDestinationSettings,
    SftpSourceSettings,
    close_sessions,
    open_destination,
    open_source,
)
from hub.core.errors import HubError
from hub.engine.contracts import Description, EndpointState, Failure, Source
from hub.simulators.sftp_server import Folder, SftpServer
from tests.connectors.behaviour import delivered, free_port
from tests.connectors.peers import Surroundings, failure_of, parcel, within


@dataclass
class Partner:
    """A real SFTP server, and what one must know to use it."""

    root: Path
    port: int
    host_key: str
    refuses: bool = False

    def settings(self, folder: str, **options: Any) -> dict[str, Any]:
        return {
            "endpoint": f"sftp://127.0.0.1:{self.port}/{folder}",
            "username": "alder",
            "private_key": {"secret": "partner_key"},
            "host_key": self.host_key,
            **options,
        }


def key_pair() -> tuple[str, str]:
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return private.decode(), public.decode()


@pytest.fixture
def partner(around: Surroundings) -> Iterator[Partner]:
    private, public = key_pair()
    around.secret("partner_key", private)
    made = Partner(around.folder / "partner", 0, "")
    server = SftpServer(Folder(made.root), "alder", public, lambda: made.refuses)
    made.port = server.listen()
    made.host_key = server.known_hosts_line().partition(" ")[2]
    yield made
    close_sessions()
    pytest_twisted.blockon(server._port.stopListening())


def describe(raw: bytes) -> Description:
    if not raw:
        raise HubError("This file is empty.")
    return Description(kind="835", control_id="1", duplicate_basis=raw)


def source(around: Surroundings, settings: dict[str, Any]) -> Source:
    quick = {"poll": "50ms", "settle": "20ms", **settings}
    context = around.source(CONNECTOR, describe=describe)
    return open_source(SftpSourceSettings.model_validate(quick), context)


async def until(true: Any) -> None:
    """Wait until *true* says so."""
    for _ in range(400):
        if true():
            return
        turn: Deferred[None] = Deferred()
        reactor.callLater(0.05, turn.callback, None)  # type: ignore[attr-defined]
        await turn
    pytest.fail("it did not come to that")


@pytest.mark.parametrize("after", ["delete", "archive", "keep"])
@pytest_twisted.ensureDeferred
async def test_files_are_taken_once_and_then_dealt_with(around: Surroundings, partner: Partner, after: str) -> None:
    out = partner.root / "outbound"
    for name in ("a.835", "b.835", "c.835.tmp", ".d.835", "e.txt"):
        (out / name).write_bytes(name.encode())
    polling = source(around, partner.settings("outbound", after=after, match=["*.835", "*.tmp"]))
    polling.start()
    await around.intake.arrived(2)
    if after != "keep":
        await until(lambda: not (out / "b.835").exists())
    await within(polling.stop())
    assert [(item.source, item.raw) for item in around.intake.received] == [
        ("a.835", b"a.835"),
        ("b.835", b"b.835"),
    ]
    left = {"c.835.tmp", ".d.835", "e.txt"}
    left |= {"archive"} if after == "archive" else {"a.835", "b.835"} if after == "keep" else set()
    assert {path.name for path in out.iterdir()} == left
    if after == "archive":
        assert {path.name for path in (out / "archive").iterdir()} == {"a.835", "b.835"}


@pytest_twisted.ensureDeferred
async def test_a_file_that_is_still_growing_is_left_alone(around: Surroundings, partner: Partner) -> None:
    growing = partner.root / "outbound" / "a.835"
    growing.write_bytes(b"1")
    polling = source(around, partner.settings("outbound", settle="600ms", after="delete"))
    polling.start()
    for size in range(2, 8):
        turn: Deferred[None] = Deferred()
        reactor.callLater(0.15, turn.callback, None)  # type: ignore[attr-defined]
        await turn
        growing.write_bytes(b"1" * size)
        assert around.intake.received == []
    await around.intake.arrived(1)
    await within(polling.stop())
    assert around.intake.received[0].raw == b"1" * 7


@pytest_twisted.ensureDeferred
async def test_a_file_that_could_not_be_stored_stays_and_is_taken_again(around: Surroundings, partner: Partner) -> None:
    file = partner.root / "outbound" / "a.835"
    file.write_bytes(b"content")
    around.intake.failing = OSError("disk full")
    polling = source(around, partner.settings("outbound", after="delete"))
    polling.start()
    await around.intake.arrived(2)
    assert file.exists()
    around.intake.failing = None
    await until(lambda: not file.exists())
    await within(polling.stop())


@pytest_twisted.ensureDeferred
async def test_a_file_that_cannot_be_read_as_a_message_is_kept_as_refused(
    around: Surroundings, partner: Partner
) -> None:
    (partner.root / "outbound" / "a.835").write_bytes(b"")
    polling = source(around, partner.settings("outbound", after="delete"))
    polling.start()
    await around.intake.arrived(1)
    await within(polling.stop())
    assert around.intake.received[0].refusal == "This file is empty."


@pytest_twisted.ensureDeferred
async def test_an_output_appears_whole_under_its_name(around: Surroundings, partner: Partner) -> None:
    body = b"ISA*" + b"x" * 300_000
    settings = SftpDestinationSettings.model_validate(partner.settings("inbound"))
    destination = open_destination(settings, around.destination(CONNECTOR))
    (outcome,) = await delivered(destination, parcel(body, "claims.837"))
    assert failure_of(outcome) == "delivered"
    assert json.loads(outcome.answer or b"")["size"] == len(body)
    assert [(path.name, path.read_bytes()) for path in (partner.root / "inbound").iterdir()] == [("claims.837", body)]


@pytest_twisted.ensureDeferred
async def test_a_repeated_output_is_delivered_and_another_file_is_never_replaced(
    around: Surroundings, partner: Partner
) -> None:
    settings = SftpDestinationSettings.model_validate(partner.settings("inbound"))
    destination = open_destination(settings, around.destination(CONNECTOR))
    first, again, other, same_size = await delivered(
        destination,
        parcel(b"one", "a.837"),
        parcel(b"one", "a.837"),
        parcel(b"longer", "a.837"),
        parcel(b"two", "a.837"),
    )
    kinds = [failure_of(outcome) for outcome in (first, again, other, same_size)]
    assert kinds == ["delivered", "delivered", "permanent", "permanent"]
    assert [(path.name, path.read_bytes()) for path in (partner.root / "inbound").iterdir()] == [("a.837", b"one")]


async def outcome_of(around: Surroundings, settings: dict[str, Any], name: str = "a.837") -> tuple[str, str, str]:
    """The kind of failure, its reason and the endpoint's state after one delivery."""
    model = SftpDestinationSettings.model_validate(settings)
    destination = open_destination(model, around.destination(CONNECTOR))
    outcome = await within(destination.deliver(parcel(b"one", name)))
    return failure_of(outcome), outcome.reason, destination.health()[0].state.value


@pytest_twisted.ensureDeferred
async def test_nothing_is_sent_to_a_server_with_another_host_key(around: Surroundings, partner: Partner) -> None:
    _, stranger = key_pair()
    kind, reason, state = await outcome_of(around, partner.settings("inbound", host_key=stranger))
    assert (kind, state) == ("transient", EndpointState.REFUSED.value)
    assert "another host key" in reason
    assert list((partner.root / "inbound").iterdir()) == []


@pytest_twisted.ensureDeferred
async def test_a_known_hosts_file_names_the_key(around: Surroundings, partner: Partner) -> None:
    (around.folder / "known_hosts").write_text(f"[127.0.0.1]:{partner.port} {partner.host_key}\n")
    settings = partner.settings("inbound", host_key=None, known_hosts="known_hosts")
    assert (await outcome_of(around, settings))[0] == "delivered"
    (around.folder / "known_hosts").write_text(f"elsewhere.example {partner.host_key}\n")
    close_sessions()
    kind, reason, _ = await outcome_of(around, settings, "b.837")
    assert kind == "transient"
    assert "not known" in reason


@pytest_twisted.ensureDeferred
async def test_a_refused_login_is_said_and_tried_again(around: Surroundings, partner: Partner) -> None:
    partner.refuses = True
    kind, _, state = await outcome_of(around, partner.settings("inbound"))
    assert (kind, state) == ("transient", EndpointState.LOGIN_FAILED.value)
    partner.refuses = False
    assert (await outcome_of(around, partner.settings("inbound")))[0] == "delivered"


@pytest_twisted.ensureDeferred
async def test_a_missing_secret_and_a_bad_key_are_login_failures(around: Surroundings, partner: Partner) -> None:
    missing = await outcome_of(around, partner.settings("inbound", private_key={"secret": "absent"}))
    around.secret("bad", "-----BEGIN NOTHING-----")
    bad = await outcome_of(around, partner.settings("inbound", private_key={"secret": "bad"}))
    assert missing[::2] == bad[::2] == ("transient", EndpointState.LOGIN_FAILED.value)
    assert "BEGIN" not in bad[1]


@pytest_twisted.ensureDeferred
async def test_nobody_there_and_a_missing_folder_are_told_apart(around: Surroundings, partner: Partner) -> None:
    assert (await outcome_of(around, partner.settings("nowhere")))[0] == "permanent"
    partner.port = await free_port()
    kind, _, state = await outcome_of(around, partner.settings("inbound"))
    assert (kind, state) == ("transient", EndpointState.REFUSED.value)


@pytest_twisted.ensureDeferred
async def test_a_server_that_hangs_is_given_up(around: Surroundings, partner: Partner) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        partner.port = silent.getsockname()[1]
        kind, _, state = await outcome_of(around, partner.settings("inbound", connect_within="300ms"))
    assert (kind, state) == ("transient", EndpointState.RETRYING.value)


@pytest.mark.parametrize(("step", "kind"), [("sftp.upload", Failure.TRANSIENT), ("sftp.publish", Failure.AMBIGUOUS)])
@pytest_twisted.ensureDeferred
async def test_a_worker_that_dies_leaves_only_the_last_step_in_doubt(
    around: Surroundings, partner: Partner, step: str, kind: Failure
) -> None:
    context = around.destination(CONNECTOR)
    workers: Any = context.workers
    workers.dying.add(step)
    settings = SftpDestinationSettings.model_validate(partner.settings("inbound"))
    (outcome,) = await delivered(open_destination(settings, context), parcel(b"one", "a.837"))
    assert outcome.failure == kind


@pytest_twisted.ensureDeferred
async def test_a_loss_during_the_rename_is_ambiguous_and_the_next_attempt_clears_it(
    around: Surroundings, partner: Partner, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = sftp._rename

    def rename_and_lose(client: Any, old: str, new: str) -> None:
        rename(client, old, new)
        raise EOFError

    monkeypatch.setattr(sftp, "_rename", rename_and_lose)
    assert (await outcome_of(around, partner.settings("inbound")))[0] == "ambiguous"
    assert (await outcome_of(around, partner.settings("inbound")))[0] == "delivered"
    assert [path.name for path in (partner.root / "inbound").iterdir()] == ["a.837"]


@pytest_twisted.ensureDeferred
async def test_a_loss_during_the_upload_is_transient(
    around: Surroundings, partner: Partner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(*_: Any, **__: Any) -> None:
        raise EOFError

    monkeypatch.setattr("paramiko.SFTPClient.putfo", lose)
    assert (await outcome_of(around, partner.settings("inbound")))[0] == "transient"
    assert list((partner.root / "inbound").iterdir()) == []


@pytest.mark.parametrize("name", ["", "..", "a/b", "../a", "x" * 300])
@pytest_twisted.ensureDeferred
async def test_a_name_that_leaves_the_folder_is_refused(around: Surroundings, partner: Partner, name: str) -> None:
    assert (await outcome_of(around, partner.settings("inbound"), name))[0] == "permanent"


def test_settings_without_trust_or_login_are_refused() -> None:
    login = {"endpoint": "sftp://files.clearway.example/in", "username": "alder"}
    with pytest.raises(ValidationError, match="which server to trust"):
        SftpDestinationSettings.model_validate({**login, "password": {"secret": "p"}})
    with pytest.raises(ValidationError, match="how to log in"):
        SftpDestinationSettings.model_validate({**login, "host_key": "ssh-ed25519 AAAA"})


@pytest_twisted.ensureDeferred
async def test_a_probe_logs_in_lists_and_writes_nothing(around: Surroundings, partner: Partner) -> None:
    (partner.root / "outbound" / "a.835").write_bytes(b"835")
    secrets = around.source(CONNECTOR, describe=describe).secrets

    def tried(**options: Any) -> list[str]:
        login = SftpSourceSettings.model_validate(partner.settings("outbound", **options))
        return list(sftp.probe(login, around.folder, secrets))

    steps = await deferToThread(tried)
    assert steps[1].startswith("logged in as alder")
    assert steps[2].endswith("has 1 files: a.835")
    assert [path.name for path in (partner.root / "outbound").iterdir()] == ["a.835"]
    with pytest.raises(HubError, match="does not let this user in"):
        await deferToThread(tried, username="somebody")
