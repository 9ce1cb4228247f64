"""``hub try CHANNEL FILE``: one message through a channel, every stage shown, nothing sent.

Values stand beside the lines of the mapping that made them. Patient data is masked unless ``--show-phi`` is given,
which is logged with the user's name.
"""

from __future__ import annotations

import argparse
import getpass
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hub.cli.common import UsageError, channel_of, print_json, site_argument, site_folder
from hub.core.errors import HubError, masked
from hub.core.log import Log

if TYPE_CHECKING:
    from hub.site.channels import Channel
    from hub.site.load import Site
    from hub.site.mapping import Mapped
    from hub.site.trace import Seen

_LONGEST = 70


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    site_argument(parser)
    parser.add_argument("channel")
    parser.add_argument("file", type=Path, help="one message")
    parser.add_argument("--step", help="only this step")
    parser.add_argument("--watch", action="store_true", help="again whenever a file is saved, until q or Ctrl-C")
    parser.add_argument("--show-phi", action="store_true", help="do not mask patient data (this is logged)")


def run(arguments: argparse.Namespace) -> int:
    """Print every stage; 1 when the message would end errored or rejected."""
    if arguments.watch:
        return _watch(arguments)
    return _try(arguments)


def _watch(arguments: argparse.Namespace) -> int:
    """Try the message again whenever it, a script, a table or a channel is saved; 0 once that is enough."""
    from hub.cli.watching import Key, watch

    folder = site_folder(arguments)
    raw = differing = False
    runs: list[list[Line]] = []

    def files() -> list[Path]:
        found = [arguments.file]
        for part, pattern in (("channels", "*.toml"), ("transforms", "*.py"), ("transforms", "*.csv")):
            found += sorted((folder / part).rglob(pattern))
        return found

    def show() -> None:
        preview = _preview(arguments)
        lines = list(preview.lines())
        if not runs or [line.clear for line in lines] != [line.clear for line in runs[-1]]:
            runs[:] = [*runs[-1:], lines]
        _print(preview, arguments)
        if differing:
            print("\n".join(difference(*runs) if len(runs) > 1 else ["Nothing came out differently yet."]))
        if raw:
            from hub.cli.text import content_lines

            print("\n".join(content_lines(arguments.file.read_bytes(), show=arguments.show_phi)))

    def toggle_raw() -> None:
        nonlocal raw
        raw = not raw

    def toggle_difference() -> None:
        nonlocal differing
        differing = not differing

    def next_sample() -> None:
        runs.clear()
        known = sorted(arguments.file.parent.parent.glob("*/in.*"))
        if arguments.file in known:
            arguments.file = known[(known.index(arguments.file) + 1) % len(known)]

    keys = {"d": Key("diff", toggle_difference), "s": Key("next sample", next_sample), "r": Key("raw", toggle_raw)}
    watch(files, show, keys)
    return 0


def difference(before: Sequence[Line], after: Sequence[Line]) -> Iterator[str]:
    """What two runs came to differently, line by line: ``-`` before, ``+`` now; ``~`` where the mask hides what."""
    pairs = SequenceMatcher(None, [line.clear for line in before], [line.clear for line in after], autojunk=False)
    yield "since the run before:"
    for kind, first, last, begins, ends in pairs.get_opcodes():
        if kind == "equal":
            continue
        was, now = [line.shown for line in before[first:last]], [line.shown for line in after[begins:ends]]
        if was == now:
            yield from (f"~ {line}   (what is masked differs)" for line in now)
            continue
        yield from (f"- {line}" for line in was)
        yield from (f"+ {line}" for line in now)


def _try(arguments: argparse.Namespace) -> int:
    preview = _preview(arguments)
    _print(preview, arguments)
    return int(preview.error is not None or preview.stopped or preview.rejected)


def _print(preview: Preview, arguments: argparse.Namespace) -> None:
    if arguments.json:
        print_json(preview.plain())
        return
    for line in preview.lines(bodies=True):
        print(line.shown)
    note = "" if arguments.show_phi else "Patient data is masked; --show-phi shows it."
    print(f"{preview.seconds * 1000:.0f} ms with tracing.", note)


def _preview(arguments: argparse.Namespace) -> Preview:
    from hub.site.load import load_site
    from hub.site.samples import read_message
    from hub.site.trace import tracing

    site = load_site(site_folder(arguments))
    channel = channel_of(site, arguments.channel)
    if arguments.step:
        channel = _only(channel, arguments.step)
    try:
        raw = read_message(arguments.file)
    except OSError as error:
        raise UsageError("The message cannot be read.", where=str(arguments.file), found=error.strerror or "") from None
    if arguments.show_phi:
        Log().warning("phi shown", command="try", user=getpass.getuser(), channel=channel.name)
    for step in (each for each in channel.steps if each.run):
        site.scripts.module(step.module)  # loading is not what the trace is for
    began = time.perf_counter()
    with tracing(site.scripts.folder, site.scripts.shown) as seen:
        about, mapped = _run(site, channel, raw)
    name = f"{len(raw)} bytes  ({arguments.file.name})"
    return Preview(channel, about, mapped, seen, name, time.perf_counter() - began, clear=arguments.show_phi)


def _run(site: Site, channel: Channel, raw: bytes) -> tuple[dict[str, Any], Mapped]:
    from hub.site.samples import run_message

    return run_message(site, channel, raw)


def _only(channel: Channel, name: str) -> Channel:
    steps = tuple(step for step in channel.steps if step.name == name)
    if not steps:
        known = ", ".join(step.name for step in channel.steps)
        raise UsageError(f'The channel has no step "{name}".', expected=f"one of {known}")
    return replace(channel, steps=steps)


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a preview as it is *shown*, and in the *clear*, where alone one sees whether it changed."""

    shown: str
    clear: str


class Preview:
    """What came of a message, ready to be shown: masked unless *clear*. *name* says which one it is."""

    def __init__(
        self,
        channel: Channel,
        about: dict[str, Any],
        mapped: Mapped,
        seen: list[Seen],
        name: str,
        seconds: float,
        *,
        clear: bool,
    ) -> None:
        from hub.scripting import Reject
        from hub.site.mapping import Rendered, render

        self._channel, self._about, self._mapped, self._seen, self._clear = channel, about, mapped, seen, clear
        self._name, self.seconds = name, seconds
        self.stopped = mapped.error is not None
        self.rejected = bool(mapped.of(Reject))
        self.error: HubError | None = None
        self.rendered: list[Rendered] = []
        if not mapped.error and not self.rejected:
            try:
                self.rendered = render(channel, mapped, about)
            except HubError as error:
                self.error = error

    def lines(self, *, bodies: bool = False) -> Iterator[Line]:
        """The stages in order; with the *bodies* of what would be sent where patient data is shown."""
        shown, self_clear = list(self._lines(bodies=bodies)), self._clear
        self._clear = True
        clear = list(self._lines(bodies=bodies and self_clear))
        self._clear = self_clear
        yield from (Line(*each) for each in zip(shown, clear, strict=True))

    def _lines(self, *, bodies: bool) -> Iterator[str]:
        yield f"received   {self._about['kind']}  {self._shown(self._about['control_id'])}  {self._name}"
        for step in self._channel.steps:
            if step.takes(self._about["kind"]):
                yield from self._step_lines(step.name, step.function or "forward")
        if not self._mapped.steps:
            yield "filtered   no step takes this kind"
        if self._mapped.error:
            yield from _error_lines(self._mapped.error)
        if self.error:
            yield f"error      {self.error}"
        for each in self.rendered:
            yield f"{each.destination:<10} {each.kind}  {len(each.body)} bytes, not sent (try)"
            if bodies and self._clear and not each.body.startswith(b"[["):
                text = each.body.decode("utf-8", "replace").replace("\r", "\n").strip()
                yield from (f"             {line}" for line in text.splitlines())
        lines = self._balance()
        if lines["lines"]:
            told = ", ".join(f"{lines[name]} {name}" for name in ("mapped", "filtered", "held"))
            yield f"lines      {lines['lines']}: {told}"

    def plain(self) -> dict[str, Any]:
        """The stages for programs."""
        return {
            "kind": self._about["kind"],
            "made": [
                {
                    "type": type(m.thing).__name__,
                    "step": m.step,
                    "path": m.path,
                    "script": m.script,
                    "fields": self._fields(m.thing),
                }
                for m in self._mapped.made
            ],
            "trace": [
                {"place": f"{s.file}:{s.line}", "name": s.name, "value": self._value(s.value, s.name), "paths": s.paths}
                for s in self._seen
            ],
            "deliveries": [{"destination": r.destination, "kind": r.kind, "bytes": len(r.body)} for r in self.rendered],
            "lines": self._balance(),
            "error": self._mapped.error or (str(self.error) if self.error else None),
        }

    def _balance(self) -> dict[str, int]:
        from hub.site.mapping import line_balance

        return line_balance(self._mapped)

    def _step_lines(self, name: str, function: str) -> Iterator[str]:
        made = [m for m in self._mapped.made if m.step == name]
        counts = Counter(type(each.thing).__name__ for each in made)
        told = ", ".join(f"{count} {kind}" for kind, count in counts.items()) or "nothing"
        yield f"{name:<10} {told}"
        for seen in self._seen:
            if seen.step == function:
                value = self._value(seen.value, seen.name)
                yield f"  {_place(seen)}  {seen.name:<16} {_cut(value)}  {' '.join(seen.paths)}".rstrip()
        for one in made:
            told = "  ".join(f"{name}={value}" for name, value in self._fields(one.thing).items())
            place = one.script.rpartition("/")[2]
            yield f"  {place:<20} {type(one.thing).__name__} {one.path}  {_cut(told, 160)}"

    def _fields(self, thing: Any) -> dict[str, str]:
        from hub.site.shown_values import shown_fields

        return {name: self._value(value, name) for name, value in shown_fields(thing)}

    def _value(self, value: Any, name: str) -> str:
        """*value* as it may be shown: in clear, or masked by its shape."""
        from hub.site.shown_values import value_parts

        return "".join(
            masked(part.text) if part.hidden and not self._clear else part.text for part in value_parts(value, name)
        )

    def _shown(self, text: str) -> str:
        return text if self._clear else masked(text)


def _error_lines(error: dict[str, str]) -> Iterator[str]:
    yield f"error      {error['code']}  {error['what']}"
    yield from (
        f"             {name:<9} {error[name]}" for name in ("where", "expected", "found", "fix") if error[name]
    )


def _place(seen: Seen) -> str:
    return f"{seen.file.rpartition('/')[2]}:{seen.line}".ljust(18)


def _cut(text: str, longest: int = _LONGEST) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
