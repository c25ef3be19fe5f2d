"""Recording usage: many events at once, each on its own, none twice.

The customers are held while it is written, so that an invoice either counts an event or leaves it to the next one.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

import orjson
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.errors import ErrorCode, UserProblem
from billing.lifecycle import SUBSCRIPTION, SubscriptionStatus
from billing.metering import Aggregation, instant_problem
from models.base import new_id
from models.catalog import features_by_code
from models.clocks import TestClock
from models.customers import Customer, customer_accounts
from models.lists import by_ids
from models.subscriptions import Subscription
from models.usage import (
    UsageRecord,
    counted_features,
    hold_customers,
    insert_missing,
    recorded_hashes,
    subscriptions_counting,
    subscriptions_told_of,
)
from services.app import App

MOST_EVENTS = 1_000
_LARGEST_DIGITS, _FINEST = 15, 12
_UNSTARTED = (SubscriptionStatus.INCOMPLETE, SubscriptionStatus.SCHEDULED)

Place = tuple[str, str]
"""A subscription's id and an idempotency key: there is one record of each."""


@dataclass(frozen=True, slots=True)
class NewUsage:
    """One event. Its subscription is named, or found by `customer` (one name of it: id, user_id, external_id or
    gateway_ref) and the feature. `occurred_at` None: now."""

    feature_code: str
    quantity: Decimal
    idempotency_key: str
    subscription_id: str | None = None
    customer: Mapping[str, str] | None = None
    occurred_at: datetime | None = None
    unique_value: str | None = None

    @property
    def digest(self) -> str:
        """What tells it from another event under the same key."""
        given = [
            self.feature_code,
            f"{self.quantity.normalize():f}",
            self.unique_value,
            self.occurred_at.astimezone(UTC).isoformat() if self.occurred_at is not None else None,
        ]
        return hashlib.sha256(orjson.dumps(given)).hexdigest()


@dataclass(frozen=True, slots=True)
class Recorded:
    """How many events were written, how many had been before, and why the others were not, by the events' places."""

    accepted: int
    duplicates: int
    problems: Sequence[UserProblem]


@dataclass
class _Batch:
    """The events on their way: what is known of each by its place, and what was refused."""

    events: Sequence[NewUsage]
    problems: dict[int, UserProblem] = field(default_factory=dict[int, UserProblem])
    features: dict[int, str] = field(default_factory=dict[int, str])
    subscriptions: dict[int, str] = field(default_factory=dict[int, str])

    def refuse(self, n: int, code: ErrorCode, message: str, name: str) -> None:
        self.problems.setdefault(n, UserProblem(code, message, ["events", str(n), name]))

    @property
    def going(self) -> Sequence[tuple[int, NewUsage]]:
        return [(n, event) for n, event in enumerate(self.events) if n not in self.problems]

    def place(self, n: int) -> Place:
        return self.subscriptions[n], self.events[n].idempotency_key


async def record_usage(app: App, events: Sequence[NewUsage]) -> Recorded:
    """Write what can be written, each event under its key: a refused one keeps no other from being recorded.

    Raises UserProblem INVALID for a batch that is empty or too large.
    """
    if not 1 <= len(events) <= MOST_EVENTS:
        raise UserProblem(ErrorCode.INVALID, f"Send 1 to {MOST_EVENTS} events at once.", ["events"])
    batch = _Batch(events)
    for n, event in enumerate(events):
        _check(batch, n, event)
    async with app.database.read() as session:
        await _find_features(session, batch)
        await _find_subscriptions(app, session, batch)
    accepted = duplicates = 0
    if batch.going:
        async with app.database.write() as session:
            accepted, duplicates = await _write(app, session, batch)
    return Recorded(accepted, duplicates, [batch.problems[n] for n in sorted(batch.problems)])


def _check(batch: _Batch, n: int, event: NewUsage) -> None:
    """What can be said of an event without the database."""
    quantity = event.quantity
    digits = quantity.normalize().as_tuple().exponent
    if quantity < 0 or quantity.adjusted() >= _LARGEST_DIGITS or (isinstance(digits, int) and -digits > _FINEST):
        message = f"A quantity is not negative, below 10^{_LARGEST_DIGITS} and has at most {_FINEST} decimals."
        batch.refuse(n, ErrorCode.INVALID, message, "quantity")
    if not 1 <= len(event.idempotency_key) <= 255:
        batch.refuse(n, ErrorCode.INVALID, "idempotencyKey has 1 to 255 characters.", "idempotencyKey")
    if event.unique_value is not None and not 1 <= len(event.unique_value) <= 255:
        batch.refuse(n, ErrorCode.INVALID, "uniqueValue has 1 to 255 characters.", "uniqueValue")
    if (event.subscription_id is None) is (event.customer is None):
        message = "Say whose usage it is: give either subscriptionId or customer."
        batch.refuse(n, ErrorCode.REQUIRED, message, "subscriptionId")


async def _find_features(session: AsyncSession, batch: _Batch) -> None:
    codes = sorted({event.feature_code for _, event in batch.going})
    ids = {feature.code: feature.id for feature in await features_by_code(session, codes)}
    for n, event in batch.going:
        if event.feature_code in ids:
            batch.features[n] = ids[event.feature_code]
        else:
            batch.refuse(n, ErrorCode.NOT_FOUND, "There is no such feature.", "featureCode")


async def _find_subscriptions(app: App, session: AsyncSession, batch: _Batch) -> None:
    customers = await _customers(app, session, batch)
    features = sorted({batch.features[n] for n, _ in batch.going})
    counting = await subscriptions_counting(session, sorted(set(customers.values())), features)
    keys = {(customers[n], event.idempotency_key) for n, event in batch.going if n in customers}
    told = await subscriptions_told_of(session, sorted(keys))
    for n, event in batch.going:
        if event.subscription_id is not None:
            batch.subscriptions[n] = event.subscription_id
            continue
        owner = customers.get(n)
        if owner is None:
            batch.refuse(n, ErrorCode.NOT_FOUND, "There is no such customer.", "customer")
            continue
        before = told.get((owner, batch.features[n], event.idempotency_key))
        found = counting.get((owner, batch.features[n]), ())
        if before is not None:
            batch.subscriptions[n] = before  # It is sent again, though another one has taken its place since.
        elif len(found) == 1:
            batch.subscriptions[n] = found[0]
        elif found:
            message = "Several subscriptions of this customer count the feature: give subscriptionId."
            batch.refuse(n, ErrorCode.INVALID, message, "customer")
        else:
            message = "No subscription of this customer measures or allows the feature."
            batch.refuse(n, ErrorCode.NOT_FOUND, message, "customer")


async def _customers(app: App, session: AsyncSession, batch: _Batch) -> Mapping[int, str]:
    """The customers' ids where events name customers, one statement for each kind of name."""
    named: dict[str, set[str]] = {}
    for _, event in batch.going:
        for kind, value in (event.customer or {}).items():
            named.setdefault(kind, set()).add(value)
    ids: dict[tuple[str, str], str] = {}
    for kind, values in named.items():
        if kind == "gateway_ref":
            accounts = await customer_accounts(session, app.gateway.platform, sorted(values), [])
            ids |= {(kind, account.gateway_ref): customer.id for account, customer in accounts}
            continue
        rows = await by_ids(session, Customer, sorted(values), key=getattr(Customer, kind))
        ids |= {(kind, getattr(row, kind)): row.id for row in rows}
    places = {n: next(iter(event.customer.items())) for n, event in batch.going if event.customer}
    return {n: ids[place] for n, place in places.items() if place in ids}


async def _write(app: App, session: AsyncSession, batch: _Batch) -> tuple[int, int]:
    """How many were written and how many had been before; the customers are held from here on."""
    wanted = sorted({batch.subscriptions[n] for n, _ in batch.going})
    owners = {row.customer_id for row in await by_ids(session, Subscription, wanted)}
    await hold_customers(session, sorted(owners))
    lives = await _lives(app, session, wanted)
    known = await recorded_hashes(session, [batch.place(n) for n, _ in batch.going])
    duplicates, records = 0, dict[int, UsageRecord]()
    for n, event in batch.going:
        place = batch.place(n)
        if place in known:
            duplicates += _is_repeated(batch, n, known[place])
            continue
        record = _record(batch, n, lives.get(place[0]))
        if record is not None:
            known[place], records[n] = event.digest, record
    written = await insert_missing(session, list(records.values()))
    lost = [n for n, record in records.items() if record.id not in written]
    if lost:  # Another request was faster under the same keys.
        known = await recorded_hashes(session, [batch.place(n) for n in lost])
        duplicates += sum(_is_repeated(batch, n, known[batch.place(n)]) for n in lost)
    return len(written), duplicates


def _is_repeated(batch: _Batch, n: int, known: str) -> bool:
    """Whether the key's event is this one; another one is a conflict."""
    if known == batch.events[n].digest:
        return True
    message = "This idempotency key was used for another event of the subscription. Use a new key for a new event."
    batch.refuse(n, ErrorCode.IDEMPOTENCY_CONFLICT, message, "idempotencyKey")
    return False


@dataclass(frozen=True, slots=True)
class _Life:
    """A subscription at its own present, and how its plans count each feature that they speak of."""

    row: Subscription
    now: datetime
    counts: Mapping[str, set[Aggregation | None]]

    @property
    def end(self) -> datetime | None:
        """When it ended or will have ended, as far as is known."""
        return self.row.ended_at or self.row.schedule.end


async def _lives(app: App, session: AsyncSession, wanted: Sequence[str]) -> Mapping[str, _Life]:
    rows = await by_ids(session, Subscription, wanted, again=True)
    clocks = sorted({row.test_clock_id for row in rows if row.test_clock_id is not None})
    nows = {clock.id: clock.now for clock in await by_ids(session, TestClock, clocks)} if clocks else {}
    counts: dict[str, dict[str, set[Aggregation | None]]] = {row.id: {} for row in rows}
    for id, feature, how in await counted_features(session, wanted):
        counts[id].setdefault(feature, set()).add(how)
    return {
        row.id: _Life(row, nows[row.test_clock_id] if row.test_clock_id else app.now(), counts[row.id]) for row in rows
    }


def _record(batch: _Batch, n: int, life: _Life | None) -> UsageRecord | None:
    """The event as a row; None, and the event refused, when its subscription does not take it."""
    event, feature = batch.events[n], batch.features[n]
    if life is None:
        batch.refuse(n, ErrorCode.NOT_FOUND, "There is no such subscription.", "subscriptionId")
        return None
    row = life.row
    if row.status in SUBSCRIPTION.final or row.status in _UNSTARTED:
        batch.refuse(n, ErrorCode.INVALID_STATE, f"The subscription is {row.status}.", "subscriptionId")
        return None
    if feature not in life.counts:
        batch.refuse(n, ErrorCode.INVALID, "No plan of the subscription speaks of this feature.", "featureCode")
        return None
    if event.unique_value is None and Aggregation.UNIQUE_COUNT in life.counts[feature]:
        batch.refuse(n, ErrorCode.REQUIRED, "Different values are counted: give uniqueValue.", "uniqueValue")
        return None
    at = event.occurred_at or life.now
    problem = instant_problem(at, start=row.started_at, end=life.end, now=life.now)
    if problem is not None:
        batch.refuse(n, ErrorCode.INVALID, problem, "occurredAt")
        return None
    return UsageRecord(
        id=new_id("usage_record"),
        subscription_id=row.id,
        customer_id=row.customer_id,
        feature_id=feature,
        quantity=event.quantity,
        unique_value=event.unique_value,
        occurred_at=at,
        idempotency_key=event.idempotency_key,
        input_hash=event.digest,
        recorded_at=life.now,
    )
