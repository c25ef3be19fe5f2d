"""The operations that are timed: what a front end asks first, and what moves money."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from gateways.sandbox.deliveries import signature
from settings import SANDBOX_WEBHOOK_SECRET
from tests.support.house import House


@dataclass(frozen=True, slots=True)
class Customer:
    """Somebody with a saved card. `names` are all identifiers of user, customer, card and account, in one order."""

    user: str
    card_id: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sent:
    """One HTTP request, ready to be sent."""

    path: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Operation:
    """`build` makes the n-th request, for a customer who may do it. One that `uses_up` its customer gets a new one
    each time; the others are done by the reader, who has five saved cards and a paid subscription."""

    name: str
    build: Callable[[House, Customer, int], Sent]
    writes: bool = False
    uses_up: bool = False


def _graphql(house: House, user: str, query: str, variables: Mapping[str, Any] | None = None) -> Sent:
    headers = {"authorization": f"Bearer {house.token(user)}"}
    return Sent("/graphql", orjson.dumps({"query": query, "variables": variables}), headers)


def _reading(name: str, query: str) -> Operation:
    return Operation(name, lambda house, customer, _n: _graphql(house, customer.user, query))


_SUBSCRIBE = """mutation($input: SubscribeInput!) { subscribe(input: $input) {
  subscription { id status isActive version currentPeriod { start end } }
  payment { id status amount { amountMinor currencyCode formatted } }
  nextAction { type clientSecret }
  userErrors { code message field }
} }"""


def _subscribe(house: House, customer: Customer, _n: int) -> Sent:
    wish = {"planCode": "reader-pro", "paymentMethodId": customer.card_id}
    return _graphql(house, customer.user, _SUBSCRIBE, {"input": wish})


_SETUP = "mutation { createSetupIntent { setupIntent { id status clientSecret } userErrors { code message } } }"

# As Stripe sends it; what we keep of it is its id, its type and what it is about.
_EVENT = {
    "object": "event",
    "api_version": "2026-09-30",
    "created": 1_769_851_800,
    "type": "payment_intent.succeeded",
    "livemode": False,
    "pending_webhooks": 1,
    "request": {"id": "req_0123456789abcdef", "idempotency_key": "0123456789abcdef0123456789abcdef"},
    "data": {
        "object": {
            "id": "pi_0123456789abcdef01234567",
            "object": "payment_intent",
            "amount": 700,
            "currency": "usd",
            "status": "succeeded",
            "metadata": {"perennial_invoice": "inv_0123456789abcdef0123456789abcdef"},
            "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
            "description": "Invoice ABCDEFGHJK-0001 " * 40,
        }
    },
}


def _webhook(house: House, _customer: Customer, n: int) -> Sent:
    body = orjson.dumps({"id": f"evt_{n:024}", **_EVENT})
    second = int(house.machine.now().timestamp())
    return Sent("/webhooks/stripe", body, {"stripe-signature": signature(SANDBOX_WEBHOOK_SECRET, body, second)})


OPERATIONS = (
    _reading(
        "plans",
        """{ plans(first: 20) { nodes { id code name description interval intervalCount product { code name }
        prices { amount { amountMinor currencyCode formatted } } } pageInfo { hasNextPage endCursor } } }""",
    ),
    _reading(
        "me",
        "{ me { id name email locale timezone user { id } defaultPaymentMethod { id card { brand last4 } } } }",
    ),
    _reading(
        "mySubscription, with lines",
        """{ mySubscription { id status isActive plan { code name } amount { formatted } currentPeriod { start end }
        nextBillingAt cancelAtPeriodEnd invoices(first: 5) { nodes { number status total { amountMinor formatted }
        lines { description quantity amount { amountMinor formatted } explanation { text formula
        inputs { name value } } } } } statusHistory { from to at cause actor } } }""",
    ),
    _reading(
        "paymentMethods",
        """{ paymentMethods(first: 20) { nodes { id type isDefault isExpiringSoon card { brand last4 expMonth expYear
        countryCode funding } billingDetails { name address { postalCode } } createdAt } totalCount } }""",
    ),
    Operation("subscribe, saved card", _subscribe, writes=True, uses_up=True),
    Operation("createSetupIntent", lambda house, customer, _n: _graphql(house, customer.user, _SETUP), writes=True),
    Operation("webhook", _webhook, writes=True),
)
