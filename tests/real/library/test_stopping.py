"""A program that leaves a flash early leaves the board at a safe point, is told how it is, and can go on."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path

import pytest

import enmctl
from enmctl.simulator.world import World
from tests.real.boards.air import program_file
from tests.real.library.conftest import NAME


@pytest.fixture
def other(world: World) -> Path:  # noqa: ARG001 - the working directory is the world's
    """A program on another runtime, so that all of it is sent."""
    return program_file(Path(), seed=2, runtime_seed=2, size=24 * 1024)


async def test_a_flash_that_was_left_is_gone_on_with(world: World, other: Path) -> None:
    (living,) = world.bluetooth_boards.values()
    async with enmctl.open_radios(firmware=other) as radios:
        board = await radios.find(NAME)
        assert await board.left_with() == ""
        async with aclosing(board.flash(other)) as steps:
            async for step in steps:
                if step.stage is enmctl.Stage.TRANSFERRING and step.done > step.total // 3:
                    break
        assert "flash the same file again" in await board.left_with()
        assert living.board.program is not None
        assert living.board.program.mode != "application"
    async with enmctl.open_radios(firmware=other) as radios:
        board = await radios.find(living.local_id)
        news = [step async for step in board.flash(other)]
        assert news[-1].proof is enmctl.Proof.CHECK_AND_RETURN
        assert await board.left_with() == ""
    notes = [step.note for step in news if step.note]
    assert any("goes on" in note for note in notes), notes
