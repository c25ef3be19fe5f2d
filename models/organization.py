"""The one organization of a deployment, and its policies."""

from datetime import datetime
from typing import Any

from sqlmodel import Field
from sqlmodel.ext.asyncio.session import AsyncSession

from billing.dunning import DunningPolicy, FinalAction, TrialEndAction
from models.audit_log import Audited
from models.base import DOCUMENT, EnumText, Record

ORGANIZATION = "organization"
UNNAMED = "Perennial"


class Organization(Record, table=True):
    """Settings that administrators change while it runs; there is one row, born with the first change.

    `grace_period_days` and `timezone` None: as the environment says. `default_currency` is that of figures where none
    is named; `settings` are the merchant's own notes for front ends, open to everybody.
    """

    __tablename__ = "organizations"
    __audited__ = Audited()

    name: str = Field(default=UNNAMED, max_length=250)
    default_currency: str = Field(default="USD", max_length=3)
    timezone: str | None = Field(default=None, max_length=64)
    retry_after_days: list[int] = Field(sa_type=DOCUMENT)
    stop_on_decline_codes: list[str] = Field(default_factory=list, sa_type=DOCUMENT)
    final_action: FinalAction = Field(sa_type=EnumText(FinalAction))
    trial_end_action: TrialEndAction = Field(sa_type=EnumText(TrialEndAction))
    grace_period_days: int | None = None
    settings: dict[str, Any] = Field(default_factory=dict, sa_type=DOCUMENT)

    @property
    def dunning(self) -> DunningPolicy:
        return DunningPolicy(
            retry_after_days=tuple(self.retry_after_days),
            stop_on_decline_codes=frozenset(self.stop_on_decline_codes),
            final_action=self.final_action,
            trial_end_action=self.trial_end_action,
        )


async def organization(session: AsyncSession) -> Organization | None:
    return await session.get(Organization, ORGANIZATION)


async def locked_organization(session: AsyncSession) -> Organization | None:
    """The row, for its changes to wait for one another."""
    return await session.get(Organization, ORGANIZATION, with_for_update=True)


def organization_name(row: Organization | None) -> str:
    """What it is called; before the first change it has no row."""
    return row.name if row is not None else UNNAMED


async def dunning_policy(session: AsyncSession) -> DunningPolicy:
    """The policy in force."""
    row = await organization(session)
    return row.dunning if row is not None else DunningPolicy()


def new_organization(now: datetime) -> Organization:
    """The row as it is before the first change."""
    policy = DunningPolicy()
    return Organization(
        id=ORGANIZATION,
        retry_after_days=list(policy.retry_after_days),
        stop_on_decline_codes=sorted(policy.stop_on_decline_codes),
        final_action=policy.final_action,
        trial_end_action=policy.trial_end_action,
        created_at=now,
        updated_at=now,
    )
