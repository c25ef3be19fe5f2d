"""Addresses of databases, written without a driver, as the drivers that are installed want them.

May import: nothing of ours.
"""

from sqlalchemy import URL, make_url

_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}


def with_driver(url: str) -> URL:
    """What PostgreSQL's own programs and those who rent it out call `sslmode` is `ssl` to SQLAlchemy's driver."""
    parsed = make_url(url)
    address = parsed.set(drivername=_DRIVERS[parsed.drivername])
    if (mode := parsed.query.get("sslmode")) is None:
        return address
    return address.difference_update_query(["sslmode"]).update_query_dict({"ssl": mode})
