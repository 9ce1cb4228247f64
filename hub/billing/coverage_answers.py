"""What payers answered about coverages, as the edits of a claim ask for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from hub.billing.decision import Decision
from hub.billing.edits.context import Eligibility
from hub.billing.values import EligibilityAnswer
from hub.core.codec import from_plain
from hub.store.changes import Row


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer of a payer that counts for a claim."""

    said: EligibilityAnswer

    def judged_on(self, day: date) -> Eligibility:
        """What it says about *day*."""
        said = self.said
        name = said.name
        return Eligibility(
            active=_in_force(said, day),
            member_id=said.member_id or ("" if name or said.birth_date else None),
            last=name.family if name else "",
            first=name.given if name else "",
            birth_date=said.birth_date,
            not_to_be_billed=said.not_to_be_billed,
        )


def newest(decision: Decision, claim: Row, day: date) -> Answered | None:
    """The last answer of the claim's payer, unless it was given too long before the service on *day*."""
    since = (day - timedelta(days=decision.config.policy.verified_within)).isoformat()
    rows = decision.rows("eligibility", patient_id=claim["patient_id"], payer_id=claim["payer_id"][:32])
    last = max(rows, key=lambda row: (row["answered_on"], row["id"]), default=None)
    if last is None or last["answered_on"] < since:
        return None
    return Answered(from_plain(EligibilityAnswer, decision.unseal("eligibility", last["body"])))


def _in_force(said: EligibilityAnswer, day: date) -> bool | None:
    """Whether the coverage was in force on *day*: one that has ended was until its last day."""
    if said.active is None:
        return None
    begun = said.effective is None or said.effective <= day
    if said.active:
        return begun and (said.expires is None or day <= said.expires)
    return said.expires is not None and begun and day <= said.expires
