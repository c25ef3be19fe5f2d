"""Time moved on by hand, told through the public API on both databases."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from billing.errors import UserProblem
from gateways.sandbox import Fault
from gateways.sandbox.cards import GENERIC
from models.clocks import TestClockStatus
from schema.build import build_schema
from services.people.registering import NewCustomer, create_customer
from services.runs import moving_time
from services.shielding import drain
from tests.scenarios.test_paying_again import Payer
from tests.support.bank import bank
from tests.support.house import House
from tests.support.meanwhile import held, just_after
from tests.support.outside import NO_FUNDS, VISA, charges_by_invoice

ADMIN = "demo-admin"
START = datetime(2027, 1, 31, 9, tzinfo=UTC)

CREATE_CLOCK = """mutation ($now: DateTime!) { createTestClock(now: $now, name: "a clock") {
  testClock { id now status } runs { id } userErrors { code } } }"""
CREATE_CUSTOMER = """mutation ($user: ID!, $clock: ID, $zone: String) {
  createCustomer(input: {userId: $user, testClockId: $clock, timezone: $zone}) {
    customer { id createdAt testClock { id } } userErrors { code message } } }"""
ADVANCE = """mutation ($id: ID!, $to: DateTime!) { advanceTestClock(id: $id, to: $to) {
  testClock { now status }
  runs { asOf renewed charged failed skipped totals { formatted }
    items { nodes { outcome at amount { formatted } invoice { period { start } } payment { status } } } }
  userErrors { code message } } }"""
DELETE = """mutation ($id: ID!) { deleteTestClock(id: $id) {
  testClock { now status } runs { items { nodes { outcome } } } userErrors { code } } }"""
CLOCK = "query ($id: ID!) { testClock(id: $id) { now target status runs { totalCount } } }"
ATTACH = """mutation ($card: String!, $customer: ID!) { attachPaymentMethod(input: {
  paymentMethodId: $card, customerId: $customer, makeDefault: true}) { paymentMethod { id } userErrors { code } } }"""
SUBSCRIBE = """mutation ($plan: String!, $card: ID, $customer: ID!) {
  subscribe(input: {planCode: $plan, paymentMethodId: $card, customerId: $customer}) {
    subscription { id status } userErrors { code message } } }"""
LIFE = """query ($id: ID!) { subscription(id: $id) { status isActive currentPeriod { start end } nextBillingAt endsAt
  invoices(first: 50) { nodes { status issuedAt period { start end } payments { status } } } } }"""


async def a_clock(house: House, now: datetime = START) -> str:
    made = (await house.ask(CREATE_CLOCK, {"now": now.isoformat()}, user=ADMIN))["createTestClock"]
    assert made["userErrors"] == []
    assert made["testClock"] == {"id": made["testClock"]["id"], "now": _told(now), "status": "READY"}
    return made["testClock"]["id"]


async def a_subscriber(house: House, user: str, clock: str | None, plan: str = "reader-pro", zone: str = "UTC") -> str:
    """A customer who has subscribed with that card: the subscription's id."""
    wish = {"user": user, "clock": clock, "zone": zone}
    customer = (await house.ask(CREATE_CUSTOMER, wish, user=ADMIN))["createCustomer"]["customer"]
    wish = {"card": "pm_card_visa", "customer": customer["id"]}
    saved = (await house.ask(ATTACH, wish, user=ADMIN))["attachPaymentMethod"]
    wish = {"plan": plan, "card": saved["paymentMethod"]["id"], "customer": customer["id"]}
    begun = (await house.ask(SUBSCRIBE, wish, user=ADMIN))["subscribe"]
    assert (begun["subscription"]["status"], begun["userErrors"]) == ("ACTIVE", [])
    return begun["subscription"]["id"]


async def advance(house: House, clock: str, to: datetime) -> dict[str, Any]:
    return (await house.ask(ADVANCE, {"id": clock, "to": to.isoformat()}, user=ADMIN))["advanceTestClock"]


async def life(house: House, subscription: str) -> dict[str, Any]:
    return (await house.ask(LIFE, {"id": subscription}, user=ADMIN))["subscription"]


def _told(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")


async def test_twelve_renewals_fit_one_call_and_are_told_run_by_run(house: House) -> None:
    clock = await a_clock(house)
    subscription = await a_subscriber(house, "u-1", clock)
    moved = await advance(house, clock, datetime(2028, 1, 31, 9, tzinfo=UTC))
    assert (moved["testClock"], moved["userErrors"]) == ({"now": "2028-01-31T09:00:00Z", "status": "READY"}, [])
    starts = [
        "2027-02-28", "2027-03-31", "2027-04-30", "2027-05-31", "2027-06-30", "2027-07-31", "2027-08-31",
        "2027-09-30", "2027-10-31", "2027-11-30", "2027-12-31", "2028-01-31",
    ]  # fmt: skip
    assert moved["runs"] == [
        {
            "asOf": f"{day}T09:00:00Z",
            "renewed": 1,
            "charged": 1,
            "failed": 0,
            "skipped": 0,
            "totals": [{"formatted": "$7.00"}],
            "items": {
                "nodes": [
                    {
                        "outcome": outcome,
                        "at": f"{day}T09:00:00Z",
                        "amount": {"formatted": "$7.00"},
                        "invoice": {"period": {"start": f"{day}T09:00:00Z"}},
                        "payment": {"status": "SUCCEEDED"} if outcome == "CHARGED" else None,
                    }
                    for outcome in ("RENEWED", "CHARGED")
                ]
            },
        }
        for day in starts
    ]
    told = await life(house, subscription)
    assert [i["issuedAt"][:10] for i in reversed(told["invoices"]["nodes"])] == ["2027-01-31", *starts]
    assert {i["status"] for i in told["invoices"]["nodes"]} == {"PAID"}
    assert (told["isActive"], told["nextBillingAt"]) == (True, "2028-02-29T09:00:00Z")
    assert await house.audit() == []


async def test_clocks_and_the_real_time_leave_one_another_alone(house: House) -> None:
    early, late = await a_clock(house), await a_clock(house, datetime(2031, 6, 15, tzinfo=UTC))
    by_early = await a_subscriber(house, "early", early)
    by_late = await a_subscriber(house, "late", late)
    real = await a_subscriber(house, "real", None)
    await advance(house, early, START + timedelta(days=60))
    told = {name: await life(house, each) for name, each in (("early", by_early), ("late", by_late), ("real", real))}
    assert {name: each["nextBillingAt"] for name, each in told.items()} == {
        "early": "2027-04-30T09:00:00Z",
        "late": "2031-07-15T00:00:00Z",
        "real": "2026-02-28T09:30:00Z",
    }
    # The worker renews the real one when its own time has come, and nobody on a clock.
    house.pass_time(timedelta(days=28))
    assert (await house.work())["happened"] == 1
    told = {name: await life(house, each) for name, each in (("early", by_early), ("late", by_late), ("real", real))}
    assert {name: len(each["invoices"]["nodes"]) for name, each in told.items()} == {"early": 3, "late": 1, "real": 2}
    assert await house.work() == dict.fromkeys(await house.work(), 0)
    assert await house.audit() == []


async def test_month_ends_are_kept_in_the_customers_zone(house: House) -> None:
    clock = await a_clock(house, datetime(2028, 1, 31, 23, 30, tzinfo=UTC))
    zone = "America/New_York"
    subscription = await a_subscriber(house, "u-1", clock, zone=zone)
    await advance(house, clock, datetime(2028, 5, 1, tzinfo=UTC))
    invoices = (await life(house, subscription))["invoices"]["nodes"]
    local = [datetime.fromisoformat(i["period"]["start"]).astimezone(ZoneInfo(zone)) for i in reversed(invoices)]
    assert [f"{each:%d %b %H:%M}" for each in local] == ["31 Jan 18:30", "29 Feb 18:30", "31 Mar 18:30", "30 Apr 18:30"]


async def test_a_refusal_on_a_clock_is_told_and_a_new_card_pays_at_its_present(house: House) -> None:
    clock = await a_clock(house)
    subscription = await a_subscriber(house, "u-1", clock)
    customer = (await house.ask('{ customer(by: {userId: "u-1"}) { id } }', user=ADMIN))["customer"]["id"]
    await house.ask(ATTACH, {"card": "pm_card_chargeCustomerFail", "customer": customer}, user=ADMIN)
    moved = await advance(house, clock, datetime(2027, 3, 1, tzinfo=UTC))
    (run,) = moved["runs"]
    assert [item["outcome"] for item in run["items"]["nodes"]] == ["RENEWED", "DECLINED"]
    assert (run["renewed"], run["charged"], run["failed"], run["totals"]) == (1, 0, 1, [])
    told = await life(house, subscription)
    assert (told["status"], told["isActive"]) == ("PAST_DUE", True)

    await house.ask(ATTACH, {"card": "pm_card_mastercard", "customer": customer}, user=ADMIN)
    assert (await house.work())["advanced"] == 1  # one instant: the clock's present
    told = await life(house, subscription)
    assert (told["status"], [i["status"] for i in told["invoices"]["nodes"]]) == ("ACTIVE", ["PAID", "PAID"])
    assert (await house.ask(CLOCK, {"id": clock}, user=ADMIN))["testClock"]["now"] == "2027-03-01T00:00:00Z"
    assert await house.audit() == []


async def test_dunning_to_its_end_takes_one_call(house: House) -> None:
    clock = await a_clock(house)
    subscription = await a_subscriber(house, "u-1", clock)
    customer = (await house.ask('{ customer(by: {userId: "u-1"}) { id } }', user=ADMIN))["customer"]["id"]
    await house.ask(ATTACH, {"card": "pm_card_chargeCustomerFail", "customer": customer}, user=ADMIN)
    moved = await advance(house, clock, datetime(2028, 1, 31, tzinfo=UTC))
    assert moved["testClock"] == {"now": "2028-01-31T00:00:00Z", "status": "READY"}
    assert [(run["asOf"][:10], [i["outcome"] for i in run["items"]["nodes"]]) for run in moved["runs"]] == [
        ("2027-02-28", ["RENEWED", "DECLINED"]),
        ("2027-03-02", ["DECLINED"]),
        ("2027-03-07", ["DECLINED"]),
        ("2027-03-14", ["DECLINED"]),
        ("2027-03-21", ["DECLINED", "GIVEN_UP"]),
    ]
    assert (await life(house, subscription))["status"] == "CANCELED"
    assert await house.audit() == []


async def test_access_is_judged_by_the_clocks_present(house: House) -> None:
    clock = await a_clock(house)
    subscription = await a_subscriber(house, "u-1", clock)
    customer = (await house.ask('{ customer(by: {userId: "u-1"}) { id } }', user=ADMIN))["customer"]["id"]
    await house.ask(ATTACH, {"card": "pm_card_chargeCustomerFail", "customer": customer}, user=ADMIN)
    status = 'query { subscriptionStatus(userId: "u-1") { isActive } }'
    seen = []
    for to in (datetime(2027, 3, 7, 8, tzinfo=UTC), datetime(2027, 3, 7, 10, tzinfo=UTC)):
        await advance(house, clock, to)
        seen.append(
            (
                (await life(house, subscription))["isActive"],
                (await house.ask(status, user=ADMIN))["subscriptionStatus"]["isActive"],
            )
        )
    assert seen == [(True, True), (False, False)]  # seven days of grace since 28 February, 09:00


async def test_time_never_goes_back_and_what_cannot_be_is_refused(house: House) -> None:
    clock = await a_clock(house)
    subscription = await a_subscriber(house, "u-1", clock)
    before = await life(house, subscription)

    async def refused(id: str, to: str) -> list[str]:
        answer = (await house.ask(ADVANCE, {"id": id, "to": to}, user=ADMIN))["advanceTestClock"]
        assert (answer["testClock"], answer["runs"]) == (None, [])
        return [error["code"] for error in answer["userErrors"]]

    assert await refused(clock, "2027-01-31T08:59:59Z") == ["INVALID"]
    assert await refused(clock, "2200-01-01T00:00:00Z") == ["INVALID"]
    assert await refused("clk_none", "2027-03-01T00:00:00Z") == ["NOT_FOUND"]
    assert await life(house, subscription) == before
    standing = await advance(house, clock, START)
    assert standing == {"testClock": {"now": _told(START), "status": "READY"}, "runs": [], "userErrors": []}
    made = (await house.ask(CREATE_CLOCK, {"now": "1969-12-31T23:59:59Z"}, user=ADMIN))["createTestClock"]
    assert (made["testClock"], made["userErrors"]) == (None, [{"code": "INVALID"}])


async def test_there_are_no_clocks_without_the_sandbox(house: House) -> None:
    real = replace(house.app, browser=None)
    for step in (
        moving_time.create_test_clock(real, START, None),
        moving_time.advance_test_clock(real, house.actor(ADMIN), "clk_1", START),
        moving_time.delete_test_clock(real, house.actor(ADMIN), "clk_1"),
        create_customer(real, NewCustomer("u-1", test_clock_id="clk_1")),
    ):
        with pytest.raises(UserProblem) as refusal:
            await step
        assert refusal.value.code == "NOT_PERMITTED"
    roots = build_schema(sandbox=False)._schema
    assert roots.query_type is not None
    assert roots.mutation_type is not None
    named = {*roots.query_type.fields, *roots.mutation_type.fields}
    assert {name for name in named if "lock" in name} == set()


async def test_what_a_request_has_no_time_for_the_worker_goes_on_with(house: House) -> None:
    clock = await a_clock(house)
    subscription = await a_subscriber(house, "u-1", clock)
    hurried = replace(house.app, gateway_budget=timedelta(0))
    to = datetime(2028, 1, 31, 9, tzinfo=UTC)
    view = await moving_time.advance_test_clock(hurried, house.actor(ADMIN), clock, to)
    assert (view.clock.status, view.problems) == (TestClockStatus.ADVANCING, ())
    await drain(10)
    busy = await house.ask(CREATE_CUSTOMER, {"user": "u-2", "clock": clock, "zone": "UTC"}, user=ADMIN)
    assert [error["code"] for error in busy["createCustomer"]["userErrors"]] == ["INVALID_STATE"]
    other = await advance(house, clock, to + timedelta(days=1))
    assert [error["code"] for error in other["userErrors"]] == ["INVALID_STATE"]
    assert (await house.work())["advanced"] > 0
    told = (await house.ask(CLOCK, {"id": clock}, user=ADMIN))["testClock"]
    assert told == {"now": _told(to), "target": _told(to), "status": "READY", "runs": {"totalCount": 12}}
    assert len((await life(house, subscription))["invoices"]["nodes"]) == 13
    assert await house.audit() == []


async def test_a_clock_waits_for_an_answer_that_never_came(house: House) -> None:
    clock = await a_clock(house)
    subscription = await a_subscriber(house, "u-1", clock)
    sandbox = house.installation.sandbox
    assert sandbox is not None
    sandbox.faults.arm(Fault.TIMEOUT_AFTER, count=2, path_contains="/confirm")
    sandbox.faults.arm(Fault.TIMEOUT_BEFORE, count=2, path_contains="/payment_intents/")
    moved = await advance(house, clock, datetime(2027, 4, 1, tzinfo=UTC))
    assert moved["testClock"] == {"now": "2027-02-28T09:00:00Z", "status": "ADVANCING"}
    assert [error["code"] for error in moved["userErrors"]] == ["PAYMENT_OUTCOME_UNKNOWN"]
    assert [item["outcome"] for item in moved["runs"][0]["items"]["nodes"]] == ["RENEWED", "UNKNOWN"]
    house.pass_time(timedelta(seconds=60))
    await house.work()
    told = await life(house, subscription)
    assert [(i["status"], i["issuedAt"][:10]) for i in told["invoices"]["nodes"]] == [
        ("PAID", "2027-03-31"),
        ("PAID", "2027-02-28"),
        ("PAID", "2027-01-31"),
    ]
    assert (await house.ask(CLOCK, {"id": clock}, user=ADMIN))["testClock"]["status"] == "READY"
    assert sorted((await charges_by_invoice(house)).values()) == [1, 1, 1]
    assert await house.audit() == []


async def test_a_deleted_clock_ends_its_subscriptions_and_stands_still(house: House) -> None:
    clock = await a_clock(house)
    paid = await a_subscriber(house, "paid", clock)
    wish = {"user": "unpaid", "clock": clock, "zone": "UTC"}
    customer = (await house.ask(CREATE_CUSTOMER, wish, user=ADMIN))["createCustomer"]["customer"]["id"]
    wish = {"plan": "reader-pro", "card": None, "customer": customer}
    begun = await house.post(SUBSCRIBE, wish, user=ADMIN)
    unpaid = begun.json()["data"]["subscribe"]["subscription"]["id"]
    deleted = (await house.ask(DELETE, {"id": clock}, user=ADMIN))["deleteTestClock"]
    assert deleted == {
        "testClock": {"now": _told(START), "status": "DELETED"},
        "runs": [{"items": {"nodes": [{"outcome": "ENDED"}]}}],
        "userErrors": [],
    }
    told = [await life(house, each) for each in (paid, unpaid)]
    assert [(each["status"], each["invoices"]["nodes"][0]["status"]) for each in told] == [
        ("CANCELED", "PAID"),
        ("INCOMPLETE_EXPIRED", "VOID"),
    ]
    assert [error["code"] for error in (await advance(house, clock, START))["userErrors"]] == ["NOT_FOUND"]
    house.pass_time(timedelta(days=400))
    assert await house.due() == {}
    assert await house.audit() == []


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_clock_that_is_deleted_in_the_moment_of_its_arrival_ends_what_lives_on_it(house: House) -> None:
    """Whoever moves it has just seen that nothing is in the way, and waits for the row behind the one who deletes."""
    clock = await a_clock(house)
    subscription = await a_subscriber(house, "u-1", clock)
    waits, deleting = asyncio.Event(), list[asyncio.Task[Any]]()

    async def deleted_before_it_moves() -> None:
        async with held(house.app, "SELECT id FROM test_clocks FOR NO KEY UPDATE") as waiting:
            deleting.append(asyncio.create_task(house.ask(DELETE, {"id": clock}, user=ADMIN)))
            await waiting(1)
            waits.set()
            await waiting(2)

    async def begin() -> None:
        deleting.append(asyncio.create_task(deleted_before_it_moves()))
        await waits.wait()

    app = just_after(house.app, "confirm_payment_intent", begin)
    moved = await moving_time.advance_test_clock(app, house.actor(ADMIN), clock, START + timedelta(days=28))
    await asyncio.gather(*deleting)
    assert moved.clock.status is TestClockStatus.DELETED
    assert (await life(house, subscription))["status"] == "CANCELED"
    assert await house.audit() == []


async def test_what_a_browser_tried_counts_at_the_clocks_present(small_house: House) -> None:
    """Years before the gateway's own dates: the days of dunning are still to come."""
    house, clock = small_house, await a_clock(small_house, datetime(2024, 1, 31, 9, tzinfo=UTC))
    payer = Payer(house, "u-1", subscribed=[await a_subscriber(house, "u-1", clock)])
    with bank() as issuer:
        issuer.declines(VISA, GENERIC)
        await advance(house, clock, datetime(2024, 2, 29, 9, tzinfo=UTC))
        [invoice] = await payer.open_invoices()
        told = await payer.retry(invoice)
        await payer.browser.confirm(told["paymentIntent"]["clientSecret"], NO_FUNDS)
        await house.deliver()
        moved = await advance(house, clock, datetime(2024, 3, 2, 9, tzinfo=UTC))
    assert [item["outcome"] for run in moved["runs"] for item in run["items"]["nodes"]] == ["DECLINED"]
