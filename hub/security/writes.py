"""The small writes that the web process and commands ask the engine for, by name.

The journal runs them, in its own transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection

from hub.security import alerts, audit, sessions, tokens, users

Write = Callable[[Connection, dict[str, Any]], dict[str, Any]]


def _audit(connection: Connection, args: dict[str, Any]) -> dict[str, Any]:
    """Record a look or an act.

    *args*: actor, action, object_type, object_id, reason, detail, and *patient_id* or *patients*: several ids make one
    record for each, so that every one of them can be traced.
    """
    about = dict(args)
    patients = about.pop("patients", []) or [about.pop("patient_id", None)]
    return {"sequences": [audit.record(connection, **about, patient_id=patient) for patient in patients]}


WRITES: dict[str, Write] = {
    "session_open": sessions.open_session,
    "session_touch": sessions.touch,
    "session_close": sessions.close_session,
    "login_failed": sessions.login_failed,
    "reveal": sessions.reveal,
    "hide": sessions.hide,
    "audit": _audit,
    "user_add": users.add,
    "user_password": users.set_password,
    "user_disable": users.disable,
    "user_change": users.change,
    "token_add": tokens.add,
    "token_revoke": tokens.revoke,
    "token_touch": tokens.touch,
    "alert_own": alerts.own,
    "alert_snooze": alerts.snooze,
    "alert_note": alerts.note,
}
