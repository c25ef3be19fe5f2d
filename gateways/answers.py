"""What Stripe's SDK answers: objects as plain JSON, lists in pages, its exceptions as the port's."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import stripe
import structlog

from gateways import snapshots
from gateways.port import (
    CardRefused,
    GatewayBusy,
    GatewayHeld,
    GatewayNotFound,
    GatewayPage,
    GatewayRefused,
    GatewayUnavailable,
)

log = structlog.get_logger(__name__)

LIST_PAGE = 100


async def answer(call: Awaitable[Any]) -> Mapping[str, Any]:
    """The object as plain JSON, or the port's exception for what the SDK raised."""
    return (await object_of(call)).to_dict()


async def object_of(call: Awaitable[Any]) -> Any:
    try:
        return await call
    except stripe.CardError as error:
        raise CardRefused(_problem_of(error)) from error
    except stripe.StripeError as error:
        raise translated(error) from error


def is_replay(made: Any) -> bool:
    """Whether the gateway told its first answer under this key again."""
    response = made.last_response
    return response is not None and response.headers.get("Idempotent-Replayed") == "true"


async def page_of(
    list_async: Callable[[Any], Awaitable[Any]],
    after: str | None,
    *,
    created_since: datetime | None = None,
    **more: Any,
) -> GatewayPage[Any]:
    params: Any = {"limit": LIST_PAGE, **more}
    if after is not None:
        params["starting_after"] = after
    if created_since is not None:
        params["created"] = {"gte": int(created_since.timestamp())}
    page = await answer(list_async(params))
    rows = page["data"]
    return GatewayPage(rows, rows[-1]["id"] if page["has_more"] else None)


async def answer_or_declined(call: Awaitable[Any]) -> Mapping[str, Any]:
    """Like `answer`, but a decline is the intent that the refusal carries."""
    try:
        return (await call).to_dict()
    except stripe.StripeError as error:
        if isinstance(error, stripe.CardError) and (intent := error_body(error).get("payment_intent")):
            return intent
        raise translated(error) from error


def error_body(error: stripe.StripeError) -> Mapping[str, Any]:
    body: Any = error.json_body
    return body.get("error") or {} if isinstance(body, dict) else {}


def _problem_of(error: stripe.CardError) -> snapshots.CardProblem:
    problem = snapshots.problem(error_body(error) or {"message": str(error)})
    if problem is None:
        raise AssertionError("a card error has a body or a message")
    return problem


def translated(error: stripe.StripeError) -> Exception:
    """Certainly refused, or no telling: only the gateway's own clear 'no' counts as a refusal."""
    body = error_body(error)
    code, message, param = body.get("code"), body.get("message") or str(error), body.get("param")
    if isinstance(error, stripe.IdempotencyError):
        return GatewayRefused(message, code="idempotency_error")
    if isinstance(error, stripe.InvalidRequestError) and error.http_status in (400, 404):
        if code == "resource_missing":
            return GatewayNotFound(message, code=code, param=param)
        return GatewayRefused(message, code=code, param=param)
    if isinstance(error, stripe.CardError):
        return GatewayRefused(message, code=code)
    if error.http_status == 409 or code == "lock_timeout":  # the latter as a 429, but no reason to slow down
        return GatewayHeld(f"{code} (HTTP {error.http_status})")
    if isinstance(error, stripe.RateLimitError):
        return _busy(error)
    if isinstance(error, stripe.AuthenticationError | stripe.PermissionError):
        log.error("gateway_credentials_refused", status=error.http_status)
    message = f"{type(error).__name__} (HTTP {error.http_status})"
    return GatewayUnavailable(message, is_fault=(error.http_status or 0) >= 500)


def _busy(error: stripe.RateLimitError) -> GatewayBusy:
    """Stripe names the limit that was met; it may say for how many seconds to stay away."""
    headers: Mapping[str, str] = error.headers or {}
    seconds = headers.get("retry-after", "")
    return GatewayBusy(
        f"RateLimitError (HTTP {error.http_status})",
        retry_after=timedelta(seconds=int(seconds)) if seconds.isdecimal() else None,
        is_account=headers.get("stripe-rate-limited-reason", "").startswith("global"),
    )
