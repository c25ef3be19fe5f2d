"""The timeline: all that happened to a subscription, one thing after another, with cause and actor."""

from datetime import timedelta
from typing import Any

from sqlmodel import select

from models.subscriptions import Subscription
from tests.scenarios.changing import CHANGE, FORGET, HALF, UPDATE, changer_of
from tests.scenarios.merchant import ADMIN, done
from tests.scenarios.test_pauses import pause, resume
from tests.scenarios.test_paying_again import GOOD, Payer
from tests.support.house import House

TIMELINE = """query ($id: ID!, $first: Int, $after: String) { subscription(id: $id) {
  timeline(first: $first, after: $after) { totalCount pageInfo { hasNextPage endCursor }
    nodes { type at from to cause actor details } }
  statusHistory { from to at cause actor } } }"""
CANCEL = """mutation ($input: CancelSubscriptionInput!) { cancelSubscription(input: $input) {
  userErrors { code message } } }"""
UNCANCEL = """mutation ($input: UncancelSubscriptionInput!) { uncancelSubscription(input: $input) {
  userErrors { code message } } }"""


async def told(house: House, id: str, user: str = "demo-card", **page: Any) -> dict[str, Any]:
    return (await house.ask(TIMELINE, {"id": id, **page}, user))["subscription"]


async def brief(house: House, id: str, user: str = "demo-card") -> list[tuple[str, str, str, Any]]:
    """(type without its subject, cause, actor, details) of each thing, the first thing first."""
    nodes = (await told(house, id, user, first=100))["timeline"]["nodes"]
    return [(n["type"].removeprefix("subscription."), n["cause"], n["actor"], n["details"]) for n in nodes]


async def plan_id(house: House, code: str) -> str:
    return (await house.ask("query ($code: String!) { plan(code: $code) { id } }", {"code": code}))["plan"]["id"]


async def test_it_tells_what_was_planned_taken_back_changed_and_taken_off(house: House) -> None:
    changer = await changer_of(house)
    terms = {"code": "TWICE", "percentOff": "10", "duration": "REPEATING", "durationInPeriods": 2}
    await done(house, "createCoupon", "CouponInput", terms, "coupon { id }")
    await changer.begin("small", couponCode="TWICE")
    subscription = changer.subscribed[-1]
    small, large = await plan_id(house, "small"), await plan_id(house, "large")
    await changer.pass_by(HALF)
    await changer.ask(CHANGE, planCode="large", effectiveAt="PERIOD_END")
    await changer.ask(FORGET)
    assert (await pause(changer, effectiveAt="PERIOD_END", until="2026-03-10T00:00:00Z"))["userErrors"] == []
    assert (await resume(changer))["userErrors"] == []
    assert (await changer.ask(CANCEL))["userErrors"] == []
    assert (await changer.ask(UNCANCEL, user=ADMIN))["userErrors"] == []
    await changer.ask(UPDATE, autoRenew=False, name="Mine", metadata={"a": 1})
    await changer.ask(UPDATE, autoRenew=True)
    await changer.change("large", "NONE", user=ADMIN)
    await changer.pass_by(HALF)
    await changer.pass_by(timedelta(days=1))
    assert (await pause(changer, until="2026-03-10T00:00:00Z"))["userErrors"] == []
    assert (await pause(changer, until="2026-03-11T00:00:00Z"))["userErrors"] == []
    assert (await resume(changer))["userErrors"] == []
    customers, staffs = await brief(house, subscription), await brief(house, subscription, ADMIN)
    async with house.app.database.read() as session:
        discount = customers[1][3]["discount"]
        assert (await session.exec(select(Subscription.plan_id))).all() == [large]
    mine, end = "customer:demo-card", "2026-02-28T09:30:00Z"
    coupon = {"coupon": "TWICE", "discount": discount}
    planned, stop = {"plan": large, "at": end}, {"at": end}
    rest = {"at": end, "until": "2026-03-10T00:00:00Z"}
    changed = {
        "plan_before": small,
        "plan": large,
        "items": [{"plan": large, "quantity": 1}],
        "proration": "none",
    }
    moved = {"at": "2026-03-01T09:30:00Z", "until": "2026-03-11T00:00:00Z"}
    assert customers == [
        ("created", "subscribe", mine, {}),
        ("coupon_applied", "subscribe", mine, coupon),
        ("activated", "subscribe", mine, {}),
        ("change_scheduled", "changePlan", mine, planned),
        ("change_unscheduled", "cancelScheduledChange", mine, planned),
        ("pause_scheduled", "pauseSubscription", mine, rest),
        ("pause_unscheduled", "resumeSubscription", mine, rest),
        ("cancel_scheduled", "cancelSubscription", mine, stop),
        ("cancel_unscheduled", "uncancelSubscription", "admin", {}),
        ("updated", "updateSubscription", mine, {"changed": ["name", "metadata"]}),
        ("cancel_scheduled", "updateSubscription", mine, stop),
        ("cancel_unscheduled", "updateSubscription", mine, {}),
        ("plan_changed", "changePlan", "admin", changed),
        ("renewed", "renewal", "worker", {"period": 1}),
        ("coupon_used_up", "renewal", "worker", coupon),
        ("paused", "pauseSubscription", mine, {}),
        ("pause_scheduled", "pauseSubscription", mine, moved),
        ("resumed", "resumeSubscription", mine, {}),
    ]
    assert [actor for _, _, actor, _ in staffs] == [
        "admin:demo-admin" if actor == "admin" else actor for _, _, actor, _ in customers
    ]


async def test_the_statuses_on_it_are_the_status_history(house: House) -> None:
    payer = Payer(house, "demo-card")
    await payer.fall_behind()
    (invoice,) = await payer.open_invoices()
    assert (await payer.retry(invoice, await payer.save_card(GOOD)))["success"]
    shown = await told(house, payer.subscribed[-1])
    moves = [
        {name: entry[name] for name in ("from", "to", "at", "cause", "actor")}
        for entry in shown["timeline"]["nodes"]
        if entry["to"] is not None
    ]
    assert moves == shown["statusHistory"]
    assert [entry["type"].removeprefix("subscription.") for entry in shown["timeline"]["nodes"]] == [
        "created",
        "activated",
        "renewed",
        "past_due",
        "recovered",
    ]


async def test_dunning_that_ends_with_nothing_but_leaving_it_be_is_told(house: House) -> None:
    policy = "mutation { updateDunningPolicy(input: {finalAction: LEAVE}) { userErrors { code } } }"
    assert (await house.ask(policy, user=ADMIN))["updateDunningPolicy"]["userErrors"] == []
    payer = Payer(house, "demo-card")
    await payer.fall_behind()
    house.pass_time(timedelta(days=22))
    await house.work()
    await house.work()
    assert (await brief(house, payer.subscribed[-1]))[3:] == [
        ("past_due", "renewal", "worker", {}),
        ("collection_ended", "dunning_over", "worker", {"action": "leave"}),
    ]


async def test_its_pages_follow_one_another(house: House) -> None:
    changer = await changer_of(house)
    await changer.begin("small")
    await changer.ask(CHANGE, planCode="large", effectiveAt="PERIOD_END")
    id = changer.subscribed[-1]
    whole = (await told(house, id))["timeline"]
    assert (whole["totalCount"], len(whole["nodes"]), whole["pageInfo"]["hasNextPage"]) == (3, 3, False)
    first = (await told(house, id, first=2))["timeline"]
    assert (first["totalCount"], first["nodes"], first["pageInfo"]["hasNextPage"]) == (3, whole["nodes"][:2], True)
    rest = (await told(house, id, first=2, after=first["pageInfo"]["endCursor"]))["timeline"]
    assert (rest["nodes"], rest["pageInfo"]["hasNextPage"]) == (whole["nodes"][2:], False)
