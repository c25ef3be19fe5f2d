"""Coupons of the gateway's dashboard: followed by webhooks in any order, by `syncCoupons` and by the reconcile pass."""

import asyncio
import itertools
import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
import stripe

from billing.errors import ErrorCode, UserProblem
from gateways.sandbox import Fault
from models.subscriptions import Subscription
from services.app import WORKER
from services.changes import Why
from services.invoices.redeeming import applied_to, asked_coupon, redeem
from services.selling.dashboard_coupons import follow_coupon, follow_promotion_code
from tests.scenarios.couponing import Story, codes, on_it, price, totals
from tests.scenarios.merchant import ADMIN, Merchant
from tests.scenarios.test_coupons_for_staff import change_code, changed, delete, refusal, shown, update
from tests.support.deliveries import dump, event, inbox, send
from tests.support.house import House
from tests.support.outside import dashboard, faults_always

SYNC = """mutation { syncCoupons { imported { code } updated { code } isFinished
  drift { kind gatewayPaymentId local gateway repaired } userErrors { code } } }"""


@pytest.fixture
async def story(house: House) -> Story:
    return await Story(house).begin()


async def made(house: House, code: str = "SPRING", **terms: Any) -> None:
    """A coupon that the merchant makes on the dashboard."""
    await dashboard(house).coupons.create_async({"id": code, "percent_off": 25, "duration": "forever", **terms})


async def word(house: House, code: str, coupon: str = "SPRING", **more: Any) -> str:
    """A promotion code of the dashboard; its id there."""
    promotion = {"type": "coupon", "coupon": coupon}
    return (await dashboard(house).promotion_codes.create_async({"promotion": promotion, "code": code, **more})).id


async def sync(house: House) -> dict[str, Any]:
    told = (await house.ask(SYNC, user=ADMIN))["syncCoupons"]
    assert (told["userErrors"], told["isFinished"]) == ([], True)
    return told


async def synced(house: House) -> tuple[list[str], list[str], list[tuple[str, str]]]:
    """Which coupons were taken over and changed; what differs and stays so."""
    told = await sync(house)
    return (
        [each["code"] for each in told["imported"]],
        [each["code"] for each in told["updated"]],
        [(each["kind"], each["gatewayPaymentId"]) for each in told["drift"]],
    )


async def of_coupons(house: House) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of coupons and codes, without their ids and what counts changes."""
    found = {}
    for name, rows in (await dump(house)).items():
        if name in ("coupons", "promotion_codes"):
            found[name] = rows
    return found


# ── webhooks ──


async def test_a_coupon_of_the_dashboard_is_yearly_until_it_is_changed_here(story: Story) -> None:
    house = story.house
    await Merchant(house).plan("coffee-year", "100.00", product="coffee-product", interval="YEAR")
    await made(house, name="Spring", max_redemptions=9, metadata={"product_codes": "coffee-product"})
    await house.deliver()
    coupon = await shown(house, "SPRING")
    assert coupon == {
        "code": "SPRING",
        "version": 1,
        "name": "Spring",
        "percentOff": "25",
        "amountsOff": [],
        "duration": "FOREVER",
        "durationInPeriods": None,
        "interval": "YEAR",
        "appliesTo": [{"code": "coffee-product"}],
        "maxRedemptions": 9,
        "maxRedemptionsPerCustomer": None,
        "startsAt": None,
        "expiresAt": None,
        "isActive": True,
        "status": "ACTIVE",
        "metadata": {"product_codes": "coffee-product"},
        "isArchived": False,
        "platform": "SANDBOX",
        "gatewayId": "SPRING",
        "promotionCodes": [],
    }
    assert codes(await story.subscribe(couponCode="SPRING")) == ["COUPON_NOT_APPLICABLE"]
    assert (await changed(house, "SPRING", interval="MONTH"))["interval"] == "MONTH"
    assert price(await story.buy(couponCode="SPRING")) == (750, 1000, 250)


async def test_what_the_dashboard_owns_follows_it_and_ours_stays(story: Story) -> None:
    house = story.house
    await made(house, name="Spring", max_redemptions=9)
    await house.deliver()
    ours = await changed(house, "SPRING", interval="MONTH", maxRedemptions=2, isActive=False, metadata={"our": "note"})
    await dashboard(house).coupons.update_async("SPRING", {"name": "Summer", "metadata": {"product_codes": "none"}})
    await house.deliver()
    assert await shown(house, "SPRING") == {**ours, "name": "Summer", "version": 3}


async def test_what_the_dashboard_owns_is_not_changed_here(story: Story) -> None:
    await made(story.house, name="Spring")
    await story.house.deliver()
    for field, value in {"percentOff": "30", "name": "Mine", "duration": "ONCE"}.items():
        told = await update(story.house, "SPRING", **{field: value})
        assert refusal(told) == ("INVALID_STATE", [field])
        assert "dashboard" in told["userErrors"][0]["message"]
    # What is as it is there may be said again.
    told = await changed(story.house, "SPRING", percentOff="25", name="Spring", duration="FOREVER", maxRedemptions=3)
    assert (told["version"], told["maxRedemptions"]) == (2, 3)


async def test_deleted_there_nobody_redeems_it_and_discounts_stay(story: Story) -> None:
    house = story.house
    await made(house)
    await word(house, "HELLO")
    await house.deliver()
    await changed(house, "SPRING", interval=None)
    await story.buy(promotionCode="hello")
    await dashboard(house).coupons.delete_async("SPRING")
    await house.deliver()
    gone = await shown(house, "SPRING")
    assert (gone["isActive"], gone["status"], gone["isArchived"]) == (False, "INACTIVE", False)
    assert gone["promotionCodes"] == [{"code": "HELLO", "isActive": False}]
    assert codes(await story.subscribe(user="demo-new", card=False, couponCode="SPRING")) == ["COUPON_INVALID"]
    assert refusal(await update(house, "SPRING", isActive=True)) == ("INVALID_STATE", ["isActive"])
    assert await story.months(1) == [750, 750]
    assert on_it(await story.mine()) == [("SPRING", None)]
    assert await house.audit() == []


async def test_made_there_again_it_is_good_again(story: Story) -> None:
    house, v1 = story.house, dashboard(story.house)
    await made(house)
    await house.deliver()
    await v1.coupons.delete_async("SPRING")
    await house.deliver()
    await made(house, name="Again", percent_off=50)
    await house.deliver()
    again = await shown(house, "SPRING")
    assert (again["name"], again["percentOff"], again["status"]) == ("Again", "50", "ACTIVE")


@pytest.mark.parametrize("sees_it_gone", [True, False], ids=["deletion seen", "deletion lost"])
async def test_made_there_again_with_other_terms_what_was_redeemed_keeps_its_own(
    story: Story, sees_it_gone: bool
) -> None:
    house = story.house
    await made(house)
    await house.deliver()
    await changed(house, "SPRING", interval=None)
    await story.buy(couponCode="SPRING")
    await dashboard(house).coupons.delete_async("SPRING")
    if sees_it_gone:
        await house.deliver()
    await made(house, percent_off=50)
    await house.deliver()
    kept = await shown(house, "SPRING")
    assert (kept["percentOff"], kept["status"]) == ("25", "INACTIVE")
    assert await synced(house) == ([], [], [("COUPON_REMADE", "SPRING")])
    assert await story.months(1) == [750, 750]


async def test_months_of_the_dashboard_become_periods_of_the_coupons_interval(house: House) -> None:
    await made(house, duration="repeating", duration_in_months=18)
    await house.deliver()
    assert (await shown(house, "SPRING"))["durationInPeriods"] == 2
    assert (await changed(house, "SPRING", interval="MONTH"))["durationInPeriods"] == 18


async def test_months_of_the_dashboard_are_as_long_for_who_pays_by_the_quarter(story: Story) -> None:
    await Merchant(story.house).plan("beans", "10.00", intervalCount=3)
    await made(story.house, duration="repeating", duration_in_months=4)
    await story.house.deliver()
    await changed(story.house, "SPRING", interval="MONTH")
    bought = await story.buy(planCode="beans", couponCode="SPRING")
    assert on_it(bought) == [("SPRING", 1)]
    for _ in range(2):
        story.house.pass_time(timedelta(days=92))
        await story.house.work()
    assert totals(await story.mine()) == [750, 750, 1000]


async def test_a_code_of_ours_is_kept_and_told_as_drift(story: Story) -> None:
    await story.coupon("SPRING", percentOff="10")
    ours = await shown(story.house, "SPRING")
    await made(story.house, name="Theirs")
    ref = await word(story.house, "HELLO")
    await story.house.deliver()
    assert await shown(story.house, "SPRING") == ours
    drift = [("COUPON_OF_OURS", "SPRING"), ("PROMOTION_CODE_NOT_HELD", ref)]
    assert await synced(story.house) == ([], [], drift)
    # Nor does its deletion there touch ours.
    await dashboard(story.house).coupons.delete_async("SPRING")
    await story.house.deliver()
    assert await shown(story.house, "SPRING") == ours


async def test_deleted_here_it_stays_so_whatever_the_dashboard_does(story: Story) -> None:
    house = story.house
    await made(house, name="Spring")
    await word(house, "HELLO")
    await house.deliver()
    await delete(house, "SPRING")
    await dashboard(house).coupons.update_async("SPRING", {"name": "Summer"})
    await house.deliver()
    assert await synced(house) == ([], [], [])
    left = await shown(house, "SPRING")
    assert (left["isArchived"], left["isActive"], left["name"]) == (True, False, "Summer")
    assert left["promotionCodes"] == [{"code": "HELLO", "isActive": False}]


async def test_promotion_codes_follow_and_are_not_changed_here(story: Story) -> None:
    house, v1 = story.house, dashboard(story.house)
    await made(house)
    ref = await word(house, "HELLO", max_redemptions=1, restrictions={"first_time_transaction": True})
    await house.deliver()
    await changed(house, "SPRING", interval=None)
    assert refusal(await change_code(house, "HELLO", isActive=False)) == ("INVALID_STATE", ["code"])
    await v1.promotion_codes.update_async(ref, {"active": False})
    await house.deliver()
    assert (await shown(house, "SPRING"))["promotionCodes"] == [{"code": "HELLO", "isActive": False}]
    await v1.promotion_codes.update_async(ref, {"active": True})
    await house.deliver()
    assert price(await story.buy(promotionCode="hello")) == (750, 1000, 250)
    assert codes(await story.subscribe(user="demo-new", card=False, promotionCode="hello")) == ["COUPON_EXHAUSTED"]


async def test_a_coupon_that_changes_while_it_is_redeemed_is_not_redeemed(story: Story) -> None:
    """Neither by its old terms nor after its end: whoever decided by an older version is told to try again."""
    app = story.house.app
    await story.coupon("SPRING", percentOff="25")
    begun = await story.buy()
    async with app.database.read() as session:
        wish = await asked_coupon(session, "SPRING", None)
        row = await session.get_one(Subscription, begun["id"])
    assert wish is not None
    await changed(story.house, "SPRING", percentOff="30")
    why = Why("applyCoupon", WORKER, app.now())
    with pytest.raises(UserProblem) as refused:
        async with app.database.write() as session:
            await redeem(session, applied_to(row, wish, why), wish.given, why)
    assert (refused.value.code, refused.value.field) == (ErrorCode.INVALID_STATE, ["couponCode"])
    assert await story.standing("SPRING") == ("ACTIVE", 0)
    assert on_it(await story.mine()) == []


# ── any order ──


async def _all_events(house: House) -> list[dict[str, Any]]:
    """Every event of the dashboard's coupons so far."""
    listed = await dashboard(house).events.list_async({"limit": 100})
    told = [each.to_dict() for each in listed.data]
    return [each for each in told if each["type"].startswith(("coupon.", "promotion_code."))]


async def _life_on_the_dashboard(house: House) -> None:
    v1 = dashboard(house)
    await made(house, "KEPT", name="One")
    await v1.coupons.update_async("KEPT", {"name": "Two"})
    await made(house, "GONE")
    ref = await word(house, "HELLO", "KEPT")
    await word(house, "BYE", "GONE")
    await v1.promotion_codes.update_async(ref, {"active": False})
    await v1.coupons.update_async("GONE", {"name": "Late"})


async def _told(house: House) -> Any:
    query = """{ coupons(filter: {includeArchived: true}) { nodes { code name percentOff interval isActive status
      promotionCodes { code isActive } } } }"""
    return sorted((await house.ask(query, user=ADMIN))["coupons"]["nodes"], key=lambda each: each["code"])


@pytest.mark.parametrize("seed", range(2))
async def test_lost_doubled_and_shuffled_webhooks_end_in_the_same_coupons(house: House, seed: int) -> None:
    """What was there before is followed; then everything arrives twice, shuffled, the deletion first or last."""
    await _life_on_the_dashboard(house)
    await sync(house)
    await dashboard(house).coupons.delete_async("GONE")
    events = [each for each in await _all_events(house) for _ in range(2)]
    random.Random(seed).shuffle(events)
    for number, each in enumerate(events):
        await send(house, {**each, "id": f"evt_again_{number}"})
        if number % 3 == 0:
            await house.work()
    await house.work()
    expected = [
        {
            "code": "GONE",
            "name": "Late",
            "percentOff": "25",
            "interval": "YEAR",
            "isActive": False,
            "status": "INACTIVE",
            "promotionCodes": [{"code": "BYE", "isActive": False}],
        },
        {
            "code": "KEPT",
            "name": "Two",
            "percentOff": "25",
            "interval": "YEAR",
            "isActive": True,
            "status": "ACTIVE",
            "promotionCodes": [{"code": "HELLO", "isActive": False}],
        },
    ]
    assert await _told(house) == expected
    before = await of_coupons(house)
    await sync(house)
    assert await of_coupons(house) == before


@pytest.mark.parametrize("order", list(itertools.permutations(("deleted", "updated", "created"))))
async def test_a_late_update_does_not_bring_a_deleted_coupon_back(small_house: House, order: Sequence[str]) -> None:
    await made(small_house)
    await sync(small_house)
    await dashboard(small_house).coupons.delete_async("SPRING")
    for kind in order:
        await send(small_house, event("coupon", "SPRING", f"coupon.{kind}"))
        await small_house.work()
    assert (await shown(small_house, "SPRING"))["status"] == "INACTIVE"


async def test_a_code_that_arrives_before_its_coupon_brings_it_along(house: House) -> None:
    await made(house)
    ref = await word(house, "HELLO")
    await send(house, event("promotion_code", ref, "promotion_code.created"))
    await house.work()
    assert (await shown(house, "SPRING"))["promotionCodes"] == [{"code": "HELLO", "isActive": True}]


async def test_hints_of_what_is_nowhere_change_nothing(house: House) -> None:
    before = await of_coupons(house)
    for kind, ref in (("coupon", "NONE"), ("promotion_code", "promo_none"), ("coupon", "a/../b c")):
        assert (await send(house, event(kind, ref, f"{kind}.updated"))).status_code == 200
    await house.work()
    assert await of_coupons(house) == before


async def test_many_hints_at_once_take_one_coupon_over(house: House) -> None:
    await made(house)
    ref = await word(house, "HELLO")
    await asyncio.gather(
        *(follow_coupon(house.app, "SPRING") for _ in range(4)),
        *(follow_promotion_code(house.app, ref) for _ in range(4)),
    )
    assert {name: len(rows) for name, rows in (await of_coupons(house)).items()} == {"coupons": 1, "promotion_codes": 1}


# ── the whole dashboard ──


async def test_a_sync_tells_what_it_did_and_then_nothing_more(house: House) -> None:
    await made(house, "A")
    await made(house, "B")
    await made(house, "C")
    assert await synced(house) == (["C", "B", "A"], [], [])
    await dashboard(house).coupons.update_async("A", {"name": "New"})
    await dashboard(house).coupons.delete_async("B")
    assert await synced(house) == ([], ["A", "B"], [])
    before = await of_coupons(house)
    assert await synced(house) == ([], [], [])
    assert await of_coupons(house) == before


async def test_what_cannot_be_held_here_is_told_with_its_reason(story: Story) -> None:
    house, v1 = story.house, dashboard(story.house)
    await made(house, "FUTURE", metadata={"product_codes": "coffee-product, tea"})
    await made(house, "X" * 101)
    await made(house)
    customer = await v1.customers.create_async({})
    restricted = await word(house, "ROSA", customer=customer.id)
    await story.coupon("OURS", percentOff="10")
    await story.promote("OURS", "TAKEN")
    taken = await word(house, "taken")
    told = await sync(house)
    assert [each["code"] for each in told["imported"]] == ["SPRING"]
    assert [(each["kind"], each["gatewayPaymentId"], each["local"]) for each in told["drift"]] == [
        ("COUPON_NOT_HELD", "X" * 101, "A code has 1 to 100 letters, digits, dots, hyphens and underscores."),
        ("COUPON_NOT_HELD", "FUTURE", "There is no product 'tea'."),
        ("PROMOTION_CODE_NOT_HELD", taken, "The word stands for the coupon OURS already."),
        (
            "PROMOTION_CODE_NOT_HELD",
            restricted,
            "It is for one customer, or from an amount on; taken over it would be for everybody.",
        ),
    ]
    assert (await shown(house, "SPRING"))["promotionCodes"] == []
    # Once it can be, it is.
    await Merchant(house).product("tea")
    assert (await synced(house))[0] == ["FUTURE"]


async def test_without_the_gateway_a_sync_is_refused_and_changes_nothing(small_house: House) -> None:
    await made(small_house)
    before = await of_coupons(small_house)
    faults_always(small_house, Fault.ERROR_500_BEFORE)
    told = (await small_house.ask(SYNC, user=ADMIN))["syncCoupons"]
    assert told["userErrors"] == [{"code": "GATEWAY_UNAVAILABLE"}]
    assert await of_coupons(small_house) == before


async def test_a_hint_is_tried_again_once_the_gateway_answers(small_house: House) -> None:
    await made(small_house)
    await send(small_house, event("coupon", "SPRING", "coupon.created"))
    faults_always(small_house, Fault.ERROR_500_BEFORE)
    await small_house.work()
    assert await shown(small_house, "SPRING") is None
    sandbox = small_house.installation.sandbox
    assert sandbox is not None
    sandbox.faults.clear()
    small_house.pass_time(timedelta(minutes=1))
    await small_house.work()
    assert (await shown(small_house, "SPRING"))["status"] == "ACTIVE"


RECONCILE = """mutation ($repair: Boolean!) { reconcilePayments(since: "2026-01-01T00:00:00Z", repair: $repair) {
  report { drift { kind gatewayPaymentId local gateway repaired } } userErrors { code } } }"""


async def test_the_reconcile_pass_tells_of_coupons_and_repairs_them(house: House) -> None:
    await made(house)
    ref = await word(house, "HELLO")
    before = await of_coupons(house)
    told = await house.ask(RECONCILE, {"repair": False}, ADMIN)
    assert [(each["kind"], each["repaired"]) for each in told["reconcilePayments"]["report"]["drift"]] == [
        ("COUPON_MISSING_HERE", False),
        ("PROMOTION_CODE_NOT_HELD", False),
    ]
    assert await of_coupons(house) == before
    told = await house.ask(RECONCILE, {"repair": True}, ADMIN)
    assert told["reconcilePayments"]["report"]["drift"] == [
        {
            "kind": "COUPON_MISSING_HERE",
            "gatewayPaymentId": "SPRING",
            "local": None,
            "gateway": "unnamed: 25 % off, forever",
            "repaired": True,
        },
        {
            "kind": "PROMOTION_CODE_DIFFERS",
            "gatewayPaymentId": ref,
            "local": None,
            "gateway": "HELLO for SPRING, active",
            "repaired": True,
        },
    ]
    assert (await shown(house, "SPRING"))["promotionCodes"] == [{"code": "HELLO", "isActive": True}]


async def test_nothing_of_ours_is_written_to_the_dashboard(story: Story) -> None:
    """Inbound only."""
    await story.coupon("OURS", percentOff="10")
    await made(story.house)
    await sync(story.house)
    await changed(story.house, "SPRING", interval="MONTH", maxRedemptions=1)
    await delete(story.house, "SPRING")
    listed = await dashboard(story.house).coupons.list_async()
    assert [(each.id, each.valid, each.max_redemptions) for each in listed.data] == [("SPRING", True, None)]
    with pytest.raises(stripe.InvalidRequestError):
        await dashboard(story.house).coupons.retrieve_async("OURS")


async def test_a_coupon_in_a_currency_that_we_do_not_know_is_told_and_not_taken_over(small_house: House) -> None:
    asked: Any = {"id": "THIMPHU", "amount_off": 4200, "currency": "btn", "duration": "once"}
    await dashboard(small_house).coupons.create_async(asked)
    await small_house.deliver()
    assert [state for _, kind, state in await inbox(small_house) if kind == "coupon.created"] == ["processed"]
    told = (await small_house.ask(RECONCILE, {"repair": True}, ADMIN))["reconcilePayments"]
    assert told["report"]["drift"] == [
        {
            "kind": "COUPON_NOT_HELD",
            "gatewayPaymentId": "THIMPHU",
            "local": "It takes off BTN, which nothing is charged in.",
            "gateway": "unnamed: BTN 4200 (minor units) off, once",
            "repaired": False,
        }
    ]
