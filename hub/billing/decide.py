"""The task ``billing.decide``: one message's values, one thing that came due, or one command."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from hub.billing import (
    acknowledgements,
    appointments,
    authorisations,
    bank,
    batches,
    bill,
    charges,
    commands,
    delivered,
    documents,
    early_reversals,
    eligibility,
    merges,
    missing,
    next_payer,
    patient_payments,
    payer_news,
    remittances,
    silence,
    visits,
    whole_payments,
)
from hub.billing.config import BillingConfig
from hub.billing.decision import Decision
from hub.billing.denials import automatic, triage
from hub.billing.values import (
    BY_NAME,
    Appointment,
    Authorisation,
    Charge,
    Document,
    EligibilityAnswer,
    Merge,
    PartnerFile,
    PatientPayment,
    Visit,
)
from hub.core.clock import real_ms
from hub.core.codec import from_plain
from hub.core.errors import HubError
from hub.engine.contracts import Reply, TaskCall
from hub.store.changes import Row, to_json
from hub.store.database import reading


class UnknownWorkError(HubError):
    """The engine asked for work that billing does not do: a defect of ours, never of the data."""

    code = "H610"


_DUE: dict[str, Callable[[Decision, Row], None]] = {
    "bill": bill.bill,
    "orphan": charges.give_up_waiting,
    "batch": batches.build,
    "delivered": delivered.note,
    "remittance": remittances.resume,
    "next payer": next_payer.make,
    "crossover": next_payer.overdue,
    "correction": payer_news.correction_overdue,
    "bank": bank.look_again,
    "silence": silence.look,
    "missed": silence.still_missed,
    "denial": triage.follow_up,
    "early reversal": early_reversals.retry,
    "correct denial": automatic.correct,
    "missing charges": missing.sweep,
    whole_payments.KIND: whole_payments.tell,
}


def decide(config: BillingConfig, call: TaskCall) -> Reply:
    """Decide the work that ``call.header`` describes.

    ``work`` is ``values`` (``parts[0]`` is the JSON list of ``[type name, plain value]`` of one message),
    ``due`` or ``command``. The reply's header holds ``changes``, ``complete`` (False: apply, then ask the
    same again) and, for a command, ``answer``. Raises :class:`UnknownWorkError` for anything else.
    """
    header = call.header
    with reading(call.site.store) as connection:
        clock = call.site.clock
        now_ms = clock.now_ms()
        decision = Decision(
            connection=connection,
            vault=call.site.vault,
            clock=clock,
            ids=call.ids,
            config=config,
            now_ms=now_ms,
            real_ms=real_ms(),
            today=clock.today().isoformat(),
            actor=header.get("actor") or "hub",
            message_id=header.get("message_id"),
            channel=header.get("channel", ""),
            secrets=call.site.secrets,
        )
        answer: dict[str, Any] | None = None
        match header["work"]:
            case "values":
                _decide_values(decision, json.loads(call.parts[0]))
            case "due":
                _decide_due(decision, header["due_id"])
            case "command":
                answer = commands.run(decision, header["name"], header.get("args") or {})
            case other:
                raise UnknownWorkError("Billing does not know this work.", found=str(other))
    reply: dict[str, Any] = {"changes": to_json(decision.changes), "complete": decision.complete}
    return Reply(reply if answer is None else {**reply, "answer": answer})


def _decide_values(decision: Decision, plain: list[list[Any]]) -> None:
    for name, fields in plain:
        match from_plain(BY_NAME[name], fields):
            case Visit() as visit:
                visits.register(decision, visit)
            case Charge() as charge:
                charges.take(decision, charge)
            case PatientPayment() as payment:
                patient_payments.take(decision, payment)
            case Appointment() as appointment:
                appointments.book(decision, appointment)
            case Document() as document:
                documents.take(decision, document)
            case EligibilityAnswer() as answer:
                eligibility.take(decision, answer)
            case Authorisation() as authorisation:
                authorisations.take(decision, authorisation)
            case Merge() as merge:
                merges.merge(decision, merge)
            case PartnerFile() as file:
                acknowledgements.read_file(decision, file)


def _decide_due(decision: Decision, due_id: int) -> None:
    """Do what came due. A row is marked done with the work itself, so that neither happens without the other."""
    row = decision.row("due", id=due_id)
    if row is None or row["done"]:
        return
    work = _DUE.get(row["kind"])
    if work is None:
        raise UnknownWorkError("Nothing in billing does what came due.", found=str(row["kind"]))
    planned = row["business_at"]
    work(decision, row)
    if decision.complete and row["business_at"] == planned:
        decision.update("due", row, done=True)
