"""What several fields ask for is asked once; what becomes of one of them is nothing to the others."""

import pytest

from tests.support.house import House

WHOLE = "whole: me { id role { name } defaultPaymentMethod { id } subscriptions(first: 2) { totalCount } }"
BROKEN = """broken: me { id role { name } defaultPaymentMethod { id } subscriptions(first: 2) { totalCount }
  refused: subscriptions(first: 0) { totalCount } }"""


@pytest.mark.parametrize("parts", [(WHOLE, BROKEN), (BROKEN, WHOLE)], ids=["it waits first", "it waits last"])
async def test_a_field_that_is_given_up_takes_its_answer_from_nobody_else(
    small_house: House, parts: tuple[str, str]
) -> None:
    """An error where null is not allowed ends all that was asked for beside it, while others wait for the same rows."""
    whole = await small_house.ask(f"{{ {WHOLE} }}", user="demo-card")
    answer = (await small_house.post(f"{{ {parts[0]} {parts[1]} }}", user="demo-card")).json()
    assert answer["data"] == {"broken": None, **whole}
    (error,) = answer["errors"]
    assert (error["path"], error["extensions"]["code"]) == (["broken", "refused"], "BAD_USER_INPUT")
