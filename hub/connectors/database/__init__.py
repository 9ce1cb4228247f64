"""Rows of a database that become messages, and outputs that are written as rows, by any SQLAlchemy URL.

Drivers block, so all of it runs as tasks in the transfer workers.
"""

from __future__ import annotations

from hub.connectors.database.access import probe
from hub.connectors.database.destination import open_destination, write
from hub.connectors.database.settings import DatabaseDestinationSettings, DatabaseSourceSettings
from hub.connectors.database.source import done, open_source, read
from hub.engine.contracts import Connector

CONNECTOR = Connector(
    name="database",
    summary="Rows read from a database, or written to one: PostgreSQL, SQLite, or what SQLAlchemy has a driver for.",
    source_settings=DatabaseSourceSettings,
    open_source=open_source,
    destination_settings=DatabaseDestinationSettings,
    open_destination=open_destination,
    tasks={"database.read": read, "database.done": done, "database.write": write},
    probe=probe,
)
