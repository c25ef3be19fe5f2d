"""The gateway's own objects, for those who look behind ours."""

from collections.abc import Mapping
from typing import Any

from gateways.port import GatewayRefused, GatewayUnavailable
from services.app import App


async def intent_as_told(app: App, ref: str) -> Mapping[str, Any] | None:
    """The payment intent as the gateway tells it now; None where it does not."""
    try:
        return (await app.gateway.retrieve_payment_intent(ref)).raw
    except (GatewayRefused, GatewayUnavailable):
        return None
