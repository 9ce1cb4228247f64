"""Acknowledgements: when they are wanted, how they are written and read.

HL7 v2.5.1 chapter 2, section 2.9; tables 0008, 0155 and 0357.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple, get_args

from hub.formats.hl7v2.escape import DEFAULT, Delimiters, escape
from hub.formats.hl7v2.header import BLOCK_MARK, Header, HL7ParseError, codec_for
from hub.formats.hl7v2.message import Message
from hub.formats.hl7v2.path import PathError, parse_path

AckCode = Literal["AA", "AE", "AR", "CA", "CE", "CR"]
_CODES = frozenset(get_args(AckCode))
_MARKUP = re.compile(rb'[\\^~&"\r\n]')

CONDITIONS = {
    "0": "Message accepted",
    "100": "Segment sequence error",
    "101": "Required field missing",
    "102": "Data type error",
    "103": "Table value not found",
    "200": "Unsupported message type",
    "201": "Unsupported event code",
    "202": "Unsupported processing id",
    "203": "Unsupported version id",
    "204": "Unknown key identifier",
    "205": "Duplicate key identifier",
    "206": "Application record locked",
    "207": "Application internal error",
}
"""HL7 table 0357, message error condition codes."""


@dataclass(frozen=True, slots=True)
class AckError:
    """What an acknowledgement complains about.

    *condition* is a code of table 0357, *where* a path in canonical or short form (``PID[1]-3[2].1``,
    ``MSH-9``, ``PID``), *text* a sentence for the people at the other end. *severity* is ``E``, ``W`` or
    ``I``.
    """

    condition: str
    text: str
    where: str = ""
    severity: str = "E"

    @classmethod
    def of(cls, error: HL7ParseError) -> AckError:
        """The complaint about a message that could not be parsed."""
        return cls(condition=error.condition, text=error.what, where=error.where)


class Ack(NamedTuple):
    """An acknowledgement that came back. *control_id* is MSA-2: the message that it answers."""

    code: str
    control_id: str
    text: str
    error_condition: str
    error_location: str
    error_text: str

    @property
    def accepted(self) -> bool:
        """True for ``AA`` and ``CA``."""
        return self.code in {"AA", "CA"}


def is_enhanced(header: Header) -> bool:
    """True when MSH-15 or MSH-16 is valued: the sender speaks the enhanced acknowledgement mode."""
    return bool(header.accept_ack or header.application_ack)


def wants_accept_ack(header: Header, ok: bool) -> bool:
    """True when the sender wants an answer once the message is stored (*ok*) or refused (MSH-15, table 0155).

    In original mode there is one answer and it is always wanted. In enhanced mode an empty MSH-15 means
    never.
    """
    return not is_enhanced(header) or _wanted(header.accept_ack, ok)


def wants_application_ack(header: Header, ok: bool) -> bool:
    """True when the sender wants a second answer once the message has been processed (MSH-16, table 0155).

    Never in original mode, where the first answer is the only one.
    """
    return is_enhanced(header) and _wanted(header.application_ack, ok)


def _wanted(condition: str, ok: bool) -> bool:
    return condition in {"AL", "SU" if ok else "ER"}


def acknowledge(
    header: Header | None,
    code: AckCode,
    *,
    control_id: str,
    now: dt.datetime,
    text: str = "",
    error: AckError | None = None,
    sending: tuple[str, str] | None = None,
    accept: str = "NE",
) -> bytes:
    """The acknowledgement of the message with this *header*; ``None`` when its MSH could not be read.

    *control_id* is ours (MSH-10) and *now* must have an offset. The message's own delimiters are used, sender
    and receiver are exchanged (*sending* overrides what we call ourselves), and MSA-2 repeats MSH-10 byte for
    byte. A message in UTF-16 is answered in UTF-16, as long as that can travel in a block. *accept* says in enhanced
    mode when the answer itself is to be acknowledged (MSH-15): never, where it goes back the way the message came.

    Before version 2.3.1 the type is ACK alone, and before 2.5 the complaint's sentence stands in MSA-3, because ERR
    had no place for it.
    """
    delimiters = _delimiters(header)
    separator = delimiters.field.encode("ascii")
    codec = (codec_for(header.character_set) if header and not header.wide else None) or "utf-8"

    def own(value: str) -> bytes:
        return escape(value, delimiters).encode(codec, "replace")

    def echoed(position: int, default: str = "") -> bytes:
        return (header.wire(position) if header else b"") or own(default)

    component = delimiters.component.encode("ascii")
    enhanced = header is not None and is_enhanced(header)
    version = _version(header)
    event = header.event if header and version >= (2, 3, 1) else ""
    if error and not text and version < (2, 5):
        text = error.text
    msh = [
        b"MSH",
        delimiters.encoding_characters.encode("ascii"),
        own(sending[0]) if sending else echoed(5),
        own(sending[1]) if sending else echoed(6),
        echoed(3),
        echoed(4),
        _stamp(now),
        b"",
        component.join((b"ACK", own(event), b"ACK")) if event else b"ACK",
        own(control_id),
        echoed(11, "P"),
        echoed(12, "2.5.1"),
        b"",
        b"",
        own(accept) if enhanced else b"",
        b"NE" if enhanced else b"",
        b"",
        echoed(18),
    ]
    segments = [msh, [b"MSA", code.encode("ascii"), echoed(10), own(text)]]
    if error:
        fields = _error_fields(error, delimiters, version)
        segments.append([b"ERR", *(field.encode(codec, "replace") for field in fields)])
    answer = b"".join(separator.join(fields).rstrip(separator) + b"\r" for fields in segments)
    return widened(answer, header) if header and header.wide else answer


@lru_cache(maxsize=8)
def _stamp(now: dt.datetime) -> bytes:
    return now.strftime("%Y%m%d%H%M%S%z").encode("ascii")


def widened(answer: bytes, header: Header) -> bytes:
    """*answer*, in UTF-8, as the sender of the wide message with this *header* writes; or as it is if it must be."""
    wide = header.mark + answer.decode("utf-8", "replace").encode(header.wide)
    return answer if BLOCK_MARK.search(wide) else wide


def read_ack(raw: bytes) -> Ack:
    """What the acknowledgement *raw* says.

    Raises :class:`HL7ParseError` when it is none: no MSH, no MSA, or no known code.
    """
    plain = _read_plain(raw)
    if plain is not None:
        return plain
    message = Message(raw)
    code = message["MSA-1"].strip().upper()
    if code not in _CODES:
        raise HL7ParseError(
            "This answer is not an acknowledgement.", where="MSA-1", expected="AA, AE, AR, CA, CE or CR"
        )
    if not message.each("ERR") and not message["MSA-6"]:  # as nearly always
        return Ack(code, message["MSA-2"], message["MSA-3"], "", "", "")
    modern = bool(message["ERR-3"] or message["ERR-2"])
    return Ack(
        code=code,
        control_id=message["MSA-2"],
        text=message["MSA-3"],
        error_condition=message["ERR-3.1"] if modern else message["ERR-1.4.1"] or message["MSA-6.1"],
        error_location=_location(message, "ERR-2" if modern else "ERR-1", modern=modern),
        error_text=message["ERR-8"] or message["ERR-7"] or message["ERR-3.2"] or message["ERR-1.4.2"],
    )


def _read_plain(raw: bytes) -> Ack | None:
    """An acknowledgement that needs no view, as nearly all: MSH, MSA, the usual delimiters, ASCII, nothing escaped."""
    msh, _, msa = raw.rstrip(b"\r").partition(b"\r")
    fields = msa.split(b"|")
    if (
        len(fields) not in {3, 4}
        or fields[0] != b"MSA"
        or not msh.startswith(b"MSH|^~\\&|")
        or msh.split(b"|", 9)[8:9] != [b"ACK"]
        or not msa.isascii()
        or _MARKUP.search(msa)
        or BLOCK_MARK.search(msh)
    ):
        return None
    code, control_id, text = (*(field.decode("ascii") for field in fields[1:]), "")[:3]
    return Ack(code, control_id, text, "", "", "") if code in _CODES and control_id else None


def _delimiters(header: Header | None) -> Delimiters:
    """The message's own delimiters where they are enough to write an answer with."""
    if header and header.delimiters.escape and header.delimiters.subcomponent:
        return header.delimiters
    return DEFAULT


def _version(header: Header | None) -> tuple[int, ...]:
    """The version that an answer is written in: the message's, else 2.5.1."""
    return tuple(int(part) for part in header.version.split(".")) if header and header.version else (2, 5, 1)


def _error_fields(error: AckError, delimiters: Delimiters, version: tuple[int, ...]) -> list[str]:
    """ERR-1 and up: one coded location before version 2.5, separate fields since."""
    segment, ordinal, field, repetition, component = _place(error.where)
    condition = (error.condition, CONDITIONS.get(error.condition, ""), "HL70357")
    if version < (2, 5):
        place = delimiters.component.join((segment, ordinal, field))
        return [place + delimiters.component + delimiters.subcomponent.join(condition)]
    place = delimiters.component.join((segment, ordinal, field, repetition, component))
    return [
        "",
        place.rstrip(delimiters.component),
        delimiters.component.join(condition),
        error.severity,
        "",
        "",
        "",
        escape(error.text, delimiters),
    ]


def _place(where: str) -> tuple[str, str, str, str, str]:
    """*where* as ERR-2 wants it: segment, its ordinal, field, repetition, component."""
    try:
        path = parse_path(where)
    except PathError:
        segment = where[:3] if where[:3].isalnum() and where[3:4] in {"", "-"} else ""
        return segment, "1" if segment else "", "", "", ""
    repetition = path.repetition if isinstance(path.repetition, int) and path.repetition else 1
    component = str(path.component or "")
    return path.segment, str(path.ordinal or 1), str(path.field), str(repetition), component


def _location(message: Message, field: str, *, modern: bool) -> str:
    """The place that an ERR names, as a path; ``""`` when it names none."""
    segment, ordinal, position = (message[f"{field}.{number}"] for number in (1, 2, 3))
    if not segment:
        return ""
    place = f"{segment}[{ordinal or 1}]"
    if not position:
        return place
    repetition, component = (message[f"{field}.{number}"] if modern else "" for number in (4, 5))
    return f"{place}-{position}[{repetition or 1}]" + (f".{component}" if component else "")
