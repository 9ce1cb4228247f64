"""Alerts remember when they opened, and how far people were told of them."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name, kind, default in (
        ("sentence", sa.Text(), ""),
        ("first", sa.Text(), ""),
        ("opened_at", sa.BigInteger(), "0"),
        ("gone_at", sa.BigInteger(), "0"),
        ("mailed", sa.Integer(), "0"),
        ("posted", sa.Integer(), "0"),
    ):
        op.add_column("alert", sa.Column(name, kind, nullable=False, server_default=default))
