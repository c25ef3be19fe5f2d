"""Writing what has a code of its own, beside others who may take the code at this very moment."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy.exc import IntegrityError
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.errors import ErrorCode, UserProblem
from models.database import is_unique_violation
from services.app import App

T = TypeVar("T")

_MOST_TRIES = 5
"""Who writes several rows, a plan with its features, may lose against another one at each of them."""


async def written(app: App, write: Callable[[AsyncSession], Awaitable[T]]) -> T:
    """Written in one transaction; again each time that somebody took a code, or made a row, meanwhile."""
    for _ in range(_MOST_TRIES - 1):
        try:
            async with app.database.write() as session:
                return await write(session)
        except IntegrityError as error:
            if not is_unique_violation(error):
                raise
    async with app.database.write() as session:
        return await write(session)


def code_taken() -> UserProblem:
    return UserProblem(ErrorCode.ALREADY_EXISTS, "This code is taken. Choose another one.", ["code"])
