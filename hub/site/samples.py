"""Sample folders: ``tests/channels/CHANNEL/CASE/`` holds a message and what the channel is expected to make of it.

``in.*`` is the message (``.hl7`` may have line feeds for segment ends). ``expected.json`` lists every value and
outcome, and ``out_N_KIND.*`` is each rendered message. ``note.md`` says why the case exists.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hub.core.errors import HubError
from hub.scripting import Outgoing
from hub.site.channels import Channel
from hub.site.load import Site
from hub.site.mapping import Mapped, line_balance, plain_made, render, run_steps

FOLDER = "tests/channels"
EXPECTED = "expected.json"
RECEIVED_ON = "2026-11-10T09:30:00-06:00"
"""When samples count as received: a fixed time, so that what is made of them does not change."""


class SampleError(HubError):
    """A sample folder cannot be used."""

    code = "H441"


@dataclass(frozen=True, slots=True)
class Case:
    """One sample folder."""

    channel: str
    name: str
    folder: Path
    message: Path

    @property
    def shown(self) -> str:
        """``ehr_visits/two_lines``."""
        return f"{self.channel}/{self.name}"


@dataclass(frozen=True, slots=True)
class Difference:
    """One field that is not as expected; *place* names the file and the field in it."""

    place: str
    expected: str
    found: str


def cases(folder: Path, channel: str) -> list[Case]:
    """The sample folders of *channel* in the site at *folder*.

    Raises :class:`SampleError` for one without a message.
    """
    found = []
    for case in sorted((folder / FOLDER / channel).glob("*/")):
        messages = sorted(case.glob("in.*"))
        if len(messages) != 1:
            raise SampleError(
                "A sample folder holds one message.",
                where=case.relative_to(folder).as_posix(),
                expected="one file named in.hl7, in.json or in.x12",
                found=f"{len(messages)} files",
            )
        found.append(Case(channel, case.name, case, messages[0]))
    return found


def read_message(path: Path) -> bytes:
    """The message in the file *path*; an HL7 file with line feeds gets the carriage returns that it has on the wire."""
    raw = path.read_bytes()
    return raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r") if raw.startswith(b"MSH") else raw


def run_message(site: Site, channel: Channel, raw: bytes) -> tuple[dict[str, Any], Mapped]:
    """What *channel* knows and makes of *raw*, nothing sent. Raises `HubError` when it cannot be described."""
    description = channel.describe(raw)
    about = {
        "id": 0,
        "kind": description.kind,
        "received_on": RECEIVED_ON,
        "control_id": description.control_id,
        "source": "sample",
    }
    return about, run_steps(channel, site.scripts, site.zone, about, raw)


def outcome_of(site: Site, case: Case) -> dict[str, str]:
    """The files that the case's message makes, by name: the values as JSON and every rendered message."""
    channel = site.channels[case.channel]
    about, mapped = run_message(site, channel, read_message(case.message))
    document: dict[str, Any] = {"kind": about["kind"]}
    if mapped.error:
        document["error"] = {key: mapped.error[key] for key in ("code", "what", "where", "expected", "found")}
        return {EXPECTED: _text(document)}
    document["lines"] = line_balance(mapped)
    document["values"] = [_without_script(made) for made in plain_made(mapped) if made["type"] != "Outgoing"]
    rendered = render(channel, mapped, about)
    document["deliveries"] = [f"{r.destination}: {r.kind}" for r in rendered]
    outgoing = [r for r in rendered if any(m.thing.kind == r.kind for m in mapped.of(Outgoing))]
    files = {EXPECTED: _text(document)}
    for number, each in enumerate(outgoing, 1):
        body = each.body.decode("utf-8", "replace")
        kind = re.sub(r"\W+", "_", each.kind)
        if body.startswith("MSH"):
            files[f"out_{number}_{kind}.hl7"] = body.replace("\r", "\n")
        elif body.startswith("{"):
            files[f"out_{number}_{kind}.json"] = _text(json.loads(body, parse_float=_exact))
        else:
            files[f"out_{number}_{kind}.x12"] = body
    return files


def update(site: Site, case: Case) -> list[str]:
    """Write what the case's message makes as what is expected; the names of the files that changed."""
    made = outcome_of(site, case)
    changed = []
    for old in case.folder.glob("out_*"):
        if old.name not in made:
            old.unlink()
            changed.append(old.name)
    for name, text in made.items():
        path = case.folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            changed.append(name)
    return sorted(changed)


def differences(site: Site, case: Case) -> list[Difference]:
    """Where what the case's message makes departs from what is expected, field by field."""
    made = outcome_of(site, case)
    if not (case.folder / EXPECTED).exists():
        return [Difference(EXPECTED, "a file", "none; hub test --update writes it")]
    expected = {path.name: path.read_text(encoding="utf-8") for path in sorted(case.folder.glob("out_*"))}
    expected[EXPECTED] = (case.folder / EXPECTED).read_text(encoding="utf-8")
    found = []
    for name in sorted({*made, *expected}):
        if name not in made or name not in expected:
            found.append(Difference(name, *(("a file", "none") if name in expected else ("none", "a file"))))
        elif name.endswith(".json"):
            found += _json_differences(name, json.loads(expected[name]), json.loads(made[name]))
        elif expected[name] != made[name]:
            found += _segment_differences(name, expected[name], made[name])
    return found


def _without_script(made: dict[str, Any]) -> dict[str, Any]:
    # A line number of the script would make every edit of it a difference.
    return {key: value for key, value in made.items() if key != "script"}


def _text(document: Any) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _exact(text: str) -> str:
    """A JSON number as text: a comparison must see whether it says 10.0 or 10.00."""
    return text


def _json_differences(place: str, expected: Any, found: Any) -> Iterator[Difference]:
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in [*expected, *(k for k in found if k not in expected)]:
            yield from _json_differences(f"{place} {key}", expected.get(key), found.get(key))
    elif isinstance(expected, list) and isinstance(found, list):
        for number in range(max(len(expected), len(found))):
            pair = [items[number] if number < len(items) else None for items in (expected, found)]
            yield from _json_differences(f"{place}[{number}]", *pair)
    elif expected != found:
        yield Difference(place, _short(expected), _short(found))


def _segment_differences(name: str, expected: str, found: str) -> Iterator[Difference]:
    separator, terminator = ("|", "\n") if name.endswith(".hl7") else (found[3:4], found[105:106])
    pair = [text.strip().split(terminator or "\n") for text in (expected, found)]
    for number in range(max(map(len, pair))):
        one, other = (lines[number] if number < len(lines) else "" for lines in pair)
        if one == other:
            continue
        fields = [line.split(separator) for line in (one, other)]
        segment = (other or one).split(separator)[0].strip()
        for position in range(max(map(len, fields))):
            first, second = (field[position] if position < len(field) else "" for field in fields)
            if first != second:
                shown = position + 1 if segment == "MSH" else position
                place = f"{name} line {number + 1} {segment}-{shown}" if position else f"{name} line {number + 1}"
                yield Difference(place, first or "nothing", second or "nothing")


def _short(value: Any) -> str:
    text = "nothing" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:79]}…"
