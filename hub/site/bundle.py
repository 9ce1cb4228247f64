"""The bundle: everything that decides what the hub does, hashed together. Secrets are never in it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

_PARTS = (("config", "*.toml"), ("config", "*.csv"), ("config", "*.txt"), ("channels", "*.toml"), ("transforms", "*"))


@dataclass(frozen=True, slots=True)
class Bundle:
    """The files of a site by relative name. *name* is the start of their common hash."""

    name: str
    files: dict[str, bytes]


def read_bundle(folder: Path) -> Bundle:
    """The bundle of the site at *folder* as its files are now."""
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for part, pattern in _PARTS
        for path in sorted((folder / part).rglob(pattern))
        if path.is_file() and "__pycache__" not in path.parts
    }
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return Bundle(digest.hexdigest()[:12], files)
