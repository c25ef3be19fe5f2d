"""Merchants' endpoints for events, and what was sent to them. For administrators."""

from datetime import datetime
from typing import Annotated

import strawberry
from strawberry.scalars import JSON

from billing.delivering import DeliveryStatus
from billing.errors import UserProblem
from models.endpoints import WebhookDelivery as DeliveryRow
from models.endpoints import WebhookEndpoint as EndpointRow
from models.endpoints import webhook_endpoints
from models.events import BillingEvent as EventRow
from models.operation_lists import WEBHOOK_DELIVERIES
from schema.billing_events import NAMES
from schema.connections import After, Connection, First, below
from schema.enums import publish
from schema.fields import Info, argument, described, optional
from schema.interfaces import Node, Record, record_fields
from schema.payloads import ERRORS
from schema.scalars import URL
from schema.steps import INPUT, done
from schema.user_errors import UserError, refusals
from services.events import endpoints
from services.events.bodies import body_of
from services.events.endpoints import EndpointChange

publish(
    DeliveryStatus,
    "WebhookDeliveryStatus",
    "How far a delivery has got.",
    {
        "PENDING": "It was not answered yet.",
        "SUCCEEDED": "The endpoint has answered with 2xx.",
        "FAILED": "The last try failed; `nextAttemptAt` says when it is tried again.",
        "DEAD_LETTER": "It was given up. `redeliverWebhook` sends it again.",
    },
)


@strawberry.type(description="One event for one endpoint.")
class WebhookDelivery(Node):
    status: DeliveryStatus = described("How far it has got.")
    http_status: int | None = described("What the endpoint answered last; null if it did not.")
    error: str | None = described("Why there was no answer, if there was none.")
    attempts: int = described("How often it was tried, since it came into being or was last sent again.")
    next_attempt_at: datetime | None = described("When it is tried next, by the machine's clock; null if it is not.")
    created_at: datetime = described("When it came into being, by the machine's clock.")
    event_id: strawberry.Private[str]

    @classmethod
    def of(cls, row: DeliveryRow) -> "WebhookDelivery":
        return cls(
            id=strawberry.ID(row.id),
            status=row.status,
            http_status=row.http_status,
            error=row.error,
            attempts=row.tries,
            next_attempt_at=row.due_at,
            created_at=row.created_at,
            event_id=row.event_id,
        )

    @strawberry.field(description="The event's type: `invoice.paid`.")
    async def event_type(self, info: Info) -> str:
        return (await self._event(info)).type

    @strawberry.field(description="The body that is sent, the same each time.")
    async def payload(self, info: Info) -> JSON:
        return JSON(body_of(await self._event(info)))

    async def _event(self, info: Info) -> EventRow:
        row = await info.context.loaders.billing_event.load(self.event_id)
        assert row is not None  # held by a foreign key
        return row


@strawberry.type(description="An address of the merchant's that is told of events.")
class WebhookEndpoint(Node, Record):
    url: URL = described("The address.")
    event_types: list[str] = described(f"What it is told of. {NAMES}, also of those to come.")
    is_enabled: bool = described("Whether it is told of anything. It is turned off by itself when it answers 410.")
    previous_secret_until: datetime | None = described(
        "Until when the secret before the last rotation signs too; null if none was rotated."
    )
    created_by: str = described("Who made it.")

    @classmethod
    def of(cls, row: EndpointRow) -> "WebhookEndpoint":
        return cls(
            **record_fields(row),
            url=URL(row.url),
            event_types=list(row.event_types),
            is_enabled=row.is_enabled,
            previous_secret_until=row.previous_until,
            created_by=row.created_by,
        )

    @strawberry.field(description="What was sent to it or is to be, newest first.")
    async def deliveries(self, info: Info, first: First = None, after: After = None) -> Connection[WebhookDelivery]:
        of = WebhookDelivery.of
        return await below(info, WEBHOOK_DELIVERIES, "endpoint_id", self.id, of, first=first, after=after)


@strawberry.input(description="What is wished of an endpoint; what is left out stays, or is as told.")
class WebhookEndpointInput:
    url: URL | None = optional(
        "Where to send events: an https address that is public, needed for a new endpoint. In development this machine "
        "itself may be told, by http too."
    )
    event_types: list[str] | None = optional(f"What to tell it of. {NAMES}, which a new one has unless given.")
    is_enabled: bool | None = optional("Whether to tell it of anything; a new one is told.")

    def change(self) -> EndpointChange:
        return EndpointChange(url=self.url, event_types=self.event_types, is_enabled=self.is_enabled)


@strawberry.type(description="The answer to a mutation about a webhook endpoint.")
class WebhookEndpointPayload:
    webhook_endpoint: WebhookEndpoint | None = described("The endpoint as it is now; null when refused.")
    secret: str | None = described(
        "`whsec_…`, by which the receiver verifies what it gets. Told here once, when it is made: store it now."
    )
    user_errors: list[UserError] = described(ERRORS)

    @classmethod
    def of(cls, row: EndpointRow, secret: str | None = None) -> "WebhookEndpointPayload":
        return cls(webhook_endpoint=WebhookEndpoint.of(row), secret=secret, user_errors=[])

    @classmethod
    def refused(cls, problem: UserProblem) -> "WebhookEndpointPayload":
        return cls(webhook_endpoint=None, secret=None, user_errors=refusals([problem]))


@strawberry.type(description="The answer to `redeliverWebhook`.")
class WebhookDeliveryPayload:
    delivery: WebhookDelivery | None = described("The delivery, due again; null when refused.")
    user_errors: list[UserError] = described(ERRORS)


@strawberry.type(description="Endpoints for events.")
class EndpointQueries:
    @strawberry.field(description="The endpoints that were not deleted, the oldest first.")
    async def webhook_endpoints(self, info: Info) -> list[WebhookEndpoint]:
        async with info.context.app.database.read() as session:
            return [WebhookEndpoint.of(row) for row in await webhook_endpoints(session)]


EndpointId = Annotated[strawberry.ID, argument("The endpoint's id.")]


@strawberry.type(description="Changing endpoints for events.")
class EndpointMutations:
    @strawberry.mutation(
        description="Have an address told of events from now on, signed by the Standard Webhooks rules. The secret to "
        "verify them with is told this once."
    )
    async def create_webhook_endpoint(
        self, info: Info, input: Annotated[WebhookEndpointInput, INPUT]
    ) -> WebhookEndpointPayload:
        step = endpoints.create_endpoint(info.context.app, info.context.actor, input.change())
        try:
            issued = await done(info, step)
        except UserProblem as problem:
            return WebhookEndpointPayload.refused(problem)
        return WebhookEndpointPayload.of(issued.row, issued.secret)

    @strawberry.mutation(
        description="Change an endpoint. What is not delivered yet goes to the new address; while it is turned off, "
        "nothing is sent and what comes due is given up."
    )
    async def update_webhook_endpoint(
        self,
        info: Info,
        id: EndpointId,
        input: Annotated[WebhookEndpointInput, INPUT],
        expected_version: Annotated[int | None, argument("Only if it is at this version.")] = None,
    ) -> WebhookEndpointPayload:
        step = endpoints.update_endpoint(info.context.app, info.context.actor, id, input.change(), expected_version)
        try:
            return WebhookEndpointPayload.of(await done(info, step))
        except UserProblem as problem:
            return WebhookEndpointPayload.refused(problem)

    @strawberry.mutation(description="Send nothing more to an endpoint, ever. Repeating it changes nothing.")
    async def delete_webhook_endpoint(self, info: Info, id: EndpointId) -> WebhookEndpointPayload:
        step = endpoints.delete_endpoint(info.context.app, info.context.actor, id)
        try:
            return WebhookEndpointPayload.of(await done(info, step))
        except UserProblem as problem:
            return WebhookEndpointPayload.refused(problem)

    @strawberry.mutation(
        description="Give an endpoint another secret, told this once. For 24 hours everything is signed with the old "
        "one too, so that the receiver can be changed in between."
    )
    async def rotate_webhook_secret(self, info: Info, id: EndpointId) -> WebhookEndpointPayload:
        try:
            issued = await done(info, endpoints.rotate_secret(info.context.app, info.context.actor, id))
        except UserProblem as problem:
            return WebhookEndpointPayload.refused(problem)
        return WebhookEndpointPayload.of(issued.row, issued.secret)

    @strawberry.mutation(
        description="Send a delivery again, under the same message id, with all its tries before it. One that is due "
        "or under way stays as it is."
    )
    async def redeliver_webhook(
        self, info: Info, delivery_id: Annotated[strawberry.ID, argument("The delivery's id.")]
    ) -> WebhookDeliveryPayload:
        try:
            row = await done(info, endpoints.redeliver(info.context.app, delivery_id))
        except UserProblem as problem:
            return WebhookDeliveryPayload(delivery=None, user_errors=refusals([problem]))
        return WebhookDeliveryPayload(delivery=WebhookDelivery.of(row), user_errors=[])
