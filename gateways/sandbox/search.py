"""Search: objects found by what is in them, in Stripe's query language.

Owns: the language (`status:'succeeded' AND metadata['order']:'7'`; `-` negates, `~` looks inside, `>` and its kin
compare numbers, `null` is nothing; AND or OR, never both) and the three searches. Here the answer is exact at once;
Stripe's own lags behind by up to a minute, so nothing that moves money may rest on it.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from gateways.sandbox.calls import Body, Call
from gateways.sandbox.errors import invalid
from gateways.sandbox.store import Listing

_CARD = "payment_method_details.card."
# what can be searched -> its object and the fields that a query may name
FIELDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "charges": (
        "charge",
        (
            "amount",
            "billing_details.address.postal_code",
            "created",
            "currency",
            "customer",
            "disputed",
            "refunded",
            "status",
            *(_CARD + name for name in ("brand", "exp_month", "exp_year", "fingerprint", "last4")),
        ),
    ),
    "customers": ("customer", ("created", "email", "name", "phone")),
    "payment_intents": ("payment_intent", ("amount", "created", "currency", "customer", "status")),
}
_CLAUSE = re.compile(
    r"""\s*(?P<negated>-)?(?P<field>metadata\[(?P<quote>["'])(?P<key>.+?)(?P=quote)\]|[a-z_0-9.]+)
    \s*(?P<compare>[:~]|[<>]=?)\s*
    (?:"(?P<double>(?:[^"\\]|\\.)*)"|'(?P<single>(?:[^'\\]|\\.)*)'|(?P<bare>[^\s"']+))""",
    re.VERBOSE,
)
_JOINT = re.compile(r"\s+(AND|OR)\s+", re.IGNORECASE)
_NUMBERS: dict[str, Callable[[int, int], bool]] = {
    ">": lambda found, asked: found > asked,
    ">=": lambda found, asked: found >= asked,
    "<": lambda found, asked: found < asked,
    "<=": lambda found, asked: found <= asked,
}


@dataclass(frozen=True)
class Clause:
    """One condition; without `value` it asks for nothing being there."""

    steps: tuple[str, ...]
    compare: str
    value: str | None
    negated: bool

    def holds(self, body: Body) -> bool:
        found: Any = body
        for step in self.steps:
            found = found.get(step) if isinstance(found, dict) else None
        return self._meets(found) != self.negated

    def _meets(self, found: Any) -> bool:
        if self.value is None or found is None:
            return self.value is None and found is None
        if self.compare in _NUMBERS:
            return isinstance(found, int) and self.value.isdigit() and _NUMBERS[self.compare](found, int(self.value))
        told = str(found).casefold()
        return self.value.casefold() in told if self.compare == "~" else told == self.value.casefold()


def parse(query: str, fields: tuple[str, ...]) -> Callable[[Body], bool]:
    """The condition that a query describes."""
    clauses, joints, rest = [], set[str](), query.strip()
    while True:
        if (match := _CLAUSE.match(rest)) is None:
            raise invalid("We were unable to parse your search query.", "query")
        clauses.append(_clause(match, fields))
        rest = rest[match.end() :]
        if not rest:
            break
        if (joint := _JOINT.match(rest)) is None:
            raise invalid("We were unable to parse your search query.", "query")
        joints.add(joint[1].upper())
        rest = rest[joint.end() :]
    if len(joints) > 1:
        raise invalid("A search query may join its clauses by AND or by OR, not by both.", "query")
    every = any if "OR" in joints else all
    return lambda body: every(clause.holds(body) for clause in clauses)


def _clause(match: re.Match[str], fields: tuple[str, ...]) -> Clause:
    field, key = match["field"], match["key"]
    if key is None and field not in fields:
        raise invalid(f"Field `{field}` is an unsupported search field for this resource.", "query")
    steps = ("metadata", key) if key is not None else tuple(field.split("."))
    quoted = match["double"] if match["double"] is not None else match["single"]
    value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else match["bare"]
    is_null = quoted is None and value.casefold() == "null"
    return Clause(steps, match["compare"], None if is_null else value, match["negated"] is not None)


def of(name: str) -> Callable[[Call], Awaitable[Body]]:
    """The search through one kind of object."""
    kind, fields = FIELDS[name]

    async def search(call: Call) -> Body:
        limit = call.params.get("limit", 10)
        cursor = call.params.get("page")
        if cursor is not None and await call.unit.find(kind, cursor) is None:
            raise invalid("Invalid page: it comes from the next_page of an earlier answer.", "page")
        listing = Listing(
            kind, limit=limit, cursor=(cursor, True) if cursor else None, where=parse(call.params["query"], fields)
        )
        records = await call.unit.find_all(listing)
        has_more = len(records) > limit
        return {
            "object": "search_result",
            "data": [record.body for record in records[:limit]],
            "has_more": has_more,
            "next_page": records[limit - 1].id if has_more else None,
            "url": f"/v1/{name}/search",
        }

    return search
