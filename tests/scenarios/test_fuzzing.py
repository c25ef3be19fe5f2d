"""A short seed of the fuzzing that `make soak` does for long."""

from tests.soak.fuzzing import fuzz
from tests.support.house import House


async def test_whatever_is_asked_of_each_root_field_is_no_internal_error(small_house: House) -> None:
    seen = await fuzz(small_house, cases=1, seed=7)
    assert seen.asked == seen.operations > 100
    assert seen.faults == []
    assert seen.findings == []
    assert seen.codes["answered"] > 20
