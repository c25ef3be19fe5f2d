"""The organization's policies over HTTP: what is in force, changing it, and what is refused."""

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
