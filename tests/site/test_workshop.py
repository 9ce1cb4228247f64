from __future__ import annotations

import datetime as dt
import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from hub.cli.diff import Recorded, compare_outputs
from hub.site.compare import compare
from hub.site.coverage import shown
from hub.site.load import load_site
from hub.site.sample_from import Disguise
from hub.site.samples import RECEIVED_ON, read_message

ROOT = Path(__file__).parents[2]
WORDS = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=3, max_size=20)


@given(WORDS, st.text("0123456789", min_size=4, max_size=12))
def test_the_same_person_becomes_the_same_other_person_of_the_same_shape(name: str, number: str) -> None:
    disguise = Disguise(b"k" * 16)
    once, again = disguise.text(f"{name}^{number}"), disguise.text(f"{number} {name}")
    assert once == "^".join(reversed(again.split(" ")))
    assert re.sub(r"\d", "9", once.partition("^")[2]) == "9" * len(number)


def test_dates_of_a_life_move_together_and_stay_dates() -> None:
    disguise = Disguise(b"k" * 16)
    born, admitted = (dt.date.fromisoformat(disguise.text(each)) for each in ("19800214", "20261109"))
    assert (admitted - born).days == (dt.date(2026, 11, 9) - dt.date(1980, 2, 14)).days
    assert disguise.text("M") == "M"  # a code, and no name


def test_lines_that_follow_each_other_are_told_as_runs() -> None:
    assert shown((33, 34, 35, 41)) == "33-35, 41"


def test_a_changed_mapping_is_told_by_group_with_the_messages_that_it_concerns(copied: Path) -> None:
    before = load_site(ROOT)
    script = copied / "transforms/alder/departments.csv"
    script.write_text(script.read_text().replace("FM,Family medicine,11", "FM,Family medicine,22"))
    after = load_site(copied)
    cases = [ROOT / "tests/channels/ehr_visits" / name / "in.hl7" for name in ("two_lines", "registration")]
    found = []
    for number, path in enumerate(cases, 1):
        raw = read_message(path)
        kind = before.channels["ehr_visits"].describe(raw).kind
        found.append(Recorded(number, "ehr_visits", {"kind": kind, "received_on": RECEIVED_ON, "control_id": "1"}, raw))
    groups, same = compare_outputs(before, after, found)
    assert same == 1
    assert [(group.place, group.was, group.now, group.messages) for group in groups] == [
        ("Charge FT1, place of service", "11", "22", (1,))
    ]
    assert [(part.name, part.change) for part in compare(before, after) if part.change != "unchanged"] == [
        ("transforms/alder/departments.csv", "changed")
    ]
