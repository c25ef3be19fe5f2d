"""What administrators look after over HTTP: webhooks, reconcile passes, the proof; exact JSON."""

from typing import Any

import pytest

from gateways.sandbox import Fault
from tests.scenarios.shopping import CHANNELS, Channel, Shopper
from tests.support.breaking import alter, only
from tests.support.deliveries import dump, event, send
from tests.support.house import House, counted
from tests.support.outside import VISA, dashboard, sandbox_of

ADMIN = "demo-admin"
LOST = Channel("webhooks off", (Fault.WEBHOOKS_OFF,))

EVENTS = """query Events($status: [GatewayEventStatus!], $type: String, $first: Int, $after: String) {
  gatewayEvents(status: $status, type: $type, first: $first, after: $after) {
    nodes { id gatewayId type status receivedAt processedAt payload error attempts }
    totalCount
    pageInfo { hasNextPage endCursor }
  }
}"""
REPLAY = """mutation Replay($id: ID!) {
  replayGatewayEvent(id: $id) {
    event { id status processedAt error attempts } userErrors { code field message }
  }
}"""
REPORT = """{ id startedAt finishedAt checked isClean
  drift { kind payment { id status } gatewayPaymentId local gateway repaired } }"""
RECONCILE = f"""mutation Reconcile($since: DateTime!, $repair: Boolean! = false) {{
  reconcilePayments(since: $since, repair: $repair) {{ report {REPORT} userErrors {{ code field }} }}
}}"""
NOW = "2026-01-31T09:30:00Z"
YESTERDAY = "2026-01-30T09:30:00Z"


async def events(house: House, **narrowed: Any) -> dict[str, Any]:
    return (await house.ask(EVENTS, narrowed, ADMIN))["gatewayEvents"]


async def test_a_fault_keeps_its_event_alone_and_is_told_without_what_was_to_be_written(small_house: House) -> None:
    """Such as a full disk while a card's holder is another: the events behind it are worked on."""
    cards = await small_house.ask("{ paymentMethods { nodes { gatewayId } } }", user="demo-card")
    (card,) = cards["paymentMethods"]["nodes"]
    full = "CREATE TRIGGER full BEFORE UPDATE ON payment_methods BEGIN SELECT RAISE(ABORT, 'no room'); END"
    async with small_house.app.database.write() as session:
        await (await session.connection()).exec_driver_sql(full)
    holder = {"billing_details": {"name": "Canary Holder"}}
    await dashboard(small_house).payment_methods.update_async(card["gatewayId"], holder)
    await small_house.deliver()
    told = (await events(small_house))["nodes"]
    failed = {each["type"]: each["error"] for each in told if each["status"] == "FAILED"}
    assert "payment_method.updated" in failed
    assert {"no room" in error for error in failed.values()} == {True}
    assert "Canary" not in str(failed)
    assert {each["status"] for each in told} <= {"FAILED", "PROCESSED", "IGNORED_STALE"}


async def replay(house: House, id: str) -> dict[str, Any]:
    return (await house.ask(REPLAY, {"id": id}, ADMIN))["replayGatewayEvent"]


async def reconcile(house: House, **given: Any) -> dict[str, Any]:
    return (await house.ask(RECONCILE, given, ADMIN))["reconcilePayments"]


@pytest.fixture
async def waiting(house: House) -> tuple[Shopper, str]:
    """A customer who is to confirm a card in the browser, whose webhooks are lost; and the client secret."""
    shopper = Shopper(house, "demo-new", LOST)
    return shopper, (await shopper.subscribe())["paymentIntent"]["clientSecret"]


async def test_events_are_listed_newest_first_and_narrowed(house: House) -> None:
    await house.deliver()  # those of the demo data
    known = (await events(house))["totalCount"]
    handled = event("payment_method", "pm_gone", "payment_method.updated")
    ignored = event("plan", "plan_1", "plan.created")
    for each in (handled, ignored):
        await send(house, each)

    page = await events(house, first=2)
    second, first = page["nodes"]
    assert (page["totalCount"], page["pageInfo"]["hasNextPage"]) == (known + 2, True)
    assert first == {
        "id": first["id"],
        "gatewayId": handled["id"],
        "type": "payment_method.updated",
        "status": "RECEIVED",
        "receivedAt": NOW,
        "processedAt": None,
        "payload": {"type": "payment_method.updated", "livemode": False, "api_version": "2026-10-28.endive"},
        "error": None,
        "attempts": 0,
    }
    assert (second["gatewayId"], second["status"], second["processedAt"]) == (ignored["id"], "IGNORED_STALE", NOW)
    assert [node["id"] for node in (await events(house, status=["RECEIVED"]))["nodes"]] == [first["id"]]
    assert [node["id"] for node in (await events(house, type="plan.created"))["nodes"]] == [second["id"]]
    assert (await events(house, status=["FAILED"]))["nodes"] == []
    assert (await events(house, status=[]))["nodes"] == []
    beyond = await events(house, first=1, after=page["pageInfo"]["endCursor"])
    assert beyond["nodes"][0]["id"] < first["id"]
    found = await house.ask("query($id: ID!) { node(id: $id) { __typename id } }", {"id": first["id"]}, ADMIN)
    assert found["node"] == {"__typename": "GatewayEvent", "id": first["id"]}
    assert await house.ask("query($id: ID!) { node(id: $id) { id } }", {"id": first["id"]}, "demo-card") == {
        "node": None
    }


async def test_a_replayed_event_is_worked_on_again_and_changes_nothing_that_it_has_changed(house: House) -> None:
    shopper = Shopper(house, "demo-card", CHANNELS[0])
    await shopper.subscribe(paymentMethodId=await shopper.default_card())
    await house.deliver()
    done = (await events(house, type="payment_intent.succeeded"))["nodes"][0]
    assert (done["status"], done["attempts"]) == ("PROCESSED", 1)
    before = await dump(house)

    again = {"id": done["id"], "status": "RECEIVED", "processedAt": None, "error": None, "attempts": 0}
    assert await replay(house, done["id"]) == {"event": again, "userErrors": []}
    due = await dump(house, but=())
    assert await replay(house, done["id"]) == {"event": again, "userErrors": []}
    assert await dump(house, but=()) == due
    assert (await house.work())["inbox"] == 1
    assert await dump(house) == before
    assert (await events(house, type="payment_intent.succeeded"))["nodes"][0] == done


async def test_a_failed_event_gets_its_tries_back(house: House) -> None:
    sandbox_of(house).faults.arm(Fault.TIMEOUT_BEFORE, count=2, path_contains="/v1/payment_methods/pm_gone")
    await send(house, event("payment_method", "pm_gone", "payment_method.updated"))
    await house.work()
    (failed,) = (await events(house, status=["FAILED"]))["nodes"]
    assert (failed["attempts"], failed["error"]) == (1, "GatewayUnavailable: APIConnectionError (HTTP None)")
    assert (await replay(house, failed["id"]))["event"]["attempts"] == 0
    await house.work()
    (done,) = (await events(house, type="payment_method.updated"))["nodes"]
    assert (done["status"], done["error"]) == ("PROCESSED", None)


async def test_an_event_that_is_being_worked_on_is_left_alone(house: House) -> None:
    await send(house, event("payment_method", "pm_gone", "payment_method.updated"))
    await house.work()
    row = (await events(house, type="payment_method.updated"))["nodes"][0]
    until = house.machine.now().replace(minute=31)
    await alter(house, "gateway_events", {"id": row["id"]}, leased_until=until)
    before = await dump(house, but=())
    assert (await replay(house, row["id"]))["event"]["status"] == "PROCESSED"
    assert await dump(house, but=()) == before


async def test_what_cannot_be_replayed_is_refused(house: House) -> None:
    await send(house, event("plan", "plan_1", "plan.created"))
    (ignored,) = (await events(house, type="plan.created"))["nodes"]
    before = await dump(house, but=())
    assert await replay(house, ignored["id"]) == {
        "event": None,
        "userErrors": [{"code": "INVALID_STATE", "field": ["id"], "message": "Nothing is done about a plan.created."}],
    }
    missing = await replay(house, "gev_00000000000000000000000000000000")
    assert [error["code"] for error in missing["userErrors"]] == ["NOT_FOUND"]
    assert await dump(house, but=()) == before


async def test_a_pass_tells_what_it_repaired_and_the_next_one_is_clean(
    house: House, waiting: tuple[Shopper, str]
) -> None:
    shopper, secret = waiting
    await shopper.browser.confirm(secret, VISA)
    payment, intent = await only(house, "payments"), await only(house, "collection_intents")
    drift = {
        "kind": "STATE_DIFFERS",
        "payment": {"id": payment["id"], "status": "REQUIRES_PAYMENT_METHOD"},
        "gatewayPaymentId": intent["gateway_ref"],
        "local": "requires_payment_method, USD 7.00",
        "gateway": "succeeded, USD 7.00",
        "repaired": False,
    }
    seen = await reconcile(house, since=YESTERDAY)
    checked = seen["report"]["checked"]
    assert seen == {
        "report": {
            "id": seen["report"]["id"],
            "startedAt": NOW,
            "finishedAt": NOW,
            "checked": checked,
            "isClean": False,
            "drift": [drift],
        },
        "userErrors": [],
    }
    repaired = await reconcile(house, since=YESTERDAY, repair=True)
    assert repaired["report"]["drift"] == [
        {**drift, "payment": {"id": payment["id"], "status": "SUCCEEDED"}, "repaired": True}
    ]
    clean = (await reconcile(house, since=YESTERDAY, repair=True))["report"]
    assert (clean["drift"], clean["isClean"], clean["checked"]) == ([], True, checked)

    newest = await house.ask(f"{{ reconciliationReport {REPORT} }}", user=ADMIN)
    assert newest["reconciliationReport"] == clean
    query = f"query($id: ID!) {{ reconciliationReport(id: $id) {REPORT} node(id: $id) {{ __typename }} }}"
    first = await house.ask(query, {"id": seen["report"]["id"]}, ADMIN)
    assert first["node"] == {"__typename": "ReconciliationReport"}
    assert first["reconciliationReport"]["drift"][0]["repaired"] is False


async def test_an_instant_to_come_and_a_gateway_that_is_away_are_refused(house: House) -> None:
    to_come = await reconcile(house, since="2026-01-31T09:30:01Z")
    assert to_come == {"report": None, "userErrors": [{"code": "INVALID", "field": ["since"]}]}
    sandbox_of(house).faults.arm(Fault.TIMEOUT_BEFORE, count=2, path_contains="/v1/payment_intents")
    away = await reconcile(house, since=YESTERDAY)
    assert away == {"report": None, "userErrors": [{"code": "GATEWAY_UNAVAILABLE", "field": None}]}
    newest = await house.ask("{ reconciliationReport { finishedAt isClean } }", user=ADMIN)
    assert newest == {"reconciliationReport": {"finishedAt": None, "isClean": False}}


PROOF = "{ doubleChargeProof { checkedPeriods violations checkedAt } }"


async def test_the_proof_counts_what_was_paid_and_what_was_paid_twice(house: House) -> None:
    shopper = Shopper(house, "demo-card", LOST)
    await shopper.subscribe(paymentMethodId=await shopper.default_card())
    sound = {"checkedPeriods": 1, "violations": 0, "checkedAt": NOW}
    assert await house.ask(PROOF, user=ADMIN) == {"doubleChargeProof": sound}
    sandbox_of(house).faults.arm(Fault.TIMEOUT_BEFORE, count=2, path_contains="/v1/charges")
    answer = (await house.post(PROOF, user=ADMIN)).json()
    assert [(error["extensions"]["code"], error["message"]) for error in answer["errors"]] == [
        ("UNAVAILABLE", "The gateway's books cannot be read at present. Repeat the request later.")
    ]


REPORTS = """query($first: Int, $after: String) { reconciliationReports(first: $first, after: $after) {
  totalCount pageInfo { hasNextPage endCursor } nodes {
    id since requestedBy checked isClean drift { kind repaired } } } }"""


async def test_reports_are_listed_newest_first_with_what_each_found(house: House, waiting: tuple[Shopper, str]) -> None:
    shopper, secret = waiting
    await shopper.browser.confirm(secret, VISA)
    seen, repaired, clean = [
        (await reconcile(house, since=YESTERDAY, repair=repair))["report"] for repair in (False, True, True)
    ]

    def listed(report: dict[str, Any]) -> dict[str, Any]:
        drift = [{"kind": each["kind"], "repaired": each["repaired"]} for each in report["drift"]]
        told = {name: report[name] for name in ("id", "checked", "isClean")}
        return {**told, "since": YESTERDAY, "requestedBy": f"admin:{ADMIN}", "drift": drift}

    page = (await house.ask(REPORTS, {"first": 2}, ADMIN))["reconciliationReports"]
    assert page["nodes"] == [listed(clean), listed(repaired)]
    assert ([each["isClean"] for each in page["nodes"]], page["totalCount"]) == ([True, False], 3)
    rest = await house.ask(REPORTS, {"first": 2, "after": page["pageInfo"]["endCursor"]}, ADMIN)
    assert rest["reconciliationReports"]["nodes"] == [listed(seen)]
    assert [each["repaired"] for each in seen["drift"] + repaired["drift"]] == [False, True]


async def test_the_reports_of_a_page_cost_the_same_however_many(house: House) -> None:
    found = []
    for _ in range(2):
        for _ in range(3):
            await reconcile(house, since=YESTERDAY)
        async with counted(house.app) as statements:
            await house.ask(REPORTS, {"first": 20}, ADMIN)
        found.append(len(statements))
    assert found == [3, 3]  # the page, its drift, the count
