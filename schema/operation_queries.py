"""Reading what operators look after."""

from typing import Annotated

import strawberry

from models.api_keys import api_keys
from models.inbox import GatewayEventStatus
from models.operation_lists import GATEWAY_EVENTS, REPORTS, GatewayEventsWhere
from resolvers import owned
from schema.api_keys import ApiKey
from schema.connections import After, Before, Connection, First, Last, connection, span, whole
from schema.fields import Info, argument
from schema.upkeep import DoubleChargeProof, GatewayEvent, ReconciliationReport, prove
from services.books.reconciling import with_drift

MAX_KEYS = 200


@strawberry.type(description="What operators look after.")
class OperationQueries:
    @strawberry.field(description="The API keys, those that were not revoked first, at most 200.")
    async def api_keys(self, info: Info) -> list[ApiKey]:
        async with info.context.app.database.read() as session:
            return [ApiKey.of(row) for row in await api_keys(session, limit=MAX_KEYS)]

    @strawberry.field(description="Webhooks as they arrived, newest first.")
    async def gateway_events(
        self,
        info: Info,
        status: Annotated[list[GatewayEventStatus] | None, argument("In any of these statuses.")] = None,
        type: Annotated[str | None, argument("Of this type: `payment_intent.succeeded`.")] = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Connection[GatewayEvent]:
        part = span(info, GATEWAY_EVENTS, first=first, after=after, last=last, before=before)
        where = GatewayEventsWhere(None if status is None else frozenset(status), type)
        return await whole(owned.public(info.context, GATEWAY_EVENTS, where), part, GatewayEvent.of)

    @strawberry.field(description="What a reconcile pass found; null if there was none.")
    async def reconciliation_report(
        self, info: Info, id: Annotated[strawberry.ID | None, argument("Its id; the newest one unless given.")] = None
    ) -> ReconciliationReport | None:
        view = await owned.reconciliation_report(info.context, id)
        return ReconciliationReport.of(view) if view is not None else None

    @strawberry.field(description="What the reconcile passes found, the newest first, the timer's and those asked for.")
    async def reconciliation_reports(
        self, info: Info, first: First = None, after: After = None, last: Last = None, before: Before = None
    ) -> Connection[ReconciliationReport]:
        part = span(info, REPORTS, first=first, after=after, last=last, before=before)
        rows = owned.public(info.context, REPORTS)
        page = await rows.page(part)
        async with info.context.app.database.read() as session:
            views = {view.report.id: view for view in await with_drift(session, page.rows)}
        return connection(REPORTS, part, page, lambda row: ReconciliationReport.of(views[row.id]), rows.count)

    @strawberry.field(
        description="Whether anybody was charged twice, by our books and by the gateway's. It reads all of them: "
        "`cli.py check` does the same without a request's time limit, and says what is wrong."
    )
    async def double_charge_proof(self, info: Info) -> DoubleChargeProof:
        return await prove(info)
