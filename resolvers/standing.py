"""How things stand for the customer: whether the money has come, and what to do next. Derived, never stored."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from billing import confirming
from billing.charging import IntentStatus
from billing.confirming import PaymentConfirmation
from billing.lifecycle import SUBSCRIPTION, InvoiceStatus, PaymentStatus
from billing.schedule import RUNNING
from models.payments import MANUAL, CollectionIntent, Payment
from models.subscriptions import CollectionMethod, Subscription


class NextActionType(StrEnum):
    CONFIRM_WITH_SDK = "confirm_with_sdk"
    REDIRECT = "redirect"
    ADD_PAYMENT_METHOD = "add_payment_method"
    PAY_OFFLINE = "pay_offline"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class NextAction:
    """What the customer does next; the addresses are there only where they are needed."""

    type: NextActionType
    redirect_url: str | None = None
    return_url: str | None = None
    error_url: str | None = None


NOTHING_TO_DO = NextAction(NextActionType.NONE)

_FOR_THE_BROWSER = frozenset(
    (IntentStatus.REQUIRES_PAYMENT_METHOD, IntentStatus.REQUIRES_CONFIRMATION, IntentStatus.REQUIRES_ACTION)
)
_NEEDS_A_CARD = frozenset((PaymentStatus.REQUIRES_PAYMENT_METHOD, PaymentStatus.FAILED))


def confirmation(subscription: Subscription, latest: Payment | None, *, awaits_invoice: bool) -> PaymentConfirmation:
    """`awaits_invoice`: whether one is open that no card pays."""
    return confirming.confirmation(
        subscription.status,
        latest.status if latest is not None else None,
        awaits_invoice=awaits_invoice,
        was_activated=subscription.activated_at is not None,
    )


def will_renew(subscription: Subscription) -> bool:
    """Whether its period's end is billed: not if it ends or rests by then, or nothing is billed any more."""
    return _goes_on(subscription) and subscription.given_up_at is None and subscription.pause_at is None


def _goes_on(subscription: Subscription) -> bool:
    """Whether another period follows, be it after a pause."""
    return subscription.status in RUNNING and not subscription.is_last_period


def ends_at(subscription: Subscription) -> datetime | None:
    """When it will end, or did; None while it goes on."""
    if subscription.ended_at is not None:
        return subscription.ended_at
    return subscription.schedule.end


def action_of_payment(payment: Payment, redirect_url: str | None) -> NextAction:
    """`redirect_url` is where the bank waits for the customer, None when the browser SDK knows the way.

    Nothing is to be done about what is only written down.
    """
    if payment.platform == MANUAL:
        return NOTHING_TO_DO
    if payment.status is PaymentStatus.REQUIRES_ACTION:
        kind = NextActionType.REDIRECT if redirect_url is not None else NextActionType.CONFIRM_WITH_SDK
        return NextAction(kind, redirect_url, payment.return_url, payment.error_url)
    if payment.status in _NEEDS_A_CARD:
        return NextAction(NextActionType.CONFIRM_WITH_SDK, None, payment.return_url, payment.error_url)
    return NOTHING_TO_DO


def action_of_intent(
    status: IntentStatus, redirect_url: str | None, return_url: str | None, error_url: str | None = None
) -> NextAction:
    """By the gateway's own latest word, which may be ahead of our rows."""
    if status is IntentStatus.REQUIRES_ACTION and redirect_url is not None:
        return NextAction(NextActionType.REDIRECT, redirect_url, return_url, error_url)
    if status in _FOR_THE_BROWSER:
        return NextAction(NextActionType.CONFIRM_WITH_SDK, return_url=return_url, error_url=error_url)
    return NOTHING_TO_DO


def action_of_invoice(status: InvoiceStatus, collected: Payment | None, intent: CollectionIntent | None) -> NextAction:
    """`collected`: the payment that a gateway collects it with; an invoice that was sent has none."""
    if status is not InvoiceStatus.OPEN:
        return NOTHING_TO_DO
    if collected is None:
        return NextAction(NextActionType.PAY_OFFLINE)
    return action_of_payment(collected, intent.next_action_url if intent is not None else None)


def action_of_subscription(
    subscription: Subscription,
    latest: Payment | None,
    intent: CollectionIntent | None,
    *,
    awaits_invoice: bool,
    has_card: bool,
) -> NextAction:
    """First the payment that is under way, then a card for the next one. `awaits_invoice`: one is open that no card
    pays."""
    if subscription.status in SUBSCRIPTION.final:
        return NOTHING_TO_DO
    if latest is not None:
        action = action_of_payment(latest, intent.next_action_url if intent is not None else None)
        if action.type is not NextActionType.NONE:
            return action
    if subscription.collection_method is CollectionMethod.SEND_INVOICE:
        is_on_its_way = latest is not None and latest.status is PaymentStatus.PROCESSING
        waits = awaits_invoice and not is_on_its_way
        return NextAction(NextActionType.PAY_OFFLINE) if waits else NOTHING_TO_DO
    costs = subscription.original_amount_minor > subscription.discount_amount_minor
    if costs and _goes_on(subscription) and not has_card:
        return NextAction(NextActionType.ADD_PAYMENT_METHOD)
    return NOTHING_TO_DO
