"""The books: a balance transaction for each movement of money.

Owns: booking, and reading what was booked. The sandbox takes no fees, converts no currency and makes money available at
once, so `net` is `amount` and the sum over a currency is what its balance would be.
"""

from gateways.sandbox import shapes
from gateways.sandbox.calls import Body, Call
from gateways.sandbox.store import Listing

# what moved -> (type, reporting category)
MOVEMENTS = {
    "charge": ("charge", "charge"),
    "refund": ("refund", "refund"),
    "refund_failure": ("refund_failure", "refund_failure"),
    "dispute": ("adjustment", "dispute"),
    "dispute_reversal": ("adjustment", "dispute_reversal"),
}


def book(call: Call, movement: str, source: Body, amount: int, description: str | None) -> Body:
    """Book `amount` minor units of the source's currency: positive comes in, negative goes out."""
    kind, category = MOVEMENTS[movement]
    transaction = shapes.balance_transaction(
        call.ids.new("balance_transaction"), call.second, source, amount, kind, category, description
    )
    call.unit.add("balance_transaction", transaction)
    return transaction


async def retrieve(call: Call) -> Body:
    return (await call.addressed("balance_transaction")).body


async def list_all(call: Call) -> Body:
    params = call.params
    wanted = {name: params[name] for name in ("currency", "type") if name in params}
    listing = Listing(
        "balance_transaction",
        lookup=params.get("source"),
        where=(lambda body: all(body[name] == value for name, value in wanted.items())) if wanted else None,
    )
    return await call.page(listing, "/v1/balance_transactions")
