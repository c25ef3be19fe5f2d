"""How an instant is written wherever somebody reads it: in answers, messages, events and the audit log."""

from datetime import UTC, datetime


def written(instant: datetime) -> str:
    """RFC 3339 in UTC with a Z; the fraction only if there is one."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
