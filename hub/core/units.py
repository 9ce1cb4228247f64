"""Durations and sizes as people write them in files: ``15m``, ``2h``, ``16MB``."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)\Z")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_SIZE = re.compile(r"(\d+)(B|KB|MB|GB)\Z")
_BYTES = {"B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}


def seconds(text: object) -> float:
    """The seconds that a duration such as ``"15m"`` names. Raises `ValueError` saying the accepted forms."""
    if isinstance(text, float):
        return text
    match = _DURATION.match(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError('a duration is a number and a unit in quotes: "500ms", "30s", "15m", "2h", "3d"')
    return float(match[1]) * _SECONDS[match[2]]


def size_bytes(text: object) -> int:
    """The bytes that a size such as ``"16MB"`` names. Raises `ValueError` saying the accepted forms."""
    if isinstance(text, int) and not isinstance(text, bool):
        return text
    match = _SIZE.match(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError('a size is a number and a unit in quotes: "512B", "64KB", "16MB", "1GB"')
    return int(match[1]) * _BYTES[match[2]]


Duration = Annotated[float, BeforeValidator(seconds), WithJsonSchema({"type": "string", "pattern": _DURATION.pattern})]
Size = Annotated[int, BeforeValidator(size_bytes), WithJsonSchema({"type": "string", "pattern": _SIZE.pattern})]
