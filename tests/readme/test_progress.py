"""A run of the worker tells how far it has come: people by a bar and a report, programs by lines and numbers."""

import re
from datetime import UTC, datetime
from io import StringIO

import pytest
from rich.console import Console
from structlog.testing import capture_logs

import progress
from billing.running import Deed, RunOutcome
from progress import Progress

RUN = (RunOutcome.RENEWED, RunOutcome.CHARGED, RunOutcome.RENEWED, RunOutcome.DECLINED, RunOutcome.SKIPPED)


async def _told(console: Console) -> Progress:
    shown = Progress(console, due=3)
    with shown.shown():
        for outcome in RUN:
            await shown.note(Deed("sbs_1", outcome, datetime(2026, 2, 28, tzinfo=UTC)))
    return shown


async def test_a_terminal_shows_a_bar_and_ends_with_a_report() -> None:
    written = StringIO()
    console = Console(file=written, force_terminal=True, width=100, no_color=True)
    (await _told(console)).report(left=1)
    seen = re.sub(r"\x1b\[[0-9?;]*[A-Za-z]", "", written.getvalue()).replace("\r", "\n")
    assert "2/3" in seen
    rows = re.findall(r"^ *(renewed|charged|failed|skipped|left) +(\d+) *$", seen, re.MULTILINE)
    assert rows == [("renewed", "2"), ("charged", "1"), ("failed", "1"), ("skipped", "1"), ("left", "1")]
    assert re.search(r"^ *a second +\d+\.\d *$", seen, re.MULTILINE)


async def test_elsewhere_a_line_is_logged_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    with capture_logs() as quiet:
        await _told(Console(file=StringIO()))
    assert quiet == []
    monkeypatch.setattr(progress, "LINE_EVERY_SECONDS", 0.0)
    with capture_logs() as lines:
        shown = await _told(Console(file=StringIO()))
    assert [(line["event"], line["due"], line["done"]) for line in lines] == [
        ("worker_progress", 3, done) for done in (1, 1, 2, 2, 2)
    ]
    assert shown.counts() == {"renewed": 2, "charged": 1, "failed": 1, "skipped": 1}
