"""What a refund is for, and credit notes that are withdrawn

Revision: 0007
Follows: 0006
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("refunds", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("line_ids", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=True)
        )
        batch_op.add_column(sa.Column("ends_subscription_id", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("spoilt_keys", sa.Integer(), nullable=False, server_default="0"))
        batch_op.create_index(batch_op.f("ix_refunds_ends_subscription_id"), ["ends_subscription_id"], unique=False)
        batch_op.create_foreign_key(
            batch_op.f("fk_refunds_ends_subscription_id"), "subscriptions", ["ends_subscription_id"], ["id"]
        )

    with op.batch_alter_table("credit_notes", schema=None) as batch_op:
        batch_op.add_column(sa.Column("voided_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("credit_notes", schema=None) as batch_op:
        batch_op.drop_column("voided_at")

    with op.batch_alter_table("refunds", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("fk_refunds_ends_subscription_id"), type_="foreignkey")
        batch_op.drop_index(batch_op.f("ix_refunds_ends_subscription_id"))
        batch_op.drop_column("spoilt_keys")
        batch_op.drop_column("ends_subscription_id")
        batch_op.drop_column("line_ids")
