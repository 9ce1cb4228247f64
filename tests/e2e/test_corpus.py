"""Other people's messages, over real protocols: each is answered, kept and findable, and nothing breaks."""

from __future__ import annotations

import json
import re
import shutil
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from hub.formats.hl7v2.batch import split_batch
from hub.formats.hl7v2.header import HL7ParseError, content_without_timestamp
from tests.e2e.at_work import AtWork, Kept
from tests.e2e.playing import ENGINE, WORKER, eventually, processes

pytestmark = [pytest.mark.e2e, pytest.mark.corpus]

START, END = b"\x0b", b"\x1c\r"
OUTCOMES = {"held", "errored", "rejected", "done", "filtered"}
NOT_DONE = {"errored", "rejected", "filtered"}
ANSWERS = {b"AA", b"AE", b"AR", b"CA", b"CE", b"CR"}
RESPONSES = ("835", "277ca", "999", "ta1", "277", "997")
IN_PROGRESS = "select 1 from message where onward = 'in progress' and channel = ?"


def test_every_hl7_file_is_answered_kept_as_it_is_and_in_one_outcome(hub: AtWork, corpus: Path) -> None:
    files = sorted(file for file in (corpus / "hl7").rglob("*") if file.is_file())
    assert files
    workers = processes(WORKER, hub.stage.site)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda file: _send(hub.stage.mllp_port, file.read_bytes()), files))
    eventually(lambda: not hub.rows(IN_PROGRESS, "ehr_visits"), "an outcome of every message", 120)
    kept = hub.kept("ehr_visits")
    by_raw = {one.raw: one for one in kept}
    by_content = {_content(one.raw): one for one in kept}  # a repeat is kept once
    complaints = []
    for file, codes in zip(files, answers, strict=True):
        messages = _messages(file.read_bytes())
        stored = [by_raw.get(raw) or by_content.get(_content(raw)) for raw in messages]
        outcomes = [one.outcome if one else "not kept" for one in stored]
        name = f"{file.parent.name}/{file.name}"
        print(f"{name:<70} {b' '.join(codes).decode():<12} {' '.join(outcomes)}")  # noqa: T201 - for `pytest -s`
        if not ANSWERS.issuperset(codes) or len(codes) < sum(map(_wants_answer, messages)):
            complaints.append(f"{file.name}: answered {codes}")
        if not OUTCOMES.issuperset(outcomes):
            complaints.append(f"{file.name}: {outcomes}")
        silent = {one.outcome for one in stored if one and one.outcome in NOT_DONE and not _is_a_sentence(one.reason)}
        if silent:
            complaints.append(f"{file.name}: {silent} for no reason that a person understands")
    assert not complaints
    _nothing_broke(hub, workers)


def test_every_response_file_posts_or_is_held_for_a_reason_in_words(hub: AtWork, corpus: Path, tmp_path: Path) -> None:
    files = sorted(file for kind in RESPONSES for file in (corpus / "x12" / kind).iterdir())
    assert files
    workers = processes(WORKER, hub.stage.site)
    names = {file: f"{file.parent.name}_{file.name}" for file in files}
    for file, name in names.items():
        shutil.copyfile(file, tmp_path / name)
    hub.sftp(*(f'put "{tmp_path / name}" "/outbound/{name}"' for name in names.values()))
    outbound = hub.stage.world / "clearway" / "outbound"
    eventually(lambda: not any(outbound.iterdir()), "every file collected", 120)
    eventually(lambda: not hub.rows(IN_PROGRESS, "responses_in"), "an outcome of every file", 120)
    posting = "select 1 from remittance where state in ('staged', 'posting')"
    eventually(lambda: not hub.rows(posting), "every remittance posted or held", 120)
    kept = {one.raw: one for one in hub.kept("responses_in")}
    silent = []
    for file in files:
        one = kept[file.read_bytes()]
        told = _told(hub, one)
        print(f"{names[file]:<70} {one.kind:<6} {one.outcome:<9} {told[:3]}")  # noqa: T201 - for `pytest -s`
        if one.outcome not in OUTCOMES or not all(_is_a_sentence(sentence) for sentence in told) or not told:
            silent.append((names[file], one.outcome, told))
    assert not silent
    _nothing_broke(hub, workers)


def test_every_fhir_file_is_answered_kept_as_it_is_and_in_one_outcome(hub: AtWork, corpus: Path) -> None:
    files = sorted(file for file in (corpus / "fhir").rglob("*") if file.is_file())
    assert files
    workers = processes(WORKER, hub.stage.site)
    trust = ssl.create_default_context(cafile=str(hub.stage.site / "var" / "tls" / "ehr_fhir.pem"))
    trust.check_hostname = False
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda file: _post(hub, trust, file.read_bytes()), files))
    eventually(lambda: not hub.rows(IN_PROGRESS, "ehr_fhir"), "an outcome of every resource", 120)
    kept = {one.raw: one for one in hub.kept("ehr_fhir")}
    by_content = {_json(raw): one for raw, one in kept.items()}  # a repeat is kept once
    complaints = []
    for file, status in zip(files, statuses, strict=True):
        one = kept.get(file.read_bytes()) or by_content.get(_json(file.read_bytes()))
        if one is None or one.outcome not in OUTCOMES:
            complaints.append(f"{file.name}: {one and one.outcome}")
        elif status not in ({400} if one.outcome == "rejected" else {200, 202}):
            complaints.append(f"{file.name}: answered {status}, {one.outcome}")
        elif one.outcome in {"rejected", "filtered"} and not _is_a_sentence(one.reason):
            complaints.append(f"{file.name}: {one.outcome} for no reason that a person understands")
    assert not complaints
    _nothing_broke(hub, workers)


def _json(raw: bytes) -> str:
    """What makes a resource a repeat of another, whatever the order of its members; nothing for what is no JSON."""
    try:
        return json.dumps(json.loads(raw), sort_keys=True)
    except ValueError:
        return ""


def _post(hub: AtWork, trust: ssl.SSLContext, body: bytes) -> int:
    headers = {"Authorization": f"Bearer {hub.stage.hook_token}", "Content-Type": "application/fhir+json"}
    try:
        with urlopen(Request(hub.hook, data=body, headers=headers), context=trust, timeout=60) as answer:
            return int(answer.status)
    except HTTPError as refused:
        with refused:
            return refused.code


def _told(hub: AtWork, one: Kept) -> list[str]:
    """What a person can read of what became of a file: its reason, its remittances' states, its work items."""
    remittances = hub.rows("select state, reason from remittance where message_id = ?", one.id)
    items = hub.rows("select sentence from work_item where message_id = ?", one.id)
    items += hub.rows(
        "select w.sentence from work_item w join remittance r on r.id = w.remittance_id where r.message_id = ?", one.id
    )
    told = [sentence for (sentence,) in items]
    told += [reason for state, reason in remittances if state != "posted" and reason]
    told += ["The remittance is posted." for state, _ in remittances if state == "posted"]
    if one.reason:
        told.append(one.reason)
    return list(dict.fromkeys(told))


def _is_a_sentence(text: str) -> bool:
    return len(text.split()) >= 3


def _send(port: int, body: bytes) -> list[bytes]:
    """The acknowledgement codes that the hub answers a file with; a batch is answered by a batch, in one frame."""
    wanted = sum(map(_wants_answer, _messages(body)))
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(START + body + END)
        while len(_codes(answer)) < wanted or (answer and not answer.endswith(END)):
            try:
                data = connection.recv(65536)
            except TimeoutError:
                break
            if not data:
                break
            answer += data
    return _codes(answer)


def _codes(answer: bytes) -> list[bytes]:
    return re.findall(rb"\rMSA[^\w](\w+)", answer)


def _messages(body: bytes) -> list[bytes]:
    """What is one message each: what lies between the bytes that begin and end a frame; of a batch, its messages."""
    framed = [each for part in body.split(END) for each in part.split(START) if each]
    return [message for each in framed for message in split_batch(each) or [each]]


def _content(message: bytes) -> bytes:
    """What makes a message a repeat of another: everything but the time at which it was sent."""
    try:
        return content_without_timestamp(message)
    except HL7ParseError:
        return message


def _wants_answer(message: bytes) -> bool:
    """Whether the sender waits for an answer: not with NE in enhanced mode (HL7 v2 chapter 2, MSH-15, MSH-16)."""
    if not message.startswith(b"MSH"):
        return True
    fields = [field.strip() for field in message.splitlines()[0].split(message[3:4])] + [b""] * 16
    return b"NE" not in fields[14:16] or bool({b"AL", b"ER", b"SU"} & set(fields[14:16]))


def _nothing_broke(hub: AtWork, workers: list[int]) -> None:
    log = hub.log.read_text()
    assert "Traceback" not in log
    assert "worker.died" not in log
    assert "process.died" not in log
    assert '"error": ' not in log, [line for line in log.splitlines() if '"error": ' in line][:5]
    assert processes(WORKER, hub.stage.site) == workers
    assert len(processes(ENGINE, hub.stage.site)) == 1
