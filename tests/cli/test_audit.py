from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import update

from hub.cli.main import main
from hub.store.tables import audit
from tests.cli.at_work import Kept


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    made = Kept(tmp_path / "site")
    assert main(["user", "--site", str(made.folder), "add", "p.halvorsen", "--roles", "viewer"]) == 0
    for action in ("disable", "enable"):
        assert main(["user", "--site", str(made.folder), action, "p.halvorsen"]) == 0
    return made


def test_a_whole_log_verifies_and_the_first_altered_record_is_named(
    kept: Kept, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["audit", "--site", str(kept.folder), "verify"]
    assert main(words) == 0
    assert "each fits the one before it" in capsys.readouterr().out
    with kept.store.connect().execution_options(writes=True) as connection, connection.begin():
        connection.execute(update(audit).where(audit.c.action == "user disable").values(actor="nobody"))
    assert main([*words[:1], "--json", *words[1:]]) == 1
    assert json.loads(capsys.readouterr().out)["why"] == "it was altered"


def test_a_checkpoint_kept_elsewhere_holds_the_log_to_what_it_was(
    kept: Kept, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", "--site", str(kept.folder), "checkpoint"]) == 0
    line = capsys.readouterr().out
    elsewhere = tmp_path / "checkpoints"
    elsewhere.write_text(line)
    against = ["audit", "--site", str(kept.folder), "verify", "--against", str(elsewhere)]
    assert main(against) == 0
    elsewhere.write_text("not.one")
    assert main(against) == 1
    assert "no checkpoint" in capsys.readouterr().err
