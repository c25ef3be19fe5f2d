"""GraphQL over HTTP, by the draft of the GraphQL-over-HTTP working group.

Owns: negotiation, status codes, one operation per request, JSON out. Does not own: limits of the exchange (the
guard: size, time, origin, content type), the document (`documents.py`), what errors look like (`errors.py`).

Mount it with Route("/graphql", app) and WebSocketRoute("/graphql", app).
"""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import orjson
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.schema.exceptions import CannotGetOperationTypeError, InvalidOperationTypeError
from strawberry.types import ExecutionResult
from strawberry.types.graphql import OperationType

from gauges import Outcome, measured_operation, operation_ended
from models.setbacks import repeated
from rates import Allowance, Rates
from resolvers.callers import Callers
from resolvers.identity import Identity
from schema.documents import GuardedSchema
from schema.entrance import Entrance, Refused, credentials_of, retry_after
from schema.errors import DocumentError, RequestErrorCode, refusal, setback_in
from schema.event_streams import COMPLETE, EVENT_STREAM, EventStream, told
from schema.live_results import live_results
from schema.parameters import BadParameters, Parameters, from_body, from_query_string
from schema.results import Answer
from schema.sockets import Sockets
from tracing import span

JSON = "application/json"
GRAPHQL_RESPONSE = "application/graphql-response+json"
_QUALITY = re.compile(r"q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)", re.IGNORECASE)


# Statuses that say more than that the document was not executed, whatever the media type.
_UNEXECUTED = {RequestErrorCode.INTERNAL: 500, RequestErrorCode.RATE_LIMITED: 429}


class _IsSubscription(Exception):
    """The operation is one to stream."""


class GraphQLApp:
    """The ASGI application behind /graphql.

    `get_context` makes what resolvers find in `info.context`, anew for each request; the caller's allowance is to be
    found there as `allowance`, and the operation's cost is noted there as `cost`.
    """

    def __init__(
        self,
        schema: GuardedSchema,
        *,
        callers: Callers,
        rates: Rates,
        get_context: Callable[[HTTPConnection, Identity, Allowance], object],
    ) -> None:
        self._schema = schema
        self._entrance = Entrance(callers, rates)
        self._get_context = get_context
        self._sockets = Sockets(schema, self._entrance, get_context)

    def end_streams(self) -> None:
        """The process is about to end: those who are told things live are sent elsewhere at once."""
        self._entrance.closing.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._sockets.serve(WebSocket(scope, receive, send))
            return
        request = Request(scope, receive)
        try:
            response = await self._respond(request)
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> ASGIApp:
        accept = request.headers.getlist("accept")
        takes_events = accepts_events(accept)
        media_type = negotiate(accept) or (EVENT_STREAM if takes_events else None)
        try:
            if media_type is None:
                raise Refused(406, RequestErrorCode.NOT_ACCEPTABLE, f"Accept {GRAPHQL_RESPONSE} or {JSON}.")
            identity = await self._entrance.identify(*credentials_of(request.headers))
            allowance = self._entrance.allowance(request, identity)
            parameters = await _parameters(request)
            try:
                with _one_operation(request):
                    return await self._execute(request, identity, allowance, parameters, media_type)
            except _IsSubscription:
                if not takes_events:
                    message = f"A subscription is streamed: accept {EVENT_STREAM} too, or use a WebSocket."
                    return self._answer(None, [DocumentError(message, RequestErrorCode.BAD_USER_INPUT)], {}, media_type)
            return self._stream(request, identity, allowance, parameters)
        except Refused as refused:
            body = refusal(refused.code, refused.message, **refused.details)
            kind = media_type if media_type in (JSON, GRAPHQL_RESPONSE) else JSON
            return _response(body, refused.status, kind, dict(refused.headers))

    def _stream(
        self, request: Request, identity: Identity, allowance: Allowance, parameters: Parameters
    ) -> EventStream:
        """The operation as server-sent events, for as long as its caller may stay."""
        held = ExitStack()
        held.enter_context(self._entrance.room(allowance))
        context = self._get_context(request, identity, allowance)
        answers = live_results(self._schema, parameters, context, lambda: self._entrance.holds(identity))
        credentials = credentials_of(request.headers)
        return EventStream(answers, held, lambda: self._entrance.over(identity, *credentials), self._entrance.closing)

    async def _execute(
        self, request: Request, identity: Identity, allowance: Allowance, parameters: Parameters, media_type: str
    ) -> Response:
        allowed = {OperationType.QUERY}
        if request.method == "POST":
            allowed.add(OperationType.MUTATION)

        async def execute() -> ExecutionResult:
            return await self._schema.execute(
                parameters.query,
                variable_values=parameters.variables,
                context_value=self._get_context(request, identity, allowance),
                operation_name=parameters.operation_name,
                allowed_operation_types=allowed,
                operation_extensions=parameters.extensions,
            )

        try:
            result = await repeated(execute, lambda executed: setback_in(executed.errors or []))
        except InvalidOperationTypeError as refused:
            if refused.operation_type is OperationType.MUTATION:
                operation_ended(Outcome.REJECTED)
                message, allow = "A mutation needs POST.", (("Allow", "POST"),)
                raise Refused(405, RequestErrorCode.METHOD_NOT_ALLOWED, message, allow) from None
            if request.method != "POST":
                message, allow = "A subscription needs POST.", (("Allow", "POST"),)
                raise Refused(405, RequestErrorCode.METHOD_NOT_ALLOWED, message, allow) from None
            operation_ended(Outcome.ANSWERED)
            raise _IsSubscription from None
        except CannotGetOperationTypeError:
            message = "The document holds no operation of the name that operationName asks for."
            return self._answer(None, [DocumentError(message, RequestErrorCode.BAD_USER_INPUT)], {}, media_type)
        return self._answer(result.data, result.errors or [], result.extensions or {}, media_type)

    def _answer(self, data: Any, errors: list[Any], extensions: dict[str, Any], media_type: str) -> Response:
        """What was never executed is 400 in the draft's own media type. Who takes nothing but events gets just one.

        A refusal that has a status of its own is no event: clients go by the status.
        """
        answer = Answer.of(data, errors, extensions, hide_suggestions=not self._schema.introspection)
        operation_ended(_outcome(answer.body.get("errors", []), executed=answer.executed))
        status, headers = 200, {}
        if not answer.executed:
            status = 400 if media_type == GRAPHQL_RESPONSE else 200
            for error in answer.body["errors"]:
                code = error["extensions"]["code"]
                status = _UNEXECUTED.get(code, status)
                if code == RequestErrorCode.RATE_LIMITED:
                    headers = dict(retry_after(error["extensions"]["retryAfter"]))
        if media_type == EVENT_STREAM:
            if status == 200:
                return _response(told(answer.body) + COMPLETE, status, media_type)
            media_type = JSON
        return _response(orjson.dumps(answer.body), status, media_type, headers)


@contextmanager
def _one_operation(request: Request) -> Iterator[None]:
    """Measured and traced by the one name that it has for us."""
    with span("GraphQL", "SERVER", request.headers) as traced, measured_operation() as operation:
        try:
            yield
        finally:
            traced.ended(name=operation.name, outcome=operation.outcome)


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


def accepts_events(accept: list[str]) -> bool:
    """Whether the client names the media type of server-sent events; a wildcard means none."""
    ranges = [part.strip().lower() for part in ",".join(accept).split(",")]
    quality, specificity = _quality(EVENT_STREAM, ranges)
    return quality > 0 and specificity == 3


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


def _response(body: bytes, status: int, media_type: str, headers: dict[str, str] | None = None) -> Response:
    return Response(body, status, headers, media_type=f"{media_type}; charset=utf-8")


__all__ = ["GRAPHQL_RESPONSE", "JSON", "GraphQLApp", "negotiate"]
