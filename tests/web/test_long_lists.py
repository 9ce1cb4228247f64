"""Lists of very many: queues in their order page by page, searches that no index answers, windows of time."""

from __future__ import annotations

import itertools
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import Connection, delete, insert, select, update

from hub.store import tables
from hub.web.queries import messages, queues

from .conftest import World

TODAY = "2026-11-30"


def put_items(connection: Connection, world: World, count: int) -> None:
    connection.execute(delete(tables.work_item))
    for number in range(count):
        connection.execute(
            insert(tables.work_item).values(
                id=number + 1, organisation="alder", queue="denials", item_key=f"k{number}", kind="denied",
                sentence=f"Item {number}", money_cents=number * 7 % 50, source_path="", opened_business_at=0,
                due_on="" if number % 3 == 0 else f"2026-12-{1 + number % 20:02}", state="open", resolution="",
                snoozed_until="2026-12-24" if number % 11 == 0 else "", assignee="biller" if number % 4 == 0 else None,
                body=world.vault.seal_json({}, "work_item.body"),
            )
        )  # fmt: skip


def walked(connection: Connection, asked: queues.Listing) -> list[queues.Item]:
    rows: list[queues.Item] = []
    page = queues.items(connection, asked)
    rows += page.rows
    while page.more:
        page = queues.items(connection, queues.Listing(asked.queue, asked.state, TODAY, asked.assignee, rows[-1]))
        rows += page.rows
    return rows


@pytest.mark.parametrize("assignee", ["", "biller"])
def test_a_long_queue_is_in_order_over_all_its_pages_and_loses_nothing(world: World, assignee: str) -> None:
    with world.store.connect().execution_options(writes=True) as connection, connection.begin():
        put_items(connection, world, 350)
        asked = queues.Listing("denials", "open", TODAY, assignee)
        rows = walked(connection, asked)

        assert rows == sorted(rows, key=lambda item: (item.due_on or "9999", -item.money_cents, item.id))
        assert len({item.id for item in rows}) == len(rows)
        assert (len(rows), sum(item.money_cents for item in rows)) == queues.total(connection, asked)
        resting = queues.total(connection, queues.Listing("denials", "resting", TODAY, assignee))[0]
        expected = 350 if not assignee else len(range(0, 350, 4))
        assert len(rows) + resting == expected


def test_the_page_of_a_long_queue_leads_on_and_counts_everything(world: World) -> None:
    with world.store.connect().execution_options(writes=True) as connection, connection.begin():
        put_items(connection, world, 250)
    biller = world.client("biller")
    first = biller.get("/queues/denials").text
    assert "227 items" in first
    assert first.count("<li data-row") == 100
    address = first.split('">Next 100</a>')[0].rsplit('href="', 1)[1]
    second = biller.get(address).text
    assert second.count("<li data-row") == 100
    assert "First</a>" in second


def put_messages(connection: Connection, count: int) -> None:
    connection.execute(delete(tables.attempt))
    connection.execute(delete(tables.delivery))
    connection.execute(delete(tables.message))
    row: dict[str, Any] = {
        "organisation": "alder", "received_on": TODAY, "size": 1, "lane_digest": b"", "onward": "done",
        "answer": "delivered", "raw_id": 1, "steps_outcome": "done",
    }  # fmt: skip
    rows = [
        {
            **row, "sequence": number, "id": number, "control_id": str(number), "received_at": number,
            "channel": "ehr_visits" if number % 2 else "claims_out",
            "kind": "rare" if number in {3, 40_000} else f"kind {number % 2}",
        }
        for number in range(1, count + 1)
    ]  # fmt: skip
    for chunk in itertools.batched(rows, 5000) if hasattr(itertools, "batched") else [rows]:
        connection.execute(insert(tables.message), list(chunk))


def test_a_search_that_no_index_answers_stops_and_is_gone_on_with(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "_PIECE", 500)
    with world.store.connect().execution_options(writes=True) as connection, connection.begin():
        put_messages(connection, 3000)
        search = messages.Search(channel="ehr_visits", kind="rare")
        ticks = itertools.count()
        page = messages.find(connection, search, [], clock=lambda: float(next(ticks)))
        assert page.rows == ()
        assert page.older
        assert page.reached == 2501

        found, before = [], page.reached
        while page.reached is not None:
            page = messages.find(connection, messages.Search("", "ehr_visits", "rare", before=before), [])
            found += page.rows
            before = page.reached
        assert [row.sequence for row in found] == [3]
        assert not page.older


def test_a_search_by_two_things_gives_the_pages_that_any_search_gives(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "_PIECE", 64)
    with world.store.connect().execution_options(writes=True) as connection, connection.begin():
        put_messages(connection, 1000)
        seen, before = [], None
        while True:
            page = messages.find(connection, messages.Search("", "ehr_visits", "kind 1", before=before), [])
            seen += [row.sequence for row in page.rows]
            if not page.older:
                break
            before = page.oldest
        wanted = select(tables.message.c.sequence).where(tables.message.c.kind == "kind 1")
        assert seen == sorted(connection.execute(wanted).scalars(), reverse=True)


def test_people_of_one_channel_search_theirs_alone_however_much_there_is_of_others(world: World) -> None:
    with world.store.connect().execution_options(writes=True) as connection, connection.begin():
        put_messages(connection, 300)
        page = messages.find(connection, messages.Search(within=("claims_out",)), [])
        assert {row.channel for row in page.rows} == {"claims_out"}
        assert len(page.rows) == messages.PAGE


def test_messages_are_found_between_two_moments(world: World) -> None:
    zone = world.settings.clock.zone
    hours = [datetime(2026, 11, 12, hour, 30, 20, tzinfo=zone) for hour in (8, 9, 10, 11)]
    with world.store.connect().execution_options(writes=True) as connection, connection.begin():
        put_messages(connection, len(hours))
        for number, moment in enumerate(hours, 1):
            ms = int(moment.timestamp() * 1000)
            connection.execute(
                update(tables.message)
                .where(tables.message.c.sequence == number)
                .values(received_at=ms, id=ms - 1_577_836_800_000 << 22, control_id=f"AT{moment.hour}")
            )
    operator = world.client("operator")

    def found(**window: str) -> list[str]:
        text = operator.get("/messages", params=window).text
        return [f"AT{moment.hour}" for moment in hours if f">AT{moment.hour}</a>" in text]

    assert found(**{"from": "2026-11-12T09:00", "to": "2026-11-12T10:59"}) == ["AT9", "AT10"]
    assert found(to="2026-11-12T08:30") == ["AT8"]
    assert found(**{"from": "2026-11-12T11:30"}) == ["AT11"]
    assert found(**{"from": "2026-11-12T09:00", "to": "2026-11-12T10:59", "kind": "kind 0"}) == ["AT9"]
    assert found(**{"from": "yesterday"}) == []
