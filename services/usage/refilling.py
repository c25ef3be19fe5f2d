"""Credits of plans, granted when a period has been paid: what was unused expires, the total is granted anew."""

from collections.abc import Collection, Mapping, Sequence

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.calendar import Period
from billing.consuming import CreditTerms, granted
from billing.invoicing import InvoiceReason
from models.catalog import PlanCredit
from models.credits import agreed_grant, balances_of_subscription, credit_terms_of
from models.invoices import Invoice
from models.subscriptions import Subscription, SubscriptionOrigin
from services.changes import Why
from services.usage.allowances import Allowance, renew_allowances

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
    if invoice.period_start != row.period_start or row.period_end <= why.now:
        return
    period, zone = Period(invoice.period_start, invoice.period_end), row.grid.zone
    terms = _by_unit(await credit_terms_of(session, row.id))
    fixed = {unit for unit, each in terms.items() if all(credit.is_fixed for credit, _ in each)}
    had = await _granted_once(session, row) if fixed else ()
    due = [_allowance(unit, each, period, row) for unit, each in terms.items() if unit not in fixed or unit not in had]
    await renew_allowances(session, row, due, period, zone, why, fixed=fixed)


async def _granted_once(session: AsyncSession, row: Subscription) -> Collection[str]:
    """The units of which a plan has granted what is fixed: what was given by hand does not count."""
    balances = [each for each in await balances_of_subscription(session, row.id) if each.is_fixed]
    return [each.unit for each in balances if await agreed_grant(session, each.id) is not None]


def _by_unit(rows: Sequence[tuple[PlanCredit, int]]) -> Mapping[str, Sequence[tuple[PlanCredit, int]]]:
    found: dict[str, list[tuple[PlanCredit, int]]] = {}
    for credit, quantity in rows:
        found.setdefault(credit.unit, []).append((credit, quantity))
    return found


def _allowance(unit: str, rows: Sequence[tuple[PlanCredit, int]], period: Period, row: Subscription) -> Allowance:
    terms = [CreditTerms(credit.daily, credit.total, quantity) for credit, quantity in rows]
    grant = granted(terms, period, row.grid.zone)
    return Allowance(unit, grant.daily, grant.total)
