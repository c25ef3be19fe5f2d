"""Who changed what: the session itself tells of each mutation, with what was there before, and of nothing else."""

import ast
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any

import orjson
import pytest
from graphql import GraphQLSchema
from sqlmodel import SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from logs import MASK
from models.audit_log import Audited, AuditEntry, Author, audited_as, authored
from models.catalog import AppRole, product_by
from resolvers.access import ACCESS
from schema.build import build_schema
from services.app import App
from tests.architecture.repository import committed, text_of
from tests.support.deliveries import event, send
from tests.support.house import START, House
from tests.support.outside import dashboard

ADMIN, SUPPORT, CARD, NEW, DECLINE = "demo-admin", "demo-support", "demo-card", "demo-new", "demo-decline"
KEY = "a key"
CANARY, BORN, PHONE = "canary-4711", "1990-04-17", "+971 55 555 0134"
USD_10 = {"amount": "10.00", "currencyCode": "USD"}
PLAIN = ("version", "created_at", "updated_at", "due_at", "leased_until", "fence", "tries")
LOG = """query($subjectId: ID, $actor: String, $action: String, $at: DateTimeRange, $first: Int, $after: String) {
  auditLog(subjectId: $subjectId, actor: $actor, action: $action, at: $at, first: $first, after: $after) {
    totalCount pageInfo { hasNextPage endCursor }
    nodes { id at actor actorRole action kind subjectId before after requestId subject { id __typename } } } }"""


def tables() -> Iterator[tuple[type[SQLModel], Audited]]:
    """Every table whose changes are told, with how."""
    for mapper in SQLModel._sa_registry.mappers:
        audited = audited_as(mapper.class_)
        if audited is not None:
            yield mapper.class_, audited


async def news(app: App) -> dict[tuple[str, str, str], Any]:
    """(table, subject, row) → what would be news of it, of every row whose changes are told."""
    found = {}
    async with app.database.engine.connect() as connection:
        for table, audited in tables():
            columns = table.__table__.columns  # pyright: ignore[reportAttributeAccessIssue]
            for row in await connection.execute(select(*columns)):
                if audited.when is None or audited.when(row):
                    key = "/".join(str(getattr(row, column.name)) for column in columns if column.primary_key)
                    hidden = {*PLAIN, *audited.unseen}
                    news = {name: value for name, value in row._mapping.items() if name not in hidden}
                    found[table.__tablename__, str(getattr(row, audited.subject)), key] = news
    return found


async def entries(app: App) -> list[AuditEntry]:
    """The oldest first."""
    async with app.database.read() as session:
        return list((await session.exec(select(AuditEntry).order_by(col(AuditEntry.id)))).all())


class Watcher:
    """Sends mutations, and holds the rows that each has changed against the entries that it left."""

    def __init__(self, house: House, schema: GraphQLSchema) -> None:
        assert schema.mutation_type is not None
        self.house, self.fields = house, schema.mutation_type.fields
        self.kinds: dict[str, set[str]] = {}
        self.secret: str | None = None
        self.before: dict[tuple[str, str, str], Any] | None = None
        self.known: set[str] = set()

    async def rest(self) -> None:
        """Let the gateway's news arrive: what they change is nobody's doing."""
        await self.house.deliver()
        self.before = None

    async def send(
        self,
        name: str,
        user: str,
        select: str = "",
        *,
        refused: str | None = None,
        untold: frozenset[str] = frozenset(),
        **given: Any,
    ) -> dict[str, Any]:
        """The payload of one mutation by `user`, or by the key; `given` are its arguments.

        `refused`: the one code that its `userErrors` then hold; `untold`: tables that it changes by statement.
        """
        before = self.before or await news(self.house.app)
        types = {argument: str(self.fields[name].args[argument].type) for argument in given}
        declared = ", ".join(f"${argument}: {kind}" for argument, kind in types.items())
        passed = ", ".join(f"{argument}: ${argument}" for argument in given)
        declared, passed = (f"({declared})", f"({passed})") if given else ("", "")
        query = f"mutation{declared} {{ {name}{passed} {{ {select} userErrors {{ code message }} }} }}"
        headers = {"X-API-Key": self.secret} if user == KEY else {"Authorization": f"Bearer {self.house.token(user)}"}
        body = {"query": query, "variables": given}
        answer = (await self.house.http.post("/graphql", json=body, headers=headers)).json()
        assert "errors" not in answer, answer
        after = await news(self.house.app)
        changed = {key[:2] for key in {*before, *after} if before.get(key) != after.get(key)}
        told, self.before = [each for each in await entries(self.house.app) if each.id not in self.known], after
        self.known |= {each.id for each in told}
        entered = {(each.kind, each.subject_id) for each in told}
        assert entered <= changed, (name, answer)
        assert {kind for kind, _ in changed - entered} == untold, (name, answer)
        for each in told:
            assert (each.action, each.at, each.request_id) == (name, START, answer["extensions"]["requestId"])
            assert each.actor_role == {ADMIN: "admin", SUPPORT: "support", KEY: "service"}.get(user, "customer")
            assert each.actor == user or user == KEY
        self.kinds.setdefault(name, set()).update(each.kind for each in told)
        assert [each["code"] for each in answer["data"][name]["userErrors"]] == ([refused] if refused else [])
        return answer["data"][name]


@pytest.fixture(scope="module")
def graphql_schema() -> GraphQLSchema:
    return build_schema(sandbox=True)._schema


# Mutation → the tables that it is told of in the story below.
ORDER = {"subscriptions", "invoices"}
ENDPOINT = "http://127.0.0.1:9/hooks"
CHANGES: Mapping[str, set[str]] = {
    "createProduct": {"products"},
    "updateProduct": {"products"},
    "archiveProduct": {"products", "plans"},
    "createPlan": {"plans", "prices", "plan_credits", "plan_entitlements", "features"},
    "updatePlan": {"plans", "prices"},
    "archivePlan": {"plans"},
    "migratePlanSubscribers": {"subscriptions", "scheduled_changes"},
    "updateFeature": {"features"},
    "createAppRole": {"app_roles"},
    "updateAppRole": {"app_roles"},
    "createCoupon": {"coupons"},
    "updateCoupon": {"coupons"},
    "deleteCoupon": {"coupons", "promotion_codes"},
    "createPromotionCode": {"promotion_codes"},
    "updatePromotionCode": {"promotion_codes"},
    "syncCoupons": {"coupons", "promotion_codes"},
    "createCustomer": {"customers"},
    "updateProfile": {"customers"},
    "updateCustomer": {"customers"},
    "anonymizeCustomer": {"customers"},
    "createApiKey": {"api_keys"},
    "revokeApiKey": {"api_keys"},
    "updateDunningPolicy": {"organizations"},
    "updateOrganization": {"organizations"},
    "createSetupIntent": {"customers"},
    "attachPaymentMethod": {"payment_methods", "customers"},
    "setDefaultPaymentMethod": {"customers"},
    "updatePaymentMethod": {"payment_methods"},
    "detachPaymentMethod": {"payment_methods"},
    "subscribe": {*ORDER, "subscription_items", "discounts", "credit_entries"},
    "applyCoupon": {"discounts"},
    "removeCoupon": {"discounts"},
    "changePlan": {"subscriptions", "scheduled_changes"},
    "cancelScheduledChange": {"subscriptions", "scheduled_changes"},
    "updateSubscription": {"subscriptions"},
    "updateSubscriptionPaymentMethod": {"subscriptions"},
    "pauseSubscription": {"subscriptions"},
    "resumeSubscription": {"subscriptions"},
    "cancelSubscription": {"subscriptions"},
    "uncancelSubscription": {"subscriptions"},
    "grantCredits": {"credit_entries"},
    "refundPayment": {"refunds"},
    "createManualSubscription": {*ORDER, "subscription_items", "payments"},
    "renewManualSubscription": {*ORDER, "payments"},
    "recordManualPayment": {"invoices", "payments"},
    "createPaymentRecord": {"payments"},
    "updatePaymentRecord": {"payments"},
    "deletePaymentRecord": {"payments"},
    "voidInvoice": {"invoices"},
    "deleteManualSubscription": {"subscriptions", "invoices"},
    "startSubscriptionPayment": {*ORDER, "credit_entries"},
    "retryPayment": {*ORDER, "credit_entries"},
    "refreshSubscriptionPayment": {*ORDER, "credit_entries"},
    "replayGatewayEvent": {"gateway_events"},
    "createWebhookEndpoint": {"webhook_endpoints"},
    "updateWebhookEndpoint": {"webhook_endpoints"},
    "rotateWebhookSecret": {"webhook_endpoints"},
    "deleteWebhookEndpoint": {"webhook_endpoints"},
    "redeliverWebhook": {"webhook_deliveries"},
}
# These change nothing that is told of: what they do has records of its own, or time and the gateway do it.
NOTHING = {
    "createCheckoutLink",
    "recordUsage",
    "consumeCredits",
    "runBilling",
    "createTestClock",
    "advanceTestClock",
    "deleteTestClock",
    "reconcilePayments",
    "sandboxConfirmPaymentIntent",
    "sandboxConfirmSetupIntent",
    "sandboxAnswerChallenge",
}


def test_every_mutation_is_in_the_story() -> None:
    assert {*CHANGES, *NOTHING} == {name.removeprefix("Mutation.") for name in ACCESS if name.startswith("Mutation.")}


async def test_every_mutation_leaves_an_entry_for_each_record_that_it_changes(
    house: House, graphql_schema: GraphQLSchema
) -> None:
    watcher = Watcher(house, graphql_schema)
    await _stock(watcher)
    await _coupons(watcher)
    await _cards(watcher)
    await _an_order(watcher)
    await _by_hand(watcher)
    await _trouble(watcher)
    await _an_endpoint(watcher)
    assert {name: kinds for name, kinds in watcher.kinds.items() if kinds} == CHANGES
    assert {name for name, kinds in watcher.kinds.items() if not kinds} == NOTHING
    text = orjson.dumps([entry.model_dump(mode="json") for entry in await entries(house.app)]).decode()
    assert [word for word in (CANARY, BORN, PHONE) if word in text] == []
    assert watcher.secret is not None
    assert watcher.secret.rpartition("_")[2] not in text


async def _stock(watcher: Watcher) -> None:
    """What is for sale, keys and policies."""
    send = watcher.send
    await send("createProduct", ADMIN, input={"code": "tea", "name": "Tea"})
    told = await send("createProduct", ADMIN, "product { id }", input={"code": "dust", "name": "Dust"})
    dust = {"id": told["product"]["id"]}
    await send("updateProduct", ADMIN, input={"description": "What is left of leaves"}, **dust)
    await send("createAppRole", ADMIN, input={"id": 91, "code": "guest", "name": "Guest"})
    await send("updateAppRole", ADMIN, id=91, input={"name": "Drinker"})
    calls = {"featureCode": "calls", "limit": 10}
    plan = {"productCode": "tea", "interval": "MONTH", "prices": [USD_10]}
    told = await send(
        "createPlan",
        ADMIN,
        "plan { entitlements { feature { id } } }",
        input={"code": "tea", "name": "Tea", "credits": [{"unit": "cup", "total": 5}], "entitlements": [calls], **plan},
    )
    feature = told["plan"]["entitlements"][0]["feature"]["id"]
    await send("updateFeature", ADMIN, id=feature, input={"name": "Calls to the kitchen"})
    await send("createPlan", ADMIN, input={"code": "teas", "name": "Teas", **plan})
    dusty = {"code": "dust", "name": "Dust", **plan, "productCode": "dust"}
    told = await send("createPlan", ADMIN, "plan { id }", input=dusty)
    await send("createPlan", ADMIN, input={**dusty, "code": "dusts", "interval": "YEAR"})
    await send("archivePlan", ADMIN, id=told["plan"]["id"])
    await send("archiveProduct", ADMIN, **dust)
    told = await send("createApiKey", ADMIN, "secret apiKey { id }", input={"name": "k", "scopes": ["record_usage"]})
    watcher.secret = told["secret"]
    told = await send("createApiKey", ADMIN, "apiKey { id }", input={"name": "old", "scopes": ["read"]})
    await send("revokeApiKey", ADMIN, id=told["apiKey"]["id"])
    await send("updateOrganization", ADMIN, input={"name": "Tea House"})
    await send("updateDunningPolicy", ADMIN, input={"gracePeriodDays": 3})
    wish = {"userId": "kid", "email": f"{CANARY}@example.com", "name": CANARY, "metadata": {"note": CANARY}}
    told = await send("createCustomer", ADMIN, "customer { id }", input=wish)
    more = {"firstName": CANARY, "phone": PHONE, "salesCode": CANARY, "birthDate": BORN}
    await send("updateCustomer", SUPPORT, id=told["customer"]["id"], input={**more, "accountId": CANARY})
    await send("updateProfile", CARD, input={"lastName": CANARY, "onboarded": True, "currencyCode": "USD"})


async def _coupons(watcher: Watcher) -> None:
    send, coupons = watcher.send, dashboard(watcher.house)
    for code, percent in (("TEN", "10"), ("FIVE", "5"), ("GONE", "1")):
        await send("createCoupon", ADMIN, input={"code": code, "percentOff": percent, "duration": "FOREVER"})
    await send("createPromotionCode", ADMIN, input={"couponCode": "TEN", "code": "WELCOME"})
    await send("createPromotionCode", ADMIN, input={"couponCode": "GONE", "code": "FAREWELL"})
    await send("updateCoupon", ADMIN, code="TEN", input={"maxRedemptions": 100})
    await send("updatePromotionCode", ADMIN, input={"code": "WELCOME", "maxRedemptions": 50})
    await send("deleteCoupon", ADMIN, code="GONE")
    await coupons.coupons.create_async({"id": "THERE", "percent_off": 25, "duration": "forever"})
    await coupons.promotion_codes.create_async({"promotion": {"type": "coupon", "coupon": "THERE"}, "code": "HELLO"})
    await send("syncCoupons", ADMIN)


async def _cards(watcher: Watcher) -> None:
    send = watcher.send
    told = await send("createSetupIntent", NEW, "setupIntent { clientSecret }", input={})
    secret = told["setupIntent"]["clientSecret"]
    await send("sandboxConfirmSetupIntent", NEW, input={"clientSecret": secret, "cardNumber": "4000002760003184"})
    await send(
        "sandboxAnswerChallenge", NEW, refused="CARD_DECLINED", input={"clientSecret": secret, "outcome": "FAILED"}
    )
    told = await send(
        "attachPaymentMethod", CARD, "paymentMethod { id }", input={"paymentMethodId": "pm_card_mastercard"}
    )
    card = {"paymentMethodId": told["paymentMethod"]["id"]}
    await send("updatePaymentMethod", CARD, input={**card, "cardHolderName": CANARY})
    visa = (await watcher.house.ask("{ me { defaultPaymentMethod { id } } }", user=CARD))["me"]["defaultPaymentMethod"]
    await send("setDefaultPaymentMethod", CARD, input=card)
    await send("setDefaultPaymentMethod", CARD, input={"paymentMethodId": visa["id"]})
    await send("detachPaymentMethod", CARD, input=card)


async def _an_order(watcher: Watcher) -> None:
    """One subscription's life, and everything that its customer and staff do about it."""
    send = watcher.send
    select = "subscription { id defaultPaymentMethod: effectivePaymentMethod { id } } payment { id }"
    wish = {"planCode": "tea", "couponCode": "FIVE", "paymentMethodId": await _card(watcher)}
    told = await send("subscribe", CARD, select, input=wish)
    order = {"subscriptionId": told["subscription"]["id"]}
    await send("subscribe", CARD, refused="ALREADY_SUBSCRIBED", input=wish)
    await send("applyCoupon", SUPPORT, input={**order, "promotionCode": "WELCOME"})
    await send("removeCoupon", SUPPORT, input={**order, "couponCode": "TEN"})
    await send("changePlan", CARD, input={**order, "planCode": "teas", "effectiveAt": "PERIOD_END"})
    await send("cancelScheduledChange", CARD, input=order)
    await send("updateSubscription", CARD, input={**order, "name": CANARY})
    await send("updateSubscriptionPaymentMethod", CARD, input={**order, "paymentMethodId": await _card(watcher)})
    await send("pauseSubscription", CARD, input=order)
    await send("resumeSubscription", CARD, input=order)
    await send("cancelSubscription", CARD, input={**order, "effectiveAt": "PERIOD_END", "comment": CANARY})
    await send("uncancelSubscription", CARD, input=order)
    cup = {**order, "unit": "cup", "quantity": 1}
    await send("grantCredits", SUPPORT, input={**cup, "reason": CANARY, "idempotencyKey": "g"})
    await send("consumeCredits", KEY, input={**cup, "idempotencyKey": "c"})
    usage = {**order, "featureCode": "calls", "quantity": "1", "idempotencyKey": "u"}
    await send("recordUsage", KEY, events=[usage])
    plan = (await watcher.house.ask('{ plan(code: "tea") { id prices { id } } }'))["plan"]
    dearer = {"prices": [{"amount": "12.00", "currencyCode": "USD"}]}
    now = await send("updatePlan", ADMIN, "plan { prices { id } }", id=plan["id"], input={"name": "Tea!", **dearer})
    move = {"fromPriceId": plan["prices"][0]["id"], "toPriceId": now["plan"]["prices"][0]["id"]}
    await send("migratePlanSubscribers", ADMIN, input={**move, "effectiveAt": "PERIOD_END", "dryRun": False})
    refund = {"paymentId": told["payment"]["id"], "amount": {"amount": "1.00", "currencyCode": "USD"}}
    await send("refundPayment", ADMIN, input={**refund, "reason": "OTHER", "idempotencyKey": "r"})


async def _card(watcher: Watcher) -> str:
    me = (await watcher.house.ask("{ me { defaultPaymentMethod { id } } }", user=CARD))["me"]
    return me["defaultPaymentMethod"]["id"]


async def _by_hand(watcher: Watcher) -> None:
    """What was agreed on and paid without a gateway."""
    send = watcher.send
    some, all_ = {"amount": "4.00", "currencyCode": "USD"}, USD_10
    wish = {
        "customer": {"userId": "kid"},
        "planCode": "tea",
        "interval": "MONTH",
        "periodStart": "2026-01-31",
        "periodEnd": "2026-02-28",
        "payment": {"amountDue": all_, "amountPaid": some, "reference": CANARY},
    }
    select = "subscription { id } invoice { id }"
    told = await send("createManualSubscription", ADMIN, select, input=wish)
    order = told["subscription"]["id"]
    paid = {"invoiceId": told["invoice"]["id"], "payment": {"amountPaid": some}, "idempotencyKey": "p"}
    await send("recordManualPayment", ADMIN, input=paid)
    unpaid = {"amountDue": all_, "amountPaid": {"amount": "0.00", "currencyCode": "USD"}}
    later = {"customer": {"userId": "kid"}, "planCode": "premium-monthly", "payment": unpaid}
    told = await send("createManualSubscription", ADMIN, select, input={**wish, **later})
    record = {"gatewayPaymentId": CANARY, "gatewayStatus": "sent", "statusLiteral": "PENDING"}
    announced = await send(
        "createPaymentRecord", ADMIN, "payment { id }", input={"orderId": told["invoice"]["id"], **record}
    )
    announced = announced["payment"]["id"]
    await send("updatePaymentRecord", ADMIN, input={"paymentId": announced, "gatewayPaymentId": f"{CANARY}-again"})
    await send("deletePaymentRecord", ADMIN, id=announced)
    await send("voidInvoice", ADMIN, refused="VERSION_CONFLICT", id=told["invoice"]["id"], expectedVersion=99)
    await send("voidInvoice", ADMIN, id=told["invoice"]["id"])
    renewed = {"subscriptionId": order, "idempotencyKey": "n", "payment": {"amountDue": all_, "amountPaid": all_}}
    await send("renewManualSubscription", ADMIN, input=renewed)
    await send("deleteManualSubscription", ADMIN, id=order)
    over = {"subscriptionId": told["subscription"]["id"], "effectiveAt": "NOW"}
    await send("cancelSubscription", SUPPORT, input=over)
    kid = await watcher.house.ask('{ customer(by: {userId: "kid"}) { id } }', user=ADMIN)
    await send("anonymizeCustomer", ADMIN, untold=frozenset(("payments",)), id=kid["customer"]["id"])


async def _trouble(watcher: Watcher) -> None:
    """Cards that decline, browsers, and what operators do."""
    send, house = watcher.send, watcher.house
    select = "subscription { id } payment { id invoice { id } } paymentIntent { clientSecret }"
    told = await send("subscribe", NEW, select, input={"planCode": "tea"})
    order, payment = {"subscriptionId": told["subscription"]["id"]}, {"paymentId": told["payment"]["id"]}
    form = {"clientSecret": told["paymentIntent"]["clientSecret"], "cardNumber": "4242424242424242"}
    await send("sandboxConfirmPaymentIntent", NEW, input=form)
    await send("refreshSubscriptionPayment", NEW, input={**order, **payment})
    for action, again in (("startSubscriptionPayment", "subscriptionId"), ("retryPayment", "invoiceId")):
        user = DECLINE if action == "retryPayment" else "demo-other"
        if user != DECLINE:
            await send("attachPaymentMethod", user, input={"paymentMethodId": "pm_card_chargeCustomerFail"})
        told = await send("subscribe", user, f"{select} userErrors {{ code }}", input={"planCode": "tea"})
        card = await send(
            "attachPaymentMethod", user, "paymentMethod { id }", input={"paymentMethodId": "pm_card_visa"}
        )
        subject = {"subscriptionId": told["subscription"]["id"], "invoiceId": told["payment"]["invoice"]["id"]}[again]
        await send(action, user, input={again: subject, "paymentMethodId": card["paymentMethod"]["id"]})
    assert (await _send_event(house)).status_code == 200
    events = await house.ask("{ gatewayEvents(first: 1) { nodes { id } } }", user=ADMIN)
    await watcher.rest()
    await send("replayGatewayEvent", ADMIN, id=events["gatewayEvents"]["nodes"][0]["id"])
    await watcher.rest()
    await send("runBilling", ADMIN, asOf="2026-01-31T09:30:00Z")
    clock = await send("createTestClock", ADMIN, "testClock { id }", now="2026-01-31T09:30:00Z")
    await send("advanceTestClock", ADMIN, id=clock["testClock"]["id"], to="2026-02-01T00:00:00Z")
    await send("deleteTestClock", ADMIN, id=clock["testClock"]["id"])
    await send("reconcilePayments", ADMIN, since="2026-01-30T00:00:00Z", repair=True)


async def _an_endpoint(watcher: Watcher) -> None:
    """It is told of a purchase and does not answer."""
    send, house = watcher.send, watcher.house
    told = await send("createWebhookEndpoint", ADMIN, "secret webhookEndpoint { id }", input={"url": ENDPOINT})
    endpoint, secrets = {"id": told["webhookEndpoint"]["id"]}, [told["secret"]]
    await send("createCheckoutLink", CARD, input={"planCode": "premium-monthly"})
    await send("subscribe", CARD, input={"planCode": "premium-monthly", "paymentMethodId": await _card(watcher)})
    await watcher.rest()
    rows = await house.ask("{ webhookEndpoints { deliveries(first: 1) { nodes { id status } } } }", user=ADMIN)
    (delivery,) = rows["webhookEndpoints"][0]["deliveries"]["nodes"]
    assert delivery["status"] == "FAILED"
    await send("redeliverWebhook", ADMIN, deliveryId=delivery["id"])
    for _ in range(2):  # At one instant, too: each secret is another.
        secrets.append((await send("rotateWebhookSecret", ADMIN, "secret", **endpoint))["secret"])
    await send("updateWebhookEndpoint", ADMIN, input={"isEnabled": False}, **endpoint)
    await send("deleteWebhookEndpoint", ADMIN, **endpoint)
    text = orjson.dumps([entry.model_dump(mode="json") for entry in await entries(house.app)]).decode()
    assert [secret for secret in secrets if secret.removeprefix("whsec_") in text] == []


async def _send_event(house: House) -> Any:
    return await send(house, event("payment_method", "pm_gone", "payment_method.updated"))


# ── what an entry tells ──


async def log(house: House, user: str = ADMIN, **narrowed: Any) -> dict[str, Any]:
    return (await house.ask(LOG, narrowed, user))["auditLog"]


async def _policy(house: House, user: str = ADMIN, **given: Any) -> str:
    """Changes it; the request's id."""
    query = "mutation($input: DunningPolicyInput!) { updateDunningPolicy(input: $input) { userErrors { code } } }"
    answer = (await house.post(query, {"input": given}, user)).json()
    return answer["extensions"]["requestId"]


async def _product(house: House, **given: Any) -> str:
    query = "mutation($input: ProductInput!) { createProduct(input: $input) { product { id } userErrors { code } } }"
    return (await house.ask(query, {"input": given}, ADMIN))["createProduct"]["product"]["id"]


async def test_an_entry_holds_what_changed_and_what_was_there(house: House) -> None:
    await _policy(house, gracePeriodDays=3)
    request = await _policy(house, gracePeriodDays=5, finalAction="LEAVE")
    entry = (await log(house))["nodes"][0]
    assert entry.pop("id").startswith("adt_")
    assert entry == {
        "at": "2026-01-31T09:30:00Z",
        "actor": ADMIN,
        "actorRole": "ADMIN",
        "action": "updateDunningPolicy",
        "kind": "organizations",
        "subjectId": "organization",
        "before": {"gracePeriodDays": 3, "finalAction": "CANCEL"},
        "after": {"gracePeriodDays": 5, "finalAction": "LEAVE"},
        "requestId": request,
        "subject": {"id": "organization", "__typename": "Organization"},
    }


async def test_a_new_record_has_nothing_before_and_persons_are_masked(house: House) -> None:
    query = "mutation($input: CustomerInput!) { createCustomer(input: $input) { customer { id } userErrors { code } } }"
    wish = {"userId": "kid", "name": CANARY, "email": f"{CANARY}@example.com", "timezone": "Asia/Dubai"}
    made = (await house.ask(query, {"input": wish}, ADMIN))["createCustomer"]["customer"]["id"]
    (entry,) = (await log(house, subjectId=made))["nodes"]
    assert entry["subject"] == {"id": made, "__typename": "Customer"}
    assert (entry["before"], entry["after"]) == (
        None,
        {
            "userId": MASK,
            "name": MASK,
            "email": MASK,
            "externalId": None,
            "locale": "en",
            "timezone": "Asia/Dubai",
            "defaultPaymentMethodId": None,
            "testClockId": None,
            "archivedAt": None,
            "metadata": MASK,
            "currency": None,
            "isOnboarded": False,
            "isValuedCouponSent": False,
            "createdBy": MASK,
            "addresses": MASK,
            **dict.fromkeys(("firstName", "lastName", "phone", "birthDate", "region", "image", "description")),
            **dict.fromkeys(("username", "accountId", "salesCode", "businessVatId")),
        },
    )


async def test_what_is_gone_has_nothing_after(small_house: House) -> None:
    async with small_house.app.database.write() as session:
        session.add(AppRole(id=91, code="barista", name="Barista"))
    with authored(Author("a", None, "b", None, START)):
        async with small_house.app.database.write() as session:
            await session.delete(await session.get_one(AppRole, 91))
        async with small_house.app.database.write() as session:
            session.add(short_lived := AppRole(id=92, code="waiter", name="Waiter"))
            await session.flush()
            await session.delete(short_lived)
    (entry,) = (await log(small_house))["nodes"]
    assert (entry["actor"], entry["actorRole"], entry["requestId"]) == ("a", None, None)
    assert (entry["kind"], entry["subjectId"], entry["after"]) == ("app_roles", "91", None)
    assert entry["before"] == {"code": "barista", "name": "Barista"}


async def test_entries_are_narrowed_by_record_actor_action_and_time_alone_and_together(house: House) -> None:
    tea = await _product(house, code="tea", name="Tea")
    house.machine.advance(timedelta(hours=1))
    await _policy(house, gracePeriodDays=3)
    house.machine.advance(timedelta(hours=1))
    query = "mutation { createSetupIntent(input: {}) { userErrors { code } } }"
    await house.ask(query, user=NEW)
    then, an_hour = {"gte": "2026-01-31T10:30:00Z"}, {"gte": "2026-01-31T10:00:00Z", "lt": "2026-01-31T11:30:00Z"}

    async def kinds(**narrowed: Any) -> list[str]:
        told = await log(house, **narrowed)
        assert told["totalCount"] == len(told["nodes"])
        return [node["kind"] for node in told["nodes"]]

    assert await kinds() == ["customers", "organizations", "products"]
    assert await kinds(subjectId=tea) == ["products"]
    assert await kinds(actor=ADMIN) == ["organizations", "products"]
    assert await kinds(actor=NEW) == ["customers"]
    assert await kinds(action="createProduct") == ["products"]
    assert await kinds(at=then) == ["customers", "organizations"]
    assert await kinds(at={"lt": "2026-01-31T10:30:00Z"}) == ["products"]
    assert await kinds(at=an_hour) == ["organizations"]
    assert await kinds(actor=ADMIN, at=then) == ["organizations"]
    assert await kinds(actor=ADMIN, at=then, action="createProduct") == []
    assert await kinds(actor=ADMIN, subjectId=tea, action="createProduct", at={"lt": "2026-02-01T00:00:00Z"}) == [
        "products"
    ]
    assert await kinds(subjectId="prd_none") == await kinds(actor="nobody") == []
    first = await log(house, first=2)
    assert ([node["kind"] for node in first["nodes"]], first["totalCount"]) == (["customers", "organizations"], 3)
    rest = await log(house, first=2, after=first["pageInfo"]["endCursor"])
    assert ([node["kind"] for node in rest["nodes"]], rest["pageInfo"]["hasNextPage"]) == (["products"], False)


async def test_an_entry_is_a_node_for_administrators_alone(small_house: House) -> None:
    await _policy(small_house, gracePeriodDays=3)
    id = (await log(small_house))["nodes"][0]["id"]
    query = f'{{ node(id: "{id}") {{ ... on AuditEntry {{ kind }} }} }}'
    assert await small_house.ask(query, user=ADMIN) == {"node": {"kind": "organizations"}}
    for user in (None, CARD, SUPPORT):
        assert await small_house.ask(query, user=user) == {"node": None}


# ── what leaves none ──


async def test_what_is_refused_or_forbidden_leaves_no_entry(house: House) -> None:
    await _policy(house, gracePeriodDays=91)
    await _policy(house, SUPPORT, gracePeriodDays=3)
    await _policy(house, retryAfterDays=[2, 7, 14, 21])  # as it is
    told = await log(house)
    # The row is born as the policy was in force: that much is new.
    assert [(node["action"], node["before"]) for node in told["nodes"]] == [("updateDunningPolicy", None)]
    query = 'mutation { createProduct(input: {code: "free", name: "x"}) { userErrors { code } } }'
    assert (await house.ask(query, user=ADMIN))["createProduct"]["userErrors"] == [{"code": "ALREADY_EXISTS"}]
    assert (await log(house))["totalCount"] == 1


async def test_what_is_rolled_back_leaves_no_entry(house: House) -> None:
    async def fail() -> None:
        async with house.app.database.write() as session:
            free = await product_by(session, code="free")
            assert free is not None
            free.name = "Dear"
            await session.flush()
            raise ZeroDivisionError

    with authored(Author(ADMIN, "admin", "createProduct", "r", START)), pytest.raises(ZeroDivisionError):
        await fail()
    assert (await log(house))["totalCount"] == 0


async def test_several_writes_of_one_transaction_are_one_entry_and_what_comes_back_is_none(small_house: House) -> None:
    with authored(Author(ADMIN, "admin", "renamed", "r", START)):
        async with small_house.app.database.write() as session:
            free, coffee = await product_by(session, code="free"), await product_by(session, code="classic_coffee")
            assert free is not None
            assert coffee is not None
            for name in ("Dear", "Dearer"):
                free.name, coffee.name = name, name
                await session.flush()
            coffee.name = "Classic Coffee"
    (entry,) = (await log(small_house))["nodes"]
    assert (entry["subjectId"], entry["before"], entry["after"]) == (free.id, {"name": "Free"}, {"name": "Dearer"})


async def test_what_time_and_the_gateway_do_leaves_no_entry_whoever_asks_for_it(house: House) -> None:
    subscribe = 'mutation { subscribe(input: {planCode: "premium-monthly"}) { payment { id } userErrors { code } } }'
    assert (await house.ask(subscribe, user=CARD))["subscribe"]["userErrors"] == []
    before = (await log(house))["totalCount"]
    house.pass_time(timedelta(days=31))
    await house.ask("mutation { runBilling { run { renewed } userErrors { code } } }", user=ADMIN)
    house.pass_time(timedelta(days=31))
    assert (await house.work())["happened"] == 1
    assert (await log(house))["totalCount"] == before


# ── nothing escapes ──


async def test_an_entry_is_never_changed(small_house: House) -> None:
    await _policy(small_house, gracePeriodDays=3)
    (entry,) = await entries(small_house.app)

    async def change(row: AuditEntry, _session: AsyncSession) -> None:
        row.actor = "somebody else"

    async def delete(row: AuditEntry, session: AsyncSession) -> None:
        await session.delete(row)

    async def spoil(by: Callable[[AuditEntry, AsyncSession], Awaitable[None]]) -> None:
        async with small_house.app.database.write() as session:
            await by(await session.get_one(AuditEntry, entry.id), session)

    for by in (change, delete):
        with pytest.raises(TypeError, match="never changed"):
            await spoil(by)
    assert await entries(small_house.app) == [entry]


# Tables of which the log does not tell, and why not.
NOT_TOLD = {
    **dict.fromkeys(("changes", "billing_events", "ledger_entries", "audit_entries"), "are records of what happened"),
    **dict.fromkeys(("drifts", "reconciliation_reports", "billing_runs", "billing_run_items"), "tell who asked"),
    **dict.fromkeys(("invoice_lines", "pending_lines", "credit_notes", "discount_uses"), "follow from invoices"),
    **dict.fromkeys(("collection_intents", "charge_attempts", "disputes", "setup_intents"), "follow the gateway"),
    **dict.fromkeys(("usage_records", "credit_balances", "customer_balances"), "are sums, or too many; have entries"),
    **dict.fromkeys(
        ("gateway_accounts", "gateway_paces", "live_places", "used_trials", "timers"),
        "hold nothing that anybody chooses",
    ),
    "idempotency_records": "are about requests",
    "test_clocks": "exist in the sandbox only",
}


def test_every_table_is_told_of_or_says_why_not() -> None:
    told = {str(table.__tablename__) for table, _ in tables()}
    every = {str(mapper.class_.__tablename__) for mapper in SQLModel._sa_registry.mappers}
    every = {name for name in every if not name.startswith("sandbox_")}
    assert told | set(NOT_TOLD) == every
    assert told & set(NOT_TOLD) == set()


def test_declarations_name_columns_that_exist() -> None:
    for table, audited in tables():
        named = {*audited.masked, *audited.unseen, *(audited.told or ()), audited.subject}
        assert named <= set(table.model_fields), table


# Functions that write rows by statement, past the session that tells: what tells of it instead.
BY_STATEMENT = {
    "models/anonymizing.py:blank_rows_of": "the customer's own entry: what was there is not to be told",
    "models/api_keys.py:note_use": "nothing: it is counted",
    "models/coupons.py:count_redemption": "the discount's entry",
    "models/coupons.py:uncount_redemption": "the discount's entry",
    "models/coupons.py:forget_uses": "the invoice's entry",
    "models/idempotency.py:delete_expired": "nothing: it answers for nobody any more",
    "models/leases.py:extend": "nothing: it is leased",
    "models/leases.py:claim": "nothing: it is leased",
    "models/leases.py:claim_all_due": "nothing: it is leased",
    "models/pacing.py:_keep": "nothing: whose turn it is",
    "models/pacing.py:_locked": "nothing: whose turn it is",
    "models/usage.py:count_on_invoice": "the invoice's entry",
    "models/usage.py:take_off_invoice": "the invoice's entry",
    "models/inserting.py:insert_missing": "the records themselves, of usage and of the gateway's news",
}


def test_what_is_written_by_statement_is_named_here() -> None:
    found = set()
    for name in committed("models/*.py"):
        for function in ast.walk(ast.parse(text_of(name))):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                called = [node.func for node in ast.walk(function) if isinstance(node, ast.Call)]
                names = {each.id for each in called if isinstance(each, ast.Name)}
                names |= {each.attr for each in called if isinstance(each, ast.Attribute)} & {"insert"}
                if names & {"update", "delete", "insert"}:
                    found.add(f"{name}:{function.name}")
    assert found == set(BY_STATEMENT)
