"""What the outside is told of, by name: `subject.what`. Most events are transitions of the state machines."""

from collections.abc import Iterable, Mapping

from billing.lifecycle import INVOICE, PAYMENT, REFUND, SUBSCRIPTION

TRIAL_STARTED = "subscription.trial_started"
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
        "trialing": TRIAL_STARTED,
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


EVENT_MEANINGS: Mapping[str, str] = {
    "subscription.created": "It came into being; its status says whether it runs already.",
    "subscription.started": "It came to its start, and its first payment is not made yet.",
    "subscription.activated": "It is ACTIVE: its first period is paid, or is free.",
    TRIAL_STARTED: "Its trial has begun.",
    TRIAL_WILL_END: "Its trial ends soon.",
    RENEWED: "A period has ended and the next one has begun.",
    "subscription.past_due": "A period was not paid; access goes on for the grace period.",
    "subscription.recovered": "It is ACTIVE again, what was owed is paid.",
    "subscription.paused": "It is paused.",
    "subscription.resumed": "It goes on after a pause.",
    "subscription.unpaid": "Its payment was given up: no access until it is paid.",
    "subscription.canceled": "It has ended.",
    "subscription.expired": "Its first payment never came; it never ran.",
    PLAN_CHANGED: "Its plan, quantities or items are others from now on.",
    UPDATED: "Something else of it was changed; `changed` names what.",
    CHANGE_SCHEDULED: "Another plan, quantities or items are planned.",
    CHANGE_UNSCHEDULED: "What was planned to change does not.",
    PAUSE_SCHEDULED: "A pause is planned.",
    PAUSE_UNSCHEDULED: "The planned pause does not come.",
    CANCEL_SCHEDULED: "Its end is planned.",
    CANCEL_UNSCHEDULED: "It goes on, its planned end is taken back.",
    COUPON_APPLIED: "A coupon is on it.",
    COUPON_REMOVED: "A coupon was taken off.",
    COUPON_USED_UP: "A coupon has been used for its last period.",
    COLLECTION_ENDED: "Nothing more is tried for its open invoice.",
    "invoice.issued": "An invoice is open.",
    "invoice.paid": "An invoice is paid.",
    "invoice.voided": "An invoice is void: nothing is owed for it.",
    "invoice.uncollectible": "An invoice was written off: it was not paid, and nothing more is tried.",
    "payment.succeeded": "A payment has come.",
    "payment.failed": "A payment was refused.",
    "payment.action_required": "The bank asks the customer to confirm a payment.",
    "payment.canceled": "A payment will not come.",
    "refund.created": "Money is on its way back.",
    "refund.succeeded": "Money has gone back.",
    "refund.failed": "Money that was to go back did not.",
    "refund.canceled": "A refund was called off.",
}
"""Every type that there is."""

EVERY = "*"


def types_named(names: Iterable[str]) -> frozenset[str]:
    """The types that these names mean in all: each a type, the beginning of some (`invoice.*`), or `*`."""
    return frozenset(type for name in names for type in _types_of(name))


def unknown_among(names: Iterable[str]) -> list[str]:
    """The names that mean no type."""
    return [name for name in names if not _types_of(name)]


def _types_of(name: str) -> Iterable[str]:
    if name == EVERY:
        return EVENT_MEANINGS
    if name.endswith(".*"):
        return [type for type in EVENT_MEANINGS if type.startswith(name.removesuffix("*"))]
    return [name] if name in EVENT_MEANINGS else []
