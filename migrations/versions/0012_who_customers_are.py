"""Who customers are, and when a gateway must be told

Revision: 0012
Follows: 0011
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_DOCUMENT = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")

_TEXTS = {
    "first_name": 100,
    "last_name": 100,
    "phone": 20,
    "region": 100,
    "image": 2048,
    "description": 1000,
    "username": 255,
    "account_id": 255,
    "sales_code": 100,
    "business_vat_id": 30,
    "currency": 3,
    "created_by": 300,
}
_LEASE = ("due_at", "leased_until", "fence", "tries")


def upgrade() -> None:
    with op.batch_alter_table("customers", schema=None) as batch_op:
        for name, longest in _TEXTS.items():
            batch_op.add_column(sa.Column(name, sa.String(length=longest), nullable=True))
        batch_op.add_column(sa.Column("birth_date", sa.Date(), nullable=True))
        batch_op.add_column(sa.Column("addresses", _DOCUMENT, nullable=False, server_default="[]"))
        for name in ("is_onboarded", "is_valued_coupon_sent"):
            batch_op.add_column(sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false()))

    with op.batch_alter_table("gateway_accounts", schema=None) as batch_op:
        for name in ("due_at", "leased_until"):
            batch_op.add_column(sa.Column(name, sa.DateTime(timezone=True), nullable=True))
        for name in ("fence", "tries"):
            batch_op.add_column(sa.Column(name, sa.Integer(), nullable=False, server_default="0"))
        batch_op.create_index(batch_op.f("ix_gateway_accounts_due_at"), ["due_at"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("gateway_accounts", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_gateway_accounts_due_at"))
        for name in _LEASE:
            batch_op.drop_column(name)

    with op.batch_alter_table("customers", schema=None) as batch_op:
        for name in (*_TEXTS, "birth_date", "addresses", "is_onboarded", "is_valued_coupon_sent"):
            batch_op.drop_column(name)
