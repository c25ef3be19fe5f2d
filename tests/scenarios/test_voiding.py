"""Withdrawing an open invoice: nothing is asked for any more, unless its payment had gone through."""

from datetime import timedelta
from typing import Any

import pytest

from gateways.sandbox import Fault
from tests.scenarios.shopping import Shopper
from tests.scenarios.test_paying_again import Payer
from tests.services.returns import balances
from tests.support.house import House
from tests.support.outside import VISA, charges_by_invoice, dashboard, faults_always, sandbox_of

VOID = """
mutation Void($id: ID!, $version: Int) {
  voidInvoice(id: $id, expectedVersion: $version) {
    invoice { status voidedAt amountDue { amountMinor } subscription { status isActive } }
    userErrors { code field }
  }
}
"""

OPEN = """
{ me { invoices(first: 9) { nodes { id status version } } subscriptions(first: 1) { nodes { status } } } }
"""


async def void(house: House, invoice: str, version: int | None = None) -> dict[str, Any]:
    return (await house.ask(VOID, {"id": invoice, "version": version}, "demo-admin"))["voidInvoice"]


async def invoices(house: House, user: str = "demo-card") -> list[tuple[str, str]]:
    """Id and status, oldest first."""
    told = await house.ask(OPEN, user=user)
    return [(each["id"], each["status"]) for each in reversed(told["me"]["invoices"]["nodes"])]


async def test_the_only_open_invoice_withdrawn_lets_its_subscription_recover(house: House) -> None:
    payer = Payer(house, "demo-card")
    await payer.fall_behind()
    [_, (renewal, _)] = await invoices(house)
    told = await void(house, renewal)
    assert told == {
        "invoice": {
            "status": "VOID",
            "voidedAt": "2026-03-02T09:30:00Z",
            "amountDue": {"amountMinor": 700},
            "subscription": {"status": "ACTIVE", "isActive": True},
        },
        "userErrors": [],
    }
    [intent, _] = (await dashboard(house).payment_intents.list_async()).data
    assert intent.status == "canceled"
    again = await void(house, renewal)
    assert again["userErrors"] == [{"code": "INVALID_STATE", "field": ["id"]}]
    await house.deliver()
    assert await balances(house) == {"gateway": 700, "revenue": -700}
    # The next period is billed as ever.
    house.pass_time(timedelta(days=29))
    await house.work()
    assert [status for _, status in await invoices(house)] == ["PAID", "VOID", "OPEN"]
    assert await house.audit() == []


async def test_of_two_open_invoices_the_other_is_still_owed(house: House) -> None:
    payer = Payer(house, "demo-card")
    await payer.fall_behind(months=2)
    [_, (first, _), (second, _)] = await invoices(house)
    assert (await void(house, first))["invoice"]["subscription"]["status"] == "PAST_DUE"
    assert (await void(house, second))["invoice"]["subscription"]["status"] == "ACTIVE"
    assert await house.audit() == []


async def test_a_payment_that_went_through_meanwhile_wins(house: House) -> None:
    payer = Payer(house, "demo-card")
    await payer.fall_behind()
    faults_always(house, Fault.WEBHOOKS_OFF)
    [_, (renewal, _)] = await invoices(house)
    secret = (await dashboard(house).payment_intents.list_async()).data[0].client_secret
    assert (await payer.browser.confirm(secret, VISA)).json()["status"] == "succeeded"
    told = await void(house, renewal)
    assert told == {"invoice": None, "userErrors": [{"code": "ALREADY_PAID", "field": ["id"]}]}
    assert [status for _, status in await invoices(house)] == ["PAID", "PAID"]
    assert list((await charges_by_invoice(house)).values()) == [1, 1]
    assert await house.audit() == []


async def test_a_paid_and_a_first_invoice_are_not_withdrawn(house: House) -> None:
    shopper = Shopper(house, "demo-card")
    await shopper.subscribe(paymentMethodId=await shopper.default_card())
    [(paid, _)] = await invoices(house)
    assert (await void(house, paid))["userErrors"] == [{"code": "ALREADY_PAID", "field": ["id"]}]
    await Shopper(house, "demo-new").subscribe()
    [(first, _)] = await invoices(house, "demo-new")
    assert (await void(house, first))["userErrors"] == [{"code": "INVALID_STATE", "field": ["id"]}]
    assert await house.audit() == []


@pytest.mark.parametrize("away", [Fault.RESET_BEFORE, Fault.ERROR_500_BEFORE])
async def test_with_the_gateway_away_nothing_is_withdrawn(small_house: House, away: Fault) -> None:
    payer = Payer(small_house, "demo-card")
    await payer.fall_behind()
    [_, (renewal, _)] = await invoices(small_house)
    faults_always(small_house, away)
    assert (await void(small_house, renewal))["userErrors"] == [{"code": "GATEWAY_UNAVAILABLE", "field": None}]
    sandbox_of(small_house).faults.clear()
    assert (await void(small_house, renewal))["invoice"]["status"] == "VOID"
    assert await small_house.audit() == []


async def test_a_stale_version_withdraws_nothing(small_house: House) -> None:
    payer = Payer(small_house, "demo-card")
    await payer.fall_behind()
    [_, (renewal, _)] = await invoices(small_house)
    assert (await void(small_house, renewal, 99))["userErrors"] == [
        {"code": "VERSION_CONFLICT", "field": ["expectedVersion"]}
    ]
    assert [status for _, status in await invoices(small_house)] == ["PAID", "OPEN"]
