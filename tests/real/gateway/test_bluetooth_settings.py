"""What the settings of Bluetooth change in a gateway at work, with micro:bits on simulated air."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from enmctl.gateway.crew import Watcher
from enmctl.gateway.run import Running, running
from enmctl.models import BoardKey, DeviceStatus, Stage, Step
from enmctl.simulator.world import World
from tests.real.gateway.rig import application_id, eventually, settings_in, until_views


class AtOnce(Watcher):
    """Counts the boards to which bytes go at the same time."""

    def __init__(self) -> None:
        self.most = 0
        self.done: set[BoardKey] = set()
        self._sending: set[BoardKey] = set()

    def step(self, key: BoardKey, step: Step) -> None:
        if step.stage is Stage.TRANSFERRING:
            self._sending.add(key)
        else:
            self._sending.discard(key)
        if step.stage is Stage.DONE:
            self.done.add(key)
        self.most = max(self.most, len(self._sending))


@asynccontextmanager
async def gateway(world: World, folder: Path, **more: Any) -> AsyncGenerator[Running]:
    """A gateway that reaches this world."""
    settings = settings_in(folder, world.supervisor, api_port=world.api_port, **more)
    async with running(settings, reach=world.reach) as started:
        yield started


async def test_gone_after_is_how_long_a_board_may_be_silent(tmp_path: Path) -> None:
    applications = [(application_id(), "badges", "microbit")]
    async with (
        World(applications=applications, boards_per_application=1, release_at_start=False) as world,
        gateway(world, tmp_path, bluetooth_gone_after=1.0, bluetooth_long_timeout=2.0) as started,
    ):
        await until_views(started, lambda views: [view.status for view in views] == [DeviceStatus.IDLE])
        (board,) = world.bluetooth_boards.values()
        await world.add_bluetooth_board(applications[0][0], number=1)
        await board.power(on=False)
        await until_views(started, lambda views: DeviceStatus.OFFLINE in [view.status for view in views])


@pytest.mark.parametrize("places", [1, 2])
async def test_concurrency_is_how_many_boards_are_sent_to_at_once(tmp_path: Path, places: int) -> None:
    applications = [(application_id(), "badges", "microbit")]
    watcher = AtOnce()
    async with (
        World(applications=applications, boards_per_application=2, release_at_start=False) as world,
        gateway(world, tmp_path, bluetooth_concurrency=places) as started,
    ):
        started.gateway.crew.watcher = watcher
        await until_views(started, lambda views: [view.status for view in views] == [DeviceStatus.IDLE] * 2)
        world.push(applications[0][0])
        await eventually(lambda: len(watcher.done) == 2, 60.0)
    assert watcher.most == places
