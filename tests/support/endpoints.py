"""Webhook endpoints through the front door."""

from typing import Any

from tests.support.house import House

ADMIN = "demo-admin"
ENDPOINT = """{ id url eventTypes isEnabled version isArchived archivedAt previousSecretUntil createdBy createdAt }"""
CREATE = f"""mutation($input: WebhookEndpointInput!) {{ createWebhookEndpoint(input: $input) {{
    secret webhookEndpoint {ENDPOINT} userErrors {{ code message field }}
}} }}"""
UPDATE = f"""mutation($id: ID!, $input: WebhookEndpointInput!, $expectedVersion: Int) {{
    updateWebhookEndpoint(id: $id, input: $input, expectedVersion: $expectedVersion) {{
        secret webhookEndpoint {ENDPOINT} userErrors {{ code message field }}
    }}
}}"""
DELETE = f"""mutation($id: ID!) {{ deleteWebhookEndpoint(id: $id) {{
    webhookEndpoint {ENDPOINT} userErrors {{ code field }}
}} }}"""
ROTATE = f"""mutation($id: ID!) {{ rotateWebhookSecret(id: $id) {{
    secret webhookEndpoint {ENDPOINT} userErrors {{ code field }}
}} }}"""
REDELIVER = """mutation($id: ID!) { redeliverWebhook(deliveryId: $id) {
    delivery { id status attempts nextAttemptAt httpStatus error } userErrors { code message field }
} }"""
DELIVERIES = """{ webhookEndpoints { id deliveries { totalCount nodes {
    id eventType status httpStatus error attempts nextAttemptAt createdAt payload
} } } }"""


async def create_endpoint(house: House, url: str, **wish: Any) -> dict[str, Any]:
    """The payload of `createWebhookEndpoint` by an administrator, who must not be refused."""
    payload = (await house.ask(CREATE, {"input": {"url": url, **wish}}, ADMIN))["createWebhookEndpoint"]
    assert payload["userErrors"] == []
    return payload


async def deliveries(house: House) -> list[dict[str, Any]]:
    """Those of the only endpoint, newest first."""
    (endpoint,) = (await house.ask(DELIVERIES, user=ADMIN))["webhookEndpoints"]
    return endpoint["deliveries"]["nodes"]


async def subscribe(house: House, user: str = "demo-card") -> str:
    """A paid subscription's id: three events of its own life, two of its invoice, one of its payment."""
    card = (await house.ask("{ paymentMethods { nodes { id } } }", user=user))["paymentMethods"]["nodes"][0]["id"]
    wish = {"input": {"planCode": "reader-pro", "paymentMethodId": card}}
    query = "mutation($input: SubscribeInput!) { subscribe(input: $input) { subscription { id } userErrors { code } } }"
    answer = (await house.ask(query, wish, user))["subscribe"]
    assert answer["userErrors"] == []
    return answer["subscription"]["id"]
