"""Two servers and three workers on one PostgreSQL, before a gateway that is a process of its own.

Everybody's subscription is due. While the first worker renews them it loses the gateway in the middle of a call and is
killed, and the others go on; meanwhile the explorer's whole shelf is told through both servers in turns, followed live
at the other one. In the end each renewal is charged once, and `cli.py check` finds nothing.

    python -m tests.soak.fleet --subscriptions 500 --gateway stranger
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Set
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import cycle
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import stripe
from sqlalchemy import null, select, union_all, update
from sqlmodel import SQLModel

from clocks import ManualClock, SystemClock
from gateways.browser import SandboxBrowser
from resolvers.identity import Role, issue_development_token
from services.app import Actor, ActorKind
from services.demo import USERS, load_catalog
from services.subscriptions.ordering import SubscribeWish
from services.subscriptions.subscribing import subscribe
from services.wallet.cards import attach_payment_method
from settings import SANDBOX_PUBLISHABLE_KEY, SANDBOX_SECRET_KEY, SANDBOX_WEBHOOK_SECRET, Settings, load_settings
from tests.readme.snippets import ROOT
from tests.support import stranger
from tests.support.databases import apart, database_on, migrate, postgres_server, run
from tests.support.house import ENTITLEMENT_KEY, STAFF, open_house
from tests.support.line import Line, line_to
from tests.support.live import events_of, signed_in
from tests.support.processes import Started, environment, free_port, started
from tests.support.story import Story, shelf

CLI = str(ROOT / "cli.py")
PATIENCE = 60.0
TAKEN_OVER_SECONDS = 60.0
_RENEWED_SECONDS = 180.0
A_MONTH_AND_A_DAY = timedelta(days=32)
_WORKERS = 3
_ALL_DONE = "The ledger balances and agrees with every payment, here and at the gateway.\n"
# Clocks of customers' own exist in the embedded sandbox only: here everybody lives by the machine's.
_NEEDS_A_CLOCK = {"MakeClock", "MoveClock"}
_MEMBER = {"input": {"userId": "member-of-the-fleet"}}

_FOLLOW = "subscription($id: ID) { subscriptionUpdated(id: $id) { status cancelAtPeriodEnd } }"
_CANCEL = """mutation($id: ID!, $at: EffectiveAt!) {
  cancelSubscription(input: {subscriptionId: $id, effectiveAt: $at}) { userErrors { code } } }"""
_MORE_CARDS = """mutation { attachPaymentMethod(input: {paymentMethodId: "pm_card_mastercard"}) {
  paymentMethod { id isDefault } userErrors { code } } }"""
_DEFAULT = """mutation($id: ID!) { setDefaultPaymentMethod(input: {paymentMethodId: $id}) {
  paymentMethod { isDefault } userErrors { code } } }"""
_METERED = """mutation { createPlan(input: {code: "calls", name: "Calls", productCode: "premium", interval: MONTH,
  usageType: METERED, aggregateUsage: SUM, featureCode: "calls",
  prices: [{currencyCode: "USD", unitAmountDecimal: "0.01"}]}) { userErrors { code message } } }"""
_TAKE_IT = """mutation($card: ID!) { subscribe(input: {planCode: "calls", paymentMethodId: $card}) {
  subscription { id status } userErrors { code } } }"""
_KEY = """mutation { createApiKey(input: {name: "meter", scopes: ["record_usage"]}) { secret userErrors { code } } }"""
_RECORD = """mutation($of: ID!) { recordUsage(events: [{subscriptionId: $of, featureCode: "calls", quantity: "3",
  idempotencyKey: "once"}]) { accepted duplicates userErrors { code } } }"""
# A request's own lease, of the key that it came with, is no worker's and has no id.
_LEASED = [table for table in SQLModel.metadata.sorted_tables if {"leased_until", "id"} <= set(table.columns.keys())]
_LEASES = union_all(*(select(table.c.id, table.c.fence).where(table.c.leased_until.is_not(None)) for table in _LEASED))
_PAID = "SELECT count(*) FROM invoices WHERE reason = 'subscription_cycle' AND status = 'paid'"


@dataclass(frozen=True)
class Gateway:
    """How the gateway's process is started, and what it is known by."""

    command: tuple[str, ...]
    secret_key: str
    publishable_key: str
    webhook_secret: str


GATEWAYS = {
    "sandbox": Gateway(("-m", "gateways.sandbox"), SANDBOX_SECRET_KEY, SANDBOX_PUBLISHABLE_KEY, SANDBOX_WEBHOOK_SECRET),
    "stranger": Gateway(
        ("-m", "tests.support.stranger"), stranger.SECRET_KEY, stranger.PUBLISHABLE_KEY, stranger.WEBHOOK_SECRET
    ),
}


Lease = tuple[str, int]
"""A row and its fence, which grows with each holder."""


@dataclass(frozen=True)
class Lost:
    """What a worker held that was killed, and when by `time.monotonic`."""

    held: Set[Lease]
    at: float


@dataclass(frozen=True)
class Fleet:
    """Processes that run, and hands to reach them."""

    database_url: str
    gateway_url: str
    gateway: Gateway
    settings: Settings
    env: Mapping[str, str]
    servers: tuple[str, ...]
    processes: tuple[Started, ...]
    workers: tuple[Started, ...]
    lost: Lost
    http: httpx.AsyncClient

    def token(self, user: str) -> str:
        role = STAFF.get(user, Role.CUSTOMER)
        return issue_development_token(self.settings, user_id=user, role=role, now=SystemClock().now())

    async def ask(
        self, server: str, query: str, variables: Mapping[str, Any], user: str, key: str | None = None
    ) -> dict[str, Any]:
        """The data of an operation that must be executed without errors, by that server."""
        headers = {"X-API-Key": key} if key else {"Authorization": f"Bearer {self.token(user)}"}
        body = {"query": query, "variables": dict(variables)}
        answer = (await self.http.post(f"{server}/graphql", json=body, headers=headers)).json()
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    async def count(self, query: str) -> int:
        connection = await asyncpg.connect(self.database_url)
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()

    async def reaches(self, query: str, at_least: int, seconds: float) -> None:
        """Until the query counts so many. AssertionError after `seconds`."""
        deadline = time.monotonic() + seconds
        while (found := await self.count(query)) < at_least:
            assert time.monotonic() < deadline, f"{found} of {at_least}: {query}"
            await asyncio.sleep(0.1)

    async def taken_over(self) -> float:
        """Until others hold or have done all that the dead held: how many seconds after its end.

        AssertionError after a minute.
        """
        while left := self.lost.held & await _leases(self.database_url):
            assert time.monotonic() < self.lost.at + TAKEN_OVER_SECONDS, f"nobody came for {left}"
            await asyncio.sleep(0.1)
        return time.monotonic() - self.lost.at

    async def books(self) -> Counter[str]:
        """How many intents of each of our invoices the gateway was paid for."""
        paid: Counter[str] = Counter()
        headers, after, more = {"Authorization": f"Bearer {self.gateway.secret_key}"}, {}, True
        while more:
            told = {"limit": "100", **after}
            page = (await self.http.get(f"{self.gateway_url}/v1/payment_intents", params=told, headers=headers)).json()
            paid.update(each["metadata"]["perennial_invoice"] for each in page["data"] if each["status"] == "succeeded")
            more, after = page["has_more"], {"starting_after": page["data"][-1]["id"]}
        return paid


@asynccontextmanager
async def open_fleet(
    database_url: str, folder: Path, *, subscriptions: int, gateway: str, processes: int
) -> AsyncIterator[Fleet]:
    """Everybody subscribed a month ago; then servers and a worker begin, which is lost, and then the others."""
    kind, port = GATEWAYS[gateway], free_port()
    ports, address = (free_port(), free_port()), f"http://127.0.0.1:{port}"
    servers = tuple(f"http://127.0.0.1:{each}" for each in ports)
    told = ["--port", str(port), "--database", f"sqlite:///{folder / 'gateway.db'}"]
    told += ["--webhook-url", f"{servers[0]}/webhooks/stripe"]
    if gateway == "stranger":  # the sandbox knows one endpoint from its command line; a stranger two
        told += ["--webhook-url", f"{servers[1]}/webhooks/stripe"]
    given = {
        "stripe_api_base": address,
        "stripe_secret_key": kind.secret_key,
        "stripe_publishable_key": kind.publishable_key,
        "stripe_webhook_secret": kind.webhook_secret,
    }
    env = {f"PERENNIAL_{name.upper()}": value for name, value in given.items()} | {
        "PERENNIAL_DATABASE_URL": database_url,
        "PERENNIAL_DATABASE_LISTEN_URL": database_url,
        "PERENNIAL_ENTITLEMENT_KEY": ENTITLEMENT_KEY,
        "PERENNIAL_WORKER": "off",
    }
    async with AsyncExitStack() as stack:
        process = stack.enter_context(started([*kind.command, *told], f"{address}/v1/customers", folder, {}))
        await asyncio.to_thread(process.wait)
        await _subscribe_all(database_url, subscriptions, given)
        line = await stack.enter_async_context(line_to(address))
        serving = [
            stack.enter_context(
                started(
                    [CLI, "serve", *more],
                    f"{server}/health/ready",
                    folder,
                    {**env, "PERENNIAL_PORT": str(ports[place])},
                )
            )
            for place, (server, more) in enumerate(zip(servers, ([], ["--workers", str(processes)]), strict=True))
        ]

        def worker(**own: str) -> Started:
            watched = str(free_port())
            ready, own = f"http://127.0.0.1:{watched}/health/ready", {**env, "PERENNIAL_WORKER_PORT": watched, **own}
            return stack.enter_context(started([CLI, "worker"], ready, folder, own))

        line.fall_silent_at(b"/confirm HTTP", min(5, subscriptions // 4) + 1)
        beside = [worker(PERENNIAL_STRIPE_API_BASE=line.url)]
        lost = await _lose(beside[0], line, database_url)
        beside += [worker() for _ in range(1, _WORKERS)]
        for each in (*serving, *beside[1:]):
            await asyncio.to_thread(each.wait)
        http = await stack.enter_async_context(httpx.AsyncClient(timeout=PATIENCE))
        settings = load_settings(_env_file=None, database_url=database_url)
        yield Fleet(
            database_url,
            address,
            kind,
            settings,
            environment(**env),
            servers,
            tuple(serving),
            tuple(beside),
            lost,
            http,
        )


async def _subscribe_all(database_url: str, subscriptions: int, gateway: Mapping[str, str]) -> None:
    """The demo's catalog and customers, and so many subscriptions of a month ago."""
    then = ManualClock(SystemClock().now() - A_MONTH_AND_A_DAY)
    async with open_house(database_url, demo=False, clock=then, **gateway) as house:
        await load_catalog(house.app)

        async def save(user: str, reference: str) -> str:
            actor = Actor(ActorKind.CUSTOMER, user)
            saved = attach_payment_method(house.app, actor, reference=reference, make_default=True, customer_id=None)
            return (await saved).id

        for user, _, pays in USERS:
            await save(user, "pm_card_visa" if pays else "pm_card_chargeCustomerFail")
        for number in range(subscriptions):
            wish = SubscribeWish(plan_code="reader-pro", payment_method_id=await save(f"user-{number}", "pm_card_visa"))
            outcome = await subscribe(house.app, Actor(ActorKind.CUSTOMER, f"user-{number}"), wish)
            assert not outcome.problems


async def _lose(worker: Started, line: Line, database_url: str) -> Lost:
    """Killed while it waits for an answer of the gateway; nobody else is at work yet."""
    async with asyncio.timeout(PATIENCE):
        await line.silent.wait()
    worker.process.kill()
    worker.process.wait()
    lost = Lost(await _leases(database_url), time.monotonic())
    assert lost.held, "the worker that was killed held nothing"
    return lost


async def _leases(database_url: str) -> Set[Lease]:
    connection = await asyncpg.connect(database_url)
    try:
        return {(row["id"], row["fence"]) for row in await connection.fetch(str(_LEASES))}
    finally:
        await connection.close()


@asynccontextmanager
async def browser_of(fleet: Fleet) -> AsyncIterator[SandboxBrowser]:
    """The customer's, which talks to the gateway itself."""
    http = stripe.HTTPXClient()
    client = stripe.StripeClient(
        fleet.gateway.publishable_key, base_addresses={"api": fleet.gateway_url}, http_client=http
    )
    try:
        yield SandboxBrowser(client, fleet.http)
    finally:
        await http.close_async()


async def tell_the_shelf(fleet: Fleet, browser: SandboxBrowser) -> int:
    """Each operation through either server in turns, and some that the shelf has not; how many."""
    turns = cycle(fleet.servers)

    async def ask(document: str, variables: Mapping[str, Any], user: str, key: str | None = None) -> dict[str, Any]:
        data = await fleet.ask(next(turns), document, variables, user, key)
        for payload in data.values():
            assert not (payload or {}).get("userErrors"), (document, payload)
        return data

    story, told = Story(ask, browser), 0
    for operation in shelf():
        if operation.name in _NEEDS_A_CLOCK:
            continue
        if operation.name == "PutOnClock":
            document = operation.document.replace("testClock {\n        now\n      }", "")
            await story.tell(replace(operation, document=document), _MEMBER)
        elif operation.name == "MyCards":  # a webhook tells of what the browser saved
            while not (await story.tell(operation))["paymentMethods"]["nodes"]:  # noqa: ASYNC110 (of another process)
                await asyncio.sleep(0.1)
        else:
            await story.tell(operation)
        told += 1
    card = (await ask(_MORE_CARDS, {}, "demo-new"))["attachPaymentMethod"]["paymentMethod"]["id"]
    changed = await ask(_DEFAULT, {"id": card}, "demo-new")
    assert changed["setDefaultPaymentMethod"]["paymentMethod"] == {"isDefault": True}
    await ask(_METERED, {}, "demo-admin")
    taken = await ask(_TAKE_IT, {"card": card}, "demo-new")
    assert taken["subscribe"]["subscription"]["status"] == "ACTIVE"
    key = (await ask(_KEY, {}, "demo-admin"))["createApiKey"]["secret"]
    for counts in ((1, 0), (0, 1)):  # told to the other server again, it is known
        used = (await ask(_RECORD, {"of": taken["subscribe"]["subscription"]["id"]}, "", key))["recordUsage"]
        assert (used["accepted"], used["duplicates"]) == counts
    return told + 7


async def follow_at_the_other(fleet: Fleet, user: str) -> float:
    """One server is followed by WebSocket and one by server-sent events; each hears of what was asked of the other.

    How many seconds passed until the last of both was told.
    """
    here, there = fleet.servers
    mine = await fleet.ask(there, "{ mySubscription { id } }", {}, user)
    known = {"id": mine["mySubscription"]["id"]}
    headers = {"Authorization": f"Bearer {fleet.token(user)}", "Accept": "text/event-stream"}
    body = {"query": _FOLLOW, "variables": known}
    async with (
        signed_in(here.removeprefix("http://"), fleet.token(user)) as client,
        fleet.http.stream("POST", f"{there}/graphql", json=body, headers=headers) as response,
    ):
        await client.subscribe("a", _FOLLOW, known)
        stream = events_of(response)

        async def told() -> list[tuple[str, bool]]:
            rows = [(await client.next()), (await anext(stream))[1]["data"]]
            return [
                (row["subscriptionUpdated"]["status"], row["subscriptionUpdated"]["cancelAtPeriodEnd"]) for row in rows
            ]

        assert await told() == [("ACTIVE", False)] * 2
        slowest = 0.0
        for server, at, status in ((there, "PERIOD_END", "ACTIVE"), (here, "NOW", "CANCELED")):
            began = time.monotonic()
            done = await fleet.ask(server, _CANCEL, {**known, "at": at}, user)
            assert done["cancelSubscription"]["userErrors"] == []
            assert await told() == [(status, True)] * 2
            slowest = max(slowest, time.monotonic() - began)
        return slowest


async def nobody_is_charged_twice(fleet: Fleet, subscriptions: int) -> None:
    """The gateway's own books say the same as ours."""
    assert await fleet.count(_PAID) == subscriptions
    assert max((await fleet.books()).values()) == 1


async def leases_run_out(fleet: Fleet) -> None:
    """Those of the worker that was killed, as they would by themselves."""
    ids = [id_ for id_, _ in fleet.lost.held]
    for table in _LEASED:
        over = update(table).where(table.c.id.in_(ids)).values(leased_until=null())
        await run(fleet.database_url, str(over.compile(compile_kwargs={"literal_binds": True})))


def nothing_is_wrong(fleet: Fleet) -> None:
    """By the books, ours and the gateway's, and by what the processes have logged."""
    checked = subprocess.run([sys.executable, CLI, "check"], env=fleet.env, capture_output=True, text=True, check=False)
    assert (checked.stdout, checked.stderr, checked.returncode) == (_ALL_DONE, "", 0)
    logged = "".join(each.log.read_text() for each in (*fleet.processes, *fleet.workers))
    assert [line for line in logged.splitlines() if '"level":"error"' in line or "Traceback" in line] == []


@dataclass(frozen=True)
class Voyage:
    """What was seen."""

    operations: int
    live_seconds: float
    taken_over_seconds: float


async def sail(
    server: str, folder: Path, *, subscriptions: int, gateway: str, waits: bool, processes: int = 1
) -> Voyage:
    """All of it on a database of its own; unless it `waits`, the dead worker's leases are made to run out at once.

    The second server is as many processes behind one port.
    """
    async with database_on(server) as url:
        apart(lambda: migrate(url))
        async with open_fleet(url, folder, subscriptions=subscriptions, gateway=gateway, processes=processes) as fleet:
            taking_over = asyncio.create_task(fleet.taken_over())
            async with browser_of(fleet) as browser:
                operations = await tell_the_shelf(fleet, browser)
            live = await follow_at_the_other(fleet, "demo-new")
            if not waits:
                await leases_run_out(fleet)
            taken_over = await taking_over
            await fleet.reaches(_PAID, subscriptions, _RENEWED_SECONDS)
            await nobody_is_charged_twice(fleet, subscriptions)
            await asyncio.to_thread(nothing_is_wrong, fleet)
            return Voyage(operations, live, taken_over)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.fleet", description=__doc__)
    parser.add_argument("--subscriptions", type=int, default=200)
    parser.add_argument("--gateway", choices=sorted(GATEWAYS), default="stranger")
    asked = parser.parse_args()
    with postgres_server() as server, tempfile.TemporaryDirectory(prefix="perennial-fleet-") as folder:
        sailing = sail(
            server, Path(folder), subscriptions=asked.subscriptions, gateway=asked.gateway, waits=True, processes=2
        )
        seen = asyncio.run(sailing)
    sys.stdout.write(
        f"2 servers, 3 workers, {asked.gateway}: {asked.subscriptions} renewals, each charged once; a worker killed at "
        f"the gateway, its work taken over within {seen.taken_over_seconds:.0f} s; {seen.operations} operations "
        f"through either server; live updates of the other server's after {seen.live_seconds:.2f} s at most; "
        f"nothing for cli.py check to find\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
