"""What is kept of a finding: where it is, what kind, what to do, and of the value nothing but a digest."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from hub.billing.edits import EDITS, scrub
from hub.billing.findings import kept, of_the_guide, told
from hub.formats.x12.judge import Finding as Objection
from hub.store import tables

from .edit_samples import Case, of, subscriber


def stored(world: Any, case: Case) -> list[dict[str, Any]]:
    return kept(world.vault, case[0], scrub(*case).findings)


def bill(world: Any, **coverage: Any) -> None:
    world.decide_values([world.visit(coverages=(world.coverage(**coverage),)), world.charge()])
    world.start()
    world.advance(days=1.1)
    world.run_due("bill")


def test_a_finding_stands_with_its_claim_and_its_work_item(world: Any) -> None:
    bill(world, member_id="X00112233")
    finding = {
        "rule": "ID-15",
        "severity": "error",
        "line": 0,
        "snip": 7,
        "loop": "2010BA",
        "segment": "NM1",
        "element": "09",
        "qualifier": "",
        "value_hash": world.vault.digest("2010BA/NM109", "X00112233").hex(),
        "sentence": "The member id does not look like one of Cedar Mutual.",
        "fix": (
            "Compare the member id with the card or ask for eligibility, and correct it in the EHR; if it is right, "
            "correct member_id in the payer's file."
        ),
        "stc": ["A7:164:IL"],
    }
    (event,) = world.rows(tables.claim_event, kind="edit_result")
    assert json.loads(event["detail"])["found"] == [finding]
    assert "X00112233" not in event["detail"]
    (item,) = world.items("claim edits")
    assert world.open(tables.work_item, item)["findings"] == [finding]


def test_equal_values_of_one_place_have_equal_digests_and_others_have_others(world: Any) -> None:
    first, again, other = (
        stored(world, of(subscriber(member_id=number)))[0]["value_hash"] for number in ("X1", "X1", "X2")
    )
    assert first == again != other
    assert first != world.vault.digest("2000B/SBR03", "X1").hex()


def test_a_value_that_is_missing_has_no_digest(world: Any) -> None:
    (finding,) = (each for each in stored(world, of(subscriber(sex=""))) if each["rule"] == "ID-19")
    assert (finding["value_hash"], finding["element"]) == ("", "03")


def test_what_the_guide_objects_to_is_told_once_and_where_it_came_from_is_a_command_away() -> None:
    objection = Objection("2400", "SV1", 20, "01-2", "7", "The code is not in the list.", "H1")
    found = of_the_guide(objection, "H1")
    assert found == of_the_guide(replace(objection, position=30), "H1")
    assert (found.snip, str(found.place)) == (2, "2400 SV101-2")
    assert "`hub explain-claim H1 --element 2400/SV101-2`" in found.fix
    unwritable = of_the_guide(Objection("", "", 0, "", "3", "A claim has no diagnosis."), "H1")
    assert (unwritable.sentence, str(unwritable.place)) == ("A claim has no diagnosis.", "2300 CLM01")


def test_a_finding_is_told_as_it_was_kept(world: Any) -> None:
    (finding,) = stored(world, of(subscriber(member_id="X1")))[:1]
    said = told(finding)
    assert (said.rule, said.severity, said.line, said.snip, said.place) == ("ID-15", "error", 0, 7, "2010BA NM109")
    assert (said.sentence, said.fix, said.stc) == (finding["sentence"], finding["fix"], ("A7:164:IL",))
    assert said.value_hash == finding["value_hash"] != ""


def test_a_finding_that_an_earlier_version_kept_is_told_by_what_the_table_says_of_its_edit() -> None:
    said = told({"rule": "LN-01", "severity": "error", "line": 2})
    assert (said.line, said.snip, said.place, said.value_hash, said.stc) == (2, 5, "", "", ())
    assert said.sentence == EDITS["LN-01"].sentence
    assert said.fix == EDITS["LN-01"].fix
    said = told({"rule": "payer/gone", "line": 0, "sentence": "No."})
    assert (said.snip, said.place, said.sentence, said.fix) == (0, "", "No.", "")
