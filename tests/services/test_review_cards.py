"""Saved cards: whose they are, what the gateway does not take, and news that come at the same moment."""

import asyncio

import pytest
from sqlmodel import select

from billing.charging import IntentStatus, SetupFutureUsage
from billing.errors import ErrorCode, UserProblem
from gateways.customer_side import CardInput
from gateways.port import GatewayRefused
from models.customers import SetupIntentRow, customer_of_user, gateway_account, live_payment_methods
from services.app import Actor, ActorKind
from services.inbox.webhooks import follow_customer
from services.people.customers import ensure_customer
from services.sandbox import confirm_payment_intent, confirm_setup_intent
from services.subscriptions.ordering import SubscribeWish
from services.subscriptions.subscribing import subscribe
from services.wallet.cards import (
    SetupIntentView,
    attach_payment_method,
    create_setup_intent,
    follow_setup_intent,
    set_default_payment_method,
)
from tests.support.house import House
from tests.support.meanwhile import just_after, just_before
from tests.support.outside import VISA

USER = "somebody"


async def _setup(house: House) -> SetupIntentView:
    return await create_setup_intent(
        house.app,
        house.actor(USER),
        usage=SetupFutureUsage.OFF_SESSION,
        return_url="https://shop.example/back",
        customer_id=None,
        idempotency_key=None,
    )


async def test_the_news_of_a_setup_intent_may_come_while_it_is_being_made(house: House) -> None:
    view = await _setup(house)
    async with house.app.database.write() as session:
        for row in (await session.exec(select(SetupIntentRow))).all():
            await session.delete(row)
    await asyncio.gather(*(follow_setup_intent(house.app, view.snapshot) for _ in range(8)))
    async with house.app.database.read() as session:
        assert len((await session.exec(select(SetupIntentRow))).all()) == 1


async def test_old_news_do_not_reopen_a_setup_intent_that_has_succeeded(small_house: House) -> None:
    house = small_house
    view = await _setup(house)
    await confirm_setup_intent(house.app, client_secret=view.snapshot.client_secret, card=CardInput(VISA))
    await follow_setup_intent(house.app, await house.app.gateway.retrieve_setup_intent(view.snapshot.ref))
    await follow_setup_intent(house.app, view.snapshot)
    async with house.app.database.read() as session:
        row = (await session.exec(select(SetupIntentRow))).one()
    assert (row.status, row.return_url) == (IntentStatus.SUCCEEDED, "https://shop.example/back")
    assert row.payment_method_id is not None


async def test_a_customer_that_the_gateway_does_not_take_is_told_so(small_house: House) -> None:
    house = small_house

    async def refuse() -> None:
        raise GatewayRefused("Invalid email address: nobody@", code="email_invalid")

    actor = house.actor(USER)
    with pytest.raises(UserProblem) as refused:
        await attach_payment_method(
            just_before(house.app, "create_customer", refuse),
            actor,
            reference="pm_card_visa",
            make_default=False,
            customer_id=None,
        )
    assert refused.value.code is ErrorCode.INVALID_STATE

    outcome = await subscribe(
        just_before(house.app, "create_customer", refuse), actor, SubscribeWish(plan_code="reader-pro")
    )
    assert [problem.code for problem in outcome.problems] == [ErrorCode.INVALID_STATE]


async def test_a_name_longer_than_we_keep_is_cut(house: House) -> None:
    customer = await ensure_customer(house.app, Actor(ActorKind.CUSTOMER, "long", None, "n" * 255))
    assert customer.name == "n" * 250


@pytest.mark.parametrize("by", ["our id", "the gateway's"])
async def test_anothers_card_is_as_good_as_none(small_house: House, by: str) -> None:
    house = small_house
    async with house.app.database.read() as session:
        owner = await customer_of_user(session, "demo-card")
        assert owner is not None
        (card,) = await live_payment_methods(session, owner.id)
    foreign = card.id if by == "our id" else card.gateway_ref
    outcome = await subscribe(house.app, house.actor(USER), SubscribeWish(plan_code="reader-pro"))
    assert outcome.intent is not None
    assert outcome.intent.snapshot is not None
    view = await _setup(house)
    payment_secret, setup_secret = outcome.intent.snapshot.client_secret, view.snapshot.client_secret
    attempts = (
        lambda: confirm_payment_intent(
            house.app, client_secret=payment_secret, card=CardInput(payment_method_ref=foreign)
        ),
        lambda: confirm_setup_intent(house.app, client_secret=setup_secret, card=CardInput(payment_method_ref=foreign)),
        lambda: attach_payment_method(
            house.app, house.actor(USER), reference=foreign, make_default=True, customer_id=None
        ),
        lambda: subscribe(
            house.app, house.actor(USER), SubscribeWish(plan_code="premium-monthly", payment_method_id=foreign)
        ),
    )
    for attempt in attempts:
        with pytest.raises(UserProblem) as refused:
            await attempt()
        assert refused.value.code is ErrorCode.NOT_FOUND
        assert foreign not in refused.value.message
    async with house.app.database.read() as session:
        assert [row.id for row in await live_payment_methods(session, owner.id)] == [card.id]


async def test_news_of_a_default_do_not_take_back_what_was_chosen_while_they_were_read(house: House) -> None:
    """One worker reads that the second card was chosen; the third one is, and another worker hears of it first."""
    actor = house.actor(USER)
    cards = [
        await attach_payment_method(house.app, actor, reference=f"pm_card_{kind}", make_default=False, customer_id=None)
        for kind in ("visa", "mastercard", "amex")
    ]
    await _choose(house, cards[1].id)
    async with house.app.database.read() as session:
        customer = await customer_of_user(session, USER)
        assert customer is not None
        account = await gateway_account(session, customer.id, house.app.gateway.platform)
    assert account is not None

    async def change_of_mind() -> None:
        await _choose(house, cards[2].id)
        await house.deliver()

    await follow_customer(just_after(house.app, "retrieve_customer", change_of_mind), account.gateway_ref)
    assert (await house.app.gateway.retrieve_customer(account.gateway_ref)).default_payment_method_ref == (
        cards[2].gateway_ref
    )
    async with house.app.database.read() as session:
        customer = await customer_of_user(session, USER)
    assert customer is not None
    assert customer.default_payment_method_id == cards[2].id


async def _choose(house: House, card: str) -> None:
    await set_default_payment_method(
        house.app, house.actor(USER), payment_method_id=card, customer_id=None, apply_to_subscriptions=False
    )
