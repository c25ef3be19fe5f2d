"""Reading a webhook's delivery: whose it is, how old, and which event it tells of."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast

import orjson
import stripe

from gateways.port import GatewayEventHint, WebhookRefused

_WEBHOOK_TOLERANCE_SECONDS = 300
_LONGEST_NAME = 255
_OBJECT_KINDS = frozenset(
    "payment_intent setup_intent payment_method customer refund dispute coupon promotion_code".split()
)
# Of a charge only this is news: the rest is told by its intent.
_CHARGE_NEWS = frozenset(("charge.refunded",))


def read_delivery(body: bytes, signature: str | None, *, secrets: Sequence[str], now: datetime) -> GatewayEventHint:
    """Check the signature against every secret and its age by `now`. Raises WebhookRefused."""
    if not signature:
        raise WebhookRefused("no Stripe-Signature header")
    if not signature.isascii():  # no digest is anything else, and the SDK cannot compare it
        raise WebhookRefused("the signature is no text of digits and letters")
    _check_age(signature, now)
    if not any(_signed_with(body, signature, secret) for secret in secrets):
        raise WebhookRefused("the signature matches no configured secret")
    return _hint(body)


def _check_age(signature: str, now: datetime) -> None:
    stamps = [part[2:] for part in signature.split(",") if part.startswith("t=")]
    if len(stamps) != 1 or not (stamps[0].isascii() and stamps[0].isdigit() and len(stamps[0]) <= 12):
        raise WebhookRefused("the signature has no timestamp")
    if abs(now.timestamp() - int(stamps[0])) > _WEBHOOK_TOLERANCE_SECONDS:
        raise WebhookRefused("the signature is too old or from the future")


def _signed_with(body: bytes, signature: str, secret: str) -> bool:
    try:
        return stripe.WebhookSignature.verify_header(body.decode(), signature, secret, tolerance=None)
    except (stripe.SignatureVerificationError, UnicodeDecodeError):
        return False


def _hint(body: bytes) -> GatewayEventHint:
    """The event in a signed body; whatever is not one is refused, though signed."""
    try:
        event = cast(Any, orjson.loads(body))
        kind, ref = event["data"]["object"]["object"], event["data"]["object"].get("id")
        texts = [event["id"], event["type"], kind] + ([] if ref is None else [ref])
        if event["object"] != "event" or type(event["created"]) is not int or not all(map(_is_name, texts)):
            raise WebhookRefused("not an event")
        created = datetime.fromtimestamp(event["created"], UTC)
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError, OverflowError, OSError):
        raise WebhookRefused("not an event") from None
    known = ref is not None and (kind in _OBJECT_KINDS or (kind == "charge" and event["type"] in _CHARGE_NEWS))
    payload = {
        "type": event["type"],
        "livemode": event.get("livemode") is True,
        "api_version": str(event.get("api_version"))[:40],
    }
    return GatewayEventHint(event["id"], event["type"], created, kind if known else None, ref, payload)


def _is_name(value: object) -> bool:
    """A text that can be stored and looked up by."""
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_NAME and "\x00" not in value
