"""What quantities cost: worked examples of other engines, our own edges, and properties that hold for any tiers."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.explaining import recompute
from billing.pricing import BillingScheme, Package, PriceTerms, Rated, Rounding, Tier, TiersMode, billed_quantity, rate
from billing.recurring import rounded


def tiered(mode: TiersMode, *tiers: tuple[int | None, str, str], currency: str = "USD") -> PriceTerms:
    """Tiers as (up to, unit amount, flat amount)."""
    return PriceTerms(
        "prc_1",
        currency,
        Decimal(0),
        BillingScheme.TIERED,
        mode,
        [Tier(up_to, Decimal(unit), Decimal(flat)) for up_to, unit, flat in tiers],
    )


def packaged(divide_by: int, unit: str, side: Rounding) -> PriceTerms:
    return PriceTerms("prc_1", "USD", Decimal(unit), package=Package(divide_by, side))


def per_unit(unit: str) -> PriceTerms:
    return PriceTerms("prc_1", "USD", Decimal(unit))


def recomputed(rated: Rated) -> Fraction:
    """The formula worked out from the inputs alone, rounded once as a line is."""
    return Fraction(recompute(f"round({rated.formula})", {i.name: i.value for i in rated.inputs}, rated.currency).major)


G, V = TiersMode.GRADUATED, TiersMode.VOLUME
# https://docs.stripe.com/subscriptions/pricing-models/tiered-pricing
FONTS = ((5, "7", "0"), (10, "6.5", "0"), (None, "6", "0"))
# https://stripe.com/docs/billing/subscriptions/tiers
STEPS = ((5, "5", "0"), (10, "4", "0"), (15, "3", "0"), (20, "2", "0"), (None, "1", "0"))
# https://getlago.com/docs/guide/plans/charges/charge-models/volume
CALLS = ((10_000, "0.0010", "10"), (50_000, "0.0008", "10"), (100_000, "0.0006", "10"), (None, "0.0004", "10"))
# https://getlago.com/docs/guide/plans/charges/charge-models/graduated
API = ((100, "1", "0"), (200, "0.50", "0"), (None, "0.10", "0"))
# https://docs.killbill.io/latest/consumable_in_arrear
VIDEOS = ((5, "2", "0"), (None, "1", "0"))
# https://zuplo.com/docs/articles/monetization/pricing-models
REQUESTS = ((1_000, "0.10", "0"), (10_000, "0.05", "0"), (None, "0.01", "0"))

WORKED_EXAMPLES: list[tuple[str, PriceTerms, str, str]] = [
    *(("Stripe, volume", tiered(V, *FONTS), q, a) for q, a in {"1": "7", "5": "35", "6": "39", "20": "120"}.items()),
    ("Stripe, volume", tiered(V, *FONTS), "25", "150"),
    ("Stripe, graduated", tiered(G, *FONTS), "5", "35"),
    ("Stripe, graduated", tiered(G, *FONTS), "6", "41.50"),
    *(
        ("Stripe, volume in five tiers", tiered(V, *STEPS), q, a)
        for q, a in {"1": "5", "5": "25", "6": "24", "20": "40", "25": "25"}.items()
    ),
    ("Stripe, graduated in five tiers", tiered(G, *STEPS), "6", "29"),
    ("Stripe, graduated in five tiers", tiered(G, *STEPS), "20", "70"),
    ("Stripe, graduated in five tiers", tiered(G, *STEPS), "25", "75"),
    ("Lago, volume with a fixed fee", tiered(V, *CALLS), "65000", "49"),
    ("Lago, graduated", tiered(G, *API), "100", "100"),
    ("Lago, graduated", tiered(G, *API), "250", "155"),
    ("Lago, package: 5 USD per 100, the first 100 free", packaged(100, "5", Rounding.UP), "101", "10"),
    ("Kill Bill, consumable in arrear", tiered(G, *VIDEOS), "5", "10"),
    ("Kill Bill, consumable in arrear", tiered(G, *VIDEOS), "7", "12"),
    ("Zuplo, graduated", tiered(G, *REQUESTS), "15000", "600"),
    ("Zuplo, volume", tiered(V, *REQUESTS), "15000", "150"),
    ("Zuplo, per unit", per_unit("0.001"), "100000", "100"),
]


@pytest.mark.parametrize(("source", "terms", "quantity", "amount"), WORKED_EXAMPLES)
def test_worked_examples_of_other_engines(source: str, terms: PriceTerms, quantity: str, amount: str) -> None:
    rated = rate(terms, Decimal(quantity))
    assert rated.major == Fraction(amount)
    assert recomputed(rated) == Fraction(amount)


BEGUN = "ceil(quantity ÷ packageSize) × unitAmount"
FULL = "floor(quantity ÷ packageSize) × unitAmount"
REST = "(quantity − tier2UpTo)"
OWN_EDGES: list[tuple[PriceTerms, str, str, str, str]] = [
    (per_unit("7.00"), "3", "21", "quantity × unitAmount", "3 × USD 7.00"),
    (per_unit("0.0035"), "1000", "3.5", "quantity × unitAmount", "1000 × USD 0.0035"),
    (per_unit("7.00"), "0", "0", "quantity × unitAmount", "0 × USD 7.00"),
    (per_unit("7.00"), "1.25", "8.75", "quantity × unitAmount", "1.25 × USD 7.00"),
    (
        packaged(10, "5", Rounding.UP),
        "21",
        "15",
        BEGUN,
        "3 begun packages of 10 × USD 5.00",
    ),
    (packaged(10, "5", Rounding.UP), "20", "10", BEGUN, "2 begun packages of 10 × USD 5.00"),
    (packaged(10, "5", Rounding.UP), "0", "0", BEGUN, "0 begun packages of 10 × USD 5.00"),
    (packaged(10, "5", Rounding.UP), "20.001", "15", BEGUN, "3 begun packages of 10 × USD 5.00"),
    (packaged(10, "5", Rounding.DOWN), "29", "10", FULL, "2 full packages of 10 × USD 5.00"),
    (packaged(10, "5", Rounding.DOWN), "9", "0", FULL, "0 full packages of 10 × USD 5.00"),
    (
        tiered(G, (10, "1", "2"), (20, "0.5", "3"), (None, "0", "4")),
        "10",
        "12",
        "quantity × tier1UnitAmount + tier1FlatAmount",
        "10 × USD 1.00 + USD 2.00",
    ),
    (
        tiered(G, (10, "1", "2"), (20, "0.5", "3"), (None, "0", "4")),
        "10.5",
        "15.25",
        "tier1UpTo × tier1UnitAmount + tier1FlatAmount + (quantity − tier1UpTo) × tier2UnitAmount + tier2FlatAmount",
        "10 × USD 1.00 + USD 2.00 + 0.5 × USD 0.50 + USD 3.00",
    ),
    (
        tiered(G, (10, "1", "0"), (20, "0.5", "0"), (None, "0.25", "0")),
        "22",
        "15.5",
        f"tier1UpTo × tier1UnitAmount + (tier2UpTo − tier1UpTo) × tier2UnitAmount + {REST} × tier3UnitAmount",
        "10 × USD 1.00 + 10 × USD 0.50 + 2 × USD 0.25",
    ),
    (
        tiered(G, (10, "1", "2"), (None, "1", "0")),
        "0",
        "2",
        "quantity × tier1UnitAmount + tier1FlatAmount",
        "0 × USD 1.00 + USD 2.00",
    ),
    (
        tiered(V, (10, "1", "2"), (None, "0.5", "1")),
        "11",
        "6.5",
        "quantity × tier2UnitAmount + tier2FlatAmount",
        "11 × USD 0.50 + USD 1.00",
    ),
    (
        tiered(V, (10, "1", "2"), (None, "0.5", "1")),
        "0",
        "2",
        "quantity × tier1UnitAmount + tier1FlatAmount",
        "0 × USD 1.00 + USD 2.00",
    ),
    (tiered(V, (None, "0.002", "0"), currency="KWD"), "3", "0.006", "quantity × tier1UnitAmount", "3 × KWD 0.002"),
]


@pytest.mark.parametrize(("terms", "quantity", "amount", "formula", "text"), OWN_EDGES)
def test_each_way_of_pricing_with_its_formula_and_text(
    terms: PriceTerms, quantity: str, amount: str, formula: str, text: str
) -> None:
    rated = rate(terms, Decimal(quantity))
    assert (rated.major, rated.formula, rated.text) == (Fraction(amount), formula, text)
    assert recomputed(rated) == Fraction(rounded(rated.major, rated.currency).major)


@pytest.mark.parametrize(
    ("terms", "quantity", "billed"),
    [
        (per_unit("7.00"), "1.5", "1.5"),
        (packaged(100, "1", Rounding.UP), "101", "2"),
        (packaged(100, "1", Rounding.DOWN), "199.9", "1"),
        (packaged(3, "1", Rounding.UP), "1", "1"),
    ],
)
def test_what_is_counted_as_billed(terms: PriceTerms, quantity: str, billed: str) -> None:
    assert billed_quantity(terms, Decimal(quantity)) == Decimal(billed)


@pytest.mark.parametrize(
    "terms",
    [per_unit("1"), tiered(G, (None, "1", "0")), packaged(2, "1", Rounding.UP)],
)
def test_less_than_nothing_has_no_price(terms: PriceTerms) -> None:
    with pytest.raises(ValueError, match="not negative"):
        rate(terms, Decimal("-0.1"))


@pytest.mark.parametrize("terms", [tiered(G), tiered(V, (5, "1", "0"))])
def test_tiers_without_an_open_end_have_no_price(terms: PriceTerms) -> None:
    with pytest.raises(ValueError, match="no open tier"):
        rate(terms, Decimal(1))


def test_the_price_of_one_is_shown_only_where_there_is_one() -> None:
    shown = [
        str(terms.unit_money) if terms.unit_money else None
        for terms in (per_unit("7"), per_unit("0.0035"), tiered(G, (None, "1", "0")), packaged(2, "1", Rounding.UP))
    ]
    assert shown == ["USD 7.00", None, None, None]


# ── properties ──

units = st.decimals("0", "20", places=4)
flats = st.decimals("0", "20", places=2)
quantities = st.decimals("0", "500", places=3)


@st.composite
def any_tiers(draw: st.DrawFn, mode: TiersMode) -> PriceTerms:
    ends = sorted(draw(st.sets(st.integers(1, 400), max_size=5)))
    return tiered(mode, *((end, str(draw(units)), str(draw(flats))) for end in [*ends, None]))


any_price = st.one_of(
    any_tiers(G),
    any_tiers(V),
    units.map(lambda unit: per_unit(str(unit))),
    st.builds(packaged, st.integers(1, 50), units.map(str), st.sampled_from(Rounding)),
)


@given(any_price, quantities)
def test_every_formula_comes_to_its_amount(terms: PriceTerms, quantity: Decimal) -> None:
    rated = rate(terms, quantity)
    assert recomputed(rated) == Fraction(rounded(rated.major, rated.currency).major)


@given(any_tiers(G), quantities)
def test_graduated_is_each_tier_for_itself(terms: PriceTerms, quantity: Decimal) -> None:
    """The naive way: cut the quantity at every bound."""
    expected, below = Fraction(0), Decimal(0)
    for n, tier in enumerate(terms.tiers):
        if n and quantity <= below:
            break
        top = quantity if tier.up_to is None else min(quantity, Decimal(tier.up_to))
        expected += Fraction(top - below) * Fraction(tier.unit_amount) + Fraction(tier.flat_amount)
        below = Decimal(tier.up_to or 0)
    assert rate(terms, quantity).major == expected


@given(any_tiers(G), quantities, quantities)
def test_more_never_costs_less_in_graduated_tiers(terms: PriceTerms, one: Decimal, other: Decimal) -> None:
    assert rate(terms, min(one, other)).major <= rate(terms, max(one, other)).major


@given(st.integers(1, 50), units, quantities)
def test_begun_packages_are_full_ones_or_one_more(size: int, unit: Decimal, quantity: Decimal) -> None:
    up, down = [billed_quantity(packaged(size, str(unit), side), quantity) for side in (Rounding.UP, Rounding.DOWN)]
    assert up - down == (0 if Fraction(quantity) % size == 0 else 1)
