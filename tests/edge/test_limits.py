"""Document limits: each figure at its edge, through fields, fragments and circles."""

import pytest
from graphql import get_introspection_query, parse

from schema.limits import Limits, comparisons, measure, resolve, violations
from tests.edge.toy import Toy

LIMITS = Limits()


def messages(text: str) -> list[str]:
    return [error.message for error in violations(parse(text), LIMITS)]


def too_many(found: object, words: str, limit: int) -> list[str]:
    return [f"The document is too complex: {found} {words}, at most {limit} are allowed."]


def test_the_figures():
    assert Limits() == Limits(
        depth=12, aliases=30, fields=500, root_fields=20, directives=50, selections=2000, introspection_depth=16,
        introspection_fields=500, introspection_aliases=2, operations=10, variables=50, name_length=100,
        comparisons=5000,
    )  # fmt: skip


def nested(depth: int) -> str:
    return "{" + "self{" * (depth - 1) + "hello" + "}" * depth


def spread_nested(depth: int) -> str:
    """As deep, each level in a fragment of its own."""
    fragments = "".join(f"fragment F{n} on Query{{self{{...F{n + 1}}}}}" for n in range(1, depth))
    return "{...F1}" + fragments + f"fragment F{depth} on Query{{hello}}"


def aliased(count: int) -> str:
    return "{self{" + " ".join(f"a{n}:hello" for n in range(count)) + "}}"


def spread_aliases(count: int) -> str:
    """Two aliases in a fragment, spread as often as it takes."""
    return "{" + "self{...F}" * (count // 2) + "}fragment F on Query{a:hello b:hello}"


def distinct_fields(count: int) -> str:
    """That many fields, one of them at the root, no name twice at one place except through fragments."""
    tags = " ".join(f"...{{f{n}}}" for n in range(count - 1))
    return "{self{" + tags + "}}"


def rooted(count: int) -> str:
    return "{...F}fragment F on Query{" + " ".join(f"f{n}" for n in range(count)) + "}"


def directed(count: int) -> str:
    return "{self{...F ...F}}fragment F on Query{hello " + "@skip(if:false)" * (count // 2) + "}"


def operations(count: int) -> str:
    return " ".join(f"query Q{n}{{hello}}" for n in range(count))


def variables(count: int) -> str:
    return "query(" + " ".join(f"$v{n}:Int" for n in range(count)) + "){hello}"


def named(length: int) -> str:
    return "{" + "x" * length + ":hello}"


def introspecting(depth: int) -> str:
    return "{__schema{types{" + "ofType{" * (depth - 3) + "name" + "}" * depth


def meta_fields(count: int) -> str:
    return "{__schema{" + " ".join(f"f{n}" for n in range(count - 1)) + "}}"


def meta_aliases(count: int) -> str:
    return "{__schema{" + " ".join(f"a{n}:types{{name}}" for n in range(count)) + "}}"


@pytest.mark.parametrize(
    ("document", "limit", "words"),
    [
        (nested, 12, "nested fields"),
        (spread_nested, 12, "nested fields"),
        (aliased, 30, "aliases"),
        (distinct_fields, 500, "fields"),
        (rooted, 20, "fields at the root"),
        (operations, 10, "operations"),
        (variables, 50, "variables"),
        (named, 100, "characters in a name"),
        (introspecting, 16, "nested fields under __schema or __type"),
        (meta_fields, 500, "fields under __schema or __type"),
        (meta_aliases, 2, "aliases under __schema or __type"),
    ],
)
def test_a_document_at_its_limit_passes_and_one_more_is_refused(document, limit, words):
    assert messages(document(limit)) == []
    assert messages(document(limit + 1)) == too_many(limit + 1, words, limit)


@pytest.mark.parametrize(
    ("document", "limit", "words"), [(spread_aliases, 30, "aliases"), (directed, 50, "directives")]
)
def test_what_stands_in_a_fragment_counts_at_every_spread(document, limit, words):
    assert messages(document(limit)) == []
    assert messages(document(limit + 2)) == too_many(limit + 2, words, limit)


def test_directives_of_operations_variables_spreads_and_fragments_count():
    text = "query($v:Int @a) @a {...F @a ...@a{hello @a}} fragment F on Query @a {hello @a}"
    document = parse(text)
    fragment = measure(document.definitions[1])
    assert fragment.totals.directives == 2
    assert measure(document.definitions[0]).totals.directives == 5
    many = "query(" + " ".join(f"$v{n}:Int @a" for n in range(26)) + ")" + "@a" * 25 + "{hello}"
    assert messages(many) == too_many(51, "directives", 50)


def test_the_totals_of_a_fragment_are_those_of_its_text_written_out():
    fragments = "fragment A on Query{self{...B x:hello}...B} fragment B on Query{hello self{hello self{hello}}}"
    written = "{self{self{hello self{hello self{hello}} x:hello} hello self{hello self{hello}}}}"
    measures = {node.name.value: measure(node) for node in parse(fragments).definitions}
    finished, circle = resolve(measures)
    assert circle is None
    totals = finished["A"]
    out = measure(parse("{" + written[6:-1]).definitions[0]).totals
    assert (totals.fields, totals.depth, totals.aliases, totals.root_fields) == (
        out.fields, out.depth, out.aliases, out.root_fields,
    )  # fmt: skip
    assert (totals.fields, totals.depth, totals.aliases, totals.root_fields) == (12, 4, 1, 3)


def test_fragments_that_double_two_hundred_times_are_measured_at_once():
    doubling = "{...F0}" + "".join(f"fragment F{n} on Query{{self{{...F{n + 1} ...F{n + 1}}}}}" for n in range(150))
    found = messages(doubling + "fragment F150 on Query{hello}")
    assert found[0] == too_many(152, "nested fields", 12)[0].replace("152", "151")
    assert "far more fields, at most 500" in found[1]


def test_empty_doubling_fragments_are_refused_by_their_selections():
    empty = "{...F0}" + "".join(f"fragment F{n} on Query{{...F{n + 1} ...F{n + 1}}}" for n in range(150))
    assert messages(empty + "fragment F150 on Query{}") == too_many("far more", "selections", 2000)


@pytest.mark.parametrize(
    "text",
    [
        "{...A} fragment A on Query{...A}",
        "{...A} fragment A on Query{self{...B}} fragment B on Query{...A}",
        "{hello} fragment A on Query{...B} fragment B on Query{...C} fragment C on Query{...{...A}}",
    ],
)
def test_a_circle_of_fragments_is_named_and_measured_no_further(text):
    assert messages(text) == ["Cannot spread fragment 'A' within itself."]


def test_an_unknown_fragment_is_left_to_the_specification():
    assert messages("{...Nowhere}") == []


def test_a_field_repeated_n_times_takes_n_squared_comparisons_and_is_refused_in_time():
    assert comparisons(parse("{self{" + "hello " * 100 + "}}"), 10**6) == 4950
    assert comparisons(parse("{" + "self{hello} " * 10 + "}"), 10**6) == 45 + 45
    assert comparisons(parse("{...A ...B ...A} fragment A on Query{hello} fragment B on Query{hello}"), 10**6) == 2
    assert messages("{self{" + "hello " * 100 + "}}") == []
    refused = ["The document repeats the same field too often; select each field once."]
    assert messages("{self{" + "hello " * 101 + "}}") == refused
    assert messages("{hello} fragment Unused on Query{" + "self{hello}" * 80 + "}") == refused


async def test_the_standard_introspection_query_passes_for_those_who_may(toy):
    query = get_introspection_query(input_value_deprecation=True, schema_description=True, one_of=True)
    assert messages(query) == []
    answer = (await toy.ask(query)).json()
    assert "errors" not in answer
    assert answer["data"]["__schema"]["queryType"] == {"name": "Query", "kind": "OBJECT"}


async def test_introspection_has_a_budget_beside_that_of_the_data(toy):
    introspection = get_introspection_query().strip().removeprefix("query IntrospectionQuery {").replace("\n", " ")
    together = "query Both { " + nested(12)[1:-1] + introspection
    assert "errors" not in (await toy.ask(together)).json()


async def test_the_schema_alone_is_told_by_fragments_variables_and_operation_names_as_well(toy):
    text = """query A($no: Boolean!) { ...F ... on Query { __typename } } query B { hello }
    fragment F on Query { __schema { queryType { name } mutationType @skip(if: $no) { name } } }"""
    asked = {"query": text, "operationName": "A", "variables": {"no": True}}
    answer = (await toy.client.post("/graphql", json=asked)).json()
    assert answer["data"] == {"__schema": {"queryType": {"name": "Query"}}, "__typename": "Query"}
    assert answer["extensions"]["cost"]["requested"] == 1
    asked["variables"] = {"no": "perhaps"}
    refused = (await toy.client.post("/graphql", json=asked)).json()
    assert [error["extensions"]["code"] for error in refused["errors"]] == ["BAD_USER_INPUT"]


async def test_introspection_nested_through_lists_is_refused(toy):
    response = await toy.ask("{__schema{types{fields{type{fields{type{fields{name}}}}}}}}")
    assert response.json()["errors"][0]["message"] == "Maximum introspection depth exceeded"


@pytest.mark.parametrize(
    "text", ["{__schema{queryType{name}}}", '{__type(name:"Query"){name}}', "{self{...{__schema{description}}}}"]
)
async def test_without_introspection_the_schema_is_not_told_and_nothing_is_suggested(text):
    toy = Toy(introspection=False)
    async with toy.client:
        refused = (await toy.ask(text)).json()
        assert {error["extensions"]["code"] for error in refused["errors"]} == {"GRAPHQL_VALIDATION_FAILED"}
        assert "data" not in refused
        assert (await toy.ask("{__typename}")).json()["data"] == {"__typename": "Query"}


MISSPELT = [
    ("{ helo }", {}, "Cannot query field 'helo' on type 'Query'."),
    ('{ hello(nam: "x") }', {}, "Unknown argument 'nam' on field 'Query.hello'."),
    ("{ ... on Nte { id } }", {}, "Unknown type 'Nte'."),
    ("{ notes(colour: GREN) { totalCount } }", {}, "Value 'GREN' does not exist in 'Colour' enum."),
    (
        "query($c: Colour) { notes(colour: $c) { totalCount } }",
        {"c": "GREN"},
        "Variable '$c' has invalid value: Value 'GREN' does not exist in 'Colour' enum.",
    ),
]


@pytest.mark.parametrize(("text", "given", "told"), MISSPELT)
async def test_suggestions_are_made_only_to_those_who_may_introspect(toy, text, given, told):
    open_ = (await toy.ask(text, variables=given)).json()["errors"][0]["message"]
    assert open_.startswith(told)
    assert "Did you mean" in open_
    closed = Toy(introspection=False)
    async with closed.client:
        assert [error["message"] for error in (await closed.ask(text, variables=given)).json()["errors"]] == [told]


# A mutation must ask for its user errors

LINE = "userErrors { code message field }"


@pytest.mark.parametrize(
    "text",
    [
        'mutation { addNote(text: "x") { note } }',
        'mutation { addNote(text: "x") { __typename } }',
        'mutation { a: addNote(text: "x") { ...P } } fragment P on AddNotePayload { note }',
        'mutation { ...M } fragment M on Mutation { addNote(text: "x") { note } }',
    ],
)
async def test_a_mutation_that_would_not_see_its_refusal_is_refused_with_the_line_to_add(toy, text):
    response = await toy.ask(text)
    message = f"'addNote' can be refused without failing: add the line {LINE} to its selection."
    assert [error["message"] for error in response.json()["errors"]] == [message]
    assert toy.database == []


@pytest.mark.parametrize(
    "text",
    [
        f'mutation {{ addNote(text: "x") {{ note {LINE} }} }}',
        'mutation { addNote(text: "x") { errors: userErrors { code } } }',
        'mutation { addNote(text: "x") { ... { userErrors { code } } } }',
        'mutation { addNote(text: "x") { ...P } } fragment P on AddNotePayload { ... { userErrors { code } } }',
    ],
)
async def test_user_errors_may_be_selected_in_any_way(toy, text):
    assert "errors" not in (await toy.ask(text)).json()
    assert toy.database == ["x"]


async def test_other_mutations_and_other_settings_need_no_user_errors(toy):
    assert (await toy.ask("mutation { ping }")).json()["data"] == {"ping": "pong"}
    lenient = Toy(require_user_errors=False)
    async with lenient.client:
        answer = await lenient.ask('mutation { addNote(text: "x") { note } }')
        assert answer.json()["data"] == {"addNote": {"note": "x"}}
