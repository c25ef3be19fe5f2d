"""Ends, pauses, refunds and paying again do what was quoted; on both databases."""

from datetime import timedelta
from typing import Any

import pytest

from models.base import new_id
from models.catalog import Feature, PlanEntitlement, features_by_code, plan_by
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


COUPON = """mutation ($input: CouponInput!) { createCoupon(input: $input) { coupon { code } userErrors { code } } }"""
TAKE = """mutation ($input: ApplyCouponInput!) { applyCoupon(input: $input) { subscription { id }
  userErrors { code ... on QuoteStaleError { freshQuote { quoteToken dueNext { formatted } } } } } }"""
PREVIEW_TAKE = f"""query ($input: ApplyCouponInput!) {{ previewApplyCoupon(input: $input) {{
  preview {{ {PREVIEW} }} userErrors {{ code }} }} }}"""
THREE_PERIODS = {"code": "HALF", "percentOff": "50", "duration": "REPEATING", "durationInPeriods": 3}


async def test_a_coupon_takes_off_what_is_to_come_as_quoted(house: House) -> None:
    made = await house.ask(COUPON, {"input": THREE_PERIODS}, "demo-admin")
    assert made["createCoupon"]["userErrors"] == []
    wish = {"subscriptionId": await _started(house), "couponCode": "HALF"}
    preview = (await house.ask(PREVIEW_TAKE, {"input": wish}, USER))["previewApplyCoupon"]["preview"]
    assert [amount["formatted"] for _, amount in _charges(preview)] == ["$3.50"] * 3 + ["$7.00"] * 9
    await give_balance(house, 100)
    (error,) = (await house.ask(TAKE, {"input": {**wish, "quoteToken": preview["quoteToken"]}}, USER))["applyCoupon"][
        "userErrors"
    ]
    assert (error["code"], error["freshQuote"]["dueNext"]) == ("QUOTE_STALE", {"formatted": "$2.50"})
    token = error["freshQuote"]["quoteToken"]
    done = await house.ask(TAKE, {"input": {**wish, "quoteToken": token}}, USER)
    assert done["applyCoupon"]["userErrors"] == []
    assert [amount["formatted"] for _, amount in await _foreseen(house)] == ["$2.50"] + ["$3.50"] * 2 + ["$7.00"] * 9


async def test_subscribing_with_a_coupon_costs_what_was_quoted_until_it_runs_out(house: House) -> None:
    await house.ask(COUPON, {"input": THREE_PERIODS}, "demo-admin")
    preview = await quoted(house, couponCode="HALF")
    assert (preview["dueNow"], preview["discountTotal"]) == ({"formatted": "$3.50"}, {"formatted": "$3.50"})
    assert [amount["formatted"] for _, amount in _charges(preview)] == ["$3.50"] * 2 + ["$7.00"] * 10
    done = await subscribed(
        house, couponCode="HALF", quoteToken=preview["quoteToken"], paymentMethodId=await card_of(house)
    )
    assert (done["userErrors"], done["payment"]["amount"]) == ([], preview["dueNow"])
    assert await _foreseen(house) == _charges(preview)
    foreseen = await upcoming(house)
    for _ in range(4):
        house.pass_time(timedelta(days=31))
        await house.work()
    query = f"{{ mySubscription {{ invoices(first: 4) {{ nodes {{ {LINES} {AMOUNTS} }} }} }} }}"
    issued = (await house.ask(query, user=USER))["mySubscription"]["invoices"]["nodes"]
    for each, invoice in zip(foreseen, reversed(issued), strict=False):
        same(each, invoice)


async def test_a_trial_costs_nothing_now_and_then_what_was_quoted(house: House) -> None:
    customer = (await house.ask("{ me { id } }", user=USER))["me"]["id"]
    wish = {"trialPeriodDays": 14, "customerId": customer}
    preview = await quoted(house, "demo-admin", **wish)
    assert (preview["dueNow"], preview["lines"]) == ({"formatted": "$0.00"}, [])
    assert (preview["dueNext"], preview["dueNextAt"]) == ({"formatted": "$7.00"}, "2026-02-14T09:30:00Z")
    done = await subscribed(house, "demo-admin", quoteToken=preview["quoteToken"], **wish)
    assert (done["userErrors"], done["subscription"]["status"]) == ([], "TRIALING")
    foreseen = await upcoming(house)
    assert [(each["at"], each["amountDue"]) for each in foreseen] == _charges(preview)
    house.pass_time(timedelta(days=14))
    while any((await house.work()).values()):
        pass
    query = f"{{ mySubscription {{ status invoices(first: 2) {{ nodes {{ {LINES} {AMOUNTS} }} }} }} }}"
    after = (await house.ask(query, user=USER))["mySubscription"]
    assert (after["status"], len(after["invoices"]["nodes"])) == ("ACTIVE", 1)
    same(foreseen[0], after["invoices"]["nodes"][0])


async def _allow(house: House, plan_code: str, **limits: int | None) -> None:
    async with house.app.database.write() as session:
        plan = await plan_by(session, code=plan_code)
        assert plan is not None
        for code, limit in limits.items():
            known = await features_by_code(session, [code])
            feature = known[0] if known else Feature(id=new_id("feature"), code=code, name=code)
            session.add(feature)
            await session.flush()
            session.add(PlanEntitlement(plan_id=plan.id, feature_id=feature.id, limit=limit))


def _access(preview: dict[str, Any]) -> dict[str, Any]:
    """By feature: before, after, and the instant."""

    def told(limit: int | None, unlimited: bool) -> int | str | None:
        return "unlimited" if unlimited else limit

    return {
        each["feature"]["code"]: (
            told(each["before"], each["wasUnlimited"]),
            told(each["after"], each["isUnlimited"]),
            each["at"],
        )
        for each in preview["entitlementChanges"]
    }


async def test_what_is_gained_and_lost_is_told_with_its_instant(house: House) -> None:
    await _allow(house, "reader-pro", seats=5, exports=100)
    await _allow(house, "premium-monthly", seats=5, exports=None)
    begins = "2026-01-31T09:30:00Z"
    assert _access(await quoted(house, quantity=2)) == {"seats": (None, 10, begins), "exports": (None, 200, begins)}
    subscription = await _started(house)
    now, end = "2026-02-09T10:30:00Z", "2026-02-28T09:30:00Z"
    query = f"""query ($input: ChangePlanInput!) {{ previewChangePlan(input: $input) {{
      preview {{ {PREVIEW} }} userErrors {{ code }} }} }}"""
    wish = {"subscriptionId": subscription, "planCode": "premium-monthly"}
    for more, at in (({}, end), ({"effectiveAt": "NOW"}, now)):
        answer = await house.ask(query, {"input": {**wish, **more}}, USER)
        assert _access(answer["previewChangePlan"]["preview"]) == {"exports": (100, "unlimited", at)}
    for act, more, at in (
        ("cancelSubscription", {}, end),
        ("cancelSubscription", {"effectiveAt": "NOW"}, now),
        ("pauseSubscription", {}, now),
    ):
        lost = await preview_of(house, act, subscriptionId=subscription, **more)
        assert _access(lost) == {"seats": (5, None, at), "exports": (100, None, at)}
    await act_on(house, "pauseSubscription", subscriptionId=subscription)
    back = await preview_of(house, "resumeSubscription", subscriptionId=subscription)
    assert _access(back) == {"seats": (None, 5, now), "exports": (None, 100, now)}


async def test_what_gives_no_access_any_more_is_not_told_as_lost_or_had(house: House) -> None:
    """Its grace is over: an end takes nothing away, and what is bought beside it gives all of its own."""
    for plan in ("reader-pro", "premium-monthly"):
        await _allow(house, plan, exports=None)
    subscription = (await subscribed(house, paymentMethodId=await card_of(house)))["subscription"]["id"]
    assert (await house.ask(ATTACH, {"card": "pm_card_chargeCustomerFail"}, USER))["attachPaymentMethod"] == {
        "userErrors": []
    }
    house.pass_time(timedelta(days=28))
    await house.work()
    had = {"exports": ("unlimited", None, "2026-02-28T09:30:00Z")}
    wish = {"subscriptionId": subscription, "effectiveAt": "NOW"}
    assert _access(await preview_of(house, "cancelSubscription", **wish)) == had
    house.pass_time(timedelta(days=7))
    assert _access(await preview_of(house, "cancelSubscription", **wish)) == {}
    beside = await quoted(house, planCode="premium-monthly")
    assert _access(beside) == {"exports": (None, "unlimited", "2026-03-07T09:30:00Z")}
