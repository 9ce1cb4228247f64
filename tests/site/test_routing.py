"""Where messages go by what they say: forward and where, channel to channel, and what is wrong there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hub.site.check import check_site
from hub.site.load import load_site
from hub.site.mapping import results_of
from hub.site.plans import site_plan

HEAD = 'schema = 1\nname = "{}"\ntitle = "Lab"\nowner = "integration@clinic.example"\n'
ORDER = r"""MSH|^~\&|LAB|{facility}|HUB|CLINIC|20261130||ORU^R01|M1|T|2.5.1
PID|1||100007^^^CLINIC^MR||SAMPLETON^ALVA
OBR|1|||{code}
OBR|2|||HBA1C
"""
LAB = (
    HEAD.format("lab")
    + """
[source]
type = "mllp"
listen = "tcp:127.0.0.1:0"
accepts = ["ORU^R01"]

[[step]]
name = "north"
on = ["ORU^R01"]
where = { "MSH-4.1" = "NORTH*" }
forward = ["north", "archive"]

[[step]]
name = "glucose"
on = ["ORU^*"]
where = { "MSH-4.1" = ["SOUTH", "WEST"], "OBR-4.1" = "GLU" }
forward = ["archive"]

[destination.north]
type = "channel"
into = "north"

[destination.archive]
type = "files"
folder = "var/archive"
order = "any"
ambiguous = "retry"
"""
)
NORTH = (
    HEAD.format("north")
    + """
[source]
type = "channel"
format = "hl7v2"
accepts = ["ORU^R01"]

[[step]]
name = "all"
on = ["ORU^R01"]
forward = ["archive"]

[destination.archive]
type = "files"
folder = "var/archive"
order = "any"
ambiguous = "retry"
"""
)


@pytest.fixture
def site(copied: Path) -> Path:
    """The demo site with two channels that route."""
    (copied / "channels/lab.toml").write_text(LAB)
    (copied / "channels/north.toml").write_text(NORTH)
    return copied


def routed(folder: Path, facility: str, code: str = "GLU") -> tuple[list[str], list[str], list[bytes]]:
    """The destinations and reasons that the channel comes to, and the bodies of its deliveries."""
    loaded = load_site(folder)
    raw = ORDER.format(facility=facility, code=code).replace("\n", "\r").encode()
    about = {"kind": "ORU^R01", "control_id": "M1", "received_on": "2026-11-30"}
    (result,), parts = results_of(loaded.channels["lab"], loaded.scripts, loaded.zone, [(about, raw)])
    assert result["error"] is None
    bodies = [parts[each["part"]] for each in result["deliveries"]]
    assert set(bodies) <= {raw}, "forwarded as it came"
    lines = (folder / "channels/lab.toml").read_text().splitlines()
    for made in json.loads(parts[result["mapped"]]) if result["mapped"] is not None else ():
        file, _, line = made["script"].rpartition(":")
        assert (file, lines[int(line) - 1][:7]) == ("channels/lab.toml", "forward")
    return [each["destination"] for each in result["deliveries"]], [s["reason"] for s in result["skipped"]], bodies


@pytest.mark.parametrize(
    ("facility", "code", "destinations"),
    [
        ("NORTH", "X", ["north", "archive"]),
        ("NORTHWEST", "X", ["north", "archive"]),
        ("SOUTH", "GLU", ["archive"]),
        ("WEST", "GLU", ["archive"]),
        ("SOUTH", "X", []),
        ("EAST", "GLU", []),
    ],
)
def test_a_message_goes_where_what_it_says_leads(site: Path, facility: str, code: str, destinations: list[str]) -> None:
    found, reasons, _ = routed(site, facility, code)
    assert found == destinations
    assert bool(reasons) == (not destinations)
    assert all("where" in reason for reason in reasons)


def test_any_repetition_of_a_segment_may_hold_the_value(site: Path) -> None:
    text = LAB.replace('"OBR-4.1" = "GLU"', '"OBR[*]-4.1" = "HBA1C"')
    (site / "channels/lab.toml").write_text(text)
    assert routed(site, "SOUTH", "X")[0] == ["archive"]


def test_a_channel_that_only_others_feed_opens_nothing(site: Path) -> None:
    plan = site_plan(load_site(site))
    assert plan.channels["north"].sources == ()
    handing = plan.channels["lab"].destinations["north"]
    assert (handing.answers_to, handing.hands_on, handing.ambiguous, handing.order) == ("north", True, "retry", "lane")
    assert not [found for found in check_site(load_site(site)) if found.level == "error"]


WRONG: list[tuple[str, str, str, str, str]] = [
    ("lab", 'into = "north"', 'into = "nroth"', "H231", 'did you mean "north"'),
    ("lab", 'forward = ["archive"]', 'forward = ["archvie"]', "H209", 'did you mean "archive"'),
    ("lab", 'forward = ["archive"]', 'forward = ["archive"]\nrun = "a.b:c"', "H202", "either run"),
    ("lab", '"MSH-4.1" = "NORTH*"', '"MSH.4" = "NORTH*"', "H405", "MSH-4"),
    (
        "north",
        'type = "files"\nfolder = "var/archive"\norder = "any"\nambiguous = "retry"',
        'type = "channel"\ninto = "lab"',
        "H231",
        "circle",
    ),
    ("lab", 'folder = "var/archive"', 'folder = "var/archive"\nanswers_to = "somewhere"', "H231", "known:"),
    ("lab", 'folder = "var/archive"', 'folder = "var/archive"\nanswers_to = "lab"', "H231", "circle"),
]


@pytest.mark.parametrize(("channel", "old", "new", "code", "said"), WRONG)
def test_what_leads_nowhere_is_found(site: Path, channel: str, old: str, new: str, code: str, said: str) -> None:
    file = site / f"channels/{channel}.toml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new, 1))
    found = [each for each in check_site(load_site(site)) if each.code == code]
    assert found
    assert any(said.lower() in f"{each.sentence} {each.fix}".lower() for each in found), found
    assert all(each.line for each in found)


def test_two_sources_that_remember_under_one_name_are_found(site: Path) -> None:
    source = '\n[[source]]\ntype = "schedule"\nname = "nightly"\ncron = "0 6 * * *"\n'
    step = '\n[[step]]\nname = "run"\non = ["nightly"]\nforward = ["archive"]\n'
    archive = NORTH[NORTH.index("[destination.archive]") :]
    (site / "channels/twice.toml").write_text(HEAD.format("twice") + source * 2 + step + archive)
    codes: dict[str, Any] = {
        each.code: each for each in check_site(load_site(site)) if each.file.endswith("twice.toml")
    }
    assert codes["H230"].line
