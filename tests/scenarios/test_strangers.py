"""What `make soak` asks about another's rows: all that a customer may do to its own, and one in 16 of the rest."""

from tests.soak.strangers import ask_about
from tests.support.house import House


async def test_nobody_is_told_of_anothers_rows_and_nobody_changes_them(small_house: House) -> None:
    seen = await ask_about(small_house, seed=3, every=16)
    assert (seen.leaks, seen.changes) == ([], [])
    assert seen.asked > 500
    assert seen.kinds == 13
    assert seen.told_the_owner >= 8
