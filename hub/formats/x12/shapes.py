"""The guide's check for many claims: pyx12 judges what it has not passed before, and no shape twice.

A *shape* is a claim's head, a service line or a level with every value replaced by its form
(:mod:`hub.formats.x12.forms`), beside the level that it lies in and what comes after it; pyx12's verdict depends on
nothing else. What has a known shape was passed when the shape was met first. For the rest, an interchange of these
claims alone, with the levels that they lie in, is judged; where that is refused, and wherever an interchange is not
built as the hub builds them, the whole is judged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

from hub.formats.x12.forms import Forms, forms_of
from hub.formats.x12.judge import Verdict, judge

_MOST_KNOWN = 200_000  # sixteen bytes each
_MOST_CLAIMS = 100  # of one level, in both guides
_MOST_LINES = {"005010X222A1": 50, "005010X223A2": 999}
_PARENTS = {"20": "", "22": "20", "23": "22"}
_SAMPLED = 50  # one claim in so many is judged however well its shape is known
_HEAD, _CLAIM, _END = "head", "CLM", "SE"


class _UnusualError(Exception):
    """The interchange is not built as the hub builds them."""


@dataclass(slots=True)
class _Block:
    """A level without its claims, a claim with its lines, or what comes before and after all of them."""

    kind: str
    parent: int  # which block it lies in
    segments: list[list[str]]
    keys: list[bytes] = field(default_factory=list)


class ShapeJudge:
    """Judges interchanges of 837s as :func:`judge` does, and remembers the shapes that were passed."""

    def __init__(self) -> None:
        self._known: set[bytes] = set()
        self._claims = 0

    def judge(self, data: bytes) -> Verdict:
        """Check *data* against the guide that its group names; it never raises."""
        try:
            blocks = _read(data)
        except _UnusualError:
            return judge(data)
        wanted = list(self._wanted(blocks))
        if any(wanted):
            part = _written(blocks, _whole_neighbours(blocks, wanted))
            if not judge(part).ok:
                return judge(data)
            self._learn(_read(part))
        if all(key in self._known for block in blocks for key in block.keys):
            return Verdict(True)
        return judge(data)

    def _wanted(self, blocks: list[_Block]) -> Iterator[bool]:
        """Whether each block must be judged: the first of each shape that is not known, and a claim now and then."""
        met: set[bytes] = set()
        for block in blocks:
            new = {key for key in block.keys if key not in self._known and key not in met}
            met |= new
            self._claims += block.kind == _CLAIM
            yield bool(new) or (block.kind == _CLAIM and self._claims % _SAMPLED == 0)

    def _learn(self, blocks: list[_Block]) -> None:
        if len(self._known) > _MOST_KNOWN:
            self._known.clear()
        self._known.update(key for block in blocks for key in block.keys)


@cache
def shape_judge() -> ShapeJudge:
    """The one of this process."""
    return ShapeJudge()


def _read(data: bytes) -> list[_Block]:
    """The blocks of an interchange with one group and one transaction; raises :class:`_UnusualError` for any other."""
    segments = _split(data)
    blocks = list(_blocks(segments))
    _check_envelope(segments, blocks)
    version = blocks[0].segments[1][8]
    if version not in _MOST_LINES:
        raise _UnusualError
    forms = forms_of(version)
    for block, following in zip(blocks, [*blocks[1:], None], strict=True):
        level = blocks[block.parent].kind if block.parent >= 0 else ""
        block.keys = list(_keys(block, level, following.kind if following else "", version, forms))
    return blocks


def _split(data: bytes) -> list[list[str]]:
    text = data.decode("latin-1")
    if not (text.startswith("ISA*") and text[82:83] == "^" and text[104:106] == ":~" and text.endswith("~")):
        raise _UnusualError
    return [segment.split("*") for segment in text[:-1].split("~")]


def _blocks(segments: list[list[str]]) -> Iterator[_Block]:
    """The blocks in order; levels and lines are numbered as they must be."""
    block = _Block(_HEAD, -1, [])
    latest: dict[str, tuple[int, str]] = {"": (-1, "")}  # by the level's code: its block, its HL01
    at = level = levels = claims = lines = 0
    for elements in segments:
        name = elements[0]
        if name in {"HL", _CLAIM, _END} and block.kind != _END:
            yield block
            at += 1
            block = _Block(name, level, [])
        if name == "HL":
            levels += 1
            claims, level = 0, at
            code = elements[3] if len(elements) == 5 else ""
            if code not in _PARENTS or _PARENTS[code] not in latest:
                raise _UnusualError
            parent, number = latest[_PARENTS[code]]
            if elements[1:3] != [str(levels), number]:
                raise _UnusualError
            block.kind, block.parent = code, parent
            latest = {each: latest[each] for each in latest if each < code} | {code: (at, str(levels))}
        elif name == _CLAIM:
            claims += 1
            lines = 0
            if claims > _MOST_CLAIMS or not levels:
                raise _UnusualError
        elif name == _END:
            block.parent = -1
        elif name == "LX":
            lines += 1
            if block.kind != _CLAIM or elements[1:] != [str(lines)]:
                raise _UnusualError
        block.segments.append(elements)
    yield block


def _check_envelope(segments: list[list[str]], blocks: list[_Block]) -> None:
    """One group, one transaction, and trailers that say what the headers and the counts say."""
    names = [elements[0] for elements in segments]
    if names[:3] != ["ISA", "GS", "ST"] or names[-3:] != ["SE", "GE", "IEA"] or blocks[-1].kind != _END:
        raise _UnusualError
    if len(blocks[-1].segments) != 3 or any(names.count(each) != 1 for each in ("ISA", "GS", "ST")):
        raise _UnusualError
    isa, gs, st = segments[:3]
    if len(isa) != 17 or len(gs) != 9 or len(st) != 4:
        raise _UnusualError
    if segments[-3:] != [["SE", str(len(segments) - 4), st[2]], ["GE", "1", gs[6]], ["IEA", "1", isa[13]]]:
        raise _UnusualError
    if max(sum(elements[0] == "LX" for elements in block.segments) for block in blocks) > _MOST_LINES.get(gs[8], 0):
        raise _UnusualError


def _keys(block: _Block, level: str, following: str, version: str, forms: Forms) -> Iterator[bytes]:
    """The shape of the block's head, then of each of its lines."""
    said: list[str] = [version, level, block.kind]
    for elements in block.segments:
        if elements[0] == "LX":
            yield _key(said, "LX")
            said = [version, level, "LX"]
        elif elements[0] == "HL":
            said.append("*".join(elements[3:]))
        else:
            said.append(forms.of(elements))
    yield _key(said, following)


def _key(said: list[str], following: str) -> bytes:
    return hashlib.blake2b("~".join((*said, following)).encode(), digest_size=16).digest()


def _whole_neighbours(blocks: list[_Block], wanted: list[bool]) -> list[bool]:
    """What must be judged beside what is *wanted*: what follows each, up to a claim, and the levels around them."""
    kept = list(wanted)
    kept[0] = kept[-1] = True
    goes_on = False
    for at, block in enumerate(blocks):
        is_level = block.kind in _PARENTS
        kept[at] |= goes_on
        goes_on = wanted[at] or (goes_on and is_level)
    for at in range(len(blocks) - 1, -1, -1):
        if kept[at] and blocks[at].parent >= 0:
            kept[blocks[at].parent] = True
    return kept


def _written(blocks: list[_Block], kept: list[bool]) -> bytes:
    """An interchange of the blocks that are *kept*, its levels and segments counted anew."""
    numbers = {-1: ""}
    said: list[list[str]] = []
    for at, block in enumerate(blocks):
        if not kept[at]:
            continue
        if block.kind in _PARENTS:
            numbers[at] = str(len(numbers))
            hl, *others = block.segments
            said += [["HL", numbers[at], numbers[block.parent], *hl[3:]], *others]
        elif block.kind == _END:
            se, *others = block.segments
            said += [["SE", str(len(said) - 1), se[2]], *others]
        else:
            said += block.segments
    return ("~".join("*".join(elements) for elements in said) + "~").encode("latin-1")
