"""What the merchant's back office writes down: manual subscriptions, their renewals, and payments that came."""

from typing import Any

from tests.scenarios.orders import ADMIN
from tests.support.house import House

_TOLD = """subscription { id externalId status isActive } invoice { id status amountDue { formatted } }
  userErrors { code field }"""
CREATE = (
    f"""mutation ($input: CreateManualSubscriptionInput!) {{ createManualSubscription(input: $input) {{ {_TOLD} }} }}"""
)
RENEW = (
    f"""mutation ($input: RenewManualSubscriptionInput!) {{ renewManualSubscription(input: $input) {{ {_TOLD} }} }}"""
)
DELETE = f"""mutation ($id: ID!) {{ deleteManualSubscription(id: $id) {{ {_TOLD} }} }}"""
RECORD = """mutation ($input: RecordManualPaymentInput!) {
  recordManualPayment(input: $input) {
    payment { id platform status paidOutOfBand gatewayPaymentId amountPaid { formatted } }
    invoice { id status amountPaid { formatted } amountDue { formatted } }
    userErrors { code field } } }"""

# The source's own example: a year of coffee, paid in full at the counter.
YEAR_OF_COFFEE: dict[str, Any] = {
    "customer": {"externalId": "user_kid"},
    "planCode": "classic-coffee-yearly",
    "name": "Installment Subscription",
    "interval": "YEAR",
    "isFixedCredit": False,
    "isActive": True,
    "isOutOfCredits": False,
    "subscriptionId": "subscription_givin_id",
    "paymentReference": "971525619098_2021-11-20_17--15--33",
    "periodStart": "2021-11-20",
    "periodEnd": "2022-11-20",
    "payment": {
        "amountDue": {"amount": "3540.00", "currencyCode": "AED"},
        "amountPaid": {"amount": "3540.00", "currencyCode": "AED"},
    },
    "credits": [
        {"unit": "classic_coffee", "daily": 1, "total": 365},
        {"unit": "specialty_coffee", "daily": 1, "total": 365},
    ],
}


def aed(amount: str) -> dict[str, str]:
    return {"amount": amount, "currencyCode": "AED"}


async def write_down(house: House, **changes: Any) -> dict[str, Any]:
    """The payload of `createManualSubscription` for the example with these changes; None takes a field away."""
    wish = {name: value for name, value in {**YEAR_OF_COFFEE, **changes}.items() if value is not None}
    return (await house.ask(CREATE, {"input": wish}, ADMIN))["createManualSubscription"]


async def renew(house: House, subscription: str, key: str, **more: Any) -> dict[str, Any]:
    wish = {"subscriptionId": subscription, "idempotencyKey": key, **more}
    return (await house.ask(RENEW, {"input": wish}, ADMIN))["renewManualSubscription"]


async def record(house: House, invoice: str, key: str, amount: str, currency: str, **more: Any) -> dict[str, Any]:
    payment = {"amountPaid": {"amount": amount, "currencyCode": currency}, **more}
    wish = {"invoiceId": invoice, "payment": payment, "idempotencyKey": key}
    return (await house.ask(RECORD, {"input": wish}, ADMIN))["recordManualPayment"]
