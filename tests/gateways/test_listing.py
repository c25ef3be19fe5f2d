"""The port's lists, page by page, against the sandbox."""

from datetime import timedelta
from typing import Any

from gateways.port import GatewayPage
from tests.support.house import House
from tests.support.outside import dashboard

INVOICE = {"perennial_invoice": "inv_1"}


async def _all(ask: Any) -> tuple[list[Any], int]:
    """Every item and how many pages there were."""
    found, pages, after = [], 0, None
    while True:
        page: GatewayPage[Any] = await ask(after)
        found, pages, after = [*found, *page.items], pages + 1, page.next_after
        if after is None:
            return found, pages


async def test_intents_of_ours_are_listed_newest_first_over_pages(small_house: House) -> None:
    v1, gateway = dashboard(small_house), small_house.app.gateway
    made = [
        (await v1.payment_intents.create_async({"amount": 100 + n, "currency": "usd", "metadata": INVOICE})).id
        for n in range(101)
    ]
    await v1.payment_intents.create_async({"amount": 999, "currency": "usd"})
    found, pages = await _all(lambda after: gateway.list_payment_intents(created_since=None, after=after))
    assert [intent.ref for intent in found] == made[::-1]
    assert {intent.invoice_id for intent in found} == {"inv_1"}
    assert pages == 2


async def test_intents_are_listed_since_an_instant_inclusive(small_house: House) -> None:
    v1, gateway = dashboard(small_house), small_house.app.gateway
    await v1.payment_intents.create_async({"amount": 100, "currency": "usd", "metadata": INVOICE})
    small_house.pass_time(timedelta(seconds=1))
    later = await v1.payment_intents.create_async({"amount": 200, "currency": "usd", "metadata": INVOICE})
    page = await gateway.list_payment_intents(created_since=small_house.clock.now(), after=None)
    assert ([intent.ref for intent in page.items], page.next_after) == ([later.id], None)


async def test_charges_are_listed_with_their_intents(small_house: House) -> None:
    v1, gateway = dashboard(small_house), small_house.app.gateway
    paying: Any = {"confirm": True, "payment_method": "pm_card_visa", "return_url": "https://shop.example/return"}
    intent = await v1.payment_intents.create_async({"amount": 100, "currency": "usd", **paying})
    page = await gateway.list_charges(after=None)
    assert [(charge.intent_ref, charge.problem) for charge in page.items] == [(intent.id, None)]


async def test_news_of_cards_tell_whose_they_are_and_a_detached_one_is_nobodys(small_house: House) -> None:
    v1, gateway = dashboard(small_house), small_house.app.gateway
    small_house.pass_time(timedelta(seconds=1))
    since = small_house.clock.now()
    customer = await v1.customers.create_async({"name": "Rosa"})
    card = await v1.payment_methods.attach_async("pm_card_visa", {"customer": customer.id})
    assert [each.ref for each in await gateway.list_payment_methods(customer_ref=customer.id)] == [card.id]
    await v1.payment_methods.detach_async(card.id)
    assert await gateway.list_payment_methods(customer_ref=customer.id) == []
    page = await gateway.list_card_news(created_since=since, after=None)
    assert [(news.object_kind, news.object_ref, news.customer_ref) for news in page.items] == [
        ("payment_method", card.id, None),
        ("payment_method", card.id, customer.id),
    ]
