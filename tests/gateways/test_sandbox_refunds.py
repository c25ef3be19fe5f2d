"""Money sent back: whole and in parts, late and in vain, and what the books say of it."""

from datetime import timedelta

import pytest
import stripe

from gateways.sandbox.refunds import SETTLES_AFTER_SECONDS
from tests.gateways.sandbox_fixtures import Bench

LATER = timedelta(seconds=SETTLES_AFTER_SECONDS)


async def paid(bench: Bench, card: str = "pm_card_visa", **more) -> stripe.PaymentIntent:
    return await bench.v1.payment_intents.create_async(
        {"amount": 3000, "currency": "usd", "payment_method": card, "confirm": True, **more}
    )


async def charge_of(bench: Bench, intent: stripe.PaymentIntent) -> stripe.Charge:
    return await bench.v1.charges.retrieve_async(intent.latest_charge)


async def booked(bench: Bench) -> list[tuple[str, int]]:
    """What was booked so far, oldest first."""
    page = await bench.v1.balance_transactions.list_async({"limit": 100})
    return [(entry.type, entry.amount) for entry in reversed(page.data)]


async def refused(bench: Bench, **params) -> stripe.InvalidRequestError:
    before = await booked(bench)
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        await bench.v1.refunds.create_async(params)
    assert await booked(bench) == before
    return refusal.value


async def test_a_charge_is_refunded_in_parts_until_nothing_is_left(bench) -> None:
    customer, card = await bench.saved_card()
    intent = await paid(bench, card, customer=customer)
    first = await bench.v1.refunds.create_async(
        {"charge": intent.latest_charge, "amount": 1000, "reason": "duplicate", "metadata": {"refund": "r1"}}
    )
    assert (first.status, first.amount, first.currency, first.reason) == ("succeeded", 1000, "usd", "duplicate")
    assert (first.charge, first.payment_intent, first.payment_method, first.customer) == (
        intent.latest_charge,
        intent.id,
        card,
        customer,
    )
    assert first.metadata.to_dict() == {"refund": "r1"}
    charge = await charge_of(bench, intent)
    assert (charge.amount_refunded, charge.refunded) == (1000, False)
    rest = await bench.v1.refunds.create_async({"payment_intent": intent.id})
    assert (rest.amount, rest.reason) == (2000, None)
    charge = await charge_of(bench, intent)
    assert (charge.amount_refunded, charge.refunded, charge.amount) == (3000, True, 3000)
    assert await booked(bench) == [("charge", 3000), ("refund", -1000), ("refund", -2000)]
    assert (await bench.event_types())[-4:] == [
        "refund.created",
        "charge.refunded",
        "refund.created",
        "charge.refunded",
    ]
    assert (await bench.v1.payment_intents.retrieve_async(intent.id)).amount_received == 3000


async def test_more_than_is_left_is_refused_in_stripes_words(quick) -> None:
    intent = await paid(quick)
    await quick.v1.refunds.create_async({"charge": intent.latest_charge, "amount": 1})
    much = await refused(quick, charge=intent.latest_charge, amount=3000)
    assert (much.http_status, much.code, much.param) == (400, None, "amount")
    assert much.user_message == "Refund amount ($30.00) is greater than unrefunded amount on charge ($29.99)"
    await quick.v1.refunds.create_async({"charge": intent.latest_charge})
    again = await refused(quick, charge=intent.latest_charge, amount=1)
    assert (again.http_status, again.code) == (400, "charge_already_refunded")
    assert again.user_message == f"Charge {intent.latest_charge} has already been refunded."


@pytest.mark.parametrize(
    ("params", "status", "code", "param"),
    [
        ({}, 400, None, None),
        ({"charge": "ch_none"}, 404, "resource_missing", "id"),
        ({"payment_intent": "pi_none"}, 400, "resource_missing", "payment_intent"),
        ({"charge": "ch_none", "amount": 0}, 400, "parameter_invalid_integer", "amount"),
        ({"charge": "ch_none", "reason": "expired_uncaptured_charge"}, 400, None, "reason"),
        ({"charge": "ch_none", "reverse_transfer": True}, 400, "parameter_unknown", "reverse_transfer"),
    ],
)
async def test_a_refund_needs_a_charge_and_sound_parameters(quick, params, status, code, param) -> None:
    refusal = await refused(quick, **params)
    assert (refusal.http_status, refusal.code, refusal.param) == (status, code, param)


async def test_what_was_never_taken_cannot_be_sent_back(quick) -> None:
    held = await paid(quick, capture_method="manual")
    assert "Cancel its PaymentIntent" in (await refused(quick, payment_intent=held.id)).user_message
    waiting = await quick.v1.payment_intents.create_async({"amount": 500, "currency": "usd"})
    message = f"This PaymentIntent ({waiting.id}) does not have a successful charge to refund."
    assert (await refused(quick, payment_intent=waiting.id)).user_message == message
    with pytest.raises(stripe.CardError) as declined:
        await paid(quick, "pm_card_visa_chargeDeclined")
    failed = declined.value.error.payment_intent
    message = f"This PaymentIntent ({failed.id}) does not have a successful charge to refund."
    assert (await refused(quick, charge=failed.latest_charge)).user_message == message
    other = await paid(quick)
    mixed = await refused(quick, charge=other.latest_charge, payment_intent=waiting.id)
    assert mixed.param == "payment_intent"


async def test_a_refund_in_a_three_decimal_currency_keeps_its_step(quick) -> None:
    intent = await quick.v1.payment_intents.create_async(
        {"amount": 12340, "currency": "kwd", "payment_method": "pm_card_visa", "confirm": True}
    )
    refusal = await refused(quick, charge=intent.latest_charge, amount=1005)
    assert (refusal.code, refusal.param) == ("parameter_invalid_integer", "amount")
    assert (await quick.v1.refunds.create_async({"charge": intent.latest_charge, "amount": 1010})).amount == 1010


async def test_a_pending_refund_succeeds_when_its_time_has_come_and_not_before(bench) -> None:
    intent = await paid(bench, "pm_card_pendingRefund")
    refund = await bench.v1.refunds.create_async({"payment_intent": intent.id, "amount": 1000})
    assert (refund.status, refund.pending_reason) == ("pending", "processing")
    assert (await charge_of(bench, intent)).amount_refunded == 1000
    bench.clock.advance(LATER - timedelta(seconds=1))
    assert (await bench.v1.refunds.retrieve_async(refund.id)).status == "pending"
    bench.clock.advance(timedelta(seconds=1))
    settled = await bench.v1.refunds.retrieve_async(refund.id)
    assert (settled.status, "pending_reason" in settled) == ("succeeded", False)
    assert (await charge_of(bench, intent)).amount_refunded == 1000
    assert await booked(bench) == [("charge", 3000), ("refund", -1000)]
    assert (await bench.event_types())[-2:] == ["refund.updated", "charge.refund.updated"]
    event = (await bench.v1.events.list_async({"type": "refund.updated"})).data[0]
    assert event.data.previous_attributes.to_dict() == {"pending_reason": "processing", "status": "pending"}
    assert event.request.id is None


async def test_a_failing_refund_succeeds_at_first_and_then_brings_the_money_back(bench) -> None:
    intent = await paid(bench, "pm_card_refundFail")
    refund = await bench.v1.refunds.create_async({"payment_intent": intent.id})
    assert refund.status == "succeeded"
    assert (await charge_of(bench, intent)).refunded is True
    bench.clock.advance(LATER)
    charge = await charge_of(bench, intent)
    assert (charge.amount_refunded, charge.refunded) == (0, False)
    failed = await bench.v1.refunds.retrieve_async(refund.id, {"expand": ["failure_balance_transaction"]})
    assert (failed.status, failed.failure_reason) == ("failed", "expired_or_canceled_card")
    assert (failed.failure_balance_transaction.type, failed.failure_balance_transaction.amount) == (
        "refund_failure",
        3000,
    )
    assert await booked(bench) == [("charge", 3000), ("refund", -3000), ("refund_failure", 3000)]
    assert (await bench.event_types())[-3:] == ["refund.failed", "refund.updated", "charge.refund.updated"]
    bench.clock.advance(timedelta(days=1))
    assert (await bench.v1.refunds.create_async({"payment_intent": intent.id})).amount == 3000


async def test_a_webhook_tells_of_a_refund_nobody_looked_at(quick) -> None:
    await quick.sandbox.ensure_webhook_endpoint("http://shop.test/webhooks", "whsec_for_tests")
    intent = await paid(quick, "pm_card_refundFail")
    await quick.v1.refunds.create_async({"payment_intent": intent.id})
    await quick.sandbox.deliver_due()
    quick.clock.advance(LATER)
    quick.receiver.requests.clear()
    assert await quick.sandbox.deliver_due() == 3
    assert quick.receiver.types() == ["refund.failed", "refund.updated", "charge.refund.updated"]
    assert await quick.sandbox.deliver_due() == 0


async def test_only_the_metadata_of_a_refund_changes_and_it_cannot_be_called_back(quick) -> None:
    intent = await paid(quick)
    refund = await quick.v1.refunds.create_async({"payment_intent": intent.id, "metadata": {"a": "1"}})
    changed = await quick.v1.refunds.update_async(refund.id, {"metadata": {"b": "2"}})
    assert changed.metadata.to_dict() == {"a": "1", "b": "2"}
    assert (await quick.event_types())[-2:] == ["refund.updated", "charge.refund.updated"]
    with pytest.raises(stripe.InvalidRequestError) as unknown:
        await quick.v1.refunds.update_async(refund.id, {"amount": 1})
    assert (unknown.value.code, unknown.value.param) == ("parameter_unknown", "amount")
    with pytest.raises(stripe.InvalidRequestError) as unsupported:
        await quick.v1.refunds.cancel_async(refund.id)
    assert unsupported.value.user_message == "Canceling this refund is unsupported."
    assert (await quick.v1.refunds.retrieve_async(refund.id)).status == "succeeded"


async def test_refunds_are_listed_by_charge_intent_and_date(bench) -> None:
    one, other = await paid(bench), await paid(bench)
    made = [await bench.v1.refunds.create_async({"payment_intent": one.id, "amount": 100})]
    bench.clock.advance(timedelta(hours=1))
    made.append(await bench.v1.refunds.create_async({"payment_intent": one.id, "amount": 200}))
    foreign = await bench.v1.refunds.create_async({"charge": other.latest_charge})
    listed = bench.v1.refunds.list_async

    async def ids(**params) -> list[str]:
        return [refund.id for refund in (await listed(params)).data]

    assert await ids() == [foreign.id, made[1].id, made[0].id]
    assert await ids(charge=one.latest_charge) == [made[1].id, made[0].id]
    assert await ids(payment_intent=one.id) == [made[1].id, made[0].id]
    assert await ids(payment_intent=one.id, limit=1, starting_after=made[1].id) == [made[0].id]
    assert await ids(payment_intent=one.id, limit=1, ending_before=made[0].id) == [made[1].id]
    assert await ids(charge=one.latest_charge, payment_intent=other.id) == []
    assert await ids(created={"gt": made[0].created}) == [foreign.id, made[1].id]
    page = await listed({"payment_intent": one.id, "limit": 1})
    assert (page.has_more, [refund.id async for refund in page.auto_paging_iter()]) == (
        True,
        [made[1].id, made[0].id],
    )


async def test_a_charge_shows_its_refunds_when_asked_and_the_books_lead_back_to_their_source(quick) -> None:
    intent = await paid(quick)
    refund = await quick.v1.refunds.create_async({"payment_intent": intent.id, "amount": 700})
    plain = await charge_of(quick, intent)
    assert "refunds" not in plain
    charge = await quick.v1.charges.retrieve_async(
        plain.id, {"expand": ["refunds.data.balance_transaction", "balance_transaction"]}
    )
    assert (charge.refunds.object, charge.refunds.has_more, charge.refunds.url) == (
        "list",
        False,
        f"/v1/charges/{plain.id}/refunds",
    )
    assert [entry.id for entry in charge.refunds.data] == [refund.id]
    taken, given = charge.balance_transaction, charge.refunds.data[0].balance_transaction
    assert (taken.amount, taken.fee, taken.net, taken.currency) == (3000, 0, 3000, "usd")
    assert (given.amount, given.net, given.status) == (-700, -700, "available")
    entry = await quick.v1.balance_transactions.retrieve_async(given.id, {"expand": ["source.charge"]})
    assert (entry.source.id, entry.source.charge.id) == (refund.id, plain.id)
    found = await quick.v1.balance_transactions.list_async({"source": plain.id})
    assert [entry.id for entry in found.data] == [taken.id]
    assert [e.id for e in (await quick.v1.balance_transactions.list_async({"type": "refund"})).data] == [given.id]
    assert (await quick.v1.balance_transactions.list_async({"currency": "eur"})).data == []
    fresh = await paid(quick)
    for path in ("refunds.balance_transaction", "refunds.data", "refunds.data.nothing"):
        with pytest.raises(stripe.InvalidRequestError):
            await quick.v1.charges.retrieve_async(fresh.latest_charge, {"expand": [path]})


async def test_a_refund_for_fraud_marks_its_charge(quick) -> None:
    intent = await paid(quick)
    await quick.v1.refunds.create_async({"payment_intent": intent.id, "reason": "fraudulent"})
    assert (await charge_of(quick, intent)).fraud_details.user_report == "fraudulent"


async def test_one_key_refunds_once(bench) -> None:
    intent = await paid(bench)
    asked = {"payment_intent": intent.id, "amount": 1000}
    first = await bench.v1.refunds.create_async(asked, {"idempotency_key": "r"})
    again = await bench.v1.refunds.create_async(asked, {"idempotency_key": "r"})
    assert first.id == again.id
    with pytest.raises(stripe.IdempotencyError):
        await bench.v1.refunds.create_async({**asked, "amount": 999}, {"idempotency_key": "r"})
    assert (await charge_of(bench, intent)).amount_refunded == 1000


async def test_a_part_is_captured_and_the_rest_of_the_authorization_released(quick) -> None:
    held = await paid(quick, capture_method="manual")
    charge = await charge_of(quick, held)
    assert (charge.captured, charge.balance_transaction) == (False, None)
    week = int((quick.clock.now() + timedelta(days=7)).timestamp())
    assert charge.payment_method_details.card.capture_before == week
    taken = await quick.v1.payment_intents.capture_async(held.id, {"amount_to_capture": 1800})
    assert (taken.status, taken.amount, taken.amount_received, taken.amount_capturable) == ("succeeded", 3000, 1800, 0)
    charge = await charge_of(quick, held)
    assert (charge.captured, charge.amount_captured, charge.amount_refunded, charge.refunded) == (
        True,
        1800,
        1200,
        False,
    )
    assert await booked(quick) == [("charge", 1800)]
    assert (await quick.v1.refunds.create_async({"payment_intent": held.id})).amount == 1800
    assert await booked(quick) == [("charge", 1800), ("refund", -1800)]
    quick.clock.advance(timedelta(days=8))
    assert (await quick.v1.payment_intents.retrieve_async(held.id)).status == "succeeded"


async def test_an_authorization_that_nobody_captures_expires(bench) -> None:
    held = await paid(bench, capture_method="manual")
    bench.clock.advance(timedelta(days=7) - timedelta(seconds=1))
    assert (await bench.v1.payment_intents.retrieve_async(held.id)).status == "requires_capture"
    bench.clock.advance(timedelta(seconds=1))
    expired = await bench.v1.payment_intents.retrieve_async(held.id)
    assert (expired.status, expired.cancellation_reason, expired.amount_capturable) == ("canceled", "automatic", 0)
    assert (await charge_of(bench, held)).refunded is True
    assert (await bench.event_types())[-2:] == ["charge.expired", "payment_intent.canceled"]
    assert await booked(bench) == []
