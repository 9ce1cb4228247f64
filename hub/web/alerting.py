"""Alerts for people who look at no page: one issue per cause, which opens after a while, and closes itself.

What is taken or snoozed on the status page is known by the same keys here. Sentences name no patient.
"""

from __future__ import annotations

import http.client
import json
import smtplib
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from cryptography import x509
from sqlalchemy import Connection

from hub.core.clock import DAY_MS
from hub.core.errors import HubError
from hub.core.secret import Secrets
from hub.security import alerts
from hub.site.load import Site
from hub.site.settings import AlertSettings
from hub.store.forecast import forecast
from hub.web.queries import status

SILENT_DAYS = 5
DISK_DAYS = 14
CERTIFICATE_DAYS = 21
SEND_SECONDS = 20.0
_UNWELL = frozenset({"failed", "login failed", "retrying", "refused"})


class NotSentError(HubError):
    """An alert could not be sent. It is tried again with the next look."""

    code = "H724"


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing that is wrong: its *key*, what in a sentence, and the first thing to try."""

    key: str
    sentence: str
    first: str


@dataclass(frozen=True, slots=True)
class Issue:
    """A cause since when (ms), and whether people were told of it."""

    cause: Cause
    since: int
    told: bool


@dataclass(frozen=True, slots=True)
class Look:
    """What one look came to: every issue, and of them those to tell people of; and those that have ended."""

    issues: tuple[Issue, ...]
    opened: tuple[Issue, ...]
    closed: tuple[Issue, ...]


def causes(connection: Connection, site: Site, engine: Mapping[str, Any] | None, now: int) -> Iterator[Cause]:
    """What is wrong at *now* (real ms), by what the store says and, unless it is away, the *engine*."""
    if engine is None:
        yield Cause("engine", "The hub does not answer.", "Start it with hub run; nothing that is stored is lost.")
    for name, channel in (engine or {}).get("channels", {}).items():
        ends = [*channel["sources"], *(end for found in channel["destinations"].values() for end in found)]
        bad = next((end for end in ends if end["state"] in _UNWELL), None)
        if bad is not None:
            sentence = f"{name}: {bad['state']} at {bad['address']}. {bad['detail']}".strip()
            yield Cause(f"channel/{name}/failed", sentence, "hub connect says how far one comes.")
    for waiting in status.waiting(connection):
        known = site.channels.get(waiting.channel)
        longest = known.alerts.queue_age if known else 1800.0
        if now - waiting.oldest_at > longest * 1000:
            sentence = f"{waiting.count} outputs to {waiting.destination} of {waiting.channel} wait: {waiting.reason}"
            yield Cause(f"queue age/{waiting.channel}/{waiting.destination}", sentence, "hub status shows the queue.")
    counts = status.counts_by_channel(connection, "")
    for name, known in site.channels.items():
        last = status.last_received(connection, name)
        after = known.alerts.quiet_after
        if after is not None and last is not None and now - last > after * 1000:
            hours = (now - last) // 3_600_000
            yield Cause(f"channel/{name}/quiet", f"{name}: nothing came for {hours} h.", "Ask the sender.")
    for name, count in counts.items():
        if count["errored"]:
            sentence = f"{count['errored']} messages of {name} are errored."
            yield Cause(f"errors/{name}", sentence, f"hub find --channel {name} --outcome errored")
        if count.difference:
            sentence = f"{name} does not account for {abs(count.difference)} of its messages."
            yield Cause(f"balance/{name}", sentence, "Write down the time and keep the log.")
    disk = forecast(connection, site.var, now)
    if disk.days_left is not None and disk.days_left < DISK_DAYS:
        yield Cause("disk", f"The disk is full in {disk.days_left:.0f} days.", "Make room, or shorten [retention].")
    silent = status.silent_claims(connection, site.clock.now_ms() - SILENT_DAYS * DAY_MS)
    if silent.claims:
        sentence = f"{silent.claims} claims had no answer for {SILENT_DAYS} days or longer."
        yield Cause("silent claims", sentence, "Ask the clearinghouse whether the files arrived.")
    yield from _certificates(site, now)


def _certificates(site: Site, now: int) -> Iterator[Cause]:
    """The certificates of the site, and those that it trusts, that end soon."""
    folders = (site.var / "tls", site.home / "config")
    for path in sorted(file for folder in folders for file in folder.glob("*.pem")):
        try:
            ends = min(each.not_valid_after_utc for each in x509.load_pem_x509_certificates(path.read_bytes()))
        except (OSError, ValueError):
            continue  # a key, or no certificate at all
        days = (ends - datetime.fromtimestamp(now / 1000, UTC)).days
        if days < CERTIFICATE_DAYS:
            name = path.relative_to(site.home).as_posix()
            yield Cause(f"certificate/{path.name}", f"{name} ends in {days} days.", "Get a new one in time.")


def look(
    found: list[Cause], before: Mapping[str, Issue], states: Mapping[str, alerts.AlertState], now: int, after_ms: int
) -> Look:
    """What *found* makes of the issues *before*: told once it has lasted *after_ms* and is not snoozed, once only."""
    issues, opened = [], []
    for cause in {each.key: each for each in found}.values():
        known = before.get(cause.key)
        issue = Issue(cause, known.since if known else now, bool(known and known.told))
        state = states.get(cause.key)
        if not issue.told and now - issue.since >= after_ms and not (state and state.snoozed):
            issue = Issue(cause, issue.since, told=True)
            opened.append(issue)
        issues.append(issue)
    still = {issue.cause.key for issue in issues}
    closed = [issue for key, issue in before.items() if key not in still and issue.told]
    return Look(tuple(issues), tuple(opened), tuple(closed))


def remembered(file: Path) -> dict[str, Issue]:
    """The issues that an earlier look left in *file*."""
    try:
        rows = json.loads(file.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return {row["key"]: Issue(Cause(row["key"], row["what"], row["first"]), row["since"], row["told"]) for row in rows}


def remember(file: Path, issues: tuple[Issue, ...]) -> None:
    """Keep *issues* for the next look."""
    rows = [
        {"key": i.cause.key, "what": i.cause.sentence, "first": i.cause.first, "since": i.since, "told": i.told}
        for i in issues
    ]
    making = file.with_name(f".{file.name}")
    making.write_text(json.dumps(rows, indent=1))
    making.replace(file)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Goes nowhere else: the token is for the address in the settings alone."""

    def redirect_request(self, *_: Any) -> None:
        return None


def tell(settings: AlertSettings, secrets: Secrets, title: str, found: Look) -> None:
    """Send what opened and closed by mail and to the webhook. Raises :class:`NotSentError`."""
    lines = [f"OPEN    {i.cause.sentence}\n        {i.cause.first}" for i in found.opened]
    lines += [f"CLOSED  {i.cause.sentence}" for i in found.closed]
    number = f"{len(found.opened)} opened, {len(found.closed)} closed"
    try:
        if settings.webhook:
            _post(settings, secrets, title, found)
        if settings.smtp is not None and settings.email_to:
            _mail(settings, secrets, f"{title}: {number}", "\n".join(lines) + "\n")
    except (OSError, smtplib.SMTPException, http.client.HTTPException) as error:
        raise NotSentError(f"The alert could not be sent: {type(error).__name__}.", fix="It is tried again.") from None


def _mail(settings: AlertSettings, secrets: Secrets, subject: str, text: str) -> None:
    assert settings.smtp is not None
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = settings.email_from, ", ".join(settings.email_to), subject
    mail.set_content(text)
    with smtplib.SMTP(settings.smtp.host, settings.smtp.port, timeout=SEND_SECONDS) as server:
        server.ehlo()
        if settings.smtp_password is not None:
            server.starttls(context=ssl.create_default_context())  # nobody else may read the password
        elif server.has_extn("starttls"):
            server.starttls()
        if settings.smtp_password is not None:
            server.login(settings.smtp_user, secrets.value(settings.smtp_password))
        server.send_message(mail)


def _post(settings: AlertSettings, secrets: Secrets, title: str, found: Look) -> None:
    document = {
        "hub": title,
        **{
            name: [{"key": i.cause.key, "what": i.cause.sentence, "first": i.cause.first} for i in issues]
            for name, issues in (("opened", found.opened), ("closed", found.closed))
        },
    }
    headers = {"Content-Type": "application/json"}
    if settings.webhook_token is not None:
        headers["Authorization"] = f"Bearer {secrets.value(settings.webhook_token)}"
    request = urllib.request.Request(  # noqa: S310  the settings allow https, and http on this machine
        settings.webhook or "", json.dumps(document).encode(), headers
    )
    urllib.request.build_opener(_NoRedirect).open(request, timeout=SEND_SECONDS).close()
