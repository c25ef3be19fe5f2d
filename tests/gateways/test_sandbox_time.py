"""What the sandbox does by itself as its clock moves: every look sees it done, and old things are forgotten."""

from datetime import timedelta

import pytest
import stripe
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import create_async_engine

from gateways.sandbox.duties import DUTIES
from gateways.sandbox.tables import deliveries, duties, idempotency, objects
from tests.gateways.sandbox_fixtures import ENDPOINT, SECRET, make_client, make_sandbox
from tests.gateways.test_sandbox_refunds import LATER, paid

DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}


async def counted(bench, table, *where) -> int:
    scheme, _, rest = bench.database_url.partition("://")
    engine = create_async_engine(f"{DRIVERS[scheme]}://{rest}")
    async with engine.connect() as connection:
        count = (await connection.execute(select(func.count()).select_from(table).where(*where))).scalar_one()
    await engine.dispose()
    return count


async def test_nothing_moves_while_the_clock_stands_still(quick) -> None:
    intent = await paid(quick, "pm_card_pendingRefund")
    refund = await quick.v1.refunds.create_async({"payment_intent": intent.id})
    quick.system.advance(timedelta(days=30))
    await quick.sandbox.deliver_due()
    assert (await quick.v1.refunds.retrieve_async(refund.id)).status == "pending"


async def test_time_passes_before_whatever_is_asked_next(bench) -> None:
    intent = await paid(bench, "pm_card_refundFail")
    await bench.v1.refunds.create_async({"payment_intent": intent.id})
    bench.clock.advance(LATER)
    again = await bench.v1.refunds.create_async({"payment_intent": intent.id, "amount": 3000})
    assert again.status == "succeeded"
    assert (await bench.event_types())[-5:] == [
        "refund.failed",
        "refund.updated",
        "charge.refund.updated",
        "refund.created",
        "charge.refunded",
    ]


async def test_a_refused_request_still_lets_time_pass_once(bench) -> None:
    intent = await paid(bench, "pm_card_pendingRefund")
    refund = await bench.v1.refunds.create_async({"payment_intent": intent.id})
    bench.clock.advance(LATER)
    with pytest.raises(stripe.InvalidRequestError):
        await bench.v1.customers.retrieve_async("cus_none")
    with pytest.raises(stripe.InvalidRequestError):
        await bench.v1.refunds.create_async({"payment_intent": intent.id}, {"idempotency_key": "k"})
    assert (await bench.v1.refunds.retrieve_async(refund.id)).status == "succeeded"
    assert (await bench.event_types()).count("refund.updated") == 1


async def test_another_process_on_the_same_database_carries_the_duty_out(bench) -> None:
    intent = await paid(bench, "pm_card_pendingRefund")
    refund = await bench.v1.refunds.create_async({"payment_intent": intent.id})
    bench.clock.advance(LATER)
    other = make_sandbox(bench.database_url, bench.clock, bench.system, bench.receiver)
    await other.start()
    assert (await make_client(other).v1.refunds.retrieve_async(refund.id)).status == "succeeded"
    await other.close()
    assert (await bench.event_types()).count("refund.updated") == 1
    assert await counted(bench, duties) == 1


async def test_what_is_due_together_happens_in_the_order_it_was_due(quick) -> None:
    late = await paid(quick, "pm_card_pendingRefund")
    early = await paid(quick, "pm_card_pendingRefund")
    first = await quick.v1.refunds.create_async({"payment_intent": early.id})
    quick.clock.advance(timedelta(seconds=1))
    second = await quick.v1.refunds.create_async({"payment_intent": late.id})
    quick.clock.advance(timedelta(hours=1))
    updated = (await quick.v1.events.list_async({"type": "refund.updated"})).data
    assert [event.data.object.id for event in updated] == [second.id, first.id]


async def test_keys_older_than_a_day_and_events_older_than_thirty_are_forgotten_for_good(bench) -> None:
    await bench.sandbox.ensure_webhook_endpoint(ENDPOINT, SECRET)
    await bench.v1.customers.create_async({}, {"idempotency_key": "old"})
    await bench.sandbox.deliver_due()
    bench.clock.advance(timedelta(days=1))
    await bench.v1.customers.create_async({}, {"idempotency_key": "young"})
    assert await counted(bench, idempotency) == 2
    bench.clock.advance(timedelta(days=1))
    await bench.v1.events.list_async()
    assert await counted(bench, idempotency) == 1
    bench.clock.advance(timedelta(days=28, seconds=1))
    remembered = (await bench.v1.events.list_async()).data
    assert len(remembered) == 1
    assert await counted(bench, objects, objects.c.kind == "event") == 1
    assert await counted(bench, deliveries) == 1, "the delivery still owed stays, the one made is forgotten"
    assert await bench.sandbox.deliver_due() == 1
    assert len((await bench.v1.customers.list_async()).data) == 2


async def test_every_duty_that_is_planned_has_somebody_to_carry_it_out(quick) -> None:
    await paid(quick, "pm_card_createDispute")
    await paid(quick, "pm_card_visa", capture_method="manual")
    soon = int(quick.clock.now().timestamp()) + 60
    await quick.v1.coupons.create_async({"id": "C", "percent_off": 5, "redeem_by": soon})
    await quick.v1.promotion_codes.create_async({"promotion": {"type": "coupon", "coupon": "C"}, "expires_at": soon})
    refunded = await paid(quick, "pm_card_refundFail")
    await quick.v1.refunds.create_async({"payment_intent": refunded.id})
    inquired = await paid(quick, "pm_card_createDisputeInquiry")
    inquiry = (await quick.v1.disputes.list_async({"payment_intent": inquired.id})).data[0]
    await quick.v1.disputes.update_async(inquiry.id, {"evidence": {"uncategorized_text": "winning_evidence"}})
    for duty in DUTIES:
        assert await counted(quick, duties, duties.c.kind == duty) >= 1, duty
    quick.clock.advance(timedelta(days=400))
    await quick.v1.customers.list_async()
    assert await counted(quick, duties) == 1


async def test_a_reissued_card_is_told_as_the_networks_do(bench) -> None:
    customer, card = await bench.saved_card()
    async with bench.raw() as wire:
        answered = await wire.post(
            f"/sandbox/cards/{card}", data={"number": "5555555555554444", "exp_month": "5", "exp_year": "2031"}
        )
        assert answered.status_code == 200
        unknown = await wire.post("/sandbox/cards/pm_none", data={"exp_year": "2031"})
        assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "resource_missing")
        real = await wire.post(f"/sandbox/cards/{card}", json={"number": "4012888888881881"})
        assert (real.status_code, real.json()["error"]["code"]) == (402, "incorrect_number")
    async with bench.raw("pk_test_sandbox") as wire:
        assert (await wire.post(f"/sandbox/cards/{card}", data={"exp_year": "2031"})).status_code == 403
    method = await bench.v1.payment_methods.retrieve_async(card)
    assert (method.customer, method.card.brand, method.card.last4) == (customer, "mastercard", "4444")
    assert (method.card.exp_month, method.card.exp_year, method.card.checks.cvc_check) == (5, 2031, "pass")
    event = (await bench.v1.events.list_async()).data[0]
    assert (event.type, event.request.id, event.data.object.id) == (
        "payment_method.automatically_updated",
        None,
        card,
    )
    before = event.data.previous_attributes.card
    assert (before.brand, before.last4, before.exp_month, before.exp_year) == ("visa", "4242", 1, 2028)
