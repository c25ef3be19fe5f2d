"""Everybody around StripeGateway: the browser's half with a publishable key, the bank's page, the network's faults."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx
import orjson
import stripe

from gateways.browser import SandboxBrowser
from gateways.cards import SetupIntentSnapshot
from gateways.customer_side import CardInput
from gateways.persons import Address, CustomerFacts
from gateways.port import PaymentIntentSnapshot
from gateways.stripe import StripeGateway
from tests.gateways.contract import Card, Delivery

NUMBERS = {Card.GOOD: "4242424242424242", Card.REFUSED: "4000000000000341", Card.ASKING: "4000002760003184"}
RETURN_URL = "https://shop.example/return"


def stripe_gateway(client: stripe.StripeClient, secret: str) -> StripeGateway:
    async def close() -> None:
        """The client is its owner's."""

    return StripeGateway(
        client,
        platform="sandbox",
        publishable_key="pk_test_sandbox",
        webhook_secrets=[secret],
        livemode=False,
        close=close,
    )


@dataclass
class StripeOutside:
    """`client` reads what the gateway keeps, `arm` makes a fault strike the next call, `sent` is the next webhook."""

    gateway: StripeGateway
    client: stripe.StripeClient
    browser: SandboxBrowser
    arm: Callable[[str], Awaitable[None]]
    sent: Callable[[], Awaitable[httpx.Request]]

    async def enter_card(self, setup: SetupIntentSnapshot, card: Card) -> None:
        seen = await self.browser.confirm_setup_intent(
            setup.client_secret, CardInput(number=NUMBERS[card]), return_url=RETURN_URL
        )
        if seen.next_step is not None:
            await self.browser.answer_challenge(setup.client_secret, succeed=True)

    async def pay(self, intent: PaymentIntentSnapshot, card: Card) -> None:
        await self.browser.confirm_payment_intent(
            intent.client_secret, CardInput(number=NUMBERS[card]), return_url=RETURN_URL
        )

    async def answer_bank(self, intent: PaymentIntentSnapshot, *, agrees: bool) -> None:
        await self.browser.answer_challenge(intent.client_secret, succeed=agrees)

    async def lose_next_answer(self) -> None:
        await self.arm("timeout_after")

    async def lose_next_call(self) -> None:
        await self.arm("timeout_before")

    async def told_of_customer(self, ref: str) -> CustomerFacts:
        seen = await self.client.v1.customers.retrieve_async(ref)
        place = seen.address and Address(city=seen.address.city, country=seen.address.country)
        return CustomerFacts(seen.name, seen.email, seen.phone, place)

    async def delivery(self, pay: Awaitable[PaymentIntentSnapshot]) -> Delivery:
        paid = await pay
        async with asyncio.timeout(60):
            while not _tells_of(request := await self.sent(), paid.ref):
                pass
        signature = request.headers["stripe-signature"]
        second = int(signature.partition(",")[0].removeprefix("t="))
        return Delivery(request.content, signature, datetime.fromtimestamp(second, UTC))


def _tells_of(request: httpx.Request, intent: str) -> bool:
    event = orjson.loads(request.content)
    return (event["type"], event["data"]["object"]["id"]) == ("payment_intent.succeeded", intent)
