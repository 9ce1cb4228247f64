"""Telling people of alerts: by mail, and to a webhook. Both block, so neither runs where messages do."""

from __future__ import annotations

import http.client
import json
import smtplib
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import EmailMessage
from typing import Any

from hub.connectors.smtp import Account, Security, session
from hub.core.errors import HubError
from hub.core.secret import Secrets
from hub.site.settings import AlertSettings
from hub.web.alerting import Alert, News

SEND_SECONDS = 15.0


class NotSentError(HubError):
    """An alert could not be sent. It is tried again with the next look."""

    code = "H724"


def mail(settings: AlertSettings, secrets: Secrets, title: str, found: News) -> None:
    """Send *found* to whom it concerns. Raises :class:`NotSentError`, and `SecretMissingError` for the password."""
    assert settings.smtp is not None
    password = secrets.value(settings.smtp_password) if settings.smtp_password is not None else None
    where = f"tcp:{settings.smtp.host}:{settings.smtp.port}"
    # Nobody else may read a password.
    security: Security = "starttls if offered" if password is None else "starttls"
    try:
        with session(Account(settings.smtp, security, settings.smtp_user, password)) as server:
            for made in _mails(settings, title, found):
                server.send_message(made)
    except (OSError, smtplib.SMTPException) as error:
        raise _not_sent(error, "mail", where) from None


def post(settings: AlertSettings, secrets: Secrets, title: str, found: News) -> None:
    """Send *found* to the webhook as JSON. Raises :class:`NotSentError`, and `SecretMissingError` for the token."""
    document = {
        "hub": title,
        "opened": [_plain(settings, each) for each in found.opened],
        "escalated": [_plain(settings, each) for each in found.escalated],
        "closed": [_plain(settings, each) for each in found.closed],
    }
    headers = {"Content-Type": "application/json"}
    if settings.webhook_token is not None:
        headers["Authorization"] = f"Bearer {secrets.value(settings.webhook_token)}"
    request = urllib.request.Request(  # noqa: S310  the settings allow https, and http on this machine
        settings.webhook or "", json.dumps(document).encode(), headers
    )
    try:
        urllib.request.build_opener(_NoRedirect).open(request, timeout=SEND_SECONDS).close()
    except (OSError, http.client.HTTPException) as error:
        raise _not_sent(error, "webhook", "[alerts] webhook") from None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Goes nowhere else: the token is for the address in the settings alone."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _not_sent(error: Exception, what: str, where: str) -> NotSentError:
    status = getattr(error, "code", None) or getattr(error, "smtp_code", None)
    reason = getattr(error, "reason", None)
    found = f"status {status}" if status else type(reason if isinstance(reason, OSError) else error).__name__
    return NotSentError(
        f"Alerts could not be sent by {what}.", where=where, found=found, fix="It is tried again; see [alerts]."
    )


def _mails(settings: AlertSettings, title: str, found: News) -> Iterator[EmailMessage]:
    """One mail to those who are told first, and one to each further step that is reached."""
    if settings.email_to and (found.opened or found.closed):
        yield _mail(settings, settings.email_to, title, News(found.opened, (), found.closed))
    for number, step in enumerate(settings.escalation, 2):
        reached = tuple(each for each in (*found.opened, *found.escalated) if each.level >= number)
        reached = tuple(each for each in reached if each.state.mailed < number)
        closed = tuple(each for each in found.closed if each.state.mailed >= number)
        if reached or closed:
            yield _mail(settings, step.email_to, title, News((), reached, closed))


def _mail(settings: AlertSettings, to: tuple[str, ...], title: str, found: News) -> EmailMessage:
    made = EmailMessage()
    made["From"], made["To"] = settings.email_from, ", ".join(to)
    parts = (("opened", found.opened), ("not taken", found.escalated), ("closed", found.closed))
    made["Subject"] = f"{title}: {', '.join(f'{len(some)} {word}' for word, some in parts if some)}"
    lines = [line for each in found.opened for line in _lines(settings, "OPEN", each)]
    lines += [line for each in found.escalated for line in _lines(settings, "NOT TAKEN", each)]
    lines += [f"CLOSED  {each.state.sentence}" for each in found.closed]
    made.set_content("\n".join(lines) + "\n")
    return made


def _lines(settings: AlertSettings, word: str, alert: Alert) -> Iterator[str]:
    yield f"{word}  {alert.state.sentence}"
    if alert.state.first:
        yield f"    {alert.state.first}"
    if address := _address(settings, alert):
        yield f"    {address}"


def _plain(settings: AlertSettings, alert: Alert) -> dict[str, str]:
    plain = {"key": alert.state.key, "what": alert.state.sentence, "first": alert.state.first}
    return plain | ({"address": address} if (address := _address(settings, alert)) else {})


def _address(settings: AlertSettings, alert: Alert) -> str:
    """Where the pages show it, once the settings say where people reach them."""
    return f"{settings.pages.rstrip('/')}{alert.need.address}" if settings.pages and alert.need else ""
