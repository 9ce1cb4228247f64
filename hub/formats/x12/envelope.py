"""Interchanges, groups and transactions, with their trailers checked (ASC X12.5 and X12.6)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from hub.formats.x12.errors import NotAnInterchangeError
from hub.formats.x12.segments import Delimiters, Segment, read_segments


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that does not add up; *code* is the element at fault, ``SE01`` for example."""

    code: str
    message: str
    where: str
    expected: str = ""
    found: str = ""

    @property
    def segment(self) -> str:
        """The segment at fault, ``SE`` for example."""
        return self.code[:-2] if self.element else self.code

    @property
    def element(self) -> str:
        """The number of the element at fault, ``01`` for example; empty when it is the whole segment."""
        return self.code[-2:] if len(self.code) > 3 and self.code[-2:].isdigit() else ""


@dataclass(frozen=True, slots=True)
class InterchangeHeader:
    """An ISA segment.

    *usage* is ``T`` for test and ``P`` for production; *date* and *time* are as sent (YYMMDD, HHMM).
    """

    sender_qualifier: str
    sender: str
    receiver_qualifier: str
    receiver: str
    date: str
    time: str
    version: str
    control_number: str
    acknowledgement_requested: bool
    usage: str
    delimiters: Delimiters


@dataclass(frozen=True, slots=True)
class GroupHeader:
    """A GS segment."""

    functional_id: str
    sender: str
    receiver: str
    date: str
    time: str
    control_number: str
    version: str


@dataclass(frozen=True, slots=True)
class TransactionHeader:
    """An ST segment; *version* is ST03 and is empty where the guide has none (835, 4010)."""

    id: str
    control_number: str
    version: str


@dataclass(frozen=True, slots=True)
class Transaction:
    """One transaction set, from ST to SE, with its envelope and everything that does not add up there."""

    isa: InterchangeHeader
    gs: GroupHeader
    st: TransactionHeader
    segments: tuple[Segment, ...]
    problems: tuple[Problem, ...]

    @property
    def version(self) -> str:
        """The guide that the transaction follows: ST03, or GS08 where ST03 is empty."""
        return self.st.version or self.gs.version

    @property
    def kind(self) -> str:
        """What the transaction is: ``837P``, ``277CA``, ``835``…, or ``X12 nnn`` for an unknown one."""
        return _kind(self.st.id, self.version, self.segments)


@dataclass(frozen=True, slots=True)
class Interchange:
    """A whole interchange. *acknowledgements* are its TA1 segments; *problems* are those of every level."""

    isa: InterchangeHeader
    acknowledgements: tuple[Segment, ...]
    transactions: tuple[Transaction, ...]
    problems: tuple[Problem, ...]


def read_interchanges(data: bytes | Iterable[bytes], *, skimmed: Collection[str] = ()) -> Iterator[Interchange]:
    """Yield the interchanges of *data*, each when its IEA (or the end) has been read.

    Transactions whose ST01 is among *skimmed* keep only their ST segment (their segments are counted all the
    same), so that a large one needs no memory; its cursor says where to read it.
    Counts, control numbers and missing trailers become :class:`Problem` values; only bytes that cannot be
    read as X12 at all raise (:func:`read_segments` says when). Empty data raises
    :class:`NotAnInterchangeError`.
    """
    current: _Reading | None = None
    for segment in read_segments(data):
        if segment.id == "ISA":
            if current:
                yield current.finished()
            current = _Reading(segment, skimmed)
            continue
        assert current is not None  # read_segments starts with an ISA or raises
        current.take(segment)
    if current is None:
        raise NotAnInterchangeError("The data is empty.", expected="an ISA segment")
    yield current.finished()


def read_transactions(data: bytes | Iterable[bytes]) -> Iterator[Transaction]:
    """Yield every transaction in *data*; its problems include those of its group and interchange."""
    for interchange in read_interchanges(data):
        yield from interchange.transactions


def identify(data: bytes | Iterable[bytes]) -> tuple[str, ...]:
    """Say what is in *data*, in the order of the file: ``("TA1", "999")``, ``("835",)``, ``("X12 850",)``.

    A large remittance needs no memory. Raises what :func:`read_interchanges` raises.
    """
    kinds: list[str] = []
    for interchange in read_interchanges(data, skimmed=_TOLD_BY_ST):
        kinds += ["TA1"] * len(interchange.acknowledgements)
        kinds += [transaction.kind for transaction in interchange.transactions]
    return tuple(kinds)


_KNOWN = frozenset({"270", "271", "275", "276", "277", "278", "820", "834", "835", "837", "997", "999"})
_TOLD_BY_ST = _KNOWN - {"277", "837"}  # what these are, older files say only further down
_GUIDES = {
    ("837", "X222"): "837P",
    ("837", "X098"): "837P",
    ("837", "X223"): "837I",
    ("837", "X096"): "837I",
    ("837", "X224"): "837D",
    ("837", "X097"): "837D",
    ("277", "X214"): "277CA",
    ("277", "X167"): "277CA",
}


def _kind(identifier: str, version: str, segments: tuple[Segment, ...]) -> str:
    for (known, guide), kind in _GUIDES.items():
        if identifier == known and guide in version:
            return kind
    if identifier == "277" and "X" not in version:
        bht = next((s for s in segments if s.id == "BHT"), None)
        return "277CA" if bht and bht[6] == "TH" else "277"
    if identifier == "837":
        clm = next((s for s in segments if s.id == "CLM"), None)
        return "837I" if clm and clm.component(5, 2) == "A" else "837P"
    return identifier if identifier in _KNOWN else f"X12 {identifier}"


@dataclass(slots=True)
class _OpenTransaction:
    header: TransactionHeader
    segments: list[Segment]
    is_skimmed: bool
    count: int = 1
    problems: list[Problem] = field(default_factory=list)

    def take(self, segment: Segment) -> None:
        self.count += 1
        if not self.is_skimmed:
            self.segments.append(segment)


@dataclass(slots=True)
class _OpenGroup:
    header: GroupHeader
    transactions: list[_OpenTransaction] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


class _Reading:
    """One interchange while its segments come in."""

    def __init__(self, isa: Segment, skimmed: Collection[str]) -> None:
        self._skimmed = skimmed
        self.isa = InterchangeHeader(
            sender_qualifier=isa[5],
            sender=isa[6],
            receiver_qualifier=isa[7],
            receiver=isa[8],
            date=isa[9],
            time=isa[10],
            version=isa[12],
            control_number=isa[13],
            acknowledgement_requested=isa[14] == "1",
            usage=isa[15],
            delimiters=isa.delimiters,
        )
        self.last = isa
        self.acknowledgements: list[Segment] = []
        self.groups: list[_OpenGroup] = []
        self.group: _OpenGroup | None = None
        self.transaction: _OpenTransaction | None = None
        self.problems: list[Problem] = []
        self.ended = False

    def take(self, segment: Segment) -> None:
        self.last = segment
        match segment.id:
            case "GS":
                self._leave_group()
                self._open_group(
                    GroupHeader(segment[1], segment[2], segment[3], segment[4], segment[5], segment[6], segment[8])
                )
            case "ST":
                self._leave_transaction()
                if self.group is None:
                    self._note(self.problems, "GS", "A transaction stands outside of any group.")
                    self._open_group(GroupHeader("", "", "", "", "", "", ""))
                assert self.group is not None
                header = TransactionHeader(segment[1], segment[2], segment[3])
                self.transaction = _OpenTransaction(header, [segment], header.id in self._skimmed)
                self.group.transactions.append(self.transaction)
            case "SE" if self.transaction:
                self._close_transaction(self.transaction, segment)
            case "GE" if self.group:
                self._close_group(self.group, segment)
            case "IEA":
                self._close(segment)
            case _ if self.transaction:
                self.transaction.take(segment)
            case "TA1":
                self.acknowledgements.append(segment)
            case _:
                self._note(self.problems, segment.id[:3], "A segment stands outside of any transaction.")

    def finished(self) -> Interchange:
        if not self.ended:
            self._leave_group()
            self._note(self.problems, "IEA", "The interchange has no end: the file was cut short.", "IEA")
        everything = list(self.problems)
        transactions = []
        for group in self.groups:
            everything += group.problems
            for opened in group.transactions:
                everything += opened.problems
                transactions.append(
                    Transaction(
                        self.isa,
                        group.header,
                        opened.header,
                        tuple(opened.segments),
                        (*opened.problems, *group.problems, *self.problems),
                    )
                )
        return Interchange(self.isa, tuple(self.acknowledgements), tuple(transactions), tuple(everything))

    def _open_group(self, header: GroupHeader) -> None:
        self.group = _OpenGroup(header)
        self.groups.append(self.group)

    def _close_transaction(self, opened: _OpenTransaction, se: Segment) -> None:
        opened.take(se)
        count = str(opened.count)
        if not _same_number(se[1], count):
            self._note(opened.problems, "SE01", "The transaction's segment count is wrong.", count, se[1])
        if se[2] != opened.header.control_number:
            message = "The transaction ends with another control number than it began with."
            self._note(opened.problems, "SE02", message, opened.header.control_number, se[2])
        self.transaction = None

    def _close_group(self, group: _OpenGroup, ge: Segment) -> None:
        self._leave_transaction()
        count = str(len(group.transactions))
        if not _same_number(ge[1], count):
            self._note(group.problems, "GE01", "The group's transaction count is wrong.", count, ge[1])
        if not _same_number(ge[2], group.header.control_number):
            message = "The group ends with another control number than it began with."
            self._note(group.problems, "GE02", message, group.header.control_number, ge[2])
        self.group = None

    def _close(self, iea: Segment) -> None:
        self._leave_group()
        count = str(len(self.groups))
        # An interchange that carries only TA1 segments counts them as 0 or 1, depending on the sender.
        if not _same_number(iea[1], count) and not (self.acknowledgements and not self.groups):
            self._note(self.problems, "IEA01", "The interchange's group count is wrong.", count, iea[1])
        if not _same_number(iea[2], self.isa.control_number):
            message = "The interchange ends with another control number than it began with."
            self._note(self.problems, "IEA02", message, self.isa.control_number, iea[2])
        if self.ended:
            self._note(self.problems, "IEA", "The interchange ends twice.")
        self.ended = True

    def _leave_transaction(self) -> None:
        if self.transaction:
            message = "The transaction has no end: segments are missing."
            self._note(self.transaction.problems, "SE", message, "SE")
            self.transaction = None

    def _leave_group(self) -> None:
        self._leave_transaction()
        if self.group:
            self._note(self.group.problems, "GE", "The group has no end: segments are missing.", "GE")
            self.group = None

    def _note(self, to: list[Problem], code: str, message: str, expected: str = "", found: str = "") -> None:
        to.append(Problem(code, message, self.last.place, expected, found[:15]))


def _same_number(found: str, expected: str) -> bool:
    """True when both are the same, as numbers where they are numbers: leading zeros are no difference."""
    return found == expected or (
        found.isdecimal() and expected.isdecimal() and found.lstrip("0") == expected.lstrip("0")
    )
