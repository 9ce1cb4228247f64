"""Every operation of the API: method, path, permission, what it takes, what it gives. Served, described and tested."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, get_type_hints

from pydantic import BaseModel, TypeAdapter

from hub.web.api import handlers as do
from hub.web.call import Call

BASE = "/api/v1"


@dataclass(frozen=True)
class Operation:
    """One operation. What it takes and gives stands in its handler's signature; its summary is the docstring.

    *needs_reason*: the header X-Reason must say why.
    """

    method: str
    path: str
    permission: str
    handler: Callable[[Call, Any, Any], Any]
    needs_reason: bool = False

    @cached_property
    def hints(self) -> dict[str, Any]:
        """The types of the handler's parameters and of its answer."""
        return {name.strip("_"): kind for name, kind in get_type_hints(self.handler).items()}

    @property
    def query(self) -> type[BaseModel]:
        """What the address may hold."""
        found: type[BaseModel] = self.hints["asked"]
        return found

    @property
    def body(self) -> type[BaseModel] | None:
        """What is sent as JSON; None for nothing."""
        found = self.hints["sent"]
        return None if found is type(None) else found

    @cached_property
    def answer(self) -> TypeAdapter[Any]:
        """What comes back."""
        return TypeAdapter(self.hints["return"])

    @property
    def gives_bytes(self) -> bool:
        """Whether the answer is content and not JSON."""
        return self.hints["return"] is bytes

    @property
    def summary(self) -> str:
        """What it does, in a sentence."""
        return (self.handler.__doc__ or "").splitlines()[0]


OPERATIONS: tuple[Operation, ...] = (
    Operation("GET", "/status", "status.view", do.status),
    Operation("GET", "/channels/{name}", "status.view", do.channel),
    Operation("POST", "/channels/{name}/pause", "channels.operate", do.pause),
    Operation("POST", "/channels/{name}/drain", "channels.operate", do.drain),
    Operation("POST", "/channels/{name}/resume", "channels.operate", do.resume),
    Operation("GET", "/messages", "messages.view", do.find_messages),
    Operation("GET", "/messages/{id}", "messages.view", do.message),
    Operation("GET", "/messages/{id}/raw", "patients.reveal", do.raw, needs_reason=True),
    Operation("POST", "/messages/{id}/replay", "messages.replay", do.replay),
    Operation("GET", "/claims", "claims.view", do.find_claims),
    Operation("GET", "/claims/{id}", "claims.view", do.claim),
    Operation("POST", "/claims/{id}/approve", "claims.approve", do.approve),
    Operation("GET", "/queues", "queues.view", do.all_queues),
    Operation("GET", "/queues/{queue}", "queues.view", do.queue),
    Operation("GET", "/work-items/{id}", "queues.view", do.item),
    Operation("POST", "/work-items/{id}/comment", "queues.work", do.comment),
    Operation("POST", "/work-items/{id}/assign", "queues.work", do.assign),
    Operation("POST", "/work-items/{id}/snooze", "queues.work", do.snooze),
    Operation("POST", "/work-items/{id}/resolve", "queues.work", do.resolve),
    Operation("POST", "/work-items/{id}/reopen", "queues.work", do.reopen),
    Operation("GET", "/remittances", "remittances.view", do.find_remittances),
    Operation("GET", "/remittances/{id}", "remittances.view", do.remittance),
    Operation("GET", "/accounts/{id}", "accounts.view", do.account),
    Operation("GET", "/figures", "figures.view", do.all_figures),
    Operation("GET", "/reconciliation", "figures.view", do.reconciliation),
    Operation("GET", "/audit", "audit.view", do.audit_log),
)
