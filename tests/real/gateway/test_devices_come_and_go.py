"""Devices are made of boards, once; they are forgotten, deleted and brought back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from enmctl.gateway.control import Job, JobKind
from enmctl.models import Step
from tests.real.gateway.rig import eventually, rig, until_stored, until_views


@pytest.mark.parametrize("fault", ["lost-answer", "no-answer", "503", "500", "cut-halfway", "lost"])
async def test_lost_answers_make_no_second_device(tmp_path: Path, fault: str) -> None:
    async with rig(tmp_path, boards=3) as world:
        world.supervisor.fail("provision", fault, times=2)
        world.push()
        async with world.gateway(supervisor_timeout=1.0):
            await world.all_on_target()
            assert len(world.supervisor.devices) == 3


async def test_a_device_made_late_is_waited_for(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=1) as world:
        world.supervisor.fail("provision", "late-insert", times=1, delay=0.6)
        world.push()
        async with world.gateway(provision_settle=5.0):
            await world.all_on_target()
            assert len(world.supervisor.devices) == 1


async def test_a_deleted_device_stays_deleted_until_somebody_provisions_its_board(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=1) as world:
        world.push()
        async with world.gateway() as running:
            await world.all_on_target()
            [uuid] = world.supervisor.devices
            world.supervisor.delete_device(uuid)
            await world.wait_for(lambda: not world.supervisor.devices)
            await until_stored(running, lambda devices: any(device.deleted and device.unlisted for device in devices))
            assert await running.steward.devices() == []
            steps = await _done(running.steward.work(Job(JobKind.PROVISION, world.boards[0].local_id)))
            assert steps[-1].note
            await world.all_on_target()
            assert set(world.supervisor.devices) != {uuid}


async def test_the_devices_of_a_removed_application_are_forgotten(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=2) as world:
        world.push()
        async with world.gateway() as running:
            await world.all_on_target()
            world.supervisor.remove_application(world.app)
            await until_views(running, lambda views: not views)


async def test_two_boards_with_one_id_are_left_alone_until_one_is_gone(tmp_path: Path) -> None:
    async with rig(tmp_path) as world:
        first = await world.add_board("4711")
        second = await world.add_board("4711", name_suffix="-2")
        world.push()
        async with world.gateway() as running:
            await eventually(lambda: any(seen.rivals for seen in running.gateway.crew.discovery.boards.values()))
            assert not second.uploads
            uploads = len(first.uploads)
            await second.power(on=False)
            world.boards.remove(second)
            await world.all_on_target()
            assert len(first.uploads) <= uploads + 1


async def test_a_lost_database_adopts_the_devices_that_are_listed(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=2) as world:
        world.push()
        async with world.gateway():
            await world.all_on_target()
        for file in (tmp_path / "database").iterdir():
            file.unlink()
        async with world.gateway() as running:
            await until_views(running, lambda views: len(views) == 2)
            await world.all_on_target()
            assert len(world.supervisor.devices) == 2


async def test_a_gateway_that_starts_calls_no_board_offline_that_is_there(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=3) as world:
        world.push()
        async with world.gateway():
            await world.all_on_target()
        before = {uuid: len(told) for uuid, told in world.supervisor.status_history.items()}
        async with world.gateway():
            await world.all_on_target()
        for uuid, told in world.supervisor.status_history.items():
            assert list(told)[before[uuid] :] == ["Idle", "Offline"], "it is offline once the gateway has stopped alone"


async def test_a_new_name_is_taken_up(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=1) as world:
        world.push()
        async with world.gateway() as running:
            await world.all_on_target()
            [uuid] = world.supervisor.devices
            world.supervisor.rename(uuid, "kitchen")
            await until_views(running, lambda views: views[0].device.name == "kitchen")


async def _done(steps: AsyncIterator[Step]) -> Sequence[Step]:
    return [step async for step in steps]
