"""Faults at random: no board is left dead or with a splice, and none is called done that is not."""

from __future__ import annotations

import pytest

from tests.logic.dfu.plants import PLANTS
from tests.logic.dfu.schedules import run_all

EACH = 250
FOR_A_PLANT = 3000
FIRST = {"resumed-blindly": 700, "dfu-after-partial": 100}
"""Seeds from which a plant that is seldom caught is looked for; from any other it only takes longer."""


@pytest.mark.parametrize("start", range(1, 2001, EACH))
def test_whatever_goes_wrong_the_next_try_without_a_fault_brings_the_board_home(start: int) -> None:
    wrong = [report for report in run_all(range(start, start + EACH)) if report.problems]
    assert not wrong, "\n".join(f"seed {report.seed}: {report.problems}" for report in wrong)


def test_a_word_that_failed_in_an_earlier_try_does_not_spoil_the_next() -> None:
    assert not run_all([2780])[0].problems


def test_images_of_full_size_come_home_as_well() -> None:
    assert not [report for report in run_all(range(1, 5), full=True) if report.problems]


@pytest.mark.parametrize("plant", [name for name in PLANTS if name])
def test_a_fault_that_is_planted_into_the_protocols_is_caught(plant: str) -> None:
    first = FIRST.get(plant, 1)
    assert any(run_all([seed], plant=plant)[0].problems for seed in range(first, first + FOR_A_PLANT))
