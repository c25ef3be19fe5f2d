"""The results of one live operation, each ready to be sent, whichever way it goes."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from strawberry.types.graphql import OperationType

from schema.documents import GuardedSchema
from schema.parameters import Parameters
from schema.results import Answer


async def live_results(
    schema: GuardedSchema, parameters: Parameters, context: object, may_go_on: Callable[[], bool]
) -> AsyncGenerator[Answer, None]:
    """What the operation tells, until it ends or `may_go_on` says no, which is asked before each result is told."""
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
