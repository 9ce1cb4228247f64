"""Visits as the EHR registers, updates and cancels them."""

from __future__ import annotations

from typing import Any

from hub.billing import bill, charges, claims, discharges, documents, patients
from hub.billing.decision import Decision
from hub.billing.events import UNSENT
from hub.billing.open_charge import opened
from hub.billing.values import Visit
from hub.core.codec import to_plain
from hub.store.changes import Row


def register(decision: Decision, said: Visit) -> None:
    """Make or bring up to date the visit, its patient and what insures them; then look again at what waited for it.

    A snapshot older than the one applied changes nothing. Claims that were not sent yet are made anew when
    the registration changed.
    """
    as_of = patients.moment(decision, said.as_of)
    known = patients.find(decision, said.patient.authority, said.patient.mrn)
    before = known["body"] if known else None
    patient, newest = patients.register(decision, said.patient, as_of)
    changed = newest and before is not None and patient["body"] != before
    if said.coverages is not None and newest:
        changed = patients.cover(decision, patient, said.coverages) or changed
    visit = decision.row("visit", account_digest=decision.vault.digest("account", said.account))
    was_cancelled = visit is not None and visit["state"] == "void"
    if visit is None:
        visit = _open(decision, said, patient, as_of)
    elif visit["state"] != "expected" and _owner(decision, visit)["id"] != patient["id"]:
        _report_other_patient(decision, visit)
        return
    else:
        _update(decision, visit, said, patient, as_of)
    if visit["state"] == "void":
        _cancel_charges(decision, visit)
    elif changed:
        _start_over(decision, patient)
    if was_cancelled and visit["state"] == "open":
        keys = tuple(_cancelled_key(claim) for claim in decision.rows("claim", visit_id=visit["id"]))
        decision.close_items("registered again", item_key=keys)
    if said.charged is not None and _is_newest(decision, visit, as_of):
        charges.keep_only(decision, visit, said.charged, said.as_of)
    charges.resettle(decision, decision.rows("charge", visit_id=visit["id"], state="held"))
    if said.signed is not None:
        documents.look_at_claims(decision, visit, "visit")
    if visit["state"] == "open" and said.stay is not None:
        discharges.follow(decision, visit)
        bill.rearm_stay(decision, visit)


def _is_newest(decision: Decision, visit: Row, as_of: str) -> bool:
    return bool(decision.unseal("visit", visit["body"])["as_of"] == as_of)


def _owner(decision: Decision, visit: Row) -> Row:
    return patients.surviving(decision, visit["patient_id"])


def _open(decision: Decision, said: Visit, patient: Row, as_of: str) -> Row:
    return decision.insert(
        "visit",
        id=decision.ids.next(),
        **decision.owner(),
        account_digest=decision.vault.digest("account", said.account),
        source_channel=decision.channel,
        **_columns(decision, said, patient, as_of, {}),
    )


def _update(decision: Decision, visit: Row, said: Visit, patient: Row, as_of: str) -> None:
    known = decision.unseal("visit", visit["body"])
    if as_of < known["as_of"]:
        decision.count("stale updates")
        return
    columns = _columns(decision, said, patient, as_of, {name: known[name] for name in patients.KEPT if name in known})
    decision.update("visit", visit, source_channel=decision.channel, **columns)


def _columns(decision: Decision, said: Visit, patient: Row, as_of: str, kept: dict[str, Any]) -> dict[str, Any]:
    plain = to_plain(said)
    body = {name: value for name, value in plain.items() if name not in {"patient", "coverages", "charged"}}
    body |= {"as_of": as_of, "message_id": decision.message_id, **kept}
    return {
        "patient_id": patient["id"],
        "visit_on": said.visit_date.isoformat() if said.visit_date else "",
        "department": said.department[:32],
        "state": "void" if said.cancelled else "open",
        "updated_at": decision.real_ms,
        "body": decision.seal("visit", body),
    }


def _cancel_charges(decision: Decision, visit: Row) -> None:
    """Hold what was charged for a visit that was cancelled, as far as nothing was sent; tell a person of the rest."""
    for claim in decision.rows("claim", visit_id=visit["id"], state=UNSENT):
        claims.withdraw(decision, claim["id"], "The visit was cancelled.")
    for row in decision.rows("charge", visit_id=visit["id"], state="self pay"):
        opened(decision, row).from_patient()
    for row in decision.rows("charge", visit_id=visit["id"], state="open"):
        charges.hold(decision, opened(decision, row), "cancelled")
    for claim in decision.rows("claim", visit_id=visit["id"], order_by="id"):
        if claim["state"] not in {*UNSENT, "void", "rejected"} and decision.rows("charge", claim_id=claim["id"]):
            decision.open_item(
                queue="charge review",
                key=_cancelled_key(claim),
                kind="visit cancelled after billing",
                sentence="The EHR cancelled the visit after its claim was sent. When its charges are taken back there, "
                "a void is drafted here; when the visit did take place, have it registered again.",
                money_cents=claim["total_cents"],
                claim_id=claim["id"],
                patient_id=claim["patient_id"],
                again=True,
            )


def _cancelled_key(claim: Row) -> str:
    return f"claim/{claim['id']}/visit cancelled"


def _start_over(decision: Decision, patient: Row) -> None:
    """Have what was decided from the patient's earlier registration decided anew, unless it was sent."""
    for claim in decision.rows("claim", patient_id=patient["id"], state=UNSENT):
        claims.withdraw(decision, claim["id"], "The registration changed before the claim was sent.")
    waiting = decision.rows("charge", patient_id=patient["id"], state=("held", "self pay"))
    charges.resettle(decision, waiting)


def _report_other_patient(decision: Decision, visit: Row) -> None:
    decision.open_item(
        queue="anomalies",
        key=f"visit/{visit['id']}/other patient/{decision.message_id}",
        kind="visit of another patient",
        sentence="The EHR sent a known visit under another patient without merging the two. Nothing was changed.",
        patient_id=visit["patient_id"],
    )
