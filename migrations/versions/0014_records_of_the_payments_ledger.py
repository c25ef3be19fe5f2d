"""Records of the payments ledger

Revision: 0014
Follows: 0013
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_DOCUMENT = sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql")
_RECORDS_THAT_STAND = sa.text("gateway_status IS NOT NULL AND archived_at IS NULL")


def upgrade() -> None:
    with op.batch_alter_table("payments", schema=None) as batch_op:
        batch_op.add_column(sa.Column("gateway_status", sa.String(length=100), nullable=True))
        batch_op.add_column(sa.Column("error_url", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("metadata", _DOCUMENT, nullable=False, server_default="{}"))
        batch_op.add_column(sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True))
        batch_op.create_index(
            "uq_payments_standing_record",
            ["reference"],
            unique=True,
            sqlite_where=_RECORDS_THAT_STAND,
            postgresql_where=_RECORDS_THAT_STAND,
        )


def downgrade() -> None:
    with op.batch_alter_table("payments", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_payments_standing_record",
            sqlite_where=_RECORDS_THAT_STAND,
            postgresql_where=_RECORDS_THAT_STAND,
        )
        batch_op.drop_column("archived_at")
        batch_op.drop_column("metadata")
        batch_op.drop_column("error_url")
        batch_op.drop_column("gateway_status")
