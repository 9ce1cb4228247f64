"""FHIR's JSON to values and back, exactly: decimals keep their digits (FHIR R4, section 2.6.2.3)."""

from __future__ import annotations

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any

from hub.core.errors import HubError

Resource = dict[str, Any]
_DEEPEST = 100
_MAYBE_HALF = re.compile(rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]|\0")
"""Where half of a surrogate pair can hide: escaped, as bytes that are no UTF-8, or in UTF-16; JSON lets it through."""


class FhirError(HubError):
    """These bytes are not a FHIR resource."""

    code = "H240"


def read(raw: bytes) -> Resource:
    """The resource that *raw* holds, numbers with a point as `Decimal`. Raises :class:`FhirError`, and nothing else."""
    try:
        value = json.loads(raw, parse_float=Decimal, parse_constant=_no_constant)
    except (ValueError, InvalidOperation, RecursionError) as error:
        where = f"line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise FhirError("This is not JSON.", where=where, expected="a FHIR resource as JSON in UTF-8") from None
    if not isinstance(value, dict):
        raise FhirError("This is JSON but no FHIR resource.", expected="an object")
    kind = value.get("resourceType")
    if not isinstance(kind, str) or not kind.isalnum():
        raise FhirError("This resource does not say what it is.", where="resourceType", expected="a name")
    if _too_deep(value, _DEEPEST):
        raise FhirError("This resource is nested too deeply.", expected=f"at most {_DEEPEST} levels")
    if _MAYBE_HALF.search(raw) and not _is_text(value):
        raise FhirError("This resource holds half of a character.", expected="surrogates in pairs (RFC 8259, 8.2)")
    return value


def write(value: Any) -> bytes:
    """*value* as compact JSON in UTF-8. A `Decimal` is written with the digits it has: ``10.00`` stays ``10.00``."""
    return "".join(_pieces(value)).encode()


def _pieces(value: Any) -> list[str]:
    match value:
        case dict():
            inner = [f"{json.dumps(key, ensure_ascii=False)}:{''.join(_pieces(item))}" for key, item in value.items()]
            return ["{", ",".join(inner), "}"]
        case list() | tuple():
            return ["[", ",".join("".join(_pieces(item)) for item in value), "]"]
        case Decimal():
            return [str(value)]
        case _:
            return [json.dumps(value, ensure_ascii=False)]


def _is_text(value: Any) -> bool:
    try:
        write(value)
    except UnicodeEncodeError:
        return False
    return True


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _too_deep(value: Any, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    if levels == 0:
        return True
    items = value.values() if isinstance(value, dict) else value
    return any(_too_deep(item, levels - 1) for item in items)
