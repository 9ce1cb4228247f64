"""The vault: what is sealed opens only whole, only in its place, and with the key it names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.core.vault import Vault, VaultError, create_key_file, open_vault

OLD = {1: b"o" * 32}
BOTH = {1: b"o" * 32, 2: b"n" * 32}
INDEX = b"i" * 32


@pytest.fixture
def vault() -> Vault:
    return Vault(OLD, INDEX)


@given(st.binary(max_size=4096))
def test_what_is_sealed_comes_back(plain: bytes) -> None:
    vault = Vault(OLD, INDEX)
    assert vault.open(vault.seal(plain, "content"), "content") == plain


def test_json_comes_back_with_its_letters(vault: Vault) -> None:
    value = {"family": "Núñez", "notes": ["a", 1, None, True]}
    assert vault.open_json(vault.seal_json(value, "patient.body"), "patient.body") == value


@given(st.data())
def test_a_single_changed_bit_is_noticed(data: st.DataObject) -> None:
    vault = Vault(OLD, INDEX)
    sealed = bytearray(vault.seal(b"QUIGLEY^NORA" * 20, "content"))
    place = data.draw(st.integers(0, len(sealed) - 1))
    sealed[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(VaultError):
        vault.open(bytes(sealed), "content")


@pytest.mark.parametrize("length", [0, 1, 3, 14, 15, 20])
def test_a_value_that_was_cut_short_is_noticed(vault: Vault, length: int) -> None:
    sealed = vault.seal(b"short", "content")
    with pytest.raises(VaultError):
        vault.open(sealed[:length], "content")


def test_a_value_cannot_be_moved_to_another_column(vault: Vault) -> None:
    sealed = vault.seal(b"A", "patient.body")
    with pytest.raises(VaultError, match=r"belongs elsewhere \(at claim\.body"):
        vault.open(sealed, "claim.body")


def test_the_same_text_is_never_sealed_to_the_same_bytes(vault: Vault) -> None:
    assert vault.seal(b"A", "content") != vault.seal(b"A", "content")


def test_nothing_of_the_text_is_readable(vault: Vault) -> None:
    assert b"QUIGLEY" not in vault.seal(b"QUIGLEY" * 100, "content")


def test_after_a_rotation_old_values_open_and_new_ones_carry_the_new_key(vault: Vault) -> None:
    before = vault.seal(b"old", "content")
    rotated = Vault(BOTH, INDEX)
    after = rotated.seal(b"new", "content")

    assert rotated.key_id == 2
    assert rotated.open(before, "content") == b"old"
    assert int.from_bytes(before[:2], "big") == 1
    assert int.from_bytes(after[:2], "big") == 2
    with pytest.raises(VaultError, match="key file does not hold"):
        vault.open(after, "content")


def test_a_blind_index_survives_a_rotation_and_folds_what_people_type(vault: Vault) -> None:
    assert Vault(BOTH, INDEX).digest("name", "  Quigley ") == vault.digest("name", "QUIGLEY")


def test_equal_texts_of_different_kinds_have_different_indexes(vault: Vault) -> None:
    assert vault.digest("mrn", "4711") != vault.digest("account", "4711")
    assert vault.digest("a", "b\0c") != vault.digest("a", "bc")


def test_an_index_is_worth_nothing_without_its_key(vault: Vault) -> None:
    assert Vault(OLD, b"j" * 32).digest("mrn", "4711") != vault.digest("mrn", "4711")


def test_a_printed_vault_shows_no_key(vault: Vault) -> None:
    assert repr(vault) == "<Vault with 1 keys>"


def test_a_new_key_file_opens_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "hub.key"
    create_key_file(path)
    sealed = open_vault(path).seal(b"A", "content")

    assert open_vault(path).open(sealed, "content") == b"A"
    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0


def test_a_key_file_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "hub.key"
    create_key_file(path)
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        create_key_file(path)
    assert path.read_bytes() == before


def test_a_missing_key_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(VaultError, match="Restore it from the backup"):
        open_vault(tmp_path / "absent.key")


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"keys": {"one": "AAAA"}, "index": "AAAA"}', '{"keys": 3}'])
def test_a_damaged_key_file_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "hub.key"
    path.write_text(text)
    with pytest.raises(VaultError) as caught:
        open_vault(path)
    assert caught.value.where == os.fspath(path)
