"""What patients paid at the desk before a claim is made: told by the source, and stated on the claim (AMT*F5).

It moves no money here: what patients owe and pay is kept by the practice's own system; payers want to know of it.
"""

from __future__ import annotations

from hub.billing import charges, patients
from hub.billing.decision import Decision
from hub.billing.values import FROM_MESSAGE, PatientPayment


def take(decision: Decision, said: PatientPayment) -> None:
    """Keep what is said of a payment with its visit; what is older than the last that was said changes nothing."""
    visit = charges.find_visit(decision, said.account) or charges.expect_visit(decision, said)
    body = decision.unseal("visit", visit["body"])
    known = body.get("payments", {})
    as_of = patients.moment(decision, said.as_of)
    before = known.get(said.transaction)
    if before is not None and as_of and as_of < before["as_of"]:
        decision.count("stale updates")
        return
    if before is not None and before["amount"] == str(said.amount):
        decision.count("duplicate payments of patients")
        return
    place = dict(said.origins).get("amount", said.source_path)
    now = {"amount": str(said.amount), "as_of": as_of, "place": f"{FROM_MESSAGE}{decision.message_id}: {place}"}
    payments = {**known, said.transaction: now}
    decision.update("visit", visit, body=decision.seal("visit", {**body, "payments": payments}))
    decision.count("payments of patients")
