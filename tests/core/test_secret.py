"""Secrets: named in files, found when needed, printed nowhere."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import pytest

from hub.core.sealed_secrets import SealedSecretError, SealedSecrets
from hub.core.secret import SecretMissingError, SecretName, Secrets, sealed_secrets, site_secrets
from hub.core.vault import VaultError, add_key, create_key_file

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


@pytest.fixture
def sealed(folder: Path) -> SealedSecrets:
    create_key_file(folder.parent / "keys.json")
    return sealed_secrets(folder.parent)


def test_a_sealed_secret_is_found_last_and_its_file_does_not_show_it(folder: Path, sealed: SealedSecrets) -> None:
    sealed.put("token", VALUE, "2026-11-30T19:00:00+00:00", date(2027, 2, 1))
    secrets, name = site_secrets(folder.parent), SecretName("token")
    assert secrets.value(name) == VALUE
    assert secrets.place(name).endswith("secrets.json (encrypted)")
    assert VALUE not in sealed.file.read_text()
    assert sealed.file.stat().st_mode & 0o077 == 0
    (folder / "token").write_text("from the file")
    assert secrets.value(name) == "from the file"


def test_a_sealed_secret_cannot_be_moved_to_another_name(sealed: SealedSecrets) -> None:
    sealed.put("token", VALUE, "now", None)
    sealed.file.write_text(sealed.file.read_text().replace('"token"', '"other"'))
    with pytest.raises(VaultError, match="altered or belongs elsewhere"):
        sealed.value("other")


def test_sealed_secrets_follow_the_keys(folder: Path, sealed: SealedSecrets) -> None:
    sealed.put("token", VALUE, "now", None)
    assert add_key(folder.parent / "keys.json") == 2
    assert (sealed.key_ids(), sealed.reseal(), sealed.key_ids()) == ([1], 1, [2])
    assert (sealed.value("token"), sealed.reseal()) == (VALUE, 0)


def test_two_who_set_secrets_at_once_lose_none(sealed: SealedSecrets) -> None:
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: sealed.put(f"token_{number}", VALUE, "now", None), range(24)))
    assert len(sealed.entries()) == 24


def test_a_damaged_file_of_sealed_secrets_says_so_and_how_to_go_on(folder: Path, sealed: SealedSecrets) -> None:
    sealed.file.write_text("{")
    with pytest.raises(SealedSecretError, match="damaged"):
        site_secrets(folder.parent).value(SecretName("token"))
