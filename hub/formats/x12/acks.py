"""TA1, 999 and 997: what a receiver says about form, read and written.

Sources: ASC X12.56 (TA1), 005010X231A1 (999), and the 997 that older partners still send.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from hub.formats.x12.envelope import GroupHeader, Interchange, Problem, Transaction
from hub.formats.x12.errors import UnwritableError, WrongTransactionError
from hub.formats.x12.parts import first, split
from hub.formats.x12.segments import Segment
from hub.formats.x12.values import count
from hub.formats.x12.writer import Envelope, InterchangeWriter

VERSION = "005010X231A1"


@dataclass(frozen=True, slots=True)
class InterchangeAcknowledgement:
    """A TA1: *control_number* is the ISA13 that it answers, *code* ``A``, ``E`` or ``R``, *note* why."""

    control_number: str
    date: str
    time: str
    code: str
    note: str


@dataclass(frozen=True, slots=True)
class ElementError:
    """An IK4 or AK4: *position* within the segment, with *component* and *repetition* where given.

    *value* is the bad value as the receiver quotes it; it may be patient data.
    """

    position: int
    component: int
    repetition: int
    reference: str
    code: str
    value: str


@dataclass(frozen=True, slots=True)
class SegmentError:
    """An IK3 or AK3 with what belongs to it; *claim* is the control number that a CTX names, or empty."""

    segment: str
    position: int
    loop: str
    code: str
    elements: tuple[ElementError, ...]
    claim: str


@dataclass(frozen=True, slots=True)
class TransactionAcknowledgement:
    """The answer for one ST: *code* is IK501, *codes* are IK502 to IK506."""

    id: str
    control_number: str
    version: str
    code: str
    codes: tuple[str, ...]
    errors: tuple[SegmentError, ...]

    @property
    def accepted(self) -> bool:
        """True for accepted, with or without errors noted."""
        return self.code in {"A", "E"}


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """The answer for one group: *control_number* is its GS06, *code* AK901, the counts AK902 to AK904.

    *transactions* may be empty although the group was accepted: partners may leave out what they have no
    quarrel with.
    """

    functional_id: str
    control_number: str
    version: str
    code: str
    included: int
    received: int
    accepted: int
    codes: tuple[str, ...]
    transactions: tuple[TransactionAcknowledgement, ...]


def read_ta1(segment: Segment) -> InterchangeAcknowledgement:
    """The acknowledgement in a TA1 segment.

    Raises :class:`WrongTransactionError` for another one.
    """
    if segment.id != "TA1":
        raise WrongTransactionError("This is not a TA1.", where=segment.place)
    return InterchangeAcknowledgement(segment[1], segment[2], segment[3], segment[4], segment[5])


def read_999(transaction: Transaction) -> Acknowledgement:
    """The acknowledgement in a 999 or 997. Raises :class:`WrongTransactionError` for another kind.

    Nothing in it is required: what a partner left out is empty or zero.
    """
    if transaction.st.id not in {"999", "997"}:
        place = transaction.segments[0].place
        raise WrongTransactionError("This is not a 999 or 997.", where=place, found=transaction.kind)
    head, answers = split(transaction.segments, "AK2")
    ak1 = first(head, "AK1")
    ak9 = first(transaction.segments, "AK9")
    return Acknowledgement(
        functional_id=ak1[1] if ak1 else "",
        control_number=ak1[2] if ak1 else "",
        version=ak1[3] if ak1 else "",
        code=ak9[1] if ak9 else "",
        included=count(ak9[2]) if ak9 else 0,
        received=count(ak9[3]) if ak9 else 0,
        accepted=count(ak9[4]) if ak9 else 0,
        codes=_codes(ak9, 5) if ak9 else (),
        transactions=tuple(_answer(answer) for answer in answers),
    )


def _answer(segments: list[Segment]) -> TransactionAcknowledgement:
    ak2 = segments[0]
    outcome = first(segments, "IK5") or first(segments, "AK5")
    return TransactionAcknowledgement(
        id=ak2[1],
        control_number=ak2[2],
        version=ak2[3],
        code=outcome[1] if outcome else "",
        codes=_codes(outcome, 2) if outcome else (),
        errors=tuple(_segment_errors(segments)),
    )


def _segment_errors(segments: list[Segment]) -> Iterator[SegmentError]:
    identifier = "IK3" if first(segments, "IK3") else "AK3"
    for run in split(segments, identifier)[1]:
        ik3 = run[0]
        elements = tuple(_element_error(s) for s in run if s.id in {"IK4", "AK4"})
        claims = (s.component(1, 2) for s in run if s.id == "CTX" and s.component(1, 1) == "CLM01")
        yield SegmentError(ik3[1], count(ik3[2]), ik3[3], ik3[4], elements, next(claims, ""))


def _element_error(ik4: Segment) -> ElementError:
    return ElementError(
        position=count(ik4.component(1, 1)),
        component=count(ik4.component(1, 2)),
        repetition=count(ik4.component(1, 3)),
        reference=ik4[2],
        code=ik4[3],
        value=ik4[4],
    )


def _codes(segment: Segment, start: int) -> tuple[str, ...]:
    return tuple(segment[n] for n in range(start, start + 5) if segment[n])


# What the envelope's problems are called in IK502, AK905 and TA105.
_TRANSACTION_NOTES = {"SE": "2", "SE02": "3", "SE01": "4"}
_GROUP_NOTES = {"GE": "3", "GE02": "4", "GE01": "5"}
_INTERCHANGE_NOTES = {"IEA": "023", "IEA02": "001", "IEA01": "021"}


def write_999(envelope: Envelope, transactions: Iterable[Transaction]) -> bytes:
    """Our own 999 for *transactions* received: one per group, accepting what is whole.

    A transaction is refused when its trailer is missing or its counts or control numbers differ; a group
    likewise, and then all that it holds. Raises :class:`UnwritableError` when there is
    nothing to answer.
    """
    groups: dict[GroupHeader, list[Transaction]] = {}
    for transaction in transactions:
        if transaction.gs.functional_id == "FA":
            continue  # acknowledging acknowledgements would never end
        groups.setdefault(transaction.gs, []).append(transaction)
    if not groups:
        raise UnwritableError("There is no transaction to acknowledge.", where="999")
    out = InterchangeWriter(envelope, "FA", VERSION)
    for group, members in groups.items():
        _write_group(out, group, members)
    return out.finish()


def _write_group(out: InterchangeWriter, group: GroupHeader, members: list[Transaction]) -> None:
    group_notes = _notes(members[0].problems, _GROUP_NOTES)
    out.begin("999", VERSION)
    out.add("AK1", group.functional_id, group.control_number, group.version)
    accepted = 0
    for transaction in members:
        notes = _notes(transaction.problems, _TRANSACTION_NOTES)
        refused = bool(notes or group_notes)
        accepted += not refused
        out.add("AK2", transaction.st.id, transaction.st.control_number, transaction.st.version)
        out.add("IK5", "R" if refused else "A", *(notes or (("5",) if refused else ())))
    code = "A" if accepted == len(members) else "P" if accepted else "R"
    counts = (str(len(members)), str(len(members)), str(accepted))
    out.add("AK9", code, *counts, *group_notes)
    out.end()


def write_ta1(envelope: Envelope, received: Interchange) -> bytes:
    """Our own TA1 for an interchange *received*: refused when its end is missing or does not fit."""
    out = InterchangeWriter(envelope, "FA", VERSION)
    notes = _notes(received.problems, _INTERCHANGE_NOTES)
    isa = received.isa
    code, note = ("R", notes[0]) if notes else ("A", "000")
    out.interchange_segment("TA1", isa.control_number, isa.date, isa.time, code, note)
    return out.finish()


def _notes(problems: Iterable[Problem], meanings: dict[str, str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(meanings[p.code] for p in problems if p.code in meanings))
