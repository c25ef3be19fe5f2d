"""`billingEvents`: one order for all readers, read on from any place, and nothing is ever left out."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import col, select

from models.base import new_id
from models.database import Database
from models.events import BillingEvent
from models.subscriptions import Subscription
from services.events.publishing import publish_events
from tests.schema.keys import post_with_key, secret_of_key
from tests.support.endpoints import ADMIN, create_endpoint, subscribe
from tests.support.house import START, House, counted
from tests.support.meanwhile import held

READ = """query($after: String, $types: [String!], $first: Int = 100) {
  billingEvents(after: $after, types: $types, first: $first) {
    nodes { id cursor type at payload subject { __typename id } } edges { cursor }
    pageInfo { hasNextPage endCursor } totalCount
} }"""


UNKNOWN = (
    "There is no event 'invoice.sold'. Name a type such as invoice.paid, all of one kind such as invoice.*, or * for "
    "all."
)


async def read(house: House, **wanted: Any) -> dict[str, Any]:
    return (await house.ask(READ, wanted, ADMIN))["billingEvents"]


async def ids(house: House, **wanted: Any) -> list[str]:
    return [each["id"] for each in (await read(house, **wanted))["nodes"]]


def happened(**given: Any) -> BillingEvent:
    """An event about nothing."""
    return BillingEvent(
        **{"id": new_id("billing_event"), "type": "invoice.paid", "subject_id": "inv_1", "at": START, **given}
    )


async def write(house: House, *events: BillingEvent) -> None:
    async with house.app.database.write() as session:
        session.add_all(events)


# ── what is told ──


async def test_a_subscription_that_is_paid_is_told_in_the_order_in_which_it_happened(house: House) -> None:
    subscription = await subscribe(house)
    assert (await read(house))["nodes"] == [], "not before the worker has seen to it"
    await house.work()
    page = await read(house)
    assert [(each["type"], each["subject"]["__typename"]) for each in page["nodes"]] == [
        ("subscription.created", "PlanSubscription"),
        ("invoice.issued", "Invoice"),
        ("payment.succeeded", "Payment"),
        ("invoice.paid", "Invoice"),
        ("subscription.activated", "PlanSubscription"),
    ]
    first = page["nodes"][0]
    assert (first["at"], first["subject"]["id"]) == ("2026-01-31T09:30:00Z", subscription)
    told = {
        name: first["payload"][name] for name in ("from", "to", "cause", "actor", "status", "total_paid", "currency")
    }
    assert told == {
        "from": None,
        "to": "incomplete",
        "cause": "subscribe",
        "actor": "customer",
        "status": "active",
        "total_paid": 700,
        "currency": "USD",
    }
    paid = page["nodes"][2]["payload"]["payment"]
    assert (paid["status"], paid["amount_paid"], paid["currency"]) == ("succeeded", 700, "USD")
    assert page["pageInfo"] == {"hasNextPage": False, "endCursor": page["nodes"][-1]["cursor"]}
    assert [each["cursor"] for each in page["edges"]] == [each["cursor"] for each in page["nodes"]]
    assert page["totalCount"] == 5


async def test_what_is_told_of_an_event_never_changes(house: House) -> None:
    await subscribe(house)
    await house.work()
    before = await read(house)
    house.pass_time(timedelta(days=28))
    await house.work()
    after = await read(house)
    assert after["nodes"][:5] == before["nodes"]
    assert [each["type"] for each in after["nodes"][5:]] == [
        "subscription.renewed",
        "invoice.issued",
        "payment.succeeded",
        "invoice.paid",
    ]
    assert after["nodes"][-1]["payload"]["total_paid"] == 1400


async def test_an_event_is_found_again_by_its_id_once_it_can_be_read(house: House) -> None:
    event = happened()
    await write(house, event)
    query = "query($id: ID!) { node(id: $id) { id ... on BillingEvent { type cursor } } }"
    assert await house.ask(query, {"id": event.id}, ADMIN) == {"node": None}
    await house.work()
    cursor = (await read(house))["nodes"][0]["cursor"]
    found = await house.ask(query, {"id": event.id}, ADMIN)
    assert found == {"node": {"id": event.id, "type": "invoice.paid", "cursor": cursor}}
    assert await house.ask(query, {"id": event.id}, "demo-card") == {"node": None}


async def test_what_happened_before_there_was_an_order_tells_what_it_told(small_house: House) -> None:
    """Positions of events from before are given by the migration; nobody composed anything for them."""
    payload = {"from": "open", "to": "paid", "cause": "renew", "actor": "service:apk_1"}
    await write(small_house, happened(position=7, payload=payload))
    (told,) = (await read(small_house))["nodes"]
    assert told["payload"] == {**payload, "actor": "service"}
    assert told["subject"] is None
    later = happened()
    await write(small_house, later)
    await small_house.work()
    assert await ids(small_house, after=told["cursor"]) == [later.id]


# ── reading on ──


async def test_reading_goes_on_from_any_cursor_in_pages_of_any_size(house: House) -> None:
    events = [happened() for _ in range(23)]
    await write(house, *events)
    await house.work()
    wanted = [event.id for event in events]
    for size in (1, 7, 23, 100):
        found, after = [], None
        while True:
            page = await read(house, first=size, after=after)
            found += [each["id"] for each in page["nodes"]]
            if not page["pageInfo"]["hasNextPage"]:
                break
            after = page["pageInfo"]["endCursor"]
        assert found == wanted
    cursors = [each["cursor"] for each in (await read(house))["nodes"]]
    for place, cursor in enumerate(cursors):
        assert await ids(house, after=cursor) == wanted[place + 1 :]


async def test_a_cursor_holds_whatever_types_are_asked_for(house: House) -> None:
    types = ("invoice.paid", "subscription.renewed", "invoice.issued", "payment.failed", "invoice.paid")
    await write(house, *(happened(type=type) for type in types))
    await house.work()
    nodes = (await read(house))["nodes"]
    assert [each["type"] for each in (await read(house, types=["invoice.*"]))["nodes"]] == [
        "invoice.paid",
        "invoice.issued",
        "invoice.paid",
    ]
    after_second = await read(house, types=["invoice.*", "payment.failed"], after=nodes[1]["cursor"])
    assert [each["type"] for each in after_second["nodes"]] == ["invoice.issued", "payment.failed", "invoice.paid"]
    assert after_second["totalCount"] == 4
    assert await ids(house, types=["*"]) == await ids(house)
    assert await ids(house, types=[]) == []


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (
            {"types": ["invoice.paid", "invoice.sold"]},
            f"types: {UNKNOWN}",
        ),
        ({"types": ["invoice"]}, None),
        ({"types": [""]}, None),
        ({"after": "nonsense"}, "after: this is no cursor of this list; use endCursor or startCursor of its pageInfo."),
        ({"after": "WyJiaWxsaW5nRXZlbnQiLCJiZXZfMSJd"}, None),  # of a timeline
        ({"after": "WyJldmVudFN0cmVhbSIsIjEiXQ"}, None),  # a text instead of a number
        ({"first": 0}, "first: expected 1 to 100."),
        ({"first": 101}, None),
    ],
)
async def test_what_makes_no_sense_is_refused_clearly(
    small_house: House, wanted: dict[str, Any], message: str | None
) -> None:
    body = (await small_house.post(READ, wanted, ADMIN)).json()
    (error,) = body["errors"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert message is None or error["message"] == message


async def test_a_key_reads_with_the_scope_for_it(house: House) -> None:
    await subscribe(house)
    await house.work()
    for scopes, outcome in ((["read"], 5), (["run_billing"], "FORBIDDEN")):
        body = (await post_with_key(house, await secret_of_key(house, *scopes), READ)).json()
        found = (
            body["errors"][0]["extensions"]["code"] if "errors" in body else len(body["data"]["billingEvents"]["nodes"])
        )
        assert found == outcome


# ── late commits ──


async def test_an_event_that_is_committed_late_is_read_all_the_same(house: House) -> None:
    """Its id is older than those of events that were read before it."""
    early = happened()
    later = [happened(), happened()]
    assert early.id < later[0].id
    await write(house, *later)
    await house.work()
    page = await read(house)
    assert [each["id"] for each in page["nodes"]] == [event.id for event in later]
    await write(house, early)
    await house.work()
    assert await ids(house, after=page["pageInfo"]["endCursor"]) == [early.id]


async def test_a_transaction_that_is_under_way_while_others_are_read_is_read_after_them(house: House) -> None:
    if house.app.database.is_sqlite:
        pytest.skip("one writer at a time: nothing is under way while others commit")
    early, later = happened(), happened()
    async with house.app.database.write() as session:
        session.add(early)
        await session.flush()
        await write(house, later)
        assert await publish_events(house.app) == 1
        page = await read(house)
        assert [each["id"] for each in page["nodes"]] == [later.id]
    assert await publish_events(house.app) == 1
    assert await ids(house, after=page["pageInfo"]["endCursor"]) == [early.id]


async def test_one_pass_publishes_all_that_there_is(small_house: House) -> None:
    """A pass of renewals writes more events than go into one transaction."""
    written = [happened() for _ in range(230)]
    async with small_house.app.database.write() as session:
        session.add_all(written)
    assert await publish_events(small_house.app) == len(written)
    assert await publish_events(small_house.app) == 0


async def test_a_reader_beside_writers_and_publishers_gets_everything_once_and_in_order(house: House) -> None:
    dice, writers, each_writes = random.Random(20260131), 4, 12
    others = [Database(house.installation.settings.database_url) for _ in range(2)]
    written: list[str] = []
    is_over = asyncio.Event()

    async def writer() -> None:
        for _ in range(each_writes):
            event = happened()
            await asyncio.sleep(dice.random() / 50)  # its id is fixed already
            await write(house, event)
            written.append(event.id)

    async def publisher(database: Database) -> None:
        while not is_over.is_set():
            await publish_events(replace(house.app, database=database))
            await asyncio.sleep(dice.random() / 100)

    async def reader() -> Sequence[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        while True:
            page = await read(house, first=5, after=found[-1][1] if found else None)
            found += [(each["id"], each["cursor"]) for each in page["nodes"]]
            if len(found) >= writers * each_writes:
                return found

    publishers = [asyncio.create_task(publisher(each)) for each in others]
    async with asyncio.timeout(60):
        found, *_ = await asyncio.gather(reader(), *(writer() for _ in range(writers)))
    is_over.set()
    await asyncio.gather(*publishers)
    for database in others:
        await database.close()
    assert sorted(id for id, _ in found) == sorted(written)
    async with house.app.database.read() as session:
        rows = (await session.exec(select(BillingEvent).order_by(col(BillingEvent.position)))).all()
    assert len({row.position for row in rows}) == writers * each_writes
    assert [row.id for row in rows] == [id for id, _ in found]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_what_one_worker_publishes_slowly_is_not_read_past_for_what_another_has_since(house: House) -> None:
    """The slow one waits for an endpoint's row; meanwhile a hundred events that are older come to be committed."""
    late = [happened(type="invoice.issued") for _ in range(100)]
    event = happened()
    await create_endpoint(house, "http://127.0.0.1:9/hooks", eventTypes=["invoice.paid"])
    await publish_events(house.app)
    told = (await read(house))["nodes"]

    async def read_on() -> None:
        while nodes := (await read(house, after=told[-1]["cursor"] if told else None))["nodes"]:
            told.extend(nodes)

    await write(house, event)
    async with held(house.app, "SELECT id FROM webhook_endpoints FOR UPDATE") as waiting:
        slow = asyncio.create_task(publish_events(house.app))
        await waiting(1)
        await write(house, *late)
        house.machine.advance(timedelta(seconds=1))
        quick = asyncio.create_task(publish_events(house.app))
        both_wait = asyncio.ensure_future(waiting(2))
        await asyncio.wait((quick, both_wait), return_when=asyncio.FIRST_COMPLETED)
        both_wait.cancel()
        await read_on()
    await asyncio.gather(slow, quick)
    await publish_events(house.app)
    await read_on()
    wanted = sorted([event.id, *(each.id for each in late)])
    assert sorted(each["id"] for each in told if each["type"].startswith("invoice.")) == wanted


# ── what it costs ──


async def test_many_events_are_published_in_as_many_statements_as_few(small_house: House) -> None:
    """A renewal writes its events and no more; what they tell is composed here, for all at once."""
    for user in ("demo-card", "demo-new", "demo-late"):
        await small_house.ask(
            'mutation { attachPaymentMethod(input: {paymentMethodId: "pm_card_visa"}) { userErrors { code } } }',
            user=user,
        )
    sent = []
    for users in (["demo-card"], ["demo-new", "demo-late"]):
        for user in users:
            await subscribe(small_house, user)
        async with counted(small_house.app) as statements:
            assert await publish_events(small_house.app) == 5 * len(users)
        sent.append([statement.split(" ", 1)[0] for statement in statements.sent])
    assert sent[0] == sent[1]
    assert (sent[0].count("SELECT"), sent[0].count("UPDATE"), len(sent[0])) == (15, 1, 16)
    async with counted(small_house.app) as statements:
        assert await publish_events(small_house.app) == 0
    assert len(statements) == 1


async def test_a_page_costs_one_statement_and_one_for_each_kind_of_subject(small_house: House) -> None:
    await subscribe(small_house)
    await small_house.work()
    async with counted(small_house.app) as statements:
        await small_house.ask("{ billingEvents { nodes { type payload subject { id } } } }", user=ADMIN)
    assert len(statements) == 4
    async with small_house.app.database.read() as session:
        assert len((await session.exec(select(Subscription))).all()) == 1
