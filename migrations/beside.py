"""What a migration does while the old code still runs on the same tables.

On PostgreSQL an index is built beside the writers, who wait for nothing; SQLite has one writer anyway.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

LOCK_SECONDS = 3
"""A statement that waits for a table makes everybody behind it wait: it gives up, and the migration is tried again."""

TRIES = 20


def create_index(name: str, table: str, columns: Sequence[str], *, where: str | None = None) -> None:
    """Also where an earlier try has left half of it."""
    condition = sa.text(where) if where is not None else None
    if op.get_bind().dialect.name != "postgresql":
        op.create_index(name, table, [sa.text(column) for column in columns], sqlite_where=condition)
        return
    with op.get_context().autocommit_block():
        _wait_for_readers()
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
        op.create_index(
            name,
            table,
            [sa.text(column) for column in columns],
            postgresql_where=condition,
            postgresql_concurrently=True,
        )
        _wait_for_nobody()


def drop_index(name: str, table: str) -> None:
    if op.get_bind().dialect.name != "postgresql":
        op.drop_index(name, table_name=table)
        return
    with op.get_context().autocommit_block():
        _wait_for_readers()
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
        _wait_for_nobody()


def _wait_for_readers() -> None:
    """Whoever builds beside others waits for their transactions to end, and holds nobody up meanwhile."""
    op.execute("SET lock_timeout = 0")


def _wait_for_nobody() -> None:
    op.execute(f"SET lock_timeout = '{LOCK_SECONDS}s'")
