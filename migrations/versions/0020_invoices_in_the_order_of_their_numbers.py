"""Invoices of one instant are listed in the order of their numbers

Their ids are derived and sort by nothing. The indexes with the numbers stand before those with the ids go.

Revision: 0020
Follows: 0019
"""

from migrations.beside import create_index, drop_index

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_BY_ID = {
    "ix_invoices_listed": ("created_at", "period_start", "id"),
    "ix_invoices_status_listed": ("status", "created_at", "period_start", "id"),
}
_BY_NUMBER = {
    "ix_invoices_issued": ("created_at", "period_start", "number"),
    "ix_invoices_status_issued": ("status", "created_at", "period_start", "number"),
}


def upgrade() -> None:
    for name, columns in _BY_NUMBER.items():
        create_index(name, "invoices", columns)
    for name in _BY_ID:
        drop_index(name, "invoices")


def downgrade() -> None:
    for name, columns in _BY_ID.items():
        create_index(name, "invoices", columns)
    for name in _BY_NUMBER:
        drop_index(name, "invoices")
