"""Finding any object again by its id."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import strawberry

from models.base import ID_PREFIXES
from models.organization import ORGANIZATION
from resolvers import owned
from resolvers.access import permits
from resolvers.context import RequestContext
from schema.api_keys import ApiKey
from schema.arguments import refuse_arguments
from schema.audit_log import AuditEntry
from schema.billing_events import BillingEvent
from schema.cards import PaymentMethod
from schema.catalog import Plan, PlanPrice, Product
from schema.coupons import Coupon, PromotionCode
from schema.credit_notes import CreditNote
from schema.credits import CreditEntry
from schema.customers import Customer
from schema.fields import Info, argument
from schema.intents import PaymentIntent
from schema.interfaces import Node
from schema.invoices import Invoice
from schema.payments import ChargeAttempt, Payment
from schema.plan_terms import Feature
from schema.policies import Organization
from schema.returns import Dispute, Refund
from schema.runs import BillingRun, BillingRunItem, TestClock
from schema.subscriptions import PlanSubscription, SubscriptionItem
from schema.upkeep import GatewayEvent, ReconciliationReport
from schema.webhook_endpoints import WebhookDelivery, WebhookEndpoint
from services.policies import read_organization

MAX_NODES = 100
_Finder = Callable[[RequestContext, str], Awaitable[Node | None]]


@strawberry.type(description="Any object.")
class NodeQueries:
    @strawberry.field(description="Any object by its id; null if there is none or it is another's.")
    async def node(self, info: Info, id: Annotated[strawberry.ID, argument("Its id.")]) -> Node | None:
        return await find_node(info.context, id)

    @strawberry.field(description="Objects by their ids, in the order asked for, null where `node` would be null.")
    async def nodes(
        self, info: Info, ids: Annotated[list[strawberry.ID], argument("At most 100 ids.")]
    ) -> list[Node | None]:
        if len(ids) > MAX_NODES:
            raise refuse_arguments(info, f"ids: at most {MAX_NODES} are looked up at once.", "ids")
        return list(await asyncio.gather(*(find_node(info.context, id) for id in ids)))


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


async def _organization(context: RequestContext, id: str) -> Node | None:
    if id != ORGANIZATION or not permits(context.identity, "Query.organization"):
        return None
    return Organization.of(await read_organization(context.app), context.app)


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
    "audit_entry": _shown(owned.audit_entry, AuditEntry.of),
    "reconciliation_report": _shown(owned.reconciliation_report, ReconciliationReport.of),
}
_NODES = {ID_PREFIXES[kind]: find for kind, find in _FINDERS.items()} | {ORGANIZATION: _organization}


async def find_node(context: RequestContext, id: str) -> Node | None:
    """Any object that this caller may see; None if there is none or it is another's."""
    find = _NODES.get(id.partition("_")[0])
    return await find(context, id) if find is not None else None
