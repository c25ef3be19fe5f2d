"""Odd values in every argument of every root field: refused or harmless, never an internal error."""

from collections.abc import Iterator
from typing import Any

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLSchema,
    get_named_type,
    get_nullable_type,
    is_composite_type,
)

from resolvers.access import ACCESS
from resolvers.identity import Role
from schema.build import build_schema
from tests.support.house import House

TEXTS = [
    "",
    " ",
    "x" * 5_000,
    "' OR 1=1 --",
    '"; DROP TABLE plans; --',
    "../../v1/charges",
    "a/b?c#d",
    "%",
    "𝕏\u202e\u0301",
    "\x01",
]
NUMBERS = [0, -1, 1, 2**31 - 1, -(2**31), 2**31, 2**53, 2**63]
VALUES: dict[str, list[Any]] = {
    "String": [*TEXTS, 7, None],
    "ID": [*TEXTS, 2**63, -1, None],
    "Int": [*NUMBERS, "7", 1.5, None],
    "BigInt": [*NUMBERS, 2**53 + 1, -(2**53), "7", 1.5, None],
    "Decimal": ["0", "-1", "9.99", "0.0000000000001", "1e400", "NaN", "9" * 40, "9" * 41, 7, 1.5, "", None],
    "Boolean": [True, False, "yes", None],
    "URL": ["https://example.com/" + "é" * 500, "https://user:secret@example.com/", "ftp://example.com", 7],
    "JSON": [{}, {"": {"a": [1.5, None, True]}}, [], "text", 2**63, {"x": "y" * 15_000}],
    "DateTime": [
        "2030-01-31T00:00:00Z",
        "2030-02-30T00:00:00Z",
        "9999-12-31T23:59:59-23:59",
        "0001-01-01T00:00:00+23:59",
        "0001-01-02T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "2030-01-31",
        "",
        7,
        None,
    ],
    "Date": ["2030-01-31", "2030-02-30", "0001-01-01", "9999-12-31", "2030-01-31T00:00:00Z", "", 7, None],
    "CountryCode": ["DE", "de", "Germany", 49],
    "CurrencyCode": ["USD", "usd", "XTS", 978],
}


def _values(kind: GraphQLInputType) -> list[Any]:
    """What is tried for one argument or field: odd values, and each member of an enum."""
    named = get_named_type(kind)
    inner = kind.of_type if isinstance(kind, GraphQLNonNull) else kind
    found = [*named.values, "NOTHING"] if isinstance(named, GraphQLEnumType) else VALUES[named.name]
    return [[], [None], *([value] * 2 for value in found)] if isinstance(inner, GraphQLList) else found


def _wishes(kind: GraphQLInputType, ids: dict[str, Any]) -> Iterator[Any]:
    """Values for one argument; of an input object one field at a time is odd, the others are sound."""
    named = get_named_type(kind)
    if not isinstance(named, GraphQLInputObjectType):
        yield from _values(kind)
        return
    sound = {field: ids[field] for field, entry in named.fields.items() if field in ids and _needed(named, entry)}
    for field, entry in named.fields.items():
        nested = isinstance(get_named_type(entry.type), GraphQLInputObjectType)
        for value in _wishes(entry.type, ids) if nested else _values(entry.type):
            yield {**sound, field: value}


def _needed(owner: GraphQLInputObjectType, entry: Any) -> bool:
    return isinstance(entry.type, GraphQLNonNull) or owner.name == "SubscribeInput"


def _operations(schema: GraphQLSchema, ids: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Which argument is odd, the document, and its variables."""
    for word, root in (("query", schema.query_type), ("mutation", schema.mutation_type)):
        assert root is not None
        for name, field in root.fields.items():
            selection = "{ userErrors { code field } }" if word == "mutation" else _selection(field.type)
            for argument, definition in field.args.items():
                text = f"{word}($v: {definition.type}) {{ {name}({argument}: $v) {selection} }}"
                for wish in _wishes(definition.type, ids):
                    yield f"{name}({argument})", text, {"v": wish}


def _leads_somewhere(path: list[str], arguments: dict[str, Any]) -> bool:
    """Whether a refusal's path is one of the mutation's input, or of its arguments where it has none."""
    fields = get_named_type(arguments["input"].type).fields if "input" in arguments else arguments
    within = None
    for part in path:
        if isinstance(within, GraphQLList):
            kind = within.of_type if part.isdecimal() else None
        else:
            kind = fields[part].type if part in fields else None
        if kind is None:
            return False
        within, named = get_nullable_type(kind), get_named_type(kind)
        fields = named.fields if isinstance(named, GraphQLInputObjectType) else {}
    return True


def _selection(kind: Any) -> str:
    named = get_named_type(kind)
    if not is_composite_type(named):
        return ""
    return "{ totalCount }" if named.name.endswith("Connection") else "{ __typename }"


@pytest.fixture(scope="module")
def graphql_schema() -> GraphQLSchema:
    return build_schema(sandbox=True)._schema


async def test_odd_values_never_make_an_internal_error(house: House, graphql_schema: GraphQLSchema) -> None:
    known = await house.ask("{ me { paymentMethods { nodes { id } } } }", user="demo-card")
    begun = await house.ask(
        """mutation { subscribe(input: {planCode: "reader-pro"}) {
            subscription { id } payment { id invoice { id } } paymentIntent { clientSecret } userErrors { code } } }""",
        user="demo-card",
    )
    ids = {
        "planCode": "reader-pro",
        "subscriptionId": begun["subscribe"]["subscription"]["id"],
        "paymentMethodId": known["me"]["paymentMethods"]["nodes"][0]["id"],
        "clientSecret": begun["subscribe"]["paymentIntent"]["clientSecret"],
        "invoiceId": begun["subscribe"]["payment"]["invoice"]["id"],
        "outcome": "SUCCEEDED",
    }
    assert graphql_schema.mutation_type is not None
    mutations, faults, astray = graphql_schema.mutation_type.fields, [], []
    tried = set()
    for argument, text, variables in _operations(graphql_schema, ids):
        tried.add(argument)
        root = "Query" if text.startswith("query") else "Mutation"
        customers = Role.CUSTOMER in ACCESS[f"{root}.{argument.partition('(')[0]}"].roles
        answer = await house.post(text, variables, user="demo-card" if customers else "demo-admin")
        codes = {error["extensions"]["code"] for error in answer.json().get("errors", ())}
        if answer.status_code >= 500 or "INTERNAL" in codes:
            faults.append((text, variables))
        if root == "Mutation":
            ((name, payload),) = (answer.json().get("data") or {"": None}).items()
            paths = [error["field"] for error in payload["userErrors"] if error["field"]] if payload else []
            astray += [(name, path) for path in paths if not _leads_somewhere(path, mutations[name].args)]
    assert faults == []
    assert astray == []
    assert tried == {
        f"{name}({argument})"
        for root in (graphql_schema.query_type, graphql_schema.mutation_type)
        if root is not None
        for name, field in root.fields.items()
        for argument in field.args
    }
    assert await house.audit() == []


@pytest.mark.parametrize("number", ["1e999", "-1e999", "18446744073709551615"])
async def test_a_number_that_json_cannot_carry_is_refused_where_it_is_written_out(house: House, number: str) -> None:
    text = f"""mutation {{ createCustomer(input: {{userId: "odd", metadata: {{a: {number}}}}}) {{
        customer {{ id }} userErrors {{ code }} }} }}"""
    (error,) = (await house.post(text, user="demo-admin")).json()["errors"]
    message = "JSON: the value holds a number beyond ±2^53; send it as a string."
    assert (error["message"], error["extensions"]["code"]) == (message, "GRAPHQL_VALIDATION_FAILED")
    found = await house.ask('{ customer(by: {userId: "odd"}) { id } }', user="demo-admin")
    assert found == {"customer": None}
