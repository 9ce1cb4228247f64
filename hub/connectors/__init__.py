"""The protocols that messages come and go by: one module each, which declares itself in a ``CONNECTOR``."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from importlib.metadata import EntryPoint, entry_points

from hub.core.errors import HubError
from hub.engine.contracts import Connector

GROUP = "claimhub.connectors"
"""The entry points of packages installed beside the hub, each naming a :class:`Connector`."""


class ForeignConnectorError(HubError):
    """A connector that was installed beside the hub cannot be used."""

    code = "H417"


@functools.cache
def connectors() -> dict[str, Connector]:
    """Every connector by the name that a channel's ``type`` uses: those of this package, and those installed beside it.

    A module of the package that holds a ``CONNECTOR`` is one; the others are what they share. Raises
    :class:`ForeignConnectorError`.
    """
    found: dict[str, Connector] = {}
    for module_info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{module_info.name}")
        connector = getattr(module, "CONNECTOR", None)
        if isinstance(connector, Connector):
            found[connector.name] = connector
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        connector = _load(entry)
        if connector.name in found:
            raise _unusable(entry, "Another connector has that name already.", connector.name)
        found[connector.name] = connector
    return found


def _load(entry: EntryPoint) -> Connector:
    try:
        connector = entry.load()
    except Exception as error:
        raise _unusable(entry, "A connector that is installed beside the hub cannot be loaded.", repr(error)) from error
    if not isinstance(connector, Connector):
        raise _unusable(entry, "This entry point names no connector.", type(connector).__name__)
    return connector


def _unusable(entry: EntryPoint, what: str, found: str) -> ForeignConnectorError:
    package = entry.dist.name if entry.dist is not None else entry.module
    return ForeignConnectorError(
        what, where=f"{package}: {entry.value}", found=found, fix="Correct the package, or uninstall it."
    )
