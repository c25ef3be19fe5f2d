"""The issuer's public keys, fetched by address and kept for a while.

Owns: which keys may check a token. Does not own: the token's claims.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import httpx
import jwt
import orjson
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

log = structlog.get_logger("perennial.keys")

# Algorithm of the settings → (key type, curve) as a JSON web key names them.
FAMILIES: Mapping[str, tuple[str, str | None]] = {
    **{f"HS{bits}": ("oct", None) for bits in (256, 384, 512)},
    **{f"{scheme}{bits}": ("RSA", None) for scheme in ("RS", "PS") for bits in (256, 384, 512)},
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
}

MIN_RSA_BITS = 2048
MAX_KEYS = 50
MAX_BYTES = 256 * 1024
FETCH_SECONDS = 3.0
# Unpacked, so that what is counted is what is kept.
FETCH_HEADERS = {"accept": "application/json", "accept-encoding": "identity"}
FRESH_FOR = timedelta(minutes=10)
USABLE_FOR = timedelta(hours=1)  # when the issuer stops answering, old keys serve this long
BETWEEN_FETCHES = timedelta(minutes=1)

SigningKey = jwt.PyJWK | str


class UnusableKey(Exception):
    """A key of the set that cannot check tokens of the configured algorithm; the rest of the set still serves."""


class KeysUnavailable(Exception):
    """The issuer's key set cannot be had now: no token can be judged. Not the caller's fault."""


class KeySet:
    """A JWKS address with a bounded cache, safe to share between requests.

    It is fetched at first use, when 10 minutes old, and for an unknown key id, but never twice within a minute. A
    fetch takes at most 3 s and 256 KB and follows no redirect.
    """

    def __init__(self, url: str, algorithm: str, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._url = url
        self._algorithm = algorithm
        self._transport = transport
        self._lock = asyncio.Lock()
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._fetched_at: datetime | None = None
        self._tried_at: datetime | None = None

    async def find(self, kid: str | None, now: datetime) -> SigningKey | None:
        """The key named `kid`; without a name the set's only key; None if there is none.

        Raises KeysUnavailable when no key set was had within the last hour.
        """
        if not self._fresh(now) or (kid is not None and kid not in self._keys):
            await self._refresh(now)
        if self._fetched_at is None or now - self._fetched_at > USABLE_FOR:
            raise KeysUnavailable
        if kid is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(kid)

    def _fresh(self, now: datetime) -> bool:
        return self._fetched_at is not None and now - self._fetched_at <= FRESH_FOR

    async def _refresh(self, now: datetime) -> None:
        async with self._lock:
            if self._tried_at is not None and now - self._tried_at < BETWEEN_FETCHES:
                return
            self._tried_at = now
            try:
                self._keys = usable_keys(await self._fetch(), self._algorithm)
            except (httpx.HTTPError, TimeoutError, ValueError) as error:
                log.warning("key set not refreshed", error_type=type(error).__name__)
                return
            self._fetched_at = now

    async def _fetch(self) -> object:
        async with (
            asyncio.timeout(FETCH_SECONDS),
            httpx.AsyncClient(transport=self._transport, follow_redirects=False) as client,
            client.stream("GET", self._url, headers=FETCH_HEADERS) as response,
        ):
            if response.status_code != httpx.codes.OK:
                raise ValueError("the key set's address does not answer 200")
            received = bytearray()
            async for chunk in response.aiter_raw():
                received += chunk
                if len(received) > MAX_BYTES:
                    raise ValueError("the key set is too large")
        return orjson.loads(received)


def usable_keys(document: object, algorithm: str) -> dict[str | None, jwt.PyJWK]:
    """The keys of a JWKS document that may check `algorithm`, by key id. ValueError if it is no key set."""
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise ValueError("not a key set")
    keys: dict[str | None, jwt.PyJWK] = {}
    for entry in listed[:MAX_KEYS]:
        try:
            kid, key = _usable_key(entry, algorithm)
        except UnusableKey:
            continue
        keys.setdefault(kid, key)
    return keys


def _usable_key(entry: Any, algorithm: str) -> tuple[str | None, jwt.PyJWK]:
    family, curve = FAMILIES[algorithm]
    if not isinstance(entry, dict) or entry.get("kty") != family or entry.get("crv") != curve:
        raise UnusableKey
    if entry.get("alg", algorithm) != algorithm or entry.get("use", "sig") != "sig":
        raise UnusableKey
    operations = entry.get("key_ops", ["verify"])
    kid = entry.get("kid")
    if not isinstance(operations, list) or "verify" not in operations or not isinstance(kid, str | None):
        raise UnusableKey
    try:
        # Only the public half: a set that leaks private members must not make us hold them.
        public = {name: value for name, value in entry.items() if name in ("kty", "crv", "n", "e", "x", "y")}
        key = jwt.PyJWK(public, algorithm)
    except jwt.PyJWTError as error:
        raise UnusableKey from error
    if isinstance(key.key, RSAPublicKey) and key.key.key_size < MIN_RSA_BITS:
        raise UnusableKey
    return kid, key
