"""How payments and subscriptions stand, for the database to narrow and to order by.

Each expression says what the engine and `resolvers.standing` say of a row in Python; a test holds them to one another
over all states.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, String, and_, case, exists, func, literal, null, or_, type_coerce
from sqlmodel import col, select

from billing.confirming import CONFIRMATIONS, PaymentConfirmation
from billing.lifecycle import SUBSCRIPTION, InvoiceStatus, PaymentStatus, SubscriptionStatus
from billing.returning import PaymentStanding
from billing.schedule import RUNNING
from models.base import UTCDateTime
from models.batches import Key, ranked
from models.invoices import Invoice
from models.payments import CollectionIntent, Payment
from models.subscriptions import CollectionMethod, Subscription

_refunded, _paid = col(Payment.amount_refunded_minor), col(Payment.amount_paid_minor)

PAYMENT_STANDING = case(
    (col(Payment.status) != PaymentStatus.SUCCEEDED, type_coerce(Payment.status, String)),
    (col(Payment.amount_disputed_minor) > 0, str(PaymentStanding.DISPUTED)),
    (and_(_refunded > 0, _refunded >= _paid), str(PaymentStanding.REFUNDED)),
    (_refunded > 0, str(PaymentStanding.PARTIALLY_REFUNDED)),
    else_=str(PaymentStanding.SUCCEEDED),
)
"""Of a payment: `billing.returning.standing`."""

GATEWAY_STATUS: ColumnElement[str] = func.coalesce(
    col(Payment.gateway_status),
    select(type_coerce(CollectionIntent.status, String))
    .where(CollectionIntent.payment_id == Payment.id)
    .order_by(col(CollectionIntent.n).desc())
    .limit(1)
    .correlate(Payment)
    .scalar_subquery(),
)
"""Of a payment: what its gateway calls its state, or what was recorded."""

_latest = (
    select(type_coerce(Payment.status, String))
    .where(Payment.subscription_id == Subscription.id, col(Payment.archived_at).is_(None))
    .order_by(col(Payment.number).desc())
    .limit(1)
    .correlate(Subscription)
    .scalar_subquery()
)
_activated = or_(col(Subscription.activated_at).is_not(None), col(Subscription.status) == SubscriptionStatus.TRIALING)

_awaits_invoice = and_(
    col(Subscription.collection_method) == CollectionMethod.SEND_INVOICE,
    exists()
    .where(col(Invoice.subscription_id) == Subscription.id, col(Invoice.status) == InvoiceStatus.OPEN)
    .correlate(Subscription),
)

CONFIRMATION = case(
    (_latest == str(PaymentStatus.PROCESSING), str(PaymentConfirmation.PROCESSING)),
    (_awaits_invoice, str(PaymentConfirmation.PENDING)),
    (_latest.is_not(None), case({str(status): str(word) for status, word in CONFIRMATIONS.items()}, value=_latest)),
    (_activated, str(PaymentConfirmation.PAID)),
    (col(Subscription.status).in_(SUBSCRIPTION.final), str(PaymentConfirmation.CANCELED)),
    else_=str(PaymentConfirmation.PENDING),
)
"""Of a subscription: `billing.confirming.confirmation`."""

_end = col(Subscription.period_end)
_is_last_period = or_(
    col(Subscription.cancel_at_period_end), col(Subscription.cancel_at) <= _end, col(Subscription.ends_at) <= _end
)

_rests = or_(col(Subscription.pause_at).is_not(None), col(Subscription.given_up_at).is_not(None))

NEXT_BILLING_AT: ColumnElement[datetime | None] = type_coerce(
    case((or_(col(Subscription.status).not_in(RUNNING), _rests, _is_last_period), null()), else_=_end), UTCDateTime
)
"""Of a subscription: its period's end if `resolvers.standing.will_renew`, else null."""

BY_CONFIRMATION = Key("payment_confirmation", int, of=lambda _: ranked(CONFIRMATION, PaymentConfirmation))


def by_next_billing(*, descending: bool) -> Key:
    """Those that will not renew come last, whichever way."""
    last = datetime.min.replace(tzinfo=UTC) if descending else datetime.max.replace(tzinfo=UTC)

    def of(_: Any) -> ColumnElement[Any]:
        return func.coalesce(NEXT_BILLING_AT, literal(last, UTCDateTime), type_=UTCDateTime)

    return Key("next_billing_at", datetime, of=of)
