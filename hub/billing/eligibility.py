"""Answers of payers about coverages (271, CoverageEligibilityResponse), kept for the edits that ask what was said last.

An answer is about a patient whom its source names, whose member id it has, or whose name and birth date it gives. One
that is about nobody, or refuses to answer, is for a person.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import date

from hub.billing import patients
from hub.billing.decision import Decision
from hub.billing.events import UNSENT
from hub.billing.second_look import look_again
from hub.billing.values import Coverage, EligibilityAnswer, Name
from hub.core.codec import from_plain, to_plain
from hub.formats.x12 import vocabulary
from hub.formats.x12.claim import Person
from hub.formats.x12.eligibility import CoverageAnswer, read_271
from hub.formats.x12.envelope import Transaction
from hub.store.changes import Row

EDITS = frozenset({"ID-23"})  # the only one of those that ask for an answer that stops a claim
QUEUE = "charge review"


def take_271(decision: Decision, transaction: Transaction) -> None:
    """Take in every answer of a 271; long ones go on in the next decision, which finds what was done."""
    for answer in read_271(transaction):
        if decision.full:
            decision.complete = False
            return
        if answer.refused:
            _report_refusal(decision, answer)
        else:
            take(decision, _said(decision, answer))


def take(decision: Decision, said: EligibilityAnswer) -> None:
    """Keep one answer with its patient, and look again at the claims that it bears on."""
    found = _coverage_of(decision, said)
    content = json.dumps(to_plain(replace(said, source_path="")))  # wherever in whatever file it stood
    if found is None:
        about = decision.vault.digest("eligibility", content).hex()
        sentence = "A payer's answer about a coverage is about nobody who is known here, or about several."
        key = f"eligibility/{about}/nobody"
        decision.open_item(queue="anomalies", key=key, kind="answer about nobody", sentence=sentence)
        return
    patient, payer_id, coverage = found
    digest = decision.vault.digest("eligibility", f"{patient['id']}|{payer_id}|{content}")
    if decision.row("eligibility", digest=digest) is not None:
        decision.count("duplicate answers about coverages")
        return
    decision.insert(
        "eligibility",
        id=decision.ids.next(),
        **decision.owner(),
        digest=digest,
        patient_id=patient["id"],
        payer_id=payer_id,
        answered_on=said.answered.isoformat(),
        message_id=decision.message_id,
        body=decision.seal("eligibility", to_plain(said)),
    )
    decision.count("answers about coverages")
    if coverage is not None and said.active and said.member_id and not _same(said.member_id, coverage.member_id):
        _report_number(decision, patient, payer_id, said)
    claims = decision.rows("claim", patient_id=patient["id"], payer_id=payer_id, state=UNSENT)
    look_again(decision, claims, EDITS, f"eligibility/{digest.hex()[:12]}", "the payer answered")


def _said(decision: Decision, answer: CoverageAnswer) -> EligibilityAnswer:
    person = answer.person
    effective, expires = answer.span
    return EligibilityAnswer(
        payer_id=answer.payer_id,
        answered=answer.answered or date.fromisoformat(decision.today),
        member_id=answer.member_id,
        name=Name(family=person.last, given=person.first) if isinstance(person, Person) and person.last else None,
        birth_date=answer.birth_date,
        active=answer.active,
        effective=effective,
        expires=expires,
        plan=answer.plan,
        not_to_be_billed=answer.not_to_be_billed,
        other_payers=answer.other_payers,
        source_path=answer.where,
    )


# ---------------------------------------------------------------- whose answer it is


def _coverage_of(decision: Decision, said: EligibilityAnswer) -> tuple[Row, str, Coverage | None] | None:
    """The patient, the payer by the site's own id, and the coverage asked about; None when that is not certain.

    Payers and clearinghouses name themselves by ids of their own: where the site does not know one, the coverage says
    whose it is.
    """
    rows = _held_by(decision, said) or _of_named(decision, said)
    if said.payer_id in decision.config.payers:
        rows = [row for row in rows if row["payer_id"] == said.payer_id[:32]]
    if len({(row["patient_id"], row["payer_id"]) for row in rows}) != 1:
        return None
    row = rows[0]
    coverage = from_plain(Coverage, decision.unseal("coverage", row["body"]))
    return patients.surviving(decision, row["patient_id"]), row["payer_id"], coverage


def _held_by(decision: Decision, said: EligibilityAnswer) -> list[Row]:
    """The coverages with the answer's member id, those of the person it is about where several share one."""
    if not said.member_id:
        return []
    digest = decision.vault.digest("member", said.member_id)
    rows = decision.rows("coverage", member_digest=digest, active=True)
    if len({row["patient_id"] for row in rows}) < 2 and not said.mrn:
        return rows
    wanted = {patient["id"] for patient in _named(decision, said, (row["patient_id"] for row in rows))}
    return [row for row in rows if row["patient_id"] in wanted]


def _of_named(decision: Decision, said: EligibilityAnswer) -> list[Row]:
    """The coverages of the patient whom the answer names."""
    if said.mrn:
        known = patients.find(decision, said.authority, said.mrn)
        found = [known] if known else []
    else:
        name = said.name or Name(family="")
        digest = decision.vault.digest("name", f"{name.family} {name.given}") if name.family else None
        alike = decision.rows("patient", name_digest=digest) if digest and said.birth_date else []
        found = _named(decision, said, (row["id"] for row in alike))
    return [row for each in found for row in decision.rows("coverage", patient_id=each["id"], active=True)]


def _named(decision: Decision, said: EligibilityAnswer, ids: Iterable[int]) -> list[Row]:
    """Those of the patients *ids* who have the number, or the birth date and first name, that the answer gives."""
    found = []
    for patient in (patients.surviving(decision, each) for each in dict.fromkeys(ids)):
        person = patients.person(decision, patient)
        given = said.name.given if said.name else ""
        by_number = bool(said.mrn) and (person.mrn, person.authority) == (said.mrn, said.authority)
        alike = person.birth_date == said.birth_date and person.name.given[:3].upper() == given[:3].upper()
        if by_number or (not said.mrn and alike):
            found.append(patient)
    return list({patient["id"]: patient for patient in found}.values())


def _same(one: str, other: str) -> bool:
    return [each for each in one.upper() if each.isalnum()] == [each for each in other.upper() if each.isalnum()]


# ---------------------------------------------------------------- what people see


def _report_refusal(decision: Decision, answer: CoverageAnswer) -> None:
    told = " ".join(dict.fromkeys(vocabulary.coverage_refusal(code) for code in answer.refused))
    decision.open_item(
        queue=QUEUE,
        key=f"eligibility/{decision.message_id}/{answer.where}",
        kind="no answer about a coverage",
        sentence=f"{answer.payer_name or 'A payer'} did not answer whether a coverage is in force. {told}",
        evidence={"member_id": answer.member_id, "trace": answer.trace},
    )


def _report_number(decision: Decision, patient: Row, payer_id: str, said: EligibilityAnswer) -> None:
    payer = decision.config.payers.get(payer_id)
    fact = decision.vault.digest("corrected", said.member_id).hex()
    decision.open_item(
        queue=QUEUE,
        key=f"eligibility/{patient['id']}/{payer_id}/{fact}",
        kind="payer corrects the registration",
        sentence=(
            f"{payer.name if payer else 'The payer'} has this person under another member id. "
            "Compare it with the card and correct the registration in the EHR."
        ),
        evidence={"member_id": said.member_id},
        patient_id=patient["id"],
    )
