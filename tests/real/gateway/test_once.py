"""``enmctl run --once``: one bounded pass from nothing, and an exit code that a script can branch on."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from enmctl.errors import BusyError, ExitCode, SourceError
from enmctl.gateway import run
from enmctl.gateway.reach import ON_LOOPBACK
from enmctl.gateway.run import run_once
from enmctl.models import GatewayStatus, Outcome
from enmctl.store import Store
from enmctl.store.reading import read_attempts
from tests.real.gateway.process import enmctl
from tests.real.gateway.rig import Rig, rig

PASS_WITHIN = 20.0
"""Seconds that any pass here may take, on a machine that is busy with other tests."""


@pytest.fixture(autouse=True)
def quiet_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Boards on loopback need no second and a half to be heard; passes in processes of their own have the real one."""
    monkeypatch.setattr(run, "QUIET", 0.7)


async def once(world: Rig, **more: Any) -> ExitCode:
    """One pass in this process, within its bound."""
    settings = world.settings(**{"avahi_timeout": 1.5, **more})
    async with asyncio.timeout(PASS_WITHIN):
        return await run_once(settings, reach=ON_LOOPBACK)


async def test_from_nothing_it_provisions_updates_and_reports_before_it_exits_with_0(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=2) as world:
        commit = world.push()
        ended = await enmctl(world.environment(), "run", "--once", within=PASS_WITHIN)
        assert ended.code == ExitCode.DONE, ended.talk
        assert {board.fw for board in world.boards} == {commit}
        assert world.on_target(), "what was done was not reported"
        assert world.supervisor.hooks_at_rest(), "config and environment were not put back"


async def test_all_boards_get_their_turn_where_a_radio_carries_one_at_a_time(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=3) as world:
        commit = world.push()
        assert await once(world, wifi_concurrency=1) is ExitCode.DONE
        assert {board.fw for board in world.boards} == {commit}
        assert world.on_target()


async def test_a_second_pass_with_nothing_to_do_exits_with_0_and_sends_no_image(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=1) as world:
        world.push()
        assert await once(world) is ExitCode.DONE
        assert await once(world) is ExitCode.DONE
        assert len(world.boards[0].uploads) == 1


async def test_a_board_that_is_switched_off_remains_and_is_done_once_it_is_on(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=2) as world:
        world.push()
        assert await once(world) is ExitCode.DONE
        away, here = world.boards
        await away.power(on=False)
        newest = world.push()
        ended = await enmctl(world.environment(), "run", "--once", within=PASS_WITHIN)
        assert ended.code == ExitCode.REMAINS, ended.talk
        assert newest[:8] in ended.talk, "nobody was told what remains"
        assert here.fw == newest
        await away.power(on=True)
        assert await once(world) is ExitCode.DONE
        assert away.fw == newest
        assert world.on_target()


async def test_firmware_that_the_board_refuses_fails_and_is_not_sent_again_by_the_next_pass(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=2) as world:
        sick, healthy = world.boards
        sick.break_with("new-flash-config")
        commit = world.push()
        ended = await enmctl(world.environment(), "run", "--once", within=PASS_WITHIN)
        assert ended.code == ExitCode.BOARD, ended.talk
        assert "real size" in ended.talk, "nobody was told why"
        assert healthy.fw == commit
        assert await once(world) is ExitCode.BOARD
        assert len(sick.uploads) == 1, "an image that was refused was sent again"
        sick.mend()
        newest = world.push()
        assert await once(world) is ExitCode.DONE
        assert {board.fw for board in world.boards} == {newest}


async def test_firmware_that_is_none_fails_without_a_byte_to_the_board(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=1) as world:
        world.push(assets={"firmware.bin": b"<html>not found</html>" * 1000})
        assert await once(world) is ExitCode.BOARD
        assert not world.boards[0].uploads


async def test_a_failure_that_passes_is_tried_again_by_the_next_pass_at_once(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=1) as world:
        world.boards[0].break_with("reset-mid-upload")
        world.push()
        assert await once(world, retry_delay=600.0, retry_delay_most=600.0) is ExitCode.BOARD
        outcomes = [attempt.outcome for attempt in read_attempts(world.settings().database)]
        assert outcomes == [Outcome.FAILED]
        assert await once(world, retry_delay=600.0, retry_delay_most=600.0) is ExitCode.DONE


async def test_a_device_that_failed_before_is_named_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with rig(tmp_path, boards=1) as world:
        world.push(assets={"firmware.bin": b"<html>not found</html>" * 1000})
        assert await once(world) is ExitCode.BOARD
        caplog.clear()
        assert await once(world) is ExitCode.BOARD
        [row] = world.supervisor.devices.values()
        assert f"enmctl history {row.name}" in caplog.text, "an exit code without a word helps nobody"


async def test_what_the_supervisor_could_not_be_told_remains(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=1) as world:
        world.push()
        assert await once(world) is ExitCode.DONE
        commit = world.push()
        world.supervisor.fail("report", "503")
        assert await once(world, supervisor_timeout=1.0) is ExitCode.REMAINS
        assert world.boards[0].fw == commit
        world.supervisor.heal()
        assert await once(world) is ExitCode.DONE
        assert world.on_target()


async def test_config_that_could_not_be_handed_over_remains(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=1) as world:
        world.push()
        assert await once(world) is ExitCode.DONE
        [uuid] = world.supervisor.devices
        world.supervisor.set_environment(uuid, {"LED": "on"})
        await world.boards[0].power(on=False)
        assert await once(world) is ExitCode.REMAINS
        await world.boards[0].power(on=True)
        assert await once(world) is ExitCode.DONE
        assert world.boards[0].environment == {"LED": "on"}


async def test_without_a_supervisor_it_exits_with_8_in_bounded_time(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=1) as world:
        await world.supervisor.stop_listening()
        ended = await enmctl(world.environment(avahi_timeout=0.5), "run", "--once", within=PASS_WITHIN)
        assert ended.code == ExitCode.SOURCE, ended.talk
        assert world.supervisor.url in ended.talk


@pytest.mark.parametrize("fault", ["silent", "500", "garbage"])
async def test_a_supervisor_that_makes_no_sense_is_none(tmp_path: Path, fault: str) -> None:
    async with rig(tmp_path, boards=1) as world:
        world.supervisor.fail("any", fault)
        with pytest.raises(SourceError):
            await once(world, avahi_timeout=0.5, supervisor_timeout=0.5)


async def test_a_supervisor_that_is_away_for_a_moment_is_waited_for(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=1) as world:
        world.push()
        world.supervisor.fail("devices", "503", times=3)
        assert await once(world) is ExitCode.DONE


async def test_a_paused_gateway_does_nothing_and_exits_with_9(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=1) as world:
        world.push()
        environment = world.environment()
        assert (await enmctl(environment, "pause")).code == ExitCode.DONE
        ended = await enmctl(environment | {"ENM_API_PROT": "1"}, "run", "--once")
        assert ended.code == ExitCode.BUSY
        assert "paused" in ended.talk
        assert "did you mean ENM_API_PORT?" in ended.talk
        assert not world.supervisor.inserted
        with Store.open(world.settings().database) as store:
            store.set_meta("target_status", GatewayStatus.RUNNING)
        assert await once(world) is ExitCode.DONE


async def test_beside_another_gateway_it_exits_with_9_and_names_it(tmp_path: Path) -> None:
    async with rig(tmp_path) as world, world.gateway():
        ended = await enmctl(world.environment(), "run", "--once")
        assert ended.code == ExitCode.BUSY
        assert f"process {os.getpid()}" in ended.talk


async def test_under_somebody_elses_update_lock_it_exits_with_9_and_leaves_the_lock(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=1) as world:
        world.push()
        lock = world.settings().lock_file
        lock.parent.mkdir()
        lock.write_text("the Supervisor's")
        with pytest.raises(BusyError, match="update lock"):
            await once(world)
        assert lock.read_text() == "the Supervisor's"
        assert not world.boards[0].uploads
