"""Notes of sources: kept with a message, found again, told of when nothing follows."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, select, update

from hub.core.clock import BusinessClock
from hub.core.ids import IdMaker
from hub.engine.contracts import Followed, Note, Noted
from hub.engine.items import open_item
from hub.engine.notes import end_note, free_notes, is_lost, lose_note, stick_notes, take_up, tell_lost, write_notes
from hub.store.database import open_store
from hub.store.schema import upgrade
from hub.store.tables import work_item
from tests.engine.node import VAULT

ITEM = partial(open_item, IdMaker(), VAULT, BusinessClock(), "clinic")
LOST = "It did not come whole."


@pytest.fixture
def connection(store_url: str) -> Any:
    store: Engine = open_store(store_url)
    upgrade(store)
    with store.connect().execution_options(writes=True) as opened, opened.begin():
        yield opened
    store.dispose()


def items(connection: Connection) -> list[tuple[str, int, str]]:
    columns = (work_item.c.state, work_item.c.message_id, work_item.c.sentence)
    return [tuple(row) for row in connection.execute(select(*columns).order_by(work_item.c.id)).all()]


def test_notes_of_one_kind_are_found_newest_first_and_can_be_made_to_last(connection: Connection) -> None:
    write_notes(connection, "a", 1, [Note("part", 10, "x", "text", LOST)])
    write_notes(connection, "a", 2, [Note("part", 50, "y"), Note("nonce", 10, "x")])
    write_notes(connection, "b", 3, [Note("part", 10, "x")])
    assert take_up(connection, "a", "part", None) == [
        Noted("y", 2, "", 50, followed=True),
        Noted("x", 1, "text", 10, followed=False),
    ]
    assert [note.until for note in take_up(connection, "a", "part", 20)] == [50, 20]
    assert [note.until for note in take_up(connection, "b", "part", None)] == [10]


def test_a_person_is_told_once_of_what_nothing_followed(connection: Connection) -> None:
    write_notes(connection, "a", 1, [Note("part", 10, "x", sentence=LOST)])
    write_notes(connection, "a", 2, [Note("part", 10, "y", sentence=LOST)])
    write_notes(connection, "a", 3, [Followed("part", ("x",), 12)])
    assert not is_lost(connection, 10)
    assert is_lost(connection, 11)
    assert not tell_lost(connection, 11, ITEM)
    assert not tell_lost(connection, 11, ITEM)
    assert items(connection) == [("open", 2, LOST)]
    assert [note.name for note in take_up(connection, "a", "part", None)] == ["x"]


def test_what_is_lost_again_opens_its_item_again(connection: Connection) -> None:
    for _ in range(2):
        write_notes(connection, "a", 1, [Note("part", 10, "x", sentence=LOST)])
        tell_lost(connection, 11, ITEM)
        assert items(connection) == [("open", 1, LOST)]
        connection.execute(update(work_item).values(state="resolved"))


def test_a_repeat_of_what_was_followed_stays_followed_and_another_message_does_not(connection: Connection) -> None:
    write_notes(connection, "a", 1, [Note("part", 10, "x", sentence=LOST)])
    write_notes(connection, "a", 2, [Followed("part", ("x",), 10)])
    write_notes(connection, "a", 1, [Note("part", 30, "x", sentence=LOST)])
    assert take_up(connection, "a", "part", None) == [Noted("x", 1, "", 30, followed=True)]
    write_notes(connection, "a", 3, [Note("part", 40, "x", sentence=LOST)])
    assert take_up(connection, "a", "part", None) == [Noted("x", 3, "", 40, followed=False)]


def test_a_note_that_is_named_after_its_message_ends_or_is_lost_by_it(connection: Connection) -> None:
    for message_id in (1, 2, 3):
        write_notes(
            connection, "a", message_id, [Note("answer x", 99, sentence="Untold."), Note("nonce", 99, f"n{message_id}")]
        )
    end_note(connection, 1)
    lose_note(connection, 2, "Refused.")
    tell_lost(connection, 11, ITEM)
    assert items(connection) == [("open", 2, "Refused.")]
    assert [note.name for note in take_up(connection, "a", "answer x", None)] == ["3"]
    assert len(take_up(connection, "a", "nonce", None)) == 3


def test_notes_that_wait_are_one_item_that_counts_them_and_closes(connection: Connection) -> None:
    for message_id in (1, 2, 3):
        write_notes(connection, "a", message_id, [Note("answer x", 99, sentence="Untold.")])
    lose_note(connection, 3, "Refused.")
    stick_notes(connection, "a", "answer x", "{} wait.".format, 500, ITEM)
    assert items(connection) == [("open", 1, "2 wait.")]
    assert not tell_lost(connection, 100, ITEM)
    assert items(connection) == [("open", 1, "2 wait."), ("open", 3, "Refused.")], "those that wait last longer"
    end_note(connection, 1)
    stick_notes(connection, "a", "answer x", "{} waits.".format, 500, ITEM)
    assert items(connection)[0] == ("open", 2, "1 waits.")
    free_notes(connection, "a", "answer x")
    assert [state for state, *_ in items(connection)] == ["resolved", "open"]
    stick_notes(connection, "a", "answer x", "{} waits again.".format, 500, ITEM)
    assert items(connection)[0] == ("open", 2, "1 waits again.")


def test_nothing_that_waits_is_no_item(connection: Connection) -> None:
    stick_notes(connection, "a", "answer x", "{} wait.".format, 500, ITEM)
    assert items(connection) == []


def test_what_was_given_up_is_not_found_any_more(connection: Connection) -> None:
    write_notes(connection, "a", 1, [Note("answer x", 99, sentence="Untold.")])
    lose_note(connection, 1, "Refused.")
    assert take_up(connection, "a", "answer x", 500) == []
    assert is_lost(connection, 100)
