"""Time before the first period that costs nothing."""

from datetime import datetime
from zoneinfo import ZoneInfo

import strawberry

from models.subscriptions import Subscription
from schema.fields import described


@strawberry.type(description="Time before the first period that costs nothing. A customer tries each product once.")
class Trial:
    period_days: int = described("For how many days, in the subscription's own zone.")
    start: datetime = described("When it started.")
    end: datetime = described("When it ends or ended: the first period that costs something begins then.")

    @classmethod
    def of(cls, row: Subscription) -> "Trial | None":
        if row.trial_start is None or row.trial_end is None:
            return None
        zone = ZoneInfo(row.timezone)
        days = row.trial_end.astimezone(zone).date() - row.trial_start.astimezone(zone).date()
        return cls(period_days=days.days, start=row.trial_start, end=row.trial_end)
