"""The protocols that messages come and go by: one module each, which declares itself in a ``CONNECTOR``."""

from __future__ import annotations

import functools
import importlib
import pkgutil

from hub.engine.contracts import Connector


@functools.cache
def connectors() -> dict[str, Connector]:
    """Every connector of this package by the name that a channel's ``type`` uses.

    A module of the package that holds a ``CONNECTOR`` is one; the others are what they share.
    """
    found: dict[str, Connector] = {}
    for module_info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{module_info.name}")
        connector = getattr(module, "CONNECTOR", None)
        if isinstance(connector, Connector):
            found[connector.name] = connector
    return found
