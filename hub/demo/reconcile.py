"""The closing reconciliation: what the hub's store says against what the simulators wrote in their own books.

The foreign books decide. Each check names both sides; money must agree to the cent.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, select

from hub.billing import accounts, ledger
from hub.billing.reconcile import figures
from hub.core.money import from_cents, shown
from hub.core.vault import Vault
from hub.demo.unchanged import changed_facts, transactions_of_lines
from hub.engine.outcomes import OUTCOMES
from hub.formats.x12.frequency import REPLACING
from hub.store.contents import read_content
from hub.store.tables import (
    charge,
    claim,
    claim_line,
    counter,
    ledger_entry,
    ledger_posting,
    message,
    remittance,
    work_item,
)

Entry = dict[str, Any]
SHOWN_AT_MOST = 8


@dataclass(frozen=True, slots=True)
class Part:
    """How many charges stand in one place, and their money."""

    where: str
    count: int
    cents: int


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison: a sentence, both figures as text, and what differs (nothing when it holds).

    *parts* are what our figure is made of, where it is made of several.
    """

    sentence: str
    theirs: str
    ours: str
    differences: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether both sides agree."""
        return not self.differences


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """All checks, the hub's own figures, and the money that the two sides see differently."""

    checks: tuple[Check, ...]
    money: accounts.Money
    difference: Decimal

    @property
    def ok(self) -> bool:
        """Whether every check holds and the difference is 0.00."""
        return self.difference == 0 and all(check.ok for check in self.checks)


def read_books(file: Path) -> list[Entry]:
    """The entries of a simulator's book, in order."""
    return [json.loads(line) for line in file.read_text().splitlines()]


def reconcile(
    connection: Connection, vault: Vault, ehr: list[Entry], payer: list[Entry], clearinghouse: list[Entry]
) -> Reconciliation:
    """Hold the store, in one read snapshot, against the books of the EHR, the payer and the clearinghouse."""
    ours = figures(connection)
    claims = _claim_payments(connection, payer)
    results = (_results(connection, ehr), _explanations(ehr), _reconciliations(ehr, payer))
    checks = (
        _messages(connection, vault, ehr),
        _unreadable(connection, ehr),
        _balance(connection),
        _charges(connection, vault, ehr),
        _unchanged(connection, vault, ehr, [*clearinghouse, *payer]),
        _lost(connection, clearinghouse),
        claims.check,
        _deposits(connection, payer),
        _provider_level(connection, payer),
        *results,
        Check(
            "The hub's own books have no difference",
            "0 differences",
            f"{len(ours.differences)} differences",
            tuple(map(str, ours.differences[:SHOWN_AT_MOST])),
        ),
    )
    return Reconciliation(checks, ours.charges, ours.charges.difference + claims.difference)


def _unchanged(connection: Connection, vault: Vault, ehr: list[Entry], partners: list[Entry]) -> Check:
    """No machine changed a code, modifier, unit, amount, diagnosis, date or identity on the way to a partner."""
    count, differences = changed_facts(transactions_of_lines(connection, vault), ehr, partners)
    return Check(
        "Each claim that a partner read says what the EHR said, and nothing else",
        f"{count} lines",
        f"{len(differences)} differences",
        _few(differences),
    )


def _lost(connection: Connection, clearinghouse: list[Entry]) -> Check:
    """The claims that the clearinghouse lost are exactly those that nobody speaks of."""
    lost = {entry["pcn"]: entry["charge_cents"] for entry in clearinghouse if entry["kind"] == "claim_lost"}
    missed = dict(
        connection.execute(
            select(claim.c.control_number, claim.c.total_cents)
            .join(work_item, work_item.c.claim_id == claim.c.id)
            .where(work_item.c.queue == "lost claims", work_item.c.state == "open")
        )
        .tuples()
        .all()
    )
    differences = [f"claim {number} was lost and nobody missed it" for number in sorted(set(lost) - set(missed))]
    differences += [f"claim {number} is missed and was not lost" for number in sorted(set(missed) - set(lost))]
    return Check(
        "Each claim that the clearinghouse lost was missed",
        f"{len(lost)} claims, {shown(from_cents(sum(lost.values())))}",
        f"{len(missed)} claims, {shown(from_cents(sum(missed.values())))}",
        _few(differences),
    )


# ---------------------------------------------------------------- messages


def _messages(connection: Connection, vault: Vault, ehr: list[Entry]) -> Check:
    """Every message that the EHR had acknowledged is stored once, in exactly one outcome."""
    acknowledged = {
        entry["sha256"]: entry["control"]
        for entry in ehr
        if entry["kind"] == "message" and entry["ack"] in {"AA", "CA"}
    }
    stored: dict[str, list[str]] = defaultdict(list)
    rows = connection.execute(
        select(message.c.raw_id, message.c.onward).where(
            message.c.channel == "ehr_visits", message.c.relation.is_(None)
        )
    )
    for raw_id, onward in rows:
        stored[hashlib.sha256(read_content(connection, vault, raw_id)).hexdigest()].append(onward)
    differences = []
    for digest, control in acknowledged.items():
        outcomes = stored.get(digest, [])
        if len(outcomes) != 1 or outcomes[0] not in OUTCOMES:
            differences.append(f"{control}: {', '.join(outcomes) or 'not in the store'}")
    kept = sum(1 for digest in acknowledged if len(stored.get(digest, [])) == 1)
    return Check(
        "Each message that the EHR had acknowledged is in exactly one outcome",
        f"{len(acknowledged)} acknowledged",
        f"{kept} in one outcome",
        _few(differences),
    )


def _unreadable(connection: Connection, ehr: list[Entry]) -> Check:
    """Every unreadable message that the EHR sent on purpose, and that was answered, is kept as rejected."""
    answered = sum(1 for entry in ehr if entry["kind"] == "malformed" and entry["answer"])
    kept = connection.execute(
        select(func.count()).where(message.c.channel == "ehr_visits", message.c.onward == "rejected")
    ).scalar_one()
    differences = [] if kept >= answered else [f"{answered - kept} are not in the store"]
    return Check(
        "Each unreadable message is kept, with the reason",
        f"{answered} answered",
        f"{kept} rejected",
        tuple(differences),
    )


def _balance(connection: Connection) -> Check:
    """The kept counters balance, and agree with a count of the rows."""
    kept: dict[str, Counter[str]] = defaultdict(Counter)
    for row in connection.execute(select(counter)):
        kept[row.channel][row.name] += row.value
    counted: dict[str, Counter[str]] = defaultdict(Counter)
    for channel, onward, number in connection.execute(
        select(message.c.channel, message.c.onward, func.count()).group_by(message.c.channel, message.c.onward)
    ):
        counted[channel][onward] = number
    differences = []
    for channel, names in kept.items():
        by_outcome = {name: names[name] for name in ("in progress", *OUTCOMES) if names[name]}
        if names["received"] != sum(by_outcome.values()):
            differences.append(f"{channel}: received {names['received']}, outcomes {by_outcome}")
        if by_outcome != {name: number for name, number in counted[channel].items() if number}:
            differences.append(f"{channel}: counters {by_outcome}, rows {dict(counted[channel])}")
        if names["in progress"]:
            differences.append(f"{channel}: {names['in progress']} still in progress")
    received = sum(names["received"] for names in kept.values())
    rows = sum(sum(names.values()) for names in counted.values())
    return Check(
        "Received = held + errored + rejected + done + filtered",
        f"{received} received",
        f"{rows} rows",
        _few(differences),
    )


# ---------------------------------------------------------------- charges


def _charges(connection: Connection, vault: Vault, ehr: list[Entry]) -> Check:
    """Every charge that the EHR sent is on exactly one claim, the patient's own, taken back, or in a queue."""
    newest: dict[str, Entry] = {}
    for entry in ehr:
        if entry["kind"] == "charge" and entry["expected"] != "duplicate":
            known = newest.get(entry["transaction"])
            if known is None or entry["version"] > known["version"]:
                newest[entry["transaction"]] = entry
    credited = {entry["credits"] for entry in ehr if entry["kind"] == "credit"}
    ours = _our_charges(connection, vault)
    open_items = _open_subjects(connection)
    held = _held_messages(connection)
    places: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    differences = []
    for transaction, entry in newest.items():
        found = ours.pop(transaction, [])
        if len(found) == 1:
            complaint = _misplaced(entry, found[0], transaction in credited, open_items)
            row = found[0][0]
            _add(places, _place(row, open_items), row.amount_cents)
            if changed := entry["amount_cents"] - row.amount_cents:
                _add(places, "changed by the EHR since, in a queue", changed, count=0)
        elif not found and entry["control"] in held:
            complaint = ""  # the line never became a charge: its message is held, with the reason
            _add(places, "in queue messages: mapping hold", entry["amount_cents"])
        else:
            complaint = f"is {len(found)} charges"
            for row, _ in found:
                _add(places, f"{len(found)} times", row.amount_cents)
        if complaint:
            differences.append(f"{transaction}: {complaint}")
    for transaction, unsent in ours.items():
        differences.append(f"{transaction}: is charged, and the EHR never sent it")
        for row, _ in unsent:
            _add(places, "never sent by the EHR", row.amount_cents)
    theirs = (len(newest), sum(entry["amount_cents"] for entry in newest.values()))
    parts = tuple(Part(where, *figures) for where, figures in sorted(places.items(), key=lambda each: -each[1][1]))
    total = (sum(part.count for part in parts), sum(part.cents for part in parts))
    if theirs != total and not differences:
        differences.append(f"they come to {_charged(theirs)}, the parts to {_charged(total)}")
    return Check(
        "Each charge is on one claim, the patient's, taken back, or in a queue with its reason",
        _charged(theirs),
        _charged(total),
        _few(differences),
        parts,
    )


def _add(places: dict[str, list[int]], where: str, cents: int, count: int = 1) -> None:
    places[where][0] += count
    places[where][1] += cents


def _charged(figures: tuple[int, int]) -> str:
    return f"{figures[0]} charges, {shown(from_cents(figures[1]))}"


def _place(row: Any, open_items: dict[str, dict[int, str]]) -> str:
    """Where the charge *row* stands, in words."""
    match row.state:
        case "claimed":
            return "on claims"
        case "self pay":
            return "the patient's"
        case "void":
            return "taken back by a credit"
    item = open_items["charge"].get(row.id) or open_items["claim"].get(row.claim_id)
    return f"in queue {item}" if item else f"{row.state}, in no queue"


def _our_charges(connection: Connection, vault: Vault) -> dict[str, list[Any]]:
    lines: Counter[int] = Counter(
        dict(
            connection.execute(
                select(claim_line.c.charge_id, func.count())
                .join(claim, claim.c.id == claim_line.c.claim_id)
                # a replacement, or a claim to a further payer, is the same debt
                .where(claim.c.state != "void", claim.c.frequency.not_in(REPLACING), claim.c.previous_id.is_(None))
                .group_by(claim_line.c.charge_id)
            )
            .tuples()
            .all()
        )
    )
    ours: dict[str, list[Any]] = defaultdict(list)
    for row in connection.execute(select(charge)):
        said = vault.open_json(row.body, "charge.body")["charge"]
        ours[said["transaction"]].append((row, lines[row.id]))
    return ours


def _open_subjects(connection: Connection) -> dict[str, dict[int, str]]:
    """The ids that open work items are about, by kind of id, with the item's queue and kind."""
    subjects: dict[str, dict[int, str]] = {"charge": {}, "claim": {}}
    for row in connection.execute(
        select(work_item.c.charge_id, work_item.c.claim_id, work_item.c.queue, work_item.c.kind)
        .where(work_item.c.state == "open")
        .order_by(work_item.c.id)
    ):
        said = f"{row.queue}: {row.kind}"
        if row.charge_id is not None:
            subjects["charge"].setdefault(row.charge_id, said)
        if row.claim_id is not None:
            subjects["claim"].setdefault(row.claim_id, said)
    return subjects


def _held_messages(connection: Connection) -> set[str]:
    """The control ids of messages of which the mapping held a part for a person."""
    return set(
        connection.execute(
            select(message.c.control_id)
            .join(work_item, work_item.c.message_id == message.c.id)
            .where(work_item.c.kind == "mapping hold", work_item.c.state == "open")
        ).scalars()
    )


def _misplaced(entry: Entry, found: Any, credited: bool, open_items: dict[str, dict[int, str]]) -> str:
    """What is wrong with where the charge *found* stands; empty when nothing is."""
    row, claims = found
    in_queue = row.id in open_items["charge"]
    if row.amount_cents != entry["amount_cents"] and not in_queue:
        return f"is {from_cents(row.amount_cents)}, was sent as {from_cents(entry['amount_cents'])}"
    match row.state:
        case "claimed":
            return "" if claims == 1 else f"is on {claims} claims"
        case "self pay":
            return "" if not entry["payer"] else "is the patient's, although it was sent with a payer"
        case "void":
            return "" if credited else "was taken back, although no credit was sent"
        case "held" | "open":
            return "" if in_queue or row.claim_id in open_items["claim"] else f"is {row.state} and in no queue"
    return f"is {row.state}"


# ---------------------------------------------------------------- money


@dataclass(frozen=True, slots=True)
class _ClaimPayments:
    check: Check
    difference: Decimal


def _counting(payer: list[Entry]) -> Iterator[Entry]:
    """The remittances whose money counts: neither those that do not balance nor those for foreign claims."""
    return (entry for entry in payer if entry["kind"] == "remittance" and entry["counts"])


def _transfers(payer: list[Entry]) -> Counter[str]:
    """What each payment that counts came to (cents), by its trace number."""
    transfers: Counter[str] = Counter()
    for entry in _counting(payer):
        transfers[entry["trace"]] += entry["amount_cents"]
    return transfers


def _claim_payments(connection: Connection, payer: list[Entry]) -> _ClaimPayments:
    """What each payer says it paid on each claim, net of reversals, is what the ledger holds as paid on it."""
    # A claim that one payer passed on is answered under the first one's number: payments meet by chain and payer.
    first = claim.alias("first")
    chains = select(claim.c.control_number, first.c.control_number).join(first, first.c.id == claim.c.chain_id)
    first_number = dict(connection.execute(chains).tuples().all())
    theirs: Counter[tuple[str, str]] = Counter()
    foreign: set[tuple[str, str]] = set()
    for entry in _counting(payer):
        for each in entry["claims"]:
            key = (first_number.get(each["pcn"], each["pcn"]), entry["payer"])
            theirs[key] += each["paid_cents"]
            if entry["foreign"]:
                foreign.add(key)
    ours: Counter[tuple[str, str]] = Counter()
    for number, payer_id, cents in connection.execute(
        select(first.c.control_number, remittance.c.payer_id, func.sum(ledger_posting.c.amount_cents))
        .join(claim, claim.c.id == ledger_posting.c.claim_id)
        .join(first, first.c.id == claim.c.chain_id)
        .join(ledger_entry, ledger_entry.c.id == ledger_posting.c.entry_id)
        .join(remittance, remittance.c.id == ledger_entry.c.remittance_id)
        .where(ledger_posting.c.account == ledger.CLEARING)
        .group_by(first.c.control_number, remittance.c.payer_id)
    ):
        ours[number, payer_id] += int(cents)
    compared = (set(theirs) | set(ours)) - foreign
    differences = [
        f"claim {number}, payer {payer_id}: paid is {shown(from_cents(theirs[number, payer_id]))}, "
        f"posted is {shown(from_cents(ours[number, payer_id]))}"
        for number, payer_id in sorted(compared)
        if theirs[number, payer_id] != ours[number, payer_id]
    ]
    total = sum(theirs[key] for key in compared)
    posted = sum(ours[key] for key in compared)
    check = Check(
        "What the payers paid on each claim is posted on it, to the cent",
        shown(from_cents(total)),
        shown(from_cents(posted)),
        _few(differences),
    )
    return _ClaimPayments(check, from_cents(total - posted))


def _deposits(connection: Connection, payer: list[Entry]) -> Check:
    """Every payment that the payers made is in cash once, by its trace number."""
    theirs = _transfers(payer)
    ours: Counter[str] = Counter()
    for trace, cents in connection.execute(
        select(remittance.c.trace, remittance.c.amount_cents).where(remittance.c.state.in_(("posting", "posted")))
    ):
        ours[trace] += cents
    differences = [
        f"payment {trace}: they sent {shown(from_cents(theirs[trace]))}, we have {shown(from_cents(ours[trace]))}"
        for trace in sorted(set(theirs) | set(ours))
        if theirs[trace] != ours[trace]
    ]
    return Check(
        "Each payment is deposited once",
        f"{len(theirs)} payments, {shown(from_cents(sum(theirs.values())))}",
        f"{len(ours)} payments, {shown(from_cents(sum(ours.values())))}",
        _few(differences),
    )


def _provider_level(connection: Connection, payer: list[Entry]) -> Check:
    """What payers took or gave outside claims (PLB) is on the provider level or interest, and nowhere else."""
    theirs = sum(each["amount_cents"] for entry in _counting(payer) for each in entry["plb"])
    ours = int(
        connection.execute(
            select(func.coalesce(func.sum(ledger_posting.c.amount_cents), 0)).where(
                ledger_posting.c.account.in_((ledger.PROVIDER_LEVEL, ledger.INTEREST))
            )
        ).scalar_one()
    )
    differences = [] if theirs == ours else [f"they adjusted {from_cents(theirs)}, we hold {from_cents(ours)}"]
    return Check(
        "Adjustments outside claims stand at the provider level",
        shown(from_cents(theirs)),
        shown(from_cents(ours)),
        _few(differences),
    )


def _results(connection: Connection, ehr: list[Entry]) -> Check:
    """What the EHR was told of payments, over both its interfaces, is what is posted on its charges."""
    told = sum(
        line["amount_cents"]
        for entry in ehr
        if entry["kind"] == "result" and not entry["repeat"]
        for line in entry["lines"]
        if line["line_type"] == "PY"
    ) + sum(map(_paid_cents, _standing(ehr, "claim_response")))
    posted = int(
        connection.execute(
            select(func.coalesce(func.sum(ledger_posting.c.amount_cents), 0)).where(
                ledger_posting.c.account == ledger.CLEARING, ledger_posting.c.claim_id.is_not(None)
            )
        ).scalar_one()
    )
    differences = [] if told == posted else [f"the EHR booked {from_cents(told)}, posted is {from_cents(posted)}"]
    return Check(
        "The EHR was told of every payment, once",
        shown(from_cents(told)),
        shown(from_cents(posted)),
        _few(differences),
    )


def _explanations(ehr: list[Entry]) -> Check:
    """The ExplanationOfBenefits that stand say the same as the ClaimResponses: what was taken back, neither does."""
    responses = {_own(each): _paid_cents(each) for each in _standing(ehr, "claim_response") if "payment" in each}
    explained = {_own(each): _paid_cents(each) for each in _standing(ehr, "explanation")}
    differences = [
        f"{name}: one says {responses.get(name)}, the other {explained.get(name)}"
        for name in sorted(set(responses) | set(explained))
        if responses.get(name) != explained.get(name)
    ]
    withdrawn = sum(each["status"] != "active" for each in _newest(ehr, "explanation"))
    return Check(
        f"Each payment told by FHIR is explained, and {withdrawn} are withdrawn",
        f"{len(responses)} payments, {shown(from_cents(sum(responses.values())))}",
        f"{len(explained)} explained, {shown(from_cents(sum(explained.values())))}",
        _few(differences),
    )


def _reconciliations(ehr: list[Entry], payer: list[Entry]) -> Check:
    """Each payment that the payers made was told as a whole, and what it is made of adds up to it."""
    theirs = _transfers(payer)
    told: Counter[str] = Counter()
    differences = []
    for resource in _standing(ehr, "reconciliation"):
        trace, amount = resource["paymentIdentifier"]["value"], _cents(resource["paymentAmount"])
        told[trace] += amount
        parts = sum(_cents(each["amount"]) for each in resource.get("detail", []))
        if parts != amount and resource["outcome"] == "complete":
            differences.append(f"payment {trace}: {from_cents(amount)}, its parts come to {from_cents(parts)}")
    differences += [
        f"payment {trace}: they sent {from_cents(theirs[trace])}, the EHR was told {from_cents(told[trace])}"
        for trace in sorted(set(theirs) | set(told))
        if theirs[trace] != told[trace]
    ]
    return Check(
        "Each payment was told to the EHR as a whole, and adds up",
        f"{len(theirs)} payments, {shown(from_cents(sum(theirs.values())))}",
        f"{len(told)} payments, {shown(from_cents(sum(told.values())))}",
        _few(differences),
    )


def _newest(ehr: list[Entry], kind: str) -> list[dict[str, Any]]:
    """The results of *kind* as the EHR has them now."""
    return list({entry["id"]: entry["resource"] for entry in ehr if entry["kind"] == kind}.values())


def _standing(ehr: list[Entry], kind: str) -> list[dict[str, Any]]:
    """Those that were not withdrawn."""
    return [each for each in _newest(ehr, kind) if each["status"] == "active"]


def _own(resource: dict[str, Any]) -> str:
    """What the hub calls it."""
    return str(resource["identifier"][0]["value"])


def _paid_cents(resource: dict[str, Any]) -> int:
    return _cents(resource["payment"]["amount"]) if "payment" in resource else 0


def _cents(amount: dict[str, Any]) -> int:
    return int(Decimal(str(amount["value"])) * 100)


def _few(differences: Iterable[str]) -> tuple[str, ...]:
    """The first differences, and how many more there are."""
    listed = list(differences)
    if len(listed) <= SHOWN_AT_MOST:
        return tuple(listed)
    return (*listed[:SHOWN_AT_MOST], f"and {len(listed) - SHOWN_AT_MOST} more")
