"""Whole lives of subscriptions

Revision: 0006
Follows: 0005
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "coupons",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("metadata", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("code", sa.String(length=100), nullable=False),
        sa.Column("name", sa.String(length=250), nullable=True),
        sa.Column("percent_off", sa.String(length=40), nullable=True),
        sa.Column("amounts_off", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("duration", sa.String(length=40), nullable=False),
        sa.Column("duration_in_periods", sa.Integer(), nullable=True),
        sa.Column("interval", sa.String(length=40), nullable=True),
        sa.Column("product_ids", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=True),
        sa.Column("max_redemptions", sa.Integer(), nullable=True),
        sa.Column("max_redemptions_per_customer", sa.Integer(), nullable=True),
        sa.Column("times_redeemed", sa.Integer(), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("platform", sa.String(length=20), nullable=False),
        sa.Column("gateway_ref", sa.String(length=255), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_coupons")),
        sa.UniqueConstraint("code", name=op.f("uq_coupons_code")),
    )
    op.create_table(
        "features",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("code", sa.String(length=100), nullable=False),
        sa.Column("name", sa.String(length=250), nullable=False),
        sa.Column("unit", sa.String(length=40), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_features")),
        sa.UniqueConstraint("code", name=op.f("uq_features_code")),
    )
    op.create_table(
        "organizations",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("metadata", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("name", sa.String(length=250), nullable=False),
        sa.Column(
            "retry_after_days",
            sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
            nullable=False,
        ),
        sa.Column(
            "stop_on_decline_codes",
            sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
            nullable=False,
        ),
        sa.Column("final_action", sa.String(length=40), nullable=False),
        sa.Column("trial_end_action", sa.String(length=40), nullable=False),
        sa.Column("grace_period_days", sa.Integer(), nullable=True),
        sa.Column("settings", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organizations")),
    )
    op.create_table(
        "test_clocks",
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("metadata", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("name", sa.String(length=250), nullable=True),
        sa.Column("now", sa.DateTime(timezone=True), nullable=False),
        sa.Column("target", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_test_clocks")),
    )
    with op.batch_alter_table("test_clocks", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_test_clocks_due_at"), ["due_at"], unique=False)

    op.create_table(
        "billing_runs",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("as_of", sa.DateTime(timezone=True), nullable=False),
        sa.Column("is_dry_run", sa.Boolean(), nullable=False),
        sa.Column("test_clock_id", sa.String(), nullable=True),
        sa.Column("requested_by", sa.String(length=300), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("renewed", sa.Integer(), nullable=False),
        sa.Column("charged", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("skipped", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["test_clock_id"], ["test_clocks.id"], name=op.f("fk_billing_runs_test_clock_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_billing_runs")),
    )
    with op.batch_alter_table("billing_runs", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_billing_runs_test_clock_id"), ["test_clock_id"], unique=False)

    op.create_table(
        "promotion_codes",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("metadata", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("coupon_id", sa.String(), nullable=False),
        sa.Column("code", sa.String(length=100), nullable=False),
        sa.Column("folded", sa.String(length=200), nullable=False),
        sa.Column("max_redemptions", sa.Integer(), nullable=True),
        sa.Column("times_redeemed", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("first_purchase_only", sa.Boolean(), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["coupon_id"], ["coupons.id"], name=op.f("fk_promotion_codes_coupon_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_promotion_codes")),
    )
    with op.batch_alter_table("promotion_codes", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_promotion_codes_coupon_id"), ["coupon_id"], unique=False)
        batch_op.create_index(
            "uq_promotion_codes_active_folded",
            ["folded"],
            unique=True,
            sqlite_where=sa.text("is_active"),
            postgresql_where=sa.text("is_active"),
        )

    op.create_table(
        "billing_events",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("type", sa.String(length=100), nullable=False),
        sa.Column("subject_id", sa.String(length=40), nullable=False),
        sa.Column("customer_id", sa.String(), nullable=True),
        sa.Column("payload", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], name=op.f("fk_billing_events_customer_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_billing_events")),
    )
    with op.batch_alter_table("billing_events", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_billing_events_customer_id"), ["customer_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_billing_events_subject_id"), ["subject_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_billing_events_type"), ["type"], unique=False)

    op.create_table(
        "customer_balances",
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], name=op.f("fk_customer_balances_customer_id")),
        sa.PrimaryKeyConstraint("customer_id", "currency", name=op.f("pk_customer_balances")),
    )
    op.create_table(
        "plan_credits",
        sa.Column("plan_id", sa.String(), nullable=False),
        sa.Column("unit", sa.String(length=100), nullable=False),
        sa.Column("daily", sa.BigInteger(), nullable=True),
        sa.Column("total", sa.BigInteger(), nullable=True),
        sa.Column("is_fixed", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name=op.f("fk_plan_credits_plan_id")),
        sa.PrimaryKeyConstraint("plan_id", "unit", name=op.f("pk_plan_credits")),
    )
    op.create_table(
        "plan_entitlements",
        sa.Column("plan_id", sa.String(), nullable=False),
        sa.Column("feature_id", sa.String(), nullable=False),
        sa.Column("is_enabled", sa.Boolean(), nullable=False),
        sa.Column("limit", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["feature_id"], ["features.id"], name=op.f("fk_plan_entitlements_feature_id")),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name=op.f("fk_plan_entitlements_plan_id")),
        sa.PrimaryKeyConstraint("plan_id", "feature_id", name=op.f("pk_plan_entitlements")),
    )
    op.create_table(
        "used_trials",
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("product_id", sa.String(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], name=op.f("fk_used_trials_customer_id")),
        sa.ForeignKeyConstraint(["product_id"], ["products.id"], name=op.f("fk_used_trials_product_id")),
        sa.PrimaryKeyConstraint("customer_id", "product_id", name=op.f("pk_used_trials")),
    )
    op.create_table(
        "credit_balances",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("subscription_id", sa.String(), nullable=False),
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("unit", sa.String(length=100), nullable=False),
        sa.Column("daily", sa.BigInteger(), nullable=True),
        sa.Column("total_granted", sa.BigInteger(), nullable=False),
        sa.Column("total_used", sa.BigInteger(), nullable=False),
        sa.Column("remaining", sa.BigInteger(), nullable=False),
        sa.Column("used_today", sa.BigInteger(), nullable=False),
        sa.Column("used_on", sa.String(length=10), nullable=True),
        sa.Column("is_fixed", sa.Boolean(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], name=op.f("fk_credit_balances_customer_id")),
        sa.ForeignKeyConstraint(
            ["subscription_id"], ["subscriptions.id"], name=op.f("fk_credit_balances_subscription_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credit_balances")),
        sa.UniqueConstraint("subscription_id", "unit", name=op.f("uq_credit_balances_subscription_id_unit")),
    )
    with op.batch_alter_table("credit_balances", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_credit_balances_customer_id"), ["customer_id"], unique=False)

    op.create_table(
        "discounts",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("subscription_id", sa.String(), nullable=False),
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("coupon_id", sa.String(), nullable=False),
        sa.Column("promotion_code_id", sa.String(), nullable=True),
        sa.Column("status", sa.String(length=40), nullable=False),
        sa.Column("periods_used", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["coupon_id"], ["coupons.id"], name=op.f("fk_discounts_coupon_id")),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], name=op.f("fk_discounts_customer_id")),
        sa.ForeignKeyConstraint(
            ["promotion_code_id"], ["promotion_codes.id"], name=op.f("fk_discounts_promotion_code_id")
        ),
        sa.ForeignKeyConstraint(["subscription_id"], ["subscriptions.id"], name=op.f("fk_discounts_subscription_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_discounts")),
    )
    with op.batch_alter_table("discounts", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_discounts_coupon_id"), ["coupon_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_discounts_customer_id"), ["customer_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_discounts_subscription_id"), ["subscription_id"], unique=False)

    op.create_table(
        "scheduled_changes",
        sa.Column("subscription_id", sa.String(), nullable=False),
        sa.Column("plan_id", sa.String(), nullable=False),
        sa.Column("items", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("proration", sa.String(length=40), nullable=False),
        sa.Column("requested_by", sa.String(length=300), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["plan_id"], ["plans.id"], name=op.f("fk_scheduled_changes_plan_id")),
        sa.ForeignKeyConstraint(
            ["subscription_id"], ["subscriptions.id"], name=op.f("fk_scheduled_changes_subscription_id")
        ),
        sa.PrimaryKeyConstraint("subscription_id", name=op.f("pk_scheduled_changes")),
    )
    op.create_table(
        "billing_run_items",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("subscription_id", sa.String(), nullable=False),
        sa.Column("invoice_id", sa.String(), nullable=True),
        sa.Column("payment_id", sa.String(length=40), nullable=True),
        sa.Column("outcome", sa.String(length=100), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=True),
        sa.Column("amount_minor", sa.BigInteger(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoices.id"], name=op.f("fk_billing_run_items_invoice_id")),
        sa.ForeignKeyConstraint(["run_id"], ["billing_runs.id"], name=op.f("fk_billing_run_items_run_id")),
        sa.ForeignKeyConstraint(
            ["subscription_id"], ["subscriptions.id"], name=op.f("fk_billing_run_items_subscription_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_billing_run_items")),
    )
    with op.batch_alter_table("billing_run_items", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_billing_run_items_run_id"), ["run_id"], unique=False)

    op.create_table(
        "credit_entries",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("balance_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("balance_after", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("idempotency_key", sa.String(length=255), nullable=True),
        sa.Column("input_hash", sa.String(length=64), nullable=True),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["balance_id"], ["credit_balances.id"], name=op.f("fk_credit_entries_balance_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credit_entries")),
        sa.UniqueConstraint("balance_id", "idempotency_key", name=op.f("uq_credit_entries_balance_id_idempotency_key")),
    )
    op.create_table(
        "pending_lines",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("subscription_id", sa.String(), nullable=False),
        sa.Column("invoice_id", sa.String(), nullable=True),
        sa.Column("line", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoices.id"], name=op.f("fk_pending_lines_invoice_id")),
        sa.ForeignKeyConstraint(
            ["subscription_id"], ["subscriptions.id"], name=op.f("fk_pending_lines_subscription_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pending_lines")),
    )
    with op.batch_alter_table("pending_lines", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_pending_lines_subscription_id"), ["subscription_id"], unique=False)

    op.create_table(
        "usage_records",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("subscription_id", sa.String(), nullable=False),
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("feature_id", sa.String(), nullable=False),
        sa.Column("quantity", sa.String(length=40), nullable=False),
        sa.Column("unique_value", sa.String(length=255), nullable=True),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("idempotency_key", sa.String(length=255), nullable=False),
        sa.Column("input_hash", sa.String(length=64), nullable=False),
        sa.Column("invoice_id", sa.String(), nullable=True),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], name=op.f("fk_usage_records_customer_id")),
        sa.ForeignKeyConstraint(["feature_id"], ["features.id"], name=op.f("fk_usage_records_feature_id")),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoices.id"], name=op.f("fk_usage_records_invoice_id")),
        sa.ForeignKeyConstraint(
            ["subscription_id"], ["subscriptions.id"], name=op.f("fk_usage_records_subscription_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_usage_records")),
        sa.UniqueConstraint(
            "subscription_id", "idempotency_key", name=op.f("uq_usage_records_subscription_id_idempotency_key")
        ),
    )
    with op.batch_alter_table("usage_records", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_usage_records_customer_id"), ["customer_id"], unique=False)
        batch_op.create_index(
            "ix_usage_records_unbilled", ["subscription_id", "feature_id", "invoice_id"], unique=False
        )

    op.create_table(
        "credit_notes",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("number", sa.String(length=40), nullable=False),
        sa.Column("invoice_id", sa.String(), nullable=False),
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("refund_id", sa.String(), nullable=True),
        sa.Column("reason", sa.String(length=40), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("total_minor", sa.BigInteger(), nullable=False),
        sa.Column("lines", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], name=op.f("fk_credit_notes_customer_id")),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoices.id"], name=op.f("fk_credit_notes_invoice_id")),
        sa.ForeignKeyConstraint(["refund_id"], ["refunds.id"], name=op.f("fk_credit_notes_refund_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credit_notes")),
        sa.UniqueConstraint("number", name=op.f("uq_credit_notes_number")),
    )
    with op.batch_alter_table("credit_notes", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_credit_notes_customer_id"), ["customer_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_credit_notes_invoice_id"), ["invoice_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_credit_notes_refund_id"), ["refund_id"], unique=False)

    with op.batch_alter_table("customers", schema=None) as batch_op:
        batch_op.add_column(sa.Column("external_id", sa.String(length=255), nullable=True))
        batch_op.add_column(sa.Column("test_clock_id", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("last_credit_note_number", sa.Integer(), nullable=False, server_default="0"))
        batch_op.create_index(batch_op.f("ix_customers_test_clock_id"), ["test_clock_id"], unique=False)
        batch_op.create_unique_constraint(batch_op.f("uq_customers_external_id"), ["external_id"])
        batch_op.create_foreign_key(batch_op.f("fk_customers_test_clock_id"), "test_clocks", ["test_clock_id"], ["id"])

    with op.batch_alter_table("invoice_lines", schema=None) as batch_op:
        batch_op.add_column(sa.Column("kind", sa.String(length=40), nullable=False, server_default="recurring"))
        batch_op.add_column(sa.Column("product_id", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("item_id", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("discount_minor", sa.BigInteger(), nullable=False, server_default="0"))
        batch_op.add_column(sa.Column("tax_minor", sa.BigInteger(), nullable=False, server_default="0"))
        batch_op.add_column(sa.Column("tax_percent", sa.String(length=40), nullable=True))
        batch_op.alter_column(
            "quantity",
            existing_type=sa.INTEGER(),
            type_=sa.String(length=40),
            existing_nullable=False,
            postgresql_using="quantity::text",
        )
        batch_op.alter_column("unit_amount_minor", existing_type=sa.BIGINT(), nullable=True)
        batch_op.create_index(batch_op.f("ix_invoice_lines_item_id"), ["item_id"], unique=False)
        batch_op.create_foreign_key(batch_op.f("fk_invoice_lines_product_id"), "products", ["product_id"], ["id"])
        batch_op.create_foreign_key(batch_op.f("fk_invoice_lines_item_id"), "subscription_items", ["item_id"], ["id"])

    with op.batch_alter_table("invoices", schema=None) as batch_op:
        batch_op.add_column(sa.Column("due_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("first_failed_at", sa.DateTime(timezone=True), nullable=True))

    with op.batch_alter_table("live_places", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("uq_live_places_subscription_id"), type_="unique")
        batch_op.create_index(batch_op.f("ix_live_places_subscription_id"), ["subscription_id"], unique=False)

    with op.batch_alter_table("payments", schema=None) as batch_op:
        batch_op.add_column(sa.Column("give_up_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("test_clock_id", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("reference", sa.String(length=255), nullable=True))
        batch_op.add_column(sa.Column("paid_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.drop_constraint(batch_op.f("uq_payments_invoice_id"), type_="unique")
        batch_op.create_index(batch_op.f("ix_payments_give_up_at"), ["give_up_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_payments_invoice_id"), ["invoice_id"], unique=False)
        batch_op.create_index(
            "uq_payments_collected_invoice",
            ["invoice_id"],
            unique=True,
            sqlite_where=sa.text("platform <> 'manual'"),
            postgresql_where=sa.text("platform <> 'manual'"),
        )
        batch_op.create_foreign_key(batch_op.f("fk_payments_test_clock_id"), "test_clocks", ["test_clock_id"], ["id"])

    with op.batch_alter_table("plans", schema=None) as batch_op:
        batch_op.add_column(sa.Column("nickname", sa.String(length=250), nullable=True))
        batch_op.add_column(sa.Column("usage_type", sa.String(length=40), nullable=False, server_default="licensed"))
        batch_op.add_column(sa.Column("aggregate_usage", sa.String(length=40), nullable=True))
        batch_op.add_column(sa.Column("meter_feature_id", sa.String(), nullable=True))
        batch_op.add_column(
            sa.Column("billing_scheme", sa.String(length=40), nullable=False, server_default="per_unit")
        )
        batch_op.add_column(sa.Column("tiers_mode", sa.String(length=40), nullable=True))
        batch_op.add_column(sa.Column("divide_by", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("divide_round", sa.String(length=40), nullable=True))
        batch_op.add_column(sa.Column("tax_percent", sa.String(length=40), nullable=True))
        batch_op.create_foreign_key(batch_op.f("fk_plans_meter_feature_id"), "features", ["meter_feature_id"], ["id"])

    with op.batch_alter_table("prices", schema=None) as batch_op:
        batch_op.add_column(sa.Column("unit_amount_decimal", sa.String(length=40), nullable=True))
        batch_op.add_column(
            sa.Column(
                "tiers", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False, server_default="[]"
            )
        )

    with op.batch_alter_table("products", schema=None) as batch_op:
        batch_op.add_column(sa.Column("type", sa.String(length=40), nullable=False, server_default="service"))
        batch_op.add_column(
            sa.Column(
                "images", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False, server_default="[]"
            )
        )
        batch_op.add_column(
            sa.Column(
                "attributes",
                sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
                nullable=False,
                server_default="[]",
            )
        )
        batch_op.add_column(sa.Column("unit_label", sa.String(length=40), nullable=True))
        batch_op.add_column(sa.Column("statement_descriptor", sa.String(length=22), nullable=True))
        batch_op.add_column(sa.Column("shippable", sa.Boolean(), nullable=False, server_default=sa.false()))

    with op.batch_alter_table("refunds", schema=None) as batch_op:
        batch_op.add_column(sa.Column("due_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("leased_until", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("fence", sa.Integer(), nullable=False, server_default="0"))
        batch_op.add_column(sa.Column("tries", sa.Integer(), nullable=False, server_default="0"))
        batch_op.add_column(sa.Column("requested_by", sa.String(length=300), nullable=True))
        batch_op.create_index(batch_op.f("ix_refunds_due_at"), ["due_at"], unique=False)

    with op.batch_alter_table("subscription_items", schema=None) as batch_op:
        batch_op.add_column(sa.Column("product_id", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("unit_amount_minor", sa.BigInteger(), nullable=True))
        batch_op.add_column(
            sa.Column(
                "metadata",
                sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
                nullable=False,
                server_default="{}",
            )
        )
        batch_op.add_column(sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.drop_constraint(batch_op.f("uq_subscription_items_subscription_id_price_id"), type_="unique")
        batch_op.create_index(
            "uq_subscription_items_live_price",
            ["subscription_id", "price_id"],
            unique=True,
            sqlite_where=sa.text("ended_at IS NULL"),
            postgresql_where=sa.text("ended_at IS NULL"),
        )
        batch_op.create_foreign_key(batch_op.f("fk_subscription_items_product_id"), "products", ["product_id"], ["id"])
    # An item's product has been its plan's so far.
    op.execute(
        "UPDATE subscription_items SET product_id = "
        "(SELECT plans.product_id FROM plans WHERE plans.id = subscription_items.plan_id)"
    )
    with op.batch_alter_table("subscription_items", schema=None) as batch_op:
        batch_op.alter_column("product_id", existing_type=sa.String(), nullable=False)

    with op.batch_alter_table("subscriptions", schema=None) as batch_op:
        batch_op.add_column(sa.Column("test_clock_id", sa.String(), nullable=True))
        batch_op.add_column(
            sa.Column("collection_method", sa.String(length=40), nullable=False, server_default="charge_automatically")
        )
        batch_op.add_column(sa.Column("days_until_due", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("tax_percent", sa.String(length=40), nullable=True))
        batch_op.add_column(sa.Column("billing_day", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("trial_start", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("trial_end", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("trial_end_announced_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("ends_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("change_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("pause_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("paused_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("resume_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("given_up_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.alter_column(
            "origin", existing_type=sa.VARCHAR(length=20), type_=sa.String(length=40), existing_nullable=False
        )
        batch_op.create_foreign_key(
            batch_op.f("fk_subscriptions_test_clock_id"), "test_clocks", ["test_clock_id"], ["id"]
        )


def downgrade() -> None:
    with op.batch_alter_table("subscriptions", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("fk_subscriptions_test_clock_id"), type_="foreignkey")
        batch_op.alter_column(
            "origin", existing_type=sa.String(length=40), type_=sa.VARCHAR(length=20), existing_nullable=False
        )
        batch_op.drop_column("given_up_at")
        batch_op.drop_column("resume_at")
        batch_op.drop_column("paused_at")
        batch_op.drop_column("pause_at")
        batch_op.drop_column("change_at")
        batch_op.drop_column("ends_at")
        batch_op.drop_column("trial_end_announced_at")
        batch_op.drop_column("trial_end")
        batch_op.drop_column("trial_start")
        batch_op.drop_column("billing_day")
        batch_op.drop_column("tax_percent")
        batch_op.drop_column("days_until_due")
        batch_op.drop_column("collection_method")
        batch_op.drop_column("test_clock_id")

    with op.batch_alter_table("subscription_items", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("fk_subscription_items_product_id"), type_="foreignkey")
        batch_op.drop_index(
            "uq_subscription_items_live_price",
            sqlite_where=sa.text("ended_at IS NULL"),
            postgresql_where=sa.text("ended_at IS NULL"),
        )
        batch_op.create_unique_constraint(
            batch_op.f("uq_subscription_items_subscription_id_price_id"), ["subscription_id", "price_id"]
        )
        batch_op.drop_column("ended_at")
        batch_op.drop_column("metadata")
        batch_op.drop_column("unit_amount_minor")
        batch_op.drop_column("product_id")

    with op.batch_alter_table("refunds", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_refunds_due_at"))
        batch_op.drop_column("requested_by")
        batch_op.drop_column("tries")
        batch_op.drop_column("fence")
        batch_op.drop_column("leased_until")
        batch_op.drop_column("due_at")

    with op.batch_alter_table("products", schema=None) as batch_op:
        batch_op.drop_column("shippable")
        batch_op.drop_column("statement_descriptor")
        batch_op.drop_column("unit_label")
        batch_op.drop_column("attributes")
        batch_op.drop_column("images")
        batch_op.drop_column("type")

    with op.batch_alter_table("prices", schema=None) as batch_op:
        batch_op.drop_column("tiers")
        batch_op.drop_column("unit_amount_decimal")

    with op.batch_alter_table("plans", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("fk_plans_meter_feature_id"), type_="foreignkey")
        batch_op.drop_column("tax_percent")
        batch_op.drop_column("divide_round")
        batch_op.drop_column("divide_by")
        batch_op.drop_column("tiers_mode")
        batch_op.drop_column("billing_scheme")
        batch_op.drop_column("meter_feature_id")
        batch_op.drop_column("aggregate_usage")
        batch_op.drop_column("usage_type")
        batch_op.drop_column("nickname")

    with op.batch_alter_table("payments", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("fk_payments_test_clock_id"), type_="foreignkey")
        batch_op.drop_index(
            "uq_payments_collected_invoice",
            sqlite_where=sa.text("platform <> 'manual'"),
            postgresql_where=sa.text("platform <> 'manual'"),
        )
        batch_op.drop_index(batch_op.f("ix_payments_invoice_id"))
        batch_op.drop_index(batch_op.f("ix_payments_give_up_at"))
        batch_op.create_unique_constraint(batch_op.f("uq_payments_invoice_id"), ["invoice_id"])
        batch_op.drop_column("paid_at")
        batch_op.drop_column("reference")
        batch_op.drop_column("test_clock_id")
        batch_op.drop_column("give_up_at")

    with op.batch_alter_table("live_places", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_live_places_subscription_id"))
        batch_op.create_unique_constraint(batch_op.f("uq_live_places_subscription_id"), ["subscription_id"])

    with op.batch_alter_table("invoices", schema=None) as batch_op:
        batch_op.drop_column("first_failed_at")
        batch_op.drop_column("due_at")

    with op.batch_alter_table("invoice_lines", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("fk_invoice_lines_item_id"), type_="foreignkey")
        batch_op.drop_constraint(batch_op.f("fk_invoice_lines_product_id"), type_="foreignkey")
        batch_op.drop_index(batch_op.f("ix_invoice_lines_item_id"))
        batch_op.alter_column("unit_amount_minor", existing_type=sa.BIGINT(), nullable=False)
        batch_op.alter_column(
            "quantity",
            existing_type=sa.String(length=40),
            type_=sa.INTEGER(),
            existing_nullable=False,
            postgresql_using="round(quantity::numeric)::integer",
        )
        batch_op.drop_column("tax_percent")
        batch_op.drop_column("tax_minor")
        batch_op.drop_column("discount_minor")
        batch_op.drop_column("item_id")
        batch_op.drop_column("product_id")
        batch_op.drop_column("kind")

    with op.batch_alter_table("customers", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("fk_customers_test_clock_id"), type_="foreignkey")
        batch_op.drop_constraint(batch_op.f("uq_customers_external_id"), type_="unique")
        batch_op.drop_index(batch_op.f("ix_customers_test_clock_id"))
        batch_op.drop_column("last_credit_note_number")
        batch_op.drop_column("test_clock_id")
        batch_op.drop_column("external_id")

    with op.batch_alter_table("credit_notes", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_credit_notes_refund_id"))
        batch_op.drop_index(batch_op.f("ix_credit_notes_invoice_id"))
        batch_op.drop_index(batch_op.f("ix_credit_notes_customer_id"))

    op.drop_table("credit_notes")
    with op.batch_alter_table("usage_records", schema=None) as batch_op:
        batch_op.drop_index("ix_usage_records_unbilled")
        batch_op.drop_index(batch_op.f("ix_usage_records_customer_id"))

    op.drop_table("usage_records")
    with op.batch_alter_table("pending_lines", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_pending_lines_subscription_id"))

    op.drop_table("pending_lines")
    op.drop_table("credit_entries")
    with op.batch_alter_table("billing_run_items", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_billing_run_items_run_id"))

    op.drop_table("billing_run_items")
    op.drop_table("scheduled_changes")
    with op.batch_alter_table("discounts", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_discounts_subscription_id"))
        batch_op.drop_index(batch_op.f("ix_discounts_customer_id"))
        batch_op.drop_index(batch_op.f("ix_discounts_coupon_id"))

    op.drop_table("discounts")
    with op.batch_alter_table("credit_balances", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_credit_balances_customer_id"))

    op.drop_table("credit_balances")
    op.drop_table("used_trials")
    op.drop_table("plan_entitlements")
    op.drop_table("plan_credits")
    op.drop_table("customer_balances")
    with op.batch_alter_table("billing_events", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_billing_events_type"))
        batch_op.drop_index(batch_op.f("ix_billing_events_subject_id"))
        batch_op.drop_index(batch_op.f("ix_billing_events_customer_id"))

    op.drop_table("billing_events")
    with op.batch_alter_table("promotion_codes", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_promotion_codes_active_folded", sqlite_where=sa.text("is_active"), postgresql_where=sa.text("is_active")
        )
        batch_op.drop_index(batch_op.f("ix_promotion_codes_coupon_id"))

    op.drop_table("promotion_codes")
    with op.batch_alter_table("billing_runs", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_billing_runs_test_clock_id"))

    op.drop_table("billing_runs")
    with op.batch_alter_table("test_clocks", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_test_clocks_due_at"))

    op.drop_table("test_clocks")
    op.drop_table("organizations")
    op.drop_table("features")
    op.drop_table("coupons")
