"""Invoices: exact lines, explanations in words and numbers, and an identity that never changes."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.calendar import Interval, Period, Span
from billing.explaining import Explanation, ExplanationInput
from billing.invoicing import InvoiceDraft, InvoiceReason, compose, invoice_uuid
from billing.lines import Line, LineKind
from billing.money import CurrencyMismatch, Money, total
from billing.pricing import PriceTerms
from billing.recurring import RecurringItem, recurring_lines

FEBRUARY = Period(datetime(2024, 1, 31, tzinfo=UTC), datetime(2024, 2, 29, tzinfo=UTC))
DATES = "2024-01-31 to 2024-02-29"


def item(
    unit: str, currency: str = "USD", *, quantity: int = 1, interval: Interval = Interval.MONTH, count: int = 1
) -> RecurringItem:
    return RecurringItem(
        "plan_1", "Reader Pro", PriceTerms("price_1", currency, Decimal(unit)), quantity, interval, count
    )


def bill_period(
    items: Sequence[RecurringItem],
    period: Period,
    *,
    reason: InvoiceReason,
    occasion: str,
    zone: ZoneInfo = ZoneInfo("UTC"),  # noqa: B008 (never changed)
) -> InvoiceDraft:
    lines = recurring_lines(items, Span(period, period), zone)
    return compose(lines, reason=reason, occasion=occasion, period=period)


def test_a_period_of_one_item_is_one_line_that_explains_itself() -> None:
    draft = bill_period([item("7.00")], FEBRUARY, reason=InvoiceReason.SUBSCRIPTION_CREATE, occasion="0")
    seven, nothing = Money(700, "USD"), Money(0, "USD")
    line = Line(
        kind=LineKind.RECURRING,
        description="Reader Pro (2024-01-31 to 2024-02-29)",
        plan_id="plan_1",
        quantity=Decimal(1),
        unit_amount=seven,
        amount=seven,
        discount=nothing,
        tax=nothing,
        period=FEBRUARY,
        is_proration=False,
        explanation=Explanation(
            text="1 × Reader Pro at USD 7.00 for 1 month, 2024-01-31 to 2024-02-29.",
            formula="quantity × unitAmount",
            inputs=(
                ExplanationInput("quantity", "1"),
                ExplanationInput("unitAmount", "USD 7.00", "price_1"),
                ExplanationInput("periodStart", "2024-01-31T00:00:00Z"),
                ExplanationInput("periodEnd", "2024-02-29T00:00:00Z"),
            ),
        ),
    )
    assert draft == InvoiceDraft(
        reason=InvoiceReason.SUBSCRIPTION_CREATE,
        occasion="0",
        period=FEBRUARY,
        lines=(line,),
        subtotal=seven,
        discount_total=nothing,
        tax_total=nothing,
        total=seven,
        credit_applied=nothing,
        amount_due=seven,
    )


@pytest.mark.parametrize(
    ("billed", "amount", "text"),
    [
        (item("9.99", quantity=3), Money(2997, "USD"), "3 × Reader Pro at USD 9.99 for 1 month"),
        (item("99.00", interval=Interval.YEAR), Money(9900, "USD"), "1 × Reader Pro at USD 99.00 for 1 year"),
        (item("20", count=3), Money(2000, "USD"), "1 × Reader Pro at USD 20.00 for 3 months"),
        (item("1", interval=Interval.WEEK, count=2), Money(100, "USD"), "1 × Reader Pro at USD 1.00 for 2 weeks"),
        (item("500", "JPY", quantity=2), Money(1000, "JPY"), "2 × Reader Pro at JPY 500 for 1 month"),
        (item("1.25", "KWD", quantity=2), Money(2500, "KWD"), "2 × Reader Pro at KWD 1.250 for 1 month"),
        (item("1500", "ISK"), Money(150000, "ISK"), "1 × Reader Pro at ISK 1500.00 for 1 month"),
        (item("0"), Money(0, "USD"), "1 × Reader Pro at USD 0.00 for 1 month"),
    ],
    ids=["three", "a year", "a quarter", "two weeks", "yen", "dinar", "krona", "free"],
)
def test_a_line_says_how_many_at_what_price_for_how_long(billed: RecurringItem, amount: Money, text: str) -> None:
    draft = bill_period([billed], FEBRUARY, reason=InvoiceReason.SUBSCRIPTION_CYCLE, occasion="7")
    (line,) = draft.lines
    assert (line.amount, line.explanation.text) == (amount, f"{text}, {DATES}.")
    assert (draft.reason, draft.occasion) == (InvoiceReason.SUBSCRIPTION_CYCLE, "7")
    assert (draft.subtotal, draft.total, draft.amount_due) == (amount, amount, amount)


def test_lines_keep_the_order_of_the_items_and_sum_to_the_total() -> None:
    extra = RecurringItem("plan_2", "Extra", PriceTerms("price_2", "USD", Decimal("3.33")), 2, Interval.MONTH, 1)
    draft = bill_period([item("7.00"), extra], FEBRUARY, reason=InvoiceReason.SUBSCRIPTION_CREATE, occasion="0")
    assert [(line.plan_id, line.amount.minor) for line in draft.lines] == [("plan_1", 700), ("plan_2", 666)]
    assert (draft.subtotal.minor, draft.total.minor, draft.amount_due.minor) == (1366, 1366, 1366)


def test_items_of_two_currencies_are_never_billed_together() -> None:
    with pytest.raises(CurrencyMismatch):
        bill_period(
            [item("7.00", "USD"), item("101.00", "CNY")],
            FEBRUARY,
            reason=InvoiceReason.SUBSCRIPTION_CREATE,
            occasion="0",
        )


@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(1, 10**4)), min_size=1, max_size=8))
def test_the_total_is_the_sum_of_the_lines(priced: list[tuple[int, int]]) -> None:
    items = [
        RecurringItem(
            "plan_1",
            "Reader Pro",
            PriceTerms("price_1", "USD", Money(unit, "USD").major),
            quantity,
            Interval.MONTH,
            1,
        )
        for unit, quantity in priced
    ]
    draft = bill_period(items, FEBRUARY, reason=InvoiceReason.SUBSCRIPTION_CREATE, occasion="0")
    assert draft.total == total([line.amount for line in draft.lines], "USD")
    assert draft.total.minor == sum(unit * quantity for unit, quantity in priced)


def test_an_invoices_identity_is_the_same_for_ever() -> None:
    """Stored invoices were made with it: should this literal ever need to change, customers are charged twice."""
    billed = invoice_uuid("sub_01J0000000000000000000000", InvoiceReason.SUBSCRIPTION_CREATE, "0")
    assert billed == UUID("70f5e31d-4fc9-50b4-bb1b-4c594b401f5f")


def test_another_subscription_reason_or_occasion_is_another_invoice() -> None:
    identities = {
        invoice_uuid(subscription, reason, occasion)
        for subscription in ("sub_a", "sub_b")
        for reason in InvoiceReason
        for occasion in ("0", "1", "10")
    }
    assert len(identities) == 2 * 5 * 3
    assert {identity.version for identity in identities} == {5}


def test_a_line_names_the_days_of_the_customers_zone():
    auckland = ZoneInfo("Pacific/Auckland")
    first = Period(datetime(2026, 1, 31, 11, tzinfo=UTC), datetime(2026, 2, 28, 11, tzinfo=UTC))
    draft = bill_period([item("7.00")], first, reason=InvoiceReason.SUBSCRIPTION_CREATE, occasion="0", zone=auckland)
    assert "2026-02-01 to 2026-03-01" in draft.lines[0].description
