"""Manual subscriptions told in years: paid at the counter, renewed, paused, over; and never a word to a gateway."""

from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import col, select

from billing.ledger import Account
from models.credits import CreditBalance, CreditEntry
from models.ledger import account_by_customer
from tests.scenarios.by_hand import DELETE, aed, record, renew, write_down
from tests.scenarios.merchant import do, done
from tests.scenarios.metering import USAGE, key_of, sell, tell
from tests.scenarios.orders import ADMIN, billed, life, pass_to, states, subscribe
from tests.schema.keys import ask_with_key, secret_of_key
from tests.support.house import House
from tests.support.outside import gateway_books
from tests.support.tables import everything

CUSTOMER = """query ($kid: String!) { customer(by: {externalId: $kid}) { id externalId user { id }
  subscription { id } gatewayAccounts { customerId } } }"""


async def _nothing_at_the_gateway(house: House) -> None:
    books = await gateway_books(house)
    assert not any(books.values()), books
    assert await house.audit() == []


async def _credits(house: House) -> dict[str, tuple[int, int, int]]:
    """By unit: granted, used, left."""
    async with house.app.database.read() as session:
        rows = (await session.exec(select(CreditBalance))).all()
    return {row.unit: (row.total_granted, row.total_used, row.remaining) for row in rows}


async def _entries(house: House, unit: str) -> list[tuple[str, int, int]]:
    async with house.app.database.read() as session:
        balance = (await session.exec(select(CreditBalance).where(CreditBalance.unit == unit))).one()
        query = select(CreditEntry).where(CreditEntry.balance_id == balance.id).order_by(col(CreditEntry.id))
        return [(row.kind.value, row.quantity, row.balance_after) for row in (await session.exec(query)).all()]


async def test_the_sources_own_example_is_kept_with_all_its_values(house: House) -> None:
    """It lies in the past: it has ended already."""
    told = await write_down(house)
    assert told["userErrors"] == []
    assert told["subscription"]["externalId"] == "subscription_givin_id"
    seen = await life(house, told["subscription"]["id"])
    assert (seen["origin"], seen["name"]) == ("MANUAL", "Installment Subscription")
    assert (seen["status"], seen["isActive"], seen["endedAt"]) == ("CANCELED", False, "2022-11-20T00:00:00Z")
    assert seen["cancellation"] == {"reason": "TERM_ENDED", "requestedBy": None}
    assert seen["currentPeriod"] == {"start": "2021-11-20T00:00:00Z", "end": "2022-11-20T00:00:00Z"}
    assert (seen["amount"]["formatted"], seen["totalPaid"]["formatted"]) == ("AED3,540.00", "AED3,540.00")
    assert billed(seen) == [("2021-11-20", "2022-11-20", "AED3,540.00", "PAID")]
    assert seen["invoices"]["nodes"][0]["payments"] == [
        {
            "platform": "MANUAL",
            "status": "SUCCEEDED",
            "gatewayPaymentId": "971525619098_2021-11-20_17--15--33",
            "amountPaid": {"formatted": "AED3,540.00"},
            "attempts": [],
        }
    ]
    assert await _credits(house) == {"classic_coffee": (365, 0, 365), "specialty_coffee": (365, 0, 365)}
    customer = (await house.ask(CUSTOMER, {"kid": "user_kid"}, ADMIN))["customer"]
    assert (customer["externalId"], customer["user"]["id"]) == ("user_kid", "user_kid")
    assert (customer["subscription"], customer["gatewayAccounts"]) == (None, [])
    assert await house.due() == {}


async def test_equal_days_have_ended_already_and_take_no_place(house: House) -> None:
    for number in range(2):
        told = await write_down(house, subscriptionId=f"sub_{number}", periodStart="2026-01-31", periodEnd="2026-01-31")
        assert (told["subscription"]["status"], told["subscription"]["isActive"]) == ("CANCELED", False)
    assert (await write_down(house, subscriptionId="sub_3", periodEnd="2026-11-20"))["userErrors"] == []
    await _nothing_at_the_gateway(house)


async def test_it_gives_access_for_its_days_in_the_customers_zone_and_ends(house: House) -> None:
    told = await write_down(house, periodStart="2025-11-20", periodEnd="2026-02-20")
    order = told["subscription"]["id"]
    running = await life(house, order)
    assert (running["status"], running["isActive"], running["nextBillingAt"]) == ("ACTIVE", True, None)
    assert running["endsAt"] == "2026-02-20T00:00:00Z"
    await pass_to(house, "2026-02-19T23:59:59Z")
    assert (await life(house, order))["isActive"] is True
    await pass_to(house, "2026-02-20T00:00:00Z")
    over = await life(house, order)
    assert (over["status"], over["isActive"], over["cancellation"]["reason"]) == ("CANCELED", False, "TERM_ENDED")
    assert billed(over) == [("2025-11-20", "2026-02-20", "AED3,540.00", "PAID")]
    await _nothing_at_the_gateway(house)


async def test_days_begin_at_midnight_where_the_customer_lives(house: House) -> None:
    create = """mutation { createCustomer(input: {userId: "zone", timezone: "Asia/Dubai"}) {
      customer { id } userErrors { code } } }"""
    await house.ask(create, user=ADMIN)
    told = await write_down(house, customer={"userId": "zone"}, periodStart="2026-01-01", periodEnd="2027-01-01")
    seen = await life(house, told["subscription"]["id"])
    assert seen["currentPeriod"] == {"start": "2025-12-31T20:00:00Z", "end": "2026-12-31T20:00:00Z"}


async def test_it_is_renewed_by_being_paid_again_before_its_end(house: House) -> None:
    told = await write_down(house, periodStart="2025-11-30", periodEnd="2026-02-28", interval="MONTH")
    order = told["subscription"]["id"]
    first = await renew(house, order, "march", payment={"amountPaid": aed("300.00"), "reference": "receipt 2"})
    assert (first["userErrors"], first["invoice"]["status"]) == ([], "PAID")
    again = await renew(house, order, "march", payment={"amountPaid": aed("300.00"), "reference": "receipt 2"})
    assert again["invoice"]["id"] == first["invoice"]["id"]
    custom = await renew(house, order, "spring", periodEnd="2026-06-15", payment={"amountPaid": aed("900.00")})
    assert custom["userErrors"] == []
    before = await life(house, order)
    assert before["currentPeriod"]["end"] == "2026-02-28T00:00:00Z"
    assert before["endsAt"] == "2026-06-15T00:00:00Z"
    await pass_to(house, "2026-02-28T00:00:00Z")
    assert (await life(house, order))["currentPeriod"] == {
        "start": "2026-02-28T00:00:00Z",
        "end": "2026-03-30T00:00:00Z",
    }
    await pass_to(house, "2026-04-01T00:00:00Z")
    during = await life(house, order)
    assert (during["status"], during["currentPeriod"]["end"]) == ("ACTIVE", "2026-06-15T00:00:00Z")
    await pass_to(house, "2026-06-15T00:00:00Z")
    over = await life(house, order)
    assert states(over) == ["ACTIVE", "CANCELED"]
    assert billed(over) == [
        ("2025-11-30", "2026-02-28", "AED3,540.00", "PAID"),
        ("2026-02-28", "2026-03-30", "AED300.00", "PAID"),
        ("2026-03-30", "2026-06-15", "AED900.00", "PAID"),
    ]
    assert over["totalPaid"]["formatted"] == "AED4,740.00"
    late = await renew(house, order, "summer", payment={"amountPaid": aed("300.00")})
    assert late["userErrors"] == [{"code": "INVALID_STATE", "field": ["subscriptionId"]}]
    await _nothing_at_the_gateway(house)


async def test_a_renewal_grants_credits_anew_unless_they_are_fixed(house: House) -> None:
    months: dict[str, Any] = {"periodStart": "2026-01-01", "periodEnd": "2026-03-01", "interval": "MONTH"}
    for fixed, product, plan in (
        (False, "loose", "classic-coffee-monthly"),
        (True, "fixed", "specialty-coffee-monthly"),
    ):
        told = await write_down(
            house,
            **months,
            subscriptionId=product,
            planCode=plan,
            isFixedCredit=fixed,
            credits=[{"unit": product, "daily": 2}],
        )
        assert told["userErrors"] == []
        await renew(house, told["subscription"]["id"], product, payment={"amountPaid": aed("50.00")})
    assert await _credits(house) == {"loose": (118, 0, 118), "fixed": (118, 0, 118)}
    assert await _entries(house, "loose") == [("grant", 118, 118), ("expire", -118, 0), ("grant", 118, 118)]
    assert await _entries(house, "fixed") == [("grant", 118, 118)]


MONTH: dict[str, Any] = {"periodStart": "2026-01-01", "periodEnd": "2026-03-01", "interval": "MONTH"}
CONSUME = """mutation ($i: CreditInput!) { consumeCredits(input: $i) {
  creditBalance { remaining } userErrors { code } } }"""
GRANT = "mutation ($i: CreditInput!) { grantCredits(input: $i) { userErrors { code } } }"


async def test_a_renewal_grants_what_was_agreed_on_and_not_what_was_given_beside_it(house: House) -> None:
    told = await write_down(house, **MONTH, credits=[{"unit": "cup", "total": 30}])
    for unit in ("cup", "sugar"):
        wish = {
            "subscriptionId": told["subscription"]["id"],
            "unit": unit,
            "quantity": 10,
            "idempotencyKey": unit,
        }
        assert (await house.ask(GRANT, {"i": wish}, ADMIN))["grantCredits"]["userErrors"] == []
    assert (await renew(house, told["subscription"]["id"], "one"))["userErrors"] == []
    assert await _credits(house) == {"cup": (30, 0, 30), "sugar": (10, 0, 10)}
    assert (await renew(house, told["subscription"]["id"], "two"))["userErrors"] == []
    assert await _credits(house) == {"cup": (30, 0, 30), "sugar": (10, 0, 10)}


async def test_credits_of_a_renewal_take_the_place_of_those_of_before(house: House) -> None:
    told = await write_down(house, **MONTH, credits=[{"unit": "cup", "total": 30}, {"unit": "bag", "total": 3}])
    subscription = told["subscription"]["id"]
    twice = await renew(house, subscription, "twice", credits=[{"unit": "bag", "total": 1}] * 2)
    assert twice["userErrors"] == [{"code": "INVALID", "field": ["credits"]}]
    assert await _credits(house) == {"cup": (30, 0, 30), "bag": (3, 0, 3)}
    credits = [{"unit": "bag", "total": 5}, {"unit": "tea", "total": 7}]
    assert (await renew(house, subscription, "other", credits=credits))["userErrors"] == []
    assert await _credits(house) == {"cup": (0, 0, 0), "bag": (5, 0, 5), "tea": (7, 0, 7)}
    assert (await renew(house, subscription, "as before"))["userErrors"] == []
    assert await _credits(house) == {"cup": (0, 0, 0), "bag": (5, 0, 5), "tea": (7, 0, 7)}


async def test_fixed_credits_that_a_renewal_names_come_on_top(house: House) -> None:
    told = await write_down(house, **MONTH, isFixedCredit=True, credits=[{"unit": "cup", "total": 30}])
    subscription = told["subscription"]["id"]
    assert (await renew(house, subscription, "more", credits=[{"unit": "cup", "total": 5}]))["userErrors"] == []
    assert await _credits(house) == {"cup": (35, 0, 35)}
    assert (await renew(house, subscription, "as before"))["userErrors"] == []
    assert await _credits(house) == {"cup": (35, 0, 35)}


async def test_credits_that_ended_with_their_time_are_granted_anew_for_the_next(house: House) -> None:
    ends = "2026-03-01T00:00:00Z"
    told = await write_down(house, **MONTH, credits=[{"unit": "cup", "total": 30, "expiresAt": ends}])
    subscription = told["subscription"]["id"]
    assert (await renew(house, subscription, "next"))["userErrors"] == []
    await pass_to(house, "2026-03-02T00:00:00Z")
    look = "query ($id: ID!) { subscription(id: $id) { creditBalances { remaining expiresAt isExhausted } } }"
    assert (await house.ask(look, {"id": subscription}, ADMIN))["subscription"]["creditBalances"] == [
        {"remaining": 30, "expiresAt": None, "isExhausted": False}
    ]


@pytest.mark.parametrize("is_fixed", [True, False])
async def test_what_is_granted_after_an_end_can_be_used_and_what_had_ended_stays_so(
    house: House, is_fixed: bool
) -> None:
    ended = {"unit": "cup", "total": 30, "expiresAt": "2026-02-10T00:00:00Z"}
    told = await write_down(house, **MONTH, isFixedCredit=is_fixed, credits=[ended])
    subscription = told["subscription"]["id"]
    await pass_to(house, "2026-02-11T00:00:00Z")
    wish = {"subscriptionId": subscription, "unit": "cup", "quantity": 4, "idempotencyKey": "sorry"}
    given = await done(house, "grantCredits", "CreditInput", wish, "creditBalance { remaining expiresAt }")
    assert given["creditBalance"] == {"remaining": 4, "expiresAt": None}
    assert await _entries(house, "cup") == [("grant", 30, 30), ("expire", -30, 0), ("grant", 4, 4)]
    wish = {**wish, "quantity": 3, "idempotencyKey": "drunk"}
    key = await secret_of_key(house, "record_usage")
    used = await ask_with_key(house, key, CONSUME, {"i": wish})
    assert used["consumeCredits"] == {"creditBalance": {"remaining": 1}, "userErrors": []}
    assert (await renew(house, subscription, "next"))["userErrors"] == []
    assert await _credits(house) == {"cup": (4, 3, 1) if is_fixed else (30, 0, 30)}


async def test_out_of_credits_starts_with_none_left(house: House) -> None:
    await write_down(house, isOutOfCredits=True)
    assert await _credits(house) == {"classic_coffee": (365, 365, 0), "specialty_coffee": (365, 365, 0)}
    assert await _entries(house, "classic_coffee") == [("grant", 365, 365), ("adjust", -365, 0)]


async def test_one_that_is_not_active_is_paused_and_ends_all_the_same(house: House) -> None:
    told = await write_down(house, isActive=False, periodStart="2026-01-01", periodEnd="2026-02-10")
    assert (told["subscription"]["status"], told["subscription"]["isActive"]) == ("PAUSED", False)
    await pass_to(house, "2026-02-10T00:00:00Z")
    assert (await life(house, told["subscription"]["id"]))["status"] == "CANCELED"
    await _nothing_at_the_gateway(house)


@pytest.mark.parametrize("act", ["resumeSubscription", "pauseSubscription"])
async def test_what_was_written_down_as_not_active_is_not_the_customers_to_open(small_house: House, act: str) -> None:
    """Neither at once nor by saying until when: nothing of it is paid."""
    owed = {"amountDue": aed("3540.00"), "amountPaid": aed("0.00")}
    told = await write_down(small_house, isActive=False, periodEnd="2027-01-01", payment=owed, paymentReference=None)
    wish: dict[str, Any] = {"subscriptionId": told["subscription"]["id"]}
    if act == "pauseSubscription":
        wish["until"] = "2026-02-01T00:00:00Z"
    name = f"{act[0].upper()}{act[1:]}"
    before = await everything(small_house.app)
    refused = await do(small_house, act, f"{name}Input", wish, "subscription { isActive }", user="user_kid")
    assert (refused["subscription"], [(each["code"], each["field"]) for each in refused["userErrors"]]) == (
        None,
        [("NOT_PERMITTED", ["subscriptionId"])],
    )
    query = f"query ($i: {name}Input!) {{ preview{name}(input: $i) {{ userErrors {{ code }} }} }}"
    preview = await small_house.ask(query, {"i": wish}, "user_kid")
    assert preview == {f"preview{name}": {"userErrors": [{"code": "NOT_PERMITTED"}]}}
    assert await everything(small_house.app) == before
    opened = await done(small_house, act, f"{name}Input", wish, "subscription { isActive }")
    assert opened["subscription"] == {"isActive": act == "resumeSubscription"}


async def test_a_pause_of_its_own_a_customer_may_end(small_house: House) -> None:
    told = await write_down(small_house, periodEnd="2027-01-01")
    wish = {"subscriptionId": told["subscription"]["id"]}
    for act, is_active in (("pauseSubscription", False), ("resumeSubscription", True)):
        name = f"{act[0].upper()}{act[1:]}Input"
        seen = await done(small_house, act, name, wish, "subscription { isActive }", user="user_kid")
        assert seen["subscription"] == {"isActive": is_active}


async def test_one_to_come_waits_for_its_first_day(house: House) -> None:
    told = await write_down(house, periodStart="2026-02-10", periodEnd="2027-02-10")
    order = told["subscription"]["id"]
    assert (told["subscription"]["status"], told["invoice"]["status"]) == ("SCHEDULED", "PAID")
    await pass_to(house, "2026-02-10T00:00:00Z")
    begun = await life(house, order)
    assert (begun["status"], begun["isActive"]) == ("ACTIVE", True)
    assert states(begun) == ["SCHEDULED", "INCOMPLETE", "ACTIVE"]
    await _nothing_at_the_gateway(house)


async def test_instalments_are_recorded_one_by_one_and_too_much_is_the_customers(house: House) -> None:
    told = await write_down(
        house, periodEnd="2026-11-20", payment={"amountDue": aed("3540.00"), "amountPaid": aed("1000.00")}
    )
    invoice = told["invoice"]["id"]
    assert (told["invoice"]["status"], told["invoice"]["amountDue"]["formatted"]) == ("OPEN", "AED2,540.00")
    second = await record(house, invoice, "second", "1000.00", "AED", reference="receipt 2", amountDue=aed("2540.00"))
    assert second["userErrors"] == []
    assert second["payment"]["gatewayPaymentId"] == "receipt 2"
    assert second["payment"]["paidOutOfBand"] is True
    assert second["invoice"]["amountDue"]["formatted"] == "AED1,540.00"
    same = await record(house, invoice, "second", "1000.00", "AED", reference="receipt 2", amountDue=aed("2540.00"))
    assert same["payment"]["id"] == second["payment"]["id"]
    other = await record(house, invoice, "second", "1100.00", "AED")
    assert other["userErrors"] == [{"code": "IDEMPOTENCY_CONFLICT", "field": ["idempotencyKey"]}]
    house.machine.advance(timedelta(days=31))  # The key is forgotten; the money that it booked is not.
    other = await record(house, invoice, "second", "1100.00", "AED")
    assert other["userErrors"] == [{"code": "IDEMPOTENCY_CONFLICT", "field": ["idempotencyKey"]}]
    last = await record(house, invoice, "third", "1600.00", "AED", paidAt="2026-01-15T12:00:00Z")
    assert (last["invoice"]["status"], last["invoice"]["amountPaid"]["formatted"]) == ("PAID", "AED3,540.00")
    done = await record(house, invoice, "fourth", "1.00", "AED")
    assert done["userErrors"] == [{"code": "ALREADY_PAID", "field": ["invoiceId"]}]
    async with house.app.database.read() as session:
        offline = await account_by_customer(session, Account.OFFLINE)
        balance = await account_by_customer(session, Account.CUSTOMER_BALANCE)
    assert (list(offline.values()), list(balance.values())) == ([360000], [-6000])
    seen = await life(house, told["subscription"]["id"])
    assert [each["amountPaid"]["formatted"] for each in seen["invoices"]["nodes"][0]["payments"]] == [
        "AED1,000.00",
        "AED1,000.00",
        "AED1,600.00",
    ]
    await _nothing_at_the_gateway(house)


REFUSED: dict[str, tuple[dict[str, Any], str, list[str] | None]] = {
    "no such plan": ({"planCode": "tea"}, "NOT_FOUND", ["planCode"]),
    "no plan": ({"planCode": None}, "REQUIRED", ["planId"]),
    "a plan named twice": ({"planId": "pln_0"}, "REQUIRED", ["planId"]),
    "days in the wrong order": ({"periodEnd": "2021-11-19"}, "INVALID", ["periodEnd"]),
    "money that the plan does not know": (
        {"payment": {"amountPaid": {"amount": "1.00", "currencyCode": "USD"}}},
        "CURRENCY_UNSUPPORTED",
        ["payment"],
    ),
    "two currencies": (
        {"payment": {"amountPaid": aed("1.00"), "amountDue": {"amount": "1.00", "currencyCode": "USD"}}},
        "CURRENCY_MISMATCH",
        ["payment"],
    ),
    "money to come": (
        {"payment": {"amountPaid": aed("1.00"), "paidAt": "2027-01-01T00:00:00Z"}},
        "INVALID",
        ["payment"],
    ),
    "too long a reference": (
        {"payment": {"amountPaid": aed("1.00"), "reference": "x" * 256}},
        "INVALID",
        ["payment", "reference"],
    ),
    "a reference of nothing": ({"payment": None}, "INVALID", ["paymentReference"]),
    "two references": (
        {"payment": {"amountPaid": aed("1.00"), "reference": "another"}},
        "INVALID",
        ["paymentReference"],
    ),
    "two ids": ({"externalId": "another"}, "INVALID", ["subscriptionId"]),
    "a unit twice": ({"credits": [{"unit": "cup", "total": 1}, {"unit": "cup", "total": 2}]}, "INVALID", ["credits"]),
    "no number": ({"credits": [{"unit": "cup"}]}, "REQUIRED", ["credits"]),
    "less than nothing": ({"credits": [{"unit": "cup", "total": -1}]}, "INVALID", ["credits"]),
    "an unknown customer of ours": ({"customer": {"id": "cst_0"}}, "NOT_FOUND", ["customer"]),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_cannot_have_been_agreed_on_is_refused(small_house: House, case: str) -> None:
    changes, code, field = REFUSED[case]
    told = await write_down(small_house, **changes)
    assert told == {"subscription": None, "invoice": None, "userErrors": [{"code": code, "field": field}]}


async def test_a_day_that_no_calendar_holds_is_refused(small_house: House) -> None:
    """In Pago Pago the year 1 began before it did in UTC; and after 9999 no year follows."""
    make = """mutation { createCustomer(input: {userId: "tui", timezone: "Pacific/Pago_Pago"}) {
      userErrors { code } } }"""
    assert (await small_house.ask(make, user=ADMIN))["createCustomer"]["userErrors"] == []
    wish = {"customer": {"userId": "tui"}, "payment": None, "paymentReference": None, "credits": None}
    for field, days in (
        ("periodStart", {"periodStart": "0001-01-01"}),
        ("periodEnd", {"periodStart": "0001-01-02", "periodEnd": "0001-01-01"}),
    ):
        told = await write_down(small_house, **wish, **days)
        assert (told["subscription"], told["userErrors"]) == (None, [{"code": "INVALID", "field": [field]}])
    told = await write_down(small_house, **wish, periodEnd="9999-12-31")
    assert (told["subscription"]["status"], told["userErrors"]) == ("ACTIVE", [])
    refused = await renew(small_house, told["subscription"]["id"], "for ever")
    assert refused == {
        "subscription": None,
        "invoice": None,
        "userErrors": [{"code": "INVALID", "field": ["periodEnd"]}],
    }


async def test_an_id_is_taken_once_and_a_product_held_once(house: House) -> None:
    assert (await write_down(house, periodEnd="2026-11-20"))["userErrors"] == []
    taken = await write_down(house, periodEnd="2026-11-20", customer={"userId": "another"})
    assert taken["userErrors"] == [{"code": "ALREADY_EXISTS", "field": ["externalId"]}]
    held = await write_down(house, periodEnd="2026-11-20", subscriptionId="second")
    assert [error["code"] for error in held["userErrors"]] == ["ALREADY_SUBSCRIBED"]
    bought = await subscribe(house, "user_kid", planCode="classic-coffee-monthly")
    assert bought["userErrors"] == [{"code": "ALREADY_SUBSCRIBED", "field": None}]
    await _nothing_at_the_gateway(house)


async def test_one_key_writes_one_down(house: House) -> None:
    first = await write_down(house, idempotencyKey="counter-1")
    again = await write_down(house, idempotencyKey="counter-1")
    assert again == first
    other = await write_down(house, idempotencyKey="counter-1", name="Another")
    assert other["userErrors"] == [{"code": "IDEMPOTENCY_CONFLICT", "field": ["idempotencyKey"]}]


async def test_without_a_payment_it_is_a_gift(house: House) -> None:
    told = await write_down(house, periodEnd="2026-11-20", payment=None, paymentReference=None)
    assert told["subscription"]["isActive"] is True
    assert billed(await life(house, told["subscription"]["id"])) == [("2021-11-20", "2026-11-20", "AED0.00", "PAID")]


async def test_one_that_is_taken_back_is_over_and_its_open_invoice_void(house: House) -> None:
    nothing_yet = {"amountDue": aed("3540.00"), "amountPaid": aed("0.00")}
    told = await write_down(house, periodEnd="2026-11-20", payment=nothing_yet, paymentReference=None)
    order = told["subscription"]["id"]
    assert told["invoice"]["status"] == "OPEN"
    gone = (await house.ask(DELETE, {"id": order}, ADMIN))["deleteManualSubscription"]
    assert (gone["subscription"]["status"], gone["userErrors"]) == ("CANCELED", [])
    assert (await house.ask(DELETE, {"id": order}, ADMIN))["deleteManualSubscription"] == gone
    seen = await life(house, order)
    assert (seen["invoices"]["nodes"][0]["status"], seen["cancellation"]["requestedBy"]) == ("VOID", "ADMIN")
    assert (await write_down(house, subscriptionId="anew", periodEnd="2026-11-20"))["userErrors"] == []
    await _nothing_at_the_gateway(house)


async def test_of_one_that_is_taken_back_what_is_unpaid_is_asked_for_no_more(house: House) -> None:
    """An instalment has come: what was still to come is void, the books keep what came."""
    part = {"amountDue": aed("3540.00"), "amountPaid": aed("1000.00")}
    told = await write_down(house, periodEnd="2026-11-20", payment=part)
    order = told["subscription"]["id"]
    assert (told["invoice"]["status"], told["invoice"]["amountDue"]["formatted"]) == ("OPEN", "AED2,540.00")
    gone = (await house.ask(DELETE, {"id": order}, ADMIN))["deleteManualSubscription"]
    assert (gone["subscription"]["status"], gone["userErrors"]) == ("CANCELED", [])
    seen = await life(house, order)
    assert (seen["invoices"]["nodes"][0]["status"], seen["totalPaid"]["formatted"]) == ("VOID", "AED1,000.00")
    async with house.app.database.read() as session:
        assert list((await account_by_customer(session, Account.RECEIVABLE)).values()) == [0]
        assert list((await account_by_customer(session, Account.OFFLINE)).values()) == [100000]
    await _nothing_at_the_gateway(house)


@pytest.mark.parametrize("end", [{}, {"effectiveAt": "AT_DATE", "date": "2026-10-01T00:00:00Z"}])
async def test_what_would_end_before_it_is_not_renewed(house: House, end: dict[str, Any]) -> None:
    """Else what was paid for the next year would end with this one."""
    told = await write_down(house, periodStart="2025-11-20", periodEnd="2026-11-20")
    order = told["subscription"]["id"]
    await done(house, "cancelSubscription", "CancelSubscriptionInput", {"subscriptionId": order, **end}, "__typename")
    before = await everything(house.app)
    refused = await renew(house, order, "next", payment={"amountPaid": aed("3540.00")})
    assert refused["userErrors"] == [{"code": "INVALID_STATE", "field": ["subscriptionId"]}]
    assert await everything(house.app) == before
    await done(house, "uncancelSubscription", "UncancelSubscriptionInput", {"subscriptionId": order}, "__typename")
    renewed = await renew(house, order, "next", payment={"amountPaid": aed("3540.00")})
    assert (renewed["userErrors"], renewed["invoice"]["status"]) == ([], "PAID")
    await pass_to(house, "2026-11-20T00:00:00Z")
    assert (await life(house, order))["isActive"] is True


async def test_what_is_used_is_in_the_price_that_was_agreed_on(house: House) -> None:
    """A plan that is metered in the shop: neither its own price nor what was agreed on is asked for each unit."""
    await sell(house, "api", prices=[{"currencyCode": "AED", "unitAmountDecimal": "0.01"}])
    price = {"amountDue": aed("100.00"), "amountPaid": aed("100.00")}
    told = await write_down(house, planCode="api", periodStart="2026-01-01", periodEnd="2026-03-01", payment=price)
    order = told["subscription"]["id"]
    assert (await tell(house, await key_of(house), {"subscriptionId": order, "quantity": "5"}))["accepted"] == 1
    seen = (await house.ask(USAGE, {"id": order}, ADMIN))["subscription"]["usage"]
    assert [(each["quantity"], each["amount"]["amount"]) for each in seen] == [("5", "0.00")]
    await pass_to(house, "2026-03-01T00:00:00Z")
    ended = await life(house, order)
    assert (ended["status"], billed(ended)) == ("CANCELED", [("2026-01-01", "2026-03-01", "AED100.00", "PAID")])
    await _nothing_at_the_gateway(house)


async def test_only_manual_ones_are_renewed_and_deleted_by_hand(house: House) -> None:
    bought = await subscribe(house, "demo-new", planCode="free")
    order = bought["subscription"]["id"]
    renewed = await renew(house, order, "key")
    assert renewed["userErrors"] == [{"code": "INVALID_STATE", "field": ["subscriptionId"]}]
    deleted = (await house.ask(DELETE, {"id": order}, ADMIN))["deleteManualSubscription"]
    assert deleted["userErrors"] == [{"code": "INVALID_STATE", "field": ["id"]}]
    assert (await life(house, order))["status"] == "ACTIVE"


ACTS: dict[str, tuple[str, dict[str, Any]]] = {
    "another plan at once": ("ChangePlan", {"planCode": "specialty-coffee-monthly", "effectiveAt": "NOW"}),
    "another plan at a date": (
        "ChangePlan",
        {"planCode": "specialty-coffee-monthly", "effectiveAt": "AT_DATE", "date": "2026-03-01T00:00:00Z"},
    ),
    "more of it": ("UpdateSubscription", {"items": [{"planCode": "classic-coffee-yearly", "quantity": 3}]}),
    "a coupon": ("ApplyCoupon", {"couponCode": "HALF"}),
}


@pytest.mark.parametrize("user", ["user_kid", ADMIN])
@pytest.mark.parametrize("act", ACTS)
async def test_what_was_agreed_on_is_not_changed_at_the_prices_of_the_shop(
    small_house: House, act: str, user: str
) -> None:
    """What was paid by hand would count for nothing, and the customer would have more of it without paying."""
    half = {"code": "HALF", "percentOff": "50"}
    await done(small_house, "createCoupon", "CouponInput", half, "coupon { id }")
    told = await write_down(small_house, periodStart="2025-11-20", periodEnd="2026-11-20")
    name, wish = ACTS[act]
    given = {"subscriptionId": told["subscription"]["id"], **wish}
    before = await everything(small_house.app)
    refused = await do(small_house, f"{name[0].lower()}{name[1:]}", f"{name}Input", given, "__typename", user=user)
    assert [(each["code"], each["field"]) for each in refused["userErrors"]] == [("INVALID_STATE", ["subscriptionId"])]
    query = f"query ($i: {name}Input!) {{ preview{name}(input: $i) {{ userErrors {{ code }} }} }}"
    preview = await small_house.ask(query, {"i": given}, user)
    assert preview == {f"preview{name}": {"userErrors": [{"code": "INVALID_STATE"}]}}
    assert await everything(small_house.app) == before


async def test_what_is_used_of_a_metered_plan_costs_what_was_agreed_on(small_house: House) -> None:
    """100.00 for the month, whatever is used: it is measured, and no invoice asks for it."""
    house = small_house
    await sell(house, "api")
    paid = {"amountPaid": {"amount": "100.00", "currencyCode": "USD"}}
    days = {"interval": "MONTH", "periodStart": "2026-01-31", "periodEnd": "2026-02-28"}
    told = await write_down(house, planCode="api", payment=paid, credits=None, **days)
    order = told["subscription"]["id"]
    await pass_to(house, "2026-02-10T00:00:00+00:00")
    assert (await tell(house, await key_of(house), {"subscriptionId": order, "quantity": "500"}))["accepted"] == 1
    [meter] = (await house.ask(USAGE, {"id": order}, ADMIN))["subscription"]["usage"]
    assert (meter["quantity"], meter["amount"]) == ("500", {"amount": "0.00"})
    upcoming = "query ($id: ID!) { subscription(id: $id) { upcomingInvoices(first: 2) { at } } }"
    assert (await house.ask(upcoming, {"id": order}, ADMIN))["subscription"]["upcomingInvoices"] == []
    await pass_to(house, "2026-03-01T00:00:00+00:00")
    over = await life(house, order)
    assert (over["status"], billed(over)) == ("CANCELED", [("2026-01-31", "2026-02-28", "$100.00", "PAID")])
    await _nothing_at_the_gateway(house)
