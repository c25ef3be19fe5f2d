"""Lists of what operators look after, and what narrows them."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement
from sqlmodel import col

from models.audit_log import AuditEntry
from models.batches import Between, Key, Listing
from models.endpoints import WebhookDelivery
from models.events import BillingEvent
from models.inbox import GatewayEvent, GatewayEventStatus
from models.reconciliations import ReconciliationReport
from models.runs import BillingRun, BillingRunItem

GATEWAY_EVENTS = Listing("gatewayEvent", GatewayEvent, (Key("id", str),), descending=True)
BILLING_EVENTS = Listing("billingEvent", BillingEvent, (Key("id", str),), descending=False)
# Where a reader of all events has got to: not by id, see services.events.publishing.
EVENT_STREAM = Listing("eventStream", BillingEvent, (Key("position", int, largest=2**62),), descending=False)
WEBHOOK_DELIVERIES = Listing("webhookDelivery", WebhookDelivery, (Key("id", str),), descending=True)
AUDIT_LOG = Listing("auditEntry", AuditEntry, (Key("at", datetime), Key("id", str)), descending=True)
REPORTS = Listing("reconciliationReport", ReconciliationReport, (Key("id", str),), descending=True)
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


ALWAYS = Between()


@dataclass(frozen=True, slots=True)
class AuditLogWhere:
    subject_id: str | None = None
    actor: str | None = None
    action: str | None = None
    at: Between = ALWAYS

    def conditions(self) -> list[ColumnElement[bool]]:
        wanted = (
            (AuditEntry.subject_id, self.subject_id),
            (AuditEntry.actor, self.actor),
            (AuditEntry.action, self.action),
        )
        found = [col(column) == value for column, value in wanted if value is not None]
        return [*found, *self.at.conditions(AuditEntry.at)]
