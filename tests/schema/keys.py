"""Requests with an API key instead of a token."""

from collections.abc import Mapping
from typing import Any

import httpx

from tests.support.house import House

ADMIN = "demo-admin"
CREATE = """mutation($input: CreateApiKeyInput!) { createApiKey(input: $input) {
    secret
    apiKey { id name prefix scopes createdBy createdAt lastUsedAt expiresAt revokedAt }
    userErrors { code message field }
} }"""
REVOKE = "mutation($id: ID!) { revokeApiKey(id: $id) { apiKey { revokedAt } secret userErrors { code field } } }"


async def create_key(house: House, *scopes: str, name: str = "back end", **wish: Any) -> dict[str, Any]:
    """The payload of `createApiKey` by an administrator."""
    data = await house.ask(CREATE, {"input": {"name": name, "scopes": list(scopes), **wish}}, user=ADMIN)
    return data["createApiKey"]


async def secret_of_key(house: House, *scopes: str) -> str:
    return (await create_key(house, *scopes))["secret"]


async def post_with_key(
    house: House, secret: str | bytes, query: str, variables: Mapping[str, Any] | None = None
) -> httpx.Response:
    body = {"query": query, "variables": dict(variables or {})}
    value = secret if isinstance(secret, bytes) else secret.encode("ascii")
    return await house.http.post("/graphql", json=body, headers=[(b"X-API-Key", value)])


async def ask_with_key(
    house: House, secret: str, query: str, variables: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The data of an operation that must be executed without errors."""
    body = (await post_with_key(house, secret, query, variables)).json()
    assert "errors" not in body, body["errors"]
    return body["data"]
