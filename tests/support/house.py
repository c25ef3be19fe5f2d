"""The whole product on a database of its own: real HTTP over ASGI, the sandbox behind it, clocks that tests move."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from sqlalchemy import event
from starlette.types import ASGIApp

from bootstrap import GatewayWrapper, Installation, build
from clocks import ManualClock
from gateways.https import Resolve
from resolvers.entitlement_tokens import new_key
from resolvers.identity import Role, issue_development_token
from server import create_app
from services.app import Actor, ActorKind, App
from services.books.audit import audit
from services.books.own_books import unexplained_lines
from services.demo import load_demo
from settings import load_settings
from tests.support.waiting import PATIENCE_SECONDS
from worker import Worker

START = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)

QUIET = {"worker": "off", "reconcile_minutes": 0}
"""Nothing happens by itself: a pass that repairs everything would hide what the other ways miss."""

ENTITLEMENT_KEY = new_key()
"""Every house's: none makes a file of its own."""

STAFF = {"demo-admin": Role.ADMIN, "demo-support": Role.SUPPORT}


@dataclass
class House:
    """`clock` is the billing clock, `machine` the one of leases and signatures; both stand still until moved."""

    installation: Installation
    asgi: ASGIApp
    http: httpx.AsyncClient
    clock: ManualClock
    machine: ManualClock
    _tokens: dict[tuple[str, Role, datetime], str] = field(default_factory=dict)

    @property
    def app(self) -> App:
        return self.installation.app

    def token(self, user: str, role: Role | None = None) -> str:
        wanted = (user, role or STAFF.get(user, Role.CUSTOMER), self.machine.now())
        if wanted not in self._tokens:
            user_id, role, now = wanted
            self._tokens[wanted] = issue_development_token(
                self.installation.settings, user_id=user_id, role=role, now=now
            )
        return self._tokens[wanted]

    async def post(
        self, query: str, variables: Mapping[str, Any] | None = None, user: str | None = None
    ) -> httpx.Response:
        """One GraphQL request over HTTP as `user` (None: nobody)."""
        headers = {"Authorization": f"Bearer {self.token(user)}"} if user else {}
        return await self.http.post(
            "/graphql", json={"query": query, "variables": dict(variables or {})}, headers=headers
        )

    async def ask(
        self, query: str, variables: Mapping[str, Any] | None = None, user: str | None = None
    ) -> dict[str, Any]:
        """The data of an operation that must be executed without errors."""
        answer = await self.post(query, variables, user)
        body = answer.json()
        assert "errors" not in body, body["errors"]
        return body["data"]

    async def deliver(self) -> None:
        """Webhooks delivered and worked on until nothing is left (bounded)."""
        sandbox = self.installation.sandbox
        assert sandbox is not None
        for _ in range(20):
            delivered = await sandbox.deliver_due()
            worked = await Worker(self.app).once()
            if not delivered and not any(worked.values()):
                return
        raise AssertionError("webhooks never come to rest")

    async def work(self) -> Mapping[str, int]:
        return await Worker(self.app).once()

    async def due(self) -> Mapping[str, int]:
        """What there was to do and has been done now, but for telling what happened and forgetting old keys."""
        aside = ("published", "forgotten")
        return {step: count for step, count in (await self.work()).items() if count and step not in aside}

    def pass_time(self, by: timedelta) -> None:
        """Both clocks move together, as they do in life."""
        self.clock.advance(by)
        self.machine.advance(by)

    async def audit(self) -> Sequence[str]:
        """What is wrong in our books and against the gateway's, a sentence each."""
        return [finding.text for finding in (await audit(self.app)).findings]

    def actor(self, user: str) -> Actor:
        return Actor(ActorKind.ADMIN if user in STAFF else ActorKind.CUSTOMER, user)


async def _at_once(_seconds: float) -> None:
    """Nobody waits for a clock that stands still."""


@asynccontextmanager
async def open_house(
    database_url: str,
    *,
    demo: bool = True,
    wrap_gateway: GatewayWrapper = lambda gateway: gateway,
    clock: ManualClock | None = None,
    resolve: Resolve | None = None,
    **settings: Any,
) -> AsyncIterator[House]:
    """The product ready for requests, the worker off: tests call `work` and `deliver` themselves."""
    machine, clock = ManualClock(START), clock or ManualClock(START)
    holder: list[ASGIApp] = []

    async def late_bound(scope: Any, receive: Any, send: Any) -> None:
        await holder[0](scope, receive, send)

    installation = build(
        load_settings(
            _env_file=None,
            database_url=database_url,
            **{
                **QUIET,
                "entitlement_key": ENTITLEMENT_KEY,
                "database_statement_seconds": PATIENCE_SECONDS,
                **settings,
            },
        ),
        clock=clock,
        security_clock=machine,
        webhook_transport=httpx.ASGITransport(app=late_bound),
        wrap_gateway=wrap_gateway,
        retry_sleep=_at_once,
        resolve=resolve,
    )
    installation = replace(
        installation, app=replace(installation.app, gateway_budget=timedelta(seconds=PATIENCE_SECONDS))
    )
    guard = create_app(installation)
    guard.rules = [replace(rule, seconds=max(rule.seconds, PATIENCE_SECONDS)) for rule in guard.rules]
    holder.append(guard)
    await installation.start()
    try:
        if demo:
            await load_demo(installation.app)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app=holder[0]), base_url=installation.settings.own_address
        ) as http:
            yield House(installation, holder[0], http, clock, machine)
            assert [finding.text for finding in await unexplained_lines(installation.app)] == []
    finally:
        await installation.close()


@dataclass
class Statements:
    """The SQL statements that a block sent, transactions' own words aside."""

    sent: list[str]

    def __len__(self) -> int:
        return len(self.sent)


@asynccontextmanager
async def counted(app: App) -> AsyncIterator[Statements]:
    """Count the statements of the block."""
    statements = Statements([])
    engine = app.database.engine.sync_engine

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if not statement.startswith(("BEGIN", "PRAGMA")):
            statements.sent.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(engine, "before_cursor_execute", note)
