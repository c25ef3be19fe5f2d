"""Documents and variables made at random from the schema, for every root field and several callers.

Whatever is asked: the answer is data, a refusal or a mistake of the client's that is told; never an internal error,
never a status of 500 or more. Afterwards the books still balance. The same seed asks the same.

    python -m tests.soak.fuzzing --cases 2000 --seed 1 --database sqlite
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    get_named_type,
)

from logs import configure_logging
from schema.build import build_schema
from services.books.own_books import audit_own_books
from tests.schema.test_odd_values import VALUES
from tests.soak.surroundings import UNMETERED, database
from tests.support.house import House, open_house

CALLERS = ("demo-card", "demo-admin", "demo-admin", "demo-support", "fuzz", None)
_SOUND: dict[str, list[Any]] = {
    "String": ["reader-pro", "reader", "demo-card", "visa", "2030-01-31", "naïve 😀", "a"],
    "ID": ["nothing"],
    "Int": [0, 1, 2, 10, 100],
    "Float": [0.0, 0.5, 12.5],
    "BigInt": [0, 1, 500, 4900],
    "Decimal": ["0", "9.99", "49", "0.5"],
    "Boolean": [True, False],
    "URL": ["https://example.com/hook"],
    "JSON": [{}, {"a": "b"}],
    "DateTime": ["2026-01-31T09:30:00Z", "2026-03-31T00:00:00+02:00", "2030-01-31T00:00:00Z"],
    "Date": ["2026-01-31", "2026-02-28", "2030-01-31"],
    "CountryCode": ["DE", "AE"],
    "CurrencyCode": ["USD", "AED", "KWD", "JPY"],
}
_ODD: dict[str, list[Any]] = {"String": ["\x00"], "ID": ["\x00"], "Float": [-1.5, 1e308, 2**63, "NaN", None]}
_ODD_SHARE, _SURROGATE_SHARE = 0.1, 0.003
_DEPTH = 4
_KEPT = 200


@dataclass
class Fuzzed:
    """What came of it."""

    asked: int = 0
    operations: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not self.faults and not self.findings


class Maker:
    """Makes operations; what answers taught (ids, cursors) is asked for again."""

    def __init__(self, schema: GraphQLSchema, seed: int) -> None:
        self.schema, self.dice = schema, random.Random(seed)
        self.known: list[str] = ["nothing"]
        self._variables: dict[str, Any] = {}
        self._declared: list[str] = []

    def operation(self, word: str, owner: GraphQLObjectType, name: str) -> tuple[str, dict[str, Any]]:
        self._variables, self._declared = {}, []
        body = self._field(owner, name, 0)
        declared = f"({', '.join(self._declared)})" if self._declared else ""
        return f"{word}{declared} {{ {body} }}", self._variables

    def learn(self, told: Any) -> None:
        """Every text that looks like an id or a cursor is worth asking for."""
        if isinstance(told, dict):
            for value in told.values():
                self.learn(value)
        elif isinstance(told, list):
            for value in told[:5]:
                self.learn(value)
        elif isinstance(told, str) and 8 < len(told) < 200 and told not in self.known:
            self.known.append(told)
            if len(self.known) > _KEPT:
                self.known.pop(self.dice.randrange(len(self.known)))

    def _field(self, owner: Any, name: str, depth: int) -> str:
        definition = owner.fields[name]
        given: list[str] = []
        for argument, about in definition.args.items():
            if self._gives(argument, about.type, 0.4):
                variable = f"v{len(self._declared)}"
                self._declared.append(f"${variable}: {about.type}")
                self._variables[variable] = self._value(about.type, 0)
                given.append(f"{argument}: ${variable}")
        alias = f"a{self.dice.randrange(1_000_000)}: " if depth else ""
        arguments = f"({', '.join(given)})" if given else ""
        return f"{alias}{name}{arguments}{self._selection(get_named_type(definition.type), depth)}"

    def _gives(self, name: str, kind: Any, share: float) -> bool:
        """Whether a value is given by that name; of those that may be left out, such a share."""
        return isinstance(kind, GraphQLNonNull) or self.dice.random() < share

    def _selection(self, kind: Any, depth: int) -> str:
        if isinstance(kind, GraphQLUnionType):
            return " { __typename }"
        if not isinstance(kind, GraphQLObjectType | GraphQLInterfaceType):
            return ""
        chosen = ["__typename"]
        if "userErrors" in kind.fields:
            chosen.append("userErrors { code message field }")
        names = [name for name in kind.fields if name != "userErrors"]
        for name in self.dice.sample(names, min(len(names), self.dice.randint(1, 5))):
            composite = isinstance(get_named_type(kind.fields[name].type), GraphQLObjectType | GraphQLInterfaceType)
            if not composite or depth < _DEPTH:
                chosen.append(self._field(kind, name, depth + 1))
        return f" {{ {' '.join(chosen)} }}"

    def _value(self, kind: Any, depth: int) -> Any:
        if isinstance(kind, GraphQLNonNull):
            return self._value(kind.of_type, depth)
        if isinstance(kind, GraphQLList):
            return [self._value(kind.of_type, depth + 1) for _ in range(self.dice.choice((0, 1, 1, 2, 5)))]
        if isinstance(kind, GraphQLEnumType):
            return self.dice.choice(list(kind.values))
        if isinstance(kind, GraphQLInputObjectType):
            return self._object(kind, depth)
        if self.dice.random() < _ODD_SHARE:
            return self.dice.choice([*VALUES.get(kind.name, ()), *_ODD.get(kind.name, ())])
        if kind.name in ("String", "ID"):
            if self.dice.random() < _SURROGATE_SHARE:
                return "\ud800"
            if self.dice.random() < 0.6:
                return self.dice.choice(self.known)
        return self.dice.choice(_SOUND[kind.name])

    def _object(self, kind: GraphQLInputObjectType, depth: int) -> dict[str, Any]:
        names = list(kind.fields)
        if kind.is_one_of:
            chosen = [self.dice.choice(names)]
        else:
            share = 0.5 if depth < 3 else 0.1
            chosen = [name for name in names if self._gives(name, kind.fields[name].type, share)]
        return {name: self._value(kind.fields[name].type, depth + 1) for name in chosen}


def root_fields(schema: GraphQLSchema) -> list[tuple[str, GraphQLObjectType, str]]:
    """Each as an operation names it: its word, its owner, its name."""
    roots = (("query", schema.query_type), ("mutation", schema.mutation_type))
    return [(word, root, name) for word, root in roots if root is not None for name in root.fields]


async def fuzz(house: House, *, cases: int, seed: int, only: Sequence[str] = ()) -> Fuzzed:
    """So many cases of every root field, in an order of the seed's."""
    schema = build_schema(sandbox=True)._schema
    maker, seen = Maker(schema, seed), Fuzzed()
    roots = [root for root in root_fields(schema) if not only or root[2] in only]
    seen.operations = len(roots)
    for _ in range(cases):
        maker.dice.shuffle(roots)
        for word, root, name in roots:
            await _ask(house, maker, seen, maker.operation(word, root, name))
    seen.findings = [finding.text for finding in await audit_own_books(house.app)]
    return seen


async def _ask(house: House, maker: Maker, seen: Fuzzed, operation: tuple[str, dict[str, Any]]) -> None:
    text, variables = operation
    user = maker.dice.choice(CALLERS)
    headers = {"Authorization": f"Bearer {house.token(user)}"} if user else {}
    headers["Content-Type"] = "application/json"
    body = _json({"query": text, "variables": variables})
    answer = await house.http.post("/graphql", content=body, headers=headers)
    seen.asked += 1
    told = answer.json()
    codes = [error["extensions"]["code"] for error in told.get("errors", ())]
    seen.codes.update(codes or ["answered"])
    if answer.status_code >= 500 or "INTERNAL" in codes:
        seen.faults.append(f"{user}: {text} {body!r} → {answer.status_code} {answer.text[:300]}")
    maker.learn(told.get("data"))


def _json(value: object) -> bytes:
    """As a client may write it that escapes everything, lone surrogates included."""
    return json.dumps(value).encode()


async def _run(url: str, cases: int, seed: int, only: Sequence[str]) -> Fuzzed:
    async with open_house(url, **UNMETERED) as house:
        return await fuzz(house, cases=cases, seed=seed, only=only)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.fuzzing", description=__doc__)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--only", nargs="*", default=(), help="root fields; all unless given")
    asked = parser.parse_args()
    configure_logging(json=True, level="CRITICAL")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="perennial-soak-")))
        url = stack.enter_context(database(asked.database, folder)).url
        seen = asyncio.run(_run(url, asked.cases, asked.seed, asked.only))
    for fault in (*seen.faults[:20], *seen.findings[:20]):
        sys.stdout.write(f"{fault}\n")
    sys.stdout.write(
        f"{asked.database}, seed {asked.seed}: {seen.operations} operations × {asked.cases} cases, {seen.asked} asked: "
        f"{len(seen.faults)} internal errors, {len(seen.findings)} findings in the books; {dict(seen.codes)}\n"
    )
    return 0 if seen.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
