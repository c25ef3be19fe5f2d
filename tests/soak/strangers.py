"""Every operation, asked about another's rows by those who may not: nobody, another customer, a key without the scope.

The owner has rows of many kinds; each operation is given the id of one of each wherever it takes a text or an id, and
asks for the id of whatever it is told. A leak is an answer that holds an id of the owner's, in data, or the owner's
name; a change is any row of the owner's that is not what it was, is gone, or has come.

    python -m tests.soak.strangers --seed 1 --database sqlite
"""

import asyncio
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from graphql import GraphQLInputObjectType, GraphQLNonNull, get_named_type
from sqlmodel import select

from logs import configure_logging
from models.base import metadata
from resolvers.access import ACCESS
from resolvers.identity import Role
from schema.build import build_schema
from services.scopes import Scope
from tests.schema.keys import secret_of_key
from tests.soak.fuzzing import Maker, root_fields
from tests.soak.surroundings import UNMETERED, database, parser
from tests.support.house import House, open_house

OWNER, OTHER = "demo-card", "stranger"
WORD = "kanarek"
_SCOPE = Scope.RECORD_USAGE  # of the key: it may do what this is for, to anybody's rows
_ASKED_BY_THE_OWNER = ("node", "subscription", "invoice", "paymentMethod")
_IDS, _CURSORS = ("ID", "String"), ("before", "after")
_PROFILE = """mutation($name: String!) { updateProfile(input: {firstName: $name, email: "kanarek@example.org"}) {
  userErrors { code } } }"""
_BUY = """mutation($card: ID!) { subscribe(input: {planCode: "reader-pro", paymentMethodId: $card}) {
  subscription { status } userErrors { code } } }"""
_CARD = "{ me { defaultPaymentMethod { id } } }"

Rows = Mapping[str, list[Mapping[str, Any]]]


@dataclass
class Asked:
    """How often, about how many kinds of rows, and what should not have been."""

    asked: int = 0
    operations: int = 0
    kinds: int = 0
    refused: int = 0
    told_the_owner: int = 0
    leaks: list[str] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not self.leaks and not self.changes and self.told_the_owner > 0


class _OneId(Maker):
    """Gives the same id wherever a text or an id is wished for, and asks for the id of whatever has one.

    What else may be left out is; of several ways to say who or what is meant, one is taken.
    """

    id = ""

    def _gives(self, name: str, kind: Any, share: float) -> bool:
        if isinstance(kind, GraphQLNonNull):
            return True
        named = get_named_type(kind)
        is_id = isinstance(named, GraphQLInputObjectType) or named.name in _IDS
        return is_id and name not in _CURSORS and super()._gives(name, kind, share)

    def _object(self, kind: GraphQLInputObjectType, depth: int) -> dict[str, Any]:
        if any(isinstance(each.type, GraphQLNonNull) for each in kind.fields.values()):
            return super()._object(kind, depth)
        ids = [name for name, about in kind.fields.items() if get_named_type(about.type).name in _IDS]
        name = self.dice.choice(ids or list(kind.fields))
        return {name: self._value(kind.fields[name].type, depth + 1)}

    def _value(self, kind: Any, depth: int) -> Any:
        if isinstance(kind, GraphQLNonNull):
            return self._value(kind.of_type, depth)
        if getattr(kind, "name", "") in _IDS:
            return self.id
        return super()._value(kind, depth)

    def _selection(self, kind: Any, depth: int) -> str:
        made = super()._selection(kind, depth)
        return made.replace("{ __typename", "{ __typename id", 1) if "id" in getattr(kind, "fields", ()) else made


@dataclass
class _Asker:
    house: House
    seen: Asked
    headers: Mapping[str, Mapping[str, str]]
    owned: set[str]

    async def ask(self, caller: str, query: str, variables: Mapping[str, Any]) -> None:
        body = json.dumps({"query": query, "variables": variables}).encode()
        headers = {"Content-Type": "application/json", **self.headers[caller]}
        answer = await self.house.http.post("/graphql", content=body, headers=headers)
        told = answer.json()
        held = self.owned.intersection(_texts(told.get("data")))
        if caller == "owner":
            self.seen.told_the_owner += bool(held)
            return
        self.seen.asked += 1
        self.seen.refused += "errors" in told
        if held or WORD in answer.text.lower():
            self.seen.leaks.append(f"{caller}: {query} {body[-200:]!r} → {sorted(held)} {answer.text[:400]}")


async def ask_about(house: House, *, seed: int, every: int = 1) -> Asked:
    """All kinds of rows for each operation, or of them one in `every`, another one each time.

    Of what another customer may do to rows of its own, none is left out.
    """
    seen, schema = Asked(), build_schema(sandbox=True)._schema
    await _settle(house)
    key = await secret_of_key(house, _SCOPE.value)
    before = await _rows_of_owner(house)
    ids = [rows[0]["id"] for rows in before.values() if rows and "id" in rows[0]]
    headers = {
        "nobody": {},
        "another": {"Authorization": f"Bearer {house.token(OTHER)}"},
        "key": {"X-API-Key": key},
        "owner": {"Authorization": f"Bearer {house.token(OWNER)}"},
    }
    asker = _Asker(house, seen, headers, {row["id"] for rows in before.values() for row in rows if "id" in row})
    seen.kinds, maker, turn = len(ids), _OneId(schema, seed), seed
    for word, root, name in root_fields(schema):
        allowed = ACCESS[f"{root.name}.{name}"]
        seen.operations += 1
        for caller in ("nobody", "another", "key"):
            if caller == "key" and allowed.scope is _SCOPE:
                continue
            is_near = caller == "another" and word == "mutation" and Role.CUSTOMER in allowed.roles
            for maker.id in ids:
                turn += 1
                if is_near or turn % every == 0:
                    await asker.ask(caller, *maker.operation(word, root, name))
    after = await _rows_of_owner(house)
    seen.changes = [f"{table}: {each}" for table in before for each in _differing(before[table], after[table])]
    assert schema.query_type is not None
    for maker.id in ids:  # who is told, so that to be told nothing means something
        for name in _ASKED_BY_THE_OWNER:
            await asker.ask("owner", *maker.operation("query", schema.query_type, name))
    return seen


async def _settle(house: House) -> None:
    """The owner gets rows of many kinds, and a name to look for."""
    await house.ask(_PROFILE, {"name": f"Jan {WORD}"}, OWNER)
    card = (await house.ask(_CARD, user=OWNER))["me"]["defaultPaymentMethod"]["id"]
    await house.ask(_BUY, {"card": card}, OWNER)
    house.pass_time(timedelta(days=31))
    await house.work()
    await house.ask("mutation { createSetupIntent { setupIntent { id } userErrors { code } } }", user=OWNER)


async def _rows_of_owner(house: House) -> Rows:
    """The customer's own, and of each table the rows that refer to one of those found before."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    owned: set[str] = set()
    async with house.app.database.engine.connect() as connection:
        for table in metadata().sorted_tables:
            references = [column.name for column in table.c if column.foreign_keys]
            rows = [dict(row._mapping) for row in await connection.execute(select(table))]
            found[table.name] = [
                row
                for row in rows
                if row.get("user_id") == OWNER or owned.intersection(row[column] for column in references)
            ]
            owned.update(row["id"] for row in found[table.name] if "id" in row)
    return found


def _differing(before: list[Mapping[str, Any]], after: list[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    yield from (row for row in before if row not in after)
    yield from (row for row in after if row not in before)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, str):
        yield value


async def _run(url: str, seed: int) -> Asked:
    async with open_house(url, **UNMETERED) as house:
        return await ask_about(house, seed=seed)


def main() -> int:
    asked = parser("strangers", __doc__).parse_args()
    configure_logging(json=True, level="CRITICAL")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="perennial-soak-")))
        url = stack.enter_context(database(asked.database, folder)).url
        seen = asyncio.run(_run(url, asked.seed))
    for what in (*seen.leaks[:10], *seen.changes[:10]):
        sys.stdout.write(f"{what}\n")
    sys.stdout.write(
        f"{asked.database}, seed {asked.seed}: {seen.operations} operations × 3 callers × {seen.kinds} kinds of rows, "
        f"{seen.asked} asked, {seen.refused} refused altogether: {len(seen.leaks)} leaks, {len(seen.changes)} changes; "
        f"the owner is told of {seen.told_the_owner} of them\n"
    )
    return 0 if seen.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
