from __future__ import annotations

import datetime as dt
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.cli.sending import Item, messages_in, percentile, rounds, with_control_id
from hub.formats.hl7v2.ack import AckCode, AckError, acknowledge
from hub.formats.hl7v2.header import read_header
from hub.formats.hl7v2.mllp import frame
from tests.cli.at_work import hub, mllp_receiver


def adt(control_id: str) -> bytes:
    return f"MSH|^~\\&|EHR|CLINIC|HUB|HUB|20261109100000||ADT^A04|{control_id}|T|2.5.1\rPID|1||100007\r".encode()


def ack(raw: bytes, code: AckCode = "AA", error: AckError | None = None) -> bytes:
    return acknowledge(read_header(raw), code, control_id="X", now=dt.datetime.now(dt.UTC), error=error)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "messages"
    folder.mkdir()
    for number in range(4):
        (folder / f"{number}.hl7").write_bytes(adt(f"M{number}"))
    return folder


def test_a_file_may_hold_blocks_batches_and_bare_messages() -> None:
    assert [item.body for item in messages_in("a", adt("1"))] == [adt("1")]
    framed = frame(adt("1")) + b"\r\n" + frame(adt("2"))
    assert [item.body for item in messages_in("a", framed)] == [adt("1"), adt("2")]
    batch = b"FHS|^~\\&\rBHS|^~\\&\r" + adt("1") + adt("2") + b"BTS|2\rFTS|1\r"
    assert [(item.name, item.body) for item in messages_in("a", batch)] == [("a#1", adt("1")), ("a#2", adt("2"))]
    assert [item.body for item in messages_in("a", frame(batch) + frame(adt("3")))] == [adt("1"), adt("2"), adt("3")]


def test_what_is_no_message_is_sent_as_it_is() -> None:
    assert [item.body for item in messages_in("a", b"hello")] == [b"hello"]


def test_a_fresh_control_id_changes_nothing_else() -> None:
    changed = with_control_id(adt("M1"), "NEW")
    assert changed == adt("NEW")
    assert with_control_id(b"hello", "NEW") == b"hello"


def test_going_round_begins_again_and_fresh_ids_never_repeat() -> None:
    items = [Item("a", adt("1")), Item("b", adt("2"))]
    assert [item.name for item in rounds(items, 5, fresh=False)] == ["a", "b", "a", "b", "a"]
    ids = {read_header(item.body).control_id for item in rounds(items, 50, fresh=True)}
    assert len(ids) == 50


@given(st.lists(st.floats(0, 1e6), min_size=1), st.integers(1, 100))
def test_a_percentile_was_measured_and_covers_its_share(values: list[float], percent: int) -> None:
    found = percentile(sorted(values), percent)
    assert found in values
    assert sum(value <= found for value in values) >= len(values) * percent / 100
    assert percentile(sorted(values), 100) == max(values)


def test_every_message_of_a_folder_is_sent_and_answered(files: Path) -> None:
    with mllp_receiver(lambda _, raw: ack(raw)) as (address, received):
        done = hub("send", address, files, "--connections", "3")
    assert done.returncode == 0, done.stderr
    assert sorted(received) == [adt(f"M{number}") for number in range(4)]
    assert "4 sent: 4 accepted, 0 refused, 0 unanswered" in done.stdout
    assert "p50" in done.stdout
    assert all(f"M{number}" in done.stdout for number in range(4))


def test_a_refusal_is_told_with_its_place_and_its_text_masked(files: Path) -> None:
    def answer(number: int, raw: bytes) -> bytes:
        return ack(raw, "AE", AckError("101", "SAMPLETON has no birth date", "PID-7")) if number == 2 else ack(raw)

    with mllp_receiver(answer) as (address, _):
        done = hub("send", address, files)
    assert done.returncode == 1
    assert "3 accepted, 1 refused" in done.stdout
    assert "101 PID[1]-7[1]" in done.stdout
    assert "SAMPLETON" not in done.stdout


def test_silence_and_answers_to_other_messages_leave_a_message_unanswered(files: Path) -> None:
    def answer(number: int, raw: bytes) -> bytes | None:
        return {1: None, 2: ack(adt("OTHER"))}.get(number, ack(raw))

    with mllp_receiver(answer) as (address, received):
        done = hub("send", address, files, "--timeout", "500ms", "--json")
    result = json.loads(done.stdout)
    assert done.returncode == 1
    assert [found["result"] for found in result["answers"]] == ["unanswered", "unanswered", "accepted", "accepted"]
    assert len(received) == 4


def test_a_message_that_asks_for_no_answer_is_not_waited_for(files: Path) -> None:
    (files / "0.hl7").write_bytes(adt("M0").replace(b"|T|2.5.1", b"|T|2.5.1|||NE|NE"))
    with mllp_receiver(lambda number, raw: None if number == 1 else ack(raw)) as (address, received):
        done = hub("send", address, files, "--timeout", "20s", "--json")
    assert done.returncode == 0, done.stdout
    assert [found["code"] for found in json.loads(done.stdout)["answers"]] == ["sent", "AA", "AA", "AA"]
    assert len(received) == 4


def test_the_rate_is_a_limit(files: Path) -> None:
    with mllp_receiver(lambda _, raw: ack(raw)) as (address, received):
        done = hub("send", address, files, "--count", "11", "--rate", "20/s", "--quiet", "--json")
    assert len(received) == 11
    assert json.loads(done.stdout)["seconds"] >= 0.5


def test_nobody_listening_is_one_sentence(files: Path) -> None:
    with mllp_receiver(lambda _, raw: ack(raw)) as (address, _):
        pass
    done = hub("send", address, files)
    assert done.returncode == 1
    assert "H650 Nobody listens there" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("target", ["ftp://x.example/", "mllp://x.example", "no/such/folder/"])
def test_a_target_that_cannot_be_is_wrong_usage(files: Path, target: str) -> None:
    done = hub("send", target, files)
    assert done.returncode == 2
    assert "H216" in done.stderr


def test_files_put_into_a_folder_are_whole_and_replace_nothing(files: Path, tmp_path: Path) -> None:
    target = tmp_path / "in"
    target.mkdir()
    (target / "0.hl7").write_bytes(b"already here")
    done = hub("send", f"{target}/", files / "0.hl7", files / "1.hl7")
    assert done.returncode == 0, done.stderr
    assert {path.name: path.read_bytes() for path in target.iterdir()} == {
        "0.hl7": b"already here",
        "0-2.hl7": adt("M0"),
        "1.hl7": adt("M1"),
    }


@pytest.fixture
def hook() -> Iterator[tuple[str, list[bytes]]]:
    bodies: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200 if self.headers["Authorization"] == "Bearer open-sesame" else 401)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/fhir", bodies
        server.shutdown()


def test_a_hook_gets_the_file_and_the_token(hook: tuple[str, list[bytes]], tmp_path: Path) -> None:
    address, bodies = hook
    (tmp_path / "bundle.json").write_text('{"resourceType": "Bundle"}')
    (tmp_path / "token").write_text("open-sesame\n")
    done = hub("send", address, tmp_path / "bundle.json", "--token-file", tmp_path / "token", "--count", "3")
    assert done.returncode == 0, done.stdout + done.stderr
    assert bodies == [b'{"resourceType": "Bundle"}'] * 3
    refused = hub("send", address, tmp_path / "bundle.json", env={"HUB_SEND_TOKEN": "wrong"})
    assert refused.returncode == 1
    assert "401" in refused.stdout
