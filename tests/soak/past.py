"""A year of lives, so many subscriptions that are due again one after the other from an instant on.

Run by `tests.soak.upgrades` inside an older version of the code: it uses nothing that is younger than 0016.

    python -m tests.soak.past --database sqlite:////tmp/past.db --gateway http://127.0.0.1:12111 --subscriptions 60
"""

import argparse
import asyncio
from datetime import UTC, datetime, timedelta

from clocks import ManualClock, SystemClock
from services.demo import load_catalog
from tests.scenarios.shopping import ATTACH, CANCEL, SUBSCRIBE
from tests.support.house import House, open_house

_MONTHS = 12
_STEP = timedelta(days=31)
_MINE = "{ mySubscription { id } }"


async def live(database: str, gateway: str, *, subscriptions: int, until: datetime, due_within: timedelta) -> None:
    """Their thirteenth periods begin from `until` on, evenly spread; every fifth has cancelled."""
    began = (until - timedelta(days=until.month == 2 and until.day == 29)).replace(year=until.year - 1)
    settings = {"demo": False, "stripe_api_base": gateway}
    async with open_house(database, clock=ManualClock(began), **settings) as house:
        house.machine.set(began)
        await load_catalog(house.app)
        for number in range(subscriptions):
            now = began + due_within * number / subscriptions
            house.pass_time(now - house.clock.now())
            saved = await house.ask(ATTACH, {"card": "pm_card_visa"}, user=f"user-{number}")
            card = saved["attachPaymentMethod"]["paymentMethod"]["id"]
            wish = {"planCode": "reader-pro", "paymentMethodId": card}
            bought = (await house.ask(SUBSCRIBE, {"input": wish}, user=f"user-{number}"))["subscribe"]
            assert bought["userErrors"] == [], bought
        for month in range(1, _MONTHS):
            house.pass_time(began + month * _STEP - house.clock.now())
            await house.work()
            if month == _MONTHS // 2:
                for number in range(0, subscriptions, 5):
                    await _cancel(house, f"user-{number}")
        assert await house.audit() == []


async def _cancel(house: House, user: str) -> None:
    mine = (await house.ask(_MINE, user=user))["mySubscription"]["id"]
    wish = {"subscriptionId": mine, "effectiveAt": "PERIOD_END"}
    done = (await house.ask(CANCEL, {"input": wish}, user=user))["cancelSubscription"]
    assert done["userErrors"] == [], done


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.soak.past", description=__doc__)
    parser.add_argument("--database", required=True)
    parser.add_argument("--gateway", required=True)
    parser.add_argument("--subscriptions", type=int, default=60)
    parser.add_argument("--until", type=float, default=SystemClock().now().timestamp())
    parser.add_argument("--due-within", type=float, default=60.0)
    asked = parser.parse_args()
    asyncio.run(
        live(
            asked.database,
            asked.gateway,
            subscriptions=asked.subscriptions,
            until=datetime.fromtimestamp(asked.until, UTC),
            due_within=timedelta(seconds=asked.due_within),
        )
    )


if __name__ == "__main__":
    main()
