"""The figures, the claims behind them, and the reconciliation."""

from __future__ import annotations

import csv
import io
import re

from sqlalchemy import select, update

from hub.security import audit
from hub.store import tables
from hub.web.csv_text import safe
from hub.web.queries import minutes

from .conftest import World


def test_every_number_of_the_figures_leads_to_as_many_claims(world: World) -> None:
    client = world.client("manager")
    page = client.get("/figures?period=all").text
    links = re.findall(r'href="(/figures/[^"]+)">(\d+)<', page)
    assert links
    for address, number in links:
        behind = client.get(address).text
        assert behind.count("<tr data-row>") == int(number), address


def test_first_pass_acceptance_counts_the_first_version_and_every_refusal(world: World) -> None:
    client = world.client("manager")
    assert "<dd>100.0 %</dd>" in client.get("/figures?period=all").text
    event, sent = tables.claim_event, world.ids["S8L3P6W2Y9"]
    with world.store.begin() as connection:
        row = connection.execute(select(event).limit(1)).mappings().one()
        for number, (kind, after) in enumerate((("delivered", "sent"), ("claim_ack", "rejected"))):
            values = {**row, "id": number + 1, "claim_id": sent, "event_key": kind, "kind": kind, "state_after": after}
            connection.execute(event.insert().values(values))
    assert "<dd>50.0 %</dd>" in client.get("/figures?period=all").text
    assert "S8L3P6W2Y9" in client.get("/figures/acceptance/rejected?period=all").text


def test_receivables_are_what_the_ledger_says_is_owed(world: World) -> None:
    rows = list(csv.DictReader(io.StringIO(world.client("manager").get("/figures.csv?period=all").text[1:])))
    owed = {row["Part"]: row["Amount"] for row in rows if row["Figure"] == "Days in receivables"}
    assert owed == {"Payers owe": "0.00", "Patients owe": "35.00"}


def test_exports_are_recorded_and_never_hold_a_formula(world: World) -> None:
    client = world.client("manager")
    with world.store.begin() as connection:
        connection.execute(update(tables.claim).values(payer_id="=cmd|' /C calc'!A0"))
    page = client.get("/figures/acceptance/accepted.csv?period=all")
    assert page.headers["content-disposition"] == 'attachment; filename="acceptance-accepted.csv"'
    assert "'=cmd" in page.text
    with world.store.connect() as connection:
        assert "export" in connection.scalars(select(tables.audit.c.action)).all()
    assert [safe(text) for text in ("-5.00", "-5.00+1", "@x", "\tx", "plain")] == [
        "-5.00",
        "'-5.00+1",
        "'@x",
        "'\tx",
        "plain",
    ]


def test_the_reconciliation_shows_each_difference_and_says_when_there_is_none(world: World) -> None:
    client = world.client("manager")
    posting = tables.ledger_posting
    before = client.get("/reconcile").text
    with world.store.begin() as connection:
        connection.execute(
            update(posting)
            .where(posting.c.account == "contractual", posting.c.amount_cents == 3_500)
            .values(amount_cents=3_000)
        )
    after = client.get("/reconcile").text
    assert "what became of it" in after
    assert "what became of it" not in before


def test_minutes_count_from_opening_an_item_to_the_next_act_and_five_at_most(world: World) -> None:
    items = [world.ids["item0"], world.ids["item1"]]
    with world.store.connect().execution_options(writes=True) as connection, connection.begin():
        for number, (actor, at, item_id) in enumerate(
            [("a", 0, items[0]), ("b", 10_000, items[1]), ("a", 120_000, None), ("b", 3_600_000, None)]
        ):
            row = audit.record(
                connection, actor=actor, action="view" if item_id else "list",
                object_type="work item" if item_id else "", object_id=str(item_id or ""),
            )  # fmt: skip
            connection.execute(update(tables.audit).where(tables.audit.c.sequence == row).values(at=at + number))
        resolved = update(tables.work_item).where(tables.work_item.c.id.in_(items)).values(state="resolved")
        connection.execute(resolved)
        (found,) = minutes.by_queue(connection)
    assert (found.queue, found.items) == ("denials", 2)
    assert found.milliseconds == 120_002 + 300_000
    assert "3.5 min" in world.client("manager").get("/figures").text
