"""Frames between the engine and its workers: a JSON header and byte parts, with their lengths before them.

Never pickle: a worker runs scripts that the engine does not trust.
"""

from __future__ import annotations

import json
import struct
from typing import Any, BinaryIO

_LENGTHS = struct.Struct("!II")


def pack(header: dict[str, Any], parts: tuple[bytes, ...] = ()) -> bytes:
    """One frame."""
    head = json.dumps({"lengths": [len(part) for part in parts], **header}, separators=(",", ":")).encode()
    body = b"".join(parts)
    return _LENGTHS.pack(len(head), len(body)) + head + body


class FrameBuffer:
    """Cuts a stream of bytes into frames."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> list[tuple[dict[str, Any], tuple[bytes, ...]]]:
        """The frames that *data* completes."""
        self._bytes += data
        frames = []
        while len(self._bytes) >= _LENGTHS.size:
            head_size, body_size = _LENGTHS.unpack_from(self._bytes)
            end = _LENGTHS.size + head_size + body_size
            if len(self._bytes) < end:
                break
            frame = bytes(self._bytes[_LENGTHS.size : end])
            del self._bytes[:end]
            frames.append(_split(frame[:head_size], frame[head_size:]))
        return frames


def read_frame(stream: BinaryIO) -> tuple[dict[str, Any], tuple[bytes, ...]] | None:
    """The next frame of a blocking *stream*; None when it has ended."""
    lengths = stream.read(_LENGTHS.size)
    if len(lengths) < _LENGTHS.size:
        return None
    head_size, body_size = _LENGTHS.unpack(lengths)
    return _split(stream.read(head_size), stream.read(body_size))


def _split(head: bytes, body: bytes) -> tuple[dict[str, Any], tuple[bytes, ...]]:
    header = json.loads(head)
    parts, start = [], 0
    for length in header.pop("lengths"):
        parts.append(body[start : start + length])
        start += length
    return header, tuple(parts)
