"""A quote rests on one instant, though the clock goes on while it is worked out."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from clocks import ManualClock
from tests.scenarios.test_quotes import USER, card_of
from tests.support.databases import copy_of_file
from tests.support.house import START, House, open_house


class RunningClock(ManualClock):
    """Goes on by a millisecond each time that it is looked at."""

    def now(self) -> datetime:
        self.advance(timedelta(milliseconds=1))
        return super().now()


async def _as_quoted(house: House, act: str, given: Mapping[str, Any], asked: str, user: str = USER) -> dict[str, Any]:
    """The payload of the act, held to a quote of a moment ago."""
    preview, kind = f"preview{act[0].upper()}{act[1:]}", f"{act[0].upper()}{act[1:]}Input!"
    answer = await house.ask(
        f"query ($input: {kind}) {{ {preview}(input: $input) {{ preview {{ quoteToken }} userErrors {{ code }} }} }}",
        {"input": given},
        user,
    )
    assert answer[preview]["userErrors"] == [], act
    wish = {**given, "quoteToken": answer[preview]["preview"]["quoteToken"]}
    done = await house.ask(
        f"mutation ($input: {kind}) {{ {act}(input: $input) {{ {asked} userErrors {{ code }} }} }}",
        {"input": wish},
        user,
    )
    assert done[act]["userErrors"] == [], act
    return done[act]


async def test_acts_are_held_to_quotes_that_were_made_while_time_passed(stocked_file: Path, tmp_path: Path) -> None:
    url = copy_of_file(stocked_file, tmp_path / "perennial.db")
    async with open_house(url, demo=False, clock=RunningClock(START)) as house:
        bought = await _as_quoted(
            house, "subscribe", {"planCode": "premium-monthly"}, "subscription { id } payment { amount { formatted } }"
        )
        assert bought["payment"]["amount"] == {"formatted": "$9.99"}
        bought = await _as_quoted(
            house,
            "subscribe",
            {"planCode": "classic-coffee-monthly", "paymentMethodId": await card_of(house)},
            "subscription { id }",
        )
        one = {"subscriptionId": bought["subscription"]["id"]}
        house.pass_time(timedelta(days=7))
        year = {**one, "planCode": "classic-coffee-yearly", "effectiveAt": "NOW"}
        changed = await _as_quoted(house, "changePlan", year, "payment { id amount { formatted } }")
        assert changed["payment"]["amount"] == {"formatted": "AED453.25"}
        status = "subscription { status }"
        assert await _as_quoted(house, "updateSubscription", {**one, "billingDay": 20}, status) == {
            "subscription": {"status": "ACTIVE"},
            "userErrors": [],
        }
        paused = await _as_quoted(house, "pauseSubscription", one, status)
        assert paused["subscription"] == {"status": "PAUSED"}
        resumed = await _as_quoted(house, "resumeSubscription", one, status)
        assert resumed["subscription"] == {"status": "ACTIVE"}
        some = {
            "paymentId": changed["payment"]["id"],
            "amount": {"amount": "50.00", "currencyCode": "AED"},
            "reason": "REQUESTED_BY_CUSTOMER",
            "idempotencyKey": "some",
        }
        given = await _as_quoted(house, "refundPayment", some, "refund { status }", "demo-admin")
        assert given["refund"] == {"status": "SUCCEEDED"}
        end = {**one, "effectiveAt": "NOW", "refundUnused": True}
        ended = await _as_quoted(house, "cancelSubscription", end, status)
        assert ended["subscription"] == {"status": "CANCELED"}
        assert await house.audit() == []
