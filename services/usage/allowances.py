"""Credits that were agreed on by hand: granted with a manual subscription, and anew with each renewal of it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.calendar import Period
from billing.consuming import LARGEST_GRANT
from billing.errors import ErrorCode, UserProblem
from models.base import new_id
from models.credits import CreditBalance, CreditEntry, CreditKind, agreed_grant, balances_of_subscription
from models.subscriptions import Subscription
from services.changes import Why


@dataclass(frozen=True, slots=True)
class Allowance:
    """So many of a unit a day, and in all: daily × the period's days unless told."""

    unit: str
    daily: int | None = None
    total: int | None = None
    expires_at: datetime | None = None

    def total_for(self, period: Period, zone: ZoneInfo) -> int:
        """Raises REQUIRED when neither number tells it."""
        if self.total is not None:
            return self.total
        if self.daily is None:
            raise UserProblem(
                ErrorCode.REQUIRED, f"credits: say how many of {self.unit}, a day or in all.", ["credits"]
            )
        days = (period.end.astimezone(zone).date() - period.start.astimezone(zone).date()).days
        return min(self.daily * days, LARGEST_GRANT)


async def grant_allowances(
    session: AsyncSession,
    row: Subscription,
    allowances: Sequence[Allowance],
    period: Period,
    zone: ZoneInfo,
    why: Why,
    *,
    is_fixed: bool,
    is_used_up: bool = False,
) -> None:
    """Each unit's first grant. `is_fixed`: a renewal grants none anew. `is_used_up`: none of it is left.

    Raises INVALID for a unit that is named twice, REQUIRED for one without a number.
    """
    _refuse_twice(allowances)
    for allowance in allowances:
        total = allowance.total_for(period, zone)
        balance = CreditBalance(
            id=new_id("credit_balance"),
            subscription_id=row.id,
            customer_id=row.customer_id,
            unit=allowance.unit,
            daily=allowance.daily,
            is_fixed=is_fixed,
            expires_at=allowance.expires_at,
            created_at=why.now,
            updated_at=why.now,
        )
        session.add(balance)
        await session.flush()
        _grant(session, balance, total, why)
        if is_used_up:
            balance.total_used, balance.remaining = total, 0
            enter(session, balance, CreditKind.ADJUST, -total, why, "recorded as used up")


def _refuse_twice(allowances: Sequence[Allowance]) -> None:
    if len({each.unit for each in allowances}) < len(allowances):
        raise UserProblem(ErrorCode.INVALID, "credits: name each unit once.", ["credits"])


async def renew_allowances(
    session: AsyncSession,
    row: Subscription,
    allowances: Sequence[Allowance],
    period: Period,
    zone: ZoneInfo,
    why: Why,
    *,
    fixed: Collection[str] | None = None,
) -> None:
    """What is left unused expires and these are granted anew; what is not among them is granted no longer.

    Fixed ones stay: of one that is granted more, what is left is there on top. `fixed`: which of the units are so from
    now on, None: those that were. Raises INVALID, REQUIRED.
    """
    _refuse_twice(allowances)
    known = {balance.unit: balance for balance in await balances_of_subscription(session, row.id)}
    given = {allowance.unit: allowance for allowance in allowances}
    for unit, balance in known.items():
        allowance = given.get(unit)
        if allowance is None and balance.is_fixed:
            continue
        if not balance.is_fixed:
            _expire(session, balance, why, "renewed" if allowance is not None else "no longer granted")
        end_what_is_over(session, balance, why)
        balance.total_granted, balance.total_used = balance.remaining, 0
        balance.daily = balance.expires_at = None
        balance.updated_at = why.now
        if allowance is not None:
            balance.daily, balance.expires_at = allowance.daily, allowance.expires_at
            balance.is_fixed = balance.is_fixed if fixed is None else unit in fixed
            _grant(session, balance, allowance.total_for(period, zone), why)
    new = [allowance for unit, allowance in given.items() if unit not in known]
    for is_fixed in (False, True):
        begun = [each for each in new if (each.unit in (fixed or ())) is is_fixed]
        await grant_allowances(session, row, begun, period, zone, why, is_fixed=is_fixed)


async def allowances_of_before(session: AsyncSession, row: Subscription, start: datetime) -> Sequence[Allowance]:
    """What is granted anew from `start` on if nothing else is agreed: without fixed ones, and what was given beside.

    An end that comes no later than the start is none of what begins then.
    """
    found: list[Allowance] = []
    for balance in await balances_of_subscription(session, row.id):
        total = await agreed_grant(session, balance.id)
        if total is not None and balance.total_granted and not balance.is_fixed:
            ends = balance.expires_at if balance.expires_at is not None and balance.expires_at > start else None
            found.append(Allowance(balance.unit, balance.daily, total, ends))
    return found


def end_what_is_over(session: AsyncSession, balance: CreditBalance, why: Why) -> None:
    """What has ended does not come back with what is granted now."""
    if balance.expires_at is not None and balance.expires_at <= why.now:
        _expire(session, balance, why, "ended")
        balance.total_granted = balance.total_used = 0
        balance.expires_at = None


def _expire(session: AsyncSession, balance: CreditBalance, why: Why, reason: str) -> None:
    if balance.remaining:
        unused, balance.remaining = balance.remaining, 0
        enter(session, balance, CreditKind.EXPIRE, -unused, why, reason)


def _grant(session: AsyncSession, balance: CreditBalance, total: int, why: Why) -> None:
    total = min(total, LARGEST_GRANT - balance.total_granted)
    balance.total_granted += total
    balance.remaining += total
    enter(session, balance, CreditKind.GRANT, total, why, None)


def enter(
    session: AsyncSession,
    balance: CreditBalance,
    kind: CreditKind,
    quantity: int,
    why: Why,
    reason: str | None,
    *,
    occurred_at: datetime | None = None,
    key: str | None = None,
    input_hash: str | None = None,
) -> CreditEntry:
    """Note a movement that the balance has made. `key` and `input_hash`: of a request that may be repeated."""
    entry = CreditEntry(
        id=new_id("credit_entry"),
        balance_id=balance.id,
        kind=kind,
        quantity=quantity,
        balance_after=balance.remaining,
        reason=reason,
        idempotency_key=key,
        input_hash=input_hash,
        occurred_at=occurred_at or why.now,
        created_at=why.now,
    )
    session.add(entry)
    return entry
