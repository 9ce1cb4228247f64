"""Dataclasses to plain JSON values and back, so that a claim can be stored and read again unchanged."""

from __future__ import annotations

import types
from dataclasses import MISSING, fields, is_dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from hub.formats.x12.errors import BadRecordError

T = TypeVar("T")
Plain = None | bool | int | str | list["Plain"] | dict[str, "Plain"]


def to_plain(value: object) -> Plain:
    """*value* as JSON values: amounts and quantities as texts, dates in ISO form, tuples as lists.

    What has its default is left out.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, tuple):
        return [to_plain(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(item) for f in fields(value) if (item := getattr(value, f.name)) != f.default}
    raise TypeError(f"{type(value).__name__} is not a part of any record")


def from_plain(kind: type[T], data: Plain) -> T:
    """The *kind* that :func:`to_plain` made *data* from. Fields left out take their defaults.

    Raises :class:`BadRecordError` with the path of the field when something is missing, unknown or of another
    type.
    """
    return cast("T", _read(kind, data, kind.__name__))


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _read(kind: Any, data: Plain, path: str) -> object:
    if get_origin(kind) in (Union, types.UnionType):
        return _read_choice(get_args(kind), data, path)
    if get_origin(kind) is tuple:
        if not isinstance(data, list):
            raise _bad(path, "a list")
        inner = get_args(kind)[0]
        return tuple(_read(inner, item, f"{path}[{number}]") for number, item in enumerate(data))
    if is_dataclass(kind):
        return _read_dataclass(cast("type", kind), data, path)
    if kind in (Decimal, date):
        if not isinstance(data, str):
            raise _bad(path, "a text")
        try:
            return Decimal(data) if kind is Decimal else date.fromisoformat(data)
        except (InvalidOperation, ValueError):
            raise _bad(path, "an amount" if kind is Decimal else "a date") from None
    if type(data) is not kind:
        raise _bad(path, kind.__name__)
    return data


def _read_choice(choices: tuple[Any, ...], data: Plain, path: str) -> object:
    """Read a value that may be absent or one of several dataclasses, told apart by their field names."""
    if data is None and type(None) in choices:
        return None
    kinds = [c for c in choices if c is not type(None)]
    if len(kinds) > 1 and isinstance(data, dict):
        fitting = [c for c in kinds if set(data) <= _hints(c).keys() and _required(c) <= set(data)]
        if fitting:
            return _read(fitting[0], data, path)
        raise _bad(path, " or ".join(c.__name__ for c in kinds))
    return _read(kinds[0], data, path)


def _required(kind: Any) -> set[str]:
    return {f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING}


def _read_dataclass(kind: type, data: Plain, path: str) -> object:
    if not isinstance(data, dict):
        raise _bad(path, "a record")
    hints = _hints(kind)
    for name in data:
        if name not in hints:
            raise BadRecordError("A stored record has a field that is not known.", where=path)
    for name in _required(kind):
        if name not in data:
            raise BadRecordError("A stored record lacks a field.", where=f"{path}.{name}")
    return kind(**{name: _read(hints[name], item, f"{path}.{name}") for name, item in data.items()})


def _bad(path: str, expected: str) -> BadRecordError:
    return BadRecordError("A stored record has a value of another type.", where=path, expected=expected)
