"""A backup: one tar file with the store of one instant, the site's files, and a manifest that says what must be in it.

The keys are not in it unless they are asked for: whoever has both can read every patient's record, whoever has one
can read nothing. Members: ``manifest.json``, ``store/hub.db`` or ``store/hub.pgdump``, ``site/...``, perhaps
``keys.json``. The store needs no compression, its contents are sealed. Before a backup gets its name it is read again
and checked.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from sqlalchemy import Engine, make_url

from hub import __version__
from hub.core.errors import HubError
from hub.core.files import sync_folder
from hub.core.vault import Vault, open_vault
from hub.site.load import Site
from hub.site.places import key_file, store_url
from hub.store.database import open_store, reading
from hub.store.schema import revision
from hub.store.snapshot import copy_sqlite, damage, dump_postgresql, open_samples, row_counts

FORMAT = 1
MANIFEST = "manifest.json"
DATABASE = "store/hub.db"
DUMP = "store/hub.pgdump"
KEYS = "keys.json"
SITE = "site/"
_FOLDERS = ("config", "channels", "transforms", "tests")
_BLOCK = 1 << 20


class BackupError(HubError):
    """A backup cannot be made, or a file is no whole backup."""

    code = "H134"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says of itself.

    *files* are the SHA-256 of every other member, *counts* the rows of each table (of SQLite), *opened* how many
    sealed values were opened to check the keys with the ids *key_ids*.
    """

    format: int
    version: str
    made_at: str
    site: str
    bundle: str
    schema: str
    store: str
    counts: dict[str, int]
    key_ids: list[int]
    opened: int
    files: dict[str, str]


def backup_name(now: datetime) -> str:
    """The name of a backup that is made into a folder."""
    return f"claimhub-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}.backup"


def make_backup(
    site: Site,
    target: Path,
    *,
    with_keys: bool = False,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> tuple[Path, Manifest]:
    """Back *site* up to the file *target*, or into it when it is a folder; the file and its manifest.

    The hub may run and be busy. Raises :class:`BackupError` (the file exists, or does not check), `SnapshotError` or
    `VaultError`. What was half written is removed.
    """
    now = datetime.now(UTC)
    file = target / backup_name(now) if target.is_dir() else target
    if file.exists():
        raise BackupError("A file of that name exists.", where=str(file), fix="Name another one.")
    file.parent.mkdir(parents=True, exist_ok=True)
    vault = open_vault(key_file(site))
    with tempfile.TemporaryDirectory(prefix=".backup-", dir=file.parent) as scratch:
        copy = Path(scratch) / "store"
        counts, schema, opened = _copy(store_url(site), copy, vault, progress)
        members = dict(_site_files(site.folder))
        members[DATABASE if counts else DUMP] = copy
        if with_keys:
            members[KEYS] = key_file(site)
        manifest = Manifest(
            format=FORMAT,
            version=__version__,
            made_at=now.isoformat(timespec="seconds"),
            site=site.settings.title if site.settings else "",
            bundle=site.bundle,
            schema=schema,
            store="sqlite" if counts else "postgresql",
            counts=counts,
            key_ids=vault.key_ids,
            opened=opened,
            files={name: _digest_of(path) for name, path in members.items()},
        )
        partial = Path(scratch) / "whole"
        _write(partial, manifest, members)
        read_manifest(partial, check=True)
        os.link(partial, file)  # unlike a rename it never replaces what came to be meanwhile
    sync_folder(file.parent)
    return file, manifest


def read_manifest(file: Path, *, check: bool = False) -> Manifest:
    """The manifest of the backup *file*; with *check* every member is read and compared with it.

    Raises :class:`BackupError` when it is no backup, of a later format, or not as it was written.
    """
    try:
        with tarfile.open(file, "r:") as archive:
            first = archive.next()
            if first is None or first.name != MANIFEST:
                raise BackupError("This file is no backup.", where=str(file))
            with closing(_member(archive, first)) as stream:
                plain = json.load(stream)
            if plain["format"] != FORMAT:
                raise BackupError(
                    "This backup was made by a later version.", where=str(file), fix=f"Use version {plain['version']}."
                )
            manifest = Manifest(**plain)
            if check:
                found = {
                    member.name: _digest(_member(archive, member)) for member in archive if member.name != MANIFEST
                }
                if found != manifest.files:
                    raise BackupError("This backup is not as it was written.", where=str(file), fix="Use another one.")
            return manifest
    except (tarfile.TarError, ValueError, KeyError, TypeError, OSError) as error:
        raise BackupError("This backup cannot be read.", where=str(file), found=type(error).__name__) from None


def unpack(file: Path, name: str, target: Path) -> None:
    """Write the member *name* of the backup *file* to *target*, readable by its owner alone."""
    with tarfile.open(file, "r:") as archive:
        stream = archive.extractfile(name)
        assert stream is not None
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as written, closing(stream):
            while block := stream.read(_BLOCK):
                written.write(block)
            written.flush()
            os.fsync(written.fileno())


def check_copy(store: Engine, vault: Vault) -> tuple[dict[str, int], str, int]:
    """Row counts, schema, and how many sealed values were opened. Raises :class:`BackupError` or `VaultError`."""
    found = damage(store)
    if found:
        raise BackupError("The copy of the store is damaged.", found=found[:200], fix="Is the disk sound? Try again.")
    with reading(store) as connection:
        return row_counts(connection), revision(connection) or "", open_samples(connection, vault)


def _copy(url: str, copy: Path, vault: Vault, progress: Callable[[int, int], None]) -> tuple[dict[str, int], str, int]:
    """Copy the store at *url* to the file *copy* and check it; no counts for a dump, which only its server can read."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        copy_sqlite(Path(parsed.database or ""), copy, progress)
        copied = open_store(f"sqlite:///{copy}")
        try:
            return check_copy(copied, vault)
        finally:
            copied.dispose()
    store = open_store(url)
    try:
        with reading(store) as connection:
            schema, opened = revision(connection) or "", open_samples(connection, vault)
    finally:
        store.dispose()
    dump_postgresql(url, copy)
    return {}, schema, opened


def _site_files(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(path for part in _FOLDERS for path in (folder / part).rglob("*")):
        if path.is_file() and not path.is_symlink() and "__pycache__" not in path.parts:
            yield SITE + path.relative_to(folder).as_posix(), path


def _write(target: Path, manifest: Manifest, members: dict[str, Path]) -> None:
    head = json.dumps(asdict(manifest), indent=1).encode()
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        with tarfile.open(fileobj=file, mode="w:", format=tarfile.PAX_FORMAT) as archive:
            _add(archive, MANIFEST, io.BytesIO(head), len(head))
            for name, path in members.items():
                with path.open("rb") as content:
                    _add(archive, name, content, os.fstat(content.fileno()).st_size)
        file.flush()
        os.fsync(file.fileno())


def _add(archive: tarfile.TarFile, name: str, content: IO[bytes], size: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = size, 0o600, int(datetime.now(UTC).timestamp())
    archive.addfile(entry, content)


def _member(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    stream = archive.extractfile(member)
    if stream is None:
        raise tarfile.TarError("not a file")
    return stream


def _digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(stream: IO[bytes]) -> str:
    with closing(stream):
        return hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]
