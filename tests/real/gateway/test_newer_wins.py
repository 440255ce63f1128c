"""What is said while an update runs is not undone by its end: a row is never read, changed and written back."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from enmctl.gateway.control import Hook
from enmctl.gateway.run import Running
from enmctl.models import Device
from enmctl.simulator.esp8266 import SimulatedEsp8266
from enmctl.store import Store
from tests.real.gateway.noticing import notice
from tests.real.gateway.rig import WITHIN, Rig, rig, until_stored

MOMENTS = ("during the upload", "as the board comes back")


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_hook_that_comes_while_an_update_runs_outlives_its_end(tmp_path: Path, moment: str) -> None:
    async with rig(tmp_path) as world:
        board = await world.add_board(flash_speed=100_000.0)
        first = world.push()
        async with world.gateway() as running:
            world.supervisor.hook_address = None  # it would say the first commit again and again
            await world.wait_for(lambda: bool(world.supervisor.devices))
            [uuid] = world.supervisor.devices
            newest = "f" * 40
            hook = Hook(newest, {"A": "1"}, {"B": "2"})
            said = _say_at(world, board, moment, lambda: running.steward.take_hook(uuid, hook))
            await board.wait_for(lambda it: it.uploading, WITHIN)
            world.supervisor.fail("devices", "503")  # the list must not mend what the end of the update breaks
            device = await _after_update(running, first)
            await said
            assert (device.target_commit, device.target_config, device.target_environment) == (
                newest,
                {"A": "1"},
                {"B": "2"},
            )


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_restart_that_is_wanted_while_an_update_runs_comes_after_it(tmp_path: Path, moment: str) -> None:
    async with rig(tmp_path) as world:
        board = await world.add_board(flash_speed=100_000.0)
        first = world.push()
        async with world.gateway() as running:
            said = _say_at(world, board, moment, lambda: running.steward.want_restart(board.local_id))
            device = await _after_update(running, first)
            await said
            assert device.restart_wanted or board.restarts, "the end of the update has undone the wish"
            await board.wait_for(lambda it: it.restarts == 1, WITHIN)
            await world.all_on_target()


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_device_that_is_deleted_while_an_update_runs_stays_deleted(tmp_path: Path, moment: str) -> None:
    async with rig(tmp_path) as world:
        board = await world.add_board(flash_speed=100_000.0)
        first = world.push()
        async with world.gateway() as running:
            said = _say_at(world, board, moment, lambda: running.steward.delete(board.local_id))
            await board.wait_for(lambda it: it.fw == first and it.state == "running", WITHIN)
            await running.gateway.crew.workers.all_ended(WITHIN)
            await said
            [device] = await running.gateway.crew.store.call(Store.devices, deleted=None)
            assert device.deleted, "the end of the update has undone the deletion"


def _say_at(world: Rig, board: SimulatedEsp8266, moment: str, say: object) -> asyncio.Task[object]:
    """Have something said at a moment of the board's first update, in the same turn of the loop."""
    at_upload = moment == MOMENTS[0]
    loop = asyncio.get_running_loop()
    now = asyncio.Event()

    def look() -> None:
        if board.upload_size > 0 if at_upload else bool(board.upload_size) and board.boots == 2:
            now.set()

    async def when_it_is_time() -> object:
        await now.wait()
        return await say()  # type: ignore[operator] # any coroutine function

    notice(world, look)
    return loop.create_task(when_it_is_time())


async def _after_update(running: Running, commit: str) -> Device:
    """The device as it is once the update to this commit has ended."""
    found: list[Device] = []

    def updated(devices: list[Device]) -> bool:
        found[:] = [device for device in devices if device.commit == commit]
        return bool(found)

    await until_stored(running, updated)
    return found[0]
