"""Reading subscriptions, invoices and payments."""

from typing import Annotated

import strawberry

from models.billing_lists import (
    INVOICES,
    PAYMENTS,
    SUBSCRIPTIONS,
    InvoicesWhere,
    PaymentsWhere,
    SubscriptionsWhere,
)
from resolvers import owned
from schema.arguments import OwnerId, one_of, product_id_of
from schema.billing_filters import InvoiceFilter, PaymentFilter, PaymentLookup
from schema.connections import After, Before, Connection, First, Last, PageNumber, PageSize, span, whole
from schema.fields import Info, argument
from schema.invoices import Invoice
from schema.payments import Payment
from schema.subscription_lists import SubscriptionFilter, SubscriptionSort
from schema.subscriptions import PlanSubscription


@strawberry.type(description="Subscriptions, invoices and payments.")
class BillingQueries:
    @strawberry.field(
        description="The caller's subscription that has not ended, the newest if there are several; null, never an "
        "error, when there is none."
    )
    async def my_subscription(
        self,
        info: Info,
        product_code: Annotated[
            str | None, argument("With anything of this product, by its code or an alias; to any unless given.")
        ] = None,
    ) -> PlanSubscription | None:
        row = await owned.my_subscription(info.context, await product_id_of(info, product_code))
        return PlanSubscription.of(row) if row is not None else None

    @strawberry.field(
        description="One subscription, by id or by the merchant's own id; null if there is none or it is another's."
    )
    async def subscription(
        self,
        info: Info,
        id: Annotated[strawberry.ID | None, argument("Its id.")] = None,
        external_id: Annotated[str | None, argument("The merchant's own id for it.")] = None,
    ) -> PlanSubscription | None:
        one_of(info, id=id, externalId=external_id)
        if id is not None:
            row = await owned.subscription(info.context, id)
        else:
            row = await owned.subscription_of_external_id(info.context, external_id or "")
        return PlanSubscription.of(row) if row is not None else None

    @strawberry.field(
        description="Subscriptions, newest first unless sorted: the caller's own, or for staff any customer's or all."
    )
    async def subscriptions(
        self,
        info: Info,
        filter: Annotated[SubscriptionFilter | None, argument("Only those that match.")] = None,
        sort: Annotated[SubscriptionSort | None, argument("In this order; cursors hold for one order alone.")] = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        page: PageNumber = None,
        page_size: PageSize = None,
    ) -> Connection[PlanSubscription]:
        order = sort.listing() if sort is not None else SUBSCRIPTIONS
        part = span(info, order, first=first, after=after, last=last, before=before, page=page, page_size=page_size)
        where = await filter.where(info) if filter is not None else SubscriptionsWhere()
        return await whole(await owned.subscriptions(info.context, order, where), part, PlanSubscription.of)

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
        page: PageNumber = None,
        page_size: PageSize = None,
    ) -> Connection[Invoice]:
        part = span(info, INVOICES, first=first, after=after, last=last, before=before, page=page, page_size=page_size)
        where = filter.where() if filter is not None else InvoicesWhere()
        rows = await owned.invoices(info.context, customer_id=customer_id, where=where)
        return await whole(rows, part, Invoice.of)

    @strawberry.field(description="One invoice, by id or by number; null if there is none or it is another's.")
    async def invoice(
        self,
        info: Info,
        id: Annotated[strawberry.ID | None, argument("Its id.")] = None,
        number: Annotated[str | None, argument("Its number.")] = None,
    ) -> Invoice | None:
        one_of(info, id=id, number=number)
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
        page: PageNumber = None,
        page_size: PageSize = None,
    ) -> Connection[Payment]:
        part = span(info, PAYMENTS, first=first, after=after, last=last, before=before, page=page, page_size=page_size)
        where = filter.where() if filter is not None else PaymentsWhere()
        rows = await owned.payments(info.context, customer_id=customer_id, where=where)
        return await whole(rows, part, Payment.of)

    @strawberry.field(description="One payment, however known; null if there is none or it is another's.")
    async def payment(
        self, info: Info, by: Annotated[PaymentLookup, argument("How the payment is known.")]
    ) -> Payment | None:
        row = await owned.payment_by(info.context, **by.given())
        return Payment.of(row) if row is not None else None
