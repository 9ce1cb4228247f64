"""What an account that is narrowed to channels may open: held at the door, for pages and the API alike."""

from __future__ import annotations

from hub.core.errors import HubError
from hub.web.call import Call, NotFound
from hub.web.queries import scope

_WHOLE = ("/accounts", "/figures", "/payers", "/payments", "/reconcile", "/reconciliation", "/remittances")
"""Of the whole practice: money and patients belong to no channel."""


class NarrowedError(HubError):
    """The account is for some channels, and this is of the whole practice."""

    code = "H745"


def hold(call: Call, path: str) -> None:
    """Let the *call* of a route's *path* go on, or raise :class:`NarrowedError` or :class:`NotFound`."""
    channels = call.session.channels
    if not channels:
        return
    if path.startswith(_WHOLE):
        raise NarrowedError(
            "Your account is for some channels; this is of the whole practice.",
            fix="An administrator can widen your account.",
        )
    with call.reading() as connection:
        if path.startswith(("/queues/items/{id}", "/work-items/{id}")):
            inside = scope.has_item(connection, call.path_id(), channels)
        elif path.startswith("/claims/{id}"):
            inside = scope.has_claim(connection, call.path_id(), channels)
        else:
            return
    if not inside:
        raise NotFound("There is no such thing in the channels that your account is for.")
