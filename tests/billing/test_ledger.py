from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.billing import ledger
from hub.store import tables
from hub.store.changes import apply
from hub.store.database import reading
from tests.billing.payer import Desk

postings = st.lists(
    st.builds(
        ledger.Posting,
        account=st.sampled_from(ledger.ACCOUNTS),
        amount_cents=st.integers(-(10**12), 10**12),
        code=st.sampled_from(("", "CO-45")),
    ),
    max_size=6,
)


@given(postings)
def test_a_mirror_takes_back_every_account_and_mirrored_again_is_the_original(
    made: list[ledger.Posting],
) -> None:
    mirror = ledger.mirrored(made)
    assert ledger.mirrored(mirror) == made
    for account in ledger.ACCOUNTS:
        assert sum(each.amount_cents for each in [*made, *mirror] if each.account == account) == 0


@pytest.mark.parametrize(
    "sides", [(("cash", 100), ("clearing", -99)), (("cash", 100), ("petty cash", -100)), (("cash", 1),)]
)
def test_an_entry_that_does_not_sum_to_zero_or_names_no_account_of_ours_is_refused(
    world: Any, sides: tuple[tuple[str, int], ...]
) -> None:
    desk = Desk(world)
    with reading(world.store) as connection:
        decision = desk.decision(1, connection)
        with pytest.raises(ledger.LedgerError):
            ledger.post(
                decision,
                key="k",
                kind="payment",
                postings=[ledger.Posting(account=name, amount_cents=cents) for name, cents in sides],
            )
    assert decision.changes.writes == []


def test_a_posted_entry_is_read_again_as_it_was_made_without_its_zeros(world: Any) -> None:
    desk = Desk(world)
    sides = [
        ledger.Posting(account="cash", amount_cents=700, payer_id="90001", reference="EFT1"),
        ledger.Posting(account="interest", amount_cents=0),
        ledger.Posting(account="clearing", amount_cents=-700, code="L6"),
    ]
    with reading(world.store) as connection:
        decision = desk.decision(1, connection)
        entry_id = ledger.post(decision, key="k", kind="deposit", postings=sides)
    with world.writing() as connection:
        apply(connection, decision.changes)
    with reading(world.store) as connection:
        assert ledger.postings_of(connection, entry_id) == [sides[0], sides[2]]
    assert world.one(tables.ledger_entry)["entry_key"] == "k"
