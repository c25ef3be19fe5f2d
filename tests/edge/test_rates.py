"""Rates (promise S12): the cost is taken from a bucket before anything runs; beyond it 429 with Retry-After."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest

from clocks import ManualClock
from rates import Buckets, Peers, Taken
from resolvers.identity import Role, issue_development_token
from settings import SettingsError, load_settings
from tests.edge.toy import API_KEY, NOW, Toy, looked_for, told_beside

# ── buckets ──


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


def test_a_bucket_is_full_at_first_and_gives_what_it_holds(clock: ManualClock) -> None:
    buckets = Buckets(60, clock.now)
    assert buckets.take("a", 20) == Taken(True, limit=60, remaining=40)
    assert buckets.take("a", 40) == Taken(True, limit=60, remaining=0)
    assert buckets.take("a", 1) == Taken(False, limit=60, remaining=0, retry_after=1)
    assert buckets.take("b", 60) == Taken(True, limit=60, remaining=0)


def test_a_refused_wish_takes_nothing_and_is_granted_after_the_seconds_told(clock: ManualClock) -> None:
    buckets = Buckets(60, clock.now)
    buckets.take("a", 50)
    assert buckets.take("a", 31) == Taken(False, limit=60, remaining=10, retry_after=21)
    clock.advance(timedelta(seconds=20))
    assert buckets.take("a", 31) == Taken(False, limit=60, remaining=30, retry_after=1)
    clock.advance(timedelta(seconds=1))
    assert buckets.take("a", 31) == Taken(True, limit=60, remaining=0)


def test_seconds_to_wait_are_whole_and_rounded_up(clock: ManualClock) -> None:
    buckets = Buckets(7, clock.now)
    buckets.take("a", 7)
    assert buckets.take("a", 1).retry_after == 9  # 60 / 7 = 8.57…


def test_it_refills_evenly_and_never_beyond_its_size(clock: ManualClock) -> None:
    buckets = Buckets(60, clock.now)
    buckets.take("a", 60)
    clock.advance(timedelta(milliseconds=1500))
    assert buckets.take("a", 1) == Taken(True, limit=60, remaining=0)
    clock.advance(timedelta(days=1))
    assert buckets.take("a", 0) == Taken(True, limit=60, remaining=60)


def test_a_wish_beyond_the_size_needs_all_of_it(clock: ManualClock) -> None:
    buckets = Buckets(60, clock.now)
    assert buckets.take("a", 1_000) == Taken(True, limit=60, remaining=0)
    assert buckets.take("a", 1_000) == Taken(False, limit=60, remaining=0, retry_after=60)


def test_what_was_paid_before_counts_and_is_lost_when_the_wish_is_refused(clock: ManualClock) -> None:
    buckets = Buckets(60, clock.now)
    assert buckets.take("a", 1) == Taken(True, limit=60, remaining=59)
    assert buckets.take("a", 60, paid=1) == Taken(True, limit=60, remaining=0)
    clock.advance(timedelta(seconds=10))
    assert buckets.take("a", 1) == Taken(True, limit=60, remaining=9)
    assert buckets.take("a", 11, paid=1) == Taken(False, limit=60, remaining=9, retry_after=2)
    clock.advance(timedelta(seconds=2))
    assert buckets.take("a", 1) == Taken(True, limit=60, remaining=10)
    assert buckets.take("a", 11, paid=1) == Taken(True, limit=60, remaining=0)


def test_a_clock_that_is_set_back_gives_nothing_and_starves_nobody(clock: ManualClock) -> None:
    buckets = Buckets(60, clock.now)
    buckets.take("a", 60)
    clock.set(NOW - timedelta(hours=1))
    assert buckets.take("a", 1) == Taken(False, limit=60, remaining=0, retry_after=1)
    clock.advance(timedelta(seconds=1))
    assert buckets.take("a", 1) == Taken(True, limit=60, remaining=0)


def test_at_the_entrance_the_wait_is_for_the_last_wish(clock: ManualClock) -> None:
    buckets = Buckets(60, clock.now)
    assert buckets.enter("a", 1) == Taken(True, limit=60, remaining=59)
    assert buckets.take("a", 60, paid=1) == Taken(True, limit=60, remaining=0)
    assert buckets.enter("a", 1) == Taken(False, limit=60, remaining=0, retry_after=60)
    clock.advance(timedelta(seconds=1))
    assert buckets.enter("a", 1) == Taken(True, limit=60, remaining=0)
    assert buckets.take("a", 5, paid=1) == Taken(False, limit=60, remaining=0, retry_after=5)
    assert buckets.enter("a", 1) == Taken(False, limit=60, remaining=0, retry_after=5)
    buckets.take("b", 60)
    assert buckets.enter("b", 1) == Taken(False, limit=60, remaining=0, retry_after=1)


def test_a_peek_takes_nothing(clock: ManualClock) -> None:
    buckets = Buckets(2, clock.now)
    assert [buckets.peek("a", 2).granted for _ in range(3)] == [True] * 3
    assert len(buckets) == 0


def test_the_table_is_bounded_and_forgets_who_was_away_longest(clock: ManualClock) -> None:
    buckets = Buckets(1, clock.now, most=2)
    for name in ("a", "b", "a", "c"):
        buckets.take(name, 1)
    assert len(buckets) == 2
    assert [buckets.peek(name, 1).granted for name in ("a", "b", "c")] == [False, True, False]


def test_zero_is_without_limit_and_keeps_no_table(clock: ManualClock) -> None:
    buckets = Buckets(0, clock.now)
    assert buckets.take("a", 10**9) == Taken(True, limit=0, remaining=0)
    assert buckets.peek("a", 10**9) == Taken(True, limit=0, remaining=0)
    assert len(buckets) == 0


# ── addresses ──


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "name"),
    [
        ((), "203.0.113.9", [], "203.0.113.9"),
        ((), "203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        (("10.0.0.0/8",), "203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        (("10.0.0.0/8",), "10.1.2.3", ["198.51.100.1"], "198.51.100.1"),
        (("10.0.0.0/8",), "10.1.2.3", ["198.51.100.1, 203.0.113.9"], "203.0.113.9"),
        (("10.0.0.0/8",), "10.1.2.3", ["198.51.100.1, 203.0.113.9, 10.9.9.9"], "203.0.113.9"),
        (("10.0.0.0/8",), "10.1.2.3", ["198.51.100.1", "203.0.113.9"], "203.0.113.9"),
        (("10.0.0.0/8",), "10.1.2.3", ["198.51.100.1, nonsense"], "10.1.2.3"),
        (("10.0.0.0/8",), "10.1.2.3", [""], "10.1.2.3"),
        (("127.0.0.1",), "::ffff:127.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ((), "2001:db8:1:2:3::4", [], "2001:db8:1:2::/64"),
        ((), "2001:db8:1:2:ffff::1", [], "2001:db8:1:2::/64"),
        (("::1",), "::1", ["2001:db8::7"], "2001:db8::/64"),
        ((), "", ["198.51.100.1"], "unknown"),
        ((), "testclient", [], "unknown"),
    ],
)
def test_whose_address_counts(trusted: tuple[str, ...], peer: str, forwarded: list[str], name: str) -> None:
    assert Peers(trusted).name(peer, forwarded) == name


def test_what_is_no_network_is_refused_by_the_settings() -> None:
    with pytest.raises(SettingsError, match=r"^PERENNIAL_TRUSTED_PROXIES: 'proxy' is no address or network"):
        load_settings(_env_file=None, trusted_proxies="10.0.0.0/8, proxy")
    assert load_settings(_env_file=None, trusted_proxies="10.0.0.1, ::1").trusted_proxies == ("10.0.0.1", "::1")


# ── over HTTP ──

HELLO = "{ hello }"
TEN = "{ " + " ".join(f"a{n}: hello" for n in range(10)) + " }"


@asynccontextmanager
async def toy_with(**settings: Any) -> AsyncIterator[Toy]:
    toy = Toy(**settings)
    async with toy.client:
        yield toy


def bearer(toy: Toy, user: str, role: Role = Role.CUSTOMER) -> dict[str, str]:
    token = issue_development_token(toy.settings, user_id=user, role=role, now=NOW, lifetime=timedelta(days=9))
    return {"authorization": f"Bearer {token}"}


def told(response: httpx.Response) -> tuple[int, Any, str | None]:
    """The status, the rate or the error's code, and the header that says when to come back."""
    body = response.json()
    answer = body["errors"][0]["extensions"]["code"] if "errors" in body else body["extensions"]["rate"]
    return response.status_code, answer, response.headers.get("retry-after")


async def test_what_is_left_is_told_and_beyond_it_is_429_with_the_seconds_to_wait() -> None:
    async with toy_with(rate_caller_per_minute=30) as toy:
        mine = bearer(toy, "u")
        assert told(await toy.ask(TEN, headers=mine)) == (200, {"limit": 30, "remaining": 20}, None)
        assert told(await toy.ask(TEN, headers=mine)) == (200, {"limit": 30, "remaining": 10}, None)
        assert told(await toy.ask(HELLO, headers=mine)) == (200, {"limit": 30, "remaining": 9}, None)
        refused = await toy.ask(TEN, headers=mine)
        assert told(refused) == (429, "RATE_LIMITED", "4")
        assert refused.json()["errors"] == [
            {
                "message": "Too much was asked for in the last minute; try again in 4 s.",
                "extensions": {"code": "RATE_LIMITED", "retryAfter": 4, **looked_for(refused)},
            }
        ]
        assert told_beside(refused) == {
            "cost": {"requested": 10, "limit": 10_000},
            "rate": {"limit": 30, "remaining": 8},
        }
        toy.clock.advance(timedelta(seconds=4))
        assert told(await toy.ask(TEN, headers=mine)) == (200, {"limit": 30, "remaining": 0}, None)


async def test_an_empty_bucket_is_refused_before_the_document_is_read() -> None:
    async with toy_with(rate_caller_per_minute=10) as toy:
        mine = bearer(toy, "u")
        assert (await toy.ask(TEN, headers=mine)).status_code == 200
        refused = await toy.ask("{", headers=mine)
        assert told(refused) == (429, "RATE_LIMITED", "60")
        assert refused.json()["errors"] == [
            {
                "message": "Too much was asked for in the last minute; try again in 60 s.",
                "extensions": {"code": "RATE_LIMITED", "retryAfter": 60, **looked_for(refused)},
            }
        ]
        assert told_beside(refused) == {}


async def test_whoever_finds_the_bucket_empty_is_told_when_the_same_request_is_granted() -> None:
    async with toy_with(rate_caller_per_minute=30) as toy:
        mine = bearer(toy, "u")
        for _ in range(3):
            assert (await toy.ask(TEN, headers=mine)).status_code == 200
        assert told(await toy.ask(TEN, headers=mine)) == (429, "RATE_LIMITED", "20")
        toy.clock.advance(timedelta(seconds=20))
        assert told(await toy.ask(TEN, headers=mine)) == (200, {"limit": 30, "remaining": 0}, None)


async def test_whoever_takes_nothing_but_events_is_refused_by_the_status_too() -> None:
    """A client of event streams repeats by the status and Retry-After; an event would be the answer to it."""
    async with toy_with(rate_caller_per_minute=30) as toy:
        mine = {**bearer(toy, "u"), "accept": "text/event-stream"}
        for _ in range(2):
            assert (await toy.ask(TEN, headers=mine)).headers["content-type"] == "text/event-stream; charset=utf-8"
        await toy.ask(HELLO, headers=mine)
        refused = await toy.ask(TEN, headers=mine)
        assert told(refused) == (429, "RATE_LIMITED", "4")
        assert refused.headers["content-type"] == "application/json; charset=utf-8"


async def test_a_mutation_beyond_the_bucket_is_not_carried_out() -> None:
    async with toy_with(rate_caller_per_minute=9) as toy:
        mine = bearer(toy, "u")
        text = 'mutation { addNote(text: "x") { note userErrors { code message } } }'
        assert told(await toy.ask(text, headers=mine))[0] == 200  # 1 + 1 + 1 + 5 * 2, and takes all there is
        assert told(await toy.ask(text, headers=mine)) == (429, "RATE_LIMITED", "60")
        assert toy.database == ["x"]


async def test_each_caller_has_a_bucket_of_its_own_whatever_the_address() -> None:
    async with toy_with(rate_caller_per_minute=10, rate_address_per_minute=10) as toy:
        callers: list[dict[str, str]] = [bearer(toy, "u"), bearer(toy, "v"), {"x-api-key": API_KEY}, {}]
        for headers in callers:
            assert told(await toy.ask(TEN, headers=headers)) == (200, {"limit": 10, "remaining": 0}, None)
        for headers in callers:
            assert told(await toy.ask(TEN, headers=headers)) == (429, "RATE_LIMITED", "60")


async def test_a_user_and_a_key_of_the_same_name_are_not_the_same_caller() -> None:
    async with toy_with(rate_caller_per_minute=10) as toy:
        assert told(await toy.ask(TEN, headers=bearer(toy, "apk_toy")))[0] == 200
        assert told(await toy.ask(TEN, headers={"x-api-key": API_KEY}))[0] == 200


async def test_nobody_is_counted_by_address_as_the_trusted_proxy_tells_it() -> None:
    async with toy_with(rate_address_per_minute=10, trusted_proxies="127.0.0.1") as toy:
        for address in ("198.51.100.1", "198.51.100.2"):
            headers = {"x-forwarded-for": address}
            assert told(await toy.ask(TEN, headers=headers)) == (200, {"limit": 10, "remaining": 0}, None)
            assert told(await toy.ask(TEN, headers=headers)) == (429, "RATE_LIMITED", "60")


async def test_nobody_cannot_choose_an_address() -> None:
    async with toy_with(rate_address_per_minute=10) as toy:
        assert told(await toy.ask(TEN, headers={"x-forwarded-for": "198.51.100.1"}))[0] == 200
        assert told(await toy.ask(TEN, headers={"x-forwarded-for": "198.51.100.2"})) == (429, "RATE_LIMITED", "60")


async def test_what_cannot_be_executed_costs_one_value() -> None:
    async with toy_with(rate_address_per_minute=4) as toy:
        for text in ("{", "{ nothing }", "{ notes(first: 101) { totalCount } }"):
            assert (await toy.ask(text)).status_code == 200
        assert told(await toy.ask(HELLO)) == (200, {"limit": 4, "remaining": 0}, None)


async def test_zero_switches_each_limit_off_and_tells_no_rate() -> None:
    async with toy_with(rate_caller_per_minute=0, rate_address_per_minute=0, rate_failures_per_minute=0) as toy:
        for _ in range(3):
            for headers in ({}, bearer(toy, "u")):
                answer = await toy.ask(TEN, headers=headers)
                assert told_beside(answer) == {"cost": {"requested": 10, "limit": 10_000}}
            assert (await toy.ask(TEN, headers={"x-api-key": "wrong"})).status_code == 401


# ── credentials that do not hold ──


async def test_an_address_with_too_many_failed_credentials_is_refused_unheard() -> None:
    async with toy_with(rate_failures_per_minute=3) as toy:
        wrong: list[dict[str, str]] = [{"authorization": "Bearer x"}, {"x-api-key": "wrong"}, {"authorization": "y"}]
        for headers in wrong:
            assert told(await toy.ask(HELLO, headers=headers)) == (401, "UNAUTHENTICATED", None)
        refused = await toy.ask(HELLO, headers={"x-api-key": API_KEY})
        assert told(refused) == (429, "RATE_LIMITED", "20")
        assert refused.json()["errors"][0]["message"] == (
            "Too many credentials from this address did not hold; try again in 20 s."
        )
        assert (await toy.ask(HELLO)).status_code == 200  # nobody's requests try no credentials
        toy.clock.advance(timedelta(seconds=20))
        assert (await toy.ask(HELLO, headers={"x-api-key": API_KEY})).status_code == 200


async def test_credentials_that_hold_and_other_doors_are_not_counted() -> None:
    async with toy_with(rate_failures_per_minute=1) as toy:
        for _ in range(3):
            assert (await toy.ask(HELLO, headers={"x-api-key": API_KEY})).status_code == 200
            assert (await toy.ask("{ secret }", headers=bearer(toy, "u"))).status_code == 200
            assert (
                await toy.client.get("/sandbox/stripe/v1/refused", headers={"authorization": "x"})
            ).status_code == 401
        assert (await toy.ask(HELLO, headers={"x-api-key": API_KEY})).status_code == 200


# ── which credential counts ──


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ([("x-api-key", "wrong")], "The API key is unknown, revoked or expired."),
        ([("x-api-key", "")], "The API key is unknown, revoked or expired."),
        ([("x-api-key", API_KEY), ("x-api-key", API_KEY)], "Send one X-API-Key header."),
        ([("x-api-key", API_KEY), ("authorization", "Bearer x")], "Send an access token or an API key, not both."),
    ],
)
async def test_a_key_that_does_not_count_is_401(headers: list[tuple[str, str]], message: str) -> None:
    async with toy_with() as toy:
        answer = await toy.client.post("/graphql", json={"query": "{ role }"}, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "ApiKey"
        (error,) = answer.json()["errors"]
        assert (error["message"], error["extensions"]["code"]) == (message, "UNAUTHENTICATED")


async def test_a_key_beside_a_token_is_401_even_if_both_hold() -> None:
    async with toy_with() as toy:
        answer = await toy.ask("{ role }", headers={"x-api-key": API_KEY, **bearer(toy, "u", Role.ADMIN)})
        assert answer.status_code == 401


async def test_a_key_that_holds_makes_a_service() -> None:
    async with toy_with() as toy:
        answer = await toy.ask("{ role }", headers={"x-api-key": f" {API_KEY} "})
        assert answer.json()["data"] == {"role": "service"}


async def test_a_page_of_another_origin_is_not_told_that_it_may_send_a_key() -> None:
    async with toy_with() as toy:
        headers = {
            "origin": "https://app.example",
            "access-control-request-method": "POST",
            "access-control-request-headers": "x-api-key",
        }
        answer = await toy.client.options("/graphql", headers=headers)
        assert "x-api-key" not in answer.headers["access-control-allow-headers"].lower()
        assert "Retry-After" in (await toy.ask(HELLO, headers=headers)).headers["access-control-expose-headers"]
