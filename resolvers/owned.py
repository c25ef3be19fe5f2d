"""Rows that belong to a customer: looked up one by one and listed, never another's.

A missing and a foreign row are both None. Lists are narrowed to the caller's own unless the caller reads all.
"""

from dataclasses import replace
from typing import Any, Protocol, TypeVar

from models.api_keys import ApiKey
from models.audit_log import AuditEntry
from models.batches import EVERYTHING, Listing, Page, Span, Where, count_of, page_of
from models.billing_lists import INVOICES, PAYMENTS, SUBSCRIPTIONS, InvoicesWhere, PaymentsWhere, SubscriptionsWhere
from models.clocks import TestClock
from models.coupons import Coupon, PromotionCode
from models.credits import CreditEntry
from models.customer_lists import PAYMENT_METHODS, LivePaymentMethods
from models.customers import Customer, PaymentMethod, customer_of_account, customer_of_external_id
from models.endpoints import WebhookDelivery, WebhookEndpoint
from models.events import BillingEvent
from models.inbox import GatewayEvent
from models.invoices import CreditNote, Invoice
from models.payments import ChargeAttempt, Payment, latest_payment_of, payment_of_gateway_id
from models.returns import Dispute, Refund
from models.runs import BillingRun, BillingRunItem
from models.subscriptions import Subscription, SubscriptionItem
from resolvers.access import permits, refuse_archived, refuse_foreign_owner
from resolvers.context import RequestContext
from resolvers.identity import AccessDenied
from services.books.reconciling import ReportView, report_view
from services.payments.outcomes import PaymentIntentView

# One for each product: a bound for the statement, not for the customer.
MOST_LIVE = 1_000


class _Owned(Protocol):
    customer_id: str


Row = TypeVar("Row", bound=_Owned)


async def visible(context: RequestContext, row: Row | None) -> Row | None:
    """The row if the caller may see it; whether it exists otherwise stays unsaid."""
    return row if row is not None and await context.may_see(row.customer_id) else None


async def subscription(context: RequestContext, subscription_id: str) -> Subscription | None:
    return await visible(context, await context.loaders.subscription.load(subscription_id))


async def subscription_of_external_id(context: RequestContext, external_id: str) -> Subscription | None:
    return await visible(context, await context.loaders.subscription_of_external_id.load(external_id))


async def payment_method(context: RequestContext, payment_method_id: str) -> PaymentMethod | None:
    return await visible(context, await context.loaders.payment_method.load(payment_method_id))


async def invoice(context: RequestContext, invoice_id: str) -> Invoice | None:
    return await visible(context, await context.loaders.invoice.load(invoice_id))


async def invoice_of_number(context: RequestContext, number: str) -> Invoice | None:
    return await visible(context, await context.loaders.invoice_of_number.load(number))


async def payment(context: RequestContext, payment_id: str) -> Payment | None:
    """A deleted record only for those who read all."""
    found = await visible(context, await context.loaders.payment.load(payment_id))
    return found if found is None or found.archived_at is None or context.reads_all else None


async def payment_by(
    context: RequestContext,
    *,
    id: str | None = None,
    order_id: str | None = None,
    gateway_payment_id: str | None = None,
    number: int | None = None,
) -> Payment | None:
    """By the one that is given; the latest one of an order."""
    if id is not None:
        return await payment(context, id)
    async with context.app.database.read() as session:
        if order_id is not None:
            found = await latest_payment_of(session, order_id)
        elif gateway_payment_id is not None:
            found = await payment_of_gateway_id(session, gateway_payment_id)
        else:
            found = await session.get(Payment, number)
    return await payment(context, found.id) if found is not None else None


async def subscription_item(context: RequestContext, item_id: str) -> SubscriptionItem | None:
    found = await context.loaders.subscription_item.load(item_id)
    return found if found is not None and await subscription(context, found.subscription_id) is not None else None


async def charge_attempt(context: RequestContext, attempt_id: str) -> ChargeAttempt | None:
    found = await context.loaders.charge_attempt.load(attempt_id)
    return found if found is not None and await payment(context, found.payment_id) is not None else None


async def credit_entry(context: RequestContext, entry_id: str) -> CreditEntry | None:
    found = await context.loaders.credit_entry.load(entry_id)
    balance = await context.loaders.credit_balance.load(found.balance_id) if found is not None else None
    return found if balance is not None and await context.may_see(balance.customer_id) else None


async def refund(context: RequestContext, refund_id: str) -> Refund | None:
    found = await context.loaders.refund.load(refund_id)
    return found if found is not None and await payment(context, found.payment_id) is not None else None


async def credit_note(context: RequestContext, note_id: str) -> CreditNote | None:
    return await visible(context, await context.loaders.credit_note.load(note_id))


async def dispute(context: RequestContext, dispute_id: str) -> Dispute | None:
    found = await context.loaders.dispute.load(dispute_id)
    return found if found is not None and await payment(context, found.payment_id) is not None else None


async def payment_intent(context: RequestContext, intent_id: str) -> PaymentIntentView | None:
    """The intent as last seen, with the payment that it is for."""
    found = await context.loaders.payment_intent.load(intent_id)
    paid = await payment(context, found.payment_id) if found is not None else None
    return PaymentIntentView(found, paid, None) if found is not None and paid is not None else None


async def customer(context: RequestContext, customer_id: str) -> Customer | None:
    found = await context.loaders.customer.load(customer_id)
    return found if found is not None and await context.may_see(found.id) else None


async def customer_by(
    context: RequestContext,
    *,
    id: str | None = None,
    user_id: str | None = None,
    external_id: str | None = None,
    gateway_ref: str | None = None,
) -> Customer | None:
    """Any customer, by the one id that is given. The field that asks is for those who read all."""
    if id is not None:
        return await context.loaders.customer.load(id)
    if user_id is not None:
        return await context.loaders.customer_of_user.load(user_id)
    async with context.app.database.read() as session:
        if external_id is not None:
            return await customer_of_external_id(session, external_id)
        return await customer_of_account(session, context.app.gateway.platform, gateway_ref or "")


async def coupon(context: RequestContext, coupon_id: str) -> Coupon | None:
    """Coupons are told of to those who read all; others see those on their subscriptions."""
    return await context.loaders.coupon.load(coupon_id) if context.reads_all else None


async def promotion_code(context: RequestContext, code_id: str) -> PromotionCode | None:
    return await context.loaders.promotion_code.load(code_id) if context.reads_all else None


async def live_subscriptions_of_user(context: RequestContext, user_id: str) -> list[Subscription]:
    """Those that have not ended, newest first; none for a user who was never here."""
    customer = await customer_by(context, user_id=user_id)
    return [] if customer is None else await live_subscriptions(context, customer.id)


async def live_subscriptions(context: RequestContext, customer_id: str) -> list[Subscription]:
    """The customer's that have not ended, newest first."""
    where, span = SubscriptionsWhere(live=True), Span(limit=MOST_LIVE)
    page = await context.loaders.listed(SUBSCRIPTIONS, "customer_id", customer_id, where, span)
    return list(page.rows)


async def api_key(context: RequestContext, api_key_id: str) -> ApiKey | None:
    if not permits(context.identity, "Query.apiKeys"):
        return None
    async with context.app.database.read() as session:
        return await session.get(ApiKey, api_key_id)


async def test_clock(context: RequestContext, clock_id: str) -> TestClock | None:
    return await context.loaders.test_clock.load(clock_id) if permits(context.identity, "Query.testClock") else None


async def billing_run(context: RequestContext, run_id: str) -> BillingRun | None:
    if not permits(context.identity, "Query.billingRun"):
        return None
    async with context.app.database.read() as session:
        return await session.get(BillingRun, run_id)


async def billing_run_item(context: RequestContext, item_id: str) -> BillingRunItem | None:
    if not permits(context.identity, "Query.billingRun"):
        return None
    async with context.app.database.read() as session:
        return await session.get(BillingRunItem, item_id)


async def gateway_event(context: RequestContext, event_id: str) -> GatewayEvent | None:
    if not permits(context.identity, "Query.gatewayEvents"):
        return None
    async with context.app.database.read() as session:
        return await session.get(GatewayEvent, event_id)


async def billing_event(context: RequestContext, event_id: str) -> BillingEvent | None:
    """One that can be read already."""
    if not permits(context.identity, "Query.billingEvents"):
        return None
    found = await context.loaders.billing_event.load(event_id)
    return found if found is not None and found.position is not None else None


async def webhook_endpoint(context: RequestContext, endpoint_id: str) -> WebhookEndpoint | None:
    """Also a deleted one."""
    if not permits(context.identity, "Query.webhookEndpoints"):
        return None
    async with context.app.database.read() as session:
        return await session.get(WebhookEndpoint, endpoint_id)


async def webhook_delivery(context: RequestContext, delivery_id: str) -> WebhookDelivery | None:
    if not permits(context.identity, "Query.webhookEndpoints"):
        return None
    async with context.app.database.read() as session:
        return await session.get(WebhookDelivery, delivery_id)


async def reconciliation_report(context: RequestContext, report_id: str | None) -> ReportView | None:
    """The newest one unless named."""
    if not permits(context.identity, "Query.reconciliationReport"):
        return None
    return await report_view(context.app, report_id)


async def audit_entry(context: RequestContext, entry_id: str) -> AuditEntry | None:
    if not permits(context.identity, "Query.auditLog"):
        return None
    async with context.app.database.read() as session:
        return await session.get(AuditEntry, entry_id)


async def my_subscription(context: RequestContext, product_id: str | None) -> Subscription | None:
    """The caller's subscription that has not ended, the newest if there are several products."""
    own = await context.own_customer()
    return None if own is None else await live_subscription(context, own.id, product_id)


async def live_subscription(context: RequestContext, customer_id: str, product_id: str | None) -> Subscription | None:
    where = SubscriptionsWhere(live=True, product_id=product_id)
    page = await context.loaders.listed(SUBSCRIPTIONS, "customer_id", customer_id, where, Span(limit=1))
    return page.rows[0] if page.rows else None


class OwnedList:
    """One root list as this caller may read it: a page, and how long it is in all if asked."""

    def __init__(self, context: RequestContext, listing: Listing[Any], where: Where | None) -> None:
        self._context, self.listing, self._where = context, listing, where

    async def page(self, span: Span) -> Page[Any]:
        if self._where is None:
            return Page((), has_next=False, has_previous=False)
        async with self._context.app.database.read() as session:
            return await page_of(session, self.listing, self._where, span)

    async def count(self) -> int:
        if self._where is None:
            return 0
        async with self._context.app.database.read() as session:
            return await count_of(session, self.listing, self._where)


async def payment_methods(context: RequestContext, *, customer_id: str | None, where: LivePaymentMethods) -> OwnedList:
    """Raises AccessDenied when a customer names another user as owner, or asks for detached cards."""
    _refuse_foreign_user(context, where.owner_user_id)
    if where.with_archived and not context.reads_all:
        raise AccessDenied(context.identity, "NOT_PERMITTED: detached cards are for staff; leave includeArchived out.")
    return await _narrowed(context, PAYMENT_METHODS, where, customer_id)


async def invoices(context: RequestContext, *, customer_id: str | None, where: InvoicesWhere) -> OwnedList:
    return await _narrowed(context, INVOICES, where, customer_id)


async def payments(context: RequestContext, *, customer_id: str | None, where: PaymentsWhere) -> OwnedList:
    """Raises AccessDenied when a customer names another user as owner, or asks for deleted ones."""
    _refuse_foreign_user(context, where.owner_user_id)
    refuse_foreign_archive(context, where)
    return await _narrowed(context, PAYMENTS, where, customer_id)


async def subscriptions(
    context: RequestContext, listing: Listing[Subscription], where: SubscriptionsWhere
) -> OwnedList:
    """Raises AccessDenied when a customer names another one as owner, or asks for deleted ones."""
    _refuse_foreign_user(context, where.user_id)
    refuse_foreign_archive(context, where)
    return await _narrowed(context, listing, where, where.customer_id)


def refuse_foreign_archive(context: RequestContext, where: SubscriptionsWhere | PaymentsWhere) -> None:
    """What was deleted is for those who read all. Raises AccessDenied."""
    if where.include_archived and not context.reads_all:
        raise refuse_archived(context.identity)


def _refuse_foreign_user(context: RequestContext, user_id: str | None) -> None:
    if user_id is not None and not context.reads_all and user_id != context.identity.user_id:
        raise refuse_foreign_owner(context.identity)


def public(context: RequestContext, listing: Listing[Any], where: Where = EVERYTHING) -> OwnedList:
    """A list that belongs to nobody, such as the catalog."""
    return OwnedList(context, listing, where)


async def _narrowed(context: RequestContext, listing: Listing[Any], where: Any, customer_id: str | None) -> OwnedList:
    """Staff and keys read any customer's or all; others their own, which is empty before they are a customer."""
    if context.reads_all:
        return OwnedList(context, listing, replace(where, customer_id=customer_id))
    own = await context.own_customer()
    if customer_id is not None and (own is None or own.id != customer_id):
        raise refuse_foreign_owner(context.identity)
    return OwnedList(context, listing, None if own is None else replace(where, customer_id=own.id))
