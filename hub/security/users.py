"""Who may do what: roles, the permissions they give, and the accounts of people."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from hub.core.clock import real_ms
from hub.core.errors import HubError
from hub.security import audit
from hub.security.passwords import hash_password, random_password
from hub.store.tables import session, user_account

#: Every permission and what it lets a person do.
PERMISSIONS = {
    "status.view": "see the status page and the channels",
    "messages.view": "see messages, masked",
    "messages.replay": "send a message again, or close a delivery",
    "channels.operate": "pause and resume channels",
    "claims.view": "see claims, masked",
    "claims.approve": "release a claim",
    "claims.correct": "hold a claim or bill it anew, release a charge or take it back",
    "money.post": "match payments to claims and write off what is owed",
    "accounts.view": "see patient accounts, masked",
    "remittances.view": "see remittances",
    "figures.view": "see figures and the reconciliation",
    "queues.view": "see work queues",
    "queues.work": "comment, assign and resolve work items",
    "patients.search": "find by name, record number or account",
    "patients.reveal": "see patient data, with a reason",
    "patients.break_glass": "see patient data in an emergency, which an auditor then reviews",
    "audit.view": "read the audit log",
    "audit.review": "review emergency access",
    "users.manage": "add and disable people",
    "tokens.own": "make API tokens for programs, with no more rights than one's own",
}

_MANAGES = "users.manage"
_BASE = frozenset({"status.view", "messages.view", "claims.view", "remittances.view", "queues.view"})

_BILLING = frozenset(
    {
        "accounts.view",
        "claims.approve",
        "claims.correct",
        "figures.view",
        "money.post",
        "queues.work",
        "patients.search",
    }
)

#: What each role may do. A person's permissions are those of all their roles.
ROLES: dict[str, frozenset[str]] = {
    "viewer": _BASE,
    "operator": _BASE
    | {"messages.replay", "channels.operate", "queues.work", "patients.search", "patients.reveal", "tokens.own"},
    "engineer": _BASE | {"messages.replay", "channels.operate", "patients.break_glass", "tokens.own"},
    "biller": _BASE | _BILLING | {"patients.reveal"},
    "manager": _BASE | _BILLING | {"patients.break_glass", "tokens.own"},
    "auditor": _BASE | {"audit.view", "audit.review", "figures.view", "patients.search"},
    "admin": frozenset({"status.view", "audit.view", "users.manage", "tokens.own"}),
}

_NAME = re.compile(r"[a-z][a-z0-9._-]{1,63}\Z")


class UserError(HubError):
    """An account cannot be made or changed as asked."""

    code = "H710"


@dataclass(frozen=True, slots=True)
class User:
    """A person's account, as signing in and the list of people need it."""

    name: str
    title: str
    password_hash: str
    roles: tuple[str, ...]
    disabled: bool
    must_change_password: bool
    locked_until_at: int
    channels: tuple[str, ...] = ()
    organisations: tuple[str, ...] = ()


def permissions_of(roles: tuple[str, ...]) -> frozenset[str]:
    """What somebody with *roles* may do. A role that is not known gives nothing."""
    return frozenset[str]().union(*(ROLES.get(role, frozenset()) for role in roles))


def find_user(connection: Connection, name: str) -> User | None:
    """The account called *name*, or None."""
    row = connection.execute(select(user_account).where(user_account.c.name == name)).first()
    return _user(row) if row else None


def list_users(connection: Connection) -> list[User]:
    """Every account, by name."""
    return [_user(row) for row in connection.execute(select(user_account).order_by(user_account.c.name))]


def _user(row: Any) -> User:
    return User(
        name=row.name,
        title=row.title,
        password_hash=row.password_hash,
        roles=tuple(row.roles.split()),
        disabled=row.disabled,
        must_change_password=row.must_change_password,
        locked_until_at=row.locked_until_at,
        channels=tuple(row.channels.split()),
        organisations=tuple(row.organisations.split()),
    )


def ensure_first_user(connection: Connection, *, must_change: bool = True) -> tuple[str, str] | None:
    """Make the account ``admin`` with every role when there is no account at all.

    Returns its name and password to be shown once. None when somebody exists already. *must_change* asks for
    an own password at the first sign-in.
    """
    if connection.execute(select(func.count()).select_from(user_account)).scalar_one():
        return None
    password = random_password()
    add(
        connection,
        {
            "actor": "hub",
            "name": "admin",
            "title": "First user",
            "password_hash": hash_password(password),
            "roles": [role for role in ROLES if role != "viewer"],
            "must_change": must_change,
        },
    )
    return "admin", password


def add(connection: Connection, args: dict[str, Any]) -> dict[str, Any]:
    """Add an account.

    *args*: actor, name, title, password_hash, roles (a list), must_change; channels and organisations (lists) narrow
    what the person sees, left out or empty they do not. Raises :class:`UserError`.
    """
    name, roles = str(args["name"]), list(args["roles"])
    if not _NAME.match(name):
        raise UserError(
            "This is not a user name.", expected="lower case letters, digits, point, hyphen; a letter first"
        )
    if not roles or set(roles) - ROLES.keys():
        raise UserError("A person needs at least one known role.", expected=", ".join(ROLES))
    if find_user(connection, name):
        raise UserError(
            "There is an account of that name.", fix="Accounts are disabled, never given to another person."
        )
    connection.execute(
        insert(user_account).values(
            name=name,
            title=str(args.get("title", "")),
            password_hash=args["password_hash"],
            roles=" ".join(roles),
            must_change_password=bool(args.get("must_change", True)),
            created_at=real_ms(),
            **_scope(args),
        )
    )
    audit.record(
        connection,
        actor=args["actor"],
        action="user add",
        object_type="user",
        object_id=name,
        detail={"roles": roles, **_scope(args)},
    )
    return {"name": name}


def change(connection: Connection, args: dict[str, Any]) -> dict[str, Any]:
    """Give an account other roles and another scope; its sessions end, so that nobody keeps what was taken.

    *args*: actor, name, roles, channels, organisations (lists).
    """
    name, roles = _existing(connection, args["name"]), list(args["roles"])
    if not roles or set(roles) - ROLES.keys():
        raise UserError("A person needs at least one known role.", expected=", ".join(ROLES))
    if _MANAGES not in permissions_of(tuple(roles)):
        _leave_one_who_manages(connection, name)
    connection.execute(
        update(user_account)
        .where(user_account.c.name == name)
        .values(roles=" ".join(roles), version=user_account.c.version + 1, **_scope(args))
    )
    connection.execute(delete(session).where(session.c.user_name == name))
    audit.record(
        connection,
        actor=args["actor"],
        action="user change",
        object_type="user",
        object_id=name,
        detail={"roles": roles, **_scope(args)},
    )
    return {"name": name}


def _scope(args: dict[str, Any]) -> dict[str, str]:
    return {part: " ".join(str(name) for name in args.get(part) or ()) for part in ("channels", "organisations")}


def set_password(connection: Connection, args: dict[str, Any]) -> dict[str, Any]:
    """Replace a password and end the account's sessions. *args*: actor, name, password_hash, must_change.

    *keep* (a session's digest in hex) is the session of the person who changes their own.
    """
    name = _existing(connection, args["name"])
    connection.execute(
        update(user_account)
        .where(user_account.c.name == name)
        .values(
            password_hash=args["password_hash"],
            must_change_password=bool(args.get("must_change", False)),
            failures=0,
            locked_until_at=0,
            version=user_account.c.version + 1,
        )
    )
    others = session.c.token_digest != bytes.fromhex(args.get("keep", ""))
    connection.execute(delete(session).where(session.c.user_name == name, others))
    audit.record(connection, actor=args["actor"], action="password change", object_type="user", object_id=name)
    return {"name": name}


def disable(connection: Connection, args: dict[str, Any]) -> dict[str, Any]:
    """Disable an account (or enable it, with disabled false) and end its sessions.

    *args*: actor, name, disabled.
    """
    name, disabled = _existing(connection, args["name"]), bool(args.get("disabled", True))
    if disabled:
        _leave_one_who_manages(connection, name)
    connection.execute(
        update(user_account)
        .where(user_account.c.name == name)
        .values(disabled=disabled, version=user_account.c.version + 1)
    )
    connection.execute(delete(session).where(session.c.user_name == name))
    action = "user disable" if disabled else "user enable"
    audit.record(connection, actor=args["actor"], action=action, object_type="user", object_id=name)
    return {"name": name}


def _leave_one_who_manages(connection: Connection, name: str) -> None:
    """Raise :class:`UserError` when nobody but *name* may manage people: nobody could undo what is done to them."""
    others = [each for each in list_users(connection) if each.name != name and not each.disabled]
    one = find_user(connection, name)
    manages = one is not None and not one.disabled and _MANAGES in permissions_of(one.roles)
    if manages and not any(_MANAGES in permissions_of(each.roles) for each in others):
        raise UserError("Nobody else may manage people.", fix="Give somebody else the role first.")


def _existing(connection: Connection, name: str) -> str:
    if find_user(connection, name) is None:
        raise UserError("There is no account of that name.", fix="List them with `hub user list`.")
    return name
