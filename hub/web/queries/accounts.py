"""Patient accounts: finding one by a blind index, and its visits, charges, claims and ledger."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select

from hub.core.vault import Vault
from hub.store.tables import charge, claim, coverage, ledger_entry, ledger_posting, patient, patient_alias, visit

PAGE = 50
_LONGEST_CHAIN = 16


@dataclass(frozen=True, slots=True)
class AccountRow:
    """One patient in the list; the *sealed* body is opened by whoever shows it."""

    patient_id: int
    updated_at: int
    sealed: bytes
    merged_into: int | None


@dataclass(frozen=True, slots=True)
class VisitRow:
    """One visit: an account of the source's."""

    id: int
    visit_on: str
    department: str
    state: str
    source_channel: str
    sealed: bytes


@dataclass(frozen=True, slots=True)
class ChargeRow:
    """One charge line."""

    id: int
    service_on: str
    code: str
    modifiers: str
    units_milli: int
    amount_cents: int
    state: str
    claim_id: int | None
    message_id: int
    source_path: str


@dataclass(frozen=True, slots=True)
class CoverageRow:
    """One insurance."""

    priority: int
    payer_id: str
    active: bool
    effective_on: str
    expires_on: str
    sealed: bytes


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One entry as it touches a patient: what it changed of the three parts, and the balances after it."""

    entry_id: int
    posted_on: str
    kind: str
    memo: str
    rule: str
    actor: str
    code: str
    claim_id: int | None
    remittance_id: int | None
    reversal: bool
    unbilled: int
    payer: int
    patient: int
    unbilled_after: int
    payer_after: int
    patient_after: int

    @property
    def balance(self) -> int:
        """What is owed in all after this entry."""
        return self.unbilled_after + self.payer_after + self.patient_after


@dataclass(frozen=True, slots=True)
class ClaimLink:
    """A claim of the patient."""

    id: int
    control_number: str
    state: str
    total_cents: int
    service_on: str


def recent(connection: Connection) -> list[AccountRow]:
    """The patients that changed last."""
    return [
        AccountRow(row.id, row.updated_at, row.body, row.merged_into)
        for row in connection.execute(select(patient).order_by(patient.c.updated_at.desc()).limit(PAGE))
    ]


def find(connection: Connection, vault: Vault, text: str, authorities: tuple[str, ...]) -> list[AccountRow]:
    """The patients whose account, record number (with any of *authorities*) or name is *text*."""
    names = {text.strip(), " ".join(text.replace(",", " ").split()), text.replace(",", "^").replace(" ", "")}
    ids = set(
        connection.execute(
            select(patient.c.id).where(patient.c.name_digest.in_([vault.digest("name", n) for n in names]))
        ).scalars()
    )
    ids.update(
        connection.execute(
            select(visit.c.patient_id).where(visit.c.account_digest == vault.digest("account", text))
        ).scalars()
    )
    ids.update(
        connection.execute(
            select(patient_alias.c.patient_id).where(
                patient_alias.c.digest.in_([vault.digest("mrn", f"{a}|{text.strip()}") for a in authorities])
            )
        ).scalars()
    )
    return [
        AccountRow(row.id, row.updated_at, row.body, row.merged_into)
        for row in connection.execute(select(patient).where(patient.c.id.in_(ids)).limit(PAGE))
    ]


def get(connection: Connection, patient_id: int) -> AccountRow | None:
    """The patient called *patient_id*."""
    row = connection.execute(select(patient).where(patient.c.id == patient_id)).first()
    return AccountRow(row.id, row.updated_at, row.body, row.merged_into) if row else None


def survivors(connection: Connection, patient_ids: Iterable[int]) -> dict[int, int]:
    """For each of *patient_ids* the patient whom its record was merged into in the end; itself when it was not.

    A chain of merges has an end, because billing refuses circles; one that has none is left where it stands.
    """
    found = {each: each for each in patient_ids}
    for _ in range(_LONGEST_CHAIN):
        ends = sorted(set(found.values()))
        into = {
            row.id: row.merged_into
            for at in range(0, len(ends), 500)
            for row in connection.execute(
                select(patient.c.id, patient.c.merged_into).where(
                    patient.c.id.in_(ends[at : at + 500]), patient.c.merged_into.is_not(None)
                )
            )
        }
        if not into:
            break
        found = {each: into.get(end, end) for each, end in found.items()}
    return found


def merged_into(connection: Connection, patient_id: int) -> list[int]:
    """*patient_id*, and every record that was merged into it, directly or through others."""
    found, new = [patient_id], [patient_id]
    while new and len(found) < 500:
        new = list(connection.execute(select(patient.c.id).where(patient.c.merged_into.in_(new))).scalars())
        new = [each for each in new if each not in found]
        found += new
    return found


def current(connection: Connection, patient_id: int) -> AccountRow | None:
    """The patient called *patient_id*, or whom its record was merged into."""
    return get(connection, survivors(connection, [patient_id])[patient_id])


def visits(connection: Connection, patient_id: int) -> list[VisitRow]:
    """A patient's visits, newest first."""
    return [
        VisitRow(row.id, row.visit_on, row.department, row.state, row.source_channel, row.body)
        for row in connection.execute(
            select(visit).where(visit.c.patient_id == patient_id).order_by(visit.c.visit_on.desc(), visit.c.id)
        )
    ]


def charges(connection: Connection, patient_id: int) -> list[ChargeRow]:
    """A patient's charges by day of service."""
    return [
        ChargeRow(
            row.id, row.service_on, row.code, row.modifiers, row.units_milli, row.amount_cents, row.state,
            row.claim_id, row.message_id, row.source_path,
        )
        for row in connection.execute(
            select(charge).where(charge.c.patient_id == patient_id).order_by(charge.c.service_on, charge.c.id)
        )
    ]  # fmt: skip


def coverages(connection: Connection, patient_id: int) -> list[CoverageRow]:
    """A patient's insurances by rank."""
    return [
        CoverageRow(row.priority, row.payer_id, row.active, row.effective_on, row.expires_on, row.body)
        for row in connection.execute(
            select(coverage).where(coverage.c.patient_id == patient_id).order_by(coverage.c.priority)
        )
    ]


def claims(connection: Connection, patient_id: int) -> list[ClaimLink]:
    """A patient's claims, newest first, those included that were sent for a record merged into this one since."""
    visits_of = select(visit.c.id).where(visit.c.patient_id == patient_id)
    mine = or_(claim.c.patient_id == patient_id, claim.c.visit_id.in_(visits_of))
    return [
        ClaimLink(row.id, row.control_number, row.state, row.total_cents, row.service_on)
        for row in connection.execute(select(claim).where(mine).order_by(claim.c.id.desc()))
    ]


def ledger(connection: Connection, patient_id: int) -> list[LedgerRow]:
    """Every entry that touched what is owed for a patient, oldest first, with the balances after it."""
    rows = connection.execute(
        select(ledger_posting, ledger_entry)
        .join(ledger_entry, ledger_entry.c.id == ledger_posting.c.entry_id)
        .where(_postings_of(patient_id))
        .order_by(ledger_posting.c.entry_id, ledger_posting.c.ordinal)
    ).all()
    by_entry: dict[int, list[Any]] = {}
    for row in rows:
        by_entry.setdefault(row.entry_id, []).append(row)
    made, unbilled, payer, own = [], 0, 0, 0
    for entry_id, postings in by_entry.items():
        change = {
            name: sum(p.amount_cents for p in postings if p.account == name)
            for name in ("unbilled", "receivable payer", "receivable patient")
        }
        unbilled += change["unbilled"]
        payer += change["receivable payer"]
        own += change["receivable patient"]
        first = postings[0]
        made.append(
            LedgerRow(
                entry_id=entry_id,
                posted_on=first.posted_on,
                kind=first.kind,
                memo=first.memo,
                rule=first.rule,
                actor=first.actor,
                code=" ".join(sorted({p.code for p in postings if p.code})),
                claim_id=first.claim_id or next((p.claim_id for p in postings if p.claim_id), None),
                remittance_id=first.remittance_id,
                reversal=first.reverses_id is not None,
                unbilled=change["unbilled"],
                payer=change["receivable payer"],
                patient=change["receivable patient"],
                unbilled_after=unbilled,
                payer_after=payer,
                patient_after=own,
            )
        )
    return made


def balance(connection: Connection, patient_id: int) -> tuple[int, int]:
    """What payers (billed or not yet) and the patient owe, in cents."""
    sums = {
        account: int(cents)
        for account, cents in connection.execute(
            select(ledger_posting.c.account, func.sum(ledger_posting.c.amount_cents))
            .where(
                _postings_of(patient_id),
                ledger_posting.c.account.in_(("unbilled", "receivable payer", "receivable patient")),
            )
            .group_by(ledger_posting.c.account)
        )
    }
    return sums.get("unbilled", 0) + sums.get("receivable payer", 0), sums.get("receivable patient", 0)


def _postings_of(patient_id: int) -> ColumnElement[bool]:
    """A patient's postings: through the charges, which a merge moves while the ledger, append-only, stays as it is."""
    charges_of = select(charge.c.id).where(charge.c.patient_id == patient_id)
    without_charge = and_(ledger_posting.c.charge_id.is_(None), ledger_posting.c.patient_id == patient_id)
    return or_(ledger_posting.c.charge_id.in_(charges_of), without_charge)
