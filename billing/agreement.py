"""What a subscription bills, as one value: what was agreed, what waits, what takes something off, what is left over.

The act, its preview and the forecast draft their invoices from it, so that they cannot differ.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

from billing.calendar import Period, Span
from billing.discounting import Discount, after_period
from billing.invoicing import InvoiceDraft, InvoiceReason, compose
from billing.lines import Line
from billing.metering import Meter, usage_line
from billing.money import Money
from billing.recurring import RecurringItem, recurring_lines


@dataclass(frozen=True, slots=True)
class Agreement:
    """All that a subscription's next invoice follows from, its period aside.

    `items` are billed in advance; `waiting` are lines for the next invoice, `usage` those of metered items for the next
    period's, and `meters` measure what is used from then on. `discounts` are in the order of their application.
    `balance` is what the customer has left in the subscription's currency, negative: owes.
    """

    zone: ZoneInfo
    items: Sequence[RecurringItem]
    balance: Money
    discounts: Sequence[Discount] = ()
    waiting: Sequence[Line] = ()
    usage: Sequence[Line] = ()
    meters: Sequence[Meter] = ()
    carries_small: bool = True

    def draft_period(self, span: Span, *, reason: InvoiceReason, occasion: str) -> InvoiceDraft:
        """The invoice of a period: its items in advance, the usage before it, and what waited for the next invoice."""
        lines = [*recurring_lines(self.items, span, self.zone), *self.usage]
        return self.draft_lines(lines, period=span.period, reason=reason, occasion=occasion)

    def draft_lines(
        self,
        lines: Sequence[Line],
        *,
        period: Period,
        reason: InvoiceReason,
        occasion: str,
        begins_period: bool | None = None,
    ) -> InvoiceDraft:
        """These lines and what waited for the next invoice, with the discounts, tax and the balance.

        `begins_period`: for reasons that do not say it themselves.
        """
        return compose(
            [*lines, *self.waiting],
            reason=reason,
            occasion=occasion,
            period=period,
            discounts=self.discounts,
            balance=self.balance,
            currency=self.balance.currency,
            carries_small=self.carries_small,
            begins_period=begins_period,
        )

    def after_period(self, draft: InvoiceDraft) -> "Agreement":
        """The same once a period's invoice is issued: nothing waits, the balance has moved, discounts were used.

        Of what is measured nothing has been used yet.
        """
        return replace(
            self,
            balance=self.balance - draft.credit_applied,
            waiting=(),
            usage=[usage_line(meter, draft.period, (), self.zone) for meter in self.meters],
            discounts=after_period(self.discounts, draft.used_discounts),
        )
