"""The figures, the claims behind them, and the reconciliation."""

from __future__ import annotations

import csv
import io
import re

from sqlalchemy import select, update

from hub.store import tables
from hub.web.csv_text import safe

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
