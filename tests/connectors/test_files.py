from __future__ import annotations

import json
from typing import Any

import pytest_twisted

from hub.connectors.files import CONNECTOR, FilesDestinationSettings, FilesSourceSettings, open_destination, open_source
from hub.engine.contracts import Description, EndpointState, Failure, Source
from tests.connectors.behaviour import delivered
from tests.connectors.peers import Surroundings, failure_of, parcel, within


def source(around: Surroundings, **options: Any) -> Source:
    settings = {"folder": "in", "poll": "30ms", "settle": "10ms", **options}
    context = around.source(CONNECTOR, describe=lambda raw: Description(kind="835", duplicate_basis=raw))
    return open_source(FilesSourceSettings.model_validate(settings), context)


@pytest_twisted.ensureDeferred
async def test_a_folder_s_files_are_taken_in_order_and_archived(around: Surroundings) -> None:
    folder = around.folder / "in"
    folder.mkdir()
    for name in ("b.835", "a.835", "c.part", ".hidden"):
        (folder / name).write_bytes(name.encode())
    (folder / "archive").mkdir()
    (folder / "archive" / "a.835").write_bytes(b"an older one")
    polling = source(around)
    polling.start()
    await around.intake.arrived(2)
    await within(polling.stop())
    assert [item.source for item in around.intake.received] == ["a.835", "b.835"]
    assert {path.name for path in folder.iterdir()} == {"archive", "c.part", ".hidden"}
    assert len(list((folder / "archive").iterdir())) == 3
    assert (folder / "archive" / "a.835").read_bytes() == b"an older one"


@pytest_twisted.ensureDeferred
async def test_more_files_than_a_visit_takes_are_taken_in_several(around: Surroundings) -> None:
    (around.folder / "in").mkdir()
    for number in range(7):
        (around.folder / "in" / f"{number}.835").write_bytes(str(number).encode())
    polling = source(around, batch=2, after="delete")
    polling.start()
    await around.intake.arrived(7)
    await within(polling.stop())
    assert [item.raw for item in around.intake.received] == [b"0", b"1", b"2", b"3", b"4", b"5", b"6"]


@pytest_twisted.ensureDeferred
async def test_a_folder_that_is_not_there_is_said_and_looked_for_again(around: Surroundings) -> None:
    polling = source(around)
    polling.start()
    await within(polling.stop())
    (around.folder / "in").mkdir()
    (around.folder / "in" / "a.835").write_bytes(b"a")
    again = source(around)
    again.start()
    await around.intake.arrived(1)
    again.pause()
    assert again.health()[0].state == EndpointState.STOPPED
    await within(again.stop())


def destination(around: Surroundings) -> Any:
    settings = FilesDestinationSettings.model_validate({"folder": "out"})
    return open_destination(settings, around.destination(CONNECTOR))


@pytest_twisted.ensureDeferred
async def test_a_file_appears_whole_once_and_never_replaces_another(around: Surroundings) -> None:
    (around.folder / "out").mkdir()
    outcomes = await delivered(
        destination(around), parcel(b"one", "a"), parcel(b"one", "a"), parcel(b"two", "a"), parcel(b"", "b")
    )
    assert [failure_of(outcome) for outcome in outcomes] == ["delivered", "delivered", "permanent", "delivered"]
    assert json.loads(outcomes[0].answer or b"")["size"] == 3
    assert {path.name: path.read_bytes() for path in (around.folder / "out").iterdir()} == {"a": b"one", "b": b""}


@pytest_twisted.ensureDeferred
async def test_a_missing_folder_is_waited_for(around: Surroundings) -> None:
    (outcome,) = await delivered(destination(around), parcel(b"one", "a"))
    assert outcome.failure == Failure.TRANSIENT


@pytest_twisted.ensureDeferred
async def test_a_worker_that_dies_leaves_the_file_in_doubt(around: Surroundings) -> None:
    context = around.destination(CONNECTOR)
    workers: Any = context.workers
    workers.dying.add("files.put")
    settings = FilesDestinationSettings.model_validate({"folder": "out"})
    (outcome,) = await delivered(open_destination(settings, context), parcel(b"one", "a"))
    assert outcome.failure == Failure.AMBIGUOUS


BATCH = "FHS|^~\\&|LAB\rBHS|^~\\&|LAB\r{}BTS|2\rFTS|1\r"
ONE = "MSH|^~\\&|LAB|A|HUB|B|20261130||ORU^R01|M{}|T|2.5.1\rPID|1||{}\r"


@pytest_twisted.ensureDeferred
async def test_a_batch_is_split_into_its_messages_and_counts_as_taken_when_all_are_stored(around: Surroundings) -> None:
    folder = around.folder / "in"
    folder.mkdir()
    messages = [ONE.format(number, number) for number in range(3)]
    (folder / "a.hl7").write_text(BATCH.format("".join(messages)))
    around.intake.failing = RuntimeError("no store")
    polling = source(around, split="hl7")
    polling.start()
    await around.intake.arrived(1)
    assert (folder / "a.hl7").exists()
    around.intake.failing = None
    seen = len(around.intake.received)
    await around.intake.arrived(seen + 3)
    await within(polling.stop())
    assert [item.raw.decode() for item in around.intake.received[-3:]] == messages
    assert not (folder / "a.hl7").exists()


@pytest_twisted.ensureDeferred
async def test_a_file_of_lines_is_a_message_for_each_line(around: Surroundings) -> None:
    (around.folder / "in").mkdir()
    (around.folder / "in" / "a.jsonl").write_bytes(b'{"id": 1}\n\n{"id": 2}\r\n')
    polling = source(around, split="lines")
    polling.start()
    await around.intake.arrived(2)
    await within(polling.stop())
    assert [item.raw for item in around.intake.received] == [b'{"id": 1}', b'{"id": 2}']
