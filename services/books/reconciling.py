"""Reconciling: our rows and the gateway's books are compared, and what is certain is repaired by the ordinary doors.

It moves no money and decides nothing on a guess. The worker does it on a timer, an administrator whenever in doubt;
with every webhook lost the state is right after one pass.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.errors import ErrorCode, UserProblem
from gateways.port import GatewayRefused, GatewayUnavailable
from models.base import new_id
from models.leases import LeaseLost, extend, release
from models.reconciliations import (
    DriftRow,
    ReconciliationReport,
    drifts_of_reports,
    newest_finished_by_timer,
    newest_report,
)
from models.timers import Timer, claim_timer, ensure_timer
from services.app import WORKER, Actor, ActorKind, App
from services.books.card_drift import compare_cards
from services.books.drift import Drift, Pass
from services.books.payment_drift import compare_payments
from services.books.return_drift import compare_returns
from services.changes import Why
from services.problems import gateway_unavailable
from services.selling.dashboard_coupons import compare_coupons
from services.shielding import within_budget

log = structlog.get_logger(__name__)

_COMPARISONS = (compare_payments, compare_returns, compare_cards, compare_coupons)
_TIMER = "reconcile"
_AFTER_TROUBLE = timedelta(minutes=1)
_OVERLAP = timedelta(hours=1)
"""How far a pass looks behind the one before: clocks differ, and what was created may not have been listed yet."""
_FIRST_LOOK_BACK = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class ReportView:
    """A report with what it found."""

    report: ReconciliationReport
    drift: tuple[DriftRow, ...]


async def reconcile_payments(app: App, actor: Actor, *, since: datetime, repair: bool) -> ReportView:
    """Compare everything created since then, and everything open; with `repair` also apply what is certain.

    A pass that takes longer than a request may goes on; its report has no `finished_at` yet. Raises UserProblem
    INVALID for an instant to come, GATEWAY_UNAVAILABLE.
    """
    why = Why("reconcilePayments", actor, app.now())
    if since > why.now:
        raise UserProblem(ErrorCode.INVALID, "since: name an instant that has passed.", ["since"])
    report = await _begin(app, since, why, repair=repair)
    try:
        await within_budget(app, _reconcile(app, report, why, _alone))
    except (GatewayUnavailable, GatewayRefused):
        raise gateway_unavailable() from None
    except UserProblem as problem:
        if problem.code is not ErrorCode.PAYMENT_OUTCOME_UNKNOWN:
            raise
    view = await report_view(app, report.id)
    if view is None:
        raise LookupError(f"report {report.id} is gone")
    return view


async def reconcile_when_due(app: App) -> int:
    """One pass if its time has come, from the last finished one on: how many passes were made."""
    if app.reconcile_every is None:
        return 0
    now = app.machine_now()
    await ensure_timer(app.database, _TIMER, due_at=now)
    fence = await app.database.transact(claim_timer, _TIMER, machine_now=now)
    if fence is None:
        return 0
    why = Why("reconcile", WORKER, app.now())
    report = await _begin(app, await _since(app, why.now), why, repair=True)

    async def keep_on() -> None:
        async with app.database.write() as session:
            await extend(session, Timer, _TIMER, fence, machine_now=app.machine_now())

    wait = app.reconcile_every
    try:
        await _reconcile(app, report, why, keep_on)
    except LeaseLost:
        return 1
    except (GatewayUnavailable, GatewayRefused, UserProblem) as trouble:
        log.warning("reconcile_broke_off", reason=str(trouble))
        wait = min(wait, _AFTER_TROUBLE)
    await _set_timer(app, fence, now + wait)
    return 1


async def report_view(app: App, report_id: str | None) -> ReportView | None:
    """A report, the newest unless named; None when there is none."""
    async with app.database.read() as session:
        report = await (session.get(ReconciliationReport, report_id) if report_id else newest_report(session))
        if report is None:
            return None
        return (await with_drift(session, [report]))[0]


async def with_drift(session: AsyncSession, reports: Sequence[ReconciliationReport]) -> Sequence[ReportView]:
    """The reports with what they found, in the same order."""
    found = await drifts_of_reports(session, [report.id for report in reports])
    return [ReportView(report, tuple(found[report.id])) for report in reports]


async def _since(app: App, now: datetime) -> datetime:
    """From the last finished pass on: after a restore, the one that the backup knows."""
    async with app.database.read() as session:
        last = await newest_finished_by_timer(session)
    return now - _FIRST_LOOK_BACK if last is None else min(last.started_at, now) - _OVERLAP


async def _begin(app: App, since: datetime, why: Why, *, repair: bool) -> ReconciliationReport:
    report = ReconciliationReport(
        id=new_id("reconciliation_report"),
        since=since,
        repair=repair,
        requested_by=None if why.actor.kind is ActorKind.WORKER else str(why.actor),
        started_at=why.now,
    )
    async with app.database.write() as session:
        session.add(report)
    return report


async def _reconcile(app: App, report: ReconciliationReport, why: Why, keep_on: Callable[[], Awaitable[None]]) -> None:
    """The pass itself; what it found is written down even when it breaks off."""
    run = Pass(app, why, report.since, report.repair, keep_on)
    finished_at: datetime | None = None
    try:
        for compare in _COMPARISONS:
            await compare(run)
        finished_at = app.now()
    finally:
        await _write(app, report.id, run, finished_at)


async def _write(app: App, report_id: str, run: Pass, finished_at: datetime | None) -> None:
    async with app.database.write() as session:
        report = await session.get_one(ReconciliationReport, report_id)
        report.checked, report.finished_at = run.checked, finished_at
        for position, drift in enumerate(run.found):
            session.add(_row(report_id, position, drift))
    unrepaired = sorted({drift.kind.value for drift in run.found if not drift.repaired})
    if unrepaired:
        log.warning("reconcile_found_drift", report=report_id, kinds=unrepaired)


def _row(report_id: str, position: int, drift: Drift) -> DriftRow:
    return DriftRow(
        report_id=report_id,
        position=position,
        kind=drift.kind,
        payment_id=drift.payment_id,
        gateway_ref=drift.gateway_ref,
        local=drift.local,
        gateway=drift.gateway,
        repaired=drift.repaired,
    )


async def _set_timer(app: App, fence: int, due_at: datetime) -> None:
    async with app.database.write() as session:
        timer = await session.get_one(Timer, _TIMER)
        if timer.fence == fence:
            release(timer, due_at=due_at)


async def _alone() -> None:
    """Nobody else takes over what an administrator asked for."""
