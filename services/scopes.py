"""What an API key may be given to do. A scope that opens nothing yet does not exist."""

from collections.abc import Mapping
from enum import StrEnum


class Scope(StrEnum):
    """Kept with each key and told to clients by these very words."""

    READ = "read"
    ACT_FOR_CUSTOMER = "act_for_customer"
    MANAGE_CATALOG = "manage_catalog"
    RECORD_PAYMENTS = "record_payments"
    RECORD_USAGE = "record_usage"
    RUN_BILLING = "run_billing"


SCOPE_MEANINGS: Mapping[Scope, str] = {
    Scope.READ: "read every customer, subscription, card, invoice and payment, and ask subscriptionStatus",
    Scope.ACT_FOR_CUSTOMER: (
        "make customers; subscribe, save cards, cancel and the like for the customer that customerId names"
    ),
    Scope.MANAGE_CATALOG: "make products, plans and coupons",
    Scope.RECORD_USAGE: "record usage, grant and consume credits",
    Scope.RECORD_PAYMENTS: "write down manual subscriptions, and payments that came by other ways",
    Scope.RUN_BILLING: "run the billing and read its runs; in the sandbox, move test clocks",
}
