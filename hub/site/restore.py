"""Putting a backup back: nothing is replaced before the backup was checked with its keys, and nothing is thrown away.

What happened between the backup and the loss is not known here, but partners know it. So control numbers jump ahead,
deliveries that waited count as perhaps sent, and destinations that cannot recognise a repeat stay paused until a
person has compared with the partner.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from sqlalchemy import Engine, make_url

from hub.core.errors import HubError
from hub.core.files import replace_privately, sync_folder
from hub.core.vault import Vault, open_vault
from hub.security import audit
from hub.site.backup import DATABASE, DUMP, KEYS, SITE, BackupError, Manifest, check_copy, read_manifest, unpack
from hub.site.load import Site, load_site
from hub.site.lock import lock_site
from hub.site.places import key_file, store_url
from hub.store.database import open_store, reading
from hub.store.schema import revision, upgrade
from hub.store.snapshot import is_empty, jump_ahead, load_postgresql, mark_in_flight, open_samples, pause

_BILLING = "billing"


class RestoreError(HubError):
    """A backup cannot be put back as asked. Nothing was changed."""

    code = "H135"


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did. *aside* is where the store that was there before stands now, None when there was none."""

    manifest: Manifest
    site_files: int
    aside: Path | None
    margin: int
    counters: int
    in_flight: int
    paused: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Job:
    """One restore: the backup, the site it goes to, the keys that open it, a folder for what is not yet in place."""

    file: Path
    manifest: Manifest
    site: Site
    site_files: int
    keys: Path
    vault: Vault
    scratch: Path
    actor: str


def restore(file: Path, folder: Path, *, keys: Path | None = None, force: bool = False, actor: str) -> Restored:
    """Put the backup *file* back into the site at *folder*, which may be absent.

    *keys* is its key file where that was kept elsewhere. A site that is there keeps its files; an absent one gets
    those of the backup. With *force* a store that holds something is moved aside. Raises :class:`RestoreError`,
    `BackupError`, `VaultError` or `AlreadyRunningError`; then no store or key was replaced.
    """
    manifest = read_manifest(file, check=True)
    is_site = (folder / "config" / "hub.toml").is_file()
    if not is_site and folder.exists() and any(folder.iterdir()):
        raise RestoreError("This folder is no site, and not empty.", where=str(folder), fix="Name another one.")
    with lock_site(folder), tempfile.TemporaryDirectory(prefix=".restore-", dir=folder / "var") as scratch:
        site_files = 0 if is_site else _unpack_site(file, manifest, folder)
        site = load_site(folder).require_sound()
        key = _keys(file, manifest, site, keys, Path(scratch))
        job = _Job(file, manifest, site, site_files, key, open_vault(key), Path(scratch), actor)
        restored = _restore_file(job, force=force) if manifest.store == "sqlite" else _restore_server(job)
        if key != key_file(site):
            replace_privately(key_file(site), key.read_bytes())
        return restored


def _unpack_site(file: Path, manifest: Manifest, folder: Path) -> int:
    names = [name for name in manifest.files if name.startswith(SITE)]
    for name in names:
        relative = PurePosixPath(name.removeprefix(SITE))
        if relative.is_absolute() or ".." in relative.parts:
            raise BackupError("This backup names a file outside its site.", where=str(file))
        target = folder / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        unpack(file, name, target)
        target.chmod(0o644)
    return len(names)


def _keys(file: Path, manifest: Manifest, site: Site, given: Path | None, scratch: Path) -> Path:
    """The key file to use: the one that was given, the backup's own, or the site's."""
    if given is not None:
        return given
    if KEYS in manifest.files:
        unpack(file, KEYS, scratch / KEYS)
        return scratch / KEYS
    if key_file(site).exists():
        return key_file(site)
    raise RestoreError(
        "The backup is without its keys, and the site has none.",
        where=str(key_file(site)),
        fix="Give the key file that was kept apart: --keys FILE. Without it nothing in the backup can be read.",
    )


def _restore_file(job: _Job, *, force: bool) -> Restored:
    url = make_url(store_url(job.site))
    if url.get_backend_name() != "sqlite":
        raise RestoreError(
            "The backup is of an embedded store, and this site's is PostgreSQL.",
            fix='Set url = "embedded" under [store] in config/hub.toml.',
        )
    target = Path(url.database or "")
    occupied = target.exists()
    if occupied and not force:
        _refuse_full(target)
    staged = job.scratch / "hub.db"
    unpack(job.file, DATABASE, staged)
    store = open_store(f"sqlite:///{staged}")
    try:
        counts, _, _ = check_copy(store, job.vault)
        if counts != job.manifest.counts:
            raise BackupError("The store in this backup does not hold what its manifest says.", where=str(job.file))
        upgrade(store)
        restored = _make_safe(store, job)
    finally:
        store.dispose()  # the last connection folds the write-ahead log into the file
    aside = _move_aside(job, target) if occupied else None
    staged.replace(target)
    sync_folder(target.parent)
    return replace(restored, aside=aside)


def _restore_server(job: _Job) -> Restored:
    url = store_url(job.site)
    if make_url(url).get_backend_name() == "sqlite":
        raise RestoreError(
            "The backup is of a PostgreSQL store, and this site's is embedded.",
            fix="Name an empty PostgreSQL database under [store] in config/hub.toml.",
        )
    store = open_store(url)
    try:
        with reading(store) as connection:
            if revision(connection) is not None:
                raise RestoreError(
                    "The database is not empty.", fix="Make an empty one and name it under [store] in config/hub.toml."
                )
        dump = job.scratch / "hub.pgdump"
        unpack(job.file, DUMP, dump)
        load_postgresql(url, dump)
        upgrade(store)
        with reading(store) as connection:
            open_samples(connection, job.vault)
        return _make_safe(store, job)
    finally:
        store.dispose()


def _refuse_full(target: Path) -> None:
    store = open_store(f"sqlite:///{target}")
    try:
        with reading(store) as connection:
            empty = is_empty(connection)
    finally:
        store.dispose()
    if not empty:
        raise RestoreError(
            "This site has a store that holds something.",
            where=str(target),
            fix="With --force it is moved aside, not deleted. Or restore into another folder and compare.",
        )


def _make_safe(store: Engine, job: _Job) -> Restored:
    """What a restored store needs before it may run, in one transaction with its audit record."""
    site = job.site
    assert site.settings is not None
    assert site.billing is not None
    margin = site.settings.backup.restore_margin
    asking = [
        (channel.name, destination.name)
        for channel in site.channels.values()
        for destination in channel.destinations.values()
        if destination.ambiguous == "ask" and destination.connector != _BILLING
    ]
    reason = f"Restored from the backup of {job.manifest.made_at}. Compare with the partner what was sent since."
    with store.connect().execution_options(writes=True) as connection, connection.begin():
        counters = jump_ahead(connection, margin, site.billing.partners)
        in_flight = mark_in_flight(connection, asking)
        pause(connection, asking, reason)
        audit.record(
            connection,
            actor=job.actor,
            action="restore",
            object_type="store",
            object_id=job.manifest.bundle,
            detail={"made_at": job.manifest.made_at, "margin": margin, "counters": counters, "in_flight": in_flight},
        )
    paused = tuple(f"{channel}/{name}" for channel, name in asking)
    return Restored(job.manifest, job.site_files, None, margin, counters, in_flight, paused)


def _move_aside(job: _Job, target: Path) -> Path:
    """Move the store that is there to a folder beside it, with a copy of its keys."""
    aside = target.parent / f"before-restore-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}"
    aside.mkdir(mode=0o700)
    if key_file(job.site).exists():
        shutil.copy2(key_file(job.site), aside)
    for suffix in ("", "-wal", "-shm"):
        file = target.with_name(target.name + suffix)
        if file.exists():
            file.replace(aside / file.name)
    return aside
