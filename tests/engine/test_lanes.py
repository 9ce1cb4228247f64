"""Lanes keep order within a lane and let different lanes go side by side."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hub.engine.lanes import Lanes

LANE = st.sampled_from([b"a", b"b", b"c", b"d"])
ENTRIES = st.lists(st.lists(LANE, max_size=2, unique=True).map(tuple), max_size=40)


def test_entries_of_one_lane_wait_for_each_other() -> None:
    lanes: Lanes[int] = Lanes()
    lanes.add(1, (b"a",))
    lanes.add(2, (b"a",))
    lanes.add(3, (b"b",))

    assert [entry for entry, _ in lanes.take(10)] == [1, 3]
    assert lanes.take(10) == []
    lanes.release((b"a",))
    assert [entry for entry, _ in lanes.take(10)] == [2]


def test_the_next_of_a_lane_may_be_taken_while_the_one_before_it_is_in_hand() -> None:
    lanes: Lanes[int] = Lanes()
    for number in (1, 2, 3):
        lanes.add(number, (b"a",))
    assert [entry for entry, _ in lanes.take(10)] == [1]

    assert lanes.take_next((b"a",)) == 2
    assert lanes.take_next((b"a",)) is None  # two are in hand
    lanes.release((b"a",))
    assert lanes.take(10) == []
    lanes.release((b"a",))
    assert [entry for entry, _ in lanes.take(10)] == [3]
    assert lanes.take_next((b"a",)) is None
    lanes.release((b"a",))
    assert lanes.is_idle((b"a",))


def test_the_next_of_a_lane_is_not_taken_where_it_waits_for_another_lane_too() -> None:
    lanes: Lanes[int] = Lanes()
    lanes.add(1, (b"a",))
    lanes.add(2, (b"a", b"b"))
    lanes.take(10)

    assert lanes.take_next((b"a",)) is None
    assert lanes.take_next(()) is None
    assert len(lanes) == 1


def test_a_merge_waits_for_both_lanes_and_holds_both() -> None:
    lanes: Lanes[int] = Lanes()
    lanes.add(1, (b"a",))
    lanes.add(2, (b"b",))
    lanes.add(3, (b"a", b"b"))
    lanes.add(4, (b"b",))

    assert [entry for entry, _ in lanes.take(10)] == [1, 2]
    lanes.release((b"a",))
    assert lanes.take(10) == []
    lanes.release((b"b",))
    assert [entry for entry, _ in lanes.take(10)] == [3]
    lanes.release((b"a", b"b"))
    assert [entry for entry, _ in lanes.take(10)] == [4]


def test_a_batch_may_bring_along_the_next_ones_of_its_lane() -> None:
    lanes: Lanes[int] = Lanes()
    for entry in range(5):
        lanes.add(entry, (b"a",))

    taken = lanes.take(3, follow=True)

    assert [entry for entry, _ in taken] == [0, 1, 2]
    for _, names in taken[:2]:
        lanes.release(names)
    assert lanes.take(3, follow=True) == []
    lanes.release(taken[2][1])
    assert [entry for entry, _ in lanes.take(3, follow=True)] == [3, 4]


def test_a_held_lane_lets_nothing_go_until_it_is_released() -> None:
    lanes: Lanes[int] = Lanes()
    lanes.hold((b"a",))
    lanes.add(1, (b"a",))
    lanes.add(2, ())

    assert [entry for entry, _ in lanes.take(10)] == [2]
    lanes.release((b"a",))
    assert [entry for entry, _ in lanes.take(10)] == [1]


@given(entries=ENTRIES, follow=st.booleans(), most=st.integers(1, 7), data=st.data())
def test_every_entry_goes_once_and_in_order_within_each_of_its_lanes(
    entries: list[tuple[bytes, ...]], follow: bool, most: int, data: st.DataObject
) -> None:
    lanes: Lanes[int] = Lanes()
    for number, names in enumerate(entries):
        lanes.add(number, names)
    gone: list[int] = []
    in_hand: list[list[tuple[int, tuple[bytes, ...]]]] = []
    while len(gone) < len(entries):
        batch = lanes.take(most, follow=follow)
        if batch:
            for number, names in batch:
                others = {lane for other in in_hand for _, held in other for lane in held}
                assert not others & set(names), "two batches in hand share a lane"
                gone.append(number)
            in_hand.append(batch)
        else:
            assert in_hand, "nothing is in hand and nothing may go"
            done = in_hand.pop(data.draw(st.integers(0, len(in_hand) - 1)))
            for _, names in done:
                lanes.release(names)

    assert sorted(gone) == list(range(len(entries)))
    for lane in {name for names in entries for name in names}:
        of_lane = [number for number in gone if lane in entries[number]]
        assert of_lane == sorted(of_lane)
