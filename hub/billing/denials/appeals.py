"""Appeals: a letter from a template with facts and proofs on file, sent by a person, decided by the payer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from hub.billing import claims
from hub.billing.decision import Decision
from hub.billing.denials import letters, outcomes
from hub.billing.denials.letters import LEVELS
from hub.billing.events import open_claim
from hub.core.clock import at
from hub.core.errors import HubError
from hub.core.money import from_cents, money, shown, to_cents
from hub.formats.x12.claim import Claim, Organisation, Person
from hub.store.changes import Row

_ACCEPTED = frozenset({"A1", "A2"})
_LINE_MOST = 400


class AppealError(HubError):
    """An appeal cannot be written, sent or decided as asked; nothing is changed."""

    code = "H633"


def write(
    decision: Decision, denial: Row, template: str, argument: str, evidence: Sequence[dict[str, Any]]
) -> tuple[Row, str]:
    """Draft the next level's appeal of *denial*; returns its row and the letter.

    *evidence* are ``title`` and, where the hub has the document, ``message_id``. Raises :class:`AppealError` where the
    payer grants no appeal, and :class:`~hub.billing.denials.letters.LetterError`.
    """
    if denial["appeal"] == "no":
        raise AppealError(
            "This decision is not open to appeal.", where=denial["codes"], fix="Correct the claim instead."
        )
    if denial["state"] not in {"open", "waiting", "appealed", "lost"}:
        raise AppealError(f"This denial is {denial['state']}.", expected="one that is open, or lost at a lower level")
    earlier = _earlier(decision, denial["claim_id"], denial["charge_id"], denial["payer_id"])
    if any(each["state"] in {"drafted", "sent"} for each in earlier):
        raise AppealError("An appeal of this denial is under way.", fix="Record its outcome first.")
    level = _next_level(earlier)
    kept = claims.body(decision, open_claim(decision, denial["claim_id"])).claim
    proofs = proofs_of_filing(decision, denial["chain_id"])
    if denial["appeal"] == "proof" and not proofs and not evidence:
        raise AppealError("Without proof this appeal cannot be won.", expected="an acknowledgement of the claim")
    facts = _facts(decision, denial, kept, level)
    facts |= {
        "argument": argument.strip(),
        "proofs": [each["title"] for each in proofs],
        "evidence": [str(each.get("title") or "")[:_LINE_MOST] for each in evidence],
    }
    letter = letters.write(template, decision.config.appeals, facts)
    row = decision.insert(
        "denial_action",
        id=decision.ids.next(),
        denial_id=denial["id"],
        kind="appeal",
        rule=template[:64],
        automatic=False,
        level=level,
        state="drafted",
        actor=decision.actor,
        made_business_at=decision.now_ms,
        due_on=due_on(decision, denial, level, earlier),
        body=decision.seal(
            "denial_action", {"letter": letter, "evidence": [*proofs, *evidence], "argument": argument.strip()}
        ),
    )
    return row, letter


def send(decision: Decision, action: Row, how: str, reference: str) -> Row:
    """A person sent the appeal *how* (letter, fax, portal) under *reference*; the denial waits for the payer."""
    denial = _denial(decision, action, "drafted")
    body = decision.unseal("denial_action", action["body"])
    decision.update(
        "denial_action",
        action,
        state="sent",
        sent_on=decision.today,
        body=decision.seal("denial_action", {**body, "how": how, "reference": reference}),
    )
    decision.update("denial", denial, state="appealed")
    decision.close_items("appealed", id=denial["item_id"])
    open_claim(decision, denial["claim_id"]).record(
        "note", f"appeal/{action['id']}", sentence=f"{decision.actor} sent a level {action['level']} appeal by {how}."
    )
    return denial


def decide(decision: Decision, action: Row, outcome: str, amount: str) -> Row:
    """The payer answered: *outcome* is ``won``, ``partly`` (*amount*) or ``lost``. Money comes by remittance, as ever.

    A lost appeal puts the denial back into the queue where the payer has a further level.
    """
    denial = _denial(decision, action, "sent")
    if outcome not in {"won", "partly", "lost"}:
        raise AppealError("An appeal ends in one of three ways.", expected="won, partly or lost", found=outcome)
    won = denial["cents"] if outcome == "won" else to_cents(money(amount)) if outcome == "partly" else 0
    if not 0 <= won <= denial["cents"] or (outcome == "partly" and not won):
        raise AppealError("This much was not denied.", expected=f"at most {shown(from_cents(denial['cents']))}")
    payer = decision.config.payers.get(denial["payer_id"])
    levels = len(payer.appeal_days) if payer else 0
    if outcome != "lost" or action["level"] >= max(1, levels):
        outcomes.end(decision, denial, won_cents=won)
        return denial
    outcomes.decide(decision, action, "lost")
    decision.update("denial", denial, state="open", deadline_on=due_on(decision, denial, action["level"] + 1, [action]))
    item = decision.row("work_item", id=denial["item_id"])
    if item is not None and item["state"] == "resolved":
        decision.update("work_item", item, state="open", resolution="", due_on=denial["deadline_on"])
        decision.note_item(item["id"], "reopened", {"comment": "The appeal was lost; there is a further level."})
    return denial


def due_on(decision: Decision, denial: Row, level: int, earlier: Sequence[Row]) -> str:
    """By when the appeal of *level* must be with the payer: days of its file, from the denial or the level before."""
    lost_before = any(each["denial_id"] == denial["id"] for each in earlier)
    started = decision.today if lost_before and level > 1 else denial["denied_on"]
    return (date.fromisoformat(started) + timedelta(days=days(decision, denial["payer_id"], level))).isoformat()


def days(decision: Decision, payer_id: str, level: int) -> int:
    """How many days the payer gives for an appeal of *level*."""
    payer = decision.config.payers.get(payer_id)
    known = payer.appeal_days if payer else ()
    return known[level - 1] if level <= len(known) else decision.config.policy.denials.appeal_days


def level_of(decision: Decision, claim_id: int, charge_id: int | None, payer_id: str) -> int:
    """The level of the next appeal: a payer that upheld its decision, by a new remittance too, is asked one higher."""
    return _next_level(_earlier(decision, claim_id, charge_id, payer_id))


def _earlier(decision: Decision, claim_id: int, charge_id: int | None, payer_id: str) -> list[Row]:
    """The appeals so far of what the payer decided about the charge (or the whole) of that claim."""
    same = decision.rows("denial", claim_id=claim_id, charge_id=charge_id, payer_id=payer_id)
    return decision.rows("denial_action", denial_id=tuple(each["id"] for each in same), kind="appeal") if same else []


def _next_level(earlier: Sequence[Row]) -> int:
    return 1 + sum(1 for each in earlier if each["state"] in {"won", "lost"})


def was_in_time(decision: Decision, chain_id: int, service_on: str, payer_id: str) -> bool:
    """Whether an acknowledgement shows that a claim of the chain was with the payer within its time limit."""
    payer = decision.config.payers.get(payer_id)
    limit = date.fromisoformat(service_on) + timedelta(days=payer.timely_filing_days if payer else 0)
    return any(each["acknowledged"] and each["on"] <= limit.isoformat() for each in _filings(decision, chain_id))


def proofs_of_filing(decision: Decision, chain_id: int) -> list[dict[str, Any]]:
    """What says when claims of the chain were filed, acknowledgements too, each with the message that holds it."""
    return [
        {"title": f"{each['on']}: {each['what']}", "message_id": each["message_id"]}
        for each in _filings(decision, chain_id)
    ]


def _filings(decision: Decision, chain_id: int) -> list[dict[str, Any]]:
    chain = tuple(row["id"] for row in decision.rows("claim", chain_id=chain_id))
    found = []
    for event in decision.rows("claim_event", claim_id=chain, order_by="id"):
        facts = json.loads(event["detail"])
        match event["kind"]:
            case "delivered":
                what = "the claim was sent"
            case "ack999" if facts.get("accepted"):
                what = "its group was accepted (999)"
            case "claim_ack" if facts.get("category") in _ACCEPTED:
                what = f"the {facts.get('level') or 'receiver'} has it (277CA, {facts['category']})"
            case _:
                continue
        day = at(event["business_at"], decision.clock.zone).date().isoformat()
        acknowledged = event["kind"] != "delivered"
        found.append({"on": day, "what": what, "acknowledged": acknowledged, "message_id": event["message_id"]})
    return found


def _denial(decision: Decision, action: Row, state: str) -> Row:
    if action["kind"] != "appeal" or action["state"] != state:
        raise AppealError(f"This appeal is {action['state']}.", expected=state)
    denial = decision.row("denial", id=action["denial_id"])
    assert denial is not None
    return denial


def _name(person: Person | Organisation) -> str:
    return person.name if isinstance(person, Organisation) else f"{person.first} {person.last}".strip()


def _facts(decision: Decision, denial: Row, said: Claim, level: int) -> dict[str, Any]:
    practice, payer = decision.config.practice, decision.config.payers.get(denial["payer_id"])
    row = open_claim(decision, denial["claim_id"]).row
    person = said.patient.person if said.patient else said.subscriber.person
    birth = said.patient.birth_date if said.patient else said.subscriber.birth_date
    address = practice.address
    line = next(
        (each for each in decision.rows("claim_line", claim_id=row["id"]) if each["charge_id"] == denial["charge_id"]),
        None,
    )
    return {
        "today": decision.today,
        "level": LEVELS[min(level, len(LEVELS)) - 1],
        "payer": payer.name if payer else denial["payer_id"],
        "practice": {
            "name": practice.name,
            "address": f"{address.line}, {address.city} {address.state} {address.postal_code}",
            "phone": practice.phone,
            "contact": practice.contact,
            "npi": practice.npi,
            "tax_id": practice.tax_id,
        },
        "patient": {
            "name": _name(person),
            "birth_date": birth.isoformat() if birth else "",
            "member_id": said.subscriber.member_id,
        },
        "claim": {
            "number": row["control_number"],
            "payer_number": row["payer_claim_number"] or "",
            "service_date": row["service_on"],
            "charge": shown(from_cents(row["total_cents"])),
            "lines": [
                {
                    "date": each.service_date.isoformat(),
                    "code": each.code,
                    "modifiers": " ".join(each.modifiers),
                    "charge": shown(each.charge),
                }
                for each in said.lines
            ],
        },
        "denial": {
            "date": denial["denied_on"],
            "amount": shown(from_cents(denial["cents"])),
            "where": f"line {line['ordinal']}" if line else "the claim",
            "codes": denial["codes"].replace(" ", ", "),
            "remarks": denial["remarks"].replace(" ", ", "),
        },
    }
