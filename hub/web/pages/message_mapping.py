"""A stored message through the mapping that runs: the message, the script with the values beside its lines, the output.

Nothing is sent or stored. It is what ``hub try`` shows of a file.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from starlette.responses import Response

from hub.core.errors import HubError
from hub.web.call import Call
from hub.web.content import parsed_view
from hub.web.masking import Piece
from hub.web.pages.messages import TABS, about, content_of, load, mapped_values, subjects
from hub.web.preview import SeenValue, trace_now

_MOST_VALUES = 6


@dataclass(frozen=True, slots=True)
class ValueView:
    """A name and the value that it got, masked where it must be; the paths that its line reads."""

    name: str
    value: tuple[Piece, ...]
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LineView:
    """A line of a script, the values that it gave, and how many more there were."""

    number: int
    text: str
    values: tuple[ValueView, ...]
    more: int


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
            scripts = _scripts(seen, settings.files)
        except HubError as error:
            problem = f"{error.what} {error.fix}".strip()
    return call.page(
        "message_mapping.html",
        tab="mapped",
        tabs=TABS,
        parsed=parsed_view(body),
        scripts=scripts,
        made=made,
        values=mapped_values(made.values) if made else [],
        problem=problem,
        **context,
    )


def _scripts(seen: tuple[SeenValue, ...], files: dict[str, bytes]) -> tuple[ScriptView, ...]:
    """The scripts in the order in which they took part, with what each of their lines gave."""
    by_line: dict[str, dict[int, list[ValueView]]] = defaultdict(lambda: defaultdict(list))
    for each in seen:
        by_line[each.file][each.line].append(ValueView(each.name, each.value, each.paths))
    return tuple(
        ScriptView(
            file,
            tuple(
                LineView(number, text, tuple(lines[number][:_MOST_VALUES]), max(0, len(lines[number]) - _MOST_VALUES))
                for number, text in enumerate(files.get(file, b"").decode("utf-8", "replace").splitlines(), 1)
            ),
        )
        for file, lines in by_line.items()
    )
