"""Coupons and promotion codes of the dashboard through the port: the official SDK against the sandbox."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from billing.couponing import CouponDuration
from billing.dashboard_coupons import CodeTerms, DashboardCode, DashboardCoupon, TakesOff
from gateways.port import GatewayNotFound
from tests.support.house import House
from tests.support.outside import dashboard

UNTIL = datetime(2026, 12, 24, tzinfo=UTC)


async def test_a_percentage_is_read_whole(small_house: House) -> None:
    await dashboard(small_house).coupons.create_async(
        {
            "id": "SPRING",
            "percent_off": 12.5,
            "duration": "repeating",
            "duration_in_months": 3,
            "name": "Spring",
            "max_redemptions": 10,
            "redeem_by": int(UNTIL.timestamp()),
            "metadata": {"product_codes": "coffee"},
        }
    )
    read = DashboardCoupon(
        code="SPRING",
        name="Spring",
        takes_off=TakesOff(Decimal("12.5"), {}, CouponDuration.REPEATING, 3),
        max_redemptions=10,
        expires_at=UNTIL,
        metadata={"product_codes": "coffee"},
    )
    gateway = small_house.app.gateway
    assert await gateway.retrieve_coupon("SPRING") == read
    page = await gateway.list_coupons(after=None)
    assert (page.items, page.next_after) == ([read], None)


@pytest.mark.parametrize(("percent", "written"), [(100, "100"), (50, "50"), (33.33, "33.33"), (0.5, "0.5")])
async def test_a_percentage_is_exact(small_house: House, percent: float, written: str) -> None:
    await dashboard(small_house).coupons.create_async({"id": "P", "percent_off": percent, "duration": "once"})
    assert str((await small_house.app.gateway.retrieve_coupon("P")).takes_off.percent_off) == written


async def test_an_amount_is_read_in_its_currency(small_house: House) -> None:
    await dashboard(small_house).coupons.create_async(
        {"id": "YEN", "amount_off": 500, "currency": "jpy", "duration": "forever"}
    )
    read = await small_house.app.gateway.retrieve_coupon("YEN")
    assert read.takes_off == TakesOff(None, {"JPY": 500}, CouponDuration.FOREVER, None)


async def test_coupons_are_listed_over_pages(small_house: House) -> None:
    v1, gateway = dashboard(small_house), small_house.app.gateway
    for n in range(101):
        await v1.coupons.create_async({"id": f"C{n}", "percent_off": 10})
    first = await gateway.list_coupons(after=None)
    second = await gateway.list_coupons(after=first.next_after)
    assert [coupon.code for coupon in (*first.items, *second.items)] == [f"C{n}" for n in reversed(range(101))]
    assert (first.next_after, second.next_after) == ("C1", None)


async def test_a_deleted_coupon_is_not_found_and_not_listed(small_house: House) -> None:
    v1, gateway = dashboard(small_house), small_house.app.gateway
    await v1.coupons.create_async({"id": "GONE", "percent_off": 10})
    await v1.coupons.delete_async("GONE")
    for code in ("GONE", "NEVER"):
        with pytest.raises(GatewayNotFound):
            await gateway.retrieve_coupon(code)
    assert (await gateway.list_coupons(after=None)).items == []


async def test_a_promotion_code_is_read_with_its_coupon_and_limits(small_house: House) -> None:
    v1, gateway = dashboard(small_house), small_house.app.gateway
    await v1.coupons.create_async({"id": "SPRING", "percent_off": 10})
    made = await v1.promotion_codes.create_async(
        {
            "promotion": {"type": "coupon", "coupon": "SPRING"},
            "code": "HELLO",
            "max_redemptions": 5,
            "expires_at": int(UNTIL.timestamp()),
            "restrictions": {"first_time_transaction": True},
        }
    )
    read = DashboardCode(
        ref=made.id,
        coupon_code="SPRING",
        code="HELLO",
        terms=CodeTerms(is_active=True, max_redemptions=5, expires_at=UNTIL, first_purchase_only=True),
        is_restricted=False,
    )
    assert await gateway.retrieve_promotion_code(made.id) == read
    page = await gateway.list_promotion_codes(after=None)
    assert (page.items, page.next_after) == ([read], None)
    with pytest.raises(GatewayNotFound):
        await gateway.retrieve_promotion_code("promo_none")


async def test_a_code_for_one_customer_or_from_an_amount_on_is_restricted(small_house: House) -> None:
    v1, gateway = dashboard(small_house), small_house.app.gateway
    await v1.coupons.create_async({"id": "SPRING", "percent_off": 10})
    customer = await v1.customers.create_async({})
    limits = {"minimum_amount": 1000, "minimum_amount_currency": "usd"}
    for code, more in (("ROSA", {"customer": customer.id}), ("BIG", {"restrictions": limits})):
        await v1.promotion_codes.create_async(
            {"promotion": {"type": "coupon", "coupon": "SPRING"}, "code": code, **more}
        )
    page = await gateway.list_promotion_codes(after=None)
    assert [(each.code, each.is_restricted) for each in page.items] == [("BIG", True), ("ROSA", True)]
