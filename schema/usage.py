"""What was used of what is billed by use."""

from decimal import Decimal

import strawberry

from billing.calendar import Period as Span
from models.subscriptions import Subscription
from schema.arguments import refuse_arguments
from schema.fields import Info, described
from schema.money import Money
from schema.periods import Period, PeriodInput
from schema.plan_terms import Feature
from services.usage.metering import MeterReading, meter_readings


@strawberry.type(description="What one metered item shows for a period.")
class MeterUsage:
    feature: Feature = described("What is measured.")
    quantity: Decimal = described("What was used, as the plan counts it: `aggregateUsage`.")
    billed_quantity: Decimal = described("How many of it are priced: packages where the plan has them.")
    amount: Money = described("What it costs for this period alone, before discounts and tax.")
    period: Period = described("The time that was looked at.")

    @classmethod
    def of(cls, reading: MeterReading) -> "MeterUsage":
        return cls(
            feature=Feature.of(reading.feature),
            quantity=reading.measured.quantity,
            billed_quantity=reading.measured.billed,
            amount=Money.of(reading.measured.amount),
            period=Period(start=reading.period.start, end=reading.period.end),
        )


async def usage_of(info: Info, row: Subscription, period: PeriodInput | None) -> list[MeterUsage]:
    """What a subscription's meters show, in its current period unless another is given."""
    if period is not None and period.start >= period.end:
        raise refuse_arguments(info, "period: its end lies after its start.", "period")
    wanted = Span(period.start, period.end) if period is not None else Span(row.period_start, row.period_end)
    if not await info.context.loaders.is_metered.load(row.id):
        return []
    async with info.context.app.database.read() as session:
        return [MeterUsage.of(reading) for reading in await meter_readings(session, row, wanted)]
