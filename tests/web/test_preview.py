"""What a mapping gives now against what it gave then, with the real scripts in a real, locked worker."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from hub.core.vault import create_key_file
from hub.web.preview import Made, PreviewError, compared, made_then, map_now

REPOSITORY = Path(__file__).parents[2]
ABOUT = {"id": 1, "kind": "DFT^P03", "received_on": "2026-11-12T11:09:55-06:00", "control_id": "1", "source": "x"}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    for folder in ("channels", "transforms", "config"):
        shutil.copytree(REPOSITORY / folder, tmp_path / folder)
    (tmp_path / "var").mkdir()
    create_key_file(tmp_path / "var" / "keys.json")
    return tmp_path


def message() -> bytes:
    sample = next((REPOSITORY / "tests/channels/ehr_visits").glob("*/in.hl7"))
    found = [p for p in (REPOSITORY / "tests/channels/ehr_visits").glob("*/in.hl7") if b"DFT^P03" in p.read_bytes()]
    return (found or [sample])[0].read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r")


def test_what_a_mapping_gives_now_is_compared_field_by_field_with_what_it_gave(site: Path) -> None:
    now = map_now(site, "ehr_visits", ABOUT, message(), 30)
    assert now.error == ""
    assert now.deliveries
    assert compared(now, now).differences == ()
    values = json.loads(json.dumps(now.values))
    changed = next(value for value in values if value["type"] == "Charge")
    code, changed["fields"]["code"] = changed["fields"]["code"], "00000"
    then = made_then(json.dumps(values).encode(), [tuple(each.split(": ", 1)) for each in now.deliveries])  # type: ignore[misc]
    difference = compared(then, now).differences
    assert [(each.was.text, each.now.text) for each in difference] == [("00000", code)]
    assert difference[0].place.endswith(", code")


def test_a_difference_in_patient_data_is_marked_to_be_masked() -> None:
    def made(name: str) -> Made:
        return Made(({"type": "Patient", "path": "PID[1]", "fields": {"name": {"family": name}}},), ())

    (difference,) = compared(made("Old"), made("New")).differences
    assert difference.was.what == difference.now.what == "family"


def test_a_mapping_that_does_not_end_in_time_is_ended(site: Path) -> None:
    script = site / "transforms/alder/charges.py"
    endless = "for line in message.each("
    assert endless in script.read_text()
    script.write_text(script.read_text().replace(endless, f"while True:\n        pass\n    {endless}", 1))
    with pytest.raises(PreviewError, match="still running"):
        map_now(site, "ehr_visits", ABOUT, message(), 0.5)


def test_a_message_that_cannot_be_mapped_says_where_the_mapping_stops(site: Path) -> None:
    stops = map_now(site, "ehr_visits", ABOUT, b"MSH|^~\\&|A\r", 30)
    assert stops.values == ()
    assert stops.outcome or stops.error
