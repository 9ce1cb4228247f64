"""Mail: outputs announce themselves to people, or go to them, by SMTP; what comes into a mailbox is read by IMAP.

A mail crosses servers that nobody here knows. It says that something is there; what that says of a patient goes along
only where the channel states that this is allowed.
"""

from __future__ import annotations

import re
import smtplib
import ssl
from collections.abc import Iterator
from email.message import EmailMessage
from email.utils import formatdate
from pathlib import Path
from string import Formatter
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from hub.connectors import inbox
from hub.connectors.inbox import EmailSourceSettings
from hub.connectors.reach import UnreachedError
from hub.connectors.settings import LOOPBACK, ConnectTo, Secret, Settings
from hub.connectors.smtp import Account, RefusedError, UnknownError, hand_over, session
from hub.connectors.working import Working, failed
from hub.core.clock import real_ms
from hub.core.errors import HubError
from hub.core.secret import Secrets
from hub.core.units import Duration
from hub.engine.contracts import (
    Connector,
    Destination,
    DestinationContext,
    EndpointState,
    Failure,
    Reply,
    TaskCall,
)

_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\Z")
_PLACES = frozenset({"kind", "name", "channel"})
_LAST_STEPS = 90.0
"""Seconds that a worker may take beyond the limits of the single steps."""


def _address(text: str) -> str:
    if not _ADDRESS.match(text):
        raise ValueError('an address is "name@domain", without a display name')
    return text


def _template(text: str) -> str:
    try:
        places = {place for _, place, _, _ in Formatter().parse(text) if place is not None}
    except ValueError:
        places = {"{"}
    if unknown := sorted(places - _PLACES):
        raise ValueError(f"{unknown[0]} stands for nothing here; {{kind}}, {{name}} and {{channel}} do")
    return text


Address = Annotated[str, AfterValidator(_address)]
Template = Annotated[str, AfterValidator(_template)]


class EmailDestinationSettings(Settings):
    """A mail server through which each output becomes one mail."""

    server: ConnectTo = Field(description="The mail server.", examples=["tcp:mail.clinic.example:587"])
    security: Literal["starttls", "tls", "none"] = Field(
        "starttls",
        description="How the way to the server is encrypted: after a plain greeting (usually port 587), from the first "
        "byte (465), or not at all, which is for a server on this machine.",
        examples=["tls"],
    )
    trust: str | None = Field(
        None,
        description="A file of certificates in PEM form to trust instead of the system's, for a server with a "
        "certificate of its own. A relative path begins at the site's folder.",
        examples=["config/mail.pem"],
    )
    username: str = Field("", description="Who logs in.", examples=["hub"])
    password: Secret | None = Field(
        None, description="The password, if the server wants one.", examples=[{"secret": "smtp"}]
    )
    sender: Address = Field(description="Whom mails are from.", examples=["hub@clinic.example"])
    to: tuple[Address, ...] = Field(
        min_length=1,
        description="Whom they go to. If the server refuses one of them, nobody gets the mail.",
        examples=[["billing@clinic.example"]],
    )
    subject: Template = Field(
        "{channel}: {kind} {name}",
        description="The subject. {kind} and {name} stand for the output's, {channel} for the channel.",
        examples=["A report is ready: {name}"],
    )
    text: Template = Field(
        "{kind} {name} of the channel {channel} is ready.\n",
        description="The text, with the same places.",
        examples=["The report {name} waits in the hub.\n"],
    )
    content: Literal["none", "attached", "text"] = Field(
        "none",
        description="Whether the output itself goes along: not at all, as an attachment, or as the text (UTF-8).",
        examples=["attached"],
    )
    content_type: str = Field(
        "application/octet-stream",
        pattern=r"^[a-z]+/[a-z0-9.+-]+$",
        description="What an attachment is.",
        examples=["application/pdf", "text/csv"],
    )
    patient_data: bool = Field(
        False,
        description="States that mails to these people through this server may carry patient data. The output goes "
        "along only then.",
        examples=[True],
    )
    connect_within: Duration = Field(10.0, description="How long to wait for a connection.", examples=["10s"])
    answer_within: Duration = Field(30.0, description="How long to wait for each answer.", examples=["30s"])

    @model_validator(mode="after")
    def _nothing_leaves_that_may_not(self) -> Self:
        if self.content != "none" and not self.patient_data:
            raise ValueError(
                "content puts the output into the mail, which patient_data = true must allow; "
                "left out, the mail says only that something is there"
            )
        if self.security == "none" and self.server.host not in LOOPBACK:
            raise ValueError('security = "none" is for a server on this machine')
        if (self.password is None) != (not self.username):
            raise ValueError("username and password go together")
        return self


def open_destination(settings: EmailDestinationSettings, context: DestinationContext) -> Destination:
    """A destination that sends the mails."""
    return Working(
        "email",
        settings.server.shown,
        settings,
        context,
        steps=("send",),
        may_be="The mail may have been taken.",
        is_not="",
        within=settings.connect_within + 8 * settings.answer_within + _LAST_STEPS,
    )


def send(call: TaskCall) -> Reply:
    """Task ``email.send``: one mail. It is ambiguous only once all of it was handed over."""
    settings = EmailDestinationSettings.model_validate(call.header["settings"])
    (content,) = call.parts
    places = {name: _line(str(call.header[name])) for name in _PLACES}
    try:
        mail = compose(settings, places, content, int(call.header["delivery_id"]))
        with session(_account(settings, call.site.secrets, call.site.folder)) as server:
            hand_over(server, mail, settings.sender, settings.to)
    except UnknownError:
        reason = "The mail server did not say whether it took the mail."
        return failed(Failure.AMBIGUOUS, reason, EndpointState.RETRYING)
    except RefusedError as error:
        reason = f"The mail server refused {error.step} ({error.smtp_code})."
        return failed(Failure.PERMANENT if error.for_good else Failure.TRANSIENT, reason)
    except (OSError, smtplib.SMTPException, HubError) as error:
        state, reason = _in_words(error)
        return failed(Failure.TRANSIENT, reason, state)
    except UnicodeDecodeError:
        return failed(Failure.PERMANENT, "The output is no text in UTF-8; have it attached.")
    return Reply({"failure": None}, (str(mail["Message-ID"]).encode(),))


def compose(
    settings: EmailDestinationSettings, places: dict[str, str], content: bytes, delivery_id: int
) -> EmailMessage:
    """The mail for one output. Sent again it has the same Message-ID, by which receivers know a repeat.

    Raises `UnicodeDecodeError` when *content* should be its text and is none.
    """
    mail = EmailMessage()
    mail["From"], mail["To"] = settings.sender, ", ".join(settings.to)
    mail["Subject"] = _line(settings.subject.format(**places))
    mail["Date"] = formatdate(real_ms() / 1000)
    mail["Message-ID"] = f"<{delivery_id}.{places['channel']}@{settings.sender.partition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no holiday answers
    mail.set_content(content.decode() if settings.content == "text" else settings.text.format(**places))
    if settings.content == "attached":
        kind, _, subkind = settings.content_type.partition("/")
        mail.add_attachment(content, maintype=kind, subtype=subkind, filename=places["name"] or "output")
    return mail


def probe(settings: EmailDestinationSettings | EmailSourceSettings, folder: Path, secrets: Secrets) -> Iterator[str]:
    """Log in and go away again; no mail is begun or marked. Raises `HubError` with what keeps one from it."""
    if isinstance(settings, EmailSourceSettings):
        yield from inbox.probe(settings, folder, secrets)
        return
    where = settings.server.shown
    try:
        with session(_account(settings, secrets, folder)) as server:
            yield f"reached {where}{'' if settings.security == 'none' else ', encrypted'}"
            if settings.password is not None:
                yield f"logged in as {settings.username}"
            server.noop()
    except (OSError, smtplib.SMTPException) as error:
        raise UnreachedError(_in_words(error)[1], where=where) from None


def _account(settings: EmailDestinationSettings, secrets: Secrets, folder: Path) -> Account:
    return Account(
        settings.server,
        settings.security,
        settings.username,
        secrets.value(settings.password) if settings.password is not None else None,
        folder / settings.trust if settings.trust else None,
        settings.connect_within,
        settings.answer_within,
    )


def _line(text: str) -> str:
    """*text* as it may stand in a header: on one line."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _in_words(error: Exception) -> tuple[EndpointState, str]:
    match error:
        case HubError():
            return EndpointState.LOGIN_FAILED, error.what
        case smtplib.SMTPAuthenticationError():
            return EndpointState.LOGIN_FAILED, f"The mail server does not let this user in ({error.smtp_code})."
        case smtplib.SMTPNotSupportedError():
            return EndpointState.REFUSED, "The mail server offers no encryption, or no login that the hub knows."
        case ssl.SSLCertVerificationError():
            return EndpointState.REFUSED, f"Its certificate is not trusted: {error.verify_message}."
        case ConnectionRefusedError():
            return EndpointState.REFUSED, "The mail server refused the connection."
        case smtplib.SMTPResponseException():
            return EndpointState.RETRYING, f"The mail server is not ready ({error.smtp_code})."
        case TimeoutError():
            return EndpointState.RETRYING, "The mail server did not answer in time."
        case _:
            return EndpointState.RETRYING, f"The connection failed ({type(error).__name__})."


CONNECTOR = Connector(
    name="email",
    summary="Mail: what comes into a mailbox, by IMAP; a mail for each output, by SMTP, with it only where allowed.",
    source_settings=EmailSourceSettings,
    open_source=inbox.open_source,
    destination_settings=EmailDestinationSettings,
    open_destination=open_destination,
    tasks={"email.send": send, "email.fetch": inbox.fetch, "email.after": inbox.after},
    probe=probe,
)
