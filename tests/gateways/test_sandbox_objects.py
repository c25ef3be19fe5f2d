"""The sandbox's objects held against the typings of the installed SDK: nothing missing or unknown."""

import types
from typing import Any, ForwardRef, Literal, Union, get_args, get_origin

import pytest
import stripe
from stripe._api_version import _ApiVersion  # the SDK offers its pinned version under this name only

from gateways.sandbox.shapes import API_VERSION


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
