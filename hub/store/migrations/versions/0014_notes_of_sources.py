"""What sources keep beside a message outlives a restart: parts of longer messages, used nonces, answers still owed."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "source_note",
        sa.Column("channel", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("message_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("text", sa.String(length=200), nullable=False),
        sa.Column("until_at", sa.BigInteger(), nullable=False),
        sa.Column("sentence", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("channel", "kind", "name", name=op.f("pk_source_note")),
    )
    op.create_index(op.f("ix_source_note_message_id"), "source_note", ["message_id"], unique=False)
    op.create_index(op.f("ix_source_note_until_at"), "source_note", ["until_at"], unique=False)
