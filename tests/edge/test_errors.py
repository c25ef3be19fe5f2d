"""Faults are masked and logged once; refusals keep their code; no line holds query text, values or secrets."""

import json
import logging
import sys

import pytest
import structlog
from graphql import GraphQLError

from logs import MASK, configure_logging, describe, mask_event, scrub
from resolvers.identity import NOBODY, AccessDenied, Identity, Role, issue_development_token
from tests.edge.toy import CANARY, NOW, Toy, looked_for


def error_of(response) -> dict:
    (error,) = response.json()["errors"]
    return error


async def test_a_fault_in_a_resolver_is_masked_beside_the_data_that_is_there(toy):
    response = await toy.ask("{ hello broken }")
    request_id = response.headers["x-request-id"]
    assert response.json()["data"] == {"hello": "hello world", "broken": None}
    assert error_of(response) == {
        "message": f"Internal error; quote request id {request_id} when you report it.",
        "locations": [{"line": 1, "column": 9}],
        "path": ["broken"],
        "extensions": {"code": "INTERNAL", **looked_for(response)},
    }


async def test_a_result_of_the_wrong_type_is_a_fault_and_not_shown(toy):
    response = await toy.ask("{ wrong }")
    assert error_of(response)["extensions"]["code"] == "INTERNAL"
    assert CANARY not in response.text


async def test_access_denied_says_whether_to_sign_in(toy):
    nobody = error_of(await toy.ask("{ secret }"))
    assert nobody["extensions"]["code"] == "UNAUTHENTICATED"
    assert nobody["message"] == "Sign in first: send 'Authorization: Bearer <access token>'."
    token = issue_development_token(toy.settings, user_id="u", role=Role.SUPPORT, now=NOW)
    support = error_of(await toy.ask("{ secret }", headers={"authorization": f"Bearer {token}"}))
    assert support["extensions"]["code"] == "FORBIDDEN"
    assert support["message"] == "The role support may not do this."
    admin = issue_development_token(toy.settings, user_id="u", role=Role.ADMIN, now=NOW)
    answer = await toy.ask("{ secret }", headers={"authorization": f"Bearer {admin}"})
    assert answer.json()["data"] == {"secret": "open"}


def test_access_denied_takes_a_message_of_its_own():
    denied = AccessDenied(Identity(Role.CUSTOMER, "u"), "Only its owner may see it.")
    assert (denied.code, denied.message) == ("FORBIDDEN", "Only its owner may see it.")
    assert AccessDenied(NOBODY).code == "UNAUTHENTICATED"


async def test_an_argument_that_turns_out_wrong_while_executing_is_the_clients_mistake(toy):
    text = "query($v: Int = 1) { double(value: $v) }"
    error = error_of(await toy.ask(text, variables={"v": None}))
    assert error["extensions"]["code"] == "BAD_USER_INPUT"


async def test_a_document_error_that_a_resolver_raises_keeps_its_code_and_details(toy):
    response = await toy.ask("{ hello picky }")
    assert response.json()["data"] == {"hello": "hello world", "picky": None}
    assert error_of(response) == {
        "message": "taste: expected another one.",
        "locations": [{"line": 1, "column": 9}],
        "path": ["picky"],
        "extensions": {
            "code": "BAD_USER_INPUT",
            "tastes": ["sweet"],
            **looked_for(response),
        },
    }


async def test_long_messages_and_many_locations_are_shortened(toy):
    error = error_of(await toy.ask('{ notes(colour: "' + "R" * 5000 + '") { totalCount } }'))
    assert len(error["message"]) == 400
    assert error["message"].endswith("…")
    conflict = "{ self { " + " ".join(f'hello(name: "{n}")' for n in range(9)) + " } }"
    errors = (await toy.ask(conflict)).json()["errors"]
    assert len(errors) == 21
    assert errors[-1]["message"] == "Too many validation errors, error limit reached. Validation aborted."
    unused = "query(" + " ".join("$v: Int" for _ in range(9)) + ") { hello }"
    assert max(len(error["locations"]) for error in (await toy.ask(unused)).json()["errors"]) == 4


# Logs


SECRETS = [CANARY, "sk_live_1234567890", "4242424242424242", "canary-variable", "canary-literal", "eyJ"]


async def test_no_canary_reaches_the_log_by_any_road(toy: Toy, written):
    token = issue_development_token(toy.settings, user_id="canary-variable", role=Role.ADMIN, now=NOW)
    headers = {"authorization": f"Bearer {token}"}
    text = 'query($n: String!) { a: hello(name: $n) b: hello(name: "canary-literal") broken wrong brokenHard }'
    await toy.ask(text, variables={"n": "canary-variable 4242424242424242"}, headers=headers)
    await toy.ask('{ hello(name: "canary-literal"', headers=headers)
    await toy.ask("query($n: Int!) { double(value: $n) }", variables={"n": "canary-variable"}, headers=headers)
    await toy.ask("{ hello }", headers={"authorization": f"Bearer {token}x canary-variable"})
    await toy.client.get("/boom?email=canary-variable", headers=headers)
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    assert [line["event"] for line in lines if line["level"] == "error"] == ["resolver failed"] * 3 + ["request failed"]
    assert [line["event"] for line in lines].count("request") == 5
    assert not [secret for secret in SECRETS if secret in written.getvalue()]


async def test_the_clients_own_mistakes_are_no_errors_in_the_log(toy: Toy, written):
    for text in (
        "{",
        "{ nothing }",
        "{ notes(first: 101) { totalCount } }",
        "{ secret }",
        "query($n: Int!) { double(value: $n) }",
    ):
        await toy.ask(text)
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    assert {line["level"] for line in lines} == {"info"}
    assert [line["error_codes"] for line in lines] == [
        ["GRAPHQL_PARSE_FAILED"],
        ["GRAPHQL_VALIDATION_FAILED"],
        ["BAD_USER_INPUT"],
        ["UNAUTHENTICATED"],
        ["BAD_USER_INPUT"],
    ]


async def test_a_fault_is_found_by_its_request_id_with_type_and_place(toy: Toy, written):
    response = await toy.ask("{ a: broken }")
    fault = json.loads(written.getvalue().splitlines()[0])
    assert fault["request_id"] == response.headers["x-request-id"]
    assert fault["path"] == "a"
    (exception,) = fault["error_chain"]
    assert exception["type"] == "builtins.RuntimeError"
    assert exception["message"] == "cannot write '…' for [masked]"
    assert exception["frames"][-1].endswith(" broken")


def test_lines_of_other_libraries_pass_the_same_pipeline(written):
    logging.getLogger("library").error("customer %s pays with %s", "jane@example.org", "sk_test_abc123")
    line = json.loads(written.getvalue())
    assert (line["event"], line["logger"]) == (f"customer {MASK} pays with {MASK}", "library")


@pytest.mark.parametrize("json_lines", [True, False])
def test_tracebacks_of_other_libraries_are_described_not_printed(written, json_lines):
    configure_logging(json=json_lines, stream=written)
    try:
        int("canary")
    except ValueError:
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
    assert "Exception in ASGI application" in written.getvalue()
    assert "builtins.ValueError" in written.getvalue()
    assert "canary" not in written.getvalue()
    assert "Traceback" not in written.getvalue()


@pytest.mark.parametrize("json_lines", [True, False])
def test_the_variables_of_frames_are_never_printed(written, json_lines):
    configure_logging(json=json_lines, stream=written)
    client_secret = "pi_3canary_secret_" + "canary"

    def charge(given: str) -> None:
        held = {"secret": given}
        raise RuntimeError(f"no answer for {len(held)} charge")

    try:
        charge(client_secret)
    except RuntimeError as error:
        structlog.get_logger("perennial.test").exception("charge failed")
        structlog.get_logger("perennial.test").warning("charge failed again", exc_info=error)
        logging.getLogger("library").exception("and again")
    assert written.getvalue().count("no answer for 1 charge") == 3
    assert "canary" not in written.getvalue()


def test_the_console_renderer_left_with_an_exception_shows_no_variables(written):
    """The pipeline describes exceptions before they come here; this is the net below it."""
    configure_logging(json=False, stream=written)
    (handler,) = logging.getLogger().handlers
    assert isinstance(handler.formatter, structlog.stdlib.ProcessorFormatter)
    render = handler.formatter.processors[-1]
    try:
        secret = "canary"
        raise RuntimeError(f"{len(secret)} letters")
    except RuntimeError:
        drawn = render(logging.getLogger(), "error", {"event": "x", "exc_info": sys.exc_info()})
    assert "6 letters" in str(drawn)
    assert "canary" not in str(drawn)


def test_the_servers_own_access_line_is_silenced_for_it_holds_the_query_string(written):
    logging.getLogger("uvicorn.access").info("GET /graphql?query=canary")
    logging.getLogger("uvicorn.error").info('%s - "WebSocket %s" [accepted]', "127.0.0.1:1", "/graphql?token=canary")
    assert written.getvalue() == ""


@pytest.mark.parametrize("library", ["aiosqlite", "sqlalchemy.engine", "httpx", "websockets.server", "uvicorn.error"])
def test_libraries_that_print_values_are_silent_at_the_lowest_level(library, written):
    configure_logging(json=True, level="DEBUG", stream=written)
    logging.getLogger(library).debug("executing INSERT INTO customers with ('Jan Canary',)")
    assert written.getvalue() == ""
    configure_logging(json=True, level="WARNING", stream=written)
    logging.getLogger(library).info("Jan Canary")
    assert written.getvalue() == ""


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        ("Bearer abc.def", MASK),
        ("token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1In0.c2ln end", f"token {MASK} end"),
        ("pi_3abc_secret_XyZ", MASK),
        ("whsec_abcdef", MASK),
        ("rk_live_abc", MASK),
        ("card 4242 4242 4242 4242.", f"card {MASK}."),
        ("card 4242-4242-4242-4242.", f"card {MASK}."),
        ("write to jane.doe+x@mail.example.org now", f"write to {MASK} now"),
        ("postgresql://user:pw@host/db", f"postgresql://{MASK}@host/db"),
        ("inv_0198c5e2 of 12 lines in 2026", "inv_0198c5e2 of 12 lines in 2026"),
    ],
)
def test_secrets_and_personal_data_are_masked_by_their_shape(text, scrubbed):
    assert scrub(text) == scrubbed


def test_values_are_masked_by_the_name_of_their_key_at_any_depth():
    event = {"event": "x", "client_secret": "v", "outer": {"Authorization": "v", "list": [{"email": "v"}]}, "n": 1}
    assert mask_event(None, "info", event) == {
        "event": "x",
        "client_secret": MASK,
        "outer": {"Authorization": MASK, "list": [{"email": MASK}]},
        "n": 1,
    }


def test_a_described_exception_holds_its_causes_but_no_quoted_value_and_no_query():
    try:
        try:
            int("canary")
        except ValueError as cause:
            raise GraphQLError("outer 'canary'") from cause
    except GraphQLError as error:
        described = describe(error)["error_chain"]
    assert [(part["type"], part["message"]) for part in described] == [
        ("graphql.error.graphql_error.GraphQLError", "outer '…'"),
        ("builtins.ValueError", "invalid literal for int() with base 10: '…'"),
    ]
