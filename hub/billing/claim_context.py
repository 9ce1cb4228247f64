"""What a claim is checked against, read from the decision's snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import func, select

from hub.billing import authorised, coverage_answers
from hub.billing.claim_body import ClaimBody
from hub.billing.config import Payer
from hub.billing.decision import Decision
from hub.billing.edits.context import Context, Eligibility, History, PastService
from hub.billing.edits.facts import providers, service_day
from hub.billing.edits.lines import NOTICES
from hub.billing.edits.over_time import LONGEST_GLOBAL, PLANS
from hub.billing.ledger import CONTRACTUAL
from hub.billing.open_charge import opened
from hub.billing.refdata.lookup import look_up
from hub.billing.values import Coverage
from hub.core.codec import from_plain
from hub.core.money import from_cents
from hub.formats.x12.claim import Claim, Institutional
from hub.store.changes import Row
from hub.store.tables import claim as claim_table
from hub.store.tables import claim_line, ledger_posting, remittance_claim

_MOST_SERVICES = 2000  # of a patient's other claims: the newest
_YEARS_BACK = timedelta(days=3 * 366)
_NOT_WITH_THE_PAYER = ("void", "rejected", "denied", "reversed")
SIGNED, WITHDRAWN = "signed", "withdrawn"  # states of a document
_FORWARDED = ("19", "20", "21")  # CLP02: processed and sent on to the next payer


def context_of(decision: Decision, row: Row, said: Claim, payer: Payer) -> Context:
    """The context of the claim *row*, which says *said*."""
    history = _history(decision, row, said)
    day = date.fromisoformat(row["service_on"])
    answered = coverage_answers.newest(decision, row, day)
    return Context(
        payer=payer,
        today=date.fromisoformat(decision.today),
        practice=decision.config.practice,
        reference=look_up(decision.connection, _codes(said) | _near(history, said)),
        charged=from_cents(row["total_cents"]),
        history=history,
        eligibility=answered.judged_on(day) if answered else _told_by_source(decision, row),
        coverages=max(_coverages(decision, row), 1 + len(answered.said.other_payers if answered else ())),
        signed=is_signed(decision, row["visit_id"]),
        notices=_notices(decision, row) if _speaks_of_notice(said) else None,
        fees=decision.config.fees,
        contracts=_contracts(decision, said, payer),
        vouched=_vouched(decision, row) if _may_be_duplicate(history, said) else frozenset(),
        authorisations=authorised.of_claim(decision, row),
    )


def _codes(said: Claim) -> set[str]:
    """Everything on the claim that reference data may know."""
    provider = said.billing_provider
    codes = {said.place_of_service, said.payer.id, provider.npi, provider.taxonomy, provider.address.postal_code[:5]}
    address = (said.patient or said.subscriber).address
    codes |= {address.postal_code[:5]} if address else set()
    codes |= {code for _, _, each in providers(said) for code in (each.npi, each.taxonomy)}
    codes |= {code.replace(".", "").upper() for code in said.diagnoses}
    for line in said.lines:
        codes |= {line.code, line.place_of_service, line.drug.ndc if line.drug else "", *line.modifiers}
        codes |= {adjustment.reason for decided in line.adjudications for adjustment in decided.adjustments}
    codes |= {adjustment.reason for other in said.other_payers for adjustment in other.adjustments}
    if said.institutional is not None:
        codes |= _ub_codes(said, said.institutional)
    return codes - {""}


def _contracts(decision: Decision, said: Claim, payer: Payer) -> dict[str, Decimal]:
    known = decision.config.contracts
    return {line.code: known[key] for line in said.lines if (key := (payer.payer_id, line.code)) in known}


def _near(history: History, said: Claim) -> set[str]:
    """The codes of the patient's other services around those of the claim, whose global days may reach them."""
    days = {line.service_date for line in said.lines}
    return {
        past.code for past in history.services if any(abs(day - past.service_date) <= LONGEST_GLOBAL for day in days)
    }


def _ub_codes(said: Claim, stay: Institutional) -> set[str]:
    codes = {stay.facility_type + said.frequency, *said.condition_codes}
    codes |= {line.revenue_code for line in said.lines}
    codes |= {procedure.code for procedure in stay.procedures}
    codes |= {each.code for each in stay.occurrences}
    return codes | {each.code for each in stay.values}


def _history(decision: Decision, row: Row, said: Claim) -> History:
    return History(
        _services(decision, row, said),
        _latest_number(decision, row, said),
        _crossed_over(decision, row, said),
        _stays(decision, row) if said.institutional is not None else (),
    )


def _services(decision: Decision, row: Row, said: Claim) -> tuple[PastService, ...]:
    """The services of the patient's other claims, as far back as an edit asks for; the newest claim of a charge counts.

    A charge that several payers were billed for is one service of each.
    """
    since = service_day(said) - _YEARS_BACK if said.lines else date.min
    found = decision.connection.execute(
        select(claim_line, claim_table.c.rendering_npi, claim_table.c.state, claim_table.c.payer_id)
        .join(claim_table, claim_table.c.id == claim_line.c.claim_id)
        .where(
            claim_table.c.patient_id == row["patient_id"],
            claim_table.c.chain_id != row["chain_id"],
            claim_table.c.state != "void",
            claim_line.c.service_on >= since.isoformat(),
        )
        .order_by(claim_line.c.claim_id.desc(), claim_line.c.ordinal)
        .limit(_MOST_SERVICES)
    ).all()
    newest = list({(past.charge_id, past.payer_id): past for past in reversed(found)}.values())
    therapies = [past for past in newest if PLANS & set(past.modifiers.split())]
    written_off = _written_off(decision, therapies)
    return tuple(
        PastService(
            code=past.code,
            modifiers=tuple(past.modifiers.split()),
            service_date=date.fromisoformat(past.service_on),
            rendering_npi=past.rendering_npi,
            open=past.state not in _NOT_WITH_THE_PAYER,
            payer_id=past.payer_id,
            amount=_allowed(decision, past, written_off),
        )
        for past in newest
    )


def _written_off(decision: Decision, services: Sequence[Any]) -> dict[tuple[int, int], int]:
    """What was written off by contract, in cents, by claim and charge."""
    if not services:
        return {}
    posting = ledger_posting.c
    rows = decision.connection.execute(
        select(posting.claim_id, posting.charge_id, func.sum(posting.amount_cents))
        .where(posting.account == CONTRACTUAL, posting.claim_id.in_({past.claim_id for past in services}))
        .group_by(posting.claim_id, posting.charge_id)
    )
    return {(claim_id, charge_id): int(cents) for claim_id, charge_id, cents in rows}


def _allowed(decision: Decision, past: Any, written_off: dict[tuple[int, int], int]) -> Decimal:
    """What the payer allowed of a service that it decided about; of another, what its contract says."""
    charge = from_cents(past.charge_cents)
    if cents := written_off.get((past.claim_id, past.charge_id)):
        return charge - from_cents(cents)
    rate = decision.config.contracts.get((past.payer_id, past.code))
    return charge if rate is None else min(charge, rate * past.units_milli / 1000)


def _stays(decision: Decision, row: Row) -> tuple[date, ...]:
    """The days on which the patient's other inpatient stays began."""
    others = decision.rows("claim", patient_id=row["patient_id"], form="837I", order_by="id")
    kept = [
        ClaimBody.from_plain(decision.unseal("claim", other["body"])).claim
        for other in others
        if other["chain_id"] != row["chain_id"] and other["state"] != "void"
    ]
    stays = [(each.institutional, each.admission_date) for each in kept]
    return tuple(admitted or said.statement_from for said, admitted in stays if said is not None and said.is_inpatient)


def _latest_number(decision: Decision, row: Row, said: Claim) -> str:
    if not said.payer_claim_control_number:
        return ""
    numbers = decision.connection.execute(
        select(claim_table.c.payer_claim_number)
        .where(claim_table.c.chain_id == row["chain_id"], claim_table.c.payer_claim_number.is_not(None))
        .order_by(claim_table.c.id.desc())
    )
    return next((str(number) for (number,) in numbers if number), "")


def _crossed_over(decision: Decision, row: Row, said: Claim) -> frozenset[str]:
    waited = 0 < row["hold_until_business_at"] <= decision.now_ms  # whoever was passed on to did not answer
    if not said.other_payers or waited:
        return frozenset()
    payers = decision.connection.execute(
        select(claim_table.c.payer_id)
        .join(remittance_claim, remittance_claim.c.claim_id == claim_table.c.id)
        .where(claim_table.c.chain_id == row["chain_id"], remittance_claim.c.status.in_(_FORWARDED))
    )
    return frozenset(str(payer) for (payer,) in payers)


def _told_by_source(decision: Decision, row: Row) -> Eligibility | None:
    """What the claim's payer told the source about the coverage, unless that was too long before the service."""
    day = date.fromisoformat(row["service_on"])
    since = day - timedelta(days=decision.config.policy.verified_within)
    for each in decision.rows("coverage", patient_id=row["patient_id"], payer_id=row["payer_id"][:32], active=True):
        said = from_plain(Coverage, decision.unseal("coverage", each["body"]))
        if said.active is not None and said.verified is not None and said.verified >= since:
            return Eligibility(active=said.active)
    return None


def _coverages(decision: Decision, row: Row) -> int:
    day = row["service_on"]
    return sum(
        each["effective_on"] <= day and (not each["expires_on"] or day <= each["expires_on"])
        for each in decision.rows("coverage", patient_id=row["patient_id"], active=True)
    )


def is_signed(decision: Decision, visit_id: int) -> bool | None:
    """Whether the visit and all of its documents are signed; None when nothing was said, and none has to be."""
    visit = decision.row("visit", id=visit_id)
    body = decision.unseal("visit", visit["body"]) if visit else {}
    said = [each["state"] == SIGNED for each in body.get("documents", {}).values() if each["state"] != WITHDRAWN]
    if body.get("signed") is not None:
        said.append(body["signed"])
    if not said:
        return False if decision.config.policy.needs_signature else None
    return all(said)


def _speaks_of_notice(said: Claim) -> bool:
    return any(NOTICES & set(line.modifiers) for line in said.lines)


def _notices(decision: Decision, row: Row) -> frozenset[int] | None:
    """The lines for which the source has a notice to the patient on file; None when it never speaks of notices."""
    lines = {line["charge_id"]: line["ordinal"] for line in decision.rows("claim_line", claim_id=row["id"])}
    charges = [opened(decision, charge) for charge in decision.rows("charge", claim_id=row["id"])]
    said = {lines[charge.id]: charge.said.notice for charge in charges if charge.id in lines}
    if all(notice is None for notice in said.values()):
        return None
    return frozenset(ordinal for ordinal, notice in said.items() if notice)


def _may_be_duplicate(history: History, said: Claim) -> bool:
    days = {line.service_date for line in said.lines}
    return any(service.open and service.service_date in days for service in history.services)


def _vouched(decision: Decision, row: Row) -> frozenset[int]:
    """The lines whose charges a person said are no duplicates."""
    lines = {line["charge_id"]: line["ordinal"] for line in decision.rows("claim_line", claim_id=row["id"])}
    charges = decision.rows("charge", claim_id=row["id"])
    return frozenset(
        lines[charge["id"]]
        for charge in charges
        if charge["id"] in lines and "duplicate" in opened(decision, charge).body.get("cleared", ())
    )
