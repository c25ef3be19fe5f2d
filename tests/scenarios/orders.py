"""Standing orders that staff make for customers: what is asked of the API, and what it tells of them afterwards."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from tests.support.house import House

ADMIN = "demo-admin"

CREATE_CUSTOMER = """mutation ($user: ID!) { createCustomer(input: {userId: $user}) {
  customer { id } userErrors { code } } }"""
CUSTOMER = """query ($user: ID!) { customer(by: {userId: $user}) { id defaultPaymentMethod { id } } }"""
SUBSCRIBE = """mutation ($input: SubscribeInput!) { subscribe(input: $input) {
  subscription { id status isActive } userErrors { code field } } }"""
ATTACH = """mutation ($card: String!) { attachPaymentMethod(input: {paymentMethodId: $card, makeDefault: true}) {
  userErrors { code } } }"""
LIFE = """query ($id: ID!) { subscription(id: $id) {
  status isActive origin name currentPeriod { start end } nextBillingAt startedAt endsAt endedAt billingDay
  collectionMethod daysUntilDue taxPercent amount { formatted } pricePaid { formatted } totalPaid { formatted }
  cancellation { reason requestedBy } statusHistory { to cause }
  items { plan { code } product { code } quantity unitAmountOverride { formatted } }
  invoices(first: 50) { nodes { id status reason dueAt total { formatted } amountDue { formatted }
    amountPaid { formatted } period { start end } lines { description amount { formatted } }
    payments { platform status gatewayPaymentId amountPaid { formatted } attempts { trigger outcome } } } } } }"""


async def customer_id(house: House, user: str) -> str:
    """The customer of that user, made when there is none."""
    found = (await house.ask(CUSTOMER, {"user": user}, ADMIN))["customer"]
    if found is None:
        found = (await house.ask(CREATE_CUSTOMER, {"user": user}, ADMIN))["createCustomer"]["customer"]
    return found["id"]


async def default_card(house: House, user: str) -> str:
    return (await house.ask(CUSTOMER, {"user": user}, ADMIN))["customer"]["defaultPaymentMethod"]["id"]


async def subscribe(house: House, user: str, **wish: Any) -> dict[str, Any]:
    """The payload of `subscribe` as `user`."""
    return (await house.ask(SUBSCRIBE, {"input": wish}, user))["subscribe"]


async def ordered(house: House, user: str, *, by: str = ADMIN, with_card: bool = True, **wish: Any) -> str:
    """The id of a new subscription of `user`, ordered by staff and paid with the saved card."""
    if by == ADMIN:
        wish["customerId"] = await customer_id(house, user)
    if with_card:
        wish["paymentMethodId"] = await default_card(house, user)
    told = await subscribe(house, by, **wish)
    assert told["userErrors"] == []
    return told["subscription"]["id"]


async def life(house: House, subscription: str) -> dict[str, Any]:
    return (await house.ask(LIFE, {"id": subscription}, ADMIN))["subscription"]


def billed(life: dict[str, Any]) -> Sequence[tuple[str, str, str, str]]:
    """Each invoice as (first day, last day, total, status), the oldest first."""
    return [
        (each["period"]["start"][:10], each["period"]["end"][:10], each["total"]["formatted"], each["status"])
        for each in reversed(life["invoices"]["nodes"])
    ]


def states(life: dict[str, Any]) -> Sequence[str]:
    return [change["to"] for change in life["statusHistory"]]


async def pass_to(house: House, date: str) -> None:
    """The worker at that instant, and all news delivered."""
    house.pass_time(datetime.fromisoformat(date) - house.clock.now())
    await house.work()
    await house.deliver()


async def day_by_day(house: House, days: int) -> None:
    for _ in range(days):
        house.pass_time(timedelta(days=1))
        await house.work()
    await house.deliver()
