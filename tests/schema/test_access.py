"""Who may do what: every root field for every kind of caller, with its exact outcome; a denial changes nothing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
from graphql import GraphQLSchema, is_object_type

from resolvers.access import ACCESS
from resolvers.identity import Role
from schema.build import build_schema, enforce_access
from tests.schema.rows import add_customer
from tests.support.house import House
from tests.support.tables import everything

OWNER, OTHER, SUPPORT, ADMIN = "owner", "other", "demo-support", "demo-admin"
CALLERS = (None, OWNER, OTHER, SUPPORT, ADMIN)
ROOTS = ("Query.", "Mutation.", "Subscription.")
LOGIN, NO = "UNAUTHENTICATED", "FORBIDDEN"


@pytest.fixture(scope="module")
def graphql_schema() -> GraphQLSchema:
    return build_schema(sandbox=True)._schema


# ── the table and the schema ──


def test_every_root_field_declares_its_roles(graphql_schema: GraphQLSchema) -> None:
    roots = {
        f"{root.name}.{field}"
        for root in (graphql_schema.query_type, graphql_schema.mutation_type, graphql_schema.subscription_type)
        if root is not None
        for field in root.fields
    }
    assert {name for name in ACCESS if name.startswith(ROOTS)} == roots


def test_no_row_of_the_table_names_a_field_that_does_not_exist(graphql_schema: GraphQLSchema) -> None:
    fields = {
        f"{kind.name}.{field}"
        for kind in graphql_schema.type_map.values()
        if is_object_type(kind)
        for field in kind.fields
    }
    assert set(ACCESS) - fields == set()


# A field whose name ends like this is guarded, unless it is named below.
SENSITIVE = ("ecret", "Key", "raw", "sCount")
OPEN = {
    "GatewayConfig.publishableKey",
    "ApiKeyPayload.apiKey",
    "Mutation.createApiKey",
    "Mutation.revokeApiKey",
    "Mutation.rotateWebhookSecret",
}


def test_every_sensitive_field_declares_its_roles(graphql_schema: GraphQLSchema) -> None:
    found = {
        f"{kind.name}.{field}"
        for kind in graphql_schema.type_map.values()
        if is_object_type(kind) and not kind.name.startswith("__")
        for field in kind.fields
        if field.endswith(SENSITIVE)
    }
    assert found - OPEN == {
        "PaymentIntent.clientSecret",
        "SetupIntent.clientSecret",
        "NextAction.clientSecret",
        "Plan.subscriptionsCount",
        "PlanPrice.subscriptionsCount",
        "PlanSubscription.raw",
        "ChargeAttempt.idempotencyKey",
        "CreditEntry.idempotencyKey",
        "ApiKeyPayload.secret",
        "Card.raw",
        "PaymentIntent.raw",
        "WebhookEndpointPayload.secret",
    }
    assert found - OPEN <= set(ACCESS)


def test_the_public_may_only_what_is_named_here() -> None:
    assert {name for name, allowed in ACCESS.items() if Role.PUBLIC in allowed.roles} == {
        "Query.serverInfo",
        "Query.gatewayConfig",
        "Query.viewer",
        "Query.plans",
        "Query.plan",
        "Query.products",
        "Query.product",
        "Query.features",
        "Query.node",
        "Query.nodes",
        "Query.previewSubscribe",
        "Query.paymentMethodTypes",
        "Query.paymentMethodType",
    }


def test_guarded_fields_of_objects_are_nullable(graphql_schema: GraphQLSchema) -> None:
    for name in ACCESS:
        kind, _, field = name.partition(".")
        if f"{kind}." not in ROOTS:
            definition: Any = graphql_schema.type_map[kind]
            assert not str(definition.fields[field].type).endswith("!"), name


def test_a_root_field_without_roles_stops_the_schema_from_being_built() -> None:
    schema = build_schema(sandbox=True)._schema
    assert schema.query_type is not None
    schema.query_type.fields["forgotten"] = schema.query_type.fields["me"]
    with pytest.raises(ValueError, match=r"Query\.forgotten has no roles"):
        enforce_access(schema)


# ── the matrix ──


@dataclass(frozen=True)
class World:
    """Two customers, each with a paid subscription, a card, an invoice and a payment."""

    house: House
    ids: Mapping[str, str]


@pytest.fixture
async def world(house: House) -> World:
    ids: dict[str, str] = {}
    for user in (OWNER, OTHER):
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
    return World(house, ids)


def outcome(answer: dict[str, Any], path: str) -> Any:
    """The error's code, or what stands at `path` (`*` goes into each entry of a list)."""
    if "errors" in answer:
        (error,) = answer["errors"]
        return error["extensions"]["code"]
    return _at(answer["data"], path.split("."))


def _at(value: Any, path: list[str]) -> Any:
    if not path or value is None:
        return value
    if path[0] == "*":
        return [_at(each, path[1:]) for each in value]
    return _at(value[path[0]], path[1:])


MINE, YOURS = "owner_{}", "other_{}"
SUBSCRIPTION, INVOICE = 'subscriptionId: "%(owner_subscription)s"', 'invoiceId: "%(owner_invoice)s"'
REFUND = 'paymentId: "%(owner_payment)s", reason: OTHER, idempotencyKey: "a-refund"'

# Root field → operation, where its outcome stands, and the outcome for nobody, the owner, another customer, support
# and admin. Names of the world's ids stand for those ids.
QUERIES: dict[str, tuple[str, str, tuple[Any, Any, Any, Any, Any]]] = {
    "serverInfo": ("{ serverInfo { livemode } }", "serverInfo.livemode", (False,) * 5),
    "gatewayConfig": ("{ gatewayConfig { livemode } }", "gatewayConfig.livemode", (False,) * 5),
    "viewer": ("{ viewer { role } }", "viewer.role", ("PUBLIC", "CUSTOMER", "CUSTOMER", "SUPPORT", "ADMIN")),
    "plans": ('{ plans(filter: {search: "reader"}) { nodes { code } } }', "plans.nodes.*.code", (["reader-pro"],) * 5),
    "plan": ('{ plan(code: "free") { code } }', "plan.code", ("free",) * 5),
    "products": ("{ products(first: 1) { nodes { code } } }", "products.nodes.*.code", (["acme-music"],) * 5),
    "product": ('{ product(code: "classic_cup") { code } }', "product.code", ("classic_coffee",) * 5),
    "features": ("{ features { nodes { code } } }", "features.nodes.*.code", ([],) * 5),
    "appRoles": (
        "{ appRoles { nodes { id } } }",
        "appRoles.nodes.*.id",
        (LOGIN, NO, NO, [10, 20, 700], [10, 20, 700]),
    ),
    "me": ("{ me { id } }", "me.id", (LOGIN, "owner_customer", "other_customer", NO, NO)),
    "mySubscription": (
        "{ mySubscription { id } }",
        "mySubscription.id",
        (LOGIN, "owner_subscription", "other_subscription", NO, NO),
    ),
    "subscription": (
        'query { subscription(id: "%(owner_subscription)s") { id } }',
        "subscription.id",
        (LOGIN, "owner_subscription", None, "owner_subscription", "owner_subscription"),
    ),
    "paymentMethod": (
        'query { paymentMethod(id: "%(owner_card)s") { id } }',
        "paymentMethod.id",
        (LOGIN, "owner_card", None, "owner_card", "owner_card"),
    ),
    "invoice": (
        'query { invoice(id: "%(owner_invoice)s") { id } }',
        "invoice.id",
        (LOGIN, "owner_invoice", None, "owner_invoice", "owner_invoice"),
    ),
    "payment": (
        'query { payment(by: {id: "%(owner_payment)s"}) { id } }',
        "payment.id",
        (LOGIN, "owner_payment", None, "owner_payment", "owner_payment"),
    ),
    "node": (
        'query { node(id: "%(owner_customer)s") { id } }',
        "node.id",
        (None, "owner_customer", None, "owner_customer", "owner_customer"),
    ),
    "nodes": (
        'query { nodes(ids: ["%(owner_invoice)s", "%(other_payment)s"]) { id } }',
        "nodes.*.id",
        (
            [None, None],
            ["owner_invoice", None],
            [None, "other_payment"],
            ["owner_invoice", "other_payment"],
            ["owner_invoice", "other_payment"],
        ),
    ),
    "customer": (
        '{ customer(by: {userId: "owner"}) { id } }',
        "customer.id",
        (LOGIN, NO, NO, "owner_customer", "owner_customer"),
    ),
    "customers": (
        '{ customers(filter: {search: "OWNER"}) { nodes { id } } }',
        "customers.nodes.*.id",
        (LOGIN, NO, NO, ["owner_customer"], ["owner_customer"]),
    ),
    "coupon": ('{ coupon(code: "none") { id } }', "coupon.id", (LOGIN, NO, NO, None, None)),
    "coupons": ("{ coupons { nodes { id } } }", "coupons.nodes.*.id", (LOGIN, NO, NO, [], [])),
    "subscriptionStatus": (
        '{ subscriptionStatus(userId: "owner") { subscriptions { id } } }',
        "subscriptionStatus.subscriptions.*.id",
        (LOGIN, NO, NO, NO, ["owner_subscription"]),
    ),
    "paymentMethodTypes": (
        '{ paymentMethodTypes(countryCode: "MY", currencyCode: "MYR") { code } }',
        "paymentMethodTypes.*.code",
        (["card", "fpx", "grabpay", "link"],) * 5,
    ),
    "paymentMethodType": ('{ paymentMethodType(code: "card") { name } }', "paymentMethodType.name", ("Card",) * 5),
    "previewSubscribe": (
        '{ previewSubscribe(input: {planCode: "free"}) { preview { dueNow { formatted } } } }',
        "previewSubscribe.preview.dueNow.formatted",
        ("$0.00",) * 5,
    ),
    **{
        name: (
            f"query {{ {name}(input: {{{given}}}) {{ userErrors {{ code }} }} }}",
            f"{name}.userErrors.*.code",
            (LOGIN, *outcomes),
        )
        for name, given, outcomes in (
            ("previewCancelSubscription", SUBSCRIPTION, ([], ["NOT_FOUND"], [], [])),
            (
                "previewApplyCoupon",
                f'{SUBSCRIPTION}, couponCode: "none"',
                (["COUPON_INVALID"], ["NOT_FOUND"], *[["COUPON_INVALID"]] * 2),
            ),
            ("previewPauseSubscription", SUBSCRIPTION, ([], ["NOT_FOUND"], [], [])),
            ("previewResumeSubscription", SUBSCRIPTION, (["INVALID_STATE"], ["NOT_FOUND"], *[["INVALID_STATE"]] * 2)),
            ("previewUpdateSubscription", SUBSCRIPTION, ([], ["NOT_FOUND"], NO, [])),
            ("previewChangePlan", f'{SUBSCRIPTION}, planCode: "plan-owner-0"', ([], ["NOT_FOUND"], NO, [])),
            ("previewRetryPayment", INVOICE, (["ALREADY_PAID"], ["NOT_FOUND"], *[["ALREADY_PAID"]] * 2)),
            ("previewRefundPayment", REFUND, (NO, NO, ["NOT_PERMITTED"], [])),
        )
    },
    "apiKeys": ("{ apiKeys { name } }", "apiKeys.*.name", (LOGIN, NO, NO, NO, [])),
    "billingEvents": (
        "{ billingEvents(first: 1) { nodes { type } } }",
        "billingEvents.nodes.*.type",
        (LOGIN, NO, NO, NO, []),
    ),
    "webhookEndpoints": ("{ webhookEndpoints { url } }", "webhookEndpoints.*.url", (LOGIN, NO, NO, NO, [])),
    "organization": ("{ organization { name } }", "organization.name", (LOGIN, NO, NO, NO, "Perennial")),
    "gatewayEvents": ("{ gatewayEvents { nodes { id } } }", "gatewayEvents.nodes.*.id", (LOGIN, NO, NO, NO, [])),
    "reconciliationReport": (
        "{ reconciliationReport { isClean } }",
        "reconciliationReport.isClean",
        (LOGIN, NO, NO, NO, None),
    ),
    "reconciliationReports": (
        "{ reconciliationReports { nodes { id } } }",
        "reconciliationReports.nodes.*.id",
        (LOGIN, NO, NO, NO, []),
    ),
    "metrics": (
        '{ metrics(range: {gte: "2026-01-31T00:00:00Z"}) { activeSubscriptions } }',
        "metrics.activeSubscriptions",
        (LOGIN, NO, NO, NO, 2),
    ),
    "auditLog": ("{ auditLog { nodes { id } } }", "auditLog.nodes.*.id", (LOGIN, NO, NO, NO, [])),
    "billingRun": ('{ billingRun(id: "run_none") { id } }', "billingRun.id", (LOGIN, NO, NO, NO, None)),
    "testClock": ('{ testClock(id: "clk_none") { id } }', "testClock.id", (LOGIN, NO, NO, NO, None)),
    "doubleChargeProof": (
        "{ doubleChargeProof { checkedPeriods violations } }",
        "doubleChargeProof.checkedPeriods",
        (LOGIN, NO, NO, NO, 2),
    ),
    **{
        name: (
            f'query {{ {name}(customerId: "%(owner_customer)s") {{ nodes {{ id }} }} }}',
            f"{name}.nodes.*.id",
            (LOGIN, [f"owner_{kind}"], NO, [f"owner_{kind}"], [f"owner_{kind}"]),
        )
        for name, kind in (("paymentMethods", "card"), ("invoices", "invoice"), ("payments", "payment"))
    },
    "subscriptions": (
        'query { subscriptions(filter: {customerId: "%(owner_customer)s"}) { nodes { id } } }',
        "subscriptions.nodes.*.id",
        (LOGIN, ["owner_subscription"], NO, ["owner_subscription"], ["owner_subscription"]),
    ),
}
# The same lists with nobody named, and by the owner's user id.
MORE_LISTS: dict[str, tuple[str, str, tuple[Any, Any, Any, Any, Any]]] = {
    **{
        f"{name} of nobody in particular": (
            f"query {{ {name}(last: 2) {{ nodes {{ id }} }} }}",
            f"{name}.nodes.*.id",
            (LOGIN, [f"owner_{kind}"], [f"other_{kind}"], *([[f"{first}_{kind}", f"{second}_{kind}"]] * 2)),
        )
        for name, kind, first, second in (
            ("invoices", "invoice", "owner", "other"),  # of one instant, by their numbers
            ("payments", "payment", "other", "owner"),
            ("subscriptions", "subscription", "other", "owner"),
        )
    },
    "subscriptions of a user": (
        '{ subscriptions(filter: {userId: "owner"}) { nodes { id } } }',
        "subscriptions.nodes.*.id",
        (LOGIN, ["owner_subscription"], NO, ["owner_subscription"], ["owner_subscription"]),
    ),
    **{
        f"{name} that were deleted": (
            f"{{ {name}(filter: {{includeArchived: true}}) {{ nodes {{ id }} }} }}",
            f"{name}.nodes.*.id",
            (LOGIN, NO, NO, *([[f"other_{kind}", f"owner_{kind}"]] * 2)),
        )
        for name, kind in (("payments", "payment"), ("subscriptions", "subscription"))
    },
    "one's own subscriptions that were deleted": (
        "{ me { subscriptions(filter: {includeArchived: true}) { nodes { id } } } }",
        "me.subscriptions.nodes.*.id",
        (LOGIN, NO, NO, NO, NO),
    ),
    **{
        f"a payment by {given}": (
            f"query {{ payment(by: {{{given}}}) {{ id }} }}",
            "payment.id",
            (LOGIN, "owner_payment", None, "owner_payment", "owner_payment"),
        )
        for given in (
            'orderId: "%(owner_invoice)s"',
            'orderId: "%(owner_subscription)s"',
            'gatewayPaymentId: "pi_owner-0"',
            "number: 1",
        )
    },
    "what the gateway calls it": (
        'query { subscription(id: "%(owner_subscription)s") { raw } }',
        "subscription.raw.payment_fields.payment_intent",
        (LOGIN, NO, None, NO, "pi_owner-0"),
    ),
    "payments of a user": (
        '{ payments(filter: {ownerId: "owner"}) { nodes { id } } }',
        "payments.nodes.*.id",
        (LOGIN, ["owner_payment"], NO, ["owner_payment"], ["owner_payment"]),
    ),
    "invoices of a foreign subscription": (
        'query { invoices(filter: {subscriptionId: "%(owner_subscription)s"}) { nodes { id } } }',
        "invoices.nodes.*.id",
        (LOGIN, ["owner_invoice"], [], ["owner_invoice"], ["owner_invoice"]),
    ),
    "an invoice by number": (
        '{ invoice(number: "owner-0-0001") { id } }',
        "invoice.id",
        (LOGIN, "owner_invoice", None, "owner_invoice", "owner_invoice"),
    ),
    "counts of subscriptions": (
        '{ plan(code: "plan-owner-0") { subscriptionsCount } }',
        "plan.subscriptionsCount",
        (LOGIN, NO, NO, 1, 1),
    ),
    "a card as the gateway tells it": (
        'query { paymentMethod(id: "%(owner_card)s") { card { raw } } }',
        "paymentMethod.card.raw",
        (LOGIN, NO, None, NO, None),
    ),
    "an intent as the gateway tells it": (
        'query { payment(by: {id: "%(owner_payment)s"}) { intent { raw } } }',
        "payment.intent.raw",
        (LOGIN, NO, None, NO, None),
    ),
    "detached cards": (
        'query { paymentMethods(includeArchived: true, customerId: "%(owner_customer)s") { nodes { id } } }',
        "paymentMethods.nodes.*.id",
        (LOGIN, NO, NO, ["owner_card"], ["owner_card"]),
    ),
    "when an entitlement token expires": (
        '{ customer(by: {userId: "owner"}) { entitlements { tokenExpiresAt } } }',
        "customer.entitlements.tokenExpiresAt",
        (LOGIN, NO, NO, *["2026-01-31T09:40:00Z"] * 2),
    ),
    "keys at the gateway": (
        'query { payment(by: {id: "%(owner_payment)s"}) { attempts { sequence } } }',
        "payment.attempts.*.sequence",
        (LOGIN, [1, 2], None, [1, 2], [1, 2]),
    ),
}


def test_the_matrix_has_every_query(graphql_schema: GraphQLSchema) -> None:
    assert graphql_schema.query_type is not None
    assert set(QUERIES) == set(graphql_schema.query_type.fields)


@pytest.mark.parametrize("which", range(len(CALLERS)), ids=["nobody", "owner", "other", "support", "admin"])
async def test_what_each_caller_reads(world: World, which: int) -> None:
    found, expected = {}, {}
    before = await everything(world.house.app)
    for name, (operation, path, outcomes) in {**QUERIES, **MORE_LISTS}.items():
        query = operation % world.ids if "%(" in operation else operation
        answer = (await world.house.post(query, user=CALLERS[which])).json()
        found[name], expected[name] = outcome(answer, path), named(world.ids, outcomes[which])
    assert found == expected
    assert await everything(world.house.app) == before


def named(ids: Mapping[str, str], expected: Any) -> Any:
    if isinstance(expected, list):
        return [named(ids, each) for each in expected]
    return ids.get(expected, expected) if isinstance(expected, str) else expected


async def test_a_foreign_and_a_missing_object_look_the_same(world: World) -> None:
    kinds = {"subscription": "sbs", "paymentMethod": "pmd", "invoice": "inv", "payment": "pay", "node": "cst"}
    names = {"paymentMethod": "card", "node": "customer"}
    for field, prefix in kinds.items():
        how = "by: {id: $id}" if field == "payment" else "id: $id"
        query = f"query($id: ID!) {{ {field}({how}) {{ id }} }}"
        foreign = world.ids[f"owner_{names.get(field, field)}"]
        answers = [
            (await world.house.post(query, {"id": each}, user=OTHER)).json()["data"]
            for each in (foreign, f"{prefix}_{'0' * 32}", "nonsense", "")
        ]
        assert answers == [{field: None}] * 4


async def test_node_finds_every_kind_of_node_for_its_owner_alone(world: World, graphql_schema: GraphQLSchema) -> None:
    query = """{ me { id __typename
        paymentMethods { nodes { id __typename } }
        subscription { id __typename plan { id __typename product { id __typename } price { id __typename } }
            items { id __typename } }
        invoices { nodes { id __typename creditNotes { id __typename } } }
        payments { nodes { id __typename intent { id __typename } attempts { id __typename }
            refunds { id __typename } disputes { id __typename } } }
    } }"""
    found = dict(_nodes(await world.house.ask(query, user=OWNER)))
    node: Any = graphql_schema.type_map["Node"]
    # Those are nobody's but the administrators': tests/schema/test_api_keys.py and test_webhook_endpoints.py.
    assert set(found.values()) | {
        "ApiKey",
        "BillingEvent",
        "WebhookDelivery",
        "WebhookEndpoint",
        "AuditEntry",
        "CreditEntry",
        "BillingRun",
        "BillingRunItem",
        "Coupon",
        "Feature",
        "GatewayEvent",
        "Organization",
        "PromotionCode",
        "ReconciliationReport",
        "TestClock",
    } == {kind.name for kind in graphql_schema.get_possible_types(node)}
    look_up = "query($ids: [ID!]!) { nodes(ids: $ids) { id __typename } }"
    for user in (OWNER, SUPPORT):
        data = await world.house.ask(look_up, {"ids": list(found)}, user=user)
        assert {each["id"]: each["__typename"] for each in data["nodes"]} == found
    public = {"Product", "Plan", "PlanPrice"}
    for user in (OTHER, None):
        data = await world.house.ask(look_up, {"ids": list(found)}, user=user)
        assert {each["__typename"] for each in data["nodes"] if each} == public


def _nodes(value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        if "id" in value:
            yield value["id"], value["__typename"]
        for each in value.values():
            yield from _nodes(each)
    elif isinstance(value, list):
        for each in value:
            yield from _nodes(each)


async def test_staff_keys_and_actors_are_for_staff(world: World) -> None:
    query = """query($payment: ID!, $subscription: ID!) {
        payment(by: {id: $payment}) { attempts { idempotencyKey } }
        subscription(id: $subscription) { statusHistory { actor } }
    }"""
    ids = {"payment": world.ids["owner_payment"], "subscription": world.ids["owner_subscription"]}
    staff = await world.house.ask(query, ids, user=SUPPORT)
    assert staff == {
        "payment": {"attempts": [{"idempotencyKey": "att-owner-0-1"}, {"idempotencyKey": "att-owner-0-2"}]},
        "subscription": {"statusHistory": [{"actor": "customer:owner"}, {"actor": "admin:demo-admin"}]},
    }
    own = (await world.house.post(query, ids, user=OWNER)).json()
    assert own["data"] == {
        "payment": {"attempts": [{"idempotencyKey": None}, {"idempotencyKey": None}]},
        "subscription": {"statusHistory": [{"actor": "customer:owner"}, {"actor": "admin"}]},
    }
    assert [error["extensions"]["code"] for error in own["errors"]] == [NO, NO]


# ── mutations ──

REFUSED_FOREIGN = ["NOT_FOUND"]

# Mutation → input (with the owner's ids), and the outcome for nobody, another customer and support: a top-level code
# or the codes of userErrors. None means that the caller may, which other tests show.
MUTATIONS: dict[str, tuple[str, str, tuple[Any, Any, Any]]] = {
    "subscribe": (
        "SubscribeInput!",
        '{"planCode": "free", "customerId": "%(owner_customer)s"}',
        (LOGIN, ["NOT_PERMITTED"], NO),
    ),
    "createCheckoutLink": (
        "SubscribeInput!",
        '{"planCode": "free", "customerId": "%(owner_customer)s"}',
        (LOGIN, ["NOT_PERMITTED"], NO),
    ),
    "createCoupon": ("CouponInput!", '{"percentOff": "10"}', (LOGIN, NO, NO)),
    "updateCoupon": ("CouponInput!", '{"percentOff": "10"}', (LOGIN, NO, NO)),
    "deleteCoupon": ("String!", '"none"', (LOGIN, NO, NO)),
    "syncCoupons": ("Int", "null", (LOGIN, NO, NO)),
    "updatePromotionCode": ("UpdatePromotionCodeInput!", '{"code": "none"}', (LOGIN, NO, NO)),
    "createPromotionCode": ("CreatePromotionCodeInput!", '{"couponCode": "none", "code": "none"}', (LOGIN, NO, NO)),
    "applyCoupon": (
        "ApplyCouponInput!",
        '{"subscriptionId": "%(owner_subscription)s", "couponCode": "none"}',
        (LOGIN, REFUSED_FOREIGN, None),
    ),
    "removeCoupon": (
        "RemoveCouponInput!",
        '{"subscriptionId": "%(owner_subscription)s", "couponCode": "none"}',
        (LOGIN, NO, None),
    ),
    "createSetupIntent": (
        "CreateSetupIntentInput",
        '{"customerId": "%(owner_customer)s"}',
        (LOGIN, ["NOT_PERMITTED"], NO),
    ),
    "attachPaymentMethod": (
        "AttachPaymentMethodInput!",
        '{"paymentMethodId": "pm_card_visa", "customerId": "%(owner_customer)s"}',
        (LOGIN, ["NOT_PERMITTED"], NO),
    ),
    "setDefaultPaymentMethod": (
        "SetDefaultPaymentMethodInput!",
        '{"paymentMethodId": "%(owner_card)s"}',
        (LOGIN, REFUSED_FOREIGN, NO),
    ),
    "updatePaymentMethod": (
        "UpdatePaymentMethodInput!",
        '{"paymentMethodId": "%(owner_card)s", "cardHolderName": "Eve"}',
        (LOGIN, REFUSED_FOREIGN, NO),
    ),
    "detachPaymentMethod": (
        "DetachPaymentMethodInput!",
        '{"paymentMethodId": "%(owner_card)s"}',
        (LOGIN, REFUSED_FOREIGN, NO),
    ),
    "startSubscriptionPayment": (
        "StartSubscriptionPaymentInput!",
        '{"subscriptionId": "%(owner_subscription)s", "paymentMethodId": "%(owner_card)s"}',
        (LOGIN, REFUSED_FOREIGN, NO),
    ),
    "retryPayment": (
        "RetryPaymentInput!",
        '{"invoiceId": "%(owner_invoice)s", "paymentMethodId": "%(owner_card)s"}',
        (LOGIN, REFUSED_FOREIGN, None),
    ),
    "updateSubscriptionPaymentMethod": (
        "UpdateSubscriptionPaymentMethodInput!",
        '{"subscriptionId": "%(owner_subscription)s", "cardToken": "tok_visa"}',
        (LOGIN, REFUSED_FOREIGN, NO),
    ),
    "updateSubscription": (
        "UpdateSubscriptionInput!",
        '{"subscriptionId": "%(owner_subscription)s", "name": "Mine now", "autoRenew": false}',
        (LOGIN, REFUSED_FOREIGN, NO),
    ),
    "changePlan": (
        "ChangePlanInput!",
        '{"subscriptionId": "%(owner_subscription)s", "planCode": "reader-pro", "effectiveAt": "NOW"}',
        (LOGIN, REFUSED_FOREIGN, NO),
    ),
    "cancelScheduledChange": (
        "CancelScheduledChangeInput!",
        '{"subscriptionId": "%(owner_subscription)s"}',
        (LOGIN, REFUSED_FOREIGN, NO),
    ),
    "uncancelSubscription": (
        "UncancelSubscriptionInput!",
        '{"subscriptionId": "%(owner_subscription)s"}',
        (LOGIN, REFUSED_FOREIGN, None),
    ),
    "cancelSubscription": (
        "CancelSubscriptionInput!",
        '{"subscriptionId": "%(owner_subscription)s", "effectiveAt": "NOW"}',
        (LOGIN, REFUSED_FOREIGN, None),
    ),
    "pauseSubscription": (
        "PauseSubscriptionInput!",
        '{"subscriptionId": "%(owner_subscription)s"}',
        (LOGIN, REFUSED_FOREIGN, None),
    ),
    "resumeSubscription": (
        "ResumeSubscriptionInput!",
        '{"subscriptionId": "%(owner_subscription)s"}',
        (LOGIN, REFUSED_FOREIGN, None),
    ),
    "refundPayment": (
        "RefundPaymentInput!",
        '{"paymentId": "%(owner_payment)s", "reason": "OTHER", "idempotencyKey": "k"}',
        (LOGIN, NO, None),
    ),
    "voidInvoice": ("ID!", '"%(owner_invoice)s"', (LOGIN, NO, NO)),
    "refreshSubscriptionPayment": (
        "RefreshSubscriptionPaymentInput!",
        '{"subscriptionId": "%(owner_subscription)s", "paymentId": "%(owner_payment)s"}',
        (LOGIN, REFUSED_FOREIGN, None),
    ),
    "createCustomer": ("CustomerInput!", '{"userId": "somebody"}', (LOGIN, NO, NO)),
    "updateProfile": ("CustomerInput!", '{"name": "Somebody"}', (LOGIN, None, NO)),
    "updateCustomer": ("ID!", '"%(owner_customer)s"', (LOGIN, NO, None)),
    "anonymizeCustomer": ("ID!", '"%(owner_customer)s"', (LOGIN, NO, NO)),
    "createManualSubscription": (
        "CreateManualSubscriptionInput!",
        (
            '{"customer": {"userId": "kid"}, "planCode": "free", "interval": "MONTH", '
            '"periodStart": "2026-01-01", "periodEnd": "2026-02-01"}'
        ),
        (LOGIN, NO, NO),
    ),
    "renewManualSubscription": (
        "RenewManualSubscriptionInput!",
        '{"subscriptionId": "%(owner_subscription)s", "idempotencyKey": "k"}',
        (LOGIN, NO, NO),
    ),
    "deleteManualSubscription": ("ID!", '"%(owner_subscription)s"', (LOGIN, NO, NO)),
    "recordManualPayment": (
        "RecordManualPaymentInput!",
        (
            '{"invoiceId": "%(owner_invoice)s", "idempotencyKey": "k", '
            '"payment": {"amountPaid": {"amount": "1.00", "currencyCode": "USD"}}}'
        ),
        (LOGIN, NO, NO),
    ),
    "createPaymentRecord": (
        "CreatePaymentRecordInput!",
        (
            '{"orderId": "%(owner_invoice)s", "gatewayPaymentId": "wire-1", "gatewayStatus": "ok", '
            '"statusLiteral": "PAID"}'
        ),
        (LOGIN, NO, NO),
    ),
    "updatePaymentRecord": (
        "UpdatePaymentRecordInput!",
        '{"paymentId": "%(owner_payment)s", "statusLiteral": "CANCELED"}',
        (LOGIN, NO, NO),
    ),
    "deletePaymentRecord": ("ID!", '"%(owner_payment)s"', (LOGIN, NO, NO)),
    "createProduct": ("ProductInput!", '{"name": "Tea"}', (LOGIN, NO, NO)),
    "updateProduct": ("ProductInput!", '{"name": "Tea"}', (LOGIN, NO, NO)),
    "archiveProduct": ("ID!", '"prd_none"', (LOGIN, NO, NO)),
    "createPlan": ("PlanInput!", '{"name": "Tea", "productCode": "free", "interval": "MONTH"}', (LOGIN, NO, NO)),
    "updatePlan": ("PlanInput!", '{"name": "Tea"}', (LOGIN, NO, NO)),
    "archivePlan": ("ID!", '"pln_none"', (LOGIN, NO, NO)),
    "migratePlanSubscribers": (
        "MigratePlanSubscribersInput!",
        (
            '{"fromPriceId": "prc_00000000000000000000000000000000", "effectiveAt": "PERIOD_END", "dryRun": false, '
            '"toPriceId": "prc_00000000000000000000000000000000"}'
        ),
        (LOGIN, NO, NO),
    ),
    "updateFeature": ("FeatureInput!", '{"name": "Tea"}', (LOGIN, NO, NO)),
    "createAppRole": ("AppRoleInput!", '{"id": 30, "code": "tea", "name": "Tea"}', (LOGIN, NO, NO)),
    "updateAppRole": ("AppRoleInput!", '{"name": "Tea"}', (LOGIN, NO, NO)),
    "runBilling": ("DateTime", '"2026-01-01T00:00:00Z"', (LOGIN, NO, NO)),
    "createTestClock": ("DateTime!", '"2026-01-01T00:00:00Z"', (LOGIN, NO, NO)),
    "advanceTestClock": ("ID!", '"clk_00000000000000000000000000000000"', (LOGIN, NO, NO)),
    "deleteTestClock": ("ID!", '"clk_00000000000000000000000000000000"', (LOGIN, NO, NO)),
    "updateDunningPolicy": ("DunningPolicyInput!", '{"gracePeriodDays": 3}', (LOGIN, NO, NO)),
    "updateOrganization": ("OrganizationInput!", '{"name": "Ours"}', (LOGIN, NO, NO)),
    "recordUsage": (
        "[UsageEventInput!]!",
        '[{"subscriptionId": "%(owner_subscription)s", "featureCode": "calls", "quantity": 1, "idempotencyKey": "k"}]',
        (LOGIN, NO, NO),
    ),
    "consumeCredits": (
        "CreditInput!",
        '{"subscriptionId": "%(owner_subscription)s", "unit": "cup", "quantity": 1, "idempotencyKey": "k"}',
        (LOGIN, NO, NO),
    ),
    "grantCredits": (
        "CreditInput!",
        '{"subscriptionId": "%(owner_subscription)s", "unit": "cup", "quantity": 1, "idempotencyKey": "k"}',
        (LOGIN, NO, None),
    ),
    "createApiKey": ("CreateApiKeyInput!", '{"name": "a key", "scopes": ["read"]}', (LOGIN, NO, NO)),
    "revokeApiKey": ("ID!", '"apk_00000000000000000000000000000000"', (LOGIN, NO, NO)),
    "reconcilePayments": ("DateTime!", '"2026-01-01T00:00:00Z"', (LOGIN, NO, NO)),
    "replayGatewayEvent": ("ID!", '"gev_00000000000000000000000000000000"', (LOGIN, NO, NO)),
    "createWebhookEndpoint": ("WebhookEndpointInput!", '{"url": "http://127.0.0.1:9/"}', (LOGIN, NO, NO)),
    "updateWebhookEndpoint": ("WebhookEndpointInput!", '{"isEnabled": false}', (LOGIN, NO, NO)),
    "deleteWebhookEndpoint": ("ID!", '"wep_00000000000000000000000000000000"', (LOGIN, NO, NO)),
    "rotateWebhookSecret": ("ID!", '"wep_00000000000000000000000000000000"', (LOGIN, NO, NO)),
    "redeliverWebhook": ("ID!", '"wdl_00000000000000000000000000000000"', (LOGIN, NO, NO)),
    "sandboxConfirmPaymentIntent": (
        "SandboxConfirmInput!",
        '{"clientSecret": "pi_000000AA_secret_0000000000", "paymentMethodId": "%(owner_card)s"}',
        (LOGIN, REFUSED_FOREIGN, NO),
    ),
    "sandboxConfirmSetupIntent": (
        "SandboxConfirmInput!",
        '{"clientSecret": "seti_000000AA_secret_0000000000", "cardNumber": "4242424242424242"}',
        (LOGIN, REFUSED_FOREIGN, NO),
    ),
    "sandboxAnswerChallenge": (
        "SandboxAnswerChallengeInput!",
        '{"clientSecret": "pi_000000AA_secret_0000000000", "outcome": "SUCCEEDED"}',
        (LOGIN, REFUSED_FOREIGN, NO),
    ),
}


# What the one argument is called where it is not `input`, `id` or `since`, with any other that must be there.
NAMES = {
    "runBilling": "asOf",
    "createTestClock": "now",
    "advanceTestClock": 'to: "2027-01-01T00:00:00Z", id',
    "updateProduct": 'id: "prd_none", input',
    "updatePlan": 'id: "pln_none", input',
    "updateFeature": 'id: "ftr_none", input',
    "updateAppRole": "id: 20, input",
    "updateCoupon": 'code: "none", input',
    "deleteCoupon": "code",
    "updateCustomer": 'input: {name: "Mine"}, id',
    "updateWebhookEndpoint": 'id: "wep_00000000000000000000000000000000", input',
    "redeliverWebhook": "deliveryId",
}
WITHOUT_ARGUMENTS = ("syncCoupons",)


def mutation(name: str, kind: str) -> str:
    """The document of one mutation whose only argument is `$input`: an object, an id, or an instant."""
    if name in WITHOUT_ARGUMENTS:
        return f"mutation {{ {name} {{ userErrors {{ code }} }} }}"
    argument = NAMES.get(name) or {"ID!": "id", "DateTime!": "since", "[UsageEventInput!]!": "events"}.get(
        kind, "input"
    )
    return f"mutation($input: {kind}) {{ {name}({argument}: $input) {{ userErrors {{ code }} }} }}"


def test_the_matrix_has_every_mutation(graphql_schema: GraphQLSchema) -> None:
    assert graphql_schema.mutation_type is not None
    assert set(MUTATIONS) == set(graphql_schema.mutation_type.fields)


@pytest.mark.parametrize(("which", "user"), [(0, None), (1, OTHER), (2, SUPPORT)], ids=["nobody", "other", "support"])
async def test_who_may_not_change_changes_nothing(world: World, which: int, user: str | None) -> None:
    before = await everything(world.house.app)
    found, expected = {}, {}
    for name, (kind, given, outcomes) in MUTATIONS.items():
        if outcomes[which] is None:
            continue
        query = mutation(name, kind)
        answer = (await world.house.post(query, {"input": orjson.loads(given % world.ids)}, user=user)).json()
        found[name], expected[name] = outcome(answer, f"{name}.userErrors.*.code"), outcomes[which]
    assert found == expected
    assert await everything(world.house.app) == before


async def test_staff_acts_for_a_customer_but_never_sees_the_secret(house: House) -> None:
    customer = (await house.ask("{ me { id } }", user="demo-card"))["me"]["id"]
    query = """mutation($input: SubscribeInput!) { subscribe(input: $input) {
        subscription { customer { id } } paymentIntent { status clientSecret } nextAction { type clientSecret }
        userErrors { code }
    } }"""
    answer = (await house.post(query, {"input": {"planCode": "reader-pro", "customerId": customer}}, user=ADMIN)).json()
    assert answer["data"]["subscribe"] == {
        "subscription": {"customer": {"id": customer}},
        "paymentIntent": {"status": "REQUIRES_PAYMENT_METHOD", "clientSecret": None},
        "nextAction": {"type": "CONFIRM_WITH_SDK", "clientSecret": None},
        "userErrors": [],
    }
    assert sorted((error["path"][1:], error["extensions"]["code"]) for error in answer["errors"]) == [
        (["nextAction", "clientSecret"], NO),
        (["paymentIntent", "clientSecret"], NO),
    ]


async def test_another_customer_with_the_secret_in_hand_learns_nothing_of_the_intent(house: House) -> None:
    query = """mutation { subscribe(input: {planCode: "reader-pro"}) {
        paymentIntent { clientSecret } userErrors { code } } }"""
    secret = (await house.ask(query, user="demo-card"))["subscribe"]["paymentIntent"]["clientSecret"]
    confirm = """mutation($input: SandboxConfirmInput!) { sandboxConfirmPaymentIntent(input: $input) {
        paymentIntent { id } userErrors { code } } }"""
    wish = {"input": {"clientSecret": secret, "cardNumber": "4242424242424242"}}
    answer = await house.ask(confirm, wish, user="demo-decline")
    assert answer["sandboxConfirmPaymentIntent"] == {"paymentIntent": None, "userErrors": [{"code": "NOT_FOUND"}]}
