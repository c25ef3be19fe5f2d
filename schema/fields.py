"""How fields are written here: a description on each, the request's context, references between modules."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import strawberry

import schema.enums  # noqa: F401 (publishes the engine's enums before any type names one)
from resolvers.context import RequestContext

if TYPE_CHECKING:
    from schema.cards import Address, PaymentMethod
    from schema.catalog import Plan, PlanPrice, Product
    from schema.credits import CreditBalance
    from schema.customers import Customer
    from schema.entitlements import Entitlement, Entitlements
    from schema.intents import PaymentIntent
    from schema.invoices import Invoice, InvoiceLine
    from schema.payments import Payment
    from schema.previews import UpcomingInvoice
    from schema.runs import TestClock
    from schema.subscriptions import PlanSubscription
    from schema.usage import MeterUsage

Info = strawberry.Info[RequestContext, None]

# Types refer to one another in circles; these are looked up when the schema is built.
ProductRef = Annotated["Product", strawberry.lazy("schema.catalog")]
PlanRef = Annotated["Plan", strawberry.lazy("schema.catalog")]
PlanPriceRef = Annotated["PlanPrice", strawberry.lazy("schema.catalog")]
CreditBalanceRef = Annotated["CreditBalance", strawberry.lazy("schema.credits")]
AddressRef = Annotated["Address", strawberry.lazy("schema.cards")]
CustomerRef = Annotated["Customer", strawberry.lazy("schema.customers")]
PaymentMethodRef = Annotated["PaymentMethod", strawberry.lazy("schema.cards")]
PaymentIntentRef = Annotated["PaymentIntent", strawberry.lazy("schema.intents")]
PlanSubscriptionRef = Annotated["PlanSubscription", strawberry.lazy("schema.subscriptions")]
EntitlementRef = Annotated["Entitlement", strawberry.lazy("schema.entitlements")]
EntitlementsRef = Annotated["Entitlements", strawberry.lazy("schema.entitlements")]
InvoiceRef = Annotated["Invoice", strawberry.lazy("schema.invoices")]
InvoiceLineRef = Annotated["InvoiceLine", strawberry.lazy("schema.invoices")]
UpcomingInvoiceRef = Annotated["UpcomingInvoice", strawberry.lazy("schema.previews")]
MeterUsageRef = Annotated["MeterUsage", strawberry.lazy("schema.usage")]
PaymentRef = Annotated["Payment", strawberry.lazy("schema.payments")]
TestClockRef = Annotated["TestClock", strawberry.lazy("schema.runs")]


def described(text: str, *, name: str | None = None) -> Any:
    """A plain attribute with its description."""
    return strawberry.field(description=text, name=name)


def optional(text: str, *, name: str | None = None) -> Any:
    """An input's field that may be left out."""
    return strawberry.field(description=text, name=name, default=None)


def editable(text: str) -> Any:
    """An input's field of something that is made and edited: left out it says nothing, null that there is none."""
    return strawberry.field(description=text, default=strawberry.UNSET)


def edits(given: Any, present: Any, usual: Any, names: Iterable[str]) -> dict[str, Any]:
    """What these fields shall be: as given, as there is where nothing was, as is usual where null was."""
    found: dict[str, Any] = {}
    for name in names:
        value = getattr(given, name)
        source = present if value is strawberry.UNSET else usual
        found[name] = getattr(source, name) if value is strawberry.UNSET or value is None else value
    return found


PDF_URL = (
    "A link to it as a PDF. Whoever holds the link may open it, for fifteen minutes; ask again for a new one. Null "
    "where the server was set up without the typesetter."
)


def argument(text: str) -> Any:
    return strawberry.argument(description=text)
