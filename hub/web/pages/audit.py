"""The audit log: what was done, who saw a patient, emergency access to review, and whether the chain is whole."""

from __future__ import annotations

from starlette.responses import Response

from hub.core.errors import HubError
from hub.security.audit import verify
from hub.web.call import Call
from hub.web.pages.accounts import authorities
from hub.web.queries import accounts, audit

REVIEW_LENGTH = 10


def listing(call: Call) -> Response:
    """The records, newest first; with ``verify=1`` also the check of every hash and checkpoint."""
    actor, action = (call.query.get(name, "").strip()[:64] for name in ("actor", "action"))
    patient_id = call.number("patient")
    checked = call.query.get("verify") == "1"
    with call.reading() as connection:
        patients = accounts.merged_into(connection, patient_id) if patient_id is not None else []
        rows, older = audit.page(
            connection, actor=actor, action=action, patients=patients, before=call.number("before")
        )
        viewers = audit.who_saw(connection, patients) if patients else []
        verdict = verify(connection, call.site.vault.signing_key("audit").public_key()) if checked else None
        actions = audit.actions(connection)
    if patient_id is not None:
        call.look("audit", patient_id, action="who saw")
    return call.page(
        "audit.html",
        title="Audit",
        rows=rows,
        older=older,
        actor=actor,
        action=action,
        actions=actions,
        patient_id=patient_id,
        viewers=viewers,
        verdict=verdict,
        problem="",
    )


def find_patient(call: Call) -> Response:
    """Lead to who saw the patient whose number or name was typed; it stands in no address."""
    text = str(call.form.get("who", "")).strip()[:100]
    with call.reading() as connection:
        found = accounts.find(connection, call.site.vault, text, authorities(call, connection)) if text else []
    call.look("audit", "", action="search")
    if len(found) == 1:
        return call.back(f"/audit?patient={found[0].patient_id}")
    with call.reading() as connection:
        rows, older = audit.page(connection)
        actions = audit.actions(connection)
    problem = (
        "Several patients have this name. Their record number tells them apart."
        if found
        else ("No patient was found. Numbers are found whole, names as the source writes them.")
    )
    return call.page(
        "audit.html",
        code=422,
        title="Audit",
        rows=rows,
        older=older,
        actor="",
        action="",
        actions=actions,
        patient_id=None,
        viewers=[],
        verdict=None,
        problem=problem,
    )


def emergencies(call: Call) -> Response:
    """Emergency accesses: those that wait for a review, then all of them."""
    return _emergencies(call, "")


def review(call: Call) -> Response:
    """Note that an emergency access was looked into, with what was found."""
    remark = str(call.form.get("remark", "")).strip()
    sequence = str(call.form.get("sequence", ""))
    if len(remark) < REVIEW_LENGTH:
        return _emergencies(call, f"Say what you found, at least {REVIEW_LENGTH} letters.")
    with call.reading() as connection:
        asked = next((each for each in audit.emergencies(connection) if str(each.sequence) == sequence), None)
    if asked is None:
        return _emergencies(call, "This waits for no review any more.")
    if asked.actor == call.actor:
        return _emergencies(call, "Somebody else reviews what you did yourself.")
    args = {"action": audit.REVIEWED, "object_type": "audit", "object_id": sequence, "reason": remark}
    try:
        call.site.control.write("audit", {"actor": call.actor, **args}, call.actor)
    except HubError as error:
        return _emergencies(call, f"{error.what} {error.fix}")
    return call.back("/audit/emergencies", "reviewed")


def _emergencies(call: Call, problem: str) -> Response:
    with call.reading() as connection:
        waiting = audit.emergencies(connection)
        everything = audit.emergencies(connection, reviewed=True)
    return call.page(
        "emergencies.html",
        code=422 if problem else 200,
        title="Emergency access",
        waiting=waiting,
        everything=everything,
        problem=problem,
    )
