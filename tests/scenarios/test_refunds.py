"""Money that goes back on request: how much, of what, by whom, and what follows from it."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from billing.returning import RefundReason
from gateways.sandbox import Fault
from gateways.sandbox.refunds import SETTLES_AFTER_SECONDS
from services.refunds.giving_back import RefundWish, refund_payment
from tests.scenarios.changing import UPDATE, amounts, changer_of
from tests.scenarios.merchant import Merchant
from tests.scenarios.shopping import Shopper
from tests.services.returns import (
    IS_DISPUTED,
    REFUND_FAILS,
    REFUND_PENDS,
    balances,
    buy,
    gateway_balance,
    give_back,
)
from tests.support.databases import copy_of_file
from tests.support.house import House, open_house
from tests.support.meanwhile import just_before
from tests.support.outside import VISA, dashboard, sandbox_of

REFUND = """
mutation Refund($input: RefundPaymentInput!) {
  refundPayment(input: $input) {
    refund { id gatewayId amount { amountMinor } reason status origin failureReason }
    payment { status amountRefunded { amountMinor } }
    subscription { status }
    userErrors { code message field }
  }
}
"""

BOOKS = """
{ me { invoices(first: 5) { nodes {
  amountRefunded { amountMinor }
  lines { id description amount { amountMinor } }
  creditNotes {
    number reason voidedAt
    total { amountMinor }
    refund { status }
    lines { invoiceLineId description amount { amountMinor } tax { amountMinor } }
  }
  payments { id refunds { amount { amountMinor } status origin } }
} } } }
"""


def usd(amount: str) -> dict[str, str]:
    return {"amount": amount, "currencyCode": "USD"}


async def bought(house: House, number: str = VISA) -> str:
    """The id of a payment of 7.00 USD by demo-new, heard of."""
    await buy(house, number)
    await house.deliver()
    return (await books(house))["payments"][0]["id"]


async def books(house: House, user: str = "demo-new") -> dict[str, Any]:
    """The newest invoice as its owner sees it."""
    return (await house.ask(BOOKS, user=user))["me"]["invoices"]["nodes"][0]


async def refund(house: House, payment: str, key: str, user: str = "demo-admin", **more: Any) -> dict[str, Any]:
    given = {"paymentId": payment, "reason": "REQUESTED_BY_CUSTOMER", "idempotencyKey": key, **more}
    return (await house.ask(REFUND, {"input": given}, user))["refundPayment"]


async def gateway_refunds(house: House) -> list[tuple[int, str]]:
    """Amount and status of each refund in the gateway's own books, oldest first."""
    listed = (await dashboard(house).refunds.list_async({"limit": 100})).data
    return [(row.amount, row.status) for row in reversed(listed)]


async def test_a_half_the_rest_and_no_more(house: House) -> None:
    payment = await bought(house)
    told = await refund(house, payment, "half", amount=usd("3.50"), reason="SERVICE_NOT_PROVIDED")
    [there] = (await dashboard(house).refunds.list_async()).data
    assert told == {
        "refund": {
            "id": told["refund"]["id"],
            "gatewayId": there.id,
            "amount": {"amountMinor": 350},
            "reason": "SERVICE_NOT_PROVIDED",
            "status": "SUCCEEDED",
            "origin": "API",
            "failureReason": None,
        },
        "payment": {"status": "PARTIALLY_REFUNDED", "amountRefunded": {"amountMinor": 350}},
        "subscription": {"status": "ACTIVE"},
        "userErrors": [],
    }
    assert there.metadata.to_dict() == {"perennial_refund": told["refund"]["id"]}
    too_much = await refund(house, payment, "more", amount=usd("3.51"))
    assert too_much["refund"] is None
    assert too_much["userErrors"] == [
        {"code": "NOT_REFUNDABLE", "message": "Of this payment USD 3.50 can be given back.", "field": ["amount"]}
    ]
    rest = await refund(house, payment, "rest")
    assert (rest["refund"]["amount"], rest["payment"]["status"]) == ({"amountMinor": 350}, "REFUNDED")
    nothing = await refund(house, payment, "again")
    assert [error["message"] for error in nothing["userErrors"]] == ["Of this payment USD 0.00 can be given back."]

    await house.deliver()
    assert await gateway_refunds(house) == [(350, "succeeded"), (350, "succeeded")]
    assert await balances(house) == {"revenue": -700, "refunds": 700}
    invoice = await books(house)
    prefix = invoice["creditNotes"][0]["number"].removesuffix("-C0001")
    assert [(note["number"], note["reason"], note["total"]) for note in invoice["creditNotes"]] == [
        (f"{prefix}-C0001", "SERVICE_NOT_PROVIDED", {"amountMinor": 350}),
        (f"{prefix}-C0002", "REQUESTED_BY_CUSTOMER", {"amountMinor": 350}),
    ]
    assert invoice["amountRefunded"] == {"amountMinor": 700}
    assert await house.audit() == []


async def test_the_same_key_gives_back_once(house: House) -> None:
    payment = await bought(house)
    first = await refund(house, payment, "one", amount=usd("1.00"))
    assert await refund(house, payment, "one", amount=usd("1.00")) == first
    other = await refund(house, payment, "one", amount=usd("2.00"))
    assert [error["code"] for error in other["userErrors"]] == ["IDEMPOTENCY_CONFLICT"]
    assert await gateway_refunds(house) == [(100, "succeeded")]
    assert await house.audit() == []


async def test_a_key_that_has_given_back_is_no_other_refunds_even_when_it_is_forgotten(house: House) -> None:
    shopper = Shopper(house, "demo-card")
    await shopper.subscribe(paymentMethodId=await shopper.default_card())
    payment = (await books(house, shopper.user))["payments"][0]["id"]
    first = await refund(house, payment, "one", amount=usd("1.00"))
    house.pass_time(timedelta(days=31))
    await house.work()
    renewal = (await books(house, shopper.user))["payments"][0]["id"]
    assert renewal != payment
    for paid, amount in ((renewal, "1.00"), (payment, "2.00")):
        told = await refund(house, paid, "one", amount=usd(amount))
        assert (told["refund"], [error["code"] for error in told["userErrors"]]) == (None, ["IDEMPOTENCY_CONFLICT"])
    assert (await refund(house, payment, "one", amount=usd("1.00")))["refund"] == first["refund"]
    assert await gateway_refunds(house) == [(100, "succeeded")]
    assert await house.audit() == []


async def test_lines_are_given_back_whole_and_then_have_nothing_left(house: House) -> None:
    payment = await bought(house)
    [line] = (await books(house))["lines"]
    partly = await refund(house, payment, "a", lineIds=[line["id"]], amount=usd("2.00"))
    assert partly["refund"]["amount"] == {"amountMinor": 200}
    whole = await refund(house, payment, "b", lineIds=[line["id"]])
    assert whole["refund"]["amount"] == {"amountMinor": 500}
    unknown = await refund(house, payment, "c", lineIds=["inl_" + "0" * 32])
    assert [(error["code"], error["field"]) for error in unknown["userErrors"]] == [("NOT_FOUND", ["lineIds"])]
    notes = (await books(house))["creditNotes"]
    assert [note["lines"] for note in notes] == [
        [
            {
                "invoiceLineId": line["id"],
                "description": line["description"],
                "amount": {"amountMinor": minor},
                "tax": {"amountMinor": 0},
            }
        ]
        for minor in (200, 500)
    ]
    assert await house.audit() == []


async def test_what_is_on_its_way_of_a_line_is_not_given_back_of_it_again(house: House) -> None:
    shopper = Shopper(house, "demo-new")
    told = await shopper.subscribe(None, items=[{"planCode": "reader-pro"}, {"planCode": "premium-monthly"}])
    await shopper.browser.confirm(told["paymentIntent"]["clientSecret"], REFUND_PENDS)
    await house.deliver()
    invoice = await books(house)
    payment, lines = invoice["payments"][0]["id"], {each["amount"]["amountMinor"]: each for each in invoice["lines"]}
    line, other = lines[700]["id"], lines[999]["id"]
    part = await refund(house, payment, "a", lineIds=[line], amount=usd("3.00"))
    assert (part["refund"]["status"], part["userErrors"]) == ("PENDING", [])
    beyond = await refund(house, payment, "b", lineIds=[line], amount=usd("4.01"))
    assert [error["message"] for error in beyond["userErrors"]] == ["Of this payment USD 4.00 can be given back."]
    rest = await refund(house, payment, "c", lineIds=[line])
    assert (rest["refund"]["amount"], rest["userErrors"]) == ({"amountMinor": 400}, [])
    again = await refund(house, payment, "d", lineIds=[line])
    assert [error["code"] for error in again["userErrors"]] == ["NOT_REFUNDABLE"]
    house.pass_time(timedelta(seconds=SETTLES_AFTER_SECONDS))
    await house.deliver()
    taken = [part for note in (await books(house))["creditNotes"] for part in note["lines"]]
    assert sorted((part["invoiceLineId"], part["amount"]["amountMinor"]) for part in taken) == [
        (line, 300),
        (line, 400),
    ]
    assert (await refund(house, payment, "e", lineIds=[other]))["userErrors"] == []
    assert await house.audit() == []


async def test_a_refund_on_its_way_arrives_by_webhook_or_by_the_workers_own_looking(house: House) -> None:
    payment = await bought(house, REFUND_PENDS)
    told = await refund(house, payment, "slow", amount=usd("2.00"))
    assert (told["refund"]["status"], told["payment"]["status"], told["userErrors"]) == ("PENDING", "SUCCEEDED", [])
    assert (await books(house))["creditNotes"] == []
    # What is under way is reserved.
    more = await refund(house, payment, "more", amount=usd("5.01"))
    assert [error["message"] for error in more["userErrors"]] == ["Of this payment USD 5.00 can be given back."]

    sandbox_of(house).faults.at_rate(Fault.WEBHOOKS_OFF, 1.0, seed=0)
    house.pass_time(timedelta(seconds=SETTLES_AFTER_SECONDS))
    await sandbox_of(house).deliver_due()
    house.pass_time(timedelta(minutes=1) - timedelta(seconds=SETTLES_AFTER_SECONDS))
    assert (await house.work())["refunded"] == 1
    invoice = await books(house)
    assert invoice["payments"][0]["refunds"] == [
        {"amount": {"amountMinor": 200}, "status": "SUCCEEDED", "origin": "API"}
    ]
    assert [note["total"] for note in invoice["creditNotes"]] == [{"amountMinor": 200}]
    assert (await house.work())["refunded"] == 0
    assert await house.audit() == []


async def test_a_refund_that_comes_home_again_withdraws_its_credit_note_and_may_be_repeated(house: House) -> None:
    payment = await bought(house, REFUND_FAILS)
    told = await refund(house, payment, "first")
    assert told["refund"]["status"] == "SUCCEEDED"
    house.pass_time(timedelta(seconds=SETTLES_AFTER_SECONDS))
    await house.deliver()
    invoice = await books(house)
    assert invoice["payments"][0]["refunds"] == [{"amount": {"amountMinor": 700}, "status": "FAILED", "origin": "API"}]
    assert [note["voidedAt"] for note in invoice["creditNotes"]] == ["2026-01-31T09:30:05Z"]
    assert await balances(house) == {"gateway": 700, "revenue": -700}
    # The same key tells what became of it; another one tries again.
    again = await refund(house, payment, "first")
    assert [error["code"] for error in again["userErrors"]] == ["NOT_REFUNDABLE"]
    second = await refund(house, payment, "second", amount=usd("7.00"))
    assert second["refund"]["status"] == "SUCCEEDED"
    numbers = [note["number"][-5:] for note in (await books(house))["creditNotes"]]
    assert numbers == ["C0001", "C0002"]
    assert await house.audit() == []


async def test_what_the_dashboard_gives_back_counts_before_it_is_heard_of(house: House) -> None:
    intent = await buy(house, VISA)
    await house.deliver()
    payment = (await books(house))["payments"][0]["id"]
    await give_back(house, intent, 500)
    told = await refund(house, payment, "too much", amount=usd("3.00"))
    assert [error["message"] for error in told["userErrors"]] == ["Of this payment USD 2.00 can be given back."]
    house.pass_time(timedelta(seconds=1))  # of one instant neither would be the first
    assert (await refund(house, payment, "rest"))["refund"]["amount"] == {"amountMinor": 200}
    await house.deliver()
    invoice = await books(house)
    assert [(row["amount"]["amountMinor"], row["origin"]) for row in invoice["payments"][0]["refunds"]] == [
        (500, "GATEWAY"),
        (200, "API"),
    ]
    assert [note["total"]["amountMinor"] for note in invoice["creditNotes"]] == [500, 200]
    assert await gateway_balance(house) == 0
    assert await house.audit() == []


async def test_what_a_bank_has_taken_cannot_be_given_back(house: House) -> None:
    payment = await bought(house, IS_DISPUTED)
    await house.deliver()
    told = await refund(house, payment, "disputed", amount=usd("1.00"))
    assert [error["message"] for error in told["userErrors"]] == ["Of this payment USD 0.00 can be given back."]
    assert await gateway_refunds(house) == []


async def test_what_the_gateway_refuses_has_failed_and_is_free_again(house: House) -> None:
    payment = await bought(house)
    intent = (await dashboard(house).payment_intents.list_async()).data[0].id

    # Between our looking and our asking somebody at the dashboard is faster.
    async def elsewhere() -> None:
        await give_back(house, intent)

    app = just_before(house.app, "create_refund", elsewhere)
    outcome = await refund_payment(app, house.actor("demo-admin"), RefundWish(payment, RefundReason.DUPLICATE, "late"))
    assert [problem.code for problem in outcome.problems] == ["NOT_REFUNDABLE"]
    await house.deliver()
    rows = (await books(house))["payments"][0]["refunds"]
    assert sorted((row["status"], row["origin"]) for row in rows) == [("FAILED", "API"), ("SUCCEEDED", "GATEWAY")]
    assert await gateway_refunds(house) == [(700, "succeeded")]
    assert await house.audit() == []


async def test_a_refund_can_end_the_subscription(house: House) -> None:
    payment = await bought(house)
    told = await refund(house, payment, "end", endSubscription=True, reason="FRAUDULENT")
    assert (told["refund"]["status"], told["subscription"]["status"]) == ("SUCCEEDED", "CANCELED")
    ended = await house.ask(
        "{ me { subscriptions(first: 1) { nodes { isActive cancellation { reason requestedBy refund { id } } } } } }",
        user="demo-new",
    )
    assert ended["me"]["subscriptions"]["nodes"] == [
        {
            "isActive": False,
            "cancellation": {"reason": "FRAUD", "requestedBy": "ADMIN", "refund": {"id": told["refund"]["id"]}},
        }
    ]
    assert await house.audit() == []


async def test_support_gives_back_nothing_unless_a_setting_says_so(small_house: House) -> None:
    payment = await bought(small_house)
    told = await refund(small_house, payment, "a", user="demo-support", amount=usd("0.01"))
    assert [(error["code"], error["field"]) for error in told["userErrors"]] == [("NOT_PERMITTED", ["amount"])]
    assert await gateway_refunds(small_house) == []


async def test_support_gives_back_up_to_its_cap_in_all_and_an_administrator_more(
    stocked_file: Path, tmp_path: Path
) -> None:
    url = copy_of_file(stocked_file, tmp_path / "capped.db")
    async with open_house(url, demo=False, support_refund_cap=300) as house:
        payment = await bought(house)
        assert (await refund(house, payment, "a", user="demo-support", amount=usd("2.00")))["userErrors"] == []
        assert (await refund(house, payment, "b", amount=usd("1.00")))["userErrors"] == []
        beyond = await refund(house, payment, "c", user="demo-support", amount=usd("1.01"))
        assert [error["message"] for error in beyond["userErrors"]] == [
            "Support may give back USD 1.00 of this payment. Ask an administrator."
        ]
        assert (await refund(house, payment, "d", user="demo-support", amount=usd("1.00")))["userErrors"] == []
        assert await gateway_refunds(house) == [(200, "succeeded"), (100, "succeeded"), (100, "succeeded")]
        assert await house.audit() == []


@pytest.mark.parametrize(
    ("more", "code", "field"),
    [
        ({"amount": usd("0.00")}, "INVALID", ["amount"]),
        ({"amount": usd("0.001")}, "INVALID", ["amount"]),
        ({"amount": {"amount": "1.00", "currencyCode": "EUR"}}, "CURRENCY_MISMATCH", ["amount", "currencyCode"]),
        ({"lineIds": []}, "NOT_FOUND", ["lineIds"]),
        ({"idempotencyKey": ""}, "INVALID", ["idempotencyKey"]),
        ({"paymentId": "pay_" + "0" * 32}, "NOT_FOUND", ["paymentId"]),
    ],
)
async def test_what_cannot_be_is_refused_and_changes_nothing(
    small_house: House, more: dict[str, Any], code: str, field: list[str]
) -> None:
    payment = await bought(small_house)
    told = await refund(small_house, payment, "key", **more)
    assert told["refund"] is None
    assert [(error["code"], error["field"]) for error in told["userErrors"]] == [(code, field)]
    assert await gateway_refunds(small_house) == []


async def test_nothing_can_be_given_back_of_what_was_never_paid(small_house: House) -> None:
    await Shopper(small_house, "demo-new").subscribe()
    payment = (await books(small_house))["payments"][0]["id"]
    told = await refund(small_house, payment, "key")
    assert [error["message"] for error in told["userErrors"]] == ["Of this payment USD 0.00 can be given back."]


async def test_what_was_given_back_of_one_line_is_no_other_lines(small_house: House) -> None:
    """Half of the month is left: of what was refunded nothing comes back, of the other plan its half."""
    house, changer = small_house, await changer_of(small_house)
    await Merchant(house).plan("stamps", "20.00")
    items = [{"planCode": "small"}, {"planCode": "stamps"}]
    await changer.subscribe(None, items=items, paymentMethodId=await changer.default_card())
    invoice = await books(house, changer.user)
    stamps = next(line["id"] for line in invoice["lines"] if line["amount"]["amountMinor"] == 2000)
    assert (await refund(house, invoice["payments"][0]["id"], "stamps", lineIds=[stamps]))["userErrors"] == []
    house.pass_time(timedelta(days=14))
    told = await changer.ask(UPDATE, items=[{"planCode": "small", "quantity": 2}, {"planCode": "stamps"}])
    assert (told["userErrors"], amounts(told["invoice"])) == ([], [-500, 1000])
    told = await changer.ask(UPDATE, items=[{"planCode": "small", "quantity": 2}])
    assert (told["userErrors"], told["invoice"]) == ([], None)
    assert await house.audit() == []
