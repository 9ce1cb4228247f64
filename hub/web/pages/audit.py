"""The audit log, and whether its chain is whole."""

from __future__ import annotations

from starlette.responses import Response

from hub.security.audit import verify
from hub.web.call import Call
from hub.web.queries import audit


def listing(call: Call) -> Response:
    """The records, newest first; with ``verify=1`` also the check of every hash."""
    actor = call.query.get("actor", "").strip()[:64]
    with call.reading() as connection:
        rows, older = audit.page(connection, actor, call.number("patient"), call.number("before"))
        checked = call.query.get("verify") == "1"
        broken = verify(connection) if checked else None
    return call.page("audit.html", title="Audit", rows=rows, older=older, actor=actor, checked=checked, broken=broken)
