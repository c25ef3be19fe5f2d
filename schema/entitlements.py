"""What customers may do, and by which subscription: features, limits, and the application's role."""

import asyncio
import math
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

import strawberry

from billing.entitlements import Entitled, Grant, Source, highest_role, sum_up
from billing.money import LARGEST_TOLD
from models.subscriptions import Subscription
from resolvers.entitlement_tokens import expiry
from resolvers.standing import ends_at
from schema import subscriptions
from schema.catalog import AppRole
from schema.fields import Info, PlanSubscriptionRef, described
from schema.plan_terms import Feature, feature_of
from schema.scalars import BigInt


@strawberry.type(description="All that may be done of one feature, over every subscription that gives access.")
class Entitlement:
    is_enabled: bool = described("Whether it is allowed at all.")
    limit: BigInt | None = described("How much of it in all; null: as much as one likes, if it is enabled.")
    is_unlimited: bool = described("Whether it is enabled without a limit.")
    resets_at: datetime | None = described("When what was used counts anew; of several subscriptions the first time.")
    value: strawberry.Private[Entitled]
    rows: strawberry.Private[Sequence[Subscription]]

    @classmethod
    def of(cls, value: Entitled, rows: Sequence[Subscription]) -> "Entitlement":
        """`rows` are the subscriptions that give something of it."""
        return cls(
            is_enabled=value.is_enabled,
            limit=BigInt(value.limit) if value.limit is not None else None,
            is_unlimited=value.is_unlimited,
            resets_at=value.resets_at,
            value=value,
            rows=rows,
        )

    @strawberry.field(description="The feature.")
    async def feature(self, info: Info) -> Feature:
        return await feature_of(info, self.value.feature_id)

    @strawberry.field(description="How much of it was used in the periods under way, as `recordUsage` told it.")
    async def used(self, info: Info) -> BigInt:
        return BigInt(await self.usage(info))

    @strawberry.field(description="How much of it is left, never less than nothing; null without a limit.")
    async def remaining(self, info: Info) -> BigInt | None:
        if self.value.limit is None:
            return None
        return BigInt(max(self.value.limit - await self.usage(info), 0))

    @strawberry.field(description="The subscription that gives it; null when several do, or none.")
    def source(self) -> PlanSubscriptionRef | None:
        return subscriptions.PlanSubscription.of(self.rows[0]) if len(self.rows) == 1 else None

    async def usage(self, info: Info) -> int:
        """A part of a unit counts as one."""
        loader = info.context.loaders.usage_of_subscription
        each = await asyncio.gather(*(loader.load((row.id, row.period_start, row.period_end)) for row in self.rows))
        total = math.ceil(sum((used.get(self.value.feature_id, Decimal(0)) for used in each), start=Decimal(0)))
        return min(total, LARGEST_TOLD)


@strawberry.type(description="What a customer may do now.")
class Entitlements:
    items: list[Entitlement] = described("Every feature that the customer's subscriptions name, by its code.")
    role: AppRole | None = described("The highest role that they grant in the application; null if none does.")
    role_ends_at: datetime | None = described("When that role ends; null while it goes on, or if there is none.")
    token_expires_at: datetime | None = described("When `token` expires: ten minutes after it was made.")
    user_id: strawberry.Private[str]
    told_at: strawberry.Private[datetime]

    @strawberry.field(
        description="All of this signed (JWS, ES256), for whoever lets the user in: it is checked without asking this "
        "server, with the keys at `/.well-known/jwks.json`. It proves what `sub` may do, not who carries it."
    )
    async def token(self, info: Info) -> str | None:
        enabled = [each for each in self.items if each.is_enabled]
        features = await asyncio.gather(*(each.feature(info) for each in enabled))
        allowed = {
            feature.code: {"limit": each.limit, "used": await each.usage(info)}
            for feature, each in zip(features, enabled, strict=True)
        }
        role = self.role.code if self.role is not None else None
        return info.context.entitlement_keys.issue(self.user_id, role=role, allowed=allowed, at=self.told_at)


async def entitlements_of(info: Info, user_id: str, rows: Sequence[Subscription]) -> Entitlements:
    """The sum over those of this user's subscriptions that give access now."""
    live, sources = await _sources(info, rows)
    role = highest_role(sources)
    found = await info.context.loaders.app_role.load(role[0]) if role is not None else None
    told_at = info.context.app.machine_now()
    return Entitlements(
        items=await _items(info, sources, live),
        role=AppRole.of(found) if found is not None else None,
        role_ends_at=role[1] if role is not None else None,
        token_expires_at=expiry(told_at),
        user_id=user_id,
        told_at=told_at,
    )


async def entitlements_by(info: Info, row: Subscription) -> list[Entitlement]:
    """What this subscription alone allows now."""
    live, sources = await _sources(info, [row])
    return await _items(info, sources, live)


async def _sources(info: Info, rows: Sequence[Subscription]) -> tuple[Sequence[Subscription], Sequence[Source]]:
    """Those that give access now, and what each gives."""
    opens = await asyncio.gather(*(subscriptions.PlanSubscription.of(row).gives_access(info) for row in rows))
    live = [row for row, is_open in zip(rows, opens, strict=True) if is_open]
    return live, await asyncio.gather(*(_source(info, row) for row in live))


async def _source(info: Info, row: Subscription) -> Source:
    loaders = info.context.loaders
    items = await loaders.items_of_subscription.load(row.id)
    plans = await asyncio.gather(*(loaders.plan.load(item.plan_id) for item in items))
    allowed = await asyncio.gather(*(loaders.entitlements_of_plan.load(item.plan_id) for item in items))
    return Source(
        subscription_id=row.id,
        resets_at=row.period_end,
        grants=[
            Grant(each.feature_id, each.is_enabled, each.limit, item.quantity)
            for item, grants in zip(items, allowed, strict=True)
            for each in grants
        ],
        role_ids=[plan.role_id for plan in plans if plan is not None and plan.role_id is not None],
        ends_at=ends_at(row),
    )


async def _items(info: Info, sources: Sequence[Source], rows: Sequence[Subscription]) -> list[Entitlement]:
    by_id = {row.id: row for row in rows}
    summed = sum_up(sources)
    features = await info.context.loaders.feature.load_many([each.feature_id for each in summed])
    codes = {feature.id: feature.code for feature in features if feature is not None}
    return [
        Entitlement.of(each, [by_id[source.subscription_id] for source in each.sources])
        for each in sorted(summed, key=lambda each: codes[each.feature_id])
    ]
