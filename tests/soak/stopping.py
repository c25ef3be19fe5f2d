"""Servers that are told to stop while clients are busy: who is answered, and how long the end takes.

Each client sends one request after the other over connections that it keeps, until the port refuses it. A request that
was sent on a connection which the server had accepted, and then reset, is a lost one. Others follow live updates, and
must be let go at once in the way that their clients take for "connect again".

    python -m tests.soak.stopping --stops 20 --clients 20 --processes 1
"""

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from settings import ROOT
from tests.support.live import signed_in
from tests.support.processes import environment, free_port

STREAM_SECONDS, END_SECONDS = 2.0, 30.0
_ASK = (
    "{ plans(first: 20) { nodes { code name } } }",
    "{ me { id email subscriptions(first: 5) { nodes { id status } } } }",
    'mutation { updateProfile(input: {name: "Ann Example"}) { customer { id } userErrors { code } } }',
)
_FOLLOW = "subscription { subscriptionUpdated { id status } }"
_WAIT_SECONDS = 60.0
_WARM = 3


@dataclass
class Stops:
    """What came of all of them."""

    answered: int = 0
    stopped: int = 0
    slowest_end: float = 0.0
    slowest_stream: float = 0.0
    exits: Counter[int] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    streams: Counter[str] = field(default_factory=Counter)

    @property
    def is_clean(self) -> bool:
        return (
            not self.lost
            and set(self.exits) <= {0}
            and self.slowest_end < END_SECONDS
            and self.slowest_stream < STREAM_SECONDS
            and set(self.streams) <= {"sse without complete", "1012"}
        )


async def stop_often(*, stops: int, clients: int, processes: int, seed: int, folder: Path) -> Stops:
    dice, seen = random.Random(seed), Stops()
    for _ in range(stops):
        await _stop(seen, clients, processes, dice, folder)
    return seen


async def _stop(seen: Stops, clients: int, processes: int, dice: random.Random, folder: Path) -> None:
    port = free_port()
    settings = {
        "PERENNIAL_PORT": str(port),
        "PERENNIAL_DATABASE_URL": f"sqlite:///{folder / 'stopping.db'}",
        "PERENNIAL_WORKER": "embedded" if processes == 1 else "off",
        "PERENNIAL_RATE_CALLER_PER_MINUTE": "10000000",
        "PERENNIAL_RATE_ADDRESS_PER_MINUTE": "10000000",
    }
    command = [str(ROOT / "cli.py"), "serve", "--prepare", "--workers", str(processes)]
    with (folder / "log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *command, cwd=folder, env=environment(**settings), stdout=log, stderr=log
        )
    try:
        address = f"127.0.0.1:{port}"
        token = await _ready(address)
        at, begun = [0.0], asyncio.Barrier(3)
        busy = [asyncio.create_task(_client(seen, address, token, each)) for each in range(clients)]
        following = [
            asyncio.create_task(_sse(seen, address, token, at, begun)),
            asyncio.create_task(_socket(seen, address, token, at, begun)),
        ]
        warm = seen.answered + _WARM * clients
        async with asyncio.timeout(_WAIT_SECONDS):
            await begun.wait()
            while seen.answered < warm and not seen.lost:  # noqa: ASYNC110 (the count alone tells)
                await asyncio.sleep(0.05)
        await asyncio.sleep(dice.uniform(0.0, 0.3))
        at[0] = time.monotonic()
        os.kill(process.pid, signal.SIGTERM)
        async with asyncio.timeout(END_SECONDS + 10):
            seen.exits[await process.wait()] += 1
        seen.slowest_end = max(seen.slowest_end, time.monotonic() - at[0])
        seen.stopped += 1
        await asyncio.gather(*busy, *following)
    finally:
        if process.returncode is None:
            process.kill()


async def _ready(address: str) -> str:
    """Once it answers: the demo customer's token."""
    async with httpx.AsyncClient(base_url=f"http://{address}") as http, asyncio.timeout(_WAIT_SECONDS):
        while True:
            try:
                if (await http.get("/health/ready")).status_code == 200:
                    told = (await http.get("/explorer/config.json")).json()
                    return next(each["token"] for each in told["identities"] if each["name"] == "demo-card")
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.05)


async def _client(seen: Stops, address: str, token: str, number: int) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=f"http://{address}", headers=headers, timeout=40) as http:
        for turn in range(number, 1_000_000):
            try:
                answer = await http.post("/graphql", json={"query": _ASK[turn % len(_ASK)]})
            except httpx.ConnectError:
                return  # refused: it never began
            except httpx.TransportError as error:
                seen.lost.append(repr(error))
                return
            seen.answered += 1
            if answer.status_code != 200 or "errors" in answer.json():
                seen.lost.append(f"{answer.status_code} {answer.text[:200]}")


async def _sse(seen: Stops, address: str, token: str, at: list[float], begun: asyncio.Barrier) -> None:
    headers = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream"}
    text = ""
    async with httpx.AsyncClient(base_url=f"http://{address}", headers=headers, timeout=60) as http:
        try:
            async with http.stream("POST", "/graphql", json={"query": _FOLLOW}) as answer:
                await begun.wait()
                async for part in answer.aiter_text():
                    text += part
        except httpx.TransportError as error:
            seen.streams[repr(error)] += 1
            return
    seen.slowest_stream = max(seen.slowest_stream, time.monotonic() - at[0])
    ended = "event: complete" not in text and text.endswith("retry: 1000\n\n")
    seen.streams["sse without complete" if ended else text[-200:]] += 1


async def _socket(seen: Stops, address: str, token: str, at: list[float], begun: asyncio.Barrier) -> None:
    async with signed_in(address, token) as client:
        await client.subscribe("a", _FOLLOW)
        await begun.wait()
        seen.streams[str(await client.closed())] += 1
    seen.slowest_stream = max(seen.slowest_stream, time.monotonic() - at[0])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.stopping", description=__doc__)
    parser.add_argument("--stops", type=int, default=20)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="perennial-soak-") as folder:
        given = {name: getattr(asked, name) for name in ("stops", "clients", "processes", "seed")}
        try:
            seen = asyncio.run(stop_often(**given, folder=Path(folder)))
        except TimeoutError:
            sys.stdout.write((Path(folder) / "log").read_text()[-3000:])
            raise
        if not seen.is_clean:
            sys.stdout.write("".join(f"{each}\n" for each in seen.lost[:10]))
            sys.stdout.write((Path(folder) / "log").read_text()[-3000:])
    sys.stdout.write(
        f"{seen.stopped} stops of {asked.processes} process(es) under {asked.clients} clients, seed {asked.seed}: "
        f"{seen.answered} requests answered, {len(seen.lost)} lost, exits {dict(seen.exits)}, "
        f"slowest end {seen.slowest_end:.1f} s, live updates {dict(seen.streams)} ended within "
        f"{seen.slowest_stream:.1f} s\n"
    )
    return 0 if seen.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
