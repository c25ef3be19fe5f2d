"""Prices that follow one another, and what else the catalog tells of products and plans

Revision: 0010
Follows: 0009
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_DOCUMENT = sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql")


def upgrade() -> None:
    with op.batch_alter_table("products", schema=None) as batch_op:
        batch_op.add_column(sa.Column("skus", _DOCUMENT, nullable=False, server_default="[]"))
        batch_op.add_column(sa.Column("package_dimensions", _DOCUMENT, nullable=False, server_default="{}"))

    with op.batch_alter_table("plans", schema=None) as batch_op:
        batch_op.add_column(sa.Column("type", sa.String(length=40), nullable=False, server_default="standard"))

    with op.batch_alter_table("prices", schema=None) as batch_op:
        batch_op.add_column(sa.Column("replaced_by_id", sa.String(), nullable=True))
        batch_op.drop_constraint(batch_op.f("uq_prices_plan_id_currency_effective_from"), type_="unique")
        batch_op.create_foreign_key(batch_op.f("fk_prices_replaced_by_id"), "prices", ["replaced_by_id"], ["id"])
        batch_op.create_index(
            "uq_prices_active_currency",
            ["plan_id", "currency"],
            unique=True,
            sqlite_where=sa.text("is_active"),
            postgresql_where=sa.text("is_active"),
        )

    with op.batch_alter_table("scheduled_changes", schema=None) as batch_op:
        batch_op.add_column(sa.Column("is_migration", sa.Boolean(), nullable=False, server_default=sa.false()))

    with op.batch_alter_table("subscription_items", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_subscription_items_price_id"), ["price_id"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("subscription_items", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_subscription_items_price_id"))

    with op.batch_alter_table("scheduled_changes", schema=None) as batch_op:
        batch_op.drop_column("is_migration")

    with op.batch_alter_table("prices", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_prices_active_currency",
            sqlite_where=sa.text("is_active"),
            postgresql_where=sa.text("is_active"),
        )
        batch_op.drop_constraint(batch_op.f("fk_prices_replaced_by_id"), type_="foreignkey")
        batch_op.create_unique_constraint(
            batch_op.f("uq_prices_plan_id_currency_effective_from"), ["plan_id", "currency", "effective_from"]
        )
        batch_op.drop_column("replaced_by_id")

    with op.batch_alter_table("plans", schema=None) as batch_op:
        batch_op.drop_column("type")

    with op.batch_alter_table("products", schema=None) as batch_op:
        batch_op.drop_column("package_dimensions")
        batch_op.drop_column("skus")
