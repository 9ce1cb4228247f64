"""Claims: the list, one claim with its history and money, and approval."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection
from starlette.responses import Response

from hub.billing.explain import Explained, explain
from hub.billing.findings import latest
from hub.core.errors import HubError
from hub.formats.x12.frequency import VOID
from hub.store.contents import read_content
from hub.web.acts import VOID_CLAIM
from hub.web.call import Call, NotFound
from hub.web.content import parsed_view
from hub.web.overview import claims_by_state
from hub.web.pages.people import account_number, person
from hub.web.queries import accounts, claims, messages
from hub.web.queries.explain import origins

STATES = (
    "draft", "held", "needs fix", "ready", "forwarded", "batched", "sent", "accepted 999", "received",
    "accepted clearinghouse", "accepted payer", "pended", "rejected", "paid", "partly paid", "denied", "reversed",
    "closed", "void",
)  # fmt: skip


def listing(call: Call) -> Response:
    """The list with its filter."""
    search = claims.Search(
        text=call.query.get("q", "").strip()[:64],
        state=call.query.get("state", ""),
        payer=call.query.get("payer", ""),
        before=call.number("before"),
        within=call.session.channels,
    )
    if search.text:
        call.look("claims", "", action="search")
    with call.reading() as connection:
        rows, older = claims.find(connection, search)
        stages = {stage.state: stage for stage in claims_by_state(call, connection)}
    return call.page(
        "claims.html",
        title="Claims",
        search=search,
        rows=rows,
        older=older,
        stages=stages,
        states=STATES,
    )


def show(call: Call) -> Response:
    """One claim."""
    return _page(call, "")


def approve(call: Call) -> Response:
    """Release a claim that waits for a person."""
    claim_id, version = call.path_id(), str(call.form.get("version", ""))
    try:
        call.site.control.billing("approve_claim", {"claim_id": claim_id, "version": version}, call.actor)
    except HubError as error:
        return _page(call, f"{error.what} {error.fix}".strip())
    return call.back(f"/claims/{claim_id}", "approved")


def bill_next(call: Call) -> Response:
    """Bill what the payer left to the patient's next insurance; send on what waits because it was passed on."""
    claim_id, version = call.path_id(), str(call.form.get("version", ""))
    try:
        call.site.control.billing("bill_next_payer", {"claim_id": claim_id, "version": version}, call.actor)
    except HubError as error:
        return _page(call, f"{error.what} {error.fix}".strip())
    return call.back(f"/claims/{claim_id}", "next")


def void(call: Call) -> Response:
    """Ask for the void of a claim that the payer has; it waits for approval."""
    claim_id, reason = call.path_id(), str(call.form.get("reason", "")).strip()[:2000]
    problem = VOID_CLAIM.asks[0].objection(reason)
    if problem:
        return _page(call, problem, reason=reason)
    args = {"claim_id": claim_id, "version": str(call.form.get("version", "")), "reason": reason}
    try:
        call.site.control.billing(VOID_CLAIM.command, args, call.actor)
    except HubError as error:
        return _page(call, f"{error.what} {error.fix}".strip(), reason=reason)
    return call.back(f"/claims/{claim_id}", "voiding")


def outgoing(call: Call) -> Response:
    """The claim as it was sent: its part of the 837, by loop."""
    return _page(call, "", tab="837")


def _page(call: Call, problem: str, tab: str = "", reason: str = "") -> Response:
    with call.reading() as connection:
        claim = claims.get(connection, call.path_id())
        if claim is None:
            raise NotFound("There is no claim of that number.")
        patient = accounts.current(connection, claim.patient_id)
    call.look("claim", claim.id, patients=[patient.patient_id if patient else claim.patient_id])
    with call.reading() as connection:
        values: dict[str, Any] = {
            "money": claims.money_of(connection, claim.id, claim.total_cents),
            "lines": claims.lines(connection, claim.id),
            "events": (events := claims.events(connection, claim.id)),
            "found": latest(event.detail for event in events if event.kind == "edit_result"),
            "origins": origins(connection, claim, events),
            "parts": claims.parts(connection, claim.id, claim.total_cents, events),
            "payments": claims.payments(connection, claim.id),
            "items": claims.items(connection, claim.id),
        }
        parsed, explained = None, []
        if tab == "837" and claim.batch_message_id is not None:
            message = messages.get(connection, claim.batch_message_id)
            if message is not None:
                parsed = parsed_view(read_content(connection, call.site.vault, message.raw_id), claim.control_number)
            explained = _explained(connection, call, claim.id, claim.sealed)
    return call.page(
        "claim.html",
        code=422 if problem else 200,
        title=f"Claim {claim.control_number}",
        claim=claim,
        problem=problem,
        reason=reason,
        may_void=claim.state in VOID_CLAIM.states and claim.frequency != VOID,
        void=VOID_CLAIM,
        tab=tab,
        parsed=parsed,
        explained=explained,
        who=person(call, patient),
        account=account_number(call, claim.account_sealed),
        payer=call.site.settings.payers.get(claim.payer_id, claim.payer_id),
        **values,
    )


def _explained(connection: Connection, call: Call, claim_id: int, sealed: bytes) -> list[Explained]:
    """Where each element of the claim came from, without those that the guide fixes; nothing of a body of old form."""
    try:
        every = explain(connection, call.site.vault, claim_id, call.site.vault.open_json(sealed, "claim.body"))
    except HubError:
        return []
    return [each for each in every if each.element.paths]
