"""What this process measures for Prometheus: every metric by name, and the text that a scrape is answered with.

Owns: names, labels, buckets, and the operation being measured. Does not own: what happens (callers), what the database
holds (services.runs.backlog), who may read it (probes).
May import: prometheus_client and the standard library.

No label takes its values from outside: fields of the schema, methods of the port, steps of the worker, listed codes.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum
from time import perf_counter

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

disable_created_metrics()  # when a series began says nothing that its own process' start does not

CONTENT_TYPE = CONTENT_TYPE_LATEST
SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The variable that prometheus_client reads: the folder in which processes behind one port add up what they measure."""

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

OPERATIONS = Histogram(
    "perennial_operation_seconds",
    "GraphQL operations by root field and outcome, and how long each took.",
    ("operation", "outcome"),
    buckets=_SECONDS,
)
STATEMENTS = Histogram(
    "perennial_operation_statements",
    "SQL statements of each GraphQL operation.",
    ("operation",),
    buckets=(1, 2, 5, 10, 20, 50, 100),
)
GATEWAY_CALLS = Histogram(
    "perennial_gateway_call_seconds",
    "Calls of the payment gateway by method and outcome, and how long each took.",
    ("method", "outcome"),
    buckets=(*_SECONDS, 30.0),
)
PACE_WAITS = Histogram(
    "perennial_gateway_pace_seconds",
    "How long the worker's calls of the gateway waited for their turn, by the endpoint whose limit they count against.",
    ("endpoint",),
    buckets=_SECONDS,
)
BREAKER_OPEN = Gauge(
    "perennial_gateway_breaker_open",
    "1 while a process leaves the gateway alone because it does not answer.",
    multiprocess_mode="livemax",
)
DECLINES = Counter("perennial_declines", "Cards that were declined when this process asked, by code.", ("code",))
PASSES = Histogram("perennial_worker_pass_seconds", "Passes of the worker that came to their end.", buckets=_SECONDS)
FAILED_PASSES = Counter("perennial_worker_failed_passes", "Passes of the worker that a fault broke off.")
WORKED_ROWS = Counter("perennial_worker_rows", "Rows that the worker's steps worked on.", ("step",))


class Outcome(StrEnum):
    """How an operation ended."""

    ANSWERED = "answered"
    REFUSED = "refused"  # user errors, or errors that are the caller's
    REJECTED = "rejected"  # it was never executed
    FAULT = "fault"  # a masked error of ours
    BROKEN_OFF = "broken_off"  # beyond its time, or the client left


@dataclass(slots=True)
class Operation:
    """The GraphQL operation being carried out; its tasks share it."""

    fields: set[str] = field(default_factory=set)
    statements: int = 0
    has_user_errors: bool = False
    outcome: Outcome = Outcome.BROKEN_OFF

    @property
    def name(self) -> str:
        """Its one root field, `Mutation.subscribe`. Whatever the client calls it would be a label without bounds."""
        if len(self.fields) == 1:
            return next(iter(self.fields))
        return "several" if self.fields else "none"


_operation: ContextVar[Operation | None] = ContextVar("operation", default=None)


@contextmanager
def measured_operation() -> Iterator[Operation]:
    """Measure the block as one operation; whoever answers it says how it ended."""
    operation, began = Operation(), perf_counter()
    token = _operation.set(operation)
    try:
        yield operation
    finally:
        _operation.reset(token)
        OPERATIONS.labels(operation.name, operation.outcome).observe(perf_counter() - began)
        STATEMENTS.labels(operation.name).observe(operation.statements)


def operation_ended(outcome: Outcome) -> None:
    operation = _operation.get()
    if operation is not None:
        has_refusal = outcome is Outcome.ANSWERED and operation.has_user_errors
        operation.outcome = Outcome.REFUSED if has_refusal else outcome


def ask_for(root_field: str) -> None:
    """The operation being carried out, if there is one, asks for that field of the schema."""
    operation = _operation.get()
    if operation is not None:
        operation.fields.add(root_field)


def note_user_errors() -> None:
    """What a mutation of it wished was refused."""
    operation = _operation.get()
    if operation is not None:
        operation.has_user_errors = True


def count_statement() -> None:
    """One SQL statement more for the operation being carried out, if there is one."""
    operation = _operation.get()
    if operation is not None:
        operation.statements += 1


@dataclass(frozen=True, slots=True)
class Standing:
    """What the database holds at the time of a scrape: by step of the worker, how much is due and how late it is."""

    due: Mapping[str, int]
    late_seconds: Mapping[str, float]
    unknown_payments: int


class _StandingCollector(Collector):
    """Gauges made anew for one scrape; None: the database did not answer."""

    def __init__(self, standing: Standing | None) -> None:
        self._standing = standing

    def collect(self) -> Iterator[Metric]:
        up = 0 if self._standing is None else 1
        yield GaugeMetricFamily("perennial_database_up", "Whether the database answered this scrape.", value=up)
        if self._standing is None:
            return
        due = GaugeMetricFamily("perennial_due_rows", "Rows that are due for a step of the worker.", labels=["step"])
        late = GaugeMetricFamily("perennial_late_seconds", "How long the first of them has been due.", labels=["step"])
        for step, rows in self._standing.due.items():
            due.add_metric([step], rows)
            late.add_metric([step], self._standing.late_seconds[step])
        yield due
        yield late
        unknown = self._standing.unknown_payments
        yield GaugeMetricFamily("perennial_unknown_payments", "Payments whose outcome is not known.", value=unknown)


def forget_process(number: int) -> None:
    """What a process that is gone said of the present; what it has counted stays."""
    mark_process_dead(number)


def exposition(standing: Standing | None) -> bytes:
    """The text of a scrape: what was measured, by all processes of the port, and what the database holds."""
    measured = REGISTRY
    if SHARED_FOLDER in os.environ:
        measured = CollectorRegistry()
        MultiProcessCollector(measured)
    held = CollectorRegistry()
    held.register(_StandingCollector(standing))
    return generate_latest(measured) + generate_latest(held)
