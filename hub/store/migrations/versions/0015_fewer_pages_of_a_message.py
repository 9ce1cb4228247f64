"""A message changes three pages less: duplicates and attempts are their own index, parents are indexed where they are."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_CHILDREN = sa.text("parent_id IS NOT NULL")


def upgrade() -> None:
    op.drop_index("ix_message_parent_id", "message")
    op.create_index(
        "ix_message_parent_id", "message", ["parent_id"], sqlite_where=_CHILDREN, postgresql_where=_CHILDREN
    )
    if op.get_bind().dialect.name == "sqlite":  # PostgreSQL has no other kind of table
        _rebuild_duplicates()
        _rebuild_attempts()


def _rebuild_duplicates() -> None:
    op.drop_index("ix_duplicate_expires_at", "duplicate")
    op.rename_table("duplicate", "duplicate_before")
    op.create_table(
        "duplicate",
        sa.Column("channel", sa.String(64), nullable=False),
        sa.Column("sender", sa.String(200), nullable=False),
        sa.Column("control_id", sa.String(200), nullable=False),
        sa.Column("content_digest", sa.LargeBinary(), nullable=False),
        sa.Column("message_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("repeats", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("channel", "sender", "control_id", "content_digest", name=op.f("pk_duplicate")),
        sqlite_with_rowid=False,
    )
    columns = "channel, sender, control_id, content_digest, message_id, repeats, expires_at"
    _copy("duplicate", columns)
    op.create_index(op.f("ix_duplicate_expires_at"), "duplicate", ["expires_at"])


def _rebuild_attempts() -> None:
    op.rename_table("attempt", "attempt_before")
    op.create_table(
        "attempt",
        sa.Column("delivery_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger()),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("actor", sa.String(64), nullable=False),
        sa.Column("answer_id", sa.BigInteger()),
        sa.PrimaryKeyConstraint("delivery_id", "number", name=op.f("pk_attempt")),
        sqlite_with_rowid=False,
    )
    _copy("attempt", "delivery_id, number, started_at, ended_at, outcome, reason, actor, answer_id")


def _copy(table: str, columns: str) -> None:
    """Fill *table* in the order of its key, so that each page is written once."""
    op.execute(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM {table}_before ORDER BY 1, 2, 3, 4")  # noqa: S608
    op.drop_table(f"{table}_before")
