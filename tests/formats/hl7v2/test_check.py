from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.formats.hl7v2.check import Finding, check_path, conformance

SAMPLES = Path(__file__).parent / "samples"


def errors(raw: bytes) -> list[Finding]:
    return [finding for finding in conformance(raw) if finding.severity == "error"]


@pytest.mark.parametrize("name", ["adt_a04", "dft_p03", "adt_a40"])
def test_a_conforming_message_has_no_errors(name: str) -> None:
    assert errors((SAMPLES / f"{name}.hl7").read_bytes()) == []


def test_required_fields_that_are_left_out_are_errors() -> None:
    found = errors((SAMPLES / "siu_s12.hl7").read_bytes())
    assert [finding.where for finding in found] == ["SCH[1]-16", "SCH[1]-20"]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_line_ends_a_missing_structure_and_odd_versions_are_tolerated(end: bytes) -> None:
    raw = (SAMPLES / "adt_a04.hl7").read_bytes()
    changed = raw.replace(b"\r", end).replace(b"^ADT_A01|", b"|").replace(b"|2.5.1|", b"|2.5.1^USA|")
    assert changed != raw
    assert errors(changed) == []


def test_a_missing_required_segment_and_value_are_found_where_they_are() -> None:
    raw = (SAMPLES / "dft_p03.hl7").read_bytes()
    lines = [line for line in raw.split(b"\r") if not line.startswith((b"EVN", b"PV1"))]
    found = errors(b"\r".join([*lines, b"PV1|1||X"]))
    assert {(finding.where, finding.what) for finding in found} >= {
        ("EVN", "The structure requires the segment EVN."),
        ("PV1[1]-2", "A required value is missing."),
    }


def test_segments_that_do_not_belong_are_warned_of_and_the_rest_is_judged() -> None:
    raw = (SAMPLES / "adt_a04.hl7").read_bytes() + b"QQQ|1\rTXA|1\rPID|2||1||A\r"
    found = conformance(raw)
    assert Finding("warning", "QQQ[1]", "The structure has no segment QQQ.") in found
    assert Finding("warning", "TXA[1]", "The structure has no segment TXA.") in found
    assert Finding("error", "PID[2]", "The structure has one segment PID.") in found


def test_a_value_outside_a_table_is_masked() -> None:
    raw = (SAMPLES / "adt_a04.hl7").read_bytes().replace(b"|F|", b"|Frieda7|")
    (finding,) = [finding for finding in conformance(raw) if finding.where == "PID[1]-8"]
    assert finding.found == "xxxxxx9"
    assert "0001" in finding.what


def test_a_withdrawn_place_is_a_warning() -> None:
    raw = (SAMPLES / "adt_a04.hl7").read_bytes().replace(b"|2.5.1|", b"|2.8|")
    found = conformance(raw.replace(b"|ACC9001^^^ALDER^AN", b"|ACC9001^^^ALDER^AN|000000000"))
    assert [finding for finding in found if finding.where == "PID[1]-19"] == [
        Finding("warning", "PID[1]-19", "The version has withdrawn this place.")
    ]


def test_surplus_parts_are_warnings() -> None:
    raw = (SAMPLES / "adt_a04.hl7").read_bytes().replace(b"^ALDER^MR~", b"^ALDER^MR^^^^^^^^^^surplus~")
    found = [finding for finding in conformance(raw) if finding.what.startswith("There are more parts")]
    assert [(finding.severity, finding.where) for finding in found] == [("warning", "PID[1]-3")]


def test_what_is_no_message_is_one_error_with_its_place() -> None:
    assert [(finding.severity, finding.where) for finding in conformance(b"PID|1")] == [("error", "byte 0")]


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=80))
def test_conformance_never_raises(tail: bytes) -> None:
    raw = b"MSH|^~\\&|A|B|C|D|20261110||ADT^A04|1|T|2.3\rPID|1||"
    assert isinstance(conformance(raw + tail), list)


@pytest.mark.parametrize(
    ("path", "version"),
    [
        ("PID-3[MR].1", "2.5.1"),
        ("PID-3.4.2", "2.5.1"),
        ("FT1[*]-26[*].1", "2.5.1"),
        ("FT1-4.1", "2.3"),
        ("OBX-5.7", "2.5.1"),
        ("PID-5.1.1", "2.5.1"),
        ("PID-5[.7=L].1", "2.5.1"),
    ],
)
def test_a_place_that_the_version_has_is_fine(path: str, version: str) -> None:
    assert check_path(path, version) is None


@pytest.mark.parametrize(("path", "version"), [("ZPV-3.1", "2.5.1"), ("FT1-26.1", "2.3"), ("FT1-43", "2.5.1")])
def test_a_place_that_only_the_site_or_another_version_has_is_a_warning(path: str, version: str) -> None:
    finding = check_path(path, version)
    assert finding is not None
    assert finding.severity == "warning"


@pytest.mark.parametrize(
    ("path", "suggestion"),
    [
        ("PID-99", ""),
        ("PID-3.11.4", ""),
        ("PID-8.2", ""),
        ("PDI-3", 'Did you mean "PID-3"?'),
        ("PID.3", 'Did you mean "PID-3"?'),
        ("PID-5[L].1", 'Did you mean "PID-5[.7=L]"?'),
    ],
)
def test_a_place_that_no_version_has_is_an_error(path: str, suggestion: str) -> None:
    finding = check_path(path, "2.5.1")
    assert finding is not None
    assert (finding.severity, finding.suggestion) == ("error", suggestion)
