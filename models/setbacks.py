"""What it means when the database did not do what it was asked for, and doing it again where that is safe.

Owns: which errors of either engine say "not now", and repeating what lost. Does not own: what a client is told of it.
"""

import asyncio
import random
import socket
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

import asyncpg
import structlog
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolExhausted

log = structlog.get_logger(__name__)

MOST_TRIES = 4
_PAUSE_SECONDS = 0.05

T = TypeVar("T")


class Setback(StrEnum):
    """Why the database refused for now: each is over by itself, or when somebody mends the database."""

    LOST = "lost"  # a deadlock or a serialization failure: the other one went on
    BUSY = "busy"  # a lock, a statement or a free connection took too long
    AWAY = "away"  # no connection, or it broke; no room or no right to write


_BY_STATE = {
    "40001": Setback.LOST,
    "40P01": Setback.LOST,
    "55P03": Setback.BUSY,  # lock_timeout
    "57014": Setback.BUSY,  # statement_timeout
    "53300": Setback.BUSY,  # too many connections
}
# Connections (08), resources such as disk and memory (53), and operators who shut it down (57P); who nobody lets in: by
# the password (28), because it takes no connections (55000) or is not there (3D000), as while it is restored.
_AWAY_STATES = ("08", "53", "57P", "25006", "25P03", "28", "3D000", "55000")
_BY_SQLITE_NAME = {
    "SQLITE_BUSY": Setback.BUSY,
    "SQLITE_LOCKED": Setback.BUSY,
    "SQLITE_FULL": Setback.AWAY,
    "SQLITE_READONLY": Setback.AWAY,
    "SQLITE_IOERR": Setback.AWAY,
    "SQLITE_CANTOPEN": Setback.AWAY,
}

# The driver lets through what the operating system says of a connection that never came to be; a socket may be a file.
_NEVER_CONNECTED = (ConnectionError, FileNotFoundError, TimeoutError, socket.gaierror, asyncpg.PostgresConnectionError)


def setback_of(error: BaseException) -> Setback | None:
    """What stood in the way; None for an error that another try would meet again."""
    if isinstance(error, PoolExhausted):
        return Setback.BUSY
    if not isinstance(error, DBAPIError):
        return Setback.AWAY if isinstance(error, _NEVER_CONNECTED) else None
    origin = error.orig
    state = getattr(origin, "sqlstate", None)
    if state is not None:
        return _BY_STATE.get(state) or (Setback.AWAY if state.startswith(_AWAY_STATES) else None)
    name = getattr(origin, "sqlite_errorname", None)
    if name is not None:
        return next((found for start, found in _BY_SQLITE_NAME.items() if name.startswith(start)), None)
    return Setback.AWAY if error.connection_invalidated or isinstance(error, InterfaceError) else None


@dataclass(slots=True)
class _Try:
    has_committed: bool = False


_present: ContextVar[_Try | None] = ContextVar("present_try", default=None)


def note_commit() -> None:
    """What is under way has left something behind: it may not be repeated as a whole any more."""
    present = _present.get()
    if present is not None:
        present.has_committed = True


async def repeated(
    run: Callable[[], Awaitable[T]], lost_in: Callable[[T], BaseException | None] = lambda _outcome: None
) -> T:
    """Run it; from its beginning again when it lost against another transaction before it had committed anything.

    No gateway is asked for anything before a commit, so nothing is done twice. `lost_in` finds the loss in an outcome
    that tells of it instead of raising.
    """
    for number in range(1, MOST_TRIES + 1):
        outer, present = _present.get(), _Try()
        token = _present.set(present)
        failure: BaseException | None
        outcome: T | None = None
        try:
            outcome = await run()
            failure = lost_in(outcome)
        except DBAPIError as error:
            failure = error
        finally:
            _present.reset(token)
            if outer is not None:
                outer.has_committed = outer.has_committed or present.has_committed
        is_lost = failure is not None and setback_of(failure) is Setback.LOST
        if not is_lost or present.has_committed or number == MOST_TRIES:
            if outcome is None and failure is not None:
                raise failure
            return outcome  # pyright: ignore[reportReturnType] (None where T is None)
        log.warning("lost_against_another_transaction", tries=number)
        await asyncio.sleep(random.uniform(0, _PAUSE_SECONDS * number))  # noqa: S311 (no secret)
    raise AssertionError("unreachable")
