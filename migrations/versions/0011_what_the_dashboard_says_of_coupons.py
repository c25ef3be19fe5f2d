"""What the gateway's dashboard says of coupons and promotion codes

Revision: 0011
Follows: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("coupons", schema=None) as batch_op:
        batch_op.add_column(sa.Column("duration_in_months", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("gone_at", sa.DateTime(timezone=True), nullable=True))

    with op.batch_alter_table("promotion_codes", schema=None) as batch_op:
        batch_op.add_column(sa.Column("platform", sa.String(length=20), nullable=False, server_default="manual"))
        batch_op.add_column(sa.Column("gateway_ref", sa.String(length=255), nullable=True))
        batch_op.create_index("uq_promotion_codes_gateway_ref", ["platform", "gateway_ref"], unique=True)


def downgrade() -> None:
    with op.batch_alter_table("promotion_codes", schema=None) as batch_op:
        batch_op.drop_index("uq_promotion_codes_gateway_ref")
        batch_op.drop_column("gateway_ref")
        batch_op.drop_column("platform")

    with op.batch_alter_table("coupons", schema=None) as batch_op:
        batch_op.drop_column("gone_at")
        batch_op.drop_column("duration_in_months")
