"""Nothing that names a patient lies open: not in logs, not in metrics, not in the files of the store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hub.demo.stage import plan_play
from hub.simulators.ehr_visits import Appointments
from tests.e2e.playing import Played, book

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def canaries(played: Played) -> dict[bytes, str]:
    """Everything that names the demonstration's patients, and what it is."""
    play = plan_play(played.visits, played.seed, faults=True, day_seconds=2.0, started=0.0)
    visits = Appointments(play.seed, play.visits, play.visits_per_day, play.faults, play.opening).visits()
    found: dict[str, str] = {}
    for person in {visit.person for visit in visits}:
        found |= {person.family: "family name", person.mrn: "medical record number", person.street: "street"}
        found |= {coverage.member_id: "member id" for coverage in person.coverages}
        found |= {person.birth.strftime("%Y%m%d"): "date of birth", person.birth.isoformat(): "date of birth"}
    found |= {visit.account: "account number" for visit in visits}
    found |= {entry["account"]: "account number" for entry in _ehr(played) if entry.get("account")}
    found |= {entry["mrn"]: "medical record number" for entry in _ehr(played) if entry.get("mrn")}
    return {text.encode(): what for text, what in found.items() if text}


def _ehr(played: Played) -> list[dict[str, str]]:
    return book(played.folder / "world", "ehr")


def test_the_canaries_are_what_the_ehr_really_sent(played: Played, canaries: dict[bytes, str]) -> None:
    """Else the tests below would find nothing, whatever the hub wrote."""
    kinds = set(canaries.values())
    assert kinds == {
        "family name", "medical record number", "account number", "member id", "street", "date of birth",
    }  # fmt: skip
    assert len(canaries) > played.visits
    entries = _ehr(played)
    assert entries
    assert {entry["mrn"].encode() for entry in entries if entry.get("mrn")} <= canaries.keys()


def test_no_patient_is_named_in_what_the_processes_write(played: Played, canaries: dict[bytes, str]) -> None:
    assert not _named(played.log.encode(), canaries)
    assert "engine.started" in played.log


def test_no_patient_is_named_in_metrics_or_the_write_ahead_log(played: Played, canaries: dict[bytes, str]) -> None:
    assert {name for name, _ in played.seen} == {"hub.db-wal", "/metrics"}
    assert any(data for name, data in played.seen if name == "hub.db-wal")
    named = [(name, what) for name, data in played.seen for what in _named(data, canaries)]
    assert not named


def test_no_patient_is_named_in_any_file_that_the_hub_keeps(played: Played, canaries: dict[bytes, str]) -> None:
    files = list(_kept(played.folder / "site" / "var"))
    assert "hub.db" in {file.name for file in files}
    named = [(file.name, what) for file in files for what in _named(file.read_bytes(), canaries)]
    assert not named


def _kept(var: Path) -> Iterator[Path]:
    return (file for file in var.rglob("*") if file.is_file() and file.parent.name != "secrets")


def _named(data: bytes, canaries: dict[bytes, str]) -> list[str]:
    return sorted({f"{what} {canary.decode()}" for canary, what in canaries.items() if canary in data})
