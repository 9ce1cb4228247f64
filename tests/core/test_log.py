"""The log: ids, counts and codes; never what a message says."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from hub.core.errors import HubError
from hub.core.log import Log


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_line_of_json_with_its_fields(stream: io.StringIO) -> None:
    Log(stream, part="engine").info("message.stored", message=42, size=610)
    (line,) = lines(stream)
    assert line.pop("at").endswith("+00:00")
    assert line == {"level": "info", "event": "message.stored", "part": "engine", "message": 42, "size": 610}


def test_a_narrower_log_leaves_the_wider_one_as_it_was(stream: io.StringIO) -> None:
    wide = Log(stream, part="engine")
    wide.bind(channel="visits").warning("peer.slow")
    wide.info("started")
    assert [line.get("channel") for line in lines(stream)] == ["visits", None]


def test_a_foreign_exception_is_told_by_type_and_place_and_never_by_its_text(stream: io.StringIO) -> None:
    try:
        int("QUIGLEY^NORA")
    except ValueError as error:
        Log(stream).failure("parse.failed", error, message=42)
    assert "QUIGLEY" not in stream.getvalue()
    (line,) = lines(stream)
    assert line["error"] == "ValueError"
    assert "test_log.py:" in line["where"]
    assert line["message"] == 42


def test_a_foreign_exception_behind_ours_stays_silent_too(stream: io.StringIO) -> None:
    try:
        try:
            int("QUIGLEY^NORA")
        except ValueError as cause:
            raise HubError("This is not a number.", where="PID-3.1", found="xxxxxxx^xxxx") from cause
    except HubError as error:
        Log(stream).failure("parse.failed", error)
    assert "QUIGLEY" not in stream.getvalue()
    (line,) = lines(stream)
    assert (line["code"], line["what"], line["where"]) == ("H000", "This is not a number.", "PID-3.1")


def test_an_exception_that_was_never_raised_has_no_place(stream: io.StringIO) -> None:
    Log(stream).failure("odd", ValueError("QUIGLEY"))
    assert lines(stream)[0]["where"] == ""


def test_a_line_end_in_a_field_does_not_make_a_second_line(stream: io.StringIO) -> None:
    Log(stream).info("file.seen", name="a\nb")
    assert len(stream.getvalue().splitlines()) == 1


def test_without_a_stream_it_writes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    Log().info("started")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert json.loads(captured.err)["event"] == "started"
