"""Merges: the retired number means the survivor for ever, whatever comes in between."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub.billing.values import Merge
from hub.store import tables
from tests.billing.conftest import make_world


def merge(world, survivor, retired):
    return Merge(survivor=world.patient(survivor), retired_mrn=retired, retired_authority="ALDER")


def test_the_survivor_gets_the_retired_records_visits_charges_and_unsent_claims(world):
    world.decide_values([world.visit("A1"), world.charge("T1", "A1")])
    world.decide_values([world.visit("A2", patient=world.patient("M2", sex="U"))])
    world.advance(days=1.1)
    world.run_due("bill")
    world.decide_values([merge(world, "M2", "M1")])
    (batch,) = world.bill_and_batch()
    survivor = next(row for row in world.rows(tables.patient) if row["merged_into"] is None)
    assert b"REF*EA*M2~" in batch.body
    for table in (tables.visit, tables.charge):
        assert {row["patient_id"] for row in world.rows(table)} == {survivor["id"]}
    assert [row["state"] for row in world.rows(tables.claim)] == ["void", "sent"]
    world.check_ledger()


def test_what_still_comes_under_the_retired_number_is_the_survivors(world):
    world.decide_values([world.visit("A1"), merge(world, "M9", "M1")])
    world.decide_values([world.visit("A3"), world.charge("T3", "A3", mrn="M1")])
    assert world.one(tables.charge)["state"] == "open"
    assert len({row["patient_id"] for row in world.rows(tables.visit)}) == 1


def test_an_unknown_retired_number_is_an_alias_and_an_unknown_survivor_is_made(world):
    world.decide_values([merge(world, "M2", "M1")])
    assert [row["retired"] for row in sorted(world.rows(tables.patient_alias), key=lambda r: r["retired"])] == [
        False,
        True,
    ]
    world.one(tables.patient)


def test_a_merge_in_a_circle_changes_nothing_and_is_shown_to_a_person(world):
    world.decide_values([world.visit("A1"), world.visit("A2", patient=world.patient("M2"))])
    world.decide_values([merge(world, "M2", "M1")])
    world.decide_values([merge(world, "M2", "M1")])
    assert world.items() == []
    world.decide_values([merge(world, "M1", "M2")])
    (item,) = world.items("anomalies")
    assert item["kind"] == "impossible merge"


numbers = st.integers(0, 4)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(numbers, numbers), max_size=8), st.sets(numbers))
def test_after_any_merges_each_visit_belongs_to_the_one_patient_whom_its_number_means(pairs, visited):
    with tempfile.TemporaryDirectory() as folder:
        world = make_world(Path(folder))
        groups = {number: {number} for number in range(5)}
        used: set[int] = set()
        for number in visited:
            account = f"A{number}"
            world.decide_values(
                [
                    world.visit(account, patient=world.patient(f"M{number}")),
                    world.charge(f"T{number}", account, mrn=f"M{number}", code=f"9921{number}"),
                ]
            )
        for survivor, retired in pairs:
            world.decide_values([merge(world, f"M{survivor}", f"M{retired}")])
            if survivor != retired and retired not in used:
                joined = groups[survivor] | groups[retired]
                if groups[survivor] is not groups[retired]:
                    used.add(retired)
                    for member in joined:
                        groups[member] = joined
        owners = {}
        for row in world.rows(tables.visit):
            account = world.open(tables.visit, row)["account"]
            owners[int(account[1:])] = row["patient_id"]
            assert world.one(tables.patient, id=row["patient_id"])["merged_into"] is None
        for one in owners:
            for two in owners:
                assert (owners[one] == owners[two]) == (two in groups[one])
        assert {row["state"] for row in world.rows(tables.charge)} <= {"open"}
        world.check_ledger()
        world.store.dispose()
