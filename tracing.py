"""Traces for OpenTelemetry, an extra: spans of requests, SQL statements, gateway calls and the worker's steps.

Owns: whether there are spans, what they may hold, and `trace_id` in the log. Does not own: what is worth a span
(callers), where spans go (the standard OTEL_… variables).
May import: structlog and the standard library; OpenTelemetry only once it is asked for.

A span holds names and outcomes from our own tables, and statements with their placeholders: no variables, documents,
addresses, messages of errors or anybody's data. The instrumentation packages for ASGI and Strawberry would tell
addresses and documents, and SQLAlchemy's does not know the version in use.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import structlog

log = structlog.get_logger(__name__)

Kind = Literal["SERVER", "CLIENT", "INTERNAL"]

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_STEP = "worker."


class Traced:
    """A span that its block may finish; without tracing nothing comes of it."""

    def __init__(self, span: Any = None) -> None:
        self._span = span

    def ended(self, *, name: str | None = None, **attributes: str | int) -> None:
        """How it ended, and what it turned out to be."""
        if self._span is not None:
            if name is not None:
                self._span.update_name(name)
            for key, value in attributes.items():
                self._span.set_attribute(f"perennial.{key}", value)


class _Tracing:
    """This process' provider of spans, made by the first installation that asks for it."""

    def __init__(self) -> None:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        named = Resource({"service.name": "perennial"}).merge(OTELResourceDetector().detect())
        self.provider = TracerProvider(resource=named, shutdown_on_exit=False)
        self.provider.add_span_processor(_without_idle_steps(BatchSpanProcessor(OTLPSpanExporter())))
        self.tracer = self.provider.get_tracer("perennial")
        self.trace = trace
        self.read = TraceContextTextMapPropagator().extract


_tracing: _Tracing | None = None


def begin_tracing() -> None:
    """From now on there are spans, if the environment names a receiver and the extra is installed."""
    global _tracing
    is_off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    if _tracing is not None or is_off or not any(os.environ.get(name) for name in _ENDPOINTS):
        return
    try:
        _tracing = _Tracing()
    except ImportError:
        log.warning("tracing_not_installed", remedy="make otel, or unset OTEL_EXPORTER_OTLP_ENDPOINT")


def is_tracing() -> bool:
    return _tracing is not None


def flush_spans() -> None:
    """Sends what is left, and waits for it: not for the event loop's thread."""
    if _tracing is not None:
        _tracing.provider.force_flush()


@contextmanager
def span(name: str, kind: Kind = "INTERNAL", caller: Mapping[str, str] | None = None) -> Iterator[Traced]:
    """A span around the block, part of the one it stands in, or else of the trace that `caller`'s headers name.

    One that stands in none gives the log lines of its task their trace_id.
    """
    if _tracing is None:
        yield _NOTHING
        return
    trace = _tracing.trace
    within = trace.get_current_span().is_recording()
    context = None if within or caller is None else _tracing.read({"traceparent": caller.get("traceparent", "")})
    with _tracing.tracer.start_as_current_span(
        name, context, trace.SpanKind[kind], record_exception=False, set_status_on_exception=False
    ) as started:
        if not within:
            trace_id = trace.format_trace_id(started.get_span_context().trace_id)
            structlog.contextvars.bind_contextvars(trace_id=trace_id)
        try:
            yield Traced(started)
        except BaseException as error:
            _failed(started, error)
            raise


_NOTHING = Traced()


def begin_statement(held: dict[Any, Any], statement: str, system: str) -> None:
    """A span for a statement of the block's, kept in `held` until it ended; none outside of every span."""
    if _tracing is not None and _tracing.trace.get_current_span().is_recording():
        attributes = {"db.system.name": system, "db.query.text": statement}
        verb = statement.split(maxsplit=1)[0].upper()
        held["span"] = _tracing.tracer.start_span(verb, kind=_tracing.trace.SpanKind.CLIENT, attributes=attributes)


def end_statement(held: dict[Any, Any], error: BaseException | None = None) -> None:
    started = held.pop("span", None)
    if started is not None:
        if error is not None:
            _failed(started, error)
        started.end()


def _failed(started: Any, error: BaseException) -> None:
    """Its kind only: messages quote what they complain about."""
    from opentelemetry.trace import StatusCode

    started.set_attribute("error.type", type(error).__qualname__)
    started.set_status(StatusCode.ERROR)


def _without_idle_steps(sends: Any) -> Any:
    """A worker looks every second whether something is due: what it did when nothing was is not sent."""
    from opentelemetry.sdk.trace import SpanProcessor

    class Kept(SpanProcessor):
        def __init__(self) -> None:
            self._held: dict[int, list[Any]] = {}

        def on_start(self, span: Any, parent_context: Any = None) -> None:
            if span.parent is None and span.name.startswith(_STEP):
                self._held[span.context.trace_id] = []

        def on_end(self, span: Any) -> None:
            held = self._held.get(span.context.trace_id)
            if held is None:
                sends.on_end(span)
                return
            held.append(span)
            if span.parent is None:
                del self._held[span.context.trace_id]
                if span.attributes.get("perennial.rows") != 0:
                    for each in held:
                        sends.on_end(each)

        def shutdown(self) -> None:
            sends.shutdown()

        def force_flush(self, timeout_millis: int = 30_000) -> bool:
            return sends.force_flush(timeout_millis)

    return Kept()


@contextmanager
def worker_step(name: str) -> Iterator[Traced]:
    """A span of its own for a step of the worker, which tells how many `rows` it worked on."""
    with span(f"{_STEP}{name}") as traced:
        yield traced
