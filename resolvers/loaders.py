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
from models.batches import (
    BILLING_EVENTS,
    CREDIT_ENTRIES,
    EVERYTHING,
    INVOICES,
    PAYMENT_METHODS,
    PAYMENTS,
    PLANS,
    SUBSCRIPTIONS,
    WEBHOOK_DELIVERIES,
    Span,
    Where,
)
from models.catalog import (
    AppRole,
    Feature,
    Plan,
    PlanCredit,
    PlanEntitlement,
    Price,
    Product,
    credits_of_plans,
    entitlements_of,
    prices_of,
)
from models.clocks import TestClock
from models.coupons import Applied, Coupon, PromotionCode, discounts_of, promotion_codes_of, uses_of
from models.credits import CreditBalance, CreditEntry, credit_balances_of
from models.customers import Customer, CustomerBalance, GatewayAccount, PaymentMethod, UsedTrial, trials_of
from models.endpoints import WebhookDelivery
from models.events import BillingEvent
from models.invoices import CreditNote, Invoice, InvoiceLine, credit_notes_of, lines_of
from models.lists import Page
from models.payments import ChargeAttempt, CollectionIntent, Payment, attempts_of, paid_for, payments_of_invoices
from models.returns import Dispute, Refund, disputes_of, refunds_of
from models.runs import totals_of_runs
from models.subscriptions import Change, ScheduledChange, Subscription, SubscriptionItem, changes_of, items_of
from models.usage import metered_of, used_in
from resolvers.batching import Batching

K = TypeVar("K", bound=Hashable)


class Loaders(Batching):
    """The loaders of one request. `fresh` forgets all that was read, after a mutation changed it."""

    def fresh(self) -> "Loaders":
        return Loaders(self.database)

    @cached_property
    def product(self) -> DataLoader[str, Product | None]:
        return self._one(Product)

    @cached_property
    def plan(self) -> DataLoader[str, Plan | None]:
        return self._one(Plan)

    @cached_property
    def price(self) -> DataLoader[str, Price | None]:
        return self._one(Price)

    @cached_property
    def app_role(self) -> DataLoader[int, AppRole | None]:
        return self._one(AppRole)

    @cached_property
    def feature(self) -> DataLoader[str, Feature | None]:
        return self._one(Feature)

    @cached_property
    def entitlements_of_plan(self) -> DataLoader[str, Sequence[PlanEntitlement]]:
        return self._many(entitlements_of, "plan_id")

    @cached_property
    def credits_of_plan(self) -> DataLoader[str, Sequence[PlanCredit]]:
        return self._many(credits_of_plans, "plan_id")

    @cached_property
    def customer(self) -> DataLoader[str, Customer | None]:
        return self._one(Customer)

    @cached_property
    def customer_of_user(self) -> DataLoader[str, Customer | None]:
        return self._one(Customer, key="user_id")

    @cached_property
    def coupon(self) -> DataLoader[str, Coupon | None]:
        return self._one(Coupon)

    @cached_property
    def promotion_code(self) -> DataLoader[str, PromotionCode | None]:
        return self._one(PromotionCode)

    @cached_property
    def codes_of_coupon(self) -> DataLoader[str, Sequence[PromotionCode]]:
        return self._many(promotion_codes_of, "coupon_id")

    @cached_property
    def discounts_of_subscription(self) -> DataLoader[str, Sequence[Applied]]:
        """Those that are on it, in the order of their application."""

        async def batch(wanted: list[str]) -> list[Sequence[Applied]]:
            async with self.database.read() as session:
                found = await discounts_of(session, wanted)
            return [[each for each in found if each.discount.subscription_id == id] for id in wanted]

        return DataLoader(batch)

    @cached_property
    def uses_of_discount(self) -> DataLoader[str, Sequence[int]]:
        """The numbers of the periods that it was used for."""

        async def batch(wanted: list[str]) -> list[Sequence[int]]:
            async with self.database.read() as session:
                found = await uses_of(session, wanted)
            return [found.get(id, ()) for id in wanted]

        return DataLoader(batch)

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
    def prices_of_plan(self) -> DataLoader[str, Sequence[Price]]:
        """The default price first."""
        return self._many(prices_of, "plan_id")

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
    def paid_for_subscription(self) -> DataLoader[str, list[int]]:
        """Minor units of its currency, the oldest payment first."""

        async def batch(wanted: list[str]) -> list[list[int]]:
            async with self.database.read() as session:
                paid = await paid_for(session, wanted)
            return [paid[each] for each in wanted]

        return DataLoader(batch)

    @cached_property
    def test_clock(self) -> DataLoader[str, TestClock | None]:
        return self._one(TestClock)

    @cached_property
    def totals_of_run(self) -> DataLoader[str, Sequence[Money]]:
        """What each run charged, or would, by currency."""

        async def batch(wanted: list[str]) -> list[Sequence[Money]]:
            async with self.database.read() as session:
                totals = await totals_of_runs(session, wanted)
            return [totals[each] for each in wanted]

        return DataLoader(batch)

    @cached_property
    def usage_of_subscription(self) -> DataLoader[tuple[str, datetime, datetime], dict[str, Decimal]]:
        """By subscription and span: feature → what was used of it."""

        async def batch(wanted: list[tuple[str, datetime, datetime]]) -> list[dict[str, Decimal]]:
            async with self.database.read() as session:
                used = await used_in(session, wanted)
            return [used[subscription_id] for subscription_id, _, _ in wanted]

        return DataLoader(batch)

    @cached_property
    def is_metered(self) -> DataLoader[str, bool]:
        """Whether a subscription has, or ever had, anything that is billed by use."""

        async def batch(wanted: list[str]) -> list[bool]:
            async with self.database.read() as session:
                found = await metered_of(session, wanted)
            return [each in found for each in wanted]

        return DataLoader(batch)

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

    async def credit_entries_of(self, balance_id: str, where: Where, span: Span) -> Page[CreditEntry]:
        return await self._page(CREDIT_ENTRIES, "balance_id", balance_id, where, span)

    async def plans_of_product(self, product_id: str, where: Where, span: Span) -> Page[Plan]:
        return await self._page(PLANS, "product_id", product_id, where, span)

    async def methods_of_customer(self, customer_id: str, where: Where, span: Span) -> Page[PaymentMethod]:
        return await self._page(PAYMENT_METHODS, "customer_id", customer_id, where, span)

    async def subscriptions_of_customer(self, customer_id: str, where: Where, span: Span) -> Page[Subscription]:
        return await self._page(SUBSCRIPTIONS, "customer_id", customer_id, where, span)

    async def events_of(self, subject_id: str, span: Span) -> Page[BillingEvent]:
        return await self._page(BILLING_EVENTS, "subject_id", subject_id, EVERYTHING, span)

    @cached_property
    def billing_event(self) -> DataLoader[str, BillingEvent | None]:
        return self._one(BillingEvent)

    async def deliveries_of(self, endpoint_id: str, span: Span) -> Page[WebhookDelivery]:
        return await self._page(WEBHOOK_DELIVERIES, "endpoint_id", endpoint_id, EVERYTHING, span)

    async def invoices_of(self, parent: str, parent_id: str, where: Where, span: Span) -> Page[Invoice]:
        """`parent` is customer_id or subscription_id."""
        return await self._page(INVOICES, parent, parent_id, where, span)

    async def payments_of(self, parent: str, parent_id: str, where: Where, span: Span) -> Page[Payment]:
        """`parent` is customer_id or subscription_id."""
        return await self._page(PAYMENTS, parent, parent_id, where, span)

    async def latest_payment(self, subscription_id: str) -> Payment | None:
        page = await self.payments_of("subscription_id", subscription_id, EVERYTHING, Span(limit=1))
        return page.rows[0] if page.rows else None
