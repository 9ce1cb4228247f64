"""Bytes to segments, as a stream.

The reader follows ASC X12.5: the ISA segment names its delimiters, and every interchange in a file may
choose its own. It forgives what real partners send (line ends after terminators, lines wrapped at 80
columns, a byte order mark, a missing last terminator, an ISA whose elements were trimmed) and refuses only
what it cannot tell apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from hub.formats.x12.errors import BrokenSegmentError, NotAnInterchangeError

LONGEST_SEGMENT = 1 << 20
_LONGEST_ISA = 400
_BLANK = b" \t\r\n\x00\x1a\x0b\x0c"
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Delimiters:
    """The four delimiters of an interchange. *repetition* is empty before version 00402, which had none."""

    element: str = "*"
    component: str = ":"
    segment: str = "~"
    repetition: str = "^"

    def __iter__(self) -> Iterator[str]:
        return iter((self.element, self.component, self.segment, self.repetition))


STANDARD = Delimiters()


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place between two segments of a file, with everything that reading on from there needs."""

    offset: int
    ordinal: int
    position: int
    control: str
    delimiters: Delimiters


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment. *elements* starts with the segment's id, so ``segment[1]`` is its first element.

    *position* counts from 1 at the ST of its transaction (0 outside of one), as a 999 counts; *ordinal*
    counts from 1 in the file, and *offset* is the byte of the file at which it begins; *control* is the ISA13
    of its interchange.
    """

    elements: tuple[str, ...]
    delimiters: Delimiters
    control: str
    ordinal: int
    position: int
    offset: int = 0

    @property
    def id(self) -> str:
        """The segment's id, ``CLM`` for example."""
        return self.elements[0]

    def __getitem__(self, number: int) -> str:
        """Element *number*, 1-based, without surrounding blanks; empty when it is absent."""
        return self.elements[number].strip() if number < len(self.elements) else ""

    def __len__(self) -> int:
        """The number of elements, the id not counted."""
        return len(self.elements) - 1

    def components(self, number: int) -> tuple[str, ...]:
        """The components of element *number*, at least one, each possibly empty."""
        return tuple(self[number].split(self.delimiters.component))

    def component(self, number: int, part: int) -> str:
        """Component *part* of element *number*, both 1-based; empty when it is absent."""
        parts = self.components(number)
        return parts[part - 1].strip() if part <= len(parts) else ""

    def repetitions(self, number: int) -> tuple[str, ...]:
        """The repetitions of element *number*, at least one."""
        text = self[number]
        return tuple(text.split(self.delimiters.repetition)) if self.delimiters.repetition else (text,)

    @property
    def cursor(self) -> Cursor:
        """Where reading may be taken up again, with this segment as the first."""
        return Cursor(self.offset, self.ordinal, self.position, self.control, self.delimiters)

    @property
    def text(self) -> str:
        """The segment as it was sent, without its terminator."""
        return self.delimiters.element.join(self.elements)

    @property
    def place(self) -> str:
        """Where this segment stands, in words that hold no content: ``ISA 000000101, segment 12 CLP``."""
        counted = f"segment {self.position}" if self.position else f"file segment {self.ordinal}"
        name = self.id if self.id.isalnum() and len(self.id) <= 3 else "?"
        return f"ISA {self.control or '?'}, {counted} {name}"


def read_segments(data: bytes | Iterable[bytes], at: Cursor | None = None) -> Iterator[Segment]:
    """Yield the segments of *data*, envelopes included, holding one segment in memory at a time.

    *data* is a whole file or its chunks; with *at*, what of the file follows ``at.offset``. Raises
    :class:`NotAnInterchangeError` when it does not start with an ISA segment or ends inside one, and
    :class:`BrokenSegmentError` for a segment longer than a megabyte. A last segment without terminator is
    yielded as it stands: the envelope's counts tell whether the file was cut.
    """
    buffer = _Buffer(iter((data,)) if isinstance(data, bytes) else iter(data))
    delimiters: Delimiters | None = None
    terminator = b""
    control = ""
    ordinal = position = 0
    if at is None:
        buffer.skip(_BOM)
    else:
        buffer.begin_at(at.offset)
        delimiters, control, ordinal, position = at.delimiters, at.control, at.ordinal - 1, at.position
        terminator = delimiters.segment.encode("latin-1")
    while buffer.skip_blanks():
        if buffer.starts_with(b"ISA"):
            delimiters = _delimiters(buffer.ahead(_LONGEST_ISA))
            terminator = delimiters.segment.encode("latin-1")
            position = 0
        elif delimiters is None:
            bare = any(buffer.starts_with(name) for name in (b"GS", b"ST"))
            raise NotAnInterchangeError(
                "The envelope of this interchange is missing: it begins within."
                if bare
                else "This is not an X12 interchange.",
                where="first bytes",
                expected="an ISA segment",
                fix="Ask the sender for the whole file, from ISA to IEA.",
            )
        offset = buffer.offset
        raw = buffer.until(terminator)
        if raw is None:
            raise BrokenSegmentError(
                "A segment does not end.",
                where=f"ISA {control or '?'}, file segment {ordinal + 1}",
                expected="a segment terminator within a megabyte",
            )
        if not raw:
            continue
        elements = tuple(_text(raw).split(delimiters.element))
        ordinal += 1
        name = elements[0]
        if name == "ISA":
            control = elements[13].strip() if len(elements) > 13 else ""
        elif name == "ST":
            position = 1
        yield Segment(elements, delimiters, control, ordinal, position, offset)
        if name == "SE":
            position = 0
        elif position:
            position += 1


def _delimiters(head: bytes) -> Delimiters:
    """The delimiters that the ISA at the start of *head* declares.

    They are found by counting sixteen element separators, not by fixed columns, so that an ISA with trimmed
    elements can be read too; for a right ISA of 106 bytes both ways agree.
    """
    element = head[3:4]
    if not element or element.isalnum() or element in _BLANK:
        raise NotAnInterchangeError("The ISA segment has no element separator.", where="ISA, byte 4")
    at = 3
    for _ in range(15):
        at = head.find(element, at + 1)
        if at < 0:
            raise NotAnInterchangeError("The ISA segment is cut short.", where="ISA", expected="16 elements")
    component, segment = head[at + 1 : at + 2], head[at + 2 : at + 3]
    if segment in (b"\r", b"\n"):
        # Some senders end each line and begin the next one with the true terminator.
        begun = head[at + 2 :].lstrip(b"\r\n")[:1]
        if begun and not begun.isalnum():
            segment = begun
    if not segment or component == element or segment in (component, element):
        raise NotAnInterchangeError("The ISA segment does not name its delimiters.", where="ISA16")
    if component.isalnum() or segment.isalnum():
        raise NotAnInterchangeError("The ISA segment has letters or digits as delimiters.", where="ISA16")
    repetition = head[: at + 1].split(element)[11].strip()
    usable = len(repetition) == 1 and not repetition.isalnum() and repetition not in (element, component, segment)
    return Delimiters(
        element.decode("latin-1"),
        component.decode("latin-1"),
        segment.decode("latin-1"),
        repetition.decode("latin-1") if usable else "",
    )


def _text(raw: bytes) -> str:
    if b"\n" in raw or b"\r" in raw:
        raw = raw.replace(b"\r", b"").replace(b"\n", b"")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


class _Buffer:
    """Chunks of bytes, read forward."""

    __slots__ = ("_at", "_before", "_bytes", "_chunks")

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._bytes = b""
        self._at = 0
        self._before = 0

    @property
    def offset(self) -> int:
        """How many bytes of the file lie before what comes next."""
        return self._before + self._at

    def begin_at(self, offset: int) -> None:
        """Say that the first chunk begins at byte *offset* of the file."""
        self._before = offset

    def _more(self) -> bool:
        for chunk in self._chunks:
            if chunk:
                self._before += self._at
                self._bytes = self._bytes[self._at :] + chunk
                self._at = 0
                return True
        return False

    def ahead(self, count: int) -> bytes:
        """Return up to *count* bytes without consuming them."""
        while len(self._bytes) - self._at < count and self._more():
            pass
        return self._bytes[self._at : self._at + count]

    def starts_with(self, prefix: bytes) -> bool:
        """True when *prefix* comes next."""
        if len(self._bytes) - self._at < len(prefix):
            return self.ahead(len(prefix)) == prefix
        return self._bytes.startswith(prefix, self._at)

    def skip(self, prefix: bytes) -> None:
        """Consume *prefix* when it comes next."""
        if self.starts_with(prefix):
            self._at += len(prefix)

    def skip_blanks(self) -> bool:
        """Consume blanks and line ends; False at the end of the data."""
        while True:
            while self._at < len(self._bytes):
                if self._bytes[self._at] not in _BLANK:
                    return True
                self._at += 1
            if not self._more():
                return False

    def until(self, terminator: bytes) -> bytes | None:
        """Consume and return the bytes up to *terminator* or the end; None when they are too many."""
        searched = self._at
        while (end := self._bytes.find(terminator, searched)) < 0:
            length = len(self._bytes) - self._at
            if length > LONGEST_SEGMENT:
                return None
            if not self._more():
                end = len(self._bytes)
                break
            searched = self._at + length
        if end - self._at > LONGEST_SEGMENT:
            return None
        raw = self._bytes[self._at : end]
        self._at = end + 1
        return raw
