"""Enums of plans, prices and what they grant, each value described."""

from billing.metering import Aggregation, UsageType
from billing.pricing import BillingScheme, Rounding, TiersMode
from models.catalog import PricingType, ProductType
from models.credits import CreditKind
from schema.enums import publish

publish(
    UsageType,
    "UsageType",
    "What a plan bills by.",
    {
        "LICENSED": "A chosen quantity, in advance.",
        "METERED": "What was used, in arrears; see `recordUsage`.",
    },
)
publish(
    Aggregation,
    "AggregateUsage",
    "How the usage of a period becomes one number.",
    {
        "SUM": "All quantities together.",
        "MAX": "The largest quantity.",
        "LAST_DURING_PERIOD": "The latest quantity.",
        "COUNT": "How many events there were, whatever their quantities.",
        "UNIQUE_COUNT": "How many different `uniqueValue`s there were.",
    },
)
publish(
    BillingScheme,
    "BillingScheme",
    "Whether every unit costs the same.",
    {"PER_UNIT": "Each unit at one price.", "TIERED": "What a unit costs depends on how many there are."},
)
publish(
    TiersMode,
    "TiersMode",
    "How tiers apply.",
    {
        "GRADUATED": "Each unit at the price of the tier that it falls in.",
        "VOLUME": "All units at the price of the tier that the last one falls in.",
    },
)
publish(
    Rounding,
    "Rounding",
    "What becomes of a package that is not full.",
    {"UP": "It counts as a whole one.", "DOWN": "It does not count."},
)
publish(
    ProductType,
    "ProductType",
    "What kind of thing a product is.",
    {"SERVICE": "Something used, such as access.", "GOOD": "Something sent."},
)
publish(
    PricingType,
    "PricingType",
    "What role a plan plays in the shop. It orders and filters lists, and changes nothing about money.",
    {
        "STANDARD": "One of the usual offers.",
        "PROMOTIONAL": "An offer for a while.",
        "LEGACY": "Kept for those who have it.",
    },
)
publish(
    CreditKind,
    "CreditKind",
    "What moves credits.",
    {
        "GRANT": "They were granted, by a paid period or by hand.",
        "CONSUME": "They were consumed.",
        "EXPIRE": "They were unused when new ones were granted.",
        "ADJUST": "They were set right by hand.",
        "REFUND": "What was consumed was given back.",
    },
)
