"""What people have a gateway do to Bluetooth boards that are no application's of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from enmctl.boards.manner import manner
from enmctl.cli.wanted import read_whole
from enmctl.dfu.link import Memory
from enmctl.errors import RadioError, UnknownError
from enmctl.firmware.nordic_init import ANY_SOFTDEVICE, make_legacy
from enmctl.gateway.control import Job, JobKind
from enmctl.gateway.memories import StoredMemories
from enmctl.gateway.run import Running, running
from enmctl.models import Radio, Stage, Step
from enmctl.simulator.world import World
from tests.real.boards.air import DK, QUICK_AIR, dk_image, image, made_quick, program_file
from tests.real.gateway.rig import WITHIN, application_id, eventually, settings_in

MOST = 1 << 20


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """An air, and an application for boards on the network alone."""
    options = {"timing": QUICK_AIR}
    applications = [(application_id(), "lamps", "esp8266")]
    async with World(
        applications=applications, boards_per_application=0, bluetooth=True, bluetooth_options=options
    ) as made:
        yield made


@pytest.fixture
async def gateway(world: World, tmp_path: Path) -> AsyncIterator[Running]:
    """A gateway that has no use for Bluetooth."""
    settings = settings_in(tmp_path, world.supervisor, api_port=world.api_port, bluetooth_long_timeout=2.0)
    async with running(settings, reach=world.reach) as started:
        assert Radio.BLUETOOTH not in started.gateway.crew.discovery.open_radios
        yield started


async def done(gateway: Running, job: Job) -> list[Step]:
    """All news of a job."""
    return [step async for step in gateway.steward.work(job)]


async def test_a_board_of_no_application_is_heard_flashed_and_restarted(
    world: World, gateway: Running, tmp_path: Path
) -> None:
    living = made_quick(await world.add_to_air("microbit-v1", 11, image=image("microbit-v1", seed=0)))
    data, name = read_whole(program_file(tmp_path, seed=2), MOST)
    steps = await done(gateway, Job(JobKind.FLASH, "zuziv", data, name))
    assert steps[-1].stage is Stage.DONE
    assert living.board.holds(image("microbit-v1", seed=2))
    boots = living.describe()["boots"]
    await done(gateway, Job(JobKind.RESTART, living.local_id))
    assert living.describe()["boots"] > boots


async def test_a_program_that_the_board_runs_is_sent_again_where_all_of_it_is_wanted(
    world: World, gateway: Running, tmp_path: Path
) -> None:
    living = made_quick(await world.add_to_air("microbit-v1", 11, image=image("microbit-v1")))
    job = Job(JobKind.FLASH, living.local_id, *read_whole(program_file(tmp_path), MOST))
    assert "nothing to send" in " ".join(step.note for step in await done(gateway, job))
    steps = await done(gateway, replace(job, manner=manner(full=True)))
    assert "erases the old program" in {step.note for step in steps}
    assert living.board.holds(image("microbit-v1"))


async def test_a_board_that_waits_in_its_bootloader_is_of_the_type_that_the_file_is_for(
    world: World, gateway: Running, tmp_path: Path
) -> None:
    living = made_quick(await world.add_to_air("microbit-v2", 22, image=b""))
    data, name = read_whole(program_file(tmp_path), MOST)
    await done(gateway, Job(JobKind.FLASH, living.local_id.lower(), data, name))
    assert living.board.holds(image("microbit-v2"))


async def test_a_board_that_waits_for_the_rest_of_a_program_is_known_by_the_name_that_it_had(
    world: World, gateway: Running, tmp_path: Path
) -> None:
    living = made_quick(await world.add_to_air("microbit-v1", 11, image=b""))
    memories = StoredMemories(gateway.gateway.crew.store)
    await memories.keep(living.local_id, Memory(begun="dfu", name="zuziv"))
    data, name = read_whole(program_file(tmp_path), MOST)
    await done(gateway, Job(JobKind.FLASH, "Zuziv", data, name))
    assert living.board.holds(image("microbit-v1"))
    assert (await memories.load(living.local_id)).name == ""


async def test_an_image_comes_with_the_init_packet_that_lies_beside_it(
    world: World, gateway: Running, tmp_path: Path
) -> None:
    living = made_quick(await world.add_to_air("nrf51822dk", 44, application_id=DK, image=dk_image(seed=0)))
    file = tmp_path / "kit.bin"
    file.write_bytes(dk_image())
    file.with_suffix(".dat").write_bytes(make_legacy(dk_image(), ANY_SOFTDEVICE))
    await done(gateway, Job(JobKind.FLASH, str(DK), *read_whole(file, MOST)))
    assert living.board.holds(dk_image())


async def test_a_board_that_is_not_there_is_unknown_and_without_bluetooth_that_is_said(
    gateway: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UnknownError, match="no device is called 'zavit'"):
        await done(gateway, Job(JobKind.RESTART, "zavit"))

    async def refuse(radios: object) -> None:
        del radios
        raise RadioError("Bluetooth is off", remedy="switch it on")

    monkeypatch.setattr(gateway.gateway.crew.discovery, "start", refuse)
    with pytest.raises(RadioError, match="Bluetooth is off"):
        await done(gateway, Job(JobKind.RESTART, "E5:1D:00:00:00:63"))
    with pytest.raises(UnknownError):
        await done(gateway, Job(JobKind.RESTART, "zavit"))


async def test_a_device_with_a_program_of_no_application_is_known_by_its_address_and_gets_its_target_back(
    tmp_path: Path,
) -> None:
    async with World(
        applications=[(application_id(), "badges", "microbit")],
        boards_per_application=1,
        bluetooth_firmware_size=12 * 1024,
        bluetooth_options={"timing": QUICK_AIR},
        hook_throttle=0.2,
    ) as world:
        (living,) = map(made_quick, world.bluetooth_boards.values())
        settings = settings_in(tmp_path, world.supervisor, api_port=world.api_port, bluetooth_long_timeout=2.0)
        async with running(settings, reach=world.reach) as gateway:
            await world.supervisor.wait_for(lambda: _on_target(world), WITHIN)
            version = living.runs
            data, name = read_whole(program_file(tmp_path, version="by hand"), MOST)
            await done(gateway, Job(JobKind.FLASH, living.local_id, data, name))
            assert living.runs == "by hand"
            await eventually(lambda: living.runs == version)
            await world.supervisor.wait_for(lambda: _on_target(world), WITHIN)


def _on_target(world: World) -> bool:
    rows = list(world.supervisor.devices.values())
    return len(rows) == 1 and rows[0].commit == rows[0].target_commit and rows[0].status == "Idle"
