"""What ``hub try --watch`` shows of two runs when ``d`` is pressed."""

from __future__ import annotations

import re
import shutil
from argparse import Namespace
from pathlib import Path

import pytest

from hub.cli import try_, watching
from hub.cli.try_ import Line, difference

ROOT = Path(__file__).parents[2]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    for folder in ("channels", "transforms", "config"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    return tmp_path


def watched(site: Path, keys: list[str], edits: dict[int, tuple[str, str]], capsys: pytest.CaptureFixture[str]) -> str:
    """What a person sees last who presses *keys* one after the other; before key *n* a script is edited and saved."""
    script = site / "transforms/alder/charges.py"
    pressed = iter(range(len(keys)))

    def press() -> str:
        number = next(pressed)
        if number in edits:
            text = script.read_text()
            assert edits[number][0] in text
            script.write_text(text.replace(*edits[number]))
            return ""  # the save is seen first
        return keys[number]

    message = ROOT / "tests/channels/ehr_visits/two_lines/in.hl7"
    arguments = Namespace(
        site=site, channel="ehr_visits", file=message, step=None, watch=True, show_phi=False, json=False
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(watching, "_key", press)
        assert try_.run(arguments) == 0
    return capsys.readouterr().out.split("-" * 40)[-1]


def test_d_shows_what_came_out_differently_since_the_run_before(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = watched(site, ["", "d", "q"], {0: ('"units": "FT1-10 | number"', '"units": "FT1-11.1 | number"')}, capsys)
    assert "d diff; s next sample; r raw; q quit" in shown
    told = shown[shown.index("since the run before:") :]
    assert re.search(r"^- .*units=1", told, re.MULTILINE)
    assert re.search(r"^\+ .*units=1?\d\d", told, re.MULTILINE)
    assert "received" not in told


def test_what_the_mask_hides_is_said_to_differ_and_not_shown() -> None:
    before = [Line("received", "received"), Line("  name  Xxx", "  name  Ina")]
    after = [Line("received", "received"), Line("  name  Xxx", "  name  Eva")]
    assert list(difference(before, after))[1:] == ["~   name  Xxx   (what is masked differs)"]


def test_d_before_any_change_says_that_there_is_none(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "Nothing came out differently yet." in watched(site, ["d", "q"], {}, capsys)
