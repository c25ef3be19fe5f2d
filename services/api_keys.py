"""API keys of the application's back end: made, recognised, revoked.

A secret is `prk_`, 12 hexadecimal digits that are public and find the row, `_`, and 256 random bits. Only its
HMAC-SHA256 under a key of this installation is kept. Whether one still holds is read anew for each request, so a
revoked key is refused at once by every process. All of it goes by the security clock.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from billing.errors import ErrorCode, UserProblem
from models.api_keys import ApiKey, api_key_of_prefix, count_unrevoked, locked_api_key, note_use
from models.base import new_id
from services.app import Actor, App
from services.changes import Why, remember
from services.problems import not_found
from services.scopes import SCOPE_MEANINGS, Scope

MACHINE = "api_key"
MOST_KEYS = 100
LONGEST_NAME = 100
BETWEEN_USES = timedelta(minutes=1)
_SECRET = re.compile(r"(prk_[0-9a-f]{12})_[A-Za-z0-9_-]{43}")
_NO_DIGEST = bytes(hashlib.sha256().digest_size)


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A new key with its secret, which nobody can tell a second time."""

    row: ApiKey
    secret: str = field(repr=False)


async def create_api_key(
    app: App, actor: Actor, *, name: str, scopes: Sequence[str], expires_at: datetime | None
) -> IssuedKey:
    """Make a key. Raises UserProblem REQUIRED, INVALID, INVALID_STATE."""
    now = app.machine_now()
    name = name.strip()
    if not 1 <= len(name) <= LONGEST_NAME:
        raise UserProblem(ErrorCode.INVALID, f"name has 1 to {LONGEST_NAME} characters.", ["name"])
    if expires_at is not None and expires_at <= now:
        raise UserProblem(ErrorCode.INVALID, "expiresAt lies in the past.", ["expiresAt"])
    wanted = _known(scopes)
    prefix = f"prk_{secrets.token_hex(6)}"
    secret = f"{prefix}_{secrets.token_urlsafe(32)}"
    row = ApiKey(
        id=new_id("api_key"),
        name=name,
        prefix=prefix,
        digest=_digest(app, secret),
        scopes=[scope.value for scope in wanted],
        created_by=str(actor),
        created_at=now,
        expires_at=expires_at,
    )
    async with app.database.write() as session:
        if await count_unrevoked(session) >= MOST_KEYS:
            raise UserProblem(ErrorCode.INVALID_STATE, f"There are {MOST_KEYS} keys already: revoke one first.")
        session.add(row)
        remember(session, MACHINE, row.id, None, "active", Why("createApiKey", actor, now))
    return IssuedKey(row, secret)


async def revoke_api_key(app: App, actor: Actor, api_key_id: str) -> ApiKey:
    """Refuse the key from now on. Repeating it changes nothing. Raises UserProblem NOT_FOUND."""
    now = app.machine_now()
    async with app.database.write() as session:
        row = await locked_api_key(session, api_key_id)
        if row is None:
            raise not_found("API key", "id")
        if row.revoked_at is None:
            row.revoked_at = now
            remember(session, MACHINE, row.id, "active", "revoked", Why("revokeApiKey", actor, now))
        return row


async def holder_of(app: App, secret: str) -> ApiKey | None:
    """The key whose secret this is, if it holds now; its use is remembered, at most once a minute."""
    shape = _SECRET.fullmatch(secret)
    if shape is None:
        return None
    now = app.machine_now()
    async with app.database.read() as session:
        row = await api_key_of_prefix(session, shape[1])
    # An unknown prefix costs the same comparison as a wrong secret.
    matches = hmac.compare_digest(_digest(app, secret), row.digest if row is not None else _NO_DIGEST)
    if row is None or not matches or not _holds(row, now):
        return None
    if row.last_used_at is None or row.last_used_at <= now - BETWEEN_USES:
        async with app.database.write() as session:
            await note_use(session, row.id, now=now, unless_since=now - BETWEEN_USES)
    return row


def scopes_of(row: ApiKey) -> frozenset[Scope]:
    """What the key may do; words that no longer mean anything open nothing."""
    return frozenset(scope for scope in Scope if scope.value in row.scopes)


def _holds(row: ApiKey, now: datetime) -> bool:
    return row.revoked_at is None and (row.expires_at is None or row.expires_at > now)


def _known(scopes: Sequence[str]) -> list[Scope]:
    """The scopes of these names, each once, in the table's order."""
    choice = ", ".join(SCOPE_MEANINGS)
    if not scopes:
        raise UserProblem(ErrorCode.REQUIRED, f"A key without a scope opens nothing: give of {choice}.", ["scopes"])
    unknown = sorted(set(scopes) - set(Scope))
    if unknown:
        raise UserProblem(ErrorCode.INVALID, f"The scopes are {choice}; there is no {unknown[0][:40]!r}.", ["scopes"])
    return [scope for scope in Scope if scope.value in scopes]


def _digest(app: App, secret: str) -> bytes:
    return hmac.digest(app.api_key_key, secret.encode(), "sha256")
