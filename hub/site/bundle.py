"""The bundle: everything that decides what the hub does, hashed together. Secrets are never in it.

A running hub works from a copy of its own below ``var/bundles/``, so that a file that somebody edits meanwhile is in no
worker that happens to be started again.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from hub.core.errors import HubError

_PARTS = (("config", "*.toml"), ("config", "*.csv"), ("config", "*.txt"), ("channels", "*.toml"), ("transforms", "*"))
FOLDER = "var/bundles"
BASE = "base"
"""The file below ``var/`` with the version that a working copy was last known to stand on."""
CURRENT = "current"


class NoBundleError(HubError):
    """There is no bundle of that name here."""

    code = "H272"


@dataclass(frozen=True, slots=True)
class Bundle:
    """The files of a site by relative name. *name* is the start of their common hash."""

    name: str
    files: dict[str, bytes]

    def packed(self) -> bytes:
        """The files as one text for the store, compressed."""
        plain = {name: base64.b85encode(content).decode() for name, content in sorted(self.files.items())}
        return zlib.compress(json.dumps(plain).encode())


def read_bundle(folder: Path) -> Bundle:
    """The bundle of the site at *folder* as its files are now."""
    return _named(
        {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for part, pattern in _PARTS
            for path in sorted((folder / part).rglob(pattern))
            if path.is_file() and "__pycache__" not in path.parts
        }
    )


def unpacked(packed: bytes) -> Bundle:
    """The bundle that :meth:`Bundle.packed` gave. Raises :class:`NoBundleError` when it would write elsewhere."""
    plain = json.loads(zlib.decompress(packed))
    for name in plain:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise NoBundleError("This version names a file outside its site.", where=name)
    return _named({name: base64.b85decode(content) for name, content in plain.items()})


def keep(site: Path, bundle: Bundle) -> Path:
    """The folder of *bundle* below the site at *site*, written when it was not there."""
    folder = bundle_folder(site, bundle.name)
    if _holds(folder, bundle):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    making = Path(tempfile.mkdtemp(prefix=".", dir=folder.parent))
    for name, content in bundle.files.items():
        (making / name).parent.mkdir(parents=True, exist_ok=True)
        (making / name).write_bytes(content)
    if folder.is_dir():  # somebody has edited it
        aside = Path(tempfile.mkdtemp(prefix=".", dir=folder.parent))
        folder.replace(aside)
        shutil.rmtree(aside)
    try:
        making.replace(folder)
    except OSError:  # another command has kept it meanwhile
        shutil.rmtree(making)
        if not _holds(folder, bundle):
            raise
    return folder


def _holds(folder: Path, bundle: Bundle) -> bool:
    return folder.is_dir() and read_bundle(folder).name == bundle.name


def bundle_folder(site: Path, name: str) -> Path:
    """Where the bundle *name* of the site at *site* stands."""
    return site / FOLDER / name


def make_current(site: Path, name: str) -> None:
    """Have the processes of the site at *site* start with the bundle *name* from now on."""
    file = site / FOLDER / CURRENT
    making = file.with_name(f".{CURRENT}.{os.getpid()}")
    making.write_text(f"{name}\n")
    making.replace(file)


def noted(site: Path) -> str:
    """The bundle that the site at *site* is said to run; empty when none is."""
    try:
        return (site / FOLDER / CURRENT).read_text().strip()
    except FileNotFoundError:
        return ""


def current(site: Path) -> str:
    """The bundle that the site at *site* runs; its files as they are are kept and made current when none ever ran.

    Raises :class:`NoBundleError` when its copy is gone: files that nobody has deployed do not take its place.
    """
    name = noted(site)
    if name and not bundle_folder(site, name).is_dir():
        raise NoBundleError(
            "The copy of the version that ran is gone.",
            where=str(bundle_folder(site, name)),
            fix="`hub run` begins with the files as they are.",
        )
    return name or take_files(site)


def take_files(site: Path) -> str:
    """Keep the files of the site at *site* as they are now as a bundle, and make it current."""
    bundle = read_bundle(site)
    keep(site, bundle)
    make_current(site, bundle.name)
    remember_base(site, bundle.name)
    return bundle.name


def base_of(folder: Path) -> str:
    """The version that the working copy at *folder* was last known to stand on; empty when none was noted."""
    try:
        return (folder / "var" / BASE).read_text().strip()
    except FileNotFoundError:
        return ""


def remember_base(folder: Path, bundle: str) -> None:
    """Note that the working copy at *folder* stands on *bundle*."""
    (folder / "var").mkdir(exist_ok=True, mode=0o700)
    (folder / "var" / BASE).write_text(f"{bundle}\n")


def _named(files: dict[str, bytes]) -> Bundle:
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return Bundle(digest.hexdigest()[:12], files)
