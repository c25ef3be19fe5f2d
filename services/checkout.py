"""Checkout links: a wish sealed into an address. Whoever holds it may carry the wish out, as the one who made it, once.

Nothing is kept of a link. It names its purchase by a key of its own, so opening it again goes on with what was begun,
and what is paid is not paid again. Links live by the security clock.
"""

import zlib
from base64 import urlsafe_b64encode
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import uuid4

from cryptography.fernet import Fernet, InvalidToken
from pydantic import TypeAdapter, ValidationError

from billing.charging import IntentStatus, SetupFutureUsage
from billing.errors import ErrorCode, UserProblem
from billing.lifecycle import SUBSCRIPTION, PaymentStatus, SubscriptionStatus
from gateways.port import GatewayRefused, GatewayUnavailable
from models.api_keys import ApiKey
from models.customers import Customer, customer_of_user
from models.subscriptions import CollectionMethod, Subscription
from services.app import Actor, App
from services.idempotency import PAYMENT_OUTCOMES, answer_of, once
from services.payments.arrears import effective_method
from services.payments.outcomes import PaymentOutcome
from services.payments.resolving import refresh_payment
from services.people.customers import acting_customer
from services.quotes.previewing import preview_subscribe
from services.quotes.quoting import Quoted
from services.subscriptions.ordering import SubscribeWish
from services.subscriptions.subscribing import subscribe
from services.wallet.cards import create_setup_intent, follow_setup_intent

LIFETIME = timedelta(hours=24)
_LONGEST = 1_800  # with what stands before it, an address of 2048 characters at most: mail programs cut longer ones
_CAUSE = "checkout"
_ON_ITS_WAY = frozenset((PaymentStatus.PROCESSING, PaymentStatus.UNKNOWN))
_MADE_THERE = frozenset((IntentStatus.PROCESSING, IntentStatus.SUCCEEDED))


class LinkRefused(Exception):
    """No link of ours, or one whose maker may no longer act."""


class LinkExpired(LinkRefused):
    """A link of ours that is too old."""


@dataclass(frozen=True, slots=True)
class Checkout:
    """What a link stands for: who wishes what, and the key of the purchase."""

    actor: Actor
    wish: SubscribeWish
    key: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class CheckoutLink:
    """A link's own part of its address, and how long it holds."""

    token: str
    expires_at: datetime


class Stage(StrEnum):
    """How far a checkout is. OPEN: there is nothing to pay with yet, or the gateway gave that up.

    WAITING: the gateway has the payment, whether we have heard of its end or not. OVER: what was begun has ended
    without being paid, or was canceled since.
    """

    OPEN = "open"
    PAYING = "paying"
    SAVING = "saving"
    WAITING = "waiting"
    DONE = "done"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class CheckoutState:
    """`quoted` tells what is to be paid while that is not done; `client_secret` is for the browser's half.

    `customer` None: somebody who has not asked for anything yet.
    """

    stage: Stage
    customer: Customer | None
    quoted: Quoted | None = None
    outcome: PaymentOutcome | None = None
    client_secret: str | None = None


_SEALED = TypeAdapter(Checkout)


async def create_checkout_link(app: App, actor: Actor, wish: SubscribeWish) -> CheckoutLink:
    """Seal a wish that could be carried out now. Raises UserProblem as its preview does."""
    for name, given in (("paymentMethodId", wish.payment_method_id), ("quoteToken", wish.quote_token)):
        if given is not None:
            raise UserProblem(ErrorCode.INVALID, f"{name}: the page asks for it itself; leave it out.", [name])
    if actor.user_id is None and wish.customer_id is None:
        raise UserProblem(ErrorCode.REQUIRED, "Say for whom: give customerId.", ["customerId"])
    await preview_subscribe(app, actor, wish)
    sealed = replace(
        wish, idempotency_key=None, setup_future_usage=wish.setup_future_usage or SetupFutureUsage.OFF_SESSION
    )
    expires_at = (app.machine_now() + LIFETIME).replace(microsecond=0)
    token = _seal(app, Checkout(actor, sealed, wish.idempotency_key or uuid4().hex, expires_at))
    if len(token) > _LONGEST:
        raise UserProblem(ErrorCode.INVALID, "This is too much for a link: give shorter metadata.", ["metadata"])
    return CheckoutLink(token, expires_at)


async def opened(app: App, token: str) -> Checkout:
    """What the link stands for. Raises LinkRefused, LinkExpired."""
    try:
        checkout = _SEALED.validate_json(zlib.decompress(_sealer(app).decrypt(token)))
    except (InvalidToken, ValidationError, zlib.error, ValueError):
        raise LinkRefused from None
    now = app.machine_now()
    if now >= checkout.expires_at:
        raise LinkExpired
    if checkout.actor.api_key_id is not None:
        async with app.database.read() as session:
            key = await session.get(ApiKey, checkout.actor.api_key_id)
        if key is None or key.revoked_at is not None or (key.expires_at is not None and key.expires_at <= now):
            raise LinkRefused
    return checkout


async def look(app: App, checkout: Checkout) -> CheckoutState:
    """How far it is; nothing is written. Raises UserProblem for what cannot be bought any more."""
    customer = await _customer(app, checkout)
    outcome = customer and await answer_of(app, checkout.actor, customer.id, _CAUSE, checkout.key, PAYMENT_OUTCOMES)
    if not outcome or outcome.subscription is None:
        return CheckoutState(Stage.OPEN, customer, await preview_subscribe(app, checkout.actor, checkout.wish))
    return await _state(app, checkout, customer, outcome)


async def begin(app: App, checkout: Checkout, *, quote_token: str | None, return_url: str) -> CheckoutState:
    """Subscribe, held to the quote that was shown; what was begun already goes on. Raises UserProblem.

    `return_url` is where the bank sends the customer after a challenge.
    """
    customer = await acting_customer(app, checkout.actor, checkout.wish.customer_id)
    wish = replace(checkout.wish, quote_token=quote_token, return_url=return_url)

    async def run() -> PaymentOutcome:
        return await subscribe(app, checkout.actor, wish)

    outcome = await once(
        app, checkout.actor, customer.id, _CAUSE, checkout.key, asdict(checkout.wish), PAYMENT_OUTCOMES, run
    )
    state = await _state(app, checkout, customer, outcome)
    if state.stage is Stage.OPEN:
        state = await _state(app, checkout, customer, await run())  # The order goes on with another intent.
    return state


async def follow(app: App, checkout: Checkout) -> CheckoutState:
    """Ask the gateway what has become of the browser's half, instead of waiting for the news. Raises UserProblem."""
    state = await look(app, checkout)
    outcome = state.outcome
    if outcome is None:
        return state
    try:
        if outcome.setup_intent is not None:
            snapshot = await app.gateway.retrieve_setup_intent(outcome.setup_intent.snapshot.ref)
            await follow_setup_intent(app, snapshot)
    except (GatewayUnavailable, GatewayRefused):
        return state  # The webhook will tell.
    if outcome.subscription is not None and outcome.payment is not None:
        await refresh_payment(app, checkout.actor, outcome.subscription.id, outcome.payment.id)
    return await look(app, checkout)


async def _state(app: App, checkout: Checkout, customer: Customer | None, outcome: PaymentOutcome) -> CheckoutState:
    row, payment = outcome.subscription, outcome.payment
    for problem in outcome.problems:
        if problem.code is ErrorCode.ALREADY_SUBSCRIBED:
            raise problem  # The subscription that the outcome tells of is another one.
    if row is None or row.status in SUBSCRIPTION.final:
        return CheckoutState(Stage.OVER, customer, outcome=outcome)
    if row.status is not SubscriptionStatus.INCOMPLETE:
        return await _saving(app, checkout, row, outcome, customer)
    snapshot = outcome.intent.snapshot if outcome.intent is not None else None
    is_on_its_way = payment is not None and payment.status in _ON_ITS_WAY
    if is_on_its_way or (snapshot is not None and snapshot.status in _MADE_THERE):
        return CheckoutState(Stage.WAITING, customer, outcome=outcome)
    quoted = await preview_subscribe(app, checkout.actor, checkout.wish)
    if snapshot is not None and snapshot.status is IntentStatus.CANCELED:
        return CheckoutState(Stage.OPEN, customer, quoted, outcome)
    secret = snapshot.client_secret if snapshot is not None else None
    return CheckoutState(Stage.PAYING, customer, quoted, outcome, secret)


async def _saving(
    app: App, checkout: Checkout, row: Subscription, outcome: PaymentOutcome, customer: Customer | None
) -> CheckoutState:
    """Done, unless there is no card yet for a first charge to come."""
    async with app.database.read() as session:
        owner = await session.get_one(Customer, row.customer_id)
        has_card = await effective_method(session, row, owner) is not None
    costs = row.original_amount_minor > row.discount_amount_minor
    is_charged = row.collection_method is CollectionMethod.CHARGE_AUTOMATICALLY
    if has_card or not costs or not is_charged or outcome.payment is not None:
        return CheckoutState(Stage.DONE, customer, outcome=outcome)
    view = await create_setup_intent(
        app,
        checkout.actor,
        usage=SetupFutureUsage.OFF_SESSION,
        return_url=None,
        customer_id=owner.id if checkout.actor.acts_for_customers else None,
        idempotency_key=f"{_CAUSE}:{row.id}",
    )
    if view.row.status is IntentStatus.SUCCEEDED:
        return CheckoutState(Stage.DONE, customer, outcome=outcome)
    outcome = replace(outcome, setup_intent=view)
    return CheckoutState(Stage.SAVING, customer, outcome=outcome, client_secret=view.snapshot.client_secret)


async def _customer(app: App, checkout: Checkout) -> Customer | None:
    """Whose checkout it is, if that is a customer already."""
    async with app.database.read() as session:
        if checkout.wish.customer_id is not None:
            return await session.get(Customer, checkout.wish.customer_id)
        user_id = checkout.actor.user_id
        return await customer_of_user(session, user_id) if user_id is not None else None


def _seal(app: App, checkout: Checkout) -> str:
    told = zlib.compress(_SEALED.dump_json(checkout, exclude_defaults=True), 9)
    return _sealer(app).encrypt_at_time(told, int(app.machine_now().timestamp())).decode()


def _sealer(app: App) -> Fernet:
    return Fernet(urlsafe_b64encode(app.checkout_key))
