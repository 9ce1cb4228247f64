"""What a command was asked: the rows that it names, in the version that its user saw, and the texts that it needs."""

from __future__ import annotations

from typing import Any

from hub.billing.decision import Decision
from hub.core.errors import HubError
from hub.store.changes import Row

Args = dict[str, Any]
Answer = dict[str, Any]


class CommandError(HubError):
    """A command cannot be done as it was asked; its user is told why and nothing is changed."""

    code = "H612"


def one(decision: Decision, table: str, row_id: int) -> Row:
    """The row of that id. Raises :class:`CommandError`."""
    row = decision.row(table, id=row_id)
    if row is None:
        raise CommandError("There is no such entry.", where=table, found=str(row_id))
    return row


def the_row(decision: Decision, table: str, args: Args, name: str = "") -> Row:
    """The row that *args* name, provided that it still has the version that the user saw."""
    name = name or f"{table}_id"
    if name not in args or "version" not in args:
        raise CommandError("The command does not say what it is about.", expected=f"{name} and version")
    row = one(decision, table, int(args[name]))
    if row["version"] != int(args["version"]):
        raise CommandError(
            "Somebody changed this since you opened it.",
            expected=f"version {row['version']}",
            found=f"version {args['version']}",
            fix="Load it again and look before you decide.",
        )
    return row


def the_text(args: Args, name: str) -> str:
    """The text that *args* must give. Raises :class:`CommandError`."""
    text = str(args.get(name) or "").strip()
    if not text:
        raise CommandError(f"A {name} is required.")
    return text
