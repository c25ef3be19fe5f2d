"""Subscribing: from a wish to a standing order, its first invoice and its first payment."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.charging import SetupFutureUsage
from billing.errors import ErrorCode, UserProblem
from billing.lifecycle import SubscriptionStatus
from billing.subscribing import Course
from models.customers import Customer, PaymentMethod, locked_customer
from models.payments import Payment, latest_payment_of
from models.subscriptions import CollectionMethod, Subscription
from services.app import Actor, App
from services.changes import Why
from services.ends.ending import end_incomplete
from services.idempotency import PAYMENT_OUTCOMES, once, rows_of
from services.payments.arrears import effective_method
from services.payments.on_session import Visit, collect_on_session
from services.payments.outcomes import PaymentOutcome, payment_outcome
from services.people.customers import acting_customer, refuse_anonymized
from services.problems import not_found
from services.quotes.orders import already_subscribed, quote_subscribe
from services.quotes.quoting import at_quote, hold_to_quote
from services.shielding import within_budget
from services.subscriptions.ordering import Ordered, SubscribeWish, ordered
from services.subscriptions.placing import place
from services.timelines import in_time_of
from services.wallet.cards import create_setup_intent

_CAUSE = "subscribe"
_ROUNDS = 4  # placing again after an old unpaid subscription has been given up; each round ends one, of any product


async def subscribe(app: App, actor: Actor, wish: SubscribeWish) -> PaymentOutcome:
    """Start, continue, double or refuse a subscription; with a saved card the first charge is tried at once.

    A declined or unanswered charge still leaves subscription and payment, beside the problem. Raises UserProblem when
    nothing was begun.
    """
    customer = await acting_customer(app, actor, wish.customer_id)
    present = await in_time_of(app, customer.test_clock_id)

    async def run() -> PaymentOutcome:
        return await _subscribe(present, actor, customer, wish)

    outcome = await once(app, actor, customer.id, _CAUSE, wish.idempotency_key, asdict(wish), PAYMENT_OUTCOMES, run)
    return await _with_setup_intent(present, actor, customer, outcome, wish)


async def _with_setup_intent(
    app: App, actor: Actor, customer: Customer, outcome: PaymentOutcome, wish: SubscribeWish
) -> PaymentOutcome:
    """On a trial without a card: what the browser saves one with. Asked for again it is the same one."""
    row = outcome.subscription
    if row is None or row.status is not SubscriptionStatus.TRIALING:
        return outcome
    async with app.database.read() as session:
        now = await session.get_one(Customer, customer.id)
        has_card = await effective_method(session, row, now) is not None
    is_free = row.original_amount_minor == row.discount_amount_minor
    if has_card or is_free or row.collection_method is not CollectionMethod.CHARGE_AUTOMATICALLY:
        return outcome
    try:
        view = await create_setup_intent(
            app,
            actor,
            usage=SetupFutureUsage.OFF_SESSION,
            return_url=wish.return_url,
            customer_id=customer.id if actor.acts_for_customers else None,
            idempotency_key=f"trial:{row.id}",
        )
    except UserProblem as problem:
        return replace(outcome, problems=[*outcome.problems, problem])
    return replace(outcome, setup_intent=view)


async def _subscribe(app: App, actor: Actor, customer: Customer, wish: SubscribeWish) -> PaymentOutcome:
    why = Why(_CAUSE, actor, at_quote(app, wish.quote_token).now())
    for _ in range(_ROUNDS + len(wish.items or ())):
        async with app.database.write() as session:
            decided = await _decide(app, session, customer.id, wish, why)
        if not isinstance(decided, Subscription):
            break
        await within_budget(app, end_incomplete(app, decided.id, why))
    else:
        raise UserProblem(ErrorCode.PAYMENT_IN_PROGRESS, "Another request is subscribing; read the subscription.")
    if decided.course is Course.REFUSE:
        return await payment_outcome(app, decided.subscription_id, problems=[already_subscribed()])
    if decided.payment_id is None:
        return await payment_outcome(app, decided.subscription_id)
    visit = Visit(
        customer=customer,
        subscription_id=decided.subscription_id,
        payment_id=decided.payment_id,
        method=decided.method,
        trigger="purchase",
        return_url=wish.return_url,
        error_url=wish.error_url,
        fence=decided.fence,
    )
    try:
        return await within_budget(app, collect_on_session(app, visit, why))
    except UserProblem as problem:
        return await payment_outcome(app, decided.subscription_id, decided.payment_id, problems=[problem])


@dataclass(frozen=True, slots=True)
class _Decided:
    """What stands after the decision. `fence`: this step holds the lease of a payment that it has just written."""

    course: Course
    subscription_id: str
    payment_id: str | None
    method: PaymentMethod | None
    fence: int | None = None


async def _decide(
    app: App, session: AsyncSession, customer_id: str, wish: SubscribeWish, why: Why
) -> _Decided | Subscription:
    """Decide under the customer's lock and write what follows; an old subscription that must go first is returned."""
    customer = await locked_customer(session, customer_id)
    if customer is None:
        raise not_found("customer", "customerId")
    refuse_anonymized(customer, "customerId")
    wanted = await ordered(session, customer, wish, why)
    existing, decision, method = wanted.existing, wanted.course, wanted.method
    if decision is not Course.REFUSE and not _is_done_already(wanted, why):
        await hold_to_quote(app, session, wish.quote_token, partial(quote_subscribe, why.actor, customer, wish))
    if existing is not None and decision is Course.REPLACE:
        return existing
    if existing is not None and decision is Course.REFUSE:
        return _Decided(decision, existing.id, None, method)
    if existing is not None and decision is Course.CONTINUE:
        payment_id = await _continue(session, existing, wish, why)
        decided = _Decided(decision, existing.id, payment_id, method)
    else:
        placed = await place(app, session, customer, wanted.order, why)
        decided = _Decided(decision, placed.subscription_id, placed.payment_id, method, placed.fence)
    await rows_of(
        session,
        why.actor,
        customer.id,
        _CAUSE,
        wish.idempotency_key,
        subscription_id=decided.subscription_id,
        payment_id=decided.payment_id,
    )
    return decided


def _is_done_already(wanted: Ordered, why: Why) -> bool:
    """Whether this is the second click on one quote: what is to be continued began at the quote's own instant."""
    existing = wanted.existing
    return wanted.course is Course.CONTINUE and existing is not None and existing.created_at == why.now


async def _continue(session: AsyncSession, existing: Subscription, wish: SubscribeWish, why: Why) -> str:
    """The same wish again: the open payment goes on. What the wish says beside its terms is what holds now."""
    payment = await latest_payment_of(session, existing.id)
    if payment is None:
        raise LookupError(f"subscription {existing.id} is incomplete without a payment")
    leaves = None if wish.auto_renew is None else not wish.auto_renew
    usage, back = wish.setup_future_usage, {"return_url": wish.return_url, "error_url": wish.error_url}
    _say_anew(payment, {"setup_future_usage": usage, **back}, why)
    _say_anew(existing, {"name": wish.name, "meta": wish.metadata or None, "cancel_at_period_end": leaves}, why)
    return payment.id


def _say_anew(row: Subscription | Payment, said: Mapping[str, object], why: Why) -> None:
    """Columns by their names; None: nothing was said, and what was stays."""
    changed = {name: value for name, value in said.items() if value is not None and value != getattr(row, name)}
    for name, value in changed.items():
        setattr(row, name, value)
    if changed:
        row.touch(why.now)
