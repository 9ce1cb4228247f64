"""The queries that run for every page rest on an index, whatever the store holds."""

from __future__ import annotations

import pytest
from sqlalchemy import Select, func, select
from sqlalchemy.dialects import sqlite

from hub.store import tables
from hub.web.queries import claims, messages, queues, remittances

from .conftest import World

DIGESTS = [("mrn", b"1" * 16), ("account", b"2" * 16)]
HOT = {
    "messages, newest": messages.search_statement(messages.Search(), [], 0, 51),
    "messages of a channel": messages.search_statement(messages.Search(channel="ehr_visits"), [], 0, 51),
    "messages of a channel by outcome": messages.search_statement(
        messages.Search(channel="ehr_visits", onward="held"), [], 0, 51
    ),
    "messages by outcome": messages.search_statement(messages.Search(onward="held", before=500), [], 0, 51),
    "messages by type": messages.search_statement(messages.Search(kind="835"), [], 9, 51),
    "messages by text": messages.search_statement(messages.Search(text="A-1"), DIGESTS, 0, 51),
    "claims, newest": claims.search_statement(claims.Search()),
    "claims by state": claims.search_statement(claims.Search(state="denied")),
    "claims by payer": claims.search_statement(claims.Search(payer="60054", before=9)),
    "claims by number": claims.search_statement(claims.Search(text="H7K2M9Q4A1")),
    "messages by an answer that is owed": messages.search_statement(messages.Search(answer="undelivered"), [], 0, 51),
    "a queue": queues.list_statement(queues.Listing("denials", "open", "2026-11-28")),
    "a queue's own items": queues.list_statement(queues.Listing("denials", "open", "2026-11-28", assignee="biller")),
    "claims by state, summed": select(
        tables.claim.c.state, func.count(), func.sum(tables.claim.c.total_cents)
    ).group_by(tables.claim.c.state),
    "remittances": remittances.list_statement("", None),
    "remittances by state": remittances.list_statement("held", 9),
    "deliveries that wait": select(func.count())
    .select_from(tables.delivery)
    .where(tables.delivery.c.state.in_(("queued", "sending", "ambiguous"))),
}


def plan_of(world: World, statement: Select[tuple[object, ...]]) -> list[str]:
    compiled = statement.compile(dialect=sqlite.dialect(), compile_kwargs={"render_postcompile": True})
    with world.store.connect() as connection:
        parameters = tuple(compiled.params[key] for key in compiled.positiontup or ())
        return [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", parameters)]


@pytest.mark.parametrize("name", HOT)
def test_a_hot_query_uses_an_index(world: World, name: str) -> None:
    plan = plan_of(world, HOT[name])
    touching = [step for step in plan if step.startswith(("SCAN", "SEARCH"))]
    reading_all = [
        step
        for step in touching
        if step.startswith("SCAN")
        and "INDEX" not in step
        and step.split()[1] in tables.metadata.tables
        and "newest" not in name
        and name != "remittances"
    ]
    assert not reading_all, plan
    assert not any("TEMP B-TREE FOR ORDER BY" in step for step in plan) or name in {
        "messages by text",
        "claims by number",
        "a queue",
        "a queue's own items",
    }, plan


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("a queue", "COVERING INDEX ix_work_item_order"),
        ("a queue's own items", "COVERING INDEX ix_work_item_order"),
        ("claims by state, summed", "COVERING INDEX ix_claim_state_total"),
        ("messages by an answer that is owed", "INDEX ix_message_answer"),
    ],
)
def test_what_is_sorted_or_summed_is_read_from_its_index_alone(world: World, name: str, index: str) -> None:
    assert any(index in step for step in plan_of(world, HOT[name]))
