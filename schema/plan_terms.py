"""How a plan prices, what it allows and what it grants."""

from decimal import Decimal

import strawberry

import schema.catalog_enums  # noqa: F401 (publishes them before any type names one)
from billing.money import Money as Amount
from billing.pricing import Rounding
from models.catalog import Feature as FeatureRow
from models.catalog import Plan as PlanRow
from models.catalog import PlanCredit as PlanCreditRow
from models.catalog import PlanEntitlement as PlanEntitlementRow
from models.catalog import Price as PriceRow
from schema.fields import Info, described
from schema.interfaces import Node
from schema.money import Money
from schema.scalars import BigInt


@strawberry.type(description="Something that plans allow, limit or measure.")
class Feature(Node):
    code: str = described("Its name in the application's code.")
    name: str = described("Its name for people.")
    unit: str | None = described("What is counted; null where nothing is.")

    @classmethod
    def of(cls, row: FeatureRow) -> "Feature":
        return cls(id=strawberry.ID(row.id), code=row.code, name=row.name, unit=row.unit)


@strawberry.type(description="What a plan allows of a feature.")
class PlanEntitlement:
    is_enabled: bool = described("Whether it is allowed at all.")
    limit: BigInt | None = described("How much of it; null: as much as one likes, if it is enabled.")
    is_unlimited: bool = described("Whether it is enabled without a limit.")
    feature_id: strawberry.Private[str]

    @classmethod
    def of(cls, row: PlanEntitlementRow) -> "PlanEntitlement":
        return cls(
            is_enabled=row.is_enabled,
            limit=BigInt(row.limit) if row.limit is not None else None,
            is_unlimited=row.is_enabled and row.limit is None,
            feature_id=row.feature_id,
        )

    @strawberry.field(description="The feature.")
    async def feature(self, info: Info) -> Feature:
        return await feature_of(info, self.feature_id)


@strawberry.type(description="Credits that each paid period of a plan grants.")
class PlanCredit:
    unit: str = described("What they are credits for, such as `classic_cup`.")
    daily: BigInt | None = described("How many a day may be consumed, for each of the item's quantity; null: any.")
    total: BigInt | None = described(
        "How many are granted for a period, for each of the item's quantity; null: daily × days of the period."
    )
    is_fixed: bool = described("Whether they are granted once only, and then neither refilled nor taken away.")

    @classmethod
    def of(cls, row: PlanCreditRow) -> "PlanCredit":
        return cls(
            unit=row.unit,
            daily=BigInt(row.daily) if row.daily is not None else None,
            total=BigInt(row.total) if row.total is not None else None,
            is_fixed=row.is_fixed,
        )


@strawberry.type(description="The units up to a number, and what they cost.")
class PriceTier:
    up_to: BigInt | None = described("The last unit of this tier; null for the last tier, which has no end.")
    unit_amount: Decimal = described("The price of one unit in major units; it may be finer than a cent.")
    flat_amount: Money = described("What is asked once, beside the units, as soon as the tier is reached.")

    @classmethod
    def of(cls, row: PriceRow) -> "list[PriceTier]":
        return [
            cls(
                up_to=BigInt(tier["up_to"]) if tier["up_to"] is not None else None,
                unit_amount=Decimal(tier["unit_amount"]),
                flat_amount=Money.of(Amount.of(tier["flat_amount"], row.currency)),
            )
            for tier in row.tiers
        ]


@strawberry.type(description="Packages: quantities are divided and rounded before they are priced.")
class TransformUsage:
    divide_by: int = described("How many units make a package.")
    round: Rounding = described("What becomes of a package that is not full.")

    @classmethod
    def of(cls, row: PlanRow) -> "TransformUsage | None":
        if row.divide_by is None or row.divide_round is None:
            return None
        return cls(divide_by=row.divide_by, round=row.divide_round)


async def feature_of(info: Info, feature_id: str) -> Feature:
    """The feature of a row, held by a foreign key."""
    row = await info.context.loaders.feature.load(feature_id)
    assert row is not None
    return Feature.of(row)
