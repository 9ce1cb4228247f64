"""A second opinion on an interchange before it leaves: pyx12 checks it against the guides' maps.

It finds syntax, lengths, types, required and unexpected segments, hierarchy and some code values (SNIP
levels 1 and 2); what it cannot see (balances, pointers, identifiers) is the work of the edits. It takes a
millisecond or more per claim and belongs in a worker. Maps take up to half a second to load and are kept.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from io import StringIO
from typing import TYPE_CHECKING, Any

from hub.formats.x12.envelope import Interchange, read_interchanges
from hub.formats.x12.errors import X12Error
from hub.formats.x12.parts import split
from hub.formats.x12.place import Place
from hub.formats.x12.vocabulary import element_error, segment_error

if TYPE_CHECKING:
    from pyx12.params import ParamsBase

# What only a guide asks: of segments (IK304) that one be there, or not, or so many times; of elements (IK403) that one
# be there, or not, or have a code of the guide's list.
_GUIDE_OF_SEGMENTS = {"2", "3", "4", "5", "6", "I4", "I6", "I7", "I8", "I9"}
_GUIDE_OF_ELEMENTS = {"1", "7", "I6", "I9", "I10", "I11", "I12", "I13"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that the judge objects to.

    *segment* is an id, *position* counts from the ST as a 999 does, *element* is ``02`` or ``05-1`` or empty,
    *code* is the IK304 or IK403 code (or a level such as ``ST``), *claim* the control number of its claim,
    empty when it lies in none. *message* says it in words and holds no values.
    """

    loop: str
    segment: str
    position: int
    element: str
    code: str
    message: str
    claim: str = ""

    @property
    def place(self) -> Place:
        """Where it is, as far as the check could tell."""
        return Place(self.loop, self.segment, self.element)

    @property
    def snip(self) -> int:
        """Its level of the WEDI SNIP types: 1 for what breaks X12's syntax, 2 for what only the guide asks."""
        return 2 if self.code in (_GUIDE_OF_ELEMENTS if self.element else _GUIDE_OF_SEGMENTS) else 1


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the interchange may leave, and what stands against it."""

    ok: bool
    findings: tuple[Finding, ...] = ()


def judge(data: bytes) -> Verdict:
    """Check *data* against the guides that its groups name.

    It never raises: what cannot be judged is a finding.
    """
    try:
        interchanges = tuple(read_interchanges(data))
        text = data.decode("latin-1")
    except X12Error as error:
        return Verdict(False, (Finding("", "ISA", 0, "", "ISA", error.what),))
    own = tuple(
        Finding("", problem.segment, 0, problem.element, problem.code, problem.message)
        for interchange in interchanges
        for problem in interchange.problems
    )
    try:
        ok, found = _run(text)
    except Exception as error:
        message = "The guide that this group names cannot be judged."
        if "Map not found" not in str(error):
            message = "The check itself broke off on this data."
        return Verdict(False, (*own, Finding("", "GS", 0, "08", "GS", message)))
    claims = _claims_by_position(interchanges)
    findings = own + tuple(_finding(item, claims) for item in found)
    if not ok and not findings:
        findings = (Finding("", "ISA", 0, "", "ISA", "An element of the envelope is not valid."),)
    return Verdict(ok and not findings, findings)


@dataclass(frozen=True, slots=True)
class _Found:
    transaction: int
    segment: str
    position: int
    element: str
    code: str
    is_element: bool
    loop: str


def _run(text: str) -> tuple[bool, list[_Found]]:
    """Have pyx12 walk *text*. Its error tree is visited through the only door it offers, the JSON one."""
    import pyx12.x12n_document

    _prepare()
    loops: dict[tuple[int, int], str] = {}
    transaction = 0

    def remember(segment: Any, source: Any, node: Any, valid: bool) -> None:
        nonlocal transaction
        if segment.get_seg_id() == "ST":
            transaction += 1
        loops[transaction, source.get_seg_count()] = node.parent.id if node and node.parent else ""

    report = StringIO()
    ok = pyx12.x12n_document.x12n_document(_parameters(), StringIO(text), None, None, None, report, callback=remember)
    return ok, _collect(report.getvalue(), loops)


def _collect(report: str, loops: dict[tuple[int, int], str]) -> list[_Found]:
    found: list[_Found] = []
    number = 0
    for isa in json.loads(report or '{"interchanges": []}')["interchanges"]:
        found += [_Found(0, "ISA", 0, "", "ISA", False, "") for _ in isa["errors"]]
        for gs in isa["groups"]:
            found += [_Found(0, "GS", 0, "", "GS", False, "") for _ in gs["errors"]]
            for st in gs["transactions"]:
                number += 1
                found += [_Found(number, "ST", 1, "", "ST", False, "") for _ in st["errors"]]
                for segment in st["segments"]:
                    at, name = segment["seg_count"], segment["seg_id"] or ""
                    loop = loops.get((number, at), "")
                    for error in segment["errors"]:
                        found.append(_Found(number, name, at, "", error["err_cde"], False, loop))
                    for element in segment["elements"]:
                        place = f"{element['ele_pos']:02d}"
                        if element["subele_pos"]:
                            place += f"-{element['subele_pos']}"
                        for error in element["errors"]:
                            found.append(_Found(number, name, at, place, error["err_cde"], True, loop))
    return found


_ENVELOPE_MESSAGES = {
    "ISA": "The interchange's envelope is not right.",
    "GS": "The group's envelope is not right.",
    "ST": "The transaction's envelope or its structure is not right.",
}


def _finding(item: _Found, claims: dict[tuple[int, int], str]) -> Finding:
    if item.code in _ENVELOPE_MESSAGES:
        message = _ENVELOPE_MESSAGES[item.code]
    else:
        message = element_error(item.code) if item.is_element else segment_error(item.code)
    claim = claims.get((item.transaction, item.position), "")
    return Finding(item.loop, item.segment, item.position, item.element, item.code, message, claim)


def _claims_by_position(interchanges: tuple[Interchange, ...]) -> dict[tuple[int, int], str]:
    """Which claim each segment belongs to.

    A segment above the claims of its HL level (a subscriber's name) belongs to the claim when there is only one.
    """
    places: dict[tuple[int, int], str] = {}
    transactions = (t for interchange in interchanges for t in interchange.transactions)
    for number, transaction in enumerate(transactions, start=1):
        head, levels = split(transaction.segments, "HL")
        for level in (head, *levels):
            claims = [s[1] for s in level if s.id in {"CLM", "CLP"}]
            claim = claims[0] if len(claims) == 1 and level is not head else ""
            for segment in level:
                if segment.id in {"CLM", "CLP"}:
                    claim = segment[1]
                elif segment.id in {"SE", "PLB"}:
                    claim = ""
                if claim:
                    places[number, segment.position] = claim
    return places


def guide_map(version: str) -> Any:
    """pyx12's map of the 837 guide *version*; raises what pyx12 raises where it has none."""
    import pyx12.map_if
    import pyx12.map_index

    _prepare()
    return pyx12.map_if.load_map_file(pyx12.map_index.map_index().get_filename("00501", version, "HC"), _parameters())


@cache
def _parameters() -> ParamsBase:
    from pyx12.params import ParamsBase

    return ParamsBase()


@cache
def _prepare() -> None:
    """Make pyx12 keep the maps it loads, and keep it from logging: its messages quote values."""
    import pyx12.map_if

    logger = logging.getLogger("pyx12")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    logger.setLevel(logging.CRITICAL)

    load: Callable[..., Any] = pyx12.map_if.load_map_file
    kept: dict[tuple[object, ...], Any] = {}

    def load_once(map_file: str, param: ParamsBase, map_path: str | None = None) -> Any:
        # A loaded map holds on to the parameters it was loaded with, so they are part of the key.
        key = (map_file, map_path, tuple(sorted((k, str(v)) for k, v in param.params.items())))
        if key not in kept:
            kept[key] = load(map_file, param, map_path)
        return kept[key]

    pyx12.map_if.load_map_file = load_once
