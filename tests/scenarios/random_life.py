"""One customer's life of random steps: what it does itself, its browsers, the gateway's dashboard, and the machine."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from random import Random
from typing import Any, TypeVar

import stripe
from sqlmodel import SQLModel, col, select

from billing.charging import SetupFutureUsage
from billing.errors import UserProblem
from gateways.sandbox import Fault
from gateways.sandbox.cards import GENERIC, INSUFFICIENT_FUNDS, STOLEN
from models.customers import customer_of_user
from services.app import Actor
from services.ends.canceling import CancelWish, cancel_subscription
from services.payments.resolving import refresh_payment
from services.subscriptions.ordering import SubscribeWish
from services.subscriptions.subscribing import subscribe
from services.wallet.card_changes import detach_payment_method, update_subscription_payment_method
from services.wallet.cards import attach_payment_method, set_default_payment_method
from tests.support.bank import MAY_DECLINE, Bank
from tests.support.house import House
from tests.support.outside import ASKS_ALWAYS, ASKS_THEN_DECLINES, DECLINES, VISA, Browser, dashboard, sandbox_of

ADMIN = "demo-admin"
WISHES = (
    ("reader-pro", "USD"),
    ("reader-pro", "CNY"),
    ("premium-monthly", "USD"),
    ("premium-yearly", "USD"),
    ("free", "USD"),
    ("basic-monthly", "BRL"),
)
CODES = ((None, None), (None, None), ("HALF", None), ("FIVE", None), ("ALL", None), (None, "spring"))
"""Coupon code and promotion code."""

SAVED = ("pm_card_visa", "pm_card_chargeCustomerFail", "pm_card_authenticationRequired")
TYPED = (VISA, DECLINES, ASKS_ALWAYS, ASKS_THEN_DECLINES)
BANKS = (VISA, MAY_DECLINE)
LOST = (
    Fault.TIMEOUT_BEFORE,
    Fault.TIMEOUT_AFTER,
    Fault.RESET_AFTER,
    Fault.CONFLICT_409,
    Fault.RATE_LIMIT_429,
    Fault.ERROR_500_BEFORE,
    Fault.ERROR_500_AFTER,
    Fault.KEYS_FORGOTTEN,
)
CALLS = ("/confirm", "/cancel", "/v1/payment_intents", "/v1/customers", "/v1/charges", "/v1/refunds")
NEWS = (Fault.WEBHOOKS_OFF, Fault.WEBHOOKS_TWICE, Fault.WEBHOOKS_LATE, Fault.WEBHOOKS_SHUFFLED)
PAUSES = (
    timedelta(seconds=11),
    timedelta(seconds=50),
    timedelta(hours=2),
    timedelta(hours=23),
    timedelta(days=3),
    timedelta(days=8),
    timedelta(days=31),
    timedelta(days=40),
    timedelta(hours=-1),
)

R = TypeVar("R", bound=SQLModel)


@dataclass
class Life:
    """One customer's round: what it has in hand, and what happened so far.

    `was_at_dashboard`: something happened of which only the gateway's news tell.
    """

    house: House
    seed: int
    cards: list[str] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)
    subscriptions: list[str] = field(default_factory=list)
    story: list[str] = field(default_factory=list)
    was_at_dashboard: bool = False

    def __post_init__(self) -> None:
        self.dice = Random(self.seed)
        self.user = f"life-{self.seed}"
        self.actor = self.house.actor(self.user)
        self.merchant = self.house.actor(ADMIN)
        self.house.pass_time(timedelta(days=self.dice.randrange(800), minutes=self.dice.randrange(1440)))

    async def live(self, acts: Mapping[str, "tuple[int, Act]"], steps: int) -> None:
        """So many random steps, some two at a time; the gateway's news may be disturbed all along."""
        if self.dice.random() < 0.5:
            sandbox_of(self.house).faults.at_rate(self.dice.choice(NEWS), self.dice.random(), self.seed)
        begins = ("save card", "subscribe") if self.dice.random() < 0.8 else ()
        for name in (*begins, *[None] * steps):
            at_once = 2 if name is None and self.dice.random() < 0.3 else 1
            taken = [self._step(acts, name) for _ in range(at_once)]
            self.story.append(" + ".join(name for name, _ in taken))
            answers = await asyncio.gather(*(_answer(step) for _, step in taken))
            told = " + ".join(f"{name}{answer}" for (name, _), answer in zip(taken, answers, strict=True))
            self.story[-1] = f"{self.house.clock.now():%F %R} {told}"
        sandbox_of(self.house).faults.clear()

    def _step(self, acts: Mapping[str, "tuple[int, Act]"], name: str | None) -> tuple[str, Awaitable[Any]]:
        """That step, else a random one."""
        if name is None:
            weights = {each: weight for each, (weight, _) in acts.items()}
            name = self.dice.choices(list(weights), list(weights.values()))[0]
        return name, acts[name][1](self)

    def anybody(self) -> Actor:
        """The customer itself, or the merchant in its absence."""
        return self.dice.choice((self.actor, self.actor, self.merchant))

    def any_subscription(self) -> str | None:
        """Mostly the newest one."""
        if not self.subscriptions:
            return None
        return self.subscriptions[-1] if self.dice.random() < 0.7 else self.dice.choice(self.subscriptions)

    async def rows(self, kind: type[R]) -> list[R]:
        """The customer's invoices or payments, in the order in which they came: a seed chooses the same each time."""
        async with self.house.app.database.read() as session:
            customer = await customer_of_user(session, self.user)
            table: Any = kind
            query = select(kind).where(table.customer_id == customer.id if customer else col(table.id) == "")
            return list((await session.exec(query.order_by(table.number))).all())

    async def customer_id(self) -> str | None:
        async with self.house.app.database.read() as session:
            customer = await customer_of_user(session, self.user)
            return customer.id if customer else None

    def note(self, outcome: Any) -> None:
        if outcome.subscription is not None and outcome.subscription.id not in self.subscriptions:
            self.subscriptions.append(outcome.subscription.id)
        if outcome.intent is not None and outcome.intent.snapshot is not None:
            self.secrets.append(outcome.intent.snapshot.client_secret)


Act = Callable[[Life], Awaitable[Any]]


async def save_card(life: Life) -> None:
    if len(life.cards) < len(SAVED):
        token = SAVED[len(life.cards)]
        life.cards.append(token)
        row = await attach_payment_method(
            life.house.app, life.actor, reference=token, make_default=False, customer_id=None
        )
        life.cards[life.cards.index(token)] = row.id


def kept_cards(life: Life) -> list[str]:
    return [card for card in life.cards if card not in SAVED]


async def order(life: Life) -> None:
    plan, currency = life.dice.choice(WISHES)
    card = life.dice.choice([None, *kept_cards(life) * 2])
    usage = life.dice.choice([None, SetupFutureUsage.OFF_SESSION])
    coupon, promotion = life.dice.choice(CODES)
    key = life.dice.choice([None, None, f"{plan}-{currency}-{card}-{usage}-{coupon}-{promotion}"])
    wish = SubscribeWish(
        plan_code=plan,
        currency=currency,
        payment_method_id=card,
        setup_future_usage=usage,
        idempotency_key=key,
        quantity=life.dice.choice((1, 1, 3)),
        coupon_code=coupon,
        promotion_code=promotion,
    )
    life.note(await subscribe(life.house.app, life.actor, wish))


async def refresh(life: Life) -> None:
    if (chosen := life.any_subscription()) is not None:
        life.note(await refresh_payment(life.house.app, life.actor, chosen, None))


async def cancel(life: Life) -> None:
    if (chosen := life.any_subscription()) is not None:
        wish = CancelWish(
            chosen,
            at_period_end=life.dice.random() < 0.5,
            refunds_unused=life.dice.random() < 0.3,
        )
        await cancel_subscription(life.house.app, life.anybody(), wish)


async def type_card(life: Life) -> None:
    if life.secrets:
        await Browser(life.house).confirm(life.dice.choice(life.secrets), life.dice.choice(TYPED))


async def answer_challenge(life: Life) -> None:
    if not life.secrets:
        return
    reference, outcome = life.dice.choice(life.secrets).partition("_secret_")[0], life.dice.random() < 0.7
    intent = (await dashboard(life.house).payment_intents.retrieve_async(reference)).to_dict()
    if action := intent["next_action"]:
        url = (action.get("redirect_to_url") or {}).get("url") or action["use_stripe_sdk"]["stripe_js"]
        await Browser(life.house).answer(url, "succeeded" if outcome else "failed")


async def choose_default(life: Life) -> None:
    if kept := kept_cards(life):
        await set_default_payment_method(
            life.house.app,
            life.actor,
            payment_method_id=life.dice.choice(kept),
            customer_id=None,
            apply_to_subscriptions=True,
        )


async def pin_card(life: Life) -> None:
    if (kept := kept_cards(life)) and (chosen := life.any_subscription()):
        await update_subscription_payment_method(
            life.house.app,
            life.actor,
            subscription_id=chosen,
            payment_method_id=life.dice.choice(kept),
            card_token=None,
            retry_open_invoice=life.dice.random() < 0.8,
            expected_version=None,
            idempotency_key=None,
        )


async def drop_card(life: Life) -> None:
    if kept := kept_cards(life):
        await detach_payment_method(life.house.app, life.actor, payment_method_id=life.dice.choice(kept))


async def merchant_cancels(life: Life) -> None:
    if life.secrets:
        await dashboard(life.house).payment_intents.cancel_async(
            life.dice.choice(life.secrets).partition("_secret_")[0]
        )


async def bank_changes_its_mind(life: Life) -> None:
    number = life.dice.choice(BANKS)
    answers: list[Callable[[], None]] = [
        lambda: Bank().pays(number),
        *(partial(Bank().declines, number, decline) for decline in (GENERIC, INSUFFICIENT_FUNDS, STOLEN)),
        lambda: Bank().asks(number),
    ]
    life.dice.choice(answers)()


async def lose_answers(life: Life) -> None:
    fault, call = life.dice.choice(LOST), life.dice.choice(CALLS)
    sandbox_of(life.house).faults.arm(fault, count=life.dice.randint(1, 4), path_contains=call)


async def wait(life: Life) -> None:
    life.house.pass_time(life.dice.choice(PAUSES))


async def hear(life: Life) -> None:
    await sandbox_of(life.house).deliver_due()


async def work(life: Life) -> None:
    await life.house.work()


async def _answer(step: Awaitable[Any]) -> str:
    """A refusal is an answer, and so is an error at the gateway's own doors; all else is a fault."""
    try:
        await step
    except UserProblem as problem:
        return f" ({problem.code.value})"
    except stripe.StripeError as error:
        return f" ({error.code or type(error).__name__} at the gateway)"
    return ""


OWN_ACTS: Mapping[str, tuple[int, Act]] = {
    "save card": (2, save_card),
    "subscribe": (5, order),
    "refresh": (2, refresh),
    "cancel": (2, cancel),
    "type card": (3, type_card),
    "answer challenge": (3, answer_challenge),
    "choose default": (1, choose_default),
    "pin card": (1, pin_card),
    "drop card": (1, drop_card),
    "merchant cancels": (1, merchant_cancels),
    "bank changes its mind": (2, bank_changes_its_mind),
    "lose answers": (2, lose_answers),
    "wait": (8, wait),
    "hear": (2, hear),
    "work": (8, work),
}
