"""API keys (promise S13): hashed, shown once, revoked at once, compared in constant time."""

import hmac
import io
import logging
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from models.api_keys import ApiKey
from models.base import metadata
from services.api_keys import MOST_KEYS, IssuedKey
from tests.schema.keys import ADMIN, CREATE, REVOKE, ask_with_key, create_key, post_with_key, secret_of_key
from tests.support.databases import copy_of_file
from tests.support.house import START, House, open_house
from tests.support.written import written_logs

ROLE = "{ viewer { role scopes user { id } } }"
LIST = """{ apiKeys {
    id name prefix scopes createdBy createdAt lastUsedAt expiresAt revokedAt
} }"""


async def outcome(house: House, secret: str | bytes) -> Any:
    """The role, or status and code of the refusal."""
    answer = await post_with_key(house, secret, ROLE)
    body = answer.json()
    if "errors" in body:
        return answer.status_code, body["errors"][0]["extensions"]["code"]
    return body["data"]["viewer"]["role"]


REFUSED = (401, "UNAUTHENTICATED")

# ── making ──


async def test_a_key_is_made_with_a_secret_of_256_bits_and_what_it_may_do(house: House) -> None:
    made = await create_key(house, "act_for_customer", "read", name=" shop ", expiresAt="2027-01-01T00:00:00Z")
    assert re.fullmatch(r"prk_[0-9a-f]{12}_[A-Za-z0-9_-]{43}", made["secret"])
    assert made == {
        "secret": made["secret"],
        "apiKey": {
            "id": made["apiKey"]["id"],
            "name": "shop",
            "prefix": made["secret"][:16],
            "scopes": ["read", "act_for_customer"],
            "createdBy": "admin:demo-admin",
            "createdAt": "2026-01-31T09:30:00Z",
            "lastUsedAt": None,
            "expiresAt": "2027-01-01T00:00:00Z",
            "revokedAt": None,
        },
        "userErrors": [],
    }
    assert (await ask_with_key(house, made["secret"], ROLE))["viewer"] == {
        "role": "SERVICE",
        "scopes": ["read", "act_for_customer"],
        "user": None,
    }


async def test_two_keys_have_nothing_in_common(small_house: House) -> None:
    one, two = [await secret_of_key(small_house, "read") for _ in range(2)]
    assert one.split("_")[1] != two.split("_")[1]
    assert one[17:] != two[17:]


@pytest.mark.parametrize(
    ("wish", "code", "field"),
    [
        ({"name": "", "scopes": ["read"]}, "INVALID", ["name"]),
        ({"name": " \t", "scopes": ["read"]}, "INVALID", ["name"]),
        ({"name": "x" * 101, "scopes": ["read"]}, "INVALID", ["name"]),
        ({"name": "x", "scopes": []}, "REQUIRED", ["scopes"]),
        ({"name": "x", "scopes": ["read", "admin"]}, "INVALID", ["scopes"]),
        ({"name": "x", "scopes": ["READ"]}, "INVALID", ["scopes"]),
        ({"name": "x", "scopes": ["read"], "expiresAt": "2026-01-31T09:30:00Z"}, "INVALID", ["expiresAt"]),
    ],
)
async def test_a_key_that_makes_no_sense_is_refused(
    small_house: House, wish: dict[str, Any], code: str, field: list[str]
) -> None:
    payload = (await small_house.ask(CREATE, {"input": wish}, user=ADMIN))["createApiKey"]
    assert (payload["apiKey"], payload["secret"]) == (None, None)
    assert [(error["code"], error["field"]) for error in payload["userErrors"]] == [(code, field)]
    assert (await small_house.ask(LIST, user=ADMIN))["apiKeys"] == []


async def test_a_scope_given_twice_counts_once(small_house: House) -> None:
    assert (await create_key(small_house, "read", "read"))["apiKey"]["scopes"] == ["read"]


async def test_there_are_at_most_so_many_keys_that_are_not_revoked(small_house: House) -> None:
    made = [await create_key(small_house, "read") for _ in range(MOST_KEYS)]
    refused = await create_key(small_house, "read")
    assert [error["code"] for error in refused["userErrors"]] == ["INVALID_STATE"]
    await small_house.ask(REVOKE, {"id": made[0]["apiKey"]["id"]}, user=ADMIN)
    assert (await create_key(small_house, "read"))["userErrors"] == []


# ── what holds ──


async def test_only_the_whole_secret_of_a_key_opens(house: House) -> None:
    one, two = [await secret_of_key(house, "read") for _ in range(2)]
    wrong: dict[str, str | bytes] = {
        "truncated": one[:-1],
        "longer": f"{one}A",
        "the prefix alone": one[:16],
        "another key's secret": one[:17] + two[17:],
        "an unknown prefix": f"prk_000000000000_{one[17:]}",
        "another first letter": one[:17] + ("B" if one[17] == "A" else "A") + one[18:],
        "another last letter": one[:-1] + ("B" if one[-1] == "A" else "A"),
        "in upper case": one.upper(),
        "a stranger's": "sk_test_" + one[17:],
        "an access token": house.token(ADMIN),
        "not ASCII": f"{one[:17]}{'é' * 43}".encode(),
        "a line of SQL": "' OR 1=1 --",
    }
    found = {name: await outcome(house, secret) for name, secret in wrong.items()}
    assert found == dict.fromkeys(wrong, REFUSED)
    assert [await outcome(house, one), await outcome(house, two)] == ["SERVICE", "SERVICE"]


async def test_a_revoked_key_is_refused_from_that_moment_on(house: House) -> None:
    made = await create_key(house, "read")
    other = await secret_of_key(house, "read")
    assert await outcome(house, made["secret"]) == "SERVICE"
    revoked = await house.ask(REVOKE, {"id": made["apiKey"]["id"]}, user=ADMIN)
    assert revoked["revokeApiKey"] == {
        "apiKey": {"revokedAt": "2026-01-31T09:30:00Z"},
        "secret": None,
        "userErrors": [],
    }
    assert await outcome(house, made["secret"]) == REFUSED  # the clock has not moved
    assert await outcome(house, other) == "SERVICE"


async def test_revoking_again_changes_nothing(small_house: House) -> None:
    made = await create_key(small_house, "read")
    first = await small_house.ask(REVOKE, {"id": made["apiKey"]["id"]}, user=ADMIN)
    small_house.pass_time(timedelta(days=1))
    assert await small_house.ask(REVOKE, {"id": made["apiKey"]["id"]}, user=ADMIN) == first
    missing = await small_house.ask(REVOKE, {"id": "apk_nothing"}, user=ADMIN)
    assert missing["revokeApiKey"]["userErrors"] == [{"code": "NOT_FOUND", "field": ["id"]}]


async def test_a_key_is_refused_from_the_instant_at_which_it_expires(house: House) -> None:
    expires_at = (START + timedelta(hours=1)).isoformat()
    secret = (await create_key(house, "read", expiresAt=expires_at))["secret"]
    house.machine.advance(timedelta(minutes=59, seconds=59))
    assert await outcome(house, secret) == "SERVICE"
    house.machine.advance(timedelta(seconds=1))
    assert await outcome(house, secret) == REFUSED


async def test_keys_go_by_the_security_clock_whatever_the_billing_clock_says(small_house: House) -> None:
    expires_at = (START + timedelta(hours=1)).isoformat()
    secret = (await create_key(small_house, "read", expiresAt=expires_at))["secret"]
    small_house.clock.advance(timedelta(days=400))
    assert await outcome(small_house, secret) == "SERVICE"


async def test_another_installations_secret_key_makes_every_key_unknown(sqlite_file: Path, tmp_path: Path) -> None:
    url = copy_of_file(sqlite_file, tmp_path / "perennial.db")
    async with open_house(url) as house:
        secret = await secret_of_key(house, "read")
        assert await outcome(house, secret) == "SERVICE"
    async with open_house(url, secret_key="another-secret-of-32-characters-or-more") as house:
        assert await outcome(house, secret) == REFUSED


async def test_every_secret_of_the_right_shape_costs_one_comparison_in_constant_time(
    small_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = await secret_of_key(small_house, "read")
    made = await create_key(small_house, "read")
    await small_house.ask(REVOKE, {"id": made["apiKey"]["id"]}, user=ADMIN)
    compared: list[tuple[int, int]] = []
    compare = hmac.compare_digest

    def noted(one: bytes, two: bytes) -> bool:
        compared.append((len(one), len(two)))
        return compare(one, two)

    monkeypatch.setattr(hmac, "compare_digest", noted)
    wrong = secret[:-1] + ("B" if secret[-1] == "A" else "A")
    for each in (secret, wrong, f"prk_000000000000_{secret[17:]}", made["secret"]):
        compared.clear()
        await post_with_key(small_house, each, ROLE)
        assert compared == [(32, 32)]


# ── what is remembered ──


async def used_at(house: House) -> str | None:
    (key,) = (await house.ask("{ apiKeys { lastUsedAt } }", user=ADMIN))["apiKeys"]
    return key["lastUsedAt"]


async def test_its_use_is_remembered_at_most_once_a_minute(house: House) -> None:
    secret = await secret_of_key(house, "read")
    seen = [await used_at(house)]
    for seconds in (0, 59, 1, 30):
        house.machine.advance(timedelta(seconds=seconds))
        await ask_with_key(house, secret, ROLE)
        seen.append(await used_at(house))
    assert seen == [
        None,
        "2026-01-31T09:30:00Z",
        "2026-01-31T09:30:00Z",
        "2026-01-31T09:31:00Z",
        "2026-01-31T09:31:00Z",
    ]


async def test_a_refused_secret_is_no_use(small_house: House) -> None:
    secret = await secret_of_key(small_house, "read")
    assert await outcome(small_house, secret[:-1] + "~") == REFUSED
    assert await outcome(small_house, secret[:-1] + ("B" if secret[-1] == "A" else "A")) == REFUSED
    assert await used_at(small_house) is None


async def test_making_and_revoking_leave_their_changes(house: House) -> None:
    made = await create_key(house, "read")
    house.pass_time(timedelta(minutes=5))
    for _ in range(2):
        await house.ask(REVOKE, {"id": made["apiKey"]["id"]}, user=ADMIN)
    table = metadata().tables["changes"]
    async with house.app.database.engine.connect() as connection:
        rows = await connection.execute(select(table).where(table.c.machine == "api_key").order_by(table.c.id))
        found = [(row.subject_id, row.from_status, row.to_status, row.cause, row.actor, row.at) for row in rows]
    key = made["apiKey"]["id"]
    assert [row[:5] for row in found] == [
        (key, None, "active", "createApiKey", "admin:demo-admin"),
        (key, "active", "revoked", "revokeApiKey", "admin:demo-admin"),
    ]


async def test_the_list_shows_usable_keys_first_and_never_a_secret(house: House) -> None:
    first, second, third = [await create_key(house, "read", name=name) for name in ("first", "second", "third")]
    await house.ask(REVOKE, {"id": third["apiKey"]["id"]}, user=ADMIN)
    listed = (await house.ask(LIST, user=ADMIN))["apiKeys"]
    assert [key["name"] for key in listed] == ["second", "first", "third"]
    assert listed[0] == second["apiKey"]
    assert listed[1] == first["apiKey"]
    assert listed[2] == {**third["apiKey"], "revokedAt": "2026-01-31T09:30:00Z"}


async def test_a_key_is_a_node_for_administrators_alone(small_house: House) -> None:
    made = await create_key(small_house, "read", "act_for_customer")
    query, ids = "query($id: ID!) { node(id: $id) { id } }", {"id": made["apiKey"]["id"]}
    callers = (None, "demo-card", "demo-support", ADMIN)
    found = [(await small_house.ask(query, ids, user=user))["node"] for user in callers]
    assert found == [None, None, None, {"id": made["apiKey"]["id"]}]
    assert (await ask_with_key(small_house, made["secret"], query, ids))["node"] is None


# ── the secret is nowhere ──


@pytest.fixture(params=[True, False], ids=["json", "console"])
def written(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """Everything that is logged, through the real pipeline, as text."""
    with written_logs(json=request.param, level="DEBUG") as stream:
        yield stream


def files_in(folder: Path) -> bytes:
    """All that was written to disk: the database and its journal."""
    return b"".join(path.read_bytes() for path in folder.iterdir())


async def test_the_secret_is_in_one_answer_and_then_nowhere(
    sqlite_file: Path, tmp_path: Path, written: io.StringIO
) -> None:
    url = copy_of_file(sqlite_file, tmp_path / "perennial.db")
    answers: list[str] = []
    async with open_house(url) as house:
        made = await create_key(house, "read", "act_for_customer")
        secret = made["secret"]
        customer = (await house.ask("{ me { id } }", user="demo-card"))["me"]["id"]
        subscribe = """mutation($input: SubscribeInput!) { subscribe(input: $input) {
            subscription { statusHistory { actor } } userErrors { code message } } }"""
        for query, variables in (
            (ROLE, None),
            ("{ me { id } }", None),
            (f'{{ nothing(x: "{secret}") }}', None),
            (f'{{ payment(by: {{id: "{secret}"}}) {{ id }} }}', None),
            (subscribe, {"input": {"planCode": "reader-pro", "customerId": customer}}),
            (subscribe, {"input": {"planCode": "reader-pro", "customerId": secret}}),
        ):
            answers.append((await post_with_key(house, secret, query, variables)).text)
        answers.append((await post_with_key(house, secret + "x", ROLE)).text)
        answers.append((await house.post(LIST, user=ADMIN)).text)
        answers.append((await house.post(REVOKE, {"id": made["apiKey"]["id"]}, user=ADMIN)).text)
        answers.append((await post_with_key(house, secret, ROLE)).text)
        logging.getLogger("a.library").error("sent %s", secret)
    random_part = secret[17:]
    stored = files_in(tmp_path)
    assert made["apiKey"]["prefix"].encode() in stored
    assert random_part.encode() not in stored
    assert "a.library" in written.getvalue()
    assert random_part not in written.getvalue()
    assert [n for n, answer in enumerate(answers) if random_part in answer] == []


def test_a_printed_key_shows_neither_secret_nor_digest() -> None:
    row = ApiKey(
        id="apk_1", name="x", prefix="prk_0", digest=b"digest", scopes=[], created_by="admin", created_at=START
    )
    shown = repr(IssuedKey(row, "the secret"))
    assert "the secret" not in shown
    assert "b'digest'" not in shown
    assert "prk_0" in shown
