from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from hub.connectors import connectors
from hub.site.declared import channel_schema, connector_page, ends, schemas, toml_value

ROOT = Path(__file__).parents[2]


def test_the_reference_of_the_connectors_is_what_they_declare() -> None:
    assert (ROOT / "docs/connectors.md").read_text() == connector_page(connectors()), "run: hub docs --write docs"


@pytest.mark.parametrize("side", ["source", "destination"])
def test_every_setting_of_every_connector_has_a_description_and_an_example(side: str) -> None:
    bare = [
        f"{name}.{setting}"
        for name, _, model in ends(connectors(), side)
        for setting, field in model.model_fields.items()
        if not (field.description and field.examples)
    ]
    assert bare == []


def allowed(schema: dict[str, Any], kind: str) -> dict[str, Any]:
    """What the schema of one end allows for the type *kind*."""
    choices = [rule["then"] for rule in schema["allOf"] if rule["if"]["properties"]["type"]["const"] == kind]
    assert len(choices) == 1
    return dict(choices[0])


def test_editors_offer_the_keys_that_the_files_of_the_demo_site_use_and_no_others() -> None:
    schema = channel_schema(connectors())
    end = schema["properties"]["source"]["anyOf"][0]
    out = schema["properties"]["destination"]["additionalProperties"]
    for path in sorted((ROOT / "channels").glob("*.toml")):
        file = tomllib.loads(path.read_text())
        sources = file["source"] if isinstance(file["source"], list) else [file["source"]]
        for given, rules in [*((s, end) for s in sources), *((d, out) for d in file["destination"].values())]:
            choice = allowed(rules, given["type"])
            assert set(given) <= set(choice["properties"])
            assert set(choice["required"]) <= set(given)
            assert choice["additionalProperties"] is False


def test_a_schema_refers_to_nothing_that_it_does_not_hold() -> None:
    def references(part: Any) -> list[str]:
        if isinstance(part, dict):
            own = [part["$ref"]] if "$ref" in part else []
            return own + [found for value in part.values() for found in references(value)]
        return [found for item in part for found in references(item)] if isinstance(part, list) else []

    for schema in schemas(connectors()).values():
        known = {f"#/$defs/{name}" for name in schema.get("$defs", {})}
        assert set(references(schema)) <= known


def test_an_example_is_written_as_toml_reads_it() -> None:
    value = {"a": [True, 3, "x"], "X-Y": {"secret": "k"}, "with space": 1.5}
    assert tomllib.loads(f"v = {toml_value(value)}") == {"v": value}
