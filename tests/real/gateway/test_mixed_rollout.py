"""A rollout over boards of all kinds and radios at once, with a new commit in the middle of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from enmctl.gateway.crew import Watcher
from enmctl.gateway.run import running
from enmctl.models import BoardKey, Stage, Step
from enmctl.simulator.world import World
from tests.real.boards.air import QUICK_AIR, made_quick
from tests.real.gateway.rig import WITHIN, application_id, settings_in

SIZE = 8 * 1024


class HalfWay(Watcher):
    """Waits until one board is done and another of a Bluetooth type is in the middle of a transfer."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self._done: set[BoardKey] = set()

    def step(self, key: BoardKey, step: Step) -> None:
        if step.stage is Stage.DONE:
            self._done.add(key)
        is_in_the_middle = step.stage is Stage.TRANSFERRING and 0 < step.done < step.total
        if self._done and is_in_the_middle and ":" in key.local_id:
            self.reached.set()


async def test_boards_of_three_applications_end_on_the_commit_that_was_pushed_half_way(tmp_path: Path) -> None:
    types = {"esp8266": application_id(), "microbit": application_id(), "nrf51822dk": application_id()}
    async with World(
        applications=[(number, f"all-{board_type}", board_type) for board_type, number in types.items()],
        boards_per_application=2,
        firmware_size=64 * 1024,
        board_options={"flash_speed": 200_000.0, "reboot_time": 0.2},
        bluetooth_firmware_size=SIZE,
        bluetooth_options={"timing": QUICK_AIR},
        hook_throttle=0.2,
    ) as world:
        for living in world.bluetooth_boards.values():
            made_quick(living)
        kinds = sorted(living.board.kind for living in world.bluetooth_boards.values())
        assert kinds == ["microbit-v1", "microbit-v2", "nrf51822dk", "nrf51822dk"]
        firsts = {number: world.supervisor.applications[number].commit for number in types.values()}
        settings = settings_in(
            tmp_path, world.supervisor, api_port=world.api_port, bluetooth_long_timeout=3.0, bluetooth_concurrency=2
        )
        watcher = HalfWay()
        async with running(settings, reach=world.reach) as gateway:
            gateway.gateway.crew.watcher = watcher
            async with asyncio.timeout(WITHIN):
                await watcher.reached.wait()
            newest = {number: world.push(number) for number in types.values()}
            await world.supervisor.wait_for(lambda: _is_at_rest(world, newest), 2 * WITHIN)
            assert all(newest[number] != first for number, first in firsts.items())
            assert {board.fw for board in world.boards.values()} == {newest[types["esp8266"]]}
            for living in world.bluetooth_boards.values():
                board_type = "nrf51822dk" if living.board.kind == "nrf51822dk" else "microbit"
                assert living.runs == newest[types[board_type]][:8]


def _is_at_rest(world: World, newest: dict[int, str]) -> bool:
    """Whether each board is a device on the newest commit, and no hook is under way."""
    rows = list(world.supervisor.devices.values())
    on_target = [row.commit == newest[row.app_id] == row.target_commit and row.status == "Idle" for row in rows]
    return len(rows) == len(world.all_boards) and all(on_target) and world.supervisor.hooks_at_rest()
