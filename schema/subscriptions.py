"""Standing orders. The type is PlanSubscription: clients take one named Subscription for the root of live updates."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated
from zoneinfo import ZoneInfo

import strawberry
from strawberry.scalars import JSON

from billing.access import has_access
from billing.calendar import Interval
from billing.confirming import PaymentConfirmation
from billing.lifecycle import SUBSCRIPTION, SubscriptionStatus
from billing.money import Money as Amount
from models.billing_lists import INVOICES, PAYMENTS, PaymentsWhere
from models.payments import Payment as PaymentRow
from models.subscriptions import CollectionMethod, SubscriptionOrigin
from models.subscriptions import Subscription as SubscriptionRow
from models.subscriptions import SubscriptionItem as ItemRow
from resolvers.identity import Role
from resolvers.standing import (
    action_of_subscription,
    confirmation,
    ends_at,
    will_renew,
)
from schema import cards, credits, customers, entitlements, invoices, payments, previews, usage
from schema.actions import NextAction
from schema.catalog import Plan, PlanPrice, Product
from schema.connections import After, Connection, First, below
from schema.coupons import Discount, discounts_of
from schema.enums import CancellationReason
from schema.fields import (
    CreditBalanceRef,
    CustomerRef,
    EntitlementRef,
    Info,
    InvoiceRef,
    MeterUsageRef,
    PaymentMethodRef,
    PaymentRef,
    PlanPriceRef,
    PlanRef,
    ProductRef,
    UpcomingInvoiceRef,
    argument,
    described,
)
from schema.gateway_extras import extras_of
from schema.interfaces import Node, Record, record_fields
from schema.money import Money
from schema.periods import Period, PeriodInput
from schema.returns import Refund
from schema.scalars import CurrencyCode
from schema.scheduled import ScheduledChange
from schema.timeline import StatusChange, TimelineEntry, timeline_of
from schema.trials import Trial


@strawberry.type(description="Why and by whom a subscription was canceled.")
class Cancellation:
    reason: CancellationReason | None = described("Why; null if nobody said.")
    comment: str | None = described("Why, in the customer's own words.")
    requested_by: Role | None = described("Who asked for it; null if it came of itself.")
    subscription_id: strawberry.Private[str]

    @strawberry.field(description="What went back to a card with it, the largest part if there are several.")
    async def refund(self, info: Info) -> Refund | None:
        rows = await info.context.loaders.refunds_of_ending.load(self.subscription_id)
        most = max(rows, key=lambda row: row.amount_minor, default=None)
        return Refund.of(most) if most is not None else None


@strawberry.type(description="One thing subscribed to.")
class SubscriptionItem(Node):
    quantity: int = described("How many.")
    metadata: JSON = described("The merchant's own notes.")
    created_at: datetime = described("Since when.")
    plan_id: strawberry.Private[str]
    price_id: strawberry.Private[str]
    unit_amount_minor: strawberry.Private[int | None]

    @classmethod
    def of(cls, row: ItemRow) -> "SubscriptionItem":
        return cls(
            id=strawberry.ID(row.id),
            quantity=row.quantity,
            metadata=JSON(row.meta),
            created_at=row.created_at,
            plan_id=row.plan_id,
            price_id=row.price_id,
            unit_amount_minor=row.unit_amount_minor,
        )

    @strawberry.field(description="The plan.")
    async def plan(self, info: Info) -> PlanRef:
        return await _plan_of(info, self.plan_id)

    @strawberry.field(description="The price it was subscribed to at; later prices do not change it.")
    async def price(self, info: Info) -> PlanPriceRef:
        row = await info.context.loaders.price.load(self.price_id)
        assert row is not None  # held by a foreign key
        return PlanPrice.of(row)

    @strawberry.field(description="The price of one that was given instead of the plan's; null if none was.")
    async def unit_amount_override(self, info: Info) -> Money | None:
        if self.unit_amount_minor is None:
            return None
        row = await info.context.loaders.price.load(self.price_id)
        assert row is not None  # held by a foreign key
        return Money.of(Amount(self.unit_amount_minor, row.currency))

    @strawberry.field(description="The product.")
    async def product(self, info: Info) -> ProductRef:
        plan = await _plan_of(info, self.plan_id)
        row = await info.context.loaders.product.load(plan.product_id)
        assert row is not None  # held by a foreign key
        return Product.of(row)


@strawberry.type(description="A customer's standing order: what is billed each period, and whether it gives access.")
class PlanSubscription(Node, Record):
    external_id: str | None = described("The merchant's own id for it, if it has one.")
    name: str | None = described("Its name, if it was given one.")
    origin: SubscriptionOrigin = described("How it came to be.")
    status: SubscriptionStatus = described("Where it stands. Ask `isActive` for access.")
    status_updated_at: datetime = described("Since when it stands there.")
    interval: Interval = described("The unit of its period.")
    interval_count: int = described("How many units make a period.")
    currency_code: CurrencyCode = described("What it is paid in.")
    amount: Money = described("What a period costs: originalAmount − discountAmount.")
    original_amount: Money = described("What a period costs before discounts.")
    discount_amount: Money = described("What discounts take off.")
    tax_percent: Decimal | None = described("The tax on top of its prices; null where the plans' own holds.")
    collection_method: CollectionMethod = described("How its invoices are paid.")
    days_until_due: int | None = described("After how many days a sent invoice must be paid; null if it is charged.")
    trial: Trial | None = described("Its trial, also when that is over; null if it has none.")
    current_period: Period = described("The period under way, or the last one.")
    billing_day: int = described("The day of the month on which its periods begin, in its own zone; else the last.")
    billing_cycle_anchor: datetime = described("The instant from which periods are counted.")
    next_billing_at: datetime | None = described("When it renews; null if it will not.")
    started_at: datetime = described("When its first period starts or started.")
    activated_at: datetime | None = described("When it was first paid; null if it never was.")
    cancel_at_period_end: bool = described("Whether it ends with its period instead of renewing.")
    cancel_at: datetime | None = described("The date at which it ends, if one was set.")
    paused_at: datetime | None = described("Since when it is paused, or when it will be; null if neither.")
    paused_until: datetime | None = described("When it goes on by itself; null if it is not paused, or waits.")
    canceled_at: datetime | None = described("When its cancellation was asked for.")
    ends_at: datetime | None = described("When it ends or ended; null while it goes on.")
    ended_at: datetime | None = described("When it ended; null before.")
    cancellation: Cancellation | None = described("Why and by whom it was canceled; null if it was not.")
    timezone: str = described("The IANA zone by which its periods are counted. Never changes.")
    metadata: JSON = described("The merchant's own notes.")
    row: strawberry.Private[SubscriptionRow]

    @classmethod
    def of(cls, row: SubscriptionRow) -> "PlanSubscription":
        original = Amount(row.original_amount_minor, row.currency)
        discount = Amount(row.discount_amount_minor, row.currency)
        return cls(
            **record_fields(row),
            external_id=row.external_id,
            name=row.name,
            origin=SubscriptionOrigin(row.origin),
            status=row.status,
            status_updated_at=row.status_updated_at,
            interval=row.interval,
            interval_count=row.interval_count,
            currency_code=CurrencyCode(row.currency),
            amount=Money.of(original - discount),
            original_amount=Money.of(original),
            discount_amount=Money.of(discount),
            tax_percent=row.tax_percent,
            collection_method=row.collection_method,
            days_until_due=row.days_until_due,
            trial=Trial.of(row),
            current_period=Period(start=row.period_start, end=row.period_end),
            billing_day=row.billing_day or row.anchor.astimezone(ZoneInfo(row.timezone)).day,
            billing_cycle_anchor=row.anchor,
            next_billing_at=row.period_end if will_renew(row) else None,
            started_at=row.started_at,
            activated_at=row.activated_at,
            cancel_at_period_end=row.cancel_at_period_end,
            cancel_at=row.cancel_at,
            paused_at=row.paused_at or row.pause_at,
            paused_until=row.resume_at,
            canceled_at=row.canceled_at,
            ends_at=ends_at(row),
            ended_at=row.ended_at,
            cancellation=_cancellation(row),
            timezone=row.timezone,
            metadata=JSON(row.meta),
            row=row,
        )

    @strawberry.field(description="Whether it gives access now. This is the field to open or close a door by.")
    async def is_active(self, info: Info) -> bool:
        return await self.gives_access(info)

    async def gives_access(self, info: Info) -> bool:
        """By the present of its customer."""
        is_overdue = self.row.status is SubscriptionStatus.PAST_DUE
        return has_access(
            self.row.status,
            past_due_since=self.row.past_due_since,
            # Read for those alone whom it concerns.
            grace=await info.context.grace() if is_overdue else info.context.app.grace,
            now=await info.context.present_of(self.row.test_clock_id),
        )

    @strawberry.field(description="Every status that it has had, the first one first.")
    async def status_history(self, info: Info) -> list[StatusChange]:
        return [StatusChange.of(row) for row in await info.context.loaders.changes_of_subscription.load(self.id)]

    @strawberry.field(description="All that ever happened to it, the first thing first.")
    async def timeline(self, info: Info, first: First = None, after: After = None) -> Connection[TimelineEntry]:
        return await timeline_of(info, self.id, first, after)

    @strawberry.field(description="Whose it is.")
    async def customer(self, info: Info) -> CustomerRef:
        return await customers.customer_of(info, self.row.customer_id)

    @strawberry.field(description="The plan subscribed to.")
    async def plan(self, info: Info) -> PlanRef:
        return await _plan_of(info, self.row.plan_id)

    @strawberry.field(description="All that is subscribed to.")
    async def items(self, info: Info) -> list[SubscriptionItem]:
        return [SubscriptionItem.of(row) for row in await info.context.loaders.items_of_subscription.load(self.id)]

    @strawberry.field(description="What it will change to, and when; null if nothing is planned.")
    async def scheduled_change(self, info: Info) -> ScheduledChange | None:
        at = self.row.change_at
        planned = await info.context.loaders.scheduled_change.load(self.id) if at is not None else None
        if at is None or planned is None or self.row.status in SUBSCRIPTION.final:
            return None
        return ScheduledChange.of(planned, at, self.row.currency)

    @strawberry.field(description="The coupons on it, in the order of their application.")
    async def discounts(self, info: Info) -> list[Discount]:
        return await discounts_of(info, [self.row])

    @strawberry.field(description="What it alone allows now; nothing unless it gives access.")
    async def entitlements(self, info: Info) -> list[EntitlementRef]:
        return await entitlements.entitlements_by(info, self.row)

    @strawberry.field(description="A card of its own; null if the customer's default one pays.")
    async def payment_method(self, info: Info) -> PaymentMethodRef | None:
        return await cards.payment_method_of(info, self.row.payment_method_id)

    @strawberry.field(
        description="The card that the next renewal is paid with: its own, else the default one; null where invoices "
        "are sent."
    )
    async def effective_payment_method(self, info: Info) -> PaymentMethodRef | None:
        return await cards.payment_method_of(info, await self._card_id(info))

    @strawberry.field(
        description="Whether the latest payment has come; of what no card pays, whether nothing is left to pay."
    )
    async def payment_confirmation(self, info: Info) -> PaymentConfirmation:
        awaits_invoice = await info.context.loaders.awaits_invoice(self.row)
        return confirmation(self.row, await self._latest(info), awaits_invoice=awaits_invoice)

    @strawberry.field(description="What the customer must do next; its `type` is NONE when nothing.")
    async def next_action(self, info: Info) -> NextAction:
        loaders, latest = info.context.loaders, await self._latest(info)
        intent = await loaders.newest_intent(latest.id) if latest is not None else None
        awaits_invoice, has_card = await loaders.awaits_invoice(self.row), await self._card_id(info) is not None
        return NextAction.of(
            action_of_subscription(self.row, latest, intent, awaits_invoice=awaits_invoice, has_card=has_card)
        )

    @strawberry.field(description="What was paid last, whatever went back since; null if nothing ever was.")
    async def price_paid(self, info: Info) -> Money | None:
        paid = await info.context.loaders.paid_for_subscription.load(self.id)
        return Money.of(Amount(paid[-1], self.row.currency)) if paid else None

    @strawberry.field(description="What was paid for it in all, whatever went back since.")
    async def total_paid(self, info: Info) -> Money:
        paid = await info.context.loaders.paid_for_subscription.load(self.id)
        return Money.of(Amount(sum(paid), self.row.currency))

    @strawberry.field(description="The newest payment; null if nothing ever had to be paid.")
    async def latest_payment(self, info: Info) -> PaymentRef | None:
        latest = await self._latest(info)
        return payments.Payment.of(latest) if latest is not None else None

    @strawberry.field(description="Its payments, newest first.")
    async def payments(self, info: Info, first: First = None, after: After = None) -> Connection[PaymentRef]:
        of, where = payments.Payment.of, PaymentsWhere()
        return await below(info, PAYMENTS, "subscription_id", self.id, of, where=where, first=first, after=after)

    @strawberry.field(description="Its invoices, newest first.")
    async def invoices(self, info: Info, first: First = None, after: After = None) -> Connection[InvoiceRef]:
        return await below(info, INVOICES, "subscription_id", self.id, invoices.Invoice.of, first=first, after=after)

    @strawberry.field(
        description="Its next invoices as they will be issued if nothing is changed before, the soonest first; fewer "
        "when it ends, or where what comes of it cannot be told yet."
    )
    async def upcoming_invoices(
        self, info: Info, first: Annotated[int, argument("How many: 1 to 36.")] = 1
    ) -> list[UpcomingInvoiceRef]:
        return await previews.upcoming_of(info, self.id, first)

    @strawberry.field(description="What is left of its credits, by unit.")
    async def credit_balances(self, info: Info) -> list[CreditBalanceRef]:
        return await credits.balances_of_subscription(info, self.id)

    @strawberry.field(description="What was used of each metered item, billed or not.")
    async def usage(
        self,
        info: Info,
        period: Annotated[
            PeriodInput | None, argument("In this span of time; in the current period unless given.")
        ] = None,
    ) -> list[MeterUsageRef]:
        return await usage.usage_of(info, self.row, period)

    @strawberry.field(
        description="What the gateway calls all this: the customer, the card, the last payment's intent and its "
        "refunds. Null for a manual subscription, which no gateway knows of. For administrators and API keys."
    )
    async def raw(self, info: Info) -> JSON | None:
        if self.row.origin is SubscriptionOrigin.MANUAL:
            return None
        return JSON(await extras_of(info, self.row, await self._card_id(info), await self._latest(info)))

    async def _latest(self, info: Info) -> PaymentRow | None:
        return await info.context.loaders.latest_payment(self.id)

    async def _card_id(self, info: Info) -> str | None:
        if self.row.payment_method_id is not None:
            return self.row.paying_card(None)
        customer = await info.context.loaders.customer.load(self.row.customer_id)
        return self.row.paying_card(customer.default_payment_method_id if customer is not None else None)


async def subscription_of(info: Info, subscription_id: str) -> PlanSubscription | None:
    row = await info.context.loaders.subscription.load(subscription_id)
    return PlanSubscription.of(row) if row is not None else None


async def _plan_of(info: Info, plan_id: str) -> Plan:
    row = await info.context.loaders.plan.load(plan_id)
    assert row is not None  # held by a foreign key
    return Plan.of(row)


_REQUESTERS = {role.value: role for role in (Role.CUSTOMER, Role.SUPPORT, Role.ADMIN, Role.SERVICE)}


def _cancellation(row: SubscriptionRow) -> Cancellation | None:
    if row.canceled_at is None and row.cancellation_reason is None:
        return None
    return Cancellation(
        reason=CancellationReason(row.cancellation_reason) if row.cancellation_reason is not None else None,
        comment=row.cancellation_comment,
        requested_by=_REQUESTERS.get(row.cancellation_requested_by or ""),
        subscription_id=row.id,
    )
