"""Slips in mapping scripts that Python itself finds only when their line runs: perhaps at two in the morning.

Names that stand nowhere, fields that a value does not have, converters that do not exist. What a script builds while it
runs is not judged.
"""

from __future__ import annotations

import ast
import builtins
import dis
import types
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from hub.formats.hl7v2.convert import CONVERTERS
from hub.site.findings import did_you_mean
from hub.site.scripts import Impurity, path_texts

CODE = "H407"


def slips(source: str, module: types.ModuleType) -> Iterator[Impurity]:
    """Every slip in the script *source*, which is loaded as *module*, in the order of its lines."""
    names = vars(module)
    found = [*_unknown_names(source, names), *_unknown_fields(source, names), *_unknown_converters(source)]
    yield from sorted(found, key=lambda slip: (slip.line, slip.column))


def _unknown_names(source: str, names: dict[str, Any]) -> Iterator[Impurity]:
    known = {*names, *vars(builtins)}
    for code in _functions(compile(source, "script", "exec")):
        for step in dis.get_instructions(code):
            if step.opname != "LOAD_GLOBAL" or step.argval in known:
                continue
            place = step.positions
            line, column = (place.lineno or 0, (place.col_offset or 0) + 1) if place else (0, 0)
            fix = did_you_mean(step.argval, known) or "Import it, or write it."
            yield Impurity(CODE, line, column, f'There is no "{step.argval}" in this script.', fix)


def _functions(code: types.CodeType) -> Iterator[types.CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield constant
            yield from _functions(constant)


def _unknown_fields(source: str, names: dict[str, Any]) -> Iterator[Impurity]:
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
            continue
        kind = names.get(node.func.id)
        if not (isinstance(kind, type) and is_dataclass(kind)):
            continue
        known = [field.name for field in fields(kind) if field.init]
        for keyword in node.keywords:
            if keyword.arg is not None and keyword.arg not in known:
                sentence = f'{kind.__name__} has no field "{keyword.arg}".'
                fix = did_you_mean(keyword.arg, known) or f"It has {', '.join(known)}."
                yield Impurity(CODE, keyword.value.lineno, keyword.col_offset + 1, sentence, fix)


def _unknown_converters(source: str) -> Iterator[Impurity]:
    for text, line, column in path_texts(source):
        for name in (part.strip() for part in text.split("|")[1:]):
            if name not in CONVERTERS:
                fix = did_you_mean(name, CONVERTERS) or f"There are {', '.join(CONVERTERS)}."
                yield Impurity(CODE, line, column, f'"{name}" is not a converter.', fix)
