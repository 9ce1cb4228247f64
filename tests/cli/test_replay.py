from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from hub.cli.main import main
from tests.cli.at_work import DFT, Kept, engine_that_answers

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


# ---------------------------------------------------------------- all that a search finds


@pytest.fixture
def errored(kept: Kept) -> list[int]:
    """Five messages of one kind, the oldest first."""
    return [kept.keep("ehr_visits", "ADT^A08", f"A{number}", DFT, mrn="100009") for number in range(5)]


def search(kept: Kept, *words: str) -> list[str]:
    return ["replay", "--site", str(kept.folder), "--kind", "ADT^A08", *words]


def test_what_a_search_finds_goes_oldest_first_at_the_rate_each_with_a_token(
    kept: Kept, errored: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    with engine_that_answers(kept.folder, {"ok": True, "message_id": 99}) as requests:
        assert main(search(kept, "--rate", "20/s", "--yes", *WHY)) == 0
    assert time.monotonic() - began >= 4 / 20
    assert [each["args"]["message_id"] for each in requests] == errored
    assert {each["args"]["reason"] for each in requests} == {"the mapping was mended"}
    assert len({each["args"]["token"] for each in requests}) == 5
    out = capsys.readouterr().out
    assert "5 messages" in out
    assert "5 replayed, 0 refused." in out


def test_counting_asks_the_engine_for_nothing_and_needs_no_reason(
    kept: Kept, errored: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    with engine_that_answers(kept.folder, {"ok": True}) as requests:
        assert main(search(kept, "--count", "--json")) == 0
        assert json.loads(capsys.readouterr().out) == {"found": errored}
        assert main(["replay", "--site", str(kept.folder), "--kind", "ADT^A99", "--count"]) == 1
    assert requests == []


def test_many_messages_do_not_go_unconfirmed_nor_more_than_the_limit(
    kept: Kept, errored: list[int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    with engine_that_answers(kept.folder, {"ok": True, "message_id": 99}) as requests:
        assert main(search(kept, *WHY)) == 1
        assert "a second time" in capsys.readouterr().err
        assert main(search(kept, "--limit", "4", "--yes", *WHY)) == 2
        assert main([*search(kept, *WHY), str(errored[0])]) == 2
        assert main(["replay", "--site", str(kept.folder), "--yes", *WHY]) == 2
    assert requests == []


def test_one_that_is_refused_holds_up_no_other(
    kept: Kept, errored: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    refusal = {"code": "H000", "what": "What this message said was pruned", "where": "", "fix": ""}
    with engine_that_answers(kept.folder, {"ok": False, "error": refusal}) as requests:
        assert main(search(kept, "--rate", "1000/s", "--yes", *WHY)) == 1
    assert len(requests) == 5
    assert "0 replayed, 5 refused." in capsys.readouterr().out
