"""Batching: everything that one level of a query asks of one edge becomes one statement.

Owns: the loaders of one request, each batch in a short read session of its own. Does not own: who may see a row.
"""

from collections.abc import Hashable, Sequence
from datetime import datetime
from decimal import Decimal
from functools import cached_property, partial
from typing import TypeVar

from aiodataloader import DataLoader
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.lifecycle import SUBSCRIPTION
from billing.money import Money
from models.batches import Span
from models.billing_lists import PAYMENTS, PaymentsWhere
from models.clocks import TestClock
from models.credits import CreditBalance, CreditEntry, credit_balances_of
from models.customers import Customer, CustomerBalance, GatewayAccount, PaymentMethod, UsedTrial, trials_of
from models.events import BillingEvent
from models.invoices import (
    CreditNote,
    Invoice,
    InvoiceLine,
    credit_notes_of,
    has_open_invoice,
    lines_of,
    overdue_since,
)
from models.payments import ChargeAttempt, CollectionIntent, Payment, attempts_of, paid_for, payments_of_invoices
from models.returns import Dispute, Refund, disputes_of, refunds_of
from models.runs import totals_of_runs
from models.subscriptions import (
    Change,
    CollectionMethod,
    ScheduledChange,
    Subscription,
    SubscriptionItem,
    changes_of,
    items_of,
)
from models.usage import metered_of, used_in
from resolvers.batching import Loader
from resolvers.catalog_loaders import CatalogLoaders

K = TypeVar("K", bound=Hashable)


class Loaders(CatalogLoaders):
    """The loaders of one request. `fresh` forgets all that was read, after a mutation changed it."""

    def fresh(self) -> "Loaders":
        return Loaders(self.database)

    @cached_property
    def customer(self) -> DataLoader[str, Customer | None]:
        return self._one(Customer)

    @cached_property
    def customer_of_user(self) -> DataLoader[str, Customer | None]:
        return self._one(Customer, key="user_id")

    @cached_property
    def payment_method(self) -> DataLoader[str, PaymentMethod | None]:
        return self._one(PaymentMethod)

    @cached_property
    def payment_method_of_ref(self) -> DataLoader[str, PaymentMethod | None]:
        """By the gateway's reference; null when the card was not kept."""
        return self._one(PaymentMethod, key="gateway_ref")

    @cached_property
    def subscription(self) -> DataLoader[str, Subscription | None]:
        return self._one(Subscription)

    @cached_property
    def subscription_of_external_id(self) -> DataLoader[str, Subscription | None]:
        return self._one(Subscription, key="external_id")

    @cached_property
    def subscription_item(self) -> DataLoader[str, SubscriptionItem | None]:
        return self._one(SubscriptionItem)

    @cached_property
    def scheduled_change(self) -> DataLoader[str, ScheduledChange | None]:
        """By the subscription that changes."""
        return self._one(ScheduledChange, key="subscription_id")

    @cached_property
    def payment_intent(self) -> DataLoader[str, CollectionIntent | None]:
        return self._one(CollectionIntent)

    @cached_property
    def charge_attempt(self) -> DataLoader[str, ChargeAttempt | None]:
        return self._one(ChargeAttempt)

    @cached_property
    def invoice(self) -> DataLoader[str, Invoice | None]:
        return self._one(Invoice)

    @cached_property
    def invoice_of_number(self) -> DataLoader[str, Invoice | None]:
        return self._one(Invoice, key="number")

    @cached_property
    def payment(self) -> DataLoader[str, Payment | None]:
        return self._one(Payment)

    @cached_property
    def payments_of_invoice(self) -> DataLoader[str, Sequence[Payment]]:
        """What a gateway collects of it, and what was recorded by hand."""
        return self._many(payments_of_invoices, "invoice_id")

    @cached_property
    def trials_of_customer(self) -> DataLoader[str, Sequence[UsedTrial]]:
        return self._many(trials_of, "customer_id")

    @cached_property
    def accounts_of_customer(self) -> DataLoader[str, Sequence[GatewayAccount]]:
        return self._many(self._by("customer_id", GatewayAccount), "customer_id")

    @cached_property
    def balances_of_customer(self) -> DataLoader[str, Sequence[CustomerBalance]]:
        return self._many(self._by("customer_id", CustomerBalance), "customer_id")

    @cached_property
    def overdue_since(self) -> DataLoader[str, datetime | None]:
        """By customer: when the first of its open invoices was refused or must be paid."""
        return self._each(overdue_since, missing=None)

    @cached_property
    def has_open_invoice(self) -> DataLoader[str, bool]:
        return self._each(has_open_invoice, missing=False)

    async def awaits_invoice(self, row: Subscription) -> bool:
        """Whether an invoice of it is open that no card pays."""
        is_sent = row.collection_method is CollectionMethod.SEND_INVOICE
        return is_sent and await self.has_open_invoice.load(row.id)

    @cached_property
    def items_of_subscription(self) -> DataLoader[str, Sequence[SubscriptionItem]]:
        return self._many(items_of, "subscription_id")

    @cached_property
    def changes_of_subscription(self) -> DataLoader[str, Sequence[Change]]:
        async def changes(session: AsyncSession, ids: Sequence[str]) -> Sequence[Change]:
            return await changes_of(session, SUBSCRIPTION.name, ids)

        return self._many(changes, "subject_id")

    @cached_property
    def lines_of_invoice(self) -> DataLoader[str, Sequence[InvoiceLine]]:
        return self._many(lines_of, "invoice_id")

    @cached_property
    def attempts_of_payment(self) -> DataLoader[str, Sequence[ChargeAttempt]]:
        return self._many(attempts_of, "payment_id")

    @cached_property
    def refund(self) -> DataLoader[str, Refund | None]:
        return self._one(Refund)

    @cached_property
    def dispute(self) -> DataLoader[str, Dispute | None]:
        return self._one(Dispute)

    @cached_property
    def refunds_of_payment(self) -> DataLoader[str, Sequence[Refund]]:
        return self._many(refunds_of, "payment_id")

    @cached_property
    def disputes_of_payment(self) -> DataLoader[str, Sequence[Dispute]]:
        return self._many(disputes_of, "payment_id")

    @cached_property
    def refunds_of_ending(self) -> DataLoader[str, Sequence[Refund]]:
        """By the subscription that ended with them."""
        return self._many(self._by("ends_subscription_id", Refund), "ends_subscription_id")

    @cached_property
    def credit_note(self) -> DataLoader[str, CreditNote | None]:
        return self._one(CreditNote)

    @cached_property
    def credit_notes_of_invoice(self) -> DataLoader[str, Sequence[CreditNote]]:
        return self._many(credit_notes_of, "invoice_id")

    @cached_property
    def intents_of_payment(self) -> DataLoader[str, Sequence[CollectionIntent]]:
        return self._many(self._by("payment_id", CollectionIntent), "payment_id")

    @cached_property
    def paid_for_subscription(self) -> DataLoader[str, Sequence[int]]:
        """Minor units of its currency, the oldest payment first."""
        return self._each(paid_for, missing=())

    @cached_property
    def test_clock(self) -> DataLoader[str, TestClock | None]:
        return self._one(TestClock)

    @cached_property
    def totals_of_run(self) -> DataLoader[str, Sequence[Money]]:
        """What each run charged, or would, by currency."""
        return self._each(totals_of_runs, missing=())

    @cached_property
    def usage_of_subscription(self) -> DataLoader[tuple[str, datetime, datetime], dict[str, Decimal]]:
        """By subscription and span: feature → what was used of it."""

        async def batch(wanted: list[tuple[str, datetime, datetime]]) -> list[dict[str, Decimal]]:
            async with self.database.read() as session:
                used = await used_in(session, wanted)
            return [used[subscription_id] for subscription_id, _, _ in wanted]

        return Loader(batch)

    @cached_property
    def is_metered(self) -> DataLoader[str, bool]:
        """Whether a subscription has, or ever had, anything that is billed by use."""

        async def batch(wanted: list[str]) -> list[bool]:
            async with self.database.read() as session:
                found = await metered_of(session, wanted)
            return [each in found for each in wanted]

        return Loader(batch)

    async def newest_intent(self, payment_id: str) -> CollectionIntent | None:
        """The payment's intent with the highest number."""
        return max(await self.intents_of_payment.load(payment_id), key=lambda intent: intent.n, default=None)

    @cached_property
    def credit_entry(self) -> DataLoader[str, CreditEntry | None]:
        return self._one(CreditEntry)

    @cached_property
    def credit_balance(self) -> DataLoader[str, CreditBalance | None]:
        return self._one(CreditBalance)

    @cached_property
    def credit_balances_of_subscription(self) -> DataLoader[str, Sequence[CreditBalance]]:
        return self._many(partial(credit_balances_of, parent="subscription_id"), "subscription_id")

    @cached_property
    def credit_balances_of_customer(self) -> DataLoader[str, Sequence[CreditBalance]]:
        return self._many(partial(credit_balances_of, parent="customer_id"), "customer_id")

    @cached_property
    def billing_event(self) -> DataLoader[str, BillingEvent | None]:
        return self._one(BillingEvent)

    async def latest_payment(self, subscription_id: str) -> Payment | None:
        page = await self.listed(PAYMENTS, "subscription_id", subscription_id, PaymentsWhere(), Span(limit=1))
        return page.rows[0] if page.rows else None
