"""What plans speak of: features, by what people call them, and the application's own roles.

A feature's code and a role's number never change: the application's code and its tokens name them.
"""

from collections.abc import Callable
from dataclasses import dataclass

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.errors import ErrorCode, UserProblem
from billing.offering import check_code, check_name
from models.catalog import AppRole, Feature, app_role_of_code
from services.app import App
from services.problems import not_found
from services.writing import code_taken, written

MOST_ROLE = 2**31 - 1


@dataclass(frozen=True, slots=True)
class FeatureEntry:
    name: str = ""
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class RoleEntry:
    """`id` is the application's own number for it."""

    id: int | None = None
    code: str = ""
    name: str = ""


async def update_feature(app: App, feature_id: str, edit: Callable[[FeatureEntry], FeatureEntry]) -> Feature:
    """Raises UserProblem NOT_FOUND, REQUIRED."""
    async with app.database.write() as session:
        row = await session.get(Feature, feature_id)
        if row is None:
            raise not_found("feature", "id")
        entry = edit(FeatureEntry(row.name, row.unit))
        check_name(entry.name)
        row.name, row.unit = entry.name, entry.unit
        return row


async def create_app_role(app: App, entry: RoleEntry) -> AppRole:
    """Raises UserProblem REQUIRED, INVALID, ALREADY_EXISTS."""
    id = entry.id
    if id is None:
        raise UserProblem(ErrorCode.REQUIRED, "Give the application's own number for the role.", ["id"])
    if not 0 <= id <= MOST_ROLE:
        raise UserProblem(ErrorCode.INVALID, "A role's number is not negative.", ["id"])
    _check_role(entry)

    async def write(session: AsyncSession) -> AppRole:
        if await session.get(AppRole, id) is not None:
            raise UserProblem(ErrorCode.ALREADY_EXISTS, "There is a role with this number. Change that one.", ["id"])
        if await app_role_of_code(session, entry.code) is not None:
            raise code_taken()
        row = AppRole(id=id, code=entry.code, name=entry.name)
        session.add(row)
        return row

    return await written(app, write)


async def update_app_role(app: App, role_id: int, edit: Callable[[RoleEntry], RoleEntry]) -> AppRole:
    """Raises UserProblem NOT_FOUND, REQUIRED, INVALID, ALREADY_EXISTS."""

    async def write(session: AsyncSession) -> AppRole:
        row = await session.get(AppRole, role_id)
        if row is None:
            raise not_found("role", "id")
        entry = edit(RoleEntry(row.id, row.code, row.name))
        if entry.id != row.id:
            raise UserProblem(ErrorCode.INVALID_STATE, "A role's number never changes. Make another role.", ["id"])
        _check_role(entry)
        if entry.code != row.code and await app_role_of_code(session, entry.code) is not None:
            raise code_taken()
        row.code, row.name = entry.code, entry.name
        return row

    return await written(app, write)


def _check_role(entry: RoleEntry) -> None:
    if not entry.code:
        raise UserProblem(ErrorCode.REQUIRED, "Give the role's name in the application's code.", ["code"])
    check_code(entry.code, "code")
    check_name(entry.name)
