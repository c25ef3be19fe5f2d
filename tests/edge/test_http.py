"""GraphQL over HTTP, by the reference suite's audits (promise S1) and the rules that it leaves open."""

import json

import httpx
import pytest

from schema.transport import negotiate
from tests.edge.toy import Toy

JSON = "application/json"
GRAPHQL = "application/graphql-response+json"
PREFLIGHT = {"graphql-require-preflight": "1"}
TYPENAME = "{ __typename }"
TYPE_BY_NAME = "query Type($name: String!) { __type(name: $name) { name } }"
NO_SUCH_FIELD = "{ no_such_field_8f31403d }"
UNUSED = "query CoerceFailure($id: ID!) { __typename }"
COERCION = "query Coerce($name: String!) { hello(name: $name) }"
URQL = (
    "application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed"
)
APOLLO_3 = "*/*"
APOLLO_4 = "application/graphql-response+json,application/json;q=0.9"
APOLLO_DEFER = "multipart/mixed;deferSpec=20220824,application/json"


async def post(toy: Toy, accept: str | None = None, **body: object) -> httpx.Response:
    headers = {"content-type": JSON, "accept": accept or ""}
    request = toy.client.build_request("POST", "/graphql", content=json.dumps(body), headers=headers)
    if accept is None:
        del request.headers["accept"]
    return await toy.client.send(request)


def media_type(response: httpx.Response) -> str:
    return response.headers["content-type"]


@pytest.mark.parametrize(
    ("accept", "answered"),
    [
        (GRAPHQL, GRAPHQL),
        (JSON, JSON),
        ("*/*", JSON),
        (None, JSON),
        ("application/*", JSON),
        (URQL, GRAPHQL),
        (APOLLO_3, JSON),
        (APOLLO_4, GRAPHQL),
        (APOLLO_DEFER, JSON),
        ("application/json;q=0.9, application/graphql-response+json;q=0.5", JSON),
        ("application/json, */*;q=0.1", JSON),
        ("application/json;q=0, */*", GRAPHQL),
        ("application/json; charset=utf-8", JSON),
        ("APPLICATION/JSON", JSON),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", JSON),
    ],
)
async def test_the_answer_has_the_media_type_that_the_client_prefers(toy, accept, answered):
    response = await post(toy, accept, query=TYPENAME)
    assert (response.status_code, media_type(response)) == (200, f"{answered}; charset=utf-8")
    assert response.json()["data"] == {"__typename": "Query"}


@pytest.mark.parametrize(
    "accept", ["text/html", "application/json; charset=latin-1", "application/json;q=0", "a/b/c;;,"]
)
async def test_a_client_that_takes_no_json_gets_406(toy, accept):
    response = await post(toy, accept, query=TYPENAME)
    assert response.status_code == 406
    assert media_type(response) == "application/json; charset=utf-8"
    assert response.json()["errors"][0]["extensions"]["code"] == "NOT_ACCEPTABLE"


def test_several_accept_headers_count_as_one_list():
    assert negotiate(["text/html", GRAPHQL]) == GRAPHQL


@pytest.mark.parametrize(
    "content_type", [JSON, "application/json; charset=utf-8", 'application/json;charset="UTF-8"', "Application/JSON"]
)
async def test_utf_8_is_read_whether_named_or_not(toy, content_type):
    body = json.dumps({"query": '{ hello(name: "Run🏃Swim🏊") }'}, ensure_ascii=False).encode()
    response = await toy.client.post("/graphql", content=body, headers={"content-type": content_type})
    assert (response.status_code, response.json()["data"]) == (200, {"hello": "hello Run🏃Swim🏊"})
    assert "hello Run🏃Swim🏊".encode() in response.content


async def test_a_get_with_url_encoded_parameters_runs_a_query(toy):
    parameters = {"query": TYPE_BY_NAME, "variables": '{"name": "Note"}', "operationName": "Type", "extensions": "{}"}
    for accept in (JSON, GRAPHQL):
        response = await toy.client.get("/graphql", params=parameters, headers={**PREFLIGHT, "accept": accept})
        assert (response.status_code, response.json()["data"]) == (200, {"__type": {"name": "Note"}})


async def test_a_mutation_over_get_is_refused_and_changes_nothing(toy):
    mutation = 'mutation { addNote(text: "x") { userErrors { code } } }'
    for accept in (JSON, GRAPHQL):
        headers = {**PREFLIGHT, "accept": accept}
        response = await toy.client.get("/graphql", params={"query": mutation}, headers=headers)
        assert (response.status_code, response.headers["allow"]) == (405, "POST")
        assert response.json()["errors"][0]["message"] == "A mutation needs POST."
    assert toy.database == []


async def test_a_mutation_hidden_behind_a_query_is_refused_over_get(toy):
    both = 'query A { hello } mutation B { addNote(text: "x") { userErrors { code } } }'
    named = await toy.client.get("/graphql", params={"query": both, "operationName": "B"}, headers=PREFLIGHT)
    assert named.status_code == 405
    unnamed = await toy.client.get("/graphql", params={"query": both}, headers={**PREFLIGHT, "accept": GRAPHQL})
    assert unnamed.status_code == 400
    assert toy.database == []


@pytest.mark.parametrize("name", ["query", "operationName", "variables", "extensions"])
async def test_a_parameter_given_twice_in_a_query_string_is_refused(toy, name):
    response = await toy.client.get(f"/graphql?query=%7Bhello%7D&{name}=%7B%7D&{name}=%7B%7D", headers=PREFLIGHT)
    assert (response.status_code, response.json()["errors"][0]["message"]) == (400, f"'{name}' is given twice.")


@pytest.mark.parametrize("query_string", ["query=%FF%FE", "&".join(f"a{n}=1" for n in range(21)), "variables=%7B"])
async def test_a_broken_query_string_is_400(toy, query_string):
    response = await toy.client.get(f"/graphql?{query_string}", headers=PREFLIGHT)
    assert response.status_code == 400
    assert response.json()["errors"][0]["extensions"]["code"] == "BAD_REQUEST"


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/graphql",
        "application/jsonp",
        "application/json; charset=latin-1",
        "application/json; boundary=x",
        "text/plain; application/json",
    ],
)
async def test_a_post_of_another_content_type_is_415(toy, content_type):
    headers = {"content-type": content_type} if content_type else {}
    response = await toy.client.post("/graphql", content=b'{"query": "{hello}"}', headers=headers)
    assert response.status_code == 415
    assert response.json()["errors"][0]["extensions"]["code"] == "UNSUPPORTED_MEDIA_TYPE"


INVALID = {
    "query": [{"obj": "ect"}, 0, False, ["array"], None, "", "  "],
    "operationName": [{"obj": "ect"}, 0, False, ["array"]],
    "variables": ["string", 0, False, ["array"]],
    "extensions": ["string", 0, False, ["array"]],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in INVALID.items() for value in values])
async def test_a_parameter_of_another_type_is_400(toy, name, value):
    for accept in (JSON, GRAPHQL):
        response = await post(toy, accept, **{"query": TYPENAME, name: value})
        assert response.status_code == 400
        assert response.json()["errors"][0]["message"].startswith(f"'{name}' must be a")


@pytest.mark.parametrize("accept", [JSON, GRAPHQL])
async def test_parameters_may_be_null_or_of_their_type(toy, accept):
    for name in ("variables", "operationName", "extensions"):
        assert "errors" not in (await post(toy, accept, **{"query": TYPENAME, name: None})).json()
    named = await post(toy, accept, query="query Query { __typename }", operationName="Query")
    assert (named.status_code, named.json()["data"]) == (200, {"__typename": "Query"})
    mapped = await post(toy, accept, query=TYPE_BY_NAME, variables={"name": "Tag"}, extensions={"some": "value"})
    assert (mapped.status_code, mapped.json()["data"]) == (200, {"__type": {"name": "Tag"}})


@pytest.mark.parametrize("body", [b"", b'{ "not a JSON', b'{"notquery": "{ __typename }"}', b'{"qeury": "{hello}"}'])
async def test_a_body_without_a_request_is_400_in_both_media_types(toy, body):
    for accept in (JSON, GRAPHQL):
        headers = {"content-type": JSON, "accept": accept}
        response = await toy.client.post("/graphql", content=body, headers=headers)
        assert (response.status_code, media_type(response)) == (400, f"{accept}; charset=utf-8")


NOT_EXECUTED = [
    ({"query": "{"}, "GRAPHQL_PARSE_FAILED"),
    ({"query": NO_SUCH_FIELD}, "GRAPHQL_VALIDATION_FAILED"),
    ({"query": UNUSED, "variables": {"id": None}}, "GRAPHQL_VALIDATION_FAILED"),
    ({"query": COERCION, "variables": {"name": None}}, "BAD_USER_INPUT"),
    ({"query": COERCION, "variables": {"name": 7}}, "BAD_USER_INPUT"),
    ({"query": COERCION}, "BAD_USER_INPUT"),
    ({"query": "query A { hello } query B { hello }"}, "BAD_USER_INPUT"),
    ({"query": "query A { hello }", "operationName": "B"}, "BAD_USER_INPUT"),
    ({"query": "fragment F on Query { hello }"}, "BAD_USER_INPUT"),
    ({"query": "subscription { ticks }"}, "BAD_USER_INPUT"),
    ({"query": "{ notes(first: 101) { totalCount } }"}, "BAD_USER_INPUT"),
]


@pytest.mark.parametrize(("body", "code"), NOT_EXECUTED)
async def test_what_was_not_executed_has_no_data_and_is_400_in_its_own_media_type(toy, body, code):
    for accept, status in ((GRAPHQL, 400), (JSON, 200)):
        response = await post(toy, accept, **body)
        assert (response.status_code, media_type(response)) == (status, f"{accept}; charset=utf-8")
        assert "data" not in response.json()
        assert [error["extensions"]["code"] for error in response.json()["errors"]] == [code]


async def test_a_field_that_failed_still_answers_200_with_data(toy):
    for accept in (GRAPHQL, JSON):
        response = await post(toy, accept, query="{ hello secret }")
        assert response.status_code == 200
        assert response.json()["data"] == {"hello": "hello world", "secret": None}


async def test_data_that_a_failure_made_null_is_present_and_null(toy):
    response = await post(toy, GRAPHQL, query="{ brokenHard }")
    assert response.status_code == 200
    assert response.json()["data"] is None


async def test_batches_are_refused(toy):
    response = await toy.client.post("/graphql", json=[{"query": TYPENAME}, {"query": TYPENAME}])
    assert response.status_code == 400
    assert response.json()["errors"][0]["message"] == "Batching is not served; send one operation per request."


async def test_a_string_operation_name_chooses_among_several(toy):
    document = "query A { hello } query B { double(value: 4) }"
    response = await post(toy, query=document, operationName="B")
    assert response.json()["data"] == {"double": 8}


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "HEAD"])
async def test_other_methods_are_405(toy, method):
    response = await toy.client.request(method, "/graphql")
    assert (response.status_code, response.headers["allow"]) == (405, "GET, POST")
