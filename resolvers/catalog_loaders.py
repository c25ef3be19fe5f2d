"""Batching of what is for sale: products, plans, prices, coupons."""

from collections.abc import Sequence
from functools import cached_property

from aiodataloader import DataLoader

from models.catalog import (
    AppRole,
    Feature,
    Plan,
    PlanCredit,
    PlanEntitlement,
    Price,
    Product,
    credits_of_plans,
    entitlements_of,
    prices_of,
    products_of_codes,
)
from models.coupons import Applied, Coupon, PromotionCode, discounts_of, promotion_codes_of, uses_of
from models.subscriptions import subscribers_of_plans, subscribers_of_prices
from resolvers.batching import Batching, Loader


class CatalogLoaders(Batching):
    """Of what belongs to nobody."""

    @cached_property
    def product(self) -> DataLoader[str, Product | None]:
        return self._one(Product)

    @cached_property
    def product_of_code(self) -> DataLoader[str, Product | None]:
        """By its code or another name of it."""
        return self._each(products_of_codes, missing=None)

    @cached_property
    def plan(self) -> DataLoader[str, Plan | None]:
        return self._one(Plan)

    @cached_property
    def price(self) -> DataLoader[str, Price | None]:
        return self._one(Price)

    @cached_property
    def app_role(self) -> DataLoader[int, AppRole | None]:
        return self._one(AppRole)

    @cached_property
    def feature(self) -> DataLoader[str, Feature | None]:
        return self._one(Feature)

    @cached_property
    def entitlements_of_plan(self) -> DataLoader[str, Sequence[PlanEntitlement]]:
        return self._many(entitlements_of, "plan_id")

    @cached_property
    def credits_of_plan(self) -> DataLoader[str, Sequence[PlanCredit]]:
        return self._many(credits_of_plans, "plan_id")

    @cached_property
    def coupon(self) -> DataLoader[str, Coupon | None]:
        return self._one(Coupon)

    @cached_property
    def promotion_code(self) -> DataLoader[str, PromotionCode | None]:
        return self._one(PromotionCode)

    @cached_property
    def codes_of_coupon(self) -> DataLoader[str, Sequence[PromotionCode]]:
        return self._many(promotion_codes_of, "coupon_id")

    @cached_property
    def discounts_of_subscription(self) -> DataLoader[str, Sequence[Applied]]:
        """Those that are on it, in the order of their application."""

        async def batch(wanted: list[str]) -> list[Sequence[Applied]]:
            async with self.database.read() as session:
                found = await discounts_of(session, wanted)
            return [[each for each in found if each.discount.subscription_id == id] for id in wanted]

        return Loader(batch)

    @cached_property
    def uses_of_discount(self) -> DataLoader[str, Sequence[int]]:
        """The numbers of the periods that it was used for."""
        return self._each(uses_of, missing=())

    @cached_property
    def subscribers_of_price(self) -> DataLoader[str, int]:
        """How many subscriptions that have not ended are at a price."""
        return self._each(subscribers_of_prices, missing=0)

    @cached_property
    def subscribers_of_plan(self) -> DataLoader[str, int]:
        """How many subscriptions that have not ended contain it."""
        return self._each(subscribers_of_plans, missing=0)

    @cached_property
    def prices_of_plan(self) -> DataLoader[str, Sequence[Price]]:
        """The default price first."""
        return self._many(prices_of, "plan_id")
