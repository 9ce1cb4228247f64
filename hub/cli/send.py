"""``hub send TARGET FILE…``: messages to a listener, a web hook or a folder; every answer, and how long it took."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from hub.cli.common import UsageError, channel_of, print_json, site_argument, site_folder
from hub.cli.text import printable
from hub.cli.values import duration, positive, rate
from hub.core.errors import masked

if TYPE_CHECKING:
    from hub.cli.sending import Answer, Carrier, Item

TOKEN = "HUB_SEND_TOKEN"  # noqa: S105  the name of an environment variable
_SHOW_AFTER = 1.0


@dataclass(frozen=True, slots=True)
class Target:
    """Where to send: *kind* is ``mllp``, ``http`` or ``folder``; *address* is ``host:port``, a URL or a path.

    *token* and *ca* are what a hook of the site asks for and shows, where the command does not say it.
    """

    kind: str
    address: str
    token: str = field(default="", repr=False)
    ca: Path | None = None


@dataclass(slots=True)
class Tally:
    """What came of everything that was sent."""

    results: Counter[str] = field(default_factory=Counter)
    milliseconds: list[float] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)

    def add(self, answer: Answer) -> None:
        """Count *answer*."""
        self.results[answer.result] += 1
        if answer.milliseconds is not None:
            self.milliseconds.append(answer.milliseconds)

    @property
    def sent(self) -> int:
        """How many were sent."""
        return self.results.total()

    def latency(self) -> dict[str, float]:
        """Percentiles in milliseconds of what was answered."""
        from hub.cli.sending import percentile

        ordered = sorted(self.milliseconds)
        found = {f"p{percent}": percentile(ordered, percent) for percent in (50, 95, 99)}
        return {name: round(value, 2) for name, value in {**found, "max": percentile(ordered, 100)}.items()}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    site_argument(parser)
    parser.add_argument(
        "target", help="mllp://host:port, http(s)://..., a folder (with a / in it), or a channel of the site"
    )
    parser.add_argument("path", nargs="+", type=Path, help="files, or folders of files, in the order of their names")
    parser.add_argument("--rate", type=rate, metavar="N/s", help="at most so many a second (or N/min, N/h)")
    parser.add_argument("--count", type=positive, metavar="N", help="send so many in all, going round")
    parser.add_argument("--connections", type=positive, default=1, metavar="N", help="so many at a time (default 1)")
    parser.add_argument(
        "--timeout", type=duration, default=30.0, metavar="30s", help="how long to wait for an answer (default 30s)"
    )
    parser.add_argument(
        "--fresh-ids", action="store_true", help="a control id of its own for every message (HL7), so that none repeats"
    )
    parser.add_argument("--token-file", type=Path, metavar="FILE", help=f"bearer token (else ${TOKEN})")
    parser.add_argument("--ca", type=Path, metavar="FILE", help="certificates to trust, in PEM")
    parser.add_argument("--text", action="store_true", help="texts of answers as they came; they may quote a message")
    parser.add_argument("--quiet", action="store_true", help="only the sum")


def run(arguments: argparse.Namespace) -> int:
    """Send and print; 0 when everything was accepted, else 1."""
    from hub.cli.sending import on_reactor, rounds, send_all

    target = find_target(arguments.target, arguments)
    items = read_items(arguments.path, target.kind)
    total = arguments.count or len(items)
    fresh = arguments.fresh_ids and target.kind == "mllp"
    tally = Tally()
    show = _Show(arguments, total)

    def answered(answer: Answer) -> None:
        tally.add(answer)
        if arguments.json:
            tally.answers.append(answer)
        show.answer(answer)

    async def work() -> None:
        carriers = await _carriers(target, min(arguments.connections, total), arguments)
        await send_all(carriers, rounds(items, arguments.count, fresh=fresh), answered, rate=arguments.rate)

    try:
        on_reactor(work)
    finally:
        show.end()
        if tally.sent:
            _print_sum(tally, show.seconds, arguments)
    return 0 if tally.results["accepted"] == total else 1


def find_target(text: str, arguments: argparse.Namespace) -> Target:
    """The target that *text* names. Raises :class:`UsageError`, or `HubError` when a channel has nowhere to send to."""
    if "://" in text:
        parts = urlsplit(text)
        try:
            port = parts.port
        except ValueError:
            port = None
        if parts.scheme == "mllp" and parts.hostname and port:
            return Target("mllp", f"{parts.hostname}:{port}")
        if parts.scheme in {"http", "https"} and parts.hostname:
            return Target("http", text)
        raise UsageError("This is no address to send to.", expected="mllp://host:port, http://... or https://...")
    if "/" in text or text in {".", ".."}:
        if not Path(text).is_dir():
            raise UsageError("This folder does not exist.", where=text)
        return Target("folder", text)
    return _channel_target(text, arguments)


def _channel_target(name: str, arguments: argparse.Namespace) -> Target:
    """Where the channel *name* takes messages in now, which for listeners the running engine knows."""
    from hub.core.secret import site_secrets
    from hub.engine.control import ask_engine
    from hub.site.load import load_site
    from hub.site.places import control_socket

    site = load_site(site_folder(arguments))
    channel = channel_of(site, name)
    kind, settings = channel.sources[0]
    if kind == "files":
        return Target("folder", str(site.folder / settings.folder))
    if kind not in {"mllp", "fhir"}:
        raise UsageError(f'Channel "{name}" takes nothing from a sender: its source is {kind}.')
    status = ask_engine(control_socket(site), "status", {}, actor="hub send")
    address = str(status["channels"][name]["sources"][0]["address"]).replace("*:", "127.0.0.1:")
    if kind == "mllp":
        return Target("mllp", address)
    url = f"{'https' if settings.tls else 'http'}://{address}{settings.path or f'/fhir/{name}'}"
    own = site.var / "tls" / f"{name}.pem"
    ca = own if settings.tls and settings.certificate is None and own.exists() else None
    return Target("http", url, site_secrets(site.var).value(settings.token), ca)


def read_items(paths: list[Path], kind: str) -> list[Item]:
    """What the files hold: HL7 messages for ``mllp``, else each file whole. Raises :class:`UsageError`."""
    from hub.cli.sending import Item, messages_in

    items: list[Item] = []
    for path in [file for place in paths for file in _files(place)]:
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise UsageError("This file cannot be read.", where=str(path), found=error.strerror or "") from None
        items += messages_in(_short(path), raw) if kind == "mllp" else [Item(_short(path), raw)]
    if not items:
        raise UsageError("There is nothing to send.", where=", ".join(map(str, paths)), expected="files")
    return items


def _short(path: Path) -> str:
    """The file with its folder, which together usually say which sample it is."""
    return "/".join(path.parts[-2:])


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted(
        file
        for file in path.rglob("*")
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(path).parts)
    )


async def _carriers(target: Target, connections: int, arguments: argparse.Namespace) -> list[Carrier]:
    from hub.cli.sending import FolderCarrier, HttpCarrier, MllpCarrier

    if target.kind == "folder":
        return [FolderCarrier(Path(target.address))]
    if target.kind == "http":
        token = _token(arguments.token_file) or target.token
        ca = arguments.ca or target.ca
        return [HttpCarrier(target.address, arguments.timeout, token=token, ca=ca) for _ in range(connections)]
    host, _, port = target.address.rpartition(":")
    lines = [MllpCarrier(host.strip("[]"), int(port), arguments.timeout) for _ in range(connections)]
    await lines[0].open()  # nobody there is one error, not one for each message
    return list(lines)


def _token(file: Path | None) -> str:
    if file is None:
        return os.environ.get(TOKEN, "")
    try:
        return file.read_text().strip()
    except OSError as error:
        raise UsageError("The token cannot be read.", where=str(file), found=error.strerror or "") from None


class _Show:
    """Prints answers as they come; on a terminal a bar once it takes long."""

    def __init__(self, arguments: argparse.Namespace, total: int) -> None:
        self._lines = not (arguments.quiet or arguments.json)
        self._text = arguments.text
        self._total = total
        self._done = 0
        self._started = time.monotonic()
        self._bar: Any = None
        self._task: Any = None

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return time.monotonic() - self._started

    def answer(self, answer: Answer) -> None:
        """One more is done."""
        self._done += 1
        if self._lines:
            print(answer_line(answer, text=self._text))
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done)
        elif self.seconds > _SHOW_AFTER and self._done < self._total and sys.stderr.isatty():
            self._open_bar()

    def _open_bar(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn("sending"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
            redirect_stdout=sys.stdout.isatty(),  # lines go above the bar, or into the file that they are meant for
        )
        self._bar.start()
        self._task = self._bar.add_task("send", total=self._total, completed=self._done)

    def end(self) -> None:
        """Nothing more comes."""
        if self._bar is not None:
            self._bar.stop()


def answer_line(answer: Answer, *, text: bool) -> str:
    """One answer: code, control id, file, time, and what it complains of, its text masked unless *text*."""
    took = f"{answer.milliseconds:9.1f} ms" if answer.milliseconds is not None else f"{'':12}"
    words = answer.text if text or answer.result == "unanswered" else masked(answer.text)
    complaint = " ".join(part for part in (answer.condition, answer.where, words) if part)
    code = answer.code or "none"
    line = f"{code:<8} {answer.control_id or '-':<20} {answer.name:<28} {took}  {'' if _fine(answer) else complaint}"
    return printable(line).rstrip()


def _fine(answer: Answer) -> bool:
    return answer.result == "accepted"


def _print_sum(tally: Tally, took: float, arguments: argparse.Namespace) -> None:
    counts = {name: tally.results[name] for name in ("accepted", "refused", "unanswered")}
    if arguments.json:
        answers = [
            {
                "name": answer.name,
                "control_id": answer.control_id,
                "result": answer.result,
                "code": answer.code,
                "condition": answer.condition,
                "where": answer.where,
                "text": answer.text if arguments.text else masked(answer.text),
                "ms": None if answer.milliseconds is None else round(answer.milliseconds, 2),
            }
            for answer in tally.answers
        ]
        summary = {"sent": tally.sent, **counts, "seconds": round(took, 3), "latency_ms": tally.latency()}
        print_json(summary if arguments.quiet else {**summary, "answers": answers})
        return
    told = ", ".join(f"{number} {name}" for name, number in counts.items())
    pace = f", {tally.sent / took:,.0f}/s" if took > 0 else ""
    print(f"{tally.sent} sent: {told}; {took:.1f} s{pace}")
    if tally.milliseconds:
        print("answered in " + ", ".join(f"{name} {value:.1f} ms" for name, value in tally.latency().items()))
