"""What a customer pays is the time that it had: random changes of a subscription, against a count that knows no terms.

The count: each seat costs its price times the part of a period for which it was there, pauses aside, with discount and
tax. What all changes, pauses and the end asked for and gave back comes to that, but for the rounding of each line.
"""

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

from sqlmodel import col, select

from billing.lifecycle import InvoiceStatus, RefundStatus
from models.invoices import Invoice
from models.payments import Payment
from models.returns import Refund
from tests.scenarios.changing import CHANGE, UPDATE, Changer
from tests.scenarios.merchant import ADMIN, Merchant, done
from tests.scenarios.test_cancel_unused import CANCEL
from tests.scenarios.test_pauses import pause, resume
from tests.support.house import House

_SECOND, _MICROSECOND = timedelta(seconds=1), timedelta(microseconds=1)
_FIRST_BILL = """query ($id: ID!) { subscription(id: $id) { currentPeriod { end } invoices { nodes { lines {
  kind isProration explanation { inputs { name value } } } } } } }"""


@dataclass(frozen=True)
class Terms:
    """Of a seat; `price` in cents for a whole period."""

    price: int
    percent_off: int
    tax_percent: int

    def fair(self, share: Fraction) -> Fraction:
        return self.price * share * Fraction(100 - self.percent_off, 100) * Fraction(100 + self.tax_percent, 100)


@dataclass
class Share:
    """A subscription and what was had of it: `had` is time × seats, `left` and `full` of its first period.

    `lines` is how many may have been rounded.
    """

    house: House
    changer: Changer
    dice: random.Random
    story: list[str]
    terms: Terms
    seats: int
    left: timedelta = timedelta(0)
    full: timedelta = timedelta(0)
    had: timedelta = timedelta(0)
    lines: int = 3

    def pass_time(self, time: timedelta) -> None:
        self.house.pass_time(time)
        self.had += self.seats * time
        self.left -= time

    def pass_some(self, most: float) -> None:
        """Up to that part of what is left."""
        self.pass_time(int(self.left * self.dice.random() * most / _SECOND) * _SECOND)

    def note(self, what: str) -> None:
        self.story.append(f"{self.house.clock.now().isoformat()} {what}, {self.seats} seats")

    async def ask(self, query: str, **wish: Any) -> None:
        told = await self.changer.ask(query, **wish)
        assert told["userErrors"] == [], told["userErrors"]


async def pay_fairly(house: House, seed: int, story: list[str]) -> Sequence[str]:
    """One life, ended within its first period: what was unfair of it; what happened is appended to `story`."""
    share = await _begin(house, random.Random(seed), story)
    for _ in range(share.dice.randint(2, 6)):
        await share.dice.choice(_ACTS)(share)
    await share.dice.choice(_ENDS)(share)
    await house.work()
    return [*await _unfair(share), *await house.audit()]


async def _begin(house: House, dice: random.Random, story: list[str]) -> Share:
    terms = Terms(dice.choice((2800, 3100, 999, 12345)), dice.choice((0, 0, 20)), dice.choice((0, 19)))
    shop, more = Merchant(house), dict[str, Any]()
    await shop.product("room")
    await _sell(house, terms, "seats", terms.price)
    await _sell(house, terms, "better", 2 * terms.price)
    await _sell(house, terms, "yearly", 20 * terms.price, interval="YEAR")
    if terms.percent_off:
        coupon = {"code": "OFF", "percentOff": str(terms.percent_off), "duration": "FOREVER"}
        await done(house, "createCoupon", "CouponInput", coupon, "coupon { id }")
        more["couponCode"] = "OFF"
    if dice.random() < 0.3:
        more["billingDay"] = dice.randint(1, 31)
    house.pass_time(timedelta(days=dice.randint(0, 20), hours=dice.randint(0, 23)))
    share = Share(house, Changer(house, "demo-card"), dice, story, terms, dice.randint(1, 3))
    await share.changer.begin(None, items=[{"planCode": "seats", "quantity": share.seats}], **more)
    share.note(f"{terms} {more}")
    await _measure(share)
    return share


async def _sell(house: House, terms: Terms, code: str, cents: int, **more: Any) -> None:
    tax = {"taxPercent": str(terms.tax_percent)} if terms.tax_percent else {}
    await Merchant(house).plan(code, f"{cents // 100}.{cents % 100:02}", product="room", **tax, **more)


async def _measure(share: Share) -> None:
    """How long the first period is, and the full one that it may be a part of, as the first invoice says."""
    shown = await share.house.ask(_FIRST_BILL, {"id": share.changer.subscribed[-1]}, ADMIN)
    told = shown["subscription"]
    share.left = datetime.fromisoformat(told["currentPeriod"]["end"]) - share.house.clock.now()
    line = next(each for each in told["invoices"]["nodes"][0]["lines"] if each["kind"] == "RECURRING")
    inputs = {each["name"]: each["value"] for each in line["explanation"]["inputs"]}
    stub = timedelta(microseconds=int(inputs["periodMicroseconds"])) if line["isProration"] else None
    share.full = stub or share.left


# ── what happens within the period ──


async def _change_seats(share: Share, proration: str = "PRORATE_NOW") -> None:
    share.pass_some(0.4)
    share.seats = share.dice.randint(1, 5)
    await share.ask(UPDATE, items=[{"planCode": "seats", "quantity": share.seats}], proration=proration)
    share.lines += 2
    share.note(proration)


async def _change_seats_on_the_next_invoice(share: Share) -> None:
    await _change_seats(share, "PRORATE_NEXT_INVOICE")


async def _rest(share: Share) -> None:
    share.pass_some(0.2)
    await pause(share.changer)
    share.note("paused")
    share.house.pass_time(timedelta(days=share.dice.randint(1, 60), hours=share.dice.randint(0, 23)))
    told = await resume(share.changer)
    assert told["userErrors"] == [], told["userErrors"]
    share.note("resumed")


async def _move_billing_day(share: Share) -> None:
    share.pass_some(0.2)
    await share.ask(UPDATE, billingDay=share.dice.randint(1, 31))
    share.note("another billing day")


Act = Callable[[Share], Awaitable[None]]
_ACTS: Sequence[Act] = (_change_seats, _change_seats, _change_seats_on_the_next_invoice, _rest, _move_billing_day)


# ── and how it ends ──


async def _end_sometime(share: Share) -> None:
    share.pass_some(0.9)
    await _end_now(share)


async def _end_now(share: Share) -> None:
    share.note("ended")
    await share.ask(CANCEL, effectiveAt="NOW", refundUnused=True)


async def _run_out(share: Share) -> None:
    await share.ask(UPDATE, autoRenew=False)
    share.pass_time(share.left)
    share.note("ran out")


async def _end_after_a_change_at_a_date(share: Share) -> None:
    time = int(share.left * share.dice.random() * 0.8 / _SECOND) * _SECOND + _SECOND
    at, proration = share.house.clock.now() + time, share.dice.choice(("PRORATE_NOW", "PRORATE_NEXT_INVOICE"))
    await share.ask(CHANGE, planCode="better", effectiveAt="AT_DATE", date=at.isoformat(), proration=proration)
    share.pass_time(time)
    await share.house.work()
    share.seats *= 2  # each costs twice as much
    share.lines += 2
    share.note(f"{proration} at a date")
    await _end_sometime(share)


async def _end_as_the_year_begins(share: Share) -> None:
    share.pass_some(0.9)
    await share.ask(CHANGE, planCode="yearly", effectiveAt="NOW")
    share.lines += 3
    share.note("a year begins")
    await _end_now(share)


_ENDS: Sequence[Act] = (_end_sometime, _run_out, _end_after_a_change_at_a_date, _end_as_the_year_begins)


async def _unfair(share: Share) -> Sequence[str]:
    id = share.changer.subscribed[-1]
    async with share.house.app.database.read() as session:
        invoices = (await session.exec(select(Invoice).where(Invoice.subscription_id == id))).all()
        payments = select(Payment.id).where(Payment.subscription_id == id)
        refunds = (await session.exec(select(Refund).where(col(Refund.payment_id).in_(payments)))).all()
    wrong = [f"invoice {each.number} is {each.status}" for each in invoices if each.status is not InvoiceStatus.PAID]
    wrong += [f"a refund is {each.status}" for each in refunds if each.status is not RefundStatus.SUCCEEDED]
    paid = sum(each.total_minor for each in invoices) - sum(each.amount_minor for each in refunds)
    fair = share.terms.fair(Fraction(share.had // _MICROSECOND, share.full // _MICROSECOND))
    if abs(paid - fair) > share.lines:
        wrong.append(f"{paid} cents were paid for what is worth {float(fair):.2f}")
    return wrong
