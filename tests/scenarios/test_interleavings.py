"""No order of events can break it: what a customer, its browsers, the merchant, the news and the worker do, shuffled.

Every round is one customer's life of random steps, some two at a time, some with lost answers; its seed is printed.
PERENNIAL_TEST_INTERLEAVINGS sets how many rounds are lived (a long run), PERENNIAL_TEST_SEED where they begin.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Any

import pytest
import stripe
from sqlmodel import col, select

from billing.charging import SetupFutureUsage
from billing.errors import UserProblem
from billing.ledger import Account
from billing.lifecycle import ATTEMPT, PAYMENT, SUBSCRIPTION, InvoiceStatus, PaymentStatus, SubscriptionStatus
from gateways.sandbox import Fault
from models.customers import customer_of_user, gateway_account
from models.invoices import Invoice
from models.ledger import LedgerEntry
from models.payments import ChargeAttempt, Payment
from models.subscriptions import Subscription
from services.canceling import CancelWish, cancel_subscription
from services.cards import attach_payment_method, set_default_payment_method
from services.ordering import SubscribeWish
from services.resolving import refresh_payment
from services.subscribing import subscribe
from tests.support.house import House
from tests.support.outside import ASKS_ALWAYS, ASKS_THEN_DECLINES, DECLINES, VISA, Browser, dashboard, sandbox_of

ROUNDS = int(os.environ.get("PERENNIAL_TEST_INTERLEAVINGS", "10"))
FIRST_SEED = int(os.environ.get("PERENNIAL_TEST_SEED", "1"))
STEPS = 12

WISHES = (("reader-pro", "USD"), ("reader-pro", "CNY"), ("premium-monthly", "USD"), ("free", "USD"))
SAVED = ("pm_card_visa", "pm_card_chargeCustomerFail", "pm_card_authenticationRequired")
TYPED = (VISA, DECLINES, ASKS_ALWAYS, ASKS_THEN_DECLINES)
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
CALLS = ("/confirm", "/cancel", "/v1/payment_intents", "/v1/customers", "/v1/charges")
NEWS = (Fault.WEBHOOKS_OFF, Fault.WEBHOOKS_TWICE, Fault.WEBHOOKS_LATE, Fault.WEBHOOKS_SHUFFLED)
PAUSES = (timedelta(seconds=11), timedelta(seconds=50), timedelta(hours=2), timedelta(hours=23), timedelta(days=31))


@dataclass
class Life:
    """One customer's round: what it has in hand, and what happened so far."""

    house: House
    seed: int
    cards: list[str] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)
    subscriptions: list[str] = field(default_factory=list)
    story: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.dice = Random(self.seed)
        self.user = f"life-{self.seed}"
        self.actor = self.house.actor(self.user)

    async def live(self) -> None:
        if self.dice.random() < 0.5:
            sandbox_of(self.house).faults.at_rate(self.dice.choice(NEWS), self.dice.random(), self.seed)
        for _ in range(STEPS):
            steps = [self._step() for _ in range(2 if self.dice.random() < 0.3 else 1)]
            self.story.append(" + ".join(name for name, _ in steps))
            await asyncio.gather(*(_refusable(step) for _, step in steps))
        sandbox_of(self.house).faults.clear()

    def _step(self) -> tuple[str, Awaitable[Any]]:
        weights = {name: weight for name, (weight, _) in ACTS.items()}
        name = self.dice.choices(list(weights), list(weights.values()))[0]
        return name, ACTS[name][1](self)

    async def save_card(self) -> None:
        if len(self.cards) < len(SAVED):
            token = SAVED[len(self.cards)]
            self.cards.append(token)
            row = await attach_payment_method(
                self.house.app, self.actor, reference=token, make_default=False, customer_id=None
            )
            self.cards[self.cards.index(token)] = row.id

    async def subscribe(self) -> None:
        plan, currency = self.dice.choice(WISHES)
        card = self.dice.choice([None, *(card for card in self.cards if card not in SAVED)])
        usage = self.dice.choice([None, SetupFutureUsage.OFF_SESSION])
        key = self.dice.choice([None, None, f"{plan}-{currency}-{card}-{usage}"])
        wish = SubscribeWish(
            plan_code=plan, currency=currency, payment_method_id=card, setup_future_usage=usage, idempotency_key=key
        )
        outcome = await subscribe(self.house.app, self.actor, wish)
        self._note(outcome)

    async def refresh(self) -> None:
        if self.subscriptions:
            chosen = self.dice.choice(self.subscriptions)
            self._note(await refresh_payment(self.house.app, self.actor, chosen, None))

    def _note(self, outcome: Any) -> None:
        if outcome.subscription is not None and outcome.subscription.id not in self.subscriptions:
            self.subscriptions.append(outcome.subscription.id)
        if outcome.intent is not None and outcome.intent.snapshot is not None:
            self.secrets.append(outcome.intent.snapshot.client_secret)

    async def cancel(self) -> None:
        if self.subscriptions:
            chosen, at_period_end = self.dice.choice(self.subscriptions), self.dice.random() < 0.5
            await cancel_subscription(self.house.app, self.actor, CancelWish(chosen, at_period_end=at_period_end))

    async def type_card(self) -> None:
        if self.secrets:
            await Browser(self.house).confirm(self.dice.choice(self.secrets), self.dice.choice(TYPED))

    async def answer_challenge(self) -> None:
        if not self.secrets:
            return
        reference, outcome = self.dice.choice(self.secrets).partition("_secret_")[0], self.dice.random() < 0.7
        intent = (await dashboard(self.house).payment_intents.retrieve_async(reference)).to_dict()
        if action := intent["next_action"]:
            url = (action.get("redirect_to_url") or {}).get("url") or action["use_stripe_sdk"]["stripe_js"]
            await Browser(self.house).answer(url, "succeeded" if outcome else "failed")

    async def choose_default(self) -> None:
        kept = [card for card in self.cards if card not in SAVED]
        if kept:
            await set_default_payment_method(
                self.house.app,
                self.actor,
                payment_method_id=self.dice.choice(kept),
                customer_id=None,
                apply_to_subscriptions=True,
            )

    async def merchant_cancels(self) -> None:
        if self.secrets:
            await dashboard(self.house).payment_intents.cancel_async(
                self.dice.choice(self.secrets).partition("_secret_")[0]
            )

    async def lose_answers(self) -> None:
        fault, call = self.dice.choice(LOST), self.dice.choice(CALLS)
        sandbox_of(self.house).faults.arm(fault, count=self.dice.randint(1, 4), path_contains=call)

    async def wait(self) -> None:
        self.house.pass_time(self.dice.choice(PAUSES))

    async def hear(self) -> None:
        await sandbox_of(self.house).deliver_due()

    async def work(self) -> None:
        await self.house.work()


ACTS: Mapping[str, tuple[int, Callable[[Life], Awaitable[Any]]]] = {
    "save card": (3, Life.save_card),
    "subscribe": (7, Life.subscribe),
    "refresh": (2, Life.refresh),
    "cancel": (2, Life.cancel),
    "type card": (5, Life.type_card),
    "answer challenge": (4, Life.answer_challenge),
    "choose default": (1, Life.choose_default),
    "merchant cancels": (1, Life.merchant_cancels),
    "lose answers": (2, Life.lose_answers),
    "wait": (2, Life.wait),
    "hear": (2, Life.hear),
    "work": (3, Life.work),
}


async def _refusable(step: Awaitable[Any]) -> None:
    """A refusal is an answer, and so is an error at the gateway's own doors; all else is a fault."""
    try:
        await step
    except (UserProblem, stripe.StripeError):
        return


@dataclass
class Books:
    """All rows of one customer, and what the gateway says of it."""

    subscriptions: list[Subscription]
    invoices: list[Invoice]
    payments: list[Payment]
    attempts: list[ChargeAttempt]
    entries: list[LedgerEntry]
    intents: list[dict[str, Any]]
    charges: list[dict[str, Any]]


async def _books(house: House, user: str) -> Books | None:
    async with house.app.database.read() as session:
        customer = await customer_of_user(session, user)
        if customer is None:
            return None
        account = await gateway_account(session, customer.id, house.app.gateway.platform)

        async def rows(kind: Any) -> list[Any]:
            return list((await session.exec(select(kind).where(kind.customer_id == customer.id))).all())

        payments = await rows(Payment)
        tries = select(ChargeAttempt).where(col(ChargeAttempt.payment_id).in_([payment.id for payment in payments]))
        books = Books(
            await rows(Subscription),
            await rows(Invoice),
            payments,
            list((await session.exec(tries)).all()),
            await rows(LedgerEntry),
            [],
            [],
        )
    if account is not None:
        v1, params = dashboard(house), {"customer": account.gateway_ref, "limit": 100}
        books.intents = (await v1.payment_intents.list_async(params)).to_dict()["data"]
        books.charges = (await v1.charges.list_async(params)).to_dict()["data"]
    return books


def broken(books: Books) -> list[str]:
    """Which promises do not hold, at any moment."""
    invoice_of = {intent["id"]: intent["metadata"]["perennial_invoice"] for intent in books.intents}
    charged = Counter(invoice_of[c["payment_intent"]] for c in books.charges if c["status"] == "succeeded")
    live = Counter(row.product_id for row in books.subscriptions if row.status not in SUBSCRIPTION.final)
    found = [f"{count} live subscriptions to {product}" for product, count in live.items() if count > 1]
    found += [f"{invoice} charged {count} times" for invoice, count in charged.items() if count > 1]
    paid = {row.invoice_id for row in books.payments if row.status is PaymentStatus.SUCCEEDED}
    settled = {row.id for row in books.invoices if row.status is InvoiceStatus.PAID and row.total_minor}
    found += [f"{paid ^ settled} paid by row or by invoice only"] if paid != settled else []
    found += [f"{invoice} paid without a charge" for invoice in paid if not charged[invoice]]
    for row in books.subscriptions:
        first = next(i for i in books.invoices if i.subscription_id == row.id and i.occasion == "0")
        never = row.status in (SubscriptionStatus.INCOMPLETE, SubscriptionStatus.INCOMPLETE_EXPIRED)
        if never is (first.status is InvoiceStatus.PAID):
            found.append(f"{row.id} is {row.status}, its first invoice {first.status}")
    owed = sum(i.amount_due.minor for i in books.invoices if i.status is InvoiceStatus.OPEN)
    if owed != sum(e.amount_minor for e in books.entries if e.account is Account.RECEIVABLE):
        found.append("the ledger's receivable is not what open invoices ask for")
    return found


def unfinished(books: Books) -> list[str]:
    """What must not be left once everything has come to rest."""
    invoice_of = {intent["id"]: intent["metadata"]["perennial_invoice"] for intent in books.intents}
    status = {row.id: row.status for row in books.invoices}
    charged = {invoice_of[c["payment_intent"]] for c in books.charges if c["status"] == "succeeded"}
    found = [f"{i} charged, but {status[i]}" for i in charged if status[i] is not InvoiceStatus.PAID]
    open_intents = [i for i in books.intents if i["status"] not in ("succeeded", "canceled")]
    found += [
        f"{intent['id']} could still be paid: its invoice is {status[invoice_of[intent['id']]]}"
        for intent in open_intents
        if status[invoice_of[intent["id"]]] is not InvoiceStatus.OPEN
    ]
    found += [f"{r.id} is incomplete" for r in books.subscriptions if r.status is SubscriptionStatus.INCOMPLETE]
    found += [f"{r.id} is leased" for r in (*books.payments, *books.subscriptions) if r.leased_until is not None]
    found += [f"{r.id} has ended and is due" for r in books.payments if r.status in PAYMENT.final and r.due_at]
    found += [f"{r.id} is open and never due" for r in books.payments if r.status not in PAYMENT.final and not r.due_at]
    ended = {r.id for r in books.payments if r.status in PAYMENT.final}
    found += [
        f"{a.id} of an ended payment is {a.outcome}"
        for a in books.attempts
        if a.payment_id in ended and a.outcome not in ATTEMPT.final
    ]
    recorded = Counter(attempt.charge_ref for attempt in books.attempts if attempt.charge_ref)
    known = Counter(charge["id"] for charge in books.charges)
    found += [f"charges {known - recorded} are not recorded"] if known - recorded else []
    return found


async def _come_to_rest(house: House) -> None:
    """The gateway is well again, the news that are left come, leases run out, and what is unpaid is given up."""
    sandbox_of(house).faults.clear()
    for pause in (timedelta(seconds=60), timedelta(hours=2), timedelta(hours=24), timedelta(minutes=2)):
        house.pass_time(pause)
        await sandbox_of(house).deliver_due()
        await house.work()


@pytest.mark.timeout(60 + 10 * ROUNDS)
async def test_no_order_of_events_breaks_a_promise(house: House) -> None:
    for seed in range(FIRST_SEED, FIRST_SEED + ROUNDS):
        life = Life(house, seed)
        try:
            await life.live()
            books = await _books(house, life.user)
            found = broken(books) if books is not None else []
            await _come_to_rest(house)
            books = await _books(house, life.user)
            found += broken(books) + unfinished(books) if books is not None else []
            found += await house.audit()
            assert found == []
        except BaseException:
            print(f"seed {seed}:", *life.story, sep="\n  ")
            raise
