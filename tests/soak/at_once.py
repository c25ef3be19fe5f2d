"""Fifty subscribes at once over HTTP: one subscription, one charge, and under one key fifty equal answers.

Several server processes share the port, as `python cli.py serve --workers` starts them; each round is another customer,
who sends one key with all requests, none, or another one with each.

    python -m tests.soak.at_once --rounds 20 --requests 50 --servers 2 --seed 1 --database sqlite
"""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from clocks import SystemClock
from resolvers.identity import Role, issue_development_token
from services.demo import load_catalog
from settings import load_settings
from tests.scenarios.shopping import ATTACH
from tests.soak.surroundings import (
    Surroundings,
    logged_errors,
    parser,
    product,
    surroundings,
)
from tests.support.house import open_house
from tests.support.processes import Started, free_port

KEYS = ("one key", "no key", "many keys")
REFUSALS = ("ALREADY_SUBSCRIBED",)
"""What those may hear who come too late, or whose time is up on a busy machine while another one pays."""

SUBSCRIBE = """
mutation ($card: ID!, $key: String) {
  subscribe(input: {planCode: "reader-pro", paymentMethodId: $card, idempotencyKey: $key}) {
    subscription { id status currentPeriod { start end } }
    payment { id status amountPaid { formatted } }
    paymentIntent { gatewayId status }
    nextAction { type }
    userErrors { code message field }
  }
}
"""


@dataclass
class Crowd:
    """What came of all rounds. `charges`: how many each customer paid, by the gateway's books."""

    answers: int = 0
    broken: list[str] = field(default_factory=list[str])
    charges: Counter[int] = field(default_factory=Counter[int])
    slowest: float = 0.0
    findings: Sequence[str] = ()

    @property
    def is_clean(self) -> bool:
        return not self.broken and not self.findings and set(self.charges) == {1}


def rush(around: Surroundings, *, rounds: int, requests: int, servers: int) -> Crowd:
    asyncio.run(_open_shop(around))
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    server = product(around, "serve", "--workers", str(servers), port=port, worker="off")
    try:
        Started(server, f"{address}/health/live", around.folder / "product.log").wait()
        crowd = asyncio.run(_rounds(around, address, rounds, requests))
    finally:
        server.terminate()
        server.wait(timeout=60)
    for amounts in around.gateway.charges().values():
        crowd.charges[len(amounts)] += 1
    missing = rounds - crowd.charges.total()
    if missing:
        crowd.broken.append(f"{missing} customers paid nothing, or some paid for two invoices")
    check = product(around, "check")
    told, _ = check.communicate()
    crowd.findings = [*([told] if check.returncode else []), *logged_errors(around.folder / "product.log")]
    return crowd


async def _open_shop(around: Surroundings) -> None:
    async with open_house(around.place.url, stripe_api_base=around.gateway.url, demo=False) as house:
        await load_catalog(house.app)


async def _rounds(around: Surroundings, address: str, rounds: int, requests: int) -> Crowd:
    crowd = Crowd()
    limits = httpx.Limits(max_connections=requests, max_keepalive_connections=requests)
    async with httpx.AsyncClient(base_url=address, timeout=60, limits=limits) as http:
        for number in range(rounds):
            keys = around.dice.choice(KEYS)
            told = f"round {number}, {keys}"
            ask = _asking(http, f"crowd-{number}")
            saved = await ask(ATTACH, {"card": "pm_card_visa"})
            card = saved["data"]["attachPaymentMethod"]["paymentMethod"]["id"]
            began = time.monotonic()
            asked = [ask(SUBSCRIBE, {"card": card, "key": _key(keys, each)}) for each in range(requests)]
            answers = await asyncio.gather(*asked)
            crowd.slowest = max(crowd.slowest, time.monotonic() - began)
            crowd.answers += len(answers)
            crowd.broken += [f"{told}: {text}" for text in _wrong_with(answers, keys)]
    return crowd


def _asking(http: httpx.AsyncClient, user: str) -> Any:
    token = issue_development_token(
        load_settings(_env_file=None), user_id=user, role=Role.CUSTOMER, now=SystemClock().now()
    )

    async def ask(query: str, variables: dict[str, Any]) -> dict[str, Any]:
        answer = await http.post(
            "/graphql", json={"query": query, "variables": variables}, headers={"Authorization": f"Bearer {token}"}
        )
        return answer.json()

    return ask


def _key(keys: str, number: int) -> str | None:
    return {"one key": "the-same-click", "no key": None, "many keys": f"click-{number}"}[keys]


def _wrong_with(answers: Sequence[dict[str, Any]], keys: str) -> list[str]:
    """Everybody hears of the one subscription, which is paid; who sent the one key hears exactly the same."""
    found = [f"faults: {answer['errors']}" for answer in answers if "errors" in answer]
    if found:
        return found
    told = [answer["data"]["subscribe"] for answer in answers]
    if keys == "one key" and any(each != told[0] for each in told):
        found.append(f"{len({repr(each) for each in told})} different answers")
    subscriptions = {(each["subscription"] or {}).get("id") for each in told}
    if len(subscriptions) != 1:
        found.append(f"subscriptions {subscriptions}")
    paid = [each for each in told if (each["payment"] or {}).get("status") == "SUCCEEDED" and not each["userErrors"]]
    codes = Counter(problem["code"] for each in told for problem in each["userErrors"])
    refused = sum(codes[code] for code in REFUSALS) if keys != "one key" else 0
    if not paid or len(paid) + refused != len(told):
        found.append(f"{len(paid)} of {len(told)} paid, the others {dict(codes)}")
    return found


def main() -> int:
    asked = parser("at_once", __doc__, rounds=20, requests=50, servers=2).parse_args()
    began = time.monotonic()
    with surroundings(asked.database, asked.seed) as around:
        crowd = rush(around, rounds=asked.rounds, requests=asked.requests, servers=asked.servers)
    print(*crowd.broken, *crowd.findings, sep="\n", end="\n" * bool(crowd.broken or crowd.findings))
    print(
        f"{asked.database}, seed {asked.seed}: {asked.rounds} rounds of {asked.requests} subscribes at once over HTTP "
        f"to {asked.servers} server processes: {crowd.charges[1]} customers charged once, "
        f"{crowd.charges.total() - crowd.charges[1]} more than once, {crowd.answers} answers, "
        f"{len(crowd.broken)} wrong; the slowest round {crowd.slowest:.1f} s; {len(crowd.findings)} findings; "
        f"{time.monotonic() - began:.0f} s"
    )
    return 0 if crowd.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
