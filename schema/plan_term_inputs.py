"""What a plan's terms are given by: prices and tiers, packages, what it allows and grants."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import strawberry

from billing.offering import NewAllowance, NewEntitlement, NewPrice
from billing.pricing import Package, Rounding, Tier
from schema.fields import described, optional
from schema.scalars import BigInt, CurrencyCode


@strawberry.input(description="The units up to a number, and what they cost.")
class PriceTierInput:
    up_to: BigInt | None = optional("The last unit of this tier; left out of the last tier, and only there.")
    unit_amount: Decimal | None = optional("The price of one unit in major units; at most 12 decimals.")
    flat_amount: Decimal | None = optional("What is asked once as soon as the tier is reached, in major units.")

    def tier(self) -> Tier:
        return Tier(self.up_to, self.unit_amount or Decimal(0), self.flat_amount or Decimal(0))


@strawberry.input(description="What a plan costs in one currency. Say it by `amount`, `unitAmountDecimal` or `tiers`.")
class PlanPriceInput:
    currency_code: CurrencyCode = described("The currency.")
    amount: Decimal | None = optional('The price of one unit and period in major units: "9.99".')
    unit_amount_decimal: Decimal | None = optional(
        'The same where it is finer than the currency: "0.0035". Amounts are rounded once, on the invoice\'s line.'
    )
    tiers: list[PriceTierInput] | None = optional("With `billingScheme: TIERED`: ascending, the last without `upTo`.")
    is_default: bool | None = optional(
        "Whether it is the price when no currency is asked for. Unless given, the one that is stays it; of a new plan "
        "it is the first one."
    )
    is_active: bool = strawberry.field(
        description="False takes the currency off sale, and stands without a price. Present subscribers keep theirs.",
        default=True,
    )

    def price(self, *, was_default: bool) -> NewPrice:
        stays = was_default and self.is_active
        return NewPrice(
            currency=self.currency_code,
            amount=self.amount,
            unit_amount=self.unit_amount_decimal,
            tiers=tuple(tier.tier() for tier in self.tiers or ()),
            is_default=stays if self.is_default is None else self.is_default,
            is_active=self.is_active,
        )


@strawberry.input(description="Packages: quantities are divided and rounded before they are priced.")
class TransformUsageInput:
    divide_by: int = described("How many units make a package; 1 or more.")
    round: Rounding = described("What becomes of a package that is not full.")

    def package(self) -> Package:
        return Package(self.divide_by, self.round)


@strawberry.input(description="What a plan allows of a feature.")
class PlanEntitlementInput:
    feature_code: str = described("The feature; one that does not exist comes into being.")
    is_enabled: bool = strawberry.field(description="Whether it is allowed at all.", default=True)
    limit: BigInt | None = optional("How much of it; without limit unless given.")

    def entitlement(self) -> NewEntitlement:
        return NewEntitlement(self.feature_code, self.is_enabled, self.limit)


@strawberry.input(description="Credits that each paid period of a plan grants. Give `daily`, `total` or both.")
class PlanCreditInput:
    unit: str = described("What they are credits for, such as `classic_cup`.")
    daily: BigInt | None = optional("How many a day may be consumed, for each of the item's quantity.")
    total: BigInt | None = optional("How many a period grants for each of the quantity; daily × its days unless given.")
    is_fixed: bool = strawberry.field(
        description="Whether they are granted once only, and then neither refilled nor taken away.", default=False
    )

    def allowance(self) -> NewAllowance:
        return NewAllowance(self.unit, self.daily, self.total, self.is_fixed)


def prices_over(given: Sequence[PlanPriceInput], present: Sequence[NewPrice]) -> Sequence[NewPrice]:
    """The given ones in their order, then those in currencies that are not named, as they are."""
    named, default = {each.currency_code for each in given}, {each.currency for each in present if each.is_default}
    moves = any(each.is_default for each in given)
    untouched = [each for each in present if each.currency not in named]
    return [
        *(each.price(was_default=not moves and each.currency_code in default) for each in given),
        *(replace(each, is_default=False) if moves else each for each in untouched),
    ]
