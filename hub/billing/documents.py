"""Notes of visits as the EHR writes and signs them: a claim whose visit is not signed waits for it (edit CL-27)."""

from __future__ import annotations

from hub.billing import charges, patients
from hub.billing.claim_context import SIGNED, is_signed
from hub.billing.decision import Decision
from hub.billing.events import UNSENT
from hub.billing.second_look import look_again
from hub.billing.values import Document
from hub.store.changes import Row

EDIT = "CL-27"


def take(decision: Decision, said: Document) -> None:
    """Keep what is said of a document with its visit; what is older than the last that was said changes nothing."""
    visit = charges.find_visit(decision, said.account) or charges.expect_visit(decision, said)
    body = decision.unseal("visit", visit["body"])
    known = body.get("documents", {})
    as_of = patients.moment(decision, said.as_of)
    before = known.get(said.document)
    if before is not None and said.as_of and as_of < before["as_of"]:
        decision.count("stale updates")
        return
    now = {"state": said.state, "as_of": as_of}
    if now == before:
        return
    documents = {**known, said.document: now}
    decision.update("visit", visit, body=decision.seal("visit", {**body, "documents": documents}))
    look_at_claims(decision, visit, said.document)


def look_at_claims(decision: Decision, visit: Row, cause: str) -> None:
    """Let the visit's claims go that waited for a signature, and stop those that have to wait for one now."""
    digest = decision.vault.digest("document", cause).hex()[:12]
    rows = decision.rows("claim", visit_id=visit["id"], state=UNSENT)
    look_again(decision, rows, {EDIT}, digest, SIGNED if is_signed(decision, visit["id"]) else "not signed")
