"""Errors as data: each code is explained, and a refusal carries what a client needs."""

import pytest

from billing.errors import ERROR_MEANINGS, ErrorCode, UserProblem, VersionConflict


@pytest.mark.parametrize("code", ErrorCode)
def test_a_code_is_its_own_name_and_its_meaning_says_what_to_do(code: ErrorCode) -> None:
    assert code.value == code.name
    assert ERROR_MEANINGS[code].endswith(".")


def test_meanings_stand_in_the_order_of_the_codes() -> None:
    assert list(ERROR_MEANINGS) == list(ErrorCode)


def test_a_problem_carries_its_code_its_message_and_the_path_of_the_field() -> None:
    problem = UserProblem(ErrorCode.REQUIRED, "Give a plan.", ["input", "planId"])
    assert (problem.code, problem.message, str(problem)) == (ErrorCode.REQUIRED, "Give a plan.", "Give a plan.")
    assert problem.field == ["input", "planId"]
    assert UserProblem(ErrorCode.INVALID_STATE, "It is canceled.").field is None


def test_a_lost_lock_tells_the_version_to_repeat_with() -> None:
    conflict = VersionConflict(7)
    assert (conflict.code, conflict.current_version) == (ErrorCode.VERSION_CONFLICT, 7)
    assert conflict.field == ["expectedVersion"]
    assert conflict.message == ("The object has changed: it is at version 7 now. Read it again before you repeat this.")
