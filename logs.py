"""Structured logs that may be read by anyone on the team.

Owns: the one logging pipeline, the current request's id and beginning, and what is masked before a line is written.
Does not own: what is worth logging (each caller) or where the lines go after stderr (the platform).
May import: structlog, orjson and the standard library.

Two nets, because one tears: callers pass events and identifiers, never bodies, headers, query text or variables;
and every value is scrubbed on its way out, by the name of its key and by its shape.
"""

import logging
import re
import sys
import traceback
from collections.abc import Mapping, MutableMapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from time import perf_counter
from typing import Any, TextIO

import orjson
import structlog


@dataclass(frozen=True, slots=True)
class Request:
    """The HTTP request being served: `at` is when it came in; how long it takes is measured, not read off a clock."""

    id: str
    at: datetime
    began: float

    @property
    def elapsed_ms(self) -> float:
        return (perf_counter() - self.began) * 1000


_request: ContextVar[Request | None] = ContextVar("request", default=None)

MASK = "[masked]"
MAX_VALUE_LENGTH = 2_000
MAX_FRAMES = 12

# A key that contains one of these words never shows its value.
SECRET_WORDS = (
    "authorization", "cookie", "password", "secret", "token", "api_key", "apikey", "signature", "jwt",
    "email", "phone", "address", "card", "cvc", "iban", "customer_name", "full_name", "variables", "query",
    "headers", "body", "payload", "metadata",
)  # fmt: skip
SAFE_KEYS = frozenset({"token_count", "body_bytes"})

# What a secret or a person looks like inside a longer text.
_SHAPES = re.compile(
    r"""
      \beyJ[\w-]{4,}\.[\w-]*\.?[\w-]*              # a JSON web token
    | \b(?:bearer|basic)\s+\S+                     # an authorization value
    | \b(?:sk|rk|pk)_(?:test|live)_\w+             # a Stripe key
    | \bwhsec_\w+                                  # a webhook secret
    | \bprk_[0-9a-f]{12}_[\w-]+                    # an API key of ours
    | \b\w{2,6}_\w{3,}_secret_\w+                  # a client secret
    | [^\s@'"<>]+@[^\s@'"<>]+\.[^\s@'"<>]+         # an e-mail address
    | \b(?:\d[ -]?){12,18}\d\b                     # a card number
    """,
    re.VERBOSE | re.IGNORECASE,
)
_CREDENTIALS_IN_URL = re.compile(r"(?<=://)[^/\s@]+@")
# Libraries quote the offending value ("invalid literal for int(): 'Jane'"); the frames say enough without it.
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|\((?=[^)]*@)[^)]*\)|=\([^)]*\)", re.DOTALL)

# At their lowest level these print requests, bodies, frames, and statements with their values.
_TALKATIVE = (
    "aiosqlite", "alembic", "asyncio", "httpcore", "httpx", "multipart", "opentelemetry", "python_multipart",
    "sqlalchemy", "strawberry", "stripe", "watchfiles", "websockets",
)  # fmt: skip


def current_request() -> Request | None:
    """The HTTP request being served, or None outside of one."""
    return _request.get()


def begin_request(request_id: str, at: datetime) -> Request:
    """Start a request's log context: later lines of this task carry its id, and nothing of the one before."""
    request = Request(request_id, at, perf_counter())
    _request.set(request)
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=request_id)
    return request


def scrub(text: str) -> str:
    """`text` with secrets and personal data masked by their shape, cut to 2,000 characters."""
    return _SHAPES.sub(MASK, _CREDENTIALS_IN_URL.sub(f"{MASK}@", text[:MAX_VALUE_LENGTH]))


def describe(exception: BaseException) -> dict[str, Any]:
    """An exception for the log: types, places and messages without quoted values; never its locals.

    The chain is followed through `__cause__` and `__context__`; a GraphQLError's text would hold the query, so
    only its own message is taken.
    """
    chain: list[dict[str, Any]] = []
    current: BaseException | None = exception
    while current is not None and len(chain) < 4:
        frames = traceback.extract_tb(current.__traceback__)[-MAX_FRAMES:]
        message = str(getattr(current, "message", "") or (current.args[0] if current.args else ""))
        chain.append(
            {
                "type": f"{type(current).__module__}.{type(current).__qualname__}",
                "message": scrub(_QUOTED.sub("'…'", message)),
                "frames": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
            }
        )
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return {"error_chain": chain}


def mask_event(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The last processor before rendering: no value leaves unmasked."""
    return {key: _masked(key, value) for key, value in event.items()}


def _masked(key: str, value: object) -> object:
    lowered = key.lower()
    if lowered not in SAFE_KEYS and any(word in lowered for word in SECRET_WORDS):
        return MASK
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, Mapping):
        return {str(inner): _masked(str(inner), item) for inner, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_masked(key, item) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return scrub(str(value))


def _describe_exc_info(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replaces a traceback, which would print messages in full, by `describe`."""
    info = event.pop("exc_info", None)
    exception = sys.exc_info()[1] if info is True else info[1] if isinstance(info, tuple) else info
    if isinstance(exception, BaseException):
        event.update(describe(exception))
    return event


def _render_json(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    return orjson.dumps(event, default=str).decode()


def _is_worth_telling(record: logging.LogRecord) -> bool:
    """Uvicorn tells a WebSocket's address with its query string, where some clients put a token; and takes a client's
    broken UTF-8, for which it closes the connection, for an error of its own."""
    return '"WebSocket %s"' not in str(record.msg) and not str(record.msg).startswith("Invalid UTF-8 sequence")


def configure_logging(*, level: str = "INFO", json: bool = True, stream: TextIO | None = None) -> None:
    """Send structlog and the standard library's loggers through one masking pipeline to `stream` (stderr).

    `json` gives one object per line; otherwise coloured lines for a person. Loggers of libraries that print
    requests, statements or bodies are held at WARNING.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _describe_exc_info,
    ]
    # Its own default would draw a traceback with the values of every frame's variables.
    console = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    renderer = _render_json if json else console
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(allow=()), *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, mask_event, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).setLevel(max(root.level, logging.INFO))  # below, it tells each frame of a WebSocket
        logging.getLogger(name).propagate = name != "uvicorn.access"  # the guard writes the access line
    logging.getLogger("uvicorn.error").addFilter(_is_worth_telling)
