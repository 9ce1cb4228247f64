"""One line of JSON per event on standard error. Fields are ids, counts and codes; never content.

There is no free text from messages in a log line: exceptions that are not :class:`HubError` are logged by their
type and place alone, because their text may quote what a parser choked on.
"""

from __future__ import annotations

import json
import sys
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from typing import TextIO

from hub.core.errors import HubError

Field = str | int | float | bool | None


class Log:
    """Writes events with a fixed set of fields. Get a narrower one with :meth:`bind`."""

    def __init__(self, stream: TextIO | None = None, **fields: Field) -> None:
        self._stream = stream
        self._fields = fields

    def bind(self, **fields: Field) -> Log:
        """A log whose every event also carries *fields*."""
        return Log(self._stream, **{**self._fields, **fields})

    def info(self, event: str, **fields: Field) -> None:
        """Something happened as intended."""
        self._write("info", event, fields)

    def warning(self, event: str, **fields: Field) -> None:
        """Something a person may want to look at."""
        self._write("warning", event, fields)

    def failure(self, event: str, error: BaseException, **fields: Field) -> None:
        """Something failed. A :class:`HubError` is written in its own words, any other by type and place."""
        fields["error"] = type(error).__name__
        if isinstance(error, HubError):
            fields["code"], fields["what"], fields["where"] = error.code, error.what, error.where
        else:
            frames = traceback.extract_tb(error.__traceback__)
            fields["where"] = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
        self._write("error", event, fields)

    def _write(self, level: str, event: str, fields: dict[str, Field]) -> None:
        stamp = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"at": stamp, "level": level, "event": event, **self._fields, **fields})
        stream = self._stream or sys.stderr
        with suppress(OSError):  # a closed terminal or a full disk must not stop what was being done
            stream.write(line + "\n")
            stream.flush()
