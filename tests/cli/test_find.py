from __future__ import annotations

import json
from pathlib import Path

import pytest

from hub.cli.main import main
from tests.cli.at_work import DFT, Kept


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path / "site")


def found(kept: Kept, capsys: pytest.CaptureFixture[str], *words: str) -> list[int]:
    main(["find", "--site", str(kept.folder), "--json", *words])
    return [row["id"] for row in json.loads(capsys.readouterr().out)["messages"]]


@pytest.mark.parametrize(
    "words",
    [
        ("--mrn", "100007"),
        ("--account", "a-7001"),
        ("--name", "Sampleton, Alva"),
        ("--control-id", "CHG"),
        ("--type", "DFT^P03"),
        ("--channel", "ehr_visits", "--outcome", "done", "--since", "1h"),
    ],
)
def test_a_message_is_found_by(kept: Kept, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    assert found(kept, capsys, *words) == [kept.charges]


def test_everything_is_listed_newest_first_in_pages(kept: Kept, capsys: pytest.CaptureFixture[str]) -> None:
    later = [kept.keep("ehr_visits", "DFT^P03", f"CHG-{n}", DFT) for n in range(2, 7)]
    main(["find", "--site", str(kept.folder), "--json", "--limit", "4"])
    first = json.loads(capsys.readouterr().out)
    assert [row["id"] for row in first["messages"]] == later[::-1][:4]
    rest = found(kept, capsys, "--before", str(first["next"]))
    assert rest == [later[0], kept.claims, kept.charges]


def test_all_criteria_must_fit(kept: Kept, capsys: pytest.CaptureFixture[str]) -> None:
    assert found(kept, capsys, "--mrn", "100007", "--kind", "837P") == []


def test_nothing_found_exits_with_1(kept: Kept, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["find", "--site", str(kept.folder), "--mrn", "999999"]) == 1
    assert capsys.readouterr().out == "No message fits.\n"


def test_a_search_for_a_patient_is_audited_without_what_was_typed(
    kept: Kept, capsys: pytest.CaptureFixture[str]
) -> None:
    found(kept, capsys, "--mrn", "100007", "--name", "SAMPLETON")
    found(kept, capsys, "--kind", "837P")
    (record,) = kept.audited()
    assert (record["action"], record["object_type"]) == ("search", "messages")
    assert json.loads(record["detail"]) == {"by": "command line", "fields": ["mrn", "name"]}


def test_a_control_id_cannot_steer_the_terminal(kept: Kept, capsys: pytest.CaptureFixture[str]) -> None:
    kept.keep("ehr_visits", "ADT^A04", "\x1b]0;owned\x07", DFT)
    assert main(["find", "--site", str(kept.folder)]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_a_folder_that_is_no_site_is_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["find", "--site", str(tmp_path)]) == 2
    assert "H216" in capsys.readouterr().err
