"""Queues in the order they are worked in, claims summed by state, and answers that are owed, each from an index."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_SELDOM = sa.text("answer IN ('owed', 'undelivered')")


def upgrade() -> None:
    op.create_index("ix_claim_state_total", "claim", ["state", "total_cents"])
    op.drop_index("ix_work_item_queue_state_id", "work_item")
    op.create_index(
        "ix_work_item_order",
        "work_item",
        ["queue", "state", "due_on", "money_cents", "id", "snoozed_until", "assignee"],
    )
    op.create_index(
        "ix_message_answer", "message", ["answer", "sequence"], sqlite_where=_SELDOM, postgresql_where=_SELDOM
    )
