"""What a command leaves that is killed beside a paused gateway, and what becomes of it once the gateway goes on."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from enmctl.errors import ExitCode
from enmctl.gateway.run import Running
from enmctl.models import Attempt, AttemptKind, GatewayStatus, Outcome
from enmctl.simulator.images import esp8266_image
from enmctl.store import Store
from enmctl.store.reading import read_attempts, read_devices
from tests.real.gateway.process import running_process, whole_environment
from tests.real.gateway.rig import WITHIN, Rig, eventually, rig

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a gateway runs on POSIX")


async def paused(running: Running) -> None:
    await running.steward.set_target_status(GatewayStatus.PAUSED)
    await eventually(lambda: running.steward.current_status is GatewayStatus.PAUSED)


async def flashes(running: Running) -> list[Attempt]:
    found = await running.gateway.crew.store.call(Store.attempts)
    return [attempt for attempt in found if attempt.kind is AttemptKind.FLASH]


def beside_a_supervisor(folder: Path, size: int) -> Path:
    """An image of so many bytes, in a folder where the update lock has both of its names."""
    (folder / "balena").mkdir()
    image = folder / "mine.bin"
    image.write_bytes(esp8266_image(fw="mine", size=size))
    return image


def locks(world: Rig) -> list[bool]:
    settings = world.settings()
    return [settings.lock_file.exists(), settings.balena_lock_file.exists()]


async def test_what_a_killed_flash_left_beside_a_paused_gateway_is_settled_when_it_goes_on(tmp_path: Path) -> None:
    image = beside_a_supervisor(tmp_path, 200 * 1024)
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


FROM_A_PROGRAM = """
import asyncio, sys
import enmctl

async def main() -> None:
    async with enmctl.open_radios() as radios:
        board = await radios.find(sys.argv[2])
        async for _ in board.flash(sys.argv[1]):
            pass

asyncio.run(main())
"""
"""A program of somebody else that flashes a board."""

ON_ITS_TERMINAL = """
import fcntl, os, sys, termios

fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Has the terminal that it is started on for its own, as a login has."""


@asynccontextmanager
async def flash_under_way(tmp_path: Path) -> AsyncGenerator[tuple[Rig, list[str], Path]]:
    """A paused gateway's place, and the words for a slow flash of its only board."""
    image = beside_a_supervisor(tmp_path, 200 * 1024)
    async with rig(tmp_path) as world:
        board = await world.add_board(flash_speed=20_000.0)
        async with world.gateway() as running:
            await world.wait_for(lambda: len(world.supervisor.devices) == 1)
            await eventually(lambda: bool(read_devices(world.settings().database)))
            await paused(running)
            yield world, [str(image), board.local_id], tmp_path / "log"


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
async def test_a_flash_that_is_told_to_end_ends_at_a_safe_point(tmp_path: Path, name: str) -> None:
    async with flash_under_way(tmp_path) as (world, words, log):
        async with running_process(world.environment(), "flash", *words, log=log) as command:
            await world.boards[0].wait_for(lambda it: it.uploading and it.upload_size > 20_000, WITHIN)
            command.send_signal(signal.Signals[name])
            command.send_signal(signal.SIGTERM)
            async with asyncio.timeout(WITHIN):
                assert await command.wait() == ExitCode.INTERRUPTED
        assert "Traceback" not in log.read_text()
        assert locks(world) == [False, False]
        [attempt] = [each for each in read_attempts(world.settings().database) if each.kind is AttemptKind.FLASH]
        assert (attempt.outcome, attempt.reason) == (Outcome.INTERRUPTED, "stopped")


async def test_a_flash_whose_terminal_is_gone_ends_at_a_safe_point(tmp_path: Path) -> None:
    async with flash_under_way(tmp_path) as (world, words, _):
        controller, terminal = os.openpty()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", ON_ITS_TERMINAL, sys.executable, "-m", "enmctl", "flash", *words),
            env=whole_environment(world.environment()),
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
        )
        os.close(terminal)
        await world.boards[0].wait_for(lambda it: it.uploading and it.upload_size > 20_000, WITHIN)
        os.close(controller)
        async with asyncio.timeout(WITHIN):
            await process.wait()
        assert locks(world) == [False, False]
        [attempt] = [each for each in read_attempts(world.settings().database) if each.kind is AttemptKind.FLASH]
        assert (attempt.outcome, attempt.reason) == (Outcome.INTERRUPTED, "stopped")


async def test_a_flash_of_a_program_that_is_killed_by_a_signal_ends_at_a_safe_point_first(tmp_path: Path) -> None:
    async with flash_under_way(tmp_path) as (world, words, log):
        with log.open("ab") as talk:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", FROM_A_PROGRAM, *words),
                env=whole_environment(world.environment()),
                stderr=talk,
            )
        await world.boards[0].wait_for(lambda it: it.uploading and it.upload_size > 20_000, WITHIN)
        process.terminate()
        async with asyncio.timeout(WITHIN):
            assert await process.wait() == -signal.SIGTERM
        assert log.read_text() == ""
        assert locks(world) == [False, False]
        [attempt] = [each for each in read_attempts(world.settings().database) if each.kind is AttemptKind.FLASH]
        assert (attempt.outcome, attempt.reason) == (Outcome.INTERRUPTED, "stopped")


async def test_a_flash_that_a_gateway_finds_at_work_goes_on_to_its_end(tmp_path: Path) -> None:
    image = beside_a_supervisor(tmp_path, 64 * 1024)
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
