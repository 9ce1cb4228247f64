"""People: scopes, API tokens, emergency access, audit checkpoints; alerts, snoozed work, draining channels."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "alert",
        sa.Column("alert_key", sa.String(length=160), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("snoozed_until_at", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("alert_key", name=op.f("pk_alert")),
    )
    op.create_table(
        "audit_checkpoint",
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_audit_checkpoint")),
    )
    op.create_table(
        "api_token",
        sa.Column("token_digest", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("user_name", sa.String(length=64), nullable=False),
        sa.Column("permissions", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["user_name"], ["user_account.name"], name=op.f("fk_api_token_user_name_user_account")),
        sa.PrimaryKeyConstraint("token_digest", name=op.f("pk_api_token")),
        sa.UniqueConstraint("user_name", "name", name=op.f("uq_api_token_user_name_name")),
    )
    with op.batch_alter_table("audit", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_audit_action_sequence"), ["action", "sequence"], unique=False)
    with op.batch_alter_table("user_account", schema=None) as batch_op:
        batch_op.add_column(sa.Column("channels", sa.String(length=400), nullable=False, server_default=""))
        batch_op.add_column(sa.Column("organisations", sa.String(length=400), nullable=False, server_default=""))
    with op.batch_alter_table("session", schema=None) as batch_op:
        batch_op.add_column(sa.Column("broke_glass", sa.Boolean(), nullable=False, server_default=sa.false()))
    with op.batch_alter_table("work_item", schema=None) as batch_op:
        batch_op.add_column(sa.Column("snoozed_until", sa.String(length=10), nullable=False, server_default=""))
    with op.batch_alter_table("channel_state", schema=None) as batch_op:
        batch_op.add_column(sa.Column("draining", sa.Boolean(), nullable=False, server_default=sa.false()))
    for table, column in _ADDED:
        with op.batch_alter_table(table, schema=None) as batch_op:
            batch_op.alter_column(column, server_default=None)


_ADDED = (
    ("user_account", "channels"),
    ("user_account", "organisations"),
    ("session", "broke_glass"),
    ("work_item", "snoozed_until"),
    ("channel_state", "draining"),
)
