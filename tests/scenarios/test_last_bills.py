"""The invoice that an ended subscription leaves behind, refused: tried again like any other, paid, or written off."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import select

from billing.ledger import Account, PostingKind
from gateways.sandbox.cards import BLOCKED, GENERIC
from gateways.sandbox.currencies import LEAST_AMOUNT
from models.ledger import LedgerEntry
from tests.scenarios.by_hand import record
from tests.scenarios.changing import UPDATE, Changer
from tests.scenarios.merchant import Merchant, nothing_left_to_bill
from tests.scenarios.metering import key_of, pass_to, sell, take, tell
from tests.scenarios.shopping import Shopper
from tests.scenarios.test_pauses import pause
from tests.services.returns import balances
from tests.support.bank import Bank, bank
from tests.support.house import House
from tests.support.outside import VISA, charges_by_invoice

USER = "demo-card"
BEHIND = """{ me { subscriptions(first: 1) { nodes { id status isActive
  invoices(first: 5) { nodes { id status reason total { amount } nextPaymentAttemptAt
    payments { status attempts { trigger startedAt } } } } } } } }"""
RETRY = """mutation ($invoice: ID!, $card: ID) { retryPayment(input: {invoiceId: $invoice, paymentMethodId: $card}) {
  success userErrors { code } } }"""
CHOOSE = """mutation ($id: ID!) { setDefaultPaymentMethod(input: {paymentMethodId: $id}) { userErrors { code } } }"""
DETACH = """mutation ($id: ID!) { detachPaymentMethod(input: {paymentMethodId: $id}) { userErrors { code } } }"""
VOID = """mutation ($id: ID!) { voidInvoice(id: $id) { invoice { status } userErrors { code } } }"""
DAY = timedelta(days=1)


@pytest.fixture
def issuer() -> Iterator[Bank]:
    with bank() as opened:
        yield opened


async def _used_and_ended(house: House) -> Shopper:
    """Ten days of usage, 333 calls of a cent, and a cancellation now."""
    await sell(house, "api")
    subscription = await take(house, "api")
    shopper = Shopper(house, USER, subscribed=[subscription])
    house.pass_time(10 * DAY)
    assert (await tell(house, await key_of(house), {"subscriptionId": subscription, "quantity": "333"}))[
        "accepted"
    ] == 1
    assert (await shopper.cancel(effectiveAt="NOW"))["subscription"]["status"] == "CANCELED"
    return shopper


async def _last(house: House) -> dict[str, Any]:
    """The subscription's last invoice; it stays ended whatever becomes of it."""
    (ended,) = (await house.ask(BEHIND, user=USER))["me"]["subscriptions"]["nodes"]
    assert (ended["status"], ended["isActive"]) == ("CANCELED", False)
    invoice = ended["invoices"]["nodes"][0]
    assert invoice["reason"] == "SUBSCRIPTION_CANCEL"
    return invoice


async def _day_by_day(house: House, days: int) -> None:
    for _ in range(days):
        await pass_to(house, 1)


def _tries(invoice: dict[str, Any]) -> list[tuple[str, str]]:
    (payment,) = invoice["payments"]
    return [(each["trigger"], each["startedAt"][:10]) for each in payment["attempts"]]


async def test_a_refused_last_invoice_is_tried_on_the_days_of_the_policy_and_written_off(
    house: House, issuer: Bank
) -> None:
    await _used_and_ended(house)
    issuer.declines(VISA, GENERIC)
    await pass_to(house, 0)
    assert (await _last(house))["nextPaymentAttemptAt"] == "2026-02-12T09:30:00Z"
    await _day_by_day(house, 21)
    last = await _last(house)
    days = [day for _, day in _tries(last)]
    assert days == ["2026-02-10", "2026-02-12", "2026-02-17", "2026-02-24", "2026-03-03"]
    assert (last["status"], last["nextPaymentAttemptAt"]) == ("UNCOLLECTIBLE", None)
    assert last["payments"][0]["status"] == "CANCELED"
    async with house.app.database.read() as session:
        query = select(LedgerEntry.amount_minor).where(
            LedgerEntry.kind == PostingKind.INVOICE_WRITTEN_OFF, LedgerEntry.account == Account.WRITTEN_OFF
        )
        assert (await session.exec(query)).all() == [333]
    await _day_by_day(house, 2)
    assert await house.audit() == []


async def test_the_end_of_dunning_asks_for_what_was_used_since_the_last_bill(house: House, issuer: Bank) -> None:
    """The first month's use is refused and lost; what was used in the grace is owed, and another card pays it."""
    await sell(house, "api")
    subscription, key = await take(house, "api"), await key_of(house)
    shopper = Shopper(house, USER, subscribed=[subscription])
    issuer.declines(VISA, BLOCKED)
    for n, (quantity, days) in enumerate((("333", 28), ("500", 21))):
        event = {"subscriptionId": subscription, "quantity": quantity, "idempotencyKey": f"use-{n}"}
        assert (await tell(house, key, event))["accepted"] == 1
        await pass_to(house, days)
    await pass_to(house, 0)
    last = await _last(house)
    assert (last["status"], last["total"]["amount"]) == ("OPEN", "5.00")
    card = await shopper.save_card("pm_card_mastercard")
    assert (await house.ask(CHOOSE, {"id": card}, USER))["setDefaultPaymentMethod"]["userErrors"] == []
    await house.work()
    invoices = (await house.ask(BEHIND, user=USER))["me"]["subscriptions"]["nodes"][0]["invoices"]["nodes"]
    assert [(each["reason"], each["status"], each["total"]["amount"]) for each in invoices] == [
        ("SUBSCRIPTION_CANCEL", "PAID", "5.00"),
        ("SUBSCRIPTION_CYCLE", "UNCOLLECTIBLE", "3.33"),
        ("SUBSCRIPTION_CREATE", "PAID", "0.00"),
    ]
    assert await house.audit() == []


async def test_a_later_try_pays_it(house: House, issuer: Bank) -> None:
    await _used_and_ended(house)
    issuer.declines(VISA, GENERIC)
    await pass_to(house, 0)
    issuer.pays(VISA)
    await _day_by_day(house, 2)
    last = await _last(house)
    assert (last["status"], _tries(last)[-1]) == ("PAID", ("DUNNING_RETRY", "2026-02-12"))
    assert list((await charges_by_invoice(house)).values()) == [1]
    assert await house.audit() == []


@pytest.mark.parametrize("by", ["new default", "retry"])
async def test_another_card_pays_it(house: House, issuer: Bank, by: str) -> None:
    shopper = await _used_and_ended(house)
    issuer.declines(VISA, BLOCKED)
    await pass_to(house, 0)
    last = await _last(house)
    assert (last["status"], last["nextPaymentAttemptAt"]) == ("OPEN", None)
    card = await shopper.save_card("pm_card_mastercard")
    if by == "retry":
        retried = (await house.ask(RETRY, {"invoice": last["id"], "card": card}, USER))["retryPayment"]
        assert retried == {"success": True, "userErrors": []}
    else:
        chosen = (await house.ask(CHOOSE, {"id": card}, USER))["setDefaultPaymentMethod"]
        assert chosen["userErrors"] == []
        await house.work()
    assert (await _last(house))["status"] == "PAID"
    await _day_by_day(house, 22)
    assert (await _last(house))["status"] == "PAID"
    assert list((await charges_by_invoice(house)).values()) == [1]
    assert await house.audit() == []


async def test_without_a_card_it_waits_for_one_as_long_as_dunning_lasts(house: House) -> None:
    shopper = await _used_and_ended(house)
    gone = (await house.ask(DETACH, {"id": await shopper.default_card()}, USER))["detachPaymentMethod"]
    assert gone["userErrors"] == []
    await pass_to(house, 0)
    assert (await _last(house))["status"] == "OPEN"
    await _day_by_day(house, 20)
    assert (await _last(house))["status"] == "OPEN"
    await _day_by_day(house, 1)
    assert (await _last(house))["status"] == "UNCOLLECTIBLE"
    assert await house.audit() == []


async def test_what_was_written_off_and_comes_after_all_is_taken(house: House, issuer: Bank) -> None:
    """In parts, and too much in the end: what was lost is lost no more, the rest is the customer's."""
    await _used_and_ended(house)
    issuer.declines(VISA, BLOCKED)
    await _day_by_day(house, 22)
    last = await _last(house)
    assert (last["status"], (await balances(house))["written_off"]) == ("UNCOLLECTIBLE", 333)
    part = await record(house, last["id"], "wire-1", "1.00", "USD")
    assert (part["invoice"]["status"], part["invoice"]["amountDue"]["formatted"]) == ("UNCOLLECTIBLE", "$2.33")
    assert await balances(house) == {"offline": 100, "revenue": -333, "written_off": 233}
    assert await house.audit() == []
    rest = await record(house, last["id"], "wire-2", "3.00", "USD")
    assert (rest["userErrors"], rest["invoice"]["status"]) == ([], "PAID")
    assert await record(house, last["id"], "wire-2", "3.00", "USD") == rest
    assert await balances(house) == {"offline": 400, "revenue": -333, "customer_balance": -67}
    more = await record(house, last["id"], "wire-3", "1.00", "USD")
    assert more["userErrors"] == [{"code": "ALREADY_PAID", "field": ["invoiceId"]}]
    assert (await _last(house))["status"] == "PAID"  # and the subscription is CANCELED as before
    await _day_by_day(house, 2)
    assert await house.audit() == []


async def test_staff_withdraw_it(house: House, issuer: Bank) -> None:
    await _used_and_ended(house)
    issuer.declines(VISA, GENERIC)
    await pass_to(house, 0)
    last = await _last(house)
    assert (await house.ask(VOID, {"id": last["id"]}, "demo-admin"))["voidInvoice"] == {
        "invoice": {"status": "VOID"},
        "userErrors": [],
    }
    await _day_by_day(house, 22)
    assert [len(_tries(await _last(house))), (await _last(house))["status"]] == [1, "VOID"]
    assert await house.audit() == []


async def test_what_had_waited_for_one_that_is_withdrawn_waits_no_more(house: House) -> None:
    """Half of a month of a second seat is asked for with the end; there is no invoice after that one."""
    await Merchant(house).plan("seats", "28.00")
    changer = Changer(house, USER)
    await changer.begin("seats")
    house.pass_time(14 * DAY)
    more = {"items": [{"planCode": "seats", "quantity": 2}], "proration": "PRORATE_NEXT_INVOICE"}
    assert (await changer.ask(UPDATE, **more))["userErrors"] == []
    assert (await changer.cancel(effectiveAt="NOW"))["subscription"]["status"] == "CANCELED"
    last = await _last(house)
    assert (last["status"], last["total"]) == ("OPEN", {"amount": "14.00"})
    assert (await house.ask(VOID, {"id": last["id"]}, "demo-admin"))["voidInvoice"]["userErrors"] == []
    await nothing_left_to_bill(house)


async def test_what_the_gateway_calls_too_small_of_it_is_written_off(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _used_and_ended(house)
    monkeypatch.setitem(LEAST_AMOUNT, "usd", 1000)
    await pass_to(house, 0)
    assert (await _last(house))["status"] == "PAID"
    async with house.app.database.read() as session:
        query = select(LedgerEntry.account, LedgerEntry.amount_minor).where(
            LedgerEntry.kind == PostingKind.BALANCE_WRITTEN_OFF
        )
        booked = dict((await session.exec(query)).all())
    assert booked == {Account.WRITTEN_OFF: 333, Account.CUSTOMER_BALANCE: -333}
    assert await house.audit() == []


async def test_a_trial_that_ends_while_it_rests_has_cost_nothing(small_house: House) -> None:
    """Time stands still, its free days are not over: neither the flat fee nor what is told of then is asked for."""
    tiers = [{"upTo": 10, "unitAmount": "0", "flatAmount": "5.00"}, {"unitAmount": "1"}]
    terms = {"billingScheme": "TIERED", "tiersMode": "GRADUATED", "prices": [{"currencyCode": "USD", "tiers": tiers}]}
    await sell(small_house, "api", trialPeriodDays=7, **terms)
    shopper = Shopper(small_house, "demo-new")
    await shopper.subscribe("api")
    await pass_to(small_house, 3)
    await pause(shopper)
    await pass_to(small_house, 10)
    event = {"subscriptionId": shopper.subscribed[0], "quantity": "12"}
    assert (await tell(small_house, await key_of(small_house), event))["accepted"] == 1
    ended = await shopper.cancel(effectiveAt="NOW")
    assert (ended["subscription"]["status"], ended["invoice"]) == ("CANCELED", None)
    assert await small_house.audit() == []
