"""Work items that the engine itself opens: what a mapping held, what may have arrived, what nobody could read."""

from __future__ import annotations

from typing import Any

from hub.core.clock import BusinessClock
from hub.core.ids import IdMaker
from hub.core.vault import Vault


def open_item(
    ids: IdMaker, vault: Vault, clock: BusinessClock, organisation: str, *, queue: str, key: str, kind: str, **also: Any
) -> dict[str, Any]:
    """A row of `work_item` for *queue*, open from now on.

    *key* is what makes it one cause: a second item of the same key cannot be opened. *also* are columns, among them
    `sentence`, which a person reads.
    """
    return {
        "id": ids.next(),
        "organisation": organisation,
        "partition": 0,
        "queue": queue,
        "item_key": key,
        "kind": kind,
        "opened_business_at": clock.now_ms(),
        "state": "open",
        "body": vault.seal_json({}, "work_item.body"),
        **also,
    }
