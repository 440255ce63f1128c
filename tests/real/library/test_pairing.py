"""A micro:bit whose program wants a bond is paired with where that was allowed, and never else."""

from __future__ import annotations

import pytest

import enmctl
from enmctl.simulator.bluetooth.living import LivingBoard
from enmctl.simulator.nordic.microbit_application import Habits
from enmctl.simulator.nordic.program import Boot
from enmctl.simulator.nordic.traits import RuntimeTraits
from enmctl.simulator.world import World
from tests.real.boards.air import QUICK, image
from tests.real.gateway.rig import eventually


async def locked(world: World) -> LivingBoard:
    """A micro:bit V1, ready to be paired with, whose program lets nobody in without a bond."""
    traits = RuntimeTraits(open=False, partial=True, passkey=True)
    program = image("microbit-v1", runtime=traits)
    living = await world.add_to_air("microbit-v1", 7, habits=Habits(**QUICK), image=program)
    living.reset(Boot.PAIRING)
    return living


async def flash(board: enmctl.Board) -> list[enmctl.Step]:
    return [step async for step in board.flash("program.hex")]


async def test_a_board_that_wants_a_bond_is_left_alone_where_nobody_allowed_it(world: World) -> None:
    living = await locked(world)
    async with enmctl.open_radios(firmware="program.hex") as radios:
        with pytest.raises(enmctl.errors.RefusedError) as refused:
            await flash(await radios.find(living.local_id))
    assert refused.value.reason == "needs-bond"


async def test_where_that_was_allowed_the_six_digits_that_a_board_shows_are_asked_for(world: World) -> None:
    living = await locked(world)
    asked: list[str] = []

    async def ask(board: enmctl.Board) -> int | None:
        asked.append(board.short_name)
        await eventually(lambda: bool(living.host.passkey))
        return int(living.host.passkey)

    async with enmctl.open_radios(firmware="program.hex", ask_passkey=ask) as radios:
        board = await radios.find(living.local_id)
        steps = await flash(board)
    assert asked == [board.short_name]
    assert "pairs with the board" in {step.note for step in steps}
    assert steps[-1].stage is enmctl.Stage.DONE
