"""Which request is which operation: one table.

Owns: method and path of each operation, its handler, its parameters for a secret key and for a browser.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gateways.sandbox import (
    balance,
    charges,
    country_specs,
    coupons,
    customers,
    disputes,
    events,
    parameters,
    payment_intents,
    payment_methods,
    promotion_codes,
    refunds,
    search,
    setup_intents,
)
from gateways.sandbox.calls import Answer, Body, Call
from gateways.sandbox.cards import card_of_payment_method
from gateways.sandbox.parameter_kinds import Hash

Handler = Callable[[Call], Awaitable[Body | Answer]]


@dataclass(frozen=True)
class Operation:
    """`browser` holds the parameters a publishable key may send; None: it may not call this at all."""

    handler: Handler
    params: Hash
    browser: Hash | None = None


_P = parameters
ROUTES: dict[tuple[str, str], Operation] = {
    ("POST", "customers"): Operation(customers.create, _P.CUSTOMER_CREATE),
    ("GET", "customers"): Operation(customers.list_all, _P.CUSTOMER_LIST),
    ("GET", "customers/*"): Operation(customers.retrieve, _P.RETRIEVE),
    ("POST", "customers/*"): Operation(customers.update, _P.CUSTOMER_UPDATE),
    ("DELETE", "customers/*"): Operation(customers.delete, _P.NOTHING),
    ("DELETE", "customers/*/discount"): Operation(customers.delete_discount, _P.NOTHING),
    ("GET", "customers/*/payment_methods"): Operation(
        payment_methods.list_of_customer, _P.CUSTOMER_PAYMENT_METHOD_LIST
    ),
    ("GET", "customers/*/payment_methods/*"): Operation(payment_methods.retrieve_of_customer, _P.RETRIEVE),
    ("POST", "payment_methods"): Operation(
        payment_methods.create, _P.PAYMENT_METHOD_CREATE, _P.BROWSER_PAYMENT_METHOD_CREATE
    ),
    ("GET", "payment_methods"): Operation(payment_methods.list_all, _P.PAYMENT_METHOD_LIST),
    ("GET", "payment_methods/*"): Operation(payment_methods.retrieve, _P.RETRIEVE),
    ("POST", "payment_methods/*"): Operation(payment_methods.update, _P.PAYMENT_METHOD_UPDATE),
    ("POST", "payment_methods/*/attach"): Operation(payment_methods.attach, _P.ATTACH),
    ("POST", "payment_methods/*/detach"): Operation(payment_methods.detach, _P.RETRIEVE),
    ("POST", "payment_intents"): Operation(payment_intents.create, _P.PAYMENT_INTENT_CREATE),
    ("GET", "payment_intents"): Operation(payment_intents.list_all, _P.PAYMENT_INTENT_LIST),
    ("GET", "payment_intents/*"): Operation(payment_intents.retrieve, _P.INTENT_RETRIEVE, _P.BROWSER_RETRIEVE),
    ("POST", "payment_intents/*"): Operation(
        payment_intents.update, _P.PAYMENT_INTENT_UPDATE, _P.BROWSER_PAYMENT_UPDATE
    ),
    ("POST", "payment_intents/*/confirm"): Operation(
        payment_intents.confirm, _P.PAYMENT_INTENT_CONFIRM, _P.BROWSER_PAYMENT_CONFIRM
    ),
    ("POST", "payment_intents/*/cancel"): Operation(payment_intents.cancel, _P.PAYMENT_INTENT_CANCEL),
    ("POST", "payment_intents/*/capture"): Operation(payment_intents.capture, _P.PAYMENT_INTENT_CAPTURE),
    ("POST", "setup_intents"): Operation(setup_intents.create, _P.SETUP_INTENT_CREATE),
    ("GET", "setup_intents"): Operation(setup_intents.list_all, _P.SETUP_INTENT_LIST),
    ("GET", "setup_intents/*"): Operation(setup_intents.retrieve, _P.INTENT_RETRIEVE, _P.BROWSER_RETRIEVE),
    ("POST", "setup_intents/*"): Operation(setup_intents.update, _P.SETUP_INTENT_UPDATE, _P.BROWSER_SETUP_UPDATE),
    ("POST", "setup_intents/*/confirm"): Operation(
        setup_intents.confirm, _P.SETUP_INTENT_CONFIRM, _P.BROWSER_SETUP_CONFIRM
    ),
    ("POST", "setup_intents/*/cancel"): Operation(setup_intents.cancel, _P.SETUP_INTENT_CANCEL),
    ("GET", "setup_attempts"): Operation(setup_intents.list_attempts, _P.SETUP_ATTEMPT_LIST),
    ("GET", "charges"): Operation(charges.list_all, _P.CHARGE_LIST),
    ("GET", "charges/*"): Operation(charges.retrieve, _P.RETRIEVE),
    ("POST", "charges/*"): Operation(charges.update, _P.CHARGE_UPDATE),
    ("GET", "balance_transactions"): Operation(balance.list_all, _P.BALANCE_TRANSACTION_LIST),
    ("GET", "balance_transactions/*"): Operation(balance.retrieve, _P.RETRIEVE),
    ("POST", "refunds"): Operation(refunds.create, _P.REFUND_CREATE),
    ("GET", "refunds"): Operation(refunds.list_all, _P.REFUND_LIST),
    ("GET", "refunds/*"): Operation(refunds.retrieve, _P.RETRIEVE),
    ("POST", "refunds/*"): Operation(refunds.update, _P.REFUND_UPDATE),
    ("POST", "refunds/*/cancel"): Operation(refunds.cancel, _P.RETRIEVE),
    ("GET", "disputes"): Operation(disputes.list_all, _P.DISPUTE_LIST),
    ("GET", "disputes/*"): Operation(disputes.retrieve, _P.RETRIEVE),
    ("POST", "disputes/*"): Operation(disputes.update, _P.DISPUTE_UPDATE),
    ("POST", "disputes/*/close"): Operation(disputes.close, _P.RETRIEVE),
    ("POST", "coupons"): Operation(coupons.create, _P.COUPON_CREATE),
    ("GET", "coupons"): Operation(coupons.list_all, _P.DATED_LIST),
    ("GET", "coupons/*"): Operation(coupons.retrieve, _P.RETRIEVE),
    ("POST", "coupons/*"): Operation(coupons.update, _P.COUPON_UPDATE),
    ("DELETE", "coupons/*"): Operation(coupons.delete, _P.NOTHING),
    ("POST", "promotion_codes"): Operation(promotion_codes.create, _P.PROMOTION_CODE_CREATE),
    ("GET", "promotion_codes"): Operation(promotion_codes.list_all, _P.PROMOTION_CODE_LIST),
    ("GET", "promotion_codes/*"): Operation(promotion_codes.retrieve, _P.RETRIEVE),
    ("POST", "promotion_codes/*"): Operation(promotion_codes.update, _P.PROMOTION_CODE_UPDATE),
    ("GET", "country_specs"): Operation(country_specs.list_all, _P.COUNTRY_SPEC_LIST),
    ("GET", "country_specs/*"): Operation(country_specs.retrieve, _P.RETRIEVE),
    ("GET", "events"): Operation(events.list_all, _P.EVENT_LIST),
    ("GET", "events/*"): Operation(events.retrieve, _P.RETRIEVE),
    ("POST", "webhook_endpoints"): Operation(events.create_endpoint, _P.ENDPOINT_CREATE),
    ("GET", "webhook_endpoints"): Operation(events.list_endpoints, _P.ENDPOINT_LIST),
    ("GET", "webhook_endpoints/*"): Operation(events.retrieve_endpoint, _P.RETRIEVE),
    ("POST", "webhook_endpoints/*"): Operation(events.update_endpoint, _P.ENDPOINT_UPDATE),
    ("DELETE", "webhook_endpoints/*"): Operation(events.delete_endpoint, _P.NOTHING),
}

# The one word that stands where an id would.
SEARCHES = {kind: Operation(search.of(kind), _P.SEARCH) for kind in search.FIELDS}


def find_operation(method: str, steps: list[str]) -> tuple[Operation | None, tuple[str, ...]]:
    """The operation of a path such as payment_intents/pi_1/confirm, and the ids in it: every second step."""
    if any("\0" in step for step in steps):
        return None, ()
    if method == "GET" and len(steps) == 2 and steps[1] == "search" and (found := SEARCHES.get(steps[0])):
        return found, ()
    pattern = "/".join("*" if place % 2 else step for place, step in enumerate(steps))
    return ROUTES.get((method, pattern)), tuple(steps[1::2])


def writes(method: str, path: tuple[str, ...]) -> bool:
    """Reading `payment_methods/pm_card_visa` makes a payment method; all other reads only read."""
    return method != "GET" or (bool(path) and card_of_payment_method(path[0]) is not None)
