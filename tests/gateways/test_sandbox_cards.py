"""What each test card does: saved, set up, charged on session and off."""

import pytest
import stripe

from gateways.sandbox.cards import CARDS

DECLINES = {
    "pm_card_visa_chargeDeclined": ("card_declined", "generic_decline", "try_again_later", "01"),
    "pm_card_visa_chargeDeclinedInsufficientFunds": ("card_declined", "insufficient_funds", "try_again_later", "51"),
    "pm_card_visa_chargeDeclinedLostCard": ("card_declined", "lost_card", "do_not_try_again", "41"),
    "pm_card_visa_chargeDeclinedStolenCard": ("card_declined", "stolen_card", "do_not_try_again", "43"),
    "pm_card_visa_chargeDeclinedVelocityLimitExceeded": (
        "card_declined",
        "card_velocity_exceeded",
        "try_again_later",
        "65",
    ),
    "pm_card_chargeDeclinedExpiredCard": ("expired_card", "expired_card", "confirm_card_data", "54"),
    "pm_card_chargeDeclinedIncorrectCvc": ("incorrect_cvc", "incorrect_cvc", "confirm_card_data", "N7"),
    "pm_card_chargeDeclinedProcessingError": ("processing_error", "processing_error", "try_again_later", "96"),
}
ASKED = {"amount": 1200, "currency": "usd", "confirm": True}


async def refusal(call) -> stripe.CardError:
    with pytest.raises(stripe.CardError) as refused:
        await call
    assert refused.value.http_status == 402
    return refused.value


def told(error: stripe.CardError) -> tuple[str | None, ...]:
    return (error.code, error.error.decline_code, error.error.advice_code, error.error.network_decline_code)


@pytest.mark.parametrize(("token", "reason"), DECLINES.items())
async def test_a_declining_card_is_refused_when_saved_set_up_and_charged(quick, token, reason) -> None:
    customer = await quick.v1.customers.create_async({})
    saving = quick.v1.payment_methods.attach_async(token, {"customer": customer.id})
    assert told(await refusal(saving)) == reason
    setting_up = quick.v1.setup_intents.create_async(
        {"customer": customer.id, "payment_method": token, "confirm": True}
    )
    assert told(await refusal(setting_up)) == reason
    charging = quick.v1.payment_intents.create_async({**ASKED, "payment_method": token})
    assert told(await refusal(charging)) == reason
    assert (await quick.v1.payment_methods.list_async({"customer": customer.id})).data == []


async def test_an_expired_card_carries_the_networks_advice_and_the_parameter(quick) -> None:
    error = await refusal(
        quick.v1.payment_intents.create_async({**ASKED, "payment_method": "pm_card_chargeDeclinedExpiredCard"})
    )
    assert (error.error.network_advice_code, error.param) == ("03", "exp_month")


@pytest.mark.parametrize("alias", ["pm_card_chargeDeclined", "tok_chargeDeclined", "tok_visa_chargeDeclined"])
async def test_the_widespread_alias_declines_too(quick, alias) -> None:
    chosen = (
        {"payment_method": alias}
        if alias.startswith("pm_")
        else {"payment_method_data": {"type": "card", "card": {"token": alias}}}
    )
    error = await refusal(quick.v1.payment_intents.create_async({**ASKED, **chosen}))
    assert error.error.decline_code == "generic_decline"


PLAIN = [card.token for card in CARDS if card.decline is None and card.asks in ("never", "when_requested")]


@pytest.mark.parametrize("token", PLAIN)
async def test_a_plain_card_can_be_saved_and_charged_on_session_and_off(quick, token) -> None:
    customer, method = await quick.saved_card(token)
    for off_session in (False, True):
        intent = await quick.v1.payment_intents.create_async(
            {**ASKED, "customer": customer, "payment_method": method, "off_session": off_session}
        )
        assert intent.status == "succeeded"


async def test_the_dunning_card_is_saved_and_set_up_but_never_charged(quick) -> None:
    customer, method = await quick.saved_card("pm_card_chargeCustomerFail")
    intent = await quick.v1.setup_intents.create_async(
        {"customer": customer, "payment_method": method, "confirm": True}
    )
    assert intent.status == "succeeded"
    for _ in range(2):
        error = await refusal(
            quick.v1.payment_intents.create_async(
                {**ASKED, "customer": customer, "payment_method": method, "off_session": True}
            )
        )
        assert error.error.decline_code == "generic_decline"


async def set_up(quick, token: str) -> tuple[str, str]:
    """Save a card through a setup intent, passing its challenge if there is one."""
    customer = await quick.v1.customers.create_async({})
    intent = await quick.v1.setup_intents.create_async(
        {"customer": customer.id, "payment_method": token, "confirm": True}
    )
    if intent.status == "requires_action":
        await quick.challenge(intent.next_action.use_stripe_sdk["stripe_js"], "succeeded")
        intent = await quick.v1.setup_intents.retrieve_async(intent.id)
    assert intent.status == "succeeded"
    return customer.id, intent.payment_method


# token -> (set-up asks, on session before set-up, off session before set-up, on session after, off session after)
CHALLENGES = {
    "pm_card_authenticationRequiredOnSetup": (
        "requires_action",
        "requires_action",
        "authentication_required",
        "succeeded",
        "succeeded",
    ),
    "pm_card_authenticationRequired": (
        "requires_action",
        "requires_action",
        "authentication_required",
        "requires_action",
        "authentication_required",
    ),
    "pm_card_threeDSecure2Required": (
        "requires_action",
        "requires_action",
        "authentication_required",
        "requires_action",
        "authentication_required",
    ),
    "pm_card_authenticationRequiredSetupForOffSession": (
        "succeeded",
        "requires_action",
        "succeeded",
        "requires_action",
        "succeeded",
    ),
    "pm_card_authenticationRequiredChargeDeclinedInsufficientFunds": (
        "requires_action",
        "requires_action",
        "authentication_required",
        "card_declined",
        "card_declined",
    ),
    "pm_card_threeDSecureRequiredChargeDeclined": (
        "requires_action",
        "requires_action",
        "authentication_required",
        "requires_action",
        "authentication_required",
    ),
}


async def outcome(creating) -> str:
    try:
        return (await creating).status
    except stripe.CardError as error:
        return error.code or ""


@pytest.mark.parametrize(("token", "expected"), CHALLENGES.items())
async def test_a_card_asks_its_holder_when_the_table_says_so(quick, token, expected) -> None:
    create = quick.v1.payment_intents.create_async
    customer, method = await quick.saved_card(token)
    asked = {**ASKED, "customer": customer, "payment_method": method}
    setting_up = quick.v1.setup_intents.create_async({"payment_method": token, "confirm": True})
    before = (await outcome(create(asked)), await outcome(create({**asked, "off_session": True})))
    customer, method = await set_up(quick, token)
    asked = {**ASKED, "customer": customer, "payment_method": method}
    after = (await outcome(create(asked)), await outcome(create({**asked, "off_session": True})))
    assert (await outcome(setting_up), *before, *after) == expected


async def test_a_card_declined_after_its_challenge_fails_the_intent(quick) -> None:
    intent = await quick.v1.payment_intents.create_async(
        {**ASKED, "payment_method": "pm_card_threeDSecureRequiredChargeDeclined"}
    )
    answer = await quick.challenge(intent.next_action.use_stripe_sdk["stripe_js"], "succeeded")
    assert answer.status_code == 200
    intent = await quick.v1.payment_intents.retrieve_async(intent.id, {"expand": ["latest_charge"]})
    assert intent.status == "requires_payment_method"
    assert intent.last_payment_error.decline_code == "generic_decline"
    assert intent.latest_charge.payment_method_details.card.three_d_secure.result == "authenticated"


async def test_an_optional_challenge_is_made_when_the_merchant_requests_it(quick) -> None:
    asked = {**ASKED, "payment_method": "pm_card_threeDSecureOptional"}
    options = {"card": {"request_three_d_secure": "any"}}
    assert (await quick.v1.payment_intents.create_async(asked)).status == "succeeded"
    requested = await quick.v1.payment_intents.create_async({**asked, "payment_method_options": options})
    assert requested.status == "requires_action"


async def test_a_card_with_a_wrong_security_code_is_told_apart(quick) -> None:
    _, method = await quick.saved_card("pm_card_cvcCheckFail")
    assert (await quick.v1.payment_methods.retrieve_async(method)).card.checks.cvc_check == "fail"


async def test_a_token_makes_a_card_that_is_unchecked_until_attached_and_good_for_a_year(quick) -> None:
    made = await quick.v1.payment_methods.create_async({"type": "card", "card": {"token": "tok_visa"}})
    card = made.card
    assert (card.exp_month, card.exp_year, card.checks.cvc_check) == (1, 2028, "unchecked")
    customer = await quick.v1.customers.create_async({})
    attached = await quick.v1.payment_methods.attach_async(made.id, {"customer": customer.id})
    assert (attached.id, attached.customer, attached.card.checks.cvc_check) == (made.id, customer.id, "pass")


async def test_a_token_makes_a_new_payment_method_at_each_use(quick) -> None:
    customer, first = await quick.saved_card()
    second = await quick.v1.payment_methods.attach_async("pm_card_visa", {"customer": customer})
    read = await quick.v1.payment_methods.retrieve_async("pm_card_visa")
    assert len({first, second.id, read.id, "pm_card_visa"}) == 4
    assert second.card.fingerprint == read.card.fingerprint


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"exp_month": 13}, "invalid_expiry_month", "exp_month"),
        ({"exp_year": 2026}, "invalid_expiry_year", "exp_year"),
        ({"exp_month": 1, "exp_year": 2027, "cvc": "12"}, "invalid_cvc", "cvc"),
        ({"number": "4242424242424241"}, "incorrect_number", "number"),
        ({"number": "4012888888881881"}, "card_declined", "number"),
    ],
)
async def test_card_data_that_cannot_be_is_refused(quick, change, code, param) -> None:
    card = {"number": "4242424242424242", "exp_month": 12, "exp_year": 2030, "cvc": "123", **change}
    error = await refusal(quick.v1.payment_methods.create_async({"type": "card", "card": card}))
    assert (error.code, error.param) == (code, param)


async def test_a_card_of_a_past_month_of_this_year_is_refused(quick) -> None:
    card = {"number": "4242424242424242", "exp_month": 12, "exp_year": 2027}
    made = await quick.v1.payment_methods.create_async({"type": "card", "card": card})
    assert (made.card.exp_month, made.card.exp_year, made.card.checks.cvc_check) == (12, 2027, None)
    quick.clock.set(quick.clock.now().replace(year=2027, month=3))
    error = await refusal(quick.v1.payment_methods.create_async({"type": "card", "card": {**card, "exp_month": 2}}))
    assert error.code == "invalid_expiry_month"


async def test_a_card_too_risky_is_blocked_before_any_bank_is_asked(quick) -> None:
    with pytest.raises(stripe.CardError) as blocked:
        await quick.v1.payment_intents.create_async(
            {"amount": 700, "currency": "usd", "payment_method": "pm_card_radarBlock", "confirm": True}
        )
    error = blocked.value.error
    assert (blocked.value.http_status, error.code, error.decline_code) == (402, "card_declined", "fraudulent")
    charge = await quick.v1.charges.retrieve_async(error.charge)
    outcome = charge.outcome
    assert (charge.status, outcome.type, outcome.network_status) == ("failed", "blocked", "not_sent_to_network")
    assert (outcome.risk_level, outcome.reason, outcome.network_decline_code) == ("highest", "highest_risk_level", None)
    assert (await quick.v1.balance_transactions.list_async()).data == []


@pytest.mark.parametrize("service", ["payment_intents", "setup_intents"])
async def test_a_card_whose_lookup_fails_declines_only_a_merchant_who_asks_for_3d_secure(quick, service) -> None:
    create = getattr(quick.v1, service).create_async
    asked = {"payment_method": "pm_card_threeDSecureOptionalProcessingError", "confirm": True}
    if service == "payment_intents":
        asked |= {"amount": 500, "currency": "usd"}
    assert (await create(asked)).status == "succeeded"
    with pytest.raises(stripe.CardError) as declined:
        await create({**asked, "payment_method_options": {"card": {"request_three_d_secure": "any"}}})
    assert declined.value.code == "card_declined"
