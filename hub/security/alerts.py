"""Alerts: one for each cause that needs a person. They open, are told of, taken or snoozed by people, and close."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from hub.core.clock import real_ms
from hub.core.errors import HubError
from hub.security import audit
from hub.store.tables import alert

LONGEST_MS = 7 * 86_400_000
_REASON_LENGTH = 5


class AlertError(HubError):
    """An alert cannot be taken or snoozed as asked."""

    code = "H723"


@dataclass(frozen=True, slots=True)
class AlertState:
    """An alert as it is kept: whose it is, until when it is quiet, by whom and why; and its course.

    It is open since *opened_at* (0: it is not), and was not seen any more since *gone_at* (0: it is). *mailed* and
    *posted* say how far people were told by mail and webhook: 0 not at all, 1 that it opened, then one more for each
    escalation.
    """

    key: str
    owner: str = ""
    snoozed_until_at: int = 0
    reason: str = ""
    actor: str = ""
    sentence: str = ""
    first: str = ""
    opened_at: int = 0
    gone_at: int = 0
    mailed: int = 0
    posted: int = 0

    @property
    def snoozed(self) -> bool:
        """Whether it is quiet now."""
        return self.snoozed_until_at > real_ms()


_COURSE = ("sentence", "first", "opened_at", "gone_at", "mailed", "posted")


def states(connection: Connection) -> dict[str, AlertState]:
    """Every alert that is open or that people did something about, by key."""
    own = ("owner", "snoozed_until_at", "reason", "actor")
    return {
        row.alert_key: AlertState(row.alert_key, **{name: getattr(row, name) for name in (*own, *_COURSE)})
        for row in connection.execute(select(alert))
    }


def note(connection: Connection, args: dict[str, Any]) -> dict[str, Any]:
    """Keep how alerts stand, as whoever watches found them. *args*: alerts, each with key and its course.

    What has ended belongs to nobody any more, and is forgotten unless it is snoozed.
    """
    for each in args["alerts"]:
        key = str(each["key"])[:160]
        course = {name: each[name] for name in _COURSE}
        if not course["opened_at"]:
            course["owner"] = ""
        known = update(alert).where(alert.c.alert_key == key).values(version=alert.c.version + 1, **course)
        if not connection.execute(known).rowcount:
            connection.execute(insert(alert).values(alert_key=key, **course))
    ended = (alert.c.opened_at == 0) & (alert.c.owner == "") & (alert.c.snoozed_until_at < real_ms())
    connection.execute(delete(alert).where(ended))
    return {}


def own(connection: Connection, args: dict[str, Any]) -> dict[str, Any]:
    """Take an alert, or (owner empty) give it back. *args*: actor, key, owner."""
    owner = str(args.get("owner", ""))[:64]
    _put(connection, args, owner=owner)
    audit.record(
        connection,
        actor=args["actor"],
        action="alert own",
        object_type="alert",
        object_id=str(args["key"])[:64],
        detail={"owner": owner},
    )
    return {"owner": owner}


def snooze(connection: Connection, args: dict[str, Any]) -> dict[str, Any]:
    """Keep an alert quiet. *args*: actor, key, minutes (0: wake it), reason. Raises :class:`AlertError`."""
    minutes, reason = int(args["minutes"]), str(args.get("reason", "")).strip()
    if not 0 <= minutes * 60_000 <= LONGEST_MS:
        raise AlertError("An alert is quiet for a week at most.")
    if minutes and len(reason) < _REASON_LENGTH:
        raise AlertError("Say why it may be quiet.", expected=f"at least {_REASON_LENGTH} letters")
    until = real_ms() + minutes * 60_000 if minutes else 0
    _put(connection, args, snoozed_until_at=until, reason=reason)
    audit.record(
        connection,
        actor=args["actor"],
        action="alert snooze",
        object_type="alert",
        object_id=str(args["key"])[:64],
        reason=reason,
        detail={"minutes": minutes},
    )
    return {"until": until}


def _put(connection: Connection, args: dict[str, Any], **values: Any) -> None:
    key = str(args["key"])[:160]
    values |= {"actor": args["actor"], "changed_at": real_ms()}
    known = update(alert).where(alert.c.alert_key == key).values(version=alert.c.version + 1, **values)
    if not connection.execute(known).rowcount:
        connection.execute(insert(alert).values(alert_key=key, **values))
