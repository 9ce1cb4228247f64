"""Claims of which nobody speaks: no 999, in no 277CA, never decided. Portals do not tell; the hub counts.

What was sent must come back: each batch in a TA1 or 999, each of its claims in a 277CA, each claim that a payer took
up in a remittance. Whatever is missing when its time is over stands in the queue *lost claims* with its money; so does,
at once, what a 277CA leaves out by its own totals. Nothing is sent again by itself: the answer may be lost, not the
claim.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from decimal import Decimal
from typing import Any

from hub.billing import calendars, split_claims
from hub.billing.config import Partner
from hub.billing.decision import Decision
from hub.billing.events import SENT, OpenClaim, open_claim
from hub.core.clock import DAY_MS
from hub.core.money import from_cents, shown, to_cents
from hub.formats.x12.claim_status import BatchStatus
from hub.store.changes import Row

QUEUE = "lost claims"
_UNANSWERED = ("sent", "accepted 999")
_ACKNOWLEDGED, _ANSWERED, _DECIDED = "999", "277CA", "835"
_REST = "rest"
#: While its claims are in these states, an item of that kind comes back when the time that a person gave is over.
_STILL = {"no decision": SENT, "claim not found": SENT, "no acknowledgement": ("sent",)}


def expect(decision: Decision, batch: Row) -> None:
    """A batch was delivered: arrange when its answers are missed."""
    partner = decision.config.partners.get(batch["partner"])
    if partner is None:
        return
    for what, days in ((_ACKNOWLEDGED, partner.acknowledges_within), (_ANSWERED, partner.answers_within)):
        _arrange(decision, batch, what, calendars.answer_due(decision, partner, decision.now_ms, days))
    for payer_id in sorted({row["payer_id"] for row in decision.rows("claim", batch_id=batch["id"])}):
        payer = decision.config.payers.get(payer_id)
        if payer is not None:
            _arrange(decision, batch, f"{_DECIDED} {payer_id}", decision.now_ms + payer.decides_within * DAY_MS)


def look(decision: Decision, due: Row) -> None:
    """An answer about the batch ``due["subject_id"]`` is due: what is missing goes to a person."""
    if due["subject"] == _REST:
        _look_for_rest(decision, open_claim(decision, due["subject_id"]))
        return
    batch = decision.row("batch", id=due["subject_id"])
    partner = decision.config.partners.get(batch["partner"]) if batch is not None else None
    if batch is None or partner is None:
        return
    what, _, payer_id = due["subject"].partition(" ")
    if what == _DECIDED:
        rows = decision.rows("claim", batch_id=batch["id"], state=SENT, payer_id=payer_id, order_by="id")
        _miss(decision, rows, "no decision", "The payer has not decided this claim in time. Ask for its status.")
        return
    states = ("sent",) if what == _ACKNOWLEDGED else _UNANSWERED
    silent = decision.rows("claim", batch_id=batch["id"], state=states, order_by="id")
    if not silent:
        return
    if what == _ACKNOWLEDGED:
        if len(silent) < batch["claims"]:  # a later answer spoke of the others: the batch has arrived
            return
        sentence = f"{partner.title} has not acknowledged a batch (999) in time."
        _miss_batch(decision, batch, partner, silent, "no acknowledgement", sentence)
    elif len(silent) == batch["claims"] > 1:
        sentence = f"{partner.title} has not answered (277CA) about any claim of a batch in time."
        _miss_batch(decision, batch, partner, silent, "no claim acknowledgement", sentence)
    else:
        sentence = (
            f"{partner.title} has named this claim in no answer (277CA), neither as accepted nor as rejected: it may "
            "be lost. Ask them; when they do not have it, send it again."
        )
        _miss(decision, silent, "lost claim", sentence)
        decision.close_item(f"batch/{batch['id']}/short", "each claim by itself")


def expect_rest(decision: Decision, claim: OpenClaim, undecided: int) -> None:
    """A part of a claim was decided that the payer took apart: arrange when the other parts, if any, are missed."""
    row = claim.row
    if not undecided:
        decision.close_item(_rest_key(row), "every part is decided")
        return
    payer = decision.config.payers.get(row["payer_id"])
    if payer is not None:
        decision.rearm(
            kind="silence",
            key=f"silence/claim/{row['id']}/{_REST}",
            business_at=decision.now_ms + payer.decides_within * DAY_MS,
            subject_id=row["id"],
            subject=_REST,
        )


def _look_for_rest(decision: Decision, claim: OpenClaim) -> None:
    row = claim.row
    undecided = split_claims.undecided(decision, row)
    if undecided:
        sentence = (
            f"The payer took this claim apart and has not decided {shown(from_cents(undecided))} of it in "
            "time. Ask for the other parts under its numbers of them."
        )
        miss(decision, row, "part not decided", sentence, key=_rest_key(row), money_cents=undecided, again=True)


def _rest_key(claim: Row) -> str:
    return f"claim/{claim['id']}/{_REST}/{claim['batch_id'] or 0}"


def compare(decision: Decision, said: BatchStatus, named: Collection[str], level: str, parts: int = 0) -> None:
    """Hold the totals of a 277CA (loop 2200B) against what was sent; *named* are the claims that it speaks of.

    *parts* is how many more it names than claims, because the payer took some apart; it may count those, too.
    """
    batch = decision.row("batch", reference=said.reference) if said.reference else None
    counts = [count for count in (said.accepted_count, said.rejected_count) if count is not None]
    if batch is None or not counts:
        return
    stated = [amount for amount in (said.accepted_amount, said.rejected_amount) if amount is not None]
    cents = to_cents(sum(stated, Decimal(0))) if stated else None
    rows = decision.rows("claim", batch_id=batch["id"], order_by="id")
    silent = [row for row in rows if row["state"] in _UNANSWERED]
    own = [row["total_cents"] for row in rows if row["control_number"] in named]
    counted = sum(counts)
    if parts and counted - parts in {batch["claims"], len(own)}:
        counted -= parts
    if counted == batch["claims"] and cents in {None, batch["total_cents"]}:
        _count_as_received(decision, silent, named, level)
        return
    if counted < batch["claims"] and len(own) == counted and cents in {None, sum(own)}:
        if silent:
            _miss_part(decision, batch, silent, counted, sum(own))
        return
    decision.open_item(
        queue=QUEUE,
        key=f"batch/{batch['id']}/totals/{level}",
        kind="totals differ",
        sentence=(
            f"A 277CA counts {counted} claims{_over(cents)} of a batch of {batch['claims']} claims"
            f"{_over(batch['total_cents'])}, and names {len(named)}. Ask what became of the others."
        ),
        money_cents=abs(batch["total_cents"] - (cents or 0)),
        evidence={"batch": batch["reference"], "claims": [row["control_number"] for row in silent]},
    )


def answered(decision: Decision, claim: OpenClaim) -> None:
    """Something was said of a claim: close what its batch was missed for, if that was all."""
    batch_id = claim.row["batch_id"]
    if batch_id is None:
        return
    keys = (f"batch/{batch_id}/{_ACKNOWLEDGED}", f"batch/{batch_id}/{_ANSWERED}", f"batch/{batch_id}/short")
    if not decision.rows("work_item", item_key=keys, state="open"):
        return
    decision.close_item(keys[0], "answered")
    if not decision.rows("claim", batch_id=batch_id, state=_UNANSWERED):
        for key in keys[1:]:
            decision.close_item(key, "answered")


def acknowledged(decision: Decision, batch: Row) -> None:
    """A 999 came for the batch, whatever it says."""
    decision.close_item(f"batch/{batch['id']}/{_ACKNOWLEDGED}", "answered")


def batch_of(item: Row) -> int:
    """The batch whose claims *item* misses, whether it stands for the batch or for one of them."""
    parts = item["item_key"].split("/")
    return int(parts[1] if parts[0] == "batch" else parts[-1])


def sent_again(decision: Decision, batch_id: int) -> None:
    """Claims of a batch go again in another one: close what it was missed for, if that was all."""
    if not decision.rows("claim", batch_id=batch_id, state=_UNANSWERED):
        for what in (_ACKNOWLEDGED, _ANSWERED, "short"):
            decision.close_item(f"batch/{batch_id}/{what}", "sent again")


def wait_longer(decision: Decision, item: Row, days: int) -> None:
    """Close *item* for *days*: when its claims are not answered by then, it is opened anew."""
    key = f"wait/{item['id']}/{item['version']}"
    decision.later(kind="missed", key=key, business_at=decision.now_ms + days * DAY_MS, subject_id=item["id"])
    decision.close_items(f"waiting {days} days", id=item["id"])


def still_missed(decision: Decision, due: Row) -> None:
    """The time that a person gave is over: the item comes back unless somebody answered."""
    item = decision.row("work_item", id=due["subject_id"])
    if item is None or item["state"] == "open":
        return
    numbers = decision.unseal("work_item", item["body"]).get("claims", ())
    rows = decision.rows("claim", control_number=tuple(numbers)) if numbers else []
    states = _STILL.get(item["kind"], _UNANSWERED)
    if item["kind"] == "part not decided":
        states = tuple(row["state"] for row in rows if split_claims.undecided(decision, row))
    if not any(row["state"] in states and row["batch_id"] == batch_of(item) for row in rows):
        return
    about = item["claim_id"]
    missed_since = decision.rows("work_item", claim_id=about, queue=QUEUE, state="open") if about else []
    if missed_since:
        _add(decision, missed_since[0], missed_since[0]["kind"], item["sentence"])
        return
    decision.update("work_item", item, state="open", resolution="")
    decision.note_item(item["id"], "reopened", {"comment": "Nobody has answered meanwhile."})


def _arrange(decision: Decision, batch: Row, what: str, business_at: int) -> None:
    decision.later(
        kind="silence",
        key=f"silence/{batch['id']}/{what}",
        business_at=business_at,
        subject_id=batch["id"],
        subject=what,
    )


def _miss(decision: Decision, rows: Sequence[Row], kind: str, sentence: str) -> None:
    for row in rows:
        if decision.full:
            decision.complete = False
            return
        miss(decision, row, kind, sentence)


def miss(
    decision: Decision,
    claim: Row,
    kind: str,
    sentence: str,
    *,
    key: str = "",
    money_cents: int | None = None,
    evidence: dict[str, Any] | None = None,
    again: bool = False,
) -> None:
    """Put *claim* into the queue, or add what is missed of it now to the item by which it stands there already.

    *key*, *money_cents* and *evidence* are the claim's own where they are left out; *again* as in
    :meth:`~hub.billing.decision.Decision.open_item`.
    """
    key = key or f"claim/{claim['id']}/{kind}/{claim['batch_id'] or 0}"
    open_items = decision.rows("work_item", claim_id=claim["id"], queue=QUEUE, state="open")
    if open_items and key not in {item["item_key"] for item in open_items}:
        _add(decision, open_items[0], kind, sentence)
        return
    decision.open_item(
        queue=QUEUE,
        key=key,
        kind=kind,
        sentence=sentence,
        money_cents=claim["total_cents"] if money_cents is None else money_cents,
        claim_id=claim["id"],
        patient_id=claim["patient_id"],
        evidence={**(evidence or {}), "claims": [claim["control_number"]]},
        again=again,
    )


def _add(decision: Decision, item: Row, kind: str, sentence: str) -> None:
    """Have the open *item* say *sentence*, too; it is of the later *kind* from then on, and rests no longer."""
    if sentence in item["sentence"]:
        return
    said = {"kind": kind, "sentence": f"{item['sentence']} {sentence}", "snoozed_until": ""}
    decision.update("work_item", item, **said)
    decision.note_item(item["id"], "comment", {"comment": sentence})


def _miss_batch(
    decision: Decision, batch: Row, partner: Partner, silent: Sequence[Row], kind: str, sentence: str
) -> None:
    what = _ACKNOWLEDGED if kind == "no acknowledgement" else _ANSWERED
    total = sum(row["total_cents"] for row in silent)
    facts: dict[str, Any] = {"batch": batch["reference"], "interchange": batch["interchange_number"]}
    decision.open_item(
        queue=QUEUE,
        key=f"batch/{batch['id']}/{what}",
        kind=kind,
        sentence=(
            f"{sentence} It holds {_claims(len(silent))}{_over(total)}. Ask {partner.title} whether they have "
            f"interchange {batch['interchange_number']}; send nothing again before they said that they do not."
        ),
        money_cents=total,
        evidence={**facts, "claims": [row["control_number"] for row in silent]},
    )


def _miss_part(decision: Decision, batch: Row, silent: Sequence[Row], counted: int, counted_cents: int) -> None:
    total = sum(row["total_cents"] for row in silent)
    decision.open_item(
        queue=QUEUE,
        key=f"batch/{batch['id']}/short",
        kind="totals differ",
        sentence=(
            f"Of a batch of {_claims(batch['claims'])}{_over(batch['total_cents'])}, a 277CA counts {counted}"
            f"{_over(counted_cents)}: {_claims(len(silent))}{_over(total)} are neither accepted nor rejected. "
            "Another answer may bring them; after that they count as lost."
        ),
        money_cents=total,
        evidence={"batch": batch["reference"], "claims": [row["control_number"] for row in silent]},
    )


def _count_as_received(decision: Decision, silent: Sequence[Row], named: Collection[str], level: str) -> None:
    """Totals that agree to the cent vouch for claims that the answer does not name: it names the rejected only."""
    for row in silent:
        if row["control_number"] not in named:
            claim = OpenClaim(decision, row)
            sentence = "An answer counts this claim as accepted without naming it."
            key = f"counted/{decision.message_id}/{row['batch_id']}"
            claim.record("claim_ack", key, level=level, category="A1", sentence=sentence)
            answered(decision, claim)


def _claims(count: int) -> str:
    return f"{count} claim{'s' if count != 1 else ''}"


def _over(cents: int | None) -> str:
    return "" if cents is None else f" over {shown(from_cents(cents))}"
