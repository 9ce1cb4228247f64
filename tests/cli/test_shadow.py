"""``hub shadow``: what another system sent, beside the claims that the hub made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hub.cli.main import main
from tests.cli.at_work import Kept

SAMPLE = Path(__file__).parents[1] / "formats" / "x12" / "samples"


def test_claims_that_the_hub_did_not_make_are_told_and_the_look_is_audited(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = Kept(tmp_path / "site")
    file = next(path for path in sorted(SAMPLE.glob("*.edi")) if b"X222" in path.read_bytes())
    assert main(["shadow", str(file), "--site", str(kept.folder), "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["claims"] == len(said["differences"]) > 0
    assert {each["ours"] for each in said["differences"]} == {"none"}
    assert kept.audited()[-1]["action"] == "compare"
    assert main(["shadow", str(file) + ".gone", "--site", str(kept.folder)]) == 2
