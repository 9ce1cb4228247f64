"""``hub secrets`` as a person types it."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from hub.cli.main import main
from hub.core.secret import SecretName, site_secrets
from tests.cli.at_work import Kept

VALUE = "correct-horse-battery"


@pytest.fixture
def site(tmp_path: Path) -> str:
    folder = Kept(tmp_path / "site").folder
    channel = folder / "channels/ehr_visits.toml"
    text = channel.read_text().replace("[[step]]", '[destination.ehr]\ntype = "http"\nurl = "https://ehr.example/"\n'
        'token = { secret = "ehr_token" }\norder = "any"\nambiguous = "ask"\n\n[[step]]', 1)  # fmt: skip
    channel.write_text(text)
    return str(folder)


def set_to(value: str, *words: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("sys.stdin", io.StringIO(value))
    return main(["secrets", *words])


def test_a_secret_is_piped_in_listed_rotated_and_removed_and_its_value_shown_nowhere(
    site: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["secrets", "list", "--site", site]) == 1
    assert "NOT SET" in capsys.readouterr().out
    words = ("ehr_token", "--site", site, "--ends", "2027-02-01")
    assert set_to(VALUE + "\n", "set", *words, monkeypatch=monkeypatch) == 0
    assert main(["secrets", "list", "--site", site, "--json"]) == 0
    shown = capsys.readouterr().out
    (row,) = json.loads(shown[shown.index("[\n") :])
    assert (row["used_by"], row["found_in"], row["ends"]) == (
        "ehr_visits ehr", "var/secrets.json (encrypted)", "2027-02-01",
    )  # fmt: skip
    assert set_to("other", "set", *words, monkeypatch=monkeypatch) == 2
    assert set_to("another", "rotate", *words, monkeypatch=monkeypatch) == 0
    assert site_secrets(Path(site) / "var").value(SecretName("ehr_token")) == "another"
    assert main(["secrets", "rm", "ehr_token", "--site", site]) == 0
    assert main(["secrets", "rm", "ehr_token", "--site", site]) == 1
    told = capsys.readouterr()
    assert VALUE not in shown + told.out + told.err


def test_whoever_sets_a_secret_that_a_file_hides_is_told_so(
    site: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (Path(site) / "var/secrets/ehr_token").write_text("from the file")
    assert set_to(VALUE, "set", "ehr_token", "--site", site, monkeypatch=monkeypatch) == 0
    assert "comes first" in capsys.readouterr().err


def test_check_says_where_a_missing_secret_was_looked_for(site: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["check", "--site", site])
    told = capsys.readouterr().out
    assert 'Secret "ehr_token" is not set' in told
    assert "$HUB_SECRET_EHR_TOKEN" in told
    assert "hub secrets set ehr_token" in told
