"""Values to interchanges: the envelope, the counts and the character set are right by construction."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from hub.formats.x12.errors import UnwritableError
from hub.formats.x12.segments import STANDARD, Delimiters

Element = str | tuple[str, ...]

_BASIC = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 !\"&'()+,-./:;?=")
_SPELLED = {
    "ß": "SS", "Æ": "AE", "æ": "AE", "Ø": "O", "ø": "O", "Œ": "OE", "œ": "OE", "Ł": "L", "ł": "L",
    "Đ": "D", "đ": "D", "Ð": "D", "ð": "D", "Þ": "TH", "þ": "TH", "\N{LATIN SMALL LETTER DOTLESS I}": "I",
    "\N{LEFT SINGLE QUOTATION MARK}": "'", "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "\N{LEFT DOUBLE QUOTATION MARK}": '"', "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
    "\N{EN DASH}": "-", "\N{EM DASH}": "-", "\N{MINUS SIGN}": "-", "\N{NON-BREAKING HYPHEN}": "-",
}  # fmt: skip
_SPELLING = str.maketrans(_SPELLED)
_ALREADY_CLEAN = re.compile(r"[A-Z0-9]+(?: [A-Z0-9]+)*\Z|\Z")


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who sends to whom, under which control numbers, when, and whether it counts.

    *usage* is ``T`` or ``P``. *authorisation* and *password* are what the receiver assigned for ISA02 and ISA04, if
    anything. *at* is local time of the sender, as ISA09/10 and GS04/05 want it. The group's
    sender and receiver default to the interchange's. *transaction_control* numbers the first ST; further
    ones count up.
    """

    sender: str
    receiver: str
    at: datetime
    interchange_control: int
    group_control: int
    usage: str
    transaction_control: int = 1
    sender_qualifier: str = "ZZ"
    receiver_qualifier: str = "ZZ"
    group_sender: str = ""
    group_receiver: str = ""
    acknowledgement_requested: bool = False
    delimiters: Delimiters = STANDARD
    authorisation: str = field(default="", repr=False)
    password: str = field(default="", repr=False)


def clean(text: str, delimiters: Delimiters = STANDARD, also: str = "") -> str:
    """*text* in the basic character set (X12.6 3.3.1): upper case, accents spelled out, blanks joined.

    The *delimiters* in use, control characters and anything else outside of the set become blanks; *also*
    names characters of the extended set that this element may keep (``@`` in an e-mail address).
    """
    if _ALREADY_CLEAN.match(text):  # most values are, and this is three times as fast
        return text
    spelled = unicodedata.normalize("NFKD", text.translate(_SPELLING)).upper()
    allowed = (_BASIC | set(also)) - set(delimiters)
    kept = (c if c in allowed else " " for c in spelled if not unicodedata.combining(c))
    return " ".join("".join(kept).split())


class InterchangeWriter:
    """Builds one interchange with one group: ``begin``, ``add``…, ``end`` per transaction, then ``finish``.

    Elements are texts, or tuples of texts for composites; trailing empty ones are left out. The caller
    cleans free text; an element that contains a delimiter raises
    :class:`UnwritableError`.
    """

    def __init__(self, envelope: Envelope, functional_id: str, version: str) -> None:
        _check(envelope)
        self.envelope = envelope
        self._version = version
        self._delimiters = envelope.delimiters
        self._forbidden = {d for d in envelope.delimiters if d}
        self._transactions = 0
        self._positions = 0
        self._control = ""
        self._out: list[str] = [self._isa()]
        at = envelope.at
        self._append(
            "GS",
            functional_id,
            envelope.group_sender or envelope.sender,
            envelope.group_receiver or envelope.receiver,
            at.strftime("%Y%m%d"),
            at.strftime("%H%M"),
            str(envelope.group_control),
            "X",
            version,
        )

    @property
    def delimiters(self) -> Delimiters:
        """The delimiters that elements must not contain."""
        return self._delimiters

    def begin(self, identifier: str, version: str = "") -> None:
        """Open a transaction set; *version* is ST03 and stays empty where the guide has none."""
        self._control = f"{self.envelope.transaction_control + self._transactions:04d}"
        self._transactions += 1
        self._positions = 0
        self.add("ST", identifier, self._control, version)

    def add(self, identifier: str, *elements: Element) -> None:
        """Append a segment to the open transaction."""
        self._positions += 1
        self._append(identifier, *elements)

    def end(self) -> None:
        """Close the open transaction with its SE."""
        self.add("SE", str(self._positions + 1), self._control)

    def interchange_segment(self, identifier: str, *elements: Element) -> None:
        """Append a segment that belongs to the interchange itself, before its group."""
        group = self._out.pop()
        self._append(identifier, *elements)
        self._out.append(group)

    def finish(self) -> bytes:
        """Close the group and the interchange and return the whole.

        Without a transaction, the group is left out.
        """
        if self._transactions:
            self._append("GE", str(self._transactions), str(self.envelope.group_control))
        else:
            self._out.pop()
        groups = "1" if self._transactions else "0"
        self._append("IEA", groups, f"{self.envelope.interchange_control:09d}")
        return "".join(self._out).encode("ascii")

    def _append(self, identifier: str, *elements: Element) -> None:
        parts = [(element,) if isinstance(element, str) else element for element in elements]
        said = "".join("".join(texts) for texts in parts)
        if not said.isascii() or not self._forbidden.isdisjoint(said):
            self._refuse_delimiters(identifier, parts)
        texts = [identifier]
        for element in elements:
            if isinstance(element, tuple):
                last = len(element)
                while last and not element[last - 1]:
                    last -= 1
                texts.append(self._delimiters.component.join(element[:last]))
            else:
                texts.append(element)
        while not texts[-1]:
            texts.pop()
        self._out.append(self._delimiters.element.join(texts) + self._delimiters.segment)

    def _refuse_delimiters(self, identifier: str, elements: Iterable[tuple[str, ...]]) -> None:
        for number, texts in enumerate(elements, start=1):
            if not all(text.isascii() and self._forbidden.isdisjoint(text) for text in texts):
                raise UnwritableError(
                    "A value holds a delimiter or a character that X12 does not carry.",
                    where=f"{identifier}{number:02d}",
                    fix="Correct the value at its source.",
                )

    def _isa(self) -> str:
        envelope, marks = self.envelope, self._delimiters
        elements = (
            "ISA", "03" if envelope.authorisation else "00", envelope.authorisation.ljust(10),
            "01" if envelope.password else "00", envelope.password.ljust(10),
            envelope.sender_qualifier, envelope.sender.ljust(15),
            envelope.receiver_qualifier, envelope.receiver.ljust(15),
            envelope.at.strftime("%y%m%d"), envelope.at.strftime("%H%M"), marks.repetition, "00501",
            f"{envelope.interchange_control:09d}", "1" if envelope.acknowledgement_requested else "0",
            envelope.usage, marks.component,
        )  # fmt: skip
        return marks.element.join(elements) + marks.segment


def _check(envelope: Envelope) -> None:
    wrong = ""
    marks = tuple(envelope.delimiters)
    if any(len(m) != 1 or m.isalnum() or m == " " or not m.isascii() for m in marks) or len(set(marks)) != 4:
        wrong = "delimiters"
    elif envelope.usage not in {"T", "P"}:
        wrong = "usage"
    elif len(envelope.sender_qualifier) != 2 or len(envelope.receiver_qualifier) != 2:
        wrong = "qualifiers"
    elif not 1 <= envelope.interchange_control <= 999_999_999 or not 1 <= envelope.group_control <= 999_999_999:
        wrong = "control numbers"
    elif not 1 <= envelope.transaction_control <= 999_999_999:
        wrong = "transaction control number"
    elif not all(fits(text, 1, 15, marks) for text in (envelope.sender, envelope.receiver)):
        wrong = "sender or receiver id"
    elif not all(fits(text, 0, 10, marks) for text in (envelope.authorisation, envelope.password)):
        wrong = "authorisation or password"
    if wrong:
        raise UnwritableError(f"The envelope's {wrong} cannot be written.", where="ISA")


def fits(text: str, least: int, most: int, marks: tuple[str, ...] = tuple(STANDARD)) -> bool:
    """Whether an element of the ISA of so many characters can carry *text* beside the delimiters *marks*."""
    return least <= len(text) <= most and text.isascii() and text.isprintable() and set(marks).isdisjoint(text)
