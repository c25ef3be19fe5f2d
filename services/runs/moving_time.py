"""Test clocks: time moved on by hand, in the sandbox, with everything in between carried out in order.

A clock goes from one due instant of its customers to the next; at each the steps run that the worker runs for everybody
else, at that present. Where it has come to is committed before anything is done there, under a lease: whoever dies on
the way is followed by the next worker. A clock waits while anybody holds what is due or an answer of the gateway is
missing, for what belongs to an instant must not be dated later.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import structlog
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.errors import ErrorCode, UserProblem
from billing.instants import written
from billing.lifecycle import SubscriptionStatus
from models.base import new_id
from models.clocks import TestClock, TestClockStatus, locked_clock
from models.leases import LeaseLost, check_fence, claim, extend, release
from models.payments import unanswered_on_timeline
from models.runs import BillingRun, newest_run_of_clock, runs_of_clock
from models.subscriptions import Subscription, live_on_timeline
from models.timelines import clocks_with_work
from services.app import WORKER, Actor, App
from services.changes import Why
from services.ends.ending import end_incomplete
from services.inbox.webhooks import drain_inbox
from services.owned import locked_subscription
from services.payments.holding import hold
from services.payments.resolving import resolve_quietly
from services.problems import not_found, outcome_unknown
from services.runs.due_work import BILLING_STEPS, is_held_up, next_due, work_off
from services.runs.run_log import RunLog
from services.shielding import within_budget

log = structlog.get_logger(__name__)

EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
MOST_RUNS = 100
"""As many are told in one answer; all of them are in the clock's own list."""
_MOST_INSTANTS = 1_000
_MOST_CLOCKS = 20
_MOST_ASKED = 100
_A_TURN = 5.0
_PART_OF_BUDGET = 0.75
_LOOK_AGAIN = timedelta(seconds=5)
_CAUSE = "deleteTestClock"


@dataclass(frozen=True, slots=True)
class ClockView:
    """A clock as it is now, what its last move brought about, and what it waits for if something is in the way."""

    clock: TestClock
    runs: Sequence[BillingRun] = ()
    problems: Sequence[UserProblem] = ()


Moving = Awaitable[ClockView]


async def create_test_clock(app: App, now: datetime, name: str | None) -> TestClock:
    """A clock that stands at `now` until it is moved. Raises UserProblem NOT_PERMITTED, INVALID."""
    _require_sandbox(app)
    _check_instant(now, "now")
    made_at = app.machine_now()
    clock = TestClock(id=new_id("test_clock"), name=name, now=now, target=now, created_at=made_at, updated_at=made_at)
    async with app.database.write() as session:
        session.add(clock)
    return clock


async def advance_test_clock(app: App, actor: Actor, clock_id: str, to: datetime) -> ClockView:
    """Move a clock on to `to` and carry out what is due until then, as far as a request may take; the worker goes on.

    Repeating it tells how far it has come. Raises UserProblem NOT_PERMITTED, NOT_FOUND, INVALID for an instant before
    its present, INVALID_STATE while it goes somewhere else.
    """
    _require_sandbox(app)
    _check_instant(to, "to")
    # What the gateway has told before time moves belongs to the time before.
    await drain_inbox(app)
    async with app.database.write() as session:
        clock = await _clock(session, clock_id)
        if clock.status is not TestClockStatus.READY and (clock.status, clock.target) != (
            TestClockStatus.ADVANCING,
            to,
        ):
            raise _busy(clock)
        if to < clock.now:
            message = f"The clock stands at {written(clock.now)} already: time only goes on."
            raise UserProblem(ErrorCode.INVALID, message, ["to"])
        if clock.status is TestClockStatus.READY:
            clock.status, clock.target = TestClockStatus.ADVANCING, to
            clock.touch(app.machine_now())
        clock.due_at = app.machine_now()
    return await _go_on_in_request(app, actor, clock_id)


async def delete_test_clock(app: App, actor: Actor, clock_id: str) -> ClockView:
    """End what its customers have subscribed to, at its present, and let it stand still for ever. All rows stay.

    Raises UserProblem NOT_PERMITTED, NOT_FOUND.
    """
    _require_sandbox(app)
    async with app.database.write() as session:
        clock = await _clock(session, clock_id)
        clock.status, clock.target = TestClockStatus.DELETING, clock.now
        clock.due_at = app.machine_now()
        clock.touch(app.machine_now())
    return await _go_on_in_request(app, actor, clock_id)


async def work_on_test_clocks(app: App) -> int:
    """One pass over the clocks that have to go on, or whose customers have something due at their present.

    How many instants were worked on; each clock has a turn, so that nobody else waits for a long way.
    """
    if not app.is_sandbox:
        return 0
    dues = [step.due for step in BILLING_STEPS.values()]
    async with app.database.read() as session:
        keys = await clocks_with_work(session, dues, machine_now=app.machine_now(), limit=_MOST_CLOCKS)
    worked = 0
    for key in keys:
        async with app.database.write() as session:
            fence = await claim(session, TestClock, key, machine_now=app.machine_now())
        if fence is not None:
            worked += (await _Turn(app, WORKER, key, fence).take(_A_TURN)).worked
    return worked


async def _go_on_in_request(app: App, actor: Actor, clock_id: str) -> ClockView:
    async with app.database.write() as session:
        before = await newest_run_of_clock(session, clock_id)
        fence = await claim(session, TestClock, clock_id, machine_now=app.machine_now())
    problems: Sequence[UserProblem] = ()
    if fence is not None:
        turn = _Turn(app, actor, clock_id, fence)
        try:
            done = await within_budget(app, turn.take(app.gateway_budget.total_seconds() * _PART_OF_BUDGET))
            problems = (done.problem,) if done.problem is not None else ()
        except UserProblem as problem:
            if problem.code is not ErrorCode.PAYMENT_OUTCOME_UNKNOWN:
                raise
            # One instant has taken all of the request's time; it is finished behind this answer.
    async with app.database.read() as session:
        clock = await session.get_one(TestClock, clock_id)
        runs = await runs_of_clock(session, clock_id, after=before.id if before else None, limit=MOST_RUNS)
    return ClockView(clock, runs, problems)


@dataclass(frozen=True, slots=True)
class _Done:
    """How many instants were worked on, and what stopped the turn if the clock has not arrived for a reason."""

    worked: int
    problem: UserProblem | None = None


@dataclass(frozen=True, slots=True)
class _Turn:
    """One holder's work on one clock, under its lease."""

    app: App
    actor: Actor
    clock_id: str
    fence: int

    async def take(self, seconds: float) -> _Done:
        """Go from instant to instant until the clock has arrived, something is in the way, or the time is up."""
        loop = asyncio.get_running_loop()
        until, worked = loop.time() + seconds, 0
        try:
            for _ in range(_MOST_INSTANTS):
                present = await self._present()
                worked += await self._carry_out(present)
                problem = await self._in_the_way(present)
                if problem is not None:
                    log.info("test_clock_waits", clock=self.clock_id, at=present.now().isoformat(), why=str(problem))
                    await self._rest(self.app.machine_now() + _LOOK_AGAIN)
                    return _Done(worked, problem)
                if not await self._move(present):
                    return _Done(worked)
                if loop.time() >= until:
                    break
            log.info("test_clock_rests", clock=self.clock_id, instants=worked)
            await self._rest(self.app.machine_now())
        except LeaseLost:
            pass  # Whoever took over goes on.
        return _Done(worked)

    async def _present(self) -> App:
        """The app at the clock's present; the lease begins anew. Raises LeaseLost."""
        async with self.app.database.write() as session:
            await extend(session, TestClock, self.clock_id, self.fence, machine_now=self.app.machine_now())
            clock = await session.get_one(TestClock, self.clock_id)
            present = self.app.at(clock.now, clock.id)
        if clock.status is TestClockStatus.DELETING:
            await _end_all(present, Why(_CAUSE, self.actor, clock.now))
        return present

    async def _carry_out(self, present: App) -> int:
        """Everything that is due at this present, noted as one run: how much was done."""
        record = RunLog(present, self.actor, present.now())
        worked = await work_off(replace(present, witness=record.note))
        await record.close()
        return sum(worked.values())

    async def _in_the_way(self, present: App) -> UserProblem | None:
        """Why time cannot move on yet; what was not answered is asked about first."""
        if await _unanswered(present):
            return outcome_unknown()
        async with self.app.database.read() as session:
            clock = await session.get_one(TestClock, self.clock_id)
            is_held = await is_held_up(session, present)
            is_alive = bool(await live_on_timeline(session, self.clock_id, limit=1))
        if is_held or (clock.status is TestClockStatus.DELETING and is_alive):
            return UserProblem(
                ErrorCode.PAYMENT_IN_PROGRESS, "Another process is at work on what is due here; read the clock shortly."
            )
        return None

    async def _move(self, present: App) -> bool:
        """On to the next instant at which something is due, or to the end; whether there is more to do."""
        async with self.app.database.write() as session:
            clock = await self._held(session)
            if clock.status is TestClockStatus.DELETING and await live_on_timeline(session, clock.id, limit=1):
                return True  # Somebody wants it deleted since it was looked at: what lives on it ends first.
            before = (clock.now, clock.status)
            at = await next_due(session, present)
            goes_on = clock.status is TestClockStatus.ADVANCING and at is not None and at <= clock.target
            if clock.status is TestClockStatus.DELETING:
                clock.status, clock.archived_at = TestClockStatus.DELETED, self.app.machine_now()
            else:
                clock.now = at if goes_on and at is not None else max(clock.now, clock.target)
            if not goes_on:
                clock.status = TestClockStatus.READY if clock.archived_at is None else clock.status
                release(clock, due_at=None)
            if (clock.now, clock.status) != before:
                clock.touch(self.app.machine_now())
        return goes_on

    async def _rest(self, due_at: datetime) -> None:
        async with self.app.database.write() as session:
            release(await self._held(session), due_at=due_at)

    async def _held(self, session: AsyncSession) -> TestClock:
        clock = await session.get_one(TestClock, self.clock_id, with_for_update=True, populate_existing=True)
        check_fence(clock, self.fence)
        return clock


async def _unanswered(present: App) -> bool:
    """Whether an answer is still missing after everything unanswered has been asked about once more."""
    timeline = present.timeline or ""
    async with present.database.read() as session:
        missing = await unanswered_on_timeline(session, timeline, limit=_MOST_ASKED)
    for payment_id in missing:
        fence = await hold(present, payment_id)
        if fence is not None:
            await resolve_quietly(present, payment_id, fence)
    async with present.database.read() as session:
        return bool(missing and await unanswered_on_timeline(session, timeline, limit=1))


async def _end_all(present: App, why: Why) -> None:
    """Every subscription on the clock ends now: an unpaid first one is given up, any other one's time is over."""
    async with present.database.read() as session:
        live = await live_on_timeline(session, present.timeline or "", limit=_MOST_INSTANTS)
    for row in live:
        if row.status is SubscriptionStatus.INCOMPLETE:
            try:
                await end_incomplete(present, row.id, why)
            except UserProblem as problem:
                log.info("subscription_not_ended", subscription=row.id, why=str(problem))
        elif row.cancel_at is None or row.cancel_at > why.now:
            await _end_now(present, row, why)


async def _end_now(present: App, seen: Subscription, why: Why) -> None:
    async with present.database.write() as session:
        row, _ = await locked_subscription(session, seen, None)
        row.cancel_at, row.canceled_at = why.now, row.canceled_at or why.now
        row.cancellation_requested_by = why.actor.kind.value
        row.due_at = row.next_due()
        row.touch(why.now)


async def _clock(session: AsyncSession, clock_id: str) -> TestClock:
    clock = await locked_clock(session, clock_id)
    if clock is None:
        raise not_found("test clock", "id")
    return clock


def _busy(clock: TestClock) -> UserProblem:
    if clock.status is TestClockStatus.ADVANCING:
        return UserProblem(
            ErrorCode.INVALID_STATE, f"The clock is on its way to {written(clock.target)}; wait for it.", ["id"]
        )
    return UserProblem(ErrorCode.INVALID_STATE, f"The clock is {clock.status}.", ["id"])


def _check_instant(instant: datetime, field: str) -> None:
    if not EARLIEST <= instant < LATEST:
        message = f"{field}: name an instant from {EARLIEST.year} to {LATEST.year - 1}."
        raise UserProblem(ErrorCode.INVALID, message, [field])


def _require_sandbox(app: App) -> None:
    if not app.is_sandbox:
        raise UserProblem(ErrorCode.NOT_PERMITTED, "Test clocks exist in the sandbox only.")
