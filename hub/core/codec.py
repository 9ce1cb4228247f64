"""Dataclasses to plain JSON values and back, exactly: decimals as text, dates as ISO text, tuples as lists.

For values that the hub itself wrote. What comes from outside is checked by its own reader.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, TypeVar

T = TypeVar("T")


def to_plain(value: Any) -> Any:
    """*value* with every dataclass as a dict of its fields that differ from their defaults."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: to_plain(item)
            for field in dataclasses.fields(value)
            if (item := getattr(value, field.name)) != field.default
        }
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: to_plain(item) for key, item in value.items()}
    return value


def from_plain(kind: type[T], plain: Any) -> T:
    """The *kind* of dataclass that :func:`to_plain` was given. Raises `KeyError` or `ValueError` for anything else."""
    return typing.cast("T", _restore(kind, plain))


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _restore(kind: Any, plain: Any) -> Any:
    origin = typing.get_origin(kind)
    if origin in {types.UnionType, typing.Union}:
        if plain is None:
            return None
        choices = [choice for choice in typing.get_args(kind) if choice is not type(None)]
        return _restore(choices[0], plain)
    if origin is tuple:
        arguments = typing.get_args(kind)
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return tuple(_restore(arguments[0], item) for item in plain)
        return tuple(_restore(argument, item) for argument, item in zip(arguments, plain, strict=True))
    if origin is dict:
        return {key: _restore(typing.get_args(kind)[1], item) for key, item in plain.items()}
    if isinstance(kind, type):
        if dataclasses.is_dataclass(kind):
            hints = _hints(kind)
            return kind(**{name: _restore(hints[name], item) for name, item in plain.items()})
        if kind is Decimal:
            return Decimal(plain)
        if kind is datetime:
            return datetime.fromisoformat(plain)
        if kind is date:
            return date.fromisoformat(plain)
        if issubclass(kind, Enum):
            return kind(plain)
    return plain
