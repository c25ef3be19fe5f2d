"""Each way in which an answer can be lost, at each gateway call of each act that moves money.

An act is carried out once in calm weather, which tells its calls. Then once for each call and fault, in a house of its
own: that call's answer is lost or broken, and from then on either the gateway is well again or nothing is answered
until the act has ended. A minute after the gateway's return nobody has done anything but the worker, and whoever asked
and was told to ask again: all must be known, nothing charged or given back twice, nothing called failed that was paid.

    python -m tests.soak.lost_answers --database sqlite
"""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from inspect import iscoroutinefunction
from typing import Any, cast

from sqlmodel import select

from billing.lifecycle import PaymentStatus, RefundStatus
from gateways.port import PaymentGateway
from gateways.sandbox import Fault
from models.payments import Payment
from models.returns import Refund
from tests.scenarios.changing import Changer, codes
from tests.soak.interleavings import Fresh, databases
from tests.soak.surroundings import parser
from tests.support.house import House, open_house
from tests.support.outside import LOST_ANSWERS, dashboard, sandbox_of

# The adapter asks once more by itself.
_ASKED_AT_ONCE = 2
_LONG = 1_000
_RETURNED = timedelta(seconds=60)
_MONTH = timedelta(days=31)
_REFUND = "mutation ($input: RefundPaymentInput!) { refundPayment(input: $input) { userErrors { code } } }"
_PLAN = "premium-monthly"

Act = Callable[[Changer], Awaitable[Sequence[str]]]


async def _subscribe(shopper: Changer) -> Sequence[str]:
    card = await shopper.default_card()
    return codes(await shopper.subscribe(_PLAN, paymentMethodId=card, idempotencyKey="subscribe"))


async def _renew(shopper: Changer) -> Sequence[str]:
    await shopper.house.work()
    return ()


async def _change(shopper: Changer) -> Sequence[str]:
    return codes(await shopper.change("premium-yearly", idempotencyKey="change"))


async def _refund(shopper: Changer) -> Sequence[str]:
    async with shopper.house.app.database.read() as session:
        payment = (await session.exec(select(Payment))).one()
    part = {"amount": "2.00", "currencyCode": "USD"}
    wish = {"paymentId": payment.id, "amount": part, "reason": "DUPLICATE", "idempotencyKey": "refund"}
    return codes((await shopper.house.ask(_REFUND, {"input": wish}, "demo-admin"))["refundPayment"])


async def _nothing(_shopper: Changer) -> None:
    """Before the first purchase there is nothing to prepare."""


async def _subscribed(shopper: Changer) -> None:
    await shopper.begin(_PLAN)
    await shopper.house.deliver()


async def _a_month_on(shopper: Changer) -> None:
    await _subscribed(shopper)
    shopper.house.pass_time(_MONTH)


# What goes before, in calm weather, and the act, which tells its errors' codes. Who acted repeats it under its key.
ACTS: Mapping[str, tuple[Callable[[Changer], Awaitable[None]], Act]] = {
    "subscribe": (_nothing, _subscribe),
    "renew": (_a_month_on, _renew),
    "change the plan": (_subscribed, _change),
    "refund": (_subscribed, _refund),
}


@dataclass
class _Striking:
    """The gateway; before the call of that number the fault is armed, after it disarmed unless it lasts."""

    gateway: Any = None
    fault: Fault | None = None
    at: int = 0
    lasts: bool = False
    is_on: bool = False
    calls: list[str] = field(default_factory=list)
    house: House | None = None

    def around(self, gateway: PaymentGateway) -> PaymentGateway:
        self.gateway = gateway
        return cast(PaymentGateway, self)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.gateway, name)
        return self._struck(name, found) if iscoroutinefunction(found) and name != "close" else found

    def _struck(self, name: str, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def struck(*args: Any, **kwargs: Any) -> Any:
            if not self.is_on:
                return await call(*args, **kwargs)
            number = len(self.calls)
            self.calls.append(name)
            if self.fault is None or number != self.at or self.house is None:
                return await call(*args, **kwargs)
            faults = sandbox_of(self.house).faults
            faults.arm(self.fault, count=_LONG if self.lasts else _ASKED_AT_ONCE)
            try:
                return await call(*args, **kwargs)
            finally:
                if not self.lasts:
                    faults.clear()

        return struck


@dataclass
class Seen:
    """Of all cases: how many, and what they broke, a sentence each."""

    cases: int = 0
    broken: list[str] = field(default_factory=list)


async def all_cases(fresh: Fresh, acts: Sequence[str] = tuple(ACTS), faults: Sequence[Fault] = LOST_ANSWERS) -> Seen:
    seen = Seen()
    for name in acts:
        calls = (await _live(fresh, name, _Striking()))[0]
        for at in range(len(calls)):
            for fault in faults:
                for lasts in (False, True):
                    _, broken = await _live(fresh, name, _Striking(fault=fault, at=at, lasts=lasts))
                    seen.cases += 1
                    where = f"{name}, {calls[at]}, {fault}{' and on' if lasts else ''}"
                    seen.broken += [f"{where}: {each}" for each in broken]
    return seen


async def _live(fresh: Fresh, name: str, striking: _Striking) -> tuple[Sequence[str], Sequence[str]]:
    """The act's calls, and what was broken in the end."""
    before, act = ACTS[name]
    async with _house(fresh, striking) as shopper:
        house = shopper.house
        await before(shopper)
        striking.is_on, striking.house = True, house
        told = await act(shopper)
        assert striking.fault is not None or not told, told
        striking.is_on = False
        sandbox_of(house).faults.clear()
        house.pass_time(_RETURNED)
        await house.deliver()
        await house.work()
        broken = await _left_open(house)
        told = await act(shopper)  # under the same key: what is done already is told, not done again
        broken = [*broken, *(f"repeated, it is refused: {code}" for code in told)]
        await house.work()
        return striking.calls, [*broken, *await _done_wrong(house), *await house.audit()]


@asynccontextmanager
async def _house(fresh: Fresh, striking: _Striking) -> AsyncIterator[Changer]:
    async with fresh() as url, open_house(url, demo=False, wrap_gateway=striking.around) as house:
        yield Changer(house, "demo-card")


async def _left_open(house: House) -> Sequence[str]:
    async with house.app.database.read() as session:
        payments = (await session.exec(select(Payment).where(Payment.status == PaymentStatus.UNKNOWN))).all()
        refunds = (await session.exec(select(Refund).where(Refund.status == RefundStatus.PENDING))).all()
    return [f"{row.id} is {row.status} a minute after the gateway's return" for row in (*payments, *refunds)]


async def _done_wrong(house: House) -> Sequence[str]:
    """By the gateway's own books: charged or given back twice, paid and not known as paid."""
    listed = (await dashboard(house).charges.list_async({"limit": 100})).data
    paid = Counter(str(charge.payment_intent) for charge in listed if charge.status == "succeeded")
    refunds = (await dashboard(house).refunds.list_async({"limit": 100})).data
    async with house.app.database.read() as session:
        known = (await session.exec(select(Payment).where(Payment.status == PaymentStatus.SUCCEEDED))).all()
    return [
        *(f"{intent} was charged {times} times" for intent, times in paid.items() if times > 1),
        *([f"{len(paid)} charges and {len(known)} payments that succeeded"] if len(paid) != len(known) else []),
        *([f"given back {len(refunds)} times"] if len(refunds) > 1 else []),
    ]


def main() -> int:
    asked = parser("lost_answers", __doc__).parse_args()
    with databases(asked.database) as fresh:
        seen = asyncio.run(all_cases(fresh))
    sys.stdout.write("".join(f"{sentence}\n" for sentence in seen.broken))
    sys.stdout.write(
        f"{asked.database}: {len(ACTS)} acts, {len(LOST_ANSWERS)} faults at each of their gateway calls, "
        f"{seen.cases} cases: {len(seen.broken)} broken\n"
    )
    return 1 if seen.broken else 0


if __name__ == "__main__":
    sys.exit(main())
