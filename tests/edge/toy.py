"""A small schema and server that drive the edge: the real guard, transport and limits around toy resolvers."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum

import httpx
import strawberry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute

from clocks import ManualClock
from guard import Guard, RouteRule, route_rules
from rates import Allowance, Buckets, Peers, Rates
from resolvers.callers import Callers
from resolvers.identity import AccessDenied, Identity, Role, TokenVerifier
from schema.documents import GuardedSchema
from schema.errors import DocumentError, RequestErrorCode
from schema.transport import GraphQLApp
from settings import Settings

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ORIGIN = "https://app.example"
API_KEY = "prk_000000000000_toy"
CANARY = "canary.person@example.org"


@dataclass
class ToyContext:
    identity: Identity
    database: list[str]
    allowance: Allowance
    cost: int = 0


ToyInfo = strawberry.Info[ToyContext, None]


@strawberry.type
class UserError:
    code: str
    message: str
    field: list[str]


@strawberry.type
class AddNotePayload:
    note: str | None
    user_errors: list[UserError]


@strawberry.type
class PageInfo:
    has_next_page: bool = False


@strawberry.type
class Note:
    id: strawberry.ID
    text: str

    @strawberry.field
    def private(self, info: "ToyInfo") -> str | None:
        raise AccessDenied(info.context.identity)

    @strawberry.field
    def tags(self) -> list["Tag"]:
        return [Tag(name="a"), Tag(name="b")]

    @strawberry.field
    def replies(self, first: int | None = None) -> "NoteConnection":
        return NoteConnection(nodes=[])


@strawberry.type
class Tag:
    name: str


@strawberry.type
class NoteConnection:
    nodes: list[Note]
    page_info: PageInfo = strawberry.field(default_factory=PageInfo)
    total_count: int = 0


@strawberry.enum
class Colour(Enum):
    RED = "red"
    GREEN = "green"


@strawberry.type
class Query:
    @strawberry.field
    def hello(self, name: str = "world") -> str:
        return f"hello {name}"

    @strawberry.field
    def self(self) -> "Query":
        return Query()

    @strawberry.field
    def notes(self, first: int | None = None, colour: Colour | None = None) -> NoteConnection:
        notes = [Note(id=strawberry.ID(str(n)), text=f"note {n}") for n in range(first if first is not None else 3)]
        return NoteConnection(nodes=notes, total_count=len(notes))

    @strawberry.field
    def double(self, value: int) -> int:
        return value * 2

    @strawberry.field
    def role(self, info: ToyInfo) -> str:
        return info.context.identity.role.value

    @strawberry.field
    def secret(self, info: ToyInfo) -> str | None:
        if info.context.identity.role is not Role.ADMIN:
            raise AccessDenied(info.context.identity)
        return "open"

    @strawberry.field
    def broken(self) -> str | None:
        raise RuntimeError(f"cannot write '{CANARY}' for sk_live_1234567890")

    @strawberry.field
    def broken_hard(self) -> str:
        raise RuntimeError("broken beyond the root")

    @strawberry.field
    def wrong(self) -> int | None:
        return CANARY  # type: ignore[return-value]

    @strawberry.field
    def picky(self, taste: str | None = None) -> str | None:
        raise DocumentError("taste: expected another one.", RequestErrorCode.BAD_USER_INPUT, tastes=["sweet"])

    @strawberry.field
    async def slow(self, info: ToyInfo, seconds: float) -> str:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            info.context.database.append("cancelled")
            raise
        return "done"


@strawberry.type
class Mutation:
    @strawberry.mutation
    def add_note(self, info: ToyInfo, text: str) -> AddNotePayload:
        info.context.database.append(text)
        return AddNotePayload(note=text, user_errors=[])

    @strawberry.mutation
    def ping(self) -> str:
        return "pong"


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def ticks(self) -> AsyncIterator[int]:
        yield 1

    @strawberry.subscription
    async def nothing(self) -> AsyncIterator[int]:
        return
        yield 0

    @strawberry.subscription
    async def forever(self, info: ToyInfo) -> AsyncIterator[int]:
        try:
            yield 0
            await asyncio.sleep(3600)
        finally:
            info.context.database.append("ended")

    @strawberry.subscription
    async def flood(self, info: ToyInfo) -> AsyncIterator[str]:
        try:
            while True:
                info.context.database.append("told")
                yield "x" * 100_000
                await asyncio.sleep(0)  # to a client that has gone, all is said at once
        finally:
            info.context.database.append("ended")

    @strawberry.subscription
    async def broken(self) -> AsyncIterator[int]:
        raise RuntimeError(f"cannot write '{CANARY}'")
        yield 0


def settings_for(**overrides: object) -> Settings:
    """Settings of the toy server, untouched by the environment's .env."""
    values: dict[str, object] = {"cors_origins": (ORIGIN,), "jwt_secret": "s" * 40, **overrides}
    return Settings(_env_file=None, **values)  # type: ignore[arg-type]


class Toy:
    """The toy server: `client` talks to it over ASGI, `database` shows what mutations did."""

    def __init__(self, rules: tuple[RouteRule, ...] | None = None, **overrides: object) -> None:
        self.settings = settings_for(**overrides)
        self.clock = ManualClock(NOW)
        self.database: list[str] = []
        self.schema = GuardedSchema(
            query=Query,
            mutation=Mutation,
            subscription=Subscription,
            introspection=self.settings.allows_introspection,
            require_user_errors=self.settings.require_user_errors,
        )
        rates = Rates(
            callers=Buckets(self.settings.rate_caller_per_minute, self.clock.now),
            addresses=Buckets(self.settings.rate_address_per_minute, self.clock.now),
            failures=Buckets(self.settings.rate_failures_per_minute, self.clock.now),
            peers=Peers(self.settings.trusted_proxies),
        )
        graphql = self.graphql = GraphQLApp(
            self.schema,
            callers=Callers(TokenVerifier(self.settings), self.clock, _only_key),
            rates=rates,
            get_context=lambda request, identity, allowance: ToyContext(identity, self.database, allowance),
        )
        routes = [
            Route("/graphql", graphql),
            WebSocketRoute("/graphql", graphql),
            Route("/webhooks/stripe", _echo_length, methods=["POST"]),
            Route("/sandbox/stripe/v1/charges", _echo_length, methods=["POST"]),
            Route("/sandbox/stripe/v1/broken", _meant_500, methods=["GET"]),
            Route("/sandbox/stripe/v1/refused", _refused, methods=["GET"]),
            Route("/health/live", _live),
            Route("/boom", _boom),
            Route("/", _page),
        ]
        self.app = Guard(
            Starlette(routes=routes),
            settings=self.settings,
            rates=rates,
            clock=self.clock,
            rules=rules or route_rules(),
        )
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app, raise_app_exceptions=False), base_url="http://testserver"
        )

    async def ask(self, query: str, *, headers: dict[str, str] | None = None, **parameters: object) -> httpx.Response:
        """POST one operation."""
        return await self.client.post("/graphql", json={"query": query, **parameters}, headers=headers)


def looked_for(response: httpx.Response) -> dict[str, str]:
    """What each error of this answer tells, so that its request is found in the logs."""
    return {"requestId": response.headers["x-request-id"], "timestamp": NOW.isoformat().replace("+00:00", "Z")}


def told_beside(response: httpx.Response) -> dict[str, object]:
    """The answer's own extensions but for what tells of its request, which must be right."""
    told = dict(response.json()["extensions"])
    assert told.pop("requestId") == response.headers["x-request-id"]
    assert 0 <= told.pop("elapsedMs") < 10_000
    return told


async def _only_key(secret: str) -> Identity | None:
    return Identity(Role.SERVICE, api_key_id="apk_toy") if secret == API_KEY else None


async def _echo_length(request: Request) -> Response:
    return JSONResponse({"received": len(await request.body())})


async def _meant_500(request: Request) -> Response:
    return JSONResponse({"error": {"type": "api_error"}}, status_code=500)


async def _refused(request: Request) -> Response:
    return JSONResponse({"error": {"type": "invalid_request_error"}}, status_code=401)


async def _live(request: Request) -> Response:
    return JSONResponse({"status": "live"})


async def _boom(request: Request) -> Response:
    raise RuntimeError(f"boom '{CANARY}'")


async def _page(request: Request) -> Response:
    return PlainTextResponse("page")
