"""Credits of plans, granted when a period has been paid: what was unused expires, the total is granted anew."""

from collections.abc import Mapping, Sequence

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.calendar import Period
from billing.consuming import CreditTerms, granted
from billing.invoicing import InvoiceReason
from models.catalog import PlanCredit
from models.credits import CreditKind, balances_of_subscription, credit_terms_of
from models.invoices import Invoice
from models.subscriptions import Subscription, SubscriptionOrigin
from services.changes import Why
from services.usage.allowances import Allowance, enter, grant_allowances, renew_allowances

_GRANTING = frozenset(
    (InvoiceReason.SUBSCRIPTION_CREATE, InvoiceReason.SUBSCRIPTION_CYCLE, InvoiceReason.SUBSCRIPTION_UPDATE)
)


async def refill(session: AsyncSession, row: Subscription, invoice: Invoice, why: Why) -> None:
    """The invoice has just been paid: if it is the present period's, its credits are there from now on.

    A period that is over when it is paid grants nothing any more. What a manual subscription grants was agreed on by
    hand. In the caller's transaction, under the customer's lock.
    """
    if row.origin is SubscriptionOrigin.MANUAL or invoice.reason not in _GRANTING:
        return
    if invoice.period_start != row.period_start:
        return
    period, zone = Period(invoice.period_start, invoice.period_end), row.grid.zone
    terms = _by_unit(await credit_terms_of(session, row.id))
    known = {balance.unit: balance for balance in await balances_of_subscription(session, row.id)}
    given = {unit: _allowance(unit, each, period, row) for unit, each in terms.items()}
    fixed = {unit for unit, each in terms.items() if all(credit.is_fixed for credit, _ in each)}
    for unit, balance in known.items():
        if unit not in terms and not balance.is_fixed and balance.remaining:
            unused, balance.remaining = balance.remaining, 0
            balance.total_granted, balance.total_used, balance.daily = 0, 0, None
            balance.updated_at = why.now
            enter(session, balance, CreditKind.EXPIRE, -unused, why, "no longer granted")
    refilled = [allowance for unit, allowance in given.items() if unit not in fixed]
    if refilled:
        await renew_allowances(session, row, refilled, period, zone, why)
    once = [allowance for unit, allowance in given.items() if unit in fixed and unit not in known]
    await grant_allowances(session, row, once, period, zone, why, is_fixed=True)


def _by_unit(rows: Sequence[tuple[PlanCredit, int]]) -> Mapping[str, Sequence[tuple[PlanCredit, int]]]:
    found: dict[str, list[tuple[PlanCredit, int]]] = {}
    for credit, quantity in rows:
        found.setdefault(credit.unit, []).append((credit, quantity))
    return found


def _allowance(unit: str, rows: Sequence[tuple[PlanCredit, int]], period: Period, row: Subscription) -> Allowance:
    terms = [CreditTerms(credit.daily, credit.total, quantity) for credit, quantity in rows]
    grant = granted(terms, period, row.grid.zone)
    return Allowance(unit, grant.daily, grant.total)
