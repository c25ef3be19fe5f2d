"""Payment intents from creation to their end, on either database."""

import pytest
import stripe

ASKED = {"amount": 1200, "currency": "usd"}


async def refused(call, code: str | None, param: str | None = None) -> stripe.InvalidRequestError:
    with pytest.raises(stripe.InvalidRequestError) as refusal:
        await call
    assert (refusal.value.http_status, refusal.value.code, refusal.value.param) == (400, code, param)
    return refusal.value


async def test_a_saved_card_is_charged_off_session(bench) -> None:
    customer, method = await bench.saved_card()
    intent = await bench.v1.payment_intents.create_async({**ASKED, "customer": customer, "metadata": {"invoice": "7"}})
    assert (intent.status, intent.client_secret.startswith(f"{intent.id}_secret_")) == ("requires_payment_method", True)
    paid = await bench.v1.payment_intents.confirm_async(
        intent.id, {"payment_method": method, "off_session": True, "expand": ["latest_charge"]}
    )
    assert (paid.id, paid.status, paid.amount_received, paid.payment_method) == (intent.id, "succeeded", 1200, method)
    charge = paid.latest_charge
    assert (charge.amount, charge.captured, charge.paid, charge.customer) == (1200, True, True, customer)
    assert (charge.payment_intent, charge.metadata.to_dict()) == (intent.id, {"invoice": "7"})
    assert await bench.event_types() == [
        "customer.created",
        "payment_method.attached",
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.succeeded",
    ]


async def test_a_decline_leaves_the_intent_open_for_another_card(bench) -> None:
    customer, method = await bench.saved_card()
    with pytest.raises(stripe.CardError) as declined:
        await bench.v1.payment_intents.create_async(
            {**ASKED, "customer": customer, "payment_method": "pm_card_visa_chargeDeclined", "confirm": True}
        )
    error = declined.value.error
    intent = error.payment_intent
    assert (intent.status, intent.payment_method) == ("requires_payment_method", None)
    assert (intent.last_payment_error.code, intent.last_payment_error.decline_code) == (
        "card_declined",
        "generic_decline",
    )
    assert intent.last_payment_error.payment_method.id == error.payment_method.id
    assert intent.last_payment_error.type == "card_error"
    charge = await bench.v1.charges.retrieve_async(intent.latest_charge)
    assert (charge.id, charge.status, charge.failure_code, charge.captured) == (
        error.charge,
        "failed",
        "card_declined",
        False,
    )
    assert (charge.outcome.type, charge.outcome.reason) == ("issuer_declined", "generic_decline")
    paid = await bench.v1.payment_intents.confirm_async(intent.id, {"payment_method": method})
    assert (paid.status, paid.last_payment_error) == ("succeeded", None)
    assert [each.status for each in (await bench.v1.charges.list_async({"payment_intent": intent.id})).data] == [
        "succeeded",
        "failed",
    ]
    assert (await bench.event_types())[2:] == [
        "payment_intent.created",
        "charge.failed",
        "payment_intent.payment_failed",
        "charge.succeeded",
        "payment_intent.succeeded",
    ]


async def test_recovery_of_an_off_session_payment_that_needs_its_holder(bench) -> None:
    customer, method = await bench.saved_card("pm_card_authenticationRequired")
    intent = await bench.v1.payment_intents.create_async({**ASKED, "customer": customer})
    with pytest.raises(stripe.CardError) as declined:
        await bench.v1.payment_intents.confirm_async(intent.id, {"payment_method": method, "off_session": True})
    error = declined.value
    assert (error.code, error.error.decline_code) == ("authentication_required", "authentication_required")
    assert (error.error.payment_intent.id, error.error.payment_method.id) == (intent.id, method)
    asked = await bench.v1.payment_intents.confirm_async(
        intent.id, {"payment_method": method, "return_url": "https://shop.test/back?order=1"}
    )
    assert (asked.status, asked.next_action.type) == ("requires_action", "redirect_to_url")
    assert asked.next_action.redirect_to_url.return_url == "https://shop.test/back?order=1"
    answer = await bench.challenge(asked.next_action.redirect_to_url.url, "succeeded")
    back = f"https://shop.test/back?order=1&payment_intent={intent.id}"
    back += f"&payment_intent_client_secret={intent.client_secret}&redirect_status=succeeded"
    assert (answer.status_code, answer.headers["location"]) == (303, back)
    paid = await bench.v1.payment_intents.retrieve_async(intent.id)
    assert (paid.status, paid.next_action, paid.payment_method) == ("succeeded", None, method)
    assert len((await bench.v1.charges.list_async({"payment_intent": intent.id})).data) == 2


async def test_a_failed_challenge_puts_the_intent_back_without_a_charge(bench) -> None:
    intent = await bench.v1.payment_intents.create_async(
        {**ASKED, "payment_method": "pm_card_threeDSecure2Required", "confirm": True}
    )
    assert intent.next_action.type == "use_stripe_sdk"
    url = intent.next_action.use_stripe_sdk["stripe_js"]
    answer = await bench.challenge(url, "failed")
    assert (answer.status_code, answer.json()["status"]) == (200, "requires_payment_method")
    failed = await bench.v1.payment_intents.retrieve_async(intent.id)
    assert (failed.status, failed.payment_method, failed.latest_charge) == ("requires_payment_method", None, None)
    assert failed.last_payment_error.code == "payment_intent_authentication_failure"
    assert failed.last_payment_error.payment_method.card.last4 == "3220"
    assert (await bench.event_types())[-2:] == ["payment_intent.requires_action", "payment_intent.payment_failed"]


async def test_answering_a_challenge_again_changes_nothing(bench) -> None:
    intent = await bench.v1.payment_intents.create_async(
        {**ASKED, "payment_method": "pm_card_threeDSecure2Required", "confirm": True}
    )
    url = intent.next_action.use_stripe_sdk["stripe_js"]
    await bench.challenge(url, "succeeded")
    again = await bench.challenge(url, "failed")
    assert (again.status_code, again.json()["status"]) == (200, "succeeded")
    assert len((await bench.v1.charges.list_async({"payment_intent": intent.id})).data) == 1


async def test_refusing_action_makes_a_challenge_a_decline(quick) -> None:
    with pytest.raises(stripe.CardError) as declined:
        await quick.v1.payment_intents.create_async(
            {
                **ASKED,
                "payment_method": "pm_card_threeDSecure2Required",
                "confirm": True,
                "error_on_requires_action": True,
            }
        )
    assert declined.value.code == "authentication_required"


async def test_setup_future_usage_keeps_the_card_and_a_card_not_kept_is_used_up(bench) -> None:
    customer = await bench.v1.customers.create_async({})
    asked = {**ASKED, "customer": customer.id, "confirm": True}
    kept = await bench.v1.payment_intents.create_async(
        {**asked, "payment_method": "pm_card_visa", "setup_future_usage": "off_session"}
    )
    passing = await bench.v1.payment_intents.create_async({**asked, "payment_method": "pm_card_mastercard"})
    saved = await bench.v1.customers.payment_methods.list_async(customer.id)
    assert [method.id for method in saved.data] == [kept.payment_method]
    assert (await bench.v1.payment_methods.retrieve_async(passing.payment_method)).customer is None
    await refused(
        bench.v1.payment_intents.create_async({**asked, "payment_method": passing.payment_method}),
        None,
        "payment_method",
    )
    await refused(
        bench.v1.payment_methods.attach_async(passing.payment_method, {"customer": customer.id}),
        None,
        "payment_method",
    )
    renewed = await bench.v1.payment_intents.create_async(
        {**asked, "payment_method": kept.payment_method, "off_session": True}
    )
    assert renewed.status == "succeeded"


async def test_nobody_who_is_away_can_allow_a_card_to_be_kept(quick) -> None:
    customer, method = await quick.saved_card()
    asked = {**ASKED, "customer": customer, "setup_future_usage": "off_session"}
    away = {"payment_method": method, "off_session": True}
    create, confirm = quick.v1.payment_intents.create_async, quick.v1.payment_intents.confirm_async
    refusal = await refused(create({**asked, **away, "confirm": True}), None, "off_session")
    assert "when `setup_future_usage` is also set on the PaymentIntent" in str(refusal)
    intent = await create(asked)
    await refused(confirm(intent.id, away), None, "off_session")
    of_card = {"payment_method_options": {"card": {"setup_future_usage": "on_session"}}}
    other = await create({**ASKED, "customer": customer, **of_card})
    await refused(confirm(other.id, away), None, "off_session")
    assert (await quick.v1.charges.list_async()).data == []
    await quick.v1.payment_intents.update_async(intent.id, {"setup_future_usage": ""})
    assert (await confirm(intent.id, away)).status == "succeeded"


async def test_a_card_kept_by_a_challenged_payment_counts_as_set_up(quick) -> None:
    customer = await quick.v1.customers.create_async({})
    asked = {**ASKED, "customer": customer.id, "confirm": True}
    intent = await quick.v1.payment_intents.create_async(
        {
            **asked,
            "setup_future_usage": "off_session",
            "payment_method_data": {
                "type": "card",
                "card": {"number": "4000002500003155", "exp_month": 5, "exp_year": 2031},
            },
        }
    )
    assert (await quick.v1.customers.payment_methods.list_async(customer.id)).data == []
    await quick.challenge(intent.next_action.use_stripe_sdk["stripe_js"], "succeeded")
    intent = await quick.v1.payment_intents.retrieve_async(intent.id, {"expand": ["payment_method"]})
    assert (intent.status, intent.payment_method.customer) == ("succeeded", customer.id)
    renewed = await quick.v1.payment_intents.create_async(
        {**asked, "payment_method": intent.payment_method.id, "off_session": "recurring"}
    )
    assert renewed.status == "succeeded"


async def test_a_card_of_another_customer_is_refused(bench) -> None:
    _, foreign = await bench.saved_card()
    customer, _ = await bench.saved_card()
    for owner in ({"customer": customer}, {}):
        for confirm in (True, False):
            await refused(
                bench.v1.payment_intents.create_async(
                    {**ASKED, **owner, "payment_method": foreign, "confirm": confirm}
                ),
                None,
                "payment_method",
            )
    assert (await bench.v1.payment_intents.list_async()).data == []


ENDED = {
    "succeeded": {"confirm": True, "payment_method": "pm_card_visa"},
    "canceled": {},
}


@pytest.mark.parametrize("status", ENDED)
async def test_an_ended_intent_takes_no_more_steps_but_notes(bench, status) -> None:
    intents = bench.v1.payment_intents
    intent = await intents.create_async({**ASKED, **ENDED[status]})
    if status == "canceled":
        canceled = await intents.cancel_async(intent.id, {"cancellation_reason": "abandoned"})
        assert (canceled.status, canceled.cancellation_reason, canceled.canceled_at) == (
            "canceled",
            "abandoned",
            int(bench.clock.now().timestamp()),
        )
    for step in (
        intents.cancel_async(intent.id),
        intents.confirm_async(intent.id, {"payment_method": "pm_card_visa"}),
        intents.capture_async(intent.id),
        intents.update_async(intent.id, {"amount": 1300}),
    ):
        error = await refused(step, "payment_intent_unexpected_state")
        assert (error.error.payment_intent.id, error.error.payment_intent.status) == (intent.id, status)
    noted = await intents.update_async(intent.id, {"metadata": {"why": "note"}, "description": "done"})
    assert (noted.metadata.to_dict(), noted.description, noted.amount) == ({"why": "note"}, "done", 1200)


async def test_confirming_without_a_card_is_refused_with_the_intent_inside(bench) -> None:
    intent = await bench.v1.payment_intents.create_async(ASKED)
    error = await refused(bench.v1.payment_intents.confirm_async(intent.id), "payment_intent_unexpected_state")
    assert error.error.payment_intent.id == intent.id
    error = await refused(
        bench.v1.payment_intents.create_async({**ASKED, "confirm": True}), "payment_intent_unexpected_state"
    )
    assert (await bench.v1.payment_intents.retrieve_async(error.error.payment_intent.id)).status == (
        "requires_payment_method"
    )


async def test_updating_moves_the_intent_between_waiting_states(quick) -> None:
    intents = quick.v1.payment_intents
    intent = await intents.create_async(ASKED)
    chosen = await intents.update_async(intent.id, {"payment_method": "pm_card_threeDSecure2Required"})
    assert chosen.status == "requires_confirmation"
    asked = await intents.confirm_async(intent.id)
    url = asked.next_action.use_stripe_sdk["stripe_js"]
    repriced = await intents.update_async(intent.id, {"amount": 900})
    assert (repriced.status, repriced.next_action, repriced.amount) == ("requires_confirmation", None, 900)
    stale = await quick.challenge(url, "succeeded")
    assert stale.status_code == 404
    cleared = await intents.update_async(intent.id, {"payment_method": ""})
    assert (cleared.status, cleared.payment_method) == ("requires_payment_method", None)


async def test_an_authorized_amount_is_captured_in_part_or_released(quick) -> None:
    intents = quick.v1.payment_intents
    asked = {**ASKED, "payment_method": "pm_card_visa", "capture_method": "manual", "confirm": True}
    held = await intents.create_async(asked)
    assert (held.status, held.amount_capturable, held.amount_received) == ("requires_capture", 1200, 0)
    await refused(
        intents.capture_async(held.id, {"amount_to_capture": 0}), "parameter_invalid_integer", "amount_to_capture"
    )
    await refused(intents.capture_async(held.id, {"amount_to_capture": 1201}), "amount_too_large", "amount_to_capture")
    taken = await intents.capture_async(held.id, {"amount_to_capture": 1000, "expand": ["latest_charge"]})
    assert (taken.status, taken.amount_received, taken.amount_capturable) == ("succeeded", 1000, 0)
    assert (taken.latest_charge.captured, taken.latest_charge.amount_captured) == (True, 1000)
    released = await intents.cancel_async((await intents.create_async(asked)).id, {"expand": ["latest_charge"]})
    assert (released.status, released.latest_charge.refunded, released.latest_charge.captured) == (
        "canceled",
        True,
        False,
    )


async def test_manual_confirmation_charges_only_when_confirmed_again(quick) -> None:
    intents = quick.v1.payment_intents
    intent = await intents.create_async(
        {
            **ASKED,
            "payment_method": "pm_card_threeDSecure2Required",
            "confirmation_method": "manual",
            "confirm": True,
        }
    )
    await quick.challenge(intent.next_action.use_stripe_sdk["stripe_js"], "succeeded")
    waiting = await intents.retrieve_async(intent.id)
    assert (waiting.status, waiting.latest_charge) == ("requires_confirmation", None)
    assert (await intents.confirm_async(intent.id)).status == "succeeded"


@pytest.mark.parametrize(
    ("amount", "currency", "code"),
    [
        (49, "usd", "amount_too_small"),
        (29, "gbp", "amount_too_small"),
        (49, "jpy", "amount_too_small"),
        (49, "krw", "amount_too_small"),
        (249, "dkk", "amount_too_small"),
        (299, "nok", "amount_too_small"),
        (399, "hkd", "amount_too_small"),
        (999, "mxn", "amount_too_small"),
        (1499, "czk", "amount_too_small"),
        (17499, "huf", "amount_too_small"),
        (199, "aed", "amount_too_small"),
        (1_000_000_000_000, "usd", "amount_too_large"),
        (1005, "kwd", "parameter_invalid_integer"),
        (1050, "isk", "parameter_invalid_integer"),
        (0, "usd", "parameter_invalid_integer"),
    ],
)
async def test_an_amount_that_cannot_be_charged_is_refused(quick, amount, currency, code) -> None:
    await refused(quick.v1.payment_intents.create_async({"amount": amount, "currency": currency}), code, "amount")


@pytest.mark.parametrize(
    ("amount", "currency"),
    [(50, "USD"), (30, "gbp"), (50, "jpy"), (17500, "huf"), (200, "aed"), (1010, "kwd"), (1100, "isk"), (100, "ugx")],
)
async def test_the_least_amount_of_a_currency_is_taken(quick, amount, currency) -> None:
    intent = await quick.v1.payment_intents.create_async({"amount": amount, "currency": currency})
    assert (intent.amount, intent.currency) == (amount, currency.lower())


async def test_an_unknown_currency_is_refused(quick) -> None:
    error = await refused(quick.v1.payment_intents.create_async({"amount": 500, "currency": "xxx"}), None, "currency")
    assert str(error.user_message).startswith("Invalid currency: xxx. Stripe currently supports")


@pytest.mark.parametrize("name", ["off_session", "error_on_requires_action"])
async def test_what_only_confirming_needs_is_refused_without_it(quick, name) -> None:
    await refused(quick.v1.payment_intents.create_async({**ASKED, name: True}), None, name)
    await refused(quick.v1.payment_intents.create_async({**ASKED, "return_url": "http://x"}), None, "return_url")


async def test_which_ways_to_pay_were_allowed_is_answered(quick) -> None:
    create = quick.v1.payment_intents.create_async
    plain = await create(ASKED)
    assert plain.automatic_payment_methods.to_dict() == {"allow_redirects": "always", "enabled": True}
    never = await create({**ASKED, "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"}})
    assert never.automatic_payment_methods.to_dict() == {"allow_redirects": "never", "enabled": True}
    cards = await create({**ASKED, "allowed_payment_method_types": ["card"]})
    assert (cards.allowed_payment_method_types, cards.payment_method_types) == (["card"], ["card"])
    await refused(
        create({**ASKED, "allowed_payment_method_types": ["link"], "payment_method": "pm_card_visa"}),
        "payment_intent_incompatible_payment_method",
        "payment_method",
    )


async def test_intents_are_listed_by_customer_and_date(bench) -> None:
    customer, _ = await bench.saved_card()
    create, listed = bench.v1.payment_intents.create_async, bench.v1.payment_intents.list_async
    mine = await create({**ASKED, "customer": customer, "metadata": {"invoice": "in_1"}})
    await create(ASKED)
    second = int(bench.clock.now().timestamp())
    bench.clock.set(bench.clock.now().replace(year=2028))
    later = await create({**ASKED, "customer": customer})
    assert [each.id for each in (await listed({"customer": customer})).data] == [later.id, mine.id]
    early = await listed({"customer": customer, "created": {"gte": second, "lt": second + 1}})
    assert [(each.id, each.metadata.to_dict()) for each in early.data] == [(mine.id, {"invoice": "in_1"})]
    assert [each.id for each in (await listed({"customer": customer, "created": later.created})).data] == [later.id]
