"""From pydantic's errors to findings with a place, a sentence and a suggestion."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from hub.site.files import Key, TomlFile
from hub.site.findings import Finding, did_you_mean

M = TypeVar("M", bound=BaseModel)


def check_model(
    model: type[M], data: Any, file: TomlFile, key: Key, also: Iterable[str] = ()
) -> tuple[M | None, list[Finding]]:
    """*data*, which stands at *key* of *file*, as *model*; None with findings when it does not fit.

    *also* are keys that are known at this place although the model does not have them.
    """
    try:
        return model.model_validate(data), []
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        # An unknown key comes first: it is most often why another one is missing.
        found.sort(key=lambda details: details["type"] != "extra_forbidden")
        return None, [
            _finding(model, details["type"], details["msg"], details["loc"], file, key, tuple(also))
            for details in found
        ]


def _finding(
    model: type[BaseModel],
    kind: str,
    message: str,
    loc: tuple[str | int, ...],
    file: TomlFile,
    key: Key,
    also: tuple[str, ...],
) -> Finding:
    place = (*key, *loc)
    name = str(loc[-1]) if loc else ""
    around = _model_at(model, loc[:-1])
    if kind == "extra_forbidden":
        known = [*_keys(around), *also] if around else []
        fix = did_you_mean(name, known) or (f"known: {', '.join(known)}" if known else "")
        return file.finding(place, "H201", f'"{name}" is not a setting here.', fix)
    if kind == "missing":
        return file.finding(place, "H202", f'"{name}" is required.', _meaning(around, name))
    sentence = _in_words(kind, message.removeprefix("Value error, "), around, name)
    return file.finding(place, "H202", f'"{name}": {sentence}.' if name else f"{sentence}.".capitalize())


def _meaning(model: type[BaseModel] | None, name: str) -> str:
    """What the setting *name* says, and how it is written."""
    field = model.model_fields.get(name) if model else None
    if field is None:
        return ""
    written = [json.dumps(each) for each in field.examples or _choices(field.annotation)]
    said = [field.description or "", f"Write {name} = {' or '.join(written[:5])}." if written else ""]
    return " ".join(part for part in said if part)


def _choices(annotation: Any) -> tuple[Any, ...]:
    """The values of a ``Literal``."""
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def _in_words(kind: str, message: str, model: type[BaseModel] | None, name: str) -> str:
    """What pydantic says of a value, as a person would: a pattern tells nobody what is meant, an example does."""
    field = model.model_fields.get(name) if model else None
    examples = field.examples or [] if field else []
    shown = f", such as {', '.join(json.dumps(each) for each in examples[:2])}" if examples else ""
    match kind:
        case "string_type":
            return f"this is a text: write it in quotes{shown}"
        case "string_pattern_mismatch" if examples:
            return f"this does not have the right form{shown}"
        case "string_pattern_mismatch":
            return f"this does not have the right form, which is {_pattern(message)}"
        case "tuple_type" | "list_type":
            return "this is a list: write it in brackets" + (shown or ', such as ["one"]')
        case "model_type" | "dict_type":
            return "this is a table of settings"
        case "int_type" | "int_parsing" | "float_type" | "float_parsing":
            return f"this is a number, without quotes{shown}"
        case "bool_type" | "bool_parsing":
            return "this is true or false, without quotes"
        case "string_too_short" | "string_too_long" | "literal_error":
            return message.removeprefix("String ").removeprefix("Input ").replace("should", "it should", 1)
    return message


def _pattern(message: str) -> str:
    """The regular expression that *message* quotes."""
    return message.partition("'")[2].rpartition("'")[0] or message


def _model_at(model: type[BaseModel], loc: tuple[str | int, ...]) -> type[BaseModel] | None:
    """The model that the value at *loc* is checked by."""
    for part in loc:
        if isinstance(part, int):
            continue
        field = next((f for n, f in model.model_fields.items() if part in {n, f.alias}), None)
        inner = next((kind for kind in inner_models(field.annotation if field else None)), None)
        if inner is None:
            return None
        model = inner
    return model


def inner_models(annotation: Any) -> list[type[BaseModel]]:
    """The models within a type such as ``tuple[Model, ...] | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for argument in get_args(annotation) for found in inner_models(argument)]


def _keys(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]
