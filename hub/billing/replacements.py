"""What changes about services after their claim was sent becomes one replacement of it, for a person to release.

A late charge, a charge that came again with other content and a credit wait on their charge (``pending``) until the
replacement that they are drafted into is released: a claim with all lines as they are now (frequency 7), or, when no
line is left or a person asked for it, the void of the claim (frequency 8). It names the payer's latest number of the
claim (REF*F8), so it cannot leave before the payer gave one. Money moves with the release, never before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from hub.billing import canonical, claims, ledger, patients, stay_end
from hub.billing.asked import CommandError
from hub.billing.claim_body import ClaimBody
from hub.billing.control_numbers import control_number, line_control_number
from hub.billing.decision import Decision
from hub.billing.events import ADJUDICATED, SENT, UNSENT, OpenClaim, open_claim
from hub.billing.grouping import MOST_DIAGNOSES, MOST_LINES, MOST_LINES_OF_STAY, group, group_stay
from hub.billing.open_charge import OpenCharge, arm_bill, opened
from hub.billing.stay_end import End
from hub.billing.stay_parts import Part
from hub.billing.values import Charge
from hub.core.codec import from_plain, to_plain
from hub.core.money import shown, to_cents
from hub.formats.x12.claim import Claim, ClaimLine
from hub.formats.x12.frequency import LATE, REPLACEMENT, REPLACING, VOID, replaces_prior
from hub.store.changes import Row

HELD_FOR = "replacement"
_OF_ITS_OWN = frozenset(
    {"id", "control_number", "payer_claim_number", "replaces_id", "batch_id", "approved_by", "version", "fence"}
)
FILED = (*SENT, *ADJUDICATED, "batched", "reversed", "closed")
"""The states of a claim that its payer has, or is about to have."""


def filed_claim(decision: Decision, charge: OpenCharge, part: Part | None = None) -> OpenClaim | None:
    """The claim that was sent for the visit's services of the same day, provider and place, to join a late *charge* to.

    Of a stay that is the claim for the same *part*, or for the whole; never one of late charges.
    None where there is no such claim, or its payer takes no late charges to it.
    """
    row = charge.row
    is_stay = charge.form == "837I"
    same = {} if is_stay else {"service_on": row["service_on"], "rendering_npi": row["performing_npi"]}
    found = [
        claim
        for claim in decision.rows("claim", visit_id=row["visit_id"], form=charge.form, state=FILED, **same)
        if (is_stay or claim["place_of_service"] == row["place_of_service"])
        and _takes_late_charges(decision, claim)
        and claims.first_frequency(decision, claim) != LATE
        and decision.rows("charge", claim_id=claim["id"])
        and (part is None or part.overlaps(claims.content(decision, OpenClaim(decision, claim)).institutional))
    ]
    return OpenClaim(decision, max(found, key=lambda claim: claim["id"])) if found else None


def change(decision: Decision, charge: OpenCharge, said: Charge) -> bool:
    """A charge of a sent claim came again as *said*. False when a replacement of its claim cannot say that."""
    if not is_about_the_same(charge.said, said):
        return False
    return _keep(decision, charge, {} if _same(said, charge.said) else {"said": to_plain(said)})


def is_about_the_same(one: Charge, other: Charge) -> bool:
    """Whether both belong on one claim: of the same day, provider, place and patient."""
    names = ("service_date", "performing_npi", "department", "place_of_service", "mrn")
    return all(getattr(one, name) == getattr(other, name) for name in names)


def take_back(decision: Decision, charge: OpenCharge) -> bool:
    """A charge of a sent claim was credited. False when its claim cannot be replaced."""
    return _keep(decision, charge, {"gone": True})


def pending(charge: OpenCharge) -> Charge | None:
    """What *charge* will say once the replacement is released; None when it will be taken back."""
    waiting = charge.body.get("pending") or {}
    if waiting.get("gone"):
        return None
    return from_plain(Charge, waiting["said"]) if "said" in waiting else charge.said


def _is_void_asked(charges: Sequence[OpenCharge]) -> bool:
    """Whether a person wants the claim of *charges* voided."""
    return any((charge.body.get("pending") or {}).get("void") for charge in charges)


def _keep(decision: Decision, charge: OpenCharge, waiting: dict[str, Any]) -> bool:
    base = decision.row("claim", id=charge.row["claim_id"])
    if base is None or base["state"] not in FILED or not takes_replacements(decision, base):
        return False
    before = charge.body.get("pending")
    charge.body["pending"] = {**waiting, "void": True} if _is_void_asked([charge]) else waiting
    charge.change()
    if draft(decision, OpenClaim(decision, base), charge) or not waiting:
        return True
    charge.body["pending"] = before
    charge.change()
    return False


def join(decision: Decision, base: OpenClaim, late: Sequence[OpenCharge]) -> bool:
    """Charges came after their claim was sent: draft the replacement that has them, too. False when it cannot be."""
    for charge in late:
        charge.body["joins"] = base.row["id"]
        charge.change(state="held", held_for=HELD_FOR)
    if draft(decision, base, late[0]):
        return True
    for charge in late:
        charge.body.pop("joins")
        charge.change(state="open")
    return False


def redraft(decision: Decision, charge: OpenCharge, *, stays: bool = True) -> None:
    """A late *charge* changed or went while its replacement waits; it leaves one where it does not belong any more."""
    base = decision.row("claim", id=charge.body.get("joins") or 0)
    if base is None or (stays and draft(decision, OpenClaim(decision, base), charge)):
        return
    charge.body.pop("joins")
    charge.change(state=charge.row["state"])
    draft(decision, OpenClaim(decision, base), charge)


# ---------------------------------------------------------------- the draft


def draft(decision: Decision, base: OpenClaim, cause: OpenCharge) -> bool:
    """Make the replacement of *base* anew from everything that waits for it, and hold it for a person.

    An earlier draft is withdrawn. Nothing is made when nothing waits any more. False when one claim cannot say it all.
    """
    said = _said(decision, base)
    if said is None:
        return False
    for earlier in drafts(decision, base.row["chain_id"]):
        _withdraw(decision, earlier, "More has changed since it was drafted.")
    content, charges = said
    if not charges and content.frequency == REPLACEMENT:
        return True
    claim_id = decision.ids.next()
    number = control_number(decision.vault, claim_id)
    content = numbered(content, number)
    row = insert_claim(decision, base.row, claim_id, content)
    insert_lines(decision, claim_id, content, charges)
    claim = OpenClaim(decision, row)
    claim.record("created", "created", lines=len(content.lines), total=shown(content.charge), replaces=base.row["id"])
    claim.record("hold", "hold/replacement")
    what = "takes back all of" if content.frequency == VOID else "replaces"
    decision.open_item(
        queue="approval",
        key=item_key(claim_id),
        kind="void claim" if content.frequency == VOID else "replacement claim",
        sentence=(
            f"{_cause(decision, base)} This one {what} claim {base.row['control_number']}"
            f" ({shown(content.charge)}); it goes when somebody approves it."
        ),
        money_cents=abs(row["total_cents"] - base.row["total_cents"]) or row["total_cents"],
        claim_id=claim_id,
        charge_id=cause.id,
        patient_id=row["patient_id"],
        evidence={"replaces": base.row["control_number"]},
    )
    decision.count("replacements drafted")
    return True


def item_key(claim_id: int) -> str:
    """The key of the work item by which the replacement *claim_id* waits for a person."""
    return f"claim/{claim_id}/replacement"


def _cause(decision: Decision, base: OpenClaim) -> str:
    if _is_void_asked(claims.charges_of(decision, base.row["id"])):
        return "Somebody asked for a claim to be voided; its charges are billed anew after that."
    if stay_end.changed(decision, base):
        return "The end of the stay changed after its bill was sent."
    return "Charges changed after their claim was sent."


def is_draft(decision: Decision, claim: OpenClaim) -> bool:
    """Whether *claim* is a replacement whose charges are still on the claim that it replaces."""
    row = claim.row
    if not replaces_prior(row["frequency"]) or row["replaces_id"] is not None:
        return False
    return not decision.rows("charge", claim_id=row["id"])


def was_released(decision: Decision, claim: OpenClaim) -> bool:
    """Whether *claim* is a replacement that a person released: what it says is on its charges."""
    base_id = claim.row["replaces_id"]
    key = f"{base_id}/{_replaced(claim)}"
    return base_id is not None and decision.row("claim_event", event_key=key) is not None


def release(decision: Decision, claim: OpenClaim) -> None:
    """A person releases the draft *claim*: it names the payer's number, and the charges and their money are on it.

    Raises :class:`CommandError` when the payer has no number for it yet, or an edit stands against it.
    """
    base = _base(decision, claim)
    number = payer_number(decision, base)
    if base.state == "rejected":
        raise CommandError("The claim that this one replaces was rejected: there is nothing to replace.", fix=_ANEW)
    if not number:
        raise CommandError(
            "The payer has not given its number of the claim yet, and a replacement must name it.",
            fix="Wait for the 277CA or the remittance.",
        )
    content = replace(claims.content(decision, claim), payer_claim_control_number=number)
    kept = ClaimBody.new(content)
    payer = decision.config.payers[claim.row["payer_id"]]
    stops = claims.examined(decision, claim, kept, payer).stops
    if stops:
        raise CommandError(" ".join(dict.fromkeys(finding.sentence for finding in stops)))
    decision.update("claim", claim.row, body=decision.seal("claim", kept.plain()), replaces_id=base.row["id"])
    _move_money(decision, base, claim, content.frequency)
    base.record("note", _replaced(claim), sentence=f"Claim {claim.row['control_number']} replaces it.")


def _replaced(claim: OpenClaim) -> str:
    return f"replaced/{claim.row['id']}"


def take_release_back(decision: Decision, claim: OpenClaim, reason: str) -> None:
    """A released replacement is withdrawn before the payer has it: it is drafted anew, for a person.

    The claim that it replaces is on file with the payer, so its charges must not go as a claim of their own. A void
    has no charges that could: it stays.
    """
    if claim.row["frequency"] == VOID:
        return
    base = open_claim(decision, claim.row["replaces_id"])
    charges = claims.charges_of(decision, claim.row["id"])
    there = {line["charge_id"] for line in decision.rows("claim_line", claim_id=base.row["id"])}
    back = [posting for charge in charges if charge.id in there for posting in claims.billed(base.row, charge)]
    off = ledger.mirrored([posting for charge in charges for posting in claims.billed(claim.row, charge)])
    key = f"claim/{claim.row['id']}/withdrawn"
    ledger.post(decision, key=key, kind="claim", claim_id=claim.row["id"], postings=[*off, *back], memo=reason)
    _withdraw(decision, claim, reason)
    for charge in charges:
        if charge.id in there:
            charge.body["pending"] = {"said": charge.body["charge"]}
            charge.change(state="claimed", claim_id=base.row["id"])
        else:
            charge.body["joins"] = base.row["id"]
            charge.change(state="held", held_for=HELD_FOR, claim_id=None)
    draft(decision, base, charges[0])


_ANEW = "Discard it and bill the rejected claim anew; what changed is then on the new one."


def discard(decision: Decision, claim: OpenClaim, reason: str) -> None:
    """A person does not want the draft *claim*: what waited for it is forgotten, late charges are billed on their own.

    The charges stay on the claim that was sent, as they are there.
    """
    base = _base(decision, claim)
    _withdraw(decision, claim, reason)
    for charge in claims.charges_of(decision, base.row["id"]):
        if charge.body.pop("pending", None):
            charge.change()
    for charge in _late(decision, base):
        charge.body.pop("joins")
        charge.body["alone"] = True
        charge.change(state="open")
        arm_bill(decision, charge.row["visit_id"], charge.billed_with, decision.now_ms)


def dissolve(decision: Decision, base: Row) -> None:
    """The claim *base* is withdrawn: what waited to replace it is on its charges now."""
    for earlier in drafts(decision, base["chain_id"]):
        _withdraw(decision, earlier, "The claim that it was to replace is billed anew.")
    for charge in _late(decision, OpenClaim(decision, base)):
        charge.body.pop("joins")
        charge.change(state="open")


def apply_pending(charge: OpenCharge) -> None:
    """Have an open *charge* say what waited on it."""
    waiting = charge.body.get("pending")
    if waiting is None:
        return
    said = pending(charge)
    charge.body.pop("pending")
    if said is None:
        charge.void()
    elif "said" in waiting:
        charge.restate(said)
    else:
        charge.change()


# ---------------------------------------------------------------- pieces


def _takes_late_charges(decision: Decision, claim: Row) -> bool:
    payer = decision.config.payers.get(claim["payer_id"])
    by_themselves = payer is not None and payer.late_charges == LATE and claim["form"] == "837I"
    return by_themselves or takes_replacements(decision, claim)


def takes_replacements(decision: Decision, claim: Row) -> bool:
    """Whether the payer of *claim* is known to take replacements of it."""
    payer = decision.config.payers.get(claim["payer_id"])
    return payer is not None and payer.accepts_replacement


def _same(one: Charge, other: Charge) -> bool:
    return replace(one, source_path="") == replace(other, source_path="")


def drafts(decision: Decision, chain_id: int) -> list[OpenClaim]:
    """The replacements of claims of the chain that wait for a person."""
    rows = decision.rows("claim", chain_id=chain_id, frequency=REPLACING, state=UNSENT, order_by="id")
    return [claim for claim in (OpenClaim(decision, row) for row in rows) if is_draft(decision, claim)]


def _withdraw(decision: Decision, claim: OpenClaim, reason: str) -> None:
    claim.record("void_request", "withdrawn", reason=reason)
    decision.close_items("withdrawn", claim_id=claim.row["id"])


def _base(decision: Decision, claim: OpenClaim) -> OpenClaim:
    """The claim that the draft replaces: the one of its chain and payer that has the charges."""
    rows = decision.rows("claim", chain_id=claim.row["chain_id"], payer_id=claim.row["payer_id"], order_by="id")
    older = [row for row in rows if row["id"] < claim.row["id"] and decision.rows("charge", claim_id=row["id"])]
    if not older:
        raise CommandError("No claim with charges is left that this one could replace.")
    return OpenClaim(decision, older[-1])


def payer_number(decision: Decision, base: OpenClaim) -> str:
    """The latest number that the payer gave to the claim or to another of its chain that it has on file."""
    row = base.row
    rows = decision.rows("claim", chain_id=row["chain_id"], payer_id=row["payer_id"], order_by="id")
    voids = [each["id"] for each in rows if each["frequency"] == VOID and each["replaces_id"] is not None]
    rows = [each for each in rows if not voids or each["id"] > voids[-1]]
    filed = [each for each in rows if each["payer_claim_number"] and each["state"] not in {"rejected", "void"}]
    return str(filed[-1]["payer_claim_number"]) if filed else ""


def _late(decision: Decision, base: OpenClaim) -> list[OpenCharge]:
    rows = decision.rows("charge", visit_id=base.row["visit_id"], state="held", order_by="id")
    charges = [opened(decision, row) for row in rows]
    return [charge for charge in charges if charge.body.get("joins") == base.row["id"]]


def _said(decision: Decision, base: OpenClaim) -> tuple[Claim, list[OpenCharge]] | None:
    """What the replacement says, and the charges of its lines; None when it cannot be one claim.

    Without charges nothing has changed, or (frequency 8) nothing is left.
    """
    old = claims.content(decision, base)
    kept = claims.charges_of(decision, base.row["id"])
    late = _late(decision, base)
    if _is_void_asked(kept):
        return _void(decision, base, old, kept)
    end = stay_end.changed(decision, base)
    if not late and not end and not any(charge.body.get("pending") for charge in kept):
        return replace(old, frequency=REPLACEMENT), []
    patient = patients.surviving(decision, base.row["patient_id"])
    if patients.primary(decision, patient, base.row["service_on"]) is None:
        return None
    lines = list(_lines(decision, base, old, kept, late))
    if not lines:
        return _void(decision, base, old, kept)
    diagnoses = tuple(dict.fromkeys((*(code for _, _, codes in lines for code in codes), *old.diagnoses)))
    pointed = {code for _, _, codes in lines for code in codes}
    if old.institutional:
        return _ended_as(decision, base, old, lines, end) if end else _stay_as(decision, base, old, lines)
    if len(lines) > MOST_LINES or len(pointed) > MOST_DIAGNOSES:
        return None
    diagnoses = diagnoses[:MOST_DIAGNOSES]
    made = tuple(replace(line, pointers=tuple(diagnoses.index(code) + 1 for code in codes)) for line, _, codes in lines)
    content = replace(_as(decision, base, old, REPLACEMENT), lines=made, diagnoses=diagnoses)
    return content, [charge for _, charge, _ in lines]


def _void(
    decision: Decision, base: OpenClaim, old: Claim, kept: Sequence[OpenCharge]
) -> tuple[Claim, list[OpenCharge]]:
    ordinals = {line["charge_id"]: line["ordinal"] for line in decision.rows("claim_line", claim_id=base.row["id"])}
    return _as(decision, base, old, VOID), sorted(kept, key=lambda charge: ordinals.get(charge.id, 0))


def _stay_as(
    decision: Decision, base: OpenClaim, old: Claim, lines: list[tuple[ClaimLine, OpenCharge, tuple[str, ...]]]
) -> tuple[Claim, list[OpenCharge]] | None:
    """The replacement of a hospital's claim: its diagnoses are the stay's own, its statement covers all lines."""
    said = old.institutional
    if said is None or len(lines) > MOST_LINES_OF_STAY:
        return None
    made = tuple(line for line, _, _ in lines)
    statement = replace(
        said,
        statement_from=min(said.statement_from, *(line.service_date for line in made)),
        statement_to=said.statement_to
        if said.still_a_patient  # the days after it are on another bill
        else max(said.statement_to, *(line.service_to or line.service_date for line in made)),
    )
    content = replace(_as(decision, base, old, REPLACEMENT), lines=made, institutional=statement)
    return content, [charge for _, charge, _ in lines]


def _as(decision: Decision, base: OpenClaim, old: Claim, frequency: str) -> Claim:
    number = payer_number(decision, base)
    return replace(old, frequency=frequency, payer_claim_control_number=number)


def _lines(
    decision: Decision, base: OpenClaim, old: Claim, kept: Sequence[OpenCharge], late: Sequence[OpenCharge]
) -> Iterator[tuple[ClaimLine, OpenCharge, tuple[str, ...]]]:
    """Yield each line with its charge and the diagnoses that it points to.

    What did not change stands as on the sent claim, with what people accepted there.
    """
    known = {
        row["charge_id"]: line
        for row, line in zip(
            decision.rows("claim_line", claim_id=base.row["id"], order_by="ordinal"), old.lines, strict=True
        )
    }
    for charge in (*kept, *late):
        said = pending(charge)
        if said is None:
            continue
        line = known.get(charge.id)
        if line is None or "said" in (charge.body.get("pending") or {}):
            line = _built(decision, base, charge, said)
            codes = tuple(dict.fromkeys(said.diagnoses))[:4]
        else:
            codes = tuple(old.diagnoses[place - 1] for place in line.pointers)
        yield line, charge, codes


def _ended_as(
    decision: Decision,
    base: OpenClaim,
    old: Claim,
    lines: list[tuple[ClaimLine, OpenCharge, tuple[str, ...]]],
    end: End,
) -> tuple[Claim, list[OpenCharge]] | None:
    """The replacement of a hospital's claim whose stay has another *end*: it says of the stay what is known now."""
    if len(lines) > MOST_LINES_OF_STAY:
        return None
    charges = [charge for _, charge, _ in lines]
    now = _claim_of(decision, base, [(charge, pending(charge) or charge.said) for charge in charges], end.part)
    content = replace(
        _as(decision, base, old, REPLACEMENT),
        lines=tuple(line for line, _, _ in lines),
        diagnoses=now.diagnoses,
        admission_date=now.admission_date,
        condition_codes=now.condition_codes,
        institutional=now.institutional,
    )
    return content, charges


def _built(decision: Decision, base: OpenClaim, charge: OpenCharge, said: Charge) -> ClaimLine:
    """The line that a claim of its own would have for *said*."""
    return _claim_of(decision, base, [(charge, said)]).lines[0]


def _claim_of(
    decision: Decision, base: OpenClaim, said: Sequence[tuple[OpenCharge, Charge]], part: Part | None = None
) -> Claim:
    """The claim that would be made today of the charges that say *said*."""
    patient = patients.surviving(decision, base.row["patient_id"])
    coverage = patients.primary(decision, patient, base.row["service_on"])
    person = patients.person(decision, patient)
    visit = decision.row("visit", id=base.row["visit_id"])
    assert coverage is not None
    assert visit is not None
    about = patients.visit_said(decision, visit, person)
    billables = [replace(charge.billable, diagnoses=each.diagnoses) for charge, each in said]
    diagnoses = about.stay.diagnoses if about.stay else ()
    groups = group_stay(billables, diagnoses) if base.row["form"] == "837I" else group(billables)
    return canonical.build(
        decision.config,
        control_number=base.row["control_number"],
        payer=decision.config.payers[base.row["payer_id"]],
        visit=about,
        patient=person,
        coverage=coverage,
        group=groups[0],
        charges=[each for _, each in said],
        form=base.row["form"],
        part=part,
    )


def numbered(content: Claim, number: str) -> Claim:
    """*content* under the control number *number*, its lines too."""
    lines = tuple(
        replace(line, control_number=line_control_number(number, ordinal))
        for ordinal, line in enumerate(content.lines, start=1)
    )
    return replace(content, control_number=number, lines=lines)


def insert_claim(decision: Decision, base: Row, claim_id: int, content: Claim, **values: Any) -> Row:
    """The row of a claim that says *content* in place of *base*; *values* are columns of its own."""
    kept = {name: value for name, value in base.items() if name not in _OF_ITS_OWN}
    return decision.insert(
        "claim",
        **{
            **kept,
            "id": claim_id,
            "control_number": content.control_number,
            "frequency": content.frequency,
            "total_cents": to_cents(content.charge),
            "state": "draft",
            "state_business_at": decision.now_ms,
            "created_business_at": decision.now_ms,
            "hold_until_business_at": 0,
            "body": decision.seal("claim", content.to_dict()),
            **values,
        },
    )


def insert_lines(decision: Decision, claim_id: int, content: Claim, charges: Sequence[OpenCharge]) -> None:
    """The rows of the lines of *content*, whose charges are *charges*."""
    for ordinal, (line, charge) in enumerate(zip(content.lines, charges, strict=True), start=1):
        decision.insert(
            "claim_line",
            claim_id=claim_id,
            ordinal=ordinal,
            control_number=line.control_number,
            charge_id=charge.id,
            code=line.billed_code[:16],
            modifiers=" ".join(line.modifiers),
            units_milli=int(line.units * 1000),
            charge_cents=to_cents(line.charge),
            service_on=line.service_date.isoformat(),
        )


def _move_money(decision: Decision, base: OpenClaim, claim: OpenClaim, frequency: str) -> None:
    """Take the charges off the claim that is replaced, have them say what waited, and bill them on the new one."""
    from hub.billing.charges import settle

    kept, late = claims.charges_of(decision, base.row["id"]), _late(decision, base)
    ledger.post(
        decision,
        key=f"claim/{base.row['id']}/replaced/{claim.row['id']}",
        kind="claim",
        claim_id=base.row["id"],
        postings=ledger.mirrored([posting for charge in kept for posting in claims.billed(base.row, charge)]),
        memo=f"Replaced by {claim.row['control_number']}.",
    )
    billed = []
    for charge in (*kept, *late):
        charge.body.pop("joins", None)
        charge.change(state="open", claim_id=None)
        apply_pending(charge)
        if charge.row["state"] == "void":
            continue
        if frequency == VOID:
            settle(decision, charge)  # billed anew after another bill hold: the void is there first
        else:
            charge.change(state="claimed", claim_id=claim.row["id"])
            billed.append(charge)
    if frequency == REPLACEMENT:
        ledger.post(
            decision,
            key=f"claim/{claim.row['id']}",
            kind="claim",
            claim_id=claim.row["id"],
            postings=[posting for charge in billed for posting in claims.billed(claim.row, charge)],
        )
