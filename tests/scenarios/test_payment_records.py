"""Records of the payments ledger: what each word means for money; gateway payments are never edited by hand."""

import asyncio
from typing import Any

import pytest
from sqlmodel import select

from billing.ledger import Account
from models.ledger import LedgerEntry, account_by_customer
from tests.scenarios.by_hand import aed, write_down
from tests.scenarios.orders import ADMIN, life, ordered
from tests.scenarios.shopping import Shopper
from tests.schema.keys import ask_with_key, post_with_key, secret_of_key
from tests.support.house import House
from tests.support.outside import VISA, gateway_books
from tests.support.tables import everything

_TOLD = """payment { id version platform status statusLiteral success paidOutOfBand gatewayPaymentId gatewayStatus
  redirectUrl isArchived amount { formatted } amountPaid { formatted } } invoice { status amountDue { formatted } }
  userErrors { code field }"""
CREATE = f"mutation ($input: CreatePaymentRecordInput!) {{ createPaymentRecord(input: $input) {{ {_TOLD} }} }}"
UPDATE = f"mutation ($input: UpdatePaymentRecordInput!) {{ updatePaymentRecord(input: $input) {{ {_TOLD} }} }}"
DELETE = """mutation ($id: ID!, $version: Int) { deletePaymentRecord(id: $id, expectedVersion: $version) {
  payment { id version isArchived } userErrors { code field message } } }"""
STANDS = """query ($id: ID!) { subscription(id: $id) { paymentConfirmation isActive nextAction { type }
  latestPayment { statusLiteral } invoices { nodes { nextAction { type } payments { statusLiteral } } } } }"""


async def owing(house: House) -> tuple[str, str]:
    """A manual subscription of which AED 3,540.00 are owed, and its open invoice."""
    nothing_yet = {"amountDue": aed("3540.00"), "amountPaid": aed("0.00")}
    told = await write_down(house, periodEnd="2026-11-20", payment=nothing_yet, paymentReference=None)
    return told["subscription"]["id"], told["invoice"]["id"]


async def create(house: House, order: str, literal: str, reference: str = "wire-1", **more: Any) -> dict[str, Any]:
    wish = {"orderId": order, "gatewayPaymentId": reference, "gatewayStatus": "sent", "statusLiteral": literal, **more}
    return (await house.ask(CREATE, {"input": wish}, ADMIN))["createPaymentRecord"]


async def update(house: House, payment: str, **more: Any) -> dict[str, Any]:
    return (await house.ask(UPDATE, {"input": {"paymentId": payment, **more}}, ADMIN))["updatePaymentRecord"]


async def delete(house: House, payment: str, version: int | None = None) -> dict[str, Any]:
    return (await house.ask(DELETE, {"id": payment, "version": version}, ADMIN))["deletePaymentRecord"]


async def entries(house: House) -> int:
    async with house.app.database.read() as session:
        return len((await session.exec(select(LedgerEntry))).all())


def errors(payload: dict[str, Any]) -> list[tuple[str, list[str] | None]]:
    return [(error["code"], error["field"]) for error in payload["userErrors"]]


async def test_a_paid_record_settles_its_order_and_is_in_the_books(house: House) -> None:
    subscription, invoice = await owing(house)
    told = await create(house, subscription, "PAID", redirectUrl="https://shop.example/back")
    assert told["userErrors"] == []
    assert {name: told["payment"][name] for name in ("platform", "status", "statusLiteral", "success")} == {
        "platform": "MANUAL",
        "status": "SUCCEEDED",
        "statusLiteral": "PAID",
        "success": True,
    }
    assert (told["payment"]["gatewayPaymentId"], told["payment"]["gatewayStatus"]) == ("wire-1", "sent")
    assert told["payment"]["redirectUrl"] == "https://shop.example/back"
    assert told["payment"]["amountPaid"]["formatted"] == "AED3,540.00"
    assert told["invoice"] == {"status": "PAID", "amountDue": {"formatted": "AED0.00"}}
    async with house.app.database.read() as session:
        assert list((await account_by_customer(session, Account.OFFLINE)).values()) == [354000]
    for order in (subscription, invoice):
        again = await create(house, order, "PAID", redirectUrl="https://shop.example/back")
        assert again == told
    assert not any((await gateway_books(house)).values())
    assert await house.audit() == []


async def test_a_part_leaves_the_invoice_open_and_too_much_is_the_customers(house: House) -> None:
    _, invoice = await owing(house)
    part = await create(house, invoice, "PAID", "one", amount=aed("1000.00"))
    assert part["invoice"] == {"status": "OPEN", "amountDue": {"formatted": "AED2,540.00"}}
    rest = await create(house, invoice, "PAID", "two", amount=aed("2600.00"))
    assert rest["invoice"]["status"] == "PAID"
    async with house.app.database.read() as session:
        assert list((await account_by_customer(session, Account.CUSTOMER_BALANCE)).values()) == [-6000]
    assert errors(await create(house, invoice, "PAID", "three")) == [("ALREADY_PAID", ["orderId"])]
    assert await house.audit() == []


async def test_what_is_announced_moves_no_money_until_it_has_come(house: House) -> None:
    subscription, invoice = await owing(house)
    before = await entries(house)
    told = await create(house, invoice, "PENDING")
    record = told["payment"]["id"]
    assert (told["payment"]["statusLiteral"], told["payment"]["amount"]["formatted"]) == ("PENDING", "AED3,540.00")
    assert (told["payment"]["amountPaid"]["formatted"], told["invoice"]["status"]) == ("AED0.00", "OPEN")
    on_its_way = await update(house, record, statusLiteral="PROCESSING", gatewayStatus="under way", expectedVersion=1)
    assert (on_its_way["payment"]["statusLiteral"], on_its_way["payment"]["version"]) == ("PROCESSING", 2)
    assert await entries(house) == before
    seen = (await house.ask(STANDS, {"id": subscription}, ADMIN))["subscription"]
    assert seen == {
        "paymentConfirmation": "PROCESSING",
        "isActive": True,
        "nextAction": {"type": "NONE"},
        "latestPayment": {"statusLiteral": "PROCESSING"},
        "invoices": {"nodes": [{"nextAction": {"type": "PAY_OFFLINE"}, "payments": [{"statusLiteral": "PROCESSING"}]}]},
    }
    assert await house.audit() == []
    paid = await update(house, record, statusLiteral="PAID", gatewayStatus="arrived")
    assert (paid["payment"]["id"], paid["payment"]["gatewayStatus"]) == (record, "arrived")
    assert (paid["payment"]["success"], paid["invoice"]["status"]) == (True, "PAID")
    assert await update(house, record, statusLiteral="PAID", gatewayStatus="arrived") == paid
    assert (await life(house, subscription))["totalPaid"]["formatted"] == "AED3,540.00"
    assert not any((await gateway_books(house)).values())
    assert await house.audit() == []


async def test_what_has_come_to_its_end_stays_and_only_its_texts_change(house: House) -> None:
    _, invoice = await owing(house)
    gone = (await create(house, invoice, "CANCELED", "gone"))["payment"]["id"]
    paid = (await create(house, invoice, "PAID", "paid"))["payment"]["id"]
    before = await everything(house.app)
    for record, literal in ((gone, "PENDING"), (gone, "PAID"), (paid, "PENDING"), (paid, "CANCELED")):
        assert errors(await update(house, record, statusLiteral=literal)) == [("INVALID_STATE", ["statusLiteral"])]
    refused = await delete(house, paid)
    assert errors(refused) == [("INVALID_STATE", ["id"])]
    assert await everything(house.app) == before
    renamed = await update(house, paid, gatewayPaymentId="wire-9", redirectUrl="https://shop.example/done")
    assert renamed["payment"]["gatewayPaymentId"] == "wire-9"
    assert renamed["payment"]["redirectUrl"] == "https://shop.example/done"
    assert await house.audit() == []


async def test_a_deleted_record_is_for_staff_and_its_reference_is_free_again(house: House) -> None:
    subscription, invoice = await owing(house)
    record = (await create(house, invoice, "PENDING"))["payment"]["id"]
    stale = await delete(house, record, version=7)
    assert errors(stale) == [("VERSION_CONFLICT", ["expectedVersion"])]
    gone = await delete(house, record, version=1)
    assert gone["payment"] == {"id": record, "version": 2, "isArchived": True}
    assert await delete(house, record) == gone
    assert errors(await update(house, record, statusLiteral="PAID")) == [("INVALID_STATE", ["paymentId"])]
    assert (await house.ask(STANDS, {"id": subscription}, ADMIN))["subscription"]["latestPayment"] is None
    query = """query ($id: ID!, $all: Boolean!) { payment(by: {id: $id}) { isArchived }
      payments(filter: {includeArchived: $all}) { totalCount } me: node(id: $id) { id } }"""
    staff = await house.ask(query, {"id": record, "all": True}, ADMIN)
    assert staff == {"payment": {"isArchived": True}, "payments": {"totalCount": 1}, "me": {"id": record}}
    own = await house.ask(query, {"id": record, "all": False}, "user_kid")
    assert own == {"payment": None, "payments": {"totalCount": 0}, "me": None}
    assert (await create(house, invoice, "PENDING"))["userErrors"] == []


async def test_a_reference_is_one_records(house: House) -> None:
    _, invoice = await owing(house)
    first = await create(house, invoice, "PENDING")
    assert await create(house, invoice, "PENDING") == first
    for changes in (
        {"amount": aed("1.00")},
        {"gatewayStatus": "other"},
        {"redirectUrl": "https://shop.example/"},
        {"statusLiteral": "PAID"},
    ):
        other = await create(house, invoice, **{"literal": "PENDING", **changes})
        assert errors(other) == [("ALREADY_EXISTS", ["gatewayPaymentId"])]
    second = (await create(house, invoice, "PENDING", "wire-2"))["payment"]["id"]
    taken = await update(house, second, gatewayPaymentId="wire-1")
    assert errors(taken) == [("ALREADY_EXISTS", ["gatewayPaymentId"])]


async def test_two_at_once_write_one_record_and_book_it_once(house: House) -> None:
    _, invoice = await owing(house)
    one, other = await asyncio.gather(*(create(house, invoice, "PAID") for _ in range(2)))
    assert one["userErrors"] == []
    assert other == one
    async with house.app.database.read() as session:
        assert list((await account_by_customer(session, Account.OFFLINE)).values()) == [354000]
    assert await house.audit() == []


async def test_a_card_that_could_still_pay_is_stopped_and_a_paid_one_wins(house: House) -> None:
    stopped, wins = Shopper(house, "demo-card"), Shopper(house, "demo-new")
    for shopper in (stopped, wins):
        first = await shopper.subscribe()
        order = first["subscription"]["id"]
        announced = await create(house, order, "PENDING", order)
        assert errors(announced) == [("INVALID_STATE", ["statusLiteral"])]
        part = await create(house, order, "PAID", order, amount={"amount": "1.00", "currencyCode": "USD"})
        assert errors(part) == [("INVALID", ["amount"])]
        if shopper is wins:
            await shopper.browser.confirm(first["paymentIntent"]["clientSecret"], VISA)
        told = await create(house, order, "PAID", order)
        if shopper is wins:
            assert errors(told) == [("ALREADY_PAID", ["orderId"])]
            assert told["payment"] is None
        else:
            assert (told["userErrors"], told["invoice"]["status"]) == ([], "PAID")
        assert (await life(house, order))["status"] == "ACTIVE"
    await house.deliver()
    intents = (await gateway_books(house))["intents"]
    assert sorted(intent["status"] for intent in intents) == ["canceled", "succeeded"]
    assert await house.audit() == []


async def test_what_a_gateway_collects_is_never_edited_by_hand(house: House) -> None:
    await ordered(house, "demo-card", planCode="reader-pro")
    payment = (await house.ask("{ payments { nodes { id } } }", user=ADMIN))["payments"]["nodes"][0]["id"]
    before = await everything(house.app)
    for change in ({"statusLiteral": "CANCELED"}, {"statusLiteral": "PAID"}, {"gatewayStatus": "failed"}):
        assert errors(await update(house, payment, **change)) == [("NOT_PERMITTED", ["paymentId"])]
    refused = await delete(house, payment)
    assert refused["userErrors"] == [
        {
            "code": "NOT_PERMITTED",
            "field": ["id"],
            "message": "A gateway makes this payment, and it alone tells how it stands. Only records are written by "
            "hand.",
        }
    ]
    assert await everything(house.app) == before


REFUSED: dict[str, tuple[dict[str, Any], str, list[str]]] = {
    "an unknown order": ({"order": "sbs_none"}, "NOT_FOUND", ["orderId"]),
    "no reference": ({"reference": ""}, "INVALID", ["gatewayPaymentId"]),
    "a long reference": ({"reference": "x" * 256}, "INVALID", ["gatewayPaymentId"]),
    "no status": ({"gatewayStatus": ""}, "INVALID", ["gatewayStatus"]),
    "another currency": ({"amount": {"amount": "1.00", "currencyCode": "USD"}}, "CURRENCY_MISMATCH", ["amount"]),
    "nothing": ({"amount": aed("0.00")}, "INVALID", ["amount"]),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("literal", ["PENDING", "PAID"])
async def test_what_cannot_have_been_paid_is_refused_and_changes_nothing(
    small_house: House, case: str, literal: str
) -> None:
    changes, code, field = REFUSED[case]
    _, invoice = await owing(small_house)
    before = await everything(small_house.app)
    told = await create(small_house, **{"order": invoice, "literal": literal, **changes})
    assert (told["payment"], errors(told)) == (None, [(code, field)])
    assert await everything(small_house.app) == before


async def test_unknown_records_and_stale_versions_are_refused(small_house: House) -> None:
    _, invoice = await owing(small_house)
    record = (await create(small_house, invoice, "PENDING"))["payment"]["id"]
    before = await everything(small_house.app)
    assert errors(await update(small_house, "pay_none", statusLiteral="PAID")) == [("NOT_FOUND", ["paymentId"])]
    assert errors(await delete(small_house, "pay_none")) == [("NOT_FOUND", ["id"])]
    for change in ({"statusLiteral": "PAID"}, {"gatewayStatus": "other"}):
        told = await update(small_house, record, expectedVersion=2, **change)
        assert errors(told) == [("VERSION_CONFLICT", ["expectedVersion"])]
    assert await everything(small_house.app) == before


async def test_a_key_that_records_payments_writes_but_does_not_delete(small_house: House) -> None:
    _, invoice = await owing(small_house)
    key = await secret_of_key(small_house, "record_payments")
    wish = {"orderId": invoice, "gatewayPaymentId": "w", "gatewayStatus": "sent", "statusLiteral": "PENDING"}
    told = (await ask_with_key(small_house, key, CREATE, {"input": wish}))["createPaymentRecord"]
    assert told["userErrors"] == []
    change = {"paymentId": told["payment"]["id"], "statusLiteral": "CANCELED"}
    assert (await ask_with_key(small_house, key, UPDATE, {"input": change}))["updatePaymentRecord"]["userErrors"] == []
    (error,) = (await post_with_key(small_house, key, DELETE, {"id": told["payment"]["id"]})).json()["errors"]
    assert error["extensions"]["code"] == "FORBIDDEN"


async def test_asking_the_gateway_about_what_was_written_down_changes_nothing(small_house: House) -> None:
    subscription, invoice = await owing(small_house)
    await create(small_house, invoice, "PROCESSING")
    before = await everything(small_house.app)
    refresh = """mutation ($id: ID!) { refreshSubscriptionPayment(input: {subscriptionId: $id}) {
      success paymentTicketId payment { statusLiteral } userErrors { code } } }"""
    told = (await small_house.ask(refresh, {"id": subscription}, ADMIN))["refreshSubscriptionPayment"]
    assert told == {
        "success": False,
        "paymentTicketId": None,
        "payment": {"statusLiteral": "PROCESSING"},
        "userErrors": [],
    }
    assert await everything(small_house.app) == before
