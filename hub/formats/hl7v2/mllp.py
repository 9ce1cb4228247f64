"""The minimal lower layer protocol without any I/O: bytes in, events out.

A block is ``0x0B`` message ``0x1C 0x0D`` (HL7 v2 Transport Specification: MLLP, release 1). Each byte is
looked at once, and no more than one message up to the limit is held.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import NamedTuple

from hub.core.errors import HubError

START = b"\x0b"
END = b"\x1c"
CR = b"\r"
_NAMES = (b"MSH", b"FHS", b"BHS")
_BEGINNINGS = (*_NAMES, *(codecs.BOM_UTF8 + name for name in _NAMES))
_LINE_ENDS = (b"\r", b"\n")
_MARK = re.compile(rb"[\x0b\x1c]")


class FrameError(HubError):
    """These bytes cannot travel in an MLLP block."""

    code = "H227"


class Frame(NamedTuple):
    """One whole message. *clean* is False when its final ``0x0D`` did not come."""

    raw: bytes
    clean: bool = True


@dataclass(frozen=True, slots=True)
class Noise:
    """*raw* came outside any block."""

    raw: bytes

    @property
    def count(self) -> int:
        """How many bytes that are."""
        return len(self.raw)


@dataclass(frozen=True, slots=True)
class Restart:
    """A new block began inside another; *raw* is what had come of the unfinished one."""

    raw: bytes


@dataclass(frozen=True, slots=True)
class Oversize:
    """A block grew past *limit* bytes and was dropped; the rest of it will be reported as noise."""

    limit: int


Event = Frame | Noise | Restart | Oversize


def frame(raw: bytes) -> bytes:
    """*raw* as an MLLP block. Raises :class:`FrameError` when it contains the block's own marks."""
    if START in raw or END in raw:
        raise FrameError(
            "This message contains a byte that marks the start or end of a block.",
            expected="no 0x0B and no 0x1C",
            fix="Escape control characters in the fields.",
        )
    return b"".join((START, raw, END, CR))


class FrameReader:
    """Cuts a stream into messages of at most *max_bytes* each."""

    def __init__(
        self, max_bytes: int = 16 * 1024 * 1024, *, no_start_block: bool = False, no_final_cr: bool = False
    ) -> None:
        """Read strictly, or for senders that leave something out.

        With *no_start_block* a block may also begin with the letters MSH, FHS or BHS, behind a byte order mark or
        not, at the start of what comes outside any block; with *no_final_cr* 0x1C alone ends it, at once.
        """
        self._limit = max_bytes
        self._no_start_block = no_start_block
        self._no_final_cr = no_final_cr
        self._outside_head = b""
        """The first letters outside a block, while they may still become a message's."""
        self._block = bytearray()
        self._inside = False
        self._in_noise = False
        self._ended = False
        """The last byte inside the block was 0x1C: what follows decides whether it ends the block."""

    @property
    def pending(self) -> bool:
        """True while a block has begun and not ended: the peer owes us the rest."""
        return self._inside

    @property
    def unfinished(self) -> bytes:
        """What has come of the block that has begun and not ended."""
        return bytes(self._block)

    @property
    def awaits_cr(self) -> bool:
        """True when only the final 0x0D is missing: call :meth:`flush` after a short silence."""
        return self._ended

    def feed(self, data: bytes) -> list[Event]:
        """What *data* completes, in the order in which it came."""
        if not self._inside and _is_one_block(data) and len(data) <= self._limit:
            self._outside_head = b""
            return [Frame(data[1:-2])]
        events: list[Event] = []
        position = 0
        while position < len(data):
            if not self._inside:
                position = self._outside(data, position, events)
            elif self._ended:
                position = self._after_end(data, position, events)
            else:
                position = self._within(data, position, events)
        return events

    def flush(self) -> list[Event]:
        """The message whose final 0x0D did not come in time, if there is one."""
        return [self._complete(clean=False)] if self._ended else []

    def _outside(self, data: bytes, position: int, events: list[Event]) -> int:
        if self._no_start_block:
            return self._unmarked(data, position, events)
        return self._noise(data, position, events)

    def _unmarked(self, data: bytes, position: int, events: list[Event]) -> int:
        """As `_noise`, where a message may begin without its mark. Its first letters may come one by one."""
        byte = data[position : position + 1]
        head = self._outside_head + byte
        if byte == START:
            self._outside_head = b""
            self._inside = True
        elif any(name.startswith(head) for name in _BEGINNINGS):
            self._outside_head = head
            if head in _BEGINNINGS:
                self._block += head
                self._outside_head = b""
                self._inside = True
        elif byte in _LINE_ENDS and not self._outside_head:
            pass
        else:
            lost, self._outside_head = self._outside_head, b""
            if lost:
                events.append(Noise(lost))
                self._in_noise = True
            return self._noise(data, position, events)
        return position + 1

    def _noise(self, data: bytes, position: int, events: list[Event]) -> int:
        start = data.find(START, position)
        end = start if start >= 0 else len(data)
        # Line ends between blocks are common and mean nothing; within noise they are some of it.
        noise = data[position:end] if self._in_noise else data[position:end].lstrip(b"\r\n")
        if noise:
            events.append(Noise(noise))
        self._inside = start >= 0
        self._in_noise = bool(noise) and not self._inside
        return end + 1

    def _within(self, data: bytes, position: int, events: list[Event]) -> int:
        mark = _MARK.search(data, position)
        end = mark.start() if mark else len(data)
        if len(self._block) + end - position > self._limit:
            self._reset()
            events.append(Oversize(self._limit))
            return end
        self._block += data[position:end]
        if not mark:
            return end
        if mark[0] == END and self._no_final_cr:
            events.append(self._complete(clean=True))
        elif mark[0] == END:
            self._ended = True
        else:
            events.append(Restart(bytes(self._block)))
            self._block.clear()
        return end + 1

    def _after_end(self, data: bytes, position: int, events: list[Event]) -> int:
        following = data[position : position + 1]
        if following == CR:
            events.append(self._complete(clean=True))
            return position + 1
        if following == START:
            events.append(self._complete(clean=False))
            return position
        # A 0x1C that nothing confirms is a byte of the message; whoever parses it will say so.
        self._ended = False
        self._block += END
        return position

    def _complete(self, *, clean: bool) -> Frame:
        raw = bytes(self._block)
        self._reset()
        return Frame(raw, clean)

    def _reset(self) -> None:
        self._block = bytearray()
        self._inside = self._ended = False


def _is_one_block(data: bytes) -> bool:
    """Whether *data* is one whole block and nothing else, as it nearly always comes."""
    return (
        data.startswith(START)
        and data.endswith(END + CR)
        and data.find(END) == len(data) - 2
        and data.find(START, 1) < 0
    )
