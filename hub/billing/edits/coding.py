"""Edits about diagnoses. None of them changes one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import permutations

from hub.billing.edits.context import Context
from hub.billing.edits.facts import fits, pointed, service_day
from hub.billing.edits.places import diagnosis_place
from hub.billing.edits.registry import Found, Proposal, edit
from hub.billing.grouping import MOST_DIAGNOSES, MOST_DIAGNOSES_OF_STAY, MOST_POINTERS
from hub.formats.x12.claim import Claim

_DIAGNOSIS = re.compile(r"[A-Z][0-9][0-9A-Z]{1,5}")


@edit("DX-01")
def _has_diagnoses(claim: Claim, _context: Context) -> Iterator[Found]:
    if not claim.diagnoses:
        yield Found(sentence="The claim has no diagnosis.", at=diagnosis_place(claim, 0))
    elif len(claim.diagnoses) > (MOST_DIAGNOSES_OF_STAY if claim.institutional is not None else MOST_DIAGNOSES):
        yield Found(sentence="The claim has more diagnoses than its form takes.")


@edit("DX-02")
def _no_diagnosis_twice(claim: Claim, _context: Context) -> Iterator[Found]:
    once = tuple(dict.fromkeys(claim.diagnoses))
    if len(once) < len(claim.diagnoses):
        again = next(n for n, code in enumerate(claim.diagnoses) if code in claim.diagnoses[:n])
        yield Found(proposal=Proposal("diagnoses", " ".join(once)), at=diagnosis_place(claim, again))


@edit("DX-03")
def _valid(claim: Claim, context: Context) -> Iterator[Found]:
    malformed = [number for number, code in enumerate(claim.diagnoses) if not _DIAGNOSIS.fullmatch(code)]
    if malformed:
        yield Found(sentence="A diagnosis is not an ICD-10-CM code.", at=diagnosis_place(claim, malformed[0]))
    for number, code in enumerate(claim.diagnoses):
        if number not in malformed and context.reference.code("icd10", code, service_day(claim)) is None:
            yield Found(at=diagnosis_place(claim, number))


@edit("DX-04")
def _specific(claim: Claim, context: Context) -> Iterator[Found]:
    for number, code in enumerate(claim.diagnoses):
        facts = context.reference.code("icd10", code, service_day(claim))
        if facts is not None and facts.get("billable", "1") != "1":
            yield Found(at=diagnosis_place(claim, number))


@edit("DX-06")
def _may_be_first(claim: Claim, context: Context) -> Iterator[Found]:
    if not claim.diagnoses:
        return
    first = claim.diagnoses[0]
    if first[:1] in {"V", "W", "X", "Y"}:
        sentence = "The first diagnosis is an external cause, which may not be first."
        yield Found(sentence=sentence, at=diagnosis_place(claim, 0))
        return
    facts = context.reference.code("icd10", first, service_day(claim))
    if facts is not None and facts.get("not_principal") == "1":
        yield Found(at=diagnosis_place(claim, 0))


@edit("DX-07")
def _fits_the_patient(claim: Claim, context: Context) -> Iterator[Found]:
    for number, code in enumerate(claim.diagnoses):
        facts = context.reference.code("icd10", code, service_day(claim))
        if facts is not None and not fits(facts, claim, service_day(claim)):
            yield Found(at=diagnosis_place(claim, number))


@edit("DX-08")
def _excluded_pairs(claim: Claim, context: Context) -> Iterator[Found]:
    day = service_day(claim)
    for first, second in permutations(dict.fromkeys(claim.diagnoses), 2):
        if context.reference.pair("excludes1", first, second, day) is not None:
            later = max(claim.diagnoses.index(first), claim.diagnoses.index(second))
            yield Found(at=diagnosis_place(claim, later))
            return


@edit("DX-09")
def _pointers(claim: Claim, _context: Context) -> Iterator[Found]:
    for number, line in enumerate(claim.lines, 1):
        if not 1 <= len(line.pointers) <= MOST_POINTERS or len(pointed(claim, line)) < len(line.pointers):
            yield Found(number)


@edit("DX-10")
def _covered(claim: Claim, context: Context) -> Iterator[Found]:
    for number, line in enumerate(claim.lines, 1):
        covering = context.reference.seconds("coverage", line.code, line.service_date)
        if covering and not covering & set(pointed(claim, line)):
            yield Found(number)
