"""What each reconcile pass found: a report, and a row for everything that differed."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlmodel import Field, SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.reconciling import DriftKind
from models.base import EnumText, UTCDateTime


class ReconciliationReport(SQLModel, table=True):
    """One pass over what happened since an instant. `requested_by` is None for the timer's own.

    Instants are of the billing clock; `finished_at` stays None when the pass broke off.
    """

    __tablename__ = "reconciliation_reports"

    id: str = Field(primary_key=True, max_length=40)
    since: datetime = Field(sa_type=UTCDateTime)
    repair: bool
    requested_by: str | None = Field(default=None, max_length=300)
    started_at: datetime = Field(sa_type=UTCDateTime)
    finished_at: datetime | None = Field(default=None, sa_type=UTCDateTime)
    checked: int = 0


class DriftRow(SQLModel, table=True):
    """One difference: of a payment, or of what the gateway calls `gateway_ref`; each side in words."""

    __tablename__ = "drifts"

    report_id: str = Field(primary_key=True, foreign_key="reconciliation_reports.id")
    position: int = Field(primary_key=True)
    kind: DriftKind = Field(sa_type=EnumText(DriftKind))
    payment_id: str | None = Field(default=None, foreign_key="payments.id", index=True)
    gateway_ref: str | None = Field(default=None, max_length=255)
    local: str | None = None
    gateway: str | None = None
    repaired: bool


async def newest_report(session: AsyncSession) -> ReconciliationReport | None:
    query = select(ReconciliationReport).order_by(col(ReconciliationReport.id).desc()).limit(1)
    return (await session.exec(query)).first()


async def newest_finished_by_timer(session: AsyncSession) -> ReconciliationReport | None:
    """The timer's last pass that went to its end: what came before it has been seen."""
    query = (
        select(ReconciliationReport)
        .where(col(ReconciliationReport.requested_by).is_(None), col(ReconciliationReport.finished_at).is_not(None))
        .order_by(col(ReconciliationReport.id).desc())
        .limit(1)
    )
    return (await session.exec(query)).first()


async def drifts_of_reports(session: AsyncSession, report_ids: Sequence[str]) -> Mapping[str, Sequence[DriftRow]]:
    """Each report's, in the order in which they were found."""
    query = select(DriftRow).where(col(DriftRow.report_id).in_(report_ids)).order_by(col(DriftRow.position))
    found: dict[str, list[DriftRow]] = {each: [] for each in report_ids}
    for row in (await session.exec(query)).all():
        found[row.report_id].append(row)
    return found
