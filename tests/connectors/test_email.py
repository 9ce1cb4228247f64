from __future__ import annotations

import email
import email.policy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from pydantic import ValidationError
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.portal import Portal
from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.ssl import DefaultOpenSSLContextFactory
from twisted.internet.threads import deferToThread
from twisted.mail import smtp
from twisted.mail.imap4 import LOGINCredentials, PLAINCredentials
from zope.interface import implementer

from hub.connectors.email import CONNECTOR, EmailDestinationSettings, open_destination, probe
from hub.connectors.reach import UnreachedError
from hub.engine.contracts import EndpointState
from tests.connectors.authority import Authority
from tests.connectors.behaviour import Peer, delivered, serving
from tests.connectors.peers import Surroundings, failure_of, parcel, within

net: Any = reactor
MAIL = {"sender": "hub@clinic.example", "to": ["billing@clinic.example", "office@clinic.example"]}
WELCOME = {"username": "hub", "password": {"secret": "smtp"}}


@implementer(smtp.IMessageDelivery)
class Mailboxes:
    """What the server of a test has taken, and from whom to whom."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.recipients: list[str] = []

    def receivedHeader(self, *_: Any) -> bytes:  # noqa: N802
        return b"Received: by a test"

    def validateFrom(self, _helo: Any, origin: Any) -> Any:  # noqa: N802
        return origin

    def validateTo(self, user: Any) -> Any:  # noqa: N802
        if user.dest.domain != b"clinic.example":
            raise smtp.SMTPBadRcpt(user)
        self.recipients.append(str(user.dest))
        return lambda: Box(self)


@implementer(smtp.IMessage)
class Box:
    def __init__(self, boxes: Mailboxes) -> None:
        self._boxes = boxes
        self._lines: list[bytes] = []

    def lineReceived(self, line: bytes) -> None:  # noqa: N802
        self._lines.append(line)

    def eomReceived(self) -> Deferred[None]:  # noqa: N802
        mail = email.message_from_bytes(b"".join(line + b"\r\n" for line in self._lines), policy=email.policy.default)
        assert isinstance(mail, EmailMessage)
        self._boxes.mails.append(mail)
        return succeed(None)

    def connectionLost(self) -> None:  # noqa: N802
        pass


class Realm:
    def __init__(self, boxes: Mailboxes) -> None:
        self._boxes = boxes

    def requestAvatar(self, _who: Any, _mind: Any, *_: Any) -> Any:  # noqa: N802
        return smtp.IMessageDelivery, self._boxes, lambda: None


class MailServer:
    """Twisted's mail server with TLS, which lets `hub` in with `mail-me`."""

    def __init__(self, folder: Path, *, at_once: bool) -> None:
        self.boxes = Mailboxes()
        certificate, key = Authority(folder).issue("mail")
        tls = DefaultOpenSSLContextFactory(str(key), str(certificate))
        checker = InMemoryUsernamePasswordDatabaseDontUse(hub=b"mail-me")
        portal = Portal(Realm(self.boxes), [checker])
        challengers = {b"PLAIN": PLAINCredentials, b"LOGIN": LOGINCredentials}
        factory: Any = smtp.SMTPFactory(portal)  # type: ignore[no-untyped-call]
        factory.protocol = lambda: smtp.ESMTP(challengers, None if at_once else tls)  # type: ignore[no-untyped-call]
        factory.noisy = False
        if at_once:
            self._port = net.listenSSL(0, factory, tls, interface="127.0.0.1")
        else:
            self._port = net.listenTCP(0, factory, interface="127.0.0.1")
        self.port = int(self._port.getHost().port)

    async def close(self) -> None:
        await within(self._port.stopListening())


@asynccontextmanager
async def mail_server(around: Surroundings, *, at_once: bool = False) -> AsyncIterator[MailServer]:
    around.secret("smtp", "mail-me")
    server = MailServer(around.folder / "tls", at_once=at_once)
    try:
        yield server
    finally:
        await server.close()


def settings(port: int, **options: Any) -> EmailDestinationSettings:
    return EmailDestinationSettings.model_validate(
        {"server": f"tcp:127.0.0.1:{port}", "trust": "tls/ca.pem", **MAIL, **options}
    )


async def sent(
    around: Surroundings, made: EmailDestinationSettings, body: bytes = b"claims", name: str = "a.csv"
) -> Any:
    (outcome,) = await delivered(open_destination(made, around.destination(CONNECTOR)), parcel(body, name))
    return outcome


@pytest.mark.parametrize("security", ["starttls", "tls"])
@pytest_twisted.ensureDeferred
async def test_a_mail_says_that_something_is_there_and_nothing_of_what_it_is(
    around: Surroundings, security: str
) -> None:
    async with mail_server(around, at_once=security == "tls") as server:
        outcome = await sent(around, settings(server.port, security=security, **WELCOME))
    assert failure_of(outcome) == "delivered"
    assert server.boxes.recipients == ["billing@clinic.example", "office@clinic.example"]
    (mail, _) = server.boxes.mails
    assert mail["Subject"] == "out: x a.csv"
    assert mail.get_content().strip() == "x a.csv of the channel out is ready."
    assert outcome.answer.decode() == mail["Message-ID"] == "<1.out@clinic.example>"


@pytest_twisted.ensureDeferred
async def test_where_patient_data_is_allowed_the_output_goes_along_byte_for_byte(around: Surroundings) -> None:
    body = b".\r\n..dots\nand \xff bytes\r\n.\r\n"
    async with mail_server(around) as server:
        allowed = {"patient_data": True, "content": "attached", "content_type": "text/csv", **WELCOME}
        outcome = await sent(around, settings(server.port, subject="{name}: here", **allowed), body)
        (mail, _) = server.boxes.mails
        (attachment,) = mail.iter_attachments()
        assert failure_of(outcome) == "delivered"
        assert mail["Subject"] == "a.csv: here"
        assert (attachment.get_content_type(), attachment.get_filename()) == ("text/csv", "a.csv")
        assert attachment.get_payload(decode=True) == body
        text = settings(server.port, **{**allowed, "content": "text"})
        assert failure_of(await sent(around, text, "Guten Tag, Ünal.\n".encode())) == "delivered"
        assert server.boxes.mails[-1].get_content().splitlines() == ["Guten Tag, Ünal."]
        refused = await sent(around, text, b"\xff")
        assert (failure_of(refused), refused.reason) == (
            "permanent",
            "The output is no text in UTF-8; have it attached.",
        )


@pytest_twisted.ensureDeferred
async def test_a_name_cannot_bring_in_headers(around: Surroundings) -> None:
    async with mail_server(around) as server:
        outcome = await sent(around, settings(server.port, **WELCOME), name="a\r\nBcc: all@clinic.example")
    assert failure_of(outcome) == "delivered"
    assert server.boxes.mails[0]["Bcc"] is None
    assert len(server.boxes.mails) == 2


@pytest_twisted.ensureDeferred
async def test_if_one_recipient_is_refused_nobody_gets_the_mail(around: Surroundings) -> None:
    async with mail_server(around) as server:
        made = settings(server.port, to=["billing@clinic.example", "who@elsewhere.example"], **WELCOME)
        outcome = await sent(around, made)
    assert (failure_of(outcome), outcome.reason) == ("permanent", "The mail server refused RCPT (550).")
    assert server.boxes.mails == []


@pytest.mark.parametrize(
    ("options", "state"),
    [
        ({"username": "hub", "password": {"secret": "other"}}, EndpointState.LOGIN_FAILED),
        ({"trust": None, **WELCOME}, EndpointState.REFUSED),
        ({"username": "hub", "password": {"secret": "missing"}}, EndpointState.LOGIN_FAILED),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_server_that_lets_nobody_in_or_is_not_trusted_gets_nothing(
    around: Surroundings, options: dict[str, Any], state: EndpointState
) -> None:
    around.secret("other", "wrong")
    async with mail_server(around) as server:
        destination = open_destination(settings(server.port, **options), around.destination(CONNECTOR))
        outcome = await within(destination.deliver(parcel(b"x")))
        assert (failure_of(outcome), destination.health()[0].state) == ("transient", state)
        with pytest.raises(Exception, match=r"not|let"):
            await deferToThread(lambda: list(probe(settings(server.port, **options), around.folder, around.secrets)))
    assert server.boxes.mails == []
    assert "wrong" not in outcome.reason


@pytest_twisted.ensureDeferred
async def test_the_probe_logs_in_and_begins_no_mail(around: Surroundings) -> None:
    async with mail_server(around) as server:
        made = settings(server.port, **WELCOME)
        said = await deferToThread(lambda: list(probe(made, around.folder, around.secrets)))
    assert said == [f"reached 127.0.0.1:{server.port}, encrypted", "logged in as hub"]
    assert server.boxes.recipients == []
    with pytest.raises(UnreachedError):
        await deferToThread(lambda: list(probe(made, around.folder, around.secrets)))


@pytest_twisted.ensureDeferred
async def test_a_server_without_encryption_hears_no_password(around: Surroundings) -> None:
    def behave(peer: Peer, _: bytes) -> None:
        peer.say(b"250-here\r\n250 AUTH PLAIN\r\n" if peer.seen.startswith(b"ehlo") else b"250 ok\r\n")

    around.secret("smtp", "mail-me")
    async with serving(behave, lambda peer: peer.say(b"220 here\r\n")) as server:
        outcome = await sent(around, settings(server.port, trust=None, **WELCOME))
    assert failure_of(outcome) == "transient"
    assert b"AUTH" not in server.peers[0].seen.upper().replace(b"AUTH PLAIN\r\n", b"")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"content": "attached"}, "patient_data = true must allow"),
        ({"security": "none", "server": "tcp:mail.clinic.example:25"}, "server on this machine"),
        ({"username": "hub"}, "go together"),
        ({"to": ["Nora <nora@clinic.example>"]}, "without a display name"),
        ({"subject": "{patient}"}, "stands for nothing"),
        ({"subject": "{"}, "stands for nothing"),
    ],
)
def test_what_may_not_be_mailed_is_said_when_the_file_is_read(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        settings(587, **change)
