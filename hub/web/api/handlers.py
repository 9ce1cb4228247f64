"""The operations: each takes a call, what was asked, and what was sent, and returns what `models` declares."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from hub.billing import reconcile
from hub.billing.findings import latest
from hub.core.clock import real_ms
from hub.core.money import from_cents
from hub.store.contents import read_content
from hub.web.api import models as m
from hub.web.call import Call, NotFound
from hub.web.channel_view import ChannelView
from hub.web.overview import overview
from hub.web.pages.messages import PERIODS, digests_for
from hub.web.queries import accounts, audit, claims, figures, messages, queues, remittances
from hub.web.queries.status import OUTCOMES
from hub.web.words import QUEUES


def status(call: Call, asked: m.StatusQuery, _sent: None) -> m.Status:
    """The status page: channels, what needs a person, claims by how far they have come."""
    view = overview(call, asked.period)
    return m.Status(
        at=view.at,
        period=view.period,
        version=view.bundle,
        engine=view.engine_problem or "running",
        needs=[m.Need(n.key, n.state, n.sentence, n.first, n.owner, n.snoozed_until) for n in view.needs],
        channels=[_channel(each) for each in view.channels],
        claims=[m.Stage(stage.title, stage.claims, from_cents(stage.cents)) for stage in view.stages],
    )


def channel(call: Call, asked: m.StatusQuery, _sent: None) -> m.Channel:
    """One channel with its connections and what waits."""
    name = call.request.path_params["name"]
    for each in overview(call, asked.period).channels:
        if each.info.name == name:
            return _channel(each)
    raise NotFound("There is no channel of that name.")


def pause(call: Call, _asked: m.Nothing, sent: m.PauseBody) -> m.Done:
    """Pause a channel, or one of its destinations."""
    return _switch(call, "pause", sent.reason, sent.destination)


def drain(call: Call, _asked: m.Nothing, sent: m.Because) -> m.Done:
    """Take nothing in any more and work off what is there."""
    return _switch(call, "drain", sent.reason, "")


def resume(call: Call, _asked: m.Nothing, sent: m.PauseBody) -> m.Done:
    """Go on."""
    return _switch(call, "resume", sent.reason, sent.destination)


def _switch(call: Call, command: str, reason: str, destination: str) -> m.Done:
    name = call.request.path_params["name"]
    if not call.sees(name) or name not in {each.name for each in call.site.settings.channels}:
        raise NotFound("There is no channel of that name.")
    call.site.control.ask(command, {"channel": name, "destination": destination or None, "reason": reason}, call.actor)
    return m.Done()


def find_messages(call: Call, asked: m.MessageQuery, _sent: None) -> m.MessagePage:
    """Find messages; searching for a person is audited."""
    search = messages.Search(
        text=asked.q.strip(),
        channel=asked.channel,
        kind=asked.kind,
        onward=asked.onward,
        answer=asked.answer,
        since_ms=_begin(asked),
        until_ms=asked.received_until or 0,
        before=asked.before,
        within=call.session.channels,
    )
    digests = digests_for(call, search)
    if digests and call.may("patients.search"):
        call.look("messages", "", action="search")
    with call.reading() as connection:
        page = messages.find(connection, search, digests)
    return m.MessagePage([_message(row) for row in page.rows], page.oldest if page.older else None)


def _begin(asked: m.MessageQuery) -> int:
    """The first moment that is meant, in milliseconds; 0 for any."""
    if asked.received_from is not None or asked.received_until is not None:
        return asked.received_from or 0
    span = PERIODS[asked.since][1]
    return real_ms() - span if span else 0


def message(call: Call, _asked: m.Nothing, _sent: None) -> m.MessageDetail:
    """One message with its deliveries and attempts."""
    detail = _detail(call)
    with call.reading() as connection:
        deliveries = messages.deliveries(connection, detail.sequence)
        children = messages.children(connection, detail.id)
    call.look("message", detail.id)
    return m.MessageDetail(
        message=_message(detail),
        version=detail.bundle,
        source=detail.source,
        parent=_id(detail.parent_id),
        children=[str(child.id) for child in children],
        deliveries=[
            m.Delivery(
                id=str(each.id),
                destination=each.destination,
                kind=each.kind,
                name=each.name,
                state=each.state,
                reason=each.reason,
                attempts=[
                    m.Attempt(t.number, t.started_at, t.ended_at, t.outcome, t.reason, t.actor) for t in each.tries
                ],
            )
            for each in deliveries
        ],
    )


def raw(call: Call, _asked: m.Nothing, _sent: None) -> bytes:
    """The bytes of a message as they came. They say whose they are: the header X-Reason says why, and is audited."""
    detail = _detail(call)
    call.site.control.write(
        "audit",
        {
            "actor": call.actor,
            "action": "reveal",
            "object_type": "message",
            "object_id": str(detail.id),
            "reason": call.request.headers.get("x-reason", "")[:500],
            "detail": {"by": "api"},
        },
        call.actor,
    )
    with call.reading() as connection:
        try:
            return read_content(connection, call.site.vault, detail.raw_id)
        except KeyError:
            raise NotFound("The content was pruned; what happened to it is still on record.") from None


def replay(call: Call, _asked: m.Nothing, sent: m.ReplayBody) -> m.Done:
    """Send a message again as a new, linked attempt."""
    detail = _detail(call)
    if sent.delivery:
        with call.reading() as connection:
            if messages.delivery_message_id(connection, int(sent.delivery)) != detail.id:
                raise NotFound("This message has no delivery of that number.")
    token = hashlib.blake2b(f"{call.actor}/{sent.token}".encode(), digest_size=16).hexdigest()
    call.site.control.ask(
        "replay",
        {
            "message_id": detail.id,
            "from": "delivery" if sent.delivery else "raw",
            "delivery_id": int(sent.delivery) if sent.delivery else None,
            "reason": sent.reason,
            "token": f"api/{token}",
        },
        call.actor,
    )
    return m.Done()


def find_claims(call: Call, asked: m.ClaimQuery, _sent: None) -> m.ClaimPage:
    """Find claims."""
    search = claims.Search(asked.q.strip(), asked.state, asked.payer, asked.before, within=call.session.channels)
    with call.reading() as connection:
        rows, older = claims.find(connection, search)
    return m.ClaimPage([_claim(row) for row in rows], str(rows[-1].id) if older else None)


def claim(call: Call, _asked: m.Nothing, _sent: None) -> m.ClaimDetail:
    """One claim with its lines, its money and everything that happened to it."""
    with call.reading() as connection:
        detail = claims.get(connection, call.path_id())
        if detail is None:
            raise NotFound("There is no claim of that number.")
        row = claims.by_ids(connection, [detail.id])[0]
        lines, events = claims.lines(connection, detail.id), claims.events(connection, detail.id)
    call.look("claim", detail.id, patients=[detail.patient_id])
    return m.ClaimDetail(
        claim=_claim(row),
        payer_claim_number=detail.payer_claim_number,
        account=str(detail.patient_id),
        version=detail.version,
        lines=[
            m.ClaimLine(
                each.control_number,
                each.code,
                each.modifiers,
                Decimal(each.units_milli).scaleb(-3),
                each.service_on,
                _money(each.money),
            )
            for each in lines
        ],
        findings=_findings(event.detail for event in events if event.kind == "edit_result"),
        events=[
            m.ClaimEvent(e.kind, e.business_at, e.actor, e.state_after, e.anomaly, _id(e.message_id)) for e in events
        ],
    )


def approve(call: Call, _asked: m.Nothing, sent: m.VersionBody) -> m.Done:
    """Release a claim that waits for a person."""
    claim_id = call.path_id()
    with call.reading() as connection:
        if claims.get(connection, claim_id) is None:
            raise NotFound("There is no claim of that number.")
    call.site.control.billing("approve_claim", {"claim_id": claim_id, "version": sent.version}, call.actor)
    return m.Done()


def all_queues(call: Call, _asked: m.Nothing, _sent: None) -> list[m.Queue]:
    """Every work queue with what is open."""
    with call.reading() as connection:
        counts = queues.counts(connection, call.today, call.session.channels)
    return [
        m.Queue(
            name, counts[name].count if name in counts else 0, from_cents(counts[name].cents if name in counts else 0)
        )
        for name in QUEUES
    ]


def queue(call: Call, asked: m.QueueQuery, _sent: None) -> list[m.WorkItem]:
    """The items of a queue, first those due soonest."""
    name = str(call.request.path_params["queue"]).replace("-", " ")
    if name not in QUEUES:
        raise NotFound("There is no queue of that name.")
    with call.reading() as connection:
        after = queues.get(connection, asked.after) if asked.after is not None else None
        page = queues.items(
            connection, queues.Listing(name, asked.state, call.today, after=after, within=call.session.channels)
        )
    return [_item(each) for each in page.rows]


def item(call: Call, _asked: m.Nothing, _sent: None) -> m.WorkItem:
    """One work item."""
    with call.reading() as connection:
        found = queues.get(connection, call.path_id())
    if found is None:
        raise NotFound("There is no work item of that number.")
    call.look("work item", found.id, patients=[found.patient_id])
    evidence = call.unseal("work_item", found.sealed)
    return replace(_item(found), findings=_findings([{"found": evidence.get("findings", ())}]))


def comment(call: Call, _asked: m.Nothing, sent: m.CommentBody) -> m.Done:
    """Add a remark to an item."""
    return _work(call, "comment_item", {"comment": sent.comment})


def assign(call: Call, _asked: m.Nothing, sent: m.AssignBody) -> m.Done:
    """Give an item to somebody, or to nobody."""
    return _work(call, "assign_item", sent.model_dump())


def snooze(call: Call, _asked: m.Nothing, sent: m.SnoozeBody) -> m.Done:
    """Let an item rest until a day."""
    return _work(call, "snooze_item", sent.model_dump())


def resolve(call: Call, _asked: m.Nothing, sent: m.ResolveBody) -> m.Done:
    """Close an item, saying what was done."""
    return _work(call, "resolve_item", sent.model_dump())


def reopen(call: Call, _asked: m.Nothing, sent: m.VersionBody) -> m.Done:
    """Open an item again that was resolved too early."""
    return _work(call, "reopen_item", sent.model_dump())


def _work(call: Call, name: str, args: dict[str, Any]) -> m.Done:
    item_id = call.path_id()
    with call.reading() as connection:
        if queues.get(connection, item_id) is None:
            raise NotFound("There is no work item of that number.")
    call.site.control.billing(name, {"item_id": item_id, **args}, call.actor)
    return m.Done()


def find_remittances(call: Call, asked: m.RemittanceQuery, _sent: None) -> m.RemittancePage:
    """Remittances, newest first."""
    with call.reading() as connection:
        rows, older = remittances.page(connection, asked.state, asked.before)
    return m.RemittancePage([_remittance(row) for row in rows], str(rows[-1].id) if older else None)


def remittance(call: Call, _asked: m.Nothing, _sent: None) -> m.Remittance:
    """One remittance."""
    with call.reading() as connection:
        found = remittances.get(connection, call.path_id())
    if found is None:
        raise NotFound("There is no remittance of that number.")
    return _remittance(found)


def account(call: Call, _asked: m.Nothing, _sent: None) -> m.Account:
    """One patient's ledger, without their name."""
    patient_id = call.path_id()
    with call.reading() as connection:
        if accounts.get(connection, patient_id) is None:
            raise NotFound("There is no account of that number.")
        payers, own = accounts.balance(connection, patient_id)
        entries = accounts.ledger(connection, patient_id)
    call.look("account", patient_id, patients=[patient_id])
    return m.Account(
        id=str(patient_id),
        payers_owe=from_cents(payers),
        patient_owes=from_cents(own),
        ledger=[
            m.LedgerEntry(
                id=str(e.entry_id),
                posted_on=e.posted_on,
                kind=e.kind,
                code=e.code,
                claim=_id(e.claim_id),
                remittance=_id(e.remittance_id),
                unbilled=from_cents(e.unbilled),
                payer=from_cents(e.payer),
                patient=from_cents(e.patient),
                balance=from_cents(e.balance),
            )
            for e in entries
        ],
    )


def all_figures(call: Call, asked: m.FigureQuery, _sent: None) -> list[m.Figure]:
    """The practice's figures with their parts."""
    today = call.site.settings.clock.today()
    since = "" if asked.period == "all" else (today - timedelta(days=int(asked.period))).isoformat()
    with call.reading() as connection:
        found = figures.figures(connection, today, call.site.settings.payers, since)
    return [
        m.Figure(
            f.key,
            f.title,
            f.value,
            f.definition,
            [m.FigurePart(p.label, len(p.claims), from_cents(p.cents), p.rate) for p in f.parts],
        )
        for f in found
    ]


def reconciliation(call: Call, _asked: m.Nothing, _sent: None) -> m.Reconciliation:
    """Whether every cent has its place: the store's sums, and every difference."""
    with call.reading() as connection:
        found = reconcile.figures(connection)
    charges = found.charges
    return m.Reconciliation(
        charged=charges.charged,
        paid=charges.paid,
        contract=charges.contractual,
        patient=charges.patient,
        written_off=charges.written_off,
        other=charges.other,
        open=charges.open,
        unbilled=found.unbilled,
        payers_owe=found.receivable_payer,
        cash=found.cash,
        unapplied=found.unapplied,
        provider_level=found.provider_level,
        interest=found.interest,
        held=found.held,
        differences=[m.Difference(d.kind, _id(d.subject_id), d.what, d.expected, d.found) for d in found.differences],
    )


def audit_log(call: Call, asked: m.AuditQuery, _sent: None) -> m.AuditPage:
    """The audit log, newest first; of one account also what was done about records merged into it."""
    with call.reading() as connection:
        patients = accounts.merged_into(connection, int(asked.account)) if asked.account else []
        rows, older = audit.page(
            connection, actor=asked.actor, action=asked.action, patients=patients, before=asked.before
        )
    return m.AuditPage(
        [
            m.AuditRecord(r.sequence, r.at, r.actor, r.action, r.object_type, r.object_id, r.reason, r.hash.hex())
            for r in rows
        ],
        rows[-1].sequence if older else None,
    )


def _detail(call: Call) -> messages.MessageDetail:
    with call.reading() as connection:
        detail = messages.get(connection, call.path_id())
    if detail is None or not call.sees(detail.channel):
        raise NotFound("There is no message of that number, or it was pruned.")
    return detail


def _id(number: int | None) -> str | None:
    return None if number is None else str(number)


def _channel(view: ChannelView) -> m.Channel:
    places = [("source", view.sources), *((d.info.name, d.endpoints) for d in view.destinations)]
    return m.Channel(
        name=view.info.name,
        title=view.info.title,
        owner=view.info.owner,
        state=view.state,
        reason=view.why,
        **{name.replace(" ", "_"): view.counts[name] for name in ("received", *OUTCOMES)},
        difference=view.counts.difference,
        last_in=view.last_in,
        p50_ms=view.latency.p50 if view.latency else None,
        p95_ms=view.latency.p95 if view.latency else None,
        connections=[
            m.Connection(place, e.state, e.address, e.detail, e.peers, e.since_at)
            for place, endpoints in places
            for e in endpoints
        ],
        waiting=[
            m.Waiting(w.destination, w.count, w.ambiguous, w.oldest_at, w.reason, w.attempts)
            for d in view.destinations
            if (w := d.waiting) is not None
        ],
    )


def _message(row: messages.MessageRow | messages.MessageDetail) -> m.Message:
    return m.Message(
        str(row.id),
        row.channel,
        row.kind,
        row.control_id,
        row.received_at,
        row.onward,
        row.answer,
        row.reason,
        row.size,
    )


def _money(money: claims.Money) -> m.Money:
    return m.Money(
        *(
            from_cents(cents)
            for cents in (
                money.charge, money.paid, money.contract, money.patient, money.other, money.open, money.elsewhere,
                money.difference,
            )
        )
    )  # fmt: skip


def _claim(row: claims.ClaimRow) -> m.Claim:
    return m.Claim(
        str(row.id), row.control_number, row.payer_id, row.partner, row.service_on, row.state, row.frequency,
        _money(row.money),
    )  # fmt: skip


def _findings(details: Iterable[dict[str, Any]]) -> list[m.Finding]:
    """What the newest of a claim's examinations found."""
    return [
        m.Finding(
            rule=each.rule,
            severity=each.severity,
            line=each.line,
            snip=each.snip,
            place=each.place,
            loop=each.where.loop,
            segment=each.where.segment,
            element=each.where.element,
            qualifier=each.where.qualifier,
            value_hash=each.value_hash,
            sentence=each.sentence,
            fix=each.fix,
            stc=list(each.stc),
        )
        for each in latest(details)
    ]


def _item(each: queues.Item) -> m.WorkItem:
    return m.WorkItem(
        id=str(each.id),
        queue=each.queue,
        sentence=each.sentence,
        why=each.kind,
        rule=each.rule,
        money=from_cents(each.money_cents),
        opened_at=each.opened_business_at,
        due_on=each.due_on,
        snoozed_until=each.snoozed_until,
        state=each.state,
        resolution=each.resolution,
        assignee=each.assignee,
        claim=_id(each.claim_id),
        account=_id(each.patient_id),
        message=_id(each.message_id),
        remittance=_id(each.remittance_id),
        version=each.version,
    )


def _remittance(row: remittances.Remittance) -> m.Remittance:
    return m.Remittance(
        id=str(row.id),
        trace=row.trace,
        payer_id=row.payer_id,
        payer_name=row.payer_name,
        amount=from_cents(row.amount_cents),
        paid_on=row.paid_on,
        claims=row.claims,
        claims_posted=row.claims_posted,
        claims_held=row.claims_held,
        difference=from_cents(row.difference),
        state=row.state,
        reason=row.reason,
    )
