"""Usage to be billed, gathered from the rows: what metered items cost for the time that is over. Writes nothing.

A line of usage says which span of its item has been billed, also when nothing was used. From there the next one goes
on, and what is told late of a billed span is billed as what it adds to that span.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.calendar import Period
from billing.lifecycle import InvoiceStatus
from billing.lines import Line, LineKind
from billing.metering import BilledSpan, Measured, Meter, UsageEvent, UsageType, late_line, measure, usage_line
from billing.money import Money
from billing.pricing import PriceTerms
from models.catalog import Feature, Plan
from models.invoices import Invoice, InvoiceLine
from models.subscriptions import Subscription, SubscriptionItem, SubscriptionOrigin, priced_items
from models.usage import (
    UsageRecord,
    billed_usage_of,
    count_on_invoice,
    uncounted_usage,
    usage_between,
)
from services.agreed_items import PricedItem, recurring_item

_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class _MeteredItem:
    """An item with its meter. It counts from `begin`; `spans` have been billed, the next line goes on behind them."""

    meter: Meter
    feature_id: str
    begin: datetime
    ended_at: datetime | None
    spans: Sequence[BilledSpan]

    @property
    def open_from(self) -> datetime:
        return max((span.period.end for span in self.spans), default=self.begin)

    def within(self, start: datetime, end: datetime) -> Period | None:
        """When it counted between these; None if never."""
        start, end = max(start, self.begin), min(end, self.ended_at or end)
        return Period(start, end) if start < end else None


async def usage_lines(
    session: AsyncSession,
    row: Subscription,
    until: datetime,
    *,
    items: Sequence[PricedItem] | None = None,
    only: Collection[str] | None = None,
    measured_on: Collection[str] | None = None,
) -> Sequence[Line]:
    """A line for each metered item's time before `until` that was not billed yet, and for what was told late.

    Ended items are among them; a trial is free, and so is what was agreed on by hand. `only`: of these items, by id.
    `items`: all that the subscription ever contained, where the caller has read it. `measured_on`: where items end with
    `until`, the features (ids) that others go on to measure; of any other feature nothing that was told may be left
    over. To be called under the customer's lock when the lines are issued.
    """
    if row.origin is SubscriptionOrigin.MANUAL:
        return []
    metered = await _metered_items(session, row, items if items is not None else await priced_items(session, row.id))
    metered = [each for each in metered if only is None or each.meter.item.item_id in only]
    if not metered:
        return []
    features = sorted({each.feature_id for each in metered})
    late = await uncounted_usage(session, row.id, features, until)
    touched = {id(span): span for each in metered for span in _touched(each, late)}
    begin = min([each.open_from for each in metered] + [span.period.start for span in touched.values()])
    # What occurred since `until` was told of a clock that runs ahead, or while a quote or the worker was waited for.
    records = await usage_between(session, row.id, features, begin, until if measured_on is None else None)
    lines: list[Line] = []
    for each in metered:
        lines += [
            late_line(each.meter, span, _events(records, each.feature_id, span.period), row.grid.zone)
            for span in each.spans
            if id(span) in touched
        ]
        goes_on = measured_on is None or each.feature_id in measured_on
        period = each.within(each.open_from, until if goes_on else _after_all(records, each.feature_id, until))
        if period is not None:
            lines.append(usage_line(each.meter, period, _events(records, each.feature_id, period), row.grid.zone))
    return lines


def _after_all(records: Sequence[UsageRecord], feature_id: str, until: datetime) -> datetime:
    """That instant, or the first one after everything that was told of the feature."""
    return max([until, *(record.occurred_at + _INSTANT for record in records if record.feature_id == feature_id)])


def _touched(each: _MeteredItem, late: Sequence[tuple[str, datetime]]) -> Sequence[BilledSpan]:
    """The billed spans of which something was told that no invoice has counted."""
    return [
        span
        for span in each.spans
        if any(feature == each.feature_id and span.period.start <= at < span.period.end for feature, at in late)
    ]


async def _metered_items(
    session: AsyncSession, row: Subscription, items: Sequence[PricedItem]
) -> Sequence[_MeteredItem]:
    metered = [each for each in items if each[1].usage_type is UsageType.METERED]
    if not metered:
        return []
    spans = _spans(await billed_usage_of(session, row.id))
    found: list[_MeteredItem] = []
    for item, plan, price in metered:
        meter, feature_id = await _meter(session, row, (item, plan, price))
        found.append(_MeteredItem(meter, feature_id, _begin(row, item), item.ended_at, spans.get(item.id, [])))
    return found


async def _meter(session: AsyncSession, row: Subscription, priced: PricedItem) -> tuple[Meter, str]:
    """The meter of a metered item, and the feature that it measures."""
    item, plan, price = priced
    feature_id, aggregation = plan.meter_feature_id, plan.aggregate_usage
    if feature_id is None or aggregation is None:
        raise LookupError(f"plan {plan.id} is metered and measures nothing")
    feature = await session.get_one(Feature, feature_id)
    measured = recurring_item(row, item, plan, price)
    if row.origin is SubscriptionOrigin.MANUAL:  # Its price is for all of its time, whatever is used in it.
        measured = replace(measured, price=PriceTerms(price.id, row.currency, Decimal(0)))
    return Meter(measured, feature.unit or feature.code, aggregation), feature_id


async def meters_of(session: AsyncSession, row: Subscription, items: Sequence[PricedItem]) -> Sequence[Meter]:
    """What goes on to measure and is billed by it; ended items do not."""
    if row.origin is SubscriptionOrigin.MANUAL:
        return []
    metered = [each for each in items if each[0].ended_at is None and each[1].usage_type is UsageType.METERED]
    return [(await _meter(session, row, each))[0] for each in metered]


def _begin(row: Subscription, item: SubscriptionItem) -> datetime:
    """An item that was there from the beginning counts from the subscription's start; a trial is free."""
    begin = row.started_at if item.created_at <= row.created_at else max(row.started_at, item.created_at)
    return begin if row.trial_end is None else max(begin, row.trial_end)


def _spans(rows: Sequence[tuple[InvoiceLine, Invoice]]) -> Mapping[str, Sequence[BilledSpan]]:
    """What was billed of each item, span by span. A withdrawn invoice has asked for nothing."""
    sums: dict[tuple[str, Period], BilledSpan] = {}
    for line, invoice in rows:
        if line.item_id is None:
            continue
        period = Period(line.period_start, line.period_end)
        known = sums.get((line.item_id, period)) or BilledSpan(period, Money.zero(line.currency), line.quantity * 0)
        if invoice.status is not InvoiceStatus.VOID:
            known = BilledSpan(
                period, known.amount + Money(line.amount_minor, line.currency), known.quantity + line.quantity
            )
        sums[line.item_id, period] = known
    found: dict[str, list[BilledSpan]] = {}
    for (item_id, _), span in sorted(sums.items(), key=lambda each: each[0][1].start):
        found.setdefault(item_id, []).append(span)
    return found


def _events(records: Sequence[UsageRecord], feature_id: str, period: Period) -> Sequence[UsageEvent]:
    return [
        UsageEvent(record.id, record.occurred_at, record.quantity, record.unique_value)
        for record in records
        if record.feature_id == feature_id and period.start <= record.occurred_at < period.end
    ]


async def count_usage(session: AsyncSession, invoice: Invoice, lines: Sequence[Line]) -> None:
    """The invoice counts what its lines of usage speak of, and no later one will."""
    for line in lines:
        if line.kind is LineKind.USAGE and line.plan_id is not None:
            plan = await session.get_one(Plan, line.plan_id)
            if plan.meter_feature_id is not None:
                await count_on_invoice(session, invoice.subscription_id, plan.meter_feature_id, line.period, invoice.id)


@dataclass(frozen=True, slots=True)
class MeterReading:
    """What a metered item shows for the part of a period in which it counted, billed or not."""

    feature: Feature
    measured: Measured
    period: Period


async def meter_readings(session: AsyncSession, row: Subscription, period: Period) -> Sequence[MeterReading]:
    """What each item that counted in the period shows of its part of it, priced as if it were billed so."""
    found: list[MeterReading] = []
    for each in await _metered_items(session, row, await priced_items(session, row.id)):
        part = each.within(period.start, period.end)
        if part is None:
            continue
        records = await usage_between(session, row.id, [each.feature_id], part.start, part.end)
        measured = measure(each.meter, _events(records, each.feature_id, part))
        found.append(MeterReading(await session.get_one(Feature, each.feature_id), measured, part))
    return found
