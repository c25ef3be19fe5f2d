"""Who may come in, how much they may ask for and how long they may stay; the same for every way to /graphql.

Owns: refusals before there is an operation, the count of what one caller keeps open, the end of a credential.
Does not own: what credentials prove (resolvers), how a refusal is told (transport, sockets).
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import structlog
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

from rates import Allowance, Rates, Seats
from resolvers.callers import Callers, KeyRefused
from resolvers.identity import Identity, KeysUnavailable, TokenRefused
from schema.errors import RequestErrorCode, rate_limited, unavailable

log = structlog.get_logger("perennial.graphql")

MOST_OPEN = 50
"""WebSockets and event streams of one caller at a time."""
LONGEST_SECONDS = 3600
_BEAT_SECONDS = 0.9
"""A key that was revoked anywhere is followed by nothing a second later."""


class Refused(Exception):
    """The request is answered without becoming an operation. `seconds`: when it may be asked again."""

    def __init__(
        self,
        status: int,
        code: RequestErrorCode,
        message: str,
        headers: tuple[tuple[str, str], ...] = (),
        *,
        seconds: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers if seconds is None else (*headers, *retry_after(seconds))
        self.details = {} if seconds is None else {"retryAfter": seconds}


class Entrance:
    """One for the process: the open connections are counted here."""

    def __init__(self, callers: Callers, rates: Rates) -> None:
        self._callers = callers
        self._rates = rates
        self._open = Seats(MOST_OPEN)
        self.closing = asyncio.Event()
        """Set once the process is to end: whoever is told things live is to come back, elsewhere."""

    async def identify(self, authorization: Sequence[str], api_keys: Sequence[str]) -> Identity:
        try:
            return await self._callers.identify(authorization, api_keys)
        except TokenRefused as refused:
            log.info("token refused", reason=refused.reason)
            message = "The access token is not valid or has expired; sign in again."
            challenge = (("WWW-Authenticate", 'Bearer error="invalid_token"'),)
            raise Refused(401, RequestErrorCode.UNAUTHENTICATED, message, challenge) from None
        except KeyRefused as refused:
            log.info("api key refused", reason=str(refused))
            challenge = (("WWW-Authenticate", "ApiKey"),)
            raise Refused(401, RequestErrorCode.UNAUTHENTICATED, str(refused), challenge) from None
        except KeysUnavailable:
            message = "Access tokens cannot be checked right now; try again shortly."
            raise Refused(503, RequestErrorCode.UNAVAILABLE, message, seconds=5) from None

    async def identify_and_count(
        self, connection: HTTPConnection, authorization: Sequence[str], api_keys: Sequence[str]
    ) -> Identity:
        """As `identify`, where the guard does not count the credentials of an address that do not hold."""
        address = self._address(connection)
        waiting = self._rates.failures.peek(address, 1)
        if not waiting.granted:
            error = rate_limited(waiting)
            raise Refused(429, error.code, error.message, seconds=waiting.retry_after)
        try:
            return await self.identify(authorization, api_keys)
        except Refused as refused:
            if refused.status == 401:
                self._rates.failures.take(address, 1)
            raise

    def allowance(self, connection: HTTPConnection, identity: Identity) -> Allowance:
        """The caller's bucket, or of nobody the address'. What cannot be read costs a value, too: hence this."""
        name = identity.user_id or identity.api_key_id
        if name is not None:
            allowance = Allowance(self._rates.callers, f"{identity.role.value}:{name}")
        else:
            allowance = Allowance(self._rates.addresses, self._address(connection))
        taken = allowance.enter()
        if not taken.granted:
            error = rate_limited(taken)
            raise Refused(429, error.code, error.message, seconds=taken.retry_after)
        return allowance

    @contextmanager
    def waiting_room(self, connection: HTTPConnection) -> Iterator[None]:
        """For whoever has not said yet who they are."""
        with self._open.seat(f"at {self._address(connection)}") as seated:
            if not seated:
                raise _too_many_open()
            yield

    @contextmanager
    def room(self, allowance: Allowance) -> Iterator[None]:
        """A place for one open connection of that caller; Refused when all are taken."""
        with self._open.seat(allowance.name) as seated:
            if not seated:
                raise _too_many_open()
            yield

    def holds(self, identity: Identity) -> bool:
        return self._callers.hold(identity)

    async def over(self, identity: Identity, authorization: Sequence[str], api_keys: Sequence[str]) -> None:
        """Returns when the caller has to come in anew: the token has ended, the key was revoked, or an hour is over."""
        for _ in range(int(LONGEST_SECONDS / _BEAT_SECONDS)):
            await asyncio.sleep(_BEAT_SECONDS)
            if not self.holds(identity) or (api_keys and await self._are_refused(authorization, api_keys)):
                return

    async def _are_refused(self, authorization: Sequence[str], api_keys: Sequence[str]) -> bool:
        """Whether the credentials hold no more. While nobody can tell, they do."""
        try:
            await self.identify(authorization, api_keys)
        except Refused as refused:
            return refused.status == 401
        except Exception as error:
            if unavailable(error) is None:
                raise
        return False

    def _address(self, connection: HTTPConnection) -> str:
        peer = connection.client.host if connection.client is not None else ""
        return self._rates.peers.name(peer, connection.headers.getlist("x-forwarded-for"))


def credentials_of(headers: Headers) -> tuple[list[str], list[str]]:
    """The headers by which a caller is identified, as `identify` takes them."""
    return headers.getlist("authorization"), headers.getlist("x-api-key")


def retry_after(seconds: int) -> tuple[tuple[str, str], ...]:
    return (("Retry-After", str(seconds)),)


def _too_many_open() -> Refused:
    message = f"You keep {MOST_OPEN} connections open, which is as many as one caller may; close one first."
    return Refused(429, RequestErrorCode.RATE_LIMITED, message, seconds=10)
