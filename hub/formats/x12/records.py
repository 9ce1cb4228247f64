"""Dataclasses to plain JSON values and back, so that a claim can be stored and read again unchanged."""

from __future__ import annotations

import types
from collections.abc import Callable
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
    try:
        return cast("T", _reader(cast("Any", kind))(data))
    except _MismatchError as found:
        raise BadRecordError(found.what, where=f"{kind.__name__}{found.path}", expected=found.expected) from None


_OTHER_TYPE = "A stored record has a value of another type."


class _MismatchError(Exception):
    """Something at *path* is not as it must be; the path grows on the way out, so that reading well costs nothing."""

    def __init__(
        self, expected: str, what: str = "A stored record has a value of another type.", path: str = ""
    ) -> None:
        super().__init__(what)
        self.expected = expected
        self.what = what
        self.path = path


_Reader = Callable[[Any], object]


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


@cache
def _reader(kind: Any) -> _Reader:
    """What reads a *kind*; made once for each."""
    if get_origin(kind) in (Union, types.UnionType):
        return _choice_reader(get_args(kind))
    if get_origin(kind) is tuple:
        return _tuple_reader(_reader(get_args(kind)[0]))
    if is_dataclass(kind):
        return _dataclass_reader(cast("type", kind))
    if kind is Decimal:
        return _amount
    if kind is date:
        return _date

    def read(data: Any) -> object:
        if type(data) is not kind:
            raise _MismatchError(kind.__name__)
        return data

    return read


def _amount(data: Any) -> Decimal:
    if not isinstance(data, str):
        raise _MismatchError("a text")
    try:
        return Decimal(data)
    except InvalidOperation:
        raise _MismatchError("an amount") from None


def _date(data: Any) -> date:
    if not isinstance(data, str):
        raise _MismatchError("a text")
    try:
        return date.fromisoformat(data)
    except ValueError:
        raise _MismatchError("a date") from None


def _tuple_reader(inner: _Reader) -> _Reader:
    def read(data: Any) -> object:
        if not isinstance(data, list):
            raise _MismatchError("a list")
        made = []
        for item in data:
            try:
                made.append(inner(item))
            except _MismatchError as found:
                found.path = f"[{len(made)}]{found.path}"
                raise
        return tuple(made)

    return read


def _choice_reader(choices: tuple[Any, ...]) -> _Reader:
    """Reads a value that may be absent or one of several dataclasses, told apart by their field names."""
    kinds = [c for c in choices if c is not type(None)]
    optional = type(None) in choices
    readers = [_reader(kind) for kind in kinds]

    def read(data: Any) -> object:
        if data is None and optional:
            return None
        if len(kinds) == 1 or not isinstance(data, dict):
            return readers[0](data)
        for kind, reader in zip(kinds, readers, strict=True):
            if set(data) <= _hints(kind).keys() and _required(kind) <= set(data):
                return reader(data)
        raise _MismatchError(" or ".join(c.__name__ for c in kinds))

    return read


@cache
def _required(kind: Any) -> frozenset[str]:
    return frozenset(f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING)


def _dataclass_reader(kind: type) -> _Reader:
    readers: dict[str, _Reader] = {}

    def read(data: Any) -> object:
        if not isinstance(data, dict):
            raise _MismatchError("a record")
        if not readers:  # not before the first: a kind may be a part of itself
            readers.update((name, _reader(hint)) for name, hint in _hints(kind).items())
        made: dict[str, object] = {}
        for name, item in data.items():
            reader = readers.get(name)
            if reader is None:
                raise _MismatchError("", "A stored record has a field that is not known.")
            try:
                made[name] = reader(item)
            except _MismatchError as found:
                found.path = f".{name}{found.path}"
                raise
        for name in _required(kind):
            if name not in made:
                raise _MismatchError("", "A stored record lacks a field.", f".{name}")
        return kind(**made)

    return read
