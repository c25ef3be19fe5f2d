"""Indexes of what is due and of every list

Revision: 0018
Follows: 0017
"""

from alembic import op

from migrations.beside import create_index, drop_index

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

# Name, table, columns, and of which rows.
_NEW = (
    ("ix_subscriptions_due_at_set", "subscriptions", ("due_at",), "due_at IS NOT NULL"),
    ("ix_subscriptions_status_id", "subscriptions", ("status", "id"), None),
    (
        "ix_subscriptions_test_clock_id_due_at",
        "subscriptions",
        ("test_clock_id", "due_at"),
        "test_clock_id IS NOT NULL",
    ),
    ("ix_payments_due_at_set", "payments", ("due_at",), "due_at IS NOT NULL"),
    ("ix_payments_collect_at_set", "payments", ("collect_at",), "collect_at IS NOT NULL"),
    ("ix_payments_give_up_at_set", "payments", ("give_up_at",), "give_up_at IS NOT NULL"),
    ("ix_payments_test_clock_id_set", "payments", ("test_clock_id",), "test_clock_id IS NOT NULL"),
    ("ix_payments_reference_set", "payments", ("reference",), "reference IS NOT NULL"),
    ("ix_payments_status_number", "payments", ("status", "number"), None),
    ("ix_collection_intents_gateway_ref", "collection_intents", ("gateway_ref",), None),
    ("ix_invoices_listed", "invoices", ("created_at", "period_start", "id"), None),
    ("ix_invoices_status_listed", "invoices", ("status", "created_at", "period_start", "id"), None),
    ("ix_gateway_events_due_at_set", "gateway_events", ("due_at",), "due_at IS NOT NULL"),
    ("ix_gateway_events_unprocessed", "gateway_events", ("status", "id"), "status <> 'processed'"),
    ("ix_webhook_deliveries_due_at_set", "webhook_deliveries", ("due_at",), "due_at IS NOT NULL"),
    (
        "ix_webhook_deliveries_endpoint_id_due_at_set",
        "webhook_deliveries",
        ("endpoint_id", "due_at"),
        "due_at IS NOT NULL",
    ),
    ("ix_refunds_due_at_set", "refunds", ("due_at",), "due_at IS NOT NULL"),
    ("ix_gateway_accounts_platform_due_at_set", "gateway_accounts", ("platform", "due_at"), "due_at IS NOT NULL"),
)
# Of all rows, most of which are never due again.
_OLD = (
    *((table, "due_at") for table in ("subscriptions", "payments", "gateway_events", "webhook_deliveries", "refunds")),
    *((table, "due_at") for table in ("gateway_accounts", "test_clocks", "timers")),
    ("payments", "collect_at"),
    ("payments", "give_up_at"),
)


def upgrade() -> None:
    for name, table, columns, where in _NEW:
        create_index(name, table, columns, where=where)
    if op.get_bind().dialect.name == "postgresql":
        create_index("ix_customers_lower_email", "customers", ("lower(email)",))
    for table, column in _OLD:
        drop_index(f"ix_{table}_{column}", table)


def downgrade() -> None:
    for table, column in _OLD:
        create_index(f"ix_{table}_{column}", table, (column,))
    if op.get_bind().dialect.name == "postgresql":
        drop_index("ix_customers_lower_email", "customers")
    for name, table, _columns, _where in reversed(_NEW):
        drop_index(name, table)
