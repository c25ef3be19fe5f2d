"""Who pays: customers, their accounts at gateways, their saved cards, and the saving of cards."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, Index, UniqueConstraint, text
from sqlmodel import Field, SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.charging import IntentStatus, SetupFutureUsage
from billing.money import Money
from models.audit_log import Audited
from models.base import BIG, DOCUMENT, EnumText, Leased, Record, UTCDateTime, index_where_set
from models.lockstep import by_platform, claim_subject, first_of, for_each, grouped


class Customer(Record, table=True):
    """A user of the merchant's application, once it has asked for anything that costs. `user_id` is the token's sub.

    `addresses` are what the port calls an address, the first one for bills. Archived: nobody any more, anonymized.
    """

    __tablename__ = "customers"
    __audited__ = Audited(
        told=frozenset(
            (
                *("locale", "timezone", "currency", "default_payment_method_id", "test_clock_id", "archived_at"),
                *("is_onboarded", "is_valued_coupon_sent"),
            )
        ),
        unseen=frozenset(("invoice_prefix", "last_invoice_number", "last_credit_note_number")),
    )
    # SQLite's tables are made anew by migrations, which lose what they cannot read back.
    __table_args__ = (Index("ix_customers_lower_email", text("lower(email)")).ddl_if(dialect="postgresql"),)

    user_id: str = Field(unique=True, max_length=255)
    email: str | None = Field(default=None, max_length=320)
    name: str | None = Field(default=None, max_length=250)
    locale: str = Field(default="en", max_length=35)
    timezone: str = Field(max_length=64)
    default_payment_method_id: str | None = Field(default=None, max_length=40)
    external_id: str | None = Field(default=None, unique=True, max_length=255)
    test_clock_id: str | None = Field(default=None, foreign_key="test_clocks.id", index=True)
    invoice_prefix: str = Field(max_length=12)
    last_invoice_number: int = 0
    last_credit_note_number: int = 0
    first_name: str | None = Field(default=None, max_length=100)
    last_name: str | None = Field(default=None, max_length=100)
    phone: str | None = Field(default=None, max_length=20)
    birth_date: date | None = None
    region: str | None = Field(default=None, max_length=100)
    image: str | None = Field(default=None, max_length=2048)
    description: str | None = Field(default=None, max_length=1000)
    username: str | None = Field(default=None, max_length=255)
    account_id: str | None = Field(default=None, max_length=255)
    sales_code: str | None = Field(default=None, max_length=100)
    business_vat_id: str | None = Field(default=None, max_length=30)
    currency: str | None = Field(default=None, max_length=3)
    addresses: list[dict[str, Any]] = Field(default_factory=list, sa_type=DOCUMENT)
    is_onboarded: bool = False
    is_valued_coupon_sent: bool = False
    created_by: str | None = Field(default=None, max_length=300)

    @property
    def full_name(self) -> str | None:
        """The name, put together from its parts where only they are known."""
        return self.name or " ".join(part for part in (self.first_name, self.last_name) if part) or None


class CustomerBalance(SQLModel, table=True):
    """What a customer has left with us in one currency; negative: what it still owes, too little to be charged."""

    __tablename__ = "customer_balances"

    customer_id: str = Field(primary_key=True, foreign_key="customers.id")
    currency: str = Field(primary_key=True, max_length=3)
    amount_minor: int = Field(default=0, sa_type=BIG)

    @property
    def amount(self) -> Money:
        return Money(self.amount_minor, self.currency)


class UsedTrial(SQLModel, table=True):
    """A customer's trial of a product, spent when it starts: there is one for each."""

    __tablename__ = "used_trials"

    customer_id: str = Field(primary_key=True, foreign_key="customers.id")
    product_id: str = Field(primary_key=True, foreign_key="products.id")
    started_at: datetime = Field(sa_type=UTCDateTime)


class GatewayAccount(Leased, table=True):
    """The customer at one gateway. `due_at` (the machine's time) is when the gateway must be told who it is now."""

    __tablename__ = "gateway_accounts"
    __table_args__ = (
        UniqueConstraint("customer_id", "platform"),
        UniqueConstraint("platform", "gateway_ref"),
        # With the platform, by whose unique key SQLite would else look through all of them.
        index_where_set("gateway_accounts", "platform", "due_at"),
    )

    id: str = Field(primary_key=True, max_length=40)
    customer_id: str = Field(foreign_key="customers.id")
    platform: str = Field(max_length=20)
    gateway_ref: str = Field(max_length=255)
    created_at: datetime = Field(sa_type=UTCDateTime)


class PaymentMethod(Record, table=True):
    """A saved card as last seen at the gateway. Archived when detached. Never a card number."""

    __tablename__ = "payment_methods"
    __audited__ = Audited(told=frozenset(("customer_id", "platform", "type", "livemode", "archived_at")))
    __table_args__ = (UniqueConstraint("platform", "gateway_ref"),)

    customer_id: str = Field(foreign_key="customers.id", index=True)
    platform: str = Field(max_length=20)
    gateway_ref: str = Field(max_length=255)
    type: str = Field(max_length=40)
    livemode: bool = False
    card: dict[str, Any] | None = Field(default=None, sa_type=DOCUMENT)
    billing_details: dict[str, Any] = Field(default_factory=dict, sa_type=DOCUMENT)
    mandate: dict[str, Any] | None = Field(default=None, sa_type=DOCUMENT)


class SetupIntentRow(SQLModel, table=True):
    """Saving a card without a charge, as last seen at the gateway. The client secret is never stored."""

    __tablename__ = "setup_intents"

    id: str = Field(primary_key=True, max_length=40)
    customer_id: str = Field(foreign_key="customers.id", index=True)
    gateway_ref: str | None = Field(default=None, unique=True, max_length=255)
    usage: SetupFutureUsage = Field(sa_type=EnumText(SetupFutureUsage))
    return_url: str | None = None
    error_url: str | None = None
    status: IntentStatus = Field(default=IntentStatus.REQUIRES_PAYMENT_METHOD, sa_type=EnumText(IntentStatus))
    payment_method_id: str | None = Field(default=None, foreign_key="payment_methods.id")
    created_at: datetime = Field(sa_type=UTCDateTime)
    updated_at: datetime = Field(sa_type=UTCDateTime)


async def balance_of(session: AsyncSession, customer_id: str, currency: str) -> Money:
    """Zero where there is no row."""
    row = await session.get(CustomerBalance, (customer_id, currency))
    return row.amount if row is not None else Money.zero(currency)


async def balances_of(session: AsyncSession, customer_id: str) -> Sequence[CustomerBalance]:
    """In each currency in which there ever was one."""
    query = select(CustomerBalance).where(CustomerBalance.customer_id == customer_id)
    return (await session.exec(query.order_by(CustomerBalance.currency))).all()


async def change_balance(session: AsyncSession, customer_id: str, by: Money) -> Money:
    """Add to it, or with a negative amount take from it, under the customer's lock: what is left then."""
    row = await session.get(CustomerBalance, (customer_id, by.currency))
    if row is None:
        row = CustomerBalance(customer_id=customer_id, currency=by.currency)
        session.add(row)
    row.amount_minor += by.minor
    return row.amount


async def customer_of_user(session: AsyncSession, user_id: str) -> Customer | None:
    return (await session.exec(select(Customer).where(Customer.user_id == user_id))).first()


async def customer_of_external_id(session: AsyncSession, external_id: str) -> Customer | None:
    return (await session.exec(select(Customer).where(Customer.external_id == external_id))).first()


async def locked_customer(session: AsyncSession, customer_id: str) -> Customer | None:
    """The customer, held until the transaction ends: the one lock of every step that decides about its money."""
    claim_subject(session, customer_id)
    return await _locked(session, customer_id)


@for_each
async def _locked(session: AsyncSession, customer_ids: Sequence[str]) -> Mapping[str, Customer | None]:
    """In the order of their ids, so that whoever locks several never waits for one who waits for them."""
    query = select(Customer).where(col(Customer.id).in_(customer_ids)).order_by(Customer.id)
    query = query.with_for_update(key_share=True).execution_options(populate_existing=True)
    return first_of(customer_ids, (await session.exec(query)).all(), lambda row: row.id)


async def trials_of(session: AsyncSession, customer_ids: Sequence[str]) -> Sequence[UsedTrial]:
    query = select(UsedTrial).where(col(UsedTrial.customer_id).in_(customer_ids))
    return (await session.exec(query.order_by(UsedTrial.customer_id, UsedTrial.product_id))).all()


async def gateway_account(session: AsyncSession, customer_id: str, platform: str) -> GatewayAccount | None:
    """Who the customer is at that gateway; None: nobody yet."""
    accounts = await accounts_of(session, customer_id)
    return next((account for account in accounts if account.platform == platform), None)


def accounts_at(platform: str, customer_id: str | None = None) -> Sequence[ColumnElement[bool]]:
    """Which accounts are at that gateway: all of them, or one customer's."""
    there = col(GatewayAccount.platform) == platform
    return [there] if customer_id is None else [there, col(GatewayAccount.customer_id) == customer_id]


@for_each
async def accounts_of(session: AsyncSession, customer_ids: Sequence[str]) -> Mapping[str, Sequence[GatewayAccount]]:
    """The customer at each gateway that knows it."""
    query = select(GatewayAccount).where(col(GatewayAccount.customer_id).in_(customer_ids))
    return grouped(customer_ids, (await session.exec(query)).all(), lambda row: row.customer_id)


async def cards_ever_of(session: AsyncSession, customer_id: str, platform: str) -> Sequence[PaymentMethod]:
    """Detached ones too."""
    query = select(PaymentMethod).where(PaymentMethod.customer_id == customer_id, PaymentMethod.platform == platform)
    return (await session.exec(query.order_by(col(PaymentMethod.id)))).all()


async def customer_of_account(session: AsyncSession, platform: str, gateway_ref: str) -> Customer | None:
    query = (
        select(Customer)
        .join(GatewayAccount, col(GatewayAccount.customer_id) == Customer.id)
        .where(GatewayAccount.platform == platform, GatewayAccount.gateway_ref == gateway_ref)
    )
    return (await session.exec(query)).first()


async def customer_accounts(
    session: AsyncSession, platform: str, refs: Sequence[str], ids: Sequence[str]
) -> Sequence[tuple[GatewayAccount, Customer]]:
    """The accounts with one of these references or of one of these customers, each with its customer, if it is still
    somebody."""
    query = (
        select(GatewayAccount, Customer)
        .join(Customer, col(Customer.id) == GatewayAccount.customer_id)
        .where(
            GatewayAccount.platform == platform,
            col(GatewayAccount.gateway_ref).in_(refs) | col(GatewayAccount.customer_id).in_(ids),
            col(Customer.archived_at).is_(None),
        )
        .order_by(col(GatewayAccount.id))
    )
    return (await session.exec(query)).all()


async def payment_methods_of(session: AsyncSession, platform: str, refs: Sequence[str]) -> Sequence[PaymentMethod]:
    """Cards by the gateway's references, detached ones too."""
    query = select(PaymentMethod).where(PaymentMethod.platform == platform, col(PaymentMethod.gateway_ref).in_(refs))
    return (await session.exec(query)).all()


async def payment_method_of(session: AsyncSession, platform: str, gateway_ref: str) -> PaymentMethod | None:
    """The card of that reference, detached or not."""
    return await _method(session, (platform, gateway_ref))


@for_each
async def _method(
    session: AsyncSession, places: Sequence[tuple[str, str]]
) -> Mapping[tuple[str, str], PaymentMethod | None]:
    rows: list[PaymentMethod] = []
    for platform, refs in by_platform(places).items():
        rows += await payment_methods_of(session, platform, refs)
    return first_of(places, rows, lambda row: (row.platform, row.gateway_ref))


async def live_payment_method(session: AsyncSession, customer_id: str, *, id_or_ref: str) -> PaymentMethod | None:
    """The customer's own card by our id or the gateway's; None when foreign, detached or missing."""
    query = select(PaymentMethod).where(
        PaymentMethod.customer_id == customer_id,
        (col(PaymentMethod.id) == id_or_ref) | (col(PaymentMethod.gateway_ref) == id_or_ref),
        col(PaymentMethod.archived_at).is_(None),
    )
    return (await session.exec(query)).first()


async def live_payment_methods(session: AsyncSession, customer_id: str) -> Sequence[PaymentMethod]:
    query = (
        select(PaymentMethod)
        .where(PaymentMethod.customer_id == customer_id, col(PaymentMethod.archived_at).is_(None))
        .order_by(col(PaymentMethod.id).desc())
    )
    return (await session.exec(query)).all()


async def setup_intent_of(session: AsyncSession, gateway_ref: str) -> SetupIntentRow | None:
    return (await session.exec(select(SetupIntentRow).where(SetupIntentRow.gateway_ref == gateway_ref))).first()
