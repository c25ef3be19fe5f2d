"""Spans as a collector receives them over OTLP/HTTP: what is in one subscribe, and that nothing of anybody's is."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

import tracing
from settings import ROOT
from tests.scenarios.shopping import SUBSCRIBE
from tests.support.collector import Received, collector
from tests.support.databases import copy_of_file
from tests.support.house import House, open_house
from tests.support.processes import environment
from tests.support.written import written_logs

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SERVER, CLIENT = 2, 3


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch) -> Iterator[Received]:
    with collector() as (address, received):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        monkeypatch.setattr(tracing, "_tracing", None)
        yield received
        if tracing._tracing is not None:
            tracing._tracing.provider.shutdown()


@pytest.fixture
async def traced(received: Received, stocked_file: Path, tmp_path: Path) -> AsyncIterator[House]:
    """A house that sends its spans to the collector once it is flushed."""
    async with open_house(copy_of_file(stocked_file, tmp_path / "perennial.db"), demo=False) as house:
        yield house


async def flushed(received: Received) -> None:
    await asyncio.to_thread(tracing.flush_spans)
    assert received.spans


async def subscribe(house: House, user: str = "demo-card") -> Any:
    saved = await house.ask("{ paymentMethods { nodes { id } } }", user=user)
    wish = {"planCode": "reader-pro", "paymentMethodId": saved["paymentMethods"]["nodes"][0]["id"]}
    headers = {"Authorization": f"Bearer {house.token(user)}", "traceparent": f"00-{TRACE}-{CALLER}-01"}
    body = {"query": SUBSCRIBE, "variables": {"input": wish}}
    answer = await house.http.post("/graphql", json=body, headers=headers)
    return answer.json()["data"]["subscribe"]


async def test_a_subscribe_is_one_trace_of_its_callers(traced: House, received: Received) -> None:
    assert (await subscribe(traced))["subscription"]["status"] == "ACTIVE"
    await flushed(received)
    (request,) = received.named("Mutation.subscribe")
    assert (request.trace, request.parent, request.kind) == (TRACE, CALLER, SERVER)
    assert request.attributes == {"perennial.outcome": "answered"}
    calls = [span for span in received.spans if span.trace == TRACE and span.name.startswith("gateway.")]
    assert [span.name for span in calls] == ["gateway.create_payment_intent", "gateway.confirm_payment_intent"]
    assert {(span.kind, span.attributes["perennial.outcome"]) for span in calls} == {(CLIENT, "answered")}
    written = [span for span in received.below(request) if span.name == "INSERT"]
    assert any("INSERT INTO payments" in str(span.attributes["db.query.text"]) for span in written)
    assert {span.attributes["db.system.name"] for span in written} == {"sqlite"}
    assert received.resources == {"perennial"}


async def test_a_declined_card_and_a_rejected_document_are_told_apart(traced: House, received: Received) -> None:
    assert (await subscribe(traced, "demo-decline"))["userErrors"][0]["code"] == "CARD_DECLINED"
    await traced.post("{ noSuchField }")
    await flushed(received)
    (request,), (call,) = received.named("Mutation.subscribe"), received.named("gateway.confirm_payment_intent")
    assert (request.attributes, call.attributes) == (
        {"perennial.outcome": "refused"},
        {"perennial.outcome": "declined"},
    )
    assert [span.attributes for span in received.named("none")] == [{"perennial.outcome": "rejected"}]


async def test_no_span_holds_anything_of_anybodys(traced: House, received: Received) -> None:
    wish = '{subscriptionId: "sbs_canary", comment: "Canary"}'
    query = f"mutation NameOfAClient {{ it: cancelSubscription(input: {wish}) {{ userErrors {{ code }} }} }}"
    token = traced.token("user-canary")
    answer = await traced.http.post(
        "/graphql?canary=1", json={"query": query}, headers={"Authorization": f"Bearer {token}", "User-Agent": "canary"}
    )
    assert answer.json()["data"]["it"]["userErrors"] == [{"code": "NOT_FOUND"}]
    await subscribe(traced)
    await flushed(received)
    lowered = received.raw.lower()
    for secret in (b"canary", b"nameofaclient", token.encode().lower(), b"demo-card", b"127.0.0.1", b"4242"):
        assert secret not in lowered


async def test_a_workers_step_is_told_when_it_did_something(traced: House, received: Received) -> None:
    await subscribe(traced)
    await traced.work()
    await traced.work()
    await flushed(received)
    steps = [span for span in received.spans if span.name.startswith("worker.")]
    assert {span.name for span in steps} == {"worker.published"}
    assert all(span.attributes["perennial.rows"] for span in steps)
    assert received.below(steps[0])
    roots = {span.id for span in received.spans}
    assert {span.parent for span in received.spans} - roots <= {"", CALLER}


async def test_a_step_that_fails_is_told_without_its_message(
    traced: House, received: Received, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_app: object) -> int:
        raise ValueError("somebody@example.com")

    monkeypatch.setattr("worker.PASS", {"resolved": fail})
    with pytest.raises(ValueError, match="somebody"):
        await traced.work()
    await flushed(received)
    (step,) = received.named("worker.resolved")
    assert (step.is_error, step.attributes) == (True, {"error.type": "ValueError"})
    assert b"somebody" not in received.raw


async def test_the_requests_log_lines_carry_its_trace(traced: House, received: Received) -> None:
    with written_logs() as stream:
        await subscribe(traced)
    lines = [orjson.loads(line) for line in stream.getvalue().splitlines()]
    (line,) = [line for line in lines if line.get("trace_id") == TRACE and line["event"] == "request"]
    assert line["request_id"]


def test_without_a_receiver_nothing_is_imported() -> None:
    """As without the extra: nobody pays for what is not asked for."""
    told = "import sys, server, tracing; tracing.begin_tracing(); sys.exit('opentelemetry' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", told], cwd=ROOT, env=environment(), check=False).returncode == 0


def test_a_receiver_without_the_extra_is_told_and_harms_nobody(capfd: pytest.CaptureFixture[str]) -> None:
    told = (
        "import sys; sys.modules['opentelemetry'] = None; from logs import configure_logging; configure_logging();"
        "import tracing; tracing.begin_tracing(); sys.exit(tracing.is_tracing())"
    )
    env = environment(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1")
    assert subprocess.run([sys.executable, "-c", told], cwd=ROOT, env=env, check=False).returncode == 0
    assert '"event":"tracing_not_installed"' in capfd.readouterr().err
