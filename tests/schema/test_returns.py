"""What went back as its customer and staff read it: refunds, disputes, and how a payment is seen."""

from itertools import product

import pytest

from billing.lifecycle import PaymentStatus
from billing.returning import standing
from models.payments import Payment
from tests.schema.rows import add_customer
from tests.services.returns import IS_DISPUTED, answer_bank, buy, give_back
from tests.support.house import House
from tests.support.outside import VISA

RETURNS = """{ payments { nodes {
    status statusLiteral success
    amount { amountMinor } amountPaid { amountMinor } amountDue { amountMinor } amountRefunded { amountMinor }
    invoice { status amountPaid { amountMinor } amountDue { amountMinor } amountRefunded { amountMinor } }
    refunds { gatewayId amount { formatted } reason status origin failureReason createdAt payment { status } }
    disputes {
        amount { amountMinor } amountWithdrawn { amountMinor } amountReinstated { amountMinor }
        reason status createdAt payment { status }
    }
} } }"""


async def test_a_refunded_payment_tells_what_went_back(house: House) -> None:
    intent = await buy(house, VISA)
    refund = await give_back(house, intent, 250, reason="duplicate")
    await house.deliver()
    assert (await house.ask(RETURNS, user="demo-new"))["payments"]["nodes"] == [
        {
            "status": "PARTIALLY_REFUNDED",
            "statusLiteral": "PAID",
            "success": True,
            "amount": {"amountMinor": 700},
            "amountPaid": {"amountMinor": 700},
            "amountDue": {"amountMinor": 0},
            "amountRefunded": {"amountMinor": 250},
            "invoice": {
                "status": "PAID",
                "amountPaid": {"amountMinor": 700},
                "amountDue": {"amountMinor": 0},
                "amountRefunded": {"amountMinor": 250},
            },
            "refunds": [
                {
                    "gatewayId": refund.id,
                    "amount": {"formatted": "$2.50"},
                    "reason": "DUPLICATE",
                    "status": "SUCCEEDED",
                    "origin": "GATEWAY",
                    "failureReason": None,
                    "createdAt": "2026-01-31T09:30:00Z",
                    "payment": {"status": "PARTIALLY_REFUNDED"},
                }
            ],
            "disputes": [],
        }
    ]


async def test_a_disputed_payment_tells_what_the_bank_took(house: House) -> None:
    intent = await buy(house, IS_DISPUTED)
    await answer_bank(house, intent, "losing_evidence")
    await house.deliver()
    [payment] = (await house.ask(RETURNS, user="demo-new"))["payments"]["nodes"]
    assert (payment["status"], payment["statusLiteral"], payment["refunds"]) == ("DISPUTED", "PAID", [])
    assert payment["disputes"] == [
        {
            "amount": {"amountMinor": 700},
            "amountWithdrawn": {"amountMinor": 700},
            "amountReinstated": {"amountMinor": 0},
            "reason": "fraudulent",
            "status": "UNDER_REVIEW",
            "createdAt": "2026-01-31T09:30:00Z",
            "payment": {"status": "DISPUTED"},
        }
    ]


AMOUNTS = [
    (paid, refunded, disputed)
    for paid, refunded, disputed in product((0, 10), (0, 1, 10), (0, 10))
    if paid or not refunded
]


@pytest.mark.parametrize("status", PaymentStatus)
async def test_a_filter_finds_a_payment_by_what_it_is_seen_as(small_house: House, status: PaymentStatus) -> None:
    """The database and the engine agree on every case, and nothing is found twice."""
    house = small_house
    await add_customer(house.app, "rows", len(AMOUNTS))
    expected: dict[str, int] = {}
    async with house.app.database.write() as session:
        for number, (paid, refunded, disputed) in enumerate(AMOUNTS, start=1):
            row = await session.get_one(Payment, number)
            row.status, row.amount_paid_minor = status, paid
            row.amount_refunded_minor, row.amount_disputed_minor = refunded, disputed
            seen = standing(status, paid=paid, refunded=refunded, disputed=disputed).name
            expected[seen] = expected.get(seen, 0) + 1
    wanted = (await house.ask('{ __type(name: "PaymentStatus") { enumValues { name } } }'))["__type"]["enumValues"]
    counts = " ".join(
        f"{value['name']}: payments(filter: {{status: [{value['name']}]}}) {{ totalCount }}" for value in wanted
    )
    found = await house.ask(f"{{ {counts} }}", user="rows")
    assert {name: told["totalCount"] for name, told in found.items() if told["totalCount"]} == expected
