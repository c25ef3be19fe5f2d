"""Reading customers and their saved cards."""

from dataclasses import replace
from typing import Annotated

import strawberry

from models.customer_lists import CUSTOMERS, PAYMENT_METHODS, CustomersWhere, LivePaymentMethods
from resolvers import owned
from schema.arguments import OwnerId
from schema.card_inputs import PaymentMethodFilter
from schema.cards import PaymentMethod
from schema.connections import After, Before, Connection, First, Last, PageNumber, PageSize, span, whole
from schema.customer_inputs import CustomerFilter
from schema.customers import Customer
from schema.fields import Info, argument
from schema.lookups import CustomerLookup, SubscriptionStatusCheck


@strawberry.type(description="Customers and their cards.")
class CustomerQueries:
    @strawberry.field(description="The caller as a customer; null before the first mutation of that user.")
    async def me(self, info: Info) -> Customer | None:
        row = await info.context.own_customer()
        return Customer.of(row) if row is not None else None

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
        page: PageNumber = None,
        page_size: PageSize = None,
        include_archived: Annotated[bool, argument("Those that were detached too. Staff and API keys only.")] = False,
    ) -> Connection[PaymentMethod]:
        part = span(
            info, PAYMENT_METHODS, first=first, after=after, last=last, before=before, page=page, page_size=page_size
        )
        where = filter.where() if filter is not None else LivePaymentMethods()
        rows = await owned.payment_methods(
            info.context, customer_id=customer_id, where=replace(where, with_archived=include_archived)
        )
        return await whole(rows, part, PaymentMethod.of)

    @strawberry.field(description="One saved card; null if there is none or it is another's.")
    async def payment_method(
        self, info: Info, id: Annotated[strawberry.ID, argument("Its id.")]
    ) -> PaymentMethod | None:
        row = await owned.payment_method(info.context, id)
        return PaymentMethod.of(row) if row is not None else None

    @strawberry.field(description="One customer, however known; null if there is none. For staff and API keys.")
    async def customer(
        self, info: Info, by: Annotated[CustomerLookup, argument("How the customer is known.")]
    ) -> Customer | None:
        row = await owned.customer_by(info.context, **by.given())
        return Customer.of(row) if row is not None else None

    @strawberry.field(description="The customers, oldest first. For staff and API keys.")
    async def customers(
        self,
        info: Info,
        filter: Annotated[CustomerFilter | None, argument("Only those that match.")] = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        page: PageNumber = None,
        page_size: PageSize = None,
    ) -> Connection[Customer]:
        part = span(info, CUSTOMERS, first=first, after=after, last=last, before=before, page=page, page_size=page_size)
        where = filter.where(info) if filter is not None else CustomersWhere()
        return await whole(owned.public(info.context, CUSTOMERS, where), part, Customer.of)

    @strawberry.field(
        description="Whether a user of the application has access now. A user who was never here has not: no error."
    )
    async def subscription_status(
        self, info: Info, user_id: Annotated[strawberry.ID, argument("The application's own id of the user.")]
    ) -> SubscriptionStatusCheck:
        rows = await owned.live_subscriptions_of_user(info.context, user_id)
        return await SubscriptionStatusCheck.of(info, user_id, rows)
