"""The cost of an operation: what its pages may hold, told with every answer."""

import pytest
from graphql import OperationDefinitionNode, parse

from resolvers.access import ACCESS
from schema.build import build_schema
from schema.cost import COST_LIMIT, WEIGHTS, price
from tests.edge.toy import told_beside

REFUSED = "QUERY_TOO_COMPLEX"


@pytest.mark.parametrize(
    ("text", "requested"),
    [
        ("{ hello }", 1),
        ("{ a: hello b: hello self { hello } }", 4),
        ("{ notes(first: 0) { nodes { id } } }", 2),
        ("{ notes(first: 10) { nodes { id text } } }", 1 + 1 + 10 * 2),
        ("{ notes { nodes { id text } } }", 1 + 1 + 25 * 2),
        ("{ notes(first: 10) { totalCount pageInfo { hasNextPage } nodes { id } } }", 1 + 1 + 2 + 1 + 10),
        ("{ notes(first: 10) { nodes { id tags { name } } } }", 2 + 10 * (1 + 1 + 5 * 1)),
        ("{ notes(first: 10) { nodes { replies(first: 4) { nodes { id } } } } }", 2 + 10 * (1 + 1 + 4)),
        ("{ notes(first: 10) { ...P } } fragment P on NoteConnection { nodes { id } }", 2 + 10),
        (
            "{ a: notes(first: 2) { ...P } b: notes(first: 3) { ...P } } fragment P on NoteConnection { nodes { id } }",
            9,
        ),
        ("{ notes(first: 10) { ... { ... on NoteConnection { nodes { id } } } } }", 2 + 10),
        ("{ hello __schema { types { fields { name } } } }", 1),
        ("{ hello __typename }", 2),
    ],
)
async def test_the_cost_is_the_number_of_values_the_answer_may_hold(toy, text, requested):
    response = await toy.ask(text)
    assert "errors" not in response.json()
    assert told_beside(response) == {
        "cost": {"requested": requested, "limit": 10_000},
        "rate": {"limit": 1_000_000, "remaining": 1_000_000 - requested},
    }


PAGED = "query($n: Int = 7) { notes(first: $n) { nodes { id } } }"


@pytest.mark.parametrize(
    ("variables", "requested"),
    [({}, 2 + 7), ({"n": 3}, 2 + 3), ({"n": None}, 2 + 25), ({"n": 100}, 2 + 100), ({"n": 100.0}, 2 + 100)],
)
async def test_a_page_size_in_a_variable_is_priced_anew_each_time(toy, variables, requested):
    for _ in range(2):
        answer = (await toy.ask(PAGED, variables=variables)).json()
        assert answer["extensions"]["cost"]["requested"] == requested
    answer = (await toy.ask(PAGED, variables={"n": 1})).json()
    assert answer["extensions"]["cost"]["requested"] == 3


async def test_a_page_beyond_100_is_refused_as_literal_default_and_variable(toy):
    message = "first: 101 is more than a page can hold, ask for at most 100."
    asked = [
        ("{ notes(first: 101) { totalCount } }", {}),
        ("query($n: Int = 101) { notes(first: $n) { totalCount } }", {}),
        ("query($n: Int) { notes(first: $n) { totalCount } }", {"n": 101}),
    ]
    for text, variables in asked:
        (error,) = (await toy.ask(text, variables=variables)).json()["errors"]
        assert (error["message"], error["extensions"]["code"]) == (message, "BAD_USER_INPUT")


async def test_an_operation_beyond_the_limit_is_refused_before_it_runs_and_told_its_cost(toy):
    text = "{ notes(first: 100) { nodes { replies(first: 100) { nodes { id } } } } }"
    response = await toy.ask(text)
    answer = response.json()
    requested = 2 + 100 * (2 + 100)
    assert "data" not in answer
    assert answer["errors"][0]["message"] == (
        f"The operation may return {requested} values, at most {COST_LIMIT} are allowed: ask for smaller pages."
    )
    assert answer["errors"][0]["extensions"]["code"] == REFUSED
    assert answer["errors"][0]["extensions"]["requested"] == requested
    assert told_beside(response) == {"cost": {"requested": requested, "limit": COST_LIMIT}}  # and nothing was taken


async def test_each_operation_of_a_document_has_its_own_cost(toy):
    text = "query A { hello } query B { a: hello b: hello }"
    for name, requested in (("A", 1), ("B", 2), ("A", 1)):
        answer = (await toy.ask(text, operationName=name)).json()
        assert answer["extensions"]["cost"]["requested"] == requested


INPUT = 'input: {planCode: "a"}'


@pytest.mark.parametrize(
    ("text", "requested"),
    [
        ("{ mySubscription { upcomingInvoices { at } } }", 1 + 1 + 1 * (5 + 1)),
        ("{ mySubscription { upcomingInvoices(first: 12) { at total { amount } } } }", 1 + 1 + 12 * (5 + 3)),
        (
            "{ me { subscriptions(first: 20) { nodes { upcomingInvoices(first: 36) { at } } } } }",
            3 + 20 * (1 + 36 * (5 + 1)),
        ),
        (f"{{ previewSubscribe({INPUT}) {{ preview {{ quoteToken }} }} }}", 1 + 60 + 1 + 1),
        (f"{{ previewSubscribe({INPUT}) {{ preview {{ schedule {{ at }} }} }} }}", 1 + 60 + 1 + 1 + 5),
    ],
)
def test_what_is_worked_out_costs_more_than_what_is_read(text: str, requested: int) -> None:
    document = parse(text)
    (operation,) = document.definitions
    assert isinstance(operation, OperationDefinitionNode)
    assert price(build_schema(sandbox=True)._schema, document, operation, {}).requested == requested


IDS = [f"pln_{n}" for n in range(100)]


@pytest.mark.parametrize(
    ("text", "variables", "requested"),
    [
        ('{ nodes(ids: ["a", "b"]) { id } }', {}, 1 + 2),
        ("query ($of: [ID!]!) { nodes(ids: $of) { id } }", {"of": IDS}, 1 + 100),
        ('query ($of: [ID!]! = ["a", "b", "c"]) { nodes(ids: $of) { id } }', {}, 1 + 3),
        (
            "query ($of: [ID!]!) { nodes(ids: $of) { ... on Customer { invoices(first: 99) { nodes { id } } } } }",
            {"of": IDS},
            1 + 100 * (2 + 99),
        ),
    ],
)
def test_a_list_of_what_is_named_costs_as_much_as_is_named(
    text: str, variables: dict[str, list[str]], requested: int
) -> None:
    document = parse(text)
    (operation,) = document.definitions
    assert isinstance(operation, OperationDefinitionNode)
    told = price(build_schema(sandbox=True)._schema, document, operation, variables)
    assert (told.requested, told.varies) == (requested, "$of)" in text)


def test_every_preview_has_a_weight() -> None:
    previews = {name for name in ACCESS if name.startswith("Query.preview")}
    others = {"PlanSubscription.upcomingInvoices", "PaymentIntent.raw", "PaymentMethodType.amountRanges"}
    assert set(WEIGHTS) == previews | others
