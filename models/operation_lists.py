"""Lists of what operators look after, and what narrows them."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement
from sqlmodel import col

from models.batches import Key, Listing
from models.events import BillingEvent
from models.inbox import GatewayEvent, GatewayEventStatus
from models.runs import BillingRun, BillingRunItem

GATEWAY_EVENTS = Listing("gatewayEvent", GatewayEvent, (Key("id", str),), descending=True)
BILLING_EVENTS = Listing("billingEvent", BillingEvent, (Key("id", str),), descending=False)
RUNS = Listing("billingRun", BillingRun, (Key("id", str),), descending=True)
RUN_ITEMS = Listing("billingRunItem", BillingRunItem, (Key("id", str),), descending=False)


@dataclass(frozen=True, slots=True)
class GatewayEventsWhere:
    status: frozenset[GatewayEventStatus] | None = None
    type: str | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        found: list[ColumnElement[bool]] = []
        if self.status is not None:
            found.append(col(GatewayEvent.status).in_(self.status))
        if self.type is not None:
            found.append(col(GatewayEvent.type) == self.type)
        return found
