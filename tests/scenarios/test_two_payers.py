"""Two hands on one payment: whatever their order, the customer pays once and no request fails."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateways.sandbox import Fault
from tests.scenarios.shopping import Shopper
from tests.support.databases import copy_of_file
from tests.support.house import House, open_house
from tests.support.outside import VISA, charges_by_invoice, gateway_books, sandbox_of


class Meanwhile:
    """The gateway; after the next `call` something happens elsewhere before its answer arrives."""

    def __init__(self, gateway: Any) -> None:
        self._gateway = gateway
        self.call: str | None = None
        self.happens: Callable[[], Awaitable[None]] | None = None

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._gateway, name)
        if name != self.call or self.happens is None:
            return value
        happens, self.happens = self.happens, None

        async def call(*args: Any, **kwargs: Any) -> Any:
            answer = await value(*args, **kwargs)
            await happens()
            return answer

        return call


@pytest.fixture
async def watched(sqlite_file: Path, tmp_path: Path) -> AsyncIterator[tuple[House, Meanwhile]]:
    """A house, and the gateway as it is met there."""
    met: list[Meanwhile] = []

    def wrap(gateway: Any) -> Any:
        met.append(Meanwhile(gateway))
        return met[0]

    async with open_house(copy_of_file(sqlite_file, tmp_path / "perennial.db"), wrap_gateway=wrap) as house:
        yield house, met[0]


@pytest.mark.parametrize("is_told", [True, False], ids=["told by webhook", "webhook still under way"])
async def test_a_payment_in_the_browser_between_our_look_and_our_try_wins(
    watched: tuple[House, Meanwhile], is_told: bool
) -> None:
    """Untold of it the gateway refuses our try, and we look again."""
    house, gateway = watched
    shopper = Shopper(house, "demo-card")
    first = await shopper.subscribe()

    async def paid_in_the_browser() -> None:
        await shopper.browser.confirm(first["paymentIntent"]["clientSecret"], VISA)
        if is_told:
            await house.deliver()

    gateway.call, gateway.happens = "retrieve_payment_intent", paid_in_the_browser
    told = await shopper.subscribe(paymentMethodId=await shopper.default_card())
    assert (told["subscription"]["status"], told["payment"]["status"]) == ("ACTIVE", "SUCCEEDED")
    assert told["userErrors"] == []
    await house.deliver()
    assert list((await charges_by_invoice(house)).values()) == [1]
    assert await house.audit() == []


@pytest.mark.parametrize("fault", [Fault.TIMEOUT_BEFORE, Fault.TIMEOUT_AFTER])
async def test_another_card_waits_for_the_unknown_answer_of_the_first(house: House, fault: Fault) -> None:
    shopper = Shopper(house, "demo-card")
    faults = sandbox_of(house).faults
    faults.at_rate(fault, 1.0, seed=0, path_contains="/confirm")
    first = await shopper.subscribe(paymentMethodId=await shopper.default_card())
    assert first["userErrors"] == [{"code": "PAYMENT_OUTCOME_UNKNOWN", "field": None}]
    other = await shopper.save_card("pm_card_mastercard")
    second = await shopper.subscribe(paymentMethodId=other)
    expected = "UNKNOWN" if fault is Fault.TIMEOUT_BEFORE else "SUCCEEDED"
    assert second["payment"]["status"] == expected
    assert len((await gateway_books(house))["charges"]) == (0 if fault is Fault.TIMEOUT_BEFORE else 1)

    faults.clear()
    house.pass_time(timedelta(seconds=60))
    await house.work()
    assert list((await charges_by_invoice(house)).values()) == [1]
    mine = await house.ask("{ mySubscription { status latestPayment { attempts { outcome } } } }", user="demo-card")
    assert mine["mySubscription"] == {
        "status": "ACTIVE",
        "latestPayment": {"attempts": [{"outcome": "SUCCEEDED"}]},
    }
    assert await house.audit() == []
