"""When the worker asks the gateway next about a payment that has not ended.

An answer that never came is asked for within seconds. An intent that waits for the customer is looked at ever more
rarely: webhooks bring its end sooner, but losing all of them must not matter.
"""

from datetime import datetime, timedelta

from billing.lifecycle import PAYMENT, PaymentStatus
from models.payments import Payment
from services.app import App

_UNKNOWN_EVERY = timedelta(seconds=10)
_WAITING_FIRST = timedelta(seconds=45)
_WAITING_LONGEST = timedelta(hours=1)


def next_question(app: App, payment: Payment) -> datetime | None:
    """In machine time; None when the payment has ended."""
    if payment.status in PAYMENT.final:
        return None
    if payment.status in (PaymentStatus.UNKNOWN, PaymentStatus.REQUIRES_CONFIRMATION):
        return app.machine_now() + _UNKNOWN_EVERY
    doublings = min(payment.tries, 10)
    return app.machine_now() + min(_WAITING_FIRST * 2**doublings, _WAITING_LONGEST)
