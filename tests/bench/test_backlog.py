"""What is said of a backlog: nothing lost, and each patient's messages in their order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor

from hub.bench.backlog import benchmark_backlog, require_order
from hub.bench.measure import BenchError

TAKEN_IN = ["LOG0", "LOG2", "LOG1", "LOG3"]  # 0 and 1 are one patient's, 2 and 3 another's


def test_patients_may_overtake_each_other() -> None:
    require_order(TAKEN_IN, [b"FLOG2", b"FLOG3", b"FLOG0", b"FLOG1"])


def test_a_patients_message_that_overtook_another_is_found() -> None:
    with pytest.raises(BenchError, match="changed their order"):
        require_order(TAKEN_IN, [b"FLOG2", b"FLOG1", b"FLOG0", b"FLOG3"])


@pytest.mark.e2e
@pytest_twisted.inlineCallbacks
def test_what_waited_for_a_dead_destination_arrives_in_order(tmp_path: Path) -> Any:
    (tmp_path / "bench").mkdir()
    found = yield benchmark_backlog(reactor, tmp_path / "bench", 300, lambda _: None)
    assert found.messages == 300
    assert found.oldest_s > 0
    assert "refused" in found.reason
    assert found.drained_per_s > 0
    assert found.rss_mb > 0
