"""Sessions: a random token in a cookie, its digest in the store; 15 minutes idle, 12 hours at most.

Writing functions take the journal's connection and plain arguments, because the engine runs them for the web
process.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from hub.core.clock import real_ms
from hub.core.errors import HubError
from hub.security import audit
from hub.security.users import find_user, permissions_of
from hub.store.tables import session, user_account

IDLE_MS = 15 * 60_000
ABSOLUTE_MS = 12 * 3_600_000
REVEAL_MS = 15 * 60_000
LOCK_AFTER = 5
LOCK_MS = 15 * 60_000
REASON_LENGTH = 10
EMERGENCY_LENGTH = 20


class SessionRefused(HubError):  # noqa: N818  it reads as what happened: the session was refused
    """Nobody is signed in: the account is locked or disabled, or the session has ended."""

    code = "H720"


@dataclass(frozen=True, slots=True)
class Session:
    """A live session and the person it belongs to: what they may do, and (empty: all) where."""

    token_digest: bytes
    user_name: str
    title: str
    roles: tuple[str, ...]
    must_change_password: bool
    csrf_token: str
    seen_at: int
    revealed_until_at: int
    reveal_reason: str
    broke_glass: bool = False
    permissions: frozenset[str] = frozenset()
    channels: tuple[str, ...] = ()
    organisations: tuple[str, ...] = ()


def new_token() -> str:
    """A token that cannot be guessed: 256 random bits."""
    return secrets.token_urlsafe(32)


def token_digest(token: str) -> bytes:
    """What the store keeps of *token*."""
    return hashlib.sha256(token.encode()).digest()


def find_session(connection: Connection, token: str, now_ms: int | None = None) -> Session | None:
    """The live session of *token*.

    None when it is unknown, idle too long, too old, or its account is disabled.
    """
    return find_session_by_digest(connection, token_digest(token), now_ms)


def find_session_by_digest(connection: Connection, digest: bytes, now_ms: int | None = None) -> Session | None:
    """The live session whose token has *digest*, as :func:`find_session`."""
    now = real_ms() if now_ms is None else now_ms
    row = connection.execute(
        select(session, user_account)
        .join(user_account, user_account.c.name == session.c.user_name)
        .where(session.c.token_digest == digest)
    ).first()
    if row is None or row.disabled or now >= row.expires_at or now - row.seen_at >= IDLE_MS:
        return None
    return Session(
        token_digest=row.token_digest,
        user_name=row.user_name,
        title=row.title,
        roles=tuple(row.roles.split()),
        must_change_password=row.must_change_password,
        csrf_token=row.csrf_token,
        seen_at=row.seen_at,
        revealed_until_at=row.revealed_until_at,
        reveal_reason=row.reveal_reason,
        broke_glass=row.broke_glass,
        permissions=permissions_of(tuple(row.roles.split())),
        channels=tuple(row.channels.split()),
        organisations=tuple(row.organisations.split()),
    )


def open_session(connection: Connection, args: dict[str, Any]) -> dict[str, Any]:
    """Open a session for a person whose password was just verified.

    *args*: user, token_digest (hex), csrf_token. Sessions that ended are swept on the way. Raises
    :class:`SessionRefused` for an account that is locked or disabled.
    """
    now, user = real_ms(), find_user(connection, args["user"])
    if user is None or user.disabled or user.locked_until_at > now:
        raise SessionRefused("This account cannot sign in now.", fix="Try again later, or ask an administrator.")
    connection.execute(delete(session).where((session.c.expires_at <= now) | (session.c.seen_at <= now - IDLE_MS)))
    connection.execute(
        insert(session).values(
            token_digest=bytes.fromhex(args["token_digest"]),
            user_name=user.name,
            csrf_token=args["csrf_token"],
            created_at=now,
            seen_at=now,
            expires_at=now + ABSOLUTE_MS,
        )
    )
    connection.execute(
        update(user_account).where(user_account.c.name == user.name).values(failures=0, locked_until_at=0)
    )
    audit.record(connection, actor=user.name, action="login")
    return {"expires_at": now + ABSOLUTE_MS}


def login_failed(connection: Connection, args: dict[str, Any]) -> dict[str, Any]:
    """Count a failed sign-in; after five in a row the account is locked for 15 minutes. *args*: user.

    A name that does not exist is not kept: people type passwords into the wrong field.
    """
    user = connection.execute(select(user_account).where(user_account.c.name == args["user"])).first()
    if user is None:
        audit.record(connection, actor="unknown", action="login failed")
        return {"locked": False}
    failures, now = user.failures + 1, real_ms()
    locked = failures >= LOCK_AFTER
    connection.execute(
        update(user_account)
        .where(user_account.c.name == user.name)
        .values(
            failures=0 if locked else failures,
            locked_until_at=now + LOCK_MS if locked else user.locked_until_at,
        )
    )
    audit.record(connection, actor=user.name, action="login failed", detail={"locked": locked})
    return {"locked": locked}


def touch(connection: Connection, args: dict[str, Any]) -> dict[str, Any]:
    """Note that a session's person did something.

    *args*: token_digest (hex). A session that has ended stays ended.
    """
    now = real_ms()
    changed = connection.execute(
        update(session)
        .where(
            session.c.token_digest == bytes.fromhex(args["token_digest"]),
            session.c.expires_at > now,
            session.c.seen_at > now - IDLE_MS,
        )
        .values(seen_at=now)
    )
    return {"alive": changed.rowcount == 1}


def close_session(connection: Connection, args: dict[str, Any]) -> dict[str, Any]:
    """End a session. *args*: token_digest (hex)."""
    row = _row(connection, args["token_digest"])
    if row is not None:
        connection.execute(delete(session).where(session.c.token_digest == row.token_digest))
        audit.record(connection, actor=row.user_name, action="logout")
    return {}


def reveal(connection: Connection, args: dict[str, Any]) -> dict[str, Any]:
    """Show patient data in this session for 15 minutes.

    *args*: token_digest (hex), reason, object_type, object_id; with *emergency* it is for people whose role does not
    include patient data, and an auditor reviews it. Raises :class:`SessionRefused` when the session has ended or the
    reason says nothing.
    """
    reason, row = str(args["reason"]).strip(), _row(connection, args["token_digest"])
    if row is None:
        raise SessionRefused("The session has ended.", fix="Sign in again.")
    if len(reason) < REASON_LENGTH:
        raise SessionRefused("A reason is needed to see patient data.", expected=f"at least {REASON_LENGTH} letters")
    until = real_ms() + REVEAL_MS
    broke_glass = bool(args.get("emergency"))
    if broke_glass and len(reason) < EMERGENCY_LENGTH:
        raise SessionRefused(
            "An emergency is described in a sentence.", expected=f"at least {EMERGENCY_LENGTH} letters"
        )
    connection.execute(
        update(session)
        .where(session.c.token_digest == row.token_digest)
        .values(revealed_until_at=until, reveal_reason=reason, broke_glass=broke_glass)
    )
    audit.record(
        connection,
        actor=row.user_name,
        action="break glass" if broke_glass else "reveal",
        object_type=args.get("object_type", ""),
        object_id=args.get("object_id", ""),
        reason=reason,
    )
    return {"until": until}


def hide(connection: Connection, args: dict[str, Any]) -> dict[str, Any]:
    """Mask patient data in this session again. *args*: token_digest (hex)."""
    row = _row(connection, args["token_digest"])
    if row is not None and row.revealed_until_at:
        connection.execute(
            update(session)
            .where(session.c.token_digest == row.token_digest)
            .values(revealed_until_at=0, reveal_reason="", broke_glass=False)
        )
        audit.record(connection, actor=row.user_name, action="hide")
    return {}


def _row(connection: Connection, digest: str) -> Any:
    return connection.execute(select(session).where(session.c.token_digest == bytes.fromhex(digest))).first()
