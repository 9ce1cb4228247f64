from __future__ import annotations

import os
import random
import time
from pathlib import Path
from typing import Any

import pytest

from hub.billing import reconcile
from hub.store import contents, tables
from hub.store.database import reading
from tests.billing.crowd import file_of, multiply, payments
from tests.billing.payer import Desk

CLAIMS = int(os.environ.get("HUB_LARGE_CLAIMS", "3000"))
MEGABYTE = 1 << 20


def resident() -> int:
    """The bytes that this process holds in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_a_large_remittance_is_posted_to_the_cent_in_little_memory_though_it_is_cut_off_again_and_again(
    world: Any, monkeypatch: pytest.MonkeyPatch, record_property: Any
) -> None:
    if CLAIMS < 10_000:
        monkeypatch.setattr(contents, "CHUNK", 1 << 16)  # so that this file spans several chunks, as a large one does
    desk = Desk(world)
    claim = desk.claim("A1")
    numbers = multiply(desk, claim, CLAIMS)
    raw = file_of(list(payments(numbers)))
    assert len(raw) > 4 * contents.CHUNK
    message_id = world.add_message(channel="responses_in", kind="835", raw=raw)
    del raw
    random_cut = random.Random(7)
    before, most, decisions, longest = resident(), 0, 0, 0.0
    begun = time.monotonic()
    while True:
        with reading(world.store) as connection:
            decision = desk.decided(message_id, connection)
        most = max(most, resident() - before)
        decisions += 1
        if random_cut.random() < 0.02:  # the process dies before the journal has written
            continue
        started = time.monotonic()
        world.apply(decision.changes)
        longest = max(longest, time.monotonic() - started)
        world.emitted.clear()
        if decision.complete:
            break
    seconds = time.monotonic() - begun
    record_property(
        "measured",
        f"{CLAIMS / seconds:.0f} lines/s, {decisions} decisions, {most / MEGABYTE:.0f} MB, write {longest:.3f} s",
    )
    row = world.one(tables.remittance, message_id=message_id)
    assert (row["state"], row["claims_posted"], row["claims_held"]) == ("posted", CLAIMS, 0)
    assert most < 64 * MEGABYTE
    with reading(world.store) as connection:
        figures = reconcile.figures(connection)
    assert figures.ok, [str(each) for each in figures.differences[:5]]
    assert figures.charges.paid * 100 == CLAIMS * 8000
    assert figures.cash * 100 == CLAIMS * 8000 + 150
    denied = len(range(0, CLAIMS, 7))
    assert len(world.items("denials")) == denied
