"""JSON that says exactly what a value is: decimals with the places that they have, keys in order where that is asked.

The library's writer would turn decimals into floats, or refuse them.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator, Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID


def json_bytes(value: Any) -> bytes:
    """*value* as compact JSON, decimals as numbers with the places that they have."""
    return "".join(_pieces(value, in_order=False)).encode()


def canonical_json(value: Any) -> bytes:
    """The one form in which *value* is written: compact, keys sorted. Equal values give equal bytes.

    Dates and times are ISO 8601 text, durations seconds, bytes base64 text, ids their usual text.
    """
    return "".join(_pieces(value, in_order=True)).encode()


def _pieces(value: Any, *, in_order: bool) -> Iterator[str]:
    match value:
        case Decimal():
            yield f"{value:f}" if value.is_finite() else json.dumps(str(value))
        case Mapping():
            items = {str(key): item for key, item in value.items()}
            yield "{"
            for number, key in enumerate(sorted(items) if in_order else items):
                yield f"{',' if number else ''}{json.dumps(key, ensure_ascii=False)}:"
                yield from _pieces(items[key], in_order=in_order)
            yield "}"
        case list() | tuple():
            yield "["
            for number, item in enumerate(value):
                if number:
                    yield ","
                yield from _pieces(item, in_order=in_order)
            yield "]"
        case _:
            yield json.dumps(_plain(value), ensure_ascii=False)


def _plain(value: Any) -> Any:
    """What JSON has no form for, in the form that people would expect. Anything else is left to the writer."""
    match value:
        case date() | time():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case bytes() | bytearray() | memoryview():
            return base64.b64encode(bytes(value)).decode()
        case UUID():
            return str(value)
        case float() if not math.isfinite(value):
            return str(value)
        case _:
            return value
