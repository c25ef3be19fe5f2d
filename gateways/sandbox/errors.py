"""The answers that refuse: each becomes `{"error": {...}}` with the status Stripe gives it.

Owns: status, type, code and wording of errors. Does not own: card declines (declines leave their mark on an intent
and are answers of a handler, see intents.py).
"""

from typing import Any

DOC_URL = "https://docs.stripe.com/error-codes#"


class ApiError(Exception):
    """A request refused. `executed` tells whether execution had begun, so that the answer belongs to its
    idempotency key; validation failures leave the key free."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        kind: str = "invalid_request_error",
        executed: bool = False,
        headers: dict[str, str] | None = None,
        inside: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.executed = executed
        self.headers = headers or {}
        self.body = {"error": error_object(kind, message, code=code, param=param, inside=inside)}


def error_object(
    kind: str,
    message: str,
    *,
    code: str | None,
    param: str | None = None,
    inside: dict[str, Any] | None,
) -> dict[str, Any]:
    """Stripe's error hash; what does not apply is absent rather than null."""
    error = {"code": code, "message": message, "param": param, "type": kind, **(inside or {})}
    if code:
        error["doc_url"] = DOC_URL + code.replace("_", "-")
    return {name: value for name, value in error.items() if value is not None}


def invalid(message: str, param: str | None, code: str | None = None) -> ApiError:
    return ApiError(400, message, code=code, param=param)


def unknown_parameters(params: list[str]) -> ApiError:
    noun = "parameter" if len(params) == 1 else "parameters"
    return invalid(f"Received unknown {noun}: {', '.join(params)}", params[0], "parameter_unknown")


def missing_parameter(param: str) -> ApiError:
    return invalid(f"Missing required param: {param}.", param, "parameter_missing")


def unsupported_parameter(param: str) -> ApiError:
    return invalid(
        f"Stripe knows the parameter {param}, but this sandbox does not carry it out.", param, "parameter_unknown"
    )


def exclusive_parameters(*params: str) -> ApiError:
    return invalid(
        f"You may only specify one of these parameters: {', '.join(params)}.", params[0], "parameters_exclusive"
    )


NOUNS = {
    "customer": "customer",
    "payment_method": "PaymentMethod",
    "payment_intent": "payment_intent",
    "setup_intent": "setupintent",
    "charge": "charge",
    "coupon": "coupon",
    "promotion_code": "promotion code",
    "refund": "refund",
    "dispute": "dispute",
    "balance_transaction": "balance transaction",
    "event": "event",
    "webhook_endpoint": "webhook endpoint",
}


def no_such(kind: str, identity: str, param: str, *, in_path: bool) -> ApiError:
    """404 when the object is the one in the address, 400 when a parameter names it."""
    message = f"No such {NOUNS.get(kind, kind)}: '{identity}'"
    return ApiError(404 if in_path else 400, message, code="resource_missing", param=param)


def already_exists(message: str, param: str) -> ApiError:
    return ApiError(400, message, code="resource_already_exists", param=param)


def unrecognized_url(method: str, path: str) -> ApiError:
    return ApiError(404, f"Unrecognized request URL ({method}: {path}).")


def no_api_key() -> ApiError:
    message = (
        "You did not provide an API key. You need to provide your API key in the Authorization header, "
        "using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY')."
    )
    return ApiError(401, message, headers={"WWW-Authenticate": 'Bearer realm="Stripe"'})


def invalid_api_key(key: str) -> ApiError:
    masked = f"{key[:8]}{'*' * 8}{key[-4:]}" if len(key) > 16 else f"{key[:3]}***"
    return ApiError(401, f"Invalid API Key provided: {masked}", headers={"WWW-Authenticate": 'Bearer realm="Stripe"'})


def live_key_refused() -> ApiError:
    return ApiError(
        401,
        "This is a sandbox and a live key was sent to it. Keep live keys away from test systems, and consider "
        "rolling this one.",
    )


def secret_key_required() -> ApiError:
    return ApiError(
        403,
        "This API call cannot be made with a publishable API key. Please use a secret API key.",
        code="secret_key_required",
    )


def key_in_use(key: str) -> ApiError:
    message = (
        "There is currently another in-progress request using this Idempotent Key (that probably means you "
        f"submitted twice, and the other request is still going through): {key}. Please try again later."
    )
    return ApiError(409, message, code="idempotency_key_in_use")


def key_reused(key: str) -> ApiError:
    message = (
        "Keys for idempotent requests can only be used with the same parameters they were first used with. "
        f"Try using a key other than '{key}' if you meant to execute a different request."
    )
    return ApiError(400, message, kind="idempotency_error")


def lock_timeout() -> ApiError:
    message = (
        "This object cannot be accessed right now because another API request or Stripe process is currently "
        "accessing it. Please try again later."
    )
    return ApiError(429, message, code="lock_timeout", headers={"Stripe-Should-Retry": "true"})


def rate_limited(reason: str = "global-rate") -> ApiError:
    return ApiError(
        429,
        "Request rate limit exceeded. Please slow down and try again.",
        code="rate_limit",
        headers={"Stripe-Rate-Limited-Reason": reason},
    )


def api_error() -> ApiError:
    return ApiError(500, "An unexpected error occurred in the sandbox.", kind="api_error")
