"""A claim is a list of events, and its state is what they add up to.

:func:`next_state` is the whole state machine: a pure function of the state before and one event. Answers
from clearinghouse and payer come late, twice and out of order, so acknowledgements only ever move a claim
forward, and a rejection wins over any of them. An event that cannot be changes no state and is kept as an
anomaly; money is another matter: a payment for a claim that was never sent is an anomaly too, and moves the
claim all the same, because the money did arrive.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hub.billing.decision import Decision, detail
from hub.core.errors import HubError
from hub.core.money import from_cents
from hub.store.changes import Emit, Row

UNSENT = ("draft", "held", "needs fix", "ready")
SENT = ("sent", "accepted 999", "received", "accepted clearinghouse", "accepted payer", "pended")
ADJUDICATED = ("paid", "partly paid", "denied")
_PROGRESS = {state: rank for rank, state in enumerate(("batched", *SENT))}
_REFUSED = frozenset({"A3", "A6", "A7", "A8"})
_REPORTED = frozenset({"sent", "accepted payer", "rejected", *ADJUDICATED})

SENTENCES = {
    "sent": "The claim was sent.",
    "accepted payer": "The payer took the claim up and will decide it.",
    "rejected": "The claim was sent back and counts as never filed.",
    "paid": "The payer paid the claim.",
    "partly paid": "The payer paid the claim in part.",
    "denied": "The payer paid nothing for the claim.",
}


DOCUMENTS = "documents"  # the queue of claims for which a payer wants more
_ANSWERS = frozenset({"claim_ack", "status277", "remit"})
_SAID = {
    "ta1": "An interchange's acknowledgement",
    "ack999": "A group's acknowledgement",
    "claim_ack": "A claim acknowledgement",
    "status277": "A claim status",
    "delivered": "Word of its delivery",
    "remit": "A payment",
    "reversal": "The reversal of a payment",
    "correction": "The correction of a payment",
}


class UnknownClaimError(HubError):
    """Somebody asked for a claim that the store does not hold."""

    code = "H611"


def next_state(state: str, kind: str, facts: dict[str, Any]) -> tuple[str, bool]:
    """The state after an event came to a claim in *state*, and whether the event is an anomaly."""
    match kind:
        case "created":
            return ("draft", False) if not state else (state, True)
        case "edit_result":
            return _after_edits(state, facts)
        case "approved":
            return ("ready", False) if state == "held" else (state, True)
        case "hold":
            return ("held", False) if state in UNSENT else (state, True)
        case "forwarded":
            return ("forwarded", False) if state in UNSENT else (state, True)
        case "not forwarded":
            return ("draft", False) if state == "forwarded" else (state, True)
        case "batched":
            return ("batched", False) if state == "ready" else (state, True)
        case "requeued":
            return ("ready", False) if state in _PROGRESS or state == "rejected" else (state, True)
        case "delivered":
            return _forward(state, "sent")
        case "ta1":
            return (state, state in UNSENT) if facts.get("accepted") else _refused(state)
        case "ack999":
            return _forward(state, "accepted 999") if facts.get("accepted") else _refused(state)
        case "claim_ack" | "status277" if facts.get("part"):  # of a claim that the payer took apart
            return state, state in {"", *UNSENT}
        case "claim_ack" | "status277":
            return _after_status(state, str(facts.get("level", "")), str(facts.get("category", "")))
        case "remit":
            never_sent = state in {"", *UNSENT, "batched", "rejected", "void"}  # others may have passed on "forwarded"
            return str(facts["outcome"]), never_sent
        case "reversal":
            return ("reversed", False) if state in {*ADJUDICATED, "closed"} else (state, True)
        case "correction":
            return str(facts["outcome"]), state != "reversed"
        case "closed":
            return ("closed", False) if state in {*ADJUDICATED, "reversed", "rejected"} else (state, True)
        case "void_request":
            return ("void", False) if state in {*UNSENT, "forwarded", "batched", "rejected"} else (state, True)
        case "undelivered" | "note":
            return state, False
        case _:
            return state, True


def _after_edits(state: str, facts: dict[str, Any]) -> tuple[str, bool]:
    if state not in UNSENT:
        return state, True
    if facts.get("errors"):
        return "needs fix", False
    return ("held" if facts.get("approval") == "person" else "ready"), False


def _forward(state: str, to: str) -> tuple[str, bool]:
    """Move to *to* unless the claim is further already; an answer about a claim that never left is an anomaly."""
    if state in _PROGRESS:
        return (to if _PROGRESS[to] > _PROGRESS[state] else state), False
    return state, state in {"", *UNSENT, "void"}


def _refused(state: str) -> tuple[str, bool]:
    if state in _PROGRESS:
        return "rejected", False
    return state, state not in {"rejected", "void"}


def _after_status(state: str, level: str, category: str) -> tuple[str, bool]:
    """What a status category (STC01-1) of a 277CA or 277 does; *level* is ``clearinghouse`` or ``payer``."""
    if category in _REFUSED:
        return _refused(state)
    if category[:1] in {"P", "R"}:
        return _forward(state, "pended")
    if category in {"A2", "A5"}:  # split upon acceptance
        if state == "rejected":  # whoever sends it anew must know that the payer has it
            return state, level == "payer"
        return _forward(state, "accepted payer" if level == "payer" else "accepted clearinghouse")
    if category in {"A0", "A1"}:
        return _forward(state, "received")
    return state, state in {"", *UNSENT}


def rebuilt(events: Iterable[tuple[str, dict[str, Any]]]) -> str:
    """The state that *events* (kind and facts, in their order) add up to."""
    state = ""
    for kind, facts in events:
        state, _ = next_state(state, kind, facts)
    return state


@dataclass(frozen=True, slots=True)
class OpenClaim:
    """A claim within one decision."""

    decision: Decision
    row: Row

    @property
    def state(self) -> str:
        """The state that the events so far add up to."""
        return str(self.row["state"])

    def record(self, kind: str, key: str, *, message_id: int | None = None, **facts: Any) -> bool:
        """Add one event; False, and nothing happens, when one with this *key* was recorded for the claim before.

        *facts* are codes, numbers and sentences of our own, never patient data; ``payer_claim_number`` and
        ``sentence`` among them are also kept on the claim and told to the EHR. A state that the EHR cares
        about is sent to it.
        """
        decision = self.decision
        event_key = f"{self.row['id']}/{key}"
        if decision.row("claim_event", event_key=event_key) is not None:
            return False
        before = "" if kind == "created" else self.state
        after, anomaly = next_state(before, kind, facts)
        event = decision.insert(
            "claim_event",
            id=decision.ids.next(),
            claim_id=self.row["id"],
            event_key=event_key,
            kind=kind,
            business_at=decision.now_ms,
            recorded_at=decision.real_ms,
            actor=decision.actor,
            message_id=message_id if message_id is not None else decision.message_id,
            state_after=after,
            anomaly=anomaly,
            detail=detail(**facts),
        )
        if anomaly:
            self._report(kind, before)
        number = facts.get("payer_claim_number")
        if number and number != self.row["payer_claim_number"]:
            decision.update("claim", self.row, payer_claim_number=number)
        if after != self.state:
            decision.update("claim", self.row, state=after, state_business_at=decision.now_ms)
            if kind in _ANSWERS:
                decision.close_items("answered", claim_id=self.row["id"], queue="lost claims")
            if kind == "remit":
                decision.close_items("decided", claim_id=self.row["id"], queue=DOCUMENTS)
            if after in _REPORTED:
                self._tell(event["id"], str(facts.get("sentence") or SENTENCES[after]))
        return True

    def _report(self, kind: str, state: str) -> None:
        row = self.row
        self.decision.open_item(
            queue="anomalies",
            key=f"claim/{row['id']}/{kind}/{state}",
            kind="impossible event",
            sentence=f"{_SAID.get(kind, 'Something')} came for a claim that is {state or 'new'}, which cannot be.",
            money_cents=row["total_cents"],
            claim_id=row["id"],
            patient_id=row["patient_id"],
        )

    def _tell(self, event_id: int, sentence: str) -> None:
        decision, row = self.decision, self.row
        facts = identity(decision, row)
        result = f"S{event_id}"
        body = {
            "event": "claim status",
            **facts,
            "control_number": row["control_number"],
            "form": row["form"],
            "payer_id": row["payer_id"],
            "payer_claim_number": row["payer_claim_number"] or "",
            "state": row["state"],
            "sentence": sentence,
            "total": f"{from_cents(row['total_cents']):f}",
            "result": result,
        }
        decision.changes.emits.append(
            Emit(
                kind="claim status",
                body=json.dumps(body, separators=(",", ":")).encode(),
                lane=facts["account"],
                name=result,
                identifiers=(
                    ("claim", row["control_number"]),
                    ("account", facts["account"]),
                    ("mrn", facts["mrn"]),
                ),
            )
        )


def identity(decision: Decision, claim: Row) -> dict[str, str]:
    """How the EHR knows the visit of *claim*: account, visit_number, mrn, authority; and the channel it came by."""
    visit = decision.row("visit", id=claim["visit_id"])
    patient = decision.row("patient", id=claim["patient_id"])
    assert visit is not None
    assert patient is not None
    about_visit = decision.unseal("visit", visit["body"])
    about_patient = decision.unseal("patient", patient["body"])
    return {
        "account": about_visit["account"],
        "visit_number": about_visit.get("visit_number", ""),
        "mrn": about_patient["mrn"],
        "authority": about_patient.get("authority", ""),
        "origin": visit["source_channel"],
    }


def open_claim(decision: Decision, claim_id: int) -> OpenClaim:
    """The claim with this id. Raises :class:`UnknownClaimError`."""
    row = decision.row("claim", id=claim_id)
    if row is None:
        raise UnknownClaimError("There is no such claim.", found=str(claim_id))
    return OpenClaim(decision, row)


def find_claim(decision: Decision, control_number: str) -> OpenClaim | None:
    """The claim with this control number, exactly."""
    row = decision.row("claim", control_number=control_number)
    return OpenClaim(decision, row) if row is not None else None
