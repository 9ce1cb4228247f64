"""What payers authorised beforehand, and how much of it is used up, as the edits of a claim ask for it."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from sqlalchemy import select

from hub.billing.claim_body import ClaimBody
from hub.billing.decision import Decision
from hub.billing.edits.context import Authorised
from hub.billing.values import Authorisation
from hub.core.codec import from_plain
from hub.formats.x12.claim import Claim
from hub.formats.x12.writer import clean
from hub.store.changes import Row
from hub.store.tables import claim as claim_table

_MOST_CLAIMS = 500  # of a patient and payer, the newest, whose units are counted
_NOT_USED = ("void", "rejected", "denied", "reversed")


def of_claim(decision: Decision, row: Row) -> tuple[Authorised, ...]:
    """What is on file for the patient and payer of the claim *row*; what was said last of each number."""
    rows = decision.rows("authorisation", patient_id=row["patient_id"], order_by="id")
    known = [from_plain(Authorisation, decision.unseal("authorisation", each["body"])) for each in rows]
    newest = {clean(each.number): each for each in known if each.payer_id in {"", row["payer_id"]}}
    limited = any(service.units is not None for each in newest.values() for service in each.services)
    used = _used(decision, row) if limited else {}
    return tuple(
        Authorised(
            number=number,
            services={clean(service.code): service.units for service in each.services},
            effective=each.effective,
            expires=each.expires,
            providers=frozenset(each.provider_npis),
            active=each.active,
            used={code: units for (of, code), units in used.items() if of == number},
        )
        for number, each in newest.items()
    )


def _used(decision: Decision, row: Row) -> dict[tuple[str, str], Decimal]:
    """The units that the patient's other claims to the payer took, by number and code."""
    used: dict[tuple[str, str], Decimal] = {}
    for claim in _other_claims(decision, row):
        for line in claim.lines:
            key = (line.prior_authorisation or claim.prior_authorisation, line.billed_code)
            used[key] = used.get(key, Decimal(0)) + line.units
    return used


def _other_claims(decision: Decision, row: Row) -> Iterator[Claim]:
    """The newest of each other chain, as far as the payer has not refused it."""
    found = decision.connection.execute(
        select(claim_table.c.chain_id, claim_table.c.state, claim_table.c.body)
        .where(
            claim_table.c.patient_id == row["patient_id"],
            claim_table.c.payer_id == row["payer_id"],
            claim_table.c.chain_id != row["chain_id"],
        )
        .order_by(claim_table.c.id.desc())
        .limit(_MOST_CLAIMS)
    ).all()
    for claim in {each.chain_id: each for each in reversed(found)}.values():
        if claim.state not in _NOT_USED:
            yield ClaimBody.from_plain(decision.unseal("claim", claim.body)).claim
