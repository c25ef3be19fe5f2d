"""The results of one live operation, each ready to be sent, whichever way it goes."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from graphql import GraphQLError
from graphql import OperationType as OperationKind
from strawberry.types.graphql import OperationType

from schema.documents import GuardedSchema, select_operation
from schema.errors import DocumentError, RequestErrorCode, record
from schema.parameters import Parameters
from schema.results import Answer


async def live_results(
    schema: GuardedSchema, parameters: Parameters, context: object, may_go_on: Callable[[], bool]
) -> AsyncGenerator[Answer, None]:
    """What the operation tells, until it ends or `may_go_on` says no, which is asked before each result is told."""
    refused = _refused(schema, parameters)
    if refused is not None:
        record([refused])
        yield Answer.of(None, [refused], {}, hide_suggestions=not schema.introspection)
        return
    stream: Any = await schema.stream(
        parameters.query,
        variable_values=parameters.variables,
        context_value=context,
        operation_name=parameters.operation_name,
        allowed_operation_types=(OperationType.SUBSCRIPTION,),
        operation_extensions=parameters.extensions,
    )
    async with aclosing(stream):
        async for result in stream:
            if not may_go_on():
                return
            yield Answer.of(
                result.data, result.errors or [], result.extensions or {}, hide_suggestions=not schema.introspection
            )


def _refused(schema: GuardedSchema, parameters: Parameters) -> GraphQLError | None:
    """What Strawberry would make a fault of: a text that is no document, and operations of another kind."""
    try:
        prepared = schema.documents.prepare(parameters.query, introspection=schema.introspection)
    except GraphQLError as error:
        return error
    if prepared.errors:
        return None
    operation = select_operation(prepared.document, parameters.operation_name)
    if operation is None:
        message = "The document holds no operation of the name that operationName asks for."
    elif operation.operation is not OperationKind.SUBSCRIPTION:
        message = "Only subscriptions are served here; send queries and mutations over plain HTTP."
    else:
        return None
    return DocumentError(message, RequestErrorCode.BAD_USER_INPUT)
