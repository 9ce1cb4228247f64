"""Secrets are named in files, never written in them: ``{ secret = "clearway_key" }``.

A name is looked up when a connection opens, so that a rotated secret needs no deploy.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from hub.core.errors import HubError

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")


class SecretMissingError(HubError):
    """No provider holds the secret of that name."""

    code = "H310"


@dataclass(frozen=True, slots=True)
class SecretName:
    """The name of a secret. Its value never stands in an object that may be printed."""

    name: str

    def __post_init__(self) -> None:
        if not _NAME.match(self.name):
            raise ValueError("a secret's name is lower case letters, digits and _")


class Secrets:
    """Finds the values of secrets: in the folders given, then in the environment as ``HUB_SECRET_NAME``.

    The folders are systemd's ``$CREDENTIALS_DIRECTORY``, a Kubernetes mount, and the site's ``var/secrets``.
    """

    def __init__(self, folders: tuple[Path, ...]) -> None:
        self._folders = folders

    def value(self, secret: SecretName) -> str:
        """The secret's text without a trailing line end. Raises :class:`SecretMissingError`."""
        for folder in self._folders:
            file = folder / secret.name
            if file.is_file():
                return file.read_text().rstrip("\r\n")
        from_environment = os.environ.get(f"HUB_SECRET_{secret.name.upper()}")
        if from_environment is not None:
            return from_environment
        raise SecretMissingError(
            f'Secret "{secret.name}" is not set.',
            expected=f"a file of that name in {', '.join(map(str, self._folders))}",
            fix=f"Write the file, or set HUB_SECRET_{secret.name.upper()}.",
        )

    def is_set(self, secret: SecretName) -> bool:
        """Whether some provider holds it."""
        try:
            self.value(secret)
        except SecretMissingError:
            return False
        return True


def site_secrets(var: Path) -> Secrets:
    """The secrets of the site whose working folder is *var*."""
    folders = [var / "secrets"]
    if credentials := os.environ.get("CREDENTIALS_DIRECTORY"):
        folders.insert(0, Path(credentials))
    return Secrets(tuple(folders))
