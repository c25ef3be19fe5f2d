"""What the outside is told of, by name: `subject.what`. Most events are transitions of the state machines."""

from collections.abc import Mapping

from billing.lifecycle import INVOICE, PAYMENT, REFUND, SUBSCRIPTION

TRIAL_WILL_END = "subscription.trial_will_end"
PLAN_CHANGED = "subscription.plan_changed"
RENEWED = "subscription.renewed"
COUPON_APPLIED = "subscription.coupon_applied"
COUPON_REMOVED = "subscription.coupon_removed"
COUPON_USED_UP = "subscription.coupon_used_up"
UPDATED = "subscription.updated"
CHANGE_SCHEDULED = "subscription.change_scheduled"
CHANGE_UNSCHEDULED = "subscription.change_unscheduled"
PAUSE_SCHEDULED = "subscription.pause_scheduled"
PAUSE_UNSCHEDULED = "subscription.pause_unscheduled"
CANCEL_SCHEDULED = "subscription.cancel_scheduled"
CANCEL_UNSCHEDULED = "subscription.cancel_unscheduled"
COLLECTION_ENDED = "subscription.collection_ended"

_TOLD: Mapping[str, Mapping[str, str]] = {
    SUBSCRIPTION.name: {
        "incomplete": "subscription.started",
        "active": "subscription.activated",
        "trialing": "subscription.trial_started",
        "past_due": "subscription.past_due",
        "paused": "subscription.paused",
        "unpaid": "subscription.unpaid",
        "canceled": "subscription.canceled",
        "incomplete_expired": "subscription.expired",
    },
    INVOICE.name: {
        "open": "invoice.issued",
        "paid": "invoice.paid",
        "void": "invoice.voided",
        "uncollectible": "invoice.uncollectible",
    },
    PAYMENT.name: {
        "succeeded": "payment.succeeded",
        "failed": "payment.failed",
        "requires_action": "payment.action_required",
        "canceled": "payment.canceled",
    },
    REFUND.name: {
        "pending": "refund.created",
        "succeeded": "refund.succeeded",
        "failed": "refund.failed",
        "canceled": "refund.canceled",
    },
}
_TOLD_FROM: Mapping[tuple[str, str, str], str] = {
    (SUBSCRIPTION.name, "past_due", "active"): "subscription.recovered",
    (SUBSCRIPTION.name, "unpaid", "active"): "subscription.recovered",
    (SUBSCRIPTION.name, "paused", "active"): "subscription.resumed",
    (SUBSCRIPTION.name, "paused", "trialing"): "subscription.resumed",
}
_BIRTHS: Mapping[str, str] = {SUBSCRIPTION.name: "subscription.created"}


def event_of_change(machine: str, before: str | None, after: str) -> str | None:
    """The event that a transition is; None for one that is nobody's business outside."""
    if before is None and machine in _BIRTHS:
        return _BIRTHS[machine]
    if before is not None and (machine, before, after) in _TOLD_FROM:
        return _TOLD_FROM[machine, before, after]
    return _TOLD.get(machine, {}).get(after)
