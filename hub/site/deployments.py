"""The history of a site: which bundle ran from when on, who deployed it and why; and every bundle, to go back to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, insert, select

from hub.core.clock import real_ms
from hub.engine.swap import Deployment
from hub.security import audit
from hub.site.bundle import Bundle, NoBundleError, read_bundle, unpacked
from hub.store.numbers import take_numbers
from hub.store.tables import bundle as bundle_table
from hub.store.tables import deployment as deployment_table


@dataclass(frozen=True, slots=True)
class Deployed:
    """One deployment. *kind* is ``start``, ``deploy`` or ``rollback``; *previous* is the bundle that ran before."""

    number: int
    at: int
    bundle: str
    previous: str
    kind: str
    actor: str
    reason: str


def record(connection: Connection, bundle: Bundle, deployment: Deployment) -> None:
    """Write *deployment* of *bundle* down. A start with what ran before is none."""
    newest = history(connection, 1)
    previous = newest[0].bundle if newest else ""
    if deployment.kind == "start" and previous == bundle.name:
        return
    known = connection.execute(select(bundle_table.c.name).where(bundle_table.c.name == bundle.name)).first()
    if known is None:
        connection.execute(
            insert(bundle_table), {"name": bundle.name, "created_at": real_ms(), "files": bundle.packed()}
        )
    (number,) = take_numbers(connection, "deployment", 1)
    connection.execute(
        insert(deployment_table),
        {
            "number": number,
            "deployed_at": real_ms(),
            "bundle": bundle.name,
            "previous": previous,
            "kind": deployment.kind,
            "actor": deployment.actor,
            "reason": deployment.reason,
        },
    )
    if deployment.kind != "start":
        audit.record(
            connection,
            actor=deployment.actor,
            action=deployment.kind,
            object_type="version",
            object_id=bundle.name,
            reason=deployment.reason,
            detail={"previous": previous},
        )


def history(connection: Connection, most: int) -> list[Deployed]:
    """The newest *most* deployments, newest first."""
    rows = connection.execute(select(deployment_table).order_by(deployment_table.c.number.desc()).limit(most)).all()
    return [
        Deployed(row.number, row.deployed_at, row.bundle, row.previous, row.kind, row.actor, row.reason) for row in rows
    ]


def stored_bundle(connection: Connection, name: str) -> Bundle:
    """The bundle whose name begins with *name*. Raises :class:`NoBundleError` when there is none, or several."""
    rows = connection.execute(
        select(bundle_table.c.name, bundle_table.c.files).where(bundle_table.c.name.startswith(name, autoescape=True))
    ).all()
    if len(rows) != 1:
        found = ", ".join(row.name for row in rows) or "none"
        raise NoBundleError("Name one version.", expected="its name, or an unmistakable beginning", found=found)
    return unpacked(rows[0].files)


def files_differ(site: Path, running: str) -> bool:
    """Whether the files of the site at *site* are others than those of the bundle that runs."""
    return read_bundle(site).name != running
