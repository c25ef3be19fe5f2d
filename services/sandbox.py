"""The browser's half, played inside the explorer. What it does reaches billing as it always does: by webhook."""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from billing.charging import IntentStatus
from billing.errors import ErrorCode, UserProblem
from gateways.customer_side import CardBrowser, CardInput
from gateways.port import (
    CardRefused,
    GatewayNotFound,
    GatewayRefused,
    GatewayUnavailable,
    PaymentIntentSnapshot,
    SetupIntentSnapshot,
)
from models.customers import PaymentMethod, payment_method_of, setup_intent_of
from models.payments import Payment, intent_of, payment_by_id
from services.app import App
from services.payments.outcomes import PaymentIntentView, SetupIntentView
from services.problems import CardDeclined, gateway_unavailable, not_found

_RETURN_URL = "https://example.com/return"

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class BrowserOutcome:
    """The intent as the browser sees it after its act, of one kind or the other, and a decline beside it."""

    payment_intent: PaymentIntentView | None = None
    setup_intent: SetupIntentView | None = None
    problems: Sequence[UserProblem] = ()


async def confirm_payment_intent(
    app: App, *, client_secret: str, card: CardInput, return_url: str = _RETURN_URL
) -> BrowserOutcome:
    """Type a card into the payment form. Raises UserProblem NOT_FOUND, INVALID, INVALID_STATE."""
    card = await _with_gateway_ref(app, client_secret, card)
    return await _seen(app, _browser(app).confirm_payment_intent(client_secret, card, return_url=return_url))


async def confirm_setup_intent(
    app: App, *, client_secret: str, card: CardInput, return_url: str = _RETURN_URL
) -> BrowserOutcome:
    """Type a card into the form that saves it. Raises UserProblem NOT_FOUND, INVALID, INVALID_STATE."""
    card = await _with_gateway_ref(app, client_secret, card)
    return await _seen(app, _browser(app).confirm_setup_intent(client_secret, card, return_url=return_url))


async def answer_challenge(app: App, *, client_secret: str, succeed: bool) -> BrowserOutcome:
    """Pass or fail the bank's challenge. Raises UserProblem NOT_FOUND, INVALID_STATE."""
    return await _seen(app, _browser(app).answer_challenge(client_secret, succeed=succeed))


async def _seen(app: App, act: Awaitable[PaymentIntentSnapshot | SetupIntentSnapshot]) -> BrowserOutcome:
    try:
        snapshot = await act
    except CardRefused as refusal:
        return BrowserOutcome(problems=[CardDeclined(refusal.problem, None)])
    except GatewayUnavailable:
        raise gateway_unavailable() from None
    except GatewayNotFound:
        raise not_found("intent", "clientSecret") from None
    except GatewayRefused as refusal:
        raise UserProblem(ErrorCode.INVALID, str(refusal)) from None
    if isinstance(snapshot, PaymentIntentSnapshot):
        return await _payment(app, snapshot)
    return await _setup(app, snapshot)


async def _payment(app: App, snapshot: PaymentIntentSnapshot) -> BrowserOutcome:
    async with app.database.read() as session:
        row = await intent_of(session, app.gateway.platform, snapshot.ref)
        payment = await payment_by_id(session, row.payment_id) if row else None
    if row is None or payment is None:
        raise not_found("intent", "clientSecret")
    problems = _declined(snapshot, payment)
    return BrowserOutcome(payment_intent=PaymentIntentView(row, payment, snapshot), problems=problems)


async def _setup(app: App, snapshot: SetupIntentSnapshot) -> BrowserOutcome:
    async with app.database.read() as session:
        row = await setup_intent_of(session, snapshot.ref)
    if row is None:
        raise not_found("intent", "clientSecret")
    problems = _declined(snapshot, None)
    return BrowserOutcome(setup_intent=SetupIntentView(row, snapshot), problems=problems)


def _declined(snapshot: PaymentIntentSnapshot | SetupIntentSnapshot, payment: Payment | None) -> list[UserProblem]:
    """An intent that asks for a card again has been declined; in any other state an old decline is history."""
    if snapshot.last_problem is None or snapshot.status is not IntentStatus.REQUIRES_PAYMENT_METHOD:
        return []
    return [CardDeclined(snapshot.last_problem, payment)]


async def _with_gateway_ref(app: App, client_secret: str, card: CardInput) -> CardInput:
    """A saved card may be named by our id. One that is somebody else's is as good as none: NOT_FOUND."""
    named = card.payment_method_ref
    if named is None:
        return card
    intent_ref = client_secret.partition("_secret_")[0]
    platform = app.gateway.platform
    async with app.database.read() as session:
        row = await session.get(PaymentMethod, named) or await payment_method_of(session, platform, named)
        if row is None:
            return card
        intent = await intent_of(session, platform, intent_ref)
        payment = await payment_by_id(session, intent.payment_id) if intent else None
        owned = payment or await setup_intent_of(session, intent_ref)
    if owned is None or owned.customer_id != row.customer_id:
        raise not_found("payment method", "paymentMethodId")
    return replace(card, payment_method_ref=row.gateway_ref)


def _browser(app: App) -> CardBrowser:
    if app.browser is None:
        raise UserProblem(ErrorCode.INVALID_STATE, "There is no sandbox here: confirm the intent in the browser.")
    return app.browser
