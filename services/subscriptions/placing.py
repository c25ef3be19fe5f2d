"""Writing a new subscription with its first invoice and payment, in the caller's transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.agreement import Agreement
from billing.calendar import Grid, Period, Span, grid_on_day
from billing.charging import SetupFutureUsage
from billing.errors import ErrorCode, UserProblem
from billing.invoicing import InvoiceDraft, InvoiceReason
from billing.lifecycle import SUBSCRIPTION, SubscriptionStatus
from billing.money import minimum_charge
from models.base import Notes, new_id
from models.catalog import Plan, Price
from models.coupons import Applied
from models.customers import Customer
from models.subscriptions import CollectionMethod, LivePlace, Subscription, SubscriptionItem, SubscriptionOrigin
from services.app import App
from services.changes import Why, remember
from services.invoices.discounting import as_value
from services.invoices.drafting import agreement_with
from services.invoices.issuing import issue
from services.invoices.redeeming import CouponWish, applied_to, redeem
from services.payments.settling import activate
from services.subscriptions.trials import begin_trial, tell_of_trial


@dataclass(frozen=True, slots=True)
class PlacedItem:
    """One plan at one price. `unit_amount_minor`: a price that the merchant's own back end gives instead."""

    plan: Plan
    price: Price
    quantity: int = 1
    unit_amount_minor: int | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def as_item(self, row: Subscription, at: datetime) -> SubscriptionItem:
        """Its row, for the subscription to consist of from that instant on."""
        return SubscriptionItem(
            id=new_id("subscription_item"),
            subscription_id=row.id,
            plan_id=self.plan.id,
            price_id=self.price.id,
            product_id=self.plan.product_id,
            quantity=self.quantity,
            unit_amount_minor=self.unit_amount_minor,
            meta=dict(self.metadata),
            created_at=at,
        )


@dataclass(frozen=True, slots=True)
class Order:
    """What is subscribed to and on which terms; the first item's plan names interval and product.

    `start`: the first period's, which may lie in the past or to come. `trial`: how long nothing is charged. It ends at
    `ends_at`, or after `period_count` full periods.
    """

    items: Sequence[PlacedItem]
    start: datetime
    name: str | None = None
    auto_renew: bool | None = None
    metadata: Notes = field(default_factory=dict)
    origin: SubscriptionOrigin = SubscriptionOrigin.CHECKOUT
    billing_day: int | None = None
    trial: timedelta = timedelta(0)
    ends_at: datetime | None = None
    period_count: int | None = None
    collection_method: CollectionMethod = CollectionMethod.CHARGE_AUTOMATICALLY
    days_until_due: int | None = None
    tax_percent: Decimal | None = None
    setup_future_usage: SetupFutureUsage | None = None
    return_url: str | None = None
    error_url: str | None = None
    coupon: CouponWish | None = None

    @property
    def plan(self) -> Plan:
        return self.items[0].plan

    @property
    def currency(self) -> str:
        return self.items[0].price.currency

    @property
    def billed_from(self) -> datetime:
        """Where the first period that costs something begins."""
        return self.start + self.trial

    def grid(self, zone: ZoneInfo) -> Grid:
        """Where the periods begin: at the first one's start, or on the billing day after it."""
        plan, day = self.plan, self.billing_day
        if day is None:
            return Grid(self.billed_from, plan.interval, plan.interval_count, zone)
        return grid_on_day(self.billed_from, plan.interval, plan.interval_count, zone, day)

    def end(self, zone: ZoneInfo) -> datetime | None:
        """When its term is over; None when it has none."""
        if self.period_count is None:
            return self.ends_at
        return self.grid(zone).end_after(self.billed_from, self.period_count)


@dataclass(frozen=True, slots=True)
class Placed:
    """Ids of what was written. What costs nothing now is active at once and has no payment,
    neither has what waits for its start.

    `fence`: the new payment's lease is held by the caller.
    """

    subscription_id: str
    payment_id: str | None
    fence: int | None


@dataclass(frozen=True, slots=True)
class Proposal:
    """A new subscription as it would be written: the row, its items, its first period and that one's invoice."""

    subscription: Subscription
    items: Sequence[SubscriptionItem]
    agreement: Agreement
    span: Span
    draft: InvoiceDraft
    discount: Applied | None = None


async def propose(app: App, session: AsyncSession, customer: Customer, order: Order, why: Why) -> Proposal:
    """What `place` writes; nothing is written here, so that a preview is the act itself. Raises AMOUNT_TOO_SMALL."""
    row, span = new_subscription(app, customer, order, why)  # the span of the first period that costs something
    items = [each.as_item(row, why.now) for each in order.items]
    discount = applied_to(row, order.coupon, why) if order.coupon is not None else None
    agreement = await agreement_with(
        session,
        customer,
        row,
        [(item, each.plan, each.price) for item, each in zip(items, order.items, strict=True)],
        discounts=[as_value(discount, row)] if discount is not None else (),
    )
    draft = agreement.draft_period(span, reason=InvoiceReason.SUBSCRIPTION_CREATE, occasion="0")
    # What it costs is a full period's price, whatever part of one the first invoice is for.
    full = agreement.draft_period(Span(span.full, span.full), reason=InvoiceReason.SUBSCRIPTION_CREATE, occasion="0")
    if order.collection_method is CollectionMethod.CHARGE_AUTOMATICALLY:
        _refuse_too_small(full)
    row.original_amount_minor = full.subtotal.minor
    row.discount_amount_minor = full.discount_total.minor
    return Proposal(row, items, agreement, span, draft, discount)


async def place(app: App, session: AsyncSession, customer: Customer, order: Order, why: Why) -> Placed:
    """Everything that must exist before the gateway is called; the customer is locked by the caller."""
    proposal = await propose(app, session, customer, order, why)
    subscription = proposal.subscription
    session.add(subscription)
    await session.flush()
    remember(
        session,
        SUBSCRIPTION.name,
        subscription.id,
        None,
        subscription.status,
        why,
        customer_id=subscription.customer_id,
    )
    session.add_all(proposal.items)
    session.add_all(
        LivePlace(customer_id=subscription.customer_id, product_id=product_id, subscription_id=subscription.id)
        for product_id in dict.fromkeys(item.product_id for item in proposal.items)
    )
    await session.flush()
    if proposal.discount is not None and order.coupon is not None:
        await redeem(session, proposal.discount, order.coupon.given, why)
    if subscription.status is SubscriptionStatus.SCHEDULED:
        return Placed(subscription.id, None, None)  # Its first invoice is issued when it starts.
    if subscription.status is SubscriptionStatus.TRIALING:
        await begin_trial(session, subscription, why)
        tell_of_trial(session, subscription, why)
        return Placed(subscription.id, None, None)  # Its first invoice is issued when the trial ends.
    _, payment = await issue(
        app,
        session,
        customer,
        subscription,
        proposal.draft,
        why,
        setup_future_usage=order.setup_future_usage,
        return_url=order.return_url,
        error_url=order.error_url,
    )
    if payment is None:
        activate(session, subscription, why)
        return Placed(subscription.id, None, None)
    return Placed(subscription.id, payment.id, payment.fence)


def _refuse_too_small(draft: InvoiceDraft) -> None:
    """What no gateway would charge is no first purchase; later it is carried to the customer's balance."""
    asked = draft.subtotal
    if not asked.is_zero and asked.minor < minimum_charge(asked.currency):
        raise UserProblem(ErrorCode.AMOUNT_TOO_SMALL, f"{asked} is below what the gateway charges.")


def new_subscription(app: App, customer: Customer, order: Order, why: Why) -> tuple[Subscription, Span]:
    """The row, which waits for its start, its trial's end or its first payment, and the first period to bill."""
    plan, zone = order.plan, ZoneInfo(customer.timezone)
    grid, ends_at = order.grid(zone), order.end(zone)
    span = grid.span_from(order.billed_from)
    span = span.until(ends_at) if ends_at is None or ends_at > order.billed_from else span
    trial = Period(order.start, order.billed_from) if order.trial else None
    first = trial or span.period
    row = Subscription(
        id=new_id("subscription"),
        customer_id=customer.id,
        product_id=plan.product_id,
        plan_id=plan.id,
        name=order.name,
        origin=order.origin,
        status=_first_status(order, why),
        status_updated_at=why.now,
        currency=order.currency,
        original_amount_minor=0,
        interval=plan.interval,
        interval_count=plan.interval_count,
        timezone=customer.timezone,
        anchor=grid.anchor,
        billing_day=grid.day,
        period_start=first.start,
        period_end=first.end,
        started_at=order.start,
        trial_start=trial.start if trial else None,
        trial_end=trial.end if trial else None,
        ends_at=ends_at,
        cancel_at_period_end=plan.cancel_at_period_end if order.auto_renew is None else not order.auto_renew,
        collection_method=order.collection_method,
        days_until_due=order.days_until_due,
        tax_percent=order.tax_percent,
        test_clock_id=app.timeline,
        created_at=why.now,
        updated_at=why.now,
        meta=order.metadata,
    )
    row.due_at = row.next_due()
    return row, span


def _first_status(order: Order, why: Why) -> SubscriptionStatus:
    if order.start > why.now:
        return SubscriptionStatus.SCHEDULED
    return SubscriptionStatus.TRIALING if order.trial else SubscriptionStatus.INCOMPLETE
