"""Messages that come in several parts: DSC says that more follows, MSH-14 of the next part repeats its pointer.

Source: HL7 v2.5.1 chapter 2, section 2.10.2. Segments that are cut within themselves go on in an ADD segment, which
:class:`hub.formats.hl7v2.message.Message` reads as part of the segment before it; so joining is a matter of leaving
out what only held the parts together.
"""

from __future__ import annotations

from collections.abc import Sequence

from hub.formats.hl7v2.header import Header, content, narrow
from hub.formats.hl7v2.message import Message

_OF_EVERY_PART = frozenset({b"MSH", b"SFT", b"UAC"})


def continued_by(raw: bytes, header: Header) -> str:
    """The pointer (DSC-1) by which another message goes on with this one; empty when it is whole.

    *header* is that of *raw*. What ``I`` in DSC-2 marks is a query's answer, which the sender continues when asked.
    """
    name = b"DSC" + header.delimiters.field.encode("ascii")
    if name not in raw and not header.wide:
        return ""
    message = Message(raw)
    segments = message.each("DSC")
    if not segments or segments[-1]["DSC-2"] == "I":
        return ""
    return segments[-1]["DSC-1"]


def join_parts(parts: Sequence[bytes]) -> bytes:
    """The message that *parts* are, in their order: the first one's header, every other segment of all of them.

    The parts are in one character set with the same delimiters, as the standard wants. The result is never wide.
    """
    kept = (line for number, part in enumerate(parts) for line in _lines(part) if number == 0 or _is_content(line))
    return b"".join(line + b"\r" for line in kept if line[:3].upper() != b"DSC")


def _lines(part: bytes) -> list[bytes]:
    return [line for line in content(narrow(part).raw).replace(b"\n", b"\r").split(b"\r") if line]


def _is_content(line: bytes) -> bool:
    return line[:3].upper() not in _OF_EVERY_PART
