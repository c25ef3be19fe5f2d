"""Many processes write to one SQLite file: four servers and two workers, and clients who write through all of them.

SQLite lets one write at a time; the others wait for their turn. No client is ever told to wait instead, whatever it
writes: profiles, and cards to save, for which the gateway's books are written in the same file. In the end an API key
that one server revokes is refused by each other: how soon is told, too.

    python -m tests.soak.crowd --writes 10000 --servers 4 --workers 2 --clients 16
"""

import argparse
import asyncio
import itertools
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from clocks import SystemClock
from resolvers.identity import Role, issue_development_token
from settings import ROOT, load_settings
from tests.schema.keys import CREATE, REVOKE
from tests.soak.surroundings import database
from tests.support.processes import Started, free_port, started

PROFILE = 'mutation { updateProfile(input: {name: "Ann %d"}) { customer { id } userErrors { code } } }'
SAVE = "mutation { createSetupIntent { setupIntent { id } userErrors { code } } }"
_SAVES_ONE_OF = 10
_REVOKED_SECONDS = 1.0


@dataclass
class Crowded:
    """What clients were told; `revoked` is after how many seconds the slowest server refused a revoked key."""

    written: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    revoked: float = 0.0
    refused: Counter[str] = field(default_factory=Counter)
    locked_in_logs: int = 0

    @property
    def is_clean(self) -> bool:
        return not self.refused and self.revoked < _REVOKED_SECONDS


class _Clients:
    def __init__(self, addresses: list[str], seen: Crowded) -> None:
        self.seen = seen
        self.https = [httpx.AsyncClient(base_url=address, timeout=30) for address in addresses]
        settings, now = load_settings(_env_file=None), SystemClock().now()
        self._tokens = {
            user: issue_development_token(settings, user_id=user, role=role, now=now, lifetime=timedelta(hours=6))
            for user, role in [("admin", Role.ADMIN), *((f"user-{n}", Role.CUSTOMER) for n in range(64))]
        }

    async def ask(self, server: int, query: str, user: str, variables: Mapping[str, Any] | None = None) -> Any:
        headers = {"Authorization": f"Bearer {self._tokens[user]}"}
        told = {"query": query, "variables": dict(variables or {})}
        answer = await self.https[server].post("/graphql", json=told, headers=headers)
        body = answer.json()
        problems = body.get("errors") or next(iter(body["data"].values())).get("userErrors")
        if problems:
            self.seen.refused[str(problems[0])[:200]] += 1
        return body.get("data")

    async def write(self, number: int, client: int) -> None:
        began = time.monotonic()
        query = SAVE if number % _SAVES_ONE_OF == 0 else PROFILE % number
        await self.ask(number % len(self.https), query, f"user-{client}")
        self.seen.written += 1
        self.seen.slowest = max(self.seen.slowest, time.monotonic() - began)

    async def revoke(self) -> None:
        """At the first server; the others are asked until the last of them refuses."""
        wish = {"input": {"name": "back end", "scopes": ["read"]}}
        made = (await self.ask(0, CREATE, "admin", wish))["createApiKey"]
        assert [await self._holds(http, made["secret"]) for http in self.https] == [True] * len(self.https)
        await self.ask(0, REVOKE, "admin", {"id": made["apiKey"]["id"]})
        revoked = time.monotonic()
        for http in self.https[1:]:
            while await self._holds(http, made["secret"]):  # noqa: ASYNC110 (another process tells nobody)
                await asyncio.sleep(0.01)
        self.seen.revoked = time.monotonic() - revoked

    async def _holds(self, http: httpx.AsyncClient, secret: str) -> bool:
        answer = await http.post("/graphql", json={"query": "{ viewer { role } }"}, headers={"X-API-Key": secret})
        return answer.status_code == 200


async def _crowd(addresses: list[str], seen: Crowded, writes: int, clients: int) -> None:
    crowd = _Clients(addresses, seen)
    numbers = itertools.count()

    async def client(name: int) -> None:
        while (number := next(numbers)) < writes:
            await crowd.write(number, name)

    began = time.monotonic()
    await asyncio.gather(*(client(each) for each in range(clients)))
    seen.seconds = time.monotonic() - began
    await crowd.revoke()
    for http in crowd.https:
        await http.aclose()


def crowd(folder: Path, *, writes: int, servers: int, workers: int, clients: int) -> Crowded:
    """On a file of its own."""
    seen = Crowded()
    with ExitStack() as stack:
        url = stack.enter_context(database("sqlite", folder)).url
        common = {
            "PERENNIAL_DATABASE_URL": url,
            "PERENNIAL_WORKER": "off",
            "PERENNIAL_RATE_CALLER_PER_MINUTE": "0",
        }
        running: list[Started] = []
        for _ in range(servers):
            port = str(free_port())
            ready = f"http://127.0.0.1:{port}/health/ready"
            settings = {**common, "PERENNIAL_PORT": port}
            running.append(stack.enter_context(started([str(ROOT / "cli.py"), "serve"], ready, folder, settings)))
        for _ in range(workers):
            port = str(free_port())
            settings = {**common, "PERENNIAL_WORKER_PORT": port}
            ready = f"http://127.0.0.1:{port}/health/ready"
            running.append(stack.enter_context(started([str(ROOT / "cli.py"), "worker"], ready, folder, settings)))
        for each in running:
            each.wait()
        addresses = [each.ready.removesuffix("/health/ready") for each in running[:servers]]
        asyncio.run(_crowd(addresses, seen, writes, clients))
        seen.locked_in_logs = sum(each.log.read_text().count("database is locked") for each in running)
    return seen


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.crowd", description=__doc__)
    parser.add_argument("--writes", type=int, default=10_000)
    parser.add_argument("--servers", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--clients", type=int, default=16)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="perennial-soak-") as folder:
        seen = crowd(Path(folder), **vars(asked))
    for problem, count in seen.refused.most_common(10):
        sys.stdout.write(f"{count} × {problem}\n")
    sys.stdout.write(
        f"SQLite, {asked.servers} servers and {asked.workers} workers, {asked.clients} clients: {seen.written} writes, "
        f"{seen.written / seen.seconds:.0f} a second, the slowest {seen.slowest:.1f} s, "
        f"{seen.refused.total()} refused, {seen.locked_in_logs} × 'database is locked' "
        "in the logs; a revoked key is refused by every server "
        f"after {seen.revoked:.2f} s\n"
    )
    return 0 if seen.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
