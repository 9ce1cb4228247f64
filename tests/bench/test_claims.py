from __future__ import annotations

from hub.bench.claims import BATCH, measure_claims


def test_a_worker_builds_scrubs_writes_and_judges_every_claim() -> None:
    figures = measure_claims(1, 1)
    assert (figures.workers, figures.claims) == (1, BATCH)
    assert figures.per_second > 0
    assert min(figures.built, figures.scrubbed, figures.written, figures.judged) > 0
    assert 0 < figures.judge_share < 1
