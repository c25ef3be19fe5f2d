"""Who acts on the gateway beside us: the customer's browser, and the merchant at the gateway's dashboard."""

from collections.abc import Mapping
from typing import Any

import httpx
import stripe

from gateways.sandbox import Fault, InProcessTransport, Sandbox
from settings import SANDBOX_PUBLISHABLE_KEY, SANDBOX_SECRET_KEY
from tests.support.house import House

VISA = "4242424242424242"
MASTERCARD = "5555555555554444"
DECLINES = "4000000000000002"
NO_FUNDS = "4000000000009995"
ASKS_ALWAYS = "4000002760003184"
ASKS_THEN_DECLINES = "4000008400001629"

RETURN_URL = "https://shop.example/return"

LOST_ANSWERS = (
    Fault.TIMEOUT_BEFORE,
    Fault.TIMEOUT_AFTER,
    Fault.RESET_BEFORE,
    Fault.RESET_AFTER,
    Fault.ERROR_500_BEFORE,
    Fault.ERROR_500_AFTER,
    Fault.CONFLICT_409,
    Fault.RATE_LIMIT_429,
)
"""Each way in which the answer to a call can be lost."""


class Browser:
    """What a page can do with the publishable key and a client secret, in the wire's own words."""

    def __init__(self, house: House) -> None:
        self._house = house

    async def confirm(self, client_secret: str, number: str) -> httpx.Response:
        """Type a card into the form of a payment or setup intent."""
        intent = client_secret.partition("_secret_")[0]
        kind = "setup_intents" if intent.startswith("seti_") else "payment_intents"
        return await self._house.http.post(
            f"/sandbox/stripe/v1/{kind}/{intent}/confirm",
            data={
                "client_secret": client_secret,
                "return_url": RETURN_URL,
                "payment_method_data[type]": "card",
                "payment_method_data[card][number]": number,
                "payment_method_data[card][exp_month]": "12",
                "payment_method_data[card][exp_year]": "2034",
                "payment_method_data[card][cvc]": "123",
            },
            headers={"Authorization": f"Bearer {SANDBOX_PUBLISHABLE_KEY}"},
        )

    async def answer(self, challenge_url: str, outcome: str) -> httpx.Response:
        """Pass (succeeded) or fail (failed) the bank's challenge at the address that the intent names."""
        return await self._house.http.post(challenge_url, data={"outcome": outcome})

    async def confirm_challenged(self, client_secret: str, number: str) -> str:
        """Type a card that the bank asks about: the address of its challenge."""
        intent = (await self.confirm(client_secret, number)).json()
        assert intent["status"] == "requires_action", intent
        return intent["next_action"]["redirect_to_url"]["url"]


def sandbox_of(house: House) -> Sandbox:
    sandbox = house.installation.sandbox
    assert sandbox is not None
    return sandbox


def faults_always(house: House, *kinds: Fault) -> None:
    """From now on each of these strikes every time."""
    for kind in kinds:
        sandbox_of(house).faults.at_rate(kind, 1.0, seed=0)


def dashboard(house: House) -> Any:
    """The official SDK with the secret key, as the merchant's own hands on the gateway."""
    transport = InProcessTransport(sandbox_of(house).app)
    return stripe.StripeClient(SANDBOX_SECRET_KEY, http_client=transport, max_network_retries=0).v1


async def gateway_books(house: House) -> dict[str, list[Mapping[str, Any]]]:
    """All intents and charges that the gateway knows, oldest first, without what differs from run to run."""
    v1 = dashboard(house)
    intents = (await v1.payment_intents.list_async({"limit": 100})).to_dict()["data"]
    charges = (await v1.charges.list_async({"limit": 100})).to_dict()["data"]
    return {
        "intents": [
            {key: intent[key] for key in ("amount", "amount_received", "currency", "status")}
            for intent in reversed(intents)
        ],
        "charges": [
            {key: charge[key] for key in ("amount", "amount_captured", "currency", "paid", "status")}
            for charge in reversed(charges)
        ],
    }


async def charges_by_invoice(house: House) -> dict[str, int]:
    """How many succeeded charges the gateway's books hold for each of our invoices."""
    v1 = dashboard(house)
    intents = (await v1.payment_intents.list_async({"limit": 100})).to_dict()["data"]
    charges = (await v1.charges.list_async({"limit": 100})).to_dict()["data"]
    found = {intent["id"]: 0 for intent in intents}
    for charge in charges:
        found[charge["payment_intent"]] += charge["status"] == "succeeded"
    counted: dict[str, int] = {}
    for intent in intents:
        invoice = intent["metadata"]["perennial_invoice"]
        counted[invoice] = counted.get(invoice, 0) + found[intent["id"]]
    return counted
