"""TA1, 999 (005010X231A1) and 277CA (005010X214) as a clearinghouse or a payer writes them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from hub.simulators.world import PRACTICE_NAME, PRACTICE_NPI, SUBMITTER
from hub.simulators.x12 import Claim837, Segment, Transaction, money, write_interchange


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said about one claim: ``status`` is STC01, ``icn`` the payer's number (REF*1K), if any.

    ``line_status`` is said of its first line (loop 2220D); ``second`` is a further reason of the claim's own (STC10).
    """

    claim: Claim837
    status: str
    accepted: bool
    text: str = ""
    icn: str = ""
    line_status: str = ""
    second: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """Who writes: ``door`` fills the envelope, ``entity`` is AY (clearinghouse) or PR (payer)."""

    door: str
    entity: str
    name: str
    identifier: str


def ta1(source: Source, control: int, when: datetime, isa: Segment, code: str) -> str:
    """Answer an interchange: accepted with code ``000``, rejected with any other."""
    verdict = "A" if code == "000" else "R"
    body = [["TA1", isa[13], isa[9], isa[10], verdict, code]]
    return write_interchange(body, sender=source.door, receiver=SUBMITTER, control=control, when=when)


def ack_999(
    source: Source,
    control: int,
    when: datetime,
    transactions: list[Transaction],
    rejected: Transaction | None,
    *,
    blamed: str = "",
    with_errors: bool = False,
    old: bool = False,
) -> str:
    """Acknowledge one functional group; ``rejected`` is a transaction to refuse as a whole, or nothing.

    ``blamed`` is the claim that the refusal names, by its number in a CTX and by the place of its CLM; ``with_errors``
    accepts with an error noted; ``old`` writes a 997 instead.
    """
    first = transactions[0]
    segment, element, outcome = ("AK3", "AK4", "AK5") if old else ("IK3", "IK4", "IK5")
    body = [["AK1", first.functional_id, first.group_control, *(() if old else (first.version,))]]
    for transaction in transactions:
        body.append(["AK2", transaction.kind, transaction.control, *(() if old else (transaction.version,))])
        place = _place(transaction, blamed)
        if transaction is rejected:
            body.append([segment, "CLM", place, "2300", "8"])
            if blamed and not old:
                body.append(["CTX", f"CLM01:{blamed}"])
            body += [[element, "2", "782", "6"], [outcome, "R", "5"]]
        elif with_errors:
            body += [[segment, "CLM", place, "2300", "8"], [element, "2", "782", "6"], [outcome, "E"]]
        else:
            body.append([outcome, "A"])
    count = len(transactions)
    good = count - (rejected is not None)
    verdict = ("E" if with_errors else "A") if good == count else "P" if good else "R"
    body.append(["AK9", verdict, str(count), str(count), str(good)])
    return write_interchange(
        body,
        sender=source.door,
        receiver=SUBMITTER,
        control=control,
        when=when,
        functional_id="FA",
        version="005010" if old else "005010X231A1",
        kind="997" if old else "999",
    )


def _place(transaction: Transaction, claim: str) -> str:
    """Where the CLM of ``claim`` (or the first) stands, with ST as 1."""
    for place, segment in enumerate(transaction.segments, start=1):
        if segment[0] == "CLM" and claim in ("", segment[1]):
            return str(place)
    return "1"


def claim_acknowledgement(source: Source, control: int, when: datetime, batch: str, verdicts: list[Verdict]) -> str:
    """Write a 277CA about the claims of one batch (BHT03 of the 837)."""
    body = _batch_levels(source, control, when, batch, verdicts)
    for number, verdict in enumerate(verdicts, start=4):
        body += _claim_level(number, verdict, f"{when:%Y%m%d}")
    return write_interchange(
        body,
        sender=source.door,
        receiver=SUBMITTER,
        control=control,
        when=when,
        functional_id="HN",
        version="005010X214",
        kind="277",
    )


def _batch_levels(source: Source, control: int, when: datetime, batch: str, verdicts: list[Verdict]) -> list[Segment]:
    """The levels above the claims: who writes, to whom, and the batch as a whole."""
    day = f"{when:%Y%m%d}"
    good = [verdict.claim for verdict in verdicts if verdict.accepted]
    bad = [verdict.claim for verdict in verdicts if not verdict.accepted]
    total = sum(verdict.claim.charge for verdict in verdicts)
    qualifier = "46" if source.entity == "AY" else "PI"
    return [
        ["BHT", "0085", "08", f"277{control}", day, f"{when:%H%M}", "TH"],
        ["HL", "1", "", "20", "1"],
        ["NM1", source.entity, "2", source.name, "", "", "", "", qualifier, source.identifier],
        ["TRN", "1", f"{source.identifier}{control}"],
        ["DTP", "050", "D8", day],
        ["DTP", "009", "D8", day],
        ["HL", "2", "1", "21", "1"],
        ["NM1", "41", "2", PRACTICE_NAME, "", "", "", "", "46", SUBMITTER],
        ["TRN", "2", batch],
        ["STC", f"A1:19:{source.entity}", day, "WQ", money(total)],
        *_totals("90", "AA", good, bad),
        ["HL", "3", "2", "19", "1"],
        ["NM1", "85", "2", PRACTICE_NAME, "", "", "", "", "XX", PRACTICE_NPI],
        ["TRN", "1", "0"],
        ["STC", f"A1:19:{source.entity}", "", "WQ", money(total)],
        *_totals("QA", "QC", good, bad),
    ]


def _claim_level(number: int, verdict: Verdict, day: str) -> list[Segment]:
    """One claim's level and, where something is said of its first line, that line."""
    claim = verdict.claim
    action = "WQ" if verdict.accepted else "U"
    more = ["", "", "", "", "", verdict.second, "", verdict.text]
    level: list[Segment] = [
        ["HL", str(number), "3", "PT"],
        ["NM1", "QC", "1", *claim.patient, "", "", "MI", claim.member_id or "UNKNOWN"],
        ["TRN", "2", claim.pcn],
        ["STC", verdict.status, day, action, money(claim.charge), *more],
    ]
    if verdict.icn:
        level.append(["REF", "1K", verdict.icn])
    level.append(["DTP", "472", "D8", claim.service_date])
    if verdict.line_status and claim.lines:
        line = claim.lines[0]
        procedure = f"HC:{line.code}" if line.code else line.procedure
        level += [
            ["SVC", procedure, money(line.charge), "", "", "", "", line.units],
            ["STC", verdict.line_status, day, "U", "", *[""] * 7, verdict.text],
            ["REF", "FJ", line.control],
        ]
    return level


def _totals(good_code: str, bad_code: str, good: list[Claim837], bad: list[Claim837]) -> list[Segment]:
    """Counts before amounts, as the guide orders them; an empty side is left out."""
    sides = [(good_code, "YU", good), (bad_code, "YY", bad)]
    counts = [["QTY", code, str(len(claims))] for code, _, claims in sides if claims]
    amounts = [["AMT", code, money(sum(each.charge for each in claims))] for _, code, claims in sides if claims]
    return [*counts, *amounts]
