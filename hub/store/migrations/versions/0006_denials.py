"""Denials, what is done about them, and months that are closed."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("claim", schema=None) as batch_op:
        batch_op.add_column(sa.Column("replaces_id", sa.BigInteger(), nullable=True))

    op.create_table(
        "closed_month",
        sa.Column("month", sa.String(length=7), nullable=False),
        sa.Column("closed_business_at", sa.BigInteger(), nullable=False),
        sa.Column("closed_by", sa.String(length=64), nullable=False),
        sa.Column("last_entry_id", sa.BigInteger(), nullable=False),
        sa.Column("entries", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("figures", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("month", name=op.f("pk_closed_month")),
    )
    op.create_table(
        "denial",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("organisation", sa.String(length=64), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("item_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("claim_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("chain_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("charge_id", sa.BigInteger(), nullable=True),
        sa.Column("patient_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("remittance_claim_id", sa.BigInteger(), nullable=True),
        sa.Column("payer_id", sa.String(length=80), nullable=False),
        sa.Column("group", sa.String(length=2), nullable=False),
        sa.Column("reason", sa.String(length=8), nullable=False),
        sa.Column("codes", sa.String(length=80), nullable=False),
        sa.Column("remarks", sa.String(length=80), nullable=False),
        sa.Column("procedure", sa.String(length=16), nullable=False),
        sa.Column("cents", sa.BigInteger(), nullable=False),
        sa.Column("rule", sa.String(length=64), nullable=False),
        sa.Column("covered", sa.Boolean(), nullable=False),
        sa.Column("category", sa.String(length=24), nullable=False),
        sa.Column("action", sa.String(length=16), nullable=False),
        sa.Column("resubmit", sa.String(length=1), nullable=False),
        sa.Column("fix", sa.String(length=16), nullable=False),
        sa.Column("appeal", sa.String(length=8), nullable=False),
        sa.Column("may_bill_patient", sa.String(length=8), nullable=False),
        sa.Column("chance", sa.Integer(), nullable=False),
        sa.Column("denied_on", sa.String(length=10), nullable=False),
        sa.Column("deadline_on", sa.String(length=10), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("recovered_cents", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_denial")),
    )
    with op.batch_alter_table("denial", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_denial_chain_id"), ["chain_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_denial_claim_id"), ["claim_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_denial_item_id"), ["item_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_denial_payer_id_reason"), ["payer_id", "reason"], unique=False)
        batch_op.create_index(batch_op.f("ix_denial_state_id"), ["state", "id"], unique=False)

    op.create_table(
        "denial_action",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("denial_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("rule", sa.String(length=64), nullable=False),
        sa.Column("automatic", sa.Boolean(), nullable=False),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("claim_id", sa.BigInteger(), nullable=True),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("made_business_at", sa.BigInteger(), nullable=False),
        sa.Column("sent_on", sa.String(length=10), nullable=False),
        sa.Column("due_on", sa.String(length=10), nullable=False),
        sa.Column("decided_business_at", sa.BigInteger(), nullable=True),
        sa.Column("recovered_cents", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_denial_action")),
    )
    with op.batch_alter_table("denial_action", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_denial_action_claim_id"), ["claim_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_denial_action_denial_id"), ["denial_id"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_denial_action_rule_decided_business_at"), ["rule", "decided_business_at"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_denial_action_state_due_on"), ["state", "due_on"], unique=False)

    op.create_table(
        "denial_rule",
        sa.Column("rule", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("changed_business_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_by", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("rule", name=op.f("pk_denial_rule")),
    )
