"""Keeping our picture of saved cards: what the gateway says of a card becomes its row."""

from dataclasses import asdict
from datetime import datetime

from sqlmodel.ext.asyncio.session import AsyncSession

from gateways.cards import MandateFacts, PaymentMethodSnapshot
from models.base import new_id
from models.customers import Customer, PaymentMethod, live_payment_methods, payment_method_of
from models.subscriptions import pinned_subscriptions
from services.app import App
from services.payments.arrears import (
    collect_soon,
    collect_with_mended_card,
    collect_with_new_default,
    unpaid_with,
)


async def keep_card(
    session: AsyncSession,
    app: App,
    customer: Customer,
    seen: PaymentMethodSnapshot,
    now: datetime,
    *,
    collects: bool = True,
) -> PaymentMethod:
    """Insert or refresh the row of a card that belongs to the (locked) customer; a first card becomes the default.

    Not `collects`: what is past due waits as it did.
    """
    row = await payment_method_of(session, app.gateway.platform, seen.ref)
    if row is None:
        row = PaymentMethod(
            id=new_id("payment_method"),
            customer_id=customer.id,
            platform=app.gateway.platform,
            gateway_ref=seen.ref,
            type=seen.type,
            livemode=seen.livemode,
            created_at=now,
            updated_at=now,
        )
        _copy(row, seen)
        session.add(row)
        await session.flush()
    elif row.archived_at is not None or differs(row, seen):
        row.archived_at = None
        _copy(row, seen)
        row.touch(now)
        await collect_with_mended_card(session, customer, row, now)
    if customer.default_payment_method_id is None:
        await make_default(session, customer, row, now, collects=collects)
    return row


async def make_default(
    session: AsyncSession, customer: Customer, row: PaymentMethod, now: datetime, *, collects: bool = True
) -> None:
    """Renewals charge this card from now on, and what is past due is tried with it unless it shall wait."""
    if customer.default_payment_method_id != row.id:
        customer.default_payment_method_id = row.id
        customer.touch(now)
        if collects:
            await collect_with_new_default(session, customer, now)


async def drop_card(session: AsyncSession, customer: Customer, row: PaymentMethod, now: datetime) -> None:
    """The card is gone at the gateway: archive its row and give way wherever it was to pay.

    What it was pinned to is paid by the default card; the newest other card becomes the default if this one was. What
    is past due is tried with the card that takes its place.
    """
    if row.archived_at is not None:
        return
    paid_by_it = await unpaid_with(session, customer, row)
    row.archived_at = now
    row.touch(now)
    for subscription in await pinned_subscriptions(session, customer.id):
        if subscription.payment_method_id == row.id:
            subscription.payment_method_id = None
            subscription.touch(now)
    if customer.default_payment_method_id == row.id:
        others = [card for card in await live_payment_methods(session, customer.id) if card.id != row.id]
        customer.default_payment_method_id = others[0].id if others else None
        customer.touch(now)
    if customer.default_payment_method_id is not None:
        for subscription in paid_by_it:
            await collect_soon(session, subscription, now)


async def keep_mandate(session: AsyncSession, method_id: str, mandate: MandateFacts, now: datetime) -> None:
    """Write down the permission that came with the saving of a card."""
    row = await session.get_one(PaymentMethod, method_id)
    bound = mandate.max_amount
    told = {
        "ref": mandate.ref,
        "status": mandate.status,
        "max_amount_minor": bound.minor if bound is not None else None,
        "currency": bound.currency if bound is not None else None,
        "is_single_use": mandate.is_single_use,
    }
    if row.mandate != told:
        row.mandate = told
        row.touch(now)


def _copy(row: PaymentMethod, seen: PaymentMethodSnapshot) -> None:
    row.card = _card(seen)
    row.billing_details = asdict(seen.billing_details)
    row.meta = dict(seen.metadata)


def differs(row: PaymentMethod, seen: PaymentMethodSnapshot) -> bool:
    """Whether the gateway tells other details of the card than its row."""
    known, told = row.card or {}, _card(seen) or {}
    return (
        # A row of an older version knows less of its card: that is no difference.
        {fact: told.get(fact) for fact in known} != known
        or (row.card is None) is not (seen.card is None)
        or row.billing_details != asdict(seen.billing_details)
        or row.meta != dict(seen.metadata)
    )


def _card(seen: PaymentMethodSnapshot) -> dict[str, object] | None:
    if seen.card is None:
        return None
    return {**asdict(seen.card), "networks": list(seen.card.networks), "raw": dict(seen.card.raw)}
