"""Idempotency keys: the same key and wish give the first answer, read again; other input is a conflict."""

import asyncio
from datetime import timedelta

import pytest

from gateways.sandbox import Fault
from tests.scenarios.shopping import Shopper
from tests.support.house import House
from tests.support.outside import VISA, gateway_books, sandbox_of
from tests.support.shelf import take_off_sale

CONFLICT = [{"code": "IDEMPOTENCY_CONFLICT", "field": ["idempotencyKey"]}]


async def test_the_same_key_gives_the_same_answer(house: House) -> None:
    shopper = Shopper(house, "demo-card")
    wish = {"paymentMethodId": await shopper.default_card(), "idempotencyKey": "click-1"}
    first = await shopper.subscribe(**wish)
    assert (first["subscription"]["status"], first["userErrors"]) == ("ACTIVE", [])
    house.pass_time(timedelta(days=29))
    assert [await shopper.subscribe(**wish) for _ in range(3)] == [first] * 3
    assert len((await gateway_books(house))["charges"]) == 1


async def test_twenty_at_once_under_one_key_are_told_the_same(house: House) -> None:
    shopper = Shopper(house, "demo-card")
    wish = {"paymentMethodId": await shopper.default_card(), "idempotencyKey": "click-1"}
    answers = await asyncio.gather(*(shopper.subscribe(**wish) for _ in range(20)))
    assert answers == [answers[0]] * 20
    assert answers[0]["userErrors"] == []
    assert len((await gateway_books(house))["charges"]) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"currencyCode": "CNY"},
        {"planCode": "premium-monthly"},
        {"setupFutureUsage": "OFF_SESSION"},
        {"quantity": 2},
        {"metadata": {"campaign": "spring"}},
    ],
    ids=lambda other: next(iter(other)),
)
async def test_other_input_under_the_same_key_is_a_conflict_and_changes_nothing(
    house: House, other: dict[str, object]
) -> None:
    shopper = Shopper(house, "demo-new")
    wish = {"planCode": "reader-pro", "idempotencyKey": "click-1"}
    first = await shopper.subscribe(None, **wish)
    told = await shopper.subscribe(None, **{**wish, **other})
    assert told == {
        "subscription": None,
        "payment": None,
        "paymentIntent": None,
        "nextAction": None,
        "userErrors": CONFLICT,
    }
    assert await shopper.subscribe(None, **wish) == first
    assert len((await gateway_books(house))["intents"]) == 1


async def test_a_key_is_the_customers_own(house: House) -> None:
    answers = [await Shopper(house, user).subscribe(idempotencyKey="click-1") for user in ("demo-new", "demo-card")]
    assert [answer["userErrors"] for answer in answers] == [[], []]
    assert len({answer["subscription"]["id"] for answer in answers}) == 2


async def test_the_answer_is_read_again_from_what_became_of_it(house: House) -> None:
    shopper = Shopper(house, "demo-decline")
    wish = {"paymentMethodId": await shopper.default_card(), "idempotencyKey": "click-1"}
    declined = await shopper.subscribe(**wish)
    assert [error["code"] for error in declined["userErrors"]] == ["CARD_DECLINED"]
    assert await shopper.subscribe(**wish) == declined
    assert [charge["status"] for charge in (await gateway_books(house))["charges"]] == ["failed"]

    await shopper.browser.confirm(declined["nextAction"]["clientSecret"], VISA)
    await house.deliver()
    now = await shopper.subscribe(**wish)
    assert (now["subscription"]["status"], now["payment"]["status"], now["userErrors"]) == ("ACTIVE", "SUCCEEDED", [])
    assert [charge["status"] for charge in (await gateway_books(house))["charges"]] == ["failed", "succeeded"]


async def test_what_was_refused_may_be_asked_again_under_its_key(small_house: House) -> None:
    shopper = Shopper(small_house, "demo-card")
    await take_off_sale(small_house.app, "basic-monthly")
    wish = {"planCode": "basic-monthly", "idempotencyKey": "click-1"}
    for _ in range(2):
        told = await shopper.subscribe(None, **wish)
        assert told["userErrors"] == [{"code": "PLAN_NOT_FOR_SALE", "field": ["planCode"]}]
    told = await shopper.subscribe("reader-pro", idempotencyKey="click-1")
    assert (told["subscription"]["status"], told["userErrors"]) == ("INCOMPLETE", [])


async def test_a_key_is_kept_for_thirty_days(small_house: House) -> None:
    shopper = Shopper(small_house, "demo-card")
    card = await shopper.default_card()
    await shopper.subscribe(idempotencyKey="click-1", paymentMethodId=card)
    small_house.pass_time(timedelta(days=30) - timedelta(seconds=1))
    told = await shopper.subscribe("premium-monthly", idempotencyKey="click-1", paymentMethodId=card)
    assert told["userErrors"] == CONFLICT
    small_house.pass_time(timedelta(seconds=1))
    told = await shopper.subscribe("premium-monthly", idempotencyKey="click-1", paymentMethodId=card)
    assert (told["subscription"]["status"], told["userErrors"]) == ("ACTIVE", [])


@pytest.mark.parametrize("key", ["", "k" * 256])
async def test_a_key_has_1_to_255_characters(small_house: House, key: str) -> None:
    told = await Shopper(small_house, "demo-new").subscribe(idempotencyKey=key)
    assert told["userErrors"] == [{"code": "INVALID", "field": ["idempotencyKey"]}]
    told = await Shopper(small_house, "demo-new").subscribe(idempotencyKey="k" * 255)
    assert told["userErrors"] == []


async def test_a_repeated_key_tells_the_outcome_that_was_unknown_at_first(house: House) -> None:
    shopper = Shopper(house, "demo-card")
    sandbox_of(house).faults.arm(Fault.TIMEOUT_AFTER, count=2, path_contains="/confirm")
    wish = {"paymentMethodId": await shopper.default_card(), "idempotencyKey": "click-1"}
    unknown = await shopper.subscribe(**wish)
    assert unknown["userErrors"] == [{"code": "PAYMENT_OUTCOME_UNKNOWN", "field": None}]
    house.pass_time(timedelta(seconds=60))
    await house.work()
    known = await shopper.subscribe(**wish)
    assert (known["subscription"]["status"], known["userErrors"]) == ("ACTIVE", [])
    assert known["payment"]["id"] == unknown["payment"]["id"]
    assert len((await gateway_books(house))["charges"]) == 1
