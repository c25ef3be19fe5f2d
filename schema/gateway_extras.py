"""What the gateway holds of a subscription: it knows none, but whom, with what and how it collects."""

from typing import Any

from models.payments import MANUAL, Payment
from models.subscriptions import Subscription
from schema.fields import Info


async def extras_of(info: Info, row: Subscription, card_id: str | None, latest: Payment | None) -> dict[str, Any]:
    """The gateway's own references, null where there is none. `card_id`: what it is paid with, by our id."""
    loaders, platform = info.context.loaders, info.context.app.gateway.platform
    accounts = await loaders.accounts_of_customer.load(row.customer_id)
    card = await loaders.payment_method.load(card_id) if card_id is not None else None
    collected = latest if latest is not None and latest.platform != MANUAL else None
    intent = await loaders.newest_intent(collected.id) if collected is not None else None
    refunds = await loaders.refunds_of_payment.load(collected.id) if collected is not None else ()
    return {
        "type": "payment",
        "platform": platform,
        "payment_fields": {
            "customer": next((each.gateway_ref for each in accounts if each.platform == platform), None),
            "payment_method": card.gateway_ref if card is not None else None,
            "payment_intent": intent.gateway_ref if intent is not None else None,
            "status": intent.status.value if intent is not None else None,
        },
        "payout_fields": {"refunds": [each.gateway_ref for each in refunds if each.gateway_ref is not None]},
    }
