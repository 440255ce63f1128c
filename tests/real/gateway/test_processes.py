"""Processes of enmctl beside each other: a gateway, one too many, the commands, the simulator; and how they stop."""

from __future__ import annotations

import asyncio
import json
import shlex
import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from enmctl.errors import ExitCode
from enmctl.gateway.instance import running
from enmctl.models import GatewayStatus, Outcome
from enmctl.simulator.images import esp8266_image
from enmctl.store.reading import read_attempts, read_meta
from tests.real.gateway.process import Process, enmctl, running_process
from tests.real.gateway.rig import WITHIN, Rig, eventually, rig

STOPS_WITHIN = 10.0
"""Seconds that a gateway may take to stop."""

FACTORY = "factory"
"""The version of the firmware that simulated boards run at first."""


@asynccontextmanager
async def gateway(world: Rig, environment: dict[str, str]) -> AsyncGenerator[Process]:
    """A gateway in a process of its own, once its HTTP API answers and the Supervisor's hooks reach it."""
    async with running_process(environment, "run", log=world.folder / "gateway.log") as process:
        database = world.settings().database
        await eventually(lambda: (found := running(database)) is not None and found.api_address is not None)
        found = running(database)
        assert found is not None
        assert found.pid == process.pid
        world.supervisor.hook_address = f"{found.api_address}/v1/devices/"
        yield process


async def test_a_second_gateway_exits_with_9_and_names_the_first(tmp_path: Path) -> None:
    async with rig(tmp_path) as world:
        environment = world.environment()
        async with gateway(world, environment) as first:
            second = await enmctl(environment, "run")
            assert second.code == ExitCode.BUSY
            assert f"process {first.pid}" in second.talk
            assert first.returncode is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_gateway_that_is_told_to_stop_during_an_upload_ends_in_time_and_the_next_goes_on(
    tmp_path: Path, number: signal.Signals
) -> None:
    async with rig(tmp_path) as world:
        board = await world.add_board(flash_speed=10_000.0)
        commit = world.push()
        environment = world.environment(stop_timeout=0.3, probe_timeout=WITHIN)
        async with gateway(world, environment) as process:
            await board.wait_for(lambda it: it.upload_size > 0, WITHIN)
            process.send_signal(number)
            async with asyncio.timeout(STOPS_WITHIN):
                await process.wait()
            assert process.returncode == ExitCode.DONE
        assert (board.fw, board.state) == (FACTORY, "running")
        attempts = read_attempts(world.settings().database)
        assert [attempt.outcome for attempt in attempts] == [Outcome.INTERRUPTED], attempts
        [row] = world.supervisor.devices.values()
        assert (row.status, row.is_online, row.commit) == ("Offline", 0, None), "nobody was told that it stopped"
        assert not world.settings().lock_file.exists()
        board.flash_speed = 400_000.0
        async with gateway(world, environment):
            await world.all_on_target()
            assert board.fw == commit


async def test_an_upload_that_can_end_while_the_gateway_stops_is_ended_and_told(tmp_path: Path) -> None:
    async with rig(tmp_path) as world:
        board = await world.add_board(flash_speed=100_000.0)
        commit = world.push()
        async with gateway(world, world.environment(stop_timeout=5.0, probe_timeout=WITHIN)) as process:
            await board.wait_for(lambda it: it.upload_size > 0, WITHIN)
            process.terminate()
            async with asyncio.timeout(STOPS_WITHIN):
                await process.wait()
        assert board.fw == commit
        attempts = read_attempts(world.settings().database)
        assert [attempt.outcome for attempt in attempts] == [Outcome.SUCCEEDED], attempts
        [row] = world.supervisor.devices.values()
        assert (row.commit, row.status, row.is_online) == (commit, "Offline", 0)


async def test_a_gateway_whose_supervisor_hangs_still_stops_in_time(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=1) as world:
        world.push()
        async with gateway(world, world.environment()) as process:
            await world.all_on_target()
            world.supervisor.fail("any", "silent")
            process.terminate()
            async with asyncio.timeout(STOPS_WITHIN):
                await process.wait()
            assert process.returncode == ExitCode.DONE


async def test_commands_go_through_the_running_gateway(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=2) as world:
        world.push()
        environment = world.environment(probe_timeout=WITHIN)
        async with gateway(world, environment) as process:
            await world.all_on_target()
            board = world.boards[0]
            listed, standing, restarted, unknown = await asyncio.gather(
                enmctl(environment, "devices", "--json"),
                enmctl(environment, "status", "--json"),
                enmctl(environment, "restart", board.local_id),
                enmctl(environment, "restart", "nobody"),
            )
            assert {device["local_id"] for device in json.loads(listed.output)} == {it.local_id for it in world.boards}
            assert json.loads(standing.output)["gateway"]["pid"] == process.pid
            assert (restarted.code, board.restarts) == (ExitCode.DONE, 1), restarted.talk
            assert unknown.code == ExitCode.UNKNOWN
            await world.all_on_target()


async def test_a_flash_by_hand_goes_through_the_running_gateway_and_its_journal(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=1) as world:
        target = world.push()
        [board] = world.boards
        image = tmp_path / "mine.bin"
        image.write_bytes(esp8266_image(fw="by-hand", size=32 * 1024))
        environment = world.environment()
        async with gateway(world, environment):
            await world.all_on_target()
            flashed = await enmctl(environment, "flash", image, board.local_id, "--hold")
            assert flashed.code == ExitCode.DONE, flashed.talk
            assert board.fw == "by-hand"
            kinds = [attempt.kind for attempt in read_attempts(world.settings().database)]
            assert kinds == ["flash", "update"]
            flashed = await enmctl(environment, "flash", image, board.local_id)
            assert target[:8] in flashed.output + flashed.talk, "nobody was told that the target comes back"
            await board.wait_for(lambda it: it.fw == target and it.state == "running", WITHIN)


async def test_a_pause_reaches_the_running_gateway_and_outlives_it(tmp_path: Path) -> None:
    async with rig(tmp_path, boards=1) as world:
        world.push()
        [board] = world.boards
        environment = world.environment()
        database = world.settings().database
        async with gateway(world, environment):
            await world.all_on_target()
            assert (await enmctl(environment, "pause")).code == ExitCode.DONE
            uploads = len(board.uploads)
            newest = world.push()
            hooks = world.supervisor.hooks
            await world.wait_for(lambda: any(hook.status and hook.body["commit"] == newest for hook in hooks))
        assert read_meta(database, "target_status") == GatewayStatus.PAUSED
        async with gateway(world, environment):
            told = json.loads((await enmctl(environment, "status", "--json")).output)
            assert told["current_status"] == GatewayStatus.PAUSED
            assert len(board.uploads) == uploads
            assert (await enmctl(environment, "resume")).code == ExitCode.DONE
            await world.all_on_target()
            assert board.fw == newest


async def test_gateway_and_simulator_work_as_two_processes_with_the_variables_that_it_prints(tmp_path: Path) -> None:
    printed = tmp_path / "printed"
    log = tmp_path / "log"
    words = ("simulator", "--no-bluetooth", "--boards", "2", "--folder", tmp_path / "world")
    async with running_process({}, *words, log=log, output=printed) as simulator:
        await eventually(lambda: "ENM_MDNS_INTERFACES=" in printed.read_text() and "commands: curl" in log.read_text())
        environment = dict(
            assignment.split("=", 1) for assignment in shlex.split(printed.read_text(), posix=True)[1::2]
        )
        [control] = [line.split()[2].rstrip(",") for line in log.read_text().splitlines() if "commands: curl" in line]
        async with (
            running_process(environment, "run", log=tmp_path / "gateway.log") as process,
            httpx.AsyncClient(base_url=control, trust_env=False) as client,
        ):
            state = await _until(client, _all_on_target)
            application = state["applications"][0]["id"]
            pushed = (await client.post("/push", json={"application": application, "size": 32 * 1024})).json()
            state = await _until(client, lambda now: _all_on_target(now) and _runs(now, pushed["commit"]))
            assert state["supervisor"]["inserted"] == len(state["boards"]) == 2
            process.terminate()
            async with asyncio.timeout(STOPS_WITHIN):
                await process.wait()
        simulator.send_signal(signal.SIGINT)
        async with asyncio.timeout(STOPS_WITHIN):
            await simulator.wait()
        assert (process.returncode, simulator.returncode) == (ExitCode.DONE, ExitCode.DONE)


def _all_on_target(state: dict[str, Any]) -> bool:
    devices = state["devices"]
    told = all(device["commit"] and device["commit"] == device["targetCommit"] for device in devices)
    return len(devices) == len(state["boards"]) and told and bool(state["supervisor"]["hooksAtRest"])


def _runs(state: dict[str, Any], commit: str) -> bool:
    return all((board["fw"], board["state"]) == (commit, "running") for board in state["boards"])


async def _until(client: httpx.AsyncClient, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The simulated world once something holds of it."""
    async with asyncio.timeout(2 * WITHIN):
        while True:
            state: dict[str, Any] = (await client.get("/state")).json()
            if holds(state):
                return state
            await asyncio.sleep(0.05)
