"""The sandbox's objects held against the typings of the installed SDK: nothing missing or unknown."""

import types
from datetime import timedelta
from typing import Any, ForwardRef, Literal, Union, get_args, get_origin

import pytest
import stripe
from stripe._api_version import _ApiVersion  # the SDK offers its pinned version under this name only

from gateways.sandbox.events import KINDS
from gateways.sandbox.shapes import API_VERSION
from tests.gateways.sandbox_fixtures import Bench


def fields(cls: type) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for ancestor in reversed(cls.__mro__):
        if issubclass(ancestor, stripe.StripeObject):
            found |= {name: kind for name, kind in ancestor.__annotations__.items() if not name.startswith("_")}
    return {name: kind for name, kind in found.items() if name not in ("OBJECT_NAME",)}


def misfits(value: Any, kind: Any, where: str) -> list[str]:
    """Where `value`, as JSON, does not fit the annotation `kind`."""
    if isinstance(kind, ForwardRef | str):
        kind = getattr(stripe, kind if isinstance(kind, str) else kind.__forward_arg__, Any)
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return []
    if origin in (Union, types.UnionType):
        attempts = [misfits(value, choice, where) for choice in arguments]
        return [] if [] in attempts else max(attempts, key=len)
    if origin is Literal:
        return [] if value in arguments else [f"{where}: {value!r} is none of {arguments}"]
    if origin is list:
        if not isinstance(value, list):
            return [f"{where}: {value!r} is no list"]
        return [
            problem
            for place, member in enumerate(value)
            for problem in misfits(member, arguments[0], f"{where}[{place}]")
        ]
    if isinstance(origin, type) and issubclass(origin, dict | stripe.StripeObject):
        return [] if isinstance(value, dict) else [f"{where}: {value!r} is no hash"]
    if kind is type(None):
        return [] if value is None else [f"{where}: {value!r} is not null"]
    if isinstance(kind, type) and issubclass(kind, stripe.StripeObject):
        return object_misfits(value, kind, where)
    if kind is dict or origin is dict:
        return [] if isinstance(value, dict) else [f"{where}: {value!r} is no hash"]
    fits = type(value) is kind or (kind is float and type(value) is int)
    return [] if fits else [f"{where}: {value!r} is no {kind.__name__}"]


def object_misfits(value: Any, cls: type, where: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{where}: {value!r} is no {cls.__name__}"]
    known = fields(cls)
    if not known:
        return []
    problems = [f"{where}.{name} is unknown to the SDK" for name in value if name not in known]
    for name, kind in known.items():
        if name in value:
            problems += misfits(value[name], kind, f"{where}.{name}")
        elif type(None) not in get_args(kind):
            problems.append(f"{where}.{name} is missing")
    return problems


def assert_fits(answer: stripe.StripeObject, cls: type) -> None:
    assert object_misfits(answer.to_dict(recursive=True), cls, cls.__name__) == []


def test_the_walk_sees_what_is_missing_unknown_and_of_the_wrong_type() -> None:
    request = {"id": 7, "idempotency_key": None, "extra": 1}
    event = {"id": "evt_1", "object": "event", "request": request, "created": "now"}
    problems = object_misfits(event, stripe.Event, "Event")
    assert "Event.data is missing" in problems
    assert "Event.created: 'now' is no int" in problems
    assert "Event.request.extra is unknown to the SDK" in problems


def test_the_sandbox_speaks_the_version_the_installed_sdk_is_pinned_to() -> None:
    assert API_VERSION == _ApiVersion.CURRENT


async def test_a_bare_customer_and_a_full_one_fit(quick) -> None:
    assert_fits(await quick.v1.customers.create_async({}), stripe.Customer)
    address = {"line1": "1 Harbour Road", "country": "SG"}
    full = await quick.v1.customers.create_async(
        {
            "email": "mei@example.com",
            "name": "Mei",
            "business_name": "Mei Ltd",
            "address": address,
            "shipping": {"name": "Mei", "address": address},
            "payment_method": "pm_card_visa",
            "invoice_settings": {"default_payment_method": "pm_card_visa", "footer": "Thank you"},
            "metadata": {"user": "7"},
            "preferred_locales": ["en", "zh"],
        }
    )
    assert_fits(full, stripe.Customer)
    assert full.preferred_locales == ["en", "zh"]
    methods = await quick.v1.customers.payment_methods.list_async(full.id)
    assert [method.id for method in methods.data] == [full.invoice_settings.default_payment_method]


async def test_payment_methods_fit(quick) -> None:
    made = await quick.v1.payment_methods.create_async(
        {
            "type": "card",
            "card": {"number": "4242424242424242", "exp_month": 12, "exp_year": 2031, "cvc": "123"},
            "billing_details": {"email": "mei@example.com", "address": {"country": "SG"}},
        }
    )
    assert_fits(made, stripe.PaymentMethod)
    _, saved = await quick.saved_card("pm_card_mastercard")
    assert_fits(await quick.v1.payment_methods.retrieve_async(saved), stripe.PaymentMethod)


async def test_payment_intents_fit_in_every_state(quick) -> None:
    customer, card = await quick.saved_card()
    create, confirm = quick.v1.payment_intents.create_async, quick.v1.payment_intents.confirm_async
    asked = {"amount": 700, "currency": "usd", "customer": customer}
    bare = await create(asked)
    challenged = await create({**asked, "payment_method": "pm_card_threeDSecure2Required", "confirm": True})
    returning = await confirm(
        bare.id, {"payment_method": "pm_card_authenticationRequired", "return_url": "http://shop.test"}
    )
    paid = await create({**asked, "payment_method": card, "confirm": True})
    held = await create({**asked, "payment_method": card, "confirm": True, "capture_method": "manual"})
    with pytest.raises(stripe.CardError) as declined:
        await create({**asked, "payment_method": "pm_card_visa_chargeDeclined", "confirm": True})
    failed = declined.value.error.payment_intent
    canceled = await quick.v1.payment_intents.cancel_async(held.id, {"cancellation_reason": "duplicate"})
    states = [intent.status for intent in (bare, challenged, returning, paid, held, failed, canceled)]
    assert states == [
        "requires_payment_method",
        "requires_action",
        "requires_action",
        "succeeded",
        "requires_capture",
        "requires_payment_method",
        "canceled",
    ]
    for intent in (bare, challenged, returning, paid, held, failed, canceled):
        assert_fits(intent, stripe.PaymentIntent)


async def test_setup_intents_and_their_attempts_fit_in_every_state(quick) -> None:
    customer = await quick.v1.customers.create_async({})
    create = quick.v1.setup_intents.create_async
    asked = {"customer": customer.id, "confirm": True}
    bare = await create({"customer": customer.id})
    saved = await create({**asked, "payment_method": "pm_card_visa"})
    challenged = await create({**asked, "payment_method": "pm_card_authenticationRequiredOnSetup"})
    with pytest.raises(stripe.CardError) as declined:
        await create({**asked, "payment_method": "pm_card_chargeDeclinedExpiredCard"})
    failed = declined.value.error.setup_intent
    states = [intent.status for intent in (bare, saved, challenged, failed)]
    assert states == ["requires_payment_method", "succeeded", "requires_action", "requires_payment_method"]
    for intent in (bare, saved, challenged, failed):
        assert_fits(intent, stripe.SetupIntent)
    for intent, status in ((saved, "succeeded"), (challenged, "requires_action"), (failed, "failed")):
        attempts = await quick.v1.setup_attempts.list_async({"setup_intent": intent.id})
        assert [attempt.status for attempt in attempts.data] == [status]
        assert_fits(attempts.data[0], stripe.SetupAttempt)


async def test_charges_fit_whether_they_succeeded_or_failed(quick) -> None:
    customer, card = await quick.saved_card()
    _, failing = await quick.saved_card("pm_card_radarBlock")
    asked = {"amount": 700, "currency": "usd", "confirm": True}
    await quick.v1.payment_intents.create_async({**asked, "customer": customer, "payment_method": card})
    with pytest.raises(stripe.CardError):
        await quick.v1.payment_intents.create_async({**asked, "payment_method": "pm_card_radarBlock"})
    charges = (await quick.v1.charges.list_async()).data
    assert [charge.status for charge in charges] == ["failed", "succeeded"]
    for charge in charges:
        assert_fits(charge, stripe.Charge)
    assert charges[0].outcome.type == "blocked"
    assert failing.startswith("pm_")


async def test_events_and_endpoints_fit(quick) -> None:
    endpoint = await quick.v1.webhook_endpoints.create_async(
        {"url": "https://shop.test/hooks", "enabled_events": ["customer.created"], "api_version": API_VERSION}
    )
    assert_fits(endpoint, stripe.WebhookEndpoint)
    assert endpoint.secret.startswith("whsec_")
    assert not hasattr(await quick.v1.webhook_endpoints.retrieve_async(endpoint.id), "secret")
    await quick.saved_card()
    events = (await quick.v1.events.list_async()).data
    assert [event.pending_webhooks for event in events] == [0, 1]
    for event in events:
        assert_fits(event, stripe.Event)


async def test_what_a_challenge_leaves_behind_fits(quick) -> None:
    paying = await quick.v1.payment_intents.create_async(
        {"amount": 700, "currency": "usd", "payment_method": "pm_card_threeDSecure2Required", "confirm": True}
    )
    saving = await quick.v1.setup_intents.create_async(
        {"payment_method": "pm_card_threeDSecure2Required", "confirm": True}
    )
    for intent in (paying, saving):
        await quick.challenge(intent.next_action.use_stripe_sdk["stripe_js"], "succeeded")
    charge = (await quick.v1.charges.list_async()).data[0]
    assert_fits(charge, stripe.Charge)
    attempt = (await quick.v1.setup_attempts.list_async({"setup_intent": saving.id})).data[0]
    assert_fits(attempt, stripe.SetupAttempt)
    details = (charge.payment_method_details.card, attempt.payment_method_details.card)
    assert [card.three_d_secure.result for card in details] == ["authenticated", "authenticated"]


CLASSES = {
    cls.OBJECT_NAME: cls
    for cls in (
        stripe.Charge,
        stripe.Coupon,
        stripe.Customer,
        stripe.Dispute,
        stripe.PaymentIntent,
        stripe.PaymentMethod,
        stripe.PromotionCode,
        stripe.Refund,
        stripe.SetupIntent,
    )
}
# Cards are charged at once or not at all: nothing is ever seen processing.
NEVER_HAPPENS = {"payment_intent.processing"}


async def test_refunds_fit_whether_they_arrive_at_once_later_or_never(quick) -> None:
    asked = {"amount": 700, "currency": "usd", "confirm": True}
    made = []
    for card in ("pm_card_visa", "pm_card_pendingRefund", "pm_card_refundFail"):
        intent = await quick.v1.payment_intents.create_async({**asked, "payment_method": card})
        made.append(await quick.v1.refunds.create_async({"payment_intent": intent.id, "amount": 200}))
    assert [refund.status for refund in made] == ["succeeded", "pending", "succeeded"]
    quick.clock.advance(timedelta(minutes=1))
    settled = (await quick.v1.refunds.list_async({"expand": ["data.charge", "data.balance_transaction"]})).data
    assert [refund.status for refund in settled] == ["failed", "succeeded", "succeeded"]
    for refund in (*made, *settled):
        assert_fits(refund, stripe.Refund)
    expanded = await quick.v1.charges.retrieve_async(settled[2].charge.id, {"expand": ["refunds"]})
    assert_fits(expanded, stripe.Charge)
    assert_fits(expanded.refunds.data[0], stripe.Refund)
    entries = (await quick.v1.balance_transactions.list_async({"expand": ["data.source"]})).data
    assert sorted({entry.type for entry in entries}) == ["charge", "refund", "refund_failure"]
    for entry in entries:
        assert_fits(entry, stripe.BalanceTransaction)


async def test_disputes_fit_in_every_state(quick) -> None:
    asked = {"amount": 700, "currency": "usd", "confirm": True}
    answers = (
        "winning_evidence",
        "losing_evidence",
        "A receipt.",
        "escalate_inquiry_evidence",
        "winning_evidence",
        None,
    )
    cards = ["pm_card_createDispute"] * 3 + ["pm_card_createDisputeInquiry"] * 3
    seen = []
    for card in cards:
        await quick.v1.payment_intents.create_async({**asked, "payment_method": card})
    opened = list(reversed((await quick.v1.disputes.list_async()).data))
    for dispute, text in zip(opened, answers, strict=True):
        seen.append(dispute)
        if text:
            evidence = {"uncategorized_text": text}
            seen.append(await quick.v1.disputes.update_async(dispute.id, {"evidence": evidence}))
    quick.clock.advance(timedelta(minutes=1))
    seen += [await quick.v1.disputes.retrieve_async(dispute.id, {"expand": ["charge"]}) for dispute in opened]
    for dispute in seen:
        assert_fits(dispute, stripe.Dispute)
    assert {dispute.status for dispute in seen} == {
        "needs_response",
        "under_review",
        "won",
        "lost",
        "warning_needs_response",
        "warning_under_review",
        "warning_closed",
    }


async def test_coupons_promotion_codes_and_countries_fit(quick) -> None:
    coupons = [
        await quick.v1.coupons.create_async({"percent_off": 12.5, "duration": "forever"}),
        await quick.v1.coupons.create_async({"amount_off": 5, "currency": "jpy", "redeem_by": 4_000_000_000}),
    ]
    for coupon in coupons:
        assert_fits(coupon, stripe.Coupon)
    promotion = {"promotion": {"type": "coupon", "coupon": coupons[0].id}}
    code = await quick.v1.promotion_codes.create_async({**promotion, "expand": ["promotion.coupon"]})
    assert_fits(code, stripe.PromotionCode)
    assert_fits(await quick.v1.promotion_codes.create_async(promotion), stripe.PromotionCode)
    for spec in (await quick.v1.country_specs.list_async({"limit": 100})).data:
        assert_fits(spec, stripe.CountrySpec)


async def test_what_every_event_carries_fits_and_every_kind_of_event_happens(quick) -> None:
    await live_through_everything(quick)
    page = await quick.v1.events.list_async({"limit": 100})
    events = [event async for event in page.auto_paging_iter()]
    assert set(KINDS) - {event.type for event in events} == NEVER_HAPPENS
    assert {event.type for event in events} - set(KINDS) == set()
    for event in events:
        assert_fits(event, stripe.Event)
        told = event.to_dict(recursive=True)["data"]
        cls = CLASSES[told["object"]["object"]]
        assert object_misfits(told["object"], cls, event.type) == []
        assert ("previous_attributes" in told) == event.type.endswith("updated") or event.type in WITHOUT_PREVIOUS


WITHOUT_PREVIOUS = ("payment_intent.amount_capturable_updated",)


async def live_through_everything(bench: Bench) -> None:
    """Make every kind of event happen at least once."""
    v1 = bench.v1
    customer, card = await bench.saved_card()
    await v1.customers.update_async(customer, {"name": "Mei"})
    await v1.payment_methods.update_async(card, {"metadata": {"a": "1"}})
    async with bench.raw() as wire:
        await wire.post(f"/sandbox/cards/{card}", data={"exp_year": "2031"})
    await pay_in_every_way(bench, customer, card)
    await save_in_every_way(bench)
    await v1.coupons.create_async({"id": "C", "percent_off": 5})
    await v1.coupons.update_async("C", {"name": "Five"})
    await v1.promotion_codes.create_async({"promotion": {"type": "coupon", "coupon": "C"}})
    await v1.coupons.delete_async("C")
    await v1.payment_methods.detach_async(card)
    await v1.customers.delete_async(customer)
    bench.clock.advance(timedelta(days=8))
    await v1.customers.list_async()


async def pay_in_every_way(bench: Bench, customer: str, card: str) -> None:
    create = bench.v1.payment_intents.create_async
    asked = {"amount": 700, "currency": "usd", "confirm": True}
    paid = await create({**asked, "customer": customer, "payment_method": card})
    await bench.v1.charges.update_async(paid.latest_charge, {"description": "Coffee"})
    await bench.v1.refunds.create_async({"payment_intent": paid.id})
    failing = await create({**asked, "payment_method": "pm_card_refundFail"})
    await bench.v1.refunds.create_async({"payment_intent": failing.id})
    held = [await create({**asked, "payment_method": "pm_card_visa", "capture_method": "manual"}) for _ in range(2)]
    await bench.v1.payment_intents.capture_async(held[0].id)
    await create({**asked, "payment_method": "pm_card_threeDSecure2Required"})
    with pytest.raises(stripe.CardError):
        await create({**asked, "payment_method": "pm_card_visa_chargeDeclined"})
    disputed = await create({**asked, "payment_method": "pm_card_createDispute"})
    dispute = (await bench.v1.disputes.list_async({"charge": disputed.latest_charge})).data[0]
    evidence = {"uncategorized_text": "winning_evidence"}
    await bench.v1.disputes.update_async(dispute.id, {"evidence": evidence})


async def save_in_every_way(bench: Bench) -> None:
    create = bench.v1.setup_intents.create_async
    await create({"payment_method": "pm_card_visa", "confirm": True})
    await create({"payment_method": "pm_card_threeDSecure2Required", "confirm": True})
    with pytest.raises(stripe.CardError):
        await create({"payment_method": "pm_card_visa_chargeDeclined", "confirm": True})
    bare = await create({})
    await bench.v1.setup_intents.cancel_async(bare.id)
