"""The port's contract, kept by a gateway that shares nothing with Stripe: the suite asks for the promise alone."""

from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx
import pytest

from clocks import SystemClock
from gateways.cards import SetupIntentSnapshot
from gateways.persons import Address, CustomerFacts
from gateways.port import GatewayUnavailable, PaymentIntentSnapshot
from tests.gateways.contract import Card, Delivery, GatewayContract, Outside
from tests.gateways.redirect_gateway import RedirectGateway
from tests.gateways.redirect_provider import PAGE, Provider

SECRET = "signed with this"
LAST_FOUR = {Card.GOOD: "4111", Card.REFUSED: "4222", Card.ASKING: "4333"}


@dataclass
class RedirectOutside:
    """The customer goes to the page that the next step names."""

    gateway: RedirectGateway
    provider: Provider

    async def enter_card(self, setup: SetupIntentSnapshot, card: Card) -> None:
        self.provider.enter_card(_page(setup), LAST_FOUR[card])

    async def pay(self, intent: PaymentIntentSnapshot, card: Card) -> None:
        self.provider.pay(_page(intent), LAST_FOUR[card])

    async def answer_bank(self, intent: PaymentIntentSnapshot, *, agrees: bool) -> None:
        self.provider.answer_bank(_page(intent), agrees=agrees)

    async def lose_next_answer(self) -> None:
        self.provider.lose = "answer"

    async def lose_next_call(self) -> None:
        self.provider.lose = "call"

    async def told_of_customer(self, ref: str) -> CustomerFacts:
        row = self.provider.rows[ref]
        place = Address(city=row["city"], country=row["land"])
        return CustomerFacts(row["name"], row["email"], row["phone"], place if place != Address() else None)

    async def delivery(self, pay: Awaitable[PaymentIntentSnapshot]) -> Delivery:
        paid = await pay
        body, signature = next(each for each in self.provider.deliveries if f'"{paid.ref}"'.encode() in each[0])
        second = int(signature.partition(":")[0])
        return Delivery(body, signature, datetime.fromtimestamp(second, UTC))


def _page(intent: SetupIntentSnapshot | PaymentIntentSnapshot) -> str:
    assert intent.next_step is not None
    assert intent.next_step.redirect_url is not None
    return intent.next_step.redirect_url


class TestRedirectGateway(GatewayContract):
    page_size = PAGE

    @pytest.fixture
    async def outside(self) -> AsyncIterator[Outside]:
        provider = Provider(SECRET, SystemClock().now)
        http = httpx.AsyncClient(transport=httpx.MockTransport(provider.answer), base_url="https://api.provider.test")
        gateway = RedirectGateway(http, SECRET)
        yield RedirectOutside(gateway, provider)
        await gateway.close()


async def test_a_request_with_another_signature_is_not_answered() -> None:
    provider = Provider(SECRET, SystemClock().now)
    http = httpx.AsyncClient(transport=httpx.MockTransport(provider.answer), base_url="https://api.provider.test")
    gateway = RedirectGateway(http, "another secret")
    with pytest.raises(GatewayUnavailable):
        await gateway.create_customer(customer_id="cst_1", facts=CustomerFacts(), idempotency_key="k")
    assert provider.rows == {}
    await gateway.close()
