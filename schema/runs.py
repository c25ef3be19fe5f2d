"""Runs of the billing, for the real clock and for test clocks, and the test clocks themselves."""

from datetime import datetime
from typing import Annotated

import strawberry

import schema.run_enums  # noqa: F401 (publishes the enums before a type names them)
from billing.money import Money as Amount
from billing.running import RunOutcome
from models.clocks import TestClock as ClockRow
from models.clocks import TestClockStatus
from models.customer_lists import CUSTOMERS
from models.operation_lists import RUN_ITEMS, RUNS
from models.runs import BillingRun as RunRow
from models.runs import BillingRunItem as ItemRow
from schema import customers, invoices, payments, subscriptions
from schema.connections import After, Connection, First, below
from schema.fields import CustomerRef, Info, InvoiceRef, PaymentRef, PlanSubscriptionRef, described
from schema.interfaces import Node
from schema.money import Money

BillingRunRef = Annotated["BillingRun", strawberry.lazy("schema.runs")]


@strawberry.type(description="One thing that a run of the billing did, or would do.")
class BillingRunItem(Node):
    outcome: RunOutcome = described("What happened, or would.")
    amount: Money | None = described("The money that it is about: the invoice's amount, or the payment's.")
    at: datetime = described("When, by the billing clock or the test clock.")
    row: strawberry.Private[ItemRow]

    @classmethod
    def of(cls, row: ItemRow) -> "BillingRunItem":
        has_amount = row.amount_minor is not None and row.currency is not None
        return cls(
            id=strawberry.ID(row.id),
            outcome=RunOutcome(row.outcome),
            amount=Money.of(Amount(row.amount_minor or 0, row.currency or "")) if has_amount else None,
            at=row.at,
            row=row,
        )

    @strawberry.field(description="To which subscription.")
    async def subscription(self, info: Info) -> PlanSubscriptionRef | None:
        return await subscriptions.subscription_of(info, self.row.subscription_id)

    @strawberry.field(description="The invoice that was written or collected; null where there is none, or not yet.")
    async def invoice(self, info: Info) -> InvoiceRef | None:
        row = await info.context.loaders.invoice.load(self.row.invoice_id) if self.row.invoice_id else None
        return invoices.Invoice.of(row) if row is not None else None

    @strawberry.field(description="The payment that was tried; null where nothing was to be collected.")
    async def payment(self, info: Info) -> PaymentRef | None:
        row = await info.context.loaders.payment.load(self.row.payment_id) if self.row.payment_id else None
        return payments.Payment.of(row) if row is not None else None


@strawberry.type(description="What one run of the billing did, or would do.")
class BillingRun(Node):
    as_of: datetime = described("The instant up to which it worked, by the billing clock or the test clock.")
    is_dry_run: bool = described("Whether it only tells what would happen.")
    started_at: datetime = described("When it began, by the machine's clock.")
    finished_at: datetime | None = described("When it ended; null while it goes on, and when it broke off.")
    renewed: int = described("How many periods were billed.")
    charged: int = described("How many payments came.")
    failed: int = described("How many tries brought no money.")
    skipped: int = described("How many payments were due, or invoiced, and not tried.")

    @classmethod
    def of(cls, row: RunRow) -> "BillingRun":
        return cls(
            id=strawberry.ID(row.id),
            as_of=row.as_of,
            is_dry_run=row.is_dry_run,
            started_at=row.started_at,
            finished_at=row.finished_at,
            renewed=row.renewed,
            charged=row.charged,
            failed=row.failed,
            skipped=row.skipped,
        )

    @strawberry.field(description="What was charged, or would be, in each currency.")
    async def totals(self, info: Info) -> list[Money]:
        return [Money.of(amount) for amount in await info.context.loaders.totals_of_run.load(self.id)]

    @strawberry.field(description="What happened, one thing after another.")
    async def items(self, info: Info, first: First = None, after: After = None) -> Connection[BillingRunItem]:
        return await below(info, RUN_ITEMS, "run_id", self.id, BillingRunItem.of, first=first, after=after)


@strawberry.type(
    description="Sandbox only: a time of their own for the customers that are put on it. It stands still until "
    "`advanceTestClock` moves it."
)
class TestClock(Node):
    __test__: strawberry.Private[bool] = False  # pytest takes classes of this name for tests

    name: str | None = described("Its name, if it was given one.")
    now: datetime = described("The present of its customers.")
    target: datetime = described("Where it is going; its `now` once it has arrived.")
    status: TestClockStatus = described("What it is about.")

    @classmethod
    def of(cls, row: ClockRow) -> "TestClock":
        return cls(id=strawberry.ID(row.id), name=row.name, now=row.now, target=row.target, status=row.status)

    @strawberry.field(description="The customers who live by it, by their ids.")
    async def customers(self, info: Info, first: First = None, after: After = None) -> Connection[CustomerRef] | None:
        return await below(info, CUSTOMERS, "test_clock_id", self.id, customers.Customer.of, first=first, after=after)

    @strawberry.field(description="What happened on its way, one run for each instant, the newest first.")
    async def runs(self, info: Info, first: First = None, after: After = None) -> Connection[BillingRunRef]:
        return await below(info, RUNS, "test_clock_id", self.id, BillingRun.of, first=first, after=after)
