"""Usage: what a meter counted in a period, and how many units of it are billed."""

from enum import StrEnum


class UsageType(StrEnum):
    """Whether a plan bills a chosen quantity in advance, or what was used in arrears."""

    LICENSED = "licensed"
    METERED = "metered"


class Aggregation(StrEnum):
    """How the usage of a period becomes one number."""

    SUM = "sum"
    MAX = "max"
    LAST_DURING_PERIOD = "last_during_period"
    COUNT = "count"
    UNIQUE_COUNT = "unique_count"
