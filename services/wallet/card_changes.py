"""Changing what a saved card says, taking it away, and choosing the card that one subscription is paid by."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.errors import ErrorCode, UserProblem
from billing.lifecycle import SUBSCRIPTION
from gateways.port import (
    Address,
    CardRefused,
    GatewayNotFound,
    GatewayRefused,
    GatewayUnavailable,
    PaymentMethodSnapshot,
)
from models.base import new_id
from models.customers import Customer, PaymentMethod, live_payment_methods, locked_customer
from models.invoices import Invoice
from models.subscriptions import CollectionMethod, Subscription, live_subscriptions_of
from services.app import Actor, App
from services.idempotency import Memory, answer_with, once, scope_of
from services.owned import already_ended, locked_subscription, own_card, own_method, own_subscription
from services.payments.arrears import collect_soon, effective_method
from services.problems import gateway_unavailable, not_found, refuse_stale
from services.shielding import within_budget
from services.timelines import present_of
from services.wallet.cards import CardChanged, attach, keep, keep_by_ref
from services.wallet.keeping import drop_card

_CAUSE = "updateSubscriptionPaymentMethod"


@dataclass(frozen=True, slots=True)
class CardDetails:
    """What to change of a card; None leaves it as it is. Of an address the given parts change."""

    name: str | None = None
    address: Address = field(default_factory=Address)
    exp_month: int | None = None
    exp_year: int | None = None


@dataclass(frozen=True, slots=True)
class CardChange:
    """A subscription with its new card, and the open invoice that is now tried with it, if there is one."""

    subscription: Subscription
    invoice: Invoice | None


_Keep = Callable[[AsyncSession, CardChange], Awaitable[None]]


async def update_payment_method(
    app: App, actor: Actor, *, payment_method_id: str, details: CardDetails, expected_version: int | None
) -> PaymentMethod:
    """Change the card at the gateway, then its row. Raises UserProblem NOT_FOUND, INVALID, VERSION_CONFLICT."""
    row = await own_card(app, actor, payment_method_id)
    if row.archived_at is not None:
        raise not_found("payment method", "paymentMethodId")
    refuse_stale(row.version, expected_version)
    if details == CardDetails():
        return row
    return await within_budget(app, _update(app, row, details))


async def _update(app: App, row: PaymentMethod, details: CardDetails) -> PaymentMethod:
    try:
        seen = await app.gateway.update_payment_method(
            row.gateway_ref,
            name=details.name,
            address=_whole_address(row, details.address),
            exp_month=details.exp_month,
            exp_year=details.exp_year,
            idempotency_key=new_id("payment_method"),
        )
    except CardRefused as refusal:
        field = "expYear" if refusal.problem.code == "invalid_expiry_year" else "expMonth"
        raise UserProblem(ErrorCode.INVALID, refusal.problem.message, [field]) from None
    except GatewayNotFound:
        raise not_found("payment method", "paymentMethodId") from None
    except GatewayRefused as refusal:
        raise UserProblem(ErrorCode.INVALID, f"The gateway does not take this: {refusal}") from None
    except GatewayUnavailable:
        raise gateway_unavailable() from None
    return await _kept_unless_changed(app, row, seen)


async def _kept_unless_changed(app: App, row: PaymentMethod, seen: PaymentMethodSnapshot) -> PaymentMethod:
    """What the gateway has just told, or tells now if others have changed the card too: it may be gone."""
    try:
        return await keep(app, row.customer_id, seen, version=row.version)
    except CardChanged:
        pass
    try:
        kept = await keep_by_ref(app, row.customer_id, row.gateway_ref)
    except GatewayUnavailable:
        raise gateway_unavailable() from None
    if kept is None:
        raise not_found("payment method", "paymentMethodId")
    return kept


def _whole_address(row: PaymentMethod, given: Address) -> Address | None:
    """The address as it shall be: gateways differ in what they do about missing parts."""
    if given == Address():
        return None
    known: Mapping[str, str | None] = row.billing_details.get("address") or {}
    changes = {part: text for part, text in asdict(given).items() if text is not None}
    return Address(**{**known, **changes})


async def detach_payment_method(app: App, actor: Actor, *, payment_method_id: str) -> PaymentMethod:
    """Take the card away at the gateway, then archive its row. Repeating it changes nothing.

    Raises UserProblem NOT_FOUND, GATEWAY_UNAVAILABLE, and PAYMENT_METHOD_IN_USE for the last card of a customer with a
    subscription that goes on and is charged to cards.
    """
    row = await own_card(app, actor, payment_method_id)
    if row.archived_at is not None:
        return row
    return await within_budget(app, _detach(app, row))


async def _detach(app: App, row: PaymentMethod) -> PaymentMethod:
    async with app.database.read() as session:
        is_last = [card.id for card in await live_payment_methods(session, row.customer_id)] == [row.id]
        live = await live_subscriptions_of(session, row.customer_id) if is_last else ()
    if any(each.collection_method is CollectionMethod.CHARGE_AUTOMATICALLY for each in live):
        raise UserProblem(
            ErrorCode.PAYMENT_METHOD_IN_USE,
            "This is the last card, and a subscription goes on. Save another card first, or cancel the subscription.",
            ["paymentMethodId"],
        )
    try:
        await app.gateway.detach_payment_method(row.gateway_ref, idempotency_key=new_id("payment_method"))
    except GatewayUnavailable:
        raise gateway_unavailable() from None
    except GatewayRefused as refusal:
        if await _is_kept(app, row):
            raise UserProblem(ErrorCode.INVALID_STATE, f"The gateway does not let go of this card: {refusal}") from None
    async with app.database.write() as session:
        customer = await locked_customer(session, row.customer_id)
        held = await session.get_one(PaymentMethod, row.id)
        if customer is not None:
            await drop_card(session, customer, held, await present_of(app, session, customer))
        return held


async def _is_kept(app: App, row: PaymentMethod) -> bool:
    """Whether the gateway still keeps a card that it did not detach: an earlier request may have done it."""
    try:
        return (await app.gateway.retrieve_payment_method(row.gateway_ref)).customer_ref is not None
    except GatewayNotFound:
        return False
    except GatewayUnavailable:
        raise gateway_unavailable() from None


async def update_subscription_payment_method(
    app: App,
    actor: Actor,
    *,
    subscription_id: str,
    payment_method_id: str | None,
    card_token: str | None,
    retry_open_invoice: bool,
    expected_version: int | None,
    idempotency_key: str | None,
) -> CardChange:
    """Pay one subscription with a card of its own: a saved one, or one that the gateway knows by a token.

    Another card than before is tried on the oldest open invoice as soon as the worker comes to it, unless
    `retry_open_invoice` is off. Raises UserProblem.
    """
    if (payment_method_id is None) is (card_token is None):
        raise UserProblem(
            ErrorCode.REQUIRED, "Name a card: give either paymentMethodId or cardToken.", ["paymentMethodId"]
        )
    seen = await own_subscription(app, actor, subscription_id)
    wish = {
        "subscription": seen.id,
        "card": payment_method_id,
        "token": card_token,
        "retry": retry_open_invoice,
        "version": expected_version,
    }

    async def run() -> CardChange:
        if seen.status in SUBSCRIPTION.final:
            raise already_ended(seen)
        refuse_stale(seen.version, expected_version)
        before, card = await _cards(app, seen, payment_method_id)
        if card is None and card_token is not None:
            customer = await _customer(app, seen)
            key = scope_of(actor, customer.id, _CAUSE, idempotency_key) if idempotency_key else None
            card = await attach(app, customer, card_token, key=key, field="cardToken", collects=retry_open_invoice)
        if card is None:
            raise not_found("payment method", "paymentMethodId")
        retry = retry_open_invoice and (before is None or before.id != card.id)
        keep_answer = partial(_keep, actor, seen, idempotency_key)
        return await _pin(app, seen, card.id, expected_version, retry=retry, keep_answer=keep_answer)

    return await once(
        app,
        actor,
        seen.customer_id,
        _CAUSE,
        idempotency_key,
        wish,
        _CARD_CHANGES,
        lambda: within_budget(app, run()),
    )


async def _cards(app: App, seen: Subscription, named: str | None) -> tuple[PaymentMethod | None, PaymentMethod | None]:
    """The card that pays it now, and the one that is named."""
    async with app.database.read() as session:
        customer = await session.get_one(Customer, seen.customer_id)
        before = await effective_method(session, seen, customer)
        return before, await own_method(session, customer.id, named) if named is not None else None


async def _customer(app: App, seen: Subscription) -> Customer:
    async with app.database.read() as session:
        return await session.get_one(Customer, seen.customer_id)


async def _pin(
    app: App, seen: Subscription, card_id: str, expected_version: int | None, *, retry: bool, keep_answer: _Keep
) -> CardChange:
    async with app.database.write() as session:
        row, customer = await locked_subscription(session, seen, expected_version)
        now = await present_of(app, session, customer)
        if row.status in SUBSCRIPTION.final:
            raise already_ended(row)
        card = await own_method(session, customer.id, card_id)
        if row.payment_method_id != card.id:
            row.payment_method_id = card.id
            row.touch(now)
        change = CardChange(row, await collect_soon(session, row, now) if retry else None)
        await keep_answer(session, change)
        return change


async def _keep(actor: Actor, seen: Subscription, key: str | None, session: AsyncSession, change: CardChange) -> None:
    """Whoever repeats the request is told of this change, and not that the version is another one by now."""
    await answer_with(session, actor, seen.customer_id, _CAUSE, key, _kept(change))


def _kept(change: CardChange) -> Mapping[str, Any]:
    return {
        "subscription": change.subscription.id,
        "invoice": change.invoice.id if change.invoice else None,
    }


async def _told_again(app: App, answer: Mapping[str, Any]) -> CardChange:
    async with app.database.read() as session:
        invoice = await session.get(Invoice, answer["invoice"]) if answer["invoice"] else None
        return CardChange(await session.get_one(Subscription, answer["subscription"]), invoice)


_CARD_CHANGES = Memory(_kept, _told_again)
