"""Handing mail to a server, step by step, so that it is known what a failure means.

Blocks; for workers and commands. Sources: RFC 5321 (SMTP), RFC 3207 (STARTTLS), RFC 4954 (AUTH), RFC 8314 (implicit
TLS).
"""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Literal

from hub.connectors.settings import TcpEndpoint

Security = Literal["tls", "starttls", "starttls if offered", "none"]


@dataclass(frozen=True, slots=True)
class Account:
    """A mail server and who we are there. *trust* is a file of certificates to trust instead of the system's."""

    server: TcpEndpoint
    security: Security
    user: str = ""
    password: str | None = field(default=None, repr=False)
    trust: Path | None = None
    connect_within: float = 15.0
    answer_within: float = 15.0


class RefusedError(smtplib.SMTPException):
    """The server answered a step with no: *code* 4xx for now, 5xx for good. Nothing was handed over."""

    def __init__(self, step: str, code: int) -> None:
        super().__init__(f"{step} {code}")
        self.step = step
        self.smtp_code = code

    @property
    def for_good(self) -> bool:
        """Whether the same would be refused again."""
        return self.smtp_code >= 500


class UnknownError(smtplib.SMTPException):
    """The whole mail was handed over and the server did not say whether it took it."""


@contextmanager
def session(account: Account) -> Iterator[smtplib.SMTP]:
    """A session with the server, logged in where there is a password. Raises `OSError` and `SMTPException`."""
    host, port = account.server.host, account.server.port
    name = "claimhub"  # smtplib would ask DNS for the machine's own
    if account.security == "tls":
        server: smtplib.SMTP = smtplib.SMTP_SSL(
            host, port, name, timeout=account.connect_within, context=_trusting(account)
        )
    else:
        server = smtplib.SMTP(host, port, name, timeout=account.connect_within)
    try:
        assert server.sock is not None
        server.sock.settimeout(account.answer_within)
        server.ehlo_or_helo_if_needed()
        wanted = account.security == "starttls"
        if wanted or (account.security == "starttls if offered" and server.has_extn("starttls")):
            server.starttls(context=_trusting(account) if wanted else None)
            server.ehlo()
        if account.password is not None:
            server.login(account.user, account.password)
        yield server
        with suppress(OSError, smtplib.SMTPException):  # what was to be done is done
            server.quit()
    finally:
        server.close()


def hand_over(server: smtplib.SMTP, mail: EmailMessage, sender: str, to: Sequence[str]) -> None:
    """Have *server* take *mail* for all of *to*, or for none of them.

    Raises :class:`RefusedError` when it says no, :class:`UnknownError` when it has all of it and says nothing, and
    `OSError` or `SMTPException` when it was lost before: then it has taken nothing.
    """
    content = mail.as_bytes(policy=SMTP)
    _must(server.mail(sender), "MAIL", 250)
    for recipient in to:
        _must(server.rcpt(recipient), "RCPT", 250, 251)
    _must(server.docmd("DATA"), "DATA", 354)
    server.send(_stuffed(content))
    try:
        server.send(b".\r\n")
        code, _ = server.getreply()
    except (OSError, smtplib.SMTPException) as error:
        raise UnknownError(type(error).__name__) from None
    _must((code, b""), "the mail", 250)


def _must(answer: tuple[int, bytes], step: str, *good: int) -> None:
    if answer[0] not in good:
        raise RefusedError(step, answer[0])


def _stuffed(content: bytes) -> bytes:
    """*content* with a second dot before a line's first one (RFC 5321, section 4.5.2), ending in a line end."""
    lines = content.splitlines()
    return b"".join((b"." if line.startswith(b".") else b"") + line + b"\r\n" for line in lines)


def _trusting(account: Account) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(account.trust) if account.trust else None)
