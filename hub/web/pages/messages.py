"""Messages: the list, one message in its views, sending again."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from starlette.responses import Response

from hub.core.clock import at, real_ms
from hub.core.errors import HubError
from hub.store.contents import read_content
from hub.web.call import Call, NotFound
from hub.web.content import ParsedView, RawView, mapped_rows, parsed_view, raw_view, values_as_json
from hub.web.masking import Piece, json_facts
from hub.web.pages.message_diff import diff_view
from hub.web.preview import Comparison, compared, made_then, map_now
from hub.web.queries import claims, messages
from hub.web.subjects import patients_in
from hub.web.words import sign

PERIODS = {
    "hour": ("Last hour", 3_600_000),
    "day": ("Last 24 hours", 86_400_000),
    "week": ("Last 7 days", 7 * 86_400_000),
    "any": ("Any time", 0),
}
TABS = (
    ("", "Summary"),
    ("raw", "Raw"),
    ("parsed", "Parsed"),
    ("mapped", "Mapped"),
    ("outgoing", "Outgoing"),
    ("answer", "Answer"),
    ("diff", "Diff"),
    ("log", "Log"),
)
REASON_LENGTH = 10
_ACCOUNTS = 10


@dataclass(frozen=True, slots=True)
class Moment:
    """One line of a message's timeline."""

    at: int
    shape: str
    tone: str
    sentence: str
    evidence: str = ""
    address: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """One content of a message as its tab shows it."""

    title: str
    hint: str
    raw: RawView | None
    parsed: ParsedView | None


@dataclass(frozen=True, slots=True)
class MappedValue:
    """One value that a mapping made: its type, where it came from, its fields."""

    type: str
    path: str
    step: str
    script: str
    facts: tuple[tuple[str, Piece], ...]


def search_of(call: Call) -> messages.Search:
    """The search that the address describes."""
    begins, ends = _moment(call, "from"), _moment(call, "to")
    _, span = PERIODS.get(period_of(call), PERIODS["day"])
    return messages.Search(
        text=call.query.get("q", "").strip()[:100],
        channel=call.query.get("channel", ""),
        kind=call.query.get("kind", ""),
        onward=call.query.get("onward", ""),
        answer=call.query.get("answer", ""),
        since_ms=begins or (real_ms() - span if span else 0),
        until_ms=ends + 60_000 if ends else 0,  # the minute that was named is meant, too
        before=call.number("before"),
        after=call.number("after"),
        within=call.session.channels,
    )


def period_of(call: Call) -> str:
    """The period that the address names; ``any`` where it names the moments themselves."""
    return "any" if _moment(call, "from") or _moment(call, "to") else call.query.get("since", "day")


def _moment(call: Call, name: str) -> int:
    """The moment, in the site's zone, that a field of the address names, in ms; 0 when it names none."""
    try:
        typed = datetime.fromisoformat(call.query.get(name, ""))
        return int(typed.replace(tzinfo=typed.tzinfo or call.site.settings.clock.zone).timestamp() * 1000)
    except (ValueError, OverflowError):
        return 0


def digests_for(call: Call, search: messages.Search) -> list[tuple[str, bytes]]:
    """The blind indexes to look in; for people who may not search for persons, only those that name none."""
    if not search.text:
        return []
    digests = messages.digests_of(call.site.vault, search.text)
    if call.may("patients.search"):
        return digests
    return [each for each in digests if each[0] in messages.IMPERSONAL_KINDS]


def listing(call: Call) -> Response:
    """The list with its filter."""
    search = search_of(call)
    digests = digests_for(call, search)
    if digests and call.may("patients.search"):
        call.look("messages", "", action="search")
    with call.reading() as connection:
        page = messages.find(connection, search, digests)
        kinds = messages.kinds(connection)
        newest = messages.newest_sequence(connection)
        claim_id = claims.by_number(connection, search.text.upper()) if search.text else None
    return call.page(
        "messages.html",
        title="Messages",
        search=search,
        found=page,
        kinds=kinds,
        newest=newest,
        periods=PERIODS,
        period=period_of(call),
        claim_id=claim_id,
        outcomes=("in progress", "held", "errored", "rejected", "done", "filtered"),
        answers=("owed", "delivered", "undelivered", "not owed"),
        channels=[channel.name for channel in call.site.settings.channels if call.sees(channel.name)],
    )


def show(call: Call) -> Response:
    """One message, in the view that the address names."""
    tab = call.request.path_params.get("tab", "")
    if tab not in {key for key, _ in TABS}:
        raise NotFound("There is no such view of a message.")
    detail, deliveries, context = load(call)
    patients = subjects(call, detail)
    call.look("message", detail.id, patients=patients, always=False)
    with call.reading() as connection:
        values: dict[str, Any] = {}
        match tab:
            case "":
                values["moments"] = _timeline(detail, deliveries)
                values["claims"] = messages.claims_in(connection, detail) if call.may("claims.view") else []
                values["remittances"] = (
                    messages.remittances_in(connection, detail.id) if _whole_practice(call, "remittances.view") else []
                )
                values["accounts"] = patients[:_ACCOUNTS] if _whole_practice(call, "accounts.view") else ()
            case "raw":
                values["raw"] = raw_view(content_of(call, connection, detail.raw_id))
            case "parsed":
                values["parsed"] = parsed_view(content_of(call, connection, detail.raw_id))
            case "mapped":
                values["mapped"] = _mapped(call, connection, detail)
            case "outgoing":
                values["parts"] = _outgoing(call, connection, deliveries)
            case "answer":
                values["parts"] = _answers(call, connection, detail, deliveries)
            case "diff":
                values["diff"] = diff_view(call, connection, detail)
    return call.page("message.html", tab=tab, tabs=TABS, **context, **values)


def _whole_practice(call: Call, permission: str) -> bool:
    """Whether the person may do something that is of no channel."""
    return call.may(permission) and not call.session.channels


def replay_form(call: Call) -> Response:
    """What would be sent again, and the form that does it."""
    return _replay_page(call, {}, {})


def replay(call: Call) -> Response:
    """Send again: from the raw message with today's mapping, or the same bytes of one delivery."""
    detail, deliveries, _ = load(call)
    chosen = str(call.form.get("stage", ""))
    reason = str(call.form.get("reason", "")).strip()
    delivery = next((d for d in deliveries if str(d.id) == chosen), None)
    errors = {}
    if chosen != "raw" and delivery is None:
        errors["stage"] = "Choose what is sent."
    if len(reason) < REASON_LENGTH:
        errors["reason"] = f"Say why it should be sent again, at least {REASON_LENGTH} letters."
    if errors:
        return _replay_page(call, errors, {"stage": chosen, "reason": reason})
    args = {
        "message_id": detail.id,
        "from": "raw" if delivery is None else "delivery",
        "delivery_id": delivery.id if delivery else None,
        "reason": reason,
        "token": str(call.form.get("token", "")),
    }
    try:
        call.site.control.ask("replay", args, call.actor)
    except HubError as error:
        errors = {"stage": f"{error.what} {error.fix}".strip()}
        return _replay_page(call, errors, {"stage": chosen, "reason": reason})
    return call.back(f"/messages/{detail.id}", "replayed")


def close_delivery(call: Call) -> Response:
    """Close a delivery that arrived, without sending it again."""
    delivery_id = call.path_id()
    with call.reading() as connection:
        message_id = messages.delivery_message_id(connection, delivery_id)
    if message_id is None:
        raise NotFound("There is no such delivery.")
    reason = str(call.form.get("reason", "")).strip()
    call.request.path_params["id"] = str(message_id)
    load(call)
    if len(reason) < REASON_LENGTH:
        error = {"reason": f"Say how you know that it arrived, at least {REASON_LENGTH} letters."}
        return _replay_page(call, error, {"stage": str(delivery_id), "reason": reason})
    try:
        call.site.control.ask("close_delivery", {"delivery_id": delivery_id, "reason": reason}, call.actor)
    except HubError as error:
        problem = {"reason": f"{error.what} {error.fix}".strip()}
        return _replay_page(call, problem, {"stage": str(delivery_id), "reason": reason})
    return call.back(f"/messages/{message_id}", "closed")


def load(call: Call) -> tuple[messages.MessageDetail, list[messages.Delivery], dict[str, Any]]:
    """The message that the address names, its deliveries, and what every page of it shows. Raises `NotFound`."""
    with call.reading() as connection:
        detail = messages.get(connection, call.path_id())
        if detail is None or not call.sees(detail.channel):
            raise NotFound("There is no message of that number, or it was pruned.")
        deliveries = messages.deliveries(connection, detail.sequence)
        newer, older = messages.neighbours(connection, detail.channel, detail.sequence)
        context = {
            "title": f"Message {detail.control_id or detail.id}",
            "message": detail,
            "deliveries": deliveries,
            "newer": newer,
            "older": older,
            "parent": messages.get(connection, detail.parent_id) if detail.parent_id else None,
            "children": messages.children(connection, detail.id),
            "open_delivery": next((d for d in deliveries if d.state == "ambiguous"), None),
        }
    return detail, deliveries, context


def _replay_page(call: Call, errors: dict[str, str], typed: dict[str, str]) -> Response:
    detail, deliveries, context = load(call)
    call.look("message", detail.id, patients=subjects(call, detail), action="replay form", always=False)
    ambiguous = next((d for d in deliveries if d.state == "ambiguous"), None)
    preferred = ambiguous or next((d for d in deliveries if d.state in {"refused", "queued"}), None)
    stage = typed.get("stage") or (str(preferred.id) if preferred else "raw")
    asked = call.query.get("compare") == "1" or (stage == "raw" and call.request.method == "GET")
    with call.reading() as connection:
        previews = [_beginning(part) for part in _outgoing(call, connection, deliveries[:5])]
        body = content_of(call, connection, detail.raw_id)
        raw = raw_view(body)
        mapped = content_of(call, connection, detail.mapped_id) if detail.mapped_id is not None else None
    comparison, problem = _compare(call, detail, deliveries, body, mapped) if asked else (None, "")
    return call.page(
        "replay.html",
        comparison=comparison,
        comparison_problem=problem,
        can_compare=call.site.settings.folder is not None,
        code=422 if errors else 200,
        tab="replay",
        previews=previews,
        raw=_cut(raw, 12),
        stage=stage,
        typed=typed,
        errors=errors,
        ambiguous=ambiguous,
        bills=any(d.kind.startswith("837") for d in deliveries) or detail.kind.startswith("837"),
        token=str(call.form.get("token", "")) or secrets.token_urlsafe(18),
        **context,
    )


def _beginning(part: Part) -> Part:
    return replace(part, raw=_cut(part.raw, 24)) if part.raw is not None else part


def _cut(view: RawView, lines: int) -> RawView:
    return replace(view, lines=view.lines[:lines], cut=len(view.lines) > lines)


def _compare(
    call: Call, detail: messages.MessageDetail, deliveries: list[messages.Delivery], body: bytes, mapped: bytes | None
) -> tuple[Comparison | None, str]:
    """What the channel's mapping makes of the message now against what was kept, or why that cannot be shown."""
    settings = call.site.settings
    if settings.folder is None:
        return None, ""
    try:
        now = map_now(settings.folder, detail.channel, about(call, detail), body, settings.mapping_seconds)
    except HubError as error:
        return None, f"{error.what} {error.fix}".strip()
    return compared(made_then(mapped, [(each.destination, each.kind) for each in deliveries]), now), ""


def about(call: Call, detail: messages.MessageDetail) -> dict[str, Any]:
    """What the engine tells a mapping of the message."""
    return {
        "id": detail.id,
        "kind": detail.kind,
        "received_on": at(detail.received_at, call.site.settings.clock.zone).isoformat(timespec="seconds"),
        "control_id": detail.control_id,
        "source": detail.source,
    }


def subjects(call: Call, detail: messages.MessageDetail) -> tuple[int, ...]:
    """The patients whom the message is about, as far as billing knows them."""
    with call.reading() as connection:
        try:
            return patients_in(connection, call.site.vault, read_content(connection, call.site.vault, detail.raw_id))
        except KeyError:
            return ()


def content_of(call: Call, connection: Any, content_id: int) -> bytes:
    """A stored content. Raises `NotFound` when it was pruned."""
    try:
        return read_content(connection, call.site.vault, content_id)
    except KeyError:
        raise NotFound("The content was pruned; what happened to it is still on record.") from None


def _mapped(call: Call, connection: Any, detail: messages.MessageDetail) -> list[MappedValue] | None:
    if detail.mapped_id is None:
        return None
    return mapped_values(mapped_rows(content_of(call, connection, detail.mapped_id)))


def mapped_values(rows: Iterable[Mapping[str, Any]]) -> list[MappedValue]:
    """The values of *rows* as pages show them."""
    return [
        MappedValue(
            type=str(row.get("type", "")),
            path=str(row.get("path", "")),
            step=str(row.get("step", "")),
            script=str(row.get("script", "")),
            facts=tuple(json_facts(row["fields"] if isinstance(row.get("fields"), dict) else {})),
        )
        for row in rows
    ]


def _outgoing(call: Call, connection: Any, deliveries: list[messages.Delivery]) -> list[Part]:
    parts = []
    for delivery in deliveries:
        body = content_of(call, connection, delivery.body_id)
        body = values_as_json(body)
        hint = f"{delivery.kind}{', ' + delivery.name if delivery.name else ''}, {len(body):,} bytes"
        parsed = parsed_view(body) if body[:3] in {b"MSH", b"ISA"} else None
        parts.append(Part(f"To {delivery.destination}", hint, raw_view(body) if parsed is None else None, parsed))
    return parts


def _answers(
    call: Call, connection: Any, detail: messages.MessageDetail, deliveries: list[messages.Delivery]
) -> list[Part]:
    parts = []
    if detail.answer_id is not None:
        body = content_of(call, connection, detail.answer_id)
        parts.append(Part("What we answered", f"{len(body):,} bytes", raw_view(body), None))
    for delivery in deliveries:
        for attempt in delivery.tries:
            if attempt.answer_id is not None:
                body = content_of(call, connection, attempt.answer_id)
                title = f"What {delivery.destination} answered, attempt {attempt.number}"
                parts.append(Part(title, f"{len(body):,} bytes", raw_view(body), None))
    return parts


def _timeline(detail: messages.MessageDetail, deliveries: list[messages.Delivery]) -> list[Moment]:
    where = f" from {detail.source}" if detail.source else ""
    kept = f"{detail.size:,} bytes, on disk" + (" before it was answered" if detail.answer != "not owed" else "")
    moments = [Moment(detail.received_at, "in", "info", f"Received{where}", kept)]
    if detail.answer == "delivered":
        moments.append(Moment(detail.received_at, "done", "ok", "Answered", "the answer is on its own tab"))
    for delivery in deliveries:
        moments.append(Moment(delivery.created_at, "queued", "", f"Queued for {delivery.destination}", delivery.kind))
        for attempt in delivery.tries:
            took = f", {attempt.ended_at - attempt.started_at:,} ms" if attempt.ended_at else ""
            by = f", by {attempt.actor}" if attempt.actor != "hub" else ""
            words = {
                "delivered": ("done", "ok", f"{delivery.destination} took it"),
                "transient": ("retrying", "warn", f"{delivery.destination} could not be reached"),
                "ambiguous": ("ask", "ask", f"{delivery.destination} may have it"),
                "permanent": ("rejected", "bad", f"{delivery.destination} refused it"),
            }
            shape, tone, sentence = words.get(attempt.outcome, ("out", "info", f"Sending to {delivery.destination}"))
            evidence = f"attempt {attempt.number}{took}{by}"
            if attempt.reason:
                evidence = f"{attempt.reason} ({evidence})"
            moments.append(Moment(attempt.started_at, shape, tone, sentence, evidence))
        if not delivery.tries and delivery.state == "delivered" and delivery.finished_at:
            took = f"in {delivery.finished_at - delivery.created_at:,} ms"
            moments.append(Moment(delivery.finished_at, "done", "ok", f"{delivery.destination} took it", took))
        if delivery.tries and delivery.state == "queued" and delivery.tries[-1].outcome != "transient":
            again = f"To be sent again to {delivery.destination}"
            moments.append(Moment(delivery.tries[-1].ended_at or 0, "queued", "info", again, delivery.reason))
        if delivery.state == "closed" and delivery.finished_at:
            moments.append(Moment(delivery.finished_at, "closed", "ok", "Closed without sending", delivery.reason))
    if detail.finished_at is not None:
        end = sign(detail.onward)
        moments.append(Moment(detail.finished_at, end.shape, end.tone, end.word, detail.reason))
    return sorted(moments, key=lambda moment: moment.at)
