"""Every address, who may use it and what answers: the one table that the application serves and the tests walk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from starlette.responses import Response

from hub.web.call import Call
from hub.web.pages import (
    accounts,
    alerts,
    audit,
    bulk,
    channels,
    claims,
    figures,
    live,
    login,
    me,
    message_mapping,
    messages,
    payers,
    payments,
    queues,
    remittances,
    status,
    tokens,
)

#: What a route needs of everybody who is signed in.
SIGNED_IN = ""
#: Who may take and snooze what needs a person.
ALERTS = "channels.operate|queues.work|audit.review"
#: Who may see patient data: by their role, or in an emergency.
REVEAL = "patients.reveal|patients.break_glass"


@dataclass(frozen=True, slots=True)
class Entry:
    """One route of signed-in people: method, path, the permission it needs (one of several: ``a|b``), its handler."""

    method: str
    path: str
    permission: str
    handler: Callable[[Call], Response]


ROUTES: tuple[Entry, ...] = (
    Entry("GET", "/", "status.view", status.show),
    Entry("GET", "/status.json", "status.view", status.as_json),
    Entry("GET", "/alerts", "status.view", alerts.form),
    Entry("POST", "/alerts/take", ALERTS, alerts.take),
    Entry("POST", "/alerts/snooze", ALERTS, alerts.snooze),
    Entry("GET", "/live/status", "status.view", live.status_values),
    Entry("GET", "/live/messages", "messages.view", live.newer_messages),
    Entry("GET", "/channels", "status.view", channels.listing),
    Entry("GET", "/channels/{name}", "status.view", channels.show),
    Entry("POST", "/channels/{name}/pause", "channels.operate", channels.pause),
    Entry("POST", "/channels/{name}/drain", "channels.operate", channels.drain),
    Entry("POST", "/channels/{name}/star", "status.view", channels.star),
    Entry("POST", "/channels/{name}/resume", "channels.operate", channels.resume),
    Entry("GET", "/messages", "messages.view", messages.listing),
    Entry("GET", "/messages.csv", "messages.view", bulk.export),
    Entry("GET", "/messages/bulk", "messages.replay", bulk.form),
    Entry("POST", "/messages/bulk", "messages.replay", bulk.replay),
    Entry("GET", "/messages/{id}", "messages.view", messages.show),
    Entry("GET", "/messages/{id}/replay", "messages.replay", messages.replay_form),
    Entry("POST", "/messages/{id}/replay", "messages.replay", messages.replay),
    Entry("GET", "/messages/{id}/mapping", "messages.view", message_mapping.show),
    Entry("GET", "/messages/{id}/{tab}", "messages.view", messages.show),
    Entry("POST", "/deliveries/{id}/close", "messages.replay", messages.close_delivery),
    Entry("GET", "/claims", "claims.view", claims.listing),
    Entry("GET", "/claims/{id}", "claims.view", claims.show),
    Entry("GET", "/claims/{id}/837", "claims.view", claims.outgoing),
    Entry("POST", "/claims/{id}/approve", "claims.approve", claims.approve),
    Entry("POST", "/claims/{id}/next-payer", "claims.approve", claims.bill_next),
    Entry("POST", "/claims/{id}/void", "claims.correct", claims.void),
    Entry("GET", "/queues", "queues.view", queues.listing),
    Entry("GET", "/queues/{queue}", "queues.view", queues.show),
    Entry("POST", "/queues/{queue}/bulk", "queues.work", queues.bulk),
    Entry("GET", "/queues/items/{id}", "queues.view", queues.show_item),
    Entry("POST", "/queues/items/{id}/comment", "queues.work", queues.comment),
    Entry("POST", "/queues/items/{id}/assign", "queues.work", queues.assign),
    Entry("POST", "/queues/items/{id}/snooze", "queues.work", queues.snooze),
    Entry("POST", "/queues/items/{id}/resolve", "queues.work", queues.resolve),
    Entry("POST", "/queues/items/{id}/reopen", "queues.work", queues.reopen),
    Entry("POST", "/queues/items/{id}/match", "money.post", queues.match),
    Entry("POST", "/queues/items/{id}/do/{act}", "queues.work", queues.act),
    Entry("GET", "/accounts", "accounts.view", accounts.listing),
    Entry("GET", "/accounts/{id}", "accounts.view", accounts.show),
    Entry("GET", "/payers", "claims.view", payers.listing),
    Entry("GET", "/payers/{payer}", "claims.view", payers.show),
    Entry("GET", "/remittances", "remittances.view", remittances.listing),
    Entry("GET", "/remittances/new", "money.post", payments.form),
    Entry("POST", "/remittances/new", "money.post", payments.enter),
    Entry("GET", "/remittances/{id}", "remittances.view", remittances.show),
    Entry("GET", "/payments/{id}", "remittances.view", payments.show),
    Entry("POST", "/payments/{id}/undo", "money.post", payments.undo),
    Entry("POST", "/payments/{id}/match", "money.post", payments.match),
    Entry("POST", "/payments/{id}/restate", "money.post", payments.restate),
    Entry("GET", "/figures", "figures.view", figures.show),
    Entry("GET", "/figures.csv", "figures.view", figures.as_csv),
    Entry("GET", "/figures/{figure}/{part}.csv", "figures.view", figures.behind_csv),
    Entry("GET", "/figures/{figure}/{part}", "figures.view", figures.behind),
    Entry("GET", "/reconcile", "figures.view", figures.reconciliation),
    Entry("GET", "/reveal", REVEAL, me.reveal_form),
    Entry("POST", "/reveal", REVEAL, me.reveal),
    Entry("POST", "/hide", SIGNED_IN, me.hide),
    Entry("GET", "/audit", "audit.view", audit.listing),
    Entry("POST", "/audit", "audit.view", audit.find_patient),
    Entry("GET", "/audit/emergencies", "audit.view", audit.emergencies),
    Entry("POST", "/audit/emergencies", "audit.review", audit.review),
    Entry("GET", "/users", "users.manage", me.users),
    Entry("POST", "/users", "users.manage", me.add_user),
    Entry("POST", "/users/{name}", "users.manage", me.disable_user),
    Entry("POST", "/users/{name}/roles", "users.manage", me.change_user),
    Entry("GET", "/me/tokens", "tokens.own", tokens.listing),
    Entry("POST", "/me/tokens", "tokens.own", tokens.add),
    Entry("POST", "/me/tokens/revoke", "tokens.own", tokens.revoke),
    Entry("GET", "/me", SIGNED_IN, me.show),
    Entry("POST", "/me/password", SIGNED_IN, me.password),
    Entry("POST", "/me/preferences", SIGNED_IN, me.preferences),
    Entry("POST", "/logout", SIGNED_IN, login.sign_out),
)

#: What somebody may use before they have chosen a password of their own.
BEFORE_PASSWORD = frozenset({"/me", "/me/password", "/me/preferences", "/logout"})
