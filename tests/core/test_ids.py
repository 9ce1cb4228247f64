"""Ids: rising, unique, and ahead of whatever the store holds, whatever the clock does."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.ids import BLOCK_SIZE, IdMaker, id_floor

START = 1_800_000_000_000


def clock(*times: int) -> Callable[[], int]:
    """A clock that shows *times* one after the other and then stands still."""
    remaining = list(times)
    return lambda: remaining.pop(0) if len(remaining) > 1 else remaining[0]


@given(st.lists(st.integers(START - 10_000, START + 10_000), min_size=1, max_size=200))
def test_ids_rise_even_when_the_clock_steps_back(times: list[int]) -> None:
    maker = IdMaker(now_ms=clock(*times))
    made = [maker.next() for _ in range(len(times) + 10)]
    assert made == sorted(set(made))


@given(st.lists(st.booleans(), max_size=60))
def test_blocks_and_single_ids_never_share_one(asks: list[bool]) -> None:
    maker = IdMaker(now_ms=clock(START, START, START - 5, START + 1))
    made: list[int] = []
    for is_block in asks:
        if is_block:
            block = maker.block()
            made += [block.first, block.first + BLOCK_SIZE - 1]
        else:
            made.append(maker.next())
    assert made == sorted(set(made))


def test_a_block_hands_out_exactly_its_own_ids() -> None:
    block = IdMaker(now_ms=clock(START)).block()
    made = [block.next() for _ in range(BLOCK_SIZE)]
    assert made == list(range(block.first, block.first + BLOCK_SIZE))
    with pytest.raises(StopIteration):
        block.next()


def test_a_millisecond_that_is_used_up_is_followed_by_the_next() -> None:
    maker = IdMaker(now_ms=clock(START))
    made = [maker.next() for _ in range(BLOCK_SIZE + 1)]
    assert len(set(made)) == BLOCK_SIZE + 1
    assert made == sorted(made)


def test_nothing_at_or_below_the_stores_highest_id_is_handed_out() -> None:
    highest = IdMaker(now_ms=clock(START + 60_000)).next()
    maker = IdMaker(floor=highest, now_ms=clock(START))
    assert maker.next() > highest
    assert IdMaker(floor=highest, now_ms=clock(START)).block().first > highest


def test_two_nodes_never_make_the_same_id() -> None:
    first, second = IdMaker(node=1, now_ms=clock(START)), IdMaker(node=2, now_ms=clock(START))
    ours = {first.next() for _ in range(5000)}
    theirs = {second.next() for _ in range(5000)}
    assert not ours & theirs


def test_an_id_fits_a_signed_64_bit_column() -> None:
    last_moment = 1_577_836_800_000 + (1 << 41) - 1
    assert IdMaker(node=1023, now_ms=clock(last_moment)).next() < 1 << 63


@pytest.mark.parametrize("node", [-1, 1024])
def test_a_node_number_that_does_not_fit_is_refused(node: int) -> None:
    with pytest.raises(ValueError, match="10 bits"):
        IdMaker(node=node)


def test_threads_may_ask_at_once() -> None:
    maker = IdMaker()
    with ThreadPoolExecutor(8) as pool:
        made = [number for part in pool.map(lambda _: [maker.next() for _ in range(500)], range(8)) for number in part]
    assert len(set(made)) == 4000


def test_a_moment_that_no_id_can_carry_still_has_a_floor_a_store_can_hold() -> None:
    assert id_floor(2**53 - 1) == 2**63 - 1
    assert id_floor(0) == 0
