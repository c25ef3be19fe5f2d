"""Changing a subscription that goes on: its name, its notes, whether it renews, and taking a cancellation back."""

from collections.abc import Mapping
from typing import Any

from billing.errors import ErrorCode, UserProblem
from billing.lifecycle import SUBSCRIPTION
from models.subscriptions import Subscription
from services.app import Actor, App
from services.owned import already_ended, locked_subscription, own_subscription


async def update_subscription(
    app: App,
    actor: Actor,
    *,
    subscription_id: str,
    name: str | None,
    metadata: Mapping[str, Any] | None,
    auto_renew: bool | None,
    expected_version: int | None,
) -> Subscription:
    """Change what is given; an empty name takes the name away. Raises NOT_FOUND, INVALID_STATE, VERSION_CONFLICT."""
    seen = await own_subscription(app, actor, subscription_id)
    now = app.now()
    async with app.database.write() as session:
        row, _ = await locked_subscription(session, seen, expected_version)
        if row.status in SUBSCRIPTION.final:
            raise already_ended(row)
        before = (row.name, row.meta, row.cancel_at_period_end)
        if name is not None:
            row.name = name or None
        if metadata is not None:
            row.meta = dict(metadata)
        if auto_renew is not None and auto_renew is row.cancel_at_period_end:
            if auto_renew:
                _refuse_if_over(app, row)
            row.cancel_at_period_end = not auto_renew
            row.due_at = row.next_due()
            if auto_renew and row.cancel_at is None:
                _forget_cancellation(row)
        if (row.name, row.meta, row.cancel_at_period_end) != before:
            row.touch(now)
        return row


async def uncancel_subscription(
    app: App, actor: Actor, *, subscription_id: str, expected_version: int | None
) -> Subscription:
    """Let a subscription go on that would end at its period's end or at a date. Repeating it changes nothing.

    Raises NOT_FOUND, INVALID_STATE, VERSION_CONFLICT.
    """
    seen = await own_subscription(app, actor, subscription_id)
    now = app.now()
    async with app.database.write() as session:
        row, _ = await locked_subscription(session, seen, expected_version)
        if row.status in SUBSCRIPTION.final:
            raise already_ended(row)
        if row.cancel_at_period_end or row.cancel_at is not None:
            _refuse_if_over(app, row)
            row.cancel_at_period_end, row.cancel_at = False, None
            _forget_cancellation(row)
            row.due_at = row.next_due()
            row.touch(now)
        return row


def _refuse_if_over(app: App, row: Subscription) -> None:
    """Once its time is up the worker ends or renews it: nobody may change its mind in the middle."""
    is_held = row.leased_until is not None and row.leased_until > app.machine_now()
    if is_held or (row.due_at is not None and row.due_at <= app.now()):
        raise UserProblem(
            ErrorCode.INVALID_STATE, "Its period is just ending. Read it again in a minute.", ["subscriptionId"]
        )


def _forget_cancellation(row: Subscription) -> None:
    row.canceled_at = row.cancellation_reason = row.cancellation_comment = row.cancellation_requested_by = None
