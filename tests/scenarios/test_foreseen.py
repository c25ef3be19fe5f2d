"""What is foreseen while something is unpaid, planned or about to end, and that it comes so; on both databases."""

from datetime import timedelta
from typing import Any

from tests.scenarios.changing import CHANGE, HALF, PERIOD, changer_of, codes
from tests.scenarios.merchant import ADMIN, Merchant, do
from tests.scenarios.metering import key_of, sell, take, tell
from tests.scenarios.orders import billed, customer_id, life, ordered
from tests.scenarios.test_runs import run_billing, what_happened
from tests.support.house import House

USER = "demo-card"
UPCOMING = """query ($id: ID!) { subscription(id: $id) { upcomingInvoices(first: 2) {
  at period { start end } total { formatted } } } }"""
PREVIEW = "preview { dueNow { formatted } schedule { at amount { formatted } } } userErrors { code }"
AT_DATE: dict[str, Any] = {"planCode": "large", "effectiveAt": "AT_DATE"}


async def _foreseen(house: House, id: str) -> list[tuple[str, str, str]]:
    """(period's first day, its last, total) of each."""
    told = (await house.ask(UPCOMING, {"id": id}, ADMIN))["subscription"]["upcomingInvoices"]
    return [(each["period"]["start"][:10], each["period"]["end"][:10], each["total"]["formatted"]) for each in told]


async def _preview(house: House, act: str, **given: Any) -> dict[str, Any]:
    name = f"preview{act}"
    query = f"query ($i: {act}Input!) {{ {name}(input: $i) {{ {PREVIEW} }} }}"
    return (await house.ask(query, {"i": given}, ADMIN))[name]


async def test_what_was_sent_and_is_not_due_yet_hides_nothing_that_follows(house: House) -> None:
    order = await ordered(house, USER, planCode="reader-pro", collectionMethod="SEND_INVOICE", daysUntilDue=7)
    expected = [("2026-02-28", "2026-03-31", "$7.00"), ("2026-03-31", "2026-04-30", "$7.00")]
    assert await _foreseen(house, order) == expected
    run = await run_billing(house, asOf="2026-03-01T00:00:00Z")
    assert [item["outcome"] for item in run["items"]["nodes"]] == ["FELL_BEHIND", "RENEWED"]
    await Merchant(house).live_until("2026-03-31")
    assert [each[:3] for each in billed(await life(house, order))[1:]] == expected


async def test_while_an_invoice_is_open_a_change_at_a_date_is_not_reckoned_and_all_else_is_told(house: House) -> None:
    changer = await changer_of(house)
    await changer.begin("small")
    id = changer.subscribed[-1]
    await changer.ask(CHANGE, date="2026-03-10T00:00:00Z", **AT_DATE)
    card = {"paymentMethodId": "pm_card_chargeCustomerFail", "makeDefault": True}
    await do(house, "attachPaymentMethod", "AttachPaymentMethodInput", card, "paymentMethod { id }", user=USER)
    assert (await changer.pass_by(PERIOD))["status"] == "PAST_DUE"
    assert await _foreseen(house, id) == []
    invoice = (await life(house, id))["invoices"]["nodes"][0]["id"]
    quote = await _preview(house, "RetryPayment", invoiceId=invoice)
    assert quote == {"preview": {"dueNow": {"formatted": "$10.00"}, "schedule": []}, "userErrors": []}
    quote = await _preview(house, "CancelSubscription", subscriptionId=id, effectiveAt="NOW")
    assert quote == {"preview": {"dueNow": {"formatted": "$0.00"}, "schedule": []}, "userErrors": []}
    # One such subscription keeps no run from being rehearsed.
    assert (await run_billing(house))["isDryRun"] is True


async def test_a_change_at_a_date_is_previewed_where_it_can_be_planned(house: House) -> None:
    await changer_of(house)
    id = await ordered(house, USER, planCode="small", collectionMethod="SEND_INVOICE", daysUntilDue=7)
    wish = {"subscriptionId": id, "date": "2026-02-10T00:00:00Z", **AT_DATE}
    nothing = {"dueNow": {"formatted": "$0.00"}, "schedule": []}
    assert await _preview(house, "ChangePlan", **wish) == {"preview": nothing, "userErrors": []}
    assert codes(await do(house, "changePlan", "ChangePlanInput", wish, "subscription { id }")) == []


async def test_a_change_to_mixed_intervals_is_refused_by_its_preview_too(house: House) -> None:
    changer = await changer_of(house)
    await Merchant(house).plan("extra", "5.00")
    id = await ordered(house, changer.user, items=[{"planCode": "small"}, {"planCode": "extra"}])
    wish = {"subscriptionId": id, "planCode": "yearly", "effectiveAt": "AT_DATE", "date": "2026-04-10T00:00:00Z"}
    assert codes(await _preview(house, "ChangePlan", **wish)) == ["INVALID"]
    assert codes(await do(house, "changePlan", "ChangePlanInput", wish, "subscription { id }")) == ["INVALID"]


async def _ended(house: House, id: str, expected: list[tuple[str, str, str]]) -> None:
    """Canceled for its period's end: the quote, the forecast and the rehearsed run tell of the last invoice."""
    wish = {"subscriptionId": id, "effectiveAt": "PERIOD_END"}
    quote = (await _preview(house, "CancelSubscription", **wish))["preview"]
    assert [each["amount"]["formatted"] for each in quote["schedule"]] == [expected[-1][2]]
    assert codes(await do(house, "cancelSubscription", "CancelSubscriptionInput", wish, "subscription { id }")) == []
    assert await _foreseen(house, id) == expected
    house.pass_time(PERIOD)
    told, done = await run_billing(house), await run_billing(house, dry=False)
    assert what_happened(told, {id: "it"}) == what_happened(done, {id: "it"})
    assert [each[:3] for each in billed(await life(house, id))[1:]] == expected
    assert await house.audit() == []


async def test_the_last_invoice_over_what_was_used_is_foreseen(house: House) -> None:
    await sell(house, "api")
    id = await take(house, "api")
    house.pass_time(timedelta(days=3))
    await tell(house, await key_of(house), {"subscriptionId": id, "quantity": "500"})
    await _ended(house, id, [("2026-01-31", "2026-02-28", "$5.00")])


async def test_the_last_invoice_over_what_waited_for_the_next_one_is_foreseen(house: House) -> None:
    changer = await changer_of(house)
    await changer.begin("small")
    house.pass_time(HALF)
    await changer.change("large", "PRORATE_NEXT_INVOICE")
    await _ended(house, changer.subscribed[-1], [("2026-01-31", "2026-02-28", "$5.00")])


async def test_a_meters_flat_fee_is_asked_for_whether_or_not_anything_is_used(house: House) -> None:
    """Before it is subscribed to, afterwards, and after a change to it: two periods at a base of USD 5.00."""
    tiers = [{"upTo": 10, "unitAmount": "0", "flatAmount": "5.00"}, {"unitAmount": "0.10"}]
    await sell(
        house, "api", billingScheme="TIERED", tiersMode="GRADUATED", prices=[{"currencyCode": "USD", "tiers": tiers}]
    )
    expected = [("2026-02-28", "2026-03-31", "$5.00"), ("2026-03-31", "2026-04-30", "$5.00")]
    quote = (await _preview(house, "Subscribe", planCode="api", customerId=await customer_id(house, USER)))["preview"]
    assert [each["amount"]["formatted"] for each in quote["schedule"][:2]] == ["$5.00", "$5.00"]
    changed = await ordered(house, USER, planCode="reader-pro")
    wish = {"subscriptionId": changed, "planCode": "api", "effectiveAt": "NOW"}
    quote = (await _preview(house, "ChangePlan", **wish))["preview"]
    # What was paid for the old plan pays the first base.
    assert [each["amount"]["formatted"] for each in quote["schedule"][:3]] == ["$0.00", "$3.00", "$5.00"]
    id = await take(house, "api", "demo-card")
    assert await _foreseen(house, id) == expected
    await Merchant(house).live_until("2026-03-31")
    assert [each[:3] for each in billed(await life(house, id))[1:]] == expected


async def test_a_coupon_is_previewed_beyond_a_planned_change(house: House) -> None:
    changer = await changer_of(house)
    await changer.begin("small")
    id = changer.subscribed[-1]
    await changer.ask(CHANGE, planCode="large")
    half = {"code": "HALF", "percentOff": "50", "duration": "REPEATING", "durationInPeriods": 2}
    await do(house, "createCoupon", "CouponInput", half, "coupon { id }")
    wish = {"subscriptionId": id, "couponCode": "HALF"}
    told = (await _preview(house, "ApplyCoupon", **wish))["preview"]["schedule"]
    assert [each["amount"]["formatted"] for each in told[:3]] == ["$10.00", "$10.00", "$20.00"]
    assert codes(await do(house, "applyCoupon", "ApplyCouponInput", wish, "subscription { id }")) == []
    assert [total for _, _, total in await _foreseen(house, id)] == ["$10.00", "$10.00"]


async def test_what_a_change_before_the_start_allows_is_told_for_the_start(house: House) -> None:
    await changer_of(house)
    seats = [{"featureCode": "seats", "isEnabled": True, "limit": 3}]
    await Merchant(house).plan("seated", "10.00", product="letters", entitlements=seats)
    id = await ordered(house, USER, planCode="small", startAt="2026-02-10T09:30:00Z")
    query = """query ($i: ChangePlanInput!) { previewChangePlan(input: $i) { preview {
      entitlementChanges { feature { code } at before after } } userErrors { code } } }"""
    wish = {"subscriptionId": id, "planCode": "seated", "effectiveAt": "NOW"}
    told = (await house.ask(query, {"i": wish}, ADMIN))["previewChangePlan"]["preview"]["entitlementChanges"]
    gained = {"feature": {"code": "seats"}, "at": "2026-02-10T09:30:00Z", "before": None, "after": 3}
    assert told == [gained]
