"""Secrets in a file of the site's own, ``var/secrets.json``, each sealed with the keys that the store is sealed with.

For a machine that has neither a service manager's credentials nor a mounted folder. The file alone opens nothing; names
and the days on which secrets end stand in it in clear. Source: NIST SP 800-38D (AES-GCM, see :mod:`hub.core.vault`).
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from hub.core.errors import HubError
from hub.core.files import replace_privately
from hub.core.vault import open_vault

FILE = "secrets.json"
LONGEST = 64 * 1024


class SealedSecretError(HubError):
    """The file of sealed secrets cannot be read, or a secret cannot be kept as asked."""

    code = "H311"


@dataclass(frozen=True, slots=True)
class SealedSecret:
    """What may be told of a sealed secret: when it was set (ISO text), and when it ends, if that is known."""

    name: str
    set_at: str
    ends: date | None


class SealedSecrets:
    """The sealed secrets in *folder* (the site's ``var/``), with the keys in *key_file*. Every look reads the file."""

    def __init__(self, folder: Path, key_file: Path) -> None:
        self.file = folder / FILE
        self._key_file = key_file

    def __repr__(self) -> str:
        return f"<SealedSecrets in {self.file}>"

    def value(self, name: str) -> str | None:
        """The secret's text, or None. Raises `VaultError` and :class:`SealedSecretError`."""
        entry = self._read().get(name)
        if entry is None:
            return None
        return open_vault(self._key_file).open(base64.b64decode(entry["sealed"]), _context(name)).decode()

    def entries(self) -> list[SealedSecret]:
        """What there is, by name. Raises :class:`SealedSecretError`."""
        return [
            SealedSecret(name, entry["set_at"], date.fromisoformat(entry["ends"]) if entry["ends"] else None)
            for name, entry in sorted(self._read().items())
        ]

    def put(self, name: str, value: str, set_at: str, ends: date | None) -> None:
        """Keep *value* under *name*, in place of an earlier one. Raises `VaultError` and :class:`SealedSecretError`."""
        if not value or len(value) > LONGEST:
            raise SealedSecretError(
                "A secret is neither empty nor longer than 64 KB.", found=f"{len(value)} characters"
            )
        sealed = open_vault(self._key_file).seal(value.encode(), _context(name))
        with self._changing() as entries:
            entries[name] = _entry(sealed, set_at, ends.isoformat() if ends else "")

    def remove(self, name: str) -> bool:
        """Forget *name*; whether it was there. Raises :class:`SealedSecretError`."""
        with self._changing() as entries:
            return entries.pop(name, None) is not None

    def reseal(self) -> int:
        """Seal with the newest key what older ones have sealed; how many. Raises what :meth:`put` does."""
        vault, count = open_vault(self._key_file), 0
        if not self._read():
            return 0
        with self._changing() as entries:
            for name, entry in entries.items():
                sealed = base64.b64decode(entry["sealed"])
                if _key_id(sealed) != vault.key_id:
                    plain = vault.open(sealed, _context(name))
                    entries[name] = _entry(vault.seal(plain, _context(name)), entry["set_at"], entry["ends"])
                    count += 1
        return count

    def key_ids(self) -> list[int]:
        """The id of the key that each is sealed with. Raises :class:`SealedSecretError`."""
        return [_key_id(base64.b64decode(entry["sealed"])) for entry in self._read().values()]

    def _read(self) -> dict[str, Any]:
        try:
            found = json.loads(self.file.read_text())
            return {str(name): dict(entry) for name, entry in found["secrets"].items()}
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError, AttributeError):
            fix = "Restore it, or delete it and set its secrets anew with `hub secrets set`."
            raise SealedSecretError("The file of sealed secrets is damaged.", where=str(self.file), fix=fix) from None

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Any]]:
        """The entries to change; two who change them at once do so one after the other."""
        self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self.file.parent, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            entries = self._read()
            yield entries
            replace_privately(self.file, json.dumps({"secrets": entries}, indent=1).encode())
        finally:
            os.close(descriptor)


def _entry(sealed: bytes, set_at: str, ends: str) -> dict[str, str]:
    return {"sealed": base64.b64encode(sealed).decode(), "set_at": set_at, "ends": ends}


def _context(name: str) -> str:
    return f"secret.{name}"


def _key_id(sealed: bytes) -> int:
    return int.from_bytes(sealed[:2], "big")
