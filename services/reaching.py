"""Whether there is any sense in work that needs the gateway."""

from gateways.port import GatewayBusy, GatewayRefused, GatewayUnavailable
from services.app import App


async def gateway_answers(app: App) -> bool:
    """False while the gateway is known not to answer; when it is time to ask again, a harmless question finds out."""
    if not app.breaker.is_open:
        return True
    try:
        await app.gateway.country_specification(app.account_country)
    except (GatewayBusy, GatewayRefused):
        return True
    except GatewayUnavailable:
        return False
    return True
