"""The mapping scripts of a site: loaded by path, judged by reading, never reloaded.

Each load gets a package name of its own, so that two bundles can live in one process and nothing outside of the
scripts can import them.
"""

from __future__ import annotations

import ast
import importlib
import itertools
import sys
import traceback
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hub.core.errors import HubError
from hub.scripting import DECLARATION, Declaration
from hub.site.script_tables import tables_from

_NUMBERS = itertools.count(1)
_PURE_MODULES = frozenset(
    {
        "__future__", "bisect", "collections", "dataclasses", "datetime", "decimal", "enum", "fractions",
        "functools", "hub", "itertools", "math", "operator", "re", "string", "textwrap", "types", "typing",
        "unicodedata", "zoneinfo",
    }
)  # fmt: skip
_CLOCKS = frozenset({"now", "today", "utcnow"})
_IMPURE_CALLS = frozenset({"open", "input", "print", "exec", "eval", "compile", "__import__"})


class ScriptError(HubError):
    """A mapping script cannot be loaded, or has no such function."""

    code = "H401"


@dataclass(frozen=True, slots=True)
class Impurity:
    """A place where a script reaches for something that it may not have."""

    code: str
    line: int
    column: int
    sentence: str
    fix: str


class Scripts:
    """The scripts below *folder* (``transforms/``)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._functions: dict[tuple[str, str], tuple[Callable[..., Any], Declaration]] = {}
        self._files: dict[str, str] = {}
        self._package = f"hub_site_{next(_NUMBERS)}"
        package = types.ModuleType(self._package)
        package.__path__ = [str(self.folder)]
        sys.modules[self._package] = package

    def names(self) -> list[str]:
        """The dotted names of all scripts."""
        return [
            ".".join(path.relative_to(self.folder).with_suffix("").parts)
            for path in sorted(self.folder.rglob("*.py"))
            if path.name != "__init__.py"
        ]

    def path(self, module: str) -> Path:
        """The file of the script *module*."""
        return self.folder.joinpath(*module.split(".")).with_suffix(".py")

    def module(self, name: str) -> types.ModuleType:
        """The script *name*, loaded once. Raises :class:`ScriptError` naming the line that failed."""
        if not self.path(name).is_file():
            raise ScriptError(f"There is no script {name}.", where=self.shown(self.path(name)))
        wrote, sys.dont_write_bytecode = sys.dont_write_bytecode, True
        try:
            with tables_from(self.folder):
                return importlib.import_module(f"{self._package}.{name}")
        except HubError as error:
            where = self.place(error) or self.shown(self.path(name))
            raise ScriptError(error.what, where=where, expected=error.expected, fix=error.where) from error
        except SyntaxError as error:
            where = f"{self.shown(Path(error.filename or self.path(name)))}:{error.lineno or 0}"
            raise ScriptError(f"This is not Python: {error.msg}.", where=where) from None
        except Exception as error:
            where = self.place(error) or self.shown(self.path(name))
            raise ScriptError(f"The script cannot be loaded: {type(error).__name__}: {error}.", where=where) from error
        finally:
            sys.dont_write_bytecode = wrote

    def function(self, module: str, name: str) -> tuple[Callable[..., Any], Declaration]:
        """The mapping *name* of the script *module*, and its declaration. Raises :class:`ScriptError`."""
        known = self._functions.get((module, name))
        if known is not None:
            return known
        loaded = self.module(module)
        function = getattr(loaded, name, None)
        if function is None:
            raise NoFunctionError(
                f'{module} has no function "{name}".', where=self.shown(self.path(module)),
                expected=", ".join(mappings_of(loaded)),
            )  # fmt: skip
        declaration = getattr(function, DECLARATION, None)
        if not isinstance(declaration, Declaration):
            raise NotAMappingError(
                f"{module}:{name} is not declared as a mapping.",
                where=self.shown(self.path(module)),
                fix="Decorate it: @mapping(accepts=..., returns=...).",
            )
        self._functions[module, name] = function, declaration
        return function, declaration

    def shown(self, path: Path) -> str:
        """*path* as people name it: ``transforms/acme/charges.py``."""
        resolved = path.resolve()
        if resolved.is_relative_to(self.folder):
            return f"{self.folder.name}/{resolved.relative_to(self.folder).as_posix()}"
        return path.name

    def file(self, module: str) -> str:
        """The file of the script *module* as people name it. Kept, because it is told with every value."""
        if module not in self._files:
            self._files[module] = self.shown(self.path(module))
        return self._files[module]

    def place(self, error: BaseException) -> str:
        """``transforms/acme/charges.py:28``: the innermost line of a script that *error* went through."""
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if Path(frame.filename).is_relative_to(self.folder)]
        return f"{self.shown(Path(own[-1].filename))}:{own[-1].lineno}" if own else ""


class NoFunctionError(ScriptError):
    """The script has no such function."""

    code = "H204"


class NotAMappingError(ScriptError):
    """The function is not declared as a mapping."""

    code = "H205"


def mappings_of(module: types.ModuleType) -> list[str]:
    """The names of the mappings that *module* declares."""
    return [name for name, value in vars(module).items() if hasattr(value, DECLARATION)]


def impurities(source: str) -> Iterator[Impurity]:
    """Where the script *source* imports or calls what a pure function does not need. Raises `SyntaxError`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _import(node, alias.name)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from _import(node, node.module or "")
        elif isinstance(node, ast.Call):
            yield from _call(node)


def _import(node: ast.Import | ast.ImportFrom, name: str) -> Iterator[Impurity]:
    if name.partition(".")[0] not in _PURE_MODULES or (name.startswith("hub") and name != "hub.scripting"):
        fix = "Import from hub.scripting, a neighbour (from .people import patient) or pure parts of the library."
        yield Impurity("H402", node.lineno, node.col_offset + 1, f"A mapping script may not import {name}.", fix)


def _call(node: ast.Call) -> Iterator[Impurity]:
    function = node.func
    if isinstance(function, ast.Attribute) and function.attr in _CLOCKS and not (node.args or node.keywords):
        sentence = f"A mapping has no clock: .{function.attr}() would make replays differ."
        yield Impurity("H403", node.lineno, node.col_offset + 1, sentence, "Take the time from the message.")
    elif isinstance(function, ast.Name) and function.id in _IMPURE_CALLS:
        sentence = f"A mapping is pure: {function.id}() is not for it."
        yield Impurity("H403", node.lineno, node.col_offset + 1, sentence, "Use table() for code tables.")


def field_paths(source: str) -> Iterator[tuple[str, int, int]]:
    """Every HL7 path in the script, with its line and column. Raises `SyntaxError`."""
    for text, line, column in path_texts(source):
        yield text.partition("|")[0].strip(), line, column


def path_texts(source: str) -> Iterator[tuple[str, int, int]]:
    """Every text in the script that is meant as an HL7 path, converters included. Raises `SyntaxError`.

    A path is the subscript of a view (``line["FT1-6"]``), the first argument of its methods, or a value of a field
    table.
    """
    for node in ast.walk(ast.parse(source)):
        found: list[ast.expr] = []
        if isinstance(node, ast.Subscript):
            found = [node.slice]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            found = node.args[:1]
        elif isinstance(node, ast.Dict):
            found = list(node.values)
        for item in found:
            text = item.value if isinstance(item, ast.Constant) and isinstance(item.value, str) else ""
            if _looks_like_a_path(text.partition("|")[0].strip()):
                yield text, item.lineno, item.col_offset + 1


def _looks_like_a_path(text: str) -> bool:
    head = text[:3]
    return (
        len(text) > 4
        and head.isalnum()
        and head.isupper()
        and head[0].isalpha()
        and text[3] in "-.["
        and any(character.isdigit() for character in text[3:])
    )
