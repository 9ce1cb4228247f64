from __future__ import annotations

import csv
from importlib import resources

import pytest

from hub.formats.x12 import vocabulary

TABLES = sorted(
    f.name for f in (resources.files(vocabulary.__package__) / "codes").iterdir() if f.name.endswith(".csv")
)


@pytest.mark.parametrize("name", TABLES)
def test_each_table_has_a_sentence_of_its_own_for_each_code(name: str) -> None:
    text = (resources.files(vocabulary.__package__) / "codes" / name).read_text("utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    assert len({r["code"] for r in rows}) == len({r["sentence"] for r in rows}) == len(rows)
    assert all(r.keys() == {"code", "sentence"} and all(r.values()) for r in rows)
    if name != "entity.csv":
        assert all(r["sentence"].endswith(".") for r in rows)


def test_frequent_codes_have_sentences() -> None:
    assert vocabulary.category("A3").endswith("file it as new.")
    assert vocabulary.entity("82") == "the rendering provider"
    assert vocabulary.interchange_error("025") == "This control number was used before."
    assert vocabulary.segment_error("8") != vocabulary.element_error("8")
    assert vocabulary.acknowledgement("P").startswith("Accepted in part")
    assert vocabulary.adjustment_reason("45") == "The charge is above what the contract allows."
    assert vocabulary.claim_outcome("22") == "An earlier payment is taken back."


@pytest.mark.parametrize(
    "sentence",
    [
        vocabulary.category, vocabulary.entity, vocabulary.interchange_error, vocabulary.segment_error,
        vocabulary.element_error, vocabulary.acknowledgement, vocabulary.adjustment_reason,
        vocabulary.claim_outcome,
    ],
)  # fmt: skip
def test_an_unknown_code_gets_a_neutral_sentence_that_names_it(sentence) -> None:
    assert "QQ9" in sentence("QQ9")
    assert "none" in sentence("")
