"""One story for each source: what it prints, asked for and answered here with its own values, on both databases."""

from datetime import timedelta
from typing import Any

from tests.scenarios.by_hand import DELETE, YEAR_OF_COFFEE, write_down
from tests.scenarios.merchant import ADMIN, Merchant, do, done
from tests.scenarios.shopping import Shopper
from tests.schema.keys import ask_with_key, secret_of_key
from tests.sources.asking import CARD, NEW, card_of, codes, me, plan, seen
from tests.support.house import House
from tests.support.outside import VISA, Browser

READER = """subscription { id interval plan { code interval item highlight description isOnlineSale cancelAtPeriodEnd
    role { id } price { amount { amount } } inYuan: price(currencyCode: "CNY") { amount { amount } } } }
  payment { number }
  paymentIntent { gatewayId clientSecret setupFutureUsage createdAt paymentMethod { gatewayId }
    customer { user { id } } }"""
READER_PRO = {
    "code": "reader-pro",
    "interval": "MONTH",
    "item": "reader-pro",
    "highlight": None,
    "description": "Every book, every month.",
    "isOnlineSale": True,
    "cancelAtPeriodEnd": False,
    "role": {"id": 20},
    "price": {"amount": {"amount": "7.00"}},
    "inYuan": {"amount": {"amount": "101.00"}},
}


async def _reader(house: House, user: str, **wish: Any) -> dict[str, Any]:
    told = await done(house, "subscribe", "SubscribeInput", {"planCode": "reader-pro", **wish}, READER, user=user)
    assert told["subscription"]["plan"] == READER_PRO
    assert told["subscription"]["interval"] == "MONTH"
    return told


async def test_the_story_of_000_three_ways_to_subscribe_a_card_beside_them_and_the_default(house: House) -> None:
    card = await card_of(house, "gatewayId type livemode card { brand last4 countryCode funding }")
    assert card["card"] == {"brand": "visa", "last4": "4242", "countryCode": "US", "funding": "CREDIT"}
    # With a card that is saved: the answer's payment method is not null.
    paid = await _reader(house, CARD, paymentMethodId=card["gatewayId"])
    assert paid["paymentIntent"]["paymentMethod"] == {"gatewayId": card["gatewayId"]}
    # With a card that is typed in: null until the browser confirms.
    typed = await _reader(house, NEW)
    assert (typed["paymentIntent"]["setupFutureUsage"], typed["paymentIntent"]["paymentMethod"]) == (None, None)
    assert typed["payment"]["number"] > paid["payment"]["number"]
    await Browser(house).confirm(typed["paymentIntent"]["clientSecret"], VISA)
    await house.deliver()
    assert await me(house, "subscription { status } paymentMethods { totalCount }", NEW) == {
        "subscription": {"status": "ACTIVE"},
        "paymentMethods": {"totalCount": 0},
    }
    # Typed in and kept.
    kept = await _reader(house, "testuser", setupFutureUsage="OFF_SESSION")
    assert kept["paymentIntent"]["setupFutureUsage"] == "OFF_SESSION"
    await Browser(house).confirm(kept["paymentIntent"]["clientSecret"], VISA)
    await house.deliver()
    assert (await card_of(house, "card { last4 }", "testuser")) == {"card": {"last4": "4242"}}
    # Beside the checkout: a setup intent, the browser, then the server is told.
    fields = "setupIntent { gatewayId clientSecret usage status paymentMethodTypes requestThreeDSecure application }"
    begun = await done(house, "createSetupIntent", "CreateSetupIntentInput", {}, fields, user="testuser")
    intent = begun["setupIntent"]
    assert {name: intent[name] for name in intent if name not in ("gatewayId", "clientSecret")} == {
        "usage": "OFF_SESSION",
        "status": "REQUIRES_PAYMENT_METHOD",
        "paymentMethodTypes": ["card"],
        "requestThreeDSecure": "automatic",
        "application": None,
    }
    confirmed = (await Browser(house).confirm(intent["clientSecret"], VISA)).json()
    attach = {"paymentMethodId": confirmed["payment_method"]}
    fields = "paymentMethod { gatewayId card { brand } livemode metadata }"
    told = await done(house, "attachPaymentMethod", "AttachPaymentMethodInput", attach, fields, user="testuser")
    assert told["paymentMethod"] == {
        "gatewayId": confirmed["payment_method"],
        "card": {"brand": "visa"},
        "livemode": False,
        "metadata": {},
    }
    # The default: the answer shows what was asked for.
    choose = {"paymentMethodId": confirmed["payment_method"]}
    fields = (
        "customer { user { id } defaultPaymentMethod { gatewayId } role { id } hasUsedTrial locale image salesCode }"
    )
    told = await done(house, "setDefaultPaymentMethod", "SetDefaultPaymentMethodInput", choose, fields, user="testuser")
    assert told["customer"] == {
        "user": {"id": "testuser"},
        "defaultPaymentMethod": {"gatewayId": confirmed["payment_method"]},
        "role": {"id": 20},
        "hasUsedTrial": False,
        "locale": "en",
        "image": None,
        "salesCode": None,
    }
    house.pass_time(timedelta(days=28))
    await house.work()
    fields = "latestPayment { status paymentMethod { gatewayId } }"
    assert (await me(house, f"subscription {{ {fields} }}", "testuser"))["subscription"]["latestPayment"] == {
        "status": "SUCCEEDED",
        "paymentMethod": {"gatewayId": confirmed["payment_method"]},
    }
    assert await house.audit() == []


SOLD = """{ subscriptions(filter: {externalId: "subscription_givin_id", origin: [MANUAL]}) { nodes {
  id externalId name interval status customer { externalId }
  creditBalances { unit dailyAllowance totalGranted isFixed isExhausted }
  latestPayment { gatewayPaymentId amountPaid { amount } } } } }"""


async def test_the_story_of_001_coffee_by_the_year_by_hand_and_online_with_coupons(house: House) -> None:
    told = await write_down(house)
    assert told["userErrors"] == []
    (sold,) = (await house.ask(SOLD, user=ADMIN))["subscriptions"]["nodes"]
    id = sold.pop("id")
    assert sold == {
        "externalId": "subscription_givin_id",
        "name": "Installment Subscription",
        "interval": "YEAR",
        "status": "CANCELED",
        "customer": {"externalId": "user_kid"},
        "creditBalances": [
            {"unit": unit, "dailyAllowance": 1, "totalGranted": 365, "isFixed": False, "isExhausted": False}
            for unit in ("classic_coffee", "specialty_coffee")
        ],
        "latestPayment": {
            "gatewayPaymentId": YEAR_OF_COFFEE["paymentReference"],
            "amountPaid": {"amount": "3540.00"},
        },
    }
    assert codes((await house.ask(DELETE, {"id": id}, ADMIN))["deleteManualSubscription"]) == []
    assert (await house.ask(SOLD, user=ADMIN))["subscriptions"]["nodes"] == []
    # The coupon, switched to another interval and back.
    offer = {
        "code": "coupon_unique_code_name",
        "percentOff": "25",
        "maxRedemptions": 1,
        "expiresAt": "2026-11-30T00:00:00Z",
        "appliesToProductCodes": ["classic_coffee", "specialty_coffee"],
        "interval": "MONTH",
    }
    await done(house, "createCoupon", "CouponInput", offer, "coupon { id }")
    update = """mutation ($code: String!, $input: CouponInput!) { updateCoupon(code: $code, input: $input) {
      coupon { isActive interval } userErrors { code } } }"""
    for isActive, interval in ((False, "YEAR"), (True, "MONTH")):
        variables = {"code": offer["code"], "input": {"isActive": isActive, "interval": interval}}
        assert (await house.ask(update, variables, ADMIN))["updateCoupon"] == {
            "coupon": {"isActive": isActive, "interval": interval},
            "userErrors": [],
        }
    # Online, by product and interval, with the coupon; a quarter off 49 and 79.
    card = (await card_of(house, "gatewayId"))["gatewayId"]
    wish = {
        "paymentMethodId": card,
        "interval": "MONTH",
        "couponCode": offer["code"],
        "items": [{"productCode": "classic_coffee", "quantity": 1}, {"productCode": "specialty_coffee", "quantity": 1}],
        "name": "Subscription 16",
    }
    fields = "subscription { id name amount { amount } originalAmount { amount } discountAmount { amount } }"
    bought = (await done(house, "subscribe", "SubscribeInput", wish, fields, user=CARD))["subscription"]
    order = bought.pop("id")
    assert bought == {
        "name": "Subscription 16",
        "amount": {"amount": "96.00"},
        "originalAmount": {"amount": "128.00"},
        "discountAmount": {"amount": "32.00"},
    }
    # The event that went out when it began.
    await house.work()
    query = '{ billingEvents(types: ["subscription.created"]) { nodes { subject { id } payload } } }'
    events = (await house.ask(query, user=ADMIN))["billingEvents"]["nodes"]
    assert [event["subject"]["id"] for event in events] == [id, order]
    # Its cards, its subscriptions, and the end.
    own = "subscriptions { nodes { id } } paymentMethods { nodes { gatewayId } }"
    assert await me(house, own) == {
        "subscriptions": {"nodes": [{"id": order}]},
        "paymentMethods": {"nodes": [{"gatewayId": card}]},
    }
    now = {"subscriptionId": order, "effectiveAt": "NOW"}
    await done(house, "cancelSubscription", "CancelSubscriptionInput", now, "subscription { id }", user=CARD)
    detach = {"paymentMethodId": card}
    await done(house, "detachPaymentMethod", "DetachPaymentMethodInput", detach, "paymentMethod { id }", user=CARD)
    assert (await me(house, "paymentMethods { totalCount }"))["paymentMethods"]["totalCount"] == 0
    assert await house.audit() == []


BASIC = """id status plan { name description intervalCount trialPeriodDays billingDay isActive
    price { amount { amountMinor currencyCode } } }
  customer { user { id } } discounts { coupon { code } }
  amount { amountMinor } originalAmount { amountMinor } discountAmount { amountMinor } currencyCode
  interval intervalCount billingDay trial { periodDays start end } currentPeriod { start end } nextBillingAt
  pausedAt pausedUntil canceledAt cancelAt cancelAtPeriodEnd scheduledChange { at plan { id } } metadata"""


async def test_the_story_of_002_a_company_changes_the_card_of_a_subscription(house: House) -> None:
    offer = {"code": "FIVE", "amountsOff": [{"amount": "5.00", "currencyCode": "BRL"}], "duration": "FOREVER"}
    await done(house, "createCoupon", "CouponInput", offer, "coupon { id }")
    card = (await card_of(house, "id"))["id"]
    wish = {"planCode": "basic-monthly", "paymentMethodId": card, "couponCode": "FIVE", "metadata": [{}]}
    id = (await done(house, "subscribe", "SubscribeInput", wish, "subscription { id }", user=CARD))["subscription"][
        "id"
    ]
    secret = await secret_of_key(house, "act_for_customer", "read")
    query = f"""mutation ($input: UpdateSubscriptionPaymentMethodInput!) {{
      updateSubscriptionPaymentMethod(input: $input) {{
        subscription {{ {BASIC} paymentMethod {{ card {{ last4 brand }} }} }} userErrors {{ code }} }} }}"""
    change = {"subscriptionId": id, "cardToken": "tok_mastercard"}
    told = (await ask_with_key(house, secret, query, {"input": change}))["updateSubscriptionPaymentMethod"]
    assert told["userErrors"] == []
    assert told["subscription"] == {
        "id": id,
        "status": "TRIALING",
        "plan": {
            "name": "Basic Monthly",
            "description": "Seven days free, then billed on the 5th.",
            "intervalCount": 1,
            "trialPeriodDays": 7,
            "billingDay": 5,
            "isActive": True,
            "price": {"amount": {"amountMinor": 2990, "currencyCode": "BRL"}},
        },
        "customer": {"user": {"id": CARD}},
        "discounts": [{"coupon": {"code": "FIVE"}}],
        "amount": {"amountMinor": 2490},
        "originalAmount": {"amountMinor": 2990},
        "discountAmount": {"amountMinor": 500},
        "currencyCode": "BRL",
        "interval": "MONTH",
        "intervalCount": 1,
        "billingDay": 5,
        "trial": {"periodDays": 7, "start": "2026-01-31T09:30:00Z", "end": "2026-02-07T09:30:00Z"},
        "currentPeriod": {"start": "2026-01-31T09:30:00Z", "end": "2026-02-07T09:30:00Z"},
        "nextBillingAt": "2026-02-07T09:30:00Z",
        "pausedAt": None,
        "pausedUntil": None,
        "canceledAt": None,
        "cancelAt": None,
        "cancelAtPeriodEnd": False,
        "scheduledChange": None,
        "metadata": [{}],
        "paymentMethod": {"card": {"last4": "4444", "brand": "mastercard"}},
    }
    # The new card pays when the trial is over.
    house.pass_time(timedelta(days=7))
    await house.work()
    paid = "status latestPayment { status paymentMethod { card { brand } } }"
    assert await seen(house, id, paid) == {
        "status": "ACTIVE",
        "latestPayment": {"status": "SUCCEEDED", "paymentMethod": {"card": {"brand": "mastercard"}}},
    }
    assert await house.audit() == []


async def test_the_story_of_003_music_in_singapore_for_three_dollars_a_month(house: House) -> None:
    query = """{ paymentMethodTypes(countryCode: "SG", currencyCode: "SGD") { code name category isEnabled
      requiredFields { name } } }"""
    types = {each["code"]: each for each in (await house.ask(query))["paymentMethodTypes"]}
    assert (types["card"]["category"], types["card"]["isEnabled"]) == ("card", True)
    # The customer first, then the card by the browser's token, then the default.
    secret = await secret_of_key(house, "act_for_customer", "manage_catalog", "read")
    query = """mutation ($input: CustomerInput!) { createCustomer(input: $input) {
      customer { id name email } userErrors { code } } }"""
    wish = {"userId": "john", "name": "John Doe", "email": "johndoe@rapyd.example"}
    customer = (await ask_with_key(house, secret, query, {"input": wish}))["createCustomer"]["customer"]
    assert (customer["name"], customer["email"]) == ("John Doe", "johndoe@rapyd.example")
    raw = {"paymentMethodId": "4111111111111111", "customerId": customer["id"]}
    refused = await do(house, "attachPaymentMethod", "AttachPaymentMethodInput", raw, "paymentMethod { id }")
    assert codes(refused) == ["INVALID"]
    token = {"paymentMethodId": "tok_visa", "customerId": customer["id"], "makeDefault": True}
    await done(house, "attachPaymentMethod", "AttachPaymentMethodInput", token, "paymentMethod { id }")
    # Product, plan, subscription.
    product = await done(
        house,
        "createProduct",
        "ProductInput",
        {"name": "Acme Music Stream", "type": "SERVICE"},
        "product { id isActive }",
    )
    priced = {
        "name": "Basic Streaming",
        "nickname": "Basic Streaming",
        "productId": product["product"]["id"],
        "interval": "MONTH",
        "prices": [{"currencyCode": "SGD", "amount": "3"}],
        "usageType": "LICENSED",
    }
    fields = """plan { id nickname interval intervalCount usageType billingScheme trialPeriodDays metadata
      product { name type isActive shippable } price { amount { amount currencyCode } tiers { upTo } } }"""
    made = (await done(house, "createPlan", "PlanInput", priced, fields))["plan"]
    streaming = made.pop("id")
    assert made == {
        "nickname": "Basic Streaming",
        "interval": "MONTH",
        "intervalCount": 1,
        "usageType": "LICENSED",
        "billingScheme": "PER_UNIT",
        "trialPeriodDays": 0,
        "metadata": {},
        "product": {"name": "Acme Music Stream", "type": "SERVICE", "isActive": True, "shippable": False},
        "price": {"amount": {"amount": "3.00", "currencyCode": "SGD"}, "tiers": []},
    }
    # No card is named: the default one pays.
    query = """mutation ($input: SubscribeInput!) { subscribe(input: $input) { subscription {
      id status collectionMethod cancelAtPeriodEnd taxPercent trial { start } discounts { start } endedAt metadata
      items { quantity plan { id } } currentPeriod { start end } } userErrors { code } } }"""
    wish = {"customerId": customer["id"], "items": [{"planId": streaming, "quantity": 1}]}
    wish |= {"collectionMethod": "CHARGE_AUTOMATICALLY", "paymentMethodId": (await card_of(house, "id", "john"))["id"]}
    told = (await ask_with_key(house, secret, query, {"input": wish}))["subscribe"]
    assert told["userErrors"] == []
    id = told["subscription"].pop("id")
    assert told["subscription"] == {
        "status": "ACTIVE",
        "collectionMethod": "CHARGE_AUTOMATICALLY",
        "cancelAtPeriodEnd": False,
        "taxPercent": None,
        "trial": None,
        "discounts": [],
        "endedAt": None,
        "metadata": {},
        "items": [{"quantity": 1, "plan": {"id": streaming}}],
        "currentPeriod": {"start": "2026-01-31T09:30:00Z", "end": "2026-02-28T09:30:00Z"},
    }
    # Indefinitely: each month's end collects.
    for days in (28, 31, 30):
        house.pass_time(timedelta(days=days))
        await house.work()
    assert await seen(
        house, id, "totalPaid { formatted } paymentMethod { id } effectivePaymentMethod { isDefault }", ADMIN
    ) == {
        "totalPaid": {"formatted": "SGD12.00"},
        "paymentMethod": None,
        "effectivePaymentMethod": {"isDefault": True},
    }
    assert await house.audit() == []


async def test_the_story_of_004_one_premium_plan_its_ledger_and_who_may_in(house: House) -> None:
    # The administrator sets the price, 9.99 in cents, and changes it without a deployment.
    id = await Merchant(house).plan("fit-premium", "9.99", description="Premium.", type="STANDARD")
    assert await plan(house, "fit-premium", "description type isActive version price { amount { amountMinor } }") == {
        "description": "Premium.",
        "type": "STANDARD",
        "isActive": True,
        "version": 1,
        "price": {"amount": {"amountMinor": 999}},
    }
    # A user without a subscription is asked to subscribe.
    assert await house.ask("{ mySubscription { id } }", user=NEW) == {"mySubscription": None}
    begun = (await Shopper(house, NEW).subscribe("fit-premium"))["subscription"]["id"]
    fields = "status activatedAt pricePaid { amountMinor } paymentConfirmation"
    assert await seen(house, begun, fields, NEW) == {
        "status": "INCOMPLETE",
        "activatedAt": None,
        "pricePaid": None,
        "paymentConfirmation": "PENDING",
    }
    card = await Shopper(house, NEW).save_card("pm_card_visa")
    start = """paymentTicketId success payment { id orderId gatewayPaymentId statusLiteral gatewayStatus
      amount { amountMinor currencyCode } } paymentIntent { gatewayId status }"""
    wish = {"subscriptionId": begun, "paymentMethodId": card}
    told = await done(house, "startSubscriptionPayment", "StartSubscriptionPaymentInput", wish, start, user=NEW)
    payment = told["payment"]
    assert (told["success"], payment["statusLiteral"], payment["gatewayStatus"]) == (True, "PAID", "succeeded")
    assert payment["amount"] == {"amountMinor": 999, "currencyCode": "USD"}
    assert payment["gatewayPaymentId"] == told["paymentIntent"]["gatewayId"]
    refresh = ("refreshSubscriptionPayment", "RefreshSubscriptionPaymentInput", {"subscriptionId": begun})
    assert (await done(house, *refresh, "success", user=NEW))["success"] is True
    assert await seen(house, begun, fields, NEW) == {
        "status": "ACTIVE",
        "activatedAt": "2026-01-31T09:30:00Z",
        "pricePaid": {"amountMinor": 999},
        "paymentConfirmation": "PAID",
    }
    # The ledger finds it by id, by order, by the gateway's id, and in a list of one page.
    query = "query ($by: PaymentLookup!) { payment(by: $by) { id } }"
    for by in ({"id": payment["id"]}, {"orderId": begun}, {"gatewayPaymentId": payment["gatewayPaymentId"]}):
        assert (await house.ask(query, {"by": by}, ADMIN))["payment"] == {"id": payment["id"]}
    query = """{ payments(filter: {statusLiteral: [PAID]}, page: 1, pageSize: 25) { nodes { id }
      pageInfo { pageNumber pageRowCount totalRowCount pageCount } } }"""
    assert (await house.ask(query, user=ADMIN))["payments"] == {
        "nodes": [{"id": payment["id"]}],
        "pageInfo": {"pageNumber": 1, "pageRowCount": 1, "totalRowCount": 1, "pageCount": 1},
    }
    # Another service asks whether the user may in; canceled is out.
    secret = await secret_of_key(house, "read")
    query = f'{{ subscriptionStatus(userId: "{NEW}") {{ isActive subscriptions {{ isActive }} }} }}'
    assert (await ask_with_key(house, secret, query))["subscriptionStatus"]["isActive"] is True
    now = {"subscriptionId": begun, "effectiveAt": "NOW"}
    await done(house, "cancelSubscription", "CancelSubscriptionInput", now, "subscription { id }", user=NEW)
    assert (await ask_with_key(house, secret, query))["subscriptionStatus"] == {"isActive": False, "subscriptions": []}
    # The plan is withdrawn softly.
    query = "mutation ($id: ID!) { archivePlan(id: $id) { plan { isArchived } userErrors { code } } }"
    told = (await house.ask(query, {"id": id}, ADMIN))["archivePlan"]
    assert told == {"plan": {"isArchived": True}, "userErrors": []}
    assert await house.audit() == []
