"""MSH, read alone and fast: what a listener needs to answer before anything else looks at the message.

Everything here works on bytes and is safe on the reactor. MSH-1 is the separator itself, so MSH-3 is the
third *value* but the second *separated* part; ``Header.wire`` hides that.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from hub.core.errors import HubError, masked
from hub.formats.hl7v2.escape import Delimiters, unescape

BOM = codecs.BOM_UTF8
_BEFORE = b"\r\n\t \x0b"
_AFTER = b"\r\n\x1c"
BLOCK_MARK = re.compile(rb"[\x0b\x1c]")
_WIDE = (
    # UTF-32 first: its first bytes would also do for UTF-16.
    ("utf-32-le", codecs.BOM_UTF32_LE, re.compile(rb"(?:\xff\xfe\0\0)?(?:[\r\n\t ]\0\0\0)*[MFB]\0\0\0[SH]\0\0\0")),
    ("utf-32-be", codecs.BOM_UTF32_BE, re.compile(rb"(?:\0\0\xfe\xff)?(?:\0\0\0[\r\n\t ])*\0\0\0[MFB]\0\0\0[SH]")),
    ("utf-16-le", codecs.BOM_UTF16_LE, re.compile(rb"(?:\xff\xfe)?(?:[\r\n\t ]\0)*[MFB]\0[SH]\0")),
    ("utf-16-be", codecs.BOM_UTF16_BE, re.compile(rb"(?:\xfe\xff)?(?:\0[\r\n\t ])*\0[MFB]\0[SH]")),
)  # fmt: skip
_ISO_8859 = re.compile(r"(?:ISO[ -]?)?8859[-/ ](\d{1,2})")
# Python knows codecs that are no character sets or that can fail ("idna"). Messages in UTF-16 and UTF-32 are known by
# their bytes (see `narrow`); one whose delimiters are single bytes is in neither, whatever it says.
_TEXT_CODEC = re.compile(
    r"utf-8|iso8859-\d+|cp125\d|cp437|cp85[08]|cp932|cp949|cp950|koi8-[rtu]|gb18030|gbk|big5|euc_kr|euc_jp|shift_jis|iso2022_jp"
)
_REMEMBERED = 65_536
_LONGEST_NAMES = 1000
_PLAIN_BEGINNING = re.compile(rb"MSH\|\^~\\&(?:\|[^|\r\n\x0b\x1c]*){6}\|[A-Z0-9][^|\r\n\x0b\x1c]*\|([A-Za-z0-9._-]+)\|")
_VERSION = re.compile(r"\s*[vV]?(\d{1,3}(?:\.\d{1,3}){0,3})")


class HL7ParseError(HubError):
    """These bytes are not an HL7 message. *condition* is the HL7 table 0357 code for an acknowledgement."""

    code = "H220"

    def __init__(
        self,
        what: str,
        *,
        where: str,
        expected: str = "",
        found: str = "",
        fix: str = "",
        condition: str = "100",
    ) -> None:
        super().__init__(what, where=where, expected=expected, found=found, fix=fix)
        self.condition = condition


class Narrowed(NamedTuple):
    """A message whose delimiters are single bytes, and what it was before: see :func:`narrow`."""

    raw: bytes
    wide: str
    """``utf-16-le`` and the like; empty when the message came as it is."""
    mark: bytes
    """The byte order mark that it began with, if it was wide."""


@dataclass(frozen=True, slots=True)
class Header:
    """The values of MSH. Texts are decoded and unescaped, when asked for; ``wire`` gives the bytes as they came."""

    delimiters: Delimiters
    type: str
    """``ADT^A04``, from MSH-9.1 and MSH-9.2; ``ACK`` when there is no event."""
    control_id: str
    character_set: str
    """MSH-18: of its repetitions the first that names a character set reliably, else the first."""
    codec: str = field(repr=False)
    """The Python codec of these values."""
    fields: tuple[bytes, ...] = field(repr=False)
    wide: str = ""
    """``utf-16-le`` and the like when the message was written in that; ``fields`` are UTF-8 then."""
    mark: bytes = b""
    """The byte order mark of a wide message."""

    @property
    def event(self) -> str:
        """MSH-9.2, the trigger event: ``A04``."""
        return self.type.partition("^")[2]

    @property
    def structure(self) -> str:
        """MSH-9.3, such as ``ADT_A01``."""
        return self.text(9, 3)

    @property
    def sending_application(self) -> str:
        """MSH-3.1."""
        return self.text(3)

    @property
    def sending_facility(self) -> str:
        """MSH-4.1."""
        return self.text(4)

    @property
    def receiving_application(self) -> str:
        """MSH-5.1."""
        return self.text(5)

    @property
    def receiving_facility(self) -> str:
        """MSH-6.1."""
        return self.text(6)

    @property
    def sent(self) -> str:
        """MSH-7 as it was written."""
        return self.text(7)

    @property
    def processing_id(self) -> str:
        """MSH-11.1: ``P``, ``T`` or ``D``."""
        return self.text(11)

    @property
    def version(self) -> str:
        """MSH-12.1 without decoration: ``2.5.1^USA`` and ``2.5.1.`` are both ``2.5.1``."""
        return normal_version(self.text(12))

    @property
    def accept_ack(self) -> str:
        """MSH-15: when the sender wants a commit acknowledgement (table 0155)."""
        return self.text(15).upper()

    @property
    def application_ack(self) -> str:
        """MSH-16: when the sender wants an application acknowledgement (table 0155)."""
        return self.text(16).upper()

    @property
    def continues(self) -> str:
        """MSH-14: the pointer by which this message goes on with an earlier one."""
        return self.text(14)

    def text(self, position: int, component: int = 1) -> str:
        """Component *component* of MSH-*position* (3 and up); ``""`` when it is absent, empty or null."""
        wire = self.wire(position)
        return _text(wire, component, self.delimiters, self.codec) if wire else ""

    def wire(self, position: int) -> bytes:
        """MSH-*position* (3 and up) as it stands in the message, ``b""`` when it does not."""
        index = position - 1
        return self.fields[index] if index < len(self.fields) else b""


class _Last(NamedTuple):
    raw: bytes
    header: Header


_last_read: list[_Last] = []
"""At most one: a listener and its channel ask for the header of the same bytes one after the other."""


def read_header(raw: bytes) -> Header:
    """The MSH of *raw*, without looking at the rest.

    A byte order mark, blank lines and a block start before MSH are tolerated. Where MSH-9 has no event, as in
    version 2.1, the event is that of an EVN which follows. Raises :class:`HL7ParseError`, and nothing else,
    when MSH is missing, its delimiters cannot work, or it is too short to say what the message is (MSH-9).
    """
    for last in _last_read:
        if last.raw is raw:
            return last.header
    header = _read_header(*narrow(raw))
    if len(raw) <= _REMEMBERED:
        _last_read[:] = [_Last(raw, header)]
    return header


def read_control_id(raw: bytes) -> str:
    """MSH-10 of *raw*, by the shortest way that there is. Raises :class:`HL7ParseError` as :func:`read_header` does."""
    found = _PLAIN_BEGINNING.match(raw)
    if found:
        return found[1].decode("ascii")
    return read_header(raw).control_id


def _read_header(raw: bytes, wide: str, mark: bytes) -> Header:
    start, end = _msh_span(raw)
    line = raw[start:end].rstrip(_AFTER)
    if BLOCK_MARK.search(line):
        raise HL7ParseError(
            "MSH holds a byte that marks the start or end of an MLLP block.",
            where="MSH",
            expected="no 0x0B and no 0x1C",
        )
    delimiters = _delimiters(line, start)
    fields = tuple(line.split(line[3:4]))
    character_set = _character_set(fields[17][:_LONGEST_NAMES], delimiters) if len(fields) > 17 else ""
    codec = "utf-8" if wide else codec_for(character_set) or _guess(line)
    kind = fields[8] if len(fields) > 8 else b""
    code, event = (_text(kind, component, delimiters, codec) for component in (1, 2))
    if not code:
        raise HL7ParseError(
            "This message does not say what it is.",
            where="MSH-9",
            expected="a message type such as ADT^A04",
            condition="101",
        )
    if not event and code != "ACK":
        event = _event_of_evn(raw[end : end + 32], delimiters)
    return Header(
        delimiters=delimiters,
        type=f"{code}^{event}" if event else code,
        control_id=_text(fields[9], 1, delimiters, codec) if len(fields) > 9 else "",
        character_set=character_set,
        codec=codec,
        fields=fields,
        wide=wide,
        mark=mark,
    )


def _text(wire: bytes, component: int, delimiters: Delimiters, codec: str) -> str:
    """Component *component* of a field as it stands in the message, decoded; ``""`` when there is none."""
    if not wire:
        return ""
    parts = wire.split(delimiters.component.encode("ascii"), component)
    if component > len(parts):
        return ""
    text = parts[component - 1].decode(codec, "replace").strip()
    return "" if text == '""' else unescape(text, delimiters)


def narrow(raw: bytes) -> Narrowed:
    """*raw* in UTF-8 if it is an HL7 message, batch or file in UTF-16 or UTF-32, with or without a byte order mark.

    Anything else comes back as it is. Known by its first characters, because MSH-18 can only be read afterwards.
    """
    if raw.startswith(b"MSH") or (b"\0" not in raw[:16] and raw[:2] not in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE}):
        return Narrowed(raw, "", b"")
    for codec, mark, beginning in _WIDE:
        if beginning.match(raw):
            marked = raw.startswith(mark)
            text = raw[len(mark) if marked else 0 :].decode(codec, "replace")
            return Narrowed(text.encode("utf-8", "replace"), codec, mark if marked else b"")
    return Narrowed(raw, "", b"")


def content_without_timestamp(raw: bytes) -> bytes:
    """*raw* as it is compared to find duplicates.

    MSH-7 is blanked, line ends are CR, and nothing stands before MSH or after the last segment. Raises
    :class:`HL7ParseError` when there is no MSH or its delimiters cannot work.
    """
    raw = narrow(raw).raw
    start, end = _msh_span(raw)
    separator = _delimiters(raw[start:end], start).field.encode("ascii")
    fields = raw[start:end].split(separator, 7)
    if len(fields) > 6:
        fields[6] = b""
    body = (separator.join(fields) + raw[end:]).rstrip(_AFTER)
    if b"\n" not in body and b"\r\r" not in body:
        return body
    return b"\r".join(line for line in body.replace(b"\n", b"\r").split(b"\r") if line)


def content(raw: bytes) -> bytes:
    """*raw* from its MSH to its last segment: without a byte order mark, blank lines or block marks around them.

    *raw* is narrow. Raises :class:`HL7ParseError` when there is no MSH.
    """
    start, _ = _msh_span(raw)
    return raw[start:].rstrip(_AFTER)


def normal_version(text: str) -> str:
    """The digits of a version however it is decorated (``2.5.1^USA``, ``2.3.``, ``v2.3``).

    ``""`` when there are none.
    """
    found = _VERSION.match(text)
    return found[1] if found else ""


@lru_cache(maxsize=256)
def codec_for(character_set: str) -> str | None:
    """The Python codec for an MSH-18 value (HL7 table 0211), or ``None`` when it says nothing reliable.

    ``ASCII`` says nothing: senders that declare it send other bytes as well.
    """
    name = character_set.strip().upper()
    if name in {"", "ASCII"}:
        return None
    if part := _ISO_8859.fullmatch(name):
        name = f"ISO-8859-{part[1]}"
    known = {
        "UNICODE": "utf-8",
        "GB 18030-2000": "gb18030",
        "BIG-5": "big5",
        "KS X 1001": "euc_kr",
        "ISO IR87": "iso2022_jp",
    }
    name = known.get(name, name.removeprefix("UNICODE ").strip())
    try:
        found = codecs.lookup(name).name
    except (LookupError, ValueError):
        return None
    return found if _TEXT_CODEC.fullmatch(found) else None


def decode(raw: bytes, character_set: str, encoding: str | None = None) -> str:
    """*raw* as text, never failing.

    By *encoding* if given, else by MSH-18, else UTF-8, else Windows-1252 or Latin-1.
    """
    codec = encoding or codec_for(character_set) or _guess(raw)
    return raw.decode(codec, "replace")


def _guess(raw: bytes) -> str:
    for codec in ("utf-8", "cp1252"):
        try:
            raw.decode(codec)
        except UnicodeDecodeError:
            continue
        return codec
    return "latin-1"


def _msh_span(raw: bytes) -> tuple[int, int]:
    """Where the MSH line starts and ends."""
    if raw.startswith(b"MSH"):
        end = raw.find(b"\r")
        newline = raw.find(b"\n", 0, end if end >= 0 else len(raw))
        return 0, newline if newline >= 0 else end if end >= 0 else len(raw)
    start = 0
    while raw[start : start + 1] and (raw[start] in _BEFORE or raw.startswith(BOM, start)):
        start += 3 if raw[start] == BOM[0] else 1
    if not raw.startswith(b"MSH", start):
        raise _no_msh(raw, start)
    ends = [position for position in (raw.find(b"\r", start), raw.find(b"\n", start)) if position >= 0]
    return start, min(ends, default=len(raw))


def _no_msh(raw: bytes, start: int) -> HL7ParseError:
    if start >= len(raw):
        return HL7ParseError("This message is empty.", where="byte 0", expected="a message that begins with MSH")
    fix = ""
    if raw[start : start + 3] in {b"FHS", b"BHS"}:
        fix = "This is a batch: split it into its messages first."
    return HL7ParseError(
        "This message does not begin with MSH.",
        where=f"byte {start}",
        expected="MSH",
        found=masked(raw[start : start + 3].decode("latin-1")),
        fix=fix,
    )


def _delimiters(line: bytes, start: int) -> Delimiters:
    separator = line[3:4]
    characters = line[4:].split(separator, 1)[0] if separator else b""
    found = _usable(separator, characters) if len(characters) <= 5 else None
    if found is None:
        raise HL7ParseError(
            "The delimiters of this message cannot be used.",
            where=f"MSH-2 (byte {start + 4})",
            expected="two to five different punctuation characters, such as ^~\\&",
            found=f"{len(characters)} characters",
        )
    return found


@lru_cache(maxsize=256)
def _usable(separator: bytes, characters: bytes) -> Delimiters | None:
    """The delimiters that a message declares so; None when they cannot work."""
    every = separator + characters
    usable = all(33 <= byte <= 126 and not chr(byte).isalnum() for byte in every)
    if not separator or not usable or len(set(every)) != len(every) or len(characters) < 2:
        return None
    component, repetition, escape, subcomponent, truncation = (*every[1:].decode("ascii"), "", "", "")[:5]
    return Delimiters(separator.decode("ascii"), component, repetition, escape, subcomponent, truncation)


@lru_cache(maxsize=256)
def _character_set(wire: bytes, delimiters: Delimiters) -> str:
    """Of the repetitions of MSH-18 the first that names a character set reliably, else the first that says something.

    The first repetition is the message's own; the others are sets that ISO 2022 sequences may switch to. Behind
    ``ASCII`` they are needed to read the message at all.
    """
    text = wire.decode("ascii", "replace")
    repetitions = text.split(delimiters.repetition) if delimiters.repetition else [text]
    values = [value.partition(delimiters.component)[0].strip() for value in repetitions]
    said = [value for value in values if value and value != '""']
    return next((value for value in said if codec_for(value)), said[0] if said else "")


def _event_of_evn(following: bytes, delimiters: Delimiters) -> str:
    """EVN-1, if *following*, which is what comes after MSH, begins with it."""
    head, _, rest = following.lstrip(_AFTER).partition(delimiters.field.encode("ascii"))
    event = re.split(rb"[^A-Za-z0-9]", rest, maxsplit=1)[0]
    return event.decode("ascii") if head == b"EVN" and len(event) == 3 else ""
