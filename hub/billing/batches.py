"""Batches: ready claims of one partner become one interchange, with control numbers that are never used twice."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from hub.billing import calendars, claims, findings, missing, rejections
from hub.billing.config import BillingConfig, Partner
from hub.billing.decision import Decision
from hub.billing.events import OpenClaim
from hub.core.clock import at
from hub.core.secret import SecretMissingError, SecretName
from hub.formats.x12.claim import Claim, ClaimBatch, Receiver, Submitter
from hub.formats.x12.errors import X12Error
from hub.formats.x12.institutional import write_837i
from hub.formats.x12.judge import Finding as Objection
from hub.formats.x12.professional import write_837p
from hub.formats.x12.shapes import shape_judge
from hub.formats.x12.writer import Envelope, fits
from hub.store.changes import Emit, Row

MOST_CLAIMS = 500  # of each form: what one decision has ids for, with room to spare
USAGE = {"production": "P", "test": "T"}
_Why = tuple[Objection, ...]  # what stands against a claim
_MISSING = "3"  # the IK304 code of what the writer refuses: a claim that lacks a part
_WRITERS = {"837P": write_837p, "837I": write_837i}
_EVERY_PARTNER = ""  # BHT03 is unique over all partners


@dataclass(frozen=True, slots=True)
class _Numbers:
    interchange: int
    group: int
    reference: str


def initial_work(config: BillingConfig) -> list[Row]:
    """The rows of `due` that must exist when the engine starts, without ids: it inserts those whose key is absent."""
    batches = [
        {
            "due_key": f"batch/{name}",
            "kind": "batch",
            "business_at": 0,
            "subject_id": None,
            "subject": name,
            "done": False,
        }
        for name in config.partners
    ]
    return [*batches, missing.first_sweep()]


def build(decision: Decision, due: Row) -> None:
    """Make a batch for the partner that ``due["subject"]`` names, if claims are ready, and plan the next one."""
    name = due["subject"]
    partner = decision.config.partners.get(name)
    if partner is None:  # taken out of the site's files
        return
    if partner.environment != decision.config.environment:
        decision.open_item(
            queue="anomalies",
            key=f"partner/{name}/environment/{partner.environment}",
            kind="wrong environment",
            sentence=f"{partner.title} is set up for {partner.environment}, this site is not. Nothing is sent there.",
        )
    elif may_write(decision, partner):
        more = {form: _send_ready(decision, partner, form) for form in _WRITERS}
        if any(more.values()):
            decision.update("due", due, business_at=decision.now_ms + 1)  # more is ready than one batch may hold
            return
    decision.update("due", due, business_at=calendars.next_batch(decision, partner, decision.now_ms))


def may_write(decision: Decision, partner: Partner) -> bool:
    """Whether the site has the passwords that the partner wants in its files; where it lacks one, a person is told."""
    key, wrong = f"partner/{partner.name}/password", ""
    for secret in filter(None, (partner.authorisation, partner.password)):
        try:
            if not fits(decision.secrets.value(secret), 1, 10):
                wrong = f'Secret "{secret.name}" is longer than ten characters, or has some that X12 does not carry.'
        except SecretMissingError as missing:
            wrong = f"{missing.what} {missing.fix}"
    if wrong:
        sentence = f"{partner.title} wants a password in its files. {wrong}"
        kind = "password missing"
        decision.open_item(queue="anomalies", key=key, kind=kind, sentence=sentence, again=True)
        return False
    decision.close_item(key, "resolved by itself")
    return True


def _send_ready(decision: Decision, partner: Partner, form: str) -> bool:
    """Make one batch of what is ready of one form; whether there is more than one batch may hold."""
    most = min(partner.max_claims, MOST_CLAIMS)
    rows = _ready(decision, partner, form, most)
    together = _of_one_use(decision.config, rows)
    ready = {row["control_number"]: OpenClaim(decision, row) for row in together}
    contents = {number: claims.content(decision, claim) for number, claim in ready.items()}
    if not contents:
        return False
    numbers = _take_numbers(decision, partner.name)
    written, refused = _write(decision, partner, numbers, list(contents.values()))
    for number, why in refused.items():
        _take_out(decision, ready.pop(number), contents.pop(number), why)
    taken = list(ready)
    while len(written) > partner.max_bytes and len(taken) > 1:
        taken = taken[: min(len(taken) - 1, len(taken) * partner.max_bytes // len(written))] or taken[:1]
        written, _ = _write(decision, partner, numbers, [contents[number] for number in taken])
    if written:
        batched = [ready[number] for number in taken]
        _insert(decision, partner, numbers, batched, [contents[number] for number in taken])
        identifiers = tuple(("claim", number) for number in taken)
        decision.changes.emits.append(
            Emit(kind=form, body=written, lane=partner.name, name=numbers.reference, identifiers=identifiers)
        )
    return len(rows) == most or len(taken) < len(ready) or len(together) < len(rows)


def _ready(decision: Decision, partner: Partner, form: str, most: int) -> list[Row]:
    """The rows of the first claims that are ready, without those of payers that wait."""
    waiting = rejections.held_payers(decision)
    payers = {"payer_id": tuple(set(decision.config.payers) - waiting)} if waiting else {}
    return decision.rows(
        "claim",
        partner=partner.name,
        form=form,
        state="ready",
        environment=decision.config.environment,
        order_by="control_number",
        limit=most,
        **payers,
    )


def _of_one_use(config: BillingConfig, rows: Sequence[Row]) -> list[Row]:
    """Those of *rows* that are what the first one is, an encounter or a claim: a batch says it of all (BHT06)."""
    reporting = bool(rows) and _reports(config, rows[0]["payer_id"])
    return [row for row in rows if _reports(config, row["payer_id"]) == reporting]


def _reports(config: BillingConfig, payer_id: str) -> bool:
    """Whether encounters are reported to the payer (BHT06 RP)."""
    payer = config.payers.get(payer_id)
    return payer is not None and payer.encounters


def _insert(
    decision: Decision,
    partner: Partner,
    numbers: _Numbers,
    batched: Sequence[OpenClaim],
    contents: Sequence[Claim],
) -> None:
    """Keep the batch of the claims *batched*, and that each is in it."""
    batch_id = decision.ids.next()
    decision.insert(
        "batch",
        id=batch_id,
        partner=partner.name,
        reference=numbers.reference,
        interchange_number=numbers.interchange,
        group_number=numbers.group,
        usage=USAGE[partner.environment],
        claims=len(batched),
        total_cents=sum(claim.row["total_cents"] for claim in batched),
        payload_digest=_payload_digest(decision, batched, contents),
        state="built",
        created_business_at=decision.now_ms,
    )
    for claim in batched:
        decision.update("claim", claim.row, batch_id=batch_id)
        claim.record("batched", f"batched/{batch_id}", batch=numbers.reference)


def _write(
    decision: Decision, partner: Partner, numbers: _Numbers, contents: list[Claim]
) -> tuple[bytes, dict[str, _Why]]:
    """The interchange of all the claims that may leave (empty when none may), and why the others may not."""
    refused: dict[str, _Why] = {}
    alone = False
    while contents:
        found = _objections(decision, partner, numbers, contents)
        if isinstance(found, bytes):
            return found, refused
        named = {claim.control_number for claim in contents} & found.keys()
        if not named and alone:
            return b"", refused
        if not named:  # something is wrong that the judge cannot lay at one claim's door: ask about each by itself
            alone = True
            found = {}
            for claim in contents:
                answer = _objections(decision, partner, numbers, [claim])
                if not isinstance(answer, bytes):
                    found[claim.control_number] = next(iter(answer.values()))
            named = set(found)
            if not named:
                return b"", refused
        refused |= {number: found[number] for number in named}
        contents = [claim for claim in contents if claim.control_number not in named]
    return b"", refused


def _objections(
    decision: Decision, partner: Partner, numbers: _Numbers, contents: Sequence[Claim]
) -> bytes | dict[str, _Why]:
    """The interchange of *contents*, or what is wrong with it, by control number (empty: not one claim's fault)."""
    try:
        write = _WRITERS[contents[0].form]
        written = write(_envelope(decision, partner, numbers), _batch(decision, partner, numbers, contents))
    except X12Error as error:
        return {"": (Objection("", "", 0, "", _MISSING, error.what),)}
    verdict = shape_judge().judge(written)
    if verdict.ok:
        return written
    found: dict[str, _Why] = {}
    for objection in verdict.findings:
        found[objection.claim] = (*found.get(objection.claim, ()), objection)
    return found


def _envelope(decision: Decision, partner: Partner, numbers: _Numbers) -> Envelope:
    envelope = Envelope(
        sender=partner.submitter_id,
        receiver=partner.receiver_id,
        at=_local(decision),
        interchange_control=numbers.interchange,
        group_control=numbers.group,
        usage=USAGE[partner.environment],
        sender_qualifier=partner.submitter_qualifier,
        receiver_qualifier=partner.receiver_qualifier,
        acknowledgement_requested=partner.ask_for_ta1,
    )
    return admitted(decision, partner, envelope)


def admitted(decision: Decision, partner: Partner, envelope: Envelope) -> Envelope:
    """*envelope* with what the partner assigned for ISA02 and ISA04. Raises `SecretMissingError`."""

    def value(secret: SecretName | None) -> str:
        return decision.secrets.value(secret) if secret else ""

    return replace(envelope, authorisation=value(partner.authorisation), password=value(partner.password))


def _batch(decision: Decision, partner: Partner, numbers: _Numbers, contents: Sequence[Claim]) -> ClaimBatch:
    practice = decision.config.practice
    return ClaimBatch(
        submitter=Submitter(
            name=practice.name, id=partner.submitter_id, contact=practice.contact, phone=practice.phone
        ),
        receiver=Receiver(partner.receiver_name, partner.receiver_id),
        reference=numbers.reference,
        claims=tuple(contents),
        reporting=_reports(decision.config, contents[0].payer.id),
    )


def _local(decision: Decision) -> datetime:
    return at(decision.now_ms, decision.clock.zone)


def _take_out(decision: Decision, claim: OpenClaim, said: Claim, why: _Why) -> None:
    row = claim.row
    found = dict.fromkeys(findings.of_the_guide(objection, row["control_number"]) for objection in why)
    sentence = next(iter(found)).sentence
    stored = findings.kept(decision.vault, said, found)
    claim.record(
        "edit_result",
        f"judge/{row['version']}",
        errors=len(stored),
        rules=[findings.GUIDE],
        sentence=sentence,
        found=stored,
    )
    decision.open_item(
        queue="claim edits",
        key=f"claim/{row['id']}/judge",
        kind="guide check",
        sentence=sentence,
        rule=findings.GUIDE,
        evidence={"findings": stored},
        money_cents=row["total_cents"],
        claim_id=row["id"],
        patient_id=row["patient_id"],
    )


def _payload_digest(decision: Decision, ready: Iterable[OpenClaim], contents: Sequence[Claim]) -> bytes:
    """What is the same about two interchanges that carry the same claims, whatever their envelopes say.

    The store refuses the same twice. A claim that was released to go again, by a person or because another one had
    its batch refused, counts as another one for each time.
    """
    ids = tuple(claim.row["id"] for claim in ready)
    again = Counter(event["claim_id"] for event in decision.rows("claim_event", claim_id=ids, kind="requeued"))
    plain = [claim.to_dict() for claim in contents]
    content = json.dumps([plain, sorted(again.items())] if again else plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(content.encode()).digest()


def _take_numbers(decision: Decision, partner: str) -> _Numbers:
    return _Numbers(
        interchange=next_number(decision, partner, "interchange"),
        group=next_number(decision, partner, "group"),
        reference=f"B{next_number(decision, _EVERY_PARTNER, 'reference'):09d}",
    )


def next_number(decision: Decision, partner: str, name: str) -> int:
    """The next number of a partner's counter. No two decisions take the same: row version and key forbid it."""
    row = decision.row("control_number", partner=partner, name=name)
    if row is None:
        decision.insert("control_number", partner=partner, name=name, value=1)
        return 1
    decision.update("control_number", row, value=row["value"] + 1)
    return int(row["value"])
