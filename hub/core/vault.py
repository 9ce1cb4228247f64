"""Encryption at rest: AES-GCM with a key id in every row, and keyed digests for what must be searched.

A sealed value is ``key id (2 bytes) · flags (1) · nonce (12) · ciphertext and tag``. The context (what the
value is, for example ``content`` or ``patient.body``) is authenticated, so that a value cannot be moved to
another column. Source: NIST SP 800-38D.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
import zlib
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from hub.core.errors import HubError
from hub.core.files import replace_privately

_COMPRESSED = 1
_HEADER = 3
_NONCE = 12
_AHEAD = 128
_WORTH_COMPRESSING = 1024
"""Bytes. Below, compressing costs far more time than the few bytes it saves are worth."""


class VaultError(HubError):
    """A sealed value cannot be opened, or the key file cannot be read."""

    code = "H120"


class Vault:
    """Seals with the newest key and opens with the key that a value names.

    *keys* maps key ids (1 to 65,535) to 32 random bytes; *index_key* (32 bytes) makes blind indexes and never
    rotates, because they could not be searched any more. *file* is read again when a value names a key that is not
    known yet: another process of the site has begun to use it.
    """

    def __init__(self, keys: dict[int, bytes], index_key: bytes, file: Path | None = None) -> None:
        self._index_key = index_key
        self._inner, self._outer = (_padded(index_key, byte) for byte in (0x36, 0x5C))
        self._nonces: list[bytes] = []
        self._file = file
        self._use(keys)

    def _use(self, keys: dict[int, bytes]) -> None:
        self._ciphers = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self._newest = max(keys)

    def __repr__(self) -> str:
        return f"<Vault with {len(self._ciphers)} keys>"

    @property
    def key_id(self) -> int:
        """The id of the key that new values are sealed with."""
        return self._newest

    @property
    def key_ids(self) -> list[int]:
        """The ids of all keys, ascending."""
        return sorted(self._ciphers)

    def refresh(self) -> None:
        """Take up keys that were added to the key file since. Raises :class:`VaultError` when it cannot be read."""
        if self._file is not None:
            keys, _ = _read_keys(self._file)
            self._use(keys)

    def seal(self, plain: bytes, context: str) -> bytes:
        """*plain*, compressed where that helps, encrypted for *context*."""
        flags, body = 0, plain
        if len(plain) >= _WORTH_COMPRESSING:
            squeezed = zlib.compress(plain, 1)
            if len(squeezed) < len(plain):
                flags, body = _COMPRESSED, squeezed
        key_id = self._newest
        header = key_id.to_bytes(2, "big") + bytes([flags])
        nonce = self._nonce()
        sealed = self._ciphers[key_id].encrypt(nonce, body, header + context.encode())
        return header + nonce + sealed

    def _nonce(self) -> bytes:
        """Random bytes that nobody has had, drawn ahead: a call of the system lets go of the interpreter."""
        while True:
            try:
                return self._nonces.pop()
            except IndexError:
                drawn = os.urandom(_NONCE * _AHEAD)
                self._nonces += [drawn[at : at + _NONCE] for at in range(0, len(drawn), _NONCE)]

    def open(self, sealed: bytes, context: str) -> bytes:
        """What :meth:`seal` was given. Raises :class:`VaultError` for another context, an unknown key or damage."""
        header, nonce = sealed[:_HEADER], sealed[_HEADER : _HEADER + _NONCE]
        key_id = int.from_bytes(header[:2], "big")
        if key_id not in self._ciphers:
            self.refresh()
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise VaultError(
                "This value was sealed with a key that the key file does not hold.",
                where=context,
                fix="Restore the key file that belongs to this store.",
            )
        try:
            body = cipher.decrypt(nonce, sealed[_HEADER + _NONCE :], header + context.encode())
        except (InvalidTag, ValueError):  # ValueError: too short for its nonce
            raise VaultError("This sealed value was altered or belongs elsewhere.", where=context) from None
        return zlib.decompress(body) if header[2] & _COMPRESSED else body

    def seal_json(self, value: Any, context: str) -> bytes:
        """*value* as compact JSON, sealed."""
        return self.seal(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode(), context)

    def open_json(self, sealed: bytes, context: str) -> Any:
        """The value that :meth:`seal_json` was given."""
        return json.loads(self.open(sealed, context))

    def digest(self, kind: str, value: str) -> bytes:
        """The blind index of *value*: 16 bytes that only this site can compute and that tell nothing else.

        *kind* (``mrn``, ``account``, ``name``) keeps equal texts of different kinds apart. Letters are folded and
        surrounding space is dropped, so that a search finds what a person types.
        """
        text = f"{kind}\0{value.strip().casefold()}".encode()
        # HMAC-SHA-256 (RFC 2104), with the key worked in once: a third of the time of the library's own.
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(text)
        outer.update(inner.digest())
        return outer.digest()[:16]

    def signing_key(self, purpose: str) -> Ed25519PrivateKey:
        """The site's key for signing *purpose*: derived, so it needs no file of its own and never changes."""
        seed = HKDF(hashes.SHA256(), 32, salt=None, info=f"signing {purpose}".encode()).derive(self._index_key)
        return Ed25519PrivateKey.from_private_bytes(seed)


def _padded(key: bytes, byte: int) -> hashlib._Hash:
    """SHA-256 after the first block of one side of an HMAC with *key*."""
    return hashlib.sha256(bytes(byte ^ one for one in key.ljust(64, b"\0")))


def create_key_file(path: Path) -> None:
    """Write a key file with one new key, readable by its owner alone.

    Raises `FileExistsError` rather than replace one.
    """
    document = {
        "keys": {"1": base64.b64encode(secrets.token_bytes(32)).decode()},
        "index": base64.b64encode(secrets.token_bytes(32)).decode(),
    }
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(document, file, indent=1)
        file.flush()
        os.fsync(file.fileno())


def open_vault(path: Path) -> Vault:
    """The vault whose keys the file at *path* holds. Raises :class:`VaultError` when it is absent or damaged."""
    return Vault(*_read_keys(path), path)


def add_key(path: Path) -> int:
    """Add a new key to the key file at *path*, all at once; its id. New values are sealed with it from then on."""
    keys, _ = _read_keys(path)
    key_id = max(keys) + 1
    document = json.loads(path.read_text())
    document["keys"][str(key_id)] = base64.b64encode(secrets.token_bytes(32)).decode()
    replace_privately(path, json.dumps(document, indent=1).encode())
    return key_id


def _read_keys(path: Path) -> tuple[dict[int, bytes], bytes]:
    try:
        document = json.loads(path.read_text())
        keys = {int(key_id): base64.b64decode(key) for key_id, key in document["keys"].items()}
        return keys, base64.b64decode(document["index"])
    except FileNotFoundError:
        raise VaultError(
            "The key file is missing; without it nothing in the store can be read.",
            where=str(path),
            fix="Restore it from the backup, or run `hub init` for a new site.",
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise VaultError("The key file is damaged.", where=str(path), fix="Restore it from the backup.") from None
