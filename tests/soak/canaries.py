"""Secrets and persons, sent through every operation and every error, and looked for where they must not be.

The owner's name, addresses and remarks, a card's number, access tokens, API keys, client secrets, webhook secrets and
the installation's own keys are given to operations made at random from the schema; some of them fail within a
statement whose values stand in the error, some at the gateway. Looked through afterwards: the log at its lowest level,
the audit log, the metrics, and every answer to nobody and to another customer who knows all ids.

    python -m tests.soak.canaries --cases 20 --seed 1 --database sqlite
"""

import argparse
import asyncio
import io
import json
import random
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from graphql import GraphQLInputObjectType, GraphQLSchema
from sqlalchemy import event
from sqlmodel import select

from gateways.sandbox import Fault
from logs import configure_logging
from models.audit_log import AuditEntry
from schema.build import build_schema
from tests.soak.fuzzing import Maker, root_fields
from tests.soak.surroundings import UNMETERED, database
from tests.support.house import House, open_house
from tests.support.outside import sandbox_of

WORD = "kanarek"
CARD = "4242424242424242"
SECRET_KEY, METRICS_TOKEN = "kanarek-" + "s" * 32, "m" * 40
OWNER, OTHER = "demo-card", "other"
PERSONAL: dict[str, Any] = {
    "name": f"Jan {WORD}",
    "firstName": f"Jan {WORD}",
    "lastName": f"O'{WORD}",
    "cardHolderName": f"Jan {WORD}",
    "email": f"jan.{WORD}@example.org",
    "phone": f"+971 55 555 {WORD}",
    "username": f"jan-{WORD}",
    "salesCode": f"{WORD}-7",
    "region": f"{WORD} shire",
    "image": f"https://{WORD}.example/face.png",
    "line1": f"17 {WORD} street",
    "line2": f"{WORD} house",
    "city": f"{WORD} town",
    "state": f"{WORD} shire",
    "postalCode": f"1{WORD}",
    "businessVatId": f"AE{WORD}",
    "comment": f"{WORD} says so",
    "reason": f"because of {WORD}",
    "notes": f"{WORD} is ill",
    "metadata": {"note": f"{WORD} is ill"},
    "cardNumber": CARD,
    "number": CARD,
}
# What these are told is for everybody to read.
_OPEN = re.compile(r"Product|Plan|Coupon|Promotion|Feature|Organization|ApiKey|TestClock|WebhookEndpoint|AppRole|Price")
_SECRET = re.compile(r'"((?:prk_|whsec_|eyJ)[\w.+/=-]{16,}|\w+_secret_\w+)"')
# One of each kind of secret, and a person, whatever the dice say.
_CARD_SAVED = "mutation { createSetupIntent { setupIntent { clientSecret } userErrors { code } } }"
_CONFIRMED = """mutation($secret: String!, $card: String!) { sandboxConfirmSetupIntent(
  input: {clientSecret: $secret, cardNumber: $card}) { setupIntent { id } userErrors { code } } }"""
_PROFILE = """mutation($name: String!, $email: String!) { updateProfile(input: {name: $name, email: $email}) {
  customer { name } userErrors { code } } }"""
_KEY = 'mutation { createApiKey(input: {name: "back end", scopes: ["read"]}) { secret userErrors { code } } }'
_ENDPOINT = """mutation { createWebhookEndpoint(input: {url: "http://127.0.0.1:9/hooks"}) {
  secret userErrors { code } } }"""
_TOKEN = "{ me { entitlements { token } } }"
_FAULTS = (Fault.ERROR_500_BEFORE, Fault.ERROR_500_AFTER, Fault.TIMEOUT_BEFORE, Fault.CONFLICT_409)


@dataclass
class Found:
    """Where a canary was seen, by what was looked through."""

    asked: int = 0
    broken: int = 0
    secrets: int = 0
    logged: int = 0
    seen: dict[str, list[str]] = field(default_factory=lambda: {each: [] for each in PLACES})

    @property
    def is_clean(self) -> bool:
        return not any(self.seen.values())


PLACES = ("log", "audit log", "metrics", "answers to others")


class _Canaries(Maker):
    """Fills what is personal with canaries, and now and then an id with a secret."""

    def __init__(self, schema: GraphQLSchema, seed: int) -> None:
        super().__init__(schema, seed)
        self.is_open = False

    def operation(self, word: str, owner: Any, name: str) -> tuple[str, dict[str, Any]]:
        self.is_open = bool(_OPEN.search(name))
        return super().operation(word, owner, name)

    def _object(self, kind: GraphQLInputObjectType, depth: int) -> dict[str, Any]:
        made = super()._object(kind, depth)
        if not self.is_open and not kind.is_one_of:
            made |= {name: PERSONAL[name] for name in kind.fields if name in PERSONAL and self.dice.random() < 0.8}
        return made


async def send_canaries(house: House, log: io.StringIO, *, cases: int, seed: int) -> Found:
    schema, found = build_schema(sandbox=True)._schema, Found()
    roots = root_fields(schema)
    maker, dice = _Canaries(schema, seed), random.Random(seed)
    secrets = {SECRET_KEY, METRICS_TOKEN, CARD}
    secrets |= await _story(house, found)
    for _ in range(cases):
        dice.shuffle(roots)
        for word, root, name in roots:
            query, variables = maker.operation(word, root, name)
            user = dice.choice((OWNER, OWNER, "demo-support", "demo-admin"))
            secrets.add(house.token(user))
            with broken(house, found, dice.random()):
                body = await _ask(house, found, query, variables, user)
            secrets |= set(_SECRET.findall(json.dumps(body)))
            maker.learn(body.get("data"))
    stranger = Maker(schema, seed + 1)
    stranger.known = [each for each in maker.known if each not in secrets and WORD not in each.lower()]
    for word, root, name in roots * cases:
        query, variables = stranger.operation(word, root, name)
        answer = await _ask(house, found, query, variables, dice.choice((OTHER, None)))
        _look(found, "answers to others", json.dumps(answer), secrets)
    found.secrets = len(secrets)
    metrics = await house.http.get("/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"})
    _look(found, "metrics", metrics.text, secrets)
    async with house.app.database.read() as session:
        for row in (await session.exec(select(AuditEntry))).all():
            _look(found, "audit log", json.dumps(row.model_dump(mode="json")), secrets)
    for line in log.getvalue().splitlines():
        found.logged += 1
        _look(found, "log", line, secrets)
    return found


async def _story(house: House, found: Found) -> set[str]:
    """What came of it: the secrets told."""
    told = json.dumps(await _ask(house, found, _CARD_SAVED, {}, OWNER))
    (secret,) = _SECRET.findall(told)
    told += json.dumps(await _ask(house, found, _CONFIRMED, {"secret": secret, "card": CARD}, OWNER))
    person = {"name": PERSONAL["name"], "email": PERSONAL["email"]}
    changed = await _ask(house, found, _PROFILE, person, OWNER)
    assert changed["data"]["updateProfile"]["customer"]["name"] == PERSONAL["name"]
    for query, user in ((_KEY, "demo-admin"), (_ENDPOINT, "demo-admin"), (_TOKEN, OWNER)):
        told += json.dumps(await _ask(house, found, query, {}, user))
    secrets = set(_SECRET.findall(told))
    assert len(secrets) == len(("client secret", "API key", "endpoint's secret", "entitlement token"))
    for each in secrets:  # as credentials that do not hold, and where nobody should put them
        headers = {"Authorization": f"Bearer {each}", "Referer": f"https://example.com/?{each}", "User-Agent": each}
        await house.http.post("/graphql", json={"query": "{ me { id } }"}, headers=headers)
        await house.http.post("/graphql", json={"query": "{ me { id } }"}, headers={"X-API-Key": f"{each}x"})
        await house.http.get(f"/graphql?token={each}&query={WORD}", headers={"GraphQL-Require-Preflight": "1"})
        await house.http.post("/webhooks/stripe", content=each.encode(), headers={"Stripe-Signature": each})
    return secrets


async def _ask(house: House, found: Found, query: str, variables: dict[str, Any], user: str | None) -> Any:
    headers = {"Authorization": f"Bearer {house.token(user)}"} if user else {}
    headers["Content-Type"] = "application/json"
    body = json.dumps({"query": query, "variables": variables}).encode()
    found.asked += 1
    return (await house.http.post("/graphql", content=body, headers=headers)).json()


@contextmanager
def broken(house: House, found: Found, chance: float) -> Iterator[None]:
    """One of ten times a statement fails with all its values in the error, one of ten the gateway does."""
    engine, faults = house.app.database.engine.sync_engine, sandbox_of(house).faults

    def fail(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        if parameters and any(WORD in str(value) for value in parameters):
            found.broken += 1
            raise RuntimeError(f"cannot carry out {statement} with {parameters!r}")

    if chance < 0.1:
        event.listen(engine, "before_cursor_execute", fail)
    elif chance < 0.2:
        faults.arm(_FAULTS[int(chance * 1000) % len(_FAULTS)], count=1)
        found.broken += 1
    try:
        yield
    finally:
        faults.clear()
        if chance < 0.1:
            event.remove(engine, "before_cursor_execute", fail)


def _look(found: Found, place: str, text: str, secrets: set[str]) -> None:
    lowered = text.lower()
    if WORD in lowered or any(secret in text for secret in secrets):
        found.seen[place].append(text[:600])


async def _run(url: str, cases: int, seed: int) -> Found:
    log = io.StringIO()
    configure_logging(json=True, level="DEBUG", stream=log)
    async with open_house(url, secret_key=SECRET_KEY, metrics_token=METRICS_TOKEN, **UNMETERED) as house:
        return await send_canaries(house, log, cases=cases, seed=seed)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.canaries", description=__doc__)
    parser.add_argument("--cases", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    asked = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="perennial-soak-")))
        url = stack.enter_context(database(asked.database, folder)).url
        found = asyncio.run(_run(url, asked.cases, asked.seed))
    for place, lines in found.seen.items():
        for line in lines[:5]:
            sys.stdout.write(f"{place}: {line}\n")
    told = ", ".join(f"{len(lines)} in {place}" for place, lines in found.seen.items())
    sys.stdout.write(
        f"{asked.database}, seed {asked.seed}: {found.asked} asked, {found.broken} of them broken on the way, "
        f"{found.secrets} secrets and a person looked for, {found.logged} lines logged: {told}\n"
    )
    return 0 if found.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
