"""Edits about service lines. Numbers of codes are facts of the code sets; their descriptions are nowhere here."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from datetime import date, timedelta
from decimal import Decimal
from itertools import permutations

from hub.billing.edits.context import Context, known
from hub.billing.edits.facts import between, fits, rendering_npi
from hub.billing.edits.places import MOST_MODIFIERS, modifier_place
from hub.billing.edits.registry import Found, edit, with_modifier
from hub.billing.edits.table import ERROR, WARNING
from hub.formats.x12.claim import Claim, ClaimLine, Drug

_SIDES = {"LT", "RT"}
# The modifiers that NCCI takes as saying that two services were apart.
_APART = {
    "24", "25", "27", "57", "58", "59", "78", "79", "91", "XE", "XP", "XS", "XU", "LT", "RT", "E1", "E2", "E3", "E4",
    "LC", "LD", "LM", "RC", "RI", "FA", "F1", "F2", "F3", "F4", "F5", "F6", "F7", "F8", "F9", "TA", "T1", "T2", "T3",
    "T4", "T5", "T6", "T7", "T8", "T9",
}  # fmt: skip
_FACILITIES = {"19", "21", "22", "23", "24"}
_ANAESTHETISTS = {"AA", "AD", "QK", "QX", "QY", "QZ"}
_ASSISTANTS = {"80", "81", "82", "AS"}
_NOTICE_GIVEN = frozenset({"GA", "GX"})
NOTICES = _NOTICE_GIVEN | {"GZ"}
"""The modifiers that speak of a notice to the patient: that there is one, or none."""
_MEDICAID = "MC"  # SBR09
_THREE_YEARS = 3


def _numbered(claim: Claim) -> Iterator[tuple[int, ClaimLine]]:
    return enumerate(claim.lines, 1)


@edit("LN-01")
def _procedure(claim: Claim, context: Context) -> Iterator[Found]:
    bare = [number for number, line in _numbered(claim) if line.revenue_code and not line.code]
    malformed = [
        number
        for number, line in _numbered(claim)
        if number not in bare and not re.fullmatch(r"[A-Z0-9]{5}", line.code)
    ]
    for number in malformed:
        yield Found(number, sentence="A line's procedure code is not five letters and digits.")
    for number, line in _numbered(claim):
        kind = "hcpcs" if line.code[:1].isalpha() else "cpt"
        if number not in (*bare, *malformed) and context.reference.code(kind, line.code, line.service_date) is None:
            yield Found(number)


@edit("LN-02")
def _modifiers(claim: Claim, context: Context) -> Iterator[Found]:
    for number, line in _numbered(claim):
        said = line.modifiers
        twice = [n for n, modifier in enumerate(said) if n >= MOST_MODIFIERS or modifier in said[:n]]
        malformed = [n for n, modifier in enumerate(said) if not re.fullmatch(r"[A-Z0-9]{2}", modifier)]
        if twice:
            sentence = "A line has a modifier twice, or more than four."
            yield Found(number, sentence=sentence, at=modifier_place(claim, twice[0]))
        elif malformed:
            sentence = "A modifier is not two letters or digits."
            yield Found(number, sentence=sentence, at=modifier_place(claim, malformed[0]))
        else:
            known_ones = (context.reference.code("modifiers", each, line.service_date) for each in said)
            unknown = next((n for n, facts in enumerate(known_ones) if facts is None), None)
            if unknown is not None:
                yield Found(number, at=modifier_place(claim, unknown))


def _said_at(claim: Claim, line: ClaimLine, modifiers: Collection[str]) -> str:
    """Where the first of *modifiers* stands on the line, or would stand."""
    said = (number for number, modifier in enumerate(line.modifiers) if modifier in modifiers)
    return modifier_place(claim, next(said, len(line.modifiers)))


def _set(kind: str, claim: Claim) -> str:
    """Which of CMS's sets of *kind* is the claim's: Medicaid has sets of its own, and so have hospitals."""
    medicaid = "_medicaid" if claim.payer.filing_indicator == _MEDICAID else ""
    return f"{kind}{medicaid}{'_outpatient' if claim.institutional else ''}"


@edit("LN-03")
def _not_paid_together(claim: Claim, context: Context) -> Iterator[Found]:
    for (_, paid), (number, part) in permutations(_numbered(claim), 2):
        if paid.service_date != part.service_date or rendering_npi(claim, paid) != rendering_npi(claim, part):
            continue
        facts = context.reference.pair(_set("ncci", claim), paid.code, part.code, part.service_date)
        indicator = facts.get("indicator") if facts is not None else ""
        if indicator == "0":
            yield Found(number, ERROR)
        elif indicator == "1" and not _APART & {*part.modifiers, *paid.modifiers}:
            yield Found(number, WARNING)


@edit("LN-04")
def _likely_units(claim: Claim, context: Context) -> Iterator[Found]:
    for number, line in _numbered(claim):
        facts = context.reference.code(_set("mue", claim), line.code, line.service_date)
        if facts is None:
            continue
        whole_day = facts.get("indicator") in {"2", "3"}
        units = sum(
            (each.units for each in claim.lines if each.code == line.code and each.service_date == line.service_date),
            Decimal(0),
        )
        if (units if whole_day else line.units) > int(facts["units"]):
            yield Found(number, ERROR if facts.get("indicator") == "2" else WARNING)


@edit("LN-05")
def _units(claim: Claim, context: Context) -> Iterator[Found]:
    for number, line in _numbered(claim):
        most = context.payer.unit_decimals
        if line.units != round(line.units, most):
            yield Found(number, sentence=f"A line's units have more decimals than this payer takes ({most}).")
            continue
        divisible = line.unit_code == "MJ" or line.drug is not None or line.code[:1].isalpha()
        if line.units <= 0 or (line.units % 1 and not divisible):
            yield Found(number)


@edit("LN-06")
def _charge(claim: Claim, context: Context) -> Iterator[Found]:
    for number, line in _numbered(claim):
        fee = context.fees.get(line.code)
        if line.charge != line.charge.quantize(Decimal("0.01")):
            yield Found(number, ERROR, "A line's charge has fractions of a cent.")
        elif fee is not None and line.charge != fee * line.units:
            yield Found(number, WARNING, "A line's charge differs from the fee schedule.")


@edit("LN-07")
def _unlisted(claim: Claim, context: Context) -> Iterator[Found]:
    for number, line in _numbered(claim):
        described = line.description or line.note or claim.note
        if not described and context.reference.code("unlisted", line.code, line.service_date) is not None:
            yield Found(number)


@edit("LN-08")
def _bilateral(claim: Claim, context: Context) -> Iterator[Found]:
    for number, line in _numbered(claim):
        if "50" in line.modifiers:
            at = modifier_place(claim, line.modifiers.index("50"))
            if _SIDES & set(line.modifiers):
                yield Found(number, at=at)
                continue
            facts = context.reference.code("mpfs", line.code, line.service_date)
            if facts is not None and facts.get("bilateral", "1") not in {"1", "3"}:
                yield Found(number, at=at)


@edit("LN-09")
def _parts_of_a_service(claim: Claim, context: Context) -> Iterator[Found]:
    for number, line in _numbered(claim):
        facts = context.reference.code("mpfs", line.code, line.service_date)
        if facts is None or "pctc" not in facts:
            continue
        has_parts, said = facts["pctc"] == "1", {"26", "TC"} & set(line.modifiers)
        place = line.place_of_service or claim.place_of_service
        if (said and not has_parts) or (has_parts and place in _FACILITIES and said != {"26"}):
            yield Found(number, at=_said_at(claim, line, said))


@edit("LN-11")
def _new_patient(claim: Claim, context: Context) -> Iterator[Found]:
    history = known(context.history, "history")
    for number, line in _numbered(claim):
        if between(line.code, "99202", "99205") or between(line.code, "99381", "99387"):
            since = _years_before(line.service_date, _THREE_YEARS)
            if any(since <= service.service_date < line.service_date for service in history.services):
                yield Found(number)


def _years_before(day: date, count: int) -> date:
    return day - timedelta(days=round(count * 365.25))


@edit("LN-12")
def _laboratory(claim: Claim, context: Context) -> Iterator[Found]:
    for number, line in _numbered(claim):
        if line.referring_clia and not re.fullmatch(r"[0-9]{2}D[0-9]{7}", line.referring_clia):
            sentence = "The CLIA number of the laboratory that referred a test is not a valid one."
            yield Found(number, sentence=sentence, at="2400 REF02 (F4)")
        facts = context.reference.code("clia", line.code, line.service_date)
        if facts is None:
            continue
        if not re.fullmatch(r"[0-9]{2}D[0-9]{7}", line.clia or claim.clia):
            sentence = "A laboratory service lacks the CLIA number, or it is not a valid one."
            yield Found(number, sentence=sentence, at="2400 REF02 (X4)" if line.clia else "2300 REF02 (X4)")
        elif facts.get("waived") == "1" and "QW" not in line.modifiers:
            sentence = "A waived laboratory test usually carries modifier QW; a coder decides."
            proposal = with_modifier(line, number, "QW")
            yield Found(number, sentence=sentence, proposal=proposal, at=modifier_place(claim, 0))


@edit("LN-13")
def _drug(claim: Claim, context: Context) -> Iterator[Found]:
    for number, line in _numbered(claim):
        if line.drug is not None:
            if wrong := _unfit(line.drug):
                yield Found(number, sentence="A drug's NDC, quantity or unit is not a valid one.", at=f"2410 {wrong}")
            elif context.reference.code("ndc", line.drug.ndc, line.service_date) is None:
                yield Found(number, sentence="A drug's NDC is not in the directory.")
        elif line.code[:1] == "J" and known(context.payer.needs_ndc, "payer.needs_ndc"):
            yield Found(number, sentence="This payer wants the NDC of a drug and it is missing.")


def _unfit(drug: Drug) -> str:
    """The first element of a drug that is none; empty when all are."""
    if not re.fullmatch(r"[0-9]{11}", drug.ndc):
        return "LIN03"
    if drug.quantity <= 0:
        return "CTP04"
    return "" if drug.unit in {"F2", "GR", "ME", "ML", "UN"} else "CTP05-1"


@edit("LN-14")
def _discarded(claim: Claim, context: Context) -> Iterator[Found]:
    if claim.payer.filing_indicator != "MB":
        return
    for number, line in _numbered(claim):
        single = context.reference.code("single_dose", line.code, line.service_date) is not None
        if single and not {"JW", "JZ"} & set(line.modifiers):
            yield Found(number)


@edit("LN-16")
def _anaesthesia(claim: Claim, _context: Context) -> Iterator[Found]:
    for number, line in _numbered(claim):
        anaesthesia = between(line.code, "00100", "01999")
        if anaesthesia and line.unit_code != "MJ":
            yield Found(number)
        elif anaesthesia and not _ANAESTHETISTS & set(line.modifiers):
            yield Found(number, at=modifier_place(claim, 0))
        elif line.unit_code == "MJ" and not anaesthesia:
            yield Found(number, sentence="A service that is no anaesthesia is given in minutes.")


@edit("LN-17")
def _limits(claim: Claim, context: Context) -> Iterator[Found]:
    for number, line in _numbered(claim):
        facts = context.reference.code("limits", line.code, line.service_date)
        if facts is not None and not fits(facts, claim, line.service_date):
            yield Found(number)


@edit("LN-18")
def _too_soon(claim: Claim, context: Context) -> Iterator[Found]:
    for number, line in _numbered(claim):
        facts = context.reference.code("frequency", line.code, line.service_date)
        if facts is None:
            continue
        since = line.service_date - timedelta(days=int(facts["days"]))
        past = known(context.history, "history").services
        if any(each.code == line.code and since < each.service_date < line.service_date for each in past):
            yield Found(number)


@edit("LN-19")
def _added_on(claim: Claim, context: Context) -> Iterator[Found]:
    codes = {line.code for line in claim.lines}
    for number, line in _numbered(claim):
        primaries = context.reference.seconds("addon", line.code, line.service_date)
        if primaries and not primaries & codes:
            yield Found(number)


@edit("LN-20")
def _dates(claim: Claim, _context: Context) -> Iterator[Found]:
    for number, line in _numbered(claim):
        if line.service_to is not None and line.service_to < line.service_date:
            yield Found(number)


@edit("LN-22")
def _second_surgeon(claim: Claim, context: Context) -> Iterator[Found]:
    for number, line in _numbered(claim):
        said = set(line.modifiers)
        if not said & {*_ASSISTANTS, "62"}:
            continue
        facts = context.reference.code("mpfs", line.code, line.service_date) or {}
        if (said & _ASSISTANTS and facts.get("assistant") == "1") or ("62" in said and facts.get("co_surgeon") == "0"):
            yield Found(number, at=_said_at(claim, line, {*_ASSISTANTS, "62"}))


@edit("LN-23")
def _vaccines(claim: Claim, _context: Context) -> Iterator[Found]:
    given = [n for n, line in _numbered(claim) if between(line.code, "90460", "90474")]
    products = [n for n, line in _numbered(claim) if between(line.code, "90476", "90759")]
    if bool(given) != bool(products):
        yield Found((given or products)[0])


@edit("LN-24")
def _two_visits(claim: Claim, _context: Context) -> Iterator[Found]:
    preventive = {line.service_date for line in claim.lines if between(line.code, "99381", "99397")}
    for number, line in _numbered(claim):
        problem = between(line.code, "99202", "99215") and line.service_date in preventive
        if problem and "25" not in line.modifiers:
            yield Found(number, proposal=with_modifier(line, number, "25"))


@edit("LN-25")
def _notices(claim: Claim, context: Context) -> Iterator[Found]:
    for number, line in _numbered(claim):
        if NOTICES & set(line.modifiers):
            on_file = number in known(context.notices, "notices")
            if on_file != bool(_NOTICE_GIVEN & set(line.modifiers)):
                yield Found(number, at=_said_at(claim, line, NOTICES))


@edit("LN-26")
def _usually_together(claim: Claim, context: Context) -> Iterator[Found]:
    codes = {line.code for line in claim.lines}
    for number, line in _numbered(claim):
        if context.reference.seconds("usual", line.code, line.service_date) - codes:
            yield Found(number)
