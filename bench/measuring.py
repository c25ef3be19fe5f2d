"""Timing both sides in turns, on one database, in one process."""

import asyncio
import random
import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import orjson
from starlette.types import ASGIApp, Message

from bench.bare import BareRoute, noted
from bench.operations import OPERATIONS, Customer, Operation, Sent
from gateways.port import PaymentGateway
from models.customers import Customer as CustomerRow
from models.customers import gateway_account
from services.app import Actor, ActorKind, App
from services.books.own_books import audit_own_books
from services.wallet.cards import attach_payment_method
from tests.support.house import House, open_house

_CARD = "pm_card_visa"
_MORE_CARDS = ("pm_card_mastercard", "pm_card_amex", "pm_card_discover", "pm_card_jcb")
_WARM_UP = 5


class Stopwatch:
    """Wraps a gateway; `spent` are the nanoseconds inside its calls, which are the gateway's and not ours."""

    def __init__(self, gateway: PaymentGateway) -> None:
        self._gateway = gateway
        self.spent = 0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._gateway, name)
        if not asyncio.iscoroutinefunction(found):
            return found

        async def timed(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter_ns()
            try:
                return await found(*args, **kwargs)
            finally:
                self.spent += time.perf_counter_ns() - began

        return timed


@dataclass(slots=True)
class Timings:
    """Nanoseconds of each round, and how many statements one request sends."""

    statements: int
    product: list[int] = field(default_factory=list)
    bare: list[int] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """How many times the bare route's time the product takes, each by its 10th percentile.

        Whatever else the machine does only ever adds time, so the quick rounds tell the most.
        """
        quick, quick_bare = (
            statistics.quantiles(side, n=10, method="inclusive")[0] for side in (self.product, self.bare)
        )
        return quick / quick_bare

    @property
    def spread(self) -> tuple[float, float]:
        """The 10th and the 90th percentile of the ratios of each round."""
        tenths = statistics.quantiles(
            (a / b for a, b in zip(self.product, self.bare, strict=True)), n=10, method="inclusive"
        )
        return tenths[0], tenths[-1]


async def call(app: ASGIApp, sent: Sent) -> tuple[int, bytes]:
    """One request without a client between: status and body."""
    headers = {"host": "127.0.0.1", "content-type": "application/json", **sent.headers}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": sent.path,
        "raw_path": sent.path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()]
        + [(b"content-length", str(len(sent.body)).encode())],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "state": {},
    }
    told: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": sent.body, "more_body": False}

    async def send(message: Message) -> None:
        told.append(message)

    await app(scope, receive, send)
    return told[0]["status"], b"".join(message.get("body", b"") for message in told[1:])


async def new_customer(app: App) -> Customer:
    """Somebody who has just saved a first card."""
    user = f"usr_{uuid4().hex}"
    card = await attach_payment_method(
        app, Actor(ActorKind.CUSTOMER, user), reference=_CARD, make_default=True, customer_id=None
    )
    async with app.database.read() as session:
        row = await session.get_one(CustomerRow, card.customer_id)
        account = await gateway_account(session, row.id, app.gateway.platform)
    assert account is not None
    names = (user, row.id, row.invoice_prefix, card.id, card.gateway_ref, account.id, account.gateway_ref)
    return Customer(user, card.id, names)


async def new_reader(house: House) -> Customer:
    reader = await new_customer(house.app)
    actor = Actor(ActorKind.CUSTOMER, reader.user)
    for reference in _MORE_CARDS:
        await attach_payment_method(house.app, actor, reference=reference, make_default=False, customer_id=None)
    bought = await house.ask(
        "mutation($input: SubscribeInput!) { subscribe(input: $input) { userErrors { code } payment { status } } }",
        {"input": {"planCode": "premium-monthly", "paymentMethodId": reader.card_id}},
        reader.user,
    )
    assert bought["subscribe"] == {"payment": {"status": "SUCCEEDED"}, "userErrors": []}
    return reader


@dataclass(slots=True)
class Pair:
    """An operation and the bare route beside it; `recorded` is the customer whose run the route repeats."""

    operation: Operation
    route: BareRoute
    app: ASGIApp
    recorded: Customer

    def known(self, customer: Customer) -> Mapping[str, str] | None:
        if not self.operation.writes:
            return None
        return dict(zip(self.recorded.names, customer.names, strict=True))


class Bench:
    """One house, and the customers in it that are left to use up."""

    def __init__(self, house: House, watch: Stopwatch, reader: Customer, customers: Iterator[Customer]) -> None:
        self._house, self._watch, self._reader, self._customers = house, watch, reader, customers
        self._sent = 0

    async def pair(self, operation: Operation) -> Pair:
        """Note one run of the operation, and see that the route repeating it answers the same."""
        await self._product(operation, self._next(operation))  # documents are parsed once, and not timed
        recorded = self._next(operation)
        sent = self._build(operation, recorded)
        async with noted(self._house.app.database) as turns:
            answer = orjson.loads(await self._answer(self._house.asgi, sent))
        route = BareRoute(self._house.app.database, turns, answer)
        pair = Pair(operation, route, route.app(sent.path), recorded)
        assert orjson.loads(await self._bare(pair, self._next(operation))) == answer, operation.name
        return pair

    async def time(self, pair: Pair, *, bare: bool) -> int:
        """Nanoseconds of one request, the gateway's calls taken off."""
        customer = self._next(pair.operation)
        sent = self._build(pair.operation, customer)
        pair.route.known = pair.known(customer)
        app = pair.app if bare else self._house.asgi
        self._watch.spent = 0
        began = time.perf_counter_ns()
        await self._answer(app, sent)
        return time.perf_counter_ns() - began - self._watch.spent

    async def _product(self, operation: Operation, customer: Customer) -> bytes:
        return await self._answer(self._house.asgi, self._build(operation, customer))

    async def _bare(self, pair: Pair, customer: Customer) -> bytes:
        pair.route.known = pair.known(customer)
        return await self._answer(pair.app, self._build(pair.operation, customer))

    async def _answer(self, app: ASGIApp, sent: Sent) -> bytes:
        status, body = await call(app, sent)
        assert status == 200, body
        assert b'"errors"' not in body, body
        return body

    def _build(self, operation: Operation, customer: Customer) -> Sent:
        self._sent += 1
        return operation.build(self._house, customer, self._sent)

    def _next(self, operation: Operation) -> Customer:
        return next(self._customers) if operation.uses_up else self._reader


async def measure(database_url: str, sandbox_url: str, *, rounds: int, seed: int) -> dict[str, Timings]:
    """Every operation `rounds` times on either side, in turns and in a random order by `seed`."""
    watches: list[Stopwatch] = []

    def watched(gateway: PaymentGateway) -> Any:
        watches.append(Stopwatch(gateway))
        return watches[-1]

    dice = random.Random(seed)
    async with open_house(database_url, wrap_gateway=watched, sandbox_database_url=sandbox_url) as house:
        uses_up = sum(operation.uses_up for operation in OPERATIONS)
        needed = uses_up * (3 + 2 * (rounds + _WARM_UP))
        customers = [await new_customer(house.app) for _ in range(needed)]
        bench = Bench(house, watches[0], await new_reader(house), iter(customers))
        pairs = [await bench.pair(operation) for operation in OPERATIONS]
        timings = {pair.operation.name: Timings(pair.route.statements) for pair in pairs}
        for number in range(_WARM_UP + rounds):
            for pair in dice.sample(pairs, len(pairs)):
                taken = {bare: await bench.time(pair, bare=bare) for bare in dice.sample((True, False), 2)}
                if number >= _WARM_UP:
                    timings[pair.operation.name].product.append(taken[False])
                    timings[pair.operation.name].bare.append(taken[True])
        # The bare routes write rows that no gateway knows of: only our own books can be held.
        assert await audit_own_books(house.app) == []
        return timings
