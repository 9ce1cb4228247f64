"""Remittances: the list, and one with how it balances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from hub.core.money import money, to_cents
from hub.formats.x12 import vocabulary
from hub.web.call import Call, NotFound
from hub.web.masking import Piece, json_facts
from hub.web.queries import remittances
from hub.web.remittance_lines import checked
from hub.web.render import day
from hub.web.words import HANDLING_WORDS, PROVIDER_WORDS

STATES = ("staged", "posting", "posted", "held", "duplicate", "closed")


@dataclass(frozen=True, slots=True)
class Adjustment:
    """One adjustment of a payment that belongs to no claim (PLB). A positive amount lowers the payment."""

    reason: str
    words: str
    reference: tuple[Piece, ...]
    provider: str
    cents: int
    where: str


def listing(call: Call) -> Response:
    """The list with its filter."""
    state, text = call.query.get("state", ""), call.query.get("q", "").strip()[:50]
    with call.reading() as connection:
        if text:
            rows, older = remittances.by_trace(connection, text), False
        else:
            rows, older = remittances.page(connection, state, call.number("before"))
    return call.page("remittances.html", title="Money", rows=rows, older=older, state=state, text=text, states=STATES)


def show(call: Call) -> Response:
    """One remittance: the payment as an equation, every level, every claim."""
    with call.reading() as connection:
        found = remittances.get(connection, call.path_id())
        patients = remittances.patients(connection, found.id) if found else []
    if found is None:
        raise NotFound("There is no remittance of that number.")
    call.look("remittance", found.id, patients=patients, always=False)
    with call.reading() as connection:
        claims = remittances.claims(connection, found.id)
        posted = remittances.posted(connection, found.id)
        read_again = checked(connection, call.site.vault, found)
    body = call.unseal("remittance", found.sealed)
    if body.get("handling") in HANDLING_WORDS:
        body["handling"] = f"{HANDLING_WORDS[body['handling']]} ({body['handling']})"
    body["produced"] = day(str(body.get("produced") or ""))
    return call.page(
        "remittance.html",
        title=f"Remittance {found.trace}",
        remittance=found,
        claims=claims,
        paid=sum(claim.paid_cents for claim in claims),
        charged=sum(claim.charge_cents for claim in claims),
        patient=sum(claim.patient_cents for claim in claims),
        adjusted=sum(claim.adjusted_cents for claim in claims),
        posted=posted,
        checked=read_again,
        lines={each.ordinal: each for each in read_again.claims},
        reason_of=vocabulary.adjustment_reason,
        facts=json_facts({key: value for key, value in body.items() if not isinstance(value, list)}),
        adjustments=[_adjustment(entry) for entry in body.get("provider_adjustments", []) if isinstance(entry, dict)],
        outcome=vocabulary.claim_outcome,
    )


def _adjustment(entry: dict[str, Any]) -> Adjustment:
    reason, reference = str(entry.get("reason", "")), str(entry.get("reference") or "")
    return Adjustment(
        reason=reason,
        words=PROVIDER_WORDS.get(reason, "see the payer's notes"),
        reference=(Piece(reference, "reference"),) if reference else (),
        provider=str(entry.get("provider", "")),
        cents=to_cents(money(str(entry.get("amount", "0")))),
        where=str(entry.get("where", "")),
    )
