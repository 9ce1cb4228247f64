"""Secrets: named in files, found when needed, printed nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from hub.core.secret import SecretMissingError, SecretName, Secrets, site_secrets

VALUE = "correct-horse-battery"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "var" / "secrets"
    made.mkdir(parents=True)
    return made


def test_a_secret_is_read_from_the_sites_folder_without_its_line_end(folder: Path) -> None:
    (folder / "clearway_key").write_text(VALUE + "\n")
    assert site_secrets(folder.parent).value(SecretName("clearway_key")) == VALUE


def test_a_rotated_secret_is_seen_at_the_next_look(folder: Path) -> None:
    secrets = Secrets((folder,))
    (folder / "token").write_text("first")
    assert secrets.value(SecretName("token")) == "first"
    (folder / "token").write_text("second")
    assert secrets.value(SecretName("token")) == "second"


def test_the_environment_is_the_last_place(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_SECRET_TOKEN", "from the environment")
    secrets = Secrets((folder,))
    assert secrets.value(SecretName("token")) == "from the environment"
    (folder / "token").write_text("from the file")
    assert secrets.value(SecretName("token")) == "from the file"


def test_credentials_of_the_service_manager_come_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    credentials = folder.parents[1] / "credentials"
    credentials.mkdir()
    (credentials / "token").write_text("managed")
    (folder / "token").write_text("own")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    assert site_secrets(folder.parent).value(SecretName("token")) == "managed"


def test_a_missing_secret_is_named_with_the_places_where_it_was_looked_for(folder: Path) -> None:
    secrets = Secrets((folder,))
    assert not secrets.is_set(SecretName("token"))
    with pytest.raises(SecretMissingError) as caught:
        secrets.value(SecretName("token"))
    assert str(folder) in str(caught.value)
    assert "HUB_SECRET_TOKEN" in str(caught.value)


@pytest.mark.parametrize("name", ["", "Token", "../token", "a/b", "1st", "a b", "token\n", "a" * 65])
def test_a_name_cannot_lead_out_of_the_folder(name: str) -> None:
    with pytest.raises(ValueError, match="secret's name"):
        SecretName(name)


def test_no_object_prints_the_value(folder: Path) -> None:
    (folder / "token").write_text(VALUE)
    secrets, name = Secrets((folder,)), SecretName("token")
    assert secrets.value(name) == VALUE
    for thing in (secrets, name, (secrets, name)):
        assert VALUE not in repr(thing)
        assert VALUE not in str(thing)
