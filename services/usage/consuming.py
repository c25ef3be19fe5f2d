"""Credits consumed by the application and granted by hand, each movement once under its key.

The customer is locked while it is decided, so that of many at once just as many get through as are left.
"""

import hashlib
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import orjson
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.access import has_access
from billing.consuming import LARGEST_GRANT, Holding, consume
from billing.errors import ErrorCode, UserProblem
from billing.lifecycle import SUBSCRIPTION
from billing.metering import AHEAD
from models.base import new_id
from models.credits import (
    CreditBalance,
    CreditEntry,
    CreditKind,
    balance_of_unit,
    credit_terms_of,
    entry_of_key,
    subscription_moved,
)
from models.customers import Customer
from models.subscriptions import Subscription, SubscriptionOrigin, live_subscriptions_of
from services.app import Actor, App
from services.changes import Why
from services.owned import locked_subscription
from services.policies import grace_in_force
from services.problems import key_reused
from services.timelines import in_time_of
from services.usage.allowances import end_what_is_over, enter

LARGEST = 10**12


@dataclass(frozen=True, slots=True)
class CreditWish:
    """So many of a unit, of the subscription named or of the one that the customer has them from."""

    unit: str
    quantity: int
    idempotency_key: str
    subscription_id: str | None = None
    customer_id: str | None = None
    reason: str | None = None
    occurred_at: datetime | None = None

    def digest(self, kind: CreditKind) -> str:
        """What tells it from another movement under the same key."""
        at = self.occurred_at.isoformat() if self.occurred_at is not None else None
        return hashlib.sha256(orjson.dumps([kind.value, self.unit, self.quantity, self.reason, at])).hexdigest()


@dataclass(frozen=True, slots=True)
class Moved:
    """The balance after it, and the movement."""

    balance: CreditBalance
    entry: CreditEntry


async def consume_credits(app: App, actor: Actor, wish: CreditWish) -> Moved:
    """Raises UserProblem OUT_OF_CREDITS, DAILY_LIMIT_REACHED, INVALID_STATE without access, NOT_FOUND, INVALID,
    IDEMPOTENCY_CONFLICT."""
    return await _move(app, actor, wish, CreditKind.CONSUME)


async def grant_credits(app: App, actor: Actor, wish: CreditWish) -> Moved:
    """More than the plan grants, until the next refill; of a unit that no plan refills, for good.

    Raises UserProblem INVALID_STATE for a subscription that has ended, NOT_FOUND, INVALID, IDEMPOTENCY_CONFLICT.
    """
    return await _move(app, actor, wish, CreditKind.GRANT)


async def _move(app: App, actor: Actor, wish: CreditWish, kind: CreditKind) -> Moved:
    _check(wish)
    seen = await _subscription(app, wish)
    app = await in_time_of(app, seen.test_clock_id)
    why = Why("consumeCredits" if kind is CreditKind.CONSUME else "grantCredits", actor, app.now())
    if wish.occurred_at is not None and wish.occurred_at > why.now + AHEAD:
        raise UserProblem(ErrorCode.INVALID, "This has not occurred yet.", ["occurredAt"])
    async with app.database.write() as session:
        row, customer = await locked_subscription(session, seen, None)
        balance = await balance_of_unit(session, row.id, wish.unit)
        known = await entry_of_key(session, balance.id, wish.idempotency_key) if balance is not None else None
        if balance is not None and known is not None:
            return _repeated(balance, known, wish.digest(kind))
        if kind is CreditKind.GRANT:
            balance = await _granted(session, row, balance, wish, why)
        else:
            balance = _consumed(row, customer, balance, wish, why, grace=await grace_in_force(session, app))
        quantity = wish.quantity if kind is CreditKind.GRANT else -wish.quantity
        entry = enter(
            session,
            balance,
            kind,
            quantity,
            why,
            wish.reason,
            occurred_at=wish.occurred_at,
            key=wish.idempotency_key,
            input_hash=wish.digest(kind),
        )
        return Moved(balance, entry)


def _check(wish: CreditWish) -> None:
    if not 1 <= wish.quantity <= LARGEST:
        raise UserProblem(ErrorCode.INVALID, "quantity is 1 or more.", ["quantity"])
    if not 1 <= len(wish.idempotency_key) <= 255:
        raise UserProblem(ErrorCode.INVALID, "idempotencyKey has 1 to 255 characters.", ["idempotencyKey"])
    if not 1 <= len(wish.unit) <= 100:
        raise UserProblem(ErrorCode.INVALID, "unit has 1 to 100 characters.", ["unit"])
    if (wish.subscription_id is None) is (wish.customer_id is None):
        raise UserProblem(
            ErrorCode.REQUIRED, "Say whose credits: give either subscriptionId or customerId.", ["subscriptionId"]
        )


async def _subscription(app: App, wish: CreditWish) -> Subscription:
    """The one named, or the customer's only live one with credits of the unit; the only one at all if none has.

    What was moved under the key before is that one's, though another has taken its place since.
    """
    async with app.database.read() as session:
        if wish.subscription_id is not None:
            found = await session.get(Subscription, wish.subscription_id)
            if found is None:
                raise UserProblem(ErrorCode.NOT_FOUND, "There is no such subscription.", ["subscriptionId"])
            return found
        moved = await subscription_moved(session, wish.customer_id or "", wish.unit, wish.idempotency_key)
        if moved is not None:
            return moved
        live = await live_subscriptions_of(session, wish.customer_id or "")
        having = [row for row in live if await balance_of_unit(session, row.id, wish.unit) is not None]
    candidates = having or live
    if not candidates:
        raise UserProblem(ErrorCode.NOT_FOUND, "There is no such customer with a subscription.", ["customerId"])
    if len(candidates) > 1:
        raise UserProblem(
            ErrorCode.INVALID,
            "Several subscriptions of the customer could be meant: give subscriptionId.",
            ["customerId"],
        )
    return candidates[0]


def _repeated(balance: CreditBalance, known: CreditEntry, digest: str) -> Moved:
    if known.input_hash != digest:
        raise key_reused()
    return Moved(balance, known)


async def _granted(
    session: AsyncSession, row: Subscription, balance: CreditBalance | None, wish: CreditWish, why: Why
) -> CreditBalance:
    if row.status in SUBSCRIPTION.final:
        raise UserProblem(ErrorCode.INVALID_STATE, f"The subscription is {row.status}.", ["subscriptionId"])
    if balance is None:
        balance = CreditBalance(
            id=new_id("credit_balance"),
            subscription_id=row.id,
            customer_id=row.customer_id,
            unit=wish.unit,
            created_at=why.now,
            updated_at=why.now,
        )
        session.add(balance)
    if not balance.total_granted:  # Whatever granted it before, nothing does any more.
        of_plans = [credit for credit, _ in await credit_terms_of(session, row.id) if credit.unit == wish.unit]
        balance.is_fixed = row.origin is SubscriptionOrigin.MANUAL or all(credit.is_fixed for credit in of_plans)
    await session.flush()
    end_what_is_over(session, balance, why)
    if balance.total_granted + wish.quantity > LARGEST_GRANT:
        raise UserProblem(ErrorCode.INVALID, "At most 10^15 are granted in all.", ["quantity"])
    balance.total_granted += wish.quantity
    balance.remaining += wish.quantity
    balance.updated_at = why.now
    return balance


def _consumed(
    row: Subscription,
    customer: Customer,
    balance: CreditBalance | None,
    wish: CreditWish,
    why: Why,
    *,
    grace: timedelta,
) -> CreditBalance:
    if not has_access(row.status, past_due_since=row.past_due_since, grace=grace, now=why.now):
        raise UserProblem(
            ErrorCode.INVALID_STATE, f"The subscription is {row.status} and gives no access.", ["subscriptionId"]
        )
    if balance is None:
        raise UserProblem(ErrorCode.NOT_FOUND, "The subscription grants no such credits.", ["unit"])
    after = consume(holding_of(balance, why.now), wish.quantity, today_of(customer, why.now))
    balance.remaining, balance.used_today = after.remaining, after.used_today
    balance.used_on = after.used_on.isoformat() if after.used_on is not None else None
    balance.total_used += wish.quantity
    balance.updated_at = why.now
    return balance


def holding_of(balance: CreditBalance, now: datetime) -> Holding:
    """The balance as the engine sees it; past its end nothing of it is left."""
    is_over = balance.expires_at is not None and balance.expires_at <= now
    return Holding(
        remaining=0 if is_over else balance.remaining,
        daily=balance.daily,
        used_today=balance.used_today,
        used_on=date.fromisoformat(balance.used_on) if balance.used_on is not None else None,
    )


def today_of(customer: Customer, now: datetime) -> date:
    """The day by the customer's calendar."""
    return now.astimezone(ZoneInfo(customer.timezone)).date()
