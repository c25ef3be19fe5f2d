"""docs/schema.md: each root field with its roles, its arguments and what it returns, from the committed snapshot."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from graphql import (
    GraphQLArgument,
    GraphQLField,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLObjectType,
    build_schema,
    get_named_type,
    print_ast,
)

from docs.markdown import code, page, table
from resolvers.access import ACCESS, Allowed
from resolvers.identity import Role

SNAPSHOT = Path(__file__).resolve().parent.parent / "schema" / "schema.graphql"

INTRODUCTION = """What a document can begin with. Types, fields and enumerations are described in the explorer, and in
`schema/schema.graphql` as text."""


def render() -> str:
    return draw(SNAPSHOT.read_text(encoding="utf-8"), ACCESS)


def draw(sdl: str, access: Mapping[str, Allowed]) -> str:
    """The page for a schema and its table of roles by coordinate. Raises KeyError for a root field without roles."""
    schema = build_schema(sdl)
    roots = [root for root in (schema.query_type, schema.mutation_type, schema.subscription_type) if root]
    return page("Operations", INTRODUCTION, *(block for root in roots for block in _root(root, access)))


def _root(root: GraphQLObjectType, access: Mapping[str, Allowed]) -> Iterable[str]:
    yield f"## {root.name}"
    for name, field in root.fields.items():
        yield f"### {name}"
        yield from _field(field, access[f"{root.name}.{name}"])


def _field(field: GraphQLField, allowed: Allowed) -> Iterable[str]:
    if field.description:
        yield field.description
    yield f"For {_callers(allowed)}. Returns `{field.type}`."
    if field.args:
        yield table(["argument", "type", "default", "meaning"], _inputs(field.args))


def _inputs(inputs: Mapping[str, GraphQLArgument | GraphQLInputField], within: str = "") -> Iterable[list[str]]:
    """A row for each argument, and after one that is an input object a row for each of its fields."""
    for name, given in inputs.items():
        default = given.ast_node and given.ast_node.default_value
        yield [
            f"`{within}{name}`",
            f"`{given.type}`",
            f"`{print_ast(default)}`" if default else "–",
            " ".join((given.description or "–").split()),
        ]
        kind = get_named_type(given.type)
        if isinstance(kind, GraphQLInputObjectType) and not within:
            yield from _inputs(kind.fields, f"{name}.")


def _callers(allowed: Allowed) -> str:
    if Role.PUBLIC in allowed.roles:
        return "everyone"
    roles = code(role.name for role in Role if role in allowed.roles)
    return f"{roles} with the scope `{allowed.scope}`" if allowed.scope is not None else roles
