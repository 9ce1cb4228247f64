"""The ``map`` task: a channel's steps over stored messages, as values, outcomes and rendered deliveries.

A message never fails the task: whatever its script does wrong becomes that message's ``error``, with the script's
line and the message's path, and without anything that the message says.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, fields, is_dataclass, replace
from datetime import datetime, time
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from hub.billing.values import BY_NAME, BillingValue, Charge, Origins, Visit
from hub.core.codec import to_plain
from hub.core.errors import HubError
from hub.core.exact_json import json_bytes
from hub.core.reads import Reads, recording
from hub.engine.contracts import Reply, Task, TaskCall
from hub.formats.hl7v2.build import Builder
from hub.formats.hl7v2.message import Message, Segment
from hub.scripting import Fetch, Hold, Line, Outgoing, Read, Reject, Skip
from hub.site.channels import BILLING, Channel, DestinationPlan, Step
from hub.site.checked_values import require_typed
from hub.site.describe import is_json
from hub.site.scripts import Scripts
from hub.site.views import Event, MappedMessage, View, X12File, segment_place

FETCHERS: dict[type, str] = {Read: "fhir_read", Fetch: "rest_read"}
"""What a mapping returns to have something fetched, and the connector that fetches it."""
_BILLING_TYPES = tuple(BY_NAME.values())
_TRACED = (Visit, Charge)
_LINE_KINDS = ("FT1", "ChargeItem")


class MappingError(HubError):
    """A script did something that no message can excuse."""

    code = "H424"


class UndeclaredError(MappingError):
    """A mapping returned something that its declaration does not name."""

    code = "H421"


class NoDestinationError(MappingError):
    """Nothing in the channel takes what a mapping returned."""

    code = "H423"


@dataclass(frozen=True, slots=True)
class Made:
    """One thing that a step returned.

    *path* is the line it came from, *script* the ``file:line`` that made it, *plain* its fields as JSON values,
    *origins* where those of a visit or charge were read.
    """

    thing: Any
    step: str
    path: str
    script: str
    plain: dict[str, Any]
    origins: Origins = ()


@dataclass(slots=True)
class Mapped:
    """What the steps of a channel made of one message. Where nothing goes to billing (*bills*), no line is a charge."""

    bills: bool = True
    view: View | None = None
    made: list[Made] = field(default_factory=list)
    steps: int = 0
    error: dict[str, str] | None = None

    def of(self, *kinds: type) -> list[Made]:
        """What was made of one of *kinds*."""
        return [made for made in self.made if isinstance(made.thing, kinds)]


@dataclass(frozen=True, slots=True)
class Rendered:
    """One body on its way to one destination."""

    destination: str
    kind: str
    name: str
    body: bytes


def map_messages(channels: Mapping[str, Channel], scripts: Scripts, zone: ZoneInfo) -> Task:
    """The task for *channels*, with *scripts* of the same bundle; times without offset are read in *zone*."""

    def run(call: TaskCall) -> Reply:
        channel = channels[call.header["channel"]]
        messages = list(zip(call.header["messages"], call.parts, strict=True))
        results, parts = results_of(channel, scripts, zone, messages)
        return Reply({"results": results}, tuple(parts))

    return run


def results_of(
    channel: Channel, scripts: Scripts, zone: ZoneInfo, messages: Sequence[tuple[Mapping[str, Any], bytes]]
) -> tuple[list[dict[str, Any]], list[bytes]]:
    """What the steps of *channel* make of *messages*, as the engine writes it, and the bodies that it refers to."""
    parts: list[bytes] = []
    results = [_result(channel, run_steps(channel, scripts, zone, about, raw), about, parts) for about, raw in messages]
    return results, parts


def run_steps(channel: Channel, scripts: Scripts, zone: ZoneInfo, about: Mapping[str, Any], raw: bytes) -> Mapped:
    """Run the steps that take ``about["kind"]`` over *raw*. Never raises; what went wrong is in ``error``."""
    mapped = Mapped(any(plan.connector == BILLING for plan in channel.destinations.values()))
    for step in channel.steps:
        if not step.takes(about["kind"]):
            continue
        try:
            # Each step has a view of its own: what one leaves half read cannot confuse the next.
            view = view_of(channel, raw, zone, str(about.get("received_on", "")))
            mapped.view = view
            if not _holds(view, step):
                continue
            mapped.steps += 1
            if step.forward:
                mapped.made += _forwarded(step, about, raw)
                continue
            function, declaration = scripts.function(step.module, step.function)
            file = scripts.file(step.module)
            for thing, line, reads in _outcomes(function, view, _traces(declaration.returns)):
                path = line_path(thing.line) if isinstance(thing, Skip | Hold) else view.cursor.place
                script = f"{file}:{line}"
                value = _with_path(thing, path)
                _require_declared(value, path, script, declaration.returns)
                origins = reads.origins(value) if isinstance(value, _TRACED) else ()
                mapped.made.append(Made(value, step.name, path, script, _plain_fields(value), origins))
        except (Exception, SystemExit) as error:
            mapped.error = _error(error, scripts, channel, step)
            break
    return mapped


def _holds(view: View, step: Step) -> bool:
    """Whether the message has, at each path of the step's where, a value that fits one of its texts."""
    if isinstance(view, X12File):
        return not step.where  # a check says so when the file is read
    return all(
        any(fnmatchcase(value, text) for value in view.all(path) for text in texts) for path, texts in step.where
    )


def _forwarded(step: Step, about: Mapping[str, Any], raw: bytes) -> list[Made]:
    """The message as it came, for each destination that the step names."""
    kind, name = str(about["kind"]), str(about.get("control_id", ""))
    outputs = [Outgoing(kind, raw, name, to) for to in step.forward]
    return [Made(output, step.name, "", step.place, _plain_fields(output)) for output in outputs]


def view_of(channel: Channel, raw: bytes, zone: ZoneInfo, received_on: str = "") -> View:
    """What scripts see of *raw*. Raises `HubError` when it is not of the channel's format."""
    if channel.format == "hl7v2" and not is_json(raw):
        return MappedMessage(raw, zone=zone, encoding=channel.encoding)
    if channel.format == "x12":
        return X12File(raw)
    event = Event.parse(raw)
    event.received = _moment(received_on, zone)
    return event


def render(channel: Channel, mapped: Mapped, about: Mapping[str, Any]) -> list[Rendered]:
    """The deliveries of one message. Raises :class:`NoDestinationError` for a value that nothing takes."""
    rendered: list[Rendered] = []
    plans = channel.destinations.values()
    kind, name = str(about["kind"]), str(about.get("control_id", ""))
    values = mapped.of(*_BILLING_TYPES)
    for plan in plans:
        taken = [m for m in values if _takes_value(plan, m.thing)]
        if taken:
            body = [[type(made.thing).__name__, _with_origins(made)] for made in taken]
            rendered.append(Rendered(plan.name, kind, name, _plain_json(body)))
    for made in values:
        if not any(_takes_value(plan, made.thing) for plan in plans):
            raise _no_destination(made, type(made.thing).__name__)
    for number, made in enumerate(mapped.of(*FETCHERS), 1):
        fetches = [plan for plan in plans if plan.connector == FETCHERS[type(made.thing)]]
        if not fetches:
            raise _no_destination(made, type(made.thing).__name__)
        body_of_read = _plain_json(
            {field.name: to_plain(getattr(made.thing, field.name)) for field in fields(made.thing)}
        )
        rendered += [Rendered(plan.name, "read", f"{name}-{number}", body_of_read) for plan in fetches]
    for made in mapped.of(Outgoing):
        outgoing: Outgoing = made.thing
        takers = [plan for plan in plans if _takes_outgoing(plan, outgoing)]
        if not takers:
            raise _no_destination(made, f"{outgoing.kind} to {outgoing.to}" if outgoing.to else outgoing.kind)
        body_out = _body(outgoing)
        rendered += [Rendered(plan.name, outgoing.kind, outgoing.name or name, body_out) for plan in takers]
    return rendered


def _with_origins(made: Made) -> dict[str, Any]:
    """What billing is given: the value, and where its fields were read."""
    if not made.origins:
        return made.plain
    return {**made.plain, "origins": [[*each] for each in (("script", made.script), *made.origins)]}


def _plain_json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def line_path(line: Line) -> str:
    """``FT1[2]``, ``ChargeItem[1]``, or empty text for the whole message."""
    match line:
        case Segment():
            return segment_place(line)
        case Event():
            return line.place
        case _:
            return ""


def _traces(returns: tuple[type, ...]) -> bool:
    """Whether a mapping may return something whose origins are kept: else what it reads need not be noted."""
    return any(issubclass(kind, _TRACED) for kind in returns)


def _outcomes(function: Callable[..., Any], view: View, traced: bool) -> Iterator[tuple[Any, int, Reads]]:
    """What *function* makes of *view*, each with the line of the script that made it and with what was read for it."""
    with recording() if traced else nullcontext(Reads()) as reads:
        returned = function(view)
        if inspect.isgenerator(returned):
            for thing in returned:
                frame = returned.gi_frame
                yield thing, frame.f_lineno if frame else 0, reads
            return
    line = _first_line(function)
    if returned is None:
        return
    several = isinstance(returned, Iterable) and not isinstance(returned, Message | Event)
    for thing in returned if several else (returned,):
        yield thing, line, reads


@lru_cache(maxsize=256)
def _first_line(function: Callable[..., Any]) -> int:
    """The first line of the function's body: where a short mapping returns what it makes."""
    code = inspect.unwrap(function).__code__
    lines: Iterator[int] = (n for _, _, n in code.co_lines() if n is not None and n > code.co_firstlineno)
    return min(lines, default=code.co_firstlineno)


def _with_path(thing: Any, path: str) -> Any:
    """A billing value with the line that it came from, its lists as the tuples that its type promises."""
    if not isinstance(thing, _BILLING_TYPES):
        return thing
    changes: dict[str, Any] = {
        item.name: tuple(value) for item in fields(thing) if isinstance(value := getattr(thing, item.name), list)
    }
    if path and not thing.source_path:
        changes["source_path"] = path
    return replace(thing, **changes) if changes else thing


def _require_declared(thing: Any, path: str, script: str, declared: tuple[type, ...]) -> None:
    if not isinstance(thing, (Skip, Hold, Reject, *declared)):
        raise UndeclaredError(
            "A mapping returned something that it does not declare.",
            where=script,
            expected=", ".join(kind.__name__ for kind in declared),
            found=type(thing).__name__,
            fix="Name the type in @mapping(returns=...).",
        )
    if is_dataclass(thing) and isinstance(thing, _BILLING_TYPES):
        try:
            require_typed(thing)
        except HubError as error:
            error.where = f"{script}, {path}" if path else script
            raise


def _result(channel: Channel, mapped: Mapped, about: Mapping[str, Any], parts: list[bytes]) -> dict[str, Any]:
    """One message's part of the reply; its bodies are appended to *parts*."""
    result: dict[str, Any] = {
        "deliveries": [],
        "skipped": [],
        "held": [],
        "rejected": None,
        "lines": {"lines": 0, "mapped": 0, "filtered": 0, "held": 0},
        "mapped": None,
        "error": mapped.error,
    }
    if mapped.error:
        return result
    if not mapped.steps:
        reason = f"No step of this channel takes {about['kind']}."
        if any(step.takes(about["kind"]) for step in channel.steps):
            reason = f"No step of this channel is for this {about['kind']}: its where asks for other values."
        result["skipped"].append({"reason": reason, "path": ""})
        return result
    rejections = mapped.of(Reject)
    if rejections:
        result["rejected"] = {"reason": rejections[0].thing.reason}
        return result
    try:
        rendered = render(channel, mapped, about)
    except HubError as error:
        result["error"] = _plain_error(error, channel)
        return result
    for each in rendered:
        result["deliveries"].append(
            {"destination": each.destination, "kind": each.kind, "name": each.name, "part": len(parts)}
        )
        parts.append(each.body)
    result["skipped"] = [{"reason": m.thing.reason, "path": m.path} for m in mapped.of(Skip)]
    result["held"] = [{"queue": m.thing.queue, "reason": m.thing.reason, "path": m.path} for m in mapped.of(Hold)]
    if not any((result["deliveries"], result["skipped"], result["held"])):
        result["skipped"].append({"reason": "the mapping made nothing of it", "path": ""})
    result["lines"] = line_balance(mapped)
    result["mapped"] = len(parts)
    parts.append(_plain_json(plain_made(mapped)))
    return result


def line_balance(mapped: Mapped) -> dict[str, int]:
    """How many charge lines there are, and how many were mapped, filtered and held: each counted, none subtracted."""
    places = _charge_lines(mapped.view) if mapped.bills else set()
    charged = {m.path for m in mapped.of(Charge)} & places
    held = _spread({m.path for m in mapped.of(Hold)}, places) - charged
    filtered = _spread({m.path for m in mapped.of(Skip)}, places) - charged - held
    return {"lines": len(places), "mapped": len(charged), "filtered": len(filtered), "held": len(held)}


def _charge_lines(view: View | None) -> set[str]:
    match view:
        case MappedMessage():
            return {segment_place(line) for line in view.each("FT1")}
        case Event():
            return {line.place for line in view.resources("ChargeItem")}
        case _:
            return set()


def _spread(paths: set[str], places: set[str]) -> set[str]:
    """The lines that *paths* mean: an outcome about the whole message is about each of them."""
    return set(places) if "" in paths else paths & places


def plain_made(mapped: Mapped) -> list[dict[str, Any]]:
    """Everything the steps made, as JSON values for the Mapped tab, previews and expected samples."""
    return [
        {
            "type": type(made.thing).__name__,
            "path": made.path,
            "step": made.step,
            "script": made.script,
            "fields": made.plain,
        }
        for made in mapped.made
    ]


def _plain_fields(thing: Any) -> dict[str, Any]:
    match thing:
        case Skip(reason=reason):
            return {"reason": reason}
        case Hold(queue=queue, reason=reason):
            return {"queue": queue, "reason": reason}
        case Outgoing():
            body = _body(thing).decode("utf-8", "replace")
            return {"kind": thing.kind, "name": thing.name, "to": thing.to, "body": body}
        case _:
            plain: dict[str, Any] = to_plain(thing)
            return plain


def _takes_value(plan: DestinationPlan, value: BillingValue) -> bool:
    return plan.connector == BILLING and (not plan.takes or type(value).__name__ in plan.takes)


def _takes_outgoing(plan: DestinationPlan, outgoing: Outgoing) -> bool:
    if plan.connector in {BILLING, *FETCHERS.values()}:
        return False
    if outgoing.to:
        return plan.name == outgoing.to
    return not plan.takes or outgoing.kind in plan.takes


def _body(outgoing: Outgoing) -> bytes:
    match outgoing.body:
        case bytes() as body:
            return body
        case str() as text:
            return text.encode()
        case Builder() as builder:
            return builder.build()
        case document:
            return json_bytes(document)


def _moment(received_on: str, zone: ZoneInfo) -> datetime | None:
    """When the message came in: an instant, or the midnight of a day."""
    try:
        found = datetime.fromisoformat(received_on)
    except ValueError:
        return None
    if found.tzinfo is not None:
        return found.astimezone(zone)
    return datetime.combine(found.date(), time.min if len(received_on) == 10 else found.time(), zone)


def _no_destination(made: Made, kind: str) -> NoDestinationError:
    return NoDestinationError(
        f"No destination of the channel takes {kind}.",
        where=made.script,
        fix="Add it to a destination's takes, or name the destination in Outgoing(to=...).",
    )


def _error(error: BaseException, scripts: Scripts, channel: Channel, step: Step) -> dict[str, str]:
    """What a script did wrong, in words that hold nothing of the message."""
    script = scripts.place(error)
    if not isinstance(error, HubError):
        # The text of a foreign exception may quote the value that it choked on.
        error = MappingError(f"The mapping stopped with {type(error).__name__}.", where=script)
    elif script and script not in error.where:
        error.where = f"{script}, {error.where}" if error.where else script
    return _plain_error(error, channel, step)


def _plain_error(error: HubError, channel: Channel, step: Step | None = None) -> dict[str, str]:
    return {
        "code": error.code,
        "what": error.what,
        "where": error.where,
        "expected": error.expected,
        "found": error.found,
        "fix": error.fix,
        "channel": channel.name,
        "step": step.name if step else "",
    }
