"""A stored message through the mapping that runs: the message, the script with the values beside its lines, the output.

Nothing is sent or stored. It is what ``hub try`` shows of a file.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from starlette.responses import Response

from hub.core.errors import HubError
from hub.web.call import Call
from hub.web.content import raw_view
from hub.web.masking import Piece
from hub.web.pages.messages import TABS, about, content_of, load, mapped_values, subjects
from hub.web.preview import Made, SeenValue, trace_now

_MOST_VALUES = 6


@dataclass(frozen=True, slots=True)
class ValueView:
    """A name and the value that it got, masked where it must be; the paths that its line reads."""

    name: str
    value: tuple[Piece, ...]
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LineView:
    """A line of a script, the values that it gave (and how many more there were), and what it made."""

    number: int
    text: str
    values: tuple[ValueView, ...]
    more: int
    made: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ScriptView:
    """A script that took part."""

    file: str
    lines: tuple[LineView, ...]


def show(call: Call) -> Response:
    """The page. It takes a moment: the scripts run in a process of their own."""
    detail, _, context = load(call)
    call.look("message", detail.id, patients=subjects(call, detail), action="mapping", always=False)
    settings = call.site.settings
    with call.reading() as connection:
        body = content_of(call, connection, detail.raw_id)
    made, problem = None, ""
    scripts: tuple[ScriptView, ...] = ()
    if settings.folder is None:
        problem = "The files of this site are not at hand."
    else:
        try:
            made, seen = trace_now(settings.folder, detail.channel, about(call, detail), body, settings.mapping_seconds)
            scripts = _scripts(seen, made, settings.files)
        except HubError as error:
            problem = f"{error.what} {error.fix}".strip()
    return call.page(
        "message_mapping.html",
        tab="mapped",
        tabs=TABS,
        raw=raw_view(body),
        scripts=scripts,
        made=made,
        values=mapped_values(made.values) if made else [],
        problem=problem,
        **context,
    )


def _scripts(seen: tuple[SeenValue, ...], made: Made, files: dict[str, bytes]) -> tuple[ScriptView, ...]:
    """The scripts in the order in which they took part, with what each of their lines gave."""
    by_line: dict[str, dict[int, list[ValueView]]] = defaultdict(lambda: defaultdict(list))
    for each in seen:
        by_line[each.file][each.line].append(ValueView(each.name, each.value, each.paths))
    outcomes: dict[str, list[str]] = defaultdict(list)
    for value in made.values:
        outcomes[str(value.get("script", ""))].append(f"{value.get('type', '')} {value.get('path', '')}".strip())
        by_line[str(value.get("script", "")).rpartition(":")[0]]
    return tuple(
        ScriptView(
            file,
            tuple(
                _line(number, text, lines[number], outcomes.get(f"{file}:{number}", []))
                for number, text in enumerate(files.get(file, b"").decode("utf-8", "replace").splitlines(), 1)
            ),
        )
        for file, lines in by_line.items()
    )


def _line(number: int, text: str, values: list[ValueView], made: list[str]) -> LineView:
    shown = (*values[:_MOST_VALUES],)
    return LineView(number, text, shown, max(0, len(values) - _MOST_VALUES), (*made[:_MOST_VALUES],))
