"""Rows 004: pricing, one subscription a user, the ledger of payments, customers and methods as a service keeps them."""

from datetime import timedelta
from typing import Any

import pytest

from tests.scenarios.merchant import ADMIN, Merchant, do, done
from tests.scenarios.shopping import Shopper
from tests.schema.keys import ask_with_key, post_with_key, secret_of_key
from tests.sources.asking import CARD, NEW, SUPPORT, card_of, codes, me, plan, seen, subscribed
from tests.support.house import House


@pytest.fixture
def house(small_house: House) -> House:
    """What rows ask for does not depend on the engine; the stories beside them are told on both."""
    return small_house


async def test_004_01_each_environment_answers_for_itself(house: House) -> None:
    assert (await house.ask("{ serverInfo { environment } }"))["serverInfo"] == {"environment": "DEVELOPMENT"}


async def test_004_02_each_answer_tells_its_request_and_how_long_it_took(house: House) -> None:
    answer = (await house.post("{ serverInfo { version } viewer { user { id } } }", user=CARD)).json()
    assert answer["data"]["viewer"] == {"user": {"id": CARD}}
    assert len(answer["extensions"]["requestId"]) == 32
    assert answer["extensions"]["elapsedMs"] >= 0


async def test_004_03_lists_are_paged_by_number(house: House) -> None:
    query = """{ plans(page: 2, pageSize: 4) { nodes { code }
      pageInfo { pageNumber pageRowCount totalRowCount pageCount } } }"""
    told = (await house.ask(query))["plans"]
    assert len(told["nodes"]) == 4
    assert told["pageInfo"] == {"pageNumber": 2, "pageRowCount": 4, "totalRowCount": 10, "pageCount": 3}


async def test_004_04_lists_are_filtered_and_permissions_are_told(house: House) -> None:
    query = "query ($filter: PlanFilter) { plans(filter: $filter) { nodes { code } } viewer { permissions } }"
    told = await house.ask(query, {"filter": {"interval": "YEAR", "currencyCode": "USD"}}, CARD)
    assert told["plans"]["nodes"] == [{"code": "premium-yearly"}]
    assert "Mutation.subscribe" in told["viewer"]["permissions"]
    assert "Mutation.createPlan" not in told["viewer"]["permissions"]


async def test_004_05_errors_carry_code_sentence_field_request_and_time(house: House) -> None:
    refused = await do(house, "createPlan", "PlanInput", {"name": "x"}, "plan { id }")
    assert (refused["userErrors"][0]["code"], refused["userErrors"][0]["field"]) == ("REQUIRED", ["interval"])
    (error,) = (await house.post("{ me { id } }")).json()["errors"]
    assert error["extensions"]["code"] == "UNAUTHENTICATED"
    assert (len(error["extensions"]["requestId"]), error["extensions"]["timestamp"]) == (32, "2026-01-31T09:30:00Z")


async def test_004_06_statuses_of_http_are_the_standard_ones(house: House) -> None:
    assert (await house.post("{ serverInfo { version } }")).status_code == 200
    broken = await house.http.post("/graphql", content=b"{", headers={"Content-Type": "application/json"})
    assert broken.status_code == 400
    forged = {"Authorization": "Bearer x.y.z"}
    assert (await house.http.post("/graphql", json={"query": "{ me { id } }"}, headers=forged)).status_code == 401
    assert (await house.http.post("/graphql", json={"query": "#" * 300_000})).status_code == 413


async def _priced(house: House) -> str:
    return await Merchant(house).plan("fit", "9.99", description="Train with a coach.", type="STANDARD")


async def test_004_07_a_price_has_currency_description_minor_amount_and_type(house: House) -> None:
    await _priced(house)
    assert await plan(house, "fit", "description type price { amount { amountMinor currencyCode } }") == {
        "description": "Train with a coach.",
        "type": "STANDARD",
        "price": {"amount": {"amountMinor": 999, "currencyCode": "USD"}},
    }


async def _update_plan(house: House, id: str, *, version: int | None = None, **changes: Any) -> dict[str, Any]:
    query = """mutation ($id: ID!, $input: PlanInput!, $version: Int) {
      updatePlan(id: $id, input: $input, expectedVersion: $version) {
        plan { description version } userErrors { code ... on VersionConflictError { currentVersion } } } }"""
    variables = {"id": id, "input": changes, "version": version}
    return (await house.ask(query, variables, ADMIN))["updatePlan"]


async def test_004_08_a_changed_price_leaves_present_subscribers_on_theirs(house: House) -> None:
    id = await _priced(house)
    bought = await subscribed(house, plan="fit")
    raised = [{"currencyCode": "USD", "amount": "12.99"}]
    assert codes(await _update_plan(house, id, prices=raised)) == []
    fields = "items { price { isActive replacedBy { amount { amountMinor } } } }"
    assert (await seen(house, bought, fields))["items"] == [
        {"price": {"isActive": False, "replacedBy": {"amount": {"amountMinor": 1299}}}}
    ]
    house.pass_time(timedelta(days=28))
    await house.work()
    assert await seen(house, bought, "totalPaid { amountMinor }") == {"totalPaid": {"amountMinor": 1998}}
    await Shopper(house, NEW).save_card("pm_card_visa")
    fresh = await subscribed(house, NEW, plan="fit")
    assert await seen(house, fresh, "totalPaid { amountMinor }", NEW) == {"totalPaid": {"amountMinor": 1299}}


async def test_004_09_administrators_make_plans(house: House) -> None:
    await _priced(house)
    query = "mutation ($input: PlanInput!) { createPlan(input: $input) { userErrors { code } } }"
    for user in (CARD, SUPPORT):
        answer = (await house.post(query, {"input": {"name": "x"}}, user)).json()
        assert [error["extensions"]["code"] for error in answer["errors"]] == ["FORBIDDEN"]


async def test_004_10_administrators_change_plans(house: House) -> None:
    told = await _update_plan(house, await _priced(house), description="Train alone.")
    assert (codes(told), told["plan"]["description"]) == ([], "Train alone.")
    assert await plan(house, "fit", "name price { amount { amountMinor } }") == {
        "name": "fit",
        "price": {"amount": {"amountMinor": 999}},
    }


async def test_004_11_administrators_withdraw_plans_softly(house: House) -> None:
    id = await _priced(house)
    bought = await subscribed(house, plan="fit")
    query = "mutation ($id: ID!) { archivePlan(id: $id) { plan { isArchived } userErrors { code } } }"
    told = (await house.ask(query, {"id": id}, ADMIN))["archivePlan"]
    assert told == {"plan": {"isArchived": True}, "userErrors": []}
    assert (await house.ask('{ plans(filter: {search: "fit"}) { totalCount } }'))["plans"]["totalCount"] == 0
    assert await seen(house, bought, "status plan { code isArchived }") == {
        "status": "ACTIVE",
        "plan": {"code": "fit", "isArchived": True},
    }


async def test_004_12_anybody_reads_one_plan(house: House) -> None:
    assert await plan(house, "premium-monthly", "name") == {"name": "Premium"}


async def test_004_13_anybody_lists_plans(house: House) -> None:
    assert (await house.ask("{ plans { totalCount } }"))["plans"] == {"totalCount": 10}


async def test_004_14_a_plan_has_a_label_for_people(house: House) -> None:
    told = await plan(house, "premium-monthly", "name description")
    assert told == {"name": "Premium", "description": "Everything, month by month."}


async def test_004_15_a_subscription_tells_when_it_was_active_and_what_was_paid(house: House) -> None:
    fields = """activatedAt canceledAt currencyCode pricePaid { amountMinor } status statusUpdatedAt
      customer { user { id } } paymentConfirmation"""
    assert await seen(house, await subscribed(house), fields) == {
        "activatedAt": "2026-01-31T09:30:00Z",
        "canceledAt": None,
        "currencyCode": "USD",
        "pricePaid": {"amountMinor": 700},
        "status": "ACTIVE",
        "statusUpdatedAt": "2026-01-31T09:30:00Z",
        "customer": {"user": {"id": CARD}},
        "paymentConfirmation": "PAID",
    }


async def _inputs(house: House) -> dict[str, set[str]]:
    query = "{ __schema { types { name kind inputFields { name } } } }"
    kinds = (await house.ask(query))["__schema"]["types"]
    inputs = [kind for kind in kinds if kind["kind"] == "INPUT_OBJECT"]
    return {kind["name"]: {field["name"] for field in kind["inputFields"]} for kind in inputs}


async def test_004_16_whether_the_money_has_come_is_written_by_the_payment_alone(house: House) -> None:
    begun = (await Shopper(house, NEW).subscribe())["subscription"]["id"]
    assert await seen(house, begun, "paymentConfirmation", NEW) == {"paymentConfirmation": "PENDING"}
    takers = {name for name, fields in (await _inputs(house)).items() if "paymentConfirmation" in fields}
    assert takers == {"SubscriptionFilter"}


async def test_004_17_nobody_gives_a_status_by_hand(house: House) -> None:
    takers = {name for name, fields in (await _inputs(house)).items() if fields & {"status", "statusUpdatedAt"}}
    assert {name for name in takers if not name.endswith("Filter")} == set()


SORTED = """query ($sort: SubscriptionSort) { subscriptions(sort: $sort) { nodes { status } } }"""


async def test_004_18_lists_are_sorted_by_the_rank_of_a_status(house: House) -> None:
    await subscribed(house, plan="basic-monthly")
    await Shopper(house, NEW).subscribe()
    await subscribed(house)
    ended = await subscribed(house, plan="premium-monthly")
    now = {"subscriptionId": ended, "effectiveAt": "NOW"}
    await done(house, "cancelSubscription", "CancelSubscriptionInput", now, "subscription { id }", user=CARD)
    ranked = ["INCOMPLETE", "TRIALING", "ACTIVE", "CANCELED"]
    for direction, wanted in (("ASC", ranked), ("DESC", ranked[::-1])):
        told = await house.ask(SORTED, {"sort": {"field": "STATUS", "direction": direction}}, ADMIN)
        assert [node["status"] for node in told["subscriptions"]["nodes"]] == wanted


async def test_004_19_a_list_shows_peoples_names(house: House) -> None:
    await subscribed(house)
    told = await house.ask("{ subscriptions { nodes { customer { user { displayName } } } } }", user=ADMIN)
    assert told["subscriptions"]["nodes"] == [{"customer": {"user": {"displayName": "Dana Card"}}}]


async def test_004_20_every_record_has_version_times_and_owner(house: House) -> None:
    record = "... on Record { id version isArchived archivedAt createdAt updatedAt }"
    told = await seen(house, await subscribed(house), f"{record} customer {{ user {{ id }} }}")
    assert told.pop("id").startswith("sbs_")
    assert told.pop("version") >= 1
    assert told == {
        "isArchived": False,
        "archivedAt": None,
        "createdAt": "2026-01-31T09:30:00Z",
        "updatedAt": "2026-01-31T09:30:00Z",
        "customer": {"user": {"id": CARD}},
    }


async def test_004_21_a_stale_version_is_refused(house: House) -> None:
    id = await _priced(house)
    assert codes(await _update_plan(house, id, version=1, description="Once.")) == []
    told = await _update_plan(house, id, version=1, description="Twice.")
    assert told["userErrors"] == [{"code": "VERSION_CONFLICT", "currentVersion": 2}]
    assert await plan(house, "fit", "description version") == {"description": "Once.", "version": 2}


async def test_004_22_a_price_comes_from_the_plan_and_back_dating_is_staffs(house: House) -> None:
    card = (await card_of(house, "id"))["id"]
    own = {"planCode": "reader-pro", "unitAmount": {"amount": "0.01", "currencyCode": "USD"}}
    past = {"planCode": "reader-pro", "startAt": "2025-12-31T09:30:00Z", "paymentMethodId": card}
    for wish in ({"items": [own], "paymentMethodId": card}, past):
        told = await do(house, "subscribe", "SubscribeInput", wish, "subscription { id }", user=CARD)
        assert (codes(told), told["subscription"]) == (["NOT_PERMITTED"], None)
    back_dated = {**past, "customerId": (await me(house, "id"))["id"]}
    told = await do(house, "subscribe", "SubscribeInput", back_dated, "subscription { startedAt }")
    assert (codes(told), told["subscription"]) == ([], {"startedAt": "2025-12-31T09:30:00Z"})


async def test_004_23_canceling_at_once_takes_access_and_the_preview_says_so(house: House) -> None:
    await Merchant(house).plan("coach", "9.99", entitlements=[{"featureCode": "plans", "limit": 5}])
    id = await subscribed(house, plan="coach")
    preview = """query ($id: ID!) { previewCancelSubscription(input: {subscriptionId: $id, effectiveAt: NOW}) {
      preview { entitlementChanges { feature { code } before after } } userErrors { code } } }"""
    told = (await house.ask(preview, {"id": id}, CARD))["previewCancelSubscription"]["preview"]
    assert told["entitlementChanges"] == [{"feature": {"code": "plans"}, "before": 5, "after": None}]
    now = {"subscriptionId": id, "effectiveAt": "NOW"}
    await done(house, "cancelSubscription", "CancelSubscriptionInput", now, "subscription { id }", user=CARD)
    assert await seen(house, id, "status isActive canceledAt") == {
        "status": "CANCELED",
        "isActive": False,
        "canceledAt": "2026-01-31T09:30:00Z",
    }


async def test_004_24_no_subscription_of_ones_own_is_null(house: House) -> None:
    assert await house.ask("{ mySubscription { id } }", user=CARD) == {"mySubscription": None}
    id = await subscribed(house)
    assert await house.ask("{ mySubscription { id } }", user=CARD) == {"mySubscription": {"id": id}}


async def test_004_25_owners_read_their_own_and_administrators_any(house: House) -> None:
    id = await subscribed(house)
    assert [await seen(house, id, "id", user) for user in (CARD, ADMIN, NEW)] == [{"id": id}, {"id": id}, None]


LISTED = "query ($filter: SubscriptionFilter) { subscriptions(filter: $filter) { nodes { id } } }"


async def test_004_26_subscriptions_are_listed_with_filters(house: House) -> None:
    paid = await subscribed(house)
    waits = (await Shopper(house, NEW).subscribe())["subscription"]["id"]
    for narrowed, wanted in (
        ({"status": ["ACTIVE"]}, [paid]),
        ({"userId": NEW}, [waits]),
        ({"paymentConfirmation": ["PENDING"]}, [waits]),
        ({"status": ["INCOMPLETE"], "userId": NEW, "paymentConfirmation": ["PENDING", "PAID"]}, [waits]),
        ({"status": ["ACTIVE"], "userId": NEW}, []),
        ({}, [waits, paid]),
    ):
        told = await house.ask(LISTED, {"filter": narrowed}, ADMIN)
        assert [node["id"] for node in told["subscriptions"]["nodes"]] == wanted


async def test_004_27_another_service_asks_whether_a_user_may_in(house: House) -> None:
    secret = await secret_of_key(house, "read")
    query = """query ($user: ID!) { subscriptionStatus(userId: $user) {
      isActive subscriptions { isActive } entitlements { token } } }"""
    told = (await ask_with_key(house, secret, query, {"user": CARD}))["subscriptionStatus"]
    assert (told["isActive"], told["subscriptions"]) == (False, [])
    await subscribed(house)
    told = (await ask_with_key(house, secret, query, {"user": CARD}))["subscriptionStatus"]
    assert (told["isActive"], told["subscriptions"]) == (True, [{"isActive": True}])
    assert told["entitlements"]["token"].count(".") == 2
    keys = (await house.http.get("/.well-known/jwks.json")).json()["keys"]
    assert [key["alg"] for key in keys] == ["ES256"]


async def test_004_28_a_first_call_shows_that_the_server_works(house: House) -> None:
    told = await house.ask("{ serverInfo { version } plans(first: 1) { nodes { code } } }")
    assert told == {"serverInfo": {"version": "0.1.0"}, "plans": {"nodes": [{"code": "reader-pro"}]}}


async def test_004_29_a_payment_tells_owner_order_status_and_address(house: House) -> None:
    fields = """latestPayment { customer { user { id } } orderId gatewayPaymentId gatewayStatus statusLiteral
      redirectUrl invoice { id } }"""
    told = (await seen(house, await subscribed(house), fields))["latestPayment"]
    assert told.pop("gatewayPaymentId").startswith("pi_")
    assert told.pop("orderId") == told.pop("invoice")["id"]
    assert told == {
        "customer": {"user": {"id": CARD}},
        "gatewayStatus": "succeeded",
        "statusLiteral": "PAID",
        "redirectUrl": None,
    }


PAYMENT = "query ($by: PaymentLookup!) { payment(by: $by) { id } }"


async def test_004_30_the_latest_payment_is_found_by_the_subscriptions_id(house: House) -> None:
    id = await subscribed(house)
    house.pass_time(timedelta(days=28))
    await house.work()
    newest = (await seen(house, id, "payments(first: 1) { nodes { id } }"))["payments"]["nodes"][0]
    assert (await house.ask(PAYMENT, {"by": {"orderId": id}}, CARD))["payment"] == newest


async def test_004_31_the_gateways_id_is_opaque_and_says_whose_it_is(house: House) -> None:
    fields = "latestPayment { gatewayPaymentId platform }"
    told = (await seen(house, await subscribed(house), fields))["latestPayment"]
    assert (told["gatewayPaymentId"].startswith("pi_"), told["platform"]) == (True, "SANDBOX")


async def test_004_32_a_payment_tells_where_the_customer_is_sent(house: House) -> None:
    wish = {"planCode": "reader-pro", "returnUrl": "https://shop.example/done"}
    told = await done(house, "subscribe", "SubscribeInput", wish, "payment { redirectUrl }", user=NEW)
    assert told["payment"] == {"redirectUrl": "https://shop.example/done"}


async def _record(house: House, order: str, **changes: Any) -> dict[str, Any]:
    given = {
        "orderId": order,
        "gatewayPaymentId": "wire-1",
        "gatewayStatus": "received",
        "statusLiteral": "PENDING",
        "amount": {"amount": "7.00", "currencyCode": "USD"},
        **changes,
    }
    fields = "payment { id version platform statusLiteral gatewayStatus isArchived }"
    return await do(house, "createPaymentRecord", "CreatePaymentRecordInput", given, fields)


async def test_004_33_records_by_hand_are_kept_and_the_gateways_are_not_edited(house: House) -> None:
    id = await subscribed(house)
    by_mail = {
        "planCode": "premium-monthly",
        "collectionMethod": "SEND_INVOICE",
        "customerId": (await me(house, "id"))["id"],
    }
    sent = await done(house, "subscribe", "SubscribeInput", by_mail, "subscription { id }")
    told = await _record(house, sent["subscription"]["id"], amount={"amount": "9.99", "currencyCode": "USD"})
    assert codes(told) == []
    record = told["payment"]
    assert (record["platform"], record["statusLiteral"], record["gatewayStatus"]) == ("MANUAL", "PENDING", "received")
    change = {"paymentId": record["id"], "gatewayStatus": "bounced", "statusLiteral": "CANCELED"}
    fields = "payment { statusLiteral gatewayStatus }"
    told = await do(house, "updatePaymentRecord", "UpdatePaymentRecordInput", change, fields)
    assert (codes(told), told["payment"]) == ([], {"statusLiteral": "CANCELED", "gatewayStatus": "bounced"})
    query = "mutation ($id: ID!) { deletePaymentRecord(id: $id) { payment { isArchived } userErrors { code } } }"
    told = (await house.ask(query, {"id": record["id"]}, ADMIN))["deletePaymentRecord"]
    assert (codes(told), told["payment"]) == ([], {"isArchived": True})
    gateways = (await _latest(house, id, "id"))["id"]
    change = {"paymentId": gateways, "statusLiteral": "CANCELED"}
    refused = await do(house, "updatePaymentRecord", "UpdatePaymentRecordInput", change, fields)
    assert codes(refused) == ["NOT_PERMITTED"]
    assert codes((await house.ask(query, {"id": gateways}, ADMIN))["deletePaymentRecord"]) == codes(refused)
    query = "query ($by: PaymentLookup!) { payment(by: $by) { status } }"
    told = await house.ask(query, {"by": {"id": gateways}}, CARD)
    assert told["payment"] == {"status": "SUCCEEDED"}


async def _latest(house: House, id: str, fields: str) -> dict[str, Any]:
    return (await seen(house, id, f"latestPayment {{ {fields} }}"))["latestPayment"]


async def test_004_34_a_payment_is_found_by_its_id(house: House) -> None:
    payment = await _latest(house, await subscribed(house), "id")
    assert (await house.ask(PAYMENT, {"by": payment}, CARD))["payment"] == payment


async def test_004_35_a_payment_is_found_by_its_order(house: House) -> None:
    payment = await _latest(house, await subscribed(house), "id orderId")
    told = await house.ask(PAYMENT, {"by": {"orderId": payment["orderId"]}}, CARD)
    assert told["payment"] == {"id": payment["id"]}


async def test_004_36_a_payment_is_found_by_the_gateways_id(house: House) -> None:
    payment = await _latest(house, await subscribed(house), "id gatewayPaymentId")
    by = {"by": {"gatewayPaymentId": payment["gatewayPaymentId"]}}
    assert (await house.ask(PAYMENT, by, CARD))["payment"] == {"id": payment["id"]}
    assert (await house.ask(PAYMENT, by, NEW))["payment"] is None


async def test_004_37_payments_are_listed_with_six_filters(house: House) -> None:
    wish = {"planCode": "reader-pro", "returnUrl": "https://shop.example/done"}
    waits = (await done(house, "subscribe", "SubscribeInput", wish, "payment { id }", user=NEW))["payment"]["id"]
    paid = await _latest(house, await subscribed(house), "id orderId gatewayPaymentId")
    query = "query ($filter: PaymentFilter) { payments(filter: $filter) { nodes { id } } }"
    every = {
        "ownerId": CARD,
        "orderId": paid["orderId"],
        "gatewayPaymentId": paid["gatewayPaymentId"],
        "gatewayStatus": "succeeded",
        "statusLiteral": ["PAID"],
    }
    for narrowed, wanted in (
        *(({name: value}, [paid["id"]]) for name, value in every.items()),
        (every, [paid["id"]]),
        ({"redirectUrl": "https://shop.example/done"}, [waits]),
        ({**every, "redirectUrl": "https://shop.example/done"}, []),
    ):
        told = await house.ask(query, {"filter": narrowed}, ADMIN)
        assert [node["id"] for node in told["payments"]["nodes"]] == wanted, narrowed


START = """subscription { status }
    payment { id orderId gatewayPaymentId gatewayStatus statusLiteral description metadata
      amount { amount currencyCode } } paymentIntent { status } paymentTicketId success nextAction { type }"""


async def _start(house: House) -> dict[str, Any]:
    begun = (await Shopper(house, NEW).subscribe())["subscription"]["id"]
    card = await Shopper(house, NEW).save_card("pm_card_visa")
    wish = {"subscriptionId": begun, "paymentMethodId": card}
    return await do(house, "startSubscriptionPayment", "StartSubscriptionPaymentInput", wish, START, user=NEW)


async def test_004_38_a_payment_is_started_with_a_chosen_method(house: House) -> None:
    told = await _start(house)
    assert (codes(told), told["subscription"], told["success"]) == ([], {"status": "ACTIVE"}, True)


async def test_004_39_the_answer_to_a_start_tells_all_about_the_payment(house: House) -> None:
    told = await _start(house)
    payment = told["payment"]
    assert told["paymentTicketId"].startswith("att_")
    assert (payment["gatewayStatus"], payment["statusLiteral"], told["paymentIntent"]) == (
        "succeeded",
        "PAID",
        {"status": "SUCCEEDED"},
    )
    assert (payment["amount"], payment["metadata"]) == ({"amount": "7.00", "currencyCode": "USD"}, {})


async def test_004_40_a_payment_is_read_again_from_the_gateway(house: House) -> None:
    wish = {"subscriptionId": await subscribed(house)}
    fields = "success payment { status }"
    refresh = ("refreshSubscriptionPayment", "RefreshSubscriptionPaymentInput")
    told = await done(house, *refresh, wish, fields, user=CARD)
    assert (told["success"], told["payment"]) == (True, {"status": "SUCCEEDED"})


async def test_004_41_the_gateways_call_comes_in_signed(house: House) -> None:
    await subscribed(house)
    await house.deliver()
    told = await house.ask('{ gatewayEvents(type: "payment_intent.succeeded") { nodes { status } } }', user=ADMIN)
    assert told["gatewayEvents"]["nodes"] == [{"status": "PROCESSED"}]
    forged = await house.http.post("/webhooks/stripe", json={}, headers={"Stripe-Signature": "t=1,v1=00"})
    assert forged.status_code == 400


async def test_004_42_a_customers_account_names_its_gateway(house: House) -> None:
    (account,) = (await me(house, "gatewayAccounts { platform customerId }"))["gatewayAccounts"]
    assert (account["platform"], account["customerId"][:4]) == ("SANDBOX", "cus_")


async def test_004_43_a_customer_is_found_by_the_user(house: House) -> None:
    query = f'{{ customer(by: {{userId: "{CARD}"}}) {{ user {{ id }} }} }}'
    assert (await house.ask(query, user=ADMIN))["customer"] == {"user": {"id": CARD}}


async def test_004_44_accounts_are_listed_with_filters(house: House) -> None:
    gateway = (await me(house, "gatewayAccounts { customerId }"))["gatewayAccounts"][0]["customerId"]
    query = "query ($filter: CustomerFilter) { customers(filter: $filter) { nodes { user { id } } } }"
    both = [{"user": {"id": CARD}}, {"user": {"id": "demo-decline"}}]
    for narrowed, wanted in (
        ({"userId": CARD}, both[:1]),
        ({"gatewayCustomerId": gateway}, both[:1]),
        ({"platform": "SANDBOX"}, both),
        ({"platform": "STRIPE"}, []),
        ({"userId": CARD, "gatewayCustomerId": gateway, "platform": "SANDBOX"}, both[:1]),
    ):
        told = (await house.ask(query, {"filter": narrowed}, ADMIN))["customers"]["nodes"]
        assert sorted(told, key=str) == wanted


async def test_004_45_a_saved_card_tells_holder_gateway_and_card(house: House) -> None:
    named = {"paymentMethodId": (await card_of(house, "id"))["id"], "cardHolderName": "Dana", "cardHolderZip": "123"}
    await done(house, "updatePaymentMethod", "UpdatePaymentMethodInput", named, "paymentMethod { id }", user=CARD)
    fields = "gatewayId cardHolderName cardHolderZip platform card { last4 raw } customer { user { id } }"
    query = f'{{ paymentMethods(filter: {{userId: "{CARD}"}}) {{ nodes {{ {fields} }} }} }}'
    (told,) = (await house.ask(query, user=ADMIN))["paymentMethods"]["nodes"]
    assert told["gatewayId"].startswith("pm_")
    assert told["card"]["raw"]["last4"] == told["card"]["last4"] == "4242"
    assert [told[name] for name in ("cardHolderName", "cardHolderZip", "platform")] == ["Dana", "123", "SANDBOX"]


async def test_004_46_saved_cards_are_listed_with_all_filters(house: House) -> None:
    card = await card_of(house, "id gatewayId card { fingerprint } customer { gatewayAccounts { customerId } }")
    named = {"paymentMethodId": card["id"], "cardHolderName": "Dana", "cardHolderZip": "123"}
    await done(house, "updatePaymentMethod", "UpdatePaymentMethodInput", named, "paymentMethod { id }", user=CARD)
    query = "query ($filter: PaymentMethodFilter) { paymentMethods(filter: $filter) { nodes { id } } }"
    every = {
        "paymentMethodId": card["gatewayId"],
        "userId": CARD,
        "gatewayCustomerId": card["customer"]["gatewayAccounts"][0]["customerId"],
        "cardHolderName": "Dana",
        "cardHolderZip": "123",
    }
    alike = {"platform": "SANDBOX", "type": "card", "card": {"brand": "visa"}}
    for narrowed in (*({name: value} for name, value in every.items()), {**every, **alike}):
        assert (await house.ask(query, {"filter": narrowed}, ADMIN))["paymentMethods"]["nodes"] == [{"id": card["id"]}]
    for narrowed in ({"card": {"last4": "0000"}}, {**every, "platform": "STRIPE"}):
        assert (await house.ask(query, {"filter": narrowed}, ADMIN))["paymentMethods"]["nodes"] == []


async def test_004_47_accounts_and_cards_are_made_by_the_flow_itself(house: House) -> None:
    assert await house.ask("{ me { id } }", user=NEW) == {"me": None}
    await Shopper(house, NEW).save_card("pm_card_visa")
    fields = "gatewayAccounts { platform } paymentMethods { totalCount }"
    assert await me(house, fields, NEW) == {
        "gatewayAccounts": [{"platform": "SANDBOX"}],
        "paymentMethods": {"totalCount": 1},
    }


async def test_004_48_silent_doors_are_never_open(house: House) -> None:
    reads = await secret_of_key(house, "read")
    start = """mutation { startSubscriptionPayment(input: {subscriptionId: "x", paymentMethodId: "y"}) {
      userErrors { code } } }"""
    for query in (start, '{ payments(filter: {ownerId: "x"}) { totalCount } }', "{ customers { totalCount } }"):
        answer = (await house.post(query)).json()
        assert [error["extensions"]["code"] for error in answer["errors"]] == ["UNAUTHENTICATED"]
    answer = (await post_with_key(house, reads, start)).json()
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["FORBIDDEN"]
