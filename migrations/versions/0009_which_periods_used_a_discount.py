"""Which periods used a discount

Revision: 0009
Follows: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "discount_uses",
        sa.Column("discount_id", sa.String(), nullable=False),
        sa.Column("invoice_id", sa.String(), nullable=False),
        sa.Column("period_number", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["discount_id"], ["discounts.id"], name=op.f("fk_discount_uses_discount_id")),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoices.id"], name=op.f("fk_discount_uses_invoice_id")),
        sa.PrimaryKeyConstraint("discount_id", "invoice_id", name=op.f("pk_discount_uses")),
    )
    with op.batch_alter_table("discount_uses", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_discount_uses_invoice_id"), ["invoice_id"], unique=False)

    with op.batch_alter_table("discounts", schema=None) as batch_op:
        batch_op.create_index(
            "uq_discounts_active_coupon",
            ["subscription_id", "coupon_id"],
            unique=True,
            sqlite_where=sa.text("status = 'active'"),
            postgresql_where=sa.text("status = 'active'"),
        )
        batch_op.drop_column("periods_used")


def downgrade() -> None:
    with op.batch_alter_table("discounts", schema=None) as batch_op:
        batch_op.add_column(sa.Column("periods_used", sa.Integer(), nullable=False, server_default="0"))
        batch_op.drop_index(
            "uq_discounts_active_coupon",
            sqlite_where=sa.text("status = 'active'"),
            postgresql_where=sa.text("status = 'active'"),
        )

    with op.batch_alter_table("discount_uses", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_discount_uses_invoice_id"))

    op.drop_table("discount_uses")
