"""GraphQL over HTTP, by the draft of the GraphQL-over-HTTP working group.

Owns: negotiation, status codes, one operation per request, JSON out. Does not own: limits of the exchange (the
guard: size, time, origin, content type), the document (`documents.py`), what errors look like (`errors.py`).

Mount it with Route("/graphql", app) and WebSocketRoute("/graphql", app).
"""

import re
from collections.abc import Callable
from typing import Any

import orjson
import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types.graphql import OperationType

from gauges import Outcome, measured_operation, operation_ended
from rates import Allowance, Rates
from resolvers.callers import Callers, KeyRefused
from resolvers.identity import Identity, KeysUnavailable, TokenRefused
from schema.documents import GuardedSchema
from schema.errors import DocumentError, RequestErrorCode, about_request, present, rate_limited, refusal
from schema.parameters import BadParameters, Parameters, from_body, from_query_string

log = structlog.get_logger("perennial.graphql")

JSON = "application/json"
GRAPHQL_RESPONSE = "application/graphql-response+json"
WEBSOCKET_BAD_REQUEST = 4400
_QUALITY = re.compile(r"q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)", re.IGNORECASE)


# Statuses that say more than that the document was not executed, whatever the media type.
_UNEXECUTED = {RequestErrorCode.INTERNAL: 500, RequestErrorCode.RATE_LIMITED: 429}


class Refused(Exception):
    """The request is answered without becoming an operation."""

    def __init__(
        self, status: int, code: RequestErrorCode, message: str, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers


class GraphQLApp:
    """The ASGI application behind /graphql.

    `get_context` makes what resolvers find in `info.context`, anew for each request; the caller's allowance is to be
    found there as `allowance`.
    """

    def __init__(
        self,
        schema: GuardedSchema,
        *,
        callers: Callers,
        rates: Rates,
        get_context: Callable[[Request, Identity, Allowance], object],
    ) -> None:
        self._schema = schema
        self._callers = callers
        self._rates = rates
        self._get_context = get_context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await _close_websocket(receive, send)
            return
        request = Request(scope, receive)
        try:
            response = await self._respond(request)
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        media_type = negotiate(request.headers.getlist("accept"))
        try:
            if media_type is None:
                raise Refused(406, RequestErrorCode.NOT_ACCEPTABLE, f"Accept {GRAPHQL_RESPONSE} or {JSON}.")
            identity = await self._identify(request)
            allowance = self._allowance(request, identity)
            parameters = await _parameters(request)
            with measured_operation():
                return await self._execute(request, identity, allowance, parameters, media_type)
        except Refused as refused:
            body = refusal(refused.code, refused.message)
            return _response(body, refused.status, media_type or JSON, dict(refused.headers))

    async def _identify(self, request: Request) -> Identity:
        try:
            headers = request.headers
            return await self._callers.identify(headers.getlist("authorization"), headers.getlist("x-api-key"))
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
            raise Refused(503, RequestErrorCode.UNAVAILABLE, message, (("Retry-After", "5"),)) from None

    def _allowance(self, request: Request, identity: Identity) -> Allowance:
        """The caller's bucket, or of nobody the address'. What cannot be read costs a value, too: hence this."""
        name = identity.user_id or identity.api_key_id
        if name is not None:
            allowance = Allowance(self._rates.callers, f"{identity.role.value}:{name}")
        else:
            peer = request.client.host if request.client is not None else ""
            address = self._rates.peers.name(peer, request.headers.getlist("x-forwarded-for"))
            allowance = Allowance(self._rates.addresses, address)
        taken = allowance.enter()
        if not taken.granted:
            error = rate_limited(taken)
            raise Refused(429, error.code, error.message, _retry_after(taken.retry_after))
        return allowance

    async def _execute(
        self, request: Request, identity: Identity, allowance: Allowance, parameters: Parameters, media_type: str
    ) -> Response:
        allowed = {OperationType.QUERY}
        if request.method == "POST":
            allowed.add(OperationType.MUTATION)
        try:
            result = await self._schema.execute(
                parameters.query,
                variable_values=parameters.variables,
                context_value=self._get_context(request, identity, allowance),
                operation_name=parameters.operation_name,
                allowed_operation_types=allowed,
                operation_extensions=parameters.extensions,
            )
        except InvalidOperationTypeError as refused:
            if refused.operation_type is OperationType.MUTATION:
                operation_ended(Outcome.REJECTED)
                message, allow = "A mutation needs POST.", (("Allow", "POST"),)
                raise Refused(405, RequestErrorCode.METHOD_NOT_ALLOWED, message, allow) from None
            message = "A subscription is not served over HTTP."
            return self._answer(None, [DocumentError(message, RequestErrorCode.BAD_USER_INPUT)], {}, media_type)
        except CannotGetOperationTypeError:
            message = "The document holds no operation of the name that operationName asks for."
            return self._answer(None, [DocumentError(message, RequestErrorCode.BAD_USER_INPUT)], {}, media_type)
        return self._answer(result.data, result.errors or [], result.extensions or {}, media_type)

    def _answer(self, data: Any, errors: list[Any], extensions: dict[str, Any], media_type: str) -> Response:
        """A result as the draft wants it: what was never executed has no `data` and, in its own media type, is 400."""
        executed = data is not None or any(error.path is not None for error in errors)
        answer: dict[str, Any] = {}
        if errors:
            answer["errors"] = present(errors, hide_suggestions=not self._schema.introspection)
        if executed:
            answer["data"] = data
        operation_ended(_outcome(answer.get("errors", []), executed=executed))
        answer["extensions"] = {**about_request(), **extensions}
        status, headers = 200, {}
        if not executed:
            status = 400 if media_type == GRAPHQL_RESPONSE else 200
            for error in answer["errors"]:
                code = error["extensions"]["code"]
                status = _UNEXECUTED.get(code, status)
                if code == RequestErrorCode.RATE_LIMITED:
                    headers = dict(_retry_after(error["extensions"]["retryAfter"]))
        return _response(orjson.dumps(answer), status, media_type, headers)


def _outcome(errors: list[dict[str, Any]], *, executed: bool) -> Outcome:
    """The worst that is true of it."""
    if any(error["extensions"]["code"] == RequestErrorCode.INTERNAL for error in errors):
        return Outcome.FAULT
    if not executed:
        return Outcome.REJECTED
    return Outcome.REFUSED if errors else Outcome.ANSWERED


def negotiate(accept: list[str]) -> str | None:
    """The media type to answer in, or None if the client takes neither.

    A wildcard and no header mean application/json, which older clients expect; named types win by quality, and
    the GraphQL one at equal quality.
    """
    ranges = [part.strip().lower() for part in ",".join(accept).split(",") if part.strip()]
    if not ranges:
        return JSON
    best: tuple[float, int, int] = (0.0, 0, 0)
    chosen = None
    for media_type in (GRAPHQL_RESPONSE, JSON):
        quality, specificity = _quality(media_type, ranges)
        named = specificity == 3
        preference = int(named) if media_type == GRAPHQL_RESPONSE else int(not named)
        rank = (quality, specificity, preference)
        if quality > 0 and rank > best:
            best, chosen = rank, media_type
    return chosen


def _quality(media_type: str, ranges: list[str]) -> tuple[float, int]:
    """(quality, specificity 1-3) by the most specific range that covers `media_type`; (0, 0) if none does."""
    found = (0.0, 0)
    patterns = {"*/*": 1, "application/*": 2, media_type: 3}
    for item in ranges:
        name, *attributes = (part.strip() for part in item.split(";"))
        specificity = patterns.get(name, 0)
        if specificity <= found[1] or any(
            each.startswith("charset=") and each not in ("charset=utf-8", 'charset="utf-8"') for each in attributes
        ):
            continue
        weights = [match[1] for each in attributes if (match := _QUALITY.fullmatch(each))]
        found = (float(weights[0]) if weights else 1.0, specificity)
    return found


async def _parameters(request: Request) -> Parameters:
    try:
        if request.method == "POST":
            return from_body(await request.body())
        if request.method == "GET":
            return from_query_string(request.scope["query_string"])
    except BadParameters as error:
        raise Refused(400, RequestErrorCode.BAD_REQUEST, str(error)) from None
    allow = (("Allow", "GET, POST"),)
    raise Refused(405, RequestErrorCode.METHOD_NOT_ALLOWED, "Use POST, or GET for queries.", allow)


def _retry_after(seconds: int) -> tuple[tuple[str, str], ...]:
    return (("Retry-After", str(seconds)),)


def _response(body: bytes, status: int, media_type: str, headers: dict[str, str] | None = None) -> Response:
    return Response(body, status, headers, media_type=f"{media_type}; charset=utf-8")


async def _close_websocket(receive: Receive, send: Send) -> None:
    """Live updates are not served yet: the client is told so by a close code that it does not retry."""
    message = await receive()
    if message["type"] != "websocket.connect":
        return
    await send({"type": "websocket.accept"})
    reason = "Subscriptions are not served yet."
    await send({"type": "websocket.close", "code": WEBSOCKET_BAD_REQUEST, "reason": reason})


__all__ = ["GRAPHQL_RESPONSE", "JSON", "GraphQLApp", "negotiate"]
