from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import pytest

from hub.cli.main import main
from hub.core.vault import open_vault
from hub.site.load import load_site
from hub.site.places import key_file
from hub.store import tables
from tests.billing.conftest import ZONE, StandingClock, World, billing_config
from tests.cli.at_work import Kept


@pytest.fixture
def billed(tmp_path: Path) -> tuple[Kept, str]:
    return made_billed(tmp_path)


def made_billed(tmp_path: Path, **coverage: str) -> tuple[Kept, str]:
    """A site with one claim, sent if nothing is wrong with it, and its control number."""
    kept = Kept(tmp_path / "site")
    morning = int(datetime(2026, 11, 10, 9, tzinfo=ZONE).timestamp() * 1000)
    world = World(
        store=kept.store,
        vault=open_vault(key_file(load_site(kept.folder))),
        config=billing_config(),
        clock=StandingClock(zone=ZONE, business_epoch_ms=morning),
        folder=kept.folder,
    )
    origins = (("coverages[0].member_id", "IN1[1]-36[1]"),)
    world.decide_values([world.visit(origins=origins, coverages=(world.coverage(**coverage),))])
    world.decide_values([world.charge(origins=(("code", "FT1[1]-25[1].1"),))])
    world.bill_and_batch()
    return kept, world.one(tables.claim)["control_number"]


def test_an_element_is_followed_to_its_field_and_masked(
    billed: tuple[Kept, str], capsys: pytest.CaptureFixture[str]
) -> None:
    kept, number = billed
    assert main(["explain-claim", number, "--element", "2400/SV101-2", "--site", str(kept.folder)]) == 0
    out = capsys.readouterr().out
    assert "FT1[1]-25[1].1 of message" in out
    assert "99213" not in out
    assert kept.audited()[-1]["action"] == "view"


def test_with_a_reason_the_value_is_shown_and_that_is_audited(
    billed: tuple[Kept, str], capsys: pytest.CaptureFixture[str]
) -> None:
    kept, number = billed
    asked = ["explain-claim", number, "--element", "2010BA", "--show-phi", "--site", str(kept.folder), "--json"]
    assert main([*asked, "--reason", "the payer asks about this member"]) == 0
    found = {each["place"]: each for each in json.loads(capsys.readouterr().out)["elements"]}
    assert found["2010BA/NM109"]["value"] == "W123456789"
    assert found["2010BA/NM109"]["origins"][0]["place"] == "IN1[1]-36[1]"
    assert kept.audited()[-1]["action"] == "reveal"
    assert main(asked) == 2


def test_what_was_found_at_an_element_is_told_with_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept, number = made_billed(tmp_path, member_id="X00112233")
    asked = ["--site", str(kept.folder)]
    assert main(["explain-claim", number, "--element", "2010BA/NM109", *asked]) == 0
    out = capsys.readouterr().out
    assert "found by ID-15, 2010BA NM109, SNIP 7: The member id does not look like one of Cedar Mutual." in out
    assert "Compare the member id with the card" in out
    assert "X00112233" not in out
    assert main(["explain-claim", number, "--element", "2400", *asked, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["findings"] == []
    assert main(["explain-claim", number, *asked, "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["findings"]
    assert (found["rule"], found["where"], found["stc"]) == ("ID-15", "2010BA NM109", ["A7:164:IL"])
    assert main(["rules", "90001", "--claim", number, *asked]) == 0
    out = capsys.readouterr().out
    assert "error    ID-15, 2010BA NM109, SNIP 7" in out
    assert "Compare the member id with the card" in out


def test_what_is_not_there_is_a_mistake_in_usage(billed: tuple[Kept, str], capsys: pytest.CaptureFixture[str]) -> None:
    kept, number = billed
    assert main(["explain-claim", "H0", "--site", str(kept.folder)]) == 2
    assert main(["explain-claim", number, "--element", "2400/SV999", "--site", str(kept.folder)]) == 2
    assert "no such element" in capsys.readouterr().err
