"""What comes outside of any MLLP block: it is kept as a refused message, with a sentence that says what went wrong.

A sender whose framing is missing would otherwise wait for ever, and nobody would know what it sent. How much is kept is
bounded, because a port scanner connects as often as it likes.
"""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

from twisted.internet import reactor as _reactor

from hub.connectors.rate import RateLimit
from hub.formats.hl7v2.header import BOM, Header, HL7ParseError, read_header
from hub.formats.hl7v2.mllp import END

reactor: Any = _reactor

QUIET = 2.0
"""Seconds without another byte after which what came is all of it."""
LONGEST = 65_536
"""Bytes that are kept of one piece."""
MOST = 20
"""Pieces of one connection that are kept."""
PER_MINUTE = 6
"""Pieces that a listener keeps a minute, in bursts of as many."""
_SAME_WITHIN = 86_400.0
_REMEMBERED = 1000
_NOTHING = bytes(range(33)) + b"\x7f"
_TLS = re.compile(rb"\x16\x03[\0-\x04]")
_HTTP = re.compile(rb"[A-Z]{3,8} \S+ HTTP/1")
_ANOTHER = re.compile(rb"[\r\n]MSH")
_HL7 = (b"MSH", b"FHS", b"BHS")
_MARKS = "A block is 0x0B, the message, 0x1C 0x0D (MLLP)."


class Stray(NamedTuple):
    """What one piece is. *header* is that of the one message that it holds, when an answer can name it."""

    sentence: str
    header: Header | None = None
    foreign: bool = False
    """Whether the peer speaks another protocol, so that nothing good can follow."""
    answered: bool = True
    """Whether an answer helps. It misleads a sender that sends the same again, whole."""


def read_stray(raw: bytes, count: int) -> Stray | None:
    """What *raw* is, the beginning of *count* bytes; None when it is nothing but spaces and control characters."""
    text = raw.strip(_NOTHING).removeprefix(BOM)
    if _TLS.match(raw):
        said = "A TLS handshake came where none is expected: the sender encrypts, this listener does not."
        return Stray(said, foreign=True)
    if not text:
        return None
    if _HTTP.match(text):
        return Stray("An HTTP request came where HL7 in MLLP blocks is expected.", foreign=True)
    cut = f" The first {len(raw):,} of {count:,} bytes are kept." if count > len(raw) else ""
    if not text.startswith(_HL7):
        said = "came outside of any block, before one began or after one had ended, and do not look like HL7."
        return Stray(f"{count:,} bytes {said} {_MARKS}{cut}")
    if END in raw:
        said = 'HL7 came without the 0x0B that begins a block; lenient = ["no_start_block"] takes it.'
    else:
        said = "HL7 came without a block around it (no MLLP framing)."
    return Stray(f"{said} {_MARKS}{cut}", None if cut else _header(text))


def read_unfinished(raw: bytes, count: int) -> Stray:
    """What a block is that began and did not end; *raw* is the beginning of its *count* bytes."""
    if END in raw:
        said = 'A block ended with 0x1C and no 0x0D; lenient = ["no_final_cr"] takes it.'
    else:
        said = "A block began and did not end before the next 0x0B; in a message 0x0B has to be escaped."
    cut = f" The first {len(raw):,} of {count:,} bytes are kept." if count > len(raw) else ""
    return Stray(f"{said} {_MARKS}{cut}", None if cut else _header(raw.strip(_NOTHING)), answered=False)


class Outside:
    """Gathers what one connection brings outside of blocks; *over* is called with each piece, and how long it was."""

    def __init__(self, over: Callable[[bytes, int], None]) -> None:
        self._over = over
        self._bytes = bytearray()
        self._count = 0
        self._quiet: Any = None

    def came(self, raw: bytes) -> int:
        """These bytes came; how many have come without a pause."""
        self._count += len(raw)
        self._bytes += raw[: max(0, LONGEST - len(self._bytes))]
        if self._quiet is None:
            self._quiet = reactor.callLater(QUIET, self.end)
        else:
            self._quiet.reset(QUIET)
        return self._count

    def end(self) -> None:
        """What came is a piece: a block begins, nothing more came, or the connection is lost."""
        if self._quiet is None:
            return
        if self._quiet.active():
            self._quiet.cancel()
        piece, count = bytes(self._bytes), self._count
        self._quiet, self._count = None, 0
        self._bytes.clear()
        self._over(piece, count)


class Sparing:
    """Decides for one listener which pieces are kept. *now* are seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._rate = RateLimit(PER_MINUTE, now)
        self._kept: OrderedDict[bytes, float] = OrderedDict()

    def admit(self, peer: str, raw: bytes, before: int) -> bool:
        """Whether to keep *raw*, which came from *peer* after *before* others of its connection.

        The same from the same peer is kept once a day.
        """
        key = hashlib.blake2b(peer.encode() + b"\0" + raw, digest_size=16).digest()
        now = self._now()
        if before >= MOST or self._kept.get(key, -_SAME_WITHIN) > now - _SAME_WITHIN or self._rate.admit(""):
            return False
        self._kept[key] = now
        self._kept.move_to_end(key)
        if len(self._kept) > _REMEMBERED:
            self._kept.popitem(last=False)
        return True


def _header(text: bytes) -> Header | None:
    """The header of the message *text* when there is one message, and an answer can name it."""
    if _ANOTHER.search(text):
        return None
    try:
        header = read_header(text)
    except HL7ParseError:
        return None
    return header if header.control_id else None
