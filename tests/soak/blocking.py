"""How long one request holds the event loop: the largest of each kind, asked of a server that watches its own loop.

A step that holds the loop keeps everybody else waiting. Lists are a hundred rows deep, operations as expensive as they
may be; documents and bodies are as large and as odd as the edge lets in. Judged by the processor's time, so that other
processes do not decide; the wall clock's is printed beside it.

    python -m tests.soak.blocking --rounds 5 --seed 1 --database sqlite
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import orjson
from graphql import GraphQLNonNull, GraphQLObjectType, get_introspection_query, get_named_type, parse, validate

from bench.crowds import Crowd, gather
from clocks import ManualClock, SystemClock
from gateways.sandbox.deliveries import signature
from logs import configure_logging
from resolvers.identity import Role, issue_development_token
from schema.build import build_schema
from schema.cost import COST_LIMIT, price
from schema.documents import CACHED_WEIGHT, select_operation
from schema.errors import DocumentError
from schema.limits import DocumentLimitsRule
from services.app import Actor, ActorKind
from services.demo import load_catalog
from services.subscriptions.ordering import SubscribeWish
from services.subscriptions.subscribing import subscribe
from services.usage.recording import MOST_EVENTS
from services.wallet.cards import attach_payment_method
from settings import SANDBOX_WEBHOOK_SECRET, load_settings
from tests.edge.test_hostile import BODIES, DOCUMENTS
from tests.scenarios.metering import RECORD, sell
from tests.schema.keys import secret_of_key
from tests.soak.fuzzing import Maker, root_fields
from tests.soak.surroundings import database
from tests.support.house import open_house
from tests.support.processes import free_port, running
from tests.support.watched_loop import WORST

PROMISED_MS = 100.0
READER = "reader"
_DEEP = 110
_LATER = timedelta(days=3650)
_MB = 1024 * 1024
_KB = 1024


@dataclass(frozen=True)
class Shop:
    """What is asked about."""

    subscription_id: str
    key: str


@dataclass
class Held:
    """The longest step of one kind of request, in milliseconds, and how many were asked."""

    asked: int = 0
    processor: float = 0.0
    wall: float = 0.0
    collector: float = 0.0
    step: str = ""
    statuses: set[int] = field(default_factory=set)


async def stock(url: str) -> Shop:
    """A reader with a plan and a metered one, and a hundred others like them."""
    now = SystemClock().now()
    async with open_house(url, clock=ManualClock(now), demo=False) as house:
        await load_catalog(house.app)
        key = await secret_of_key(house, "record_usage")
        await sell(house, "metered")
        actor = Actor(ActorKind.CUSTOMER, READER)
        card = await attach_payment_method(
            house.app, actor, reference="pm_card_visa", make_default=True, customer_id=None
        )
        for code in ("reader-pro", "metered"):
            done = await subscribe(house.app, actor, SubscribeWish(plan_code=code, payment_method_id=card.id))
            assert done.subscription is not None
        await gather(house.app.database, Crowd(_DEEP, _DEEP + 1, now + _LATER))
        return Shop(done.subscription.id, key)


class Asker:
    """Sends requests, and asks the server after each how long its loop was held."""

    def __init__(self, http: httpx.AsyncClient, shop: Shop, rounds: int, seed: int) -> None:
        self.http, self.shop, self.rounds, self.dice = http, shop, rounds, random.Random(seed)
        self.held: dict[str, Held] = {}
        self.schema = build_schema(sandbox=True)._schema
        settings, now = load_settings(_env_file=None), SystemClock().now()
        self.tokens = {
            role: issue_development_token(settings, user_id=user, role=role, now=now, lifetime=timedelta(hours=6))
            for role, user in ((Role.ADMIN, "admin"), (Role.CUSTOMER, READER))
        }

    async def send(self, kind: str, method: str, path: str, body: bytes = b"", **headers: str) -> httpx.Response:
        told = {"Content-Type": "application/json", **headers}
        answer = await self.http.request(method, path, content=body, headers=told)
        worst = (await self.http.get(WORST)).json()
        held = self.held.setdefault(kind, Held())
        held.asked += 1
        held.statuses.add(answer.status_code)
        held.wall = max(held.wall, worst["wall"])
        held.collector = max(held.collector, worst["collector"])
        if worst["processor"] > held.processor:
            held.processor, held.step = worst["processor"], f"{worst['step']} {body[:160]!r}"
        return answer

    async def ask(
        self, kind: str, query: str, variables: Mapping[str, Any] | None = None, role: Role = Role.ADMIN
    ) -> Any:
        body = json.dumps({"query": query, "variables": variables or {}}).encode()
        answer = await self.send(kind, "POST", "/graphql", body, Authorization=f"Bearer {self.tokens[role]}")
        return answer.json()

    async def everything(self) -> None:
        await self.ask("warming up", "{ me { id } plans { nodes { id } } }", role=Role.CUSTOMER)
        del self.held["warming up"]
        await self._many_documents()
        kinds = (self._lists, self._documents, self._introspection, self._bodies, self._webhooks, self._usage)
        for kind in (*kinds, self._documents_to_print, self._at_random, self._sandbox):
            await kind()

    async def _many_documents(self) -> None:
        """The cache of documents is full from here on: what is kept is looked through by the collector."""
        plan = " ".join(f'a{n}: plan(code: "free") {{ id code name description interval }}' for n in range(20))
        for n in range(CACHED_WEIGHT // 300 + 20):
            await self.ask("many documents", f"query M{n} {{ {plan} }}")

    async def _lists(self) -> None:
        """Each list, as wide as the cost allows; told apart by whether its document was seen before."""
        assert self.schema.query_type is not None
        for name, definition in self.schema.query_type.fields.items():
            needed = [a for a, about in definition.args.items() if isinstance(about.type, GraphQLNonNull)]
            if "first" not in definition.args or needed:
                continue
            for _ in range(self.rounds):
                query = self._widest(name, definition)
                await self.ask("lists 100 deep, new documents", query)
                await self.ask("lists 100 deep, known documents", query)

    def _widest(self, name: str, definition: Any) -> str:
        """Leaves of the nodes and below, taken at random until no other fits."""
        connection = get_named_type(definition.type)
        node = get_named_type(connection.fields["nodes"].type)
        paths = self._paths(node, 3)
        self.dice.shuffle(paths)
        chosen: list[tuple[str, ...]] = []
        for path in paths[:400]:
            trial = _drawn(name, [*chosen, path])
            if self._fits(trial):
                chosen.append(path)
        return _drawn(name, chosen or [("__typename",)])

    def _paths(self, kind: GraphQLObjectType, depth: int) -> list[tuple[str, ...]]:
        found: list[tuple[str, ...]] = []
        for name, about in kind.fields.items():
            inner = get_named_type(about.type)
            if any(isinstance(a.type, GraphQLNonNull) for a in about.args.values()) or name in ("raw", "pageInfo"):
                continue
            if isinstance(inner, GraphQLObjectType):
                found += [(name, *rest) for rest in self._paths(inner, depth - 1)] if depth else []
            elif not hasattr(inner, "types") and not hasattr(inner, "fields"):
                found.append((name,))
        return found

    def _fits(self, query: str) -> bool:
        document = parse(query)
        if validate(self.schema, document, [DocumentLimitsRule]):
            return False
        operation = select_operation(document, None)
        assert operation is not None
        try:
            return price(self.schema, document, operation, {}).requested <= COST_LIMIT
        except DocumentError:
            return False

    async def _documents(self) -> None:
        for document in DOCUMENTS.values():
            for _ in range(min(self.rounds, 2)):
                await self.ask("hostile documents", document)
        plan = " ".join(f'a{n}: plan(code: "reader-pro") {{ id name product {{ id }} }}' for n in range(20))
        wide = " ".join(f"query Q{n} {{ plans {{ nodes {{ id code name interval }} }} }}" for n in range(9))
        for n in range(self.rounds):
            await self.ask("valid documents at the limits", f"query R{n} {{ {plan} }}")
            await self.ask("valid documents at the limits", f"query Z{n} {{ plans {{ nodes {{ id }} }} }} {wide}")
            await self.ask("valid documents at the limits", "{ plans { nodes { id } } } #" + "x" * (250 * _KB - n))

    async def _introspection(self) -> None:
        for n in range(self.rounds):
            query = get_introspection_query(input_value_deprecation=True, directive_is_repeatable=True)
            await self.ask("introspection, new document", f"{query} # {n}")
            await self.ask("introspection, known document", query)

    async def _bodies(self) -> None:
        for body in BODIES.values():
            await self.send("hostile bodies", "POST", "/graphql", body)
        for n in range(self.rounds):
            for value in ("x" * 250 * _KB, "\\u00e9" * (40 * _KB), "\x00" * 40_000):
                given = {"name": value[: 250 * _KB - n]}
                update = "mutation($i: UpdateProfileInput!) { updateProfile(input: $i) { userErrors { code } } }"
                await self.ask("variables of 250 KB", update, {"i": given}, role=Role.CUSTOMER)
            many = {f"k{each}": "v" * 10 for each in range(9_000)}
            await self.ask("variables of 250 KB", "query($i: JSON) { viewer { role } }", {"i": many})
            codes = [f"code-{each}" for each in range(15_000)]
            await self.ask(
                "variables of 250 KB", "query($i: [ID!]!) { nodes(ids: $i) { id } }", {"i": codes}, role=Role.CUSTOMER
            )
            token = "e30." + "A" * 30_000 + ".AA"
            await self.send("credentials of 30 KB", "POST", "/graphql", b"{}", Authorization=f"Bearer {token}")
            await self.send("credentials of 30 KB", "POST", "/graphql", b"{}", **{"X-API-Key": token})

    async def _webhooks(self) -> None:
        told: Sequence[Any] = (
            "x" * (_MB - 2_000),
            ["y" * 10] * 70_000,
            {f"k{n}": n for n in range(60_000)},
            json.loads("[" * 120 + "]" * 120),
        )
        for n in range(self.rounds):
            for place, value in enumerate(told):
                event = {
                    "id": f"evt_{self.dice.randrange(10**12)}_{n}_{place}",
                    "object": "event",
                    "created": 1_769_851_800,
                    "livemode": False,
                    "type": "payment_intent.succeeded",
                    "data": {"object": {"id": "pi_x", "object": "payment_intent", "metadata": value}},
                }
                await self._deliver("webhooks of 1 MB", orjson.dumps(event))
            for body in (b"[" * 500_000 + b"]" * 500_000, b"9" * 1_000_000, b'"' + b"\\u0041" * 170_000 + b'"'):
                await self._deliver("webhooks of 1 MB that are signed nonsense", body)
            forged = {"Stripe-Signature": "t=1,v1=x"}
            await self.send("webhooks of 1 MB, forged", "POST", "/webhooks/stripe", b"[" * 500_000, **forged)

    async def _deliver(self, kind: str, body: bytes) -> None:
        second = int(SystemClock().now().timestamp())
        signed = {"Stripe-Signature": signature(SANDBOX_WEBHOOK_SECRET, body, second)}
        await self.send(kind, "POST", "/webhooks/stripe", body, **signed)

    async def _usage(self) -> None:
        for n in range(self.rounds):
            events = [
                {
                    "subscriptionId": self.shop.subscription_id,
                    "featureCode": "calls",
                    "quantity": "1.000000000001",
                    "idempotencyKey": f"{n}-{each}",
                }
                for each in range(MOST_EVENTS)
            ]
            for again in (events, [{**event, "quantity": "-1"} for event in events]):
                body = orjson.dumps({"query": RECORD, "variables": {"events": again}})
                await self.send(
                    f"batches of {MOST_EVENTS} usage events", "POST", "/graphql", body, **{"X-API-Key": self.shop.key}
                )

    async def _documents_to_print(self) -> None:
        told = await self.ask("links to documents", "{ invoices(first: 5) { nodes { pdfUrl } } }")
        for node in told["data"]["invoices"]["nodes"]:
            if node["pdfUrl"]:
                await self.send("PDF", "GET", httpx.URL(node["pdfUrl"]).raw_path.decode())

    async def _at_random(self) -> None:
        maker = Maker(self.schema, self.dice.randrange(10**6))
        for _ in range(self.rounds):
            for word, root, name in root_fields(self.schema):
                query, variables = maker.operation(word, root, name)
                role = self.dice.choice(list(self.tokens))
                told = await self.ask(f"{word} at random", query, variables, role)
                maker.learn(told.get("data"))

    async def _sandbox(self) -> None:
        for _ in range(self.rounds):
            body = b"&".join(b"metadata[k%d]=v" % n for n in range(50_000))
            form = {"Content-Type": "application/x-www-form-urlencoded", "Authorization": "Bearer sk_test_sandbox"}
            await self.send("the sandbox's forms of 1 MB", "POST", "/sandbox/stripe/v1/customers", body, **form)


def _drawn(name: str, paths: Sequence[tuple[str, ...]]) -> str:
    tree: dict[str, Any] = {}
    for path in paths:
        place = tree
        for each in path:
            place = place.setdefault(each, {})
    return f"{{ {name}(first: 100) {{ nodes {{ {_selections(tree)} }} }} }}"


def _selections(tree: Mapping[str, Any]) -> str:
    return " ".join(f"{name} {{ {_selections(below)} }}" if below else name for name, below in tree.items())


def measure(url: str, folder: Path, *, rounds: int, seed: int) -> dict[str, Held]:
    shop = asyncio.run(stock(url))
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    settings = {"PERENNIAL_PORT": str(port), "PERENNIAL_DATABASE_URL": url, "PERENNIAL_WORKER": "off"}
    with running(["-m", "tests.support.watched_loop"], f"{address}/health/ready", folder, settings):
        return asyncio.run(_measure(address, shop, rounds, seed))


async def _measure(address: str, shop: Shop, rounds: int, seed: int) -> dict[str, Held]:
    async with httpx.AsyncClient(base_url=address, timeout=60) as http:
        asker = Asker(http, shop, rounds, seed)
        await asker.everything()
    return asker.held


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.blocking", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--steps", action="store_true", help="tell which step it was")
    asked = parser.parse_args()
    configure_logging(json=True, level="CRITICAL")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="perennial-soak-")))
        url = stack.enter_context(database(asked.database, folder)).url
        held = measure(url, folder, rounds=asked.rounds, seed=asked.seed)
    for kind, each in held.items():
        sys.stdout.write(
            f"{kind}: {each.asked} asked, answered {sorted(each.statuses)}, longest step {each.processor:.0f} ms "
            f"({each.wall:.0f} ms by the wall)\n{f'    {each.step}{chr(10)}' if asked.steps else ''}"
        )
    worst, collector = (max(getattr(each, of) for each in held.values()) for of in ("processor", "collector"))
    sys.stdout.write(
        f"{asked.database}, seed {asked.seed}: {sum(each.asked for each in held.values())} requests, "
        f"none held the loop for more than {worst:.0f} ms, the collector for at most {collector:.0f} ms\n"
    )
    return 0 if worst < PROMISED_MS else 1


if __name__ == "__main__":
    sys.exit(main())
