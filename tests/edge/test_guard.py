"""The guard: sizes, time, origins (promise S4), headers, request ids and what happens to faults."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import structlog

from guard import RouteRule, route_rules
from tests.edge.toy import CANARY, ORIGIN, Toy, looked_for, told_beside

HELLO = {"query": "{ hello }"}
EVIL = "https://evil.example"
LIMIT = 256 * 1024
PREFLIGHT = {"graphql-require-preflight": "1"}


def code(response) -> str:
    return response.json()["errors"][0]["extensions"]["code"]


def body_of(size: int) -> bytes:
    start = b'{"query":"{hello}","operationName":"'
    return start + b"x" * (size - len(start) - 2) + b'"}'


async def chunks(content: bytes, size: int = 8192) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


# Bodies


async def test_a_body_of_256_kb_is_read_and_one_byte_more_is_413(toy):
    json_type = {"content-type": "application/json"}
    allowed = await toy.client.post("/graphql", content=body_of(LIMIT), headers=json_type)
    assert (allowed.status_code, code(allowed)) == (200, "BAD_USER_INPUT")
    refused = await toy.client.post("/graphql", content=body_of(LIMIT + 1), headers=json_type)
    assert (refused.status_code, code(refused)) == (413, "PAYLOAD_TOO_LARGE")
    assert refused.headers["connection"] == "close"


async def test_a_streamed_body_is_counted_as_it_arrives(toy):
    json_type = {"content-type": "application/json"}
    allowed = await toy.client.post("/graphql", content=chunks(body_of(LIMIT)), headers=json_type)
    assert (allowed.status_code, code(allowed)) == (200, "BAD_USER_INPUT")
    refused = await toy.client.post("/graphql", content=chunks(body_of(LIMIT + 1)), headers=json_type)
    assert (refused.status_code, code(refused)) == (413, "PAYLOAD_TOO_LARGE")


async def test_a_body_without_end_is_refused_after_256_kb_and_read_no_further(toy):
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += 8192
            yield b" " * 8192

    response = await toy.client.post("/graphql", content=endless(), headers={"content-type": "application/json"})
    assert response.status_code == 413
    assert taken == LIMIT + 8192


async def test_a_webhook_may_be_1_mb_and_the_sandbox_takes_forms(toy):
    json_type = {"content-type": "application/json; charset=utf-8"}
    allowed = await toy.client.post("/webhooks/stripe", content=b"x" * 2**20, headers=json_type)
    assert allowed.json() == {"received": 2**20}
    refused = await toy.client.post("/webhooks/stripe", content=b"x" * (2**20 + 1), headers=json_type)
    assert refused.status_code == 413
    form = await toy.client.post("/webhooks/stripe", data={"a": "b"})
    assert form.status_code == 415
    charge = await toy.client.post("/sandbox/stripe/v1/charges", data={"amount": "700"})
    assert charge.json() == {"received": len("amount=700")}


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip"])
async def test_a_packed_body_is_refused_unopened(toy, encoding):
    headers = {"content-type": "application/json", "content-encoding": encoding}
    response = await toy.client.post("/graphql", content=b"\x1f\x8b", headers=headers)
    assert (response.status_code, code(response)) == (415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize("length", ["-1", "abc", "", "1e3", "9" * 30])
async def test_a_content_length_that_is_no_size_is_refused(toy, length):
    headers = {"content-type": "application/json", "content-length": length}
    response = await toy.client.post("/graphql", content=b"{}", headers=headers)
    assert response.status_code == 413


async def test_two_content_types_are_refused(toy):
    headers = [("content-type", "application/json"), ("content-type", "application/json")]
    response = await toy.client.post("/graphql", content=b'{"query":"{hello}"}', headers=headers)
    assert response.status_code == 415


# Origins (S4)


async def test_a_listed_origin_may_read_the_answer(toy):
    response = await toy.client.post("/graphql", json=HELLO, headers={"origin": ORIGIN})
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert response.headers["access-control-expose-headers"] == "X-Request-Id, Retry-After, WWW-Authenticate"
    assert "access-control-allow-credentials" not in response.headers
    assert response.headers["vary"] == "Origin"


@pytest.mark.parametrize(
    "origin",
    [
        EVIL,
        "null",
        "",
        "https://app.example.evil.example",
        "https://evil-app.example",
        "http://app.example",
        "https://app.example:8443",
        "https://app.example/",
        "https://APP.example",
        "https://sub.app.example",
        "*",
        f"{ORIGIN}, {EVIL}",
        "http://testserver.evil.example",
        "http://evil.example#testserver",
    ],
)
async def test_any_other_origin_is_refused_before_anything_runs(toy, origin):
    mutation = {"query": 'mutation { addNote(text: "x") { userErrors { code } } }'}
    response = await toy.client.post("/graphql", json=mutation, headers={"origin": origin})
    assert (response.status_code, code(response)) == (403, "ORIGIN_REFUSED")
    assert "access-control-allow-origin" not in response.headers
    assert toy.database == []


async def test_two_origin_headers_are_refused(toy):
    response = await toy.client.post("/graphql", json=HELLO, headers=[("origin", ORIGIN), ("origin", ORIGIN)])
    assert response.status_code == 403


async def test_our_own_page_needs_no_listing(toy):
    for origin in ("http://testserver", "https://testserver"):
        response = await toy.client.post("/graphql", json=HELLO, headers={"origin": origin})
        assert response.status_code == 200
        assert "access-control-allow-origin" not in response.headers


async def test_a_refusal_is_readable_by_a_listed_origin(toy):
    headers = {"origin": ORIGIN, "content-type": "text/plain"}
    response = await toy.client.post("/graphql", content=b"x", headers=headers)
    assert (response.status_code, response.headers["access-control-allow-origin"]) == (415, ORIGIN)


ASK = {"access-control-request-method": "POST", "access-control-request-headers": "content-type, authorization"}


async def test_a_preflight_from_a_listed_origin_says_what_is_allowed(toy):
    response = await toy.client.options("/graphql", headers={"origin": ORIGIN, **ASK})
    assert (response.status_code, response.content) == (204, b"")
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert response.headers["access-control-allow-methods"] == "GET, POST"
    assert response.headers["access-control-max-age"] == "600"
    allowed = response.headers["access-control-allow-headers"].split(", ")
    assert {"authorization", "content-type", "graphql-require-preflight"} <= set(allowed)
    assert "*" not in allowed
    assert response.headers["vary"] == "Origin"


async def test_a_preflight_from_elsewhere_is_refused(toy):
    response = await toy.client.options("/graphql", headers={"origin": EVIL, **ASK})
    assert response.status_code == 403
    assert not [name for name in response.headers if name.startswith("access-control-")]


async def test_the_sandbox_is_open_to_every_page_and_the_webhook_to_none(toy):
    open_ = await toy.client.options("/sandbox/stripe/v1/charges", headers={"origin": EVIL, **ASK})
    assert (open_.status_code, open_.headers["access-control-allow-origin"]) == (204, "*")
    assert open_.headers["access-control-allow-headers"] == "*, authorization"
    charge = await toy.client.post("/sandbox/stripe/v1/charges", data={"a": "1"}, headers={"origin": EVIL})
    assert charge.headers["access-control-allow-origin"] == "*"
    webhook = await toy.client.options("/webhooks/stripe", headers={"origin": ORIGIN, **ASK})
    assert webhook.status_code == 405
    assert not [name for name in webhook.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("header", ["graphql-require-preflight", "apollo-require-preflight", "x-apollo-operation-name"])
async def test_a_get_needs_a_header_that_browsers_ask_about_first(toy, header):
    bare = await toy.client.get("/graphql", params=HELLO)
    assert (bare.status_code, code(bare)) == (400, "PREFLIGHT_REQUIRED")
    empty = await toy.client.get("/graphql", params=HELLO, headers={header: ""})
    assert empty.status_code == 400
    sent = await toy.client.get("/graphql", params=HELLO, headers={header: "1"})
    assert sent.json()["data"] == {"hello": "hello world"}


async def test_a_websocket_from_a_foreign_page_is_refused_before_it_is_accepted(toy):
    sent: list[dict] = []

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        sent.append(message)

    headers = [(b"host", b"testserver"), (b"origin", EVIL.encode())]
    await toy.app({"type": "websocket", "path": "/graphql", "headers": headers}, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1008}]


# Time and faults


def hurried(seconds: float) -> tuple[RouteRule, ...]:
    return tuple(replace(rule, seconds=seconds) for rule in route_rules())


def test_graphql_has_ten_seconds_and_the_figures_of_the_other_routes_hold():
    figures = {rule.prefix: (rule.max_body, rule.seconds) for rule in route_rules()}
    assert figures == {
        "/graphql": (262144, 10.0),
        "/webhooks/stripe": (1048576, 10.0),
        "/checkout": (16384, 30.0),
        "/checkout/assets": (0, 10.0),
        "/documents": (0, 30.0),
        "/health": (0, 5.0),
        "/metrics": (0, 5.0),
        "/payment-methods": (0, 5.0),
        "/.well-known": (0, 5.0),
        "/sandbox/stripe": (1048576, 120.0),
        "/explorer/assets": (0, 30.0),
        "/": (0, 30.0),
    }


async def test_a_request_beyond_its_time_is_answered_and_its_resolver_cancelled():
    toy = Toy(rules=hurried(0.05))
    async with toy.client:
        response = await toy.ask("{ slow(seconds: 30) }")
    assert (response.status_code, code(response)) == (504, "TIMEOUT")
    message = "The request took longer than 0.05 s and was stopped; ask for less at once."
    assert response.json()["errors"][0]["message"] == message
    assert toy.database == ["cancelled"]


async def test_a_client_that_sends_its_body_too_slowly_is_answered():
    toy = Toy(rules=hurried(0.05))

    async def trickle() -> AsyncIterator[bytes]:
        yield b'{"query":'
        await asyncio.sleep(1)
        yield b'"{hello}"}'

    async with toy.client:
        response = await toy.client.post("/graphql", content=trickle(), headers={"content-type": "application/json"})
    assert (response.status_code, code(response)) == (504, "TIMEOUT")


async def test_a_fault_is_500_with_a_request_id_logged_once_and_says_nothing_of_itself(toy):
    with structlog.testing.capture_logs() as lines:
        response = await toy.client.get("/boom")
    request_id = response.headers["x-request-id"]
    assert response.status_code == 500
    assert response.json()["errors"] == [
        {
            "message": f"Internal error; quote request id {request_id} when you report it.",
            "extensions": {"code": "INTERNAL", **looked_for(response)},
        }
    ]
    assert told_beside(response) == {}
    assert [line["event"] for line in lines] == ["request failed", "request"]
    assert CANARY not in response.text


async def test_a_500_that_the_application_meant_is_passed_on(toy):
    response = await toy.client.get("/sandbox/stripe/v1/broken")
    assert (response.status_code, response.json()) == (500, {"error": {"type": "api_error"}})


# Headers and lines


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/graphql"),
        ("PUT", "/graphql"),
        ("GET", "/health/live"),
        ("GET", "/boom"),
        ("GET", "/none"),
        ("GET", "/"),
    ],
)
async def test_every_answer_carries_the_security_headers(toy, method, path):
    headers = (await toy.client.request(method, path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert re.fullmatch(r"[0-9a-f]{32}", headers["x-request-id"])


async def test_data_is_not_stored_and_may_load_nothing_while_the_page_loads_its_own(toy):
    data = (await toy.ask("{ hello }")).headers
    assert data["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert data["cache-control"] == "no-store"
    page = (await toy.client.get("/")).headers
    assert page["content-security-policy"] == (
        "default-src 'self'; style-src 'self' 'unsafe-inline'; object-src 'none'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    )
    assert "cache-control" not in page


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("trace-1234_AB", True),
        ("short", False),
        ("x" * 65, False),
        ("a b c d e f", False),
        ("<script>alert", False),
        ("id\tid\tid\tid", False),
    ],
)
async def test_a_plain_request_id_of_the_caller_is_kept_and_any_other_replaced(toy, given, kept):
    response = await toy.client.get("/health/live", headers={"x-request-id": given})
    assert (response.headers["x-request-id"] == given) is kept


async def test_a_path_has_the_rule_of_its_longest_prefix_and_no_lookalikes(toy):
    assert (await toy.client.post("/graphqlx", json=HELLO)).status_code == 405
    assert (await toy.client.post("/health/live")).status_code == 405
    assert (await toy.client.post("/")).headers["allow"] == "GET, HEAD"


async def test_one_line_per_request_without_query_string_or_body(toy):
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        response = await toy.client.get(
            "/graphql",
            params={"query": 'query Greet { hello(name: "Jane") }', "operationName": "Greet"},
            headers=PREFLIGHT,
        )
    (line,) = lines
    assert line.pop("ms") < 10_000
    assert line == {
        "event": "request",
        "log_level": "info",
        "method": "GET",
        "path": "/graphql",
        "status": 200,
        "operation": "Greet",
        "request_id": response.headers["x-request-id"],
    }
