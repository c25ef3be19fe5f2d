"""Webhook endpoints: made and changed by administrators, inside addresses refused, secrets told once (promise S10)."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlmodel import select

from models.endpoints import WebhookEndpoint
from services.events.endpoints import MOST_ENDPOINTS, IssuedSecret
from tests.support.databases import copy_of_file
from tests.support.endpoints import (
    ADMIN,
    CREATE,
    DELETE,
    DELIVERIES,
    ENDPOINT,
    ROTATE,
    UPDATE,
    create_endpoint,
    deliveries,
    subscribe,
)
from tests.support.house import House, open_house
from tests.support.receiver import receiver
from tests.support.tables import everything
from tests.support.written import written_logs

LIST = f"{{ webhookEndpoints {ENDPOINT} }}"
HERE = "http://127.0.0.1:9/hooks"


async def listed(house: House) -> list[dict[str, Any]]:
    return (await house.ask(LIST, user=ADMIN))["webhookEndpoints"]


# ── making and changing ──


async def test_an_endpoint_is_made_with_a_secret_of_256_bits(house: House) -> None:
    made = await create_endpoint(house, HERE, eventTypes=["invoice.*", "payment.failed", "invoice.*"])
    assert made["secret"].startswith("whsec_")
    assert len(base64.b64decode(made["secret"].removeprefix("whsec_"), validate=True)) == 32
    assert made["webhookEndpoint"] == {
        "id": made["webhookEndpoint"]["id"],
        "url": HERE,
        "eventTypes": ["invoice.*", "payment.failed"],
        "isEnabled": True,
        "version": 1,
        "isArchived": False,
        "archivedAt": None,
        "previousSecretUntil": None,
        "createdBy": "admin:demo-admin",
        "createdAt": "2026-01-31T09:30:00Z",
    }
    assert await listed(house) == [made["webhookEndpoint"]]
    other = await create_endpoint(house, HERE)
    assert other["webhookEndpoint"]["eventTypes"] == ["*"]
    assert other["secret"] != made["secret"]
    assert [each["id"] for each in await listed(house)] == [each["webhookEndpoint"]["id"] for each in (made, other)]


@pytest.mark.parametrize(
    ("wish", "code", "field"),
    [
        ({}, "REQUIRED", "url"),
        ({"url": HERE, "eventTypes": []}, "REQUIRED", "eventTypes"),
        ({"url": HERE, "eventTypes": ["invoice.sold"]}, "INVALID", "eventTypes"),
        ({"url": HERE, "eventTypes": ["*", "invoice"]}, "INVALID", "eventTypes"),
        ({"url": "http://user:word@127.0.0.1/"}, "INVALID", "url"),
        ({"url": "http://127.0.0.1/#there"}, "INVALID", "url"),
        ({"url": "http://10.0.0.1/"}, "INVALID", "url"),
        ({"url": "https://169.254.169.254/latest/meta-data"}, "INVALID", "url"),
        ({"url": "https://nowhere.invalid/"}, "INVALID", "url"),
    ],
)
async def test_what_makes_no_sense_is_refused_and_changes_nothing(
    small_house: House, wish: dict[str, Any], code: str, field: str
) -> None:
    kept = (await create_endpoint(small_house, HERE))["webhookEndpoint"]
    answers = [(await small_house.ask(CREATE, {"input": wish}, ADMIN))["createWebhookEndpoint"]]
    if wish:
        variables = {"id": kept["id"], "input": wish}
        answers.append((await small_house.ask(UPDATE, variables, ADMIN))["updateWebhookEndpoint"])
    for answer in answers:
        assert (answer["webhookEndpoint"], answer["secret"]) == (None, None)
        assert [(error["code"], error["field"]) for error in answer["userErrors"]] == [(code, [field])]
    assert await listed(small_house) == [kept]


async def test_an_endpoint_is_changed_by_what_is_given_and_only_as_it_was_seen(house: House) -> None:
    made = (await create_endpoint(house, HERE))["webhookEndpoint"]
    changed = {"id": made["id"], "input": {"eventTypes": ["payment.*"], "isEnabled": False}, "expectedVersion": 1}
    answer = (await house.ask(UPDATE, changed, ADMIN))["updateWebhookEndpoint"]
    now = {**made, "eventTypes": ["payment.*"], "isEnabled": False, "version": 2}
    assert answer == {"secret": None, "webhookEndpoint": now, "userErrors": []}
    stale = (await house.ask(UPDATE, changed, ADMIN))["updateWebhookEndpoint"]
    assert [(each["code"], each["field"]) for each in stale["userErrors"]] == [
        ("VERSION_CONFLICT", ["expectedVersion"])
    ]
    same = await house.ask(UPDATE, {"id": made["id"], "input": {"url": HERE, "isEnabled": False}}, ADMIN)
    assert same["updateWebhookEndpoint"]["webhookEndpoint"] == now, "nothing changed, so it is the same version"
    assert await listed(house) == [now]


async def test_a_deleted_endpoint_is_kept_but_can_no_longer_be_changed(house: House) -> None:
    made = (await create_endpoint(house, HERE))["webhookEndpoint"]
    gone = {**made, "version": 2, "isArchived": True, "archivedAt": "2026-01-31T09:30:00Z"}
    for _ in range(2):
        answer = (await house.ask(DELETE, {"id": made["id"]}, ADMIN))["deleteWebhookEndpoint"]
        assert answer == {"webhookEndpoint": gone, "userErrors": []}
    assert await listed(house) == []
    node = f"query($id: ID!) {{ node(id: $id) {{ ... on WebhookEndpoint {ENDPOINT} }} }}"
    assert (await house.ask(node, {"id": made["id"]}, ADMIN))["node"] == gone
    assert (await house.ask(node, {"id": made["id"]}, "demo-card"))["node"] is None
    for query, name in ((UPDATE, "updateWebhookEndpoint"), (ROTATE, "rotateWebhookSecret")):
        for id in (made["id"], "wep_00000000000000000000000000000000"):
            answer = (await house.ask(query, {"id": id, **({"input": {}} if query == UPDATE else {})}, ADMIN))[name]
            assert [(each["code"], each["field"]) for each in answer["userErrors"]] == [("NOT_FOUND", ["id"])]


async def test_there_are_at_most_so_many_endpoints(small_house: House) -> None:
    made = [await create_endpoint(small_house, HERE) for _ in range(MOST_ENDPOINTS)]
    refused = (await small_house.ask(CREATE, {"input": {"url": HERE}}, ADMIN))["createWebhookEndpoint"]
    assert [each["code"] for each in refused["userErrors"]] == ["INVALID_STATE"]
    await small_house.ask(DELETE, {"id": made[0]["webhookEndpoint"]["id"]}, ADMIN)
    await create_endpoint(small_house, HERE)


async def test_deliveries_are_read_in_pages_and_by_their_ids(house: House) -> None:
    async with receiver() as own:
        await create_endpoint(house, own.url)
        await subscribe(house)
        await house.work()
    newest_first = await deliveries(house)
    assert [each["id"] for each in newest_first] == sorted((each["id"] for each in newest_first), reverse=True)
    query = """query($after: String) { webhookEndpoints { deliveries(first: 2, after: $after) {
        totalCount nodes { id } pageInfo { hasNextPage endCursor } } } }"""
    found, after = [], None
    for _ in range(3):
        page = (await house.ask(query, {"after": after}, ADMIN))["webhookEndpoints"][0]["deliveries"]
        assert page["totalCount"] == 5
        found += [each["id"] for each in page["nodes"]]
        after = page["pageInfo"]["endCursor"]
    assert (found, page["pageInfo"]["hasNextPage"]) == ([each["id"] for each in newest_first], False)
    node = "query($id: ID!) { node(id: $id) { id ... on WebhookDelivery { eventType status } } }"
    told = {name: newest_first[0][name] for name in ("id", "eventType", "status")}
    assert (await house.ask(node, {"id": found[0]}, ADMIN))["node"] == told
    for user in (None, "demo-card", "demo-support"):
        assert (await house.ask(node, {"id": found[0]}, user))["node"] is None


# ── where it may lead ──


class Names:
    """Host → its addresses; unknown ones have none."""

    def __init__(self, **known: str) -> None:
        self.known = {f"{name}.example": address for name, address in known.items()}

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        if host not in self.known:
            raise OSError("unknown")
        return self.known[host].split()


async def test_outside_development_only_public_addresses_by_https_are_taken(stocked_file: Path, tmp_path: Path) -> None:
    names = Names(shop="93.184.216.34", inside="10.0.0.7", mixed="93.184.216.34 127.0.0.1", own="127.0.0.1")
    names.known |= {each: each for each in ("127.0.0.1", "::1", "169.254.169.254")}
    url = copy_of_file(stocked_file, tmp_path / "staging.db")
    async with open_house(url, demo=False, environment="staging", secret_key="s" * 40, resolve=names) as house:
        outcomes = {}
        for given in (
            "https://shop.example/hooks",
            "http://shop.example/hooks",
            "https://inside.example/hooks",
            "https://mixed.example/hooks",
            "https://own.example/hooks",
            "https://unknown.example/hooks",
            "http://127.0.0.1:8000/",
            "https://127.0.0.1:8000/",
            "https://[::1]/",
            "https://169.254.169.254/",
        ):
            answer = (await house.ask(CREATE, {"input": {"url": given}}, ADMIN))["createWebhookEndpoint"]
            outcomes[given] = [error["message"].split(".")[0] for error in answer["userErrors"]]
        private = ["The address is private or reserved"]
        assert outcomes == {
            "https://shop.example/hooks": [],
            "http://shop.example/hooks": ["Only https addresses are told of anything"],
            "https://inside.example/hooks": private,
            "https://mixed.example/hooks": private,
            "https://own.example/hooks": private,
            "https://unknown.example/hooks": ["The host of the address has no address now"],
            "http://127.0.0.1:8000/": ["Only https addresses are told of anything"],
            "https://127.0.0.1:8000/": private,
            "https://[::1]/": private,
            "https://169.254.169.254/": private,
        }
        assert len(await listed(house)) == 1


async def test_a_name_that_leads_inside_later_is_not_followed_there(stocked_file: Path, tmp_path: Path) -> None:
    names = Names(shop="93.184.216.34")
    url = copy_of_file(stocked_file, tmp_path / "staging.db")
    async with (
        open_house(url, demo=False, environment="staging", secret_key="s" * 40, resolve=names) as house,
        receiver() as inside,
    ):
        port = inside.url.split(":")[2]
        await create_endpoint(house, f"https://shop.example:{port}", eventTypes=["payment.*"])
        names.known["shop.example"] = "127.0.0.1"
        await subscribe(house)
        await house.work()
        (told,) = await deliveries(house)
        assert (told["status"], told["httpStatus"], told["attempts"]) == ("FAILED", None, 1)
        assert told["error"].startswith("The address is private or reserved.")
        assert (inside.got, inside.most_under_way) == ([], 0)


async def test_the_operator_allows_networks_by_a_setting(stocked_file: Path, tmp_path: Path) -> None:
    names = Names(inside="10.20.0.7", deeper="10.21.0.7")
    url = copy_of_file(stocked_file, tmp_path / "staging.db")
    async with open_house(
        url,
        demo=False,
        environment="staging",
        secret_key="s" * 40,
        resolve=names,
        webhook_private_targets="10.20.0.0/16, fd00::/8",
    ) as house:
        await create_endpoint(house, "https://inside.example/")
        refused = await house.ask(CREATE, {"input": {"url": "https://deeper.example/"}}, ADMIN)
        assert [each["field"] for each in refused["createWebhookEndpoint"]["userErrors"]] == [["url"]]


# ── secrets ──


async def test_secrets_are_in_two_answers_and_nowhere_else(house: House) -> None:
    with written_logs(level="DEBUG") as heard:
        async with receiver() as own:
            made = await create_endpoint(house, own.url)
            id = made["webhookEndpoint"]["id"]
            rotated = (await house.ask(ROTATE, {"id": id}, ADMIN))["rotateWebhookSecret"]
            await subscribe(house)
            await house.work()
            own.status = 500
            house.pass_time(house.app.gateway_budget)
            await house.work()
        answers = [await house.ask(query, user=ADMIN) for query in (LIST, DELIVERIES)]
        structlog.get_logger("test").info("row", row=IssuedSecret(await row_of(house), made["secret"]))
    kept = "".join([repr(await everything(house.app)), repr(answers), heard.getvalue()])
    assert id in heard.getvalue()
    for secret in (made["secret"], rotated["secret"]):
        key = base64.b64decode(secret.removeprefix("whsec_"))
        for form in (secret, secret.removeprefix("whsec_"), key.hex(), repr(key)[2:-1]):
            assert form not in kept
        assert all(secret.encode() not in got.body and secret not in str(got.headers) for got in own.got)


async def row_of(house: House) -> WebhookEndpoint:
    async with house.app.database.read() as session:
        return (await session.exec(select(WebhookEndpoint))).one()
