"""Merchants' endpoints are told what happens: verified by the public library, again until they answer, one by one."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlmodel import select
from standardwebhooks import Webhook, WebhookVerificationError

from billing.delivering import RETRY_AFTER
from clocks import SystemClock
from models.database import Database
from models.endpoints import WebhookDelivery
from models.subscriptions import Change
from services.events.delivering import LANES
from services.events.endpoints import rotate_secret
from tests.scenarios.by_hand import write_down
from tests.scenarios.test_credits import sell_credits
from tests.support.endpoints import (
    ADMIN,
    DELETE,
    REDELIVER,
    ROTATE,
    UPDATE,
    create_endpoint,
    deliveries,
    subscribe,
)
from tests.support.house import House
from tests.support.receiver import Got, receiver, response
from worker import Worker

SUBSCRIBED = ["invoice.issued", "invoice.paid", "payment.succeeded", "subscription.activated", "subscription.created"]


def signed_by(got: Got, secret: str) -> bool:
    """Whether one of the signatures is this secret's, as the public library makes it."""
    at = datetime.fromtimestamp(int(got.headers["webhook-timestamp"]), UTC)
    made = Webhook(secret).sign(got.headers["webhook-id"], at, got.body.decode())
    return made in got.headers["webhook-signature"].split(" ")


def verified(got: Got, secret: str) -> Any:
    return Webhook(secret).verify(got.body, dict(got.headers))


def at_real_time(house: House) -> None:
    """The public library compares signatures with the wall clock; the billing clock stays where it is."""
    house.machine.advance(SystemClock().now() - house.machine.now())


async def update(house: House, id: str, **wish: Any) -> None:
    answer = (await house.ask(UPDATE, {"id": id, "input": wish}, ADMIN))["updateWebhookEndpoint"]
    assert answer["userErrors"] == []


async def state(house: House) -> list[tuple[str, int | None, int, str | None]]:
    """Of each delivery, newest first: status, the answer, attempts, and when it is tried next."""
    return [
        (each["status"], each["httpStatus"], each["attempts"], each["nextAttemptAt"])
        for each in await deliveries(house)
    ]


# ── what arrives ──


async def test_the_public_library_verifies_every_delivery_and_nothing_that_was_altered(house: House) -> None:
    async with receiver() as own:
        at_real_time(house)
        secret = (await create_endpoint(house, own.url))["secret"]
        subscription = await subscribe(house)
        assert (await house.work())["delivered"] == 5
    assert sorted(own.types) == SUBSCRIBED
    for got in own.got:
        body = verified(got, secret)
        assert body["id"] == got.headers["webhook-id"]
        assert body["timestamp"] == "2026-01-31T09:30:00Z"  # billing time, while the signature is of today
        assert body["data"]["perennial_subscription_id"] == subscription
        assert got.headers["content-type"] == "application/json"
        for broken in (
            replace(got, body=got.body + b" "),
            replace(got, headers={**got.headers, "webhook-id": "bev_1"}),
        ):
            with pytest.raises(WebhookVerificationError):
                verified(broken, secret)
    told = await deliveries(house)
    assert [(each["status"], each["httpStatus"], each["attempts"], each["nextAttemptAt"]) for each in told] == [
        ("SUCCEEDED", 200, 1, None)
    ] * 5
    assert {each["payload"]["id"]: each["payload"] for each in told} == {got.json["id"]: got.json for got in own.got}
    assert await house.work() == dict.fromkeys(await house.work(), 0)


async def test_an_event_carries_all_that_the_merchants_own_records_need(house: House) -> None:
    who = {"userId": "kid-1", "externalId": "user_kid", "email": "kid@example.com"}
    query = "mutation($input: CustomerInput!) { createCustomer(input: $input) { userErrors { code } } }"
    assert await house.ask(query, {"input": who}, ADMIN) == {"createCustomer": {"userErrors": []}}
    async with receiver() as own:
        await create_endpoint(house, own.url, eventTypes=["subscription.created"])
        written = await write_down(house, periodStart="2026-01-01", periodEnd="2027-01-01")
        await house.work()
    (got,) = own.got
    data = got.json["data"]
    assert {word: data[word] for word in data if word not in ("items", "customer_id", "user_id")} == {
        "kid": "user_kid",
        "subscription_id": "subscription_givin_id",
        "interval": "year",
        "payment_method_id": None,
        "total_paid": 354_000,
        "name": "Installment Subscription",
        "coupon_id": None,
        "daily_classic_coffee_count": 1,
        "daily_specialty_coffee_count": 1,
        "total_classic_coffee_count": 365,
        "total_specialty_coffee_count": 365,
        "user_metadata": {
            "first_name": "",
            "last_name": "",
            "phone_number": "",
            "kid": "user_kid",
            "birth_date": "",
            "email": "kid@example.com",
            "emirate": "",
        },
        "created_at": "2026-01-31T09:30:00Z",
        "perennial_subscription_id": written["subscription"]["id"],
        "status": "active",
        "origin": "manual",
        "plan_code": "classic-coffee-yearly",
        "product_code": "classic_coffee",
        "coupon_ids": [],
        "interval_count": 1,
        "currency": "AED",
        "amount": 354_000,
        "original_amount": 354_000,
        "discount_amount": 0,
        "current_period_start": "2026-01-01T00:00:00Z",
        "current_period_end": "2027-01-01T00:00:00Z",
        "cancel_at_period_end": False,
        "ended_at": None,
        "metadata": {},
        "from": None,
        "to": "active",
        "cause": "createManualSubscription",
        "actor": "admin",
    }


async def test_what_a_plan_will_grant_is_told_before_it_is_paid(small_house: House) -> None:
    """A subscription that waits for its first payment has no credits yet, but its counts are known."""
    async with receiver() as own:
        await create_endpoint(small_house, own.url, eventTypes=["subscription.created"])
        await sell_credits(small_house, "cups", {"unit": "cup", "daily": 2}, {"unit": "refill", "total": 7})
        wish = {"planCode": "cups"}
        query = "mutation($input: SubscribeInput!) { subscribe(input: $input) { userErrors { code } } }"
        await small_house.ask(query, {"input": wish}, "demo-new")
        await small_house.work()
    data = own.got[0].json["data"]
    assert (data["status"], data["total_paid"]) == ("incomplete", 0)
    assert {word: data[word] for word in data if word.endswith("_count") and word != "interval_count"} == {
        "daily_cup_count": 2,
        "total_cup_count": 2 * 28,
        "daily_refill_count": 0,
        "total_refill_count": 7,
    }


async def test_on_trial_it_is_told_what_the_first_paid_period_grants(small_house: House) -> None:
    async with receiver() as own:
        await create_endpoint(small_house, own.url, eventTypes=["subscription.trial_started"])
        await sell_credits(small_house, "cups", {"unit": "cup", "daily": 2}, trialPeriodDays=7)
        query = "mutation($input: SubscribeInput!) { subscribe(input: $input) { userErrors { code } } }"
        await small_house.ask(query, {"input": {"planCode": "cups"}}, "demo-card")
        await small_house.work()
    (got,) = own.got
    data = got.json["data"]
    assert (data["status"], data["current_period_end"]) == ("trialing", "2026-02-07T09:30:00Z")
    assert (data["daily_cup_count"], data["total_cup_count"]) == (2, 2 * 28)  # to the 7th of March
    small_house.pass_time(timedelta(days=7))
    await small_house.work()
    balances = "{ mySubscription { creditBalances { totalGranted } } }"
    told = await small_house.ask(balances, user="demo-card")
    assert told["mySubscription"] == {"creditBalances": [{"totalGranted": 2 * 28}]}


async def test_an_endpoint_is_told_of_what_it_asks_for(small_house: House) -> None:
    async with receiver() as invoices, receiver() as paid:
        await create_endpoint(small_house, invoices.url, eventTypes=["invoice.*", "refund.*"])
        await create_endpoint(small_house, paid.url, eventTypes=["payment.succeeded"])
        await subscribe(small_house)
        await small_house.work()
    assert sorted(invoices.types) == ["invoice.issued", "invoice.paid"]
    assert paid.types == ["payment.succeeded"]


async def test_what_became_readable_before_an_endpoint_was_made_is_not_sent_to_it(small_house: House) -> None:
    await subscribe(small_house)
    await small_house.work()
    async with receiver() as own:
        await create_endpoint(small_house, own.url)
        await small_house.work()
        assert own.got == []


# ── when it does not answer ──


async def test_it_is_tried_again_at_growing_intervals_and_given_up_at_last(house: House) -> None:
    async with receiver() as own:
        own.status = 503
        secret = (await create_endpoint(house, own.url, eventTypes=["payment.*"]))["secret"]
        await subscribe(house)
        await house.work()
        for tries, wait in enumerate(RETRY_AFTER, 1):
            due = house.machine.now() + wait
            assert await state(house) == [("FAILED", 503, tries, due.isoformat().replace("+00:00", "Z"))]
            house.pass_time(wait - timedelta(seconds=1))
            assert (await house.work())["delivered"] == 0
            house.pass_time(timedelta(seconds=1))
            assert (await house.work())["delivered"] == 1
        assert await state(house) == [("DEAD_LETTER", 503, 10, None)]
        house.pass_time(timedelta(days=30))
        assert (await house.work())["delivered"] > 0  # of the renewal; the dead letter stays where it is
        payments = [got for got in own.got if got.json["timestamp"] == "2026-01-31T09:30:00Z"]
    assert len(payments) == 10
    assert len({got.headers["webhook-id"] for got in payments}) == 1
    assert len({got.body for got in payments}) == 1
    assert len({got.headers["webhook-timestamp"] for got in payments}) == 10
    assert all(signed_by(got, secret) for got in payments)


async def test_an_endpoint_that_comes_back_gets_it_once(small_house: House) -> None:
    async with receiver() as own:
        own.status = 500
        await create_endpoint(small_house, own.url, eventTypes=["payment.*"])
        await subscribe(small_house)
        await small_house.work()
        own.status = 204
        small_house.pass_time(RETRY_AFTER[0])
        await small_house.work()
        small_house.pass_time(timedelta(days=1))
        await small_house.work()
        assert len(own.got) == 2
        assert await state(small_house) == [("SUCCEEDED", 204, 2, None)]


async def test_what_could_not_be_reached_says_why(small_house: House) -> None:
    async with receiver() as own:
        url = own.url
    await create_endpoint(small_house, url, eventTypes=["payment.*"])
    await subscribe(small_house)
    await small_house.work()
    (told,) = await deliveries(small_house)
    assert (told["status"], told["httpStatus"], told["attempts"]) == ("FAILED", None, 1)
    assert told["error"].startswith("ConnectError")


async def test_a_redirect_is_a_failure_and_is_not_followed(small_house: House) -> None:
    async with receiver() as own, receiver() as elsewhere:

        async def redirect(_got: Got) -> bytes:
            return response(307, {"Location": elsewhere.url})

        own.respond = redirect
        await create_endpoint(small_house, own.url, eventTypes=["payment.*"])
        await subscribe(small_house)
        await small_house.work()
        assert elsewhere.got == []
        assert [each[:3] for each in await state(small_house)] == [("FAILED", 307, 1)]


async def test_410_turns_the_endpoint_off_for_good(house: House) -> None:
    async with receiver() as own:
        own.status = 410
        id = (await create_endpoint(house, own.url, eventTypes=["payment.*", "invoice.paid"]))["webhookEndpoint"]["id"]
        await subscribe(house)
        await house.work()
        calls = len(own.got)
        assert {each[0] for each in await state(house)} == {"DEAD_LETTER"}
        house.pass_time(timedelta(days=28))
        await house.work()
        assert len(own.got) == calls
        found = await house.ask("{ webhookEndpoints { id isEnabled version } }", user=ADMIN)
        assert found["webhookEndpoints"] == [{"id": id, "isEnabled": False, "version": 2}]
        async with house.app.database.read() as session:
            changes = (await session.exec(select(Change).where(Change.subject_id == id).order_by(Change.id))).all()
        assert [(each.from_status, each.to_status, each.actor) for each in changes] == [
            (None, "enabled", "admin:demo-admin"),
            ("enabled", "disabled", "worker"),
        ]


async def test_410_of_an_address_that_it_has_no_longer_turns_nothing_off(house: House) -> None:
    async with receiver() as old, receiver() as new:

        async def gone(_got: Got) -> bytes:
            await update(house, id, url=new.url)
            return response(410)

        old.respond = gone
        id = (await create_endpoint(house, old.url, eventTypes=["payment.*"]))["webhookEndpoint"]["id"]
        await subscribe(house)
        await house.work()
        assert [each[:3] for each in await state(house)] == [("FAILED", 410, 1)]
        house.pass_time(RETRY_AFTER[0])
        await house.work()
        assert [each[:3] for each in await state(house)] == [("SUCCEEDED", 200, 2)]
        assert (len(old.got), new.types) == (1, ["payment.succeeded"])


async def test_what_is_off_or_deleted_gets_nothing_and_what_comes_due_is_given_up(house: House) -> None:
    async with receiver() as own:
        own.status = 500
        id = (await create_endpoint(house, own.url, eventTypes=["payment.*"]))["webhookEndpoint"]["id"]
        await subscribe(house)
        await house.work()
        await update(house, id, isEnabled=False)
        house.pass_time(RETRY_AFTER[0])
        await house.work()
        assert len(own.got) == 1
        assert [each[:1] for each in await state(house)] == [("DEAD_LETTER",)]
        house.pass_time(timedelta(days=28))
        await house.work()
        assert len(await state(house)) == 1, "what happens while it is off is never sent"
        await update(house, id, isEnabled=True)
        own.status = 200
        house.pass_time(timedelta(days=31))
        await house.work()
        assert len(own.got) == 2
        await house.ask(DELETE, {"id": id}, ADMIN)
        house.pass_time(timedelta(days=31))
        await house.work()
        assert len(own.got) == 2


# ── again, by hand ──


async def test_a_dead_letter_is_sent_again_with_all_its_tries_before_it(house: House) -> None:
    async with receiver() as own:
        own.status = 400
        secret = (await create_endpoint(house, own.url, eventTypes=["payment.*"]))["secret"]
        await subscribe(house)
        await house.work()
        for wait in RETRY_AFTER:
            house.pass_time(wait)
            await house.work()
        (dead,) = await deliveries(house)
        assert dead["status"] == "DEAD_LETTER"
        again = (await house.ask(REDELIVER, {"id": dead["id"]}, ADMIN))["redeliverWebhook"]
        due = house.machine.now().isoformat().replace("+00:00", "Z")
        fresh = {"id": dead["id"], "status": "PENDING", "attempts": 0, "httpStatus": None, "error": None}
        assert again == {"delivery": {**fresh, "nextAttemptAt": due}, "userErrors": []}
        await house.work()
        assert [each[:3] for each in await state(house)] == [("FAILED", 400, 1)]
        own.status = 200
        await house.ask(REDELIVER, {"id": dead["id"]}, ADMIN)
        await house.work()
        assert await state(house) == [("SUCCEEDED", 200, 1, None)]
        assert len({got.headers["webhook-id"] for got in own.got}) == 1
        assert signed_by(own.got[-1], secret)


async def test_redelivery_is_refused_where_nothing_would_be_sent(small_house: House) -> None:
    async with receiver() as own:
        id = (await create_endpoint(small_house, own.url, eventTypes=["payment.*"]))["webhookEndpoint"]["id"]
        await subscribe(small_house)
        await small_house.work()
        (sent,) = await deliveries(small_house)
        await update(small_house, id, isEnabled=False)
        for wanted, code in (
            (sent["id"], "INVALID_STATE"),
            ("wdl_00000000000000000000000000000000", "NOT_FOUND"),
            (id, "NOT_FOUND"),
        ):
            payload = (await small_house.ask(REDELIVER, {"id": wanted}, ADMIN))["redeliverWebhook"]
            assert payload["delivery"] is None
            assert [(each["code"], each["field"]) for each in payload["userErrors"]] == [(code, ["deliveryId"])]
        assert await deliveries(small_house) == [sent]
        await small_house.work()
        assert len(own.got) == 1


# ── rotation ──


async def test_for_a_day_both_secrets_sign_and_then_the_new_one_alone(house: House) -> None:
    async with receiver() as own:
        made = await create_endpoint(house, own.url, eventTypes=["payment.*"])
        id, old = made["webhookEndpoint"]["id"], made["secret"]
        rotated = (await house.ask(ROTATE, {"id": id}, ADMIN))["rotateWebhookSecret"]
        new = rotated["secret"]
        assert rotated["webhookEndpoint"]["previousSecretUntil"] == "2026-02-01T09:30:00Z"
        assert new != old
        await subscribe(house)
        await house.work()
        (told,) = await deliveries(house)
        house.pass_time(timedelta(hours=24) - timedelta(seconds=1))
        await house.ask(REDELIVER, {"id": told["id"]}, ADMIN)
        await house.work()
        house.pass_time(timedelta(seconds=1))
        await house.ask(REDELIVER, {"id": told["id"]}, ADMIN)
        await house.work()
    assert [(signed_by(got, old), signed_by(got, new)) for got in own.got] == [
        (True, True),
        (True, True),
        (False, True),
    ]
    assert [len(got.headers["webhook-signature"].split(" ")) for got in own.got] == [2, 2, 1]


async def test_the_secret_before_the_last_does_not_sign(small_house: House) -> None:
    async with receiver() as own:
        made = await create_endpoint(small_house, own.url, eventTypes=["payment.*"])
        id = made["webhookEndpoint"]["id"]
        secrets = [made["secret"]]
        for _ in range(2):
            secrets.append((await small_house.ask(ROTATE, {"id": id}, ADMIN))["rotateWebhookSecret"]["secret"])
        await subscribe(small_house)
        await small_house.work()
    assert [signed_by(own.got[0], secret) for secret in secrets] == [False, True, True]


# ── nobody is held up ──


async def test_a_slow_endpoint_holds_up_neither_another_one_nor_the_worker(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateways.https.ANSWER_SECONDS", 60.0)  # it is slow for as long as this takes
    released = asyncio.Event()

    async def slow(_got: Got) -> bytes:
        await released.wait()
        return response(200)

    async with receiver() as own, receiver() as other:
        own.respond = slow
        await create_endpoint(house, own.url)
        await create_endpoint(house, other.url)
        await subscribe(house)
        stop, worker = asyncio.Event(), Worker(house.app)
        running = asyncio.create_task(worker.run(stop))
        try:
            await until(lambda: len(other.got) == 5 and own.under_way == LANES, worker)
            house.pass_time(timedelta(days=28))  # a renewal is due; the slow one still has its lanes full
            await until(lambda: "subscription.renewed" in other.types, worker)
            assert (own.under_way, own.most_under_way, len(own.got)) == (LANES, LANES, LANES)
        finally:
            released.set()
            stop.set()
            await running
        await house.work()
        house.pass_time(timedelta(minutes=1))
        await house.work()
    assert sorted(own.types) == sorted(other.types)


async def until(holds: Any, worker: Worker) -> None:
    async with asyncio.timeout(60):
        while not holds():
            worker.wake()
            await asyncio.sleep(0.02)


async def test_a_worker_that_is_told_to_stop_lets_what_is_under_way_end(small_house: House) -> None:
    released = asyncio.Event()

    async def slow(_got: Got) -> bytes:
        await released.wait()
        return response(200)

    async with receiver() as own:
        own.respond = slow
        await create_endpoint(small_house, own.url)
        await subscribe(small_house)
        stop, worker = asyncio.Event(), Worker(small_house.app)
        running = asyncio.create_task(worker.run(stop))
        await until(lambda: own.under_way == LANES, worker)
        stop.set()
        await until(lambda: worker._lanes._is_stopping, worker)  # the pass that it was at is over
        released.set()
        await running
        assert (own.under_way, len(own.got)) == (0, LANES)
        assert sorted(each[0] for each in await state(small_house)) == ["PENDING", *["SUCCEEDED"] * LANES]


async def test_several_workers_tell_everything_once(house: House) -> None:
    """Each with connections of its own, as in processes of their own."""
    async with receiver() as own, receiver() as other:
        for each in (own, other):
            await create_endpoint(house, each.url)
        for user in ("demo-card", "demo-new"):
            await with_card(house, user)
            await subscribe(house, user)
        databases = [Database(house.installation.settings.database_url) for _ in range(3)]
        workers = [Worker(replace(house.app, database=each)) for each in databases]
        await asyncio.gather(*(worker.once() for worker in workers))
        await house.work()
        for each in databases:
            await each.close()
        for each in (own, other):
            ids = [got.headers["webhook-id"] for got in each.got]
            assert len(ids) == len(set(ids))
            assert sorted(each.types) == sorted(SUBSCRIBED * 2)
        async with house.app.database.read() as session:
            rows = (await session.exec(select(WebhookDelivery))).all()
        assert [(row.status, row.tries) for row in rows] == [("succeeded", 1)] * 20


async def with_card(house: House, user: str) -> None:
    query = 'mutation { attachPaymentMethod(input: {paymentMethodId: "pm_card_visa"}) { userErrors { code } } }'
    await house.ask(query, user=user)


async def test_a_delivery_that_nobody_answered_for_is_sent_again_under_the_same_id(house: House) -> None:
    """Its sender died after the endpoint had got it: at least once, never less."""
    async with receiver() as own:
        await create_endpoint(house, own.url, eventTypes=["payment.*"])
        await subscribe(house)
        await house.work()
        async with house.app.database.write() as session:
            row = (await session.exec(select(WebhookDelivery))).one()
            row.status, row.http_status = type(row.status).PENDING, None
            row.due_at, row.leased_until = house.machine.now(), house.machine.now() + timedelta(seconds=40)
        await house.work()
        assert len(own.got) == 1, "the lease is still held"
        house.pass_time(timedelta(seconds=40))
        await house.work()
        assert [got.headers["webhook-id"] for got in own.got] == [own.got[0].headers["webhook-id"]] * 2
        assert [each[:3] for each in await state(house)] == [("SUCCEEDED", 200, 2)]


async def test_a_secret_that_cannot_be_opened_fails_like_any_other_try(small_house: House) -> None:
    """Another PERENNIAL_SECRET_KEY: nothing is sent unsigned, and it comes to an end."""
    async with receiver() as own:
        await create_endpoint(small_house, own.url, eventTypes=["payment.*"])
        await subscribe(small_house)
        await Worker(replace(small_house.app, endpoint_key=b"x" * 32)).once()
        assert own.got == []
        assert [each[:3] for each in await state(small_house)] == [("FAILED", None, 1)]
        (told,) = await deliveries(small_house)
        assert told["error"] == "a fault on our side, told in the log"


async def test_after_the_installations_key_was_changed_a_rotated_secret_signs_alone(small_house: House) -> None:
    async with receiver() as own:
        made = await create_endpoint(small_house, own.url, eventTypes=["payment.*"])
        app = replace(small_house.app, endpoint_key=b"x" * 32)
        rotated = await rotate_secret(app, small_house.actor(ADMIN), made["webhookEndpoint"]["id"])
        await subscribe(small_house)
        await Worker(app).once()
    assert (signed_by(own.got[0], rotated.secret), signed_by(own.got[0], made["secret"])) == (True, False)
