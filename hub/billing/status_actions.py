"""What a person has to do about a claim whose status is no refusal: by a table of status categories (STC01-1)."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from importlib.resources import files
from typing import Any

from hub.billing import silence
from hub.billing.decision import Decision
from hub.billing.events import DOCUMENTS, OpenClaim


@dataclass(frozen=True, slots=True)
class Action:
    """One row of ``status_actions.csv``: the *queue* that the claim stands in, and what is to *do*."""

    queue: str
    kind: str
    do: str


@cache
def table() -> dict[str, Action]:
    """The actions by category; one that is not there asks for nothing."""
    with (files("hub.billing") / "status_actions.csv").open(encoding="utf-8") as stream:
        return {
            code: Action(row["queue"], row["kind"], row["do"])
            for row in csv.DictReader(stream)
            for code in row["codes"].split()
        }


def tell(decision: Decision, claim: OpenClaim, category: str, sentence: str, evidence: dict[str, Any]) -> None:
    """Put the claim in front of a person where *category* asks for one; *sentence* is what the payer said."""
    action = table().get(category)
    if action is None:
        return
    row = claim.row
    sentence = f"{sentence} {action.do}"
    if action.queue == silence.QUEUE:
        silence.miss(decision, row, action.kind, sentence, evidence=evidence, again=True)
        return
    payer = decision.config.payers.get(row["payer_id"])
    days = payer.information_days if payer and action.queue == DOCUMENTS else 0
    decision.open_item(
        queue=action.queue,
        key=f"claim/{row['id']}/{action.kind}",
        kind=action.kind,
        sentence=sentence,
        money_cents=row["total_cents"],
        due_on=(date.fromisoformat(decision.today) + timedelta(days=days)).isoformat() if days else "",
        claim_id=row["id"],
        patient_id=row["patient_id"],
        evidence=evidence,
        again=True,
    )
