"""Claims: the list, one claim with its lines and history, and its money from the ledger."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, and_, func, or_, select

from hub.billing.split_claims import ClaimPart
from hub.billing.split_claims import parts as parts_of
from hub.billing.standing import payments_of
from hub.store.tables import (
    batch,
    claim,
    claim_event,
    claim_line,
    ledger_posting,
    remittance,
    remittance_claim,
    visit,
    work_item,
)
from hub.web.queries.scope import claims_of

PAGE = 50


@dataclass(frozen=True, slots=True)
class Money:
    """Where a charge went, in cents: charge = paid + contract + patient + other + open + elsewhere in an even ledger.

    *elsewhere* is what other claims of the same charges account for: another payer's part, or a replacement's.
    """

    charge: int
    paid: int
    contract: int
    patient: int
    other: int
    open: int
    elsewhere: int = 0

    @property
    def difference(self) -> int:
        """What the right side lacks."""
        return self.charge - self.paid - self.contract - self.patient - self.other - self.open - self.elsewhere


@dataclass(frozen=True, slots=True)
class ClaimRow:
    """One line of the list."""

    id: int
    control_number: str
    payer_id: str
    partner: str
    service_on: str
    total_cents: int
    state: str
    state_business_at: int
    frequency: str
    money: Money


@dataclass(frozen=True, slots=True)
class ClaimDetail:
    """One claim. The *sealed* body is opened by whoever shows it."""

    id: int
    chain_id: int
    control_number: str
    payer_claim_number: str
    frequency: str
    form: str
    payer_id: str
    partner: str
    environment: str
    patient_id: int
    visit_id: int
    account_sealed: bytes | None
    rendering_npi: str
    place_of_service: str
    service_on: str
    total_cents: int
    state: str
    state_business_at: int
    created_business_at: int
    hold_until_business_at: int
    approved_by: str
    batch_id: int | None
    batch_reference: str
    batch_message_id: int | None
    interchange_number: int | None
    version: int
    sealed: bytes


@dataclass(frozen=True, slots=True)
class Line:
    """One service line with where its charge went."""

    ordinal: int
    control_number: str
    code: str
    modifiers: str
    units_milli: int
    service_on: str
    money: Money


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a claim."""

    kind: str
    business_at: int
    actor: str
    message_id: int | None
    state_after: str
    anomaly: bool
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Payment:
    """What one remittance said of a claim."""

    remittance_id: int
    trace: str
    payer_name: str
    paid_on: str
    status: str
    paid_cents: int
    patient_cents: int
    state: str
    reason: str


@dataclass(frozen=True, slots=True)
class ItemLink:
    """A work item about a claim."""

    id: int
    queue: str
    sentence: str
    state: str


@dataclass(frozen=True, slots=True)
class Search:
    """What a claim list shows. *before* is an id (keyset page), *within* the channels that are meant, empty for all."""

    text: str = ""
    state: str = ""
    payer: str = ""
    before: int | None = None
    within: tuple[str, ...] = ()


def search_statement(search: Search) -> Select[Any]:
    """The statement behind :func:`find`, for the test of its query plan."""
    conditions = [claim.c.id > 0]
    if search.state:
        conditions.append(claim.c.state == search.state)
    if search.payer:
        conditions.append(claim.c.payer_id == search.payer)
    if search.text:
        conditions.append(or_(claim.c.control_number == search.text.upper(), claim.c.payer_claim_number == search.text))
    if search.before is not None:
        conditions.append(claim.c.id < search.before)
    if search.within:
        conditions.append(claims_of(search.within))
    return select(claim).where(and_(*conditions)).order_by(claim.c.id.desc()).limit(PAGE + 1)


def find(connection: Connection, search: Search) -> tuple[list[ClaimRow], bool]:
    """One page of claims, newest first, and whether there are older ones."""
    found = connection.execute(search_statement(search)).all()
    return _rows(connection, found[:PAGE]), len(found) > PAGE


def by_ids(connection: Connection, claim_ids: Sequence[int]) -> list[ClaimRow]:
    """The claims called *claim_ids*, in that order of ids."""
    made: list[ClaimRow] = []
    for at in range(0, len(claim_ids), 500):
        some = claim_ids[at : at + 500]
        made += _rows(connection, connection.execute(select(claim).where(claim.c.id.in_(some)).order_by(claim.c.id)))
    return made


def _rows(connection: Connection, found: Iterable[Any]) -> list[ClaimRow]:
    rows = list(found)
    claim_ids = [row.id for row in rows]
    sums, wholes = _sums(connection, claim_ids), _wholes(connection, claim_ids)
    return [
        ClaimRow(
            row.id, row.control_number, row.payer_id, row.partner, row.service_on, row.total_cents, row.state,
            row.state_business_at, row.frequency, _money(row.total_cents, sums.get(row.id, {}), wholes.get(row.id)),
        )
        for row in rows
    ]  # fmt: skip


def by_number(connection: Connection, control_number: str) -> int | None:
    """The id of the claim with our *control_number*."""
    return connection.execute(select(claim.c.id).where(claim.c.control_number == control_number)).scalar()


def get(connection: Connection, claim_id: int) -> ClaimDetail | None:
    """The claim called *claim_id*."""
    row = connection.execute(
        select(
            claim,
            batch.c.reference,
            batch.c.message_id.label("batch_message_id"),
            batch.c.interchange_number,
            visit.c.body.label("account_sealed"),
        )
        .join(batch, batch.c.id == claim.c.batch_id, isouter=True)
        .join(visit, visit.c.id == claim.c.visit_id, isouter=True)
        .where(claim.c.id == claim_id)
    ).first()
    if row is None:
        return None
    return ClaimDetail(
        id=row.id,
        chain_id=row.chain_id,
        control_number=row.control_number,
        payer_claim_number=row.payer_claim_number or "",
        frequency=row.frequency,
        form=row.form,
        payer_id=row.payer_id,
        partner=row.partner,
        environment=row.environment,
        patient_id=row.patient_id,
        visit_id=row.visit_id,
        account_sealed=row.account_sealed,
        rendering_npi=row.rendering_npi,
        place_of_service=row.place_of_service,
        service_on=row.service_on,
        total_cents=row.total_cents,
        state=row.state,
        state_business_at=row.state_business_at,
        created_business_at=row.created_business_at,
        hold_until_business_at=row.hold_until_business_at,
        approved_by=row.approved_by or "",
        batch_id=row.batch_id,
        batch_reference=row.reference or "",
        batch_message_id=row.batch_message_id,
        interchange_number=row.interchange_number,
        version=row.version,
        sealed=row.body,
    )


def money_of(connection: Connection, claim_id: int, total_cents: int) -> Money:
    """Where the charge of claim *claim_id* went, from the ledger."""
    sums, wholes = _sums(connection, [claim_id]), _wholes(connection, [claim_id])
    return _money(total_cents, sums.get(claim_id, {}), wholes.get(claim_id))


def lines(connection: Connection, claim_id: int) -> list[Line]:
    """The service lines of a claim, each with its money."""
    rows = connection.execute(
        select(claim_line).where(claim_line.c.claim_id == claim_id).order_by(claim_line.c.ordinal)
    ).all()
    sums: dict[int, dict[str, int]] = {}
    for charge_id, account, cents in connection.execute(
        select(ledger_posting.c.charge_id, ledger_posting.c.account, func.sum(ledger_posting.c.amount_cents))
        .where(ledger_posting.c.charge_id.in_([row.charge_id for row in rows]))
        .group_by(ledger_posting.c.charge_id, ledger_posting.c.account)
    ):
        sums.setdefault(charge_id, {})[account] = int(cents)
    return [
        Line(
            row.ordinal, row.control_number, row.code, row.modifiers, row.units_milli, row.service_on,
            _money(row.charge_cents, sums.get(row.charge_id, {})),
        )
        for row in rows
    ]  # fmt: skip


def events(connection: Connection, claim_id: int) -> list[Event]:
    """What happened to a claim, oldest first."""
    return [
        Event(
            row.kind, row.business_at, row.actor, row.message_id, row.state_after, row.anomaly,
            json.loads(row.detail or "{}"),
        )
        for row in connection.execute(
            select(claim_event).where(claim_event.c.claim_id == claim_id).order_by(claim_event.c.id)
        )
    ]  # fmt: skip


def payments(connection: Connection, claim_id: int) -> list[Payment]:
    """What remittances said of a claim."""
    return [
        Payment(
            row.remittance_id, row.trace, row.payer_name, row.paid_on, row.status, row.paid_cents,
            row.patient_cents, row.state, row.reason or "",
        )
        for row in connection.execute(
            select(remittance_claim, remittance.c.trace, remittance.c.payer_name, remittance.c.paid_on)
            .join(remittance, remittance.c.id == remittance_claim.c.remittance_id)
            .where(remittance_claim.c.claim_id == claim_id)
            .order_by(remittance_claim.c.id)
        )
    ]  # fmt: skip


def parts(connection: Connection, claim_id: int, total_cents: int, happened: Iterable[Event]) -> list[ClaimPart]:
    """The parts into which the payer took a claim; nothing of one that it decides as a whole."""
    statuses = [each.detail for each in happened if each.kind in {"claim_ack", "status277"}]
    return parts_of(statuses, reversed(payments_of(connection, claim_id)), total_cents)


def items(connection: Connection, claim_id: int) -> list[ItemLink]:
    """Work items about a claim, open ones first."""
    return [
        ItemLink(row.id, row.queue, row.sentence, row.state)
        for row in connection.execute(
            select(work_item).where(work_item.c.claim_id == claim_id).order_by(work_item.c.state, work_item.c.id)
        )
    ]


def _sums(connection: Connection, claim_ids: list[int]) -> dict[int, dict[str, int]]:
    sums: dict[int, dict[str, int]] = {}
    for claim_id, account, cents in connection.execute(
        select(ledger_posting.c.claim_id, ledger_posting.c.account, func.sum(ledger_posting.c.amount_cents))
        .where(ledger_posting.c.claim_id.in_(claim_ids))
        .group_by(ledger_posting.c.claim_id, ledger_posting.c.account)
    ):
        sums.setdefault(claim_id, {})[account] = int(cents)
    return sums


def _wholes(connection: Connection, claim_ids: list[int]) -> dict[int, int]:
    """What the ledger holds of the charges on each claim, whichever claim it was posted for."""
    return {
        claim_id: int(cents)
        for claim_id, cents in connection.execute(
            select(claim_line.c.claim_id, func.sum(ledger_posting.c.amount_cents))
            .join(ledger_posting, ledger_posting.c.charge_id == claim_line.c.charge_id)
            .where(claim_line.c.claim_id.in_(claim_ids), ledger_posting.c.account.in_((*_PLACES, "unbilled")))
            .group_by(claim_line.c.claim_id)
        )
    }


_PLACES = ("clearing", "contractual", "write-off", "other adjustment", "receivable payer", "receivable patient")


def _money(charge_cents: int, sums: dict[str, int], whole: int | None = None) -> Money:
    """The ledger's sums as one equation.

    Debits of clearing are the payer's payments; before a claim is posted all of it is open. *whole* is what the ledger
    holds of the same charges on all claims; None leaves the others out.
    """
    adjusted = sum(sums.get(name, 0) for name in ("clearing", "contractual", "write-off", "other adjustment"))
    settled = any(name in sums for name in ("receivable payer", "receivable patient")) or adjusted
    return Money(
        charge=charge_cents,
        paid=sums.get("clearing", 0),
        contract=sums.get("contractual", 0),
        patient=sums.get("receivable patient", 0),
        other=sums.get("write-off", 0) + sums.get("other adjustment", 0),
        open=sums.get("receivable payer", 0) if settled else charge_cents,
        elsewhere=whole - sum(sums.get(name, 0) for name in _PLACES) if settled and whole is not None else 0,
    )
