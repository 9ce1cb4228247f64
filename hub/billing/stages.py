"""The way of everything that came in, station by station: received, charged, claimed, sent, answered, paid, told.

What enters a station either reaches the next or stands somewhere, and each such place has an owner: a queue, a partner,
the payer, the patient. When the parts do not come to the whole, something is lost, and that is a difference.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Connection, String, and_, case, cast, func, or_, select

from hub.billing import ledger
from hub.core.money import from_cents
from hub.store.tables import (
    bank_deposit,
    charge,
    claim,
    claim_line,
    counter,
    delivery,
    ledger_entry,
    ledger_posting,
    message,
    remittance,
    remittance_claim,
)

TAKEN = ("staged", "posting", "posted")
_ELECTRONIC = ("ACH", "FWT", "BOP")
_UNSENT = {
    "draft": "the hub",
    "held": "queue approval",
    "needs fix": "queue claim edits",
    "ready": "the next batch",
    "batched": "queue deliveries",
}
_UNANSWERED = {"sent": "the partner", "rejected": "queue rejections"}
_UNDECIDED = {
    "accepted 999": "the partner",
    "received": "the partner",
    "accepted clearinghouse": "the payer",
    "accepted payer": "the payer",
    "pended": "the payer",
}
_NEXT = "next payer"
_UNCLAIMED = {"open": "the bill hold", "held": "queue charge review", "self pay": "the patient"}
_OUTCOMES = {
    "in progress": "the hub",
    "held": "queue messages",
    "errored": "an operator",
    "rejected": "the sender",
    "filtered": "nobody: no channel takes them",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What of a station stands here instead of reaching the next one, and whose it is."""

    what: str
    owner: str
    count: int
    amount: Decimal = Decimal("0.00")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One station: what came to it, what of that stands where, and what went on.

    *lost* and *lost_amount* are what nobody has; anything but zero is a difference.
    """

    name: str
    unit: str
    count: int
    amount: Decimal
    parts: tuple[Part, ...]
    on_count: int
    on_amount: Decimal

    @property
    def lost(self) -> int:
        """How many came in and are neither here nor went on."""
        return self.count - self.on_count - sum(part.count for part in self.parts)

    @property
    def lost_amount(self) -> Decimal:
        """The money that came in and is neither here nor went on."""
        return self.amount - self.on_amount - sum((part.amount for part in self.parts), Decimal(0))

    @property
    def ok(self) -> bool:
        """Whether everything is accounted for."""
        return not self.lost and not self.lost_amount


def stages(connection: Connection, day: str = "") -> tuple[Stage, ...]:
    """Every station, for what was received on *day* (ISO text), or for everything there is."""
    claims = _claims(connection, day)
    return (
        _messages(connection, day),
        _lines(connection, day),
        *claims,
        _posted(connection, day),
        _deposited(connection, day),
        *_banked(connection, day),
        _told(connection, day),
    )


def _messages(connection: Connection, day: str) -> Stage:
    """Messages from outside by their outcome; the kept counters say how many there must be."""
    named = _counted(connection, day, ("received", *_OUTCOMES, "done"))
    rows = connection.execute(
        select(message.c.onward, func.count())
        .where(*(message.c.received_on == each for each in (day,) if day))
        .group_by(message.c.onward)
    )
    found = {outcome: int(count) for outcome, count in rows}
    parts = _parts(_OUTCOMES, {outcome: (count, 0) for outcome, count in found.items()})
    done = found.get("done", 0)
    return _stage("received", "messages", named.get("received", 0), 0, parts, done, 0)


def _lines(connection: Connection, day: str) -> Stage:
    """The charge lines that messages said, by what mapping made of them."""
    found = _counted(connection, day, ("lines", "lines mapped", "lines filtered", "lines held"))
    parts = [
        Part(what="left out by a rule", owner="the mapping", count=found.get("lines filtered", 0)),
        Part(what="held", owner="queue messages", count=found.get("lines held", 0)),
    ]
    kept = [part for part in parts if part.count]
    return _stage("mapped", "charge lines", found.get("lines", 0), 0, kept, found.get("lines mapped", 0), 0)


def _claims(connection: Connection, day: str) -> Iterable[Stage]:
    """Charges to adjudicated claims, in charges: a claim that was replaced has the same charges as the one before."""
    received = _received(charge.c.message_id, day)
    rows = connection.execute(
        select(charge.c.state, claim.c.state, func.count(), func.sum(charge.c.amount_cents))
        .outerjoin(claim, claim.c.id == charge.c.claim_id)
        .where(charge.c.state != "void", *received)
        .group_by(charge.c.state, claim.c.state)
    )
    unclaimed: dict[str, tuple[int, int]] = {}
    by_state: dict[str, tuple[int, int]] = {}
    for state, claim_state, count, cents in rows:
        into, name = (by_state, claim_state or "none") if state == "claimed" else (unclaimed, state)
        before = into.get(name, (0, 0))
        into[name] = (before[0] + int(count), before[1] + int(cents))
    lined = connection.execute(
        select(func.count(), func.coalesce(func.sum(claim_line.c.charge_cents), 0))
        .join(charge, and_(charge.c.id == claim_line.c.charge_id, charge.c.claim_id == claim_line.c.claim_id))
        .where(charge.c.state == "claimed", *received)
    ).one()
    whole = _sum((*by_state.values(), *unclaimed.values()))
    on = (int(lined[0]), int(lined[1]))
    yield _stage("charged", "charges", *whole, _parts(_UNCLAIMED, unclaimed), *on)
    for name, owners in (("claimed", _UNSENT), ("sent", _UNANSWERED), ("answered", _UNDECIDED)):
        parts = _parts(owners, by_state)
        gone = _sum([by_state.pop(state) for state in owners if state in by_state])
        left = (on[0] - gone[0], on[1] - gone[1])
        yield _stage(name, "charges", *on, parts, *(left if name != "answered" else _sum(by_state.values())))
        on = left


def _posted(connection: Connection, day: str) -> Stage:
    """What became of the charges of the claims that payers decided; what goes on is what was paid."""
    decided = ("paid", "partly paid", "denied", "reversed", "closed")
    later = claim.alias("later")
    is_next = ledger_posting.c.claim_id.in_(select(later.c.id).where(later.c.previous_id.is_not(None)))
    account = case((and_(ledger_posting.c.account == ledger.PAYER, is_next), _NEXT), else_=ledger_posting.c.account)
    rows = connection.execute(
        select(account, func.sum(ledger_posting.c.amount_cents))
        .join(charge, charge.c.id == ledger_posting.c.charge_id)
        .join(claim, claim.c.id == charge.c.claim_id)
        .where(charge.c.state == "claimed", claim.c.state.in_(decided), *_received(charge.c.message_id, day))
        .group_by(account)
    )
    by_account = {name: int(cents) for name, cents in rows}
    count = connection.execute(
        select(func.count())
        .select_from(charge)
        .join(claim, claim.c.id == charge.c.claim_id)
        .where(charge.c.state == "claimed", claim.c.state.in_(decided), *_received(charge.c.message_id, day))
    ).scalar_one()

    def part(what: str, owner: str, *accounts: str) -> Part:
        cents = sum(by_account.get(account, 0) for account in accounts)
        return Part(what=what, owner=owner, count=0, amount=from_cents(cents))

    parts = [
        part("written down by contract", "the contract", ledger.CONTRACTUAL),
        part("adjusted otherwise", "the payer", ledger.OTHER),
        part("written off", "the practice", ledger.WRITE_OFF),
        part("left to the patient", "the patient", ledger.PATIENT),
        part("left to a second or further payer", "that payer", _NEXT),
        part("still open", "queue denials, or the payer", ledger.PAYER, ledger.UNBILLED),
    ]
    paid = by_account.get(ledger.CLEARING, 0) + by_account.get(ledger.CASH, 0)
    charged = -by_account.get(ledger.REVENUE, 0)
    kept = [each for each in parts if each.amount]
    return _stage("decided", "charges", int(count), charged, kept, int(count), paid)


def _deposited(connection: Connection, day: str) -> Stage:
    """What remittances brought, and what of it is posted to claims; the money of a day is what was deposited then."""
    taken = [remittance.c.state.in_(TAKEN), *_remitted(day)]
    amount, withheld, count = connection.execute(
        select(
            func.coalesce(func.sum(remittance.c.amount_cents), 0),
            func.coalesce(func.sum(case((remittance.c.state == "posted", remittance.c.provider_cents), else_=0)), 0),
            func.count(),
        ).where(*taken)
    ).one()
    unposted = connection.execute(
        select(remittance_claim.c.state, func.sum(remittance_claim.c.paid_cents))
        .join(remittance, remittance.c.id == remittance_claim.c.remittance_id)
        .where(remittance_claim.c.state != "posted", remittance.c.state != "staged", *taken)
        .group_by(remittance_claim.c.state)
    )
    waiting = {state: int(cents) for state, cents in unposted}
    coming = waiting.pop("staged", 0)
    unread, ahead = connection.execute(
        select(
            func.coalesce(func.sum(case((remittance.c.state == "staged", remittance.c.amount_cents), else_=0)), 0),
            func.coalesce(func.sum(case((remittance.c.state == "posting", remittance.c.provider_cents), else_=0)), 0),
        ).where(*taken)
    ).one()
    paid = connection.execute(
        select(func.coalesce(func.sum(ledger_posting.c.amount_cents), 0))
        .join(ledger_entry, ledger_entry.c.id == ledger_posting.c.entry_id)
        .join(remittance, remittance.c.id == ledger_entry.c.remittance_id)
        .where(ledger_posting.c.account == ledger.CLEARING, ledger_entry.c.kind.in_(("payment", "reversal")), *taken)
    ).scalar_one()
    being = int(unread) + coming - int(ahead)
    parts = [
        Part(what="kept back or given outside claims", owner="the payer", count=0, amount=from_cents(-int(withheld))),
        Part(what="not posted", owner="queue unmatched payments", count=0, amount=from_cents(sum(waiting.values()))),
        Part(what="being posted", owner="the hub", count=0, amount=from_cents(being)),
    ]
    kept = [part for part in parts if part.amount]
    return _stage("remitted", "remittances", int(count), int(amount), kept, int(count), int(paid))


def _banked(connection: Connection, day: str) -> Iterable[Stage]:
    """What the bank has seen of it; nothing where no bank file was ever loaded."""
    first = connection.execute(select(func.min(bank_deposit.c.deposited_on))).scalar()
    if first is None:
        return
    seen = select(bank_deposit.c.id).where(bank_deposit.c.trace == remittance.c.trace).exists()
    each = (
        select(remittance.c.amount_cents, seen.label("seen"))
        .where(remittance.c.state.in_(TAKEN), remittance.c.method.in_(_ELECTRONIC))
        .where(or_(remittance.c.paid_on >= first, seen))
        .where(*_remitted(day))
        .subquery()
    )
    rows = connection.execute(select(each.c.seen, func.count(), func.sum(each.c.amount_cents)).group_by(each.c.seen))
    found = {bool(is_seen): (int(count), int(cents)) for is_seen, count, cents in rows}
    unseen = found.get(False, (0, 0))
    parts = _parts({"not seen by the bank": "the payer, and the bank"}, {"not seen by the bank": unseen})
    yield _stage("deposited", "transfers", *_sum(found.values()), parts, *found.get(True, (0, 0)))


def _told(connection: Connection, day: str) -> Stage:
    """The payments that were posted to claims, and whether the EHR has each."""
    told = and_(message.c.kind == "payment", message.c.control_id == "P" + cast(remittance_claim.c.id, String))
    undelivered = (
        select(func.max(case((delivery.c.state == "delivered", ""), else_=delivery.c.state)))
        .join(message, message.c.id == delivery.c.message_id)
        .where(told)
        .correlate(remittance_claim)
        .scalar_subquery()
    )
    is_told = select(message.c.id).where(told).correlate(remittance_claim).exists()
    each = (
        select(
            remittance_claim.c.paid_cents,
            func.coalesce(undelivered, case((is_told, "on its way"), else_="not told")).label("how"),
        )
        .join(remittance, remittance.c.id == remittance_claim.c.remittance_id)
        .where(remittance_claim.c.state == "posted", remittance_claim.c.claim_id.is_not(None), *_remitted(day))
        .subquery()
    )
    rows = connection.execute(select(each.c.how, func.count(), func.sum(each.c.paid_cents)).group_by(each.c.how))
    found = {str(how): (int(count), int(cents)) for how, count, cents in rows}
    owners = {
        "queued": "the hub",
        "sending": "the hub",
        "on its way": "the hub",
        "ambiguous": "queue deliveries",
        "refused": "queue deliveries",
        "closed": "whoever closed it",
        "shadow": "nobody: a shadow channel",
    }
    takes = select(message.c.id).where(message.c.kind == "payment").limit(1)
    if connection.execute(takes).first() is None:
        owners["not told"] = "nobody: no channel takes payments"
    parts = _parts(owners, found)
    return _stage("posted", "payments", *_sum(found.values()), parts, *found.get("", (0, 0)))


# ---------------------------------------------------------------- pieces


def _received(message_id: ColumnElement[Any], day: str) -> list[ColumnElement[bool]]:
    if not day:
        return []
    return [message_id.in_(select(message.c.id).where(message.c.received_on == day))]


def _remitted(day: str, table: Any = remittance) -> list[ColumnElement[bool]]:
    """The condition that a remittance came on *day*: its file did, or its money was booked then."""
    if not day:
        return []
    files = select(message.c.id).where(message.c.received_on == day)
    paper = select(ledger_entry.c.remittance_id).where(
        ledger_entry.c.posted_on == day, ledger_entry.c.kind == "deposit", ledger_entry.c.message_id.is_(None)
    )
    return [or_(table.c.message_id.in_(files), table.c.id.in_(paper))]


def _counted(connection: Connection, day: str, names: tuple[str, ...]) -> dict[str, int]:
    rows = connection.execute(
        select(counter.c.name, func.sum(counter.c.value))
        .where(counter.c.name.in_(names), *(counter.c.day == each for each in (day,) if day))
        .group_by(counter.c.name)
    )
    return {name: int(value) for name, value in rows}


def _parts(owners: dict[str, str], found: dict[str, tuple[int, int]]) -> list[Part]:
    return [
        Part(what=name, owner=owner, count=found[name][0], amount=from_cents(found[name][1]))
        for name, owner in owners.items()
        if name in found and any(found[name])
    ]


def _sum(pairs: Iterable[tuple[int, int]]) -> tuple[int, int]:
    known = list(pairs)
    return sum(count for count, _ in known), sum(cents for _, cents in known)


def _stage(name: str, unit: str, count: int, cents: int, parts: Iterable[Part], on_count: int, on_cents: int) -> Stage:
    return Stage(
        name=name,
        unit=unit,
        count=count,
        amount=from_cents(cents),
        parts=tuple(parts),
        on_count=on_count,
        on_amount=from_cents(on_cents),
    )
