from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hub.formats.hl7v2 import Message, structures
from hub.formats.hl7v2.names import segment_name, tree

SAMPLES = Path(__file__).parent / "samples"


@pytest.mark.parametrize(
    ("segment", "position", "version", "name"),
    [
        ("PID", 3, "2.5.1", "Patient identifier list"),
        ("PID", 3, "2.3", "Patient ID internal ID"),
        ("PID", 3, "2.9", "Patient identifier list"),
        ("PID", 3, "", "Patient identifier list"),
        ("FT1", 25, "2.5.1", "Procedure code"),
        ("FT1", 26, "2.3", "Procedure code modifier"),
        ("FT1", 999, "2.5.1", ""),
        ("ZPV", 1, "2.5.1", ""),
    ],
)
def test_fields_are_named_as_the_nearest_version_names_them(
    segment: str, position: int, version: str, name: str
) -> None:
    found = structures.field(segment, position, version)
    assert (found.title if found else "") == name


def test_segments_have_names() -> None:
    assert segment_name("FT1") == "Financial transaction"
    assert segment_name("ZPV") == "Site-defined"
    assert segment_name("QQQ") == ""


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*[!h].hl7")), ids=lambda path: path.stem)
def test_every_leaf_of_a_tree_is_at_the_path_that_it_shows(path: Path) -> None:
    raw = path.read_bytes()
    if not raw.lstrip().startswith(b"MSH"):
        pytest.skip("an envelope, not a message")
    message = Message(raw)
    rows = tree(message)
    assert [(row.segment, row.ordinal) for row in rows] == [(line.name, line.ordinal) for line in message.segments]
    leaves = [leaf for row in rows for field in row.fields for group in field.repetitions for leaf in group]
    assert len(leaves) > 10
    for leaf in leaves:
        value = message.value(leaf.path)
        assert (value.text, value.state) == (leaf.text, "null" if leaf.null else "present")


def test_a_tree_names_fields_and_their_parts() -> None:
    rows = tree(Message((SAMPLES / "dft_p03.hl7").read_bytes()))
    patient = next(row for row in rows if row.segment == "PID")
    identifiers = next(field for field in patient.fields if field.position == 3)
    assert identifiers.name == "Patient identifier list"
    assert [[leaf.path for leaf in group] for group in identifiers.repetitions] == [
        ["PID[1]-3[1].1", "PID[1]-3[1].4", "PID[1]-3[1].5"],
        ["PID[1]-3[2].1", "PID[1]-3[2].4", "PID[1]-3[2].5"],
    ]
    assert identifiers.repetitions[0][1].name == "Assigning authority"


def test_the_slow_library_is_not_loaded_with_the_package() -> None:
    code = "import sys, hub.formats.hl7v2.names, hub.formats.hl7v2.check; sys.exit('hl7apy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=120).returncode == 0
