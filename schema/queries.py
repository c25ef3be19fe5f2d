"""The root of all reading."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import strawberry

from models.api_keys import api_keys
from models.base import ID_PREFIXES
from models.batches import (
    GATEWAY_EVENTS,
    INVOICES,
    PAYMENT_METHODS,
    PAYMENTS,
    PLANS,
    PRODUCTS,
    GatewayEventsWhere,
    InvoicesWhere,
    Listing,
    LivePaymentMethods,
    PaymentsWhere,
    PlansWhere,
    ProductsWhere,
    Span,
)
from models.catalog import plan_by, product_by
from models.inbox import GatewayEventStatus
from resolvers import owned
from resolvers.context import RequestContext
from schema.api_keys import ApiKey
from schema.arguments import refuse_arguments
from schema.billing_events import BillingEvent, EventQueries
from schema.card_inputs import PaymentMethodFilter
from schema.cards import PaymentMethod
from schema.catalog import Plan, PlanPrice, Product
from schema.connections import After, Before, Connection, First, Last, connection, span
from schema.coupon_queries import CouponQueries
from schema.coupons import Coupon, PromotionCode
from schema.credit_notes import CreditNote
from schema.credits import CreditEntry
from schema.customers import Customer
from schema.fields import Info, argument
from schema.inputs import InvoiceFilter, PaymentFilter, PlanFilter
from schema.intents import PaymentIntent
from schema.interfaces import Node
from schema.invoices import Invoice
from schema.lookups import CustomerLookup, SubscriptionStatusCheck
from schema.payments import ChargeAttempt, Payment
from schema.plan_terms import Feature
from schema.policies import PolicyQueries
from schema.preview_queries import PreviewQueries
from schema.returns import Dispute, Refund
from schema.run_queries import ClockQueries, RunQueries
from schema.runs import BillingRun, BillingRunItem, TestClock
from schema.server import GatewayConfig, ServerInfo, Viewer
from schema.subscriptions import PlanSubscription, SubscriptionItem
from schema.upkeep import DoubleChargeProof, GatewayEvent, ReconciliationReport, prove
from schema.webhook_endpoints import EndpointQueries, WebhookDelivery, WebhookEndpoint

MAX_NODES = 100
MAX_KEYS = 200
_Finder = Callable[[RequestContext, str], Awaitable[Node | None]]

OwnerId = Annotated[
    strawberry.ID | None,
    argument("Of which customer. Staff and API keys only: customers read their own and leave it out."),
]


@strawberry.type(description="All that can be read.")
class Query(CouponQueries, EndpointQueries, EventQueries, PolicyQueries, PreviewQueries, RunQueries):
    @strawberry.field(description="Which server answers. Open to everybody.")
    def server_info(self, info: Info) -> ServerInfo:
        return ServerInfo.of(info.context, info.schema)

    @strawberry.field(description="What a browser needs to talk to the payment gateway itself. Open to everybody.")
    def gateway_config(self, info: Info) -> GatewayConfig:
        return GatewayConfig.of(info.context)

    @strawberry.field(description="Who is calling, and what they may do. Open to everybody.")
    def viewer(self, info: Info) -> Viewer:
        return Viewer.of(info.context)

    @strawberry.field(description="The plans, in the shop's order. Open to everybody.")
    async def plans(
        self,
        info: Info,
        filter: Annotated[PlanFilter | None, argument("Only those that match.")] = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Connection[Plan]:
        part = span(info, PLANS, first=first, after=after, last=last, before=before)
        where = filter.where(info) if filter is not None else PlansWhere()
        return await _listed(owned.public(info.context, PLANS, where), PLANS, part, Plan.of)

    @strawberry.field(description="One plan, by id or by code; null if there is none. Open to everybody.")
    async def plan(
        self,
        info: Info,
        id: Annotated[strawberry.ID | None, argument("Its id.")] = None,
        code: Annotated[str | None, argument("Its code: `reader-pro`.")] = None,
    ) -> Plan | None:
        _one_of(info, id=id, code=code)
        async with info.context.app.database.read() as session:
            row = await plan_by(session, id=id, code=code)
        return Plan.of(row) if row is not None else None

    @strawberry.field(description="The products, by code. Open to everybody.")
    async def products(
        self,
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Connection[Product]:
        part = span(info, PRODUCTS, first=first, after=after, last=last, before=before)
        return await _listed(owned.public(info.context, PRODUCTS, ProductsWhere()), PRODUCTS, part, Product.of)

    @strawberry.field(description="One product, by id, by code or by another name of it; null if there is none.")
    async def product(
        self,
        info: Info,
        id: Annotated[strawberry.ID | None, argument("Its id.")] = None,
        code: Annotated[str | None, argument("Its code or an alias.")] = None,
    ) -> Product | None:
        _one_of(info, id=id, code=code)
        async with info.context.app.database.read() as session:
            row = await product_by(session, id=id, code=code)
        return Product.of(row) if row is not None else None

    @strawberry.field(description="The caller as a customer; null before the first mutation of that user.")
    async def me(self, info: Info) -> Customer | None:
        row = await info.context.own_customer()
        return Customer.of(row) if row is not None else None

    @strawberry.field(
        description="The caller's subscription that has not ended, the newest if there are several; null, never an "
        "error, when there is none."
    )
    async def my_subscription(
        self,
        info: Info,
        product_code: Annotated[str | None, argument("To this product; to any unless given.")] = None,
    ) -> PlanSubscription | None:
        row = await owned.my_subscription(info.context, product_code)
        return PlanSubscription.of(row) if row is not None else None

    @strawberry.field(description="One subscription; null if there is none or it is another's.")
    async def subscription(
        self, info: Info, id: Annotated[strawberry.ID, argument("Its id.")]
    ) -> PlanSubscription | None:
        row = await owned.subscription(info.context, id)
        return PlanSubscription.of(row) if row is not None else None

    @strawberry.field(description="Saved cards, newest first: the caller's own, or for staff any customer's.")
    async def payment_methods(
        self,
        info: Info,
        filter: Annotated[PaymentMethodFilter | None, argument("Only those that match.")] = None,
        customer_id: OwnerId = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Connection[PaymentMethod]:
        part = span(info, PAYMENT_METHODS, first=first, after=after, last=last, before=before)
        where = filter.where() if filter is not None else LivePaymentMethods()
        rows = await owned.payment_methods(info.context, customer_id=customer_id, where=where)
        return await _listed(rows, PAYMENT_METHODS, part, PaymentMethod.of)

    @strawberry.field(description="One saved card; null if there is none or it is another's.")
    async def payment_method(
        self, info: Info, id: Annotated[strawberry.ID, argument("Its id.")]
    ) -> PaymentMethod | None:
        row = await owned.payment_method(info.context, id)
        return PaymentMethod.of(row) if row is not None else None

    @strawberry.field(description="Invoices, newest first: the caller's own, or for staff any customer's or all.")
    async def invoices(
        self,
        info: Info,
        filter: Annotated[InvoiceFilter | None, argument("Only those that match.")] = None,
        customer_id: OwnerId = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Connection[Invoice]:
        part = span(info, INVOICES, first=first, after=after, last=last, before=before)
        where = filter.where() if filter is not None else InvoicesWhere()
        rows = await owned.invoices(info.context, customer_id=customer_id, where=where)
        return await _listed(rows, INVOICES, part, Invoice.of)

    @strawberry.field(description="One invoice, by id or by number; null if there is none or it is another's.")
    async def invoice(
        self,
        info: Info,
        id: Annotated[strawberry.ID | None, argument("Its id.")] = None,
        number: Annotated[str | None, argument("Its number.")] = None,
    ) -> Invoice | None:
        _one_of(info, id=id, number=number)
        if id is not None:
            row = await owned.invoice(info.context, id)
        else:
            row = await owned.invoice_of_number(info.context, number or "")
        return Invoice.of(row) if row is not None else None

    @strawberry.field(description="Payments, newest first: the caller's own, or for staff any customer's or all.")
    async def payments(
        self,
        info: Info,
        filter: Annotated[PaymentFilter | None, argument("Only those that match.")] = None,
        customer_id: OwnerId = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Connection[Payment]:
        part = span(info, PAYMENTS, first=first, after=after, last=last, before=before)
        where = filter.where() if filter is not None else PaymentsWhere()
        rows = await owned.payments(info.context, customer_id=customer_id, where=where)
        return await _listed(rows, PAYMENTS, part, Payment.of)

    @strawberry.field(description="One payment; null if there is none or it is another's.")
    async def payment(self, info: Info, id: Annotated[strawberry.ID, argument("Its id.")]) -> Payment | None:
        row = await owned.payment(info.context, id)
        return Payment.of(row) if row is not None else None

    @strawberry.field(description="One customer, however known; null if there is none. For staff and API keys.")
    async def customer(
        self, info: Info, by: Annotated[CustomerLookup, argument("How the customer is known.")]
    ) -> Customer | None:
        row = await owned.customer_by(info.context, **by.given())
        return Customer.of(row) if row is not None else None

    @strawberry.field(
        description="Whether a user of the application has access now. A user who was never here has not: no error."
    )
    async def subscription_status(
        self, info: Info, user_id: Annotated[strawberry.ID, argument("The application's own id of the user.")]
    ) -> SubscriptionStatusCheck:
        rows = await owned.live_subscriptions_of_user(info.context, user_id)
        return await SubscriptionStatusCheck.of(info, user_id, rows)

    @strawberry.field(description="The API keys, those that were not revoked first, at most 200.")
    async def api_keys(self, info: Info) -> list[ApiKey]:
        async with info.context.app.database.read() as session:
            return [ApiKey.of(row) for row in await api_keys(session, limit=MAX_KEYS)]

    @strawberry.field(description="Webhooks as they arrived, newest first.")
    async def gateway_events(
        self,
        info: Info,
        status: Annotated[list[GatewayEventStatus] | None, argument("In any of these statuses.")] = None,
        type: Annotated[str | None, argument("Of this type: `payment_intent.succeeded`.")] = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Connection[GatewayEvent]:
        part = span(info, GATEWAY_EVENTS, first=first, after=after, last=last, before=before)
        where = GatewayEventsWhere(None if status is None else frozenset(status), type)
        return await _listed(owned.public(info.context, GATEWAY_EVENTS, where), GATEWAY_EVENTS, part, GatewayEvent.of)

    @strawberry.field(description="What a reconcile pass found; null if there was none.")
    async def reconciliation_report(
        self, info: Info, id: Annotated[strawberry.ID | None, argument("Its id; the newest one unless given.")] = None
    ) -> ReconciliationReport | None:
        view = await owned.reconciliation_report(info.context, id)
        return ReconciliationReport.of(view) if view is not None else None

    @strawberry.field(
        description="Whether anybody was charged twice, by our books and by the gateway's. It reads all of them: "
        "`cli.py check` does the same without a request's time limit, and says what is wrong."
    )
    async def double_charge_proof(self, info: Info) -> DoubleChargeProof:
        return await prove(info)

    @strawberry.field(description="Any object by its id; null if there is none or it is another's.")
    async def node(self, info: Info, id: Annotated[strawberry.ID, argument("Its id.")]) -> Node | None:
        return await _node(info.context, id)

    @strawberry.field(description="Objects by their ids, in the order asked for, null where `node` would be null.")
    async def nodes(
        self, info: Info, ids: Annotated[list[strawberry.ID], argument("At most 100 ids.")]
    ) -> list[Node | None]:
        if len(ids) > MAX_NODES:
            raise refuse_arguments(info, f"ids: at most {MAX_NODES} are looked up at once.", "ids")
        return list(await asyncio.gather(*(_node(info.context, id) for id in ids)))


@strawberry.type(name="Query", description=Query.__strawberry_definition__.description)  # pyright: ignore[reportAttributeAccessIssue]
class SandboxQuery(ClockQueries, Query):
    """With the sandbox: time that can be moved too."""


async def _listed(rows: owned.OwnedList, listing: Listing[Any], part: Span, of: Any) -> Connection[Any]:
    return connection(listing, await rows.page(part), of, rows.count)


def _one_of(info: Info, **given: str | None) -> None:
    if sum(value is not None for value in given.values()) != 1:
        raise refuse_arguments(info, f"{', '.join(given)}: give exactly one of them.", *given)


def _shown(find: Callable[[RequestContext, str], Awaitable[Any]], of: Callable[[Any], Node]) -> _Finder:
    async def shown(context: RequestContext, id: str) -> Node | None:
        row = await find(context, id)
        return of(row) if row is not None else None

    return shown


def _in_catalog(loader: str) -> Callable[[RequestContext, str], Awaitable[Any]]:
    async def find(context: RequestContext, id: str) -> Any:
        return await getattr(context.loaders, loader).load(id)

    return find


async def _intent(context: RequestContext, id: str) -> Node | None:
    found = await owned.payment_intent(context, id)
    return PaymentIntent.of(found, livemode=context.app.gateway.livemode) if found is not None else None


# Kind of an id → how it is found for this caller, as the type that shows it.
_FINDERS: dict[str, _Finder] = {
    "product": _shown(_in_catalog("product"), Product.of),
    "plan": _shown(_in_catalog("plan"), Plan.of),
    "price": _shown(_in_catalog("price"), PlanPrice.of),
    "feature": _shown(_in_catalog("feature"), Feature.of),
    "coupon": _shown(owned.coupon, Coupon.of),
    "promotion_code": _shown(owned.promotion_code, PromotionCode.of),
    "customer": _shown(owned.customer, Customer.of),
    "payment_method": _shown(owned.payment_method, PaymentMethod.of),
    "subscription": _shown(owned.subscription, PlanSubscription.of),
    "subscription_item": _shown(owned.subscription_item, SubscriptionItem.of),
    "invoice": _shown(owned.invoice, Invoice.of),
    "payment": _shown(owned.payment, Payment.of),
    "payment_intent": _intent,
    "charge_attempt": _shown(owned.charge_attempt, ChargeAttempt.of),
    "credit_entry": _shown(owned.credit_entry, CreditEntry.of),
    "refund": _shown(owned.refund, Refund.of),
    "dispute": _shown(owned.dispute, Dispute.of),
    "credit_note": _shown(owned.credit_note, CreditNote.of),
    "api_key": _shown(owned.api_key, ApiKey.of),
    "test_clock": _shown(owned.test_clock, TestClock.of),
    "billing_run": _shown(owned.billing_run, BillingRun.of),
    "billing_run_item": _shown(owned.billing_run_item, BillingRunItem.of),
    "gateway_event": _shown(owned.gateway_event, GatewayEvent.of),
    "billing_event": _shown(owned.billing_event, BillingEvent.of),
    "webhook_endpoint": _shown(owned.webhook_endpoint, WebhookEndpoint.of),
    "webhook_delivery": _shown(owned.webhook_delivery, WebhookDelivery.of),
    "reconciliation_report": _shown(owned.reconciliation_report, ReconciliationReport.of),
}
_NODES = {ID_PREFIXES[kind]: find for kind, find in _FINDERS.items()}


async def _node(context: RequestContext, id: str) -> Node | None:
    find = _NODES.get(id.partition("_")[0])
    return await find(context, id) if find is not None else None
