"""Reference data: files as publishers lay them out, editions by date of service, loads that are whole or nothing."""

from __future__ import annotations

import gzip
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from hub.billing.refdata.errors import BadFileError
from hub.billing.refdata.kinds import KINDS, Entry
from hub.billing.refdata.lookup import NotLoadedError, look_up
from hub.billing.refdata.store import load_set, loaded_sets
from hub.store import tables

ORDER = """\
00001 A00     0 Cholera                                                      Cholera
00002 A000    1 Cholera due to Vibrio cholerae 01, biovar cholerae           Cholera due to Vibrio cholerae 01
"""
CODES = "A000    Cholera due to Vibrio cholerae 01\nE119    Type 2 diabetes mellitus without complications\n"
TABLE = "code,code_nodot,billable,description\nA00,A00,0,Cholera\nA00.0,A000,1,Cholera\n"
NCCI = """\
"A notice of the publisher, over two lines,
and some more"
Column 1/Column 2 Edits
Column 1\tColumn 2\t*=in existence\tEffective Date\tDeletion Date\tModifier\tRationale
17110\t36415\t\t20200101\t*\t0\tMisuse
20610\t36415\t\t20200101\t20251231\t1\tMisuse
"""
MUE = """\
"A notice"
"HCPCS/CPT Code","Practitioner Services MUE Values","MUE Adjudication Indicator","MUE Rationale"
83036,1,"2 Date of Service Edit: Policy","Nature of Service"
J1885,8,"3 Date of Service Edit: Clinical","Prescribing Information"
"""
NPPES = """\
"NPI","Entity Type Code","Replacement NPI","NPI Deactivation Date","NPI Reactivation Date"
"1999000114","1","","",""
"1999000338","1","","01/31/2025",""
"1999000221","1","","01/31/2025","03/01/2025"
"""
RELATIVE_VALUES = """\
,,2026 Relative Value File,,,,,,,,
,,"A notice of the publisher, about CODES",,,,,,,,
,,,STATUS,WORK,PCTC,GLOB,BILAT,ASST,CO-,TEAM
HCPCS,MOD,DESCRIPTION,CODE,RVU,IND,DAYS,SURG,SURG,SURG,SURG
17110,,"WORDS, WORDS",A,0.70,0,010,0,1,0,0
77067,,WORDS,A,0.76,1,XXX,2,0,0,0
77067,26,WORDS,A,0.76,1,XXX,2,0,0,0
"""
HCPCS_LINE = "G0008" + "00100" + "3" + " " * 257 + "19930101" + "20200101" + "20261231" + "N" + " " * 27


def read(kind: str, text: str) -> list[Entry]:
    return list(KINDS[kind].read(text.splitlines(keepends=True)))


@pytest.mark.parametrize("text", [ORDER, TABLE])
def test_diagnoses_are_read_from_the_order_file_and_from_a_table(text: str) -> None:
    assert [(entry.code, entry.facts["billable"]) for entry in read("icd10", text)] == [("A00", "0"), ("A000", "1")]


def test_every_diagnosis_of_the_codes_file_is_valid_for_a_claim() -> None:
    assert [(entry.code, entry.facts) for entry in read("icd10", CODES)] == [
        ("A000", {"billable": "1"}),
        ("E119", {"billable": "1"}),
    ]


def test_pairs_of_procedures_are_read_below_any_notice() -> None:
    first, second = read("ncci", NCCI)
    assert (first.code, first.second, first.effective, first.ends, first.facts) == (
        "17110", "36415", "2020-01-01", "", {"indicator": "0"},
    )  # fmt: skip
    assert second.ends == "2025-12-31"


def test_indicators_are_read_from_the_relative_value_file_whose_headings_stand_in_two_lines() -> None:
    first, second = read("mpfs", RELATIVE_VALUES)
    assert (first.code, first.facts) == (
        "17110",
        {"pctc": "0", "global_days": "010", "bilateral": "0", "assistant": "1", "co_surgeon": "0"},
    )
    assert (second.code, second.facts["pctc"], second.facts["bilateral"]) == ("77067", "1", "2")


def test_indicators_are_read_from_a_table_of_our_own_names() -> None:
    (entry,) = read("mpfs", "code,bilateral,global_days\n20610,1,000\n")
    assert (entry.code, entry.facts) == ("20610", {"bilateral": "1", "global_days": "000"})


def test_a_relative_value_file_without_its_indicators_is_refused() -> None:
    with pytest.raises(BadFileError):
        read("mpfs", "HCPCS,MOD,DESCRIPTION\n17110,,WORDS\n")


def test_likely_units_are_read_with_their_indicator() -> None:
    assert [(e.code, e.facts) for e in read("mue", MUE)] == [
        ("83036", {"units": "1", "indicator": "2"}),
        ("J1885", {"units": "8", "indicator": "3"}),
    ]


def test_a_provider_is_active_until_deactivated_and_again_when_reactivated() -> None:
    assert [(entry.code, entry.ends) for entry in read("npi", NPPES)] == [
        ("1999000114", ""),
        ("1999000338", "2025-01-31"),
        ("1999000221", ""),
    ]


def test_the_columns_of_the_hcpcs_file_give_code_and_dates() -> None:
    assert read("hcpcs", HCPCS_LINE + "\n") == [Entry("G0008", "", "1993-01-01", "2026-12-31")]
    (entry,) = read("hcpcs", "HCPC,ADD DT,TERM DT\nj1885,20000101,\n")
    assert (entry.code, entry.effective) == ("J1885", "2000-01-01")


def test_a_tab_in_a_description_parts_no_cells_of_a_table_with_commas() -> None:
    assert [entry.code for entry in read("cpt", 'code,description\n99213,"some\twords"\n')] == ["99213"]


def test_no_description_is_kept_but_the_text_of_reasons_that_the_practice_may_use() -> None:
    (reason,) = read("carc", "code,description\n45,our own words\n")
    assert reason.facts == {"text": "our own words"}
    (entry,) = read("cpt", "code,description\n99213,some words\n")
    assert entry.facts == {}


def load(world: Any, folder: Path, kind: str, text: str, edition: str, effective: date) -> None:
    file = folder / f"{edition}.txt.gz"
    file.write_bytes(gzip.compress(text.encode()))
    load_set(world.store, kind, file, edition=edition, effective=effective, actor="ada")


def test_the_date_of_service_decides_which_edition_speaks(world: Any, tmp_path: Path) -> None:
    load(world, tmp_path, "icd10", CODES, "2026", date(2025, 10, 1))
    load(world, tmp_path, "icd10", "code\nA000\n", "2027", date(2026, 10, 1))
    with world.store.connect() as connection:
        reference = look_up(connection, {"E119", "A000"})
    assert reference.code("icd10", "E119", date(2026, 9, 30)) == {"billable": "1"}
    assert reference.code("icd10", "E119", date(2026, 10, 1)) is None
    with pytest.raises(NotLoadedError):
        reference.code("icd10", "E119", date(2025, 9, 30))
    with pytest.raises(NotLoadedError):
        reference.code("mue", "83036", date(2026, 10, 1))


def test_a_deleted_pair_no_longer_speaks_after_its_last_day(world: Any, tmp_path: Path) -> None:
    load(world, tmp_path, "ncci", NCCI, "2026Q1", date(2026, 1, 1))
    load(world, tmp_path, "ncci", NCCI, "2025Q4", date(2025, 10, 1))
    with world.store.connect() as connection:
        reference = look_up(connection, {"20610", "36415"})
    assert reference.pair("ncci", "20610", "36415", date(2025, 12, 31)) is not None
    assert reference.pair("ncci", "20610", "36415", date(2026, 1, 1)) is None


def test_an_edition_is_loaded_once(world: Any, tmp_path: Path) -> None:
    load(world, tmp_path, "icd10", CODES, "2026", date(2025, 10, 1))
    with pytest.raises(BadFileError, match="loaded already"):
        load(world, tmp_path, "icd10", CODES, "2026", date(2025, 10, 1))
    with world.store.connect() as connection:
        (only,) = loaded_sets(connection)
    assert (only.kind, only.edition, only.rows, only.state) == ("icd10", "2026", 2, "ready")


def test_a_load_that_broke_off_is_seen_by_nobody_and_is_made_anew(world: Any, tmp_path: Path) -> None:
    broken = "code,effective\nA000,\nE119,not a day\n"
    with pytest.raises(BadFileError, match="date"):
        load(world, tmp_path, "cpt", broken, "2026", date(2026, 1, 1))
    with world.store.connect() as connection:
        assert look_up(connection, {"A000"}).editions == {}
    load(world, tmp_path, "cpt", "code\n99213\n", "2026", date(2026, 1, 1))
    with world.store.connect() as connection:
        assert [row.code for row in connection.execute(select(tables.refdata_code.c.code))] == ["99213"]


@pytest.mark.parametrize(("kind", "text"), [("nothing", "x"), ("mue", "no such thing\n"), ("cpt", "a,b\n1,2\n")])
def test_a_file_that_is_none_is_refused(world: Any, tmp_path: Path, kind: str, text: str) -> None:
    with pytest.raises(BadFileError):
        load(world, tmp_path, kind, text, "2026", date(2026, 1, 1))


def test_a_claim_is_checked_against_what_is_loaded(world: Any, tmp_path: Path) -> None:
    load(world, tmp_path, "icd10", "code,billable\nE11,0\nE119,1\n", "2027", date(2026, 10, 1))
    world.decide_values([world.visit(), world.charge(diagnoses=("E11",))])
    world.start()
    world.advance(days=1.1)
    world.run_due("bill")
    (item,) = world.items("claim edits")
    assert item["rule"] == "DX-04"
