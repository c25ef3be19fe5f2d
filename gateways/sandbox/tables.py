"""The sandbox's tables: prefix `sandbox_`, metadata of their own, created on start.

Owns: their columns, and which field of each kind of object lists are narrowed by. Does not own: queries (store.py).
"""

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, String, Table, Text

metadata = MetaData()
_BigKey = BigInteger().with_variant(Integer, "sqlite")

objects = Table(
    "sandbox_objects",
    metadata,
    Column("seq", _BigKey, primary_key=True, autoincrement=True),
    Column("id", String(255), nullable=False, unique=True),
    Column("kind", String(40), nullable=False),
    Column("customer", String(255)),
    Column("lookup", String(600)),
    Column("created", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Column("private", Text, nullable=False),
    Index("sandbox_objects_kind", "kind", "seq"),
    Index("sandbox_objects_customer", "customer", "kind", "seq"),
    Index("sandbox_objects_lookup", "lookup", "kind", "seq"),
)
idempotency = Table(
    "sandbox_idempotency",
    metadata,
    Column("key", String(255), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("request_id", String(64), nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("status", Integer, nullable=False),
    Column("body", Text, nullable=False),
)
deliveries = Table(
    "sandbox_deliveries",
    metadata,
    Column("id", _BigKey, primary_key=True, autoincrement=True),
    Column("event", String(255), nullable=False),
    Column("endpoint", String(255), nullable=False),
    Column("state", String(10), nullable=False),
    Column("due_ms", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("last_status", Integer),
    Index("sandbox_deliveries_due", "state", "due_ms"),
    Index("sandbox_deliveries_event", "event"),
)
duties = Table(
    "sandbox_duties",
    metadata,
    Column("id", _BigKey, primary_key=True, autoincrement=True),
    Column("kind", String(40), nullable=False),
    Column("object", String(255), nullable=False),
    Column("due", BigInteger, nullable=False),
    Index("sandbox_duties_due", "due"),
)

# The field of the body that lists are narrowed by, besides the customer.
LOOKED_UP_BY = {
    "customer": "email",
    "payment_method": "allow_redisplay",
    "balance_transaction": "source",
    "charge": "payment_intent",
    "dispute": "charge",
    "promotion_code": "code",
    "refund": "charge",
    "setup_intent": "payment_method",
    "setup_attempt": "setup_intent",
    "event": "type",
    "webhook_endpoint": "url",
}
WHATEVER_THE_CASE = ("promotion_code",)  # kinds whose look-up does not tell A from a
