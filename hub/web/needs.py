"""What needs a person: one sentence for each cause, since when, whose it is, the first thing to try, one link."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from hub.core.clock import real_ms
from hub.core.money import from_cents, shown
from hub.security import alerts
from hub.web.call import Call
from hub.web.channel_view import ChannelView
from hub.web.queries import audit as audit_queries
from hub.web.queries import status as queries
from hub.web.render import age

SILENT_DAYS = 5
_DAY_MS = 86_400_000
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
    "lost claims": ("1 item of claims that nobody speaks of.", "{n} items of claims that nobody speaks of."),
    "denials": ("1 line was denied by a payer.", "{n} lines were denied by payers."),
    "unmatched payments": ("1 payment is not matched to a claim.", "{n} payments are not matched to a claim."),
    "credits": ("1 charge was taken back after it was billed.", "{n} charges were taken back after they were billed."),
    "secondary": ("1 balance may be another insurer's.", "{n} balances may be another insurer's."),
    "messages": ("1 message could not be mapped to the end.", "{n} messages could not be mapped to the end."),
    "deliveries": ("1 send was refused, or may have arrived.", "{n} sends were refused, or may have arrived."),
    "anomalies": ("1 event should not have been possible.", "{n} events should not have been possible."),
}


@dataclass(frozen=True, slots=True)
class Need:
    """Something that needs a person: what, since when, the first thing to try, one link.

    *key* names its cause, so that it can be taken (*owner*) or snoozed (until a time, with a reason).
    """

    key: str
    state: str
    sentence: str
    first: str
    since: str
    address: str
    link: str
    owner: str = ""
    snoozed_until: int = 0
    snooze_reason: str = ""


def needs_of(
    call: Call,
    connection: Connection,
    channels: Sequence[ChannelView],
    waits: Sequence[queries.Waiting],
    problem: str,
) -> list[Need]:
    """Everything that needs a person, the worst first, what is snoozed last."""
    taken = alerts.states(connection)
    needs = [_with(need, taken.get(need.key)) for need in _found(call, connection, channels, waits, problem)]
    return sorted(needs, key=lambda need: bool(need.snoozed_until))


def _with(need: Need, state: alerts.AlertState | None) -> Need:
    if state is None:
        return need
    return replace(
        need,
        owner=state.owner,
        snoozed_until=state.snoozed_until_at if state.snoozed else 0,
        snooze_reason=state.reason if state.snoozed else "",
    )


def _found(
    call: Call,
    connection: Connection,
    channels: Sequence[ChannelView],
    waits: Sequence[queries.Waiting],
    problem: str,
) -> list[Need]:
    site = call.site
    now, business_now = real_ms(), site.settings.clock.now_ms()
    needs = []
    if problem:
        needs.append(
            Need(
                "engine",
                "failed",
                problem,
                "Start it with hub run; nothing that is stored is lost.",
                "",
                "/healthz",
                "Health",
            )
        )
    needs += [
        Need(
            f"channel/{view.info.name}/{view.state}",
            view.state,
            f"{view.info.title or view.info.name}: {view.why}",
            "The channel's page shows its connections.",
            age(now - view.oldest_at) if view.oldest_at else view.detail if view.state == "quiet" else "",
            f"/channels/{view.info.name}",
            f"Open {view.info.name}",
        )
        for view in channels
        if view.state in {"failed", "quiet"}
    ]
    needs += [
        Need(
            f"balance/{view.info.name}",
            "out of balance",
            f"{view.info.name} does not account for {abs(view.counts.difference)} of its messages.",
            "Nothing may be missing: write down the time and keep the log.",
            "",
            f"/messages?channel={view.info.name}&since=any",
            "See its messages",
        )
        for view in channels
        if view.counts.difference
    ]
    needs += [
        Need(
            f"ambiguous/{wait.channel}/{wait.destination}",
            "ambiguous",
            f"{wait.ambiguous} {'send' if wait.ambiguous == 1 else 'sends'} to {wait.destination} may have arrived. "
            "Nothing goes again until a person decides.",
            wait.reason,
            age(now - wait.oldest_at),
            f"/channels/{wait.channel}",
            "Decide\N{HORIZONTAL ELLIPSIS}",
        )
        for wait in waits
        if wait.ambiguous
    ]
    for remittance_id, trace, payer, cents, reason, since in queries.held_remittances(connection):
        needs.append(
            Need(
                f"remittance/{remittance_id}",
                "out of balance",
                f"Remittance {trace} from {payer} is held, so none of its {shown(from_cents(cents))} is posted.",
                reason,
                age(business_now - since),
                f"/remittances/{remittance_id}",
                "Open remittance",
            )
        )
    silent = queries.silent_claims(connection, business_now - SILENT_DAYS * _DAY_MS)
    if silent.claims:
        claims, hear = (
            ("1 claim has", "it was") if silent.claims == 1 else (f"{silent.claims:,} claims have", "they were")
        )
        needs.append(
            Need(
                "silent claims",
                "silent",
                f"{claims} had no answer since {hear} sent, for {SILENT_DAYS} days or longer.",
                f"Worth {shown(from_cents(silent.cents))}. Ask the clearinghouse whether the files arrived.",
                age(business_now - silent.oldest),
                "/claims?silent=1",
                "See the claims",
            )
        )
    for queue, number, cents, oldest in sorted(queries.open_items(connection, call.today), key=lambda row: -row[2]):
        if queue == "unbalanced remittances" or queue not in _QUEUE_SENTENCES:
            continue
        one, several = _QUEUE_SENTENCES[queue]
        sentence = one if number == 1 else several.format(n=f"{number:,}")
        worth = f"Worth {shown(from_cents(cents))}." if cents else ""
        state = {"denials": "denied", "rejections": "rejected", "deliveries": "refused"}.get(queue, "held")
        needs.append(
            Need(
                f"queue/{queue}",
                state,
                sentence,
                worth,
                age(business_now - oldest),
                f"/queues/{queue.replace(' ', '-')}",
                "Open the queue",
            )
        )
    unreviewed = audit_queries.emergencies(connection) if call.may("audit.review") else []
    if unreviewed:
        number = len(unreviewed)
        needs.append(
            Need(
                "emergency access",
                "held",
                "1 emergency access to review." if number == 1 else f"{number} emergency accesses to review.",
                f"The newest is by {unreviewed[0].actor}.",
                age(now - unreviewed[-1].at),
                "/audit/emergencies",
                "Review",
            )
        )
    return needs
