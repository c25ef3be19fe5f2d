"""The queries that run again and again, each as the product itself asks it: due work, lists and figures."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from bench.million import the_id
from billing.lifecycle import InvoiceStatus, PaymentStatus, SubscriptionStatus
from models.backlog import due_in_billing_time, due_in_machine_time, unknown_payments, unpublished
from models.base import Leased
from models.batches import EVERYTHING, Between, Span, Where, page_of
from models.billing_lists import INVOICES, PAYMENTS, SUBSCRIPTIONS, InvoicesWhere, PaymentsWhere, SubscriptionsWhere
from models.books import refs_to_look_up
from models.customer_lists import CUSTOMERS, PAYMENT_METHODS, CustomersWhere, LivePaymentMethods
from models.customers import GatewayAccount, accounts_at, customer_of_account
from models.endpoints import WebhookDelivery, endpoints_with_due, for_endpoint
from models.events import last_position, readable_after, unpublished_events
from models.inbox import GatewayEvent, GatewayEventStatus
from models.leases import claim_all_due
from models.operation_lists import (
    AUDIT_LOG,
    EVENT_STREAM,
    GATEWAY_EVENTS,
    WEBHOOK_DELIVERIES,
    AuditLogWhere,
    GatewayEventsWhere,
)
from models.payments import Payment, collected_on, payments_to_give_up
from models.returns import Refund
from models.runs import subscriptions_with_work
from models.subscriptions import Subscription, live_subscriptions_of, on_timeline, unpaid_subscriptions
from models.timelines import DueTime, clocks_with_work, earliest_after
from services.abreast import ABREAST

Ask = Callable[[AsyncSession, datetime], Awaitable[Any]]

_CUSTOMER, _SUBSCRIPTION = the_id("customer", 42), the_id("subscription", 42)
_FIRST = Span(limit=50)


def _page(listing: Any, where: Where = EVERYTHING, span: Span = _FIRST) -> Ask:
    return lambda session, _now: page_of(session, listing, where, span)


def _claim(row: type[Leased], **which: Any) -> Ask:
    """Whoever asks keeps nothing, so that what was claimed is free again."""
    return lambda session, now: claim_all_due(session, row, now=now, machine_now=now, limit=ABREAST, **which)


DUE: Mapping[str, Ask] = {
    "subscriptions due": _claim(Subscription, only=on_timeline(None)),
    "cards to try again": _claim(Payment, due="collect_at", only=collected_on(None)),
    "dunning to end": lambda s, now: payments_to_give_up(s, now, timeline=None, limit=100),
    "payments to ask for": _claim(Payment),
    "refunds due": _claim(Refund),
    "inbox": _claim(GatewayEvent),
    "customers to tell of": _claim(GatewayAccount, only=accounts_at("stripe")),
    "events to publish": lambda s, now: unpublished_events(s, limit=100),
    "endpoints with something due": lambda s, now: endpoints_with_due(s, machine_now=now),
    "deliveries of one endpoint": _claim(WebhookDelivery, only=for_endpoint("wep_1")),
    "test clocks with work": lambda s, now: clocks_with_work(
        s,
        [DueTime(Subscription, "due_at"), DueTime(Payment, "collect_at"), DueTime(Payment, "give_up_at")],
        machine_now=now,
        limit=10,
    ),
    "a test clock's next instant": lambda s, now: earliest_after(
        s, DueTime(Subscription, "due_at"), timeline="clk_1", now=now
    ),
    "the billing clock's next instant": lambda s, now: earliest_after(
        s, DueTime(Subscription, "due_at"), timeline=None, now=now
    ),
    "a billing run": lambda s, now: subscriptions_with_work(s, now, after="", limit=100),
    "intents to compare": lambda s, now: refs_to_look_up(
        s, "stripe", since=now - timedelta(minutes=15), after="", limit=100
    ),
}
"""What the worker and those who start runs ask for."""

WATCHED: Mapping[str, Ask] = {
    "renewals waiting": lambda s, now: due_in_billing_time(s, DueTime(Subscription, "due_at"), now),
    "cards waiting": lambda s, now: due_in_billing_time(s, DueTime(Payment, "collect_at"), now),
    "dunning waiting": lambda s, now: due_in_billing_time(s, DueTime(Payment, "give_up_at"), now),
    "payments waiting": lambda s, now: due_in_machine_time(s, Payment, now),
    "refunds waiting": lambda s, now: due_in_machine_time(s, Refund, now),
    "inbox waiting": lambda s, now: due_in_machine_time(s, GatewayEvent, now),
    "deliveries waiting": lambda s, now: due_in_machine_time(s, WebhookDelivery, now),
    "events waiting": lambda s, now: unpublished(s),
    "unknown payments": lambda s, now: unknown_payments(s),
    "the last position": lambda s, now: last_position(s),
    "events after a position": lambda s, now: readable_after(s, 1_000, limit=1_000),
}
"""What metrics and live updates ask for."""

LISTS: Mapping[str, Ask] = {
    "subscriptions": _page(SUBSCRIPTIONS, SubscriptionsWhere()),
    "subscriptions, later page": _page(SUBSCRIPTIONS, SubscriptionsWhere(), Span(limit=50, after=(_SUBSCRIPTION,))),
    "a customer's subscriptions": _page(SUBSCRIPTIONS, SubscriptionsWhere(customer_id=_CUSTOMER)),
    "a user's subscriptions": _page(SUBSCRIPTIONS, SubscriptionsWhere(user_id="user-42")),
    "subscriptions past due": _page(
        SUBSCRIPTIONS, SubscriptionsWhere(status=frozenset((SubscriptionStatus.PAST_DUE,)))
    ),
    "subscriptions of a rare status": _page(
        SUBSCRIPTIONS, SubscriptionsWhere(status=frozenset((SubscriptionStatus.PAUSED,)))
    ),
    "subscriptions of a plan": _page(SUBSCRIPTIONS, SubscriptionsWhere(plan_id="pln_1")),
    "a subscription by the merchant's id": _page(SUBSCRIPTIONS, SubscriptionsWhere(external_id="order-42")),
    "what a customer has": lambda s, now: live_subscriptions_of(s, _CUSTOMER),
    "what a customer owes": lambda s, now: unpaid_subscriptions(s, _CUSTOMER),
    "invoices": _page(INVOICES, InvoicesWhere()),
    "a customer's invoices": _page(INVOICES, InvoicesWhere(customer_id=_CUSTOMER)),
    "a subscription's invoices": _page(INVOICES, InvoicesWhere(subscription_id=_SUBSCRIPTION)),
    "open invoices": _page(INVOICES, InvoicesWhere(status=frozenset((InvoiceStatus.OPEN,)))),
    "invoices void": _page(INVOICES, InvoicesWhere(status=frozenset((InvoiceStatus.VOID,)))),
    "payments": _page(PAYMENTS, PaymentsWhere()),
    "a customer's payments": _page(PAYMENTS, PaymentsWhere(customer_id=_CUSTOMER)),
    "a user's payments": _page(PAYMENTS, PaymentsWhere(owner_user_id="user-42")),
    "a payment by the gateway's id": _page(PAYMENTS, PaymentsWhere(gateway_payment_id="pi_42")),
    "payments of an order": _page(PAYMENTS, PaymentsWhere(order_id=_SUBSCRIPTION)),
    "payments failed": _page(PAYMENTS, PaymentsWhere(status=frozenset((PaymentStatus.FAILED,)))),
    "payments processing": _page(PAYMENTS, PaymentsWhere(status=frozenset((PaymentStatus.PROCESSING,)))),
    "customers": _page(CUSTOMERS, CustomersWhere()),
    "a customer by the gateway's id": _page(CUSTOMERS, CustomersWhere(gateway_ref="cus_42", platform="stripe")),
    "a customer by e-mail": _page(CUSTOMERS, CustomersWhere(email="user-42@shop.example")),
    "whose account it is": lambda s, now: customer_of_account(s, "stripe", "cus_42"),
    "a customer's cards": _page(PAYMENT_METHODS, LivePaymentMethods(customer_id=_CUSTOMER)),
    "the gateway's events": _page(GATEWAY_EVENTS, GatewayEventsWhere()),
    "the gateway's events that failed": _page(
        GATEWAY_EVENTS, GatewayEventsWhere(status=frozenset((GatewayEventStatus.FAILED,)))
    ),
    "events": _page(EVENT_STREAM),
    "deliveries": _page(WEBHOOK_DELIVERIES),
    "the audit log": _page(AUDIT_LOG, AuditLogWhere()),
    "the audit log of a record": _page(AUDIT_LOG, AuditLogWhere(subject_id=_SUBSCRIPTION)),
    "invoices of a day": _page(
        INVOICES,
        InvoicesWhere(
            created_at=Between(
                datetime.fromisoformat("2026-06-01T00:00:00+00:00"), datetime.fromisoformat("2026-06-02T00:00:00+00:00")
            )
        ),
    ),
}
"""What people and shops look at."""
