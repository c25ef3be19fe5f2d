"""The demo catalog and customers, loaded once into a development database."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count

from billing.calendar import Interval
from billing.money import Money
from models.base import new_id
from models.catalog import AppRole, Plan, Price, Product, product_by
from services.app import Actor, ActorKind, App
from services.people.customers import ensure_customer
from services.wallet.cards import attach_payment_method


@dataclass(frozen=True, slots=True)
class _Plan:
    code: str
    name: str
    interval: Interval
    prices: Mapping[str, str]
    description: str
    role_id: int | None = None
    trial_period_days: int = 0
    billing_day: int | None = None
    is_online_sale: bool = True


@dataclass(frozen=True, slots=True)
class _Product:
    code: str
    name: str
    plans: tuple[_Plan, ...]
    aliases: tuple[str, ...] = field(default=())


ROLES = {10: ("user", "User"), 20: ("reader", "Reader")}

_M, _Y = Interval.MONTH, Interval.YEAR
# The first price of a plan is its default one.
PRODUCTS = (
    _Product(
        "reader-pro",
        "Reader Pro",
        (_Plan("reader-pro", "Reader Pro", _M, {"USD": "7.00", "CNY": "101.00"}, "Every book, every month.", 20),),
    ),
    _Product(
        "classic_coffee",
        "Classic Coffee",
        (
            _Plan("classic-coffee-monthly", "Classic Coffee", _M, {"AED": "49.00"}, "One classic cup a day."),
            _Plan("classic-coffee-yearly", "Classic Coffee, a year", _Y, {"AED": "490.00"}, "A year of classic cups."),
        ),
        ("classic_cup",),
    ),
    _Product(
        "specialty_coffee",
        "Specialty Coffee",
        (
            _Plan("specialty-coffee-monthly", "Specialty Coffee", _M, {"AED": "79.00"}, "One specialty cup a day."),
            _Plan(
                "specialty-coffee-yearly",
                "Specialty Coffee, a year",
                _Y,
                {"AED": "790.00"},
                "A year of specialty cups.",
            ),
        ),
        ("specialy_cup",),
    ),
    _Product(
        "acme-music",
        "Acme Music",
        (
            _Plan("basic-streaming", "Basic Streaming", _M, {"SGD": "3.00"}, "Music with everything you need."),
            _Plan(
                "basic-monthly",
                "Basic Monthly",
                _M,
                {"BRL": "29.90"},
                "Seven days free, then billed on the 5th.",
                trial_period_days=7,
                billing_day=5,
            ),
        ),
    ),
    _Product(
        "premium",
        "Premium",
        (
            _Plan("premium-monthly", "Premium", _M, {"USD": "9.99"}, "Everything, month by month."),
            _Plan("premium-yearly", "Premium, a year", _Y, {"USD": "99.00"}, "Everything, two months free."),
        ),
    ),
    _Product("free", "Free", (_Plan("free", "Free", _M, {"USD": "0.00"}, "To look around, without a card."),)),
)

# user id, name, and whether the card that is saved for it pays
USERS = (("demo-card", "Dana Card", True), ("demo-decline", "Deniz Decline", False))


async def load_demo(app: App) -> bool:
    """Load what is missing; whether anything was. `demo-new` and `demo-admin` need no rows, cards the sandbox."""
    loaded = await load_catalog(app)
    if app.browser is None:
        return loaded
    for user_id, name, pays in USERS:
        actor = Actor(ActorKind.CUSTOMER, user_id, f"{user_id}@example.com", name)
        customer = await ensure_customer(app, actor)
        if customer.default_payment_method_id is None:
            card = app.browser.paying_card if pays else app.browser.refused_card
            await attach_payment_method(app, actor, reference=card, make_default=True, customer_id=None)
            loaded = True
    return loaded


async def load_catalog(app: App) -> bool:
    """Load the products that are missing; whether any was. Needs no gateway."""
    now = app.now()
    loaded = False
    positions = count(1)
    async with app.database.write() as session:
        for role_id, (code, name) in ROLES.items():
            if await session.get(AppRole, role_id) is None:
                session.add(AppRole(id=role_id, code=code, name=name))
        await session.flush()
        for offered in PRODUCTS:
            if await product_by(session, code=offered.code) is not None:
                continue
            loaded = True
            product = Product(
                id=new_id("product"),
                code=offered.code,
                name=offered.name,
                aliases=list(offered.aliases),
                created_at=now,
                updated_at=now,
            )
            session.add(product)
            await session.flush()
            for plan in offered.plans:
                row = Plan(
                    id=new_id("plan"),
                    product_id=product.id,
                    code=plan.code,
                    name=plan.name,
                    item=offered.code,
                    description=plan.description,
                    position=next(positions),
                    interval=plan.interval,
                    billing_day=plan.billing_day,
                    trial_period_days=plan.trial_period_days,
                    role_id=plan.role_id,
                    is_online_sale=plan.is_online_sale,
                    created_at=now,
                    updated_at=now,
                )
                session.add(row)
                await session.flush()
                for currency, amount in plan.prices.items():
                    session.add(
                        Price(
                            id=new_id("price"),
                            plan_id=row.id,
                            currency=currency,
                            amount_minor=Money.of(amount, currency).minor,
                            is_default=currency == next(iter(plan.prices)),
                            effective_from=now,
                        )
                    )
    return loaded
