"""Who sends a request, by its headers: an access token or an API key, never both.

Owns: which credential counts. Does not own: the checks of a token (identity), how keys are kept (services).
"""

from collections.abc import Awaitable, Callable, Sequence

from clocks import Clock
from resolvers.identity import Identity, Role, TokenVerifier
from services.api_keys import holder_of, scopes_of
from services.app import App

KeyHolder = Callable[[str], Awaitable[Identity | None]]


class KeyRefused(Exception):
    """The request carries an API key that does not hold; the message is for the client."""


class Callers:
    """`clock` is the security clock, which judges tokens; `key_holder` tells whose API key a secret is, if it holds."""

    def __init__(self, tokens: TokenVerifier, clock: Clock, key_holder: KeyHolder) -> None:
        self._tokens, self._clock, self._key_holder = tokens, clock, key_holder

    async def identify(self, authorization: Sequence[str], api_keys: Sequence[str]) -> Identity:
        """The caller by all headers of either name; none is NOBODY.

        Raises TokenRefused, KeyRefused, KeysUnavailable.
        """
        if not api_keys:
            return await self._tokens.identify(authorization, self._clock.now())
        if authorization:
            raise KeyRefused("Send an access token or an API key, not both.")
        if len(api_keys) > 1:
            raise KeyRefused("Send one X-API-Key header.")
        found = await self._key_holder(api_keys[0].strip())
        if found is None:
            raise KeyRefused("The API key is unknown, revoked or expired.")
        return found

    def hold(self, identity: Identity) -> bool:
        """Whether the token that proved this identity has not ended since."""
        return identity.expires_at is None or self._clock.now() < identity.expires_at


def key_holder(app: App) -> KeyHolder:
    """Keys as the database has them at the moment of each request."""

    async def find(secret: str) -> Identity | None:
        row = await holder_of(app, secret)
        return Identity(Role.SERVICE, api_key_id=row.id, scopes=scopes_of(row)) if row is not None else None

    return find
