"""Mail that comes in: what people and systems send to a mailbox becomes messages, each attachment one.

Every mail has a number in its mailbox that only grows, and a mailbox that was made anew says so (RFC 3501, section
2.3.1.1). How far the hub has come is kept in the transaction that stores a message: over a crash nothing is left out or
taken twice. imaplib blocks, so this runs in the transfer workers.
"""

from __future__ import annotations

import email
import email.policy
import fnmatch
import imaplib
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from hub.connectors.polling import TimedPolling
from hub.connectors.reach import UnreachedError
from hub.connectors.settings import LOOPBACK, ConnectTo, Secret
from hub.connectors.times import Polls
from hub.core.errors import HubError
from hub.core.secret import Secrets
from hub.core.units import Duration, Size
from hub.engine.contracts import (
    Description,
    EndpointState,
    Mark,
    Received,
    Reply,
    Source,
    SourceContext,
    TaskCall,
)

CALL_WITHIN = 300.0
_SIZE = re.compile(rb"RFC822\.SIZE (\d+)")


class EmailSourceSettings(Polls):
    """A mailbox by IMAP whose mails bring messages: each attachment, or the text, is one."""

    server: ConnectTo = Field(description="The mail server.", examples=["tcp:mail.clinic.example:993"])
    security: Literal["tls", "starttls", "none"] = Field(
        "tls",
        description="How the way to the server is encrypted: from the first byte (usually port 993), after a plain "
        "greeting (143), or not at all, which is for a server on this machine.",
        examples=["tls"],
    )
    trust: str | None = Field(
        None,
        description="A file of certificates in PEM form to trust instead of the system's, for a server with a "
        "certificate of its own. A relative path begins at the site's folder.",
        examples=["config/mail.pem"],
    )
    username: str = Field(min_length=1, description="Who logs in.", examples=["remits@clinic.example"])
    password: Secret = Field(description="The password.", examples=[{"secret": "imap"}])
    mailbox: str = Field(
        "INBOX", pattern=r'^[^"\\\r\n]+$', description="The mailbox.", examples=["INBOX", "INBOX/remits"]
    )
    take: Literal["attachments", "text"] = Field(
        "attachments", description="What of a mail becomes a message.", examples=["attachments"]
    )
    match: tuple[str, ...] = Field(
        ("*",),
        min_length=1,
        description="Which attachments, by their names as patterns.",
        examples=[["*.835", "*.999"]],
    )
    senders: tuple[str, ...] = Field(
        (),
        description="Only mails from these addresses, as patterns. A sender's name is easily forged: this sorts, it "
        "protects from nobody.",
        examples=[["*@clearway.example"]],
    )
    after: Literal["keep", "delete"] = Field(
        "keep",
        description="What becomes of a mail whose messages are stored. Mails that brought none are always kept, and "
        "so is one that the server did not delete when asked.",
        examples=["delete"],
    )
    batch: int = Field(20, ge=1, description="How many mails to read at a time.", examples=[20])
    max_mail: Size = Field(64 << 20, description="A larger mail is left where it is, and reported.", examples=["64MB"])
    connect_within: Duration = Field(10.0, description="How long to wait for a connection.", examples=["10s"])
    answer_within: Duration = Field(60.0, description="How long to wait for each answer.", examples=["60s"])

    @property
    def mark(self) -> str:
        """What the newest mail is kept under."""
        return f"email {self.username} {self.mailbox}"

    @property
    def name(self) -> str:
        """What the mark is called where two sources have one."""
        return self.mailbox

    @model_validator(mode="after")
    def _password_stays_here(self) -> Self:
        if self.security == "none" and self.server.host not in LOOPBACK:
            raise ValueError('security = "none" is for a server on this machine')
        return self


@dataclass(frozen=True, slots=True)
class _Place:
    """How far the hub has come: the mailbox's *validity*, the newest mail dealt with, and *parts* of the next one."""

    validity: int = 0
    uid: int = 0
    parts: int = 0

    @classmethod
    def read(cls, text: str | None) -> _Place:
        return cls(*map(int, text.split("/"))) if text else cls()

    def __str__(self) -> str:
        return f"{self.validity}/{self.uid}/{self.parts}"


class Inbox(TimedPolling):
    """Polls a mailbox by the tasks ``email.fetch`` and ``email.after``."""

    def __init__(self, settings: EmailSourceSettings, context: SourceContext) -> None:
        super().__init__("email", f"{settings.server.shown} {settings.mailbox}", context, settings)
        self._settings = settings

    async def look(self) -> float:
        """Read until no mail is left; returns how long to wait for the next look."""
        context = self._context
        while self.goes_on:
            place = _Place.read(await context.intake.place(context.channel, self._settings.mark))
            reply = await self._call("fetch", {"validity": place.validity, "uid": place.uid})
            if self.failed(reply):
                break
            validity = int(reply.header["validity"])
            if validity != place.validity:
                place = _Place(validity)
            too_large = int(reply.header["too_large"])
            self.stand(EndpointState.CONNECTED, f"{too_large} mails are too large to take." if too_large else "")
            taken = await self._take(place, reply)
            if taken and self._settings.after == "delete":
                self.failed(await self._call("after", {"validity": validity, "uids": taken}))
            if not reply.header["more"]:
                break
        return self.wait()

    async def _take(self, place: _Place, reply: Reply) -> list[int]:
        """Store the parts of each mail, and return the mails that brought something."""
        taken = []
        for mail in reply.header["mails"]:
            uid, parts = int(mail["uid"]), mail["parts"]
            for number, part in enumerate(parts[place.parts :], place.parts + 1):
                whole = number == len(parts)
                place = _Place(place.validity, uid if whole else place.uid, 0 if whole else number)
                await self._receive(str(part["name"]), reply.parts[part["part"]], place)
            if parts:
                taken.append(uid)
            if place.uid < uid:  # it brought nothing
                place = _Place(place.validity, uid)
                await self._context.intake.keep(self._context.channel, Mark(self._settings.mark, str(place)))
        return taken

    async def _receive(self, name: str, raw: bytes, place: _Place) -> None:
        context, refusal, code = self._context, None, ""
        try:
            description = context.describe(raw)
        except HubError as error:
            description, refusal, code = Description(kind="unreadable"), error.what, error.code
        filtered = None
        if refusal is None and context.accepts and description.kind not in context.accepts:
            filtered = f"The channel does not take {description.kind}."
        await context.intake.receive(
            Received(
                channel=context.channel,
                raw=raw,
                description=description,
                source=name[:200],
                refusal=refusal,
                refusal_code=code,
                filtered=filtered,
                unheard=True,
                mark=Mark(self._settings.mark, str(place)),
            )
        )

    async def _call(self, task: str, header: dict[str, Any]) -> Reply:
        settings = self._settings.model_dump(mode="json")
        return await self._context.workers.call(f"email.{task}", {"settings": settings, **header}, timeout=CALL_WITHIN)


def open_source(settings: EmailSourceSettings, context: SourceContext) -> Source:
    """A source that reads the mailbox."""
    return Inbox(settings, context)


# ---------------------------------------------------------------- tasks


def fetch(call: TaskCall) -> Reply:
    """Task ``email.fetch``: the mails behind ``uid``, while the mailbox is still the one of ``validity``."""
    settings = EmailSourceSettings.model_validate(call.header["settings"])
    try:
        with _mailbox(settings, call.site.secrets, call.site.folder) as (server, validity):
            after = int(call.header["uid"]) if validity == int(call.header["validity"]) else 0
            uids = _uids(server, after)
            mails, contents, too_large = _mails(server, settings, uids[: settings.batch])
    except (OSError, imaplib.IMAP4.error, HubError) as error:
        return _failed(error)
    more = len(uids) > len(mails)
    header = {"validity": validity, "mails": mails, "too_large": too_large, "more": more}
    return Reply(header, tuple(contents))


def after(call: TaskCall) -> Reply:
    """Task ``email.after``: delete the mails with ``uids``, while the mailbox is still the one of ``validity``."""
    settings = EmailSourceSettings.model_validate(call.header["settings"])
    try:
        with _mailbox(settings, call.site.secrets, call.site.folder, writing=True) as (server, validity):
            if validity == int(call.header["validity"]):
                uids = ",".join(str(uid) for uid in call.header["uids"])
                server.uid("STORE", uids, "+FLAGS.SILENT", r"(\Deleted)")
                server.expunge()
    except (OSError, imaplib.IMAP4.error, HubError) as error:
        return _failed(error)
    return Reply({})


def probe(settings: EmailSourceSettings, folder: Path, secrets: Secrets) -> Iterator[str]:
    """Log in and look into the mailbox; nothing is marked as read. Raises `HubError` with what keeps one from it."""
    where = settings.server.shown
    try:
        with _mailbox(settings, secrets, folder) as (server, _):
            yield f"logged in to {where} as {settings.username}"
            yield f"{settings.mailbox} has {len(_uids(server, 0))} mails"
    except (OSError, imaplib.IMAP4.error) as error:
        raise UnreachedError(_in_words(error)[1], where=where) from None


@contextmanager
def _mailbox(
    settings: EmailSourceSettings, secrets: Secrets, folder: Path, *, writing: bool = False
) -> Iterator[tuple[imaplib.IMAP4, int]]:
    """A session with the mailbox selected, and its UIDVALIDITY."""
    password = secrets.value(settings.password)
    host, port = settings.server.host, settings.server.port
    trusting = ssl.create_default_context(cafile=str(folder / settings.trust) if settings.trust else None)
    if settings.security == "tls":
        server: imaplib.IMAP4 = imaplib.IMAP4_SSL(host, port, ssl_context=trusting, timeout=settings.connect_within)
    else:
        server = imaplib.IMAP4(host, port, timeout=settings.connect_within)
    try:
        server.sock.settimeout(settings.answer_within)
        if settings.security == "starttls":
            server.starttls(trusting)
        server.login(settings.username, password)
        if server.select(f'"{settings.mailbox}"', readonly=not writing)[0] != "OK":
            raise imaplib.IMAP4.error("no such mailbox")
        _, (validity,) = server.response("UIDVALIDITY")
        yield server, int(validity or 0)
    finally:
        with suppress(OSError, imaplib.IMAP4.error):
            server.logout()


def _uids(server: imaplib.IMAP4, after: int) -> list[int]:
    """The numbers of the mails behind *after*. ``n:*`` always names the last one, also when that is older."""
    _, found = server.uid("SEARCH", "UID", f"{after + 1}:*")
    return sorted(int(uid) for uid in (found[0] or b"").split() if int(uid) > after)


def _mails(
    server: imaplib.IMAP4, settings: EmailSourceSettings, uids: list[int]
) -> tuple[list[dict[str, Any]], list[bytes], int]:
    """What the mails bring: for each its number and its parts, and their contents apart."""
    mails: list[dict[str, Any]] = []
    contents: list[bytes] = []
    too_large = 0
    for uid in uids:
        found = _size(server, uid)
        parts: list[dict[str, Any]] = []
        if found > settings.max_mail:
            too_large += 1
        else:
            for name, content in _parts(settings, _whole(server, uid)):
                parts.append({"name": name, "part": len(contents)})
                contents.append(content)
        mails.append({"uid": uid, "parts": parts})
        if sum(map(len, contents)) > settings.max_mail:
            break
    return mails, contents, too_large


def _size(server: imaplib.IMAP4, uid: int) -> int:
    _, answer = server.uid("FETCH", str(uid), "(RFC822.SIZE)")
    match = _SIZE.search(_joined(answer))
    return int(match[1]) if match else 0


def _whole(server: imaplib.IMAP4, uid: int) -> bytes:
    _, answer = server.uid("FETCH", str(uid), "(BODY.PEEK[])")
    return next((bytes(part[1]) for part in answer if isinstance(part, tuple)), b"")


def _joined(answer: list[Any]) -> bytes:
    return b" ".join(b" ".join(part) if isinstance(part, tuple) else part or b"" for part in answer)


def _parts(settings: EmailSourceSettings, raw: bytes) -> Iterator[tuple[str, bytes]]:
    """The names and contents of what becomes messages."""
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(mail, EmailMessage)
    addresses = [address.addr_spec for address in getattr(mail["From"], "addresses", ())]
    if settings.senders and not any(fnmatch.fnmatch(a, pattern) for a in addresses for pattern in settings.senders):
        return
    if settings.take == "text":
        body = mail.get_body(("plain",))
        if body is not None:
            yield "mail", body.get_content().encode()
        return
    for part in mail.iter_attachments():
        name = part.get_filename() or ""
        content = part.get_payload(decode=True)
        if isinstance(content, bytes) and any(fnmatch.fnmatchcase(name, pattern) for pattern in settings.match):
            yield name, content


def _failed(error: Exception) -> Reply:
    state, reason = _in_words(error)
    return Reply({"failure": reason, "state": state.value})


def _in_words(error: Exception) -> tuple[EndpointState, str]:
    match error:
        case HubError():
            return EndpointState.LOGIN_FAILED, error.what
        case ssl.SSLCertVerificationError():
            return EndpointState.REFUSED, f"Its certificate is not trusted: {error.verify_message}."
        case ConnectionRefusedError():
            return EndpointState.REFUSED, "The mail server refused the connection."
        case TimeoutError():
            return EndpointState.RETRYING, "The mail server did not answer in time."
        case imaplib.IMAP4.abort():
            return EndpointState.RETRYING, "The mail server ended the connection."
        case imaplib.IMAP4.error():
            return EndpointState.LOGIN_FAILED, "The mail server does not let this user in, or has no such mailbox."
        case _:
            return EndpointState.RETRYING, f"The connection failed ({type(error).__name__})."
