"""Changing what is known of a customer: by the customer itself, by staff, by the application's back end."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.errors import ErrorCode, UserProblem
from models.customers import Customer, customer_of_external_id, locked_customer
from models.database import is_unique_violation
from services.app import Actor, App
from services.people.customers import ensure_customer, refuse_anonymized
from services.people.facts import Facts, check_facts, refuse_others_facts, told_to_gateways, write_facts
from services.people.telling import make_due, tell_now
from services.problems import not_found, refuse_stale
from services.timelines import present_of


@dataclass(frozen=True, slots=True)
class CustomerChange:
    """`facts` are to change. `settled` is what cannot change after the making, by the input's name: see `_SETTLED`."""

    facts: Facts
    settled: Mapping[str, Any] = field(default_factory=dict[str, Any])


# The input's name → the column. Periods are counted in the zone that they began in.
_SETTLED = {"userId": "user_id", "timezone": "timezone", "testClockId": "test_clock_id"}


async def update_profile(app: App, actor: Actor, change: CustomerChange, *, expected_version: int | None) -> Customer:
    """A customer changes its own data. Raises UserProblem; NOT_PERMITTED for what is not its own to say."""
    for name in change.settled:
        raise UserProblem(ErrorCode.NOT_PERMITTED, f"{name}: this does not change. Leave it out.", [name])
    refuse_others_facts(change.facts)
    own = await ensure_customer(app, actor)
    return await update_customer(app, own.id, change, expected_version=expected_version)


async def update_customer(
    app: App, customer_id: str, change: CustomerChange, *, expected_version: int | None
) -> Customer:
    """Change what is given, then tell the gateway. Repeating it changes nothing.

    Raises UserProblem NOT_FOUND, INVALID, INVALID_STATE, NOT_PERMITTED, ALREADY_EXISTS, VERSION_CONFLICT.
    """
    check_facts(change.facts, app.now().date())
    try:
        async with app.database.write() as session:
            customer = await _write(app, session, customer_id, change, expected_version)
    except IntegrityError as error:  # Somebody was faster.
        if not is_unique_violation(error):
            raise
        raise _taken() from None
    await tell_now(app, customer.id)
    return customer


async def _write(
    app: App, session: AsyncSession, customer_id: str, change: CustomerChange, expected_version: int | None
) -> Customer:
    customer = await locked_customer(session, customer_id)
    if customer is None:
        raise not_found("customer", "id")
    refuse_anonymized(customer, "id")
    refuse_stale(customer.version, expected_version)
    for name, value in change.settled.items():
        if value != getattr(customer, _SETTLED[name]):
            message = f"{name}: this is settled when a customer is made. Leave it out."
            raise UserProblem(ErrorCode.NOT_PERMITTED, message, [name])
    await _refuse_taken(session, customer, change.facts.get("external_id"))
    told = told_to_gateways(customer)
    if write_facts(customer, change.facts):
        customer.touch(await present_of(app, session, customer))
    if told_to_gateways(customer) != told:
        await make_due(session, app, customer)
    return customer


async def _refuse_taken(session: AsyncSession, customer: Customer, external_id: str | None) -> None:
    other = await customer_of_external_id(session, external_id) if external_id is not None else None
    if other is not None and other.id != customer.id:
        raise _taken()


def _taken() -> UserProblem:
    return UserProblem(ErrorCode.ALREADY_EXISTS, "Another customer has this externalId.", ["externalId"])
