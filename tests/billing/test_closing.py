"""Month-end close: a frozen month stays what it was, and what is taken back of it later says so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import update

from hub.billing import closing, reconcile, tracing
from hub.billing.ledger import LedgerError
from hub.formats.x12.segments import Segment, read_segments
from hub.store import tables
from hub.store.database import reading
from tests.billing.payer import Desk, Line, Paid, Remit


def paid(claim: dict[str, Any]) -> Paid:
    return Paid(claim["control_number"], "150", "100", (Line("99213", "150", "100", (("CO", "45", "50"),)),))


def test_a_month_is_closed_when_it_is_over_and_a_later_reversal_stands_beside_it(desk: Desk) -> None:
    world = desk.world
    claim = desk.claim("A1")
    desk.send(Remit((paid(claim),)))
    month = world.clock.today().isoformat()[:7]
    assert world.command("close_month", month=month)["error"]["what"] == "This month is not over."
    world.advance(days=31)
    assert world.command("close_month", month=month, note="first")["ok"]
    assert world.command("close_month", month=month)["error"]["code"] == "H612"
    desk.send(Remit((paid(claim).reversed(),), plb=(("FB", "-100"),), trace="EFT3"))
    with reading(world.store) as connection:
        (closed,) = closing.months(connection)
        assert closed.unchanged
        assert sum(each.moved for each in closed.figures) == 0
        cash = next(each for each in closed.figures if each.account == "cash")
        assert f"{cash.carried_forward:.2f}" == "100.00"
        (correction,) = closing.corrections(connection, month)
        assert correction.posted_on > f"{month}-31"[:10]
        assert f"{correction.amount:.2f}" == "150.00"
        assert reconcile.figures(connection).ok


def test_a_closed_month_that_somebody_changed_in_the_store_is_found(desk: Desk) -> None:
    world = desk.world
    desk.claim("A1")
    month = world.clock.today().isoformat()[:7]
    world.advance(days=31)
    assert world.command("close_month", month=month)["ok"]
    with world.writing() as connection:
        connection.execute(
            update(tables.ledger_posting)
            .where(tables.ledger_posting.c.account == "revenue")
            .values(account="write-off")
        )
    with reading(world.store) as connection:
        assert list(closing.changed(connection)) == [month]
        assert any(each.kind == "month" for each in reconcile.differences(connection))


def test_months_are_closed_in_their_order_and_nothing_is_posted_into_one(desk: Desk) -> None:
    world = desk.world
    began = world.clock
    desk.claim("A1")
    first = began.today().isoformat()[:7]
    world.advance(days=31)
    desk.claim("A2")
    second = world.clock.today().isoformat()[:7]
    world.advance(days=31)
    assert world.command("close_month", month=second)["error"]["expected"] == f"{first} first"
    assert world.command("close_month", month=first)["ok"]
    assert world.command("close_month", month=second)["ok"]
    world.clock = replace(began)
    with pytest.raises(LedgerError):
        desk.claim("A3")


def test_a_posted_cent_leads_to_its_segment_and_a_balance_to_its_entries(desk: Desk) -> None:
    world = desk.world
    claim = desk.claim("A1")
    desk.send(Remit((paid(claim),)))
    with reading(world.store) as connection:
        found = tracing.traced(connection, control_number=claim["control_number"], account="clearing").postings
        assert [f"{each.balance:.2f}" for each in found] == ["100.00"]
        segments = tracing.segments_of(connection, world.vault, found)
        assert [segment.text for segment in segments.values()] == ["SVC*HC:99213*150*100"]
        whole = tracing.traced(connection, account="receivable payer").postings
        assert f"{whole[-1].balance:.2f}" == "0.00"
        (charged,) = [each for each in whole if each.kind == "claim"]
        assert not tracing.segments_of(connection, world.vault, [charged])


def test_a_cent_of_the_second_payment_in_a_file_leads_to_its_own_segment_and_nothing_behind_it_is_read(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims = {amount: desk.claim(f"A{amount}") for amount in ("100", "90", "80")}
    said = [
        Paid(
            claim["control_number"],
            "150",
            amount,
            (Line("99213", "150", amount, (("CO", "45", f"{150 - int(amount)}"),)),),
        )
        for amount, claim in claims.items()
    ]
    desk.send(*(Remit((each,), trace=f"EFT{each.paid}") for each in said))
    read: list[Segment] = []

    def watched(data: Iterable[bytes]) -> Iterator[Segment]:
        for segment in read_segments(data):
            read.append(segment)
            yield segment

    monkeypatch.setattr(tracing, "read_segments", watched)
    with reading(desk.world.store) as connection:
        found = tracing.traced(connection, control_number=claims["90"]["control_number"], account="clearing").postings
        segments = tracing.segments_of(connection, desk.world.vault, found)
        assert read[-1].text == "SVC*HC:99213*150*90"
        deposit = tracing.traced(connection, trace="EFT90", account="cash").postings
        paid_in = tracing.segments_of(connection, desk.world.vault, deposit)
    assert [each.text for each in segments.values()] == ["SVC*HC:99213*150*90"]
    assert [each[2] for each in paid_in.values()] == ["90"]  # BPR02


def test_postings_are_read_page_by_page_with_the_balance_running_on(desk: Desk) -> None:
    world = desk.world
    for account in ("A1", "A2", "A3"):
        desk.send(Remit((paid(desk.claim(account)),), trace=f"E{account}"))
    with reading(world.store) as connection:
        whole = tracing.traced(connection, account="receivable payer")
        assert whole.further is None
        after, pages = (0, 0), []
        while True:
            page = tracing.traced(connection, account="receivable payer", after=after, limit=2)
            pages.append(page)
            if page.further is None:
                break
            after = page.further
    assert len(pages) > 2
    assert [each for page in pages for each in page.postings] == list(whole.postings)
    assert {page.balance for page in pages} == {whole.balance} == {whole.postings[-1].balance}
