"""Two records, one person: merges that the EHR declares (HL7 v2 A40). The hub never merges by itself."""

from __future__ import annotations

from hub.billing import charges, claims, patients
from hub.billing.decision import Decision
from hub.billing.events import UNSENT
from hub.billing.values import Merge
from hub.store.changes import Row

_MOVED = ("visit", "charge", "appointment", "eligibility", "authorisation")


def merge(decision: Decision, said: Merge) -> None:
    """Let the retired number mean the survivor for ever, and give the survivor what was the retired record's.

    Claims that were sent keep what they said. A merge in a circle, or one that contradicts an earlier one,
    changes nothing and is put in front of a person.
    """
    survivor = patients.find(decision, said.survivor.authority, said.survivor.mrn)
    if survivor is None:
        survivor, _ = patients.register(decision, said.survivor, "")
    digest = patients.alias_digest(decision.vault, said.retired_authority or said.survivor.authority, said.retired_mrn)
    alias = decision.row("patient_alias", digest=digest)
    if alias is None:
        decision.insert("patient_alias", digest=digest, patient_id=survivor["id"], retired=True)
        return
    retired = patients.surviving(decision, alias["patient_id"])
    if alias["retired"]:
        if retired["id"] != survivor["id"]:
            _report(decision, survivor, "A patient record was merged into two different ones.")
        return
    if retired["id"] == survivor["id"]:
        _report(decision, survivor, "Two patient records were merged in a circle.")
        return
    decision.update("patient_alias", alias, retired=True)
    _join(decision, retired, survivor)


def _join(decision: Decision, retired: Row, survivor: Row) -> None:
    unsent = decision.rows("claim", patient_id=retired["id"], state=UNSENT)
    for claim in list(unsent):
        claims.withdraw(decision, claim["id"], "The patient record was merged before the claim was sent.")
        decision.update("claim", claim, patient_id=survivor["id"])
    moved = {table: _move(decision, table, retired, survivor) for table in _MOVED}
    insured = bool(decision.rows("coverage", patient_id=survivor["id"], active=True))
    for coverage in list(decision.rows("coverage", patient_id=retired["id"], active=True)):
        if insured:
            decision.update("coverage", coverage, active=False)
        else:
            decision.update("coverage", coverage, patient_id=survivor["id"])
    for alias in list(decision.rows("patient_alias", patient_id=retired["id"])):
        decision.update("patient_alias", alias, patient_id=survivor["id"])
    body = decision.unseal("patient", retired["body"])
    decision.update(
        "patient",
        retired,
        merged_into=survivor["id"],
        updated_at=decision.real_ms,
        body=decision.seal("patient", {**body, "moved": moved}),  # what undoing the merge would give back
    )
    waiting = decision.rows("charge", patient_id=survivor["id"], state=("held", "self pay"))
    charges.resettle(decision, waiting)


def _move(decision: Decision, table: str, retired: Row, survivor: Row) -> list[int]:
    rows = list(decision.rows(table, patient_id=retired["id"]))
    for row in rows:
        decision.update(table, row, patient_id=survivor["id"])
    return [row["id"] for row in rows]


def _report(decision: Decision, survivor: Row, sentence: str) -> None:
    decision.open_item(
        queue="anomalies",
        key=f"merge/{survivor['id']}/{decision.message_id}",
        kind="impossible merge",
        sentence=f"{sentence} Nothing was changed.",
        patient_id=survivor["id"],
    )
