"""Blind indexes are kept by stretches of messages, so that a commit changes few pages of their index."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_identifier_message_sequence", "identifier")
    op.rename_table("identifier", "identifier_before")
    if op.get_bind().dialect.name == "postgresql":  # names of keys are those of indexes there
        op.drop_constraint("pk_identifier", "identifier_before")
    op.create_table(
        "identifier",
        sa.Column("stretch", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("message_sequence", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("stretch", "kind", "digest", "message_sequence", name=op.f("pk_identifier")),
        sqlite_with_rowid=False,
    )
    # In the order of the key, so that each page is written once.
    op.execute(
        "INSERT INTO identifier (stretch, kind, digest, message_sequence)"
        " SELECT message_sequence / 4096, kind, digest, message_sequence"
        " FROM identifier_before ORDER BY 1, 2, 3, 4"
    )
    op.drop_table("identifier_before")
