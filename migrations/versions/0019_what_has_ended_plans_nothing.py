"""What has ended plans nothing, and keeps no product's place

A subscription that ended with a change planned kept the plan; taking that back made it hold its products again, so that
its customer could not subscribe to them.

Revision: 0019
Follows: 0018
"""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_ENDED = "SELECT id FROM subscriptions WHERE ended_at IS NOT NULL"


def upgrade() -> None:
    for table in ("scheduled_changes", "live_places"):
        op.execute(f"DELETE FROM {table} WHERE subscription_id IN ({_ENDED})")  # noqa: S608 (all of it stands here)
    op.execute("UPDATE subscriptions SET change_at = NULL WHERE ended_at IS NOT NULL AND change_at IS NOT NULL")


def downgrade() -> None:
    """There is nothing to undo: what was deleted meant nothing."""
