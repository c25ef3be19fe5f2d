"""One frozen Settings, read from the environment once.

Owns: names, defaults and the combinations that are refused. Does not own: what is built from them (bootstrap).
May import: nothing of ours.
"""

import hmac
import os
import re
from collections.abc import Mapping
from enum import StrEnum
from functools import cache, cached_property
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, DotEnvSettingsSource, NoDecode, SettingsConfigDict

ROOT = Path(__file__).resolve().parent
DEVELOPMENT_SECRET = "perennial-development-secret-not-for-production"  # noqa: S105 (refused outside development)
SANDBOX_SECRET_KEY = "sk_test_sandbox"  # noqa: S105 (the sandbox's public constant)
SANDBOX_PUBLISHABLE_KEY = "pk_test_sandbox"
_NO_SIGNING_SECRETS = ("we_", "sk_", "rk_", "pk_")  # an endpoint's id, and keys; other gateways' own may look otherwise
SANDBOX_WEBHOOK_SECRET = "whsec_sandbox"  # noqa: S105 (the sandbox's public constant)
MIN_SECRET = 32
JWT_ALGORITHMS = (
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
)  # fmt: skip
"""`none` is no algorithm."""
_DATABASES = {"sqlite": "sqlite:///path", "postgresql": "postgresql://user@host/name"}
_LISTENING = {"postgresql": "postgresql://user@host/name, PostgreSQL itself and no proxy"}
_POSTGRESQL_OPTIONS = {"host", "port", "ssl", "sslmode", "passfile", "target_session_attrs"}


class Environment(StrEnum):
    DEVELOPMENT = "development"
    PREVIEW = "preview"
    STAGING = "staging"
    PRODUCTION = "production"


class WorkerMode(StrEnum):
    EMBEDDED = "embedded"
    OFF = "off"


class Pooler(StrEnum):
    NONE = "none"
    TRANSACTION = "transaction"


class SettingsError(Exception):
    """The environment contradicts itself; the message says which variable and what to set."""


class Settings(BaseSettings):
    """Every variable is prefixed PERENNIAL_; `.env.example` lists all of them with their meaning."""

    model_config = SettingsConfigDict(
        env_prefix="PERENNIAL_",
        env_file=".env",
        env_ignore_empty=True,  # a line that is uncommented and not filled in, a variable that compose did not know
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
    )

    environment: Environment = Environment.DEVELOPMENT
    database_url: str = f"sqlite:///{ROOT / 'var' / 'perennial.db'}"
    database_listen_url: str | None = None
    database_pooler: Pooler = Pooler.NONE
    database_pool_size: int = Field(default=10, ge=1, le=10_000)
    database_pool_overflow: int = Field(default=10, ge=0, le=10_000)
    database_statement_seconds: int = Field(default=10, ge=0, le=86_400)
    sandbox_database_url: str | None = None
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=1, le=65535)
    public_url: str | None = None
    worker: WorkerMode = WorkerMode.EMBEDDED
    worker_port: int | None = Field(default=None, ge=1, le=65535)

    stripe_secret_key: SecretStr | None = None
    stripe_publishable_key: str | None = None
    stripe_webhook_secret: SecretStr | None = None
    stripe_api_base: str | None = None
    gateway_calls_per_second: int | None = Field(default=None, ge=0, le=10_000)
    gateway_endpoint_calls_per_second: int = Field(default=25, ge=1, le=10_000)

    jwt_issuer: str = "perennial-dev"
    jwt_audience: str = "perennial"
    jwt_algorithm: str = "HS256"
    jwt_secret: SecretStr | None = None
    jwt_jwks_url: str | None = None

    secret_key: SecretStr = SecretStr(DEVELOPMENT_SECRET)
    entitlement_key: SecretStr | None = None
    timezone: str = "UTC"
    account_country: str = Field(default="US", pattern=r"^[A-Z]{2}$")
    support_refund_cap: int = Field(default=0, ge=0)
    grace_period_days: int = Field(default=7, ge=0, le=3660)
    reconcile_minutes: int = Field(default=15, ge=0, le=527_040)

    rate_caller_per_minute: int = Field(default=1_000_000, ge=0, le=10**12)
    rate_address_per_minute: int = Field(default=1_000_000, ge=0, le=10**12)
    rate_failures_per_minute: int = Field(default=600, ge=0, le=10**12)
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = ()
    webhook_private_targets: Annotated[tuple[str, ...], NoDecode] = ()
    metrics_token: SecretStr | None = None

    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    explorer: bool | None = None
    introspection: bool | None = None
    require_user_errors: bool = True

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split_origins(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip().rstrip("/").lower() for part in value.split(",") if part.strip())
        return value

    @field_validator("trusted_proxies", "webhook_private_targets", mode="before")
    @classmethod
    def _split_networks(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("trusted_proxies", "webhook_private_targets")
    @classmethod
    def _networks(cls, value: tuple[str, ...], field: ValidationInfo) -> tuple[str, ...]:
        for each in value:
            try:
                ip_network(each, strict=False)
            except ValueError:
                name = f"PERENNIAL_{str(field.field_name).upper()}"
                message = f"{name}: {each!r} is no address or network, such as 10.0.0.0/8"
                raise ValueError(message) from None
        return value

    @field_validator("public_url", "stripe_api_base", "jwt_jwks_url")
    @classmethod
    def _an_address(cls, value: str | None, field: ValidationInfo) -> str | None:
        is_a_base = field.field_name != "jwt_jwks_url"
        if value and not _is_web_address(value, is_a_base):
            name = f"PERENNIAL_{str(field.field_name).upper()}"
            raise ValueError(f"{name}: write https://host, with the path under which it is served, if any")
        return value.rstrip("/") if value and is_a_base else value

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if value not in _zones():
            raise ValueError(f"PERENNIAL_TIMEZONE: {value!r} is no IANA time zone, such as Europe/Berlin")
        return value

    @field_validator("cors_origins")
    @classmethod
    def _exact_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            if not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/?#@\s]+", each):
                message = f"PERENNIAL_CORS_ORIGINS: {each!r} is no exact origin, such as https://app.example"
                raise ValueError(message)
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if messages := [message for broken, message in _contradictions(self) if broken]:
            raise ValueError("\n".join(messages))
        return self

    @property
    def uses_sandbox(self) -> bool:
        """The embedded sandbox serves when neither a Stripe key nor another Stripe-compatible address is set."""
        return self.stripe_secret_key is None and self.stripe_api_base is None

    @property
    def direct_database_url(self) -> str:
        """Past a proxy, where there is one and another address is known."""
        past = self.database_listen_url if self.database_pooler is Pooler.TRANSACTION else None
        return past or self.database_url

    @property
    def gateway_secret_key(self) -> str:
        return self.stripe_secret_key.get_secret_value() if self.stripe_secret_key else SANDBOX_SECRET_KEY

    @property
    def gateway_publishable_key(self) -> str:
        return self.stripe_publishable_key or SANDBOX_PUBLISHABLE_KEY

    @cached_property
    def webhook_secrets(self) -> tuple[str, ...]:
        if self.stripe_webhook_secret is None:
            return (SANDBOX_WEBHOOK_SECRET,) if self.stripe_secret_key is None else ()
        listed = self.stripe_webhook_secret.get_secret_value().split(",")
        return tuple(secret.strip() for secret in listed if secret.strip())

    @property
    def livemode(self) -> bool:
        return _is_live(self.gateway_secret_key)

    @property
    def account_calls_per_second(self) -> int:
        """What the gateway takes of the account; 0: without limit, as a sandbox does."""
        if self.gateway_calls_per_second is not None or self.stripe_secret_key is None:
            return self.gateway_calls_per_second or 0
        return 100 if self.livemode else 25

    @property
    def own_address(self) -> str:
        """Where this process reaches itself: webhooks of the sandbox."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host  # noqa: S104 (compared, not bound)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def public_address(self) -> str:
        """Where others reach it: what links begin with, and who issues entitlement tokens."""
        return self.public_url or self.own_address

    @property
    def is_production(self) -> bool:
        return self.environment is Environment.PRODUCTION

    @property
    def is_development(self) -> bool:
        return self.environment is Environment.DEVELOPMENT

    @property
    def serves_explorer(self) -> bool:
        return self.explorer if self.explorer is not None else not self.is_production

    @property
    def allows_introspection(self) -> bool:
        return self.introspection if self.introspection is not None else not self.is_production

    @property
    def token_secret(self) -> str:
        """The HS256 key that signs and checks access tokens."""
        return (self.jwt_secret or self.secret_key).get_secret_value()

    def key_for(self, purpose: str) -> bytes:
        """A key of 32 bytes for one purpose, derived from the installation's secret."""
        return hmac.digest(self.secret_key.get_secret_value().encode(), purpose.encode(), "sha256")

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)


def load_settings(**overrides: object) -> Settings:
    """Settings from the environment, or a SettingsError whose text is one readable line per problem."""
    try:
        return Settings(**overrides)  # pyright: ignore[reportArgumentType] (pydantic checks them)
    except ValidationError as error:
        lines = [
            problem["msg"].removeprefix("Value error, ")
            if problem["type"] == "value_error"
            else f"PERENNIAL_{str(problem['loc'][0]).upper()}: {problem['msg']}"
            for problem in error.errors()
        ]
        raise SettingsError("\n".join(lines)) from None
    except (OSError, UnicodeDecodeError) as problem:
        raise SettingsError(f".env: a text in UTF-8 is expected, which can be read ({problem})") from None


def unknown_settings() -> list[str]:
    """Names, in the environment or .env, that look like settings and are none: misspelt ones, for instance."""
    given = {name.upper() for name in (*os.environ, *DotEnvSettingsSource(Settings).env_vars)}
    known = {f"PERENNIAL_{name.upper()}" for name in Settings.model_fields}
    return sorted(name for name in given - known if name.startswith("PERENNIAL_"))


@cache
def _zones() -> set[str]:
    """Finding them walks through the whole database of zones."""
    return available_timezones()


def _is_web_address(text: str, is_a_base: bool) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:  # brackets around what is no address
        return False
    ends_there = not (parts.query or parts.fragment)
    return parts.scheme in ("http", "https") and bool(parts.hostname) and (ends_there or not is_a_base)


def _is_live(key: str) -> bool:
    return key.startswith(("sk_live_", "rk_live_"))


def _database(name: str, url: str | None, kinds: Mapping[str, str] = _DATABASES) -> tuple[bool, str]:
    """The row of one address. A database in memory would be another one for each connection."""
    from sqlalchemy.engine import make_url  # heavy: whoever mistypes a command is told at once
    from sqlalchemy.exc import ArgumentError

    wanted = f"{name}: write {' or '.join(kinds.values())}"
    try:
        parsed = make_url(url or "postgresql://unset")
    except (ArgumentError, ValueError):  # what is no address at all, or whose port is no number
        return True, wanted
    if parsed.drivername == "postgresql" and (unknown := set(parsed.query) - _POSTGRESQL_OPTIONS):
        return True, f"{name}: {min(unknown)!r} is no option here; {', '.join(sorted(_POSTGRESQL_OPTIONS))} are"
    in_no_file = parsed.drivername == "sqlite" and parsed.database in (None, "", ":memory:")
    return parsed.drivername not in kinds or in_no_file, wanted


def _contradictions(s: Settings) -> list[tuple[bool, str]]:
    """Each row: is it broken, and the line that says what to do."""
    return [*_of_the_gateway(s), *_of_secrets(s), *_of_access_tokens(s), *_of_addresses(s)]


def _of_the_gateway(s: Settings) -> list[tuple[bool, str]]:
    key = s.stripe_secret_key.get_secret_value() if s.stripe_secret_key else None
    mode = "live" if s.livemode else "test"
    return [
        (
            key is not None and not key.startswith(("sk_test_", "rk_test_", "sk_live_", "rk_live_")),
            "PERENNIAL_STRIPE_SECRET_KEY: expected a key that starts with sk_test_, rk_test_, sk_live_ or rk_live_",
        ),
        (
            key is not None and _is_live(key) and not s.is_production,
            "PERENNIAL_STRIPE_SECRET_KEY: a live key is refused outside PERENNIAL_ENVIRONMENT=production",
        ),
        (
            (key is not None or s.is_production) and not s.stripe_publishable_key and s.stripe_api_base is None,
            "PERENNIAL_STRIPE_PUBLISHABLE_KEY: set it beside the secret key, browsers confirm cards with it",
        ),
        (
            bool(s.stripe_publishable_key) and not s.gateway_publishable_key.startswith(f"pk_{mode}_"),
            f"PERENNIAL_STRIPE_PUBLISHABLE_KEY: everybody is told it; expected the key that starts with pk_{mode}_",
        ),
        (
            s.is_production and s.stripe_secret_key is None,
            "PERENNIAL_STRIPE_SECRET_KEY: production refuses the sandbox; set a key",
        ),
        (
            (s.is_production and (s.stripe_webhook_secret is None or not s.webhook_secrets))
            or any(each.startswith(_NO_SIGNING_SECRETS) for each in s.webhook_secrets),
            "PERENNIAL_STRIPE_WEBHOOK_SECRET: the endpoint's signing secret is wanted, Stripe's start with whsec_",
        ),
    ]


def _of_secrets(s: Settings) -> list[tuple[bool, str]]:
    return [
        (
            not s.is_development and DEVELOPMENT_SECRET in (s.secret_key.get_secret_value(), s.token_secret),
            "PERENNIAL_SECRET_KEY: only development takes the secret that everybody knows; set 32 random bytes or more",
        ),
        (
            len(s.secret_key.get_secret_value()) < MIN_SECRET,
            f"PERENNIAL_SECRET_KEY: at least {MIN_SECRET} characters are needed; make one with `openssl rand -hex 32`",
        ),
        (
            s.is_production and s.entitlement_key is None,
            "PERENNIAL_ENTITLEMENT_KEY: production needs the PEM of a P-256 key that signs entitlement tokens",
        ),
        (
            s.metrics_token is not None and len(s.metrics_token.get_secret_value()) < MIN_SECRET,
            f"PERENNIAL_METRICS_TOKEN: at least {MIN_SECRET} characters are needed; try `openssl rand -hex 32`",
        ),
    ]


def _of_access_tokens(s: Settings) -> list[tuple[bool, str]]:
    symmetric = s.jwt_algorithm.startswith("HS")
    return [
        (
            s.jwt_algorithm not in JWT_ALGORITHMS,
            f"PERENNIAL_JWT_ALGORITHM: write one of {', '.join(JWT_ALGORITHMS)}",
        ),
        (
            s.jwt_secret is not None and len(s.jwt_secret.get_secret_value()) < MIN_SECRET,
            f"PERENNIAL_JWT_SECRET: at least {MIN_SECRET} characters are needed",
        ),
        (
            s.jwt_algorithm in JWT_ALGORITHMS and not symmetric and s.jwt_jwks_url is None,
            f"PERENNIAL_JWT_JWKS_URL: {s.jwt_algorithm} tokens need the issuer's key set",
        ),
        (
            symmetric and s.jwt_jwks_url is not None,
            "PERENNIAL_JWT_ALGORITHM: a key set needs an asymmetric algorithm, such as RS256 or ES256",
        ),
    ]


def _of_addresses(s: Settings) -> list[tuple[bool, str]]:
    return [
        (
            s.is_production and s.public_url is None,
            "PERENNIAL_PUBLIC_URL: production needs the address at which others reach it; links begin with it",
        ),
        _database("PERENNIAL_DATABASE_URL", s.database_url),
        _database("PERENNIAL_SANDBOX_DATABASE_URL", s.sandbox_database_url),
        _database("PERENNIAL_DATABASE_LISTEN_URL", s.database_listen_url, _LISTENING),
    ]
