from __future__ import annotations

import json
from pathlib import Path

import pytest

from hub.cli.main import main
from tests.cli.at_work import Kept, engine_that_answers

WHY = ("--reason", "the mapping was mended")


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path / "site")


def test_the_engine_is_asked_with_the_reason_and_the_persons_name(
    kept: Kept, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "tess")
    with engine_that_answers(kept.folder, {"ok": True, "message_id": 99}) as requests:
        assert main(["replay", "--site", str(kept.folder), "--json", str(kept.charges), *WHY]) == 0
    (request,) = requests
    assert (request["command"], request["actor"]) == ("replay", "tess")
    assert request["args"] == {
        "message_id": kept.charges,
        "from": "raw",
        "delivery_id": None,
        "reason": "the mapping was mended",
    }
    assert json.loads(capsys.readouterr().out)["replayed"][0]["became"] == 99


def test_what_could_bill_or_arrive_twice_is_not_done_unconfirmed(
    kept: Kept, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    words = ["replay", "--site", str(kept.folder), str(kept.claims), "--delivery", str(kept.ambiguous), *WHY]
    with engine_that_answers(kept.folder, {"ok": True, "message_id": kept.claims}) as requests:
        assert main(words) == 1
        err = capsys.readouterr().err
        assert "the payer can be billed twice" in err
        assert "may have arrived at clearinghouse" in err
        assert requests == []
        assert main([*words, "--yes"]) == 0
    assert requests[0]["args"]["from"] == "delivery"
    assert requests[0]["args"]["delivery_id"] == kept.ambiguous


def test_the_only_delivery_needs_no_name(kept: Kept) -> None:
    with engine_that_answers(kept.folder, {"ok": True, "message_id": kept.claims}) as requests:
        assert main(["replay", "--site", str(kept.folder), str(kept.claims), "--from", "delivery", "--yes", *WHY]) == 0
    assert requests[0]["args"]["delivery_id"] == kept.ambiguous


def test_a_delivery_is_named_by_its_destination(kept: Kept, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["replay", "--site", str(kept.folder), str(kept.claims), "--yes", *WHY, "--to"]
    with engine_that_answers(kept.folder, {"ok": True, "message_id": kept.claims}) as requests:
        assert main([*words, "nobody"]) == 2
        assert "(clearinghouse, ambiguous)" in capsys.readouterr().err
        assert main([*words, "clearinghouse"]) == 0
    assert [each["args"]["delivery_id"] for each in requests] == [kept.ambiguous]


def test_a_reason_is_required(kept: Kept) -> None:
    assert main(["replay", "--site", str(kept.folder), str(kept.charges)]) == 2
    assert main(["replay", "--site", str(kept.folder), str(kept.charges), "--reason", "  "]) == 2


def test_the_engines_refusal_is_told_in_its_words(kept: Kept, capsys: pytest.CaptureFixture[str]) -> None:
    refusal = {"code": "H000", "what": "This delivery is still on its way", "where": "", "fix": "Wait."}
    with engine_that_answers(kept.folder, {"ok": False, "error": refusal}):
        assert main(["replay", "--site", str(kept.folder), str(kept.charges), *WHY]) == 1
    assert "This delivery is still on its way" in capsys.readouterr().err


def test_without_an_engine_nothing_is_replayed(kept: Kept, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "--site", str(kept.folder), str(kept.charges), *WHY]) == 1
    assert "H160" in capsys.readouterr().err
