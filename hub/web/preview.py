"""What a channel's mapping makes of a stored message now, for comparison with what it made then. Nothing is sent.

The mapping runs in a worker process of its own, under the same lock as in the engine (no network, no files, no other
programs), and is ended when its time is over. One at a time: a preview must not take the machine from the hub.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from hub.core.errors import HubError
from hub.engine.wire import pack, read_frame
from hub.web.content import parsed_view
from hub.web.masking import Piece, is_personal

START_SECONDS = 20.0
_NOTHING = Piece("nothing")
_one_at_a_time = threading.Lock()


class PreviewError(HubError):
    """There is no preview: the mapping did not end, or could not be started."""

    code = "H741"


@dataclass(frozen=True, slots=True)
class Made:
    """What a mapping made of one message: its values as the Mapped tab shows them, and where its outputs go.

    *outcome* says what it came to in words, with *error* when it stopped.
    """

    values: tuple[Mapping[str, Any], ...]
    deliveries: tuple[str, ...]
    outcome: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class SeenValue:
    """A name that got a value on a line of a script; patient data in pieces to be masked. *paths* are what it reads."""

    file: str
    line: int
    name: str
    value: tuple[Piece, ...]
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FieldDifference:
    """One field that is not what it was; patient data in pieces to be masked."""

    place: str
    was: Piece
    now: Piece


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the mapping gives now against what it gave then."""

    differences: tuple[FieldDifference, ...]
    same: int
    now: Made


def map_now(folder: Path, channel: str, about: Mapping[str, Any], raw: bytes, seconds: float) -> Made:
    """Run the steps of *channel* in the site *folder* over *raw*, which *about* describes as the engine would.

    Raises :class:`PreviewError` when they take longer than *seconds*, or cannot be run at all.
    """
    reply, parts = _run("map", folder, channel, about, raw, seconds)
    return made_of(reply["results"][0], parts)


def trace_now(
    folder: Path, channel: str, about: Mapping[str, Any], raw: bytes, seconds: float
) -> tuple[Made, tuple[SeenValue, ...]]:
    """As :func:`map_now`, and which values the lines of the scripts gave, in the order in which they did."""
    reply, parts = _run("trace", folder, channel, about, raw, seconds)
    seen = tuple(
        SeenValue(
            each["file"],
            each["line"],
            each["name"],
            tuple(Piece(text, each["name"] if hidden else "") for text, hidden in each["value"]),
            tuple(each["paths"]),
        )
        for each in reply["trace"]
    )
    return made_of(reply["results"][0], parts), seen


def made_then(mapped: bytes | None, deliveries: Sequence[tuple[str, str]]) -> Made:
    """What was kept of the first mapping: the Mapped content, and destination and kind of every delivery."""
    values = json.loads(mapped) if mapped else []
    return Made(tuple(values), tuple(sorted(f"{destination}: {kind}" for destination, kind in deliveries)))


def compared(then: Made, now: Made) -> Comparison:
    """Both, field by field; a value is the same one when its type, its line and its place among such agree."""
    old, new = dict(_fields(then)), dict(_fields(now))
    places = [*old, *(place for place in new if place not in old)]
    differences = [
        FieldDifference(place, old.get(place, _NOTHING), new.get(place, _NOTHING))
        for place in places
        if old.get(place) != new.get(place)
    ]
    return Comparison(tuple(differences), len(places) - len(differences), now)


def _run(
    task: str, folder: Path, channel: str, about: Mapping[str, Any], raw: bytes, seconds: float
) -> tuple[dict[str, Any], tuple[bytes, ...]]:
    """The reply of *task* for one message, and its parts."""
    if not _one_at_a_time.acquire(timeout=START_SECONDS):
        raise PreviewError("Another preview is being made.", fix="Load this page again in a moment.")
    try:
        asked = {"task": task, "bundle": "", "channel": channel, "messages": [dict(about)]}
        header, parts = _ask_worker(folder, asked, raw, seconds)
    finally:
        _one_at_a_time.release()
    if "error" in header:
        raise PreviewError(str(header["error"]["what"]), where=str(header["error"]["where"]))
    return header["reply"], parts


def _ask_worker(
    folder: Path, header: dict[str, Any], raw: bytes, seconds: float
) -> tuple[dict[str, Any], tuple[bytes, ...]]:
    command = [sys.executable, "-m", "hub.site.worker", "--site", str(folder), "--pool", "mapping"]
    worker = subprocess.Popen(  # noqa: S603  our own module, no shell
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    to_worker, from_worker = cast("BinaryIO", worker.stdin), cast("BinaryIO", worker.stdout)
    limit = threading.Timer(START_SECONDS, worker.kill)
    limit.start()
    try:
        if read_frame(from_worker) is None:
            raise PreviewError("The mapping could not be started.", fix="Check the site with `hub check`.")
        limit.cancel()
        limit = threading.Timer(seconds, worker.kill)
        limit.start()
        to_worker.write(pack({"first_id": 0, **header}, (raw,)))
        to_worker.flush()
        reply = read_frame(from_worker)
    except OSError:
        reply = None
    finally:
        limit.cancel()
        worker.kill()
        worker.communicate()
    if reply is None:
        raise PreviewError(f"The mapping was still running after {seconds:g} seconds and was ended.")
    return reply


def made_of(result: Mapping[str, Any], parts: Sequence[bytes]) -> Made:
    """What the steps' *result* for one message, with the bodies of its reply, comes to."""
    error = result["error"]
    if error:
        place = f" ({error['where']})" if error["where"] else ""
        return Made((), (), "The mapping stops.", f"{error['what']}{place}")
    if result["rejected"]:
        return Made((), (), f"It is rejected: {result['rejected']['reason']}")
    values = json.loads(parts[result["mapped"]]) if result["mapped"] is not None else []
    said = [
        *(f"held: {held['reason']}" for held in result["held"]),
        *(f"left out: {skipped['reason']}" for skipped in result["skipped"]),
    ]
    deliveries = sorted(f"{each['destination']}: {each['kind']}" for each in result["deliveries"])
    return Made(tuple(values), tuple(deliveries), "; ".join(said))


def _fields(made: Made) -> Iterator[tuple[str, Piece]]:
    seen: Counter[str] = Counter()

    def numbered(place: str) -> str:
        seen[place] += 1
        return place if seen[place] == 1 else f"{place} ({seen[place]})"

    for delivery in made.deliveries:
        yield numbered(f"Output to {delivery}"), Piece("yes")
    for value in made.values:
        fields = value.get("fields")
        name = numbered(f"{value.get('type', '')} {value.get('path', '')}".strip())
        if not isinstance(fields, dict):
            continue
        rest = dict(fields)
        body = rest.pop("body", None) if value.get("type") == "Outgoing" else None
        yield from _flat(rest, name, hidden=False)
        if isinstance(body, str):
            for row in parsed_view(body.encode()).rows:
                text = "".join(piece.text for piece in row.value)
                what = next((piece.what for piece in row.value if piece.what), "")
                if text:
                    yield numbered(f"{name} {row.path}"), Piece(text, what)


def _flat(value: Any, place: str, *, hidden: bool) -> Iterator[tuple[str, Piece]]:
    if isinstance(value, dict):
        for key, item in value.items():
            words = str(key).replace("_", " ")
            yield from _flat(item, f"{place}, {words}", hidden=hidden or is_personal(str(key)))
    elif isinstance(value, list):
        for number, item in enumerate(value, 1):
            yield from _flat(item, f"{place} {number}", hidden=hidden)
    elif value not in {None, ""}:
        yield place, Piece(str(value), place.rpartition(", ")[2] if hidden else "")
