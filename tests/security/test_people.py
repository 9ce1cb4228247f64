from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, select, update

from hub.core.clock import real_ms
from hub.security import sessions, users
from hub.security.passwords import hash_password, objection, random_password, verify_password
from hub.security.writes import WRITES
from hub.store import tables
from hub.store.database import open_store

HASH = hash_password("correct horse battery")


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    store = open_store(f"sqlite:///{tmp_path / 'hub.db'}")
    tables.metadata.create_all(store)
    with store.connect() as connection, connection.begin():
        users.add(connection, {"actor": "hub", "name": "osei", "password_hash": HASH, "roles": ["operator"]})
        yield connection
    store.dispose()


def opened(connection: Connection, user: str = "osei") -> str:
    token = sessions.new_token()
    args = {"user": user, "token_digest": sessions.token_digest(token).hex(), "csrf_token": "c"}
    sessions.open_session(connection, args)
    return token


def test_a_password_verifies_only_against_its_own_hash() -> None:
    assert verify_password(HASH, "correct horse battery")
    assert not verify_password(HASH, "correct horse batterz")
    assert not verify_password(None, "correct horse battery")
    assert not verify_password("not a hash", "correct horse battery")


def test_short_and_monotonous_passwords_and_those_with_the_name_are_refused() -> None:
    assert objection("short", "osei")
    assert objection("aaaaaaaaaaaaaaaa", "osei")
    assert objection("i-am-Osei-hello", "osei")
    assert objection(random_password(), "osei") is None


def test_the_store_keeps_a_digest_of_the_token_and_never_the_token(connection: Connection) -> None:
    token = opened(connection)
    kept = connection.execute(select(tables.session)).one()
    assert token.encode() not in kept.token_digest
    assert sessions.find_session(connection, token) is not None
    assert sessions.find_session(connection, token + "x") is None


def test_a_session_ends_after_fifteen_idle_minutes_and_after_twelve_hours_in_any_case(connection: Connection) -> None:
    token, now = opened(connection), real_ms()
    assert sessions.find_session(connection, token, now + sessions.IDLE_MS - 2_000) is not None
    assert sessions.find_session(connection, token, now + sessions.IDLE_MS + 2_000) is None
    connection.execute(update(tables.session).values(seen_at=now + sessions.ABSOLUTE_MS))
    assert sessions.find_session(connection, token, now + sessions.ABSOLUTE_MS + 2_000) is None


def test_touching_never_wakes_a_session_that_has_ended(connection: Connection) -> None:
    token = opened(connection)
    connection.execute(update(tables.session).values(seen_at=real_ms() - sessions.IDLE_MS - 1))
    assert sessions.touch(connection, {"token_digest": sessions.token_digest(token).hex()}) == {"alive": False}


def test_five_failures_lock_the_account_and_a_good_sign_in_starts_the_count_anew(connection: Connection) -> None:
    for _ in range(sessions.LOCK_AFTER - 1):
        assert sessions.login_failed(connection, {"user": "osei"}) == {"locked": False}
    opened(connection)
    for _ in range(sessions.LOCK_AFTER - 1):
        sessions.login_failed(connection, {"user": "osei"})
    assert sessions.login_failed(connection, {"user": "osei"}) == {"locked": True}
    with pytest.raises(sessions.SessionRefused):
        opened(connection)


def test_a_failed_sign_in_under_an_unknown_name_does_not_keep_what_was_typed(connection: Connection) -> None:
    sessions.login_failed(connection, {"user": "my-password-by-mistake"})
    kept = connection.execute(select(tables.audit)).all()
    assert "my-password-by-mistake" not in repr(kept)
    assert kept[-1].action == "login failed"


def test_disabling_an_account_ends_its_sessions_at_once(connection: Connection) -> None:
    token = opened(connection)
    users.disable(connection, {"actor": "admin", "name": "osei", "disabled": True})
    assert sessions.find_session(connection, token) is None
    with pytest.raises(sessions.SessionRefused):
        opened(connection)


def test_the_last_person_who_may_manage_people_stays_able_to(connection: Connection) -> None:
    users.add(connection, {"actor": "hub", "name": "mendez", "password_hash": HASH, "roles": ["admin"]})
    users.add(connection, {"actor": "hub", "name": "ito", "password_hash": HASH, "roles": ["admin", "biller"]})
    users.disable(connection, {"actor": "mendez", "name": "ito", "disabled": True})
    with pytest.raises(users.UserError, match="Nobody else may manage people"):
        users.disable(connection, {"actor": "mendez", "name": "mendez", "disabled": True})
    with pytest.raises(users.UserError, match="Nobody else may manage people"):
        users.change(connection, {"actor": "mendez", "name": "mendez", "roles": ["viewer"]})
    users.disable(connection, {"actor": "mendez", "name": "osei", "disabled": True})
    users.disable(connection, {"actor": "mendez", "name": "ito", "disabled": False})
    users.change(connection, {"actor": "mendez", "name": "mendez", "roles": ["viewer"]})


def test_changing_a_password_ends_every_other_session(connection: Connection) -> None:
    kept, lost = opened(connection), opened(connection)
    args = {"actor": "osei", "name": "osei", "password_hash": HASH, "keep": sessions.token_digest(kept).hex()}
    users.set_password(connection, args)
    assert sessions.find_session(connection, kept) is not None
    assert sessions.find_session(connection, lost) is None


def test_revealing_needs_a_reason_lasts_a_quarter_of_an_hour_and_is_recorded(connection: Connection) -> None:
    token = opened(connection)
    digest = sessions.token_digest(token).hex()
    with pytest.raises(sessions.SessionRefused):
        sessions.reveal(connection, {"token_digest": digest, "reason": "why not"})
    sessions.reveal(connection, {"token_digest": digest, "reason": "patient on the phone"})
    found = sessions.find_session(connection, token)
    assert found is not None
    assert 0 < found.revealed_until_at - real_ms() <= sessions.REVEAL_MS
    sessions.hide(connection, {"token_digest": digest})
    hidden = sessions.find_session(connection, token)
    assert hidden is not None
    assert hidden.revealed_until_at == 0
    actions = list(connection.scalars(select(tables.audit.c.action).order_by(tables.audit.c.sequence)))
    assert actions[-2:] == ["reveal", "hide"]


def test_the_first_user_is_made_once_and_only_on_an_empty_table(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'first.db'}")
    tables.metadata.create_all(store)
    with store.connect() as connection, connection.begin():
        made = users.ensure_first_user(connection)
        assert made is not None
        user = users.find_user(connection, made[0])
        assert user is not None
        assert user.must_change_password
        assert verify_password(user.password_hash, made[1])
        assert users.ensure_first_user(connection) is None
    store.dispose()


def test_names_and_roles_that_are_not_known_are_refused(connection: Connection) -> None:
    for name, roles in (
        ("Osei", ["operator"]),
        ("x", ["operator"]),
        ("brandt", ["emperor"]),
        ("brandt", []),
        ("osei", ["biller"]),
    ):
        with pytest.raises(users.UserError):
            users.add(connection, {"actor": "admin", "name": name, "password_hash": HASH, "roles": roles})


def test_every_permission_of_a_role_is_declared_and_administrators_see_no_patient() -> None:
    granted = frozenset[str]().union(*users.ROLES.values())
    assert granted == users.PERMISSIONS.keys()
    for role in ("admin", "engineer", "viewer"):
        assert not users.ROLES[role] & {"patients.reveal", "patients.search"}
    assert "patients.reveal" not in users.ROLES["auditor"]  # who asks who saw a patient must find the patient


def test_the_journal_knows_every_small_write_by_name() -> None:
    assert WRITES.keys() == {
        "session_open", "session_touch", "session_close", "login_failed", "reveal", "hide", "audit", "user_add",
        "user_password", "user_disable", "user_change", "token_add", "token_touch", "token_revoke", "alert_own",
        "alert_snooze", "alert_note",
    }  # fmt: skip
