from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.site.files import Key, TomlFile, positions, read_toml
from hub.site.findings import Finding

TEXT = '''# a comment = not a key
schema = 1
name = "a # b"

[source]
type = "mllp"
accepts = [
    "ADT^A04",  # a ] in a comment
    "]",
]
"quoted.key" = { secret = "x" }
text = """
not = "a key"
[nor.a.table]
"""

[[step]]
name = "one"

[[step]]
  name = "two"
  nested.deep = 1

[destination.clearway]
type = 'sf"tp'

[[destination.clearway.window]]
from = 07:00:00
'''


def test_every_key_has_its_line_and_column() -> None:
    places = positions(TEXT)
    assert places["schema",] == (2, 1)
    assert places["source", "accepts"] == (7, 1)
    assert places["source", "quoted.key"] == (11, 1)
    assert places["step", 0, "name"] == (18, 1)
    assert places["step", 1, "name"] == (21, 3)
    assert places["step", 1, "nested", "deep"] == (22, 3)
    assert places["destination", "clearway", "type"] == (25, 1)
    assert places["destination", "clearway", "window", 0, "from"] == (28, 1)


def test_texts_and_comments_are_not_taken_for_keys() -> None:
    assert not any("nor" in key or "not" in key for key in positions(TEXT))


def test_a_key_that_is_absent_is_placed_at_the_table_that_should_hold_it() -> None:
    file = TomlFile("x.toml", tomllib.loads(TEXT), positions(TEXT))
    assert file.place(("step", 1, "run")) == (20, 1)
    assert file.place(("owner",)) == (0, 0)


def leaves(value: Any, key: Key = ()) -> list[Key]:
    if isinstance(value, dict):
        return [found for name, item in value.items() for found in leaves(item, (*key, name))]
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return [found for number, item in enumerate(value) for found in leaves(item, (*key, number))]
    return [key]


NAMES = st.from_regex(r"[a-z][a-z0-9_-]{0,6}", fullmatch=True)
VALUES = st.sampled_from(['"x"', "1", "[1, 2]", '["]", "#"]', "{}", "'''a\nb = 1\n'''", '"""\n[t]\n"""', "[\n  1,\n]"])


@given(st.dictionaries(NAMES, st.dictionaries(NAMES, VALUES, max_size=4), max_size=4))
def test_the_scanner_finds_exactly_the_keys_that_the_parser_finds(tables: dict[str, dict[str, str]]) -> None:
    text = "".join(
        f"[{name}]\n" + "".join(f"{key} = {value}  # c\n" for key, value in keys.items())
        for name, keys in tables.items()
    )
    places = positions(text)
    found = {(name, key) for name, keys in tomllib.loads(text).items() for key in keys}
    assert {key for key in places if len(key) == 2} == found
    lines = text.splitlines()
    for key in found:
        line, column = places[key]
        assert lines[line - 1][column - 1 :].startswith(str(key[-1]))


def test_a_code_without_quotes_is_found_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text("a = 1\nzip = 02134\n")
    found = read_toml(tmp_path, "x.toml")
    assert isinstance(found, Finding)
    assert (found.code, found.line, found.level) == ("H200", 2, "error")


def test_a_missing_file_is_a_finding(tmp_path: Path) -> None:
    found = read_toml(tmp_path, "absent.toml")
    assert isinstance(found, Finding)
    assert found.code == "H203"


@pytest.mark.parametrize("name", ["channels/ehr_visits.toml", "config/practice.toml"])
def test_the_demo_sites_own_files_are_scanned_whole(name: str) -> None:
    root = Path(__file__).parents[2]
    file = read_toml(root, name)
    assert isinstance(file, TomlFile)
    assert all(key in file.places for key in leaves(file.data))
