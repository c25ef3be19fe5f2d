"""What staff do with coupons: finding them, changing them, ending them and their codes."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from models.base import new_id
from models.coupons import PromotionCode, coupon_of_code
from tests.scenarios.couponing import Story, codes, on_it, price
from tests.scenarios.merchant import ADMIN, Merchant, do, done
from tests.support.house import House
from tests.support.meanwhile import one_after_the_other

SHOWN = """code version name percentOff amountsOff { amountMinor currencyCode } duration durationInPeriods interval
  appliesTo { code } maxRedemptions maxRedemptionsPerCustomer startsAt expiresAt isActive status metadata isArchived
  platform gatewayId promotionCodes { code isActive }"""
UPDATE = f"""mutation ($code: String!, $input: CouponInput!, $version: Int) {{
  updateCoupon(code: $code, input: $input, expectedVersion: $version) {{
    coupon {{ {SHOWN} }} userErrors {{ code message field ... on VersionConflictError {{ currentVersion }} }} }} }}"""
DELETE = f"""mutation ($code: String!) {{ deleteCoupon(code: $code) {{ coupon {{ {SHOWN} }}
  userErrors {{ code message field }} }} }}"""


@pytest.fixture
async def story(house: House) -> Story:
    return await Story(house).begin()


async def shown(house: House, code: str) -> dict[str, Any]:
    return (await house.ask(f"query ($code: String!) {{ coupon(code: $code) {{ {SHOWN} }} }}", {"code": code}, ADMIN))[
        "coupon"
    ]


async def update(house: House, coupon: str, version: int | None = None, **given: Any) -> dict[str, Any]:
    """The answer to `updateCoupon`; a refusal must have changed nothing."""
    before = await shown(house, coupon)
    told = (await house.ask(UPDATE, {"code": coupon, "input": given, "version": version}, ADMIN))["updateCoupon"]
    if told["userErrors"]:
        assert told["coupon"] is None
        assert await shown(house, coupon) == before
    return told


async def changed(house: House, coupon: str, **given: Any) -> dict[str, Any]:
    told = await update(house, coupon, **given)
    assert told["userErrors"] == []
    assert await shown(house, coupon) == told["coupon"]
    return told["coupon"]


def refusal(told: dict[str, Any]) -> tuple[str, list[str]]:
    (error,) = told["userErrors"]
    return error["code"], error["field"]


async def delete(house: House, code: str) -> dict[str, Any]:
    return (await house.ask(DELETE, {"code": code}, ADMIN))["deleteCoupon"]


async def listed(house: House, **arguments: Any) -> list[str]:
    query = """query ($filter: CouponFilter, $first: Int, $page: Int, $size: Int) {
      coupons(filter: $filter, first: $first, page: $page, pageSize: $size) { nodes { code } totalCount } }"""
    told = (await house.ask(query, arguments, ADMIN))["coupons"]
    if "page" not in arguments and "first" not in arguments:
        assert told["totalCount"] == len(told["nodes"])
    return [each["code"] for each in told["nodes"]]


# ── changing ──


async def test_only_what_is_given_changes_and_null_takes_it_back(story: Story) -> None:
    await Merchant(story.house).product("tea")
    await story.coupon(
        "SPRING",
        percentOff="25",
        duration="REPEATING",
        durationInPeriods=3,
        name="Spring",
        maxRedemptions=10,
        appliesToProductCodes=["tea"],
        interval="MONTH",
        metadata={"by": "me"},
    )
    before = await shown(story.house, "SPRING")
    assert (before["version"], before["platform"], before["gatewayId"]) == (1, "MANUAL", None)
    told = await changed(story.house, "SPRING", interval="YEAR", isActive=False)
    assert told == {**before, "version": 2, "interval": "YEAR", "isActive": False, "status": "INACTIVE"}
    told = await changed(
        story.house,
        "SPRING",
        name=None,
        interval=None,
        appliesToProductCodes=None,
        maxRedemptions=None,
        isActive=None,
        metadata=None,
    )
    assert told == {
        **before,
        "version": 3,
        "name": "SPRING",
        "interval": None,
        "appliesTo": None,
        "maxRedemptions": None,
        "metadata": {},
    }
    told = await changed(story.house, "SPRING", percentOff=None, amountsOff=[{"amount": "5.00", "currencyCode": "USD"}])
    assert (told["percentOff"], told["amountsOff"]) == (None, [{"amountMinor": 500, "currencyCode": "USD"}])
    told = await changed(story.house, "SPRING", duration=None, durationInPeriods=None)
    assert (told["duration"], told["durationInPeriods"], told["version"]) == ("ONCE", None, 5)


async def test_what_is_as_it_was_makes_no_version(story: Story) -> None:
    await story.coupon("SPRING", percentOff="25", name="Spring")
    told = await changed(story.house, "SPRING", code="SPRING", name="Spring", percentOff="25.0", isActive=True)
    assert told["version"] == 1


async def test_a_stale_version_is_told_the_present_one(story: Story) -> None:
    await story.coupon("SPRING", percentOff="25")
    await changed(story.house, "SPRING", name="One")
    told = await update(story.house, "SPRING", version=1, name="Two")
    assert refusal(told) == ("VERSION_CONFLICT", ["expectedVersion"])
    assert told["userErrors"][0]["currentVersion"] == 2
    told = await update(story.house, "SPRING", version=2, name="Two")
    assert (told["userErrors"], told["coupon"]["version"]) == ([], 3)


@pytest.mark.parametrize(
    ("given", "refused"),
    [
        ({"percentOff": "0"}, ("INVALID", ["percentOff"])),
        ({"percentOff": None}, ("REQUIRED", ["percentOff"])),
        ({"amountsOff": [{"amount": "5.00", "currencyCode": "USD"}]}, ("INVALID", ["amountsOff"])),
        ({"duration": "REPEATING"}, ("REQUIRED", ["durationInPeriods"])),
        ({"durationInPeriods": 2}, ("INVALID", ["durationInPeriods"])),
        ({"maxRedemptions": 0}, ("INVALID", ["maxRedemptions"])),
        ({"maxRedemptionsPerCustomer": 0}, ("INVALID", ["maxRedemptionsPerCustomer"])),
        ({"appliesToProductCodes": ["coffee-product", "none"]}, ("INVALID", ["appliesToProductCodes", "1"])),
        ({"appliesToProductCodes": []}, ("INVALID", ["appliesToProductCodes"])),
        ({"expiresAt": "2026-01-31T09:30:00Z"}, ("INVALID", ["expiresAt"])),
        ({"code": "OTHER"}, ("INVALID", ["code"])),
        ({"metadata": [1]}, ("INVALID", ["metadata"])),
        ({"name": "x" * 251}, ("INVALID", ["name"])),
    ],
)
async def test_what_makes_no_coupon_is_refused(small_house: House, given: Any, refused: Any) -> None:
    story = await Story(small_house).begin()
    await story.coupon("SPRING", percentOff="25")
    assert refusal(await update(small_house, "SPRING", **given)) == refused


async def test_an_expired_coupon_can_be_changed_and_given_more_time(story: Story) -> None:
    await story.coupon("SPRING", percentOff="25", expiresAt="2026-02-01T00:00:00Z")
    story.house.pass_time(timedelta(days=2))
    assert (await changed(story.house, "SPRING", name="Late"))["status"] == "EXPIRED"
    assert (await changed(story.house, "SPRING", expiresAt="2026-03-01T00:00:00Z"))["status"] == "ACTIVE"


async def test_once_redeemed_what_it_takes_off_stays_and_the_rest_may_change(story: Story) -> None:
    await story.coupon("SPRING", percentOff="25", duration="REPEATING", durationInPeriods=3)
    begun = await story.buy(couponCode="SPRING")
    for given in (
        {"percentOff": "30"},
        {"percentOff": None, "amountsOff": [{"amount": "5.00", "currencyCode": "USD"}]},
        {"duration": "FOREVER", "durationInPeriods": None},
        {"durationInPeriods": 4},
    ):
        code, (field,) = refusal(await update(story.house, "SPRING", **given))
        assert (code, field) == ("INVALID_STATE", next(iter(given)))
    told = await changed(
        story.house, "SPRING", percentOff="25", name="Old", maxRedemptions=1, isActive=False, metadata={"n": 1}
    )
    assert (told["name"], told["maxRedemptions"], told["status"]) == ("Old", 1, "INACTIVE")
    # What was redeemed goes on.
    assert price(begun) == (750, 1000, 250)
    assert await story.months(1) == [750, 750]


async def test_missing_and_deleted_coupons_are_not_changed(story: Story) -> None:
    told = (await story.house.ask(UPDATE, {"code": "NONE", "input": {"name": "x"}}, ADMIN))["updateCoupon"]
    assert refusal(told) == ("NOT_FOUND", ["code"])
    await story.coupon("SPRING", percentOff="25")
    await delete(story.house, "SPRING")
    assert refusal(await update(story.house, "SPRING", name="x")) == ("INVALID_STATE", ["code"])


# ── ending ──


async def test_a_deleted_coupon_and_its_codes_are_redeemed_no_more_and_discounts_stay(story: Story) -> None:
    await story.coupon("SPRING", percentOff="25", duration="FOREVER")
    await story.promote("SPRING", "HELLO")
    await story.buy(promotionCode="hello")
    told = await delete(story.house, "SPRING")
    assert told["userErrors"] == []
    gone = told["coupon"]
    assert (gone["isArchived"], gone["isActive"], gone["status"]) == (True, False, "INACTIVE")
    assert gone["promotionCodes"] == [{"code": "HELLO", "isActive": False}]
    for wish in ({"couponCode": "SPRING"}, {"promotionCode": "HELLO"}):
        assert codes(await story.subscribe(user="demo-new", card=False, **wish)) == ["COUPON_INVALID"]
    assert await story.months(1) == [750, 750]
    assert on_it(await story.mine()) == [("SPRING", None)]
    assert await story.house.audit() == []


async def test_deleting_again_changes_nothing_and_the_code_stays_taken(story: Story) -> None:
    await story.coupon("SPRING", percentOff="25")
    once = await delete(story.house, "SPRING")
    story.house.pass_time(timedelta(hours=1))
    assert await delete(story.house, "SPRING") == once
    assert refusal(await delete(story.house, "NONE")) == ("NOT_FOUND", ["code"])
    told = await do(story.house, "createCoupon", "CouponInput", {"code": "SPRING", "percentOff": "1"}, "coupon { id }")
    assert refusal(told) == ("ALREADY_EXISTS", ["code"])
    # Its words are free.
    await story.coupon("SUMMER", percentOff="25")
    await story.promote("SUMMER", "HELLO")


# ── promotion codes ──


async def change_code(house: House, code: str, **given: Any) -> dict[str, Any]:
    asked = "promotionCode { code isActive maxRedemptions expiresAt platform }"
    return await do(house, "updatePromotionCode", "UpdatePromotionCodeInput", {"code": code, **given}, asked)


async def test_a_promotion_code_is_switched_off_and_on_again(story: Story) -> None:
    await story.coupon("SPRING", percentOff="25")
    await story.promote("SPRING", "Hello", maxRedemptions=5)
    off = await change_code(story.house, "HELLO", isActive=False)
    assert off["userErrors"] == []
    assert off["promotionCode"] == {
        "code": "Hello",
        "isActive": False,
        "maxRedemptions": 5,
        "expiresAt": None,
        "platform": "MANUAL",
    }
    assert codes(await story.subscribe(promotionCode="hello")) == ["COUPON_INVALID"]
    on = await change_code(story.house, "hello", isActive=True, maxRedemptions=None, expiresAt="2026-03-01T00:00:00Z")
    assert on["promotionCode"] == {
        **off["promotionCode"],
        "isActive": True,
        "maxRedemptions": None,
        "expiresAt": "2026-03-01T00:00:00Z",
    }
    assert price(await story.buy(promotionCode="HELLO")) == (750, 1000, 250)


async def test_a_word_that_is_taken_while_its_code_is_switched_on_again_is_the_other_coupons(story: Story) -> None:
    app = story.house.app
    for coupon in ("SPRING", "SUMMER"):
        await story.coupon(coupon, percentOff="25")
    await story.promote("SPRING", "HELLO")
    await change_code(story.house, "HELLO", isActive=False)
    async with app.database.write() as session:
        other = await coupon_of_code(session, "SUMMER")
        assert other is not None
        now = app.now()
        session.add(
            PromotionCode(
                id=new_id("promotion_code"),
                coupon_id=other.id,
                code="Hello",
                folded="hello",
                created_at=now,
                updated_at=now,
            )
        )
        await session.flush()
        switching = asyncio.create_task(change_code(story.house, "HELLO", isActive=True))
        await asyncio.sleep(0.3)  # It waits for this transaction.
    told = await switching
    assert (told["userErrors"], told["promotionCode"]["code"]) == ([], "Hello")
    assert (await shown(story.house, "SPRING"))["promotionCodes"] == [{"code": "HELLO", "isActive": False}]
    assert (await shown(story.house, "SUMMER"))["promotionCodes"] == [{"code": "Hello", "isActive": True}]


async def test_what_makes_no_promotion_code_is_refused(story: Story) -> None:
    await story.coupon("SPRING", percentOff="25")
    await story.promote("SPRING", "HELLO")
    for code, given, refused in (
        ("NONE", {"isActive": False}, ("NOT_FOUND", ["code"])),
        ("HELLO", {"maxRedemptions": 0}, ("INVALID", ["maxRedemptions"])),
        ("HELLO", {"expiresAt": "2026-01-01T00:00:00Z"}, ("INVALID", ["expiresAt"])),
    ):
        assert refusal(await change_code(story.house, code, **given)) == refused
    await delete(story.house, "SPRING")
    assert refusal(await change_code(story.house, "HELLO", isActive=True)) == ("INVALID_STATE", ["isActive"])
    assert (await shown(story.house, "SPRING"))["promotionCodes"] == [{"code": "HELLO", "isActive": False}]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("is_new", [True, False])
async def test_a_coupon_that_is_deleted_just_now_has_no_code_that_goes_on(story: Story, *, is_new: bool) -> None:
    """Its words are free for others. On SQLite whoever comes second has not looked yet."""
    house = story.house
    await story.coupon("SPRING", percentOff="25")
    await story.coupon("SUMMER", percentOff="25")
    if not is_new:
        await story.promote("SPRING", "HELLO")
        await change_code(house, "HELLO", isActive=False)

    async def begin() -> dict[str, Any]:
        if not is_new:
            return await change_code(house, "HELLO", isActive=True)
        given = {"couponCode": "SPRING", "code": "HELLO"}
        return await do(house, "createPromotionCode", "CreatePromotionCodeInput", given, "promotionCode { id }")

    deleted, told = await one_after_the_other(
        house.app,
        "SELECT id FROM coupons WHERE code = 'SPRING' FOR UPDATE",
        lambda: delete(house, "SPRING"),
        begin,
    )
    assert deleted["coupon"]["isArchived"] is True
    assert refusal(told) == (("NOT_FOUND", ["couponCode"]) if is_new else ("INVALID_STATE", ["isActive"]))
    await story.promote("SUMMER", "Hello")


# ── finding ──


async def test_coupons_are_found_by_each_filter_alone_and_together(story: Story) -> None:
    house = story.house
    await story.coupon("MONTHLY", percentOff="10", interval="MONTH")
    await story.coupon("YEARLY", percentOff="10", interval="YEAR")
    await story.coupon("OFF", percentOff="10", isActive=False)
    await story.coupon("SHORT", percentOff="10", expiresAt="2026-02-01T00:00:00Z", interval="MONTH")
    await story.coupon("SINGLE", percentOff="10", maxRedemptions=1)
    await story.coupon("DELETED", percentOff="10")
    await delete(house, "DELETED")
    await story.buy(couponCode="SINGLE")
    house.pass_time(timedelta(days=2))
    everything = ["SINGLE", "SHORT", "OFF", "YEARLY", "MONTHLY"]
    assert await listed(house) == everything
    assert await listed(house, filter={"includeArchived": True}) == ["DELETED", *everything]
    assert await listed(house, filter={"isActive": True}) == ["SINGLE", "SHORT", "YEARLY", "MONTHLY"]
    assert await listed(house, filter={"isActive": False}) == ["OFF"]
    assert await listed(house, filter={"isActive": False, "includeArchived": True}) == ["DELETED", "OFF"]
    assert await listed(house, filter={"code": "SHORT"}) == ["SHORT"]
    assert await listed(house, filter={"code": "short"}) == []
    assert await listed(house, filter={"interval": "MONTH"}) == ["SHORT", "MONTHLY"]
    for status, found in (
        ("ACTIVE", ["YEARLY", "MONTHLY"]),
        ("INACTIVE", ["OFF"]),
        ("EXPIRED", ["SHORT"]),
        ("EXHAUSTED", ["SINGLE"]),
    ):
        assert await listed(house, filter={"status": [status]}) == found
        assert [(await shown(house, code))["status"] for code in found] == [status] * len(found)
    assert await listed(house, filter={"status": ["EXPIRED", "INACTIVE"], "includeArchived": True}) == [
        "DELETED",
        "SHORT",
        "OFF",
    ]
    assert await listed(house, filter={"status": []}) == []
    assert await listed(house, filter={"interval": "MONTH", "status": ["ACTIVE"], "isActive": True}) == ["MONTHLY"]
    assert await listed(house, page=2, size=2) == ["OFF", "YEARLY"]
    assert await listed(house, first=1, filter={"interval": "MONTH"}) == ["SHORT"]


async def test_api_keys_change_coupons_and_support_does_not(story: Story) -> None:
    await story.coupon("SPRING", percentOff="25")
    before = await shown(story.house, "SPRING")
    for document, variables in ((UPDATE, {"code": "SPRING", "input": {"name": "x"}}), (DELETE, {"code": "SPRING"})):
        answer = (await story.house.post(document, variables, "demo-support")).json()
        assert [error["extensions"]["code"] for error in answer["errors"]] == ["FORBIDDEN"]
    assert await shown(story.house, "SPRING") == before
    made = await done(
        story.house,
        "createApiKey",
        "CreateApiKeyInput",
        {"name": "shop", "scopes": ["manage_catalog"]},
        "secret",
    )
    answer = await story.house.http.post(
        "/graphql",
        json={"query": UPDATE, "variables": {"code": "SPRING", "input": {"interval": "YEAR"}}},
        headers={"X-API-Key": made["secret"]},
    )
    assert answer.json()["data"]["updateCoupon"]["userErrors"] == []
    assert (await shown(story.house, "SPRING"))["interval"] == "YEAR"
