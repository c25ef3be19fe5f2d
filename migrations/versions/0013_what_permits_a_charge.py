"""What permits a charge, and where a failed saving leads

Revision: 0013
Follows: 0012
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    document = sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql")
    with op.batch_alter_table("payment_methods", schema=None) as batch_op:
        batch_op.add_column(sa.Column("mandate", document, nullable=True))
    with op.batch_alter_table("setup_intents", schema=None) as batch_op:
        batch_op.add_column(sa.Column("error_url", sa.String(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("setup_intents", schema=None) as batch_op:
        batch_op.drop_column("error_url")
    with op.batch_alter_table("payment_methods", schema=None) as batch_op:
        batch_op.drop_column("mandate")
