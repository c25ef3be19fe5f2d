"""The server and its caller."""

import tomllib
from datetime import datetime
from functools import lru_cache
from hashlib import sha256

import strawberry
from strawberry.scalars import JSON
from strawberry.schema.base import BaseSchema

from resolvers.access import permissions
from resolvers.context import RequestContext
from resolvers.identity import Role
from schema.api_keys import scope_words
from schema.customers import Customer, UserRef
from schema.enums import GatewayPlatform
from schema.fields import CustomerRef, Info, described
from schema.policies import Merchant
from services.policies import read_organization
from settings import ROOT, Environment


@lru_cache(maxsize=1)
def version() -> str:
    """The application's version, as its pyproject.toml has it."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


@lru_cache(maxsize=4)
def schema_hash(schema: BaseSchema) -> str:
    """SHA-256 of the schema in its definition language; printing it is too dear for every request."""
    return sha256(schema.as_str().encode()).hexdigest()


@strawberry.type(description="Which server answers.")
class ServerInfo:
    version: str = described("The application's version.")
    environment: Environment = described("Where it runs.")
    livemode: bool = described("Whether cards are charged real money.")
    now: datetime = described("The billing clock: the instant that billing goes by.")
    schema_hash: str = described("Changes with the schema, for caches of generated code.")

    @strawberry.field(description="Who sells here.")
    async def merchant(self, info: Info) -> Merchant:
        row = await read_organization(info.context.app)
        return Merchant(name=row.name, settings=JSON(row.settings))

    @classmethod
    def of(cls, context: RequestContext, schema: BaseSchema) -> "ServerInfo":
        return cls(
            version=version(),
            environment=context.settings.environment,
            livemode=context.app.gateway.livemode,
            now=context.app.now(),
            schema_hash=schema_hash(schema),
        )


@strawberry.type(description="What a browser needs to talk to the payment gateway itself.")
class GatewayConfig:
    platform: GatewayPlatform = described("Which gateway.")
    publishable_key: str = described("The key for the gateway's browser SDK. It is public.")
    livemode: bool = described("Whether cards are charged real money.")

    @classmethod
    def of(cls, context: RequestContext) -> "GatewayConfig":
        gateway = context.app.gateway
        return cls(
            platform=GatewayPlatform(gateway.platform),
            publishable_key=gateway.publishable_key,
            livemode=gateway.livemode,
        )


@strawberry.type(description="Who is calling, by the token or the API key of this request.")
class Viewer:
    role: Role = described("The caller's role; PUBLIC without a credential.")
    user: UserRef | None = described("The user as the token tells of them; null without one.")
    scopes: list[str] = described("What the API key of this request may do; empty without one.")
    permissions: list[str] = described("The operations that this caller may call: `Mutation.subscribe`.")

    @classmethod
    def of(cls, context: RequestContext) -> "Viewer":
        who = context.identity
        user = None
        if who.user_id is not None:
            shown = who.name or who.email or who.user_id
            user = UserRef(id=strawberry.ID(who.user_id), display_name=shown, username=None, account_id=None)
        return cls(
            role=who.role,
            user=user,
            scopes=scope_words(who.scopes),
            permissions=permissions(who, sandbox=context.app.browser is not None),
        )

    @strawberry.field(description="The caller as a customer; null before the first mutation of that user.")
    async def customer(self, info: Info) -> CustomerRef | None:
        row = await info.context.own_customer()
        return Customer.of(row) if row is not None else None
