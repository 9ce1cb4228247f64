from __future__ import annotations

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import EmailMessage
from typing import Any

import pytest
import pytest_twisted
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.portal import Portal
from twisted.internet import reactor
from twisted.internet.protocol import Factory
from twisted.internet.ssl import DefaultOpenSSLContextFactory
from twisted.internet.threads import deferToThread
from twisted.mail import imap4
from zope.interface import implementer

from hub.connectors.email import CONNECTOR, probe
from hub.connectors.inbox import EmailSourceSettings, Inbox, open_source
from hub.connectors.reach import UnreachedError
from hub.engine.contracts import Description, EndpointState
from tests.connectors.authority import Authority
from tests.connectors.peers import Surroundings, within

net: Any = reactor


@implementer(imap4.IMessage, imap4.IMessageFile)
class Mail:
    def __init__(self, uid: int, content: bytes) -> None:
        self.uid = uid
        self.content = content
        self.flags: set[str] = set()

    def open(self) -> io.BytesIO:
        return io.BytesIO(self.content)

    def getUID(self) -> int:  # noqa: N802
        return self.uid

    def getFlags(self) -> list[str]:  # noqa: N802
        return list(self.flags)

    def getSize(self) -> int:  # noqa: N802
        return len(self.content)

    def getInternalDate(self) -> str:  # noqa: N802
        return "30-Nov-2026 10:00:00 +0000"

    def getHeaders(self, _negate: bool, *_names: bytes) -> dict[str, str]:  # noqa: N802
        return {}

    def getBodyFile(self) -> io.BytesIO:  # noqa: N802
        return self.open()

    def isMultipart(self) -> bool:  # noqa: N802
        return False

    def getSubPart(self, _part: int) -> None:  # noqa: N802
        raise IndexError


@implementer(imap4.IMailbox)
class Box:
    """A mailbox of a test, as Twisted's server serves it."""

    def __init__(self) -> None:
        self.mails: list[Mail] = []
        self.validity = 7
        self._next = 1

    def put(self, content: bytes) -> None:
        self.mails.append(Mail(self._next, content))
        self._next += 1

    def anew(self) -> None:
        """The mailbox was made anew: numbers begin again."""
        self.validity += 1
        for number, mail in enumerate(self.mails, 1):
            mail.uid = number

    def getUIDValidity(self) -> int:  # noqa: N802
        return self.validity

    def getUIDNext(self) -> int:  # noqa: N802
        return self._next

    def getUID(self, number: int) -> int:  # noqa: N802
        return self.mails[number - 1].uid

    def getMessageCount(self) -> int:  # noqa: N802
        return len(self.mails)

    def getRecentCount(self) -> int:  # noqa: N802
        return 0

    def getUnseenCount(self) -> int:  # noqa: N802
        return 0

    def isWriteable(self) -> bool:  # noqa: N802
        return True

    def getFlags(self) -> list[str]:  # noqa: N802
        return [r"\Deleted", r"\Seen"]

    def getHierarchicalDelimiter(self) -> str:  # noqa: N802
        return "/"

    def addListener(self, _listener: object) -> None:  # noqa: N802
        pass

    def removeListener(self, _listener: object) -> None:  # noqa: N802
        pass

    def destroy(self) -> None:
        pass

    def requestStatus(self, names: Any) -> Any:  # noqa: N802
        return imap4.statusRequestHelper(self, names)

    def fetch(self, wanted: Any, uid: bool) -> list[tuple[int, Mail]]:
        wanted.last = self._next if uid else len(self.mails)
        pairs = list(enumerate(self.mails, 1))
        return [(number, mail) for number, mail in pairs if (mail.uid if uid else number) in wanted]

    def store(self, wanted: Any, flags: Any, _mode: int, uid: bool) -> dict[int, list[str]]:
        found = self.fetch(wanted, uid)
        for _, mail in found:
            mail.flags |= set(flags)
        return {number: mail.getFlags() for number, mail in found}

    def expunge(self) -> list[int]:
        gone = [mail for mail in self.mails if r"\Deleted" in mail.flags]
        self.mails = [mail for mail in self.mails if mail not in gone]
        return [mail.uid for mail in gone]


class Realm:
    def __init__(self, box: Box) -> None:
        self._account: Any = imap4.MemoryAccount(b"remits")  # type: ignore[no-untyped-call]
        self._account.mailboxes["INBOX"] = box

    def requestAvatar(self, *_: Any) -> Any:  # noqa: N802
        return imap4.IAccount, self._account, lambda: None


@asynccontextmanager
async def mailbox(around: Surroundings) -> AsyncIterator[tuple[Box, int]]:
    """Twisted's IMAP server over TLS with one mailbox, which lets `remits` in with `read-me`."""
    around.secret("imap", "read-me")
    certificate, key = Authority(around.folder / "tls").issue("mail")
    box = Box()
    portal = Portal(Realm(box), [InMemoryUsernamePasswordDatabaseDontUse(remits=b"read-me")])

    def build() -> Any:
        server: Any = imap4.IMAP4Server()  # type: ignore[no-untyped-call]
        server.portal = portal
        return server

    factory: Any = Factory.forProtocol(build)
    factory.noisy = False
    port = net.listenSSL(0, factory, DefaultOpenSSLContextFactory(str(key), str(certificate)), interface="127.0.0.1")
    try:
        yield box, port.getHost().port
    finally:
        await within(port.stopListening())


def mail(*attachments: tuple[str, bytes], sender: str = "out@clearway.example", text: str = "see there") -> bytes:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = sender, "remits@clinic.example", "files"
    made.set_content(text)
    for name, content in attachments:
        made.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
    return made.as_bytes()


def settings(port: int, **options: Any) -> EmailSourceSettings:
    login = {"username": "remits", "password": {"secret": "imap"}, "trust": "tls/ca.pem"}
    return EmailSourceSettings.model_validate({"server": f"tcp:127.0.0.1:{port}", **login, "poll": "20ms", **options})


def inbox(around: Surroundings, port: int, **options: Any) -> Inbox:
    context = around.source(CONNECTOR, describe=lambda raw: Description(kind="835"))
    opened = open_source(settings(port, **options), context)
    assert isinstance(opened, Inbox)
    return opened


async def looked(source: Inbox) -> EndpointState:
    source._running = True
    await source.look()
    return source.health()[0].state


def taken(around: Surroundings) -> list[tuple[str, bytes]]:
    return [(item.source, item.raw) for item in around.intake.received]


@pytest_twisted.ensureDeferred
async def test_each_attachment_is_a_message_once_and_its_bytes_are_kept(around: Surroundings) -> None:
    async with mailbox(around) as (box, port):
        box.put(mail(("a.835", b"ISA*a~\r\n"), ("logo.png", b"\x89PNG"), ("b.835", b"ISA*\xff~")))
        box.put(mail())
        box.put(mail(("c.835", b"ISA*c~")))
        assert await looked(inbox(around, port, match=["*.835"], batch=2)) == EndpointState.CONNECTED
        await looked(inbox(around, port, match=["*.835"]))
        box.put(mail(("d.835", b"ISA*d~")))
        await looked(inbox(around, port, match=["*.835"]))
    assert taken(around) == [
        ("a.835", b"ISA*a~\r\n"), ("b.835", b"ISA*\xff~"), ("c.835", b"ISA*c~"), ("d.835", b"ISA*d~"),
    ]  # fmt: skip
    assert [mail.flags for mail in box.mails] == [set()] * 4, "nothing is marked as read"
    assert around.intake.marks == {"email remits INBOX": "7/4/0"}


@pytest_twisted.ensureDeferred
async def test_after_a_crash_within_a_mail_its_other_attachments_follow(around: Surroundings) -> None:
    async with mailbox(around) as (box, port):
        box.put(mail(("a.835", b"a"), ("b.835", b"b")))
        around.intake.marks["email remits INBOX"] = "7/0/1"
        await looked(inbox(around, port))
    assert taken(around) == [("b.835", b"b")]
    assert around.intake.marks == {"email remits INBOX": "7/1/0"}


@pytest_twisted.ensureDeferred
async def test_a_mailbox_that_was_made_anew_is_read_from_its_beginning(around: Surroundings) -> None:
    async with mailbox(around) as (box, port):
        box.put(mail(("a.835", b"a")))
        await looked(inbox(around, port))
        box.anew()
        await looked(inbox(around, port))
    assert taken(around) == [("a.835", b"a")] * 2
    assert around.intake.marks == {"email remits INBOX": "8/1/0"}


@pytest_twisted.ensureDeferred
async def test_a_mail_is_deleted_only_once_what_it_brought_is_stored(around: Surroundings) -> None:
    async with mailbox(around) as (box, port):
        box.put(mail(("a.835", b"a")))
        box.put(mail(("b.835", b"b"), sender="someone@elsewhere.example"))
        around.intake.failing = RuntimeError("no store")
        source = inbox(around, port, after="delete", senders=["*@clearway.example"])
        with pytest.raises(RuntimeError):
            await looked(source)
        assert len(box.mails) == 2
        around.intake.failing = None
        around.intake.received.clear()
        around.intake.marks.clear()
        await looked(source)
    assert taken(around) == [("a.835", b"a")]
    assert [mail.uid for mail in box.mails] == [2], "what brought nothing stays"


@pytest_twisted.ensureDeferred
async def test_the_text_can_be_the_message_and_what_is_too_large_is_told(around: Surroundings) -> None:
    async with mailbox(around) as (box, port):
        box.put(mail(text="x" * 5000))
        box.put(mail(text="Guten Tag, Ünal."))
        source = inbox(around, port, take="text", max_mail="2KB")
        await looked(source)
    assert [raw.decode().strip() for _, raw in taken(around)] == ["Guten Tag, Ünal."]
    assert source.health()[0].detail == "1 mails are too large to take."


@pytest_twisted.ensureDeferred
async def test_who_is_not_let_in_is_told_so_and_tries_again(around: Surroundings) -> None:
    around.secret("other", "wrong")
    async with mailbox(around) as (box, port):
        box.put(mail(("a.835", b"a")))
        assert await looked(inbox(around, port, password={"secret": "other"})) == EndpointState.LOGIN_FAILED
        assert await looked(inbox(around, port, trust=None)) == EndpointState.REFUSED
        assert await looked(inbox(around, port, mailbox="nowhere")) == EndpointState.LOGIN_FAILED
        good = settings(port)
        said = await deferToThread(lambda: list(probe(good, around.folder, around.secrets)))
    assert said == [f"logged in to 127.0.0.1:{port} as remits", "INBOX has 1 mails"]
    assert await looked(inbox(around, port)) == EndpointState.REFUSED
    with pytest.raises(UnreachedError):
        await deferToThread(lambda: list(probe(good, around.folder, around.secrets)))
    assert taken(around) == []
