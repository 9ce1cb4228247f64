from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from hub.cli.main import main
from tests.cli.at_work import DFT, Kept, mllp_receiver, until


def test_connect_says_how_far_one_comes_and_writes_nothing(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "channel", "out", "--source", "files", "--to", "files", "--site", str(site)]) == 0
    assert main(["new", "channel", "relay", "--source", "mllp", "--to", "mllp", "--site", str(site)]) == 0
    with mllp_receiver(lambda *_: None) as (address, received):
        channel = site / "channels/relay.toml"
        endpoint = address.removeprefix("mllp://")
        channel.write_text(channel.read_text().replace("tcp:ehr.clinic.example:6661", f"tcp:{endpoint}"))
        capsys.readouterr()
        assert main(["connect", "relay.receiver", "--site", str(site)]) == 0
        assert f"reached {endpoint}" in capsys.readouterr().out
        assert received == []
    assert main(["connect", "relay.receiver", "--site", str(site)]) == 1
    assert "Nothing answers there" in capsys.readouterr().out
    assert main(["connect", "out.receiver", "--site", str(site)]) == 1
    assert "The folder cannot be read" in capsys.readouterr().out
    (site / "var/out").mkdir()
    (site / "var/out/B0001.837").touch()
    assert main(["connect", "out.receiver", "--json", "--site", str(site)]) == 0
    (report,) = json.loads(capsys.readouterr().out)
    assert report["steps"] == [f"{site}/var/out has 1 files: B0001.837", "the hub may write there"]
    assert main(["connect", "nowhere", "--site", str(site)]) == 2


def test_tap_shows_what_comes_from_now_on_masked_and_audited(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = Kept(tmp_path / "site")
    folder = kept.folder
    tapping = threading.Thread(target=main, args=(["tap", "ehr_visits", "--count", "1", "--site", str(folder)],))
    tapping.start()
    until(lambda: any(row["action"] == "tap" for row in kept.audited()))
    came = [kept.keep("ehr_visits", "DFT^P03", f"CHG-{number}", DFT) for number in range(2, 4)]
    tapping.join(60)
    said = capsys.readouterr().out
    assert not tapping.is_alive()
    assert any(str(number) in said for number in came)
    assert "DFT^P03" in said
    assert "SAMPLETON" not in said


def test_top_looks_as_often_as_it_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = Kept(tmp_path / "site")
    assert main(["top", "--every", "10ms", "--count", "2", "--site", str(kept.folder)]) in {0, 1}
    assert capsys.readouterr().out.count("CHANNEL") == 2
