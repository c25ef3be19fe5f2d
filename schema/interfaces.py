"""What types have in common."""

from datetime import datetime
from typing import Any, Protocol

import strawberry

from schema.fields import described


@strawberry.interface(description="Anything with an id; `node(id)` finds it again.")
class Node:
    id: strawberry.ID = described("Opaque, prefixed by type, and ours: never an id of the gateway.")


@strawberry.interface(description="A stored object with its optimistic lock and life span.")
class Record:
    id: strawberry.ID = described("Opaque, prefixed by type, and ours: never an id of the gateway.")
    version: int = described("Grows with each change. Give it as `expectedVersion` to change only what you have seen.")
    created_at: datetime = described("When it came into being.")
    updated_at: datetime = described("When it last changed.")
    archived_at: datetime | None = described("When it was withdrawn; null while it is in use.")
    is_archived: bool = described("Whether it was withdrawn. Nothing is ever deleted.")


class _Row(Protocol):
    """Of what a record's columns are read."""

    id: str
    version: int
    created_at: datetime
    updated_at: datetime
    archived_at: datetime | None


def record_fields(row: _Row) -> dict[str, Any]:
    return {
        "id": strawberry.ID(row.id),
        "version": row.version,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
        "archived_at": row.archived_at,
        "is_archived": row.archived_at is not None,
    }
