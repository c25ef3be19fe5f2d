"""What a run of the billing reports: one outcome for each thing that happened, or would."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from billing.dunning import TrialEndAction
from billing.lifecycle import AttemptOutcome
from billing.money import Money
from billing.schedule import Happening


class RunOutcome(StrEnum):
    """First what time did to a subscription, then what became of collecting."""

    EXPIRED = "expired"
    STARTED = "started"
    ENDED = "ended"
    RESUMED = "resumed"
    TRIAL_END_ANNOUNCED = "trial_end_announced"
    CHANGED = "changed"
    PAUSED = "paused"
    FELL_BEHIND = "fell_behind"
    RENEWED = "renewed"
    GIVEN_UP = "given_up"
    CHARGED = "charged"
    DECLINED = "declined"
    ACTION_REQUIRED = "action_required"
    NOT_TAKEN = "not_taken"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"


OUTCOME_MEANINGS: Mapping[RunOutcome, str] = {
    RunOutcome.EXPIRED: "A first payment that never came was given up.",
    RunOutcome.STARTED: "A subscription with a start to come began.",
    RunOutcome.ENDED: "A subscription ended.",
    RunOutcome.RESUMED: "A paused subscription went on.",
    RunOutcome.TRIAL_END_ANNOUNCED: "The customer was told that a trial is about to end.",
    RunOutcome.CHANGED: "A scheduled change took effect.",
    RunOutcome.PAUSED: "A planned pause began.",
    RunOutcome.FELL_BEHIND: "An invoice that was sent was not paid in time.",
    RunOutcome.RENEWED: "The next period was billed.",
    RunOutcome.GIVEN_UP: "Collecting an invoice was given up.",
    RunOutcome.CHARGED: "A payment came.",
    RunOutcome.DECLINED: "A card was declined.",
    RunOutcome.ACTION_REQUIRED: "The bank asks the customer to confirm a payment.",
    RunOutcome.NOT_TAKEN: "The gateway did not take a card at all.",
    RunOutcome.UNKNOWN: "The gateway has not answered yet; it is asked again.",
    RunOutcome.SKIPPED: "Nothing was tried: there is no card, an older invoice is open, or the gateway was away.",
}

OUTCOME_OF_HAPPENING: Mapping[Happening, RunOutcome] = {
    Happening.EXPIRE: RunOutcome.EXPIRED,
    Happening.START: RunOutcome.STARTED,
    Happening.END: RunOutcome.ENDED,
    Happening.RESUME: RunOutcome.RESUMED,
    Happening.ANNOUNCE_TRIAL_END: RunOutcome.TRIAL_END_ANNOUNCED,
    Happening.CHANGE: RunOutcome.CHANGED,
    Happening.PAUSE: RunOutcome.PAUSED,
    Happening.OVERDUE: RunOutcome.FELL_BEHIND,
    Happening.RENEW: RunOutcome.RENEWED,
}

OUTCOME_OF_TRIAL_END: Mapping[TrialEndAction, RunOutcome] = {
    TrialEndAction.CANCEL: RunOutcome.ENDED,
    TrialEndAction.PAUSE: RunOutcome.PAUSED,
}
"""What a trial comes to in the place of its first period, where there is no card for that."""

OUTCOME_OF_ATTEMPT: Mapping[AttemptOutcome, RunOutcome] = {
    AttemptOutcome.PENDING: RunOutcome.UNKNOWN,
    AttemptOutcome.UNKNOWN: RunOutcome.UNKNOWN,
    AttemptOutcome.REQUIRES_ACTION: RunOutcome.ACTION_REQUIRED,
    AttemptOutcome.SUCCEEDED: RunOutcome.CHARGED,
    AttemptOutcome.DECLINED: RunOutcome.DECLINED,
    AttemptOutcome.ABANDONED: RunOutcome.NOT_TAKEN,
}

_FAILED = frozenset((RunOutcome.DECLINED, RunOutcome.ACTION_REQUIRED, RunOutcome.NOT_TAKEN))


@dataclass(frozen=True, slots=True)
class Deed:
    """One thing that happened to a subscription at an instant, and the money that it was about."""

    subscription_id: str
    outcome: RunOutcome
    at: datetime
    invoice_id: str | None = None
    payment_id: str | None = None
    amount: Money | None = None


@dataclass(frozen=True, slots=True)
class RunCounts:
    """`failed` tries brought no money; of an unknown one nobody knows yet."""

    renewed: int = 0
    charged: int = 0
    failed: int = 0
    skipped: int = 0


def counts_of(outcomes: Iterable[RunOutcome]) -> RunCounts:
    """How often each of what a run is judged by came to pass."""
    seen = list(outcomes)
    return RunCounts(
        renewed=seen.count(RunOutcome.RENEWED),
        charged=seen.count(RunOutcome.CHARGED),
        failed=sum(outcome in _FAILED for outcome in seen),
        skipped=seen.count(RunOutcome.SKIPPED),
    )
