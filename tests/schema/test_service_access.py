"""What API keys may do: every root field for a key of each scope; a denial changes nothing; acting for a customer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from resolvers.access import ACCESS
from resolvers.identity import Role
from schema.build import build_schema
from services.scopes import Scope
from tests.schema.keys import ADMIN, ask_with_key, post_with_key, secret_of_key
from tests.schema.rows import add_customer
from tests.schema.test_access import MUTATIONS, QUERIES, mutation, named, outcome
from tests.support.house import House
from tests.support.tables import everything

OWNER = "owner"
NO = "FORBIDDEN"


# ── the table ──


def test_each_row_that_admits_a_key_names_its_scope_unless_it_is_for_everybody() -> None:
    for name, allowed in ACCESS.items():
        if Role.SERVICE in allowed.roles and Role.PUBLIC not in allowed.roles:
            assert allowed.scope is not None, name
        else:
            assert allowed.scope is None, name


def test_each_scope_opens_what_is_named_here() -> None:
    assert {
        scope: {name for name, allowed in ACCESS.items() if allowed.scope is scope and "." in name} for scope in Scope
    } == {
        Scope.READ: {
            "Query.subscription",
            "Query.subscriptions",
            "PlanSubscription.raw",
            "Query.paymentMethods",
            "Query.paymentMethod",
            "Query.invoices",
            "Query.invoice",
            "Query.payments",
            "Query.payment",
            "Query.customer",
            "Query.customers",
            "Query.subscriptionStatus",
            "Query.billingEvents",
            "Subscription.subscriptionUpdated",
            "Subscription.paymentUpdated",
            "Subscription.billingEvents",
            "Query.coupon",
            "Query.coupons",
            "Card.raw",
            "PaymentIntent.raw",
            "Coupon.maxRedemptions",
            "Coupon.timesRedeemed",
            "Coupon.promotionCodes",
            "PromotionCode.maxRedemptions",
            "PromotionCode.timesRedeemed",
            "BillingRunItem.subscription",
            "BillingRunItem.invoice",
            "BillingRunItem.payment",
            "TestClock.customers",
            "Entitlements.token",
            "Entitlements.tokenExpiresAt",
        },
        Scope.ACT_FOR_CUSTOMER: {
            "Query.previewChangePlan",
            "Query.previewUpdateSubscription",
            "Query.previewRetryPayment",
            "Query.previewApplyCoupon",
            "Query.previewCancelSubscription",
            "Query.previewPauseSubscription",
            "Query.previewResumeSubscription",
            "Query.previewRefundPayment",
            "Mutation.subscribe",
            "Mutation.createCheckoutLink",
            "Mutation.createCustomer",
            "Mutation.updateCustomer",
            "Mutation.createSetupIntent",
            "Mutation.attachPaymentMethod",
            "Mutation.setDefaultPaymentMethod",
            "Mutation.updatePaymentMethod",
            "Mutation.detachPaymentMethod",
            "Mutation.startSubscriptionPayment",
            "Mutation.retryPayment",
            "Mutation.updateSubscriptionPaymentMethod",
            "Mutation.updateSubscription",
            "Mutation.changePlan",
            "Mutation.cancelScheduledChange",
            "Mutation.uncancelSubscription",
            "Mutation.cancelSubscription",
            "Mutation.applyCoupon",
            "Mutation.removeCoupon",
            "Mutation.pauseSubscription",
            "Mutation.resumeSubscription",
            "Mutation.refundPayment",
            "Mutation.refreshSubscriptionPayment",
            "Mutation.sandboxConfirmPaymentIntent",
            "Mutation.sandboxConfirmSetupIntent",
            "Mutation.sandboxAnswerChallenge",
            "PaymentIntent.clientSecret",
            "SetupIntent.clientSecret",
            "NextAction.clientSecret",
        },
        Scope.RUN_BILLING: {
            "Query.billingRun",
            "Query.testClock",
            "Mutation.runBilling",
            "Mutation.createTestClock",
            "Mutation.advanceTestClock",
            "Mutation.deleteTestClock",
            "Customer.testClock",
        },
        Scope.RECORD_PAYMENTS: {
            "Mutation.createManualSubscription",
            "Mutation.renewManualSubscription",
            "Mutation.deleteManualSubscription",
            "Mutation.recordManualPayment",
            "Mutation.createPaymentRecord",
            "Mutation.updatePaymentRecord",
        },
        Scope.MANAGE_CATALOG: {
            "Query.appRoles",
            "Mutation.createProduct",
            "Mutation.updateProduct",
            "Mutation.createPlan",
            "Mutation.updatePlan",
            "Mutation.updateFeature",
            "Mutation.createAppRole",
            "Mutation.updateAppRole",
            "Mutation.createCoupon",
            "Plan.priceHistory",
            "PlanPrice.subscriptionsCount",
            "Mutation.updateCoupon",
        },
        Scope.RECORD_USAGE: {
            "Mutation.recordUsage",
            "Mutation.consumeCredits",
            "Mutation.grantCredits",
            "CreditEntry.idempotencyKey",
        },
    }


# ── the matrix ──


@dataclass(frozen=True)
class World:
    """A customer with a paid subscription, and a key of each scope."""

    house: House
    ids: Mapping[str, str]
    keys: Mapping[Scope, str]


@pytest.fixture
async def world(house: House) -> World:
    ids: dict[str, str] = {}
    for user in (OWNER, "other"):
        ids[f"{user}_customer"] = await add_customer(house.app, user, 1)
        data = await house.ask(
            """{ me { subscription { id } paymentMethods { nodes { id } }
                 invoices { nodes { id } } payments { nodes { id } } } }""",
            user=user,
        )
        ids[f"{user}_subscription"] = data["me"]["subscription"]["id"]
        ids[f"{user}_card"] = data["me"]["paymentMethods"]["nodes"][0]["id"]
        ids[f"{user}_invoice"] = data["me"]["invoices"]["nodes"][0]["id"]
        ids[f"{user}_payment"] = data["me"]["payments"]["nodes"][0]["id"]
    keys = {scope: await secret_of_key(house, scope) for scope in Scope}
    for secret in keys.values():
        await ask_with_key(house, secret, "{ viewer { role } }")  # from here on its use is remembered
    return World(house, ids, keys)


# Root field → its outcome for a key that reads and for one that does not.
READS: dict[str, tuple[Any, Any]] = {
    "serverInfo": (False, False),
    "gatewayConfig": (False, False),
    "viewer": ("SERVICE", "SERVICE"),
    "plans": (["reader-pro"], ["reader-pro"]),
    "plan": ("free", "free"),
    "products": (["acme-music"], ["acme-music"]),
    "product": ("classic_coffee", "classic_coffee"),
    "features": ([], []),
    "appRoles": (NO, NO),
    "me": (NO, NO),
    "mySubscription": (NO, NO),
    "subscription": ("owner_subscription", NO),
    "subscriptions": (["owner_subscription"], NO),
    "paymentMethod": ("owner_card", NO),
    "invoice": ("owner_invoice", NO),
    "payment": ("owner_payment", NO),
    "paymentMethods": (["owner_card"], NO),
    "invoices": (["owner_invoice"], NO),
    "payments": (["owner_payment"], NO),
    "customer": ("owner_customer", NO),
    "customers": (["owner_customer"], NO),
    "subscriptionStatus": (["owner_subscription"], NO),
    "billingEvents": ([], NO),
    "coupon": (None, NO),
    "coupons": ([], NO),
    "paymentMethodTypes": (["card", "fpx", "grabpay", "link"],) * 2,
    "paymentMethodType": ("Card", "Card"),
    "previewSubscribe": ("$0.00", "$0.00"),
    **dict.fromkeys(
        (
            "previewChangePlan",
            "previewUpdateSubscription",
            "previewCancelSubscription",
            "previewPauseSubscription",
            "previewRefundPayment",
        ),
        (NO, []),
    ),
    "previewResumeSubscription": (NO, ["INVALID_STATE"]),
    "previewRetryPayment": (NO, ["ALREADY_PAID"]),
    "previewApplyCoupon": (NO, ["COUPON_INVALID"]),
    "apiKeys": (NO, NO),
    "billingRun": (NO, NO),
    "testClock": (NO, NO),
    "node": ("owner_customer", None),
    "nodes": (["owner_invoice", "other_payment"], [None, None]),
}


def test_the_matrix_has_every_query_that_a_key_may_ask() -> None:
    admitted = {name.removeprefix("Query.") for name, each in ACCESS.items() if Role.SERVICE in each.roles}
    assert {name for name in admitted if "." not in name} <= set(READS)


@pytest.mark.parametrize("scope", list(Scope))
async def test_what_a_key_of_each_scope_reads(world: World, scope: Scope) -> None:
    before = await everything(world.house.app)
    found, expected = {}, {}
    for name, (operation, path, _) in QUERIES.items():
        query = operation % world.ids if "%(" in operation else operation
        answer = (await post_with_key(world.house, world.keys[scope], query)).json()
        wanted = READS.get(name, (NO, NO))[0 if scope is Scope.READ else 1]
        if ACCESS[f"Query.{name}"].scope is Scope.ACT_FOR_CUSTOMER and scope is not Scope.ACT_FOR_CUSTOMER:
            wanted = NO
        if ACCESS[f"Query.{name}"].scope is scope is Scope.RUN_BILLING:
            wanted = None  # there is no such run or clock
        if ACCESS[f"Query.{name}"].scope is scope is Scope.MANAGE_CATALOG:
            wanted = [10, 20, 700]
        found[name], expected[name] = outcome(answer, path), named(world.ids, wanted)
    assert found == expected
    assert await everything(world.house.app) == before


async def test_a_key_without_the_scope_is_told_which_one_is_missing_and_changes_nothing(world: World) -> None:
    before = await everything(world.house.app)
    found, expected = {}, {}
    for name, (kind, given, _) in MUTATIONS.items():
        allowed = ACCESS[f"Mutation.{name}"]
        wish = {"input": orjson.loads(given % world.ids)}
        answer = await post_with_key(world.house, world.keys[Scope.READ], mutation(name, kind), wish)
        (error,) = answer.json()["errors"]
        found[name] = (error["extensions"]["code"], error["message"])
        missing = f"This needs an API key with the scope {allowed.scope}."
        message = missing if Role.SERVICE in allowed.roles else "The role service may not do this."
        expected[name] = (NO, message)
    assert found == expected
    assert await everything(world.house.app) == before


# What a key that acts is told by each mutation of the matrix when it names nobody, or what is not there.
NOT_THERE: dict[str, tuple[str, Any]] = {
    "subscribe": ('{"planCode": "free"}', ["REQUIRED"]),
    "createCheckoutLink": ('{"planCode": "free"}', ["REQUIRED"]),
    "createCustomer": ('{"userId": " "}', ["REQUIRED"]),
    "updateCustomer": ('"cst_none"', ["NOT_FOUND"]),
    "createSetupIntent": ("{}", ["REQUIRED"]),
    "attachPaymentMethod": ('{"paymentMethodId": "pm_card_visa"}', ["REQUIRED"]),
    "setDefaultPaymentMethod": ('{"paymentMethodId": "%(owner_card)s"}', ["REQUIRED"]),
    "updatePaymentMethod": ('{"paymentMethodId": "pmd_none"}', ["NOT_FOUND"]),
    "detachPaymentMethod": ('{"paymentMethodId": "pmd_none"}', ["NOT_FOUND"]),
    "startSubscriptionPayment": ('{"subscriptionId": "sbs_none", "paymentMethodId": "pmd_none"}', ["NOT_FOUND"]),
    "retryPayment": ('{"invoiceId": "inv_none"}', ["NOT_FOUND"]),
    "updateSubscriptionPaymentMethod": ('{"subscriptionId": "sbs_none", "cardToken": "tok_visa"}', ["NOT_FOUND"]),
    "updateSubscription": ('{"subscriptionId": "sbs_none"}', ["NOT_FOUND"]),
    "changePlan": ('{"subscriptionId": "sbs_none", "planCode": "reader-pro"}', ["NOT_FOUND"]),
    "cancelScheduledChange": ('{"subscriptionId": "sbs_none"}', ["NOT_FOUND"]),
    "uncancelSubscription": ('{"subscriptionId": "sbs_none"}', ["NOT_FOUND"]),
    "cancelSubscription": ('{"subscriptionId": "sbs_none", "effectiveAt": "NOW"}', ["NOT_FOUND"]),
    "pauseSubscription": ('{"subscriptionId": "sbs_none"}', ["NOT_FOUND"]),
    "resumeSubscription": ('{"subscriptionId": "sbs_none"}', ["NOT_FOUND"]),
    "refundPayment": ('{"paymentId": "pay_none", "reason": "OTHER", "idempotencyKey": "k"}', ["NOT_FOUND"]),
    "applyCoupon": ('{"subscriptionId": "sbs_none", "couponCode": "none"}', ["NOT_FOUND"]),
    "removeCoupon": ('{"subscriptionId": "sbs_none", "couponCode": "none"}', ["NOT_FOUND"]),
    "refreshSubscriptionPayment": ('{"subscriptionId": "sbs_none"}', ["NOT_FOUND"]),
    "sandboxConfirmPaymentIntent": ('{"clientSecret": "pi_000000AA_secret_0000000000"}', ["NOT_FOUND"]),
    "sandboxConfirmSetupIntent": ('{"clientSecret": "seti_000000AA_secret_0000000000"}', ["NOT_FOUND"]),
    "sandboxAnswerChallenge": (
        '{"clientSecret": "pi_000000AA_secret_0000000000", "outcome": "SUCCEEDED"}',
        ["NOT_FOUND"],
    ),
}


async def test_a_key_that_acts_names_for_whom_and_what(world: World) -> None:
    before = await everything(world.house.app)
    found, expected = {}, {}
    for name, (kind, given, _) in MUTATIONS.items():
        wish, wanted = NOT_THERE.get(name, (given, NO))
        variables = {"input": orjson.loads(wish % world.ids)}
        key = world.keys[Scope.ACT_FOR_CUSTOMER]
        answer = (await post_with_key(world.house, key, mutation(name, kind), variables)).json()
        found[name], expected[name] = outcome(answer, f"{name}.userErrors.*.code"), wanted
    assert found == expected
    assert await everything(world.house.app) == before
    admitted = {name for name in _mutations() if ACCESS[f"Mutation.{name}"].scope is Scope.ACT_FOR_CUSTOMER}
    assert admitted <= set(NOT_THERE)


def _mutations() -> list[str]:
    root = build_schema(sandbox=True)._schema.mutation_type
    assert root is not None
    return list(root.fields)


@pytest.mark.parametrize(
    ("scopes", "permitted"),
    [
        ([Scope.READ], {"Query.payments", "Query.plans"}),
        ([Scope.ACT_FOR_CUSTOMER], {"Mutation.subscribe", "Query.plans"}),
        (list(Scope), {"Mutation.subscribe", "Query.payments", "Query.plans"}),
    ],
)
async def test_the_viewer_is_told_scopes_and_permissions(
    small_house: House, scopes: list[Scope], permitted: set[str]
) -> None:
    secret = await secret_of_key(small_house, *scopes)
    query = "{ viewer { role scopes permissions user { id } customer { id } } }"
    viewer = (await ask_with_key(small_house, secret, query))["viewer"]
    some = {"Mutation.subscribe", "Query.payments", "Query.plans", "Query.me", "Query.apiKeys"}
    assert set(viewer.pop("permissions")) & some == permitted
    assert viewer == {"role": "SERVICE", "scopes": [str(scope) for scope in scopes], "user": None, "customer": None}
    token = await small_house.ask("{ viewer { scopes } }", user="demo-card")
    assert token == {"viewer": {"scopes": []}}


# ── acting for a customer ──

SUBSCRIBE = """mutation($input: SubscribeInput!) { subscribe(input: $input) {
    subscription { id status customer { user { id } } statusHistory { actor } }
    paymentIntent { clientSecret } nextAction { type clientSecret }
    userErrors { code field }
} }"""


async def customer_id(house: House, user: str) -> str:
    return (await house.ask("{ me { id } }", user=user))["me"]["id"]


async def test_a_key_subscribes_a_customer_and_gets_the_secret_for_the_browser_in_that_answer_alone(
    house: House,
) -> None:
    key = await secret_of_key(house, "act_for_customer", "read")
    wish = {"input": {"planCode": "reader-pro", "customerId": await customer_id(house, "demo-card")}}
    begun = (await ask_with_key(house, key, SUBSCRIBE, wish))["subscribe"]
    secret = begun["paymentIntent"]["clientSecret"]
    assert secret.startswith("pi_")
    assert begun == {
        "subscription": {
            "id": begun["subscription"]["id"],
            "status": "INCOMPLETE",
            "customer": {"user": {"id": "demo-card"}},
            "statusHistory": [{"actor": "service"}],
        },
        "paymentIntent": {"clientSecret": secret},
        "nextAction": {"type": "CONFIRM_WITH_SDK", "clientSecret": secret},
        "userErrors": [],
    }
    refresh = """mutation($input: RefreshSubscriptionPaymentInput!) { refreshSubscriptionPayment(input: $input) {
        paymentIntent { status clientSecret } nextAction { type clientSecret } userErrors { code } } }"""
    asked = {"input": {"subscriptionId": begun["subscription"]["id"]}}
    again = (await post_with_key(house, key, refresh, asked)).json()
    assert again["data"]["refreshSubscriptionPayment"] == {
        "paymentIntent": {"status": "REQUIRES_PAYMENT_METHOD", "clientSecret": None},
        "nextAction": {"type": "CONFIRM_WITH_SDK", "clientSecret": None},
        "userErrors": [],
    }
    assert {error["extensions"]["code"] for error in again["errors"]} == {NO}
    assert secret not in orjson.dumps(again).decode()
    # The owner still gets it by asking.
    own = await house.ask(refresh, asked, user="demo-card")
    assert own["refreshSubscriptionPayment"]["paymentIntent"]["clientSecret"] == secret


async def test_reading_an_intent_never_shows_a_key_the_secret(house: House) -> None:
    key = await secret_of_key(house, "act_for_customer", "read")
    wish = {"input": {"planCode": "reader-pro", "customerId": await customer_id(house, "demo-card")}}
    begun = (await ask_with_key(house, key, SUBSCRIBE, wish))["subscribe"]
    query = "query($id: ID!) { subscription(id: $id) { latestPayment { intent { clientSecret } } } }"
    answer = (await post_with_key(house, key, query, {"id": begun["subscription"]["id"]})).json()
    assert answer["data"] == {"subscription": {"latestPayment": {"intent": {"clientSecret": None}}}}
    assert [error["extensions"]["code"] for error in answer["errors"]] == [NO]


async def test_a_key_saves_a_card_for_a_customer(house: House) -> None:
    key = await secret_of_key(house, "act_for_customer")
    customer = await customer_id(house, "demo-card")
    begin = """mutation($input: CreateSetupIntentInput) { createSetupIntent(input: $input) {
        setupIntent { clientSecret nextAction { clientSecret } } userErrors { code } } }"""
    begun = (await ask_with_key(house, key, begin, {"input": {"customerId": customer}}))["createSetupIntent"]
    secret = begun["setupIntent"]["clientSecret"]
    assert begun["setupIntent"]["nextAction"] == {"clientSecret": secret}
    confirm = """mutation($input: SandboxConfirmInput!) { sandboxConfirmSetupIntent(input: $input) {
        setupIntent { status clientSecret } userErrors { code } } }"""
    card = {"input": {"clientSecret": secret, "cardNumber": "5555555555554444"}}
    done = (await post_with_key(house, key, confirm, card)).json()
    assert done["data"]["sandboxConfirmSetupIntent"] == {
        "setupIntent": {"status": "SUCCEEDED", "clientSecret": None},
        "userErrors": [],
    }
    await house.deliver()
    cards = await house.ask("{ paymentMethods { nodes { card { brand } } } }", user="demo-card")
    assert [node["card"]["brand"] for node in cards["paymentMethods"]["nodes"]] == ["mastercard", "visa"]


async def test_a_key_charges_a_saved_card_and_cancels(house: House) -> None:
    key = await secret_of_key(house, "act_for_customer")
    saved = await house.ask("{ me { id paymentMethods { nodes { id } } } }", user="demo-card")
    card = saved["me"]["paymentMethods"]["nodes"][0]["id"]
    wish = {"input": {"planCode": "reader-pro", "customerId": saved["me"]["id"], "paymentMethodId": card}}
    begun = (await ask_with_key(house, key, SUBSCRIBE, wish))["subscribe"]
    assert (begun["subscription"]["status"], begun["userErrors"]) == ("ACTIVE", [])
    cancel = """mutation($input: CancelSubscriptionInput!) { cancelSubscription(input: $input) {
        subscription { status cancellation { requestedBy } } userErrors { code } } }"""
    ended = await ask_with_key(
        house, key, cancel, {"input": {"subscriptionId": begun["subscription"]["id"], "effectiveAt": "NOW"}}
    )
    assert ended["cancelSubscription"] == {
        "subscription": {"status": "CANCELED", "cancellation": {"requestedBy": "SERVICE"}},
        "userErrors": [],
    }
    staff = await house.ask(
        "query($id: ID!) { subscription(id: $id) { statusHistory { to actor } } }",
        {"id": begun["subscription"]["id"]},
        user=ADMIN,
    )
    (made,) = (await house.ask("{ apiKeys { id } }", user=ADMIN))["apiKeys"]
    assert staff["subscription"]["statusHistory"] == [
        {"to": "INCOMPLETE", "actor": f"service:{made['id']}"},
        {"to": "ACTIVE", "actor": f"service:{made['id']}"},
        {"to": "CANCELED", "actor": f"service:{made['id']}"},
    ]
    assert await house.audit() == []


async def test_two_keys_with_the_same_idempotency_key_are_two_callers(house: House) -> None:
    one, two = [await secret_of_key(house, "act_for_customer") for _ in range(2)]
    customer = await customer_id(house, "demo-card")
    first = {"input": {"planCode": "free", "customerId": customer, "idempotencyKey": "k"}}
    second = {"input": {"planCode": "reader-pro", "customerId": customer, "idempotencyKey": "k"}}
    assert (await ask_with_key(house, one, SUBSCRIBE, first))["subscribe"]["userErrors"] == []
    assert (await ask_with_key(house, two, SUBSCRIBE, second))["subscribe"]["userErrors"] == []
    conflict = (await ask_with_key(house, one, SUBSCRIBE, second))["subscribe"]["userErrors"]
    assert conflict == [{"code": "IDEMPOTENCY_CONFLICT", "field": ["idempotencyKey"]}]


async def test_support_does_not_play_the_customers_browser(house: House) -> None:
    """Whoever has got hold of a client secret: confirming is for the customer, or for who buys in their name."""
    begin = (
        'mutation { subscribe(input: {planCode: "reader-pro"}) { paymentIntent { clientSecret } userErrors { code } } }'
    )
    secret = (await house.ask(begin, user="demo-card"))["subscribe"]["paymentIntent"]["clientSecret"]
    before = await everything(house.app)
    confirm = "mutation($i: SandboxConfirmInput!) { sandboxConfirmPaymentIntent(input: $i) { userErrors { code } } }"
    wish = {"i": {"clientSecret": secret, "cardNumber": "4242424242424242"}}
    answer = (await house.post(confirm, wish, user="demo-support")).json()
    assert [error["extensions"]["code"] for error in answer["errors"]] == [NO]
    assert await everything(house.app) == before


# ── looking up ──

STATUS = """query($user: ID!) { subscriptionStatus(userId: $user) {
    userId isActive subscriptions { status plan { code } } } }"""


async def test_the_status_of_a_user_follows_their_subscriptions(house: House) -> None:
    key = await secret_of_key(house, "read", "act_for_customer")

    async def status(user: str) -> dict[str, Any]:
        return (await ask_with_key(house, key, STATUS, {"user": user}))["subscriptionStatus"]

    nothing = {"isActive": False, "subscriptions": []}
    assert await status("never-here") == {"userId": "never-here", **nothing}
    assert await status("demo-card") == {"userId": "demo-card", **nothing}
    customer = await customer_id(house, "demo-card")
    for plan in ("reader-pro", "free"):
        await ask_with_key(house, key, SUBSCRIBE, {"input": {"planCode": plan, "customerId": customer}})
    assert await status("demo-card") == {
        "userId": "demo-card",
        "isActive": True,
        "subscriptions": [
            {"status": "ACTIVE", "plan": {"code": "free"}},
            {"status": "INCOMPLETE", "plan": {"code": "reader-pro"}},
        ],
    }
    subscriptions = await house.ask("{ me { subscriptions { nodes { id plan { code } } } } }", user="demo-card")
    cancel = "mutation($i: CancelSubscriptionInput!) { cancelSubscription(input: $i) { userErrors { code } } }"
    free = next(n["id"] for n in subscriptions["me"]["subscriptions"]["nodes"] if n["plan"]["code"] == "free")
    await ask_with_key(house, key, cancel, {"i": {"subscriptionId": free, "effectiveAt": "NOW"}})
    assert await status("demo-card") == {
        "userId": "demo-card",
        "isActive": False,
        "subscriptions": [{"status": "INCOMPLETE", "plan": {"code": "reader-pro"}}],
    }


async def test_a_customer_is_found_by_each_of_their_names(world: World) -> None:
    query = "query($by: CustomerLookup!) { customer(by: $by) { id user { id } } }"
    owner = {"id": world.ids["owner_customer"], "user": {"id": "owner"}}
    cases: list[tuple[dict[str, Any], Any]] = [
        ({"id": world.ids["owner_customer"]}, owner),
        ({"userId": "owner"}, owner),
        ({"gatewayCustomerId": "cus_owner"}, owner),
        ({"id": "owner"}, None),
        ({"userId": "never-here"}, None),
        ({"gatewayCustomerId": world.ids["owner_customer"]}, None),
        ({"gatewayCustomerId": ""}, None),
    ]
    for by, expected in cases:
        found = await ask_with_key(world.house, world.keys[Scope.READ], query, {"by": by})
        assert found == {"customer": expected}, by


@pytest.mark.parametrize(
    "by", [{}, {"id": "x", "userId": "y"}, {"id": None}, {"id": "x", "userId": None}, {"email": "x"}, None]
)
async def test_a_look_up_by_none_or_by_two_names_is_refused(small_house: House, by: Any) -> None:
    query = "query($by: CustomerLookup!) { customer(by: $by) { id } }"
    answer = (await small_house.post(query, {"by": by}, user=ADMIN)).json()
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["BAD_USER_INPUT"]
