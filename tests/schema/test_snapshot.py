"""The committed picture of the schema is the schema; every name in it explains itself."""

from collections.abc import Iterator

import pytest
from graphql import GraphQLEnumType, GraphQLInputObjectType, GraphQLInterfaceType, GraphQLObjectType, GraphQLSchema

from schema.build import build_schema
from schema.snapshot import SNAPSHOT, render_snapshot

SANDBOX_MUTATIONS = {
    "sandboxConfirmPaymentIntent",
    "sandboxConfirmSetupIntent",
    "sandboxAnswerChallenge",
    "createTestClock",
    "advanceTestClock",
    "deleteTestClock",
}


@pytest.fixture(scope="module")
def graphql_schema() -> GraphQLSchema:
    return build_schema(sandbox=True)._schema


def test_the_snapshot_is_current() -> None:
    assert SNAPSHOT.read_text() == render_snapshot(), "run: python -m schema.snapshot"


def test_the_sandboxs_mutations_are_absent_without_a_sandbox() -> None:
    def mutations(*, sandbox: bool) -> set[str]:
        root = build_schema(sandbox=sandbox)._schema.mutation_type
        assert root is not None
        return set(root.fields)

    assert mutations(sandbox=True) - mutations(sandbox=False) == SANDBOX_MUTATIONS
    assert mutations(sandbox=False) - mutations(sandbox=True) == set()


def test_everything_has_a_description(graphql_schema: GraphQLSchema) -> None:
    assert [name for name, description in _described(graphql_schema) if not description] == []


def test_enum_values_are_written_in_upper_case(graphql_schema: GraphQLSchema) -> None:
    values = [
        value
        for kind in graphql_schema.type_map.values()
        if isinstance(kind, GraphQLEnumType) and not kind.name.startswith("__")
        for value in kind.values
    ]
    assert [value for value in values if value != value.upper()] == []
    assert "PERIOD_END" in values


def _described(schema: GraphQLSchema) -> Iterator[tuple[str, str | None]]:
    for name, kind in schema.type_map.items():
        if name.startswith("__"):
            continue
        yield name, kind.description
        if isinstance(kind, GraphQLEnumType):
            for value_name, value in kind.values.items():
                yield f"{name}.{value_name}", value.description
        elif isinstance(kind, GraphQLInputObjectType):
            for field_name, entry in kind.fields.items():
                yield f"{name}.{field_name}", entry.description
        elif isinstance(kind, GraphQLObjectType | GraphQLInterfaceType):
            for field_name, field in kind.fields.items():
                yield f"{name}.{field_name}", field.description
                for argument_name, argument in field.args.items():
                    yield f"{name}.{field_name}({argument_name})", argument.description
