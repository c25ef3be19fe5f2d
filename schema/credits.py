"""Credits: what is left of them, and every movement."""

from collections.abc import Sequence
from datetime import datetime

import strawberry

import schema.catalog_enums  # noqa: F401 (publishes them before any type names one)
from models.billing_lists import CREDIT_ENTRIES
from models.credits import CreditBalance as BalanceRow
from models.credits import CreditEntry as EntryRow
from models.credits import CreditKind
from schema.connections import After, Connection, First, below
from schema.fields import Info, described
from schema.interfaces import Node
from schema.scalars import BigInt
from services.usage.consuming import holding_of, today_of


@strawberry.type(description="One movement of credits. Never changes.")
class CreditEntry(Node):
    kind: CreditKind = described("What moved them.")
    quantity: BigInt = described("How many came, or went if negative.")
    balance_after: BigInt = described("How many were left then.")
    reason: str | None = described("Why, in words; null if nobody said.")
    occurred_at: datetime = described("When it happened.")
    created_at: datetime = described("When it was written down.")
    idempotency_key: str | None = described("The key that it was asked for under. For staff and the back end.")

    @classmethod
    def of(cls, row: EntryRow) -> "CreditEntry":
        return cls(
            id=strawberry.ID(row.id),
            kind=row.kind,
            quantity=BigInt(row.quantity),
            balance_after=BigInt(row.balance_after),
            reason=row.reason,
            occurred_at=row.occurred_at,
            created_at=row.created_at,
            idempotency_key=row.idempotency_key,
        )


@strawberry.type(description="What a subscription has left of one unit of credits.")
class CreditBalance:
    unit: str = described("What they are credits for.")
    daily_allowance: BigInt | None = described("How many a day may be consumed; null: as many as are left.")
    total_granted: BigInt = described("How many were granted since the last refill.")
    total_used: BigInt = described("How many of them were consumed.")
    remaining: BigInt = described("How many are left in all.")
    is_fixed: bool = described("Whether they are neither refilled nor taken away with a new period.")
    is_exhausted: bool = described("Whether none are left.")
    expires_at: datetime | None = described("When they end; null: with the next refill, or never if they are fixed.")
    row: strawberry.Private[BalanceRow]

    @classmethod
    def of(cls, row: BalanceRow, now: datetime) -> "CreditBalance":
        left = holding_of(row, now).remaining
        return cls(
            unit=row.unit,
            daily_allowance=BigInt(row.daily) if row.daily is not None else None,
            total_granted=BigInt(row.total_granted),
            total_used=BigInt(row.total_used),
            remaining=BigInt(left),
            is_fixed=row.is_fixed,
            is_exhausted=left == 0,
            expires_at=row.expires_at,
            row=row,
        )

    @strawberry.field(
        description="How many may still be consumed today, by the customer's calendar; null without a daily allowance."
    )
    async def remaining_today(self, info: Info) -> BigInt | None:
        if self.row.daily is None:
            return None
        customer = await info.context.loaders.customer.load(self.row.customer_id)
        assert customer is not None  # held by a foreign key
        now = await info.context.present_of(customer.test_clock_id)
        return BigInt(holding_of(self.row, now).left_on(today_of(customer, now)))

    @strawberry.field(description="Every movement, newest first.")
    async def entries(self, info: Info, first: First = None, after: After = None) -> Connection[CreditEntry]:
        return await below(info, CREDIT_ENTRIES, "balance_id", self.row.id, CreditEntry.of, first=first, after=after)


async def balances_of_subscription(info: Info, subscription_id: str) -> list[CreditBalance]:
    """By unit."""
    return await _shown(info, await info.context.loaders.credit_balances_of_subscription.load(subscription_id))


async def balances_of_customer(info: Info, customer_id: str) -> list[CreditBalance]:
    """Of all subscriptions, by unit."""
    return await _shown(info, await info.context.loaders.credit_balances_of_customer.load(customer_id))


async def _shown(info: Info, rows: Sequence[BalanceRow]) -> list[CreditBalance]:
    found: list[CreditBalance] = []
    for row in rows:
        customer = await info.context.loaders.customer.load(row.customer_id)
        now = await info.context.present_of(customer.test_clock_id if customer is not None else None)
        found.append(CreditBalance.of(row, now))
    return found


async def balance_shown(info: Info, row: BalanceRow) -> CreditBalance:
    """One balance, at its customer's present."""
    return (await _shown(info, [row]))[0]
