"""Two other libraries read what we read and write, and must agree."""

from __future__ import annotations

import os
from pathlib import Path

import hl7
import pytest
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_message

from hub.formats.hl7v2 import HL7ParseError, Message
from hub.formats.hl7v2.batch import split_batch
from hub.formats.hl7v2.names import tree

SAMPLES = sorted((Path(__file__).parent / "samples").glob("*.hl7"))
REPOSITORY = Path(__file__).parents[3]
CORPUS = Path(os.environ.get("HUB_CORPUS", REPOSITORY.parent / "shared" / "samples")) / "hl7"
CORPUS_FILES = sorted(path for path in CORPUS.rglob("*") if path.is_file())


def python_hl7_disagrees(message: Message) -> list[str]:
    """The canonical paths at which python-hl7 reads another text as written."""
    text = "\r".join(segment.text for segment in message.segments)
    judge = hl7.parse(text)
    wrong = []
    for segment in message.segments:
        theirs = judge[segment.index]
        for position in range(3 if segment.name == "MSH" else 1, segment.last_field + 1):
            ours = message.delimiters.repetition.join(segment.repetitions(position))
            if str(theirs(position)) != ours:
                wrong.append(f"{segment.name}[{segment.ordinal}]-{position}")
    return wrong


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_python_hl7_reads_the_same_fields(path: Path) -> None:
    messages = [Message(raw) for raw in split_batch(path.read_bytes())]
    assert messages
    for message in messages:
        assert python_hl7_disagrees(message) == []


@pytest.mark.parametrize("path", [path for path in SAMPLES if path.stem.startswith(("adt_a04", "dft", "siu"))])
def test_hl7apy_reads_the_same_values(path: Path) -> None:
    message = Message(path.read_bytes())
    judge = parse_message(message.raw.decode(), validation_level=VALIDATION_LEVEL.TOLERANT, find_groups=False)
    for segment in message.segments:
        theirs = [child for child in judge.children if child.name == segment.name][segment.ordinal - 1]
        separator = message.delimiters.field
        assert theirs.to_er7().rstrip(separator) == segment.text.rstrip(separator)
    assert judge.pid.pid_18.pid_18_1.to_er7() == message["PID-18.1"]
    assert judge.pid.pid_3[1].cx_1.to_er7() == message["PID-3[2].1"]


@pytest.mark.corpus
@pytest.mark.skipif(not CORPUS_FILES, reason="the corpus is absent (set HUB_CORPUS)")
def test_every_file_of_the_corpus_is_read_or_refused_with_its_place() -> None:
    given = read = refused = 0
    for path in CORPUS_FILES:
        for raw in split_batch(path.read_bytes()):
            given += 1
            try:
                message = Message(raw)
            except HL7ParseError as error:
                refused += bool(error.where)
                continue
            read += 1
            assert message.type, path.name
            for row in tree(message):
                for field in row.fields:
                    for leaf in (leaf for group in field.repetitions for leaf in group):
                        assert message.value(leaf.path).text == leaf.text, path.name
    assert read > 250
    assert read + refused == given
    assert refused < 40


@pytest.mark.corpus
@pytest.mark.skipif(not CORPUS_FILES, reason="the corpus is absent (set HUB_CORPUS)")
def test_python_hl7_agrees_on_the_corpus_where_it_can_read() -> None:
    compared = 0
    for path in (path for path in CORPUS_FILES if path.parent.name != "fuzz"):
        for raw in split_batch(path.read_bytes()):
            try:
                message = Message(raw)
                wrong = python_hl7_disagrees(message)
            except (HL7ParseError, hl7.HL7Exception, IndexError):
                continue
            assert wrong == [], path.name
            compared += 1
    assert compared > 250
