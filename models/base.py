"""What every row shares: ids, column types, optimistic lock, leases."""

from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeVar, cast

import uuid_utils
from sqlalchemy import JSON, BigInteger, DateTime, Index, Integer, MetaData, String, Table, TypeDecorator, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect
from sqlmodel import Field, SQLModel

SQLModel.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

# Ours only, never one of a gateway's. `new_id` takes its prefix from here, `node` look-ups read it back.
ID_PREFIXES = {
    "product": "prd",
    "plan": "pln",
    "price": "prc",
    "app_role": "rol",
    "customer": "cst",
    "gateway_account": "gac",
    "payment_method": "pmd",
    "setup_intent": "stp",
    "subscription": "sbs",
    "subscription_item": "sbi",
    "invoice": "inv",
    "invoice_line": "inl",
    "payment": "pay",
    "payment_intent": "int",
    "charge_attempt": "att",
    "refund": "rfd",
    "dispute": "dsp",
    "ledger_entry": "lgr",
    "change": "chn",
    "gateway_event": "gev",
    "idempotency_record": "idm",
    "reconciliation_report": "rec",
    "api_key": "apk",
    "test_clock": "clk",
    "coupon": "cpn",
    "promotion_code": "pcd",
    "discount": "dsc",
    "pending_line": "pdl",
    "credit_note": "cnt",
    "feature": "ftr",
    "credit_balance": "cbl",
    "credit_entry": "cen",
    "usage_record": "usg",
    "billing_event": "bev",
    "webhook_endpoint": "wep",
    "webhook_delivery": "wdl",
    "billing_run": "run",
    "billing_run_item": "rni",
    "audit_entry": "adt",
}


def new_id(kind: str) -> str:
    """A fresh id of a kind in ID_PREFIXES, sortable by the time of its making: `sbs_0199…`."""
    return f"{ID_PREFIXES[kind]}_{uuid_utils.uuid7().hex}"


def made_at(made: str) -> datetime:
    """When an id of `new_id` was made, by the machine's clock."""
    return datetime.fromtimestamp(uuid_utils.UUID(hex=made.rpartition("_")[2]).timestamp / 1000, UTC)


def is_id(kind: str, text: str) -> bool:
    """Whether the text is written as an id of that kind."""
    prefix, _, number = text.partition("_")
    return prefix == ID_PREFIXES[kind] and len(number) == 32 and set(number) <= set("0123456789abcdef")


def metadata() -> MetaData:
    """The tables of the product, for migrations; the sandbox keeps its own."""
    return SQLModel.metadata


def table_of(row: type[SQLModel]) -> Table:
    """The table behind a class of rows, for statements that go past them."""
    return cast(Table, row.__table__)  # pyright: ignore[reportAttributeAccessIssue] (every table row has one)


class UTCDateTime(TypeDecorator[datetime]):
    """An aware instant in UTC; a naive one is refused before it reaches the database."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"an instant needs a time zone: {value.isoformat()}")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None or value.tzinfo is not None:
            return value
        return value.replace(tzinfo=UTC)


E = TypeVar("E", bound=StrEnum)


class EnumText(TypeDecorator[StrEnum]):
    """A StrEnum kept as its text, so that a new member needs no migration."""

    impl = String(40)
    cache_ok = True

    def __init__(self, enum: type[StrEnum]) -> None:
        super().__init__()
        self.enum = enum

    def process_bind_param(self, value: StrEnum | str | None, dialect: Dialect) -> str | None:
        return None if value is None else self.enum(value).value

    def process_result_value(self, value: str | None, dialect: Dialect) -> StrEnum | None:
        return None if value is None else self.enum(value)


class DecimalText(TypeDecorator[Decimal]):
    """An exact decimal number, kept as its text: SQLite has no other exact kind."""

    impl = String(40)
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> str | None:
        return None if value is None else f"{value:f}"

    def process_result_value(self, value: str | None, dialect: Dialect) -> Decimal | None:
        return None if value is None else Decimal(value)


BIG = BigInteger()
SERIAL = BigInteger().with_variant(Integer(), "sqlite")
DOCUMENT = JSON().with_variant(JSONB(), "postgresql")

Notes = dict[str, Any] | list[dict[str, Any]]
"""The merchant's own: an object, or an array of objects, kept as it was given."""


class Record(SQLModel):
    """The columns of everything that lives and changes: identity, optimistic lock, life span."""

    id: str = Field(primary_key=True, max_length=40)
    version: int = Field(default=1)
    created_at: datetime = Field(sa_type=UTCDateTime)
    updated_at: datetime = Field(sa_type=UTCDateTime)
    archived_at: datetime | None = Field(default=None, sa_type=UTCDateTime)
    meta: Notes = Field(default_factory=dict, sa_type=DOCUMENT, sa_column_kwargs={"name": "metadata"})

    def touch(self, now: datetime) -> None:
        """Mark a change: the next version, as of now."""
        self.version += 1
        self.updated_at = now


def index_where_set(table: str, *columns: str) -> Index:
    """An index of the few rows that have the last of these columns: most rows are never due again."""
    is_set = text(f"{columns[-1]} IS NOT NULL")
    return Index(f"ix_{table}_{'_'.join(columns)}_set", *columns, sqlite_where=is_set, postgresql_where=is_set)


class Leased(SQLModel):
    """Due work is a row with a due time. `fence` grows with each claim; an outcome is written only under its own.

    A table that grows needs an index of what is due: `index_where_set(table, "due_at")`.
    """

    due_at: datetime | None = Field(default=None, sa_type=UTCDateTime)
    leased_until: datetime | None = Field(default=None, sa_type=UTCDateTime)
    fence: int = Field(default=0)
    tries: int = Field(default=0)
