"""Claims to second and further payers: their place in the order of payers, and the claim before."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("claim", schema=None) as batch_op:
        batch_op.add_column(sa.Column("sequence", sa.String(length=1), nullable=False, server_default="P"))
        batch_op.add_column(sa.Column("previous_id", sa.BigInteger(), nullable=True))
        batch_op.create_index(batch_op.f("ix_claim_previous_id"), ["previous_id"], unique=False)
