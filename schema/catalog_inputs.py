"""What the catalog is given: products and plans, to be made and to be edited.

One input serves both: what is left out stays as it is, and null sets back to what is usual.
"""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import strawberry
from strawberry.scalars import JSON

from billing.calendar import Interval
from billing.errors import ErrorCode, UserProblem
from billing.metering import Aggregation, UsageType
from billing.offering import PlanTerms
from billing.pricing import BillingScheme, TiersMode
from models.catalog import PricingType, ProductType
from schema.fields import described, editable, edits
from schema.given import METADATA, notes
from schema.inputs import at_most, within
from schema.plan_term_inputs import (
    PlanCreditInput,
    PlanEntitlementInput,
    PlanPriceInput,
    TransformUsageInput,
    prices_over,
)
from schema.scalars import URL
from services.selling.entries import BLANK_PLAN, BLANK_PRODUCT, PlanEntry, ProductEntry

MOST_TEXTS = 20
_LARGEST_SIZE = 10**6
_EDITING = "What an update leaves out stays as it is; null sets it back to what it is unless given."


@strawberry.input(description="How large and how heavy a parcel is, in the merchant's own units; at most 4 decimals.")
class PackageDimensionsInput:
    height: Decimal = described("How high.")
    length: Decimal = described("How long.")
    weight: Decimal = described("How heavy.")
    width: Decimal = described("How wide.")

    def sizes(self) -> dict[str, Decimal]:
        sizes = {"height": self.height, "length": self.length, "weight": self.weight, "width": self.width}
        for name, size in sizes.items():
            if not 0 < size <= _LARGEST_SIZE or size != round(size, 4):
                message = f"{name}: give more than 0, at most 10^6, with at most 4 decimals."
                raise UserProblem(ErrorCode.INVALID, message, ["packageDimensions", name])
        return sizes


@strawberry.input(description=f"A product to sell. {_EDITING}")
class ProductInput:
    code: str | None = editable("Its public name, unique; its id unless given. At most 100 letters, digits, `.-_`.")
    name: str | None = editable("Its name for people. Required; at most 250 characters.")
    type: ProductType | None = editable("What kind of thing it is; SERVICE unless given.")
    description: str | None = editable("What it is, for people.")
    images: list[URL] | None = editable("Pictures of it, at most 20.")
    attributes: list[str] | None = editable("Names of what variants differ in, at most 20 of 100 characters.")
    skus: list[str] | None = editable("The merchant's own numbers of its variants, at most 20 of 100 characters.")
    unit_label: str | None = editable("What one unit is called, such as `seat`; at most 40 characters.")
    statement_descriptor: str | None = editable(
        "What card statements shall say: at most 22 plain characters, none of `< > \\ ' \" *`."
    )
    shippable: bool | None = editable("Whether it is sent; false unless given.")
    package_dimensions: PackageDimensionsInput | None = editable("The parcel that it is sent in; none unless given.")
    is_active: bool | None = editable("Whether it is offered; true unless given.")
    metadata: JSON | None = editable(METADATA)

    def over(self, present: ProductEntry) -> ProductEntry:
        """Its edit of what there is. Raises UserProblem INVALID."""
        given = edits(self, present, BLANK_PRODUCT, _OF_PRODUCTS)
        if self.package_dimensions is not strawberry.UNSET:
            parcel = self.package_dimensions
            given["package_dimensions"] = parcel.sizes() if parcel is not None else {}
        if self.metadata is not strawberry.UNSET:
            given["metadata"] = notes(self.metadata)
        entry = replace(present, **given)
        at_most(250, name=entry.name)
        at_most(5_000, description=entry.description)
        at_most(40, unit_label=entry.unit_label)
        if len(entry.images) > MOST_TEXTS:
            raise UserProblem(ErrorCode.INVALID, f"images: at most {MOST_TEXTS} are kept.", ["images"])
        _check_texts("attributes", entry.attributes)
        _check_texts("skus", entry.skus)
        return entry


_OF_PRODUCTS = (
    "code",
    "name",
    "type",
    "description",
    "images",
    "attributes",
    "skus",
    "unit_label",
    "statement_descriptor",
    "shippable",
    "is_active",
)


@strawberry.input(
    description=f"A plan to sell a product by. {_EDITING} What periods and bills are computed from never changes: the "
    "product, the interval, what is counted and how."
)
class PlanInput:
    code: str | None = editable("Its public name, unique; its id unless given. At most 100 letters, digits, `.-_`.")
    name: str | None = editable("Its name for people. Required; at most 250 characters.")
    nickname: str | None = editable("Its name among staff; at most 250 characters.")
    description: str | None = editable("What one gets, for people.")
    highlight: str | None = editable("A word to draw attention to it, such as 'Popular'.")
    item: str | None = editable("What the merchant's own system calls the thing sold; at most 250 characters.")
    type: PricingType | None = editable("What role it plays in the shop; STANDARD unless given.")
    position: int | None = editable(
        "Its place in the shop, 0 to 1000000, the least first and the older of two first; after all unless given."
    )
    product_id: strawberry.ID | None = editable("The product, by its id; or give `productCode`. Never changes.")
    product_code: str | None = editable("The product, by its code or an alias; or give `productId`. Never changes.")
    interval: Interval | None = editable("The unit of its period. Required. Never changes.")
    interval_count: int | None = editable(
        "How many units make a period, three years at most; 1 unless given. Never changes."
    )
    billing_day: int | None = editable(
        "The day of the month that it bills on, 1 to 31; months and years only. Holds for new subscriptions."
    )
    trial_period_days: int | None = editable(
        "How many days are free at first, at most 730; none unless given. Holds for new subscriptions."
    )
    prices: list[PlanPriceInput] | None = editable(
        "What it costs, one price for each currency. Required. An update names those that change: each becomes a new "
        "price, for new subscriptions; currencies that are not named keep theirs."
    )
    usage_type: UsageType | None = editable("What it bills by; LICENSED unless given. Never changes.")
    aggregate_usage: Aggregation | None = editable(
        "How usage becomes one number. Required with METERED. Never changes."
    )
    feature_code: str | None = editable(
        "What is measured. Required with METERED; made if it does not exist. Never changes."
    )
    billing_scheme: BillingScheme | None = editable(
        "Whether every unit costs the same; PER_UNIT unless given. Never changes."
    )
    tiers_mode: TiersMode | None = editable("How tiers apply. Required with TIERED. Never changes.")
    transform_usage: TransformUsageInput | None = editable("Packages; not together with tiers. Never changes.")
    is_active: bool | None = editable("Whether it exists for new subscriptions at all; true unless given.")
    is_online_sale: bool | None = editable("Whether customers may subscribe to it themselves; true unless given.")
    cancel_at_period_end: bool | None = editable("Whether new subscriptions end with their period; false unless given.")
    role_id: int | None = editable("The application's role that paying for it grants; one of `appRoles`.")
    entitlements: list[PlanEntitlementInput] | None = editable(
        "What it allows, once for each feature, instead of all that it allowed. Holds for present subscribers at once."
    )
    credits: list[PlanCreditInput] | None = editable(
        "What each paid period grants, once for each unit, instead of all that it granted. Holds from the next paid "
        "period on."
    )
    tax_percent: Decimal | None = editable(
        "Tax on top of its prices, in per cent, at most 4 decimals. Holds from the next invoice on."
    )
    metadata: JSON | None = editable(METADATA)

    def over(self, present: PlanEntry) -> PlanEntry:
        """Its edit of what there is. Raises UserProblem REQUIRED, INVALID."""
        given = edits(self, present, BLANK_PLAN, _OF_PLANS)
        if self.metadata is not strawberry.UNSET:
            given["metadata"] = notes(self.metadata)
        if self.product_id or self.product_code:
            given |= {"product_id": self.product_id or None, "product_code": self.product_code or None}
        if self.interval is None or (self.interval is strawberry.UNSET and present is BLANK_PLAN):
            raise UserProblem(ErrorCode.REQUIRED, "Say how often it bills: give interval.", ["interval"])
        entry = replace(present, terms=self._terms(present.terms), **given)
        at_most(250, name=entry.name, nickname=entry.nickname, item=entry.item)
        at_most(5_000, description=entry.description)
        at_most(100, highlight=entry.highlight)
        within(0, 1_000_000, position=entry.position)
        return entry

    def _terms(self, present: PlanTerms) -> PlanTerms:
        given = edits(self, present, BLANK_PLAN.terms, _OF_TERMS)
        if self.billing_scheme is not strawberry.UNSET:
            given["scheme"] = self.billing_scheme or BLANK_PLAN.terms.scheme
        if self.transform_usage is not strawberry.UNSET:
            given["package"] = self.transform_usage.package() if self.transform_usage is not None else None
        if self.prices is not strawberry.UNSET:
            given["prices"] = prices_over(self.prices, present.prices) if self.prices is not None else ()
        if self.entitlements is not strawberry.UNSET:
            given["entitlements"] = [each.entitlement() for each in self.entitlements or ()]
        if self.credits is not strawberry.UNSET:
            given["credits"] = [each.allowance() for each in self.credits or ()]
        return replace(present, **given)


_OF_PLANS = (
    "code",
    "name",
    "nickname",
    "description",
    "highlight",
    "item",
    "type",
    "position",
    "is_active",
    "is_online_sale",
    "cancel_at_period_end",
    "role_id",
)
_OF_TERMS = (
    "interval",
    "interval_count",
    "billing_day",
    "trial_period_days",
    "usage_type",
    "aggregate_usage",
    "feature_code",
    "tiers_mode",
    "tax_percent",
)


def _check_texts(name: str, texts: Sequence[str]) -> None:
    if len(texts) > MOST_TEXTS:
        raise UserProblem(ErrorCode.INVALID, f"{name}: at most {MOST_TEXTS} are kept.", [name])
    for n, text in enumerate(texts):
        if not 1 <= len(text) <= 100:
            raise UserProblem(ErrorCode.INVALID, f"{name}: each has 1 to 100 characters.", [name, str(n)])
