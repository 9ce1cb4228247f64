from __future__ import annotations

import json
from pathlib import Path

import pytest

from hub.cli.main import main
from hub.store.counters import Counts, add_counts
from tests.cli.at_work import Kept, engine_that_answers, quiet_site


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path / "site")


def test_without_an_engine_the_store_is_told(kept: Kept, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--site", str(kept.folder)]) == 0
    out = capsys.readouterr().out
    assert "The hub is not running" in out
    assert "2 received = 0 in progress + 0 held + 0 errored + 0 rejected + 2 done + 0 filtered: even" in out
    assert "claims_out → clearinghouse" in out
    assert "The connection was lost while the file was sent." in out
    assert "0.00 charged" in out


def test_the_engine_tells_addresses_peers_and_troubles(kept: Kept, capsys: pytest.CaptureFixture[str]) -> None:
    end = {"state": "listening", "address": "127.0.0.1:2575", "since_at": 0, "detail": "", "peers": 3}
    bad = {"state": "login failed", "address": "sftp.example:22", "since_at": 0, "detail": "key refused", "peers": 0}
    answer = {
        "ok": True,
        "bundle": "b1",
        "started_at": 0,
        "idle": True,
        "channels": {
            "ehr_visits": {"paused": False, "sources": [end], "destinations": {}},
            "claims_out": {"paused": False, "sources": [], "destinations": {"clearinghouse": [bad]}},
        },
        "workers": {},
    }
    with engine_that_answers(kept.folder, answer) as requests:
        assert main(["status", "--site", str(kept.folder), "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert main(["status", "--site", str(kept.folder)]) == 0
    assert requests[0]["command"] == "status"
    channels = {channel["name"]: channel for channel in document["channels"]}
    assert (channels["ehr_visits"]["state"], channels["ehr_visits"]["connections"]) == ("running", 3)
    assert channels["claims_out"]["state"] == "login failed"
    assert "claims_out: sftp.example:22 key refused" in capsys.readouterr().out
    assert document["waiting"][0]["ambiguous"] == 1
    assert document["money"]["difference"] == "0.00"


def test_a_message_that_is_in_no_outcome_is_said_and_fails(kept: Kept, capsys: pytest.CaptureFixture[str]) -> None:
    with kept.store.connect().execution_options(writes=True) as connection, connection.begin():
        add_counts(connection, Counts({("ehr_visits", "2026-11-09", "received"): 1}))
    assert main(["status", "--site", str(kept.folder)]) == 1
    assert "off by 1" in capsys.readouterr().out


def test_a_store_of_no_schema_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = quiet_site(tmp_path / "site")
    for file in (folder / "var").glob("hub.db*"):
        file.unlink()
    assert main(["status", "--site", str(folder)]) == 1
    assert "This site has no store yet" in capsys.readouterr().err
    (folder / "var" / "hub.db").touch()
    assert main(["status", "--site", str(folder)]) == 1
    assert "The store has the schema of another version" in capsys.readouterr().err
