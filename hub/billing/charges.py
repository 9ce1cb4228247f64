"""Charges as their sources send them: once, twice, changed, taken back, before their visit; and their way to a claim.

A charge is known by its source and transaction id. What makes a charge wait is written on it (``held_for``)
and, where a person must look, stands in *charge review*; when the obstacle goes, the charge goes on by
itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from hub.billing import claims, interim, patients, replacements
from hub.billing.decision import Decision
from hub.billing.events import UNSENT, open_claim
from hub.billing.open_charge import STAY, OpenCharge, arm_bill, charge_digest, columns, opened
from hub.billing.values import Charge, Document, PatientPayment
from hub.core.codec import to_plain
from hub.core.money import to_cents
from hub.store.changes import Row

SENTENCES = {
    "visit": "A charge's visit was never announced by the EHR.",
    "cancelled": "The EHR cancelled the visit that this charge belongs to.",
    "patient": "A charge names another patient than its visit does.",
    "performer": "A charge's performing provider is not one of the practice's providers.",
    "place": "A charge does not say in which known department the service was done.",
    "duplicate": "The same service by the same provider on the same day was charged before; this may be a duplicate.",
    "payer": "The patient is insured by a payer that the practice's payer files do not know.",
    "replacement": "The charge came after its visit's claim was sent; a replacement claim with it waits for approval.",
}
_QUEUES = {"payer": "claim edits"}


def take(decision: Decision, said: Charge) -> None:
    """Enter a charge or a credit that a source sent, by the matrix of what is known of it already.

    What is older than the last that its source said of it changes nothing.
    """
    if said.amount < 0:
        said = replace(said, kind="credit", amount=-said.amount)
    said = replace(said, units=abs(said.units))
    if said.kind == "credit":
        _credit(decision, said)
        return
    row = decision.row("charge", digest=charge_digest(decision, decision.channel, said.transaction))
    if row is None:
        _enter(decision, said)
        return
    charge = opened(decision, row)
    if charge.is_newer_than(said):
        decision.count("stale updates")
        return
    charge.note_time(said)
    _take_again(decision, charge, said)


def keep_only(decision: Decision, visit: Row, transactions: Iterable[str], as_of: str) -> None:
    """Take back what the visit's source does not name any more among the *transactions* of its charges."""
    named = {charge_digest(decision, decision.channel, transaction) for transaction in transactions}
    for row in decision.rows("charge", visit_id=visit["id"], source_channel=decision.channel):
        if row["digest"] not in named and row["state"] != "void":
            said = opened(decision, row).said
            take(decision, replace(said, kind="credit", credits=said.transaction, as_of=as_of))


def _enter(decision: Decision, said: Charge) -> None:
    visit = find_visit(decision, said.account)
    if visit is None:
        day, department = said.service_date.isoformat(), said.department
        visit = expect_visit(decision, said, visit_on=day, department=department[:32])
    known = patients.find(decision, said.authority, said.mrn) if said.mrn else None
    body = {"charge": to_plain(said), "as_of": patients.moment(decision, said.as_of)}
    row = decision.insert(
        "charge",
        id=decision.ids.next(),
        **decision.owner(),
        digest=charge_digest(decision, decision.channel, said.transaction),
        visit_id=visit["id"],
        patient_id=known["id"] if known else visit["patient_id"],
        state="held",
        message_id=decision.message_id,
        source_path=said.source_path[:64],
        source_channel=decision.channel,
        body=decision.seal("charge", body),
        **columns(said),
    )
    charge = OpenCharge(decision, row, body)
    charge.accept()
    settle(decision, charge)


def _take_again(decision: Decision, charge: OpenCharge, said: Charge) -> None:
    said = charge.as_corrected(said)
    known = replacements.pending(charge) or charge.said
    if replace(said, source_path="") == replace(known, source_path=""):
        decision.count("duplicate charges")
    elif charge.row["state"] == "void":
        sentence = "A charge came again with other content after it was taken back."
        _review(decision, charge, "changed after credit", sentence)
    elif said.account != known.account:
        _review(
            decision, charge, "moved to another visit", "A charge came again for another visit. Nothing was changed."
        )
    elif _recall(decision, charge, "The charge changed before the claim was sent."):
        charge.restate(said)
        decision.count("corrected charges")
        replacements.redraft(decision, charge, stays=replacements.is_about_the_same(known, said))
        settle(decision, charge)
    elif not replacements.change(decision, charge, said):
        sentence = "A charge changed after its claim was sent; a replacement claim may be needed."
        _review(decision, charge, "changed after billing", sentence)


def _recall(decision: Decision, charge: OpenCharge, reason: str) -> bool:
    """Take the charge off a claim that was not sent yet. False when it, or one that it corrects, was."""
    if charge.row["state"] == "claimed":
        claim = open_claim(decision, charge.row["claim_id"])
        if claim.state not in UNSENT or claim.row["replaces_id"] is not None:
            return False
        claims.withdraw(decision, charge.row["claim_id"], reason)
        charge.body = opened(decision, charge.row).body
    return True


def _credit(decision: Decision, said: Charge) -> None:
    charge = _credited(decision, said)
    if charge is None:
        _credit_item(decision, said, "credit without charge", "A credit takes back a charge that is not known.")
        return
    if charge.row["state"] == "void" or replacements.pending(charge) is None:
        decision.count("duplicate credits")
        return
    if charge.is_newer_than(said):
        decision.count("stale updates")
        return
    charge.note_time(said)
    if charge.row["amount_cents"] != to_cents(said.amount):
        _credit_item(decision, said, "partial credit", "A credit takes back another amount than was charged.", charge)
        return
    if not _recall(decision, charge, "The charge was taken back before the claim was sent."):
        if replacements.take_back(decision, charge):
            return
        _credit_item(
            decision,
            said,
            "credit after billing",
            "A charge was taken back after its claim was sent; the claim may have to be replaced or voided.",
            charge,
        )
        return
    decision.close_items("taken back by the EHR", item_key=f"charge/{charge.id}/{charge.held_for}")
    charge.void()
    replacements.redraft(decision, charge)
    decision.count("credited charges")


def _credited(decision: Decision, said: Charge) -> OpenCharge | None:
    """The charge that a credit takes back: the one it names, the one whose id it has, or the only one that it fits."""
    visit = find_visit(decision, said.account)
    for transaction in (said.credits, said.transaction):
        row = transaction and decision.row("charge", digest=charge_digest(decision, decision.channel, transaction))
        if row:
            return opened(decision, row) if visit is not None and row["visit_id"] == visit["id"] else None
    if visit is None or said.credits:
        return None
    fitting = [
        row
        for row in decision.rows(
            "charge", visit_id=visit["id"], service_on=said.service_date.isoformat(), code=said.billed_code[:16]
        )
        if row["state"] != "void"
        and row["amount_cents"] == to_cents(said.amount)
        and row["modifiers"] == " ".join(said.modifiers)
    ]
    return opened(decision, fitting[0]) if len(fitting) == 1 else None


def _credit_item(decision: Decision, said: Charge, kind: str, sentence: str, charge: OpenCharge | None = None) -> None:
    digest = charge_digest(decision, decision.channel, said.transaction)
    decision.open_item(
        queue="credits",
        key=f"credit/{digest.hex()}/{kind}",
        kind=kind,
        sentence=sentence,
        money_cents=to_cents(said.amount),
        evidence={"credit": to_plain(said)},
        charge_id=charge.id if charge else None,
        claim_id=charge.row["claim_id"] if charge else None,
        patient_id=charge.row["patient_id"] if charge else None,
        source_path=said.source_path[:64],
    )


def _review(decision: Decision, charge: OpenCharge, kind: str, sentence: str) -> None:
    """Put what just came about the charge in front of a person."""
    decision.open_item(
        queue="charge review",
        key=f"charge/{charge.id}/{kind}/{decision.message_id}",
        kind=kind,
        sentence=sentence,
        money_cents=charge.row["amount_cents"],
        charge_id=charge.id,
        claim_id=charge.row["claim_id"],
        patient_id=charge.row["patient_id"],
        source_path=charge.row["source_path"],
    )


def settle(decision: Decision, charge: OpenCharge, resolution: str = "resolved by itself") -> str:
    """Let a charge go on if nothing stands in its way, else hold it. Returns what does, or an empty text.

    *resolution* is how the item is closed that told of what stood in its way before.
    """
    if charge.body.get("joins"):
        return replacements.HELD_FOR
    visit = decision.row("visit", id=charge.row["visit_id"])
    assert visit is not None
    before, obstacle = charge.held_for, _obstacle(decision, charge, visit)
    if before and before != obstacle:
        decision.close_items(resolution, item_key=f"charge/{charge.id}/{before}")
    if obstacle:
        hold(decision, charge, obstacle)
        return obstacle
    said = charge.said
    place = said.place_of_service or decision.config.place_of_service(said.department)
    charge.change(state="open", patient_id=visit["patient_id"], place_of_service=place)
    hold_ms = int(decision.config.policy.bill_hold * 1000)
    arm_bill(decision, visit["id"], charge.billed_with, decision.now_ms + hold_ms)
    if charge.billed_with == STAY:
        interim.arm(decision, visit, [charge])
    return ""


def hold(decision: Decision, charge: OpenCharge, reason: str) -> None:
    """Make *charge* wait. A person is told at once, except of a visit that may still be announced."""
    charge.change(state="held", held_for=reason)
    if reason == "visit":
        decision.later(
            kind="orphan",
            key=f"orphan/{charge.id}",
            business_at=decision.now_ms + int(decision.config.policy.orphan_wait * 1000),
            subject_id=charge.id,
        )
    else:
        _tell(decision, charge, reason)


def _tell(decision: Decision, charge: OpenCharge, reason: str) -> None:
    decision.open_item(
        queue=_QUEUES.get(reason, "charge review"),
        key=f"charge/{charge.id}/{reason}",
        kind=f"charge held: {reason}",
        sentence=SENTENCES[reason],
        money_cents=charge.row["amount_cents"],
        charge_id=charge.id,
        patient_id=charge.row["patient_id"],
        message_id=charge.row["message_id"],
        again=True,
        source_path=charge.row["source_path"],
    )


def _obstacle(decision: Decision, charge: OpenCharge, visit: Row) -> str:
    said = charge.said
    if visit["state"] != "open":
        return "visit" if visit["state"] == "expected" else "cancelled"
    if said.mrn and not _is_of(decision, said, visit):
        return "patient"
    if charge.form == "837P" and decision.config.provider(said.performing_npi) is None:
        return "performer"
    if not said.place_of_service and decision.config.place_of_service(said.department) is None:
        return "place"
    if "duplicate" not in charge.body.get("cleared", ()) and _has_twin(decision, charge, visit):
        return "duplicate"
    return ""


def _is_of(decision: Decision, said: Charge, visit: Row) -> bool:
    own = patients.surviving(decision, visit["patient_id"])
    authority = said.authority or decision.unseal("patient", own["body"])["authority"]
    named = patients.find(decision, authority, said.mrn)
    return named is not None and named["id"] == own["id"]


def _has_twin(decision: Decision, charge: OpenCharge, visit: Row) -> bool:
    """Whether an earlier charge has the same patient, day, code, performer and modifiers, in any order."""
    return any(
        row["id"] < charge.id
        and row["state"] != "void"
        and sorted(row["modifiers"].split()) == sorted(charge.row["modifiers"].split())
        for row in decision.rows(
            "charge",
            patient_id=visit["patient_id"],
            service_on=charge.row["service_on"],
            code=charge.row["code"],
            performing_npi=charge.row["performing_npi"],
        )
    )


def resettle(decision: Decision, rows: Iterable[Row]) -> None:
    """Look again at charges whose visit, patient or coverage has changed."""
    for row in list(rows):
        charge = opened(decision, row)
        if row["state"] == "self pay":
            patient = patients.surviving(decision, row["patient_id"])
            if patients.primary(decision, patient, row["service_on"]) is not None:
                charge.from_patient()
                settle(decision, charge)
        elif row["state"] == "held":
            settle(decision, charge)


def give_up_waiting(decision: Decision, due: Row) -> None:
    """A charge has waited long enough for its visit: a person must look."""
    row = decision.row("charge", id=due["subject_id"])
    assert row is not None
    charge = opened(decision, row)
    if row["state"] == "held" and charge.held_for == "visit":
        _tell(decision, charge, "visit")


def find_visit(decision: Decision, account: str) -> Row | None:
    """The visit of that account, as far as anything was said of it."""
    return decision.row("visit", account_digest=decision.vault.digest("account", account))


def expect_visit(decision: Decision, said: Charge | Document | PatientPayment, **columns: str) -> Row:
    """Keep a place for the visit that *said* speaks of and that was not announced yet."""
    patient = patients.expect(decision, said.authority, said.mrn)
    return decision.insert(
        "visit",
        id=decision.ids.next(),
        **decision.owner(),
        patient_id=patient["id"],
        account_digest=decision.vault.digest("account", said.account),
        state="expected",
        source_channel=decision.channel,
        updated_at=decision.real_ms,
        body=decision.seal("visit", {"account": said.account, "as_of": ""}),
        **columns,
    )
