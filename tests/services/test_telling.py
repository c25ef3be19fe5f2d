"""What the gateway is told of a customer: afterwards, again while it does not answer, and only what it has to know."""

from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import select

from gateways.sandbox import Fault
from models.customers import GatewayAccount
from services.app import Actor, ActorKind
from services.people.customers import ensure_customer, ensure_gateway_account
from services.people.profiles import CustomerChange, update_customer
from services.people.telling import tell_gateway_of_customers
from tests.support.house import House
from tests.support.meanwhile import just_after, just_before
from tests.support.outside import dashboard, sandbox_of

PROFILE = """mutation ($input: CustomerInput!) { updateProfile(input: $input) {
  customer { id name gatewayAccounts { customerId } } userErrors { code field } } }"""
SAVE = "mutation { createSetupIntent { setupIntent { status } userErrors { code } } }"
HOME = {"line1": "Unter den Linden 1", "city": "Berlin", "postalCode": "10117", "countryCode": "DE"}
AT_THE_GATEWAY = {
    "line1": "Unter den Linden 1",
    "line2": None,
    "city": "Berlin",
    "state": None,
    "postal_code": "10117",
    "country": "DE",
}


async def say(house: House, **facts: Any) -> dict[str, Any]:
    told = (await house.ask(PROFILE, {"input": facts}, "u-1"))["updateProfile"]
    assert told["userErrors"] == []
    return told["customer"]


async def known(house: House) -> dict[str, Any]:
    """u-1 as the gateway knows it."""
    account = (await house.ask("{ me { gatewayAccounts { customerId } } }", user="u-1"))["me"]["gatewayAccounts"][0]
    body = (await dashboard(house).customers.retrieve_async(account["customerId"])).to_dict()
    return {name: body[name] for name in ("name", "email", "phone", "address")}


async def due(house: House) -> list[bool]:
    """Of the accounts that were ever told of again: whether they are to be."""
    async with house.app.database.read() as session:
        accounts = (await session.exec(select(GatewayAccount).where(GatewayAccount.fence > 0))).all()
        return [account.due_at is not None for account in accounts]


@pytest.fixture
async def acquainted(house: House) -> House:
    """u-1, Ada, is known to the gateway."""
    await say(house, firstName="Ada", lastName="Lovelace", email="ada@example.com", addresses=[HOME])
    assert (await house.ask(SAVE, user="u-1"))["createSetupIntent"]["userErrors"] == []
    return house


async def test_whoever_comes_to_the_gateway_is_introduced_as_what_is_known(acquainted: House) -> None:
    assert await known(acquainted) == {
        "name": "Ada Lovelace",
        "email": "ada@example.com",
        "phone": None,
        "address": AT_THE_GATEWAY,
    }


async def test_a_change_reaches_the_gateway_at_once_and_what_is_cleared_is_cleared_there(acquainted: House) -> None:
    await say(acquainted, name="Countess", phone="030 1", email="new@example.com")
    assert await known(acquainted) == {
        "name": "Countess",
        "email": "new@example.com",
        "phone": "030 1",
        "address": AT_THE_GATEWAY,
    }
    await say(acquainted, **dict.fromkeys(("name", "firstName", "lastName", "phone", "email", "addresses")))
    assert await known(acquainted) == dict.fromkeys(("name", "email", "phone", "address"))


async def test_what_is_not_for_the_gateway_is_not_told(acquainted: House) -> None:
    faults = sandbox_of(acquainted).faults
    faults.at_rate(Fault.ERROR_500_BEFORE, 1.0, seed=0)
    await say(acquainted, region="Berlin", locale="de", birthDate="1990-01-01", onboarded=True)
    assert await due(acquainted) == []


@pytest.mark.parametrize("fault", [Fault.ERROR_500_BEFORE, Fault.TIMEOUT_BEFORE, Fault.TIMEOUT_AFTER])
async def test_a_silent_gateway_loses_nothing_and_is_told_by_the_worker_later(acquainted: House, fault: Fault) -> None:
    faults = sandbox_of(acquainted).faults
    faults.at_rate(fault, 1.0, seed=0)
    assert (await say(acquainted, name="Countess"))["name"] == "Countess"
    assert await due(acquainted) == [True]
    assert (await acquainted.work())["told"] == 0  # It was asked this very moment.
    acquainted.pass_time(timedelta(seconds=25))
    assert (await acquainted.work())["told"] == 1
    assert await due(acquainted) == [True]
    faults.clear()
    acquainted.pass_time(timedelta(hours=2))
    assert (await acquainted.work())["told"] == 1
    assert (await known(acquainted))["name"] == "Countess"
    assert await due(acquainted) == [False]
    assert (await acquainted.work())["told"] == 0


async def test_what_the_gateway_refuses_is_kept_here_and_not_said_forever(acquainted: House) -> None:
    account = (await acquainted.ask("{ me { gatewayAccounts { customerId } } }", user="u-1"))["me"]
    await dashboard(acquainted).customers.delete_async(account["gatewayAccounts"][0]["customerId"])
    assert (await say(acquainted, name="Countess"))["name"] == "Countess"
    assert await due(acquainted) == [False]


async def test_a_change_in_the_middle_of_telling_is_told_too(acquainted: House) -> None:
    customer = (await acquainted.ask("{ me { id } }", user="u-1"))["me"]["id"]

    async def change() -> None:
        await update_customer(acquainted.app, customer, CustomerChange({"name": "Second"}), expected_version=None)

    for moment in (just_before, just_after):
        app = moment(acquainted.app, "update_customer", change)
        await update_customer(app, customer, CustomerChange({"name": "First"}), expected_version=None)
        await tell_gateway_of_customers(acquainted.app)
        assert (await known(acquainted))["name"] == "Second"
        assert await due(acquainted) == [False]


async def test_a_change_while_the_gateway_meets_the_customer_is_told_next(house: House) -> None:
    customer = await ensure_customer(house.app, Actor(ActorKind.CUSTOMER, "u-1", name="First"))

    async def change() -> None:
        await update_customer(house.app, customer.id, CustomerChange({"name": "Second"}), expected_version=None)

    await ensure_gateway_account(just_after(house.app, "create_customer", change), customer)
    assert (await known(house))["name"] == "First"
    assert await tell_gateway_of_customers(house.app) == 1
    assert (await known(house))["name"] == "Second"


async def test_changing_somebody_whom_no_gateway_knows_asks_none(house: House) -> None:
    sandbox_of(house).faults.at_rate(Fault.ERROR_500_BEFORE, 1.0, seed=0)
    await say(house, name="Ada")
    assert (await house.work())["told"] == 0
