"""Keys of back ends: what is needed to recognise one and what it may do, never the secret itself."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import LargeBinary, or_, update
from sqlmodel import Field, SQLModel, col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from models.audit_log import Audited
from models.base import DOCUMENT, UTCDateTime


class ApiKey(SQLModel, table=True):
    """One key. `digest` is the secret's HMAC-SHA256 (32 bytes); all instants are of the security clock.

    `prefix` is the public part of the secret, by which it is found and shown. `created_by` names an actor.
    """

    __tablename__ = "api_keys"
    __audited__ = Audited(unseen=frozenset(("digest", "last_used_at")))

    id: str = Field(primary_key=True, max_length=40)
    name: str = Field(max_length=100)
    prefix: str = Field(unique=True, max_length=16)
    digest: bytes = Field(sa_type=LargeBinary, repr=False)
    scopes: list[str] = Field(sa_type=DOCUMENT)
    created_by: str = Field(max_length=300)
    created_at: datetime = Field(sa_type=UTCDateTime)
    expires_at: datetime | None = Field(default=None, sa_type=UTCDateTime)
    last_used_at: datetime | None = Field(default=None, sa_type=UTCDateTime)
    revoked_at: datetime | None = Field(default=None, sa_type=UTCDateTime)


async def api_key_of_prefix(session: AsyncSession, prefix: str) -> ApiKey | None:
    return (await session.exec(select(ApiKey).where(ApiKey.prefix == prefix))).first()


async def locked_api_key(session: AsyncSession, api_key_id: str) -> ApiKey | None:
    return await session.get(ApiKey, api_key_id, with_for_update=True)


async def api_keys(session: AsyncSession, *, limit: int) -> Sequence[ApiKey]:
    """Those that were not revoked first, the newest of each first."""
    query = select(ApiKey).order_by(col(ApiKey.revoked_at).is_not(None), col(ApiKey.id).desc()).limit(limit)
    return (await session.exec(query)).all()


async def count_unrevoked(session: AsyncSession) -> int:
    query = select(func.count()).select_from(ApiKey).where(col(ApiKey.revoked_at).is_(None))
    return (await session.exec(query)).one()


async def note_use(session: AsyncSession, api_key_id: str, *, now: datetime, unless_since: datetime) -> None:
    """Remember that the key was used at `now`, unless a use after `unless_since` is remembered."""
    older = or_(col(ApiKey.last_used_at).is_(None), col(ApiKey.last_used_at) <= unless_since)
    await session.exec(update(ApiKey).where(col(ApiKey.id) == api_key_id, older).values(last_used_at=now))
