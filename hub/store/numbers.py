"""Sequence numbers that follow the order of commits: what lane order is kept by."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, insert, update

from hub.store.tables import sequence

# Built once: making a statement costs more than running it.
_TAKE = (
    update(sequence)
    .where(sequence.c.name == bindparam("of"))
    .values(value=sequence.c.value + bindparam("count"))
    .returning(sequence.c.value)
)


def take_numbers(connection: Connection, name: str, count: int) -> range:
    """*count* new numbers of the sequence *name*.

    The row is locked until the transaction ends, so that a higher number is never visible before a lower one.
    """
    value = connection.execute(_TAKE, {"of": name, "count": count}).scalar()
    if value is None:
        connection.execute(insert(sequence).values(name=name, value=count))
        value = count
    return range(value - count + 1, value + 1)
