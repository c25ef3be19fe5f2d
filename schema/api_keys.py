"""Keys of the application's back end. The secret is in the answer to `createApiKey` and nowhere else."""

from datetime import datetime

import strawberry

from models.api_keys import ApiKey as ApiKeyRow
from schema.fields import described, optional
from schema.interfaces import Node
from schema.payloads import ERRORS
from schema.user_errors import UserError
from services.api_keys import scopes_of
from services.scopes import SCOPE_MEANINGS, Scope

SCOPES = "; ".join(f"`{scope}`: {meaning}" for scope, meaning in SCOPE_MEANINGS.items())


def scope_words(scopes: frozenset[Scope]) -> list[str]:
    """The scopes as clients know them, in the table's order."""
    return [scope.value for scope in Scope if scope in scopes]


@strawberry.type(description="A key by which the application's own back end calls, in the header `X-API-Key`.")
class ApiKey(Node):
    name: str = described("What it is for, as its maker says.")
    prefix: str = described("The public beginning of its secret, to tell keys apart.")
    scopes: list[str] = described(f"What it may do. {SCOPES}.")
    created_by: str = described("Who made it.")
    created_at: datetime = described("When it was made.")
    last_used_at: datetime | None = described("When it was last used, to the minute; null if never.")
    expires_at: datetime | None = described("From when on it is refused; null if it does not expire.")
    revoked_at: datetime | None = described("Since when it is refused; null if it was not revoked.")

    @classmethod
    def of(cls, row: ApiKeyRow) -> "ApiKey":
        return cls(
            id=strawberry.ID(row.id),
            name=row.name,
            prefix=row.prefix,
            scopes=scope_words(scopes_of(row)),
            created_by=row.created_by,
            created_at=row.created_at,
            last_used_at=row.last_used_at,
            expires_at=row.expires_at,
            revoked_at=row.revoked_at,
        )


@strawberry.input(description="The key that is wished.")
class CreateApiKeyInput:
    name: str = described("What it is for: at most 100 characters.")
    scopes: list[str] = described(f"What it may do, one or more. {SCOPES}.")
    expires_at: datetime | None = optional("From when on it is refused; never unless given.")


@strawberry.type(description="The answer to a mutation about an API key.")
class ApiKeyPayload:
    api_key: ApiKey | None = described("The key; null when refused.")
    secret: str | None = described("What `X-API-Key` carries. Told here once and kept nowhere: store it now.")
    user_errors: list[UserError] = described(ERRORS)
