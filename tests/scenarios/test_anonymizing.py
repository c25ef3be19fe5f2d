"""Forgetting a person: nothing that tells who it was is left, and the books are what they were, to the cent."""

import asyncio
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import MetaData
from sqlmodel import select

from billing.charging import SetupFutureUsage
from billing.errors import ErrorCode, UserProblem
from gateways.port import GatewayRefused
from gateways.sandbox import Fault
from models.base import metadata
from models.events import hold_unpublished, unpublished_events
from services.app import Actor, ActorKind
from services.events.bodies import snapshots_of
from services.events.publishing import publish_events
from services.people.anonymizing import anonymize_customer
from services.people.customers import ensure_customer, ensure_gateway_account
from services.subscriptions.ordering import SubscribeWish
from services.subscriptions.subscribing import subscribe
from services.wallet.cards import create_setup_intent
from tests.scenarios.by_hand import write_down
from tests.schema.keys import ask_with_key, secret_of_key
from tests.support.breaking import add
from tests.support.endpoints import create_endpoint
from tests.support.house import House
from tests.support.meanwhile import before_writing, just_after, just_before
from tests.support.outside import dashboard, sandbox_of
from tests.support.receiver import receiver
from tests.support.tables import everything

ADMIN = "demo-admin"
CANARY = "canary"
"""Part of every word that tells of the person, and of nothing else."""

FORGET = """mutation ($id: ID!) { anonymizeCustomer(id: $id) {
  customer { id version isArchived user { id displayName } } userErrors { code message field } } }"""
PROFILE = """mutation ($input: CustomerInput!) { updateProfile(input: $input) {
  customer { id } userErrors { code field } } }"""
OF_STAFF = """mutation ($id: ID!, $input: CustomerInput!) { updateCustomer(id: $id, input: $input) {
  userErrors { code field } } }"""
ATTACH = """mutation ($input: AttachPaymentMethodInput!) { attachPaymentMethod(input: $input) {
  paymentMethod { id gatewayId } userErrors { code } } }"""
HOLDER = """mutation ($input: UpdatePaymentMethodInput!) { updatePaymentMethod(input: $input) {
  userErrors { code } } }"""
DETACH = "mutation ($id: ID!) { detachPaymentMethod(input: {paymentMethodId: $id}) { userErrors { code } } }"
SAVE = """mutation { createSetupIntent(
  input: {returnUrl: "https://canary.example/back", errorUrl: "https://canary.example/no"}) { userErrors { code } } }"""
SUBSCRIBE = """mutation ($input: SubscribeInput!) { subscribe(input: $input) {
  subscription { id } payment { id status } userErrors { code } } }"""
CHANGE = """mutation ($input: ChangePlanInput!) { changePlan(input: $input) { userErrors { code } } }"""
CANCEL = """mutation ($input: CancelSubscriptionInput!) { cancelSubscription(input: $input) { userErrors { code } } }"""
REFUND = """mutation ($input: RefundPaymentInput!) { refundPayment(input: $input) { userErrors { code } } }"""
USER = "canary-user"

OWN: dict[str, Any] = {
    "name": "Canary Lovelace",
    "firstName": "Canary",
    "lastName": "O'Canary",
    "username": "canary-bird",
    "email": "ada@canary.example",
    "phone": "0555 011 0100",
    "birthDate": "1991-02-03",
    "region": "Canary Islands",
    "image": "https://canary.example/ada.png",
    "businessVatId": "CANARY1",
    "addresses": [{part: f"canary {part}" for part in ("line1", "line2", "city", "state", "postalCode")}],
}
TOLD_BY_STAFF: dict[str, Any] = {
    "externalId": "crm-canary",
    "accountId": "acc-canary",
    "description": "likes canaries",
    "salesCode": "CANARY-7",
    "metadata": {"pet": "canary"},
}
AGREED = "Canary at the counter"
# What holds digits instead of the word.
OTHER_TRACES = ("0555 011 0100", "1991-02-03")


async def said(house: House, document: str, variables: Mapping[str, Any], user: str = USER) -> dict[str, Any]:
    """The payload of the one mutation, which is not refused."""
    (payload,) = (await house.ask(document, variables, user)).values()
    assert payload["userErrors"] == []
    return payload


async def forgotten(house: House, id: str) -> dict[str, Any]:
    return (await house.ask(FORGET, {"id": id}, ADMIN))["anonymizeCustomer"]


async def everywhere(house: House) -> dict[str, list[str]]:
    """Every value of every table in the database, the gateway's own books among them, by column."""
    tables = MetaData()
    async with house.app.database.engine.connect() as connection:
        await connection.run_sync(tables.reflect)
        found: dict[str, list[str]] = {}
        for table in tables.sorted_tables:
            for row in await connection.execute(select(table)):
                for name, value in row._mapping.items():
                    text = value if isinstance(value, str) else json.dumps(value, default=str)
                    found.setdefault(f"{table.name}.{name}", []).append(text)
        return found


async def traces(house: House) -> set[str]:
    """The columns in which something tells of the person."""
    words = (CANARY, *OTHER_TRACES)
    return {
        column
        for column, values in (await everywhere(house)).items()
        if any(word in value.casefold() for value in values for word in words)
    }


async def books(house: House) -> dict[str, list[tuple[Any, ...]]]:
    """Numbers, amounts and dates of what was billed, paid and given back, and every other row of the ledger.

    What was billed under the name of a subscription is billed under its plan's.
    """
    kept = ("invoices", "invoice_lines", "payments", "charge_attempts", "refunds", "ledger_entries", "credit_notes")
    blanked = {"metadata", "return_url", "error_url", "reference", "requested_by"}
    async with house.app.database.engine.connect() as connection:
        return {
            name: sorted(
                (
                    tuple(
                        value.replace(AGREED, "Classic Coffee, a year") if isinstance(value, str) else value
                        for column, value in row._mapping.items()
                        if column not in blanked
                    )
                    for row in await connection.execute(select(metadata().tables[name]))
                ),
                key=repr,
            )
            for name in kept
        }


async def live_through(house: House) -> str:
    """Everything that a person can leave behind: the customer's id. Its subscriptions have ended."""
    customer = await come_and_go(house)
    await by_hand(house, customer)
    await house.deliver()
    return customer


async def come_and_go(house: House) -> str:
    """What a person leaves behind by its own doing, of which nothing is published yet: the customer's id."""
    customer = (await said(house, PROFILE, {"input": OWN}))["customer"]["id"]
    await said(house, OF_STAFF, {"id": customer, "input": TOLD_BY_STAFF}, ADMIN)
    await said(house, SAVE, {})
    cards = []
    for reference in ("pm_card_visa", "pm_card_mastercard"):
        card = (await said(house, ATTACH, {"input": {"paymentMethodId": reference}}))["paymentMethod"]["id"]
        holder = {"cardHolderName": "C. Canary", "address": {"line1": "1 Canary Wharf", "city": "Canary"}}
        await said(house, HOLDER, {"input": {"paymentMethodId": card, **holder}})
        cards.append(card)
    await said(house, DETACH, {"id": cards[1]})
    wish = {
        "planCode": "premium-monthly",
        "name": "Canary's own",
        "paymentMethodId": cards[0],
        "returnUrl": "https://canary.example/paid",
        "errorUrl": "https://canary.example/unpaid",
        "metadata": {"for": "my canary"},
        "idempotencyKey": "canary-key",
    }
    bought = await said(house, SUBSCRIBE, {"input": wish})
    assert bought["payment"]["status"] == "SUCCEEDED"
    given_back = {"paymentId": bought["payment"]["id"], "reason": "OTHER", "idempotencyKey": "canary-refund"}
    half = {"amount": {"amount": "3.00", "currencyCode": "USD"}}
    await said(house, REFUND, {"input": {**given_back, **half}}, ADMIN)
    order = {"subscriptionId": bought["subscription"]["id"]}
    await said(house, CHANGE, {"input": {**order, "planCode": "premium-yearly", "effectiveAt": "PERIOD_END"}})
    await said(house, CANCEL, {"input": {**order, "effectiveAt": "NOW", "comment": "my canary died"}})
    return customer


async def by_hand(house: House, customer: str) -> None:
    """A subscription that the back office wrote down, used and paid, that has ended."""
    written = await write_down(
        house,
        customer={"id": customer},
        name=AGREED,
        periodStart="2026-01-01",
        periodEnd="2027-01-01",
        paymentReference="canary paid at the counter",
    )
    assert written["userErrors"] == []
    subscription = written["subscription"]["id"]
    key = await secret_of_key(house, "record_usage")
    consume = "mutation ($input: CreditInput!) { consumeCredits(input: $input) { userErrors { code } } }"
    used = {
        "subscriptionId": subscription,
        "unit": "classic_coffee",
        "quantity": 1,
        "reason": "a cup for canary",
        "idempotencyKey": "canary-cup",
    }
    assert await ask_with_key(house, key, consume, {"input": used}) == {"consumeCredits": {"userErrors": []}}
    ended = {"subscriptionId": subscription, "effectiveAt": "NOW"}
    await said(house, CANCEL, {"input": ended}, ADMIN)


async def test_nothing_tells_of_the_person_any_more_and_the_books_stay_to_the_cent(house: House) -> None:
    customer = await live_through(house)
    before, left = await books(house), await traces(house)
    # Else this test proves nothing: the person is all over the place.
    assert left >= {
        *(f"customers.{column}" for column in ("user_id", "email", "name", "addresses", "metadata", "birth_date")),
        *("changes.actor", "billing_events.payload", "payments.reference", "payments.return_url"),
        *("payment_methods.billing_details", "setup_intents.return_url", "subscriptions.metadata"),
        *("subscriptions.name", "subscriptions.cancellation_comment", "credit_entries.reason"),
        *("credit_entries.idempotency_key", "sandbox_objects.body", "sandbox_objects.lookup"),
        *("sandbox_idempotency.body", "payments.error_url", "setup_intents.error_url", "billing_events.snapshot"),
        *("invoice_lines.description", "invoice_lines.explanation_text"),
    }
    assert {column for column in left if column.startswith("audit_entries.")} == {"audit_entries.actor"}
    told = await forgotten(house, customer)
    assert told["userErrors"] == []
    await house.deliver()
    assert await traces(house) == set()
    assert await books(house) == before
    assert await house.audit() == []
    person = told["customer"]
    assert person["isArchived"] is True
    assert person["user"]["id"] == person["user"]["displayName"]
    assert person["user"]["id"].startswith("anonymous-")
    done = 'query ($who: String) { auditLog(actor: $who, action: "attachPaymentMethod") { nodes { actorRole kind } } }'
    own = await house.ask(done, {"who": person["user"]["id"]}, ADMIN)
    assert {(node["actorRole"], node["kind"]) for node in own["auditLog"]["nodes"]} == {
        ("CUSTOMER", "payment_methods"),
        ("CUSTOMER", "customers"),
    }
    cards = """query ($id: ID!) { customer(by: {id: $id}) {
      email addresses { line1 } paymentMethods { totalCount } defaultPaymentMethod { id } invoices { totalCount } } }"""
    assert await house.ask(cards, {"id": customer}, ADMIN) == {
        "customer": {
            "email": None,
            "addresses": [],
            "paymentMethods": {"totalCount": 0},
            "defaultPaymentMethod": None,
            "invoices": {"totalCount": 2},
        }
    }
    [account] = (
        await house.ask(
            "query ($id: ID!) { customer(by: {id: $id}) { gatewayAccounts { customerId } } }", {"id": customer}, ADMIN
        )
    )["customer"]["gatewayAccounts"]
    assert (await dashboard(house).customers.retrieve_async(account["customerId"])).deleted is True


async def test_a_card_is_not_known_again_by_its_number(small_house: House) -> None:
    customer = await live_through(small_house)

    async def cards() -> list[dict[str, Any]]:
        async with small_house.app.database.read() as session:
            methods = metadata().tables["payment_methods"]
            query = select(methods.c.card).where(methods.c.customer_id == customer)
            return list((await (await session.connection()).execute(query)).scalars().all())

    known = [(card["fingerprint"], card["raw"]["fingerprint"]) for card in await cards()]
    assert len(known) == 2
    assert None not in {each for pair in known for each in pair}
    await forgotten(small_house, customer)
    left = await cards()
    assert {(card["brand"], card["last4"]) for card in left} >= {("visa", "4242")}
    assert [str(card) for card in left if any(each in str(card) for pair in known for each in pair)] == []
    assert [(card["bin"], card["raw"]) for card in left] == [(None, {}), (None, {})]


async def test_repeating_it_changes_nothing(small_house: House) -> None:
    customer = await live_through(small_house)
    first = await forgotten(small_house, customer)
    await small_house.deliver()
    before = await everything(small_house.app)
    assert await forgotten(small_house, customer) == first
    await small_house.deliver()
    assert await everything(small_house.app) == before


async def test_the_same_user_comes_anew_as_somebody_else(small_house: House) -> None:
    customer = await live_through(small_house)
    await forgotten(small_house, customer)
    assert await small_house.ask("{ me { id } }", user=USER) == {"me": None}
    again = (await said(small_house, PROFILE, {"input": {"name": "Back"}}))["customer"]["id"]
    assert again != customer
    mine = await small_house.ask(
        "{ me { name hasUsedTrial subscriptions { totalCount } invoices { totalCount } } }", user=USER
    )
    nothing = {"totalCount": 0}
    assert mine["me"] == {"name": "Back", "hasUsedTrial": False, "subscriptions": nothing, "invoices": nothing}
    saved = await said(small_house, ATTACH, {"input": {"paymentMethodId": "pm_card_visa"}})
    bought = await said(
        small_house, SUBSCRIBE, {"input": {"planCode": "reader-pro", "paymentMethodId": saved["paymentMethod"]["id"]}}
    )
    assert bought["payment"]["status"] == "SUCCEEDED"


async def test_a_subscription_that_goes_on_must_be_canceled_first(house: House) -> None:
    customer = (await house.ask("{ me { id } }", user="demo-card"))["me"]["id"]
    bought = await said(house, SUBSCRIBE, {"input": {"planCode": "free"}}, "demo-card")
    at_the_end = {"subscriptionId": bought["subscription"]["id"], "effectiveAt": "PERIOD_END"}
    await said(house, CANCEL, {"input": at_the_end}, "demo-card")
    before = await everything(house.app)
    told = await forgotten(house, customer)
    assert told == {
        "customer": None,
        "userErrors": [
            {
                "code": "INVALID_STATE",
                "message": "A subscription goes on. Cancel it at once, then anonymize the customer.",
                "field": ["id"],
            }
        ],
    }
    assert await everything(house.app) == before
    await said(house, CANCEL, {"input": {**at_the_end, "effectiveAt": "NOW"}}, "demo-card")
    assert (await forgotten(house, customer))["userErrors"] == []


async def test_nothing_more_is_done_for_somebody_who_is_nobody(small_house: House) -> None:
    customer = await live_through(small_house)
    await forgotten(small_house, customer)
    await small_house.deliver()
    before = await everything(small_house.app)
    refused = [{"code": "INVALID_STATE", "field": ["customerId"]}]
    for document, input in (
        (SUBSCRIBE, {"planCode": "free", "customerId": customer}),
        (ATTACH, {"paymentMethodId": "pm_card_visa", "customerId": customer}),
    ):
        (payload,) = (
            await small_house.ask(document.replace("{ code }", "{ code field }"), {"input": input}, ADMIN)
        ).values()
        assert payload["userErrors"] == refused
    changed = (await small_house.ask(OF_STAFF, {"id": customer, "input": {"name": "Canary"}}, ADMIN))["updateCustomer"]
    assert changed["userErrors"] == [{"code": "INVALID_STATE", "field": ["id"]}]
    written = await write_down(small_house, customer={"id": customer}, subscriptionId="another")
    assert written["userErrors"] == [{"code": "INVALID_STATE", "field": ["customer"]}]
    assert await everything(small_house.app) == before


async def test_staff_still_lists_and_refunds_what_was_paid(small_house: House) -> None:
    customer = await live_through(small_house)
    await forgotten(small_house, customer)
    await small_house.deliver()
    listed = "query ($with: Boolean) { customers(filter: {includeArchived: $with}, first: 100) { nodes { id } } }"

    async def ids(**variables: Any) -> list[str]:
        return [node["id"] for node in (await small_house.ask(listed, variables, ADMIN))["customers"]["nodes"]]

    assert customer not in await ids()
    assert customer in await ids(**{"with": True})
    payments = "query ($id: ID) { payments(customerId: $id) { nodes { id platform } } }"
    nodes = (await small_house.ask(payments, {"id": customer}, ADMIN))["payments"]["nodes"]
    [card] = [node["id"] for node in nodes if node["platform"] == "SANDBOX"]
    rest = {"paymentId": card, "reason": "OTHER", "idempotencyKey": "rest"}
    await said(small_house, REFUND, {"input": rest}, ADMIN)
    await small_house.deliver()
    assert await small_house.audit() == []
    assert await traces(small_house) == set()


@pytest.mark.parametrize("fault", [Fault.ERROR_500_BEFORE, Fault.TIMEOUT_AFTER])
async def test_a_silent_gateway_forgets_later(small_house: House, fault: Fault) -> None:
    customer = await live_through(small_house)
    faults = sandbox_of(small_house).faults
    faults.at_rate(fault, 1.0, seed=0)
    assert (await forgotten(small_house, customer))["userErrors"] == []
    ours = {column for column in await traces(small_house) if not column.startswith("sandbox_")}
    assert ours == set()
    assert "sandbox_objects.body" in await traces(small_house)
    faults.clear()
    small_house.pass_time(timedelta(hours=2))
    await small_house.deliver()
    assert await traces(small_house) == set()
    assert await small_house.audit() == []


async def test_a_gateway_that_refuses_to_forget_is_asked_again(small_house: House) -> None:
    """Such as while its key may not delete."""
    customer = await live_through(small_house)

    async def refuse() -> None:
        raise GatewayRefused("the key may not do this")

    await anonymize_customer(just_before(small_house.app, "delete_customer", refuse), customer)
    assert "sandbox_objects.body" in await traces(small_house)
    small_house.pass_time(timedelta(hours=2))
    await small_house.deliver()
    assert await traces(small_house) == set()


async def test_news_of_a_card_that_come_late_bring_nothing_back(small_house: House) -> None:
    """The gateway tells of the card right before it is told to forget its owner."""
    customer = await live_through(small_house)

    async def news() -> None:
        async with small_house.app.database.read() as session:
            rows = await (await session.connection()).execute(metadata().tables["payment_methods"].select())
            (card,) = [row.gateway_ref for row in rows if row.customer_id == customer and row.card["last4"] == "4242"]
        holder = {"billing_details": {"name": "Canary again"}}
        await dashboard(small_house).payment_methods.update_async(card, holder)
        await small_house.deliver()

    await anonymize_customer(just_before(small_house.app, "delete_customer", news), customer)
    await small_house.deliver()
    assert await traces(small_house) == set()


async def test_endpoints_that_are_told_late_are_told_of_nobody(small_house: House) -> None:
    async with receiver() as own:
        own.status = 500
        await create_endpoint(small_house, own.url)
        customer = await live_through(small_house)
        assert any(CANARY in got.body.decode().casefold() for got in own.got)
        await forgotten(small_house, customer)
        own.status, before = 200, len(own.got)
        small_house.pass_time(timedelta(hours=1))
        await small_house.deliver()
        late = [got.body.decode().casefold() for got in own.got[before:]]
    assert len({got.headers["webhook-id"] for got in own.got[before:]}) == len(late) > 0
    assert [body for body in late if any(word in body for word in (CANARY, *OTHER_TRACES))] == []
    assert await traces(small_house) == set()


async def test_who_is_forgotten_before_events_are_published_is_nobody_in_them(house: House) -> None:
    customer = await come_and_go(house)

    async def forget() -> None:
        await anonymize_customer(house.app, customer)

    assert await publish_events(before_writing(house.app, forget)) > 0
    await house.deliver()
    assert await traces(house) == set()


async def test_who_is_forgotten_while_events_are_published_is_nobody_in_them(house: House) -> None:
    """Whoever publishes has read who it was, and has not committed yet."""
    customer = await come_and_go(house)
    async with house.app.database.write() as session:
        waiting = [event.id for event in await unpublished_events(session, limit=100)]
        events = await hold_unpublished(session, waiting)
        told = await snapshots_of(session, events)
        forgetting = asyncio.create_task(anonymize_customer(house.app, customer))
        await asyncio.sleep(0.3)
        for position, event in enumerate(events, 1):
            event.position, event.snapshot = position, told[event.id]
    await forgetting
    await house.deliver()
    assert await traces(house) == set()


async def test_what_somebody_of_the_staff_did_for_others_keeps_its_name(small_house: House) -> None:
    """Of an administrator who is a customer too, only what was done as the customer, or to its rows, is nobody's."""
    other = (await small_house.ask("{ me { id } }", user="demo-card"))["me"]["id"]
    made = "mutation ($input: CustomerInput!) { createCustomer(input: $input) { customer { id } userErrors { code } } }"
    own = (await said(small_house, made, {"input": {"userId": ADMIN}}, ADMIN))["customer"]["id"]
    await said(small_house, OF_STAFF, {"id": own, "input": {"name": "A"}}, ADMIN)
    await said(small_house, OF_STAFF, {"id": other, "input": {"name": "B"}}, ADMIN)
    await anonymize_customer(small_house.app, own)
    log = "query ($id: ID) { auditLog(subjectId: $id) { nodes { actor } } }"

    async def actors(id: str) -> set[str]:
        nodes = (await small_house.ask(log, {"id": id}, ADMIN))["auditLog"]["nodes"]
        return {node["actor"] for node in nodes}

    assert await actors(other) == {ADMIN}
    assert {actor.partition("-")[0] for actor in await actors(own)} == {"anonymous"}


async def test_who_is_forgotten_in_the_middle_of_subscribing_does_not_subscribe(small_house: House) -> None:
    owner = Actor(ActorKind.CUSTOMER, "demo-card")
    customer = await ensure_customer(small_house.app, owner)

    async def forget() -> None:
        await anonymize_customer(small_house.app, customer.id)

    with pytest.raises(UserProblem) as refused:
        await subscribe(before_writing(small_house.app, forget), owner, SubscribeWish(plan_code="free"))
    assert (refused.value.code, refused.value.field) == (ErrorCode.INVALID_STATE, ["customerId"])
    rows = await everything(small_house.app)
    assert (rows["subscriptions"], rows["live_places"]) == ([], [])


async def test_who_is_forgotten_while_the_gateway_meets_them_is_forgotten_there_too(small_house: House) -> None:
    """Nothing was known of them that the gateway could have been told, and still it shall not know them."""
    customer = await ensure_customer(small_house.app, Actor(ActorKind.CUSTOMER, "u-1"))

    async def forget() -> None:
        await anonymize_customer(small_house.app, customer.id)

    ref = await ensure_gateway_account(just_after(small_house.app, "create_customer", forget), customer)
    assert (await small_house.work())["told"] == 1
    assert (await dashboard(small_house).customers.retrieve_async(ref)).deleted is True


async def test_who_is_forgotten_while_a_card_is_about_to_be_saved_comes_back_to_nowhere(small_house: House) -> None:
    owner = Actor(ActorKind.CUSTOMER, "u-1")
    customer = await ensure_customer(small_house.app, owner)

    async def forget() -> None:
        await anonymize_customer(small_house.app, customer.id)

    app, back = just_after(small_house.app, "create_setup_intent", forget), "https://canary.example/back"
    await create_setup_intent(
        app,
        owner,
        usage=SetupFutureUsage.OFF_SESSION,
        return_url=back,
        error_url=back,
        customer_id=None,
        idempotency_key=None,
    )
    assert await traces(small_house) == set()


async def test_what_is_counted_once_stays_apart_without_saying_who(house: House) -> None:
    """Values that unique counts tell apart become numbers; keys of callers become our own."""
    customer = await live_through(house)
    async with house.app.database.read() as session:
        tables, connection = metadata().tables, await session.connection()
        subscription = (await connection.execute(select(tables["subscriptions"].c.id))).scalars().first()
    feature, now = "ftr_" + "0" * 32, house.clock.now()
    await add(house, "features", id=feature, code="seats", name="Seats", unit=None)
    for n, value in enumerate(("canary-a", "canary-b", "canary-a")):
        await add(
            house,
            "usage_records",
            id=f"usg_{n}",
            subscription_id=subscription,
            customer_id=customer,
            feature_id=feature,
            quantity=1,
            unique_value=value,
            occurred_at=now,
            idempotency_key=f"canary-{n}",
            input_hash="a hash of what is guessed easily",
            invoice_id=None,
            recorded_at=now,
        )
    await forgotten(house, customer)
    async with house.app.database.read() as session:
        usage = metadata().tables["usage_records"]
        query = select(usage.c.unique_value, usage.c.idempotency_key, usage.c.input_hash).order_by(usage.c.id)
        rows = (await (await session.connection()).execute(query)).all()
        entries = metadata().tables["credit_entries"]
        hashes = (await (await session.connection()).execute(select(entries.c.input_hash))).scalars().all()
    assert [tuple(row) for row in rows] == [("1", "usg_0", ""), ("2", "usg_1", ""), ("1", "usg_2", "")]
    assert set(hashes) == {None}
