"""A receiver of OTLP over HTTP as a collector is one: it keeps every span that it is told of."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class Seen:
    """A span as it came over the wire; ids in hexadecimal, `parent` "" for none."""

    name: str
    trace: str
    id: str
    parent: str
    kind: int
    attributes: dict[str, str | int]
    is_error: bool


@dataclass
class Received:
    spans: list[Seen] = field(default_factory=list)
    resources: set[str] = field(default_factory=set)
    raw: bytes = b""

    def named(self, name: str) -> list[Seen]:
        return [span for span in self.spans if span.name == name]

    def below(self, above: Seen) -> list[Seen]:
        """Its direct parts, in the order they began in."""
        return [span for span in self.spans if (span.trace, span.parent) == (above.trace, above.id)]

    def take(self, body: bytes) -> None:
        self.raw += body
        for told in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resources |= {
                each.value.string_value for each in told.resource.attributes if each.key == "service.name"
            }
            for scope in told.scope_spans:
                self.spans += [
                    Seen(
                        span.name,
                        span.trace_id.hex(),
                        span.span_id.hex(),
                        span.parent_span_id.hex(),
                        span.kind,
                        {each.key: each.value.string_value or each.value.int_value for each in span.attributes},
                        span.status.code == 2,
                    )
                    for span in scope.spans
                ]


@contextmanager
def collector() -> Iterator[tuple[str, Received]]:
    """Its address, and what it has received."""
    received = Received()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            received.take(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
