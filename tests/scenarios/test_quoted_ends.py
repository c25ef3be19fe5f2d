"""Ends, pauses, refunds and paying again do what was quoted; on both databases."""

from datetime import timedelta
from typing import Any

import pytest

from tests.scenarios.test_quotes import (
    AMOUNTS,
    ERRORS,
    LINES,
    PREVIEW,
    USER,
    card_of,
    give_balance,
    quoted,
    same,
    subscribed,
    upcoming,
)
from tests.support.house import House
from tests.support.tables import everything

ATTACH = """mutation ($card: String!) { attachPaymentMethod(input: {paymentMethodId: $card, makeDefault: true}) {
  userErrors { code } } }"""

SUBSCRIPTION = f"""subscription {{ id status cancelAtPeriodEnd currentPeriod {{ end }} }}
  invoice {{ amountDue {{ formatted }} {LINES} {AMOUNTS} }} {ERRORS}"""
ACTS = {
    "cancelSubscription": ("CancelSubscriptionInput", f"{SUBSCRIPTION} refund {{ amount {{ formatted }} }}"),
    "pauseSubscription": ("PauseSubscriptionInput", SUBSCRIPTION),
    "resumeSubscription": ("ResumeSubscriptionInput", SUBSCRIPTION),
    "retryPayment": ("RetryPaymentInput", f"payment {{ status amountPaid {{ formatted }} }} {ERRORS}"),
    "refundPayment": ("RefundPaymentInput", f"refund {{ amount {{ formatted }} }} {ERRORS}"),
}


async def preview_of(house: House, act: str, user: str = USER, **wish: Any) -> dict[str, Any]:
    name = f"preview{act[0].upper()}{act[1:]}"
    query = f"""query ($input: {ACTS[act][0]}!) {{
      {name}(input: $input) {{ preview {{ {PREVIEW} }} userErrors {{ code field message }} }} }}"""
    before = await everything(house.app)
    answer = await house.ask(query, {"input": wish}, user)
    assert await everything(house.app) == before
    assert answer[name]["userErrors"] == []
    return answer[name]["preview"]


async def act_on(house: House, act: str, user: str = USER, **wish: Any) -> dict[str, Any]:
    mutation = f"mutation ($input: {ACTS[act][0]}!) {{ {act}(input: $input) {{ {ACTS[act][1]} }} }}"
    return (await house.ask(mutation, {"input": wish}, user))[act]


async def _started(house: House) -> str:
    done = await subscribed(house, paymentMethodId=await card_of(house))
    house.pass_time(timedelta(days=9, hours=1))
    return done["subscription"]["id"]


def _charges(preview: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(each["at"], each["amount"]) for each in preview["schedule"]]


async def _foreseen(house: House) -> list[tuple[str, Any]]:
    return [(each["at"], each["amountDue"]) for each in await upcoming(house)]


@pytest.mark.parametrize("balance", [0, 150])
async def test_an_end_at_once_gives_back_what_was_quoted(house: House, balance: int) -> None:
    await give_balance(house, balance)
    wish = {"subscriptionId": await _started(house), "effectiveAt": "NOW", "refundUnused": True}
    preview = await preview_of(house, "cancelSubscription", **wish)
    assert preview["refundNow"] == {"formatted": "$4.74"}
    assert (preview["schedule"], preview["dueNext"]) == ([], None)
    house.pass_time(timedelta(minutes=5))
    done = await act_on(house, "cancelSubscription", quoteToken=preview["quoteToken"], **wish)
    assert done["userErrors"] == []
    assert done["subscription"]["status"] == "CANCELED"
    assert done["refund"]["amount"] == preview["refundNow"]
    if done["invoice"] is not None:
        same(preview, done["invoice"])
    else:
        assert preview["lines"] == []


async def test_an_end_to_come_costs_nothing_and_leaves_nothing_to_come(house: House) -> None:
    wish = {"subscriptionId": await _started(house)}
    preview = await preview_of(house, "cancelSubscription", **wish)
    assert (preview["dueNow"], preview["refundNow"]) == ({"formatted": "$0.00"}, {"formatted": "$0.00"})
    assert preview["schedule"] == []
    done = await act_on(house, "cancelSubscription", quoteToken=preview["quoteToken"], **wish)
    assert (done["userErrors"], done["subscription"]["cancelAtPeriodEnd"]) == ([], True)
    assert await upcoming(house) == []


async def test_an_end_at_a_date_bills_the_periods_before_it_as_quoted(house: House) -> None:
    wish = {"subscriptionId": await _started(house), "effectiveAt": "AT_DATE", "date": "2026-04-15T00:00:00Z"}
    preview = await preview_of(house, "cancelSubscription", **wish)
    assert [at[:10] for at, _ in _charges(preview)] == ["2026-02-28", "2026-03-31"]
    done = await act_on(house, "cancelSubscription", quoteToken=preview["quoteToken"], **wish)
    assert done["userErrors"] == []
    assert await _foreseen(house) == _charges(preview)


@pytest.mark.parametrize("balance", [0, 700])
async def test_a_quoted_end_is_stale_when_the_version_or_the_wish_differs(house: House, balance: int) -> None:
    subscription = await _started(house)
    now = {"subscriptionId": subscription, "effectiveAt": "NOW", "refundUnused": True}
    preview = await preview_of(house, "cancelSubscription", **now)

    async def stale(token: str, **wish: Any) -> dict[str, Any]:
        before = await everything(house.app)
        (error,) = (await act_on(house, "cancelSubscription", quoteToken=token, **wish))["userErrors"]
        assert await everything(house.app) == before
        assert (error["code"], error["field"]) == ("QUOTE_STALE", ["quoteToken"])
        return error["freshQuote"]

    assert (await stale(preview["quoteToken"], **{**now, "refundUnused": False}))["refundNow"]["formatted"] == "$0.00"
    await stale(preview["quoteToken"], subscriptionId=subscription)
    await give_balance(house, balance or 1)
    fresh = await stale(preview["quoteToken"], **now)
    house.pass_time(timedelta(minutes=10, seconds=1))
    fresh = await stale(fresh["quoteToken"], **now)
    done = await act_on(house, "cancelSubscription", quoteToken=fresh["quoteToken"], reason="OTHER", **now)
    assert (done["userErrors"], done["refund"]["amount"]) == ([], fresh["refundNow"])


@pytest.mark.parametrize(
    "wish",
    [
        {"until": "2026-03-15T00:00:00Z"},
        {},
        {"effectiveAt": "PERIOD_END", "until": "2026-05-01T00:00:00Z"},
        {"effectiveAt": "PERIOD_END"},
    ],
)
async def test_a_pause_and_going_on_move_the_charges_as_quoted(house: House, wish: dict[str, Any]) -> None:
    subscription = await _started(house)
    preview = await preview_of(house, "pauseSubscription", subscriptionId=subscription, **wish)
    house.pass_time(timedelta(minutes=5))
    done = await act_on(
        house, "pauseSubscription", subscriptionId=subscription, quoteToken=preview["quoteToken"], **wish
    )
    assert done["userErrors"] == []
    assert await _foreseen(house) == _charges(preview)
    assert bool(_charges(preview)) is ("until" in wish)
    if "effectiveAt" in wish:
        house.pass_time(timedelta(days=25))
        await house.work()
        assert await _foreseen(house) == _charges(preview)
    house.pass_time(timedelta(days=2, hours=3))
    going_on = await preview_of(house, "resumeSubscription", subscriptionId=subscription)
    house.pass_time(timedelta(minutes=5))
    done = await act_on(house, "resumeSubscription", subscriptionId=subscription, quoteToken=going_on["quoteToken"])
    assert (done["userErrors"], done["subscription"]["status"]) == ([], "ACTIVE")
    assert await _foreseen(house) == _charges(going_on)
    assert len(_charges(going_on)) == 12


async def test_paying_again_collects_what_was_quoted(house: House) -> None:
    await _started(house)
    await house.ask(ATTACH, {"card": "pm_card_chargeCustomerFail"}, USER)
    house.pass_time(timedelta(days=20))
    await house.work()
    open_one = await house.ask("{ invoices(first: 1) { nodes { id status } } }", user=USER)
    assert open_one["invoices"]["nodes"][0]["status"] == "OPEN"
    wish = {"invoiceId": open_one["invoices"]["nodes"][0]["id"]}
    preview = await preview_of(house, "retryPayment", **wish)
    assert preview["dueNow"] == {"formatted": "$7.00"}
    await house.ask(ATTACH, {"card": "pm_card_visa"}, USER)
    refused = await act_on(house, "retryPayment", quoteToken="0.0", **wish)
    assert [error["code"] for error in refused["userErrors"]] == ["QUOTE_STALE"]
    done = await act_on(house, "retryPayment", quoteToken=preview["quoteToken"], **wish)
    assert (done["userErrors"], done["payment"]["amountPaid"]) == ([], preview["dueNow"])


async def test_a_refund_gives_back_what_was_quoted(house: House) -> None:
    await _started(house)
    paid = await house.ask("{ payments(first: 1) { nodes { id } } }", user=USER)
    wish = {
        "paymentId": paid["payments"]["nodes"][0]["id"],
        "reason": "REQUESTED_BY_CUSTOMER",
        "idempotencyKey": "once",
        "endSubscription": True,
    }
    preview = await preview_of(house, "refundPayment", "demo-admin", **wish)
    assert (preview["refundNow"], preview["schedule"]) == ({"formatted": "$7.00"}, [])
    part = {**wish, "amount": {"amount": "2.00", "currencyCode": "USD"}, "idempotencyKey": "part"}
    refused = await act_on(house, "refundPayment", "demo-admin", quoteToken=preview["quoteToken"], **part)
    assert [error["code"] for error in refused["userErrors"]] == ["QUOTE_STALE"]
    assert refused["userErrors"][0]["freshQuote"]["refundNow"] == {"formatted": "$2.00"}
    done = await act_on(house, "refundPayment", "demo-admin", quoteToken=preview["quoteToken"], **wish)
    assert (done["userErrors"], done["refund"]["amount"]) == ([], preview["refundNow"])


async def test_a_foreign_subscription_is_not_found_in_a_preview(house: House) -> None:
    subscription = await _started(house)
    query = """query ($id: ID!) { previewCancelSubscription(input: {subscriptionId: $id}) {
      preview { dueNow { amount } } userErrors { code field } } }"""
    before = await everything(house.app)
    for user in ("demo-decline", "a-stranger"):
        answer = await house.ask(query, {"id": subscription}, user)
        assert answer["previewCancelSubscription"] == {
            "preview": None,
            "userErrors": [{"code": "NOT_FOUND", "field": ["subscriptionId"]}],
        }
    assert await everything(house.app) == before
    assert (await quoted(house, "a-stranger"))["dueNow"] == {"formatted": "$7.00"}
