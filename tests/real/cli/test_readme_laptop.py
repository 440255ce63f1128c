"""What README.md has people type on a laptop does what it says, on a micro:bit alone in range and on simulated ones."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from enmctl.errors import ExitCode
from enmctl.gateway import lookout
from enmctl.simulator.nordic.microbit_application import Habits, friendly_name
from tests.real.boards.air import QUICK as QUICK_MICROBIT
from tests.real.boards.air import image, program_file
from tests.real.cli.outside import QUICK, Outside, outside
from tests.real.cli.rig import Run

README = (Path(__file__).parents[3] / "README.md").read_text("utf-8")
LAPTOP = README.partition("## On a laptop")[2].partition("\n## ")[0]
BLOCKS = re.findall(r"```console\n(.*?)```", LAPTOP, re.DOTALL)
NAME = "zavit"
"""The micro:bit that README.md names."""


@pytest.fixture
def world(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Outside]:
    """A micro:bit V1, and ``program.hex`` in the working directory."""
    monkeypatch.setattr(lookout, "QUIET", 0.4)
    program_file(folder).rename(folder / "program.hex")
    serial = next(number for number in range(1, 1 << 16) if friendly_name(number) == NAME)
    with outside(boards_per_application=0, bluetooth=True) as made:
        habits, old = Habits(**QUICK_MICROBIT), image("microbit-v1", seed=0)
        made.do(made.world.add_to_air("microbit-v1", serial, habits=habits, image=old))
        for name, value in {**QUICK, **made.world.environment(tmp_path)}.items():
            monkeypatch.setenv(name, value)
        yield made


def typed(block: str) -> list[list[str]]:
    return [shlex.split(line)[2:] for line in block.splitlines() if line.startswith("$ enmctl ")]


@pytest.mark.usefixtures("world")
def test_a_micro_bit_is_found_and_flashed_without_being_named(enmctl: Run) -> None:
    scan, inspect, flash = typed(BLOCKS[0])
    assert NAME in enmctl(*scan, "--timeout", "1s").stdout
    assert "micro:bit V1" in enmctl(*inspect).stdout
    result = enmctl(*flash)
    assert result.exit_code == ExitCode.DONE, result.stderr
    assert re.search(r"zavit\]?: done \(", result.stderr), result.stderr
    again = enmctl("flash", "program.hex", NAME)
    assert "nothing to send" in again.stderr


def test_without_one_the_same_is_shown_on_simulated_boards(enmctl: Run, folder: Path) -> None:
    program_file(folder).rename(folder / "program.hex")
    scan, flash = typed(BLOCKS[1])
    assert f"[{flash[-1]}]" in enmctl(*scan, "--count", "6").stdout
    result = enmctl(*flash)
    assert result.exit_code == ExitCode.DONE, result.stderr


def test_every_command_that_is_shown_is_typed_by_a_test() -> None:
    assert len(BLOCKS) == 2
    others = [block for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL) if block not in BLOCKS]
    assert all("fleet" in block for block in others), "those are for test_fleet_pages.py"


def test_every_command_in_the_table_has_a_help_page(enmctl: Run) -> None:
    table = README.partition("## What it does")[2].partition("\n## ")[0]
    commands = {words.split()[1] for words in re.findall(r"`(enmctl [^`]+)`", table)}
    assert len(commands) > 10
    for command in commands:
        assert enmctl(command, "--help").exit_code == ExitCode.DONE, command
