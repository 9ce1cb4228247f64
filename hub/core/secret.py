"""Secrets are named in files, never written in them: ``{ secret = "clearway_key" }``.

A name is looked up when a connection opens, so that a rotated secret needs no deploy.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from hub.core.errors import HubError
from hub.core.sealed_secrets import SealedSecrets

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
    """Finds the values of secrets: in folders, in the environment as ``HUB_SECRET_NAME``, then among the *sealed* ones.

    The *folders* are systemd's ``$CREDENTIALS_DIRECTORY``, what is mounted at ``$HUB_SECRETS_DIRECTORY`` (Kubernetes),
    and the site's ``var/secrets``.
    """

    def __init__(self, folders: tuple[Path, ...], sealed: SealedSecrets | None = None) -> None:
        self._folders = folders
        self._sealed = sealed

    def value(self, secret: SecretName) -> str:
        """The secret's text without a trailing line end.

        Raises :class:`SecretMissingError`, and `VaultError` when it is sealed and cannot be opened.
        """
        found = self._find(secret)
        if found is None:
            raise SecretMissingError(
                f'Secret "{secret.name}" is not set.',
                expected=f"a value in one of {', '.join(self.places(secret))}",
                fix=f"`hub secrets set {secret.name}` asks for it and keeps it encrypted.",
            )
        return found[1].rstrip("\r\n")

    def place(self, secret: SecretName) -> str:
        """Where it is found, empty when it is nowhere. Raises what :meth:`value` does of sealed ones."""
        found = self._find(secret)
        return found[0] if found else ""

    def is_set(self, secret: SecretName) -> bool:
        """Whether some provider holds it. Raises what :meth:`value` does of sealed ones."""
        return self._find(secret) is not None

    def places(self, secret: SecretName) -> tuple[str, ...]:
        """Where it is looked for, in order."""
        sealed = (f"{self._sealed.file} (encrypted)",) if self._sealed else ()
        return (*(str(folder / secret.name) for folder in self._folders), f"${_variable(secret)}", *sealed)

    def _find(self, secret: SecretName) -> tuple[str, str] | None:
        for folder in self._folders:
            file = folder / secret.name
            if file.is_file():
                return str(file), file.read_text()
        from_environment = os.environ.get(_variable(secret))
        if from_environment is not None:
            return f"${_variable(secret)}", from_environment
        value = self._sealed.value(secret.name) if self._sealed else None
        return None if value is None or self._sealed is None else (f"{self._sealed.file} (encrypted)", value)


def _variable(secret: SecretName) -> str:
    return f"HUB_SECRET_{secret.name.upper()}"


def site_secrets(var: Path) -> Secrets:
    """The secrets of the site whose working folder is *var*."""
    given = [os.environ.get("CREDENTIALS_DIRECTORY"), os.environ.get("HUB_SECRETS_DIRECTORY")]
    folders = (*(Path(folder) for folder in given if folder), var / "secrets")
    return Secrets(folders, sealed_secrets(var))


def sealed_secrets(var: Path) -> SealedSecrets:
    """The sealed secrets of the site whose working folder is *var*."""
    return SealedSecrets(var, var / "keys.json")
