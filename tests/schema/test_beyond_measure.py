"""Whole inputs whose numbers, dates or texts are beyond all measure: refused or kept, never an internal error."""

import json
from collections.abc import Iterator
from typing import Any

from tests.scenarios.changing import changer_of
from tests.scenarios.orders import customer_id
from tests.support.house import House

Wish = tuple[str, str, dict[str, Any]]
"""(mutation or preview, its input type, its input)"""

INTEGERS = [0, -1, 2**31 - 1, 2**53]
DECIMALS = ["0", "-1", "9" * 40, "0." + "0" * 36 + "1", "9" * 9, "10000000000.00", "9" * 13 + ".99", "9" * 16 + ".99"]
DATES = ["0001-01-02T00:00:00Z", "9998-12-31T00:00:00Z", "9999-12-31T23:59:59Z"]
DAYS = [("0001-01-01", "9999-12-31"), ("9999-12-30", "9999-12-31"), ("0001-01-01", "0001-01-01")]
TEXTS = ["", "x" * 10_000, "a\x00b", "\ud800"]
PLAN = {"name": "p", "productCode": "letters", "interval": "MONTH"}
PLANS = """{ plans(first: 75) { nodes { code prices { amount { amountMinor formatted } unitAmountDecimal
  tiers { upTo unitAmount flatAmount { amountMinor } } } } } }"""
MINE = """query ($id: ID!) { subscription(id: $id) { upcomingInvoices(first: 36) { at total { amountMinor } }
  amount { amountMinor } timeline(first: 100) { nodes { type details } }
  creditBalances { dailyAllowance remainingToday totalGranted remaining entries { nodes { quantity balanceAfter } } }
  usage(period: {start: "0001-01-02T00:00:00Z", end: "9999-12-31T23:59:59Z"}) { quantity } } }"""


def _usd(amount: str) -> dict[str, str]:
    return {"currencyCode": "USD", "amount": amount}


def _prices(n: int, decimal: str) -> Iterator[Wish]:
    tiers = [{"upTo": 2**53, "unitAmount": decimal, "flatAmount": decimal}, {"unitAmount": decimal}]
    for m, terms in enumerate(
        (
            {"prices": [_usd(decimal)]},
            {"prices": [{"currencyCode": "USD", "unitAmountDecimal": decimal}]},
            {"billingScheme": "TIERED", "tiersMode": "VOLUME", "prices": [{"currencyCode": "USD", "tiers": tiers}]},
            {"billingScheme": "TIERED", "tiersMode": "GRADUATED", "prices": [{"currencyCode": "USD", "tiers": tiers}]},
            {"taxPercent": decimal, "prices": [_usd("10.00")]},
        )
    ):
        yield "createPlan", "PlanInput", {**PLAN, "code": f"dear-{n}-{m}", **terms}
    coupon = {"code": f"OFF{n}", "duration": "FOREVER"}
    yield "createCoupon", "CouponInput", {**coupon, "percentOff": decimal}
    yield "createCoupon", "CouponInput", {**coupon, "code": f"LESS{n}", "amountsOff": [_usd(decimal)]}


def _amounts(subscription: str, customer: str, payment: str, decimal: str) -> Iterator[Wish]:
    refund = {"paymentId": payment, "reason": "OTHER", "idempotencyKey": decimal}
    yield "refundPayment", "RefundPaymentInput", {**refund, "amount": _usd(decimal)}
    items = [{"planCode": "small", "unitAmount": _usd(decimal), "quantity": 10_000}]
    yield "previewUpdateSubscription", "UpdateSubscriptionInput", {"subscriptionId": subscription, "items": items}
    paid = {"amountDue": _usd(decimal), "amountPaid": _usd(decimal)}
    days = {"interval": "MONTH", "periodStart": "2026-01-01", "periodEnd": "2026-02-01"}
    manual = {"customer": {"id": customer}, **days, "payment": paid}
    yield "createManualSubscription", "CreateManualSubscriptionInput", manual


def _dates(subscription: str, customer: str, date: str) -> Iterator[Wish]:
    mine = {"subscriptionId": subscription}
    for field in ("endsAt", "trialEnd"):
        yield "updateSubscription", "UpdateSubscriptionInput", {**mine, field: date}
    yield "pauseSubscription", "PauseSubscriptionInput", {**mine, "until": date}
    yield "resumeSubscription", "ResumeSubscriptionInput", mine
    yield "cancelSubscription", "CancelSubscriptionInput", {**mine, "effectiveAt": "AT_DATE", "date": date}
    yield "uncancelSubscription", "UncancelSubscriptionInput", mine
    planned = {**mine, "planCode": "large", "effectiveAt": "AT_DATE", "date": date}
    yield "changePlan", "ChangePlanInput", planned
    for field in ("startAt", "endsAt"):
        for more in ({}, {"billingDay": 31}, {"trialPeriodDays": 730}, {"trialPeriodDays": 2**31 - 1}):
            wish = {"planCode": "reader-pro", "customerId": customer, field: date, **more}
            yield "previewSubscribe", "SubscribeInput", wish
            yield "subscribe", "SubscribeInput", {**wish, "planCode": "reader-plus"}
    terms = {"code": f"IN{date[:4]}", "percentOff": "10", "duration": "ONCE", "startsAt": date, "expiresAt": date}
    yield "createCoupon", "CouponInput", terms


def _credits(subscription: str, customer: str) -> Iterator[Wish]:
    for n, number in enumerate(INTEGERS):
        for key in ("once", "again"):
            given = {"subscriptionId": subscription, "unit": "cup", "quantity": number}
            yield "grantCredits", "CreditInput", {**given, "idempotencyKey": f"{key}{n}"}
        granted = {"credits": [{"unit": "cup", "daily": number}], "prices": [_usd("10.00")]}
        yield "createPlan", "PlanInput", {**PLAN, "code": f"cups-{n}", **granted}
        for start, end in DAYS:
            manual = {"customer": {"id": customer}, "planCode": "reader-pro", "interval": "YEAR"}
            days = {"periodStart": start, "periodEnd": end, "credits": [{"unit": "cup", "daily": number}]}
            yield "createManualSubscription", "CreateManualSubscriptionInput", {**manual, **days}


def _texts(subscription: str, payment: str, text: str) -> Iterator[Wish]:
    mine = {"subscriptionId": subscription}
    yield "applyCoupon", "ApplyCouponInput", {**mine, "couponCode": text}
    yield "applyCoupon", "ApplyCouponInput", {**mine, "promotionCode": text}
    yield "createCoupon", "CouponInput", {"code": text, "percentOff": "10", "duration": "ONCE"}
    yield "createPromotionCode", "CreatePromotionCodeInput", {"couponCode": text, "code": text}
    yield "grantCredits", "CreditInput", {**mine, "unit": text, "quantity": 1, "idempotencyKey": text}
    refund = {"paymentId": payment, "reason": "OTHER", "idempotencyKey": text, "amount": _usd("0.01")}
    yield "refundPayment", "RefundPaymentInput", refund
    days = {"interval": "MONTH", "periodStart": "2026-01-01", "periodEnd": "2026-02-01"}
    manual = {"customer": {"userId": text}, "externalId": text, "name": text, **days}
    yield "createManualSubscription", "CreateManualSubscriptionInput", manual
    ended = {**mine, "effectiveAt": "PERIOD_END", "comment": text, "quoteToken": text, "idempotencyKey": text}
    yield "cancelSubscription", "CancelSubscriptionInput", ended


def _preview(name: str, kind: str) -> str:
    return f"""query ($v: {kind}!) {{ {name}(input: $v) {{
      preview {{ dueNow {{ amountMinor }} total {{ amountMinor }} schedule {{ amount {{ amountMinor }} }} }}
      userErrors {{ code message }} }} }}"""


async def test_what_is_beyond_measure_never_makes_an_internal_error(house: House) -> None:
    changer = await changer_of(house)
    await changer.begin("small")
    subscription, customer = changer.subscribed[-1], await customer_id(house, "demo-card")
    paid = await house.ask("{ payments(first: 1) { nodes { id } } }", user="demo-card")
    payment = paid["payments"]["nodes"][0]["id"]
    faults: list[tuple[str, Any]] = []

    async def told(text: str, variables: dict[str, Any], user: str = "demo-admin") -> dict[str, Any]:
        body = json.dumps({"query": text, "variables": variables})
        headers = {"Authorization": f"Bearer {house.token(user)}", "Content-Type": "application/json"}
        answer = await house.http.post("/graphql", content=body, headers=headers)
        codes = {error["extensions"]["code"] for error in answer.json().get("errors", ())}
        if answer.status_code >= 500 or codes & {"INTERNAL", "GRAPHQL_VALIDATION_FAILED", "QUERY_TOO_COMPLEX"}:
            faults.append((text, variables))
        return answer.json()

    wishes = [
        *(wish for n, decimal in enumerate(DECIMALS) for wish in _prices(n, decimal)),
        *(wish for decimal in DECIMALS for wish in _amounts(subscription, customer, payment, decimal)),
        *(wish for date in DATES for wish in _dates(subscription, customer, date)),
        *_credits(subscription, customer),
        *(wish for text in TEXTS for wish in _texts(subscription, payment, text)),
    ]
    for name, kind, given in wishes:
        word = "query" if name.startswith("preview") else "mutation"
        await told(f"{word} ($v: {kind}!) {{ {name}(input: $v) {{ userErrors {{ code message }} }} }}", {"v": given})
        await told(MINE, {"id": subscription})
    answer = await told(PLANS, {})
    assert "errors" not in answer, answer["errors"]
    sold = answer["data"]["plans"]["nodes"]
    for code in [plan["code"] for plan in sold]:
        wish: dict[str, Any] = {"items": [{"planCode": code, "quantity": 10_000}]}
        await told(_preview("previewSubscribe", "SubscribeInput"), {"v": wish}, "demo-new")
        wish["subscriptionId"] = subscription
        await told(_preview("previewUpdateSubscription", "UpdateSubscriptionInput"), {"v": wish})
    assert faults == []
    assert await house.audit() == []
