"""The different values of an indexed column."""

from __future__ import annotations

from sqlalchemy import Column, Connection, select


def distinct(connection: Connection, column: Column[str]) -> list[str]:
    """What stands in *column*, in order; each is found by a jump in the index rather than by reading it all."""
    found: list[str] = []
    while True:
        last = found[-1] if found else ""
        following = connection.execute(select(column).where(column > last).order_by(column).limit(1)).scalar()
        if following is None:
            return found
        found.append(following)
