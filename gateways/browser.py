"""The browser's half against the sandbox: what Stripe.js does with a publishable key and a client secret.

Serves the explorer's sandbox mutations only; no secret key is used here.
"""

from typing import Any

import httpx
import stripe

from gateways import snapshots
from gateways.answers import error_body, translated
from gateways.customer_side import CardInput
from gateways.port import (
    CardRefused,
    GatewayRefused,
    PaymentIntentSnapshot,
    SetupIntentSnapshot,
)

_DEFAULT_EXPIRY = (12, 2034)
_DEFAULT_CVC = "123"


class SandboxBrowser:
    """Confirms with a publishable key, and answers challenges at the address that the intent names."""

    paying_card = "pm_card_visa"
    refused_card = "pm_card_chargeCustomerFail"

    def __init__(self, client: stripe.StripeClient, pages: httpx.AsyncClient) -> None:
        """`client` holds the publishable key; `pages` reaches the challenge pages."""
        self._v1, self._pages = client.v1, pages

    async def confirm_payment_intent(
        self, client_secret: str, card: CardInput, *, return_url: str
    ) -> PaymentIntentSnapshot:
        params: Any = {"client_secret": client_secret, "return_url": return_url, **_card_params(card)}
        call = self._v1.payment_intents.confirm_async(_intent_of(client_secret), params)
        return snapshots.payment_intent(await _answer(call, "payment_intent"))

    async def confirm_setup_intent(
        self, client_secret: str, card: CardInput, *, return_url: str
    ) -> SetupIntentSnapshot:
        params: Any = {"client_secret": client_secret, "return_url": return_url, **_card_params(card)}
        call = self._v1.setup_intents.confirm_async(_intent_of(client_secret), params)
        return snapshots.setup_intent(await _answer(call, "setup_intent"))

    async def answer_challenge(
        self, client_secret: str, *, succeed: bool
    ) -> PaymentIntentSnapshot | SetupIntentSnapshot:
        intent = await self._retrieve(client_secret)
        if intent.next_step is None or intent.next_step.redirect_url is None:
            raise GatewayRefused("The intent waits for no challenge.", code="no_challenge")
        outcome = "succeeded" if succeed else "failed"
        answer = await self._pages.post(intent.next_step.redirect_url, data={"outcome": outcome})
        if answer.status_code >= 400:
            raise GatewayRefused(f"The challenge page answered {answer.status_code}.", code="challenge_refused")
        return await self._retrieve(client_secret)

    async def _retrieve(self, client_secret: str) -> PaymentIntentSnapshot | SetupIntentSnapshot:
        ref = _intent_of(client_secret)
        params: Any = {"client_secret": client_secret}
        if ref.startswith("seti_"):
            call = self._v1.setup_intents.retrieve_async(ref, params)
            return snapshots.setup_intent(await _answer(call, "setup_intent"))
        call = self._v1.payment_intents.retrieve_async(ref, params)
        return snapshots.payment_intent(await _answer(call, "payment_intent"))


def _intent_of(client_secret: str) -> str:
    """The intent's reference stands before `_secret_`."""
    ref, marker, _ = client_secret.partition("_secret_")
    if not marker or not ref.replace("_", "").isalnum():
        raise GatewayRefused("This is no client secret.", code="client_secret_invalid")
    return ref


def _card_params(card: CardInput) -> dict[str, Any]:
    if card.payment_method_ref is not None:
        return {"payment_method": card.payment_method_ref}
    if card.number is None:
        return {}
    month, year = _DEFAULT_EXPIRY
    typed = {
        "number": card.number,
        "exp_month": card.exp_month or month,
        "exp_year": card.exp_year or year,
        "cvc": card.cvc or _DEFAULT_CVC,
    }
    return {"payment_method_data": {"type": "card", "card": typed}}


async def _answer(call: Any, kind: str) -> Any:
    try:
        return (await call).to_dict()
    except stripe.CardError as error:
        body = error_body(error)
        if intent := body.get(kind):
            return intent
        problem = snapshots.problem(body)
        if problem is None:
            raise translated(error) from error
        raise CardRefused(problem) from error
    except stripe.StripeError as error:
        raise translated(error) from error
