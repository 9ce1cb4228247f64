"""The one `MetaData`, and the columns that many tables have."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, Integer, MetaData, String

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def id_column(name: str, *, primary_key: bool = False, nullable: bool = False) -> Column[int]:
    """A column for an id of :mod:`hub.core.ids`: the row's own, or another row's."""
    return Column(name, BigInteger, primary_key=primary_key, nullable=nullable, autoincrement=False)


def owner_columns() -> tuple[Column[str], Column[int], Column[int]]:
    """Whose row it is, which of 64 partitions it belongs to, and the fence it was made under."""
    return (
        Column("organisation", String(64), nullable=False),
        Column("partition", Integer, nullable=False, default=0),
        Column("fence", BigInteger, nullable=False, default=_fence),
    )


def version_column() -> Column[int]:
    """How often the row was changed, plus one."""
    return Column("version", Integer, nullable=False, default=1)


def _fence(context: Any) -> int:
    """The fence of the lease that the transaction writes under (see :mod:`hub.store.lease`); 0 without a lease."""
    fence: int = context.execution_options.get("fence", 0)
    return fence
