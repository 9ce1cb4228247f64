"""What payers authorised beforehand, as sources tell it: kept with the patient, for the edit CL-14."""

from __future__ import annotations

from hub.billing import patients
from hub.billing.decision import Decision
from hub.billing.events import UNSENT
from hub.billing.second_look import look_again
from hub.billing.values import Authorisation
from hub.core.codec import from_plain, to_plain

EDIT = "CL-14"


def take(decision: Decision, said: Authorisation) -> None:
    """Keep what is said of an authorisation, and look again at the patient's claims that it bears on.

    What is older than the last that was said of it changes nothing; one about nobody is for a person.
    """
    if not said.mrn:
        sentence = "A payer's authorisation came without the number of the patient whom it is for."
        key = f"authorisation/{decision.message_id}/nobody"
        decision.open_item(queue="anomalies", key=key, kind="authorisation for nobody", sentence=sentence)
        return
    patient = patients.expect(decision, said.authority, said.mrn)
    digest = decision.vault.digest("authorisation", said.number)
    as_of = patients.moment(decision, said.as_of)
    known = decision.rows("authorisation", patient_id=patient["id"], digest=digest, order_by="id")
    kept = {"as_of": as_of, "message_id": decision.message_id, "body": decision.seal("authorisation", to_plain(said))}
    if not known:
        decision.insert(
            "authorisation",
            id=decision.ids.next(),
            **decision.owner(),
            digest=digest,
            patient_id=patient["id"],
            **kept,
        )
    elif as_of and as_of < known[-1]["as_of"]:
        decision.count("stale updates")
        return
    elif from_plain(Authorisation, decision.unseal("authorisation", known[-1]["body"])) == said:
        decision.count("duplicate authorisations")
        return
    else:
        decision.update("authorisation", known[-1], **kept)
    decision.count("authorisations")
    claims = decision.rows("claim", patient_id=patient["id"], state=UNSENT)
    look_again(decision, claims, {EDIT}, f"authorisation/{digest.hex()[:12]}", "the payer authorised it")
