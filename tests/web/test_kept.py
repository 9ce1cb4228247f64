"""Slow counts are kept for a while, quick ones are not."""

from __future__ import annotations

from hub.web.kept import Kept


class Slow:
    """A clock, and a count that takes *seconds* of it."""

    def __init__(self, seconds: float) -> None:
        self.now, self.seconds, self.counted = 100.0, seconds, 0

    def count(self) -> int:
        self.now += self.seconds
        self.counted += 1
        return self.counted


def test_what_is_counted_quickly_is_counted_each_time() -> None:
    slow = Slow(0.01)
    kept = Kept(lambda: slow.now)

    assert [kept.get("claims", slow.count) for _ in range(3)] == [1, 2, 3]


def test_what_takes_long_is_kept_for_fifty_times_as_long_as_it_took() -> None:
    slow = Slow(0.2)
    kept = Kept(lambda: slow.now)

    assert kept.get("claims", slow.count) == 1
    slow.now += 9.9
    assert kept.get("claims", slow.count) == 1
    slow.now += 0.2
    assert kept.get("claims", slow.count) == 2


def test_each_figure_is_kept_by_itself() -> None:
    slow = Slow(0.2)
    kept = Kept(lambda: slow.now)

    assert kept.get("claims", slow.count) == 1
    assert kept.get("waiting", slow.count) == 2
