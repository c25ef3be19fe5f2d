"""The organization's settings and policies: what is in force, and changing it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import available_timezones

from sqlmodel.ext.asyncio.session import AsyncSession

from billing.dunning import MAX_GRACE_DAYS, FinalAction, TrialEndAction, wrong_with_retries
from billing.errors import ErrorCode, UserProblem
from models.organization import Organization, locked_organization, new_organization, organization
from services.app import App
from services.problems import refuse_stale
from services.writing import written

_LONGEST_CODE = 100
_LONGEST_NAME = 250
_MOST_CODES = 100


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """What to change; None leaves it as it is. Days are whole days."""

    retry_after_days: Sequence[int] | None = None
    stop_on_decline_codes: Sequence[str] | None = None
    final_action: FinalAction | None = None
    trial_end_action: TrialEndAction | None = None
    grace_period_days: int | None = None


@dataclass(frozen=True, slots=True)
class SettingsChange:
    """What to change of the organization's settings; None leaves it as it is. `currency` is a supported code."""

    name: str | None = None
    currency: str | None = None
    timezone: str | None = None
    settings: Mapping[str, Any] | None = None


async def grace_in_force(session: AsyncSession, app: App) -> timedelta:
    """How long PAST_DUE keeps access: the organization's own period, else the setting's."""
    row = await organization(session)
    return app.grace if row is None or row.grace_period_days is None else timedelta(days=row.grace_period_days)


async def zone_in_force(session: AsyncSession, app: App) -> str:
    """The IANA zone of new customers and of the days in figures: the organization's own, else the setting's."""
    row = await organization(session)
    return app.timezone if row is None or row.timezone is None else row.timezone


async def read_organization(app: App) -> Organization:
    """As it is in force: with its first policy while nobody has changed anything."""
    async with app.database.read() as session:
        return await organization(session) or new_organization(app.now())


async def update_organization(app: App, change: SettingsChange, *, expected_version: int | None) -> Organization:
    """Changes what counts from now on; customers keep the zone that they have. Raises UserProblem, VersionConflict."""
    _check_settings(change)
    now = app.now()

    async def write(session: AsyncSession) -> Organization:
        row = await _kept(session, now)
        refuse_stale(row.version, expected_version)
        before = (row.name, row.default_currency, row.timezone, row.settings)
        row.name = change.name.strip() if change.name is not None else row.name
        row.default_currency = change.currency or row.default_currency
        row.timezone = change.timezone or row.timezone
        row.settings = dict(change.settings) if change.settings is not None else row.settings
        if (row.name, row.default_currency, row.timezone, row.settings) != before:
            row.touch(now)
        return row

    return await written(app, write)


async def update_dunning_policy(app: App, change: PolicyChange) -> Organization:
    """Changes what is decided from now on; tries that are planned already stay as they are. Raises UserProblem."""
    _check(change)
    now = app.now()

    async def write(session: AsyncSession) -> Organization:
        row = await _kept(session, now)
        before = (row.dunning, row.grace_period_days)
        if change.retry_after_days is not None:
            row.retry_after_days = list(change.retry_after_days)
        if change.stop_on_decline_codes is not None:
            row.stop_on_decline_codes = sorted(set(change.stop_on_decline_codes))
        row.final_action = change.final_action or row.final_action
        row.trial_end_action = change.trial_end_action or row.trial_end_action
        if change.grace_period_days is not None:
            row.grace_period_days = change.grace_period_days
        if (row.dunning, row.grace_period_days) != before:
            row.touch(now)
        return row

    return await written(app, write)


async def _kept(session: AsyncSession, now: datetime) -> Organization:
    """The row, held so that its changes wait for one another; born now if nobody has changed anything yet."""
    row = await locked_organization(session)
    if row is None:
        row = new_organization(now)
        session.add(row)
    return row


def _check_settings(change: SettingsChange) -> None:
    if change.name is not None and not 1 <= len(change.name.strip()) <= _LONGEST_NAME:
        raise UserProblem(ErrorCode.INVALID, f"A name has 1 to {_LONGEST_NAME} characters.", ["name"])
    if change.timezone is not None and change.timezone not in available_timezones():
        message = "timezone: name a zone of the IANA database, such as Europe/Berlin."
        raise UserProblem(ErrorCode.INVALID, message, ["timezone"])


def _check(change: PolicyChange) -> None:
    wrong = wrong_with_retries(change.retry_after_days) if change.retry_after_days is not None else None
    if wrong is not None:
        raise UserProblem(ErrorCode.INVALID, wrong, ["retryAfterDays"])
    codes = change.stop_on_decline_codes or ()
    if len(codes) > _MOST_CODES or any(not code or len(code) > _LONGEST_CODE for code in codes):
        message = f"At most {_MOST_CODES} codes of 1 to {_LONGEST_CODE} characters, such as insufficient_funds."
        raise UserProblem(ErrorCode.INVALID, message, ["stopOnDeclineCodes"])
    if change.grace_period_days is not None and not 0 <= change.grace_period_days <= MAX_GRACE_DAYS:
        raise UserProblem(ErrorCode.INVALID, f"From 0 to {MAX_GRACE_DAYS} days.", ["gracePeriodDays"])
