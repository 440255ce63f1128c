"""What a command leaves that is killed beside a paused gateway, and what becomes of it once the gateway goes on."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from enmctl.gateway.run import Running
from enmctl.models import Attempt, AttemptKind, GatewayStatus, Outcome
from enmctl.simulator.images import esp8266_image
from enmctl.store import Store
from tests.real.gateway.process import running_process
from tests.real.gateway.rig import WITHIN, Rig, eventually, rig

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a gateway runs on POSIX")


async def paused(running: Running) -> None:
    await running.steward.set_target_status(GatewayStatus.PAUSED)
    await eventually(lambda: running.steward.current_status is GatewayStatus.PAUSED)


async def flashes(running: Running) -> list[Attempt]:
    found = await running.gateway.crew.store.call(Store.attempts)
    return [attempt for attempt in found if attempt.kind is AttemptKind.FLASH]


def locks(world: Rig) -> list[bool]:
    settings = world.settings()
    return [settings.lock_file.exists(), settings.balena_lock_file.exists()]


async def test_what_a_killed_flash_left_beside_a_paused_gateway_is_settled_when_it_goes_on(tmp_path: Path) -> None:
    (tmp_path / "balena").mkdir()
    image = tmp_path / "mine.bin"
    image.write_bytes(esp8266_image(fw="mine", size=200 * 1024))
    async with rig(tmp_path) as world:
        board = await world.add_board(flash_speed=20_000.0)
        world.push(assets={"firmware.bin": esp8266_image(fw="one", size=8 * 1024)})
        async with world.gateway() as running:
            await world.all_on_target()
            await paused(running)
            words = ("flash", image, board.local_id)
            async with running_process(world.environment(), *words, log=tmp_path / "log") as command:
                await board.wait_for(lambda it: it.uploading and it.upload_size > 20_000, WITHIN)
                assert locks(world) == [True, True]
                command.kill()
                await command.wait()
            assert locks(world) == [True, True], "nobody is left who could remove it"
            before = len(board.uploads)
            await running.steward.set_target_status(GatewayStatus.RUNNING)
            await board.wait_for(lambda it: len(it.uploads) > before and it.uploads[-1].size == 8 * 1024, WITHIN)
            await world.all_on_target()
            assert [attempt.outcome for attempt in await flashes(running)] == [Outcome.INTERRUPTED]
            await eventually(lambda: locks(world) == [False, False])


async def test_a_flash_that_a_gateway_finds_at_work_goes_on_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "balena").mkdir()
    image = tmp_path / "mine.bin"
    image.write_bytes(esp8266_image(fw="mine", size=64 * 1024))
    async with rig(tmp_path) as world:
        board = await world.add_board(flash_speed=30_000.0)
        world.push(size=8 * 1024)
        async with world.gateway() as running:
            await world.all_on_target()
            await paused(running)
        words = ("flash", image, board.local_id)
        async with running_process(world.environment(), *words, log=tmp_path / "log") as command:
            await board.wait_for(lambda it: it.uploading and it.upload_size > 20_000, WITHIN)
            async with world.gateway() as running:
                assert locks(world) == [True, True]
                assert [attempt.outcome for attempt in await flashes(running)] == [Outcome.RUNNING]
                await running.steward.set_target_status(GatewayStatus.RUNNING)
                async with asyncio.timeout(WITHIN):
                    assert await command.wait() == 0, (tmp_path / "log").read_text()
                assert [attempt.outcome for attempt in await flashes(running)] == [Outcome.SUCCEEDED]
                await world.all_on_target()


async def test_a_foreign_lock_that_comes_while_paused_is_never_removed(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=1) as world:
        world.push()
        async with world.gateway() as running:
            await world.all_on_target()
            await paused(running)
            lock = world.settings().lock_file
            lock.write_text("the Supervisor's")
            await running.steward.set_target_status(GatewayStatus.RUNNING)
            world.push()
            await world.wait_for(lambda: "Downloading" in world.statuses())
            await running.gateway.turn()
            assert lock.exists(), "somebody else's lock is gone"
            assert lock.read_text() == "the Supervisor's"
            lock.unlink()
            await world.all_on_target()
