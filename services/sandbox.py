"""The browser's half, played inside the explorer. What it does reaches billing as it always does: by webhook."""

from billing.errors import ErrorCode, UserProblem
from gateways.port import (
    CardBrowser,
    CardInput,
    CardRefused,
    GatewayNotFound,
    GatewayRefused,
    GatewayUnavailable,
    PaymentIntentSnapshot,
    SetupIntentSnapshot,
)
from models.customers import payment_method_of, setup_intent_of
from models.payments import intent_of, payment_by_id
from services.app import App
from services.cards import SetupIntentView
from services.outcomes import PaymentIntentView
from services.problems import CardDeclined, gateway_unavailable, not_found
from services.shielding import within_budget

_RETURN_URL = "https://example.com/return"


async def confirm_payment_intent(app: App, *, client_secret: str, card: CardInput) -> PaymentIntentView:
    """Type a card into the payment form. Raises UserProblem CARD_DECLINED, NOT_FOUND, INVALID."""
    card = await _with_gateway_ref(app, card)
    browser = _browser(app)
    snapshot = await _ask(
        app, browser.confirm_payment_intent(client_secret, card, return_url=_RETURN_URL), "clientSecret"
    )
    view = await _payment_view(app, snapshot)
    if snapshot.last_problem is not None:
        raise CardDeclined(snapshot.last_problem, view.payment)
    return view


async def confirm_setup_intent(app: App, *, client_secret: str, card: CardInput) -> SetupIntentView:
    """Type a card into the form that saves it. Raises UserProblem CARD_DECLINED, NOT_FOUND, INVALID."""
    card = await _with_gateway_ref(app, card)
    browser = _browser(app)
    snapshot = await _ask(
        app, browser.confirm_setup_intent(client_secret, card, return_url=_RETURN_URL), "clientSecret"
    )
    return await _setup_view(app, snapshot)


async def answer_challenge(
    app: App, *, client_secret: str, succeed: bool
) -> PaymentIntentView | SetupIntentView:
    """Pass or fail the bank's challenge. Raises UserProblem NOT_FOUND, INVALID_STATE."""
    snapshot = await _ask(app, _browser(app).answer_challenge(client_secret, succeed=succeed), "clientSecret")
    if isinstance(snapshot, PaymentIntentSnapshot):
        return await _payment_view(app, snapshot)
    return await _setup_view(app, snapshot)
