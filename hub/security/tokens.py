"""API tokens: how programs sign in. A token belongs to a person, may do no more than they may, and ends by itself.

The store keeps its digest; the token is shown once. A role that its owner loses is lost to their tokens at once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select, update

from hub.core.clock import real_ms
from hub.core.errors import HubError
from hub.security import audit
from hub.security.sessions import Session, token_digest
from hub.security.users import find_user, permissions_of
from hub.store.tables import api_token, user_account

PREFIX = "hub_"
"""What every token begins with, so that a leaked one is recognised."""
LONGEST_DAYS = 366
_DAY_MS = 86_400_000
_NAME = re.compile(r"[\w .-]{3,64}\Z")


class TokenError(HubError):
    """An API token cannot be made or withdrawn as asked."""

    code = "H722"


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A token as its owner sees it; the token itself is not kept."""

    name: str
    user_name: str
    permissions: tuple[str, ...]
    created_at: int
    expires_at: int
    used_at: int
    revoked: bool


def find_token(connection: Connection, token: str) -> Session | None:
    """Whom *token* speaks for, with what both it and its owner may do; None when it is unknown, over, or withdrawn."""
    return find_token_by_digest(connection, token_digest(token))


def find_token_by_digest(connection: Connection, digest: bytes) -> Session | None:
    """As :func:`find_token`, by the token's digest."""
    now = real_ms()
    row = connection.execute(
        select(api_token, user_account.c.title, user_account.c.roles, user_account.c.disabled)
        .add_columns(user_account.c.channels, user_account.c.organisations)
        .join(user_account, user_account.c.name == api_token.c.user_name)
        .where(api_token.c.token_digest == digest)
    ).first()
    if row is None or row.revoked or row.disabled or now >= row.expires_at:
        return None
    roles = tuple(row.roles.split())
    return Session(
        token_digest=row.token_digest,
        user_name=row.user_name,
        title=row.title,
        roles=roles,
        must_change_password=False,
        csrf_token="",
        seen_at=row.used_at,
        revealed_until_at=0,
        reveal_reason="",
        permissions=permissions_of(roles) & frozenset(row.permissions.split()),
        channels=tuple(row.channels.split()),
        organisations=tuple(row.organisations.split()),
    )


def tokens_of(connection: Connection, user_name: str = "") -> list[ApiToken]:
    """The tokens of *user_name*, or of everybody; newest first."""
    statement = select(api_token).order_by(api_token.c.created_at.desc())
    if user_name:
        statement = statement.where(api_token.c.user_name == user_name)
    return [
        ApiToken(
            row.name, row.user_name, tuple(row.permissions.split()), row.created_at, row.expires_at, row.used_at,
            row.revoked,
        )
        for row in connection.execute(statement)
    ]  # fmt: skip


def add(connection: Connection, args: dict[str, Any]) -> dict[str, Any]:
    """Keep a token that was just made.

    *args*: actor (its owner), name, token_digest (hex), permissions (a list), days. Raises :class:`TokenError`.
    """
    owner, name, wanted = find_user(connection, args["actor"]), str(args["name"]), set(args["permissions"])
    days = int(args["days"])
    if owner is None:
        raise TokenError("A token needs an owner who has an account.")
    if not _NAME.match(name):
        raise TokenError("A token needs a name that says what uses it.", expected="3 to 64 letters, digits, spaces")
    if not wanted or wanted - permissions_of(owner.roles):
        raise TokenError("A token may do what its owner may, and at least one thing.")
    if not 1 <= days <= LONGEST_DAYS:
        raise TokenError("A token has an end.", expected=f"1 to {LONGEST_DAYS} days")
    known = (api_token.c.user_name == owner.name, api_token.c.name == name)
    if connection.execute(select(api_token.c.name).where(*known)).first():
        raise TokenError("You have a token of that name.", fix="Names are never used again: the audit log has them.")
    now = real_ms()
    connection.execute(
        insert(api_token).values(
            token_digest=bytes.fromhex(args["token_digest"]),
            name=name,
            user_name=owner.name,
            permissions=" ".join(sorted(wanted)),
            created_at=now,
            expires_at=now + days * _DAY_MS,
        )
    )
    audit.record(
        connection,
        actor=owner.name,
        action="token add",
        object_type="token",
        object_id=name,
        detail={"permissions": sorted(wanted), "days": days},
    )
    return {"name": name}


def revoke(connection: Connection, args: dict[str, Any]) -> dict[str, Any]:
    """Withdraw a token. *args*: actor, name, owner (whose it is). Raises :class:`TokenError`."""
    known = (api_token.c.user_name == args["owner"], api_token.c.name == args["name"])
    if not connection.execute(update(api_token).where(*known).values(revoked=True)).rowcount:
        raise TokenError("There is no token of that name.")
    audit.record(
        connection, actor=args["actor"], action="token revoke", object_type="token", object_id=str(args["name"])
    )
    return {"name": args["name"]}


def touch(connection: Connection, args: dict[str, Any]) -> dict[str, Any]:
    """Note that a token was used. *args*: token_digest (hex)."""
    digest = bytes.fromhex(args["token_digest"])
    connection.execute(update(api_token).where(api_token.c.token_digest == digest).values(used_at=real_ms()))
    return {}
