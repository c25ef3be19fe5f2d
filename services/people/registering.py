"""Customers made by staff or by the application's back end, before they ask for anything themselves."""

from dataclasses import dataclass, field
from typing import Any
from zoneinfo import available_timezones

from sqlalchemy.exc import IntegrityError
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.errors import ErrorCode, UserProblem
from models.base import new_id
from models.clocks import TestClock, TestClockStatus, locked_clock
from models.customers import Customer, customer_of_account, customer_of_external_id, customer_of_user
from models.database import is_unique_violation
from services.app import Actor, App
from services.people.customers import new_invoice_prefix, refuse_anonymized
from services.people.facts import Facts, check_facts, write_facts
from services.policies import zone_in_force
from services.problems import not_found


@dataclass(frozen=True, slots=True)
class NewCustomer:
    """Who shall be a customer. `timezone` is an IANA zone, the installation's unless given."""

    user_id: str
    timezone: str | None = None
    test_clock_id: str | None = None
    facts: Facts = field(default_factory=dict[str, Any])

    @property
    def external_id(self) -> str | None:
        return self.facts.get("external_id")


async def create_customer(app: App, wish: NewCustomer, *, actor: Actor | None = None) -> Customer:
    """Make a customer; at the gateway it comes into being when money or cards are involved.

    Raises UserProblem REQUIRED, INVALID, ALREADY_EXISTS, NOT_FOUND; NOT_PERMITTED for a test clock without the sandbox.
    """
    _check(app, wish)
    try:
        async with app.database.write() as session:
            return await _write(app, session, wish, actor)
    except IntegrityError as error:
        if not is_unique_violation(error):
            raise
    async with app.database.read() as session:  # Somebody was faster: which of the two ids is taken?
        raise await _taken(session, wish) or UserProblem(ErrorCode.ALREADY_EXISTS, "There is such a customer.")


def _check(app: App, wish: NewCustomer) -> None:
    if not wish.user_id.strip():
        raise UserProblem(ErrorCode.REQUIRED, "Give userId: the application's own id of the user.", ["userId"])
    check_facts(wish.facts, app.now().date())
    if wish.timezone is not None and wish.timezone not in available_timezones():
        raise UserProblem(ErrorCode.INVALID, "timezone: give an IANA zone, such as Europe/Berlin.", ["timezone"])
    if wish.test_clock_id is not None and not app.is_sandbox:
        raise UserProblem(
            ErrorCode.NOT_PERMITTED, "Test clocks exist in the sandbox only: leave testClockId out.", ["testClockId"]
        )


async def _write(app: App, session: AsyncSession, wish: NewCustomer, actor: Actor | None) -> Customer:
    clock = await _ready_clock(session, wish.test_clock_id) if wish.test_clock_id is not None else None
    if (problem := await _taken(session, wish)) is not None:
        raise problem
    now = clock.now if clock is not None else app.now()
    customer = Customer(
        id=new_id("customer"),
        user_id=wish.user_id,
        timezone=wish.timezone or await zone_in_force(session, app),
        test_clock_id=wish.test_clock_id,
        invoice_prefix=new_invoice_prefix(),
        created_at=now,
        updated_at=now,
        created_by=str(actor) if actor is not None else None,
    )
    write_facts(customer, wish.facts)
    session.add(customer)
    return customer


async def _ready_clock(session: AsyncSession, clock_id: str) -> TestClock:
    """Held, so that it does not begin to move while a customer is put on it."""
    clock = await locked_clock(session, clock_id)
    if clock is None:
        raise not_found("test clock", "testClockId")
    if clock.status is not TestClockStatus.READY:
        raise UserProblem(
            ErrorCode.INVALID_STATE, "The test clock is advancing. Wait until it is READY.", ["testClockId"]
        )
    return clock


async def _taken(session: AsyncSession, wish: NewCustomer) -> UserProblem | None:
    """That another customer has one of its ids."""
    if await customer_of_user(session, wish.user_id) is not None:
        return UserProblem(ErrorCode.ALREADY_EXISTS, "There is a customer of this user already.", ["userId"])
    if wish.external_id is not None and await customer_of_external_id(session, wish.external_id) is not None:
        return UserProblem(ErrorCode.ALREADY_EXISTS, "Another customer has this externalId.", ["externalId"])
    return None


@dataclass(frozen=True, slots=True)
class KnownAs:
    """A customer by exactly one of these: our id, the application's user id, the merchant's id, the gateway's."""

    id: str | None = None
    user_id: str | None = None
    external_id: str | None = None
    gateway_ref: str | None = None


async def found_customer(app: App, session: AsyncSession, known: KnownAs) -> Customer | None:
    if known.id is not None:
        return await session.get(Customer, known.id)
    if known.user_id is not None:
        return await customer_of_user(session, known.user_id)
    if known.external_id is not None:
        return await customer_of_external_id(session, known.external_id)
    return await customer_of_account(session, app.gateway.platform, known.gateway_ref or "")


async def found_or_made_customer(app: App, known: KnownAs) -> Customer:
    """The customer; one who is not known yet is made, by the user id or by the merchant's own id, which then is both.

    Raises UserProblem NOT_FOUND for an id of ours or the gateway's, ALREADY_EXISTS when the user has another customer,
    INVALID_STATE for one who was anonymized.
    """
    for _ in range(2):
        async with app.database.read() as session:
            found = await found_customer(app, session, known)
        if found is not None:
            refuse_anonymized(found, "customer")
            return found
        user_id = known.user_id or known.external_id
        if user_id is None:
            raise not_found("customer", "customer")
        try:
            return await create_customer(app, NewCustomer(user_id, facts={"external_id": known.external_id}))
        except UserProblem as problem:
            if problem.code is not ErrorCode.ALREADY_EXISTS:
                raise
    raise UserProblem(
        ErrorCode.ALREADY_EXISTS,
        "The user of that id is a customer without it: name the customer by userId.",
        ["customer"],
    )
