"""Enums of money that goes back, each value described."""

from billing.lifecycle import RefundStatus
from billing.returning import DisputeStatus, RefundOrigin, RefundReason
from schema.enums import publish

publish(
    RefundStatus,
    "RefundStatus",
    "Where a refund stands.",
    {
        "PENDING": "On its way.",
        "SUCCEEDED": "Given back. It may still fail when the card cannot take it.",
        "FAILED": "It did not arrive; the money is the merchant's again.",
        "CANCELED": "Called back; the money is the merchant's again.",
    },
)
publish(
    RefundReason,
    "RefundReason",
    "Why money was given back.",
    {
        "DUPLICATE": "It was paid twice.",
        "FRAUDULENT": "Somebody else paid with the customer's card.",
        "REQUESTED_BY_CUSTOMER": "The customer asked for it.",
        "SERVICE_NOT_PROVIDED": "What was paid for was not delivered.",
        "OTHER": "None of these, or not told.",
    },
)
publish(
    RefundOrigin,
    "RefundOrigin",
    "Where a refund was made.",
    {"GATEWAY": "At the payment gateway, for example on its dashboard.", "API": "By this API."},
)
publish(
    DisputeStatus,
    "DisputeStatus",
    "Where a bank's objection stands.",
    {
        "WARNING_NEEDS_RESPONSE": "An inquiry that waits for the merchant's answer; no money has moved.",
        "WARNING_UNDER_REVIEW": "An inquiry that was answered.",
        "WARNING_CLOSED": "An inquiry that came to nothing.",
        "NEEDS_RESPONSE": "Waits for the merchant's evidence.",
        "UNDER_REVIEW": "The bank reads the evidence.",
        "APPEAL_NEEDS_RESPONSE": "Lost and appealed against; waits for the merchant.",
        "APPEAL_UNDER_REVIEW": "Lost and appealed against; under review.",
        "WON": "Decided for the merchant: the money comes back.",
        "LOST": "Decided for the customer: the money is gone.",
        "PREVENTED": "Kept off before it began.",
    },
)
