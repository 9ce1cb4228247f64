"""Corrected claims: a claim that the payer decided comes back as a replacement (frequency 7), or as a new one.

It has the charges of the claim that it corrects and goes through the same edits, approval and batches. What is form is
taken from the practice's records as they are now; whatever else those say differently by now (a member number that was
corrected at the front desk, an authorisation) is proposed: a person makes it theirs with ``correct_claim``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from hub.billing import claims, ledger, replacements
from hub.billing.config import Payer
from hub.billing.control_numbers import control_number
from hub.billing.decision import Decision
from hub.billing.events import UNSENT, OpenClaim, open_claim
from hub.billing.made_anew import as_of_today
from hub.billing.rules.fields import FIELDS, Field, places, read, write
from hub.core.errors import HubError, masked
from hub.core.money import shown
from hub.formats.x12.claim import Claim
from hub.formats.x12.frequency import REPLACEMENT, WHOLE
from hub.store.changes import Row

NEW = WHOLE
UNDER_WAY = (
    *UNSENT,
    "batched",
    "sent",
    "accepted 999",
    "received",
    "accepted clearinghouse",
    "accepted payer",
    "pended",
)
_OF_THE_CLAIM = frozenset({"control_number", "frequency", "payer_claim_number", "sequence", "payer_id", "note"})


class CorrectionError(HubError):
    """A claim cannot be corrected as asked; nothing is changed."""

    code = "H632"


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that the records say differently by now than the claim said."""

    field: Field
    line: int
    before: str
    after: str

    @property
    def said(self) -> str:
        """The difference in words, without patient data."""
        what = self.field.name.replace("_", " ") + (f" of line {self.line}" if self.line else "")
        return f"{what}: {masked(self.before) or 'nothing'} became {masked(self.after)}"


def newest(decision: Decision, claim_id: int) -> Row:
    """The claim that corrects *claim_id* last, or itself."""
    row = open_claim(decision, claim_id).row
    while True:
        chain = decision.rows("claim", chain_id=row["chain_id"], replaces_id=row["id"])
        after = [each for each in chain if each["state"] != "void"]
        if not after:
            return row
        row = after[-1]


def draft(decision: Decision, denial: Row, *, frequency: str, automatic: bool, key: str) -> OpenClaim:
    """Make the claim that corrects the one of *denial*, and check it; the denial is then *corrected*.

    Raises :class:`CorrectionError` when the payer takes no replacements, when one is under way already, or when the
    payer's number of the claim is not known.
    """
    old = OpenClaim(decision, newest(decision, denial["claim_id"]))
    payer = _payer_that_takes(decision, old, frequency)
    kept = claims.body(decision, old)
    differences = list(_differences(decision, old, kept.claim))
    made = _create(decision, old, _said(decision, old, kept.claim, frequency, differences))
    proposed = [each for each in differences if not each.field.form]
    action = decision.insert(
        "denial_action",
        id=decision.ids.next(),
        denial_id=denial["id"],
        kind="correction",
        rule=denial["rule"],
        automatic=automatic,
        state="drafted",
        claim_id=made.row["id"],
        actor=decision.actor,
        made_business_at=decision.now_ms,
        due_on=denial["deadline_on"],
        body=decision.seal(
            "denial_action",
            {"proposals": [[each.field.name, each.line, each.before, each.after] for each in proposed]},
        ),
    )
    for row in decision.rows("denial", claim_id=denial["claim_id"], state=("open", "waiting")):
        decision.update("denial", row, state="corrected")
        decision.close_items("corrected", id=row["item_id"])
    decision.update("denial", denial, state="corrected")
    decision.close_items("corrected", id=denial["item_id"])
    old.record("note", f"corrected/{key}", sentence=f"{_by(decision)} it as {made.row['control_number']}.")
    made.record(
        "note",
        "corrects",
        sentence=" ".join(
            [
                f"It {'replaces' if frequency == REPLACEMENT else 'is filed anew for'} {old.row['control_number']}.",
                *(f"Taken from the records: {each.said}." for each in differences if each.field.form),
                *(f"The records say differently: {each.said}. A person decides." for each in proposed),
            ]
        ),
        action=action["id"],
    )
    claims.check(decision, made, payer)
    return made


def withdraw(decision: Decision, claim: OpenClaim, reason: str) -> None:
    """Take a corrected claim back that no payer has on file: its charges return to the claim that it corrected."""
    old = open_claim(decision, claim.row["replaces_id"]).row
    claim.record("void_request", "withdrawn", reason=reason)
    decision.close_items("withdrawn", claim_id=claim.row["id"])
    _move_charges(decision, claim.row, old, reason)
    for action in decision.rows("denial_action", claim_id=claim.row["id"], state="drafted"):
        decision.update("denial_action", action, state="withdrawn", decided_business_at=decision.now_ms)
    for row in decision.rows("denial", claim_id=old["id"], state="corrected"):
        decision.update("denial", row, state="open")
        item = decision.row("work_item", id=row["item_id"])
        if item is not None and item["state"] == "resolved":
            decision.update("work_item", item, state="open", resolution="")
            decision.note_item(item["id"], "reopened", {"comment": "The corrected claim was taken back."})


def _by(decision: Decision) -> str:
    return "The hub corrects" if decision.actor == "hub" else f"{decision.actor} corrects"


def _payer_that_takes(decision: Decision, old: OpenClaim, frequency: str) -> Payer:
    if old.state in UNDER_WAY:
        raise CorrectionError(
            f"A claim for these services is under way: it is {old.state}.",
            where=old.row["control_number"],
            fix="Wait for the payer's answer, or withdraw the correction.",
        )
    if replacements.drafts(decision, old.row["chain_id"]):
        raise CorrectionError(
            "A replacement of this claim, with charges that changed, waits for approval.",
            where=old.row["control_number"],
            fix="Approve it, or discard it and correct the claim then.",
        )
    payer = decision.config.payers.get(old.row["payer_id"])
    if payer is None:
        raise CorrectionError("The practice's payer files do not know this payer any more.")
    if frequency not in {NEW, REPLACEMENT}:
        raise CorrectionError("A corrected claim replaces or is new.", expected="7 or 1", found=frequency)
    if frequency == REPLACEMENT and not payer.accepts_replacement:
        raise CorrectionError(
            f"{payer.name} takes no replacement claims.", fix="File it anew (frequency 1), or appeal."
        )
    if frequency == REPLACEMENT and not _payer_number(decision, old):
        raise CorrectionError(
            "The payer's own number of the claim is not known, and a replacement must name it.",
            fix="File it anew (frequency 1), or ask the payer.",
        )
    return payer


def _payer_number(decision: Decision, old: OpenClaim) -> str:
    """The newest number that the payer gave to the claim or one that it corrects."""
    row: Row | None = old.row
    while row is not None:
        if row["payer_claim_number"]:
            return str(row["payer_claim_number"])
        row = decision.row("claim", id=row["replaces_id"]) if row["replaces_id"] is not None else None
    return ""


def _said(decision: Decision, old: OpenClaim, before: Claim, frequency: str, found: list[Difference]) -> Claim:
    """What the corrected claim says: what the old one said, with what is form as the records have it now."""
    said = before
    for each in found:
        if each.field.form:
            said = write(said, each.field, each.after, each.line)
    return replace(
        said,
        frequency=frequency if frequency == REPLACEMENT else claims.first_frequency(decision, old.row),
        payer_claim_control_number=_payer_number(decision, old) if frequency == REPLACEMENT else "",
    )


def _create(decision: Decision, old: OpenClaim, said: Claim) -> OpenClaim:
    """The rows of the corrected claim; the charges of *old* are on it from now on."""
    claim_id = decision.ids.next()
    number = control_number(decision.vault, claim_id)
    said = replacements.numbered(said, number)
    row = replacements.insert_claim(decision, old.row, claim_id, said, replaces_id=old.row["id"])
    ordinals = {line["charge_id"]: line["ordinal"] for line in decision.rows("claim_line", claim_id=old.row["id"])}
    charges = sorted(claims.charges_of(decision, old.row["id"]), key=lambda charge: ordinals.get(charge.id, 0))
    replacements.insert_lines(decision, claim_id, said, charges)
    _move_charges(decision, old.row, row, f"Corrected by {number}.")
    made = OpenClaim(decision, row)
    made.record("created", "created", lines=len(charges), total=shown(said.charge))
    return made


def _move_charges(decision: Decision, before: Row, after: Row, why: str) -> None:
    """Take the charges off the claim *before* and bill them on *after*; what was paid stays where the payer paid it."""
    charges = claims.charges_of(decision, before["id"])
    off = ledger.mirrored([posting for charge in charges for posting in claims.billed(before, charge)])
    on = [posting for charge in charges for posting in claims.billed(after, charge)]
    moved = [posting for posting in (*off, *on) if posting.account == ledger.PAYER]
    key = f"claim/{before['id']}/to/{after['id']}"
    ledger.post(decision, key=key, kind="claim", claim_id=after["id"], postings=moved, memo=why)
    for charge in charges:
        charge.change(state="claimed", claim_id=after["id"])


def _differences(decision: Decision, old: OpenClaim, said: Claim) -> Iterator[Difference]:
    """What the records say by now in another way than *said*, field by field; nothing where they cannot be compared."""
    now = as_of_today(decision, old.row)
    if now is None or now.payer.id != said.payer.id or len(now.lines) != len(said.lines):
        return
    for field in FIELDS.values():
        if field.name in _OF_THE_CLAIM or field.kind == "part":
            continue
        for line in places(field, said, ()):
            before, after = read(said, field, line), read(now, field, line)
            if after and after != before:
                yield Difference(field, line, before, after)
