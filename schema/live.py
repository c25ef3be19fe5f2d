"""The root of live updates: how something is now, and each change of it."""

from collections.abc import AsyncGenerator
from typing import Annotated

import strawberry

from models.operation_lists import EVENT_STREAM
from models.payments import Payment as PaymentRow
from models.subscriptions import Subscription as SubscriptionRow
from resolvers import owned
from resolvers.context import RequestContext
from resolvers.following import Present, follow, follow_events
from schema.arguments import one_of, refuse_arguments
from schema.billing_events import NAMES, BillingEvent, events_of
from schema.connections import span
from schema.entitlements import Entitlements, entitlements_of
from schema.fields import Info, argument
from schema.payments import Payment
from schema.subscriptions import PlanSubscription


@strawberry.type(
    name="Subscription",
    description="Live updates, over WebSockets (graphql-transport-ws) or as server-sent events. Each begins with the "
    "present state, so that nothing is missed however late one begins; of states that follow one another faster than "
    "they are read, the latest is told.",
)
class LiveUpdates:
    @strawberry.subscription(
        description="A subscription, whenever it, its access or its latest payment is another than before. Without "
        "an id the caller's own that has not ended, as soon as there is one, and the end of it."
    )
    async def subscription_updated(
        self,
        info: Info,
        id: Annotated[strawberry.ID | None, argument("Its id. Those who read all must give it.")] = None,
    ) -> AsyncGenerator[PlanSubscription, None]:
        context = info.context
        followed: str | None = None

        async def read() -> Present[SubscriptionRow]:
            nonlocal followed
            if id is not None:
                row = await owned.subscription(context, id)
                if row is None:
                    raise refuse_arguments(info, "id: there is no subscription of yours with this id.", "id")
            elif context.reads_all:
                raise refuse_arguments(info, "id: give the subscription's id.", "id")
            else:
                row = await owned.my_subscription(context, None)
                if row is None and followed is not None:
                    row = await owned.subscription(context, followed)
            if row is None:
                return Present(await _own_id(context), None)
            followed = row.id
            latest = await context.loaders.latest_payment(row.id)
            paid = (latest.id, latest.version) if latest is not None else None
            is_active = await PlanSubscription.of(row).gives_access(info)  # a grace that is over changes no row
            return Present(row.customer_id, row, (row.id, row.version, paid, is_active))

        async for row in follow(context, read):
            yield PlanSubscription.of(row)

    @strawberry.subscription(
        description="A payment, whenever it is another than before: by its id, or the latest of a subscription, as "
        "soon as there is one. Open it before the customer confirms a card."
    )
    async def payment_updated(
        self,
        info: Info,
        payment_id: Annotated[strawberry.ID | None, argument("Its id.")] = None,
        subscription_id: Annotated[strawberry.ID | None, argument("The subscription that it is for.")] = None,
    ) -> AsyncGenerator[Payment, None]:
        one_of(info, paymentId=payment_id, subscriptionId=subscription_id)
        context = info.context

        async def read() -> Present[PaymentRow]:
            if payment_id is not None:
                row = await owned.payment(context, payment_id)
                if row is None:
                    message = "paymentId: there is no payment of yours with this id."
                    raise refuse_arguments(info, message, "paymentId")
                return Present(row.customer_id, row, row.version)
            subscription = await owned.subscription(context, subscription_id or "")
            if subscription is None:
                message = "subscriptionId: there is no subscription of yours with this id."
                raise refuse_arguments(info, message, "subscriptionId")
            latest = await context.loaders.latest_payment(subscription.id)
            version = (latest.id, latest.version) if latest is not None else None
            return Present(subscription.customer_id, latest, version)

        async for row in follow(context, read):
            yield Payment.of(row)

    @strawberry.subscription(
        description="What the caller may do, whenever that is another than before. What was used of it is not told of."
    )
    async def entitlements_changed(self, info: Info) -> AsyncGenerator[Entitlements, None]:
        context = info.context

        async def read() -> Present[Entitlements]:
            own = await context.own_customer()
            rows = await owned.live_subscriptions(context, own.id) if own is not None else []
            found = await entitlements_of(info, context.identity.user_id or "", rows)
            role = found.role.code if found.role is not None else None
            version = ([item.value for item in found.items], role, found.role_ends_at)
            return Present(own.id if own is not None else None, found, version)

        async for found in follow(context, read):
            yield found

    @strawberry.subscription(
        description="What happens, one by one, in the order of `billingEvents`. Keep the last `cursor` and begin again "
        "after it: nothing is left out and nothing comes twice."
    )
    async def billing_events(
        self,
        info: Info,
        after: Annotated[
            str | None, argument("All that follows this cursor; without one, what happens from now on.")
        ] = None,
        types: Annotated[list[str] | None, argument(f"{NAMES}; everything unless given.")] = None,
    ) -> AsyncGenerator[BillingEvent, None]:
        place = span(info, EVENT_STREAM, after=after).after
        async for row in follow_events(info.context, events_of(info, types), place):
            yield BillingEvent.of(row)


async def _own_id(context: RequestContext) -> str | None:
    own = await context.own_customer()
    return own.id if own is not None else None
