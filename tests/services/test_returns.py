"""Money that goes back, told by the gateway: refunds and disputes change payments and books once, however told."""

from datetime import timedelta

import pytest

from gateways.sandbox.disputes import DECIDED_AFTER_SECONDS
from gateways.sandbox.refunds import SETTLES_AFTER_SECONDS
from tests.services.returns import (
    IS_DISPUTED,
    IS_INQUIRED,
    PRICE,
    REFUND_FAILS,
    REFUND_PENDS,
    answer_bank,
    balances,
    buy,
    disputes,
    gateway_balance,
    give_back,
    payments,
    refunds,
    the_dispute,
)
from tests.support.house import House
from tests.support.outside import VISA, dashboard

SETTLED = timedelta(seconds=SETTLES_AFTER_SECONDS)
DECIDED = timedelta(seconds=DECIDED_AFTER_SECONDS)


async def bought(house: House, number: str = VISA) -> str:
    """The gateway's id of an intent that is paid and known to be."""
    intent = await buy(house, number)
    await house.deliver()
    return intent


async def heard(house: House, *, refunded: int = 0, disputed: int = 0) -> None:
    """All webhooks have come, and everything agrees with what is said here, the gateway's own books included."""
    await house.deliver()
    left = PRICE - refunded - disputed
    [(_, *amounts)] = await payments(house)
    assert amounts == [PRICE, refunded, disputed]
    told = {"gateway": left, "revenue": -PRICE, "refunds": refunded, "disputes": disputed}
    assert await balances(house) == {account: amount for account, amount in told.items() if amount}
    assert await gateway_balance(house) == left
    assert await house.audit() == []


async def seen_as(house: House) -> str:
    [(standing, *_)] = await payments(house)
    return standing


async def test_a_payment_given_back_whole_is_refunded(house: House) -> None:
    await give_back(house, await bought(house), reason="requested_by_customer")
    await heard(house, refunded=PRICE)
    assert await refunds(house) == [(PRICE, "succeeded")]
    assert await seen_as(house) == "refunded"


async def test_a_payment_given_back_in_parts_is_partially_refunded_until_nothing_is_left(house: House) -> None:
    intent = await bought(house)
    await give_back(house, intent, 200)
    await heard(house, refunded=200)
    assert await seen_as(house) == "partially_refunded"
    await give_back(house, intent, 100)
    await heard(house, refunded=300)
    assert await refunds(house) == [(100, "succeeded"), (200, "succeeded")]
    await give_back(house, intent)
    await heard(house, refunded=PRICE)
    assert await seen_as(house) == "refunded"


async def test_a_refund_that_comes_back_is_undone(house: House) -> None:
    intent = await bought(house, REFUND_FAILS)
    await give_back(house, intent, 300)
    await heard(house, refunded=300)
    house.pass_time(SETTLED)
    await heard(house)
    assert await refunds(house) == [(300, "failed")]
    assert await seen_as(house) == "succeeded"
    await give_back(house, intent)
    await heard(house, refunded=PRICE)
    assert await refunds(house) == [(300, "failed"), (PRICE, "succeeded")]


async def test_a_pending_refund_counts_when_it_has_arrived(house: House) -> None:
    await give_back(house, await bought(house, REFUND_PENDS), 300)
    await house.deliver()
    assert await refunds(house) == [(300, "pending")]
    assert await payments(house) == [("succeeded", PRICE, 0, 0)]
    assert await balances(house) == {"gateway": PRICE, "revenue": -PRICE}
    assert await house.audit() == []
    house.pass_time(SETTLED)
    await heard(house, refunded=300)
    assert await refunds(house) == [(300, "succeeded")]


async def test_a_disputed_payment_that_is_won_is_whole_again(house: House) -> None:
    intent = await buy(house, IS_DISPUTED)
    await heard(house, disputed=PRICE)
    assert await disputes(house) == [("needs_response", PRICE, 0)]
    assert await seen_as(house) == "disputed"
    await answer_bank(house, intent, "winning_evidence")
    await heard(house, disputed=PRICE)
    assert await disputes(house) == [("under_review", PRICE, 0)]
    house.pass_time(DECIDED)
    await heard(house)
    assert await disputes(house) == [("won", PRICE, PRICE)]
    assert await seen_as(house) == "succeeded"


async def test_a_disputed_payment_that_is_lost_stays_disputed(house: House) -> None:
    intent = await buy(house, IS_DISPUTED)
    await answer_bank(house, intent, "losing_evidence")
    house.pass_time(DECIDED)
    await heard(house, disputed=PRICE)
    assert await disputes(house) == [("lost", PRICE, 0)]
    assert await seen_as(house) == "disputed"


async def test_a_dispute_that_is_given_in_to_is_lost(house: House) -> None:
    intent = await bought(house, IS_DISPUTED)
    await dashboard(house).disputes.close_async((await the_dispute(house, intent)).id)
    await heard(house, disputed=PRICE)
    assert await disputes(house) == [("lost", PRICE, 0)]


async def test_an_inquiry_moves_no_money(house: House) -> None:
    intent = await buy(house, IS_INQUIRED)
    await heard(house)
    assert await disputes(house) == [("warning_needs_response", 0, 0)]
    assert await seen_as(house) == "succeeded"
    await dashboard(house).disputes.close_async((await the_dispute(house, intent)).id)
    await heard(house)
    assert await disputes(house) == [("warning_closed", 0, 0)]


async def test_an_inquiry_that_escalates_takes_the_money(house: House) -> None:
    intent = await bought(house, IS_INQUIRED)
    await answer_bank(house, intent, "escalate_inquiry_evidence")
    house.pass_time(DECIDED)
    await heard(house, disputed=PRICE)
    assert await disputes(house) == [("needs_response", PRICE, 0)]


async def test_what_went_back_leaves_the_subscription_as_it_is(house: House) -> None:
    await give_back(house, await bought(house, IS_INQUIRED))
    await heard(house, refunded=PRICE)
    told = await house.ask("{ mySubscription { status isActive paymentConfirmation } }", user="demo-new")
    assert told["mySubscription"] == {"status": "ACTIVE", "isActive": True, "paymentConfirmation": "PAID"}


@pytest.mark.parametrize("number", [VISA, IS_DISPUTED])
async def test_what_goes_back_of_others_money_is_not_ours(house: House, number: str) -> None:
    """The merchant's other systems use the gateway too."""
    token = {VISA: "pm_card_visa", IS_DISPUTED: "pm_card_createDispute"}[number]
    intent = await dashboard(house).payment_intents.create_async(
        {"amount": 4200, "currency": "usd", "payment_method": token, "confirm": True}
    )
    if number == VISA:
        await give_back(house, intent.id)
    await house.deliver()
    assert (await payments(house), await refunds(house), await disputes(house)) == ([], [], [])
    assert await house.audit() == []
