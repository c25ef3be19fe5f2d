"""Webhooks over HTTP (promise S7): forged, late, altered or malformed, none is a fault and none changes anything."""

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
import stripe

from settings import SANDBOX_WEBHOOK_SECRET
from tests.scenarios.shopping import Shopper
from tests.support.databases import copy_of_file
from tests.support.deliveries import digest, dump, event, inbox, post, send, signed
from tests.support.house import House, open_house
from tests.support.outside import VISA, dashboard

SECONDS = timedelta(seconds=1)


@pytest.fixture
async def rolled_house(sqlite_file: Path, tmp_path: Path) -> AsyncIterator[House]:
    """The product while its endpoint's secret is being replaced: both are good."""
    url = copy_of_file(sqlite_file, tmp_path / "perennial.db")
    async with open_house(url, demo=False, stripe_webhook_secret="whsec_old, whsec_new") as house:
        yield house


def a_body() -> bytes:
    return orjson.dumps(event("payment_intent", "pi_unknown", "payment_intent.succeeded"))


async def refused(house: House, body: bytes, signature: str | bytes | None) -> None:
    """The delivery is refused, stores nothing and changes nothing."""
    assert await not_refused(house, {"it": (body, signature)}) == {}


async def not_refused(house: House, deliveries: Mapping[str, tuple[bytes, Any]]) -> dict[str, tuple[int, str]]:
    """Which deliveries were answered otherwise than by a refusal, and how; whatever was answered, no row changed."""
    await house.work()
    before = await dump(house, but=())
    answers = {name: await post(house, body, signature) for name, (body, signature) in deliveries.items()}
    await house.work()
    assert await dump(house, but=()) == before
    return {
        name: (answer.status_code, answer.text)
        for name, answer in answers.items()
        if answer.status_code != 400 or answer.json()["error"]["code"] != "WEBHOOK_REFUSED"
    }


async def accepted(house: House, body: bytes, signature: str, *, duplicate: bool = False) -> None:
    answer = await post(house, body, signature)
    assert (answer.status_code, answer.json()) == (200, {"received": True, "duplicate": duplicate})


SIGNATURES = {
    "none at all": lambda house, body: None,
    "empty": lambda house, body: "",
    "garbage": lambda house, body: "hello",
    "another secret": lambda house, body: signed(house, body, "whsec_other"),
    "the secret without its prefix": lambda house, body: signed(house, body, SANDBOX_WEBHOOK_SECRET[6:]),
    "no secret": lambda house, body: signed(house, body, ""),
    "another body's": lambda house, body: signed(house, body.replace(b"succeeded", b"canceled")),
    "an empty digest": lambda house, body: signed(house, body).partition("v1=")[0] + "v1=",
    "a shortened digest": lambda house, body: signed(house, body)[:-1],
    "no digest": lambda house, body: signed(house, body).partition(",")[0],
    "v0 only": lambda house, body: signed(house, body).replace("v1=", "v0="),
    "no time": lambda house, body: signed(house, body).partition(",")[2],
    "a time that is no number": lambda house, body: "t=now," + signed(house, body).partition(",")[2],
    "a negative time": lambda house, body: "t=-1," + signed(house, body).partition(",")[2],
    "a time in other digits": lambda house, body: "t=\u0661\u0667\u0666,".encode() + b"v1=00",
    "a time beyond all time": lambda house, body: f"t={'9' * 400}," + signed(house, body).partition(",")[2],
    "another time than the signed one": lambda house, body: (
        f"t={int(house.machine.now().timestamp()) - 1}," + signed(house, body).partition(",")[2]
    ),
    "two times": lambda house, body: f"t={int(house.machine.now().timestamp()) - 999}," + signed(house, body),
    "bytes that are no text": lambda house, body: b"t=1,v1=\xff\xfe",
    "bytes that are no text, just now": lambda house, body: (
        signed(house, body).partition("v1=")[0].encode() + b"v1=\xff\xfe"
    ),
    "a digest beside bytes that are no text": lambda house, body: (
        signed(house, body, "whsec_no").encode() + b",v1=\xe9"
    ),
    "301 s old": lambda house, body: signed(house, body, age=301 * SECONDS),
    "301 s in the future": lambda house, body: signed(house, body, age=-301 * SECONDS),
    "a day old": lambda house, body: signed(house, body, age=timedelta(days=1)),
}


async def test_what_is_forged_or_late_is_refused(small_house: House) -> None:
    body = a_body()
    forged = {name: (body, signature(small_house, body)) for name, signature in SIGNATURES.items()}
    assert await not_refused(small_house, forged) == {}


async def test_an_altered_body_is_refused(small_house: House) -> None:
    body = a_body()
    signature = signed(small_house, body)
    await refused(small_house, body.replace(b"pi_unknown", b"pi_anothers"), signature)
    await refused(small_house, body + b" ", signature)
    await refused(small_house, b"", signature)
    await accepted(small_house, body, signature)


@pytest.mark.parametrize("age", [300 * SECONDS, -300 * SECONDS])
async def test_exactly_300_seconds_either_way_are_accepted(house: House, age: timedelta) -> None:
    body = a_body()
    await accepted(house, body, signed(house, body, age=age))


async def test_the_age_is_of_the_machines_clock_and_not_of_billing(small_house: House) -> None:
    body = a_body()
    signature = signed(small_house, body)
    small_house.clock.advance(timedelta(days=40))
    await accepted(small_house, body, signature)


async def test_the_sdks_own_signature_is_accepted(small_house: House) -> None:
    body = a_body()
    second = int(small_house.machine.now().timestamp())
    header = stripe.WebhookSignature.generate_signature_header(body.decode(), SANDBOX_WEBHOOK_SECRET, second)
    await accepted(small_house, body, header)


async def test_either_secret_of_a_rolled_list_is_good(rolled_house: House) -> None:
    for secret in ("whsec_old", "whsec_new"):
        body = a_body()
        await accepted(rolled_house, body, signed(rolled_house, body, secret))
    for secret in ("whsec_old, whsec_new", "whsec_older", SANDBOX_WEBHOOK_SECRET):
        body = a_body()
        await refused(rolled_house, body, signed(rolled_house, body, secret))


async def test_any_of_several_signatures_is_enough(rolled_house: House) -> None:
    second = int(rolled_house.machine.now().timestamp())
    for good in ("whsec_old", "whsec_new"):
        for order in (("whsec_gone", good), (good, "whsec_gone")):
            body = a_body()
            digests = ",".join(f"v1={digest(body, secret, second)}" for secret in order)
            await accepted(rolled_house, body, f"t={second},{digests},v0=00")
    body = a_body()
    await refused(rolled_house, body, f"t={second},v1={digest(body, 'whsec_gone', second)},v1=00")


def changed(**more: Any) -> dict[str, Any]:
    return event("payment_intent", "pi_unknown", "payment_intent.succeeded", **more)


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in changed().items() if name != key}


NOT_EVENTS: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"hello",
    "half of JSON": b'{"id": "evt_1", "object": "event"',
    "two documents": a_body() + a_body(),
    "bytes that are no UTF-8": b'{"id": "\xff\xfe"}',
    "UTF-16": '{"id": "evt_1"}'.encode("utf-16"),
    "a lone surrogate": b'{"id": "\\ud800"}',
    "NaN": b'{"id": NaN}',
    "deep arrays": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"data":' * 50_000 + b"1" + b"}" * 50_000,
    **{
        name: orjson.dumps(told)
        for name, told in {
            "null": None,
            "a number": 1,
            "a text": "evt_1",
            "an array": [changed()],
            "an empty object": {},
            "no id": without("id"),
            "no type": without("type"),
            "no data": without("data"),
            "no date": without("created"),
            "no object's name": without("object"),
            "not an event": changed(object="charge"),
            "a thin event": {
                "id": "evt_thin",
                "object": "v2.core.event",
                "type": "v1.billing.meter.error_report_triggered",
                "created": "2026-01-31T09:30:00Z",
                "related_object": {"id": "mtr_1", "type": "billing.meter"},
            },
            "data that is null": changed(data=None),
            "data that is an array": changed(data=[{"object": {"id": "pi_1", "object": "payment_intent"}}]),
            "data without an object": changed(data={}),
            "an object that is null": changed(data={"object": None}),
            "an object that is a text": changed(data={"object": "pi_1"}),
            "an object without a kind": changed(data={"object": {"id": "pi_1"}}),
            "a kind that is a number": changed(data={"object": {"id": "pi_1", "object": 7}}),
            "a kind that is an array": changed(data={"object": {"id": "pi_1", "object": ["payment_intent"]}}),
            "an object's id that is a number": changed(data={"object": {"id": 7, "object": "payment_intent"}}),
            "an object's id that is an object": changed(data={"object": {"id": {}, "object": "payment_intent"}}),
            "an object's id that is empty": changed(data={"object": {"id": "", "object": "payment_intent"}}),
            "a kind that is empty": changed(data={"object": {"id": "pi_1", "object": ""}}),
            "an object's id with NUL": changed(data={"object": {"id": "pi_\x00", "object": "payment_intent"}}),
            "an object's id too long": changed(data={"object": {"id": "p" * 256, "object": "payment_intent"}}),
            "an id that is null": changed(id=None),
            "an id that is a number": changed(id=7),
            "an id that is empty": changed(id=""),
            "an id with NUL": changed(id="evt_\x00"),
            "an id too long": changed(id="e" * 256),
            "a type that is null": changed(type=None),
            "a type that is an object": changed(type={"$ne": ""}),
            "a type with NUL": changed(type="payment_intent.\x00"),
            "a type too long": changed(type="t" * 256),
            "a date that is a text": changed(created="yesterday"),
            "a date that is a number in a text": changed(created="1769851800"),
            "a date that is yes": changed(created=True),
            "a date that is no whole number": changed(created=1769851800.5),
            "a date that is null": changed(created=None),
            "a date beyond all dates": changed(created=10**18),
            "a date before all dates": changed(created=-(10**18)),
        }.items()
    },
}


async def test_what_is_no_event_is_refused_though_signed(house: House) -> None:
    malformed = {name: (body, signed(house, body)) for name, body in NOT_EVENTS.items()}
    assert await not_refused(house, malformed) == {}


async def test_a_body_of_10_mb_is_refused_before_it_is_read(small_house: House) -> None:
    body = orjson.dumps(changed(padding="x" * 10_000_000))
    before = await dump(small_house, but=())
    answer = await post(small_house, body, signed(small_house, body))
    assert answer.status_code == 413
    assert answer.json()["errors"][0]["extensions"]["code"] == "PAYLOAD_TOO_LARGE"
    assert await dump(small_house, but=()) == before


async def test_an_event_of_nearly_a_megabyte_is_accepted_and_kept_small(small_house: House) -> None:
    told = changed()
    told["data"]["object"]["metadata"] = {"note": "x" * 1_000_000}
    body = orjson.dumps(told)
    await accepted(small_house, body, signed(small_house, body))
    rows = (await dump(small_house, but=()))["gateway_events"]
    assert [len(repr(row)) < 2_000 for row in rows] == [True]


ODD_BUT_EVENTS: dict[str, dict[str, Any]] = {
    "fields of other types": changed(livemode="yes", api_version=["?"], pending_webhooks={}, request=7, account=None),
    "fields nobody knows": changed(account="acct_other", context=None, rocket={"nested": [1, 2, 3]}),
    "an id of 255 characters": changed(id="e" * 255),
    "a type of 255 characters": changed(type="t" * 255),
    "texts with quotes": changed(id="evt_'; DROP TABLE payments; --", type="payment_intent.'\"%_"),
    "texts of many scripts": changed(id="evt_\u202e\u200d\U0001f600", type="日本語.\ufeff"),
    "an object without an id": changed(data={"object": {"object": "payment_intent"}}),
    "an object of another kind under a known type": changed(data={"object": {"id": "in_1", "object": "invoice"}}),
}


async def test_odd_events_are_stored_and_harmless(house: House) -> None:
    before = await dump(house)
    answers = {name: (await send(house, told)).json() for name, told in ODD_BUT_EVENTS.items()}
    assert answers == {name: {"received": True, "duplicate": False} for name in ODD_BUT_EVENTS}
    await house.work()
    assert await dump(house) == before
    assert [reference for reference, _, _ in await inbox(house)] == [told["id"] for told in ODD_BUT_EVENTS.values()]
    assert [status for _, _, status in await inbox(house)] == ["processed"] * 6 + ["ignored"] * 2


async def test_an_unknown_type_is_stored_and_ignored(house: House) -> None:
    before = await dump(house)
    told = event("invoice", "in_1", "invoice.payment_succeeded")
    assert (await send(house, told)).json() == {"received": True, "duplicate": False}
    assert await house.due() == {}
    assert await inbox(house) == [(told["id"], "invoice.payment_succeeded", "ignored")]
    assert await dump(house) == before


async def test_a_duplicate_is_acknowledged_and_stored_once(house: House) -> None:
    body = a_body()
    await accepted(house, body, signed(house, body))
    for _ in range(3):
        await accepted(house, body, signed(house, body), duplicate=True)
    assert len(await inbox(house)) == 1
    assert (await house.work())["inbox"] == 1
    await accepted(house, body, signed(house, body), duplicate=True)
    assert (await house.work())["inbox"] == 0


UNKNOWN_OBJECTS = [
    ("payment_intent", "pi_unknown", "payment_intent.succeeded"),
    ("payment_intent", "pi_unknown", "payment_intent.canceled"),
    ("payment_intent", "../customers", "payment_intent.succeeded"),
    ("payment_intent", "pi_1?expand[]=customer", "payment_intent.succeeded"),
    ("setup_intent", "seti_unknown", "setup_intent.succeeded"),
    ("payment_method", "pm_unknown", "payment_method.attached"),
    ("payment_method", "pm_unknown", "payment_method.detached"),
    ("refund", "re_unknown", "refund.updated"),
    ("dispute", "dp_unknown", "charge.dispute.created"),
    ("charge", "ch_unknown", "charge.refunded"),
    ("customer", "cus_unknown", "customer.updated"),
    ("customer", "cus_unknown", "customer.deleted"),
]


async def test_events_about_unknown_objects_change_nothing(house: House) -> None:
    before = await dump(house)
    for kind, reference, type_ in UNKNOWN_OBJECTS:
        assert (await send(house, event(kind, reference, type_))).status_code == 200
    assert (await house.work())["inbox"] == len(UNKNOWN_OBJECTS)
    assert [row[1:] for row in await inbox(house)] == [(type_, "processed") for _, _, type_ in UNKNOWN_OBJECTS]
    assert await dump(house) == before


async def test_events_about_objects_of_the_same_account_that_are_not_ours_change_nothing(house: House) -> None:
    """The merchant's other systems use the gateway too."""
    v1 = dashboard(house)
    customer = await v1.customers.create_async({"email": "other@example.com"})
    card = await v1.payment_methods.attach_async("pm_card_visa", {"customer": customer.id})
    await v1.customers.update_async(customer.id, {"invoice_settings": {"default_payment_method": card.id}})
    intent = await v1.payment_intents.create_async(
        {
            "amount": 4200,
            "currency": "usd",
            "customer": customer.id,
            "payment_method": card.id,
            "confirm": True,
            "off_session": True,
            "metadata": {"perennial_invoice": "inv_" + "0" * 32},
        }
    )
    assert intent.status == "succeeded"
    setup = await v1.setup_intents.create_async({"customer": customer.id, "payment_method": card.id, "confirm": True})
    assert setup.status == "succeeded"
    await v1.payment_methods.detach_async(card.id)
    await v1.customers.delete_async(customer.id)
    before = await dump(house)
    await house.deliver()
    assert await dump(house) == before
    assert {status for _, _, status in await inbox(house)} == {"processed", "ignored"}


LIES = [
    ("payment_intent.succeeded", {"status": "succeeded", "amount_received": 700}),
    ("payment_intent.payment_failed", {"status": "requires_payment_method", "last_payment_error": {"code": "x"}}),
    ("payment_intent.canceled", {"status": "canceled"}),
    ("payment_intent.processing", {"status": "processing"}),
    ("payment_intent.requires_action", {"status": "requires_action", "next_action": {"type": "redirect_to_url"}}),
]


async def lie(house: House, intent: str) -> None:
    """Every lie about the intent, delivered and worked on."""
    for type_, state in LIES:
        told = event("payment_intent", intent, type_)
        told["data"]["object"] |= state
        assert (await send(house, told)).status_code == 200
        assert (await house.work())["inbox"] == 1
        assert (await inbox(house))[-1] == (told["id"], type_, "processed")


async def test_events_that_lie_about_an_open_payment_change_nothing(house: House) -> None:
    told = await Shopper(house, "demo-new").subscribe()
    await house.deliver()
    before = await dump(house)
    await lie(house, told["paymentIntent"]["gatewayId"])
    assert await dump(house) == before


async def test_late_news_of_what_is_known_do_not_put_off_the_next_question(house: House) -> None:
    told = await Shopper(house, "demo-new").subscribe()
    await house.deliver()
    before = await dump(house)
    house.pass_time(20 * SECONDS)
    await lie(house, told["paymentIntent"]["gatewayId"])
    assert await dump(house) == before


async def test_events_that_lie_about_a_paid_one_change_nothing(house: House) -> None:
    shopper = Shopper(house, "demo-new")
    told = await shopper.subscribe()
    await shopper.browser.confirm(told["paymentIntent"]["clientSecret"], VISA)
    await house.deliver()
    before = await dump(house)
    await lie(house, told["paymentIntent"]["gatewayId"])
    assert await dump(house) == before
    assert await house.audit() == []


async def test_only_post_is_served(small_house: House) -> None:
    for method in ("GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"):
        assert (await small_house.http.request(method, "/webhooks/stripe")).status_code == 405


async def test_only_json_is_served(small_house: House) -> None:
    body = a_body()
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "", "application/xml"):
        headers = {"Content-Type": content_type, "Stripe-Signature": signed(small_house, body)}
        assert (await small_house.http.post("/webhooks/stripe", content=body, headers=headers)).status_code == 415
    assert await inbox(small_house) == []


async def test_what_others_took_in_a_currency_that_we_do_not_know_is_none_of_ours(small_house: House) -> None:
    """An account keeps its history: also what was charged in kunas, and what other systems charge."""
    house, v1 = small_house, dashboard(small_house)
    asked: Any = {"amount": 4200, "currency": "btn", "payment_method": "pm_card_createDisputeInquiry", "confirm": True}
    intent = await v1.payment_intents.create_async(asked)
    await v1.refunds.create_async({"payment_intent": intent.id, "amount": 100})
    before = await dump(house)
    await house.deliver()
    assert await dump(house) == before
    assert {state for *_, state in await inbox(house)} == {"processed", "ignored"}
    assert await house.audit() == []
    mutation = """mutation { reconcilePayments(since: "2026-01-01T00:00:00Z") {
      report { finishedAt drift { kind } } userErrors { code } } }"""
    told = (await house.ask(mutation, user="demo-admin"))["reconcilePayments"]
    assert (told["report"]["drift"], told["userErrors"]) == ([], [])
    assert told["report"]["finishedAt"] is not None
