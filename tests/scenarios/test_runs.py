"""Runs of the billing on request: what a rehearsal tells is what the run then does."""

from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import select

from billing.dunning import TrialEndAction
from models.base import metadata
from models.customers import Customer
from services.policies import PolicyChange, update_dunning_policy
from tests.scenarios.shopping import Shopper
from tests.scenarios.test_clocks import ADMIN, ATTACH, CREATE_CUSTOMER, SUBSCRIBE, a_clock, a_subscriber
from tests.schema.keys import ask_with_key, post_with_key, secret_of_key
from tests.support.house import House

RUN = """mutation ($asOf: DateTime, $dry: Boolean, $key: String) {
  runBilling(asOf: $asOf, dryRun: $dry, idempotencyKey: $key) {
    run { id asOf isDryRun finishedAt renewed charged failed skipped totals { formatted }
      items(first: 100) { nodes { outcome amount { formatted } subscription { id } invoice { id } payment { id } } } }
    userErrors { code field } } }"""
CANCEL = """mutation ($id: ID!) { cancelSubscription(input: {subscriptionId: $id, effectiveAt: PERIOD_END}) {
  userErrors { code } } }"""
OF_RUNS = {"billing_runs", "billing_run_items"}


async def run_billing(house: House, **given: Any) -> dict[str, Any]:
    answer = (await house.ask(RUN, given, user=ADMIN))["runBilling"]
    assert answer["userErrors"] == []
    return answer["run"]


async def everything_but_runs(house: House) -> dict[str, list[tuple[Any, ...]]]:
    async with house.app.database.engine.connect() as connection:
        return {
            table.name: sorted((tuple(row) for row in await connection.execute(select(table))), key=repr)
            for table in metadata().sorted_tables
            if table.name not in OF_RUNS
        }


def what_happened(run: dict[str, Any], names: dict[str, str]) -> list[tuple[str, str, str | None]]:
    """By subscription; the order among subscriptions is nobody's business."""
    return sorted(
        (names[item["subscription"]["id"]], item["outcome"], item["amount"] and item["amount"]["formatted"])
        for item in run["items"]["nodes"]
    )


async def a_village(house: House) -> dict[str, str]:
    """Subscriptions of every kind of fate, with their names: sixty days later all of it is due."""
    ids = {"pays": await a_subscriber(house, "pays", None), "leaves": await a_subscriber(house, "leaves", None)}
    await house.ask(CANCEL, {"id": ids["leaves"]}, user=ADMIN)
    ids["yearly"] = await a_subscriber(house, "yearly", None, plan="premium-yearly")
    ids["cardless"] = await a_subscriber(house, "cardless", None)
    async with house.app.database.write() as session:  # its card has been taken away at the gateway
        customer = (await house.ask('{ customer(by: {userId: "cardless"}) { id } }', user=ADMIN))["customer"]["id"]
        row = await session.get_one(Customer, customer)
        row.default_payment_method_id = None
    wish = {"user": "unpaid", "clock": None, "zone": "UTC"}
    customer = (await house.ask(CREATE_CUSTOMER, wish, user=ADMIN))["createCustomer"]["customer"]["id"]
    begun = await house.post(SUBSCRIBE, {"plan": "reader-pro", "card": None, "customer": customer}, user=ADMIN)
    ids["unpaid"] = begun.json()["data"]["subscribe"]["subscription"]["id"]
    ids["on a clock"] = await a_subscriber(house, "on a clock", await a_clock(house))
    return {id: name for name, id in ids.items()}


async def test_a_rehearsal_changes_nothing_and_the_run_does_what_it_told(house: House) -> None:
    names = await a_village(house)
    house.pass_time(timedelta(days=60))
    before = await everything_but_runs(house)
    told = await run_billing(house)
    assert await everything_but_runs(house) == before
    assert what_happened(told, names) == [
        ("cardless", "RENEWED", "$7.00"),
        ("cardless", "RENEWED", "$7.00"),
        ("cardless", "SKIPPED", "$7.00"),
        ("cardless", "SKIPPED", "$7.00"),
        ("leaves", "ENDED", None),
        ("pays", "CHARGED", "$7.00"),
        ("pays", "CHARGED", "$7.00"),
        ("pays", "RENEWED", "$7.00"),
        ("pays", "RENEWED", "$7.00"),
        ("unpaid", "EXPIRED", None),
    ]
    figures = ("renewed", "charged", "failed", "skipped", "totals")
    assert {name: told[name] for name in figures} == {
        "renewed": 4,
        "charged": 2,
        "failed": 0,
        "skipped": 2,
        "totals": [{"formatted": "$14.00"}],
    }
    assert (told["isDryRun"], told["finishedAt"] is not None) == (True, True)

    done = await run_billing(house, dry=False)
    assert (done["isDryRun"], done["asOf"]) == (False, told["asOf"])
    assert what_happened(done, names) == what_happened(told, names)
    assert {name: done[name] for name in figures} == {name: told[name] for name in figures}
    assert [item["invoice"] for item in done["items"]["nodes"] if item["outcome"] == "RENEWED"] != [None] * 4
    again = await run_billing(house, dry=False)
    assert [again[name] for name in figures] == [0, 0, 0, 0, []]
    assert await house.audit() == []


async def test_what_a_new_card_collects_is_told_in_the_order_of_the_invoices(house: House) -> None:
    names = {await a_subscriber(house, "u-1", None): "behind"}
    customer = (await house.ask('{ customer(by: {userId: "u-1"}) { id } }', user=ADMIN))["customer"]["id"]
    await house.ask(ATTACH, {"card": "pm_card_chargeCustomerFail", "customer": customer}, user=ADMIN)
    house.pass_time(timedelta(days=28))
    declined = await run_billing(house, dry=False)
    assert what_happened(declined, names) == [("behind", "DECLINED", "$7.00"), ("behind", "RENEWED", "$7.00")]
    assert (declined["failed"], declined["charged"], declined["totals"]) == (1, 0, [])
    await house.ask(ATTACH, {"card": "pm_card_visa", "customer": customer}, user=ADMIN)
    house.pass_time(timedelta(days=31))
    told = await run_billing(house)
    done = await run_billing(house, dry=False)
    told_of = [item["outcome"] for item in told["items"]["nodes"]]
    assert told_of == [item["outcome"] for item in done["items"]["nodes"]]
    assert told_of == ["RENEWED", "SKIPPED", "CHARGED", "CHARGED"]
    assert done["totals"] == told["totals"] == [{"formatted": "$14.00"}]
    assert await house.audit() == []


async def test_a_rehearsal_looks_ahead_and_a_run_does_not(house: House) -> None:
    names = {await a_subscriber(house, "u-1", None): "ahead"}
    told = await run_billing(house, asOf="2026-07-01T00:00:00Z")
    assert what_happened(told, names) == [("ahead", "CHARGED", "$7.00")] * 5 + [("ahead", "RENEWED", "$7.00")] * 5
    assert told["totals"] == [{"formatted": "$35.00"}]
    for given, field in (
        ({"asOf": "2026-07-01T00:00:00Z", "dry": False}, "asOf"),
        ({"asOf": "2027-02-02T00:00:00Z"}, "asOf"),
    ):
        refused = (await house.ask(RUN, given, user=ADMIN))["runBilling"]
        assert refused == {"run": None, "userErrors": [{"code": "INVALID", "field": [field]}]}


async def test_a_run_as_of_an_earlier_instant_leaves_what_is_due_later(house: House) -> None:
    names = {await a_subscriber(house, "u-1", None): "late"}
    house.pass_time(timedelta(days=60))
    done = await run_billing(house, asOf="2026-03-01T00:00:00Z", dry=False)
    assert what_happened(done, names) == [("late", "CHARGED", "$7.00"), ("late", "RENEWED", "$7.00")]
    assert done["asOf"] == "2026-03-01T00:00:00Z"
    rest = await run_billing(house, dry=False)
    assert what_happened(rest, names) == [("late", "CHARGED", "$7.00"), ("late", "RENEWED", "$7.00")]


async def test_one_key_is_one_run(house: House) -> None:
    await a_subscriber(house, "u-1", None)
    house.pass_time(timedelta(days=28))
    first = await run_billing(house, dry=False, key="the daily job")
    second = await run_billing(house, dry=False, key="the daily job")
    assert (second["id"], second["charged"]) == (first["id"], 1)
    other = (await house.ask(RUN, {"dry": True, "key": "the daily job"}, user=ADMIN))["runBilling"]
    assert other["userErrors"] == [{"code": "IDEMPOTENCY_CONFLICT", "field": ["idempotencyKey"]}]


async def test_a_key_with_the_scope_runs_the_billing_and_reads_its_runs(house: House) -> None:
    await a_subscriber(house, "u-1", None)
    house.pass_time(timedelta(days=28))
    key = await secret_of_key(house, "run_billing")
    query = RUN.replace("subscription { id } invoice { id } payment { id }", "")
    run = await ask_with_key(house, key, query, {"dry": False})
    read = "query ($id: ID!) { billingRun(id: $id) { charged items { totalCount } } node(id: $id) { id } }"
    id = run["runBilling"]["run"]["id"]
    found = await ask_with_key(house, key, read, {"id": id})
    assert found == {"billingRun": {"charged": 1, "items": {"totalCount": 2}}, "node": {"id": id}}
    whose = "query ($id: ID!) { billingRun(id: $id) { items(first: 1) { nodes { subscription { id } } } } }"
    denied = (await post_with_key(house, key, whose, {"id": id})).json()
    assert denied["data"] == {"billingRun": {"items": {"nodes": [{"subscription": None}]}}}
    assert [error["extensions"]["code"] for error in denied["errors"]] == ["FORBIDDEN"]


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        (TrialEndAction.CANCEL, [("ENDED", None)]),
        (TrialEndAction.PAUSE, [("PAUSED", None)]),
        (TrialEndAction.PAST_DUE, [("RENEWED", "R$27.76"), ("SKIPPED", "R$27.76")]),
    ],
)
async def test_a_trial_without_a_card_is_told_of_as_the_policy_will_have_it(
    small_house: House, action: TrialEndAction, expected: list[tuple[str, str | None]]
) -> None:
    await update_dunning_policy(small_house.app, PolicyChange(trial_end_action=action))
    await Shopper(small_house, "demo-new").subscribe("basic-monthly")
    small_house.pass_time(timedelta(days=7))
    rehearsed = await run_billing(small_house)
    run = await run_billing(small_house, dry=False)
    for told in (rehearsed, run):
        items = [(each["outcome"], each["amount"] and each["amount"]["formatted"]) for each in told["items"]["nodes"]]
        assert items == [("TRIAL_END_ANNOUNCED", None), *expected]
        assert told["renewed"] == sum(outcome == "RENEWED" for outcome, _ in expected)
