"""What is wrong is said once for as long as it stays so, however much it is."""

from __future__ import annotations

import logging

import pytest

from enmctl.gateway.saying import COMPLAINTS_MOST, SAID_A_ROUND, Complaints


def round_of(complaints: Complaints, caplog: pytest.LogCaptureFixture, *problems: str) -> list[str]:
    """What a round with these problems says."""
    caplog.clear()
    for problem in problems:
        complaints.say("board", problem)
    complaints.end_round()
    return [line.removeprefix("board: ") for line in caplog.messages]


def test_what_stays_wrong_is_said_once_and_again_when_it_has_been_well(caplog: pytest.LogCaptureFixture) -> None:
    complaints = Complaints(logging.getLogger("test"))
    assert round_of(complaints, caplog, "a", "b", "a") == ["a", "b"]
    assert round_of(complaints, caplog, "a", "b") == []
    assert round_of(complaints, caplog, "c", "b") == ["c"]
    assert round_of(complaints, caplog, "a") == ["a"]


def test_of_thousands_some_are_said_with_how_many_there_are_and_none_a_second_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    complaints = Complaints(logging.getLogger("test"))
    problems = [str(number) for number in range(3000)]
    said = round_of(complaints, caplog, *problems)
    assert said == [*problems[:SAID_A_ROUND], f"and {3000 - SAID_A_ROUND} more are not as they should be"]
    assert round_of(complaints, caplog, *problems) == []
    assert round_of(complaints, caplog, *problems, "one more") == ["one more"]


def test_what_is_remembered_and_said_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    complaints = Complaints(logging.getLogger("test"))
    problems = [str(number) for number in range(COMPLAINTS_MOST + 1000)]
    for _ in range(3):
        assert len(round_of(complaints, caplog, *problems)) <= SAID_A_ROUND + 1
    assert len(complaints._before) == COMPLAINTS_MOST
