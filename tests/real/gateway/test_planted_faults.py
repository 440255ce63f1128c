"""Plants faults in enmctl one by one and sees that the tests catch each, by what it breaks and not by running late.

Each runs, in a pytest of its own, the fewest tests that should notice; without the fault they pass in this same suite.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.planted import PLANTS

ROOT = Path(__file__).parents[3]

WITHIN = 90.0
"""Seconds for one of them on a busy machine; none waits for a limit of its own."""

TESTS_FAILED = 1
"""What pytest exits with where tests ran and failed; any other code is no proof."""

CAUGHT = {
    "done-before-return": (
        "test_rollout.py::test_a_commit_is_reported_only_once_the_board_is_back_and_runs_it",
        "AssertionError: assert (",
    ),
    "row-written-back": (
        "test_newer_wins.py::test_a_restart_that_is_wanted_while_an_update_runs_comes_after_it",
        "the end of the update has undone the wish",
    ),
    "journal-after-first-byte": (
        "test_journals.py::test_the_attempt_is_journalled_before_the_first_byte_reaches_the_board",
        "no attempt was journalled",
    ),
    "provisioning-not-journalled": (
        "test_journals.py::test_a_device_is_journalled_before_it_is_asked_for",
        "its request was not journalled",
    ),
    "foreign-lock-removed": (
        "test_people_step_in.py::test_a_foreign_update_lock_holds_transfers_up_and_nothing_else",
        "assert None ==",
    ),
    "any-lock-known": (
        "test_left_behind.py::test_a_foreign_lock_that_comes_while_paused_is_never_removed",
        "somebody else's lock is gone",
    ),
    "gone-ignored": (
        "test_rest.py::test_a_device_that_is_gone_is_let_go_though_the_list_still_shows_it",
        "the Supervisor said 410, and is told on and on",
    ),
    "environment-not-put-back": (
        "test_rest.py::test_hooks_come_to_rest_once_commit_config_and_environment_were_put_back",
        "its hook comes again and again",
    ),
    "list-number-forgotten": (
        "test_journals.py::test_a_device_whose_answer_a_stop_lost_is_adopted_however_many_lists_came_before",
        "3 devices were made of 2 boards",
    ),
    "attempts-left-running": (
        "test_rest.py::test_attempts_that_a_kill_left_are_ended_as_interrupted_at_the_next_start",
        "nobody is at it any more",
    ),
}
"""The test that catches each fault, and the words in which it says so."""


@pytest.mark.parametrize("fault", sorted(PLANTS))
async def test_a_planted_fault_is_caught(fault: str) -> None:
    test, words = CAUGHT[fault]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:xdist", "-p", "no:cacheprovider", "--color=no"),
        *("--plant", fault, f"{Path(__file__).parent / test}"),
        cwd=ROOT,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(WITHIN):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    told = output.decode()
    assert process.returncode == TESTS_FAILED, told
    assert words in told, told
