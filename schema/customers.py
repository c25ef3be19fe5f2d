"""Who pays."""

from datetime import date, datetime
from typing import Annotated
from uuid import UUID

import strawberry
from strawberry.scalars import JSON

from billing.dunning import is_delinquent
from billing.lifecycle import PaymentStatus
from models.batches import Span
from models.billing_lists import INVOICES, PAYMENTS, SUBSCRIPTIONS, InvoicesWhere, PaymentsWhere, SubscriptionsWhere
from models.customer_lists import PAYMENT_METHODS, LivePaymentMethods
from models.customers import Customer as CustomerRow
from models.customers import GatewayAccount as GatewayAccountRow
from resolvers import owned
from schema import cards, coupons, credits, entitlements, invoices, payments, runs, subscriptions
from schema.arguments import product_id_of
from schema.billing_filters import InvoiceFilter
from schema.catalog import AppRole
from schema.connections import After, Connection, First, below
from schema.enums import GatewayPlatform
from schema.fields import (
    AddressRef,
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
from schema.interfaces import Node, Record, record_fields
from schema.money import Money
from schema.scalars import URL, CurrencyCode
from schema.subscription_lists import SubscriptionFilter

_SUCCEEDED = PaymentsWhere(status=frozenset((PaymentStatus.SUCCEEDED,)))


@strawberry.type(description="A user of the merchant's application.")
class UserRef:
    id: strawberry.ID = described("The application's own id of the user: the token's `sub`.")
    display_name: str = described("The best name known: name, user name, email address, else the id.")
    username: str | None = described("What the user is called in the application; null: not told.")
    account_id: strawberry.ID | None = described("The application's own id of the user's account; null: not told.")

    @classmethod
    def of(cls, row: CustomerRow) -> "UserRef":
        return cls(
            id=strawberry.ID(row.user_id),
            display_name=row.full_name or row.username or row.email or row.user_id,
            username=row.username,
            account_id=strawberry.ID(row.account_id) if row.account_id is not None else None,
        )


@strawberry.type(description="A customer as a payment gateway knows them.")
class GatewayAccount:
    platform: GatewayPlatform = described("The gateway.")
    customer_id: str = described("The gateway's own id for the customer.")
    network_reference_id: str | None = described("What the card networks know the customer by; null: not told.")
    wallet_id: str | None = described("The customer's wallet at the gateway; null where it has none.")
    created_at: datetime = described("When it was opened there.")

    @classmethod
    def of(cls, row: GatewayAccountRow) -> "GatewayAccount":
        return cls(
            platform=GatewayPlatform(row.platform),
            customer_id=row.gateway_ref,
            network_reference_id=None,
            wallet_id=None,
            created_at=row.created_at,
        )


@strawberry.type(
    description="A user who has asked for anything that costs. Comes into being with the user's first mutation, or by "
    "`createCustomer`."
)
class Customer(Node, Record):
    user: UserRef = described("The user behind it.")
    external_id: str | None = described("The merchant's own id for the customer, if it has one.")
    uuid: str = described("The number in `id`, written as a UUID.")
    name: str | None = described("The name: as the first token told it, until it was changed.")
    first_name: str | None = described("The first name.")
    last_name: str | None = described("The last name.")
    email: str | None = described("The email address: as the first token told it, until it was changed.")
    phone: str | None = described("The telephone number.")
    birth_date: date | None = described("The day of birth.")
    region: str | None = described("The region or emirate.")
    image: URL | None = described("Where a picture of the customer is.")
    description: str | None = described("The merchant's own words about the customer.")
    sales_code: str | None = described("The code of who brought the customer.")
    onboarded: bool = described("Whether the user has been led through the application.")
    addresses: list[AddressRef] = described("Postal addresses; the first is the one for bills.")
    business_vat_id: str | None = described("The VAT id of the customer's business.")
    invoice_prefix: str = described("What the numbers of the customer's invoices begin with.")
    currency_code: CurrencyCode | None = described(
        "The currency that the customer prefers to be shown; null: not told."
    )
    is_valued_customer_coupon_sent: bool = described("Whether the coupon for valued customers was sent.")
    locale: str = described("The language of messages, by BCP 47.")
    timezone: str = described("The IANA zone by which new subscriptions count their days.")
    metadata: JSON = described("The merchant's own notes.")
    maker: strawberry.Private[str | None]
    default_payment_method_id: strawberry.Private[str | None]
    test_clock_id: strawberry.Private[str | None]

    @classmethod
    def of(cls, row: CustomerRow) -> "Customer":
        return cls(
            **record_fields(row),
            user=UserRef.of(row),
            external_id=row.external_id,
            uuid=str(UUID(row.id.partition("_")[2])),
            name=row.name,
            first_name=row.first_name,
            last_name=row.last_name,
            email=row.email,
            phone=row.phone,
            birth_date=row.birth_date,
            region=row.region,
            image=URL(row.image) if row.image is not None else None,
            description=row.description,
            sales_code=row.sales_code,
            onboarded=row.is_onboarded,
            addresses=[cards.Address.of(each) for each in row.addresses],
            business_vat_id=row.business_vat_id,
            invoice_prefix=row.invoice_prefix,
            currency_code=CurrencyCode(row.currency) if row.currency is not None else None,
            is_valued_customer_coupon_sent=row.is_valued_coupon_sent,
            maker=row.created_by,
            locale=row.locale,
            timezone=row.timezone,
            metadata=JSON(row.meta),
            default_payment_method_id=row.default_payment_method_id,
            test_clock_id=row.test_clock_id,
        )

    @strawberry.field(
        description="Who made it: admin, service or customer; for staff with the user's or the key's id, as in "
        "`admin:` and a user id. Null: the application's back end while doing something else, or nobody knows."
    )
    def created_by(self, info: Info) -> strawberry.ID | None:
        return strawberry.ID(info.context.told_actor(self.maker)) if self.maker is not None else None

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
        where, of = LivePaymentMethods(), cards.PaymentMethod.of
        return await below(info, PAYMENT_METHODS, "customer_id", self.id, of, where=where, first=first, after=after)

    @strawberry.field(description="The subscription that has not ended, the newest if there are several; else null.")
    async def subscription(
        self,
        info: Info,
        product_code: Annotated[
            str | None, argument("With anything of this product, by its code or an alias; to any unless given.")
        ] = None,
    ) -> PlanSubscriptionRef | None:
        row = await owned.live_subscription(info.context, self.id, await product_id_of(info, product_code))
        return subscriptions.PlanSubscription.of(row) if row is not None else None

    @strawberry.field(
        description="All subscriptions ever, newest first; without those that were taken back, unless asked for."
    )
    async def subscriptions(
        self,
        info: Info,
        filter: Annotated[SubscriptionFilter | None, argument("Only those that match.")] = None,
        first: First = None,
        after: After = None,
    ) -> Connection[PlanSubscriptionRef]:
        where = await filter.where(info) if filter is not None else SubscriptionsWhere()
        owned.refuse_foreign_archive(info.context, where)
        of = subscriptions.PlanSubscription.of
        return await below(info, SUBSCRIPTIONS, "customer_id", self.id, of, where=where, first=first, after=after)

    @strawberry.field(description="The invoices, newest first.")
    async def invoices(
        self,
        info: Info,
        filter: Annotated[InvoiceFilter | None, argument("Only those that match.")] = None,
        first: First = None,
        after: After = None,
    ) -> Connection[InvoiceRef]:
        where = filter.where() if filter is not None else InvoicesWhere()
        of = invoices.Invoice.of
        return await below(info, INVOICES, "customer_id", self.id, of, where=where, first=first, after=after)

    @strawberry.field(description="The payments, newest first.")
    async def payments(self, info: Info, first: First = None, after: After = None) -> Connection[PaymentRef]:
        of, where = payments.Payment.of, PaymentsWhere()
        return await below(info, PAYMENTS, "customer_id", self.id, of, where=where, first=first, after=after)

    @strawberry.field(description="The newest payment whose money came; null before there is one.")
    async def last_succeeded_payment(self, info: Info) -> PaymentRef | None:
        loaders, last = info.context.loaders, Span(limit=1)
        page = await loaders.listed(PAYMENTS, "customer_id", self.id, _SUCCEEDED, last)
        return payments.Payment.of(page.rows[0]) if page.rows else None

    @strawberry.field(
        description="Whether `subscription` ends with its period instead of renewing; null without one that goes on."
    )
    async def cancel_at_period_end(self, info: Info) -> bool | None:
        row = await owned.live_subscription(info.context, self.id, None)
        return row.cancel_at_period_end if row is not None else None

    @strawberry.field(
        description="Whether something that should have been paid by now is not: a subscription is PAST_DUE or UNPAID, "
        "or an open invoice was refused or is past its date."
    )
    async def is_delinquent(self, info: Info) -> bool:
        overdue_since = await info.context.loaders.overdue_since.load(self.id)
        rows = await owned.live_subscriptions(info.context, self.id)
        now = await info.context.present_of(self.test_clock_id)
        return is_delinquent((row.status for row in rows), overdue_since, now)

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
