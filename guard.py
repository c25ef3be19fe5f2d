"""The one ASGI guard in front of everything the server answers.

Owns: request ids, body sizes, time limits, methods and content types, origins, failed credentials by address,
security headers, the access line and the last catch of a fault. Does not own: what credentials prove and GraphQL
(schema/transport.py), webhook signatures. May import: settings, logs, rates, clocks and the shape of an error body.

What holds for a path is a row of `route_rules`; the code below only applies the row.
"""

import asyncio
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clocks import Clock
from logs import begin_request
from rates import Rates
from schema.errors import RequestErrorCode, refusal, unavailable
from settings import Settings

log = structlog.get_logger("perennial.http")

KB = 1024
MB = 1024 * KB
JSON_BODY = frozenset({"application/json"})
FORM_BODY = frozenset({"application/x-www-form-urlencoded"})
READ = frozenset({"GET", "HEAD"})

CSP_DATA = "default-src 'none'; frame-ancestors 'none'"
CSP_PAGE = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
# A browser shows a PDF in a page of its own making, which this policy governs too.
CSP_DOCUMENT = "default-src 'none'; style-src 'unsafe-inline'; object-src 'self'; frame-ancestors 'none'"
# The challenge page answers its form with a redirect to the merchant's own origin, so form-action stays open.
CSP_CHALLENGE = "default-src 'none'; style-src 'self' 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"
EVENT_STREAM = "text/event-stream"
CREDENTIALS = ("authorization", "x-api-key")
PREFLIGHT_HEADERS = ("graphql-require-preflight", "apollo-require-preflight", "x-apollo-operation-name")
CORS_REQUEST_HEADERS = (
    "authorization, content-type, x-request-id, graphql-require-preflight, apollo-require-preflight, "
    "x-apollo-operation-name, apollographql-client-name, apollographql-client-version"
)
CORS_ANSWER_HEADERS = "X-Request-Id, Retry-After, WWW-Authenticate"
SECURITY_HEADERS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
_UTF8_ONLY = re.compile(r'\s*(charset="?utf-8"?\s*)?', re.IGNORECASE)


class Cors(StrEnum):
    """Which pages of other origins may call a path."""

    NONE = "none"  # no answer is readable elsewhere; the Origin header does not matter
    LISTED = "listed"  # our own origin and those of PERENNIAL_CORS_ORIGINS; any other is refused
    OPEN = "open"  # any page


@dataclass(frozen=True, slots=True)
class RouteRule:
    """What holds for every path at or under `prefix`. Sizes in bytes, time in seconds."""

    prefix: str
    methods: frozenset[str]
    max_body: int = 0
    content_types: frozenset[str] | None = None  # of a body; None accepts any
    seconds: float = 10.0
    cors: Cors = Cors.NONE
    preflight_on_get: bool = False
    takes_credentials: bool = False  # ours, whose failures are counted by address
    costs: int = 0  # of what an address may ask for, where the link alone opens the door
    hides_path: bool = False  # from the log: it holds what opens a door
    csp: str = CSP_DATA
    cache_control: str | None = "no-store"

    def covers(self, path: str) -> bool:
        return self.prefix == "/" or path == self.prefix or path.startswith(f"{self.prefix}/")


def route_rules() -> tuple[RouteRule, ...]:
    """The server's rows; the longest prefix that covers a path decides."""
    post, both = frozenset({"POST"}), frozenset({"GET", "POST"})
    return (
        RouteRule(
            "/graphql", both, 256 * KB, JSON_BODY, cors=Cors.LISTED, preflight_on_get=True, takes_credentials=True
        ),
        RouteRule("/webhooks/stripe", post, MB, JSON_BODY),
        RouteRule("/checkout", both | READ, 16 * KB, FORM_BODY, seconds=30.0, hides_path=True, costs=100),
        RouteRule("/checkout/assets", READ, csp=CSP_PAGE, cache_control="public, max-age=600"),
        RouteRule("/documents", READ, seconds=30.0, csp=CSP_DOCUMENT, cache_control="private, no-store", costs=300),
        RouteRule("/health", READ, seconds=5.0),
        RouteRule("/metrics", READ, seconds=5.0, takes_credentials=True),
        RouteRule("/payment-methods", READ, seconds=5.0, cache_control="public, max-age=86400"),
        # Public keys: anybody may read and keep them for a while, browsers too.
        RouteRule("/.well-known", READ, seconds=5.0, cors=Cors.OPEN, cache_control="public, max-age=600"),
        RouteRule(
            "/sandbox/stripe",
            frozenset({"GET", "HEAD", "POST", "DELETE"}),
            MB,
            seconds=120.0,  # faults include slow answers
            cors=Cors.OPEN,
            csp=CSP_CHALLENGE,
        ),
        # File names there carry a hash of the content; workers run under the policy of their own file.
        RouteRule(
            "/explorer/assets", READ, seconds=30.0, csp=CSP_PAGE, cache_control="public, max-age=31536000, immutable"
        ),
        RouteRule("/", READ, seconds=30.0, csp=CSP_PAGE, cache_control=None),
    )


class Refusal(Exception):
    """The guard answers instead of the application."""

    def __init__(
        self, status: int, code: RequestErrorCode, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers or {}


@dataclass(slots=True)
class Exchange:
    """One request and its answer: adds headers on the way out and knows how far the answer got."""

    rule: RouteRule
    send: Send
    extra_headers: Mapping[str, str]
    status: int = 0
    started: bool = False
    finished: bool = False
    refused: bool = False
    limit: asyncio.Timeout | None = None
    _held: list[Message] = field(default_factory=list)

    async def forward(self, message: Message) -> None:
        """Pass the application's message on. A 500 is held back until it is known not to be a fault's."""
        if self.refused:
            return
        fault = message["type"] == "http.response.start" and message["status"] == 500
        if fault or self._held:
            self._held.append(message)
            return
        await self._out(message)

    async def release(self) -> None:
        """Send what was held: the application meant it."""
        held, self._held = self._held, []
        if not self.refused:
            for message in held:
                await self._out(message)

    async def refuse(self, refusal_: Refusal) -> None:
        """Answer in the application's place, unless its answer has begun."""
        if self.started or self.refused:
            return
        self._held.clear()
        headers = MutableHeaders(dict(refusal_.headers))
        body = b""
        if refusal_.status != 204:
            body = refusal(refusal_.code, refusal_.message)
            headers["content-type"] = "application/json; charset=utf-8"
            headers["content-length"] = str(len(body))
        start: Message = {"type": "http.response.start", "status": refusal_.status, "headers": headers.raw}
        await self._out(start)
        await self._out({"type": "http.response.body", "body": body})
        self.refused = True

    async def _out(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            if self.limit is not None and headers.get("content-type", "").startswith(EVENT_STREAM):
                self.limit.reschedule(None)  # an open end is what it is for; its own rules end it
            for name, value in self.extra_headers.items():
                if name == "Vary":
                    headers.add_vary_header(value)
                else:
                    headers.setdefault(name, value)
        elif message["type"] == "http.response.body":
            self.finished = not message.get("more_body", False)
        await self.send(message)


class Guard:
    """Wraps the whole application. `origins` are exact, such as https://app.example; `clock` is the security clock."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        settings: Settings,
        rates: Rates,
        clock: Clock,
        rules: Sequence[RouteRule] | None = None,
    ) -> None:
        self.app = app
        self.rates = rates
        self.clock = clock
        self.origins = frozenset(settings.cors_origins)
        listed = route_rules() if rules is None else rules
        self.rules = sorted(listed, key=lambda rule: len(rule.prefix), reverse=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        request = begin_request(_request_id(headers), self.clock.now())
        rule = self._rule(scope["path"])
        exchange = Exchange(rule, send, self._answer_headers(rule, headers, request.id))
        try:
            self._check(scope, rule, headers)
            await self._counted(scope, receive, exchange, headers)
        except Refusal as refused:
            await exchange.refuse(refused)
        finally:
            log.info(
                "request",
                method=scope["method"],
                path=rule.prefix if rule.hides_path else scope["path"][:200],
                status=exchange.status or 499,
                ms=round(request.elapsed_ms, 1),
            )

    async def _counted(self, scope: Scope, receive: Receive, exchange: Exchange, headers: Headers) -> None:
        """Run, unless the address has asked for too much or sent too many credentials that did not hold."""
        rule = exchange.rule
        proves = rule.takes_credentials and any(headers.get(name) for name in CREDENTIALS)
        if not (proves or rule.costs):
            await self._run(scope, receive, exchange)
            return
        peer, _ = scope.get("client") or ("", 0)
        address = self.rates.peers.name(peer, headers.getlist("x-forwarded-for"))
        taken = self.rates.failures.peek(address, 1) if proves else self.rates.addresses.take(address, rule.costs)
        if not taken.granted:
            what = "Too many credentials from this address did not hold" if proves else "Too much was asked for"
            message = f"{what}; try again in {taken.retry_after} s."
            raise Refusal(429, RequestErrorCode.RATE_LIMITED, message, {"Retry-After": str(taken.retry_after)})
        await self._run(scope, receive, exchange)
        if proves and exchange.status == 401:
            self.rates.failures.take(address, 1)

    async def _run(self, scope: Scope, receive: Receive, exchange: Exchange) -> None:
        """The application under the time limit, its faults masked."""
        limit = exchange.limit = asyncio.timeout(exchange.rule.seconds)
        try:
            async with limit:
                await self.app(scope, _bounded(receive, exchange), exchange.forward)
            await exchange.release()
        except Exception as error:
            if limit.expired():
                seconds = f"{exchange.rule.seconds:g}"
                message = f"The request took longer than {seconds} s and was stopped; ask for less at once."
                raise Refusal(504, RequestErrorCode.TIMEOUT, message) from None
            if exchange.refused:
                return
            log.exception("request failed")
            if exchange.finished:
                return
            if exchange.started:
                raise  # half an answer went out: only closing the connection tells the client
            if (message := unavailable(error)) is not None:
                raise Refusal(503, RequestErrorCode.UNAVAILABLE, message, {"Retry-After": "1"}) from None
            request_id = structlog.contextvars.get_contextvars().get("request_id")
            message = f"Internal error; quote request id {request_id} when you report it."
            raise Refusal(500, RequestErrorCode.INTERNAL, message) from error

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        begin_request(_request_id(headers), self.clock.now())
        rule = self._rule(scope["path"])
        if rule.cors is Cors.LISTED and self._foreign(headers):
            await receive()
            await send({"type": "websocket.close", "code": 1008})  # before accepting: answered 403
            return
        await self.app(scope, receive, send)

    def _rule(self, path: str) -> RouteRule:
        return next(rule for rule in self.rules if rule.covers(path))

    def _check(self, scope: Scope, rule: RouteRule, headers: Headers) -> None:
        """Everything that can be judged before a byte of the body is read; raises Refusal."""
        method = scope["method"]
        if rule.cors is Cors.LISTED and self._foreign(headers):
            message = "This origin is not listed in PERENNIAL_CORS_ORIGINS."
            raise Refusal(403, RequestErrorCode.ORIGIN_REFUSED, message)
        if method == "OPTIONS" and rule.cors is not Cors.NONE:
            raise _Preflight(rule)
        if method not in rule.methods:
            allow = {"Allow": ", ".join(sorted(rule.methods))}
            raise Refusal(405, RequestErrorCode.METHOD_NOT_ALLOWED, f"{method} is not served here.", allow)
        if method == "GET" and rule.preflight_on_get and not any(headers.get(h) for h in PREFLIGHT_HEADERS):
            message = f"A GET needs the header '{PREFLIGHT_HEADERS[0]}: 1', which browsers only send after asking."
            raise Refusal(400, RequestErrorCode.PREFLIGHT_REQUIRED, message)
        if method in ("POST", "PUT", "PATCH"):
            _check_body(rule, headers)

    def _foreign(self, headers: Headers) -> bool:
        """Whether the request comes from a page that is neither ours nor listed."""
        origins = headers.getlist("origin")
        if not origins:
            return False
        own = {f"{scheme}://{headers.get('host', '')}" for scheme in ("http", "https")}
        return len(origins) > 1 or not (origins[0] in self.origins or origins[0] in own)

    def _answer_headers(self, rule: RouteRule, headers: Headers, request_id: str) -> dict[str, str]:
        answer = {"X-Request-Id": request_id, **SECURITY_HEADERS, "Content-Security-Policy": rule.csp}
        if rule.cache_control is not None:
            answer["Cache-Control"] = rule.cache_control
        origin = headers.get("origin")
        if rule.cors is Cors.LISTED:
            answer["Vary"] = "Origin"
        if rule.cors is Cors.OPEN or (rule.cors is Cors.LISTED and origin in self.origins):
            answer["Access-Control-Allow-Origin"] = "*" if rule.cors is Cors.OPEN else str(origin)
            answer["Access-Control-Expose-Headers"] = CORS_ANSWER_HEADERS
        return answer


class _Preflight(Refusal):
    """The answer to a browser's question; an origin that is not listed never comes here."""

    def __init__(self, rule: RouteRule) -> None:
        allowed = ", ".join(sorted(rule.methods))
        headers = {
            "Access-Control-Allow-Methods": allowed,
            "Access-Control-Allow-Headers": "*, authorization" if rule.cors is Cors.OPEN else CORS_REQUEST_HEADERS,
            "Access-Control-Max-Age": "600",
            "Allow": allowed,
        }
        super().__init__(204, RequestErrorCode.BAD_REQUEST, "", headers)


def _request_id(headers: Headers) -> str:
    """The caller's own id if it is a plain word, else a new one."""
    given = headers.get("x-request-id", "")
    return given if _SANE_REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _check_body(rule: RouteRule, headers: Headers) -> None:
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length[:20]) > rule.max_body:
        raise _too_large(rule)
    if headers.get("content-encoding", "identity").lower() != "identity":
        message = "Send the body without Content-Encoding."
        raise Refusal(415, RequestErrorCode.UNSUPPORTED_MEDIA_TYPE, message)
    if rule.content_types is None:
        return
    given = headers.getlist("content-type")
    kind, _, parameters = (given[0] if len(given) == 1 else "").partition(";")
    if kind.strip().lower() not in rule.content_types or not _UTF8_ONLY.fullmatch(parameters):
        accepted = " or ".join(sorted(rule.content_types))
        message = f"Send the body as Content-Type: {accepted}, in UTF-8."
        raise Refusal(415, RequestErrorCode.UNSUPPORTED_MEDIA_TYPE, message)


def _too_large(rule: RouteRule) -> Refusal:
    message = f"The body is larger than {rule.max_body // KB} KB."
    return Refusal(413, RequestErrorCode.PAYLOAD_TOO_LARGE, message, {"Connection": "close"})


def _bounded(receive: Receive, exchange: Exchange) -> Receive:
    """`receive` that counts the body as it streams; beyond the limit the client is answered and the rest unread."""
    received = 0

    async def bounded() -> Message:
        nonlocal received
        if exchange.refused:
            return {"type": "http.disconnect"}
        message = await receive()
        if message["type"] == "http.request":
            received += len(message.get("body", b""))
            if received > exchange.rule.max_body:
                await exchange.refuse(_too_large(exchange.rule))
                return {"type": "http.disconnect"}
        return message

    return bounded
