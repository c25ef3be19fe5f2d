"""Events and the endpoints they are sent to: their handlers.

Owns: the log of the last 30 days, and webhook endpoints. Does not own: sending (deliveries.py).
"""

import re
from datetime import timedelta

from gateways.sandbox import shapes
from gateways.sandbox.calls import Body, Call, assign, merge_metadata
from gateways.sandbox.errors import exclusive_parameters, invalid, no_such
from gateways.sandbox.store import DELETED, Listing, Record

LOG_KEPT = timedelta(days=30)
KINDS = (
    "charge.captured",
    "charge.dispute.closed",
    "charge.dispute.created",
    "charge.dispute.funds_reinstated",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.updated",
    "charge.expired",
    "charge.failed",
    "charge.refund.updated",
    "charge.refunded",
    "charge.succeeded",
    "charge.updated",
    "coupon.created",
    "coupon.deleted",
    "coupon.updated",
    "customer.created",
    "customer.deleted",
    "customer.updated",
    "payment_intent.amount_capturable_updated",
    "payment_intent.canceled",
    "payment_intent.created",
    "payment_intent.payment_failed",
    "payment_intent.processing",
    "payment_intent.requires_action",
    "payment_intent.succeeded",
    "payment_method.attached",
    "payment_method.automatically_updated",
    "payment_method.detached",
    "payment_method.updated",
    "promotion_code.created",
    "promotion_code.updated",
    "refund.created",
    "refund.failed",
    "refund.updated",
    "setup_intent.canceled",
    "setup_intent.created",
    "setup_intent.requires_action",
    "setup_intent.setup_failed",
    "setup_intent.succeeded",
)
_EVENT_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")
MOST_ENDPOINTS = 16


async def retrieve(call: Call) -> Body:
    event = await call.addressed("event")
    if event.body["created"] < _oldest(call):
        raise no_such("event", event.id, "id", in_path=True)
    return await _with_pending(call, event.body)


async def list_all(call: Call) -> Body:
    params = call.params
    if "type" in params and "types" in params:
        raise exclusive_parameters("type", "types")
    kinds = _matching(params["type"]) if "type" in params else tuple(params.get("types", ()))
    bounds = {**params.pop("created", {})}
    bounds["gte"] = max(bounds.get("gte", 0), _oldest(call))
    page = await call.page(Listing("event", lookups=kinds, created=bounds), "/v1/events")
    page["data"] = [await _with_pending(call, event) for event in page["data"]]
    return page


def _matching(pattern: str) -> tuple[str, ...]:
    """A type, or a group of types such as `charge.*`."""
    if "*" not in pattern:
        return (pattern,)
    start = pattern.partition("*")[0]
    return tuple(kind for kind in KINDS if kind.startswith(start)) or (pattern,)


def _oldest(call: Call) -> int:
    return call.second - int(LOG_KEPT.total_seconds())


async def _with_pending(call: Call, event: Body) -> Body:
    return {**event, "pending_webhooks": await call.unit.pending(event["id"])}


def subscribed(endpoint: Body, kind: str) -> bool:
    wanted = endpoint["enabled_events"]
    return endpoint["status"] == "enabled" and ("*" in wanted or kind in wanted)


async def create_endpoint(call: Call) -> Body:
    params = call.params
    if len(await call.unit.endpoints()) >= MOST_ENDPOINTS:
        raise invalid(f"You have reached the maximum of {MOST_ENDPOINTS} webhook endpoints.", None)
    endpoint = add_endpoint(
        call, params["url"], params["enabled_events"], call.ids.new("webhook_secret"), params.get("api_version")
    )
    assign(endpoint.body, params, "description")
    merge_metadata(endpoint.body, params.get("metadata", {}))
    return {**endpoint.body, "secret": endpoint.private["secret"]}


def add_endpoint(
    call: Call, url: str, enabled_events: list[str], secret: str, api_version: str | None = None
) -> Record:
    _check_enabled(enabled_events)
    if api_version not in (None, shapes.API_VERSION):
        message = f"This sandbox renders events at {shapes.API_VERSION} only."
        raise invalid(message, "api_version")
    body = shapes.webhook_endpoint(
        call.ids.new("webhook_endpoint"), call.second, url, enabled_events, shapes.API_VERSION
    )
    return call.unit.add("webhook_endpoint", body, {"secret": secret})


def _check_enabled(enabled_events: list[str]) -> None:
    """Every event, or named ones: also such as never happen here, but nothing that no event is called."""
    if not enabled_events:
        raise invalid("You must enable at least one event.", "enabled_events")
    for place, name in enumerate(enabled_events):
        if name != "*" and not _EVENT_NAME.fullmatch(name):
            raise invalid(
                f"Invalid enabled_events[{place}]: {name} is not the name of an event.", f"enabled_events[{place}]"
            )


async def retrieve_endpoint(call: Call) -> Body:
    return (await call.addressed("webhook_endpoint", "webhook_endpoint")).body


async def list_endpoints(call: Call) -> Body:
    return await call.page(Listing("webhook_endpoint"), "/v1/webhook_endpoints")


async def update_endpoint(call: Call) -> Body:
    endpoint = await call.addressed("webhook_endpoint", "webhook_endpoint")
    body, params = endpoint.body, call.params
    if "enabled_events" in params:
        _check_enabled(params["enabled_events"])
    assign(body, params, "description", "enabled_events", "url")
    if "metadata" in params:
        merge_metadata(body, params["metadata"])
    if "disabled" in params:
        body["status"] = "disabled" if params["disabled"] else "enabled"
    call.unit.change(endpoint)
    return body


async def delete_endpoint(call: Call) -> Body:
    endpoint = await call.addressed("webhook_endpoint", "webhook_endpoint")
    endpoint.kind += DELETED
    call.unit.change(endpoint)
    return {"id": endpoint.id, "object": "webhook_endpoint", "deleted": True}
