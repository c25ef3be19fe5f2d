"""What a customer may do: the sum over everything that gives access now."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from billing.money import LARGEST_TOLD


@dataclass(frozen=True, slots=True)
class Grant:
    """What one item of a subscription allows of a feature; `limit` None and enabled: as much as one likes."""

    feature_id: str
    is_enabled: bool
    limit: int | None
    quantity: int = 1

    @property
    def total(self) -> int | None:
        """The limit times the item's quantity; None: without limit, 0: nothing."""
        if not self.is_enabled:
            return 0
        return None if self.limit is None else self.limit * self.quantity


@dataclass(frozen=True, slots=True)
class Source:
    """A subscription that gives access. `ends_at` None: it goes on; `resets_at`: when what was used counts anew."""

    subscription_id: str
    resets_at: datetime
    grants: Sequence[Grant] = ()
    role_ids: Sequence[int] = ()
    ends_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Entitled:
    """All that is allowed of a feature; `limit` None: no limit, if it is enabled. `sources` give something of it."""

    feature_id: str
    is_enabled: bool
    limit: int | None
    sources: Sequence[Source] = field(default_factory=tuple)

    @property
    def is_unlimited(self) -> bool:
        return self.is_enabled and self.limit is None

    @property
    def resets_at(self) -> datetime | None:
        """When the first of its sources counts anew."""
        return min((source.resets_at for source in self.sources), default=None)


def sum_up(sources: Sequence[Source]) -> Sequence[Entitled]:
    """Every feature that is named, in the order in which it is first: limits add up, and one without limit wins."""
    features = dict.fromkeys(grant.feature_id for source in sources for grant in source.grants)
    return [_entitled(feature, sources) for feature in features]


def _entitled(feature_id: str, sources: Sequence[Source]) -> Entitled:
    given = [(source, grant) for source in sources for grant in source.grants if grant.feature_id == feature_id]
    enabled = [(source, grant.total) for source, grant in given if grant.is_enabled]
    totals = [total for _, total in enabled]
    limited = [total for total in totals if total is not None]
    return Entitled(
        feature_id,
        is_enabled=bool(enabled),
        limit=None if len(limited) < len(totals) else min(sum(limited), LARGEST_TOLD),
        sources=tuple({source.subscription_id: source for source, _ in enabled}.values()),
    )


def highest_role(sources: Sequence[Source]) -> tuple[int, datetime | None] | None:
    """The role with the highest id, and when the last that grants it ends; None as long as one goes on."""
    roles = [role for source in sources for role in source.role_ids]
    if not roles:
        return None
    highest = max(roles)
    ends = [source.ends_at for source in sources if highest in source.role_ids]
    known = [end for end in ends if end is not None]
    return highest, max(known) if len(known) == len(ends) else None
