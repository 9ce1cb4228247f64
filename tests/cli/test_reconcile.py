from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import insert

from hub.cli.main import main
from hub.store import tables
from tests.cli.at_work import Kept


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path / "site")


def test_a_store_in_which_nothing_is_lost_is_even(kept: Kept, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reconcile", "--site", str(kept.folder)]) == 0
    assert "Everything is accounted for." in capsys.readouterr().out
    assert main(["reconcile", "--json", "--day", "2020-01-01", "--site", str(kept.folder)]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["even"], said["day"], said["differences"]) == (True, "2020-01-01", [])
    assert [stage["name"] for stage in said["stages"]][:3] == ["received", "mapped", "charged"]


def test_an_entry_that_does_not_sum_to_zero_is_told_with_its_amount(
    kept: Kept, capsys: pytest.CaptureFixture[str]
) -> None:
    with kept.store.execution_options(writes=True).begin() as connection:
        connection.execute(
            insert(tables.ledger_posting).values(entry_id=1, ordinal=1, account="cash", amount_cents=501, code="")
        )
    assert main(["reconcile", "--site", str(kept.folder)]) == 1
    out = capsys.readouterr().out
    assert "debits and credits: expected 0.00, found 5.01" in out
    assert "This does not add up." in out


def test_a_day_that_is_none_is_refused(kept: Kept, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reconcile", "--day", "yesterday", "--site", str(kept.folder)]) == 2
    assert "a day is written 2026-11-23" in capsys.readouterr().err
