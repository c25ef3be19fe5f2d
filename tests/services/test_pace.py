"""The pace of the worker's gateway calls: one for all processes, on either engine."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from billing.pacing import Limits
from clocks import ManualClock
from gateways.paced import paced
from gateways.port import GatewayBusy, GatewayHeld, PaymentGateway, in_turn
from gateways.sandbox import Fault
from models.database import Database
from models.pacing import SharedPace
from tests.support.house import House

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LIMITS = Limits(account=100, endpoint=25)
ENDPOINTS = ("create", "confirm", "find", "charge", "retrieve", "cancel")


def _most_in_a_second(instants: Sequence[datetime]) -> int:
    ordered = sorted(instants)
    return max(sum(1 for each in ordered if start <= each < start + timedelta(seconds=1)) for start in ordered)


async def test_three_workers_together_keep_within_the_limits_in_any_second_of_ten(database_url: str) -> None:
    clock = ManualClock(NOON)
    databases = [Database(database_url) for _ in range(3)]
    workers = [SharedPace(each, LIMITS, clock.now) for each in databases]
    calls: dict[str, list[datetime]] = defaultdict(list)
    for tick in range(50):
        clock.set(NOON + timedelta(seconds=tick / 5))
        turn = ENDPOINTS[tick % 6 :] + ENDPOINTS[: tick % 6]
        for given in await asyncio.gather(*(each.reserve(dict.fromkeys(turn, 50)) for each in workers)):
            for endpoint, delays in given.items():
                calls[endpoint] += [clock.now() + timedelta(seconds=delay) for delay in delays]
    for database in databases:
        await database.close()
    assert {endpoint: _most_in_a_second(calls[endpoint]) <= 20 for endpoint in ENDPOINTS} == dict.fromkeys(
        ENDPOINTS, True
    )
    together = [each for instants in calls.values() for each in instants]
    assert _most_in_a_second(together) <= 100
    assert 780 <= len(together) <= 820  # Four fifths of a hundred, for ten seconds: none is wasted.


async def test_a_lone_endpoint_gets_its_twenty_a_second_and_a_process_that_joins_gets_none_more(
    database_url: str,
) -> None:
    clock = ManualClock(NOON)
    databases = [Database(database_url) for _ in range(2)]
    workers = [SharedPace(each, LIMITS, clock.now) for each in databases]
    given = []
    for tick in range(40):
        clock.set(NOON + timedelta(seconds=tick / 4))
        given += (await workers[tick % 2].reserve({"confirm": 100}))["confirm"]
    for database in databases:
        await database.close()
    assert len(given) == 201  # Ten seconds, and the first place of the eleventh.


async def test_without_a_clock_the_databases_own_time_counts(database_url: str) -> None:
    database = Database(database_url)
    pace = SharedPace(database, LIMITS)
    first = (await pace.reserve({"confirm": 3}))["confirm"]
    then = (await pace.reserve({"confirm": 1}))["confirm"]
    await database.close()
    assert first == [0.0, 0.05, 0.1]
    assert 0 <= then[0] <= 0.15


async def test_a_429_makes_all_workers_rest_at_that_endpoint_and_the_others_go_on(database_url: str) -> None:
    clock = ManualClock(NOON)
    databases = [Database(database_url) for _ in range(2)]
    here, there = (SharedPace(each, LIMITS, clock.now) for each in databases)
    await here.rest("confirm", None)
    assert await there.reserve({"confirm": 1, "create": 1}) == {"confirm": [], "create": [0.0]}
    clock.advance(timedelta(seconds=1))
    assert await there.reserve({"confirm": 1}) == {"confirm": [0.0]}
    await there.rest("confirm", None)  # …again within a minute
    clock.advance(timedelta(seconds=1.5))
    assert await here.reserve({"confirm": 1}) == {"confirm": []}
    await here.rest(None, timedelta(seconds=7))
    clock.advance(timedelta(seconds=6))
    assert await there.reserve({"create": 1}) == {"create": []}
    clock.advance(timedelta(seconds=1))
    assert await there.reserve({"create": 1}) == {"create": [0.0]}
    for database in databases:
        await database.close()


class _Scripted:
    """Stands where a gateway stands: answers what it is told to, one after another, and notes who asked."""

    endpoints: Mapping[str, str] = {"find_refunds": "list_refunds"}

    def __init__(self, *answers: object) -> None:
        self._answers = list(answers)
        self.asked = 0

    async def find_refunds(self, _intent: str) -> Any:
        self.asked += 1
        answer = self._answers.pop(0) if self._answers else "answer"
        if isinstance(answer, Exception):
            raise answer
        return answer


class _Ledger:
    """A pace that gives every place at once and notes what was asked of it."""

    def __init__(self) -> None:
        self.reserved: list[Mapping[str, int]] = []
        self.rests: list[tuple[str | None, timedelta | None]] = []

    async def reserve(self, wanted: Mapping[str, int]) -> Mapping[str, Sequence[float]]:
        self.reserved.append(dict(wanted))
        return {endpoint: [0.0] * number for endpoint, number in wanted.items()}

    async def rest(self, endpoint: str | None, at_least: timedelta | None) -> None:
        self.rests.append((endpoint, at_least))


async def _at_once(_seconds: float) -> None:
    await asyncio.sleep(0)


def _paced(gateway: _Scripted, pace: _Ledger) -> PaymentGateway:
    return paced(cast(PaymentGateway, gateway), pace, sleep=_at_once)


async def test_a_request_waits_for_nobody_and_a_hundred_calls_of_the_worker_are_one_reservation() -> None:
    pace, plain = _Ledger(), _Scripted()
    gateway = _paced(plain, pace)
    await gateway.find_refunds("pi")
    assert (plain.asked, pace.reserved) == (1, [])
    with in_turn():
        await asyncio.gather(*(gateway.find_refunds("pi") for _ in range(100)))
    assert (plain.asked, pace.reserved) == (101, [{"list_refunds": 100}])


async def test_the_workers_call_is_made_again_after_a_429_and_in_its_turn() -> None:
    busy = GatewayBusy("429", retry_after=timedelta(seconds=3))
    pace, plain = _Ledger(), _Scripted(busy, GatewayBusy("429", is_account=True), "at last")
    with in_turn():
        assert await _paced(plain, pace).find_refunds("pi") == "at last"  # type: ignore[comparison-overlap]
    assert pace.rests == [("list_refunds", timedelta(seconds=3)), (None, None)]
    assert len(pace.reserved) == 3


async def test_a_third_429_is_told_and_a_request_hears_of_the_first() -> None:
    pace, plain = _Ledger(), _Scripted(*(GatewayBusy("429") for _ in range(4)))
    with in_turn(), pytest.raises(GatewayBusy):
        await _paced(plain, pace).find_refunds("pi")
    assert plain.asked == 3
    with pytest.raises(GatewayBusy):
        await _paced(plain, pace).find_refunds("pi")
    assert (plain.asked, len(pace.rests)) == (4, 4)


async def test_a_database_that_is_away_is_told_to_all_who_wait_and_forgotten_when_it_is_back() -> None:
    class Away(_Ledger):
        async def reserve(self, wanted: Mapping[str, int]) -> Mapping[str, Sequence[float]]:
            if not self.reserved:
                self.reserved.append(wanted)
                raise ConnectionError("away")
            return await super().reserve(wanted)

    pace, plain = Away(), _Scripted()
    gateway = _paced(plain, pace)
    with in_turn():
        told = await asyncio.gather(*(gateway.find_refunds("pi") for _ in range(3)), return_exceptions=True)
        assert [type(each) for each in told] == [ConnectionError] * 3
        await gateway.find_refunds("pi")
    assert plain.asked == 1


async def test_who_leaves_the_queue_leaves_the_place_to_nobody_else_and_stops_nobody() -> None:
    pace, plain = _Ledger(), _Scripted()
    gateway = _paced(plain, pace)
    with in_turn():
        leaving, staying = (asyncio.ensure_future(gateway.find_refunds("pi")) for _ in range(2))
        await asyncio.sleep(0)
        leaving.cancel()
        await staying
    assert (leaving.cancelled(), plain.asked) == (True, 1)


async def test_the_sandbox_with_a_limit_refuses_what_goes_beyond_and_tells_which(small_house: House) -> None:
    sandbox = small_house.installation.sandbox
    assert sandbox is not None
    sandbox.limits.set(account=None, endpoint=3)
    gateway = small_house.app.gateway
    told = await asyncio.gather(
        *(gateway.list_refunds(created_since=None, after=None) for _ in range(5)), return_exceptions=True
    )
    busy = [each for each in told if isinstance(each, GatewayBusy)]
    assert [each.is_account for each in busy] == [False, False]
    await gateway.list_disputes(created_since=None, after=None)  # another endpoint has a limit of its own
    small_house.machine.advance(timedelta(seconds=1))
    await gateway.list_refunds(created_since=None, after=None)
    sandbox.limits.set(account=1, endpoint=None)
    await gateway.list_refunds(created_since=None, after=None)
    with pytest.raises(GatewayBusy) as refused:
        await gateway.list_disputes(created_since=None, after=None)
    assert refused.value.is_account


async def test_two_workers_in_a_hurry_never_meet_the_limit_of_a_real_sandbox(small_house: House) -> None:
    """Real time: two processes' worth of pace over one database, sixty calls each wishes to make at once."""
    sandbox = small_house.installation.sandbox
    assert sandbox is not None
    sandbox.limits.set(account=100, endpoint=25)
    refused = 0

    async def hurry(gateway: PaymentGateway) -> None:
        nonlocal refused
        try:
            await gateway.list_refunds(created_since=None, after=None)
        except GatewayBusy:
            refused += 1

    begun = asyncio.get_running_loop().time()
    with in_turn():
        pair = [paced(small_house.app.gateway, SharedPace(small_house.app.database, LIMITS)) for _ in range(2)]
        real = asyncio.create_task(_in_real_time(small_house))
        await asyncio.gather(*(hurry(gateway) for gateway in pair for _ in range(15)))
        real.cancel()
    assert refused == 0
    assert asyncio.get_running_loop().time() - begun >= 29 * 0.05


async def _in_real_time(house: House) -> None:
    """The sandbox counts by the machine's clock of the house, which stands still otherwise."""
    loop = asyncio.get_running_loop()
    seen = loop.time()
    while True:
        await asyncio.sleep(0.01)
        present = loop.time()
        house.machine.advance(timedelta(seconds=present - seen))
        seen = present


async def test_the_lever_sets_a_limit_and_takes_it_back(small_house: House) -> None:
    async def said(form: Mapping[str, str]) -> tuple[int, Any]:
        answer = await small_house.http.post(
            "/sandbox/stripe/sandbox/limits", data=form, headers={"Authorization": "Bearer sk_test_sandbox"}
        )
        return answer.status_code, answer.json()

    assert await said({"account": "100", "endpoint": "25"}) == (200, {"account": 100, "endpoint": 25})
    assert (await said({"account": "many"}))[0] == 400
    assert await said({}) == (200, {"account": None, "endpoint": None})


async def test_without_a_pace_a_429_is_a_gateway_that_is_busy(small_house: House) -> None:
    sandbox = small_house.installation.sandbox
    assert sandbox is not None
    sandbox.faults.arm(Fault.RATE_LIMIT_429)
    with pytest.raises(GatewayBusy) as refused:
        await small_house.app.gateway.list_refunds(created_since=None, after=None)
    assert (str(refused.value), refused.value.is_account, refused.value.retry_after) == (
        "RateLimitError (HTTP 429)",
        True,
        None,
    )


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (Fault.LOCK_TIMEOUT_429, "lock_timeout (HTTP 429)"),
        (Fault.CONFLICT_409, "idempotency_key_in_use (HTTP 409)"),
    ],
)
async def test_what_another_request_holds_is_no_reason_to_slow_down_or_to_leave_the_gateway_alone(
    small_house: House, fault: Fault, told: str
) -> None:
    sandbox, gateway = small_house.installation.sandbox, small_house.app.gateway
    assert sandbox is not None
    sandbox.faults.arm(fault, count=12)  # the SDK asks each time once more
    for _ in range(6):
        with pytest.raises(GatewayHeld) as refused:
            await gateway.list_refunds(created_since=None, after=None)
        assert (str(refused.value), refused.value.is_fault) == (told, False)
    assert (await gateway.list_refunds(created_since=None, after=None)).items == []
