"""The organization's policies over HTTP: what is in force, changing it, and what is refused."""

import asyncio
from typing import Any

import pytest

from tests.support.house import House

ADMIN = "demo-admin"
DUNNING = "dunning { retryAfterDays stopOnDeclineCodes finalAction trialEndAction gracePeriodDays }"
READ = f"{{ organization {{ id name timezone version {DUNNING} }} }}"
UPDATE = f"""mutation ($input: DunningPolicyInput!) {{ updateDunningPolicy(input: $input) {{
  organization {{ version {DUNNING} }} userErrors {{ code field message }} }} }}"""
AT_FIRST = {
    "retryAfterDays": [2, 7, 14, 21],
    "stopOnDeclineCodes": [],
    "finalAction": "CANCEL",
    "trialEndAction": "PAST_DUE",
    "gracePeriodDays": 7,
}


async def _update(house: House, **given: Any) -> dict[str, Any]:
    return (await house.ask(UPDATE, {"input": given}, ADMIN))["updateDunningPolicy"]


async def test_the_policy_that_is_in_force_before_anybody_changed_it(house: House) -> None:
    assert await house.ask(READ, user=ADMIN) == {
        "organization": {
            "id": "organization",
            "name": "Perennial",
            "timezone": "UTC",
            "version": 1,
            "dunning": AT_FIRST,
        }
    }


async def test_what_is_given_is_changed_and_the_rest_stays(house: House) -> None:
    told = await _update(house, retryAfterDays=[1, 3], finalAction="UNPAID")
    changed = {**AT_FIRST, "retryAfterDays": [1, 3], "finalAction": "UNPAID"}
    assert told == {"organization": {"version": 2, "dunning": changed}, "userErrors": []}
    again = await _update(house, retryAfterDays=[1, 3])
    assert again["organization"]["version"] == 2
    told = await _update(house, stopOnDeclineCodes=["lost", "do_not_honor", "lost"], gracePeriodDays=0)
    changed = {**changed, "stopOnDeclineCodes": ["do_not_honor", "lost"], "gracePeriodDays": 0}
    assert told["organization"] == {"version": 3, "dunning": changed}
    told = await _update(house, trialEndAction="PAUSE")
    assert (await house.ask(READ, user=ADMIN))["organization"]["dunning"] == {**changed, "trialEndAction": "PAUSE"}


NAME = """mutation ($name: String!, $version: Int) {
  updateOrganization(input: {name: $name, expectedVersion: $version}) {
    organization { name version } userErrors { code } } }"""


async def test_of_many_first_changes_at_once_each_is_made_and_one_holds_the_version_that_all_have_seen(
    house: House,
) -> None:
    told = await asyncio.gather(*(_update(house, gracePeriodDays=days) for days in range(1, 7)))
    assert [each["userErrors"] for each in told] == [[]] * 6
    assert sorted(each["organization"]["version"] for each in told) == [2, 3, 4, 5, 6, 7]
    named = await asyncio.gather(*(house.ask(NAME, {"name": f"Shop {n}", "version": 7}, ADMIN) for n in range(6)))
    codes = [[error["code"] for error in each["updateOrganization"]["userErrors"]] for each in named]
    assert sorted(codes) == [[]] + [["VERSION_CONFLICT"]] * 5


@pytest.mark.parametrize(
    ("given", "field", "message"),
    [
        ({"retryAfterDays": []}, "retryAfterDays", "Give at least one day."),
        ({"retryAfterDays": [0]}, "retryAfterDays", "Each day is from 1 to 90."),
        ({"retryAfterDays": [7, 2]}, "retryAfterDays", "The days ascend, each only once."),
        (
            {"retryAfterDays": [1, 2, 3, 4, 5, 6, 7, 8]},
            "retryAfterDays",
            "The card schemes allow 8 tries within 30 days, the first one among them.",
        ),
        ({"gracePeriodDays": -1}, "gracePeriodDays", "From 0 to 90 days."),
        ({"gracePeriodDays": 91}, "gracePeriodDays", "From 0 to 90 days."),
        (
            {"stopOnDeclineCodes": [""]},
            "stopOnDeclineCodes",
            "At most 100 codes of 1 to 100 characters, such as insufficient_funds.",
        ),
    ],
)
async def test_what_no_policy_can_be_is_refused_and_changes_nothing(
    small_house: House, given: dict[str, Any], field: str, message: str
) -> None:
    told = await _update(small_house, finalAction="LEAVE", **given)
    assert told == {
        "organization": None,
        "userErrors": [{"code": "INVALID", "field": [field], "message": message}],
    }
    assert (await small_house.ask(READ, user=ADMIN))["organization"]["dunning"] == AT_FIRST


# ── its settings ──

SETTINGS = "name defaultCurrencyCode timezone settings version"
SET = f"""mutation ($input: OrganizationInput!) {{ updateOrganization(input: $input) {{
  organization {{ {SETTINGS} }}
  userErrors {{ code field message ... on VersionConflictError {{ currentVersion }} }} }} }}"""
BORN = {"name": "Perennial", "defaultCurrencyCode": "USD", "timezone": "UTC", "settings": {}, "version": 1}


async def _set(house: House, **given: Any) -> dict[str, Any]:
    return (await house.ask(SET, {"input": given}, ADMIN))["updateOrganization"]


async def _settings(house: House) -> dict[str, Any]:
    return (await house.ask(f"{{ organization {{ {SETTINGS} }} }}", user=ADMIN))["organization"]


async def test_settings_are_changed_one_by_one_and_everybody_sees_the_merchant(house: House) -> None:
    assert await _settings(house) == BORN
    told = await _set(house, name=" Tea House ", settings={"logo": "/tea.svg"})
    changed = {**BORN, "name": "Tea House", "settings": {"logo": "/tea.svg"}, "version": 2}
    assert told == {"organization": changed, "userErrors": []}
    told = await _set(house, defaultCurrencyCode="JPY", timezone="Asia/Tokyo", expectedVersion=2)
    changed = {**changed, "defaultCurrencyCode": "JPY", "timezone": "Asia/Tokyo", "version": 3}
    assert told == {"organization": changed, "userErrors": []}
    assert (await _set(house, name="Tea House"))["organization"]["version"] == 3  # nothing new
    assert await house.ask("{ serverInfo { merchant { name settings } } }") == {
        "serverInfo": {"merchant": {"name": "Tea House", "settings": {"logo": "/tea.svg"}}}
    }


async def test_new_customers_live_in_the_organizations_zone_and_others_keep_theirs(house: House) -> None:
    zone = "{ me { timezone } }"
    begin = "mutation { createSetupIntent(input: {}) { userErrors { code } } }"
    await _set(house, timezone="Asia/Tokyo")
    await house.ask(begin, user="demo-new")
    assert await house.ask(zone, user="demo-new") == {"me": {"timezone": "Asia/Tokyo"}}
    assert await house.ask(zone, user="demo-card") == {"me": {"timezone": "UTC"}}
    create = """mutation($input: CustomerInput!) {
      createCustomer(input: $input) { customer { timezone } userErrors { code } } }"""
    for given, expected in (({}, "Asia/Tokyo"), ({"timezone": "Europe/Berlin"}, "Europe/Berlin")):
        told = await house.ask(create, {"input": {"userId": expected, **given}}, ADMIN)
        assert told["createCustomer"]["customer"] == {"timezone": expected}


@pytest.mark.parametrize(
    ("given", "field", "message"),
    [
        ({"name": "  "}, "name", "A name has 1 to 250 characters."),
        ({"name": "x" * 251}, "name", "A name has 1 to 250 characters."),
        (
            {"timezone": "Tokyo"},
            "timezone",
            "timezone: name a zone of the IANA database, such as Europe/Berlin.",
        ),
        ({"settings": ["a", "list"]}, "settings", "settings: give a JSON object."),
    ],
)
async def test_settings_that_cannot_be_are_refused_and_change_nothing(
    small_house: House, given: dict[str, Any], field: str, message: str
) -> None:
    told = await _set(small_house, **{"defaultCurrencyCode": "EUR", **given})
    assert told == {"organization": None, "userErrors": [{"code": "INVALID", "field": [field], "message": message}]}
    assert await _settings(small_house) == BORN


async def test_a_stale_version_changes_nothing(small_house: House) -> None:
    await _set(small_house, name="Tea House")
    told = await _set(small_house, name="Coffee House", expectedVersion=1)
    assert told["organization"] is None
    assert [(each["code"], each["currentVersion"]) for each in told["userErrors"]] == [("VERSION_CONFLICT", 2)]
    assert (await _settings(small_house))["name"] == "Tea House"
