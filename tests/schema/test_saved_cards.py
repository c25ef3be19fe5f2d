"""Saved cards through the API: all that the gateway tells of them, their lists, and numbers that must never come in."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import orjson
import pytest
from graphql import is_input_object_type
from sqlmodel import select

from gateways.sandbox import Fault
from gateways.sandbox.tables import objects
from models.customers import PaymentMethod
from schema.build import build_schema
from tests.scenarios.shopping import Shopper
from tests.schema.rows import CARD, add_customer
from tests.support.house import House, counted
from tests.support.outside import Browser, dashboard, sandbox_of
from tests.support.tables import everything

ADMIN, SUPPORT = "demo-admin", "demo-support"
VISA, ASKS = "4242424242424242", "4000002760003184"
ERRORS = "userErrors { code field message }"
SETUP = f"""mutation($input: CreateSetupIntentInput) {{ createSetupIntent(input: $input) {{
    setupIntent {{ id gatewayId status clientSecret paymentMethodTypes requestThreeDSecure usage livemode application
        cancellationReason description onBehalfOf metadata mandate {{ gatewayId }} singleUseMandate {{ gatewayId }}
        lastError {{ code }} customer {{ user {{ id }} }} createdAt
        nextAction {{ type returnUrl errorUrl redirectUrl }} }} {ERRORS} }} }}"""


async def only_card(house: House, fields: str, user: str = "demo-card") -> dict[str, Any]:
    data = await house.ask(f"{{ paymentMethods {{ nodes {{ {fields} }} }} }}", user=user)
    (card,) = data["paymentMethods"]["nodes"]
    return card


# ── one card ──


async def test_all_that_the_gateway_tells_of_a_card(house: House) -> None:
    card = await only_card(
        house,
        """type category image name livemode cardHolderName cardHolderZip nextAction { type } supportingDocumentation
        isExpiringSoon mandate { gatewayId } metadata card { generatedFrom networks { available preferred }
        threeDSecureSupported wallet checks { addressLine1 addressPostalCode cvc } acsCheck
        bin { number brand type level countryCode } }""",
    )
    assert card == {
        "type": "card",
        "category": "card",
        "image": "http://127.0.0.1:8000/payment-methods/card.svg",
        "name": None,
        "livemode": False,
        "cardHolderName": None,
        "cardHolderZip": None,
        "nextAction": None,
        "supportingDocumentation": None,
        "isExpiringSoon": False,
        "mandate": None,
        "metadata": {},
        "card": {
            "generatedFrom": None,
            "networks": {"available": ["visa"], "preferred": None},
            "threeDSecureSupported": True,
            "wallet": None,
            "checks": {"addressLine1": "UNCHECKED", "addressPostalCode": "UNCHECKED", "cvc": "PASS"},
            "acsCheck": "UNCHECKED",
            "bin": {"number": None, "brand": "visa", "type": "credit", "level": None, "countryCode": "US"},
        },
    }


async def test_a_card_as_the_gateway_tells_it_is_for_administrators(house: House) -> None:
    query = '{ paymentMethods(filter: {userId: "demo-card"}) { nodes { card { raw } } } }'
    (card,) = (await house.ask(query, user=ADMIN))["paymentMethods"]["nodes"]
    raw = card["card"]["raw"]
    assert (raw["brand"], raw["last4"], raw["networks"]) == ("visa", "4242", {"available": ["visa"], "preferred": None})
    for user in ("demo-card", SUPPORT):
        answer = (await house.post(query, user=user)).json()
        assert [error["extensions"]["code"] for error in answer["errors"]] == ["FORBIDDEN"]
        assert answer["data"]["paymentMethods"]["nodes"] == [{"card": {"raw": None}}]


async def test_an_expired_card_tells_its_holder_to_save_another(small_house: House) -> None:
    # Good to the end of January 2027.
    small_house.pass_time(timedelta(days=364, hours=14, minutes=29, seconds=59))
    assert await only_card(small_house, "nextAction { type }") == {"nextAction": None}
    small_house.pass_time(timedelta(days=1, seconds=1))
    assert await only_card(small_house, "nextAction { type }") == {"nextAction": {"type": "ADD_PAYMENT_METHOD"}}


@pytest.mark.parametrize(
    ("kept", "expected"),
    [
        (
            {"ref": "mandate_1", "status": "active", "max_amount_minor": 1500000, "currency": "INR"},
            {"gatewayId": "mandate_1", "status": "active", "maxAmount": {"amount": "15000.00"}, "isSingleUse": False},
        ),
        (
            {"ref": "mandate_2", "status": None, "max_amount_minor": None, "currency": None},
            {"gatewayId": "mandate_2", "status": None, "maxAmount": None, "isSingleUse": False},
        ),
    ],
)
async def test_a_mandate_that_came_with_a_card_is_told(
    house: House, kept: Mapping[str, Any], expected: Mapping[str, Any]
) -> None:
    async with house.app.database.write() as session:
        (row,) = (await session.exec(select(PaymentMethod).where(PaymentMethod.gateway_ref == await _ref(house)))).all()
        row.mandate = {**kept, "is_single_use": False}
    card = await only_card(house, "mandate { gatewayId status maxAmount { amount } isSingleUse }")
    assert card["mandate"] == expected


async def test_a_mandate_comes_with_the_saving_of_a_card(house: House) -> None:
    told = (await house.ask(SETUP, {"input": {}}, "demo-new"))["createSetupIntent"]["setupIntent"]

    async def permit(unit: Any) -> None:
        intent = await unit.find("setup_intent", told["gatewayId"])
        intent.body["mandate"] = "mandate_1"
        unit.change(intent)

    await sandbox_of(house)._store.write(permit)
    assert (await Browser(house).confirm(told["clientSecret"], VISA)).json()["status"] == "succeeded"
    await house.deliver()
    card = await only_card(house, "version mandate { gatewayId status maxAmount { amount } isSingleUse }", "demo-new")
    mandate = {"gatewayId": "mandate_1", "status": None, "maxAmount": None, "isSingleUse": False}
    assert card == {"version": 2, "mandate": mandate}
    await house.deliver()
    assert await only_card(house, "version", "demo-new") == {"version": 2}


async def _ref(house: House, user: str = "demo-card") -> str:
    return (await only_card(house, "gatewayId", user))["gatewayId"]


async def test_a_row_of_an_older_version_is_no_other_card(house: House) -> None:
    """What it does not know yet of its card is no difference, and comes with the next change."""
    async with house.app.database.write() as session:
        (row,) = (await session.exec(select(PaymentMethod).where(PaymentMethod.gateway_ref == await _ref(house)))).all()
        row.card = {fact: value for fact, value in (row.card or {}).items() if fact in CARD}
    before = await only_card(house, "version")
    v1 = dashboard(house)
    await v1.payment_methods.update_async(await _ref(house), {"metadata": {}})
    await house.deliver()
    assert await only_card(house, "version") == before
    await v1.payment_methods.update_async(await _ref(house), {"metadata": {"seen": "1"}})
    await house.deliver()
    assert await only_card(house, "version") == {"version": before["version"] + 1}
    query = '{ paymentMethods(filter: {userId: "demo-card"}) { nodes { metadata card { raw } } } }'
    (card,) = (await house.ask(query, user=ADMIN))["paymentMethods"]["nodes"]
    assert (card["metadata"], card["card"]["raw"]["last4"]) == ({"seen": "1"}, "4242")


# ── intents ──


async def test_a_setup_intent_as_it_begins(house: House) -> None:
    wish = {
        "paymentMethodTypes": ["card"],
        "returnUrl": "https://shop.example/done",
        "errorUrl": "https://shop.example/failed",
    }
    told = (await house.ask(SETUP, {"input": wish}, "demo-new"))["createSetupIntent"]
    intent = told["setupIntent"]
    assert told["userErrors"] == []
    assert intent.pop("gatewayId").startswith("seti_")
    assert intent.pop("clientSecret")
    assert intent.pop("id").startswith("stp_")
    assert intent == {
        "status": "REQUIRES_PAYMENT_METHOD",
        "paymentMethodTypes": ["card"],
        "requestThreeDSecure": "automatic",
        "usage": "OFF_SESSION",
        "livemode": False,
        "application": None,
        "cancellationReason": None,
        "description": None,
        "onBehalfOf": None,
        "metadata": {},
        "mandate": None,
        "singleUseMandate": None,
        "lastError": None,
        "customer": {"user": {"id": "demo-new"}},
        "createdAt": "2026-01-31T09:30:00Z",
        "nextAction": {
            "type": "CONFIRM_WITH_SDK",
            "returnUrl": "https://shop.example/done",
            "errorUrl": "https://shop.example/failed",
            "redirectUrl": None,
        },
    }


async def test_the_same_key_tells_the_same_setup_intent_with_its_ways_back(house: House) -> None:
    wish = {"errorUrl": "https://shop.example/failed", "idempotencyKey": "once"}
    first = (await house.ask(SETUP, {"input": wish}, "demo-new"))["createSetupIntent"]
    again = (await house.ask(SETUP, {"input": wish}, "demo-new"))["createSetupIntent"]
    assert again == first
    assert again["setupIntent"]["nextAction"]["errorUrl"] == "https://shop.example/failed"


async def test_the_same_key_tells_what_has_become_of_the_setup_intent(house: House) -> None:
    wish = {"usage": "OFF_SESSION", "idempotencyKey": "once"}
    first = (await house.ask(SETUP, {"input": wish}, "demo-new"))["createSetupIntent"]["setupIntent"]
    confirm = f"""mutation($input: SandboxConfirmInput!) {{ sandboxConfirmSetupIntent(input: $input) {{
        setupIntent {{ status }} {ERRORS} }} }}"""
    told = await house.ask(
        confirm, {"input": {"clientSecret": first["clientSecret"], "cardNumber": VISA}}, user="demo-new"
    )
    assert told["sandboxConfirmSetupIntent"]["setupIntent"] == {"status": "SUCCEEDED"}
    again = (await house.ask(SETUP, {"input": wish}, "demo-new"))["createSetupIntent"]["setupIntent"]
    assert (again["id"], again["status"], again["nextAction"]) == (first["id"], "SUCCEEDED", None)


async def test_a_challenge_says_where_a_failed_one_leads(house: House) -> None:
    wish = {"returnUrl": "https://shop.example/done", "errorUrl": "https://shop.example/failed"}
    begun = (await house.ask(SETUP, {"input": wish}, "demo-new"))["createSetupIntent"]["setupIntent"]
    confirm = f"""mutation($input: SandboxConfirmInput!) {{ sandboxConfirmSetupIntent(input: $input) {{
        setupIntent {{ status nextAction {{ type redirectUrl returnUrl errorUrl }} }} {ERRORS} }} }}"""
    wish = {"clientSecret": begun["clientSecret"], "cardNumber": ASKS}
    told = (await house.ask(confirm, {"input": wish}, "demo-new"))["sandboxConfirmSetupIntent"]
    action = told["setupIntent"]["nextAction"]
    assert told["setupIntent"]["status"] == "REQUIRES_ACTION"
    assert action.pop("redirectUrl").startswith("http://127.0.0.1:8000/sandbox/stripe/")
    assert action == {
        "type": "REDIRECT",
        "returnUrl": "https://shop.example/done",
        "errorUrl": "https://shop.example/failed",
    }


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"cardHolderName": "x" * 251}, ["cardHolderName"]),
        ({"address": {"line1": "x" * 251}}, ["address", "line1"]),
        ({"address": {"postalCode": "x" * 251}}, ["address", "postalCode"]),
        ({"expMonth": 13}, ["expMonth"]),
        ({"expYear": 1999}, ["expYear"]),
    ],
)
async def test_what_is_wrong_about_a_card_is_named(small_house: House, wish: dict[str, Any], field: list[str]) -> None:
    before = await only_card(small_house, "id version")
    update = f"""mutation ($input: UpdatePaymentMethodInput!) {{
        updatePaymentMethod(input: $input) {{ paymentMethod {{ id }} {ERRORS} }} }}"""
    given = {"paymentMethodId": before["id"], **wish}
    told = (await small_house.ask(update, {"input": given}, user="demo-card"))["updatePaymentMethod"]
    assert told["paymentMethod"] is None
    assert [(error["code"], error["field"]) for error in told["userErrors"]] == [("INVALID", field)]
    assert await only_card(small_house, "id version") == before


@pytest.mark.parametrize("types", [[], ["sepa_debit"], ["card", "ideal"], ["nonsense"]])
async def test_only_what_can_be_charged_again_is_saved(small_house: House, types: list[str]) -> None:
    before = await everything(small_house.app)
    told = await small_house.ask(SETUP, {"input": {"paymentMethodTypes": types}}, "demo-new")
    assert told["createSetupIntent"] == {
        "setupIntent": None,
        "userErrors": [
            {
                "code": "INVALID",
                "field": ["paymentMethodTypes"],
                "message": "Name ways to pay that can be charged again here: card.",
            }
        ],
    }
    assert await everything(small_house.app) == before


async def test_an_intent_as_the_gateway_tells_it_holds_no_secret_and_nobody(house: House) -> None:
    shopper = Shopper(house, "demo-card")
    begun = await shopper.subscribe(paymentMethodId=await shopper.default_card())
    payment, ref = begun["payment"]["id"], begun["payment"]["intent"]["gatewayId"]
    query = "query($id: ID!) { payment(by: {id: $id}) { intent { raw } } }"
    raw = (await house.ask(query, {"id": payment}, ADMIN))["payment"]["intent"]["raw"]
    assert (raw["id"], raw["object"], raw["status"], raw["amount"]) == (ref, "payment_intent", "succeeded", 700)
    assert {"client_secret", "receipt_email", "shipping"} & set(raw) == set()
    sandbox_of(house).faults.arm(Fault.TIMEOUT_BEFORE, count=2, path_contains=f"/payment_intents/{ref}")
    assert (await house.ask(query, {"id": payment}, ADMIN))["payment"]["intent"] == {"raw": None}
    for user in ("demo-card", SUPPORT):
        answer = (await house.post(query, {"id": payment}, user)).json()
        assert [error["extensions"]["code"] for error in answer["errors"]] == ["FORBIDDEN"]


async def test_a_declined_cards_intent_tells_nothing_of_its_holder(house: House) -> None:
    shopper = Shopper(house, "demo-new")
    begun = await shopper.subscribe()
    secret = begun["paymentIntent"]["clientSecret"]
    answer = await Browser(house).confirm(secret, "4000000000000002")
    assert answer.status_code == 402
    query = "{ payments { nodes { intent { raw } } } }"
    (payment,) = (await house.ask(query, user=ADMIN))["payments"]["nodes"]
    raw = payment["intent"]["raw"]
    assert raw["last_payment_error"]["decline_code"] == "generic_decline"
    assert "billing_details" not in raw["last_payment_error"]["payment_method"]
    assert secret not in str(raw)


async def test_asking_the_gateway_for_many_objects_is_too_expensive(small_house: House) -> None:
    query = "query($n: Int) { payments(first: $n) { nodes { intent { raw } } } }"
    assert "errors" not in (await small_house.post(query, {"n": 25}, ADMIN)).json()
    answer = (await small_house.post(query, {"n": 40}, ADMIN)).json()
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["QUERY_TOO_COMPLEX"]


# ── lists ──

LIST = """query($filter: PaymentMethodFilter, $customer: ID, $page: Int, $size: Int, $archived: Boolean! = false) {
    paymentMethods(filter: $filter, customerId: $customer, page: $page, pageSize: $size, includeArchived: $archived) {
        totalCount nodes { gatewayId isArchived }
        pageInfo { pageNumber pageRowCount totalRowCount pageCount hasNextPage hasPreviousPage } } }"""
# One card differs from the others in everything that can be asked for.
FILTERS: dict[str, Any] = {
    "userId": "ada",
    "gatewayCustomerId": "cus_ada",
    "cardHolderName": "Ada Lovelace",
    "cardHolderZip": "SW1A 1AA",
    "platform": "STRIPE",
    "type": "link",
    "card": {"brand": "mastercard"},
    "card.last4": {"last4": "4444"},
    "card.fingerprint": {"fingerprint": "ada's"},
    "card.expiringBefore": {"expiringBefore": "2026-07-01"},
}
NONE: dict[str, Any] = {
    "userId": "nobody",
    "gatewayCustomerId": "cus_none",
    "cardHolderName": "ada lovelace",
    "cardHolderZip": "SW1A",
    "platform": "MANUAL",
    "type": "Link",
    "card": {"brand": "Mastercard"},
    "card.last4": {"last4": "444"},
    "card.fingerprint": {"fingerprint": "ada"},
    "card.expiringBefore": {"expiringBefore": "2026-06-30"},
    "paymentMethodId": "pm_none",
}


@pytest.fixture
async def shelf(house: House) -> House:
    """Three plain cards of one customer, and one of another that is like none of them."""
    await add_customer(house.app, "plain", 3)
    await add_customer(house.app, "ada", 1)
    async with house.app.database.write() as session:
        rows = (await session.exec(select(PaymentMethod).where(PaymentMethod.gateway_ref == "pm_ada-0"))).all()
        (row,) = rows
        row.platform, row.type = "stripe", "link"
        row.billing_details = {"name": "Ada Lovelace", "address": {"postal_code": "SW1A 1AA"}}
        row.card = CARD | {
            "brand": "mastercard",
            "last4": "4444",
            "fingerprint": "ada's",
            "exp_month": 6,
            "exp_year": 2026,
        }
    return house


async def listed(house: House, user: str = ADMIN, **variables: Any) -> dict[str, Any]:
    return (await house.ask(LIST, variables, user))["paymentMethods"]


async def found(house: House, wish: Mapping[str, Any], **variables: Any) -> list[str]:
    told = await listed(house, filter=dict(wish), **variables)
    assert told["totalCount"] == len(told["nodes"])
    return [node["gatewayId"] for node in told["nodes"]]


def alone(name: str, value: Any) -> dict[str, Any]:
    return {name.partition(".")[0]: value}


async def test_each_filter_alone_finds_the_one_card(shelf: House) -> None:
    own = await shelf.ask('{ customer(by: {userId: "ada"}) { id gatewayAccounts { customerId } } }', user=ADMIN)
    account = own["customer"]["gatewayAccounts"][0]["customerId"]
    wishes = {**FILTERS, "gatewayCustomerId": account, "paymentMethodId": "pm_ada-0"}
    assert {name: await found(shelf, alone(name, value)) for name, value in wishes.items()} == {
        name: ["pm_ada-0"] for name in wishes
    }
    assert await found(shelf, {}, customer=own["customer"]["id"]) == ["pm_ada-0"]


async def test_each_filter_finds_none_by_what_is_only_nearly_so(shelf: House) -> None:
    assert {name: await found(shelf, alone(name, value)) for name, value in NONE.items()} == {name: [] for name in NONE}


async def test_all_filters_together_find_it_and_one_wrong_one_finds_none(shelf: House) -> None:
    own = await shelf.ask('{ customer(by: {userId: "ada"}) { id gatewayAccounts { customerId } } }', user=ADMIN)
    together: dict[str, Any] = {name: value for name, value in FILTERS.items() if "." not in name} | {
        "gatewayCustomerId": own["customer"]["gatewayAccounts"][0]["customerId"],
        "paymentMethodId": "pm_ada-0",
        "card": {"brand": "mastercard", "last4": "4444", "fingerprint": "ada's", "expiringBefore": "2026-07-01"},
    }
    assert await found(shelf, together) == ["pm_ada-0"]
    assert await found(shelf, together, customer=own["customer"]["id"]) == ["pm_ada-0"]
    for name, value in NONE.items():
        wrong = {**together["card"], **value} if name.startswith("card.") or name == "card" else value
        assert await found(shelf, together | alone(name, wrong)) == [], name


async def test_pages_by_number(shelf: House) -> None:
    told = await listed(shelf, filter={"userId": "plain"}, page=2, size=2)
    assert told == {
        "totalCount": 3,
        "nodes": [{"gatewayId": "pm_plain-0", "isArchived": False}],
        "pageInfo": {
            "pageNumber": 2,
            "pageRowCount": 1,
            "totalRowCount": 3,
            "pageCount": 2,
            "hasNextPage": False,
            "hasPreviousPage": True,
        },
    }
    own = await listed(shelf, user="plain", page=1, size=2)
    assert [node["gatewayId"] for node in own["nodes"]] == ["pm_plain-2", "pm_plain-1"]


async def test_staff_finds_detached_cards_when_they_ask(shelf: House) -> None:
    async with shelf.app.database.write() as session:
        (row,) = (await session.exec(select(PaymentMethod).where(PaymentMethod.gateway_ref == "pm_plain-1"))).all()
        row.archived_at = shelf.app.now()
    wish = {"userId": "plain"}
    assert await found(shelf, wish) == ["pm_plain-2", "pm_plain-0"]
    told = await listed(shelf, filter=wish, archived=True)
    assert [(node["gatewayId"], node["isArchived"]) for node in told["nodes"]] == [
        ("pm_plain-2", False),
        ("pm_plain-1", True),
        ("pm_plain-0", False),
    ]
    answer = (await shelf.post(LIST, {"archived": True}, "plain")).json()
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["FORBIDDEN"]
    assert answer["errors"][0]["message"] == "NOT_PERMITTED: detached cards are for staff; leave includeArchived out."


@pytest.mark.parametrize("cards", [1, 20])
async def test_a_list_of_whole_cards_sends_as_many_statements_as_a_single_one(house: House, cards: int) -> None:
    await add_customer(house.app, "many", cards)
    query = """{ paymentMethods(filter: {userId: "many"}, page: 1, pageSize: 20) { pageInfo { totalRowCount } nodes {
        category image nextAction { type } mandate { gatewayId } isDefault usedBy { id } customer { id }
        card { raw bin { number } } } } }"""
    async with counted(house.app) as statements:
        data = await house.ask(query, user=ADMIN)
    assert len(data["paymentMethods"]["nodes"]) == cards
    assert len(statements) == 4  # the page, its count, the customer, the subscriptions


# ── tokens, and ids of whatever kind ──


async def test_a_token_used_twice_saves_one_card(house: House) -> None:
    shopper = Shopper(house, "demo-card")
    begun = await shopper.subscribe(paymentMethodId=await shopper.default_card())
    subscription = begun["subscription"]["id"]
    first = await pin(house, subscription, cardToken="tok_mastercard")
    again = await pin(house, subscription, cardToken="tok_mastercard")
    assert (first["userErrors"], again["userErrors"]) == ([], [])
    assert first["subscription"]["paymentMethod"] == again["subscription"]["paymentMethod"]
    data = await house.ask("{ paymentMethods { nodes { card { brand } } } }", user="demo-card")
    assert [node["card"]["brand"] for node in data["paymentMethods"]["nodes"]] == ["mastercard", "visa"]


async def test_a_token_whose_answer_was_lost_saves_one_card(house: House) -> None:
    shopper = Shopper(house, "demo-card")
    begun = await shopper.subscribe(paymentMethodId=await shopper.default_card())
    subscription = begun["subscription"]["id"]
    sandbox_of(house).faults.arm(Fault.TIMEOUT_AFTER, count=2, path_contains="/v1/payment_methods")
    lost = await pin(house, subscription, cardToken="tok_mastercard")
    assert [error["code"] for error in lost["userErrors"]] == ["GATEWAY_UNAVAILABLE"]
    assert (await pin(house, subscription, cardToken="tok_mastercard"))["userErrors"] == []
    made = await stored(house, "payment_method")
    assert sorted(body["card"]["brand"] for body in made if body["card"]["last4"] != "0341") == ["mastercard", "visa"]


async def test_a_foreign_token_is_not_found_and_pays_nothing(house: House) -> None:
    shopper = Shopper(house, "demo-card")
    card = await shopper.default_card()
    begun = await shopper.subscribe(paymentMethodId=card)
    before = await everything(house.app)
    foreign = await _ref(house, "demo-decline")
    refused = await pin(house, begun["subscription"]["id"], cardToken=foreign)
    assert refused["userErrors"] == [
        {"code": "NOT_FOUND", "field": ["cardToken"], "message": refused["userErrors"][0]["message"]}
    ]
    assert foreign not in refused["userErrors"][0]["message"]
    assert await everything(house.app) == before


async def test_a_declined_token_leaves_the_card_that_was_there(house: House) -> None:
    shopper = Shopper(house, "demo-card")
    begun = await shopper.subscribe(paymentMethodId=await shopper.default_card())
    before = await everything(house.app)
    refused = await pin(house, begun["subscription"]["id"], cardToken="tok_visa_chargeDeclinedInsufficientFunds")
    assert [(error["code"], error["field"]) for error in refused["userErrors"]] == [("CARD_DECLINED", ["cardToken"])]
    assert await everything(house.app) == before


async def test_an_id_of_the_old_kind_is_as_good_as_any(house: House) -> None:
    """The gateway's ids are opaque: what it calls card_… is attached, chosen and charged like the rest."""

    async def add(unit: Any) -> None:
        known = await unit.find("payment_method", await_ref)
        old = {**known.body, "id": "card_1F0SuwFHLN0R8v5Ye", "customer": None}
        unit.add("payment_method", old, dict(known.private))

    await_ref = await _ref(house)
    await sandbox_of(house)._store.write(add)
    shopper = Shopper(house, "demo-new")
    card = await shopper.save_card("card_1F0SuwFHLN0R8v5Ye")
    assert await only_card(house, "id gatewayId isDefault", "demo-new") == {
        "id": card,
        "gatewayId": "card_1F0SuwFHLN0R8v5Ye",
        "isDefault": True,
    }
    begun = await shopper.subscribe(paymentMethodId="card_1F0SuwFHLN0R8v5Ye")
    assert begun["subscription"]["status"] == "ACTIVE"


async def test_what_the_customer_has_at_the_gateway_for_another_shop_is_never_charged(house: House) -> None:
    """Renewals are charged to cards: a bank account that the merchant's other shop made the default is none."""
    card = await _ref(house)

    async def add(unit: Any) -> None:
        known = await unit.find("payment_method", card)
        for ref, owner in (("pm_old", known.body["customer"]), ("pm_new", None)):
            bank = {**known.body, "id": ref, "type": "sepa_debit", "customer": owner}
            unit.add("payment_method", bank, dict(known.private))

    await sandbox_of(house)._store.write(add)
    owner: Any = (await dashboard(house).payment_methods.retrieve_async(card)).customer
    wish: Any = {"invoice_settings": {"default_payment_method": "pm_old"}}
    await dashboard(house).customers.update_async(owner, wish)
    await house.deliver()
    assert await only_card(house, "gatewayId isDefault") == {"gatewayId": card, "isDefault": True}

    mutation = f"""mutation {{ attachPaymentMethod(input: {{paymentMethodId: "pm_new", makeDefault: true}}) {{
        paymentMethod {{ id }} {ERRORS} }} }}"""
    told = (await house.ask(mutation, user="demo-card"))["attachPaymentMethod"]
    message = "Give a way to pay that is charged here: card."
    assert told == {
        "paymentMethod": None,
        "userErrors": [{"code": "INVALID", "field": ["paymentMethodId"], "message": message}],
    }
    await house.deliver()
    assert await only_card(house, "gatewayId isDefault") == {"gatewayId": card, "isDefault": True}


async def pin(house: House, subscription: str, **wish: Any) -> dict[str, Any]:
    mutation = f"""mutation($input: UpdateSubscriptionPaymentMethodInput!) {{
        updateSubscriptionPaymentMethod(input: $input) {{ subscription {{ paymentMethod {{ id }} }} {ERRORS} }} }}"""
    told = await house.ask(mutation, {"input": {"subscriptionId": subscription, **wish}}, "demo-card")
    return told["updateSubscriptionPaymentMethod"]


# ── numbers of cards never come in ──

NUMBERS = (VISA, "4242 4242 4242 4242", "5555-5555-5555-4444", "378282246310005", "4222222222222")
# Mutation → its input's type, the other fields, and the fields that name a card.
NAMING = {
    "subscribe": ("SubscribeInput!", {"planCode": "reader-pro"}, ("paymentMethodId",)),
    "attachPaymentMethod": ("AttachPaymentMethodInput!", {}, ("paymentMethodId",)),
    "setDefaultPaymentMethod": ("SetDefaultPaymentMethodInput!", {}, ("paymentMethodId",)),
    "updatePaymentMethod": ("UpdatePaymentMethodInput!", {"cardHolderName": "Ada"}, ("paymentMethodId",)),
    "detachPaymentMethod": ("DetachPaymentMethodInput!", {}, ("paymentMethodId",)),
    "startSubscriptionPayment": (
        "StartSubscriptionPaymentInput!",
        {"subscriptionId": "sbs_none"},
        ("paymentMethodId",),
    ),
    "retryPayment": ("RetryPaymentInput!", {"invoiceId": "inv_none"}, ("paymentMethodId",)),
    "updateSubscriptionPaymentMethod": (
        "UpdateSubscriptionPaymentMethodInput!",
        {"subscriptionId": "sbs_none", "idempotencyKey": "key"},
        ("paymentMethodId", "cardToken"),
    ),
}
NOTING = {
    "subscribe": ("SubscribeInput!", {"planCode": "free"}, "demo-new"),
    "updateSubscription": ("UpdateSubscriptionInput!", {"subscriptionId": "sbs_none"}, "demo-new"),
    "createCustomer": ("CustomerInput!", {"userId": "somebody"}, ADMIN),
    "createProduct": ("ProductInput!", {"code": "some", "name": "Some"}, ADMIN),
    "createCoupon": ("CouponInput!", {"code": "SOME", "percentOff": "10"}, ADMIN),
}


async def stored(house: House, kind: str) -> list[dict[str, Any]]:
    """The sandbox's objects of a kind."""
    async with house.app.database.engine.connect() as connection:
        rows = await connection.execute(select(objects.c.body).where(objects.c.kind == kind))
        return [orjson.loads(row[0]) if isinstance(row[0], str | bytes) else row[0] for row in rows]


@pytest.mark.parametrize("number", NUMBERS)
async def test_a_number_in_place_of_a_card_is_refused_everywhere(
    small_house: House, number: str, capfd: pytest.CaptureFixture[str]
) -> None:
    before, objects_before = await everything(small_house.app), await stored(small_house, "payment_method")
    for mutation, (kind, others, names) in NAMING.items():
        query = f"mutation($input: {kind}) {{ {mutation}(input: $input) {{ {ERRORS} }} }}"
        for name in names:
            told = await small_house.ask(query, {"input": {**others, name: number}}, "demo-card")
            assert told[mutation]["userErrors"] == [
                {
                    "code": "INVALID",
                    "field": [name],
                    "message": f"{name}: this looks like a card's number, which must never come here. Let the browser "
                    "give the card to the gateway and send what it gets for it.",
                }
            ], mutation
    assert await everything(small_house.app) == before
    assert await stored(small_house, "payment_method") == objects_before
    logged = "".join(capfd.readouterr())
    assert logged
    assert number not in logged
    assert number.replace(" ", "").replace("-", "") not in logged


@pytest.mark.parametrize("notes", [{"card": VISA}, {VISA: 1}, {"a": [{"b": f"pay with {VISA}!"}]}, {"n": int(VISA)}])
async def test_a_number_among_notes_is_refused(
    small_house: House, notes: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    before = await everything(small_house.app)
    for mutation, (kind, others, user) in NOTING.items():
        query = f"mutation($input: {kind}) {{ {mutation}(input: $input) {{ {ERRORS} }} }}"
        told = await small_house.ask(query, {"input": {**others, "metadata": notes}}, user)
        assert told[mutation]["userErrors"] == [
            {
                "code": "INVALID",
                "field": ["metadata"],
                "message": "metadata: this holds what looks like a card's number, which must never come here. Leave it "
                "out.",
            }
        ], mutation
    assert await everything(small_house.app) == before
    assert VISA not in "".join(capfd.readouterr())


async def test_other_long_numbers_may_be_noted(small_house: House) -> None:
    query = f"mutation($input: SubscribeInput!) {{ subscribe(input: $input) {{ {ERRORS} }} }}"
    notes = {"guild": "1304839938470912008", "order": 4242424242424241, "uuid": "0199a2b3-4242-4242-4242-424242424242"}
    told = await small_house.ask(query, {"input": {"planCode": "free", "metadata": notes}}, "demo-new")
    assert told["subscribe"]["userErrors"] == []


def test_no_input_of_a_real_gateways_schema_takes_a_cards_number() -> None:
    names = {
        f"{kind.name}.{field}"
        for kind in build_schema(sandbox=False)._schema.type_map.values()
        if is_input_object_type(kind)
        for field in kind.fields
        if any(word in field.lower() for word in ("number", "cvc", "cvv"))
    }
    # Payments are counted, and looked up by that.
    assert names == {"PaymentLookup.number"}
