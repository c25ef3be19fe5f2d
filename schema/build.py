"""The schema put together: roots, names, access enforced, mutations in their caller's name."""

from collections.abc import Callable, Iterator
from inspect import isawaitable
from typing import Any

from graphql import GraphQLField, GraphQLSchema, Undefined, is_input_object_type, is_object_type
from strawberry.schema.config import StrawberryConfig
from strawberry.schema.name_converter import NameConverter
from strawberry.types.base import StrawberryObjectDefinition, StrawberryType

from gauges import ask_for, note_user_errors
from models.audit_log import authored
from resolvers.access import ACCESS, require
from schema.arguments import refuse_arguments
from schema.documents import GuardedSchema
from schema.live import LiveUpdates
from schema.mutations import Mutation, SandboxMutation
from schema.queries import Query, SandboxQuery
from schema.scalars import SCALARS
from schema.user_errors import USER_ERRORS

Resolve = Callable[..., Any]


class Names(NameConverter):
    """`SubscriptionConnection`, though its entries are called PlanSubscription."""

    def from_generic(self, generic_type: StrawberryObjectDefinition, types: list[StrawberryType | type]) -> str:
        return super().from_generic(generic_type, types).replace("PlanSubscription", "Subscription")


def build_schema(*, sandbox: bool, introspection: bool = True, require_user_errors: bool = True) -> GuardedSchema:
    """The GraphQL schema; `sandbox` adds what plays the browser and moves time. Build it once per process."""
    schema = GuardedSchema(
        query=SandboxQuery if sandbox else Query,
        mutation=SandboxMutation if sandbox else Mutation,
        subscription=LiveUpdates,
        types=USER_ERRORS,
        config=StrawberryConfig(auto_camel_case=True, name_converter=Names(), scalar_map=SCALARS),
        introspection=introspection,
        require_user_errors=require_user_errors,
    )
    leave_null_defaults_out(schema._schema)
    enforce_access(schema._schema)
    return schema


def enforce_access(schema: GraphQLSchema) -> None:
    """Put the access table before the resolvers. ValueError for a root field that the table does not name."""
    roots = {root.name for root in (schema.query_type, schema.mutation_type, schema.subscription_type) if root}
    for coordinate, field in _fields(schema):
        if coordinate.startswith("Mutation."):
            field.resolve = _signed(field.resolve, coordinate.removeprefix("Mutation."))
        # What a live update begins with is `subscribe`; its `resolve` only hands on what was told.
        begins = "subscribe" if field.subscribe is not None else "resolve"
        if coordinate in ACCESS:
            setattr(field, begins, _guarded(getattr(field, begins), coordinate))
        elif coordinate.partition(".")[0] in roots:
            raise ValueError(f"{coordinate} has no roles in resolvers.access.ACCESS")
        if field.args:
            setattr(field, begins, _storable(getattr(field, begins)))
        if coordinate.partition(".")[0] in roots:
            setattr(field, begins, _named(getattr(field, begins), coordinate))


def leave_null_defaults_out(schema: GraphQLSchema) -> None:
    """`first: Int` instead of `first: Int = null`: what is left out is None to our resolvers anyway."""
    for kind in schema.type_map.values():
        if is_input_object_type(kind):
            given: list[Any] = list(kind.fields.values())
        elif is_object_type(kind):
            given = [argument for field in kind.fields.values() for argument in field.args.values()]
        else:
            continue
        for each in given:
            if each.default_value is None:
                each.default_value = Undefined


def _fields(schema: GraphQLSchema) -> Iterator[tuple[str, GraphQLField]]:
    for name, kind in schema.type_map.items():
        if is_object_type(kind) and not name.startswith("__"):
            for field_name, field in kind.fields.items():
                yield f"{name}.{field_name}", field


def _guarded(resolve: Resolve | None, coordinate: str) -> Resolve:
    assert resolve is not None  # Strawberry gives every field one

    def checked(source: Any, info: Any, **arguments: Any) -> Any:
        require(info.context.identity, coordinate)
        return resolve(source, info, **arguments)

    return checked


def _signed(resolve: Resolve | None, action: str) -> Resolve:
    """Whatever a mutation writes is its caller's doing: the audit log tells of it, whoever wrote the mutation."""
    assert resolve is not None  # Strawberry gives every field one

    async def signed(source: Any, info: Any, **arguments: Any) -> Any:
        with authored(info.context.author(action)):
            result = resolve(source, info, **arguments)
            payload = await result if isawaitable(result) else result
        if getattr(payload, "user_errors", None):
            note_user_errors()
        return payload

    return signed


def _named(resolve: Resolve | None, coordinate: str) -> Resolve:
    """The operation's metrics go by what it asks of us, whatever its document calls it."""
    assert resolve is not None  # Strawberry gives every field one

    def named(source: Any, info: Any, **arguments: Any) -> Any:
        ask_for(coordinate)
        return resolve(source, info, **arguments)

    return named


def _storable(resolve: Resolve | None) -> Resolve:
    """Texts that no database can hold are refused here, for every argument of every field."""
    assert resolve is not None  # Strawberry gives every field one

    def checked(source: Any, info: Any, **arguments: Any) -> Any:
        for name, value in arguments.items():
            if not _is_storable(value):
                message = f"{name}: text must not hold NUL or half a character (a lone surrogate)."
                raise refuse_arguments(info, message, name)
        return resolve(source, info, **arguments)

    return checked


def _is_storable(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" not in value and not any("\ud800" <= character <= "\udfff" for character in value)
    if isinstance(value, dict):
        return all(_is_storable(key) and _is_storable(each) for key, each in value.items())
    return all(map(_is_storable, value)) if isinstance(value, list) else True
