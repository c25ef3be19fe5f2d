"""Who pays."""

from datetime import datetime
from typing import Annotated

import strawberry
from strawberry.scalars import JSON

from models.batches import (
    INVOICES,
    PAYMENT_METHODS,
    PAYMENTS,
    SUBSCRIPTIONS,
    InvoicesWhere,
    LivePaymentMethods,
    PaymentsWhere,
    SubscriptionsWhere,
)
from models.customers import Customer as CustomerRow
from models.customers import GatewayAccount as GatewayAccountRow
from resolvers import owned
from schema import cards, coupons, credits, entitlements, invoices, payments, runs, subscriptions
from schema.catalog import AppRole
from schema.connections import After, Connection, First, connection, span
from schema.enums import GatewayPlatform
from schema.fields import (
    CreditBalanceRef,
    CustomerRef,
    EntitlementsRef,
    Info,
    InvoiceRef,
    PaymentMethodRef,
    PaymentRef,
    PlanSubscriptionRef,
    TestClockRef,
    argument,
    described,
)
from schema.inputs import InvoiceFilter, SubscriptionFilter
from schema.interfaces import Node, Record, record_fields
from schema.money import Money


@strawberry.type(description="A user of the merchant's application.")
class UserRef:
    id: strawberry.ID = described("The application's own id of the user: the token's `sub`.")
    display_name: str = described("The best name known: the name, else the email address, else the id.")


@strawberry.type(description="A customer as a payment gateway knows them.")
class GatewayAccount:
    platform: GatewayPlatform = described("The gateway.")
    customer_id: str = described("The gateway's own id for the customer.")
    created_at: datetime = described("When it was opened there.")

    @classmethod
    def of(cls, row: GatewayAccountRow) -> "GatewayAccount":
        return cls(platform=GatewayPlatform(row.platform), customer_id=row.gateway_ref, created_at=row.created_at)


@strawberry.type(
    description="A user who has asked for anything that costs. Comes into being with the user's first mutation, or by "
    "`createCustomer`."
)
class Customer(Node, Record):
    user: UserRef = described("The user behind it.")
    external_id: str | None = described("The merchant's own id for the customer, if it has one.")
    name: str | None = described("The name, as the first token or `createCustomer` told it.")
    email: str | None = described("The email address, as the first token or `createCustomer` told it.")
    locale: str = described("The language of messages, by BCP 47.")
    timezone: str = described("The IANA zone by which new subscriptions count their days.")
    metadata: JSON = described("The merchant's own notes.")
    default_payment_method_id: strawberry.Private[str | None]
    test_clock_id: strawberry.Private[str | None]

    @classmethod
    def of(cls, row: CustomerRow) -> "Customer":
        return cls(
            **record_fields(row),
            user=UserRef(id=strawberry.ID(row.user_id), display_name=row.name or row.email or row.user_id),
            external_id=row.external_id,
            name=row.name,
            email=row.email,
            locale=row.locale,
            timezone=row.timezone,
            metadata=JSON(row.meta),
            default_payment_method_id=row.default_payment_method_id,
            test_clock_id=row.test_clock_id,
        )

    @strawberry.field(description="Sandbox only: the test clock by which the customer lives; null for the real time.")
    async def test_clock(self, info: Info) -> TestClockRef | None:
        row = await info.context.loaders.test_clock.load(self.test_clock_id) if self.test_clock_id else None
        return runs.TestClock.of(row) if row is not None else None

    @strawberry.field(description="The card that pays for what has no card of its own; null if none is saved.")
    async def default_payment_method(self, info: Info) -> PaymentMethodRef | None:
        return await cards.payment_method_of(info, self.default_payment_method_id)

    @strawberry.field(description="The saved cards, newest first.")
    async def payment_methods(
        self, info: Info, first: First = None, after: After = None
    ) -> Connection[PaymentMethodRef]:
        loaders, where = info.context.loaders, LivePaymentMethods()
        page = await loaders.methods_of_customer(self.id, where, span(info, PAYMENT_METHODS, first=first, after=after))

        async def count() -> int:
            return await loaders.count(PAYMENT_METHODS, "customer_id", self.id, where)

        return connection(PAYMENT_METHODS, page, cards.PaymentMethod.of, count)

    @strawberry.field(description="The subscription that has not ended, the newest if there are several; else null.")
    async def subscription(
        self,
        info: Info,
        product_code: Annotated[str | None, argument("To this product; to any unless given.")] = None,
    ) -> PlanSubscriptionRef | None:
        row = await owned.live_subscription(info.context, self.id, product_code)
        return subscriptions.PlanSubscription.of(row) if row is not None else None

    @strawberry.field(description="All subscriptions ever, newest first.")
    async def subscriptions(
        self,
        info: Info,
        filter: Annotated[SubscriptionFilter | None, argument("Only those that match.")] = None,
        first: First = None,
        after: After = None,
    ) -> Connection[PlanSubscriptionRef]:
        loaders = info.context.loaders
        where = filter.where() if filter is not None else SubscriptionsWhere()
        page = await loaders.subscriptions_of_customer(
            self.id, where, span(info, SUBSCRIPTIONS, first=first, after=after)
        )

        async def count() -> int:
            return await loaders.count(SUBSCRIPTIONS, "customer_id", self.id, where)

        return connection(SUBSCRIPTIONS, page, subscriptions.PlanSubscription.of, count)

    @strawberry.field(description="The invoices, newest first.")
    async def invoices(
        self,
        info: Info,
        filter: Annotated[InvoiceFilter | None, argument("Only those that match.")] = None,
        first: First = None,
        after: After = None,
    ) -> Connection[InvoiceRef]:
        where = filter.where() if filter is not None else InvoicesWhere()
        return await invoices.invoices_of(
            info, "customer_id", self.id, where, span(info, INVOICES, first=first, after=after)
        )

    @strawberry.field(description="The payments, newest first.")
    async def payments(self, info: Info, first: First = None, after: After = None) -> Connection[PaymentRef]:
        return await payments.payments_of(
            info, "customer_id", self.id, PaymentsWhere(), span(info, PAYMENTS, first=first, after=after)
        )

    @strawberry.field(description="Whether a trial of any product was ever started.")
    async def has_used_trial(self, info: Info) -> bool:
        return bool(await info.context.loaders.trials_of_customer.load(self.id))

    @strawberry.field(
        description="What is left with us, by currency: used by the next invoices. Negative: what is owed and was too "
        "little to be charged."
    )
    async def balance(self, info: Info) -> list[Money]:
        rows = await info.context.loaders.balances_of_customer.load(self.id)
        return [Money.of(row.amount) for row in sorted(rows, key=lambda row: row.currency)]

    @strawberry.field(description="The coupons on subscriptions that have not ended.")
    async def discounts(self, info: Info) -> list[coupons.Discount]:
        return await coupons.discounts_of(info, await owned.live_subscriptions(info.context, self.id))

    @strawberry.field(description="What is left of the credits of all subscriptions, by unit.")
    async def credit_balances(self, info: Info) -> list[CreditBalanceRef]:
        return await credits.balances_of_customer(info, self.id)

    @strawberry.field(description="What the customer may do now: the sum over all subscriptions that give access.")
    async def entitlements(self, info: Info) -> EntitlementsRef:
        rows = await owned.live_subscriptions(info.context, self.id)
        return await entitlements.entitlements_of(info, self.user.id, rows)

    @strawberry.field(description="The highest role that subscriptions grant in the application; null if none does.")
    async def role(self, info: Info) -> AppRole | None:
        return (await self.entitlements(info)).role

    @strawberry.field(description="When that role ends; null while it goes on, or if there is none.")
    async def role_ends_at(self, info: Info) -> datetime | None:
        return (await self.entitlements(info)).role_ends_at

    @strawberry.field(description="The customer at each payment gateway.")
    async def gateway_accounts(self, info: Info) -> list[GatewayAccount]:
        return [GatewayAccount.of(row) for row in await info.context.loaders.accounts_of_customer.load(self.id)]


async def customer_of(info: Info, customer_id: str) -> CustomerRef:
    """The owner of a row, held by a foreign key."""
    row = await info.context.loaders.customer.load(customer_id)
    assert row is not None
    return Customer.of(row)
