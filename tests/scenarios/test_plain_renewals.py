"""A subscription's first year of plain renewals, told through the public API, on both databases."""

from datetime import timedelta
from typing import Any

from gateways.sandbox import Fault
from tests.support.house import House

SUBSCRIBE = """mutation ($plan: String!, $card: ID) { subscribe(input: {planCode: $plan, paymentMethodId: $card}) {
  subscription { id status } userErrors { code } } }"""
ATTACH = """mutation ($card: String!, $default: Boolean!) {
  attachPaymentMethod(input: {paymentMethodId: $card, makeDefault: $default}) {
    paymentMethod { id } userErrors { code } } }"""
LIFE = """{ mySubscription { status isActive currentPeriod { start end } nextBillingAt
  statusHistory { from to cause actor }
  invoices(first: 50) { nodes { status reason total { formatted } period { start end }
    payments { status attempts { trigger outcome } } } } } }"""
USER = "demo-card"


async def _subscribe(house: House, plan: str = "reader-pro") -> None:
    card = await house.ask("{ me { defaultPaymentMethod { id } } }", user=USER)
    answer = await house.ask(SUBSCRIBE, {"plan": plan, "card": card["me"]["defaultPaymentMethod"]["id"]}, user=USER)
    assert answer["subscribe"]["userErrors"] == []
    assert answer["subscribe"]["subscription"]["status"] == "ACTIVE"


async def _life(house: House) -> dict[str, Any]:
    return (await house.ask(LIFE, user=USER))["mySubscription"]


async def _charges(house: House) -> list[tuple[int, str]]:
    listed = await house.http.get(
        "/sandbox/stripe/v1/charges?limit=100", headers={"Authorization": "Bearer sk_test_sandbox"}
    )
    return [(row["amount"], row["status"]) for row in listed.json()["data"]]


async def _pass_to(house: House, days: float) -> None:
    house.pass_time(timedelta(days=days))
    await house.work()
    await house.deliver()


async def test_twelve_months_are_charged_once_each_from_the_anchor(house: House) -> None:
    await _subscribe(house)
    for _ in range(366):
        house.pass_time(timedelta(days=1))
        await house.work()
    await house.deliver()

    life = await _life(house)
    starts = [invoice["period"]["start"][:10] for invoice in reversed(life["invoices"]["nodes"])]
    assert starts == [
        "2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31", "2026-06-30", "2026-07-31",
        "2026-08-31", "2026-09-30", "2026-10-31", "2026-11-30", "2026-12-31", "2027-01-31",
    ]  # fmt: skip
    assert {invoice["status"] for invoice in life["invoices"]["nodes"]} == {"PAID"}
    assert (life["status"], life["nextBillingAt"][:10]) == ("ACTIVE", "2027-02-28")
    assert await _charges(house) == [(700, "succeeded")] * 13
    assert await house.audit() == []
    assert await house.due() == {}


async def test_a_yearly_plan_renews_after_a_year(house: House) -> None:
    await _subscribe(house, "premium-yearly")
    await _pass_to(house, 364.9)
    assert await _charges(house) == [(9900, "succeeded")]
    await _pass_to(house, 0.2)
    assert await _charges(house) == [(9900, "succeeded")] * 2


async def test_a_late_worker_bills_one_period_per_pass_each_with_its_own_invoice(house: House) -> None:
    await _subscribe(house)
    await _pass_to(house, 100)
    life = await _life(house)
    assert [invoice["period"]["start"][:10] for invoice in life["invoices"]["nodes"]] == [
        "2026-04-30",
        "2026-03-31",
        "2026-02-28",
        "2026-01-31",
    ]
    assert await _charges(house) == [(700, "succeeded")] * 4


async def test_one_decline_leaves_past_due_and_a_new_card_collects(house: House) -> None:
    await _subscribe(house)
    await house.ask(ATTACH, {"card": "pm_card_chargeCustomerFail", "default": True}, user=USER)
    await _pass_to(house, 28)
    behind = await _life(house)
    assert (behind["status"], behind["isActive"]) == ("PAST_DUE", True)
    assert behind["invoices"]["nodes"][0]["status"] == "OPEN"
    assert behind["invoices"]["nodes"][0]["payments"] == [
        {"status": "FAILED", "attempts": [{"trigger": "RENEWAL", "outcome": "DECLINED"}]}
    ]

    await _pass_to(house, 8)  # past the grace of seven days; a late worker makes up for one retry, not for all
    assert (await _life(house))["isActive"] is False
    await house.ask(ATTACH, {"card": "pm_card_visa", "default": True}, user=USER)
    await house.work()

    recovered = await _life(house)
    assert (recovered["status"], recovered["isActive"]) == ("ACTIVE", True)
    assert recovered["invoices"]["nodes"][0]["payments"] == [
        {
            "status": "SUCCEEDED",
            "attempts": [
                {"trigger": "RENEWAL", "outcome": "DECLINED"},
                {"trigger": "DUNNING_RETRY", "outcome": "DECLINED"},
                {"trigger": "PAYMENT_METHOD_UPDATED", "outcome": "SUCCEEDED"},
            ],
        }
    ]
    assert [(change["from"], change["to"]) for change in recovered["statusHistory"]] == [
        (None, "INCOMPLETE"),
        ("INCOMPLETE", "ACTIVE"),
        ("ACTIVE", "PAST_DUE"),
        ("PAST_DUE", "ACTIVE"),
    ]
    assert await _charges(house) == [(700, "succeeded"), (700, "failed"), (700, "failed"), (700, "succeeded")]
    assert await house.audit() == []


async def test_while_an_invoice_is_open_later_ones_wait_and_follow_it_in_order(house: House) -> None:
    await _subscribe(house)
    await house.ask(ATTACH, {"card": "pm_card_chargeCustomerFail", "default": True}, user=USER)
    await _pass_to(house, 60)
    assert [(i["status"], len(i["payments"][0]["attempts"])) for i in (await _life(house))["invoices"]["nodes"]] == [
        ("OPEN", 0),
        ("OPEN", 1),
        ("PAID", 1),
    ]
    await house.ask(ATTACH, {"card": "pm_card_visa", "default": True}, user=USER)
    await house.work()
    life = await _life(house)
    assert [invoice["status"] for invoice in life["invoices"]["nodes"]] == ["PAID", "PAID", "PAID"]
    assert life["status"] == "ACTIVE"


async def test_a_renewal_without_a_card_opens_an_invoice_and_tries_nothing(house: House) -> None:
    """A card that was not kept pays the first period only."""
    answer = await house.ask(
        """mutation { subscribe(input: {planCode: "premium-monthly"}) {
          subscription { id } paymentIntent { clientSecret } userErrors { code } } }""",
        user="demo-new",
    )
    secret = answer["subscribe"]["paymentIntent"]["clientSecret"]
    await house.ask(
        """mutation ($secret: String!) { sandboxConfirmPaymentIntent(
          input: {clientSecret: $secret, cardNumber: "4242424242424242"}) { userErrors { code } } }""",
        {"secret": secret},
        user="demo-new",
    )
    await house.deliver()
    await _pass_to(house, 28)
    life = (await house.ask(LIFE, user="demo-new"))["mySubscription"]
    assert life["status"] == "PAST_DUE"
    assert life["invoices"]["nodes"][0]["payments"] == [{"status": "REQUIRES_PAYMENT_METHOD", "attempts": []}]


async def test_a_lost_answer_to_a_renewal_is_found_out_and_not_charged_again(house: House) -> None:
    await _subscribe(house)
    assert house.installation.sandbox is not None
    house.installation.sandbox.faults.arm(Fault.TIMEOUT_AFTER, count=2, path_contains="/confirm")
    house.installation.sandbox.faults.arm(Fault.KEYS_FORGOTTEN, count=1000)
    house.pass_time(timedelta(days=28))
    await house.work()
    assert (await _life(house))["invoices"]["nodes"][0]["payments"][0]["status"] == "UNKNOWN"
    house.pass_time(timedelta(seconds=60))
    await house.work()
    assert (await _life(house))["invoices"]["nodes"][0]["status"] == "PAID"
    assert await _charges(house) == [(700, "succeeded")] * 2


async def test_a_canceled_subscription_ends_at_its_period_instead(house: House) -> None:
    await _subscribe(house)
    mine = await house.ask("{ mySubscription { id } }", user=USER)
    await house.ask(
        """mutation ($id: ID!) { cancelSubscription(input: {subscriptionId: $id, effectiveAt: PERIOD_END}) {
          subscription { status endsAt } userErrors { code } } }""",
        {"id": mine["mySubscription"]["id"]},
        user=USER,
    )
    await _pass_to(house, 28)
    assert (await house.ask("{ mySubscription { id } }", user=USER))["mySubscription"] is None
    assert await _charges(house) == [(700, "succeeded")]


async def test_a_card_gone_at_the_gateway_is_tried_once_and_not_every_minute(house: House) -> None:
    """Detached on the dashboard, and the news of it lost."""
    await _subscribe(house)
    card = await house.ask("{ me { defaultPaymentMethod { gatewayId } } }", user=USER)
    await house.http.post(
        f"/sandbox/stripe/v1/payment_methods/{card['me']['defaultPaymentMethod']['gatewayId']}/detach",
        headers={"Authorization": "Bearer sk_test_sandbox"},
    )
    house.pass_time(timedelta(days=28))
    for _ in range(10):
        await house.work()
        house.pass_time(timedelta(minutes=2))
    life = await _life(house)
    assert life["status"] == "PAST_DUE"
    assert life["invoices"]["nodes"][0]["payments"][0]["attempts"] == [{"trigger": "RENEWAL", "outcome": "ABANDONED"}]

    await house.ask(ATTACH, {"card": "pm_card_visa", "default": True}, user=USER)
    await house.work()
    assert (await _life(house))["status"] == "ACTIVE"
    assert await _charges(house) == [(700, "succeeded")] * 2
