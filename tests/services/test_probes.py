"""Health (promise R5) and metrics: what they tell is true, also while the database is away, and to nobody else."""

import os
import signal
import time
import urllib.request
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import probes
from billing.delivering import DeliveryStatus
from gateways.sandbox import Fault
from gauges import SHARED_FOLDER
from models.base import made_at, new_id
from services.runs.backlog import read_standing
from settings import ROOT
from tests.scenarios.shopping import SUBSCRIBE
from tests.support.breaking import add
from tests.support.databases import TEMPLATE, copy_of_file, database_on
from tests.support.deliveries import event, send
from tests.support.house import House, counted, open_house
from tests.support.line import line_to
from tests.support.outside import sandbox_of
from tests.support.processes import free_port, running
from tests.support.scraping import METRICS_TOKEN, Scrape, read, scrape
from tests.support.waiting import until

PLANS = "query Whatever { plans(first: 1) { nodes { code } } }"
EVERY_STEP = {"happened", "collected", "given_up", "resolved", "refunded", "inbox", "delivered", "published"}


@pytest.fixture
async def small(stocked_file: Path, tmp_path: Path) -> AsyncIterator[House]:
    url = copy_of_file(stocked_file, tmp_path / "perennial.db")
    async with open_house(url, demo=False, metrics_token=METRICS_TOKEN) as opened:
        yield opened


# Who may read


async def test_without_a_token_there_are_no_metrics(small_house: House) -> None:
    answer = await small_house.http.get("/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"})
    assert answer.status_code == 404
    assert "perennial_" not in answer.text


@pytest.mark.parametrize(
    "given", ["", "Bearer", "Bearer ", f"Basic {METRICS_TOKEN}", f"Bearer {METRICS_TOKEN}x", METRICS_TOKEN, "Bearer ü"]
)
async def test_whoever_does_not_know_the_token_learns_nothing(small: House, given: str) -> None:
    answer = await small.http.get("/metrics", headers={"Authorization": given.encode()} if given else {})
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.json()["error"]["code"] == "UNAUTHENTICATED"
    assert "perennial_" not in answer.text


async def test_an_administrators_token_opens_no_metrics(small: House) -> None:
    answer = await small.http.get("/metrics", headers={"Authorization": f"Bearer {small.token('demo-admin')}"})
    assert answer.status_code == 401


# Operations


async def test_an_operation_is_counted_by_its_root_field_with_its_statements(small: House) -> None:
    before = await scrape(small)
    async with counted(small.app) as statements:
        await small.ask(PLANS)
    after = await scrape(small)
    labels = {"operation": "Query.plans", "outcome": "answered"}
    for sample, by in (("seconds_count", labels), ("statements_count", {"operation": "Query.plans"})):
        name = f"perennial_operation_{sample}"
        assert after.of(name, **by) - before.of(name, **by) == 1
    name = "perennial_operation_statements_sum"
    assert after.of(name, operation="Query.plans") - before.of(name, operation="Query.plans") == len(statements) > 0


@pytest.mark.parametrize(
    ("document", "operation", "outcome"),
    [
        ("{ plans(first: 1) { nodes { code } } serverInfo { version } }", "several", "answered"),
        ("{ a: serverInfo { version } b: serverInfo { version } }", "Query.serverInfo", "answered"),
        ("{ __typename }", "none", "answered"),
        ("{ noSuchField }", "none", "rejected"),
        ("{ auditLog(first: 1) { nodes { id } } }", "Query.auditLog", "refused"),
    ],
)
async def test_each_outcome_is_told_apart(small: House, document: str, operation: str, outcome: str) -> None:
    labels = {"operation": operation, "outcome": outcome}
    before = (await scrape(small)).of("perennial_operation_seconds_count", **labels)
    await small.post(document)
    assert (await scrape(small)).of("perennial_operation_seconds_count", **labels) == before + 1


async def test_a_mutations_user_errors_are_a_refusal_whatever_they_are_called(small: House) -> None:
    labels = {"operation": "Mutation.cancelSubscription", "outcome": "refused"}
    before = (await scrape(small)).of("perennial_operation_seconds_count", **labels)
    document = 'mutation { it: cancelSubscription(input: {subscriptionId: "sbs_0"}) { userErrors { code } } }'
    assert (await small.ask(document, user="demo-card"))["it"]["userErrors"] == [{"code": "NOT_FOUND"}]
    assert (await scrape(small)).of("perennial_operation_seconds_count", **labels) == before + 1


async def test_what_clients_choose_is_never_a_label(small: House) -> None:
    await small.ask("query NameOfAClient { aliasOfAClient: serverInfo { version } }")
    answer = await small.http.get("/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"})
    assert "OfAClient" not in answer.text


# The gateway and the worker


async def test_gateway_calls_and_declines_are_counted(small: House) -> None:
    before = await scrape(small)
    saved = await small.ask("{ paymentMethods { nodes { id } } }", user="demo-decline")
    wish = {"planCode": "reader-pro", "paymentMethodId": saved["paymentMethods"]["nodes"][0]["id"]}
    answer = await small.ask(SUBSCRIBE, {"input": wish}, user="demo-decline")
    assert answer["subscribe"]["userErrors"][0]["code"] == "CARD_DECLINED"
    after = await scrape(small)
    name, call = "perennial_gateway_call_seconds_count", {"method": "confirm_payment_intent", "outcome": "declined"}
    assert after.of(name, **call) - before.of(name, **call) == 1
    name = "perennial_declines_total"
    assert sum(after.by(name, "code").values()) - sum(before.by(name, "code").values()) == 1


async def test_the_workers_passes_and_rows_are_counted(small: House) -> None:
    await small.work()
    before = await scrape(small)
    await send(small, event("payment_intent", "pi_unknown", "payment_intent.succeeded"))
    assert (await small.work())["inbox"] == 1
    after = await scrape(small)
    name = "perennial_worker_rows_total"
    assert after.of(name, step="inbox") - before.of(name, step="inbox") == 1
    name = "perennial_worker_pass_seconds_count"
    assert after.of(name) - before.of(name) == 2  # one that did it and one that found nothing more


# What waits


async def waiting(house: House) -> dict[str, tuple[int, float]]:
    """By step how many are due and for how many seconds the first has been, without those where nothing is due."""
    now = await read_standing(house.app)
    assert set(now.due) == set(now.late_seconds) == EVERY_STEP
    return {step: (rows, now.late_seconds[step]) for step, rows in now.due.items() if rows or now.late_seconds[step]}


async def buy(house: House) -> dict[str, Any]:
    saved = await house.ask("{ paymentMethods { nodes { id } } }", user="demo-card")
    wish = {"planCode": "reader-pro", "paymentMethodId": saved["paymentMethods"]["nodes"][0]["id"]}
    return (await house.ask(SUBSCRIBE, {"input": wish}, user="demo-card"))["subscribe"]


async def test_renewals_are_late_until_a_worker_comes(house: House) -> None:
    assert (await buy(house))["subscription"]["status"] == "ACTIVE"
    await house.work()
    assert await waiting(house) == {}
    house.clock.advance(timedelta(days=28, seconds=90))  # from 31 January to 28 February
    assert await waiting(house) == {"happened": (1, 90.0)}
    await house.work()
    assert await waiting(house) == {}


async def test_an_inbox_and_an_outbox_that_nobody_empties_grow_old(house: House) -> None:
    await house.work()
    await send(house, event("payment_intent", "pi_unknown", "payment_intent.succeeded"))
    house.machine.advance(timedelta(minutes=5))
    assert await waiting(house) == {"inbox": (1, 300.0)}
    await house.work()
    assert await waiting(house) == {}
    made, now = new_id("billing_event"), house.app.now()
    await add(house, "billing_events", id=made, type="invoice.paid", subject_id="x", payload={}, at=now)
    house.machine.set(made_at(made) + timedelta(minutes=7))
    assert await waiting(house) == {"published": (1, 420.0)}


async def test_a_delivery_is_late_when_its_time_has_come_and_nobody_sends_it(house: House) -> None:
    made, now = new_id("billing_event"), house.machine.now()
    await add(
        house, "billing_events", id=made, type="invoice.paid", subject_id="x", payload={}, at=now, position=1_000_000
    )
    endpoint = new_id("webhook_endpoint")
    told = {"url": "https://merchant.example", "event_types": ["*"], "is_enabled": True, "secret": b"", "version": 1}
    await add(house, "webhook_endpoints", id=endpoint, created_by="x", created_at=now, updated_at=now, **told)
    for minutes in (10, 2, -3):  # the last is to be tried again later
        due = now - timedelta(minutes=minutes)
        event_id = made if minutes == 10 else new_id("billing_event")
        if event_id != made:
            row = {"type": "invoice.paid", "subject_id": "x", "payload": {}, "at": now, "position": 2_000_000 + minutes}
            await add(house, "billing_events", id=event_id, **row)
        key = new_id("webhook_delivery")
        sent = {"status": DeliveryStatus.PENDING, "due_at": due, "created_at": due, "fence": 0, "tries": 0}
        await add(house, "webhook_deliveries", id=key, event_id=event_id, endpoint_id=endpoint, **sent)
    assert await waiting(house) == {"delivered": (2, 600.0)}


async def test_a_lost_answer_is_an_unknown_payment_until_it_is_found(house: House) -> None:
    faults = sandbox_of(house).faults
    faults.at_rate(Fault.TIMEOUT_AFTER, 1.0, seed=0, path_contains="/confirm")
    await buy(house)
    assert (await read_standing(house.app)).unknown_payments == 1
    faults.clear()
    house.pass_time(timedelta(minutes=1))
    await house.work()
    assert (await read_standing(house.app)).unknown_payments == 0


async def test_one_query_each_however_much_there_is(house: House) -> None:
    async with counted(house.app) as statements:
        await read_standing(house.app)
    assert len(statements) == len(EVERY_STEP) + 1


async def test_scrapes_in_a_row_ask_the_database_once(small: House) -> None:
    async with counted(small.app) as statements:
        first = await scrape(small)
        asked = len(statements)
        second = await scrape(small)
    assert asked == len(statements) == len(EVERY_STEP) + 1
    for now in (first, second):
        assert now.of("perennial_database_up") == 1.0
        assert now.by("perennial_due_rows", "step") == dict.fromkeys(EVERY_STEP, 0.0)
        assert now.of("perennial_unknown_payments") == 0.0


# While the database is away


async def health(house: House, of: str) -> int:
    return (await house.http.get(f"/health/{of}")).status_code


@pytest.mark.parametrize("how", ["refuses", "is silent"])
async def test_health_tells_the_truth_while_the_database_is_away_and_back(postgres: str, how: str) -> None:
    async with (
        database_on(postgres, TEMPLATE) as url,
        line_to(url) as line,
        open_house(line.url, demo=False, metrics_token=METRICS_TOKEN) as house,
    ):
        assert await health(house, "ready") == 200
        await (line.cut() if how == "refuses" else line.fall_silent())
        for _ in range(2):
            assert await health(house, "ready") == 503  # 504 would be the guard's, who waits for 5 s
        assert probes._ANSWER_SECONDS < 2.0
        assert await health(house, "live") == 200
        assert (await scrape(house)).of("perennial_database_up") == 0.0
        await line.cut()  # what hung in between breaks, as it does in life
        await line.join()

        async def recovered() -> bool:
            return await health(house, "ready") == 200

        await until(recovered)  # at the next question but one


# Several processes

SAYING_SO = """
import os, pathlib
from gauges import BREAKER_OPEN, exposition

if not pathlib.Path("replaced").exists():
    BREAKER_OPEN.set(1)

async def app(scope, receive, send):
    number = str(os.getpid()).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-process", number)]})
    await send({"type": "http.response.body", "body": exposition(None)})
"""
BEHIND_ONE_PORT = """
import sys, uvicorn
from draining import Processes
from gauges import forget_process

if __name__ == "__main__":
    config = uvicorn.Config("saying_so:app", port=int(sys.argv[1]), workers=1, lifespan="off")
    Processes(config, [config.bind_socket()], forget_process).run()
"""


def test_what_a_process_that_is_gone_said_of_the_present_is_told_no_longer(tmp_path: Path) -> None:
    """It was killed while it left the gateway alone: the one that replaces it does not."""
    (tmp_path / "saying_so.py").write_text(SAYING_SO)
    (tmp_path / "behind_one_port.py").write_text(BEHIND_ONE_PORT)
    (tmp_path / SHARED_FOLDER).mkdir()
    port = free_port()
    address = f"http://127.0.0.1:{port}/"
    settings = {SHARED_FOLDER: str(tmp_path / SHARED_FOLDER), "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"}
    with running([str(tmp_path / "behind_one_port.py"), str(port)], address, tmp_path, settings):
        first, before = _asked(address)
        assert before.of("perennial_gateway_breaker_open") == 1.0
        (tmp_path / "replaced").touch()
        os.kill(first, signal.SIGKILL)
        deadline = time.monotonic() + 60
        number, after = _asked(address)
        while (number == first or after.of("perennial_gateway_breaker_open")) and time.monotonic() < deadline:
            time.sleep(0.05)
            number, after = _asked(address)
    assert number != first
    assert after.of("perennial_gateway_breaker_open") == 0.0


def _asked(address: str) -> tuple[int, Scrape]:
    """The number of the process that answered, and what it told; the port takes connections also while none does."""
    with urllib.request.urlopen(address, timeout=60) as answer:  # noqa: S310 (our own address)
        return int(answer.headers["x-process"]), read(answer.read().decode())
