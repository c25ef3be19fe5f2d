"""What is tried again, when, and what happens when nothing helps."""

from dataclasses import dataclass
from enum import StrEnum


class FinalAction(StrEnum):
    """What dunning ends with: the subscription is canceled, unpaid (no access, can be paid), or left past due."""

    CANCEL = "cancel"
    UNPAID = "unpaid"
    LEAVE = "leave"


class TrialEndAction(StrEnum):
    """What becomes of a trial that ends without a card."""

    PAST_DUE = "past_due"
    PAUSE = "pause"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True)
class DunningPolicy:
    """Retries are counted in days from the first failure; declines with one of the stop codes are never retried."""

    retry_after_days: tuple[int, ...] = (2, 7, 14, 21)
    stop_on_decline_codes: frozenset[str] = frozenset()
    final_action: FinalAction = FinalAction.CANCEL
    trial_end_action: TrialEndAction = TrialEndAction.PAST_DUE
