"""The top-level `errors` list: what was not executed, what is not allowed, and masked faults.

Owns: codes, masking, and what of an error is logged. Does not own: refusals that are data (`userErrors`).
"""

import re
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Any

import orjson
import structlog
from graphql import FieldNode, GraphQLError, GraphQLSyntaxError

from billing.instants import written
from logs import current_request
from models.setbacks import Setback, setback_of
from rates import Taken
from resolvers.identity import AccessDenied

log = structlog.get_logger("perennial.graphql")

MAX_ERRORS = 50
MAX_LOCATIONS = 4
MAX_MESSAGE_LENGTH = 400
_SETBACKS = {
    Setback.LOST: "Others were changing the same; try again.",
    Setback.BUSY: "The database took too long; try again.",
    Setback.AWAY: "The database is not available; try again in a moment.",
}
_SUGGESTION = re.compile(r" Did you mean [^?]*\?")


class RequestErrorCode(StrEnum):
    """`extensions.code` of a top-level error."""

    UNAUTHENTICATED = "UNAUTHENTICATED"
    FORBIDDEN = "FORBIDDEN"
    GRAPHQL_PARSE_FAILED = "GRAPHQL_PARSE_FAILED"
    GRAPHQL_VALIDATION_FAILED = "GRAPHQL_VALIDATION_FAILED"
    QUERY_TOO_COMPLEX = "QUERY_TOO_COMPLEX"
    BAD_USER_INPUT = "BAD_USER_INPUT"
    BAD_REQUEST = "BAD_REQUEST"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    NOT_ACCEPTABLE = "NOT_ACCEPTABLE"
    PAYLOAD_TOO_LARGE = "PAYLOAD_TOO_LARGE"
    UNSUPPORTED_MEDIA_TYPE = "UNSUPPORTED_MEDIA_TYPE"
    RATE_LIMITED = "RATE_LIMITED"
    ORIGIN_REFUSED = "ORIGIN_REFUSED"
    PREFLIGHT_REQUIRED = "PREFLIGHT_REQUIRED"
    UNAVAILABLE = "UNAVAILABLE"
    TIMEOUT = "TIMEOUT"
    INTERNAL = "INTERNAL"


class DocumentError(GraphQLError):
    """A document, its variables or arguments refused by a rule of our own, with the code that says which."""

    def __init__(self, message: str, code: RequestErrorCode, nodes: Any = None, **details: Any) -> None:
        super().__init__(message, nodes, extensions={"code": code.value, **details})
        self.code = code


def rate_limited(taken: Taken) -> DocumentError:
    """The refusal of an operation that the caller's bucket does not hold, with the seconds to wait."""
    message = f"Too much was asked for in the last minute; try again in {taken.retry_after} s."
    return DocumentError(message, RequestErrorCode.RATE_LIMITED, retryAfter=taken.retry_after)


def refusal(code: RequestErrorCode, message: str, **details: Any) -> bytes:
    """The JSON body of a request that never became a GraphQL operation."""
    return orjson.dumps({"errors": [problem(code, message, **details)], "extensions": about_request()})


def problem(code: RequestErrorCode, message: str, **details: Any) -> dict[str, Any]:
    """An entry of `errors` that is about no place in a document."""
    return {"message": message, "extensions": {"code": code.value, **details, **_where_to_look()}}


def unavailable(error: BaseException) -> str | None:
    """What a client is told where the database stood in the way, and another try may go through; else None."""
    setback = setback_of(error)
    return _SETBACKS[setback] if setback is not None else None


def setback_in(errors: Sequence[GraphQLError]) -> BaseException | None:
    """The first error's cause where the database stood in the way."""
    causes = [_cause(error) for error in errors]
    return next((cause for cause in causes if setback_of(cause) is not None), None)


def about_request() -> dict[str, Any]:
    """What every answer tells of its request: the id that the logs carry, and how long it has taken so far."""
    request = current_request()
    return {} if request is None else {"requestId": request.id, "elapsedMs": round(request.elapsed_ms)}


def _where_to_look() -> dict[str, Any]:
    """What every error tells, so that its request is found in the logs: the id, and when it came in."""
    request = current_request()
    return {} if request is None else {"requestId": request.id, "timestamp": written(request.at)}


def code_of(error: GraphQLError) -> RequestErrorCode:
    """What kind of error this is; INTERNAL for everything that was not foreseen."""
    cause = _cause(error)
    if isinstance(cause, AccessDenied):
        return RequestErrorCode(cause.code)
    if isinstance(cause, DocumentError):
        return cause.code
    if isinstance(cause, GraphQLSyntaxError):
        return RequestErrorCode.GRAPHQL_PARSE_FAILED
    if unavailable(cause) is not None:
        return RequestErrorCode.UNAVAILABLE
    if error.path is None and error.extensions and "code" in error.extensions:
        return RequestErrorCode(error.extensions["code"])
    if _blames_input(error) or (error.path is None and isinstance(cause, GraphQLError)):
        return RequestErrorCode.BAD_USER_INPUT
    return RequestErrorCode.INTERNAL


def _blames_input(error: GraphQLError) -> bool:
    """graphql-core blames an argument, value or variable for bad input, and the field for a bad result."""
    current: object = error
    while isinstance(current, GraphQLError):
        if current.nodes and not isinstance(current.nodes[0], FieldNode):
            return True
        current = current.original_error
    return False


def present(errors: Sequence[GraphQLError], *, hide_suggestions: bool, limit: int = MAX_ERRORS) -> list[dict[str, Any]]:
    """The errors as clients see them: coded, bounded in number and length, faults masked."""
    return [_presented(error, hide_suggestions) for error in errors[:limit]]


def record(errors: Sequence[GraphQLError]) -> None:
    """Log each fault once, without query text or variables; a client's own error only leaves its code."""
    codes = sorted({code_of(error).value for error in errors})
    structlog.contextvars.bind_contextvars(error_codes=codes)
    setback = setback_in(errors)
    if setback is not None:
        origin = getattr(setback, "orig", setback)  # its own words: statements and parameters stay out of the log
        log.warning("database_unavailable", reason=setback_of(setback), error=str(origin)[:300])
    for error in _faults(errors):
        path = ".".join(str(part) for part in error.path or () if isinstance(part, str))
        log.error("resolver failed", path=path[:200], exc_info=_cause(error))


def _faults(errors: Sequence[GraphQLError]) -> Iterator[GraphQLError]:
    """The unforeseen ones, those with one cause (a loader that failed for many fields) told once."""
    seen: set[int] = set()
    for error in errors:
        if code_of(error) is RequestErrorCode.INTERNAL and id(_cause(error)) not in seen:
            seen.add(id(_cause(error)))
            yield error


def _cause(error: GraphQLError) -> BaseException:
    cause: BaseException = error
    while isinstance(cause, GraphQLError) and cause.original_error is not None:
        cause = cause.original_error
    return cause


def _presented(error: GraphQLError, hide_suggestions: bool) -> dict[str, Any]:
    code = code_of(error)
    looked_for = _where_to_look()
    extensions: dict[str, Any] = {"code": code.value}
    if code is RequestErrorCode.INTERNAL:
        message = f"Internal error; quote request id {looked_for.get('requestId')} when you report it."
    else:
        message = unavailable(_cause(error)) or error.message
        if error.path is None or isinstance(_cause(error), DocumentError):
            extensions.update(error.extensions or {})
    extensions.update(looked_for)
    if hide_suggestions:
        message = _SUGGESTION.sub("", message)
    presented: dict[str, Any] = {"message": _shortened(message)}
    if error.locations:
        presented["locations"] = [
            {"line": place.line, "column": place.column} for place in error.locations[:MAX_LOCATIONS]
        ]
    if error.path is not None:
        presented["path"] = list(error.path)
    presented["extensions"] = extensions
    return presented


def _shortened(message: str) -> str:
    return message if len(message) <= MAX_MESSAGE_LENGTH else message[: MAX_MESSAGE_LENGTH - 1] + "…"
