"""``hub show ID``: what happened to one message, and what it says, masked unless there is a reason."""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from hub.cli.common import UsageError, print_json, site_argument, site_folder
from hub.cli.phi import phi_arguments, phi_reason
from hub.cli.text import columns, content_lines, moment, printable

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from sqlalchemy import Connection

    from hub.cli.opened import OpenedSite
    from hub.core.vault import Vault
    from hub.web.queries.messages import Delivery, MessageDetail, MessageRow

STAGES = ("raw", "mapped", "outgoing", "answer")


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened."""

    at: int
    what: str


@dataclass(frozen=True, slots=True)
class Part:
    """One content of a stage."""

    title: str
    body: bytes | None  # None: pruned


@dataclass(frozen=True, slots=True)
class Story:
    """A message, what came of it, and the contents of one *stage*."""

    detail: MessageDetail
    deliveries: list[Delivery]
    children: list[MessageRow]
    stage: str
    parts: list[Part]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    site_argument(parser)
    parser.add_argument("id", type=int, help="the message's id (`hub find` shows it)")
    parser.add_argument("--stage", choices=STAGES, help="which content to show (default: raw)")
    phi_arguments(parser)
    parser.add_argument(
        "--as-sample", metavar="CHANNEL/CASE", help="write it below tests/channels/ with other people in it"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the message's summary, its timeline, and one stage's content."""
    from hub.cli.opened import open_site
    from hub.store.database import reading
    from hub.web.queries import messages

    channel, _, case = (arguments.as_sample or "").partition("/")
    if arguments.as_sample and not (channel and re.fullmatch(r"[a-z0-9_]+", case)):
        raise UsageError("A sample stands in a folder of its channel.", expected="--as-sample ehr_visits/late_credit")
    reason = phi_reason(arguments)
    opened = open_site(site_folder(arguments))
    vault = opened.vault()
    with reading(opened.store) as connection:
        detail = messages.get(connection, arguments.id)
    if detail is None:
        raise UsageError("There is no message of that id.", where=str(arguments.id), fix="`hub find` shows ids.")
    if arguments.as_sample:
        opened.audit("sample", "message", str(detail.id), reason=reason, detail={})
        return _write_sample(opened, vault, detail, channel, case)
    show, stage = arguments.show_phi, arguments.stage or "raw"
    opened.audit("reveal" if show else "view", "message", str(detail.id), reason=reason, detail={"stage": stage})
    with reading(opened.store) as connection:
        deliveries = messages.deliveries(connection, detail.sequence)
        children = messages.children(connection, detail.id)
        story = Story(detail, deliveries, children, stage, _parts(connection, vault, stage, detail, deliveries))
    if arguments.json:
        print_json(_document(story, show=show))
    else:
        _print_story(story, opened.site.zone, show=show)
    return 0


def _document(story: Story, *, show: bool) -> dict[str, Any]:
    return {
        "message": asdict(story.detail),
        "timeline": [asdict(step) for step in timeline(story.detail, story.deliveries)],
        "deliveries": [asdict(delivery) for delivery in story.deliveries],
        "children": [asdict(child) for child in story.children],
        "stage": story.stage,
        "parts": [{"title": part.title, "lines": _lines(part, show=show)} for part in story.parts],
    }


def _print_story(story: Story, zone: ZoneInfo, *, show: bool) -> None:
    _print_summary(story.detail)
    steps = timeline(story.detail, story.deliveries)
    print()
    print("\n".join(printable(f"{moment(step.at, zone)}  {step.what}") for step in steps))
    if story.deliveries:
        table = [(d.id, d.destination, d.kind, d.name, d.state, d.attempts, d.reason) for d in story.deliveries]
        print()
        print(columns(("DELIVERY", "TO", "KIND", "NAME", "STATE", "TRIES", "REASON"), table))
    if story.children:
        print("\ncame of it:")
        came = [(c.id, c.relation, c.kind, c.onward) for c in story.children]
        print(columns(("ID", "RELATION", "KIND", "OUTCOME"), came))
    for part in story.parts:
        print(f"\n{story.stage}: {printable(part.title)}" + ("" if show else ", patient data masked"))
        print("\n".join(_lines(part, show=show)))
    if not story.parts:
        print(f"\n{story.stage}: nothing")


def _write_sample(opened: OpenedSite, vault: Vault, detail: MessageDetail, channel: str, case: str) -> int:
    """Write the message as a sample of *channel*, with other people in it, and what the channel makes of it."""
    from hub.cli.common import channel_of
    from hub.site import samples
    from hub.site.sample_from import Disguise, disguised
    from hub.store.contents import read_content
    from hub.store.database import reading
    from hub.web.content import raw_view

    channel_of(opened.site, channel)
    folder = opened.site.folder / samples.FOLDER / channel / case
    if folder.exists():
        raise UsageError("This sample is there already.", where=str(folder), fix="Choose another name.")
    with reading(opened.store) as connection:
        view = raw_view(read_content(connection, vault, detail.raw_id))
    if view.cut or view.form == "bytes":
        raise UsageError("This message is too long, or of no form that is known, to be made a sample.")
    pieces = [[(piece.text, bool(piece.what)) for piece in line] for line in view.lines]
    text = "\n".join(disguised(pieces, Disguise())) + "\n"
    folder.mkdir(parents=True)
    suffix = {"HL7": "hl7", "X12": "x12", "JSON": "json"}[view.form]
    (folder / f"in.{suffix}").write_text(text, encoding="utf-8")
    (folder / "note.md").write_text("Made of a stored message, with other people in it. Say why this case exists.\n")
    made = next(each for each in samples.cases(opened.site.folder, channel) if each.name == case)
    written = [f"in.{suffix}", "note.md", *samples.update(opened.site, made)]
    print("\n".join(f"  wrote {samples.FOLDER}/{channel}/{case}/{name}" for name in written))
    print("\nRead it before you keep it: free text, and segments of the sender's own, may name people.")
    return 0


def _lines(part: Part, *, show: bool) -> list[str]:
    return ["(pruned)"] if part.body is None else content_lines(part.body, show=show)


def _print_summary(detail: MessageDetail) -> None:
    came = f" ({detail.relation} from {detail.parent_id})" if detail.parent_id else ""
    pairs = [
        ("message", f"{detail.id}{came}"),
        ("what", f"{detail.kind} {detail.control_id}".strip()),
        ("channel", f"{detail.channel}, bundle {detail.bundle}"),
        ("from", " ".join(part for part in (detail.sender, detail.source) if part)),
        ("outcome", f"{detail.onward}; answer {detail.answer}"),
        ("reason", " ".join(part for part in (detail.reason_code, detail.reason) if part)),
        ("flags", detail.flags),
    ]
    for label, text in pairs:
        if text:
            print(printable(f"{label:<9} {text}"))


def timeline(detail: MessageDetail, deliveries: list[Delivery]) -> list[Step]:
    """What happened, in the order of time."""
    steps = [Step(detail.received_at, f"received, {detail.size:,} bytes, stored before it was answered")]
    for delivery in deliveries:
        steps.append(Step(delivery.created_at, f"queued for {delivery.destination}: {delivery.kind} {delivery.name}"))
        for attempt in delivery.tries:
            took = f", {attempt.ended_at - attempt.started_at:,} ms" if attempt.ended_at else ""
            by = f", by {attempt.actor}" if attempt.actor != "hub" else ""
            why = f": {attempt.reason}" if attempt.reason else ""
            steps.append(
                Step(
                    attempt.started_at,
                    f"{delivery.destination}, attempt {attempt.number}: {attempt.outcome}{took}{by}{why}",
                )
            )
        if delivery.state == "closed" and delivery.finished_at:
            steps.append(Step(delivery.finished_at, f"{delivery.destination}: {delivery.reason}"))
    if detail.finished_at is not None:
        steps.append(Step(detail.finished_at, detail.onward))
    return sorted(steps, key=lambda step: step.at)


def _parts(
    connection: Connection, vault: Vault, stage: str, detail: MessageDetail, deliveries: list[Delivery]
) -> list[Part]:
    def part(title: str, content_id: int, *, values: bool = False) -> Part:
        from hub.store.contents import read_content

        try:
            body = read_content(connection, vault, content_id)
        except KeyError:
            return Part(title, None)
        return Part(title, _as_objects(body) if values and body[:2] == b"[[" else body)

    match stage:
        case "raw":
            return [part(f"{detail.size:,} bytes", detail.raw_id)]
        case "mapped":
            return [part("what the mapping made", detail.mapped_id)] if detail.mapped_id is not None else []
        case "outgoing":
            return [part(f"to {d.destination} ({d.id})", d.body_id, values=True) for d in deliveries]
        case _:
            ours = [part("what we answered", detail.answer_id)] if detail.answer_id is not None else []
            theirs = [
                part(f"what {d.destination} answered, attempt {attempt.number}", attempt.answer_id)
                for d in deliveries
                for attempt in d.tries
                if attempt.answer_id is not None
            ]
            return ours + theirs


def _as_objects(body: bytes) -> bytes:
    """Billing values, stored as pairs of type and fields, as objects: their keys say what is masked."""
    values: list[Any] = json.loads(body)
    return json.dumps([{str(kind): plain} for kind, plain in values], ensure_ascii=False).encode()
