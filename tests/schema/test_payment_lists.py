"""The payments ledger as it is read: each filter alone and all together, look-ups in each way, and sent invoices."""

from typing import Any

import pytest
from sqlmodel import col, select

from billing.charging import IntentStatus
from billing.lifecycle import PaymentStatus
from models.payments import CollectionIntent, Payment
from tests.scenarios.by_hand import write_down
from tests.scenarios.orders import ADMIN, life, ordered
from tests.scenarios.test_payment_records import create, delete, owing
from tests.schema.rows import add_customer
from tests.support.house import House, counted

LIST = """query ($filter: PaymentFilter) { payments(filter: $filter, first: 100) {
  totalCount nodes { gatewayPaymentId } } }"""
BACK = "https://shop.example/back"


async def _shelve(house: House) -> dict[str, str]:
    """Two payments of a gateway's and two records, one of them deleted; ids by what they are called."""
    await add_customer(house.app, "rows", 2)
    subscription, invoice = await owing(house)
    await create(house, invoice, "PROCESSING", "wire-1", redirectUrl=BACK)
    gone = (await create(house, invoice, "PENDING", "wire-2"))["payment"]["id"]
    await delete(house, gone)
    async with house.app.database.write() as session:
        first, second = (
            await session.exec(select(Payment).where(Payment.platform == "sandbox").order_by(col(Payment.number)))
        ).all()
        second.status, second.amount_paid_minor, second.return_url = PaymentStatus.REQUIRES_ACTION, 0, BACK
        intent = (await session.exec(select(CollectionIntent).where(CollectionIntent.payment_id == second.id))).one()
        intent.status = IntentStatus.REQUIRES_ACTION
        return {
            "manual order": subscription,
            "manual invoice": invoice,
            "order": first.subscription_id,
            "invoice": first.invoice_id,
        }


async def _found(house: House, filter: dict[str, Any], user: str = ADMIN) -> list[str]:
    told = (await house.ask(LIST, {"filter": filter}, user))["payments"]
    found = [node["gatewayPaymentId"] for node in told["nodes"]]
    assert told["totalCount"] == len(found)
    return found


FILTERS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "nothing": ({}, ["wire-1", "pi_rows-1", "pi_rows-0"]),
    "owner": ({"ownerId": "user_kid"}, ["wire-1"]),
    "an unknown owner": ({"ownerId": "nobody"}, []),
    "order": ({"orderId": "order"}, ["pi_rows-0"]),
    "invoice": ({"orderId": "invoice"}, ["pi_rows-0"]),
    "manual order": ({"orderId": "manual order"}, ["wire-1"]),
    "an unknown order": ({"orderId": "inv_0"}, []),
    "gateway's id": ({"gatewayPaymentId": "pi_rows-1"}, ["pi_rows-1"]),
    "reference": ({"gatewayPaymentId": "wire-1"}, ["wire-1"]),
    "gateway's status": ({"gatewayStatus": "requires_action"}, ["pi_rows-1"]),
    "a record's status": ({"gatewayStatus": "sent"}, ["wire-1"]),
    "an unknown status": ({"gatewayStatus": "nonsense"}, []),
    "status": ({"status": ["SUCCEEDED", "PROCESSING"]}, ["wire-1", "pi_rows-0"]),
    "literal": ({"statusLiteral": ["PENDING"]}, ["pi_rows-1"]),
    "address": ({"redirectUrl": BACK}, ["wire-1", "pi_rows-1"]),
    "created": ({"createdAt": {"gte": "2026-01-31T09:31:00Z"}}, ["pi_rows-1"]),
    "created before": ({"createdAt": {"lt": "2026-01-31T09:30:00Z"}}, []),
    "deleted ones": ({"includeArchived": True, "ownerId": "user_kid"}, ["wire-2", "wire-1"]),
    "the six together": (
        {
            "ownerId": "user_kid",
            "orderId": "manual invoice",
            "gatewayPaymentId": "wire-1",
            "gatewayStatus": "sent",
            "statusLiteral": ["PROCESSING"],
            "redirectUrl": BACK,
        },
        ["wire-1"],
    ),
    "all but one": ({"ownerId": "rows", "gatewayPaymentId": "wire-1", "gatewayStatus": "sent"}, []),
}


async def test_each_filter_alone_and_all_together(house: House) -> None:
    ids = await _shelve(house)
    found = {}
    for case, (wish, _) in FILTERS.items():
        found[case] = await _found(
            house, {**wish, "orderId": ids.get(wish["orderId"], wish["orderId"])} if "orderId" in wish else wish
        )
    assert found == {case: names for case, (_, names) in FILTERS.items()}
    assert await _found(house, {"redirectUrl": BACK}, "rows") == ["pi_rows-1"]


BY = """query ($by: PaymentLookup!) { payment(by: $by) {
  gatewayPaymentId gatewayStatus statusLiteral redirectUrl success description paidOutOfBand number } }"""


async def test_a_payment_is_found_in_each_way(house: House) -> None:
    ids = await _shelve(house)
    told = (await house.ask(BY, {"by": {"gatewayPaymentId": "wire-1"}}, ADMIN))["payment"]
    number = told.pop("number")
    assert told == {
        "gatewayPaymentId": "wire-1",
        "gatewayStatus": "sent",
        "statusLiteral": "PROCESSING",
        "redirectUrl": BACK,
        "success": False,
        "description": f"Installment Subscription, invoice {await _number(house, ids['manual invoice'])}",
        "paidOutOfBand": True,
    }
    for by in ({"number": number}, {"orderId": ids["manual order"]}, {"orderId": ids["manual invoice"]}):
        assert (await house.ask(BY, {"by": by}, ADMIN))["payment"] == {**told, "number": number}
    own = (await house.ask(BY, {"by": {"orderId": ids["order"]}}, "rows"))["payment"]
    assert (own["gatewayPaymentId"], own["gatewayStatus"]) == ("pi_rows-0", "succeeded")
    assert own["description"] == "Plan rows-0, invoice rows-0-0001"
    for by in ({"number": 2**53}, {"orderId": "sbs_0"}, {"gatewayPaymentId": "wire-2"}, {"id": "pay_0"}):
        assert (await house.ask(BY, {"by": by}, ADMIN))["payment"] is None, by
    assert (await house.ask(BY, {"by": {"number": number}}, "rows"))["payment"] is None


async def _number(house: House, invoice: str) -> str:
    return (await house.ask("query ($id: ID!) { invoice(id: $id) { number } }", {"id": invoice}, ADMIN))["invoice"][
        "number"
    ]


async def test_the_latest_of_several_payments_of_an_order_is_found(house: House) -> None:
    subscription, invoice = await owing(house)
    for reference in ("first", "second", "third"):
        last = (await create(house, invoice, "PENDING", reference))["payment"]["id"]
    assert (await house.ask(BY, {"by": {"orderId": subscription}}, ADMIN))["payment"]["gatewayPaymentId"] == "third"
    await delete(house, last)
    assert (await house.ask(BY, {"by": {"orderId": subscription}}, ADMIN))["payment"]["gatewayPaymentId"] == "second"


@pytest.mark.parametrize("by", ["{}", '{id: "a", number: 1}', "{number: null}"])
async def test_a_payment_is_looked_up_in_one_way(small_house: House, by: str) -> None:
    answer = (await small_house.post(f"{{ payment(by: {by}) {{ id }} }}", user=ADMIN)).json()
    assert answer["errors"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"


async def test_invoices_by_when_they_are_due_and_made(house: House) -> None:
    order = await ordered(
        house, "mail", with_card=False, planCode="reader-pro", collectionMethod="SEND_INVOICE", daysUntilDue=14
    )
    await write_down(house)
    sent = (await life(house, order))["invoices"]["nodes"][0]["id"]
    query = "query ($f: InvoiceFilter) { invoices(filter: $f, page: 1, pageSize: 5) { totalCount nodes { id } } }"
    for wish, wanted in (
        ({"dueAt": {"gte": "2026-02-14T09:30:00Z"}}, [sent]),
        ({"dueAt": {"gte": "2026-02-14T09:30:00Z", "lt": "2026-02-14T09:30:00Z"}}, []),
        ({"dueAt": {"lt": "2026-02-15T00:00:00Z"}, "status": ["OPEN"], "subscriptionId": order}, [sent]),
        ({"dueAt": {"lt": "2026-02-15T00:00:00Z"}, "status": ["PAID"]}, []),
        ({"createdAt": {"lt": "2026-01-31T09:30:00Z"}}, []),
    ):
        told = (await house.ask(query, {"f": wish}, ADMIN))["invoices"]
        assert ([node["id"] for node in told["nodes"]], told["totalCount"]) == (wanted, len(wanted)), wish


@pytest.mark.parametrize("subscriptions", [1, 12])
async def test_staff_reads_lists_with_as_many_statements_whatever_their_length(
    house: House, subscriptions: int
) -> None:
    await add_customer(house.app, "rows", subscriptions)
    operations = {
        # The page, accounts, cards, latest payments, intents, refunds.
        """{ subscriptions(sort: {field: PAYMENT_CONFIRMATION, direction: DESC}, filter: {search: "rows"}) {
             nodes { raw paymentConfirmation } } }""": 6,
        # The page, intents, invoices, subscriptions, plans.
        '{ payments(filter: {gatewayStatus: "succeeded"}) { nodes { gatewayStatus description } } }': 5,
        # The page, payments, intents.
        "{ invoices { nodes { nextAction { type } } } }": 3,
    }
    found = {}
    for operation in operations:
        async with counted(house.app) as statements:
            await house.ask(operation, user=ADMIN)
        found[operation] = len(statements)
    assert found == operations
