"""The merchant's side of a story: what administrators and back ends ask of the API, in one line each."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlmodel import col, select

from billing.lifecycle import SUBSCRIPTION, InvoiceStatus
from models.invoices import Invoice, PendingLine
from models.subscriptions import Subscription
from models.usage import UsageRecord
from tests.support.house import House

ADMIN = "demo-admin"


async def do(
    house: House, mutation: str, input_type: str, given: Mapping[str, Any], asked: str, *, user: str | None = ADMIN
) -> dict[str, Any]:
    """The payload of a mutation with one `input`; `asked` is its selection, userErrors aside."""
    query = (
        f"mutation ($input: {input_type}!) {{ {mutation}(input: $input) {{ {asked} "
        "userErrors { code message field } } }"
    )
    return (await house.ask(query, {"input": dict(given)}, user))[mutation]


async def done(
    house: House, mutation: str, input_type: str, given: Mapping[str, Any], asked: str, *, user: str | None = ADMIN
) -> dict[str, Any]:
    """The same, of a mutation that must succeed."""
    told = await do(house, mutation, input_type, given, asked, user=user)
    assert told["userErrors"] == [], told["userErrors"]
    return told


@dataclass
class Merchant:
    """Sells on `house`."""

    house: House

    async def product(self, code: str, **more: Any) -> str:
        told = await done(
            self.house, "createProduct", "ProductInput", {"code": code, "name": code, **more}, "product { id }"
        )
        return told["product"]["id"]

    async def plan(
        self, code: str, amount: str, currency: str = "USD", *, product: str | None = None, **more: Any
    ) -> str:
        """A plan on sale, by the month unless said; its product is made unless it is named. Its id."""
        if product is None:
            await self.product(f"{code}-product")
        given = {
            "code": code,
            "name": code,
            "productCode": product or f"{code}-product",
            "interval": "MONTH",
            "prices": [{"currencyCode": currency, "amount": amount}],
            **more,
        }
        told = await done(self.house, "createPlan", "PlanInput", given, "plan { id }")
        return told["plan"]["id"]

    async def customer(self, user: str, **more: Any) -> str:
        told = await done(self.house, "createCustomer", "CustomerInput", {"userId": user, **more}, "customer { id }")
        return told["customer"]["id"]

    async def live(self, days: float, *, step: timedelta = timedelta(days=1)) -> None:
        """Time passes, the worker looking in once a step."""
        end = self.house.clock.now() + timedelta(days=days)
        while self.house.clock.now() < end:
            self.house.pass_time(min(step, end - self.house.clock.now()))
            await self.house.work()

    async def live_until(self, day: str, *, step: timedelta = timedelta(days=1)) -> None:
        """Until that day (ISO, UTC), at the time of day that it is now."""
        now = self.house.clock.now()
        end = datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(hours=now.hour, minutes=now.minute)
        await self.live((end - now) / timedelta(days=1), step=step)


async def nothing_left_to_bill(house: House) -> None:
    """Every subscription has ended, nothing is open, waits or is due any more, and the books agree."""
    assert await house.audit() == []
    async with house.app.database.read() as session:
        live = (
            await session.exec(select(Subscription).where(col(Subscription.status).not_in(SUBSCRIPTION.final)))
        ).all()
        unpaid = (await session.exec(select(Invoice.number).where(Invoice.status == InvoiceStatus.OPEN))).all()
        waiting = (await session.exec(select(PendingLine.id).where(col(PendingLine.invoice_id).is_(None)))).all()
        unbilled = (await session.exec(select(UsageRecord.id).where(col(UsageRecord.invoice_id).is_(None)))).all()
    assert (list(live), list(unpaid), list(waiting), list(unbilled)) == ([], [], [], [])
    house.pass_time(timedelta(days=400))
    assert await house.due() == {}
