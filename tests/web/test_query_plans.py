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
    "a queue": queues.list_statement("denials", "open", "2026-11-28"),
    "remittances": remittances.list_statement("", None),
    "remittances by state": remittances.list_statement("held", 9),
    "deliveries that wait": select(func.count())
    .select_from(tables.delivery)
    .where(tables.delivery.c.state.in_(("queued", "sending", "ambiguous"))),
}


@pytest.mark.parametrize("name", HOT)
def test_a_hot_query_uses_an_index(world: World, name: str) -> None:
    statement: Select[tuple[object, ...]] = HOT[name]
    sql = str(statement.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": False}))
    compiled = statement.compile(dialect=sqlite.dialect(), compile_kwargs={"render_postcompile": True})
    with world.store.connect() as connection:
        parameters = tuple(compiled.params[key] for key in compiled.positiontup or ())
        plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", parameters)]
    assert sql
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
    }, plan
