"""Late charges of a hospital on a bill of their own, for payers that take them so (``late_charges = "5"``).

What was charged after the last bill of a stay or visit was sent goes alone onto a bill of frequency 5 for the same
days, for a person to release; the bill that was sent stays as it is. A room, which changes the days of the stay, and
what changes on a bill that was sent are replacements. Sources: 005010X223A2 loop 2300 CLM05-3, and REF*F8, which the
guide asks for on replacements and voids only; some payers want it here, too (``late_charges_number``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hub.billing import claims, replacements, stay_end
from hub.billing.asked import CommandError
from hub.billing.decision import Decision
from hub.billing.events import UNSENT, OpenClaim
from hub.billing.open_charge import OpenCharge, opened
from hub.billing.stay_parts import Part
from hub.formats.x12.frequency import LATE
from hub.store.changes import Row

_ROOMS = ("0100", "0219")  # revenue codes of accommodation


def go_alone(
    decision: Decision, base: OpenClaim, late: Sequence[OpenCharge], *, may_replace: bool = True
) -> Part | None:
    """What the bill of the *late* charges of the sent claim *base* is for; None when they are not billed so.

    Where they *may_replace* it, that is for what such a bill cannot tell.
    """
    said = claims.content(decision, base).institutional
    payer = decision.config.payers.get(base.row["payer_id"])
    if said is None or said.still_a_patient or payer is None or payer.late_charges != LATE:
        return None
    rooms = any(_ROOMS[0] <= charge.said.revenue_code.zfill(4) <= _ROOMS[1] for charge in late)
    days = [day for charge in late for day in (charge.said.service_date, charge.said.service_to) if day]
    outside = min(days) < said.statement_from or max(days) > said.statement_to
    replaced = bool(replacements.drafts(decision, base.row["chain_id"])) or stay_end.changed(decision, base) is not None
    may_replace &= replacements.takes_replacements(decision, base.row)
    if may_replace and (rooms or outside or replaced):
        return None
    return Part(min(said.statement_from, *days), max(said.statement_to, *days), LATE)


def tell(decision: Decision, bill: OpenClaim, base: OpenClaim) -> None:
    """Say on both claims which charges came late to which."""
    number, original = bill.row["control_number"], base.row["control_number"]
    bill.record("note", "late charges", sentence=f"Its charges came after {original} was sent.")
    base.record(
        "note", f"late charges/{bill.row['id']}", sentence=f"Later charges are on {number}, a bill of their own."
    )


def recall(decision: Decision, visit: Row) -> list[OpenCharge]:
    """Take back the late charges of the visit that were not sent yet: one bill says all of them."""
    found: list[OpenCharge] = []
    for row in decision.rows("claim", visit_id=visit["id"], frequency=LATE, state=UNSENT, previous_id=None):
        if row["replaces_id"] is None:
            found += claims.charges_of(decision, row["id"])
            claims.withdraw(decision, row["id"], "More was charged, or the stay changed, before it was sent.")
    return [opened(decision, charge.row) for charge in found]


def release(decision: Decision, bill: OpenClaim) -> None:
    """A person releases the *bill* of late charges: it names the payer's number of the original where that is wanted.

    Raises :class:`CommandError` when the payer has no claim that they came late to, or has given no number of it yet.
    """
    row = bill.row
    if row["replaces_id"] is not None or row["previous_id"] is not None:
        return
    base = replacements.filed_claim(decision, claims.charges_of(decision, row["id"])[0])
    if base is None:
        raise CommandError(
            "The payer has no claim that these charges came late to.",
            fix="When its replacement waits to be sent, wait for that. Otherwise bill the charges anew.",
        )
    payer = decision.config.payers.get(row["payer_id"])
    if payer is None or not payer.late_charges_number:
        return
    number = replacements.payer_number(decision, base)
    if not number:
        raise CommandError(
            "The payer has not given its number of the claim yet, and its late charges must name it.",
            fix="Wait for the 277CA or the remittance.",
        )
    body = claims.body(decision, bill)
    named = replace(body.claim, payer_claim_control_number=number)
    said = replace(body.said, payer_claim_control_number=number)
    decision.update("claim", row, body=decision.seal("claim", replace(body, claim=named, said=said).plain()))
