"""The causes for which a person is needed, one function each, the worst first.

Each looks at what is :class:`~hub.web.needs.Seen` and yields what it finds; a key names one cause and stays the same
while it lasts. The status page, ``hub alerts`` and what is sent by mail and webhook read this one list. No sentence
names a patient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import lru_cache
from pathlib import Path

from cryptography import x509

from hub.core.money import from_cents, shown
from hub.security import alerts
from hub.store.forecast import forecast
from hub.web.needs import Need, Seen
from hub.web.queries import audit as audit_queries
from hub.web.queries import status as queries
from hub.web.render import age

DISK_DAYS = 14
DISK_LEAST = 1 << 30
CERTIFICATE_DAYS = 21
SECRET_DAYS = 14
UNTOLD = "not sent/"
"""What the keys of alerts begin with that say that alerts cannot be sent."""
_BROKEN = frozenset({"failed", "login failed", "refused", "stopped"})
_RETRYING_MS = 60_000
_AT_REST = frozenset({"paused", "draining", "drained"})
_LOST = "lost claims"
#: What stands in a queue, for one and for several.
_QUEUE_SENTENCES = {
    "charge review": ("1 charge to look at before it can be billed.", "{n} charges to look at before they are billed."),
    "claim edits": (
        "1 item stopped by a rule before it was sent.",
        "{n} items stopped by a rule before they were sent.",
    ),
    "approval": ("1 claim waits for approval.", "{n} claims wait for approval."),
    "rejections": ("1 claim was not taken in by its receiver.", "{n} claims were not taken in by their receivers."),
    "missing charges": ("1 visit may lack a charge.", "{n} visits may lack a charge."),
    "coding": ("1 claim came back for a coder.", "{n} claims came back for a coder."),
    "enrolment": ("1 payer does not know the practice yet.", "{n} payers do not know the practice yet."),
    "documents": ("A payer asks for documents for 1 claim.", "Payers ask for documents for {n} claims."),
    "denials": ("1 line was denied by a payer.", "{n} lines were denied by payers."),
    "unmatched payments": ("1 payment is not matched to a claim.", "{n} payments are not matched to a claim."),
    "credits": ("1 charge was taken back after it was billed.", "{n} charges were taken back after they were billed."),
    "secondary": ("1 balance may be another insurer's.", "{n} balances may be another insurer's."),
    "messages": ("1 message could not be mapped to the end.", "{n} messages could not be mapped to the end."),
    "deliveries": ("1 send was refused, or may have arrived.", "{n} sends were refused, or may have arrived."),
    "anomalies": ("1 event should not have been possible.", "{n} events should not have been possible."),
}
#: What is missed of claims that were sent, by the kind of its items: its key, then the sentences as above.
_MISSED = {
    "no acknowledgement": ("no 999", "1 batch has no 999 in time.", "{n} batches have no 999 in time."),
    "no claim acknowledgement": ("no 277CA", "1 batch has no 277CA in time.", "{n} batches have no 277CA in time."),
    "claim not found": ("not found", "1 claim is not found by its payer.", "{n} claims are not found by their payers."),
    "lost claim": ("no 277CA/claim", "1 claim has no 277CA in time.", "{n} claims have no 277CA in time."),
    "no decision": ("no 835", "1 claim has no 835 in time.", "{n} claims have no 835 in time."),
    "part not decided": ("no 835/part", "1 claim has no 835 of a part.", "{n} claims have no 835 of a part."),
    "totals differ": (
        "277CA totals", "1 batch differs from what a 277CA counts.", "{n} batches differ from what 277CAs count.",
    ),
}  # fmt: skip


def engine(seen: Seen) -> Iterator[Need]:
    """The engine does not answer."""
    if seen.problem:
        first = "Start it with hub run; nothing that is stored is lost."
        yield Need("engine", "failed", seen.problem, first, "", "/healthz", "Health")


def connections(seen: Seen) -> Iterator[Need]:
    """An endpoint of a channel is down: refused, not let in, or tried again for a while."""
    for view in seen.channels:
        if view.state in _AT_REST:
            continue
        reached = [(each.info.name, each.endpoints) for each in view.destinations if each.pause is None]
        for place, endpoints in [("source", view.sources), *reached]:
            down = next((each for each in endpoints if each.state in _BROKEN), None)
            slow = (each for each in endpoints if each.state == "retrying" and seen.now - each.since_at > _RETRYING_MS)
            end = down or next(slow, None)
            if end is None:
                continue
            name = view.info.name
            yield Need(
                f"connection/{name}/{place}",
                "failed" if down else "retrying",
                f"{view.info.title or name}: {place}: {end.state} at {end.address}. {end.detail}".strip(),
                "hub connect says how far one comes." if place != "source" else "The channel's page shows more.",
                age(seen.now - end.since_at) if end.since_at else "",
                f"/channels/{name}",
                f"Open {name}",
                channel=name,
            )


def quiet_feeds(seen: Seen) -> Iterator[Need]:
    """Nothing comes, though at this hour something usually does."""
    for view in seen.channels:
        if view.state == "quiet":
            name = view.info.name
            yield Need(
                f"quiet/{name}",
                "quiet",
                f"{view.info.title or name}: {view.why}",
                "Ask the sender whether it still sends.",
                view.detail,
                f"/channels/{name}",
                f"Open {name}",
                channel=name,
            )


def balances(seen: Seen) -> Iterator[Need]:
    """Messages of a channel are unaccounted for, whenever they came."""
    gaps = queries.gaps(seen.connection)
    for view in seen.channels:
        name = view.info.name
        if name in gaps:
            yield Need(
                f"balance/{name}",
                "out of balance",
                f"{name} does not account for {abs(gaps[name])} of its messages.",
                "Nothing may be missing: write down the time and keep the log.",
                "",
                f"/messages?channel={name}&since=any",
                "See its messages",
                channel=name,
            )


def errors(seen: Seen) -> Iterator[Need]:
    """So many messages of a channel ended in an error within its window."""
    for view in seen.channels:
        name, window = view.info.name, view.info.error_window
        count = queries.errored_since(seen.connection, name, seen.now - int(window * 1000), view.info.errors)
        if count >= view.info.errors:
            more = " or more" if count > view.info.errors else ""
            ended = "1 message" if count == 1 else f"{count}{more} messages"
            yield Need(
                f"errors/{name}",
                "errored",
                f"{ended} of {name} ended in an error in the last {_span(window)}.",
                "See what they have in common, mend that, and replay them.",
                "",
                f"/messages?channel={name}&onward=errored",
                "See its messages",
                channel=name,
            )


def _span(seconds: float) -> str:
    """``hour``, ``15 min``, ``2 days``: as it stands after "the last"."""
    return {3600: "hour", 86_400: "day", 60: "minute"}.get(int(seconds), age(int(seconds * 1000)))


def undecided_sends(seen: Seen) -> Iterator[Need]:
    """Deliveries may have arrived, and wait for a person."""
    for wait in seen.waits:
        if wait.ambiguous:
            sends = "1 send" if wait.ambiguous == 1 else f"{wait.ambiguous} sends"
            yield Need(
                f"ambiguous/{wait.channel}/{wait.destination}",
                "ambiguous",
                f"{sends} to {wait.destination} may have arrived. Nothing goes again until a person decides.",
                wait.reason,
                age(seen.now - wait.oldest_at),
                f"/channels/{wait.channel}",
                "Decide\N{HORIZONTAL ELLIPSIS}",
                channel=wait.channel,
            )


def queue_ages(seen: Seen) -> Iterator[Need]:
    """The oldest output to a destination waits for too long."""
    longest = {view.info.name: view.info.queue_age for view in seen.channels}
    for wait in seen.waits:
        waits_ms = seen.now - wait.oldest_at
        if wait.count > wait.ambiguous and waits_ms > longest.get(wait.channel, 0) * 1000 > 0:
            outputs = "1 output waits" if wait.count == 1 else f"{wait.count} outputs wait"
            yield Need(
                f"queue age/{wait.channel}/{wait.destination}",
                "queued",
                f"{outputs} for {wait.destination} of {wait.channel}: {wait.reason or 'nothing was tried yet.'}",
                "hub connect says how far one comes.",
                age(waits_ms),
                f"/channels/{wait.channel}",
                f"Open {wait.channel}",
                channel=wait.channel,
            )


def disk(seen: Seen) -> Iterator[Need]:
    """The disk of the store is full soon."""
    found = forecast(seen.connection, seen.settings.control_socket.parent, seen.now)
    if found.free is not None and found.free < DISK_LEAST:
        sentence = f"The disk of the store has {found.free // (1 << 20)} MB left."
    elif found.days_left is not None and found.days_left < DISK_DAYS:
        sentence = f"The disk is full in {found.days_left:.0f} days."
    else:
        return
    yield Need("disk", "filling", sentence, "Make room, or shorten [retention].", "", "/healthz", "Health")


def certificates(seen: Seen) -> Iterator[Need]:
    """A certificate that the site shows or trusts ends soon."""
    for path in seen.settings.certificates:
        ends = _end_of(path, _changed_at(path))
        days = (ends - datetime.fromtimestamp(seen.now / 1000, UTC)).days if ends else CERTIFICATE_DAYS
        if days < CERTIFICATE_DAYS:
            how = f"ends in {days} days" if days >= 0 else "has ended"
            first = "Get a new one in time; the connections that use it fail without."
            yield Need(f"certificate/{path.name}", "ends soon", f"{path.name} {how}.", first, "", "/healthz", "Health")


def secrets(seen: Seen) -> Iterator[Need]:
    """A password or key whose end is known ends soon."""
    today = date.fromisoformat(seen.today)
    for name, ends in sorted(seen.settings.secret_ends().items()):
        days = (ends - today).days
        if days < SECRET_DAYS:
            how = f"ends in {days} days, on {ends}" if days >= 0 else f"ended on {ends}"
            first = f"Have the partner give a new one, then hub secrets rotate {name}."
            yield Need(f"secret/{name}", "ends soon", f'Secret "{name}" {how}.', first, "", "/healthz", "Health")


def untold(seen: Seen) -> Iterator[Need]:
    """Alerts cannot be sent."""
    for state in alerts.states(seen.connection).values():
        if state.key.startswith(UNTOLD) and state.opened_at and not state.gone_at:
            since = age(seen.now - state.opened_at)
            yield Need(state.key, "failed", state.sentence, state.first, since, "/healthz", "Health")


def missed_answers(seen: Seen) -> Iterator[Need]:
    """No 999, no 277CA, no 835 in time: each a cause of its own."""
    for kind, number, cents, oldest in queries.open_kinds(seen.connection, _LOST, seen.today):
        key, one, several = _MISSED.get(
            kind, (f"queue/{_LOST}/{kind}", "1 item of claims that nobody speaks of.", "{n} items of such claims.")
        )
        yield Need(
            key,
            "silent",
            one if number == 1 else several.format(n=f"{number:,}"),
            f"{_worth(cents)} Ask the partner whether it was received; send nothing again before.".strip(),
            age(seen.business_now - oldest),
            "/queues/lost-claims",
            "Open the queue",
        )


def held_remittances(seen: Seen) -> Iterator[Need]:
    """A remittance does not add up, and is held whole."""
    for remittance_id, trace, payer, cents, reason, since in queries.held_remittances(seen.connection):
        yield Need(
            f"remittance/{remittance_id}",
            "out of balance",
            f"Remittance {trace} from {payer} is held, so none of its {shown(from_cents(cents))} is posted.",
            reason,
            age(seen.business_now - since),
            f"/remittances/{remittance_id}",
            "Open remittance",
            work=True,
        )


def work_queues(seen: Seen) -> Iterator[Need]:
    """What stands in a work queue, the most money first."""
    found = queries.open_items(seen.connection, seen.today)
    for queue, number, cents, oldest in sorted(found, key=lambda row: -row[2]):
        if queue not in _QUEUE_SENTENCES:
            continue
        one, several = _QUEUE_SENTENCES[queue]
        yield Need(
            f"queue/{queue}",
            {"denials": "denied", "rejections": "rejected", "deliveries": "refused"}.get(queue, "held"),
            one if number == 1 else several.format(n=f"{number:,}"),
            _worth(cents),
            age(seen.business_now - oldest),
            f"/queues/{queue.replace(' ', '-')}",
            "Open the queue",
            work=True,
        )


def emergencies(seen: Seen) -> Iterator[Need]:
    """Somebody looked at a patient in an emergency, and nobody has reviewed it."""
    unreviewed = audit_queries.emergencies(seen.connection)
    if unreviewed:
        number = len(unreviewed)
        yield Need(
            "emergency access",
            "held",
            "1 emergency access to review." if number == 1 else f"{number} emergency accesses to review.",
            f"The newest is by {unreviewed[0].actor}.",
            age(seen.now - unreviewed[-1].at),
            "/audit/emergencies",
            "Review",
            right="audit.review",
            work=True,
        )


CAUSES: tuple[Callable[[Seen], Iterator[Need]], ...] = (
    engine, connections, quiet_feeds, balances, errors, undecided_sends, queue_ages, disk, certificates, secrets,
    untold, missed_answers, held_remittances, work_queues, emergencies,
)  # fmt: skip


def needs_of(seen: Seen, may: Callable[[str], bool]) -> list[Need]:
    """Everything that needs a person, for one who *may* do so much; the worst first, what is snoozed last."""
    taken = alerts.states(seen.connection)
    found = [need for cause in CAUSES for need in cause(seen) if not need.right or may(need.right)]
    return sorted((_with(need, taken.get(need.key)) for need in found), key=lambda need: bool(need.snoozed_until))


def _with(need: Need, state: alerts.AlertState | None) -> Need:
    if state is None:
        return need
    return replace(
        need,
        owner=state.owner,
        snoozed_until=state.snoozed_until_at if state.snoozed else 0,
        snooze_reason=state.reason if state.snoozed else "",
    )


def _worth(cents: int) -> str:
    return f"Worth {shown(from_cents(cents))}." if cents else ""


def _changed_at(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=64)
def _end_of(path: Path, _changed_at: int) -> datetime | None:
    """When the first of the certificates in *path* ends; None for a key, or what is no certificate at all."""
    try:
        return min(each.not_valid_after_utc for each in x509.load_pem_x509_certificates(path.read_bytes()))
    except (OSError, ValueError):
        return None
