"""What administrators look after: events from the gateway, reconcile passes, the proof that nobody paid twice."""

from datetime import datetime

import strawberry
from strawberry.scalars import JSON

from billing.reconciling import DRIFT_MEANINGS
from gateways.port import GatewayRefused, GatewayUnavailable
from models.inbox import GatewayEvent as EventRow
from models.inbox import GatewayEventStatus
from models.reconciliations import DriftRow
from schema import payments
from schema.errors import DocumentError, RequestErrorCode
from schema.fields import Info, PaymentRef, described
from schema.interfaces import Node
from schema.payloads import ERRORS
from schema.user_errors import UserError
from services.books.audit import DoubleChargeProof as ProofFacts
from services.books.audit import prove_no_double_charge
from services.books.drift import Drift as FoundDrift
from services.books.reconciling import ReportView

KINDS = " ".join(f"`{kind.name}`: {meaning}" for kind, meaning in DRIFT_MEANINGS.items())


@strawberry.type(
    description="A webhook as it arrived: a hint that an object changed, worked on by reading that object."
)
class GatewayEvent(Node):
    gateway_id: str = described("The gateway's id for it. It arrives again under the same one.")
    type: str = described("What happened, in the gateway's words: `payment_intent.succeeded`.")
    status: GatewayEventStatus = described("How far it has got.")
    received_at: datetime = described("When it first arrived.")
    processed_at: datetime | None = described("When it was worked on; null while it was not.")
    payload: JSON = described("What is kept of it: type, mode and version. Never the object, which is read anew.")
    error: str | None = described("Why the last try at it failed, if it did.")
    attempts: int = described("How often it was tried, since it arrived or was last replayed.")

    @classmethod
    def of(cls, row: EventRow) -> "GatewayEvent":
        return cls(
            id=strawberry.ID(row.id),
            gateway_id=row.gateway_ref,
            type=row.type,
            status=row.status,
            received_at=row.received_at,
            processed_at=row.processed_at,
            payload=JSON(row.payload),
            error=row.error,
            attempts=row.tries,
        )


@strawberry.type(description="The answer to `replayGatewayEvent`.")
class GatewayEventPayload:
    event: GatewayEvent | None = described("The event, due again; null when refused.")
    user_errors: list[UserError] = described(ERRORS)


@strawberry.type(description="One difference between our rows and the gateway's books.")
class Drift:
    kind: str = described(f"What differs. {KINDS}")
    gateway_payment_id: str | None = described("The gateway's id of the intent, card, customer or coupon it is about.")
    local: str | None = described("What we know, in words; null when nothing.")
    gateway: str | None = described("What the gateway knows, in words; null when nothing.")
    repaired: bool = described("Whether both agree now.")
    payment_id: strawberry.Private[str | None]

    @classmethod
    def of(cls, row: DriftRow | FoundDrift) -> "Drift":
        return cls(
            kind=row.kind.name,
            gateway_payment_id=row.gateway_ref,
            local=row.local,
            gateway=row.gateway,
            repaired=row.repaired,
            payment_id=row.payment_id,
        )

    @strawberry.field(description="The payment that it is about, if it is about one of ours.")
    async def payment(self, info: Info) -> PaymentRef | None:
        row = await info.context.loaders.payment.load(self.payment_id) if self.payment_id else None
        return payments.Payment.of(row) if row is not None else None


@strawberry.type(description="One comparison of our rows with the gateway's books.")
class ReconciliationReport(Node):
    since: datetime = described("From when on what was created was compared, beside all that was open.")
    requested_by: str | None = described("Who asked for it; null for the worker's timer.")
    started_at: datetime = described("When it began.")
    finished_at: datetime | None = described("When it ended; null while it goes on, and when it broke off.")
    checked: int = described("How many objects were compared.")
    drift: list[Drift] = described("What differed, also where it was repaired.")
    is_clean: bool = described("Whether it went to its end and nothing differed.")

    @classmethod
    def of(cls, view: ReportView) -> "ReconciliationReport":
        row = view.report
        return cls(
            id=strawberry.ID(row.id),
            since=row.since,
            requested_by=row.requested_by,
            started_at=row.started_at,
            finished_at=row.finished_at,
            checked=row.checked,
            drift=[Drift.of(drift) for drift in view.drift],
            is_clean=row.finished_at is not None and not view.drift,
        )


@strawberry.type(description="The answer to `reconcilePayments`.")
class ReconciliationPayload:
    report: ReconciliationReport | None = described("What was found; null when refused.")
    user_errors: list[UserError] = described(ERRORS)


@strawberry.type(description="Whether anybody was charged twice, by our books and by the gateway's.")
class DoubleChargeProof:
    checked_periods: int = described("How many periods of subscriptions have been paid for.")
    violations: int = described("How many periods and invoices were paid more than once. Zero, or something is wrong.")
    checked_at: datetime = described("When this was found out.")

    @classmethod
    def of(cls, facts: ProofFacts) -> "DoubleChargeProof":
        return cls(checked_periods=facts.checked_periods, violations=facts.violations, checked_at=facts.checked_at)


async def prove(info: Info) -> DoubleChargeProof:
    """The proof as of now. DocumentError UNAVAILABLE while the gateway's books cannot be read."""
    try:
        return DoubleChargeProof.of(await prove_no_double_charge(info.context.app))
    except (GatewayUnavailable, GatewayRefused):
        message = "The gateway's books cannot be read at present. Repeat the request later."
        raise DocumentError(message, RequestErrorCode.UNAVAILABLE) from None
