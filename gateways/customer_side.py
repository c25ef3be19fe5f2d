"""The customer's side of the promise: the browser's half of a payment, played for the explorer."""

from dataclasses import dataclass
from typing import Protocol

from gateways.port import PaymentIntentSnapshot, SetupIntentSnapshot


@dataclass(frozen=True, slots=True)
class CardInput:
    """A test card as a person would type it into the browser, or a saved one by its gateway reference."""

    number: str | None = None
    exp_month: int | None = None
    exp_year: int | None = None
    cvc: str | None = None
    payment_method_ref: str | None = None


class CardBrowser(Protocol):
    """The browser's half of a payment, played for the explorer: publishable key and client secret only.

    Exists with the sandbox alone. Raises GatewayRefused, GatewayNotFound and GatewayUnavailable. `paying_card` and
    `refused_card` are references of test cards that anybody may save; each charge of the latter is declined.
    """

    paying_card: str
    refused_card: str

    async def confirm_payment_intent(
        self, client_secret: str, card: CardInput, *, return_url: str
    ) -> PaymentIntentSnapshot: ...

    async def confirm_setup_intent(
        self, client_secret: str, card: CardInput, *, return_url: str
    ) -> SetupIntentSnapshot: ...

    async def answer_challenge(
        self, client_secret: str, *, succeed: bool
    ) -> PaymentIntentSnapshot | SetupIntentSnapshot:
        """Pass or fail the 3-D Secure challenge that the intent waits for."""
        ...
