from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest

from hub.cli.main import main
from hub.security.passwords import verify_password
from hub.security.users import User, find_user
from hub.store.database import reading
from tests.cli.at_work import Kept, engine_that_answers


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path / "site")


def account(kept: Kept, name: str) -> User | None:
    with reading(kept.store) as connection:
        return find_user(connection, name)


def test_a_made_password_is_printed_once_and_must_be_changed(kept: Kept, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["user", "--site", str(kept.folder), "add", "p.halvorsen", "--roles", "biller,viewer"]
    assert main([*words, "--title", "Pia Halvorsen"]) == 0
    printed = re.search(r"shown this once: (\S+)", capsys.readouterr().out)
    user = account(kept, "p.halvorsen")
    assert printed is not None
    assert user is not None
    assert verify_password(user.password_hash, printed[1])
    assert user.must_change_password
    assert user.roles == ("biller", "viewer")
    assert main(["user", "--site", str(kept.folder), "list"]) == 0
    assert printed[1] not in capsys.readouterr().out


def test_a_chosen_password_is_read_and_judged(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["user", "--site", str(kept.folder), "password", "admin", "--password-stdin"]
    monkeypatch.setattr("sys.stdin", io.StringIO("short\n"))
    assert main(words) == 2
    monkeypatch.setattr("sys.stdin", io.StringIO("four words make sense\n"))
    assert main(words) == 0
    user = account(kept, "admin")
    assert user is not None
    assert verify_password(user.password_hash, "four words make sense")
    assert not user.must_change_password


def test_an_account_is_disabled_enabled_and_audited(kept: Kept) -> None:
    assert main(["user", "--site", str(kept.folder), "add", "p.halvorsen", "--roles", "viewer"]) == 0
    for action, disabled in (("disable", True), ("enable", False)):
        assert main(["user", "--site", str(kept.folder), action, "p.halvorsen"]) == 0
        user = account(kept, "p.halvorsen")
        assert user is not None
        assert user.disabled is disabled
    assert [record["action"] for record in kept.audited()] == ["user add", "user disable", "user enable"]


def test_the_last_account_that_may_manage_people_stays(kept: Kept, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["user", "--site", str(kept.folder), "disable", "admin"]) == 1
    assert "Nobody else may manage people" in capsys.readouterr().err
    user = account(kept, "admin")
    assert user is not None
    assert not user.disabled


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("add", "admin", "--roles", "viewer"), "There is an account of that name"),
        (("password", "nobody"), "There is no account of that name"),
        (("disable", "nobody"), "There is no account of that name"),
        (("add", "p.new", "--roles", "emperor"), "A person needs at least one known role"),
        (("add", "P New", "--roles", "viewer"), "This is not a user name"),
        (("disable",), "Whose account?"),
    ],
)
def test_what_cannot_be_is_a_sentence(
    kept: Kept, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], sentence: str
) -> None:
    assert main(["user", "--site", str(kept.folder), *words]) in {1, 2}
    assert sentence in capsys.readouterr().err


def test_a_running_engine_does_the_writing(kept: Kept, capsys: pytest.CaptureFixture[str]) -> None:
    with engine_that_answers(kept.folder, {"ok": True, "name": "i.duarte"}) as requests:
        assert main(["user", "--site", str(kept.folder), "--json", "add", "i.duarte", "--roles", "auditor"]) == 0
    (request,) = requests
    password = json.loads(capsys.readouterr().out)["password"]
    assert (request["command"], request["args"]["name"]) == ("write", "user_add")
    assert verify_password(request["args"]["args"]["password_hash"], password)
    assert password not in json.dumps(request)
    assert account(kept, "i.duarte") is None
