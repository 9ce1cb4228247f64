"""Money: how far remittances are read, forwarded balances, the bank, and payers' ways with our numbers."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "bank_deposit",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("organisation", sa.String(length=64), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("trace", sa.String(length=50), nullable=False),
        sa.Column("originator", sa.String(length=32), nullable=False),
        sa.Column("amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("deposited_on", sa.String(length=10), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("created_business_at", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bank_deposit")),
        sa.UniqueConstraint("digest", name=op.f("uq_bank_deposit_digest")),
    )
    with op.batch_alter_table("bank_deposit", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_bank_deposit_deposited_on"), ["deposited_on"], unique=False)
        batch_op.create_index(batch_op.f("ix_bank_deposit_state_id"), ["state", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_bank_deposit_trace"), ["trace"], unique=False)

    op.create_table(
        "forwarded_balance",
        sa.Column("remittance_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("payer_id", sa.String(length=80), nullable=False),
        sa.Column("provider", sa.String(length=50), nullable=False),
        sa.Column("reference", sa.String(length=80), nullable=False),
        sa.Column("amount_cents", sa.BigInteger(), nullable=False),
        sa.Column("posted_on", sa.String(length=10), nullable=False),
        sa.PrimaryKeyConstraint("remittance_id", "number", name=op.f("pk_forwarded_balance")),
    )
    with op.batch_alter_table("forwarded_balance", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_forwarded_balance_payer_id_provider"), ["payer_id", "provider"], unique=False
        )

    op.create_table(
        "number_rule",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("payer_id", sa.String(length=80), nullable=False),
        sa.Column("place", sa.String(length=8), nullable=False),
        sa.Column("text", sa.String(length=30), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("seen", sa.Integer(), nullable=False),
        sa.Column("proposed_by", sa.String(length=64), nullable=False),
        sa.Column("released_by", sa.String(length=64), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_number_rule")),
        sa.UniqueConstraint("payer_id", "place", "text", name=op.f("uq_number_rule_payer_id_place_text")),
    )
    op.create_table(
        "remittance_source",
        sa.Column("message_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("claims", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("message_id", "ordinal", name=op.f("pk_remittance_source")),
    )
    _keep_what_is_forwarded()


def _keep_what_is_forwarded() -> None:
    """Balances that payers forwarded before stand in the ledger only, by payer; the provider is the remittance's."""
    connection = op.get_bind()
    rows = connection.execute(
        sa.text(
            "SELECT e.remittance_id, e.entry_key, e.posted_on, p.payer_id, p.reference, p.amount_cents, r.payee_npi "
            "FROM ledger_posting p JOIN ledger_entry e ON e.id = p.entry_id "
            "JOIN remittance r ON r.id = e.remittance_id "
            "WHERE p.account = 'provider level' AND p.code = 'FB'"
        )
    ).mappings()
    kept = sa.table(
        "forwarded_balance",
        *(
            sa.column(name)
            for name in (
                "remittance_id",
                "number",
                "payer_id",
                "provider",
                "reference",
                "amount_cents",
                "posted_on",
            )
        ),
    )
    for row in rows.all():
        connection.execute(
            sa.insert(kept).values(
                remittance_id=row["remittance_id"],
                number=int(row["entry_key"].rpartition(":")[2]),  # plb:<remittance>:<number>
                payer_id=row["payer_id"],
                provider=row["payee_npi"],
                reference=row["reference"],
                amount_cents=row["amount_cents"],
                posted_on=row["posted_on"],
            )
        )
