"""Trials: time before the first period that costs nothing. Spent when one starts, once per customer and product.

What its end brings is a renewal, except without a card: then the organization's policy decides.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.calendar import Interval, boundary
from billing.dunning import TrialEndAction
from billing.errors import ErrorCode, UserProblem
from billing.events import TRIAL_STARTED, TRIAL_WILL_END
from billing.invoicing import InvoiceDraft
from billing.lifecycle import SUBSCRIPTION, SubscriptionEvent, SubscriptionStatus
from models.catalog import Plan
from models.customers import Customer, UsedTrial
from models.organization import dunning_policy
from models.subscriptions import CollectionMethod, Subscription, changes_of, items_of, live_places
from services.app import Actor, ActorKind, App
from services.changes import Why, announce, move_subscription
from services.ends.closing import close
from services.payments.arrears import effective_method

NO_CARD = "term_ended"
"""The reason of a cancellation for want of a card: the free time was all that was agreed."""


async def trial_length(
    session: AsyncSession, customer: Customer, product_ids: Iterable[str], days: int, start: datetime
) -> timedelta:
    """How long the customer's trial of these products would last; zero when one of them was tried before."""
    if days == 0 or await _has_used(session, customer.id, product_ids):
        return timedelta(0)
    return boundary(start, Interval.DAY, days, ZoneInfo(customer.timezone), 1) - start


async def begin_trial(session: AsyncSession, row: Subscription, why: Why) -> None:
    """The trial that the row carries has started: there is no other for its products."""
    for place in await live_places(session, row.id):
        if await session.get(UsedTrial, (row.customer_id, place.product_id)) is None:
            session.add(UsedTrial(customer_id=row.customer_id, product_id=place.product_id, started_at=why.now))


async def refuse_tried(
    session: AsyncSession, actor: Actor, row: Subscription, plans: Sequence[Plan], field: str
) -> None:
    """On a trial its customer adds nothing that was tried before: it would be free once more. Raises INVALID_STATE."""
    if actor.kind is not ActorKind.CUSTOMER or row.status is not SubscriptionStatus.TRIALING:
        return
    present = {item.product_id for item in await items_of(session, [row.id])}
    for plan in plans:
        if plan.product_id not in present and await _has_used(session, row.customer_id, [plan.product_id]):
            message = f"{plan.name} was tried before. Change when the trial ends, or subscribe to it by itself."
            raise UserProblem(ErrorCode.INVALID_STATE, message, [field])


async def may_begin_trial(session: AsyncSession, row: Subscription) -> bool:
    """Whether a trial that was agreed for a start to come is still to be had then."""
    products = [place.product_id for place in await live_places(session, row.id)]
    return row.trial_end is not None and not await _has_used(session, row.customer_id, products)


async def is_paused_trial(session: AsyncSession, row: Subscription) -> bool:
    """Whether it is paused and was on trial before."""
    if row.status is not SubscriptionStatus.PAUSED:
        return False
    changes = await changes_of(session, SUBSCRIPTION.name, [row.id])
    before = next((change.from_status for change in reversed(changes) if change.to_status == row.status), None)
    return before == SubscriptionStatus.TRIALING


async def announce_trial_end(
    _app: App, session: AsyncSession, _customer: Customer, row: Subscription, why: Why
) -> bool:
    """Tell that a trial is about to end."""
    row.trial_end_announced_at = why.now
    _tell(session, TRIAL_WILL_END, row, why)
    return True


def tell_of_trial(session: AsyncSession, row: Subscription, why: Why) -> None:
    """That it came into being on trial; of one that waited for its trial, the change of its status tells."""
    _tell(session, TRIAL_STARTED, row, why)


def _tell(session: AsyncSession, event: str, row: Subscription, why: Why) -> None:
    told = {"trial_end": row.trial_end}
    announce(session, event, row.id, why, customer_id=row.customer_id, payload=told)


async def end_without_card(
    session: AsyncSession, customer: Customer, row: Subscription, draft: InvoiceDraft, why: Why
) -> bool:
    """Whether the trial ends here by the organization's policy, for there is no card that its first period needs.

    Otherwise the period is billed, and waits for a card if there is none.
    """
    is_charged = row.collection_method is CollectionMethod.CHARGE_AUTOMATICALLY and not draft.amount_due.is_zero
    if not is_charged or await effective_method(session, row, customer) is not None:
        return False
    action = (await dunning_policy(session)).trial_end_action
    if action is TrialEndAction.PAST_DUE:
        return False
    if action is TrialEndAction.CANCEL:
        row.cancellation_reason = row.cancellation_reason or NO_CARD
        row.canceled_at = row.canceled_at or why.now
        await close(session, row, SubscriptionEvent.CANCEL, why)
        return True
    row.paused_at = row.period_end  # Time stands still from its end on, however late that is noticed.
    move_subscription(session, row, SubscriptionEvent.PAUSE, why)
    return True


async def _has_used(session: AsyncSession, customer_id: str, product_ids: Iterable[str]) -> bool:
    for product_id in product_ids:
        if await session.get(UsedTrial, (customer_id, product_id)) is not None:
            return True
    return False
