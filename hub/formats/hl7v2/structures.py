"""The standard's own tables of segments, fields and components, version by version, as hl7apy carries them.

Tables are imported when first asked for (tens of milliseconds a version), so this module is for workers and
pages, never for the reactor.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

USUAL_VERSION = "2.5.1"


@dataclass(frozen=True, slots=True)
class Element:
    """A field, component or sub-component as one version defines it.

    *title* is in sentence case; *withdrawn* means that the version names the place and forbids to use it.
    """

    title: str
    datatype: str
    version: str
    repeats: bool
    withdrawn: bool
    parts: dict[int, Element]

    @property
    def is_open(self) -> bool:
        """True where the standard lets the sender choose the datatype (OBX-5)."""
        return self.datatype == "varies"


@lru_cache(maxsize=1)
def versions() -> tuple[str, ...]:
    """The versions with tables, oldest first."""
    from hl7apy import SUPPORTED_LIBRARIES

    return tuple(sorted(SUPPORTED_LIBRARIES, key=_numbers))


@lru_cache(maxsize=64)
def nearest_version(version: str) -> str:
    """The newest version with tables that is not newer than *version*.

    The usual one when *version* is empty.
    """
    if not version:
        return USUAL_VERSION
    older = [known for known in versions() if _numbers(known) <= _numbers(version)]
    return older[-1] if older else versions()[0]


def segments(version: str) -> frozenset[str]:
    """The names of the segments that *version* defines."""
    return frozenset(name for name in _table(nearest_version(version), "segments", "SEGMENTS") if len(name) == 3)


@lru_cache(maxsize=4096)
def field(segment: str, position: int, version: str) -> Element | None:
    """The definition of a field in the nearest version, else a newer, else an older one that has it."""
    first = nearest_version(version)
    at = versions().index(first)
    for candidate in (first, *versions()[at + 1 :], *reversed(versions()[:at])):
        found = _fields(candidate, segment).get(position)
        if found:
            return found
    return None


def positions(segment: str, version: str) -> frozenset[int]:
    """The positions that exactly the nearest version gives to *segment*; empty when it does not have it."""
    return frozenset(_fields(nearest_version(version), segment))


@dataclass(frozen=True, slots=True)
class Member:
    """A segment's place in a message structure. *required* and *single* consider the groups around it."""

    segment: str
    required: bool
    single: bool


@lru_cache(maxsize=256)
def structure(name: str, version: str) -> tuple[Member, ...]:
    """The segments of a message structure such as ``ADT_A01``, in order.

    Empty when the version does not define it.
    """
    messages = _table(nearest_version(version), "messages", "MESSAGES")
    return tuple(_members(messages[name][1], required=True, single=True)) if name in messages else ()


def _members(children: Any, *, required: bool, single: bool) -> Iterator[Member]:
    for child in children:
        name, reference, (least, most), kind = child
        if kind == "GRP":
            yield from _members(reference[1], required=required and least > 0, single=single and most == 1)
        else:
            yield Member(name, required and least > 0, single and most == 1)


@lru_cache(maxsize=1024)
def _fields(version: str, segment: str) -> dict[int, Element]:
    definition = _table(version, "segments", "SEGMENTS").get(segment)
    return _parts(definition[1], version, segment) if definition and definition[0] == "sequence" else {}


def _parts(children: Any, version: str, segment: str = "") -> dict[int, Element]:
    """The elements by position.

    The tables leave withdrawn positions out, so the position is read from the name (``FT1_25``).
    """
    found = {}
    for child in children:
        name, reference = child[0], child[1]
        number = name.rpartition("_")[2] if isinstance(name, str) else ""
        if number.isdigit() and reference:
            most = child[2][1] if len(child) > 2 else 1
            found[int(number)] = Element(
                title=_sentence((reference[3] or "").removesuffix(f"_{segment}")),
                datatype=reference[2],
                version=version,
                repeats=most not in {0, 1},
                withdrawn=most == 0,
                parts=_parts(reference[1], version) if reference[0] == "sequence" else {},
            )
    return found


@lru_cache(maxsize=32)
def _table(version: str, module: str, name: str) -> dict[str, Any]:
    from hl7apy import SUPPORTED_LIBRARIES

    loaded = importlib.import_module(f"{SUPPORTED_LIBRARIES[version]}.{module}")
    table: dict[str, Any] = getattr(loaded, name)
    return table


_KEPT = frozenset(
    {"ABN", "CPT", "DEA", "DRG", "HCPCS", "HL7", "ID", "IDS", "NDC", "OID", "SSN", "TPO", "UPC", "VIP", "WCB"}
)


def _sentence(title: str) -> str:
    """``PATIENT_IDENTIFIER_LIST`` as a person writes it: ``Patient identifier list``."""
    words = [word if word in _KEPT else word.lower() for word in title.split("_") if word]
    text = " ".join(words)
    return text[:1].upper() + text[1:]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
