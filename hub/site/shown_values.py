"""Values that a mapping script handles, as texts that may be shown: what says something of a person is marked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from decimal import Decimal
from typing import Any

from hub.scripting import Event, Message, Row, Segment, Table, X12File

_OPEN = frozenset(
    {
        "kind", "code", "modifiers", "units", "amount", "diagnoses", "place_of_service", "department", "priority",
        "relationship", "payer_id", "payer_name", "patient_class", "state", "queue", "reason", "to", "kinds",
        "partner", "cancelled", "source_path", "performing_npi", "ordering_npi", "attending_npi", "searches", "reads",
    }
)  # fmt: skip
"""Fields that say nothing of a person on their own."""
_UNSAID = frozenset({"line", "body", "source_path"})


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a shown value; *hidden* when it may say something of a person."""

    text: str
    hidden: bool = False


def value_parts(value: Any, name: str) -> Iterator[Part]:
    """*value*, which is called *name*, in parts."""
    match value:
        case Message() | Segment() | Event() | X12File() | Table():
            yield Part(repr(value))  # says where or what it is, nothing of what is in it
        case Row():  # a code table says nothing of a person
            yield Part(f"{value.table.rpartition('/')[2]}:{value.line} {value.values}")
        case tuple() | list():
            yield from _joined("[", (value_parts(item, name) for item in value), ", ", "]")
        case dict():
            yield from _joined("{", (_entry(str(key), item) for key, item in value.items()), ", ", "}")
        case _ if is_dataclass(value) and not isinstance(value, type):
            shown = (value_parts(item, key) for key, item in shown_fields(value))
            yield from _joined(f"{type(value).__name__}(", shown, " ", ")")
        case _:
            text = f"{value:f}" if isinstance(value, Decimal) else str(value)
            yield Part(text, not (name in _OPEN or value is None or isinstance(value, bool | int | Decimal)))


def shown_fields(thing: Any) -> Iterator[tuple[str, Any]]:
    """The fields of *thing* that say something, by name; none when it is no dataclass."""
    for item in fields(thing) if is_dataclass(thing) else ():
        value = getattr(thing, item.name)
        if item.name not in _UNSAID and value not in (None, "", (), []):
            yield item.name, value


def _entry(key: str, value: Any) -> Iterator[Part]:
    yield Part(f"{key}: ")
    yield from value_parts(value, key)


def _joined(begins: str, items: Iterable[Iterator[Part]], between: str, ends: str) -> Iterator[Part]:
    yield Part(begins)
    for number, item in enumerate(items):
        if number:
            yield Part(between)
        yield from item
    yield Part(ends)
