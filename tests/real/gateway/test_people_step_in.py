"""People pause the gateway, restart and flash boards, and hold the update lock."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from enmctl.boards.esp8266 import Esp8266
from enmctl.errors import BusyError, EnmError, ExitCode, StoreError, UsageError
from enmctl.gateway.control import Job, JobKind
from enmctl.models import AttemptKind, BoardKey, GatewayStatus, Outcome, Step
from enmctl.simulator.images import esp8266_image
from enmctl.store import Store
from enmctl.store.reading import read_attempts
from tests.real.gateway.process import running_process
from tests.real.gateway.rig import WITHIN, eventually, rig, until_views

MINE = esp8266_image(fw="mine", size=32 * 1024)


async def test_a_board_restarts_when_the_api_is_asked(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=1) as world:
        world.push()
        async with world.gateway() as running:
            await world.all_on_target()
            restarts = world.boards[0].restarts
            await running.steward.want_restart(world.boards[0].local_id)
            await world.boards[0].wait_for(lambda it: it.restarts == restarts + 1, WITHIN)
            await world.all_on_target()
            attempts = await running.gateway.crew.store.call(Store.attempts)
            assert AttemptKind.RESTART in {attempt.kind for attempt in attempts}


async def test_paused_means_that_no_transfer_runs_and_no_radio_is_open(tmp_path: Path) -> None:
    async with rig(tmp_path) as world:
        board = await world.add_board(flash_speed=100_000.0)
        world.push(size=64 * 1024)
        async with world.gateway() as running:
            await board.wait_for(lambda it: it.uploading, WITHIN)
            await running.steward.set_target_status(GatewayStatus.PAUSED)
            discovery = running.gateway.crew.discovery
            await eventually(lambda: running.steward.current_status is GatewayStatus.PAUSED)
            assert not board.uploading
            assert not discovery.is_listening
            uploads = len(board.uploads)
            newest = world.push()
            await until_views(running, lambda views: views[0].device.target_commit == newest)
            assert len(board.uploads) == uploads
            await running.steward.set_target_status(GatewayStatus.RUNNING)
            await world.all_on_target()


async def test_a_pause_survives_a_restart_and_ends_by_itself_when_it_was_for_a_time(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=1) as world:
        world.push()
        async with world.gateway() as running:
            await running.steward.set_target_status(GatewayStatus.PAUSED, by="logger")
        async with world.gateway() as running:
            assert running.steward.current_status is GatewayStatus.PAUSED
            assert running.steward.paused_by == "logger"
            await running.steward.set_target_status(GatewayStatus.PAUSED, seconds=0.3)
        async with world.gateway():
            await world.all_on_target()


async def test_a_pause_for_a_time_ends_although_the_database_is_locked_at_that_moment(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=1) as world:
        world.push()
        async with world.gateway() as running:
            await running.steward.set_target_status(GatewayStatus.PAUSED)
            await eventually(lambda: running.steward.current_status is GatewayStatus.PAUSED)
            await running.steward.set_target_status(GatewayStatus.PAUSED, seconds=0.1)
            with closing(sqlite3.connect(world.settings().database)) as other:
                other.execute("BEGIN IMMEDIATE")
                await eventually(lambda: running.steward.current_status is GatewayStatus.RUNNING)
            await world.all_on_target()
        async with world.gateway() as running:
            assert running.steward.current_status is GatewayStatus.RUNNING


async def test_a_pause_that_is_asked_for_as_another_ends_by_its_time_stays(tmp_path: Path) -> None:
    async with rig(tmp_path) as world, world.gateway() as running:
        steward = running.steward
        await steward.set_target_status(GatewayStatus.PAUSED, seconds=60.0)
        async with steward._changing:
            asking = asyncio.create_task(steward.set_target_status(GatewayStatus.PAUSED, by="somebody"))
            ending = asyncio.create_task(steward._end_timed(steward._resume_at))
            await asyncio.sleep(0)
        await asyncio.gather(asking, ending)
        assert (steward.target_status, steward.paused_by) == (GatewayStatus.PAUSED, "somebody")


async def test_a_flash_by_hand_is_put_back_unless_it_is_held(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=1) as world:
        world.push()
        by_hand = esp8266_image(fw="by-hand", size=32 * 1024)
        async with world.gateway() as running:
            await world.all_on_target()
            [board] = world.boards
            held = Job(JobKind.FLASH, board.local_id, by_hand, "mine.bin", hold=True)
            steps = await _done(running.steward.work(held))
            assert "left alone" in steps[-1].note
            assert board.fw == "by-hand"
            uploads = len(board.uploads)
            newest = world.push()
            await world.all_on_target()
            assert board.fw == newest
            assert len(board.uploads) == uploads + 1
            steps = await _done(running.steward.work(Job(JobKind.FLASH, board.local_id, by_hand, "mine.bin")))
            assert newest[:8] in steps[-1].note
            await board.wait_for(lambda it: it.fw == newest and it.state == "running", WITHIN)
            await world.all_on_target()


async def test_a_file_that_cannot_be_kept_for_a_flash_is_told_as_trouble_with_the_disk(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=1) as world:
        world.push()
        async with world.gateway() as running:
            await world.all_on_target()
            assets = world.settings().assets_directory
            shutil.rmtree(assets)
            assets.write_text("no folder")
            with pytest.raises(StoreError, match=r"keeping mine\.bin failed") as told:
                await _done(running.steward.work(Job(JobKind.FLASH, world.boards[0].local_id, MINE, "mine.bin")))
            assert told.value.reason == "disk"
            assert "flash it again" in told.value.remedy


async def test_a_bug_in_a_job_is_not_told_as_a_stop_of_the_gateway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    async with rig(tmp_path, boards=1) as world:
        world.push()
        async with world.gateway() as running:
            await world.all_on_target()
            monkeypatch.setattr(Esp8266, "read_firmware", fails)
            with pytest.raises(EnmError, match="ZeroDivisionError") as told:
                await _done(running.steward.work(Job(JobKind.FLASH, world.boards[0].local_id, MINE, "mine.bin")))
            assert told.value.reason == "bug"


async def test_what_a_killed_gateway_left_of_a_flash_by_hand_is_removed_at_the_next_start(tmp_path: Path) -> None:
    async with rig(tmp_path) as world:
        left = world.settings().assets_directory / ".by-hand-abc"
        left.mkdir(parents=True)
        (left / "mine.bin").write_bytes(MINE)
        kept = world.settings().assets_directory / "notes"
        kept.mkdir()
        async with world.gateway():
            assert not left.exists()
            assert kept.exists()


async def test_a_board_whose_id_another_one_has_too_is_flashed_by_nobody(tmp_path: Path) -> None:
    async with rig(tmp_path) as world:
        first = await world.add_board()
        second = await world.add_board(first.local_id, name_suffix="-2")
        async with world.gateway() as running:
            boards = running.gateway.crew.discovery.boards
            key = BoardKey(world.app, first.local_id)
            await eventually(lambda: key in boards and bool(boards[key].rivals))
            with pytest.raises(BusyError, match="more than one board answers to the id"):
                await _done(running.steward.work(Job(JobKind.FLASH, first.local_id, MINE, "mine.bin")))
            assert not first.uploads + second.uploads


async def test_a_board_that_is_named_as_on_the_air_is_worked_on_as_the_device_that_it_is(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=1) as world:
        world.push()
        async with world.gateway() as running:
            await world.all_on_target()
            [uuid] = world.supervisor.devices
            await _done(running.steward.work(Job(JobKind.RESTART, world.boards[0].name)))
            attempts = await running.gateway.crew.store.call(Store.attempts)
            assert {attempt.uuid for attempt in attempts if attempt.kind is AttemptKind.RESTART} == {uuid}


async def test_a_word_that_two_boards_are_called_by_is_asked_back_about(tmp_path: Path) -> None:
    async with rig(tmp_path) as world:
        world.supervisor.fail("provision", "503")
        first = await world.add_board()
        second = await world.add_board(first.local_id, application_id=world.app + 1)
        async with world.gateway() as running:
            boards = running.gateway.crew.discovery.boards
            await eventually(lambda: {BoardKey(world.app + n, first.local_id) for n in (0, 1)} <= boards.keys())
            with pytest.raises(UsageError, match=f"boards are called '{first.local_id}'") as refused:
                await _done(running.steward.work(Job(JobKind.FLASH, first.local_id, MINE, "mine.bin")))
            assert {first.name, second.name} <= {*refused.value.remedy.replace(",", "").split()}
            assert not first.uploads + second.uploads


async def test_a_simulated_gateway_is_sent_to_no_real_address(tmp_path: Path) -> None:
    async with rig(tmp_path) as world, world.gateway() as running:
        with pytest.raises(UsageError, match="real address"):
            await _done(running.steward.work(Job(JobKind.FLASH, "http://192.0.2.7", MINE, "mine.bin")))
        board = await world.add_board()
        await _done(running.steward.work(Job(JobKind.FLASH, board.url, MINE, "mine.bin")))
        assert board.fw == "mine"


async def test_a_foreign_update_lock_holds_transfers_up_and_nothing_else(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=1) as world:
        lock = world.settings().lock_file
        lock.parent.mkdir()
        lock.write_text("the Supervisor's")
        world.push()
        async with world.gateway() as running:
            await world.wait_for(lambda: "Downloading" in next(iter(world.supervisor.status_history.values()), []))
            assert running.steward.summary()["updateLock"] == str(lock)
            assert not world.boards[0].uploads
            lock.unlink()
            await world.all_on_target()


async def test_a_pause_waits_for_nothing_that_sends_no_byte_yet(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=1) as world:
        lock = world.settings().lock_file
        lock.parent.mkdir()
        lock.write_text("the Supervisor's")
        world.push()
        async with world.gateway(pause_delay=0.2) as running:
            await world.wait_for(lambda: "Downloading" in next(iter(world.supervisor.status_history.values()), []))
            await running.steward.set_target_status(GatewayStatus.PAUSED)
            await eventually(lambda: running.steward.current_status is GatewayStatus.PAUSED, within=10.0)
            assert not world.boards[0].uploads
            [attempt] = await running.gateway.crew.store.call(Store.attempts)
            assert (attempt.outcome, attempt.reason) == (Outcome.INTERRUPTED, "paused")
            lock.unlink()
            await running.steward.set_target_status(GatewayStatus.RUNNING)
            await world.all_on_target()


async def test_a_pause_that_comes_while_the_radios_are_opened_lets_them_go(tmp_path: Path) -> None:
    async with rig(tmp_path) as world, world.gateway() as running:
        discovery = running.gateway.crew.discovery
        for turns in range(8):
            await running.steward.set_target_status(GatewayStatus.RUNNING)
            for _ in range(turns):
                await asyncio.sleep(0)
            await running.steward.set_target_status(GatewayStatus.PAUSED)
            await eventually(lambda: running.steward.current_status is GatewayStatus.PAUSED)
            await asyncio.wait_for(running.gateway._turning.acquire(), 10.0)
            running.gateway._turning.release()
            assert not discovery.is_listening


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
async def test_one_pass_that_is_told_to_stop_ends_at_a_safe_point(tmp_path: Path, name: str) -> None:
    async with rig(tmp_path) as world:
        board = await world.add_board(flash_speed=8_000.0)
        world.push()
        settings = world.settings(stop_timeout=0.2)
        environment = world.environment(stop_timeout=0.2)
        async with running_process(environment, "run", "--once", log=tmp_path / "log") as process:
            await board.wait_for(lambda it: it.uploading, WITHIN)
            process.send_signal(signal.Signals[name])
            async with asyncio.timeout(10.0):
                assert await process.wait() == ExitCode.INTERRUPTED
        assert "Traceback" not in (tmp_path / "log").read_text(encoding="utf-8")
        assert not settings.lock_file.exists()
        outcomes = [attempt.outcome for attempt in read_attempts(settings.database)]
        assert outcomes == [Outcome.INTERRUPTED]


async def _done(steps: AsyncIterator[Step]) -> Sequence[Step]:
    return [step async for step in steps]
