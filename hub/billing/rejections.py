"""What is done about a claim that came back: by the fix table, and by a machine only where its *auto* column says yes.

The table (``rejections.csv``) says for each status of a 277CA what fixes it, whether that may be done without a person,
and in which queue it stands otherwise. No machine writes a value of its own into a claim: what it may do is make the
claim anew from the practice's records and the EHR's registration, once, when these say otherwise by now just where the
payer objects.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from importlib.resources import files
from typing import Any

from hub.billing import claims, replacements
from hub.billing.decision import Decision
from hub.billing.edits.table import EDITS
from hub.billing.events import OpenClaim
from hub.billing.made_anew import as_of_today
from hub.core.clock import at
from hub.formats.x12.claim import Claim, Organisation, Party
from hub.formats.x12.claim_status import Reason
from hub.formats.x12.frequency import REPLACEMENT, replaces_prior

REFUSED = ("A3", "A6", "A7", "A8")
ENROLMENT, SECONDARY = "enrolment", "secondary"
_PROOF = frozenset({"delivered", "ta1", "ack999", "claim_ack"})


@dataclass(frozen=True, slots=True)
class Fix:
    """One row of the table: what *codes* (category:status, or category:status:entity) ask for.

    *about* is the part of the claim that the payer objects to, *do* what a person is told to do.
    """

    codes: tuple[str, ...]
    fix: str
    about: str
    auto: bool
    queue: str
    do: str


@cache
def table() -> tuple[Fix, ...]:
    """The fix table, in its order."""
    with (files("hub.billing") / "rejections.csv").open(encoding="utf-8") as stream:
        return tuple(
            Fix(tuple(row["codes"].split()), row["fix"], row["about"], row["auto"] == "yes", row["queue"], row["do"])
            for row in csv.DictReader(stream)
        )


def fix_for(reason: Reason) -> Fix | None:
    """The row for *reason*: the one that names its entity, too, before one that does not."""
    exact = f"{reason.category}:{reason.status}:{reason.entity}"
    plain = f"{reason.category}:{reason.status}"
    for code in (exact, plain):
        found = next((fix for fix in table() if code in fix.codes), None)
        if found is not None:
            return found
    return None


def send_back(decision: Decision, claim: OpenClaim, said: Sequence[Reason], sentence: str, **about: Any) -> None:
    """A claim was rejected for the reasons *said*: fix it where the table lets a machine, else put it into a queue.

    *about* is what the item says besides: ``kind`` and ``evidence``.
    """
    refused = [reason for reason in dict.fromkeys(said) if reason.category in REFUSED]
    fixes = [fix_for(reason) for reason in refused]
    known = [fix for fix in fixes if fix is not None]
    if known and len(known) == len(fixes) and all(fix.auto for fix in known) and _fixed(decision, claim, known):
        return
    chosen = next((fix for fix in known if not fix.auto), known[0] if known else None)
    if chosen is not None and chosen.fix == "enrolment":
        _report_enrolment(decision, claim)
        return
    queue = chosen.queue if chosen is not None else "rejections"
    told = chosen.do if chosen is not None else "" if refused[:1] and refused[0].category == "A3" else _CORRECT
    row = claim.row
    evidence = {**about.pop("evidence", {}), "edits": _edits(refused)}
    if chosen is not None and chosen.about == "timely filing":
        evidence["proof"] = _proof(decision, claim)
    decision.open_item(
        queue=queue,
        key=f"claim/{row['id']}/rejected",
        sentence=f"{sentence} {told}".rstrip(),
        rule=(_edits(refused) or [""])[0],
        money_cents=row["total_cents"],
        claim_id=row["id"],
        patient_id=row["patient_id"],
        due_on=_wait_until(decision) if queue == SECONDARY else "",
        evidence=evidence,
        again=True,
        **about,
    )


_CORRECT = "Correct it and file it as new."


def held_payers(decision: Decision) -> set[str]:
    """The payers whose claims wait for an enrolment."""
    items = decision.rows("work_item", queue=ENROLMENT, state="open")
    return {item["item_key"].partition("/")[2] for item in items}


# ---------------------------------------------------------------- what a machine may do


def _fixed(decision: Decision, claim: OpenClaim, fixes: Sequence[Fix]) -> bool:
    """Whether every one of *fixes* could be made; then the claim is made anew, once in its chain for the same cause."""
    if replaces_prior(claim.row["frequency"]):
        return _refiled(decision, claim, fixes)
    if any(fix.fix != "records" for fix in fixes):
        return False
    kept = claims.body(decision, claim)
    if kept.accepted:  # a person's decisions would be lost
        return False
    now = as_of_today(decision, claim.row)
    if now is None or _tried(decision, claim, fixes):
        return False
    if any(FACTS[fix.about](now) in {FACTS[fix.about](kept.claim), ()} for fix in fixes):
        return False
    _make_anew(decision, claim, fixes, "The records say otherwise by now: the claim is made anew from them.")
    return True


def _refiled(decision: Decision, claim: OpenClaim, fixes: Sequence[Fix]) -> bool:
    """Whether a replacement or void that came back could be made otherwise, as the payer's file and numbers say."""
    if any(fix.fix not in {"new claim", "frequency"} for fix in fixes):
        return False
    if not replacements.takes_replacements(decision, claim.row):
        if claim.row["payer_id"] not in decision.config.payers:
            return False
        _make_anew(decision, claim, fixes, "The payer takes no replacements: a new claim is made.")
        return True
    named = claims.content(decision, claim).payer_claim_control_number
    latest = replacements.payer_number(decision, claim)
    is_late = all(fix.fix == "frequency" for fix in fixes) and replacements.was_released(decision, claim)
    if not is_late or latest in {"", named} or claim.row["frequency"] != REPLACEMENT:
        return False
    _make_anew(decision, claim, fixes, "The payer has given a later number of the claim: it is drafted anew with that.")
    return True


def _make_anew(decision: Decision, claim: OpenClaim, fixes: Sequence[Fix], sentence: str) -> None:
    about = [fix.about for fix in fixes]
    claim.record("note", f"fixed/{decision.message_id}", sentence=sentence, rule="rejections", fixed=about)
    if "amount" in about:
        decision.open_item(
            queue="anomalies",
            key=f"claim/{claim.row['id']}/amounts",
            kind="amounts rejected",
            sentence="A payer says that a claim does not add up. It is made anew; report it, because the hub made it.",
            claim_id=claim.row["id"],
        )
    claims.withdraw(decision, claim.row["id"], sentence)
    decision.count("rejections fixed")


def _tried(decision: Decision, claim: OpenClaim, fixes: Sequence[Fix]) -> bool:
    """Whether a claim of the chain was made anew for one of the same causes before."""
    earlier = tuple(row["id"] for row in decision.rows("claim", chain_id=claim.row["chain_id"]))
    notes = decision.rows("claim_event", claim_id=earlier, kind="note")
    return any(f'"{fix.about}"' in note["detail"] for note in notes if '"fixed":[' in note["detail"] for fix in fixes)


def _name(party: Party | None) -> tuple[str, ...]:
    if party is None:
        return ()
    return (party.name,) if isinstance(party, Organisation) else (party.last, party.first)


def _member(claim: Claim) -> tuple[Any, ...]:
    who = claim.patient or claim.subscriber
    subscriber = claim.subscriber
    return (subscriber.member_id, *_name(subscriber.person), *_name(who.person), who.birth_date)


FACTS: dict[str, Callable[[Claim], tuple[Any, ...]]] = {
    "billing npi": lambda claim: (claim.billing_provider.npi,),
    "rendering npi": lambda claim: (claim.rendering.npi if claim.rendering else "",),
    "billing zip": lambda claim: (claim.billing_provider.address.postal_code,),
    "facility zip": lambda claim: (claim.facility.address.postal_code if claim.facility else "",),
    "taxonomy": lambda claim: (
        claim.billing_provider.taxonomy,
        claim.rendering.taxonomy if claim.rendering else "",
    ),
    "member": _member,
    "payer": lambda claim: (claim.payer.id,),
    "authorisation": lambda claim: (claim.prior_authorisation,) if claim.prior_authorisation else (),
    "referral": lambda claim: (claim.referral_number,) if claim.referral_number else (),
    "amount": lambda claim: (claim.charge,),
}
"""What of a claim a row of the table is about; an empty one says that the records do not know it."""


# ---------------------------------------------------------------- what people see


def _report_enrolment(decision: Decision, claim: OpenClaim) -> None:
    """One item for the payer: its claims are not sent before somebody resolves it."""
    row = claim.row
    payer = decision.config.payers.get(row["payer_id"])
    name = payer.name if payer is not None else "A payer"
    key = f"{ENROLMENT}/{row['payer_id']}"
    item_id = decision.open_item(
        queue=ENROLMENT,
        key=key,
        kind="enrolment missing",
        sentence=(
            f"{name} does not know the practice yet and sends claims back. Have the enrolment completed; until then "
            "claims to it wait. Then send those that came back again."
        ),
        evidence={"claims": []},
        again=True,
    )
    item = decision.row("work_item", id=item_id)
    assert item is not None
    back = {**decision.unseal("work_item", item["body"])}
    if row["control_number"] not in back["claims"]:
        back["claims"] = [*back["claims"], row["control_number"]]
        money = item["money_cents"] + row["total_cents"]
        decision.update("work_item", item, body=decision.seal("work_item", back), money_cents=money)


def _edits(reasons: Iterable[Reason]) -> list[str]:
    """The edits that would have found it, by what they prevent."""
    wanted = {f"{reason.category}:{reason.status}" for reason in reasons}
    wanted |= {f"{reason.category}:{reason.status}:{reason.entity}" for reason in reasons}
    return [edit.id for edit in EDITS.values() if wanted & set(edit.prevents)]


def _proof(decision: Decision, claim: OpenClaim) -> list[dict[str, str]]:
    """When claims of the chain were sent and acknowledged: what a payer accepts as proof of timely filing."""
    chain = tuple(row["id"] for row in decision.rows("claim", chain_id=claim.row["chain_id"]))
    events = decision.rows("claim_event", claim_id=chain, order_by="id")
    zone = decision.clock.zone
    return [
        {"what": event["kind"], "on": at(event["business_at"], zone).date().isoformat(), "state": event["state_after"]}
        for event in events
        if event["kind"] in _PROOF
    ]


def _wait_until(decision: Decision) -> str:
    return (decision.clock.today() + timedelta(seconds=decision.config.policy.crossover_wait)).isoformat()
