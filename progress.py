"""How far a run of the worker has come: a bar and a report on a terminal, lines in the log elsewhere.

Owns: what is counted and how it is shown. Does not own: the run (worker), what is due (services.runs.backlog).
May import: billing, rich and the standard library, beside the log.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

import structlog
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table

from billing.running import OUTCOME_OF_HAPPENING, Deed, RunOutcome, counts_of

log = structlog.get_logger(__name__)

LINE_EVERY_SECONDS = 5.0
_DONE = frozenset(OUTCOME_OF_HAPPENING.values())


class Progress:
    """Of `due` subscriptions at the beginning; one that is late comes back, so that more may be done than were due."""

    def __init__(self, console: Console, due: int) -> None:
        self._console, self._due = console, due
        self._outcomes: list[RunOutcome] = []
        self._done = 0
        self._began = self._told = perf_counter()
        self._bar = Bar(
            TextColumn("due"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:.0f} a second"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._task = self._bar.add_task("due", total=due, rate=0.0)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """The bar, for as long as the run goes on."""
        if not self._console.is_terminal:
            yield
            return
        with self._bar:
            yield

    async def note(self, deed: Deed) -> None:
        """Count one thing that happened."""
        self._outcomes.append(deed.outcome)
        self._done += deed.outcome in _DONE
        if self._console.is_terminal:
            total = max(self._due, self._done)
            self._bar.update(self._task, completed=self._done, total=total, rate=self._rate())
        elif perf_counter() - self._told >= LINE_EVERY_SECONDS:
            self._told = perf_counter()
            log.info("worker_progress", due=self._due, done=self._done, per_second=round(self._rate(), 1))

    def counts(self) -> dict[str, int]:
        """What came of the run: renewed, charged, failed, skipped."""
        counts = counts_of(self._outcomes)
        return {
            "renewed": counts.renewed,
            "charged": counts.charged,
            "failed": counts.failed,
            "skipped": counts.skipped,
        }

    def report(self, left: int) -> None:
        """The end, for people. `left`: how many are due still."""
        table = Table("", "", show_header=False, box=None)
        for name, count in {**self.counts(), "left": left}.items():
            table.add_row(name, str(count))
        table.add_row("a second", f"{self._rate():.1f}")
        self._console.print(table)

    def _rate(self) -> float:
        return self._done / max(perf_counter() - self._began, 0.001)
