"""Enums of runs and test clocks, each value described."""

from billing.running import OUTCOME_MEANINGS, RunOutcome
from models.clocks import TestClockStatus
from schema.enums import publish

publish(
    RunOutcome,
    "BillingOutcome",
    "One thing that a run of the billing did, or would.",
    {outcome.name: meaning for outcome, meaning in OUTCOME_MEANINGS.items()},
)
publish(
    TestClockStatus,
    "TestClockStatus",
    "What a test clock is about.",
    {
        "READY": "It stands still until it is moved.",
        "ADVANCING": "It is on its way; what is due in between is being carried out. Ask again shortly.",
        "DELETING": "Its customers' subscriptions are being ended.",
        "DELETED": "It stands still for ever.",
    },
)
