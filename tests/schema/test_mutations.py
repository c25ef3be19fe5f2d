"""Each mutation's answer, exactly: the objects as they are, and refusals as data beside them."""

import re
from typing import Any

import pytest

from tests.support.house import House
from tests.support.shelf import take_off_sale

ERRORS = "userErrors { __typename code message field }"
DECLINES, ASKS = "4000000000000002", "4000002760003184"
DECLINED = "Your card was declined. Try again later, or use another card."
CHALLENGES = "http://127.0.0.1:8000/sandbox/stripe/"

SUBSCRIBE = f"""mutation($input: SubscribeInput!) {{ subscribe(input: $input) {{
    subscription {{ id status isActive version }} payment {{ status statusLiteral success }}
    paymentIntent {{ status clientSecret paymentMethod {{ card {{ last4 }} }} setupFutureUsage }}
    nextAction {{ type clientSecret redirectUrl returnUrl }} {ERRORS}
}} }}"""


async def subscribe(house: House, user: str, **wish: Any) -> dict[str, Any]:
    return (await house.ask(SUBSCRIBE, {"input": wish}, user))["subscribe"]


async def card_of(house: House, user: str) -> str:
    return (await house.ask("{ me { defaultPaymentMethod { id } } }", user=user))["me"]["defaultPaymentMethod"]["id"]


# ── cards ──


async def test_a_saved_card_shows_all_that_the_gateway_tells(house: House) -> None:
    query = """{ paymentMethods { totalCount pageInfo { hasNextPage } nodes {
        gatewayId platform type livemode isDefault isExpiringSoon cardHolderName cardHolderZip metadata createdAt
        card { brand last4 expMonth expYear countryCode funding fingerprint wallet generatedFrom
               threeDSecureSupported networks { available preferred }
               checks { addressLine1 addressPostalCode cvc } }
        billingDetails { name email phone address { line1 line2 city state postalCode countryCode } }
        customer { gatewayAccounts { platform customerId } }
    } } }"""
    page = (await house.ask(query, user="demo-card"))["paymentMethods"]
    (card,) = page.pop("nodes")
    assert page == {"totalCount": 1, "pageInfo": {"hasNextPage": False}}
    assert re.fullmatch(r"pm_\w{24}", card.pop("gatewayId"))
    (account,) = card.pop("customer")["gatewayAccounts"]
    assert account["platform"] == "SANDBOX"
    assert re.fullmatch(r"cus_\w{14}", account["customerId"])
    assert re.fullmatch(r"\w{16}", card["card"].pop("fingerprint"))
    assert card == {
        "platform": "SANDBOX",
        "type": "card",
        "livemode": False,
        "isDefault": True,
        "isExpiringSoon": False,
        "cardHolderName": None,
        "cardHolderZip": None,
        "metadata": {},
        "createdAt": "2026-01-31T09:30:00Z",
        "card": {
            "brand": "visa",
            "last4": "4242",
            "expMonth": 1,
            "expYear": 2027,
            "countryCode": "US",
            "funding": "CREDIT",
            "wallet": None,
            "generatedFrom": None,
            "threeDSecureSupported": True,
            "networks": {"available": ["visa"], "preferred": None},
            "checks": {"addressLine1": "UNCHECKED", "addressPostalCode": "UNCHECKED", "cvc": "PASS"},
        },
        "billingDetails": {
            "name": None,
            "email": None,
            "phone": None,
            "address": dict.fromkeys(("line1", "line2", "city", "state", "postalCode", "countryCode")),
        },
    }


async def test_a_setup_intent_shows_all_that_the_gateway_tells(house: House) -> None:
    query = f"""mutation {{ createSetupIntent {{ setupIntent {{
        id gatewayId status usage clientSecret application cancellationReason description metadata onBehalfOf
        paymentMethodTypes requestThreeDSecure livemode createdAt
        lastError {{ code }} mandate {{ gatewayId }} singleUseMandate {{ gatewayId }} paymentMethod {{ id }}
        nextAction {{ type clientSecret redirectUrl }} customer {{ user {{ id displayName }} }}
    }} {ERRORS} }} }}"""
    told = (await house.ask(query, user="demo-new"))["createSetupIntent"]
    intent = told.pop("setupIntent")
    assert told == {"userErrors": []}
    secret = intent.pop("clientSecret")
    assert secret.startswith(intent.pop("gatewayId") + "_secret_")
    assert intent.pop("id").startswith("stp_")
    assert intent == {
        "status": "REQUIRES_PAYMENT_METHOD",
        "usage": "OFF_SESSION",
        "application": None,
        "cancellationReason": None,
        "description": None,
        "metadata": {},
        "onBehalfOf": None,
        "paymentMethodTypes": ["card"],
        "requestThreeDSecure": "automatic",
        "livemode": False,
        "createdAt": "2026-01-31T09:30:00Z",
        "lastError": None,
        "mandate": None,
        "singleUseMandate": None,
        "paymentMethod": None,
        "nextAction": {"type": "CONFIRM_WITH_SDK", "clientSecret": secret, "redirectUrl": None},
        "customer": {"user": {"id": "demo-new", "displayName": "demo-new"}},
    }


async def test_a_card_is_saved_by_the_sandboxs_browser_and_becomes_the_default(house: House) -> None:
    begun = await house.ask(
        """mutation { createSetupIntent(input: {usage: ON_SESSION}) {
            setupIntent { clientSecret } userErrors { code } } }""",
        user="demo-new",
    )
    secret = begun["createSetupIntent"]["setupIntent"]["clientSecret"]
    confirm = f"""mutation($input: SandboxConfirmInput!) {{ sandboxConfirmSetupIntent(input: $input) {{
        setupIntent {{ status usage nextAction {{ type }} }} {ERRORS}
    }} }}"""
    declined = await house.ask(confirm, {"input": {"clientSecret": secret, "cardNumber": DECLINES}}, "demo-new")
    assert declined["sandboxConfirmSetupIntent"]["userErrors"] == [
        {
            "__typename": "CardDeclinedError",
            "code": "CARD_DECLINED",
            "message": DECLINED,
            "field": ["paymentMethodId"],
        }
    ]
    told = await house.ask(confirm, {"input": {"clientSecret": secret, "cardNumber": "4242424242424242"}}, "demo-new")
    assert told["sandboxConfirmSetupIntent"] == {
        "setupIntent": {"status": "SUCCEEDED", "usage": "ON_SESSION", "nextAction": None},
        "userErrors": [],
    }
    await house.deliver()
    shown = await house.ask("{ me { defaultPaymentMethod { isDefault card { last4 } } } }", user="demo-new")
    assert shown == {"me": {"defaultPaymentMethod": {"isDefault": True, "card": {"last4": "4242"}}}}


async def test_a_second_card_is_attached_and_chosen(house: House) -> None:
    attach = f"""mutation {{ attachPaymentMethod(input: {{paymentMethodId: "pm_card_mastercard"}}) {{
        paymentMethod {{ id isDefault card {{ brand }} customer {{ user {{ id }} }} }} {ERRORS} }} }}"""
    attached = (await house.ask(attach, user="demo-card"))["attachPaymentMethod"]
    card = attached["paymentMethod"].pop("id")
    assert attached == {
        "paymentMethod": {
            "isDefault": False,
            "card": {"brand": "mastercard"},
            "customer": {"user": {"id": "demo-card"}},
        },
        "userErrors": [],
    }
    choose = f"""mutation($id: ID!) {{ setDefaultPaymentMethod(input: {{paymentMethodId: $id}}) {{
        customer {{ defaultPaymentMethod {{ id }} paymentMethods {{ nodes {{ id isDefault }} }} }}
        paymentMethod {{ id isDefault }} updatedSubscriptions {{ id }} {ERRORS} }} }}"""
    first = await card_of(house, "demo-card")
    chosen = (await house.ask(choose, {"id": card}, "demo-card"))["setDefaultPaymentMethod"]
    assert chosen == {
        "customer": {
            "defaultPaymentMethod": {"id": card},
            "paymentMethods": {"nodes": [{"id": card, "isDefault": True}, {"id": first, "isDefault": False}]},
        },
        "paymentMethod": {"id": card, "isDefault": True},
        "updatedSubscriptions": [],
        "userErrors": [],
    }
    foreign = await house.ask(choose, {"id": await card_of(house, "demo-decline")}, "demo-card")
    assert foreign["setDefaultPaymentMethod"] == {
        "customer": None,
        "paymentMethod": None,
        "updatedSubscriptions": [],
        "userErrors": [
            {
                "__typename": "ValidationError",
                "code": "NOT_FOUND",
                "message": "There is no such payment method of yours.",
                "field": ["paymentMethodId"],
            }
        ],
    }


# ── subscribing ──


async def test_with_a_saved_card_the_subscription_is_active_at_once(house: House) -> None:
    told = await subscribe(house, "demo-card", planCode="reader-pro", paymentMethodId=await card_of(house, "demo-card"))
    told["subscription"].pop("id")
    secret = told["paymentIntent"].pop("clientSecret")
    assert secret.startswith("pi_")
    assert told == {
        "subscription": {"status": "ACTIVE", "isActive": True, "version": told["subscription"]["version"]},
        "payment": {"status": "SUCCEEDED", "statusLiteral": "PAID", "success": True},
        "paymentIntent": {
            "status": "SUCCEEDED",
            "paymentMethod": {"card": {"last4": "4242"}},
            "setupFutureUsage": None,
        },
        "nextAction": {"type": "NONE", "clientSecret": None, "redirectUrl": None, "returnUrl": None},
        "userErrors": [],
    }


async def test_a_free_plan_is_active_without_payment_and_card(house: House) -> None:
    told = await subscribe(house, "demo-new", planCode="free")
    told["subscription"].pop("id")
    assert told == {
        "subscription": {"status": "ACTIVE", "isActive": True, "version": told["subscription"]["version"]},
        "payment": None,
        "paymentIntent": None,
        "nextAction": {"type": "NONE", "clientSecret": None, "redirectUrl": None, "returnUrl": None},
        "userErrors": [],
    }
    shown = await house.ask(
        "{ mySubscription { paymentConfirmation nextBillingAt nextAction { type } latestPayment { id } } }",
        user="demo-new",
    )
    assert shown["mySubscription"] == {
        "paymentConfirmation": "PAID",
        "nextBillingAt": "2026-02-28T09:30:00Z",
        "nextAction": {"type": "NONE"},
        "latestPayment": None,
    }


async def test_a_decline_is_told_beside_the_subscription_that_waits_for_another_card(house: House) -> None:
    query = """mutation($input: SubscribeInput!) { subscribe(input: $input) {
        subscription { status } payment { status error { code declineCode message isRetryable } }
        paymentIntent { lastError { declineCode } } nextAction { type }
        userErrors { __typename code message field ... on CardDeclinedError {
            declineCode isRetryable payment { status attempts { sequence outcome trigger error { declineCode } } } } }
    } }"""
    wish = {"planCode": "reader-pro", "paymentMethodId": await card_of(house, "demo-decline")}
    told = (await house.ask(query, {"input": wish}, "demo-decline"))["subscribe"]
    assert told == {
        "subscription": {"status": "INCOMPLETE"},
        "payment": {
            "status": "FAILED",
            "error": {
                "code": "card_declined",
                "declineCode": "generic_decline",
                "message": "Your card was declined.",
                "isRetryable": True,
            },
        },
        "paymentIntent": {"lastError": {"declineCode": "generic_decline"}},
        "nextAction": {"type": "CONFIRM_WITH_SDK"},
        "userErrors": [
            {
                "__typename": "CardDeclinedError",
                "code": "CARD_DECLINED",
                "message": DECLINED,
                "field": ["paymentMethodId"],
                "declineCode": "generic_decline",
                "isRetryable": True,
                "payment": {
                    "status": "FAILED",
                    "attempts": [
                        {
                            "sequence": 1,
                            "outcome": "DECLINED",
                            "trigger": "PURCHASE",
                            "error": {"declineCode": "generic_decline"},
                        }
                    ],
                },
            }
        ],
    }


async def test_a_challenge_is_met_and_passed_in_the_sandbox(house: House) -> None:
    begun = await subscribe(house, "demo-new", planCode="reader-pro", returnUrl="https://shop.example/back")
    secret = begun["paymentIntent"]["clientSecret"]
    assert begun["nextAction"] == {
        "type": "CONFIRM_WITH_SDK",
        "clientSecret": secret,
        "redirectUrl": None,
        "returnUrl": "https://shop.example/back",
    }
    confirm = f"""mutation($input: SandboxConfirmInput!) {{ sandboxConfirmPaymentIntent(input: $input) {{
        paymentIntent {{ status nextAction {{ type redirectUrl clientSecret }} }} {ERRORS} }} }}"""
    asked = await house.ask(confirm, {"input": {"clientSecret": secret, "cardNumber": ASKS}}, "demo-new")
    intent = asked["sandboxConfirmPaymentIntent"]["paymentIntent"]
    assert intent["nextAction"].pop("redirectUrl").startswith(CHALLENGES)
    assert intent == {"status": "REQUIRES_ACTION", "nextAction": {"type": "REDIRECT", "clientSecret": None}}

    refresh = """mutation($id: ID!) { refreshSubscriptionPayment(input: {subscriptionId: $id}) {
        success subscription { status paymentConfirmation } payment { status } paymentIntent { status }
        nextAction { type redirectUrl } userErrors { code }
    } }"""
    subscription = {"id": begun["subscription"]["id"]}
    waiting = (await house.ask(refresh, subscription, "demo-new"))["refreshSubscriptionPayment"]
    assert waiting["nextAction"].pop("redirectUrl").startswith(CHALLENGES)
    assert waiting == {
        "success": False,
        "subscription": {"status": "INCOMPLETE", "paymentConfirmation": "PENDING"},
        "payment": {"status": "REQUIRES_ACTION"},
        "paymentIntent": {"status": "REQUIRES_ACTION"},
        "nextAction": {"type": "REDIRECT"},
        "userErrors": [],
    }

    answer = f"""mutation($input: SandboxAnswerChallengeInput!) {{ sandboxAnswerChallenge(input: $input) {{
        paymentIntent {{ status nextAction {{ type }} }} setupIntent {{ id }} {ERRORS} }} }}"""
    passed = await house.ask(answer, {"input": {"clientSecret": secret, "outcome": "SUCCEEDED"}}, "demo-new")
    assert passed["sandboxAnswerChallenge"] == {
        "paymentIntent": {"status": "SUCCEEDED", "nextAction": None},
        "setupIntent": None,
        "userErrors": [],
    }
    paid = (await house.ask(refresh, subscription, "demo-new"))["refreshSubscriptionPayment"]
    assert paid == {
        "success": True,
        "subscription": {"status": "ACTIVE", "paymentConfirmation": "PAID"},
        "payment": {"status": "SUCCEEDED"},
        "paymentIntent": {"status": "SUCCEEDED"},
        # The card was not kept: nothing could pay the renewal.
        "nextAction": {"type": "ADD_PAYMENT_METHOD", "redirectUrl": None},
        "userErrors": [],
    }


async def test_a_saved_card_that_the_bank_asks_about_is_told_as_data(house: House) -> None:
    attach = """mutation { attachPaymentMethod(input: {paymentMethodId: "pm_card_authenticationRequired"}) {
        paymentMethod { id } userErrors { code } } }"""
    card = (await house.ask(attach, user="demo-new"))["attachPaymentMethod"]["paymentMethod"]["id"]
    query = """mutation($input: SubscribeInput!) { subscribe(input: $input) {
        nextAction { type redirectUrl }
        userErrors { __typename code field ... on PaymentActionRequiredError {
            nextAction { type redirectUrl returnUrl } payment { status } } }
    } }"""
    wish = {"planCode": "reader-pro", "paymentMethodId": card, "returnUrl": "https://shop.example/back"}
    told = (await house.ask(query, {"input": wish}, "demo-new"))["subscribe"]
    address = told["nextAction"]["redirectUrl"]
    assert address.startswith(CHALLENGES)
    assert told == {
        "nextAction": {"type": "REDIRECT", "redirectUrl": address},
        "userErrors": [
            {
                "__typename": "PaymentActionRequiredError",
                "code": "PAYMENT_ACTION_REQUIRED",
                "field": None,
                "nextAction": {"type": "REDIRECT", "redirectUrl": address, "returnUrl": "https://shop.example/back"},
                "payment": {"status": "REQUIRES_ACTION"},
            }
        ],
    }


REFUSALS: dict[str, tuple[dict[str, Any], str, list[str] | None]] = {
    "no such plan": ({"planCode": "nothing"}, "NOT_FOUND", ["planCode"]),
    "not for sale": ({"planCode": "basic-monthly"}, "PLAN_NOT_FOR_SALE", ["planCode"]),
    "another currency": ({"planCode": "reader-pro", "currencyCode": "EUR"}, "CURRENCY_UNSUPPORTED", ["currencyCode"]),
    "a foreign card": ({"planCode": "reader-pro", "paymentMethodId": "pmd_0"}, "NOT_FOUND", ["paymentMethodId"]),
    "for another": ({"planCode": "reader-pro", "customerId": "cst_0"}, "NOT_PERMITTED", ["customerId"]),
    "a long name": ({"planCode": "reader-pro", "name": "n" * 251}, "INVALID", ["name"]),
    "a long key": ({"planCode": "reader-pro", "idempotencyKey": "k" * 256}, "INVALID", ["idempotencyKey"]),
    "none": ({"planCode": "reader-pro", "quantity": 0}, "INVALID", ["quantity"]),
    "too many": ({"planCode": "reader-pro", "quantity": 10_001}, "INVALID", ["quantity"]),
    "notes that are no object": ({"planCode": "reader-pro", "metadata": [1]}, "INVALID", ["metadata"]),
}


async def test_wishes_that_are_refused_begin_nothing(house: House) -> None:
    await take_off_sale(house.app, "basic-monthly")
    found = {}
    for name, (wish, _, _) in REFUSALS.items():
        told = await subscribe(house, "demo-card", **wish)
        assert told["subscription"] is None
        found[name] = [(error["code"], error["field"]) for error in told["userErrors"]]
    assert found == {name: [(code, field)] for name, (_, code, field) in REFUSALS.items()}
    assert await house.ask("{ me { subscriptions { totalCount } payments { totalCount } } }", user="demo-card") == {
        "me": {"subscriptions": {"totalCount": 0}, "payments": {"totalCount": 0}}
    }


async def test_a_key_gives_the_same_answer_again_and_refuses_other_input(house: House) -> None:
    wish = {"planCode": "reader-pro", "paymentMethodId": await card_of(house, "demo-card"), "idempotencyKey": "one"}
    first = await subscribe(house, "demo-card", **wish)
    assert await subscribe(house, "demo-card", **wish) == first
    other = await subscribe(house, "demo-card", **{**wish, "planCode": "premium-monthly"})
    assert [error["code"] for error in other["userErrors"]] == ["IDEMPOTENCY_CONFLICT"]
    assert await house.ask("{ payments { totalCount } }", user="demo-card") == {"payments": {"totalCount": 1}}


# ── canceling ──

CANCEL = """mutation($input: CancelSubscriptionInput!) { cancelSubscription(input: $input) {
    subscription { status isActive version cancelAtPeriodEnd nextBillingAt endsAt endedAt
                   cancellation { reason comment requestedBy } }
    invoice { status }
    userErrors { __typename code field ... on VersionConflictError { currentVersion } }
} }"""


async def test_a_subscription_is_canceled_at_its_periods_end_and_then_now(house: House) -> None:
    begun = await subscribe(
        house, "demo-card", planCode="reader-pro", paymentMethodId=await card_of(house, "demo-card")
    )
    identity, version = begun["subscription"]["id"], begun["subscription"]["version"]

    async def cancel(user: str = "demo-card", **more: Any) -> dict[str, Any]:
        answer = await house.ask(CANCEL, {"input": {"subscriptionId": identity, **more}}, user)
        return answer["cancelSubscription"]

    stale = await cancel(expectedVersion=version + 7)
    assert stale == {
        "subscription": None,
        "invoice": None,
        "userErrors": [
            {
                "__typename": "VersionConflictError",
                "code": "VERSION_CONFLICT",
                "field": ["expectedVersion"],
                "currentVersion": version,
            }
        ],
    }
    leaving = await cancel(reason="UNUSED", comment="No time to read.", expectedVersion=version)
    assert leaving == {
        "subscription": {
            "status": "ACTIVE",
            "isActive": True,
            "version": version + 1,
            "cancelAtPeriodEnd": True,
            "nextBillingAt": None,
            "endsAt": "2026-02-28T09:30:00Z",
            "endedAt": None,
            "cancellation": {"reason": "UNUSED", "comment": "No time to read.", "requestedBy": "CUSTOMER"},
        },
        "invoice": None,
        "userErrors": [],
    }
    gone = await cancel("demo-support", effectiveAt="NOW")
    assert gone["subscription"] == {
        "status": "CANCELED",
        "isActive": False,
        "version": gone["subscription"]["version"],
        "cancelAtPeriodEnd": gone["subscription"]["cancelAtPeriodEnd"],
        "nextBillingAt": None,
        "endsAt": "2026-01-31T09:30:00Z",
        "endedAt": "2026-01-31T09:30:00Z",
        "cancellation": {"reason": "UNUSED", "comment": "No time to read.", "requestedBy": "SUPPORT"},
    }
    again = await cancel(effectiveAt="NOW")
    assert [(error["code"], error["field"]) for error in again["userErrors"]] == [("INVALID_STATE", ["subscriptionId"])]
    assert (await cancel(comment="c" * 1_001))["userErrors"] == [
        {"__typename": "ValidationError", "code": "INVALID", "field": ["comment"]}
    ]


async def test_an_unpaid_first_period_is_given_up_with_its_invoice(house: House) -> None:
    begun = await subscribe(house, "demo-new", planCode="reader-pro")
    answer = await house.ask(CANCEL, {"input": {"subscriptionId": begun["subscription"]["id"]}}, "demo-new")
    told = answer["cancelSubscription"]
    assert told["userErrors"] == []
    assert told["invoice"] == {"status": "VOID"}
    assert (told["subscription"]["status"], told["subscription"]["isActive"]) == ("INCOMPLETE_EXPIRED", False)


# ── one document, several steps ──


async def test_the_steps_of_one_document_see_what_the_step_before_has_done(house: House) -> None:
    both = """mutation {
        first: subscribe(input: {planCode: "free"}) {
            subscription { customer { subscriptions { totalCount } } } userErrors { code } }
        second: subscribe(input: {planCode: "reader-pro"}) {
            subscription { customer { subscriptions { totalCount } } } userErrors { code } }
    }"""
    assert await house.ask(both, user="demo-new") == {
        "first": {"subscription": {"customer": {"subscriptions": {"totalCount": 1}}}, "userErrors": []},
        "second": {"subscription": {"customer": {"subscriptions": {"totalCount": 2}}}, "userErrors": []},
    }


@pytest.mark.parametrize("user", ["demo-new", "demo-admin"])
async def test_a_caller_becomes_a_customer_with_the_first_mutation(house: House, user: str) -> None:
    viewer = "{ viewer { customer { user { id } } } }"
    assert await house.ask(viewer, user=user) == {"viewer": {"customer": None}}
    await subscribe(house, user, planCode="free")
    assert await house.ask(viewer, user=user) == {"viewer": {"customer": {"user": {"id": user}}}}
