"""Payments by hand: one that is matched, taken off or mended, and a remittance that came on paper."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from hub.core.errors import HubError
from hub.formats.x12 import records, vocabulary
from hub.formats.x12.remittance import RemittanceClaim
from hub.web.acts import REASON_LENGTH
from hub.web.call import Call, NotFound
from hub.web.queries import claims, payments
from hub.web.queries.payments import Payment
from hub.web.typed_payments import (
    METHODS,
    MOST_CLAIMS,
    STATUSES,
    TypedClaim,
    claims_in,
    of_our_claim,
    of_payment,
    read_claim,
    read_claims,
    read_head,
)

HEAD = ("payer_id", "trace", "amount", "paid_on", "method", "beside", "numbers")


def show(call: Call) -> Response:
    """One payment, with what can be done about it."""
    return _page(call, _payment(call), {}, {})


def undo(call: Call) -> Response:
    """Take a posted payment off the claim that it was matched to."""
    payment, reason = _payment(call), str(call.form.get("reason", "")).strip()
    if len(reason) < REASON_LENGTH:
        return _page(call, payment, {"reason": "Say why, in a few words."}, {"reason": reason})
    args = {"remittance_claim_id": payment.id, "version": str(call.form.get("version", "")), "reason": reason}
    return _done(call, payment, "unmatch_payment", args, "unmatched", {"reason": reason})


def match(call: Call) -> Response:
    """Post a payment to the claim whose control number was typed."""
    payment, number = _payment(call), str(call.form.get("control_number", "")).strip().upper()[:20]
    with call.reading() as connection:
        claim_id = claims.by_number(connection, number) if number else None
    if claim_id is None:
        problem = {"control_number": "No claim of ours has this number."}
        return _page(call, payment, problem, {"control_number": number})
    args = {"remittance_claim_id": payment.id, "claim_id": claim_id}
    return _done(call, payment, "match_payment", args, "matched", {"control_number": number})


def restate(call: Call) -> Response:
    """Post a payment that was kept apart because its figures do not add up, as a person types it."""
    payment, reason = _payment(call), str(call.form.get("restate_reason", "")).strip()
    typed = next(iter(claims_in(call.form)), TypedClaim())
    read = read_claim(typed, "c0")
    if len(reason) < REASON_LENGTH:
        read.errors["restate_reason"] = "Say why, in a few words."
    if read.errors:
        return _page(call, payment, read.errors, {"restate_reason": reason}, typed)
    said = {name: value for name, value in read.plain.items() if name not in {"control_number", "status"}}
    args = {
        "remittance_claim_id": payment.id,
        "version": str(call.form.get("version", "")),
        "reason": reason,
        "claim": said,
    }
    return _done(call, payment, "restate_payment", args, "done", {"restate_reason": reason}, typed)


def form(call: Call) -> Response:
    """The empty form of a remittance on paper."""
    return _paper(call, {**dict.fromkeys(HEAD, ""), "paid_on": call.today, "method": "CHK"}, [], {})


def enter(call: Call) -> Response:
    """Take in a remittance on paper; before that, fetch the lines of the claims that it names."""
    head = {name: str(call.form.get(name, "")).strip()[:4000] for name in HEAD}
    typed = claims_in(call.form)
    numbers = head["numbers"].upper().replace(",", " ").split()
    if numbers or call.form.get("stage") == "claims":
        return _paper(call, {**head, "numbers": ""}, *_with_lines(call, typed, numbers))
    claims_read, head_read = read_claims(typed), read_head(head)
    errors = {**head_read.errors, **claims_read.errors}
    if errors:
        return _paper(call, head, typed, errors)
    try:
        answer = call.site.control.billing("enter_payment", {**head_read.plain, **claims_read.plain}, call.actor)
    except HubError as error:
        return _paper(call, head, typed, {"act": _in_words(error)})
    return call.back(f"/remittances/{answer['remittance_id']}", "entered")


def _with_lines(call: Call, typed: list[TypedClaim], numbers: list[str]) -> tuple[list[TypedClaim], dict[str, str]]:
    """*typed* and the claims of *numbers*, with the lines that we billed."""
    errors: dict[str, str] = {}
    found = list(typed)
    for number in numbers:
        with call.reading() as connection:
            patient, lines = payments.lines_of(connection, number[:20])
        if not lines:
            errors["numbers"] = f"No claim of ours has the number {number[:20]}."
        elif len(found) >= MOST_CLAIMS:
            errors["numbers"] = f"A form takes {MOST_CLAIMS} claims. Enter the others as a payment of the same number."
        else:
            call.look("claim", number[:20], patients=[patient])
            found.append(of_our_claim(number[:20], lines))
    return found, errors


def _paper(call: Call, head: dict[str, str], typed: list[TypedClaim], errors: dict[str, str]) -> Response:
    return call.page(
        "payment_new.html",
        code=422 if errors else 200,
        title="A payment on paper",
        head=head,
        claims=typed,
        errors=errors,
        payers=sorted(call.site.settings.payers.items(), key=lambda each: each[1]),
        methods=METHODS,
        statuses=STATUSES,
    )


def _payment(call: Call) -> Payment:
    with call.reading() as connection:
        found = payments.get(connection, call.path_id())
    if found is None:
        raise NotFound("There is no payment of that number.")
    return found


def _done(
    call: Call,
    payment: Payment,
    command: str,
    args: dict[str, Any],
    said: str,
    typed: dict[str, str],
    claim: TypedClaim | None = None,
) -> Response:
    """Run the command; on to the payment, or back to the form with billing's own words."""
    try:
        call.site.control.billing(command, args, call.actor)
    except HubError as error:
        return _page(call, _payment(call), {"act": _in_words(error)}, typed, claim)
    return call.back(f"/payments/{payment.id}", said)


def _page(
    call: Call, payment: Payment, errors: dict[str, str], typed: dict[str, str], claim: TypedClaim | None = None
) -> Response:
    call.look("payment", payment.id, patients=[payment.patient_id])
    body = call.unseal("remittance_claim", payment.sealed)
    try:
        said = records.from_plain(RemittanceClaim, body)
    except HubError:
        said = None  # of an old form; what its columns hold is shown all the same
    return call.page(
        "payment.html",
        code=422 if errors else 200,
        title=f"Payment {payment.trace}",
        payment=payment,
        errors=errors,
        typed=typed,
        mended=claim or (of_payment(said) if said is not None else TypedClaim(payment.their_number, payment.status)),
        outcome=vocabulary.claim_outcome,
        statuses=STATUSES,
    )


def _in_words(error: HubError) -> str:
    where = f" ({error.where}: {error.expected})" if error.where and error.expected else ""
    return f"{error.what}{where} {error.fix}".strip()
