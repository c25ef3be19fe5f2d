"""Fifty equal requests at once make one subscription, one charge and fifty answers."""

import asyncio
from collections import Counter

import pytest

from models.customers import customer_of_user
from models.payments import payment_by_id
from services.changes import Why
from services.payments.on_session import Visit, collect_on_session
from tests.support.house import House

SUBSCRIBE = """
mutation ($card: ID!, $key: String) {
  subscribe(input: {planCode: "reader-pro", paymentMethodId: $card, idempotencyKey: $key}) {
    subscription { id status }
    payment { id status }
    userErrors { code }
  }
}
"""


@pytest.mark.parametrize("key", ["the-same-click", None])
async def test_fifty_equal_subscribes_make_one_charge(house: House, key: str | None) -> None:
    card = await house.ask("{ me { defaultPaymentMethod { id } } }", user="demo-card")
    variables = {"card": card["me"]["defaultPaymentMethod"]["id"], "key": key}
    answers = await asyncio.gather(*(house.ask(SUBSCRIBE, variables, user="demo-card") for _ in range(50)))

    told = [answer["subscribe"] for answer in answers]
    assert len({answer["subscription"]["id"] for answer in told}) == 1
    assert Counter(answer["subscription"]["status"] for answer in told) == {"ACTIVE": 50}
    assert {answer["payment"]["id"] for answer in told} == {told[0]["payment"]["id"]}
    codes = {error["code"] for answer in told for error in answer["userErrors"]}
    assert codes <= (set() if key else {"ALREADY_SUBSCRIBED"})

    charges = await house.http.get(
        "/sandbox/stripe/v1/charges?limit=100", headers={"Authorization": "Bearer sk_test_sandbox"}
    )
    assert [(row["amount"], row["status"]) for row in charges.json()["data"]] == [(700, "succeeded")]
    await house.deliver()
    assert await house.audit() == []


async def test_whoever_comes_for_a_payment_that_has_just_ended_does_not_keep_it_from_others(house: House) -> None:
    """Equal requests look at the payment at the same time, and take its lease one after the other."""
    card = await house.ask("{ me { defaultPaymentMethod { id } } }", user="demo-card")
    told = await house.ask(SUBSCRIBE, {"card": card["me"]["defaultPaymentMethod"]["id"]}, user="demo-card")
    payment_id, subscription_id = (told["subscribe"][kind]["id"] for kind in ("payment", "subscription"))
    async with house.app.database.read() as session:
        customer = await customer_of_user(session, "demo-card")
    assert customer is not None
    visit = Visit(customer, subscription_id, payment_id, None, "purchase", None)
    outcome = await collect_on_session(house.app, visit, Why("subscribe", house.actor("demo-card"), house.clock.now()))
    assert not outcome.problems
    async with house.app.database.read() as session:
        payment = await payment_by_id(session, payment_id)
    assert payment is not None
    assert (payment.status, payment.leased_until, payment.due_at) == ("succeeded", None, None)
