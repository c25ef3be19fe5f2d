"""Carrying a step out for a mutation."""

from collections.abc import Awaitable
from typing import TypeVar

from schema.fields import Info, argument

T = TypeVar("T")

INPUT = argument("What is wished.")


async def done(info: Info, step: Awaitable[T]) -> T:
    """The step's outcome; what was read before it is forgotten, whether it went well or not."""
    try:
        return await step
    finally:
        info.context.forget()
