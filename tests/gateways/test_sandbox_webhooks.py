"""Webhooks really delivered: signed by the system clock, dated by the billing clock, tried again until taken."""

import asyncio
import contextlib
from datetime import timedelta

import pytest
import stripe

from gateways.sandbox import Fault
from gateways.sandbox.deliveries import BACK_OFF_SECONDS
from tests.gateways.sandbox_fixtures import ENDPOINT, SECRET, make_client, make_sandbox


async def subscribe(bench) -> None:
    await bench.sandbox.ensure_webhook_endpoint(ENDPOINT, SECRET)


async def test_every_event_is_delivered_signed_and_dated_by_its_own_clock(bench) -> None:
    await subscribe(bench)
    customer = await bench.v1.customers.create_async({"name": "Mei"}, {"idempotency_key": "k"})
    assert await bench.sandbox.deliver_due() == 1
    event = bench.receiver.events()[0]
    assert (event.type, event.data.object.id, event.created) == (
        "customer.created",
        customer.id,
        int(bench.clock.now().timestamp()),
    )
    assert (event.request.idempotency_key, event.pending_webhooks, event.livemode) == ("k", 1, False)
    header = bench.receiver.requests[0].headers["stripe-signature"]
    payload = bench.receiver.requests[0].content
    second = int(bench.system.now().timestamp())
    assert header == stripe.WebhookSignature.generate_signature_header(payload.decode(), SECRET, second)
    with pytest.raises(stripe.SignatureVerificationError):
        bench.client.construct_event(payload, header, "whsec_other", tolerance=None)
    assert (await bench.v1.events.retrieve_async(event.id)).pending_webhooks == 0
    assert await bench.sandbox.deliver_due() == 0


async def test_only_what_happens_after_subscribing_is_sent_and_subscribing_again_adds_nothing(bench) -> None:
    await bench.v1.customers.create_async({})
    await subscribe(bench)
    await subscribe(bench)
    customer = await bench.v1.customers.create_async({})
    assert await bench.sandbox.deliver_due() == 1
    assert [event.data.object.id for event in bench.receiver.events()] == [customer.id]


async def test_a_new_secret_signs_what_is_sent_from_then_on(quick) -> None:
    await quick.sandbox.ensure_webhook_endpoint(ENDPOINT, "whsec_old")
    await quick.v1.customers.create_async({})
    await subscribe(quick)
    await quick.sandbox.deliver_due()
    assert quick.receiver.types() == ["customer.created"]


async def test_a_refused_delivery_is_tried_again_with_growing_waits_and_signed_anew(bench) -> None:
    await subscribe(bench)
    await bench.v1.customers.create_async({})
    bench.receiver.status = 500
    assert await bench.sandbox.deliver_due() == 1
    for wait in BACK_OFF_SECONDS:
        bench.system.advance(timedelta(seconds=wait) - timedelta(milliseconds=1))
        assert await bench.sandbox.deliver_due() == 0
        bench.system.advance(timedelta(milliseconds=1))
        assert await bench.sandbox.deliver_due() == 1
    bench.system.advance(timedelta(days=30))
    assert await bench.sandbox.deliver_due() == 0
    sent = [request.headers["stripe-signature"] for request in bench.receiver.requests]
    assert len(set(sent)) == len(sent) == len(BACK_OFF_SECONDS) + 1
    assert len({event.id for event in bench.receiver.events()}) == 1
    assert (await bench.v1.events.list_async()).data[0].pending_webhooks == 1


async def test_a_delivery_ends_with_the_first_success(quick) -> None:
    await subscribe(quick)
    await quick.v1.customers.create_async({})
    quick.receiver.status = 302
    await quick.sandbox.deliver_due()
    quick.receiver.status = 204
    quick.system.advance(timedelta(seconds=BACK_OFF_SECONDS[0]))
    assert await quick.sandbox.deliver_due() == 1
    quick.system.advance(timedelta(days=1))
    assert await quick.sandbox.deliver_due() == 0


async def test_an_endpoint_gets_only_the_events_it_asked_for(quick) -> None:
    endpoint = await quick.v1.webhook_endpoints.create_async(
        {"url": ENDPOINT, "enabled_events": ["payment_method.attached"]}
    )
    customer, _ = await quick.saved_card()
    assert await quick.sandbox.deliver_due() == 1
    await quick.v1.webhook_endpoints.update_async(endpoint.id, {"disabled": True})
    await quick.v1.payment_methods.attach_async("pm_card_visa", {"customer": customer})
    assert await quick.sandbox.deliver_due() == 0
    await quick.v1.webhook_endpoints.update_async(endpoint.id, {"disabled": False, "enabled_events": ["*"]})
    await quick.v1.customers.create_async({})
    await quick.v1.webhook_endpoints.delete_async(endpoint.id)
    assert await quick.sandbox.deliver_due() == 1
    assert len(quick.receiver.requests) == 1
    assert (await quick.v1.webhook_endpoints.list_async()).data == []


async def test_each_endpoint_hears_what_it_asked_for_signed_with_its_own_secret(bench) -> None:
    made = [
        await bench.v1.webhook_endpoints.create_async({"url": f"http://shop.test/{place}", "enabled_events": events})
        for place, events in enumerate((["*"], ["customer.created", "refund.created"], ["refund.created"]))
    ]
    assert len({endpoint.secret for endpoint in made}) == 3
    await bench.saved_card()
    assert await bench.sandbox.deliver_due() == 3
    heard = {endpoint.id: [] for endpoint in made}
    for request in bench.receiver.requests:
        for endpoint in made:
            with contextlib.suppress(stripe.SignatureVerificationError):
                header = request.headers["stripe-signature"]
                event = bench.client.construct_event(request.content, header, endpoint.secret, tolerance=None)
                heard[endpoint.id].append(event.type)
    assert list(heard.values()) == [["customer.created", "payment_method.attached"], ["customer.created"], []]
    customer = (await bench.v1.events.list_async({"type": "customer.created"})).data[0]
    assert customer.pending_webhooks == 0


async def test_one_endpoint_failing_does_not_repeat_what_another_took(quick) -> None:
    for path in ("good", "bad"):
        await quick.v1.webhook_endpoints.create_async({"url": f"http://shop.test/{path}", "enabled_events": ["*"]})
    await quick.v1.customers.create_async({})
    quick.receiver.refuses = 1
    assert await quick.sandbox.deliver_due() == 2
    assert (await quick.v1.events.list_async()).data[0].pending_webhooks == 1
    quick.system.advance(timedelta(seconds=BACK_OFF_SECONDS[0]))
    assert await quick.sandbox.deliver_due() == 1
    assert (await quick.v1.events.list_async()).data[0].pending_webhooks == 0


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"enabled_events": ["charge.*"]}, "enabled_events[0]"),
        ({"enabled_events": ["*", "nothing"]}, "enabled_events[1]"),
        ({"enabled_events": ["*"], "api_version": "2020-08-27"}, "api_version"),
        ({"enabled_events": ["*"], "url": "ftp://shop.test"}, "url"),
    ],
)
async def test_an_endpoint_that_could_never_hear_anything_is_refused(quick, params, param) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        await quick.v1.webhook_endpoints.create_async({"url": ENDPOINT, **params})
    assert (refusal.value.http_status, refusal.value.param) == (400, param)
    assert (await quick.v1.webhook_endpoints.list_async()).data == []


async def test_there_are_at_most_sixteen_endpoints(quick) -> None:
    made = [
        await quick.v1.webhook_endpoints.create_async({"url": f"http://shop.test/{place}", "enabled_events": ["*"]})
        for place in range(16)
    ]
    with pytest.raises(stripe.InvalidRequestError):
        await quick.v1.webhook_endpoints.create_async({"url": ENDPOINT, "enabled_events": ["*"]})
    await quick.v1.webhook_endpoints.delete_async(made[0].id)
    await quick.v1.webhook_endpoints.create_async({"url": ENDPOINT, "enabled_events": ["*"]})
    assert len((await quick.v1.webhook_endpoints.list_async({"limit": 100})).data) == 16


async def test_what_stripe_did_itself_names_no_request(quick) -> None:
    intent = await quick.v1.payment_intents.create_async(
        {"amount": 500, "currency": "usd", "payment_method": "pm_card_threeDSecure2Required", "confirm": True}
    )
    await quick.challenge(intent.next_action.use_stripe_sdk["stripe_js"], "succeeded")
    event = (await quick.v1.events.list_async({"type": "payment_intent.succeeded"})).data[0]
    assert event.request.to_dict() == {"id": None, "idempotency_key": None}


async def test_events_are_found_by_type_group_and_date_and_kept_for_thirty_days(bench) -> None:
    customer, _ = await bench.saved_card()
    listed = bench.v1.events.list_async
    assert [event.type for event in (await listed({"type": "customer.*"})).data] == ["customer.created"]
    assert len((await listed({"types": ["payment_method.attached", "charge.failed"]})).data) == 1
    first = (await listed({"type": "customer.created"})).data[0]
    bench.clock.advance(timedelta(days=30))
    await bench.v1.customers.update_async(customer, {"name": "Mei"})
    assert len((await listed()).data) == 3
    bench.clock.advance(timedelta(seconds=1))
    assert [event.type for event in (await listed()).data] == ["customer.updated"]
    with pytest.raises(stripe.InvalidRequestError) as gone:
        await bench.v1.events.retrieve_async(first.id)
    assert gone.value.http_status == 404


async def test_an_events_object_is_never_expanded_and_stays_as_it_was(quick) -> None:
    customer, method = await quick.saved_card()
    await quick.v1.payment_intents.create_async(
        {
            "amount": 500,
            "currency": "usd",
            "customer": customer,
            "payment_method": method,
            "confirm": True,
            "expand": ["customer", "latest_charge"],
        }
    )
    events = {event.type: event for event in (await quick.v1.events.list_async()).data}
    assert events["payment_intent.created"].data.object.status == "requires_confirmation"
    done = events["payment_intent.succeeded"].data.object
    assert (done.status, done.customer, done.latest_charge[:3]) == ("succeeded", customer, "ch_")
    assert "previous_attributes" not in events["payment_intent.succeeded"].data


@pytest.mark.parametrize(
    ("fault", "expected"),
    [(Fault.WEBHOOKS_OFF, []), (Fault.WEBHOOKS_TWICE, ["customer.created", "customer.created"])],
)
async def test_webhooks_off_and_twice(bench, fault, expected) -> None:
    await subscribe(bench)
    bench.sandbox.faults.arm(fault)
    await bench.v1.customers.create_async({})
    await bench.sandbox.deliver_due()
    assert bench.receiver.types() == expected
    assert len({event.id for event in bench.receiver.events()}) == len(set(expected))
    await bench.v1.customers.create_async({})
    assert await bench.sandbox.deliver_due() == 1


async def test_a_late_webhook_waits_while_the_next_one_overtakes(quick) -> None:
    await subscribe(quick)
    quick.sandbox.faults.arm(Fault.WEBHOOKS_LATE, path_contains="customer.created")
    await quick.saved_card()
    await quick.sandbox.deliver_due()
    assert quick.receiver.types() == ["payment_method.attached"]
    quick.system.advance(timedelta(seconds=quick.sandbox.faults.late_seconds))
    await quick.sandbox.deliver_due()
    assert quick.receiver.types() == ["payment_method.attached", "customer.created"]


async def test_shuffled_webhooks_all_arrive_in_another_order(quick) -> None:
    await subscribe(quick)
    made = [(await quick.v1.customers.create_async({})).id for _ in range(10)]
    quick.sandbox.faults.arm(Fault.WEBHOOKS_SHUFFLED)
    await quick.sandbox.deliver_due()
    arrived = [event.data.object.id for event in quick.receiver.events()]
    assert arrived != made
    assert sorted(arrived) == sorted(made)


async def test_two_processes_share_the_deliveries_between_them(bench) -> None:
    await subscribe(bench)
    for _ in range(20):
        await bench.v1.customers.create_async({})
    other = make_sandbox(bench.database_url, bench.clock, bench.system, bench.receiver)
    await other.start()
    attempts = await asyncio.gather(bench.sandbox.deliver_due(), other.deliver_due())
    await other.close()
    assert sum(attempts) == 20
    assert len({event.id for event in bench.receiver.events()}) == 20


async def test_the_delivery_loop_sends_at_once_and_stops_when_told(quick) -> None:
    await subscribe(quick)
    stop = asyncio.Event()
    loop = asyncio.create_task(quick.sandbox.run_deliveries(stop))
    await make_client(quick.sandbox).v1.customers.create_async({})
    async with asyncio.timeout(60):
        await quick.receiver.reached.wait()
        stop.set()
        await loop
    assert quick.receiver.types() == ["customer.created"]
