"""What the declarations of connectors and files say beyond checking: JSON Schemas for editors, and reference pages.

A connector is declared once; whatever is told about it is read from there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from hub.billing.config import BillingPolicy, Partner, Payer, Practice
from hub.billing.rules.model import SiteRules
from hub.engine.contracts import Connector
from hub.site.channels import (
    BILLING,
    BillingDestination,
    BillingSource,
    ChannelFile,
    DestinationFile,
    SourceFile,
    StepFile,
)
from hub.site.models import inner_models
from hub.site.settings import HubSettings
from hub.site.site_segments import SEGMENTS, SegmentsFile

DRAFT = "https://json-schema.org/draft/2020-12/schema"
FILES: dict[str, tuple[str, type[BaseModel]]] = {
    "hub": ("config/hub.toml", HubSettings),
    "practice": ("config/practice.toml", Practice),
    "billing": ("config/billing.toml", BillingPolicy),
    "partner": ("config/partners/*.toml", Partner),
    "payer": ("config/payers/*.toml", Payer),
    "segments": (SEGMENTS, SegmentsFile),
    "rules": ("config/rules/*.toml", SiteRules),
}
"""Which files have which model, by the name of their schema. Channel files have one made of several."""
CHANNEL_FILES = "channels/*.toml"

_HEAD = """# Connectors

Every connector with every setting, written by `hub docs --write docs` from the connectors' own declarations. What each
source and destination says whatever its connector (`accepts`, `lane`, `order`, ...) stands in [channels](channels.md).
"""
_Ends = list[tuple[str, str, type[BaseModel]]]


def ends(known: Mapping[str, Connector], side: str) -> _Ends:
    """The name, summary and settings of everything that can be a *side* (``source`` or ``destination``)."""
    own: type[BaseModel] = BillingSource if side == "source" else BillingDestination
    found: _Ends = [
        (name, connector.summary, model)
        for name, connector in known.items()
        if (model := getattr(connector, f"{side}_settings")) is not None
    ]
    return sorted([*found, (BILLING, "The hub's own billing, within the store's transactions.", own)])


def schemas(known: Mapping[str, Connector]) -> dict[str, dict[str, Any]]:
    """The JSON Schema of every kind of file by its name."""
    plain = {name: model.model_json_schema(by_alias=True) for name, (_, model) in FILES.items()}
    return {"channel": channel_schema(known), **{name: {"$schema": DRAFT, **schema} for name, schema in plain.items()}}


def channel_schema(known: Mapping[str, Connector]) -> dict[str, Any]:
    """The JSON Schema of channel files: a source's and a destination's keys are those of its ``type``."""
    definitions: dict[str, Any] = {}
    whole = _defined(ChannelFile, definitions)
    source = _end_schema(ends(known, "source"), SourceFile, definitions)
    whole["properties"]["source"] = {"anyOf": [source, {"type": "array", "items": source, "minItems": 1}]}
    whole["properties"]["step"] = {"type": "array", "items": _defined(StepFile, definitions)}
    destination = _end_schema(ends(known, "destination"), DestinationFile, definitions)
    whole["properties"]["destination"] = {"type": "object", "additionalProperties": destination}
    return {"$schema": DRAFT, "title": "A channel", **whole, "$defs": definitions}


def _end_schema(all_ends: _Ends, common: type[BaseModel], definitions: dict[str, Any]) -> dict[str, Any]:
    """One closed object for each type, chosen by it: an editor then offers the keys of that type alone."""
    shared = _defined(common, definitions)
    choices = []
    for name, summary, model in all_ends:
        own = _defined(model, definitions)
        # Billing decides order and ambiguity itself.
        required = {"type"} if name == BILLING else set(shared.get("required", ()))
        choices.append(
            {
                "if": {"properties": {"type": {"const": name}}, "required": ["type"]},
                "then": {
                    "description": summary,
                    "properties": {**shared["properties"], **own.get("properties", {}), "type": {"const": name}},
                    "required": sorted(required | set(own.get("required", ()))),
                    "additionalProperties": False,
                },
            }
        )
    kinds = {"type": {"enum": [name for name, _, _ in all_ends], "description": "The connector."}}
    return {"type": "object", "properties": kinds, "required": ["type"], "allOf": choices}


def _defined(model: type[BaseModel], definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema of *model*; what it refers to joins *definitions*."""
    schema = model.model_json_schema(by_alias=True)
    definitions.update(schema.pop("$defs", {}))
    return schema


# ---------------------------------------------------------------- reference pages


def connector_page(known: Mapping[str, Connector]) -> str:
    """The reference of all connectors as one Markdown page."""
    names = sorted({name for side in ("source", "destination") for name, _, _ in ends(known, side)})
    links = " · ".join(f"[{name}](#{name})" for name in names)
    lines = [*_HEAD.splitlines(), "", links]
    for name in names:
        lines += ["", *connector_section(name, known)]
    return "\n".join(lines) + "\n"


def connector_section(name: str, known: Mapping[str, Connector]) -> list[str]:
    """What the reference says of the connector *name*, line by line."""
    lines = [f"## {name}", ""]
    told = False
    for side in ("source", "destination"):
        for known_as, summary, model in ends(known, side):
            if known_as != name:
                continue
            if not told:
                lines += [summary, ""]
                told = True
            lines += [f"### As a {side}: {name}", "", _sentence(model), ""]
            rows = list(_rows(model))
            if rows:
                lines += ["| setting | what it is | without it | example |", "| --- | --- | --- | --- |", *rows, ""]
    return lines[:-1]


def _sentence(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split())


def _rows(model: type[BaseModel], within: str = "") -> Iterator[str]:
    """One row of the table for each setting; those of a table within follow it with dotted names."""
    schema = model.model_json_schema(by_alias=True)
    for name, field in sorted(model.model_fields.items(), key=lambda item: not item[1].is_required()):
        shown = f"{within}{field.alias or name}"
        what = " ".join((field.description or "").split()).replace("|", "\\|")
        choices = _choices(schema["properties"].get(field.alias or name, {}))
        if choices:
            what = f"{what} One of {choices}."
        example = toml_value(field.examples[0]) if field.examples else ""
        yield f"| `{shown}` | {what} | {_default(field)} | {f'`{example}`' if example else ''} |"
        for inner in inner_models(field.annotation)[:1]:
            yield from _rows(inner, f"{shown}.")


def _choices(schema: Mapping[str, Any]) -> str:
    found = schema.get("enum") or next((part["enum"] for part in schema.get("anyOf", ()) if "enum" in part), ())
    return ", ".join(f"`{each}`" for each in found)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None or value in ((), {}, "") or isinstance(value, BaseModel):
        return "none"
    patterns = str(field.metadata)
    if isinstance(value, float) and "seconds" in patterns:
        return f"`{_duration(value)}`"
    if isinstance(value, int) and "size_bytes" in patterns:
        return f"`{_size(value)}`"
    return f"`{toml_value(value)}`"


def _duration(value: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60)):
        if value >= length and value % length == 0:
            return f'"{value / length:g}{unit}"'
    return f'"{value:g}s"'


def _size(value: int) -> str:
    for unit, length in (("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)):
        if value >= length and value % length == 0:
            return f'"{value // length}{unit}"'
    return f'"{value}B"'


def toml_value(value: Any) -> str:
    """*value* as it would stand in a TOML file."""
    match value:
        case bool():
            return str(value).lower()
        case dict():
            return "{ " + ", ".join(f"{_key(key)} = {toml_value(item)}" for key, item in value.items()) + " }"
        case list() | tuple():
            return "[" + ", ".join(toml_value(item) for item in value) + "]"
        case int() | float():
            return str(value)
        case _:
            return json.dumps(str(value), ensure_ascii=False)


def _key(text: str) -> str:
    return text if re.fullmatch(r"[A-Za-z0-9_-]+", text) else json.dumps(text)
