"""Saving cards and choosing the default one. Card numbers never come here: the browser gives them to the gateway."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.charging import IntentStatus, SetupFutureUsage
from billing.errors import ErrorCode, UserProblem
from gateways.port import (
    CardRefused,
    GatewayNotFound,
    GatewayRefused,
    GatewayUnavailable,
    PaymentMethodSnapshot,
    SetupIntentSnapshot,
)
from models.base import new_id
from models.customers import (
    Customer,
    PaymentMethod,
    SetupIntentRow,
    customer_of_account,
    live_payment_method,
    locked_customer,
    payment_method_of,
    setup_intent_of,
)
from models.subscriptions import Subscription, pinned_subscriptions
from services.app import Actor, App
from services.idempotency import scope_of
from services.payments.arrears import collect_soon
from services.payments.outcomes import SetupIntentView
from services.people.customers import acting_customer, ensure_gateway_account, refuse_anonymized
from services.problems import CardDeclined, gateway_unavailable, key_reused, not_found
from services.shielding import within_budget
from services.timelines import present_of
from services.wallet.keeping import drop_card, keep_card, keep_mandate, make_default
from services.wallet.method_types import CHARGED, savable

_ENDED = frozenset((IntentStatus.SUCCEEDED, IntentStatus.CANCELED))


MOST_READINGS = 5
"""How often the gateway is asked again what somebody else has written meanwhile."""


class CardChanged(Exception):
    """Somebody has written the card's row since the gateway was asked: what it told may be older than that."""


@dataclass(frozen=True, slots=True)
class DefaultOutcome:
    """The customer with its new default card, and the subscriptions whose pinned card gave way to it."""

    customer: Customer
    payment_method: PaymentMethod
    updated_subscriptions: Sequence[Subscription]


async def create_setup_intent(
    app: App,
    actor: Actor,
    *,
    usage: SetupFutureUsage,
    return_url: str | None,
    customer_id: str | None,
    idempotency_key: str | None,
    error_url: str | None = None,
    method_types: Sequence[str] | None = None,
) -> SetupIntentView:
    """Begin saving a card; the browser finishes it with the client secret. Raises UserProblem."""
    types = savable(method_types)
    customer = await acting_customer(app, actor, customer_id)
    row_id = new_id("setup_intent")
    key = scope_of(actor, customer.id, "createSetupIntent", idempotency_key) if idempotency_key else row_id

    async def run() -> SetupIntentView:
        account = await ensure_gateway_account(app, customer)
        try:
            snapshot = await app.gateway.create_setup_intent(
                customer_ref=account, usage=usage, method_types=types, idempotency_key=key
            )
        except GatewayUnavailable:
            raise gateway_unavailable() from None
        except GatewayRefused as refusal:
            raise _reused_key_or_refused(refusal) from None
        return SetupIntentView(await _follow(app, customer.id, row_id, snapshot, return_url, error_url), snapshot)

    return await within_budget(app, run())


async def attach_payment_method(
    app: App, actor: Actor, *, reference: str, make_default: bool, customer_id: str | None
) -> PaymentMethod:
    """Bind a card that the gateway knows to the customer. Repeating it changes nothing. Raises UserProblem."""
    customer = await acting_customer(app, actor, customer_id)
    return await within_budget(app, attach(app, customer, reference, as_default=make_default))


async def attach(
    app: App,
    customer: Customer,
    reference: str,
    *,
    as_default: bool = False,
    key: str | None = None,
    field: str = "paymentMethodId",
    collects: bool = True,
) -> PaymentMethod:
    """Keep the card that a payment method or a one-time token of the gateway stands for.

    `key` makes a repetition the same request at the gateway, `field` names the input at fault. Not `collects`: what is
    past due is not tried with it, though it is the first. Raises UserProblem.
    """
    async with app.database.read() as session:
        own = await live_payment_method(session, customer.id, id_or_ref=reference)
    if own is not None:
        reference = own.gateway_ref
    account = await ensure_gateway_account(app, customer)
    try:
        key = key or new_id("payment_method")
        # A token can be redeemed once: asked again, by whatever request, the gateway repeats what it made of it.
        token_key = f"{customer.id}:token:{sha256(reference.encode()).hexdigest()}"
        reference = await app.gateway.redeem_card_token(reference, idempotency_key=token_key)
        seen = await app.gateway.attach_payment_method(reference, customer_ref=account, idempotency_key=key)
        if seen.type not in CHARGED:
            raise UserProblem(
                ErrorCode.INVALID, f"Give a way to pay that is charged here: {', '.join(CHARGED)}.", [field]
            )
        if as_default:
            await app.gateway.set_default_payment_method(
                customer_ref=account, payment_method_ref=seen.ref, idempotency_key=new_id("payment_method")
            )
    except CardRefused as refusal:
        raise CardDeclined(refusal.problem, None, field) from None
    except GatewayUnavailable:
        raise gateway_unavailable() from None
    except GatewayRefused:
        # The gateway's message may tell whose card it is: a missing and a foreign one look the same here.
        raise not_found("payment method", field) from None
    return await keep(app, customer.id, seen, as_default=as_default, collects=collects)


async def set_default_payment_method(
    app: App, actor: Actor, *, payment_method_id: str, customer_id: str | None, apply_to_subscriptions: bool
) -> DefaultOutcome:
    """Renewals charge this card from now on; pinned cards give way to it when asked. Raises UserProblem."""
    customer = await acting_customer(app, actor, customer_id)
    async with app.database.read() as session:
        method = await live_payment_method(session, customer.id, id_or_ref=payment_method_id)
    if method is None:
        raise not_found("payment method", "paymentMethodId")

    async def run() -> DefaultOutcome:
        account = await ensure_gateway_account(app, customer)
        try:
            await app.gateway.set_default_payment_method(
                customer_ref=account, payment_method_ref=method.gateway_ref, idempotency_key=new_id("payment_method")
            )
        except GatewayUnavailable:
            raise gateway_unavailable() from None
        except GatewayRefused as refusal:
            raise UserProblem(ErrorCode.INVALID_STATE, f"The gateway does not take this card: {refusal}") from None
        return await _write_default(app, customer.id, method.id, clear_pins=apply_to_subscriptions)

    return await within_budget(app, run())


async def _write_default(app: App, customer_id: str, method_id: str, *, clear_pins: bool) -> DefaultOutcome:
    async with app.database.write() as session:
        customer = await locked_customer(session, customer_id)
        method = await session.get(PaymentMethod, method_id)
        if customer is None or method is None or method.archived_at is not None:
            raise not_found("payment method", "paymentMethodId")
        now = await present_of(app, session, customer)
        await make_default(session, customer, method, now)
        pinned = await pinned_subscriptions(session, customer_id) if clear_pins else ()
        for row in pinned:
            gave_way = row.payment_method_id != method.id
            row.payment_method_id = None
            row.touch(now)
            if gave_way:
                await collect_soon(session, row, now)
        return DefaultOutcome(customer, method, pinned)


async def follow_setup_intent(app: App, snapshot: SetupIntentSnapshot) -> SetupIntentRow | None:
    """Bring our picture of a setup intent up to the gateway's; a finished one leaves a saved card.

    None when its customer is not ours. Raises GatewayUnavailable and GatewayRefused.
    """
    async with app.database.read() as session:
        known = await setup_intent_of(session, snapshot.ref)
        owner = (
            await customer_of_account(session, app.gateway.platform, snapshot.customer_ref)
            if snapshot.customer_ref
            else None
        )
    if owner is None:
        return None
    return await _follow(app, owner.id, known.id if known else new_id("setup_intent"), snapshot)


async def _follow(
    app: App,
    customer_id: str,
    row_id: str,
    snapshot: SetupIntentSnapshot,
    return_url: str | None = None,
    error_url: str | None = None,
) -> SetupIntentRow:
    method: PaymentMethod | None = None
    if snapshot.status is IntentStatus.SUCCEEDED and snapshot.payment_method_ref is not None:
        method = await keep_by_ref(app, customer_id, snapshot.payment_method_ref)
    async with app.database.write() as session:
        # The request that made it and the news of it come at the same moment.
        customer = await locked_customer(session, customer_id)
        now = await present_of(app, session, customer)
        if customer is None or customer.archived_at is not None:
            return_url = error_url = None  # Who was forgotten meanwhile comes back to nowhere.
        row = await setup_intent_of(session, snapshot.ref)
        if row is None:
            row = SetupIntentRow(
                id=row_id,
                customer_id=customer_id,
                gateway_ref=snapshot.ref,
                usage=snapshot.usage,
                return_url=return_url,
                error_url=error_url,
                created_at=now,
                updated_at=now,
            )
            session.add(row)
        row.return_url = row.return_url or return_url
        row.error_url = row.error_url or error_url
        if method is not None and snapshot.mandate is not None:
            await keep_mandate(session, method.id, snapshot.mandate, now)
        if row.status in _ENDED and row.status is not snapshot.status:
            return row  # What says otherwise was read before it ended.
        if row.status is not snapshot.status or (method and row.payment_method_id != method.id):
            row.status = snapshot.status
            row.payment_method_id = method.id if method else row.payment_method_id
            row.updated_at = now
        return row


async def keep_by_ref(app: App, customer_id: str, reference: str) -> PaymentMethod | None:
    """Read a card at the gateway and keep its row; None when it does not belong to the customer (any more).

    What else the customer may have there, a bank account of another shop's, is nothing that is charged here. Raises
    CardChanged when others write it each time.
    """
    for _ in range(MOST_READINGS - 1):
        with suppress(CardChanged):
            return await _keep_as_read(app, customer_id, reference)
    return await _keep_as_read(app, customer_id, reference)


async def _keep_as_read(app: App, customer_id: str, reference: str) -> PaymentMethod | None:
    async with app.database.read() as session:
        version = await _version_of(session, app, reference)
    try:
        seen = await app.gateway.retrieve_payment_method(reference)
    except GatewayNotFound:
        return None
    async with app.database.read() as session:
        owner = (
            await customer_of_account(session, app.gateway.platform, seen.customer_ref) if seen.customer_ref else None
        )
    is_own = owner is not None and owner.id == customer_id and owner.archived_at is None
    if not is_own or seen.type not in CHARGED:
        await forget_card(app, reference)
        return None
    return await keep(app, customer_id, seen, version=version)


async def forget_card(app: App, reference: str) -> None:
    """The gateway no longer keeps this card for its customer."""
    async with app.database.read() as session:
        known = await payment_method_of(session, app.gateway.platform, reference)
    if known is None:
        return
    async with app.database.write() as session:
        customer = await locked_customer(session, known.customer_id)
        row = await session.get(PaymentMethod, known.id)
        if customer is not None and row is not None:
            await drop_card(session, customer, row, await present_of(app, session, customer))


async def keep(
    app: App,
    customer_id: str,
    seen: PaymentMethodSnapshot,
    *,
    as_default: bool = False,
    collects: bool = True,
    version: int | None = None,
) -> PaymentMethod:
    """Write down what the gateway tells of the customer's card.

    `version`: what the card's row was when the gateway was asked, 0 without one. Raises CardChanged if it is another.
    """
    async with app.database.write() as session:
        customer = await locked_customer(session, customer_id)
        if customer is None:
            raise LookupError(f"customer {customer_id} is gone")
        refuse_anonymized(customer, "customerId")
        if version is not None and await _version_of(session, app, seen.ref) != version:
            raise CardChanged
        now = await present_of(app, session, customer)
        row = await keep_card(session, app, customer, seen, now, collects=collects)
        if as_default:
            await make_default(session, customer, row, now)
        return row


async def _version_of(session: AsyncSession, app: App, reference: str) -> int:
    row = await payment_method_of(session, app.gateway.platform, reference)
    return row.version if row is not None else 0


def _reused_key_or_refused(refusal: GatewayRefused) -> UserProblem:
    if refusal.code == "idempotency_error":
        return key_reused()
    return UserProblem(ErrorCode.INVALID, f"The gateway refused: {refusal}")
