"""Who is calling: an access token becomes an Identity.

Owns: roles, identities, the checks of a token and the refusal of access. Does not own: which field needs which role,
API keys (callers).
"""

import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, NoReturn, Protocol

import jwt
import orjson

from resolvers.keys import KeySet, KeysUnavailable, SigningKey
from services.scopes import Scope
from settings import Settings

# An issuer's clock may run a little ahead of ours; an expired token is expired, to the second.
CLOCK_SKEW = timedelta(seconds=5)
MAX_TOKEN_LENGTH = 8_192
MAX_SUBJECT_LENGTH = 255
# Headers that name or carry a key of the sender's own choice, or change what the signature covers.
REFUSED_HEADERS = ("crit", "b64", "jku", "jwk", "x5u", "x5c", "zip")
ACCESS_TOKEN_TYPES = ("jwt", "at+jwt", "application/at+jwt")
# How issuers mark a token that must not open the API, besides `token_use`.
OTHER_USES = ("refresh", "id", "offline", "logout")
LAST_SECOND = datetime(9999, 12, 31, tzinfo=UTC).timestamp()


class Role(StrEnum):
    PUBLIC = "public"
    CUSTOMER = "customer"
    SUPPORT = "support"
    ADMIN = "admin"
    SERVICE = "service"


TOKEN_ROLES: Mapping[str, Role] = {role.value: role for role in (Role.CUSTOMER, Role.SUPPORT, Role.ADMIN)}


@dataclass(frozen=True, slots=True)
class Identity:
    """The caller of one request. `user_id` is the token's subject; `expires_at` ends live updates.

    A SERVICE has a key's id and scopes instead of a user.
    """

    role: Role
    user_id: str | None = None
    email: str | None = None
    name: str | None = None
    expires_at: datetime | None = None
    api_key_id: str | None = None
    scopes: frozenset[Scope] = frozenset()


NOBODY = Identity(Role.PUBLIC)


class TokenRefused(Exception):
    """The request carries a credential that does not hold; `reason` is for the log and names no value."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class AccessDenied(Exception):
    """A field is not for this caller. `code` is UNAUTHENTICATED for nobody, FORBIDDEN for anybody else."""

    def __init__(self, identity: Identity, message: str | None = None) -> None:
        nobody = identity.role is Role.PUBLIC
        self.code = "UNAUTHENTICATED" if nobody else "FORBIDDEN"
        default = (
            "Sign in first: send 'Authorization: Bearer <access token>'."
            if nobody
            else f"The role {identity.role.value} may not do this."
        )
        self.message = message or default
        super().__init__(self.message)


class Keys(Protocol):
    async def find(self, kid: str | None, now: datetime) -> SigningKey | None: ...


class SharedSecret:
    """The one HMAC key; a `kid` chooses nothing."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    async def find(self, kid: str | None, now: datetime) -> SigningKey | None:
        return self._secret


class TokenVerifier:
    """Checks access tokens with exactly one algorithm, issuer and audience.

    Times are judged by the `now` passed in, the security clock's: `exp` without any leeway, `nbf` and `iat` with
    5 seconds for an issuer whose clock runs ahead.
    """

    def __init__(self, settings: Settings, keys: Keys | None = None) -> None:
        self._algorithm = settings.jwt_algorithm
        self._issuer = settings.jwt_issuer
        self._audience = settings.jwt_audience
        self._jws = jwt.PyJWS(algorithms=[self._algorithm])
        if keys is not None:
            self._keys = keys
        elif settings.jwt_jwks_url is not None:
            self._keys = KeySet(settings.jwt_jwks_url, self._algorithm)
        else:
            self._keys = SharedSecret(settings.token_secret)

    async def identify(self, authorization: Sequence[str], now: datetime) -> Identity:
        """The caller by all Authorization headers of a request: none is NOBODY, else one Bearer token that holds."""
        if not authorization:
            return NOBODY
        if len(authorization) > 1:
            raise TokenRefused("several authorization headers")
        scheme, _, token = authorization[0].strip().partition(" ")
        if scheme.lower() != "bearer":
            raise TokenRefused("not the bearer scheme")
        return await self.verify(token.strip(), now)

    async def verify(self, token: str, now: datetime) -> Identity:
        """The identity that `token` proves at `now`, or TokenRefused. KeysUnavailable if the issuer is out of reach."""
        header = self._header(token)
        key = await self._keys.find(header.get("kid"), now)
        if key is None:
            _refuse("no such signing key")
        try:
            payload = self._jws.decode(token, key, algorithms=[self._algorithm])
            claims = orjson.loads(payload)
        except (jwt.PyJWTError, ValueError, TypeError):
            raise TokenRefused("the signature does not hold") from None
        if not isinstance(claims, dict):
            _refuse("the claims are no object")
        return self._identity(claims, now)

    def _header(self, token: str) -> dict[str, Any]:
        """The unverified header, once it asks for nothing but the configured algorithm."""
        if not token or len(token) > MAX_TOKEN_LENGTH:
            _refuse("empty or too long")
        if token.count(".") != 2 or not token.isascii():
            _refuse("not three parts")
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError:
            raise TokenRefused("malformed") from None
        if header.get("alg") != self._algorithm:
            _refuse("another algorithm")
        if any(name in header for name in REFUSED_HEADERS):
            _refuse("a header that is not accepted")
        kind = header.get("typ", "JWT")
        if not isinstance(kind, str) or kind.lower() not in ACCESS_TOKEN_TYPES:
            _refuse("not an access token")
        return header

    def _identity(self, claims: Mapping[str, Any], now: datetime) -> Identity:
        if claims.get("iss") != self._issuer:
            _refuse("another issuer")
        audience = claims.get("aud")
        if audience != self._audience and not (isinstance(audience, list) and self._audience in audience):
            _refuse("another audience")
        _check_use(claims)
        expires_at = _instant(claims, "exp")
        if expires_at is None:
            _refuse("no exp")
        if expires_at <= now:
            _refuse("expired")
        for name in ("nbf", "iat"):
            starts_at = _instant(claims, name)
            if starts_at is not None and starts_at > now + CLOCK_SKEW:
                _refuse("not yet valid")
        role = claims.get("role", Role.CUSTOMER.value)
        if not isinstance(role, str) or role not in TOKEN_ROLES:
            _refuse("unknown role")
        return Identity(
            role=TOKEN_ROLES[role],
            user_id=_subject(claims.get("sub")),
            email=_optional_text(claims.get("email"), 320),
            name=_optional_text(claims.get("name"), 255),
            expires_at=expires_at,
        )


def issue_development_token(
    settings: Settings,
    *,
    user_id: str,
    role: Role,
    now: datetime,
    lifetime: timedelta = timedelta(hours=12),
) -> str:
    """A token for the demo's people, signed with the shared secret; ValueError where tokens are the issuer's."""
    if settings.is_production or not settings.jwt_algorithm.startswith("HS"):
        raise ValueError("tokens are issued here in development only, with a shared secret; ask your identity provider")
    if role.value not in TOKEN_ROLES:
        raise ValueError(f"no token gives the role {role.value}")
    claims = {
        "iss": settings.jwt_issuer,
        "aud": settings.jwt_audience,
        "sub": user_id,
        "role": role.value,
        "token_use": "access",
        "iat": int(now.timestamp()),
        "exp": int((now + lifetime).timestamp()),
    }
    return jwt.encode(claims, settings.token_secret, algorithm=settings.jwt_algorithm)


def _refuse(reason: str) -> NoReturn:
    raise TokenRefused(reason)


def _check_use(claims: Mapping[str, Any]) -> None:
    """`token_use` is access or absent; the marks of other issuers must not say refresh or the like."""
    if claims.get("token_use", "access") != "access":
        _refuse("not an access token")
    for name in ("token_type", "typ", "type"):
        if str(claims.get(name, "")).lower() in OTHER_USES:
            _refuse("not an access token")


def _instant(claims: Mapping[str, Any], name: str) -> datetime | None:
    """A NumericDate claim as an aware instant; None if absent. Anything but a finite number is refused."""
    value = claims.get(name)
    if value is None and name not in claims:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        _refuse(f"{name} is no number")
    if not math.isfinite(value) or not 0 <= value <= LAST_SECOND:
        _refuse(f"{name} is out of range")
    return datetime.fromtimestamp(value, UTC)


def _subject(value: object) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_SUBJECT_LENGTH or _unprintable(value):
        _refuse("sub is not a usable user id")
    return value


def _optional_text(value: object, longest: int) -> str | None:
    """A claim for display only: left out, not refused, when unusable."""
    usable = isinstance(value, str) and 0 < len(value) <= longest and not _unprintable(value)
    return value if isinstance(value, str) and usable else None


def _unprintable(text: str) -> bool:
    return any(unicodedata.category(character) in ("Cc", "Cs") for character in text)


__all__ = [
    "NOBODY",
    "AccessDenied",
    "Identity",
    "KeysUnavailable",
    "Role",
    "TokenRefused",
    "TokenVerifier",
    "issue_development_token",
]
