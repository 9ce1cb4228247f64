"""Whether a value that a script made is what its type says: a missing date is found here, not in a biller's queue."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from hub.core.errors import HubError, masked


class ValueTypeError(HubError):
    """A field of a value that a mapping returned is missing or of another type."""

    code = "H422"


def require_typed(value: Any) -> None:
    """Raise :class:`ValueTypeError` naming the first field of the dataclass *value* that is not what its type says."""
    for path, expected, found in _wrong(type(value), value, type(value).__name__):
        raise ValueTypeError(
            f"{path} is not what it should be.",
            expected=expected,
            found=masked(found) if isinstance(found, str) else type(found).__name__,
        )


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _wrong(kind: Any, value: Any, path: str) -> Iterator[tuple[str, str, Any]]:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in {types.UnionType, typing.Union}:
        if value is None and type(None) in arguments:
            return
        yield from _wrong(next(a for a in arguments if a is not type(None)), value, path)
    elif origin is tuple:
        if not isinstance(value, tuple | list):
            yield path, "a list", value
            return
        for number, item in enumerate(value):
            yield from _wrong(arguments[0], item, f"{path}[{number}]")
    elif dataclasses.is_dataclass(kind):
        if not isinstance(value, typing.cast("type", kind)):
            yield path, getattr(kind, "__name__", "a value"), value
            return
        for name, hint in _hints(typing.cast("type", kind)).items():
            yield from _wrong(hint, getattr(value, name), f"{path}.{name}")
    elif kind is date:
        if not isinstance(value, date) or isinstance(value, datetime):
            yield path, "a date", value
    elif kind is Decimal:
        if not isinstance(value, Decimal) or not value.is_finite():
            yield path, "a decimal number", value
    elif kind in {str, int, bool} and type(value) is not kind:
        yield path, {"str": "a text", "int": "a whole number", "bool": "true or false"}[kind.__name__], value
