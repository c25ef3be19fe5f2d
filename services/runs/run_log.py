"""Keeping a record of runs: what each thing that happened was, and how it counts.

A record is for people to read. Each entry is written after what it tells of: whoever dies between the two leaves a run
that is short of an entry, and books that are right.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime

from billing.running import Deed, counts_of
from models.base import new_id
from models.runs import BillingRun, BillingRunItem
from services.app import Actor, App


@dataclass
class RunLog:
    """One run; its row comes into being with the first entry, or by `open`."""

    app: App
    actor: Actor
    as_of: datetime
    is_dry_run: bool = False
    run_id: str | None = None
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def open(self) -> str:
        """The run's row, made now if there is none yet: its id."""
        async with self._turn:
            if self.run_id is None:
                self.run_id = await self._make()
            return self.run_id

    async def note(self, deed: Deed) -> None:
        """Write down one thing that happened, or would."""
        run_id = await self.open()
        async with self.app.database.write() as session:
            run = await session.get_one(BillingRun, run_id, with_for_update=True)
            counts = counts_of([deed.outcome])
            run.renewed += counts.renewed
            run.charged += counts.charged
            run.failed += counts.failed
            run.skipped += counts.skipped
            session.add(_item(run_id, deed))

    async def close(self) -> None:
        """The run is over; one in which nothing happened and that was not opened leaves no trace."""
        if self.run_id is None:
            return
        async with self.app.database.write() as session:
            (await session.get_one(BillingRun, self.run_id)).finished_at = self.app.machine_now()

    async def _make(self) -> str:
        run = BillingRun(
            id=new_id("billing_run"),
            as_of=self.as_of,
            is_dry_run=self.is_dry_run,
            test_clock_id=self.app.timeline,
            requested_by=str(self.actor),
            started_at=self.app.machine_now(),
        )
        async with self.app.database.write() as session:
            session.add(run)
        return run.id


def _item(run_id: str, deed: Deed) -> BillingRunItem:
    return BillingRunItem(
        id=new_id("billing_run_item"),
        run_id=run_id,
        subscription_id=deed.subscription_id,
        invoice_id=deed.invoice_id,
        payment_id=deed.payment_id,
        outcome=deed.outcome.value,
        currency=deed.amount.currency if deed.amount is not None else None,
        amount_minor=deed.amount.minor if deed.amount is not None else None,
        at=deed.at,
    )
