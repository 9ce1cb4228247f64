"""How well claims do: the figures of a practice, each with the claims behind every number.

The definitions are our own wording of common ones of the field (first-pass acceptance, days in receivables, net
collection, initial denial, touchless). A chain is a claim with its replacements; it counts once, by its first version.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal

from sqlalchemy import Connection, func, select

from hub.core.money import from_cents, shown
from hub.formats.x12.vocabulary import adjustment_reason
from hub.store.tables import charge, claim, claim_event, ledger_entry, ledger_posting, work_event, work_item
from hub.web.queries import minutes

WINDOW_DAYS = 90
AGES = ((0, 30), (31, 60), (61, 90), (91, 120), (121, None))
_OPEN = ("receivable payer", "receivable patient")
_CLOSED = ("paid", "closed")
_DECIDED = frozenset({"paid", "partly paid", "denied", "closed"})


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a figure: the claims that it counts, their money in cents, and how long its bar is.

    *hint* says in words what a code stands for.
    """

    key: str
    label: str
    claims: tuple[int, ...]
    length: int
    cents: int = 0
    rate: str = ""
    tone: str = ""
    hint: str = ""

    @property
    def shown(self) -> str:
        """What the bar shows, when that is no rate."""
        return shown(from_cents(self.cents)) if self.cents else f"{len(self.claims)} claims"


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: its value in words, what it means, and its parts; *money* when they have amounts."""

    key: str
    title: str
    value: str
    definition: str
    parts: tuple[Part, ...]
    money: bool = False
    note: str = ""


@dataclass(slots=True)
class _Chain:
    """What is known of one chain: its versions in order, and what happened to them."""

    payer_id: str
    versions: list[int] = field(default_factory=list)
    sent: int | None = None
    accepted: bool = False
    rejected: bool = False
    touched: bool = False
    state: str = ""
    total: int = 0


def figures(connection: Connection, today: date, payers: Mapping[str, str], since: str) -> list[Figure]:
    """Every figure over the claims whose service was on *since* (ISO day; empty: any) or later."""
    chains = _chains(connection, since)
    money = _money(connection, since)
    return [
        _acceptance(chains.values()),
        _days_in_receivables(connection, today),
        _by_age(connection, today),
        _collection(chains.values(), money, payers),
        _denials(connection, chains),
        _touchless(chains.values()),
        _minutes(connection),
    ]


def _acceptance(chains: Iterable[_Chain]) -> Figure:
    sent = [chain for chain in chains if chain.sent is not None]
    rejected = [chain for chain in sent if chain.rejected]
    accepted = [chain for chain in sent if chain.accepted and not chain.rejected]
    waiting = [chain for chain in sent if not chain.accepted and not chain.rejected]
    answered = len(rejected) + len(accepted)
    return Figure(
        "acceptance",
        "First-pass acceptance",
        _percent(len(accepted), answered),
        "Of the claims that were sent and answered: those whose first version was taken in by the clearinghouse and "
        "the payer, and refused by neither (999 and 277CA).",
        (
            _counted("accepted", "Taken in at the first try", accepted, answered),
            _counted("rejected", "Refused", rejected, answered, tone="bad"),
            _counted("waiting", "Not answered yet", waiting, 0),
        ),
    )


def _days_in_receivables(connection: Connection, today: date) -> Figure:
    first = connection.execute(select(func.min(ledger_entry.c.posted_on))).scalar()
    days = max(1, min(WINDOW_DAYS, (today - date.fromisoformat(first)).days + 1)) if first else WINDOW_DAYS
    start = (today - timedelta(days=days - 1)).isoformat()
    charged = -int(
        connection.execute(
            select(func.coalesce(func.sum(ledger_posting.c.amount_cents), 0))
            .join(ledger_entry, ledger_entry.c.id == ledger_posting.c.entry_id)
            .where(ledger_posting.c.account == "revenue", ledger_entry.c.posted_on >= start)
        ).scalar_one()
    )
    owed = _balances(connection)
    by_payer = {key: cents for key, (_, account, cents, _) in owed.items() if account == "receivable payer"}
    by_patient = {key: cents for key, (_, account, cents, _) in owed.items() if account == "receivable patient"}
    total = sum(by_payer.values()) + sum(by_patient.values())
    value = "no charges"
    if charged > 0:
        value = f"{(Decimal(total) * days / charged).quantize(Decimal('0.1'), ROUND_HALF_UP)} days"
    return Figure(
        "receivable-days",
        "Days in receivables",
        value,
        f"What payers and patients owe, divided by what was charged per day in the last {days} "
        f"{'day' if days == 1 else 'days'}. Credits are left out.",
        (
            Part("payer", "Payers owe", _claims_of(owed, by_payer), sum(by_payer.values()), sum(by_payer.values())),
            Part(
                "patient",
                "Patients owe",
                _claims_of(owed, by_patient),
                sum(by_patient.values()),
                sum(by_patient.values()),
            ),
        ),
        money=True,
    )


def _by_age(connection: Connection, today: date) -> Figure:
    owed = _balances(connection)
    total = sum(cents for _, _, cents, _ in owed.values())
    parts, old = [], 0
    for low, high in AGES:
        inside = {
            key: cents
            for key, (_, _, cents, day) in owed.items()
            if low <= (today - date.fromisoformat(day)).days <= (10**6 if high is None else high)
            or (low == 0 and day > today.isoformat())
        }
        cents = sum(inside.values())
        old += cents if low > 90 else 0
        label = f"{low} to {high} days" if high is not None else f"more than {low - 1} days"
        share, tone = _percent(cents, total), "bad" if low > 90 else ""
        parts.append(Part(f"age-{low}", label, _claims_of(owed, inside), cents, cents, share, tone))
    return Figure(
        "receivable-age",
        "Receivables by age",
        f"{_percent(old, total)} older than 90 days",
        "What payers and patients still owe, by the days since the service.",
        tuple(parts),
        money=True,
    )


def _collection(chains: Iterable[_Chain], money: Mapping[int, Mapping[str, int]], payers: Mapping[str, str]) -> Figure:
    closed: dict[str, list[_Chain]] = defaultdict(list)
    for chain in chains:
        sums = _summed(money, chain.versions)
        if chain.state in _DECIDED and sums.get("receivable payer", 0) == 0:
            closed[chain.payer_id].append(chain)
    parts, all_paid, all_due = [], 0, 0
    for payer_id, group in sorted(closed.items(), key=lambda item: payers.get(item[0], item[0])):
        sums = _summed(money, [version for chain in group for version in chain.versions])
        paid = sums.get("clearing", 0)
        due = sum(chain.total for chain in group) - sums.get("contractual", 0)
        all_paid, all_due = all_paid + paid, all_due + due
        name = payers.get(payer_id, payer_id)
        length = max(0, paid * 1000 // due) if due > 0 else 0
        parts.append(Part(f"payer-{payer_id}", name, _first(group), length, paid, _percent(paid, due)))
    return Figure(
        "collection",
        "Collection rate by payer",
        _percent(all_paid, all_due),
        "What payers paid, divided by the charges less contractual adjustments, over claims on which the payer owes "
        "nothing any more. What was left to patients counts as not collected from the payer.",
        tuple(parts),
        money=True,
    )


def _denials(connection: Connection, chains: Mapping[int, _Chain]) -> Figure:
    by_version = {version: chain for chain in chains.values() for version in chain.versions}
    decided = {chain.versions[0] for chain in chains.values() if chain.state in _DECIDED}
    causes: dict[str, tuple[set[int], int]] = {}
    denied: set[int] = set()
    rows = connection.execute(
        select(work_item.c.claim_id, work_item.c.rule, work_item.c.kind, work_item.c.money_cents).where(
            work_item.c.queue == "denials", work_item.c.claim_id.is_not(None)
        )
    )
    for row in rows:
        if row.claim_id in by_version:
            first = by_version[row.claim_id].versions[0]
            claims, cents = causes.get(row.rule or row.kind, (set(), 0))
            causes[row.rule or row.kind] = (claims | {first}, cents + row.money_cents)
            denied.add(first)
    decided |= denied
    parts = tuple(
        Part(
            f"cause-{number}",
            cause,
            tuple(sorted(claims)),
            len(claims),
            cents,
            _percent(len(claims), len(decided)),
            "bad",
            adjustment_reason(cause.partition("-")[2]) if "-" in cause else "",
        )
        for number, (cause, (claims, cents)) in enumerate(
            sorted(causes.items(), key=lambda item: (-len(item[1][0]), item[0])), 1
        )
    )
    return Figure(
        "denials",
        "Initial denial rate, by cause",
        _percent(len(denied), len(decided)),
        "Of the claims that payers decided: those with at least one line denied. A claim with several causes stands "
        "under each. What patients owe and contractual adjustments are no denials.",
        parts,
        money=True,
        note=f"{len(denied)} of {len(decided)} claims",
    )


def _touchless(chains: Iterable[_Chain]) -> Figure:
    closed = [chain for chain in chains if chain.state in _CLOSED]
    touched = [chain for chain in closed if chain.touched]
    untouched = [chain for chain in closed if not chain.touched]
    return Figure(
        "touchless",
        "Touchless rate",
        _percent(len(untouched), len(closed)),
        "Of the claims that are paid and closed: those that no person did anything about, from the charge to the end.",
        (
            _counted("touchless", "By themselves", untouched, len(closed)),
            _counted("touched", "With a person's help", touched, len(closed)),
        ),
    )


def _minutes(connection: Connection) -> Figure:
    queues = minutes.by_queue(connection)
    items, spent = sum(each.items for each in queues), sum(each.milliseconds for each in queues)
    return Figure(
        "minutes",
        "Staff minutes per item",
        _average(spent, items),
        "How long people are at an item until it is resolved: from opening it until the next thing that they do, five "
        "minutes at most. Over everything kept.",
        tuple(
            Part(
                each.queue.replace(" ", "-"),
                each.queue.capitalize(),
                each.claims,
                each.milliseconds // 1000,
                rate=_average(each.milliseconds, each.items),
                hint="1 item" if each.items == 1 else f"{each.items} items",
            )
            for each in queues
        ),
    )


def _average(milliseconds: int, items: int) -> str:
    if items == 0:
        return "none yet"
    return f"{(Decimal(milliseconds) / 60_000 / items).quantize(Decimal('0.1'), ROUND_HALF_UP)} min"


def _chains(connection: Connection, since: str) -> dict[int, _Chain]:
    chains: dict[int, _Chain] = {}
    by_version: dict[int, _Chain] = {}
    rows = connection.execute(
        select(claim.c.id, claim.c.chain_id, claim.c.payer_id, claim.c.state, claim.c.total_cents)
        .where(claim.c.service_on >= since)
        .order_by(claim.c.id)
    )
    for row in rows:
        chain = chains.setdefault(row.chain_id, _Chain(row.payer_id, total=row.total_cents))
        chain.versions.append(row.id)
        chain.state = row.state
        by_version[row.id] = chain
    events = connection.execute(
        select(claim_event.c.claim_id, claim_event.c.kind, claim_event.c.state_after, claim_event.c.actor)
        .join(claim, claim.c.id == claim_event.c.claim_id)
        .where(claim.c.service_on >= since)
        .order_by(claim_event.c.id)
    )
    for event in events:
        chain = by_version[event.claim_id]
        if event.kind == "delivered" and chain.sent is None:
            chain.sent = event.claim_id
        if event.claim_id == chain.sent:
            chain.rejected |= event.state_after == "rejected"
            chain.accepted |= event.kind in {"claim_ack", "ack999", "remit"} and event.state_after != "rejected"
        chain.touched |= event.actor != "hub"
    touches = connection.execute(
        select(work_item.c.claim_id)
        .join(work_event, work_event.c.item_id == work_item.c.id)
        .where(work_item.c.claim_id.is_not(None), work_event.c.actor != "hub")
        .distinct()
    )
    for claim_id in touches.scalars():
        if claim_id in by_version:
            by_version[claim_id].touched = True
    return chains


def _money(connection: Connection, since: str) -> dict[int, dict[str, int]]:
    sums: dict[int, dict[str, int]] = defaultdict(dict)
    rows = connection.execute(
        select(ledger_posting.c.claim_id, ledger_posting.c.account, func.sum(ledger_posting.c.amount_cents))
        .join(claim, claim.c.id == ledger_posting.c.claim_id)
        .where(claim.c.service_on >= since)
        .group_by(ledger_posting.c.claim_id, ledger_posting.c.account)
    )
    for claim_id, account, cents in rows:
        sums[claim_id][account] = int(cents)
    return sums


def _summed(money: Mapping[int, Mapping[str, int]], versions: Iterable[int]) -> dict[str, int]:
    total: dict[str, int] = defaultdict(int)
    for version in versions:
        for account, cents in money.get(version, {}).items():
            total[account] += cents
    return total


_Key = tuple[int, str]
_Owed = tuple[int | None, str, int, str]


def _balances(connection: Connection) -> dict[_Key, _Owed]:
    """What is owed, by charge and account: the charge's claim, the account, cents, day of service. Credits left out."""
    rows = connection.execute(
        select(
            ledger_posting.c.charge_id,
            ledger_posting.c.account,
            func.sum(ledger_posting.c.amount_cents).label("cents"),
            charge.c.claim_id,
            charge.c.service_on,
        )
        .join(charge, charge.c.id == ledger_posting.c.charge_id)
        .where(ledger_posting.c.account.in_(_OPEN))
        .group_by(ledger_posting.c.charge_id, ledger_posting.c.account, charge.c.claim_id, charge.c.service_on)
        .having(func.sum(ledger_posting.c.amount_cents) > 0)
    )
    return {(row.charge_id, row.account): (row.claim_id, row.account, int(row.cents), row.service_on) for row in rows}


def _claims_of(owed: Mapping[_Key, _Owed], keys: Iterable[_Key]) -> tuple[int, ...]:
    found = {owed[key][0] for key in keys}
    return tuple(sorted(claim_id for claim_id in found if claim_id is not None))


def _counted(key: str, label: str, chains: list[_Chain], whole: int, tone: str = "") -> Part:
    """A part that counts chains, as a share of *whole* of them."""
    rate = _percent(len(chains), whole) if whole else ""
    return Part(key, label, _first(chains), len(chains), rate=rate, tone=tone)


def _first(chains: Iterable[_Chain]) -> tuple[int, ...]:
    return tuple(sorted(chain.versions[0] for chain in chains))


def _percent(part: int, whole: int) -> str:
    """A share in per cent with one place; words when there is nothing to share."""
    if whole == 0:
        return "none yet"
    return f"{(Decimal(part) * 100 / whole).quantize(Decimal('0.1'), ROUND_HALF_UP)} %"
