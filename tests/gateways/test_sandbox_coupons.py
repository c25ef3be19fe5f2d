"""Coupons and the codes customers type: made once, named anew, and ended."""

from datetime import timedelta

import pytest
import stripe

from tests.gateways.sandbox_fixtures import Bench

HALF = {"percent_off": 50, "duration": "once"}


async def coupon_refused(bench: Bench, **params) -> tuple[int | None, str | None, str | None]:
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        await bench.v1.coupons.create_async(params)
    assert (await bench.v1.coupons.list_async()).data == []
    return refusal.value.http_status, refusal.value.code, refusal.value.param


async def code_refused(bench: Bench, **params) -> stripe.InvalidRequestError:
    before = [code.id for code in (await bench.v1.promotion_codes.list_async()).data]
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        await bench.v1.promotion_codes.create_async(params)
    assert [code.id for code in (await bench.v1.promotion_codes.list_async()).data] == before
    return refusal.value


async def code_for(bench: Bench, coupon: str, **more) -> stripe.PromotionCode:
    return await bench.v1.promotion_codes.create_async({"promotion": {"type": "coupon", "coupon": coupon}, **more})


async def test_a_coupon_has_the_id_its_maker_gave_and_keeps_its_terms(bench) -> None:
    made = await bench.v1.coupons.create_async(
        {
            "id": "SPRING-25",
            "percent_off": 25.5,
            "duration": "repeating",
            "duration_in_months": 3,
            "name": "Spring",
            "max_redemptions": 10,
            "metadata": {"product_codes": "coffee"},
        }
    )
    assert made.to_dict() == {
        "id": "SPRING-25",
        "object": "coupon",
        "amount_off": None,
        "created": int(bench.clock.now().timestamp()),
        "currency": None,
        "duration": "repeating",
        "duration_in_months": 3,
        "livemode": False,
        "max_redemptions": 10,
        "metadata": {"product_codes": "coffee"},
        "name": "Spring",
        "percent_off": 25.5,
        "redeem_by": None,
        "times_redeemed": 0,
        "valid": True,
    }
    changed = await bench.v1.coupons.update_async("SPRING-25", {"name": "April", "metadata": {"campaign": "7"}})
    assert (changed.name, changed.metadata.to_dict()) == ("April", {"product_codes": "coffee", "campaign": "7"})
    with pytest.raises(stripe.InvalidRequestError) as fixed:
        await bench.v1.coupons.update_async("SPRING-25", {"percent_off": 30})
    assert (fixed.value.code, fixed.value.param) == ("parameter_unknown", "percent_off")
    assert (await bench.v1.coupons.retrieve_async("SPRING-25")).percent_off == 25.5
    assert await bench.event_types() == ["coupon.created", "coupon.updated"]


async def test_a_coupon_without_id_gets_eight_capitals_and_amounts_need_a_currency(quick) -> None:
    made = await quick.v1.coupons.create_async({"amount_off": 500, "currency": "EUR"})
    assert (len(made.id), made.id.isalnum(), made.id.upper()) == (8, True, made.id)
    assert (made.amount_off, made.currency, made.duration, made.percent_off) == (500, "eur", "once", None)


@pytest.mark.parametrize(
    ("params", "code", "param"),
    [
        ({}, "parameter_missing", "percent_off"),
        ({"percent_off": 10, "amount_off": 5, "currency": "usd"}, "parameters_exclusive", "percent_off"),
        ({"percent_off": 0}, None, "percent_off"),
        ({"percent_off": 100.5}, None, "percent_off"),
        ({"percent_off": "half"}, None, "percent_off"),
        ({"amount_off": 5}, "parameter_missing", "currency"),
        ({"amount_off": 0, "currency": "usd"}, "parameter_invalid_integer", "amount_off"),
        ({"amount_off": 5, "currency": "zzz"}, None, "currency"),
        ({"percent_off": 10, "duration": "repeating"}, "parameter_missing", "duration_in_months"),
        ({"percent_off": 10, "duration_in_months": 2}, None, "duration_in_months"),
        ({"percent_off": 10, "redeem_by": 1}, None, "redeem_by"),
        ({"percent_off": 10, "id": "a/b"}, None, "id"),
        ({"percent_off": 10, "name": "n" * 41}, None, "name"),
        ({"percent_off": 10, "applies_to": {"products": ["prod_1"]}}, "parameter_unknown", "applies_to"),
    ],
)
async def test_what_is_no_offer_is_refused(quick, params, code, param) -> None:
    assert await coupon_refused(quick, **params) == (400, code, param)


async def test_an_id_is_given_once_until_its_coupon_is_deleted(bench) -> None:
    await bench.v1.coupons.create_async({**HALF, "id": "ONCE"})
    with pytest.raises(stripe.InvalidRequestError) as twice:
        await bench.v1.coupons.create_async({**HALF, "id": "ONCE"})
    assert (twice.value.http_status, twice.value.code) == (400, "resource_already_exists")
    deleted = await bench.v1.coupons.delete_async("ONCE")
    assert deleted.to_dict() == {"id": "ONCE", "object": "coupon", "deleted": True}
    with pytest.raises(stripe.InvalidRequestError) as gone:
        await bench.v1.coupons.retrieve_async("ONCE")
    assert (gone.value.http_status, gone.value.code, gone.value.param) == (404, "resource_missing", "coupon")
    assert (await bench.v1.coupons.create_async({"id": "ONCE", "percent_off": 5})).percent_off == 5
    assert (await bench.v1.coupons.retrieve_async("ONCE")).valid is True
    assert await bench.event_types() == ["coupon.created", "coupon.deleted", "coupon.created"]


async def test_an_id_of_another_object_is_taken(quick) -> None:
    customer = await quick.v1.customers.create_async({})
    with pytest.raises(stripe.InvalidRequestError) as taken:
        await quick.v1.coupons.create_async({**HALF, "id": customer.id})
    assert taken.value.code == "resource_already_exists"


async def test_a_coupon_and_its_codes_end_after_its_last_second(bench) -> None:
    last = int((bench.clock.now() + timedelta(days=2)).timestamp())
    await bench.v1.coupons.create_async({**HALF, "id": "SOON", "redeem_by": last})
    code = await code_for(bench, "SOON", code="HURRY")
    bench.clock.advance(timedelta(days=2))
    assert (await bench.v1.coupons.retrieve_async("SOON")).valid is True
    bench.clock.advance(timedelta(seconds=1))
    assert (await bench.v1.coupons.retrieve_async("SOON")).valid is False
    assert (await bench.v1.promotion_codes.retrieve_async(code.id)).active is False
    with pytest.raises(stripe.InvalidRequestError) as useless:
        await bench.v1.promotion_codes.update_async(code.id, {"active": True})
    assert useless.value.param == "active"


async def test_a_promotion_code_leads_to_its_coupon(bench) -> None:
    await bench.v1.coupons.create_async({**HALF, "id": "HALF"})
    customer = await bench.v1.customers.create_async({})
    made = await code_for(
        bench,
        "HALF",
        code="Friends-1",
        customer=customer.id,
        max_redemptions=3,
        metadata={"a": "1"},
        restrictions={"first_time_transaction": True, "minimum_amount": 1000, "minimum_amount_currency": "USD"},
    )
    assert (made.code, made.active, made.customer, made.max_redemptions) == ("Friends-1", True, customer.id, 3)
    assert made.promotion.to_dict() == {"coupon": "HALF", "type": "coupon"}
    assert made.restrictions.to_dict() == {
        "first_time_transaction": True,
        "minimum_amount": 1000,
        "minimum_amount_currency": "usd",
    }
    full = await bench.v1.promotion_codes.retrieve_async(made.id, {"expand": ["promotion.coupon", "customer"]})
    assert (full.promotion.coupon.percent_off, full.customer.id) == (50, customer.id)
    await bench.v1.promotion_codes.update_async(made.id, {"active": False, "metadata": {"b": "2"}})
    event = (await bench.v1.events.list_async({"type": "promotion_code.updated"})).data[0]
    assert event.data.previous_attributes.to_dict() == {"active": True, "metadata": {"b": None}}
    with pytest.raises(stripe.InvalidRequestError):
        await bench.v1.promotion_codes.update_async(made.id, {"code": "OTHER"})


async def test_an_active_code_is_there_once_whatever_its_case(bench) -> None:
    await bench.v1.coupons.create_async({**HALF, "id": "HALF"})
    first = await code_for(bench, "HALF", code="Welcome")
    twice = await code_refused(bench, promotion={"type": "coupon", "coupon": "HALF"}, code="WELCOME")
    assert (twice.http_status, twice.code) == (400, "resource_already_exists")
    await bench.v1.promotion_codes.update_async(first.id, {"active": False})
    second = await code_for(bench, "HALF", code="wELCOME")
    with pytest.raises(stripe.InvalidRequestError) as back:
        await bench.v1.promotion_codes.update_async(first.id, {"active": True})
    assert back.value.code == "resource_already_exists"
    sleeping = await code_for(bench, "HALF", code="WELCOME", active=False)
    listed = bench.v1.promotion_codes.list_async
    assert [code.id for code in (await listed({"code": "welcome"})).data] == [sleeping.id, second.id, first.id]
    assert [code.id for code in (await listed({"code": "WELCOME", "active": True})).data] == [second.id]
    assert [code.id for code in (await listed({"active": False})).data] == [sleeping.id, first.id]
    assert (await listed({"code": "welcom"})).data == []


async def test_codes_of_one_customer_do_not_stand_in_anothers_way(quick) -> None:
    await quick.v1.coupons.create_async({**HALF, "id": "HALF"})
    mei, ben = [(await quick.v1.customers.create_async({})).id for _ in range(2)]
    mine = await code_for(quick, "HALF", code="ME", customer=mei)
    await code_for(quick, "HALF", code="ME", customer=ben)
    terms = {"promotion": {"type": "coupon", "coupon": "HALF"}, "code": "me"}
    assert (await code_refused(quick, **terms, customer=mei)).code == "resource_already_exists"
    assert (await code_refused(quick, **terms)).code == "resource_already_exists"
    assert [code.id for code in (await quick.v1.promotion_codes.list_async({"customer": mei})).data] == [mine.id]


@pytest.mark.parametrize(
    ("params", "code", "param"),
    [
        ({}, "parameter_missing", "promotion"),
        ({"promotion": {"type": "coupon"}}, "parameter_missing", "promotion[coupon]"),
        ({"coupon": "HALF"}, "parameter_unknown", "coupon"),
        ({"promotion": {"type": "coupon", "coupon": "NONE"}}, "resource_missing", "promotion[coupon]"),
        ({"code": "NO SPACE"}, None, "code"),
        ({"customer": "cus_none"}, "resource_missing", "customer"),
        ({"expires_at": 1}, None, "expires_at"),
        ({"expires_at": 4_000_000_000}, None, "expires_at"),
        ({"max_redemptions": 11}, None, "max_redemptions"),
        ({"restrictions": {"minimum_amount": 5}}, "parameter_missing", "restrictions[minimum_amount_currency]"),
    ],
)
async def test_a_code_reaches_no_further_than_its_coupon(quick, params, code, param) -> None:
    await quick.v1.coupons.create_async({**HALF, "id": "HALF", "max_redemptions": 10, "redeem_by": 3_000_000_000})
    if "promotion" not in params and "coupon" not in params and params:
        params = {"promotion": {"type": "coupon", "coupon": "HALF"}, **params}
    refusal = await code_refused(quick, **params)
    assert (refusal.http_status, refusal.code, refusal.param) == (400, code, param)


async def test_a_code_expires_on_its_own_and_with_its_coupons_end(quick) -> None:
    await quick.v1.coupons.create_async({**HALF, "id": "HALF"})
    tomorrow = int((quick.clock.now() + timedelta(days=1)).timestamp())
    brief, lasting = await code_for(quick, "HALF", expires_at=tomorrow), await code_for(quick, "HALF")
    quick.clock.advance(timedelta(days=1, seconds=1))
    listed = quick.v1.promotion_codes.list_async
    assert [code.id for code in (await listed({"active": True})).data] == [lasting.id]
    with pytest.raises(stripe.InvalidRequestError):
        await quick.v1.promotion_codes.update_async(brief.id, {"active": True})
    await quick.v1.coupons.delete_async("HALF")
    assert (await listed({"active": True})).data == []
    assert [code.id for code in (await listed({"coupon": "HALF"})).data] == [lasting.id, brief.id]
    full = await quick.v1.promotion_codes.retrieve_async(lasting.id, {"expand": ["promotion.coupon"]})
    assert full.promotion.coupon.to_dict() == {"id": "HALF", "object": "coupon", "deleted": True}
    assert (await quick.event_types())[-2:] == ["coupon.deleted", "promotion_code.updated"]


async def test_many_codes_are_paged_through_whatever_the_filter(quick) -> None:
    await quick.v1.coupons.create_async({**HALF, "id": "HALF"})
    await quick.v1.coupons.create_async({**HALF, "id": "OTHER"})
    made = [(await code_for(quick, "HALF" if place % 9 == 0 else "OTHER")).id for place in range(230)]
    page = await quick.v1.promotion_codes.list_async({"coupon": "HALF", "limit": 10})
    found = [code.id async for code in page.auto_paging_iter()]
    assert found == list(reversed(made[::9]))
    back = await quick.v1.promotion_codes.list_async({"coupon": "HALF", "limit": 3, "ending_before": found[-1]})
    assert ([code.id for code in back.data], back.has_more) == (found[-4:-1], True)


async def test_a_customer_has_no_discount_to_take_away(quick) -> None:
    customer = await quick.v1.customers.create_async({})
    with pytest.raises(stripe.InvalidRequestError) as none:
        await quick.v1.customers.delete_discount_async(customer.id)
    assert (none.value.http_status, none.value.code) == (404, "resource_missing")
