"""A whole gateway on the real bluetoothd: it shares the adapter with others, and does not wear out."""

from __future__ import annotations

import asyncio
import gc
import secrets
import statistics
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import psutil  # type: ignore[import-untyped]
import pytest

from enmctl.errors import ExitCode
from enmctl.gateway.run import Running, running
from enmctl.models import GatewayStatus
from enmctl.simulator.bluetooth.living import LivingBoard
from enmctl.simulator.bluetooth.neighbourhood import MICROBIT, asset
from enmctl.simulator.supervisor import SimulatedSupervisor
from tests.real.gateway.rig import settings_in
from tests.system.vm.bluetooth.real_room import SETTINGS, SIZE, RealRoom, real_room
from tests.system.vm.daemons import LOGS, WITHIN, Daemon, must, network_manager, run

pytestmark = pytest.mark.system

APPLICATION: Final = 7654321
CYCLES: Final = 10
SETTLED: Final = 3
"""The cycle after which all has been loaded."""

GROWTH: Final = 1.1
"""How much more memory than then the last may leave."""

LOOKS: Final = 40

CONNECTIONS_MOST: Final = 16
"""Ends of connections: some listening, and two of each that a client keeps for its next request."""


@dataclass
class Scene:
    """A gateway with one micro:bit, and the Supervisor over it."""

    running: Running
    supervisor: SimulatedSupervisor
    board: LivingBoard
    pushed: int = 0

    async def roll_out(self) -> float:
        """Push a release, and wait until the board runs it; the seconds that took."""
        loop = asyncio.get_running_loop()
        began, commit = loop.time(), secrets.token_hex(20)
        self.pushed += 1
        self.supervisor.push(APPLICATION, asset(MICROBIT, APPLICATION, commit, size=SIZE, seed=self.pushed), commit)

        def done() -> bool:
            rows = list(self.supervisor.devices.values())
            return len(rows) == 1 and rows[0].commit == commit and rows[0].status == "Idle"

        await self.supervisor.wait_for(done, 2 * WITHIN)
        assert self.board.runs == commit[:8]
        return loop.time() - began


class Cost(NamedTuple):
    """What this process has of the machine.

    Connections over TCP, of which both ends are here, are kept open or not by how requests happened to meet.
    """

    memory_bytes: int
    descriptors: int
    tasks: int
    connections: int


async def cost_at_rest() -> Cost:
    """What it has when nothing is under way: the least of some looks."""
    gc.collect()
    process = psutil.Process()
    looks = []
    for _ in range(LOOKS):
        ends = len(process.net_connections("tcp"))
        looks.append(Cost(process.memory_info().rss, process.num_fds() - ends, len(asyncio.all_tasks()), ends))
        await asyncio.sleep(0.1)
    return Cost(*(min(each) for each in zip(*looks, strict=True)))


@pytest.fixture(scope="module")
async def room() -> AsyncIterator[RealRoom]:
    async with real_room() as made:
        yield made


@pytest.fixture(scope="module")
async def scene(room: RealRoom, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    board = await room.neighbourhood.add("microbit-v2", 9, application_id=APPLICATION)
    async with SimulatedSupervisor(hook_throttle=0.2, apply_interval=0.05) as supervisor:
        supervisor.add_application(APPLICATION, "badges", {"RESIN_HOST_TYPE": MICROBIT})
        settings = settings_in(
            tmp_path_factory.mktemp("gateway"),
            supervisor,
            supervisor_timeout=30.0,
            answer_timeout=30.0,
            stall_timeout=30.0,
            return_timeout=SETTINGS.return_timeout,
            bluetooth_short_timeout=SETTINGS.bluetooth_short_timeout,
            bluetooth_long_timeout=SETTINGS.bluetooth_long_timeout,
            bluetooth_gone_after=SETTINGS.bluetooth_gone_after,
        )
        async with running(settings) as gateway:
            supervisor.hook_address = f"{gateway.api.address}/v1/devices/"
            yield Scene(gateway, supervisor, board)


async def test_a_release_reaches_the_board(scene: Scene) -> None:
    await scene.roll_out()


async def test_paused_it_leaves_the_adapter_to_another_program_and_goes_on_after(scene: Scene) -> None:
    await scene.running.steward.set_target_status(GatewayStatus.PAUSED)
    async with asyncio.timeout(WITHIN):
        while scene.running.steward.current_status is not GatewayStatus.PAUSED:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)
    said = await run(sys.executable, "-m", "tests.system.vm.bluetooth.visitor", scene.board.local_id)
    assert said.code == 0, said.text
    assert int(said.text) > 1
    await scene.running.steward.set_target_status(GatewayStatus.RUNNING)
    await scene.roll_out()


async def test_ten_updates_leave_nothing_behind(scene: Scene) -> None:
    seconds, costs = [], []
    for number in range(1, CYCLES + 1):
        seconds.append(await scene.roll_out())
        if number in (SETTLED, CYCLES):
            costs.append(await cost_at_rest())
            print(f"after cycle {number}: {costs[-1]}")  # noqa: T201 - the figures are asked for
    print(f"seconds: {' '.join(f'{each:.1f}' for each in seconds)}")  # noqa: T201 - likewise
    settled, last = costs
    assert last.memory_bytes <= GROWTH * settled.memory_bytes
    assert last.descriptors <= settled.descriptors
    assert last.tasks <= settled.tasks
    assert last.connections <= CONNECTIONS_MOST
    assert statistics.median(seconds[-3:]) <= 2 * statistics.median(seconds[:3])


async def test_the_doctor_has_nothing_to_say(room: RealRoom, tmp_path: Path) -> None:
    assert room.bluetoothd.said
    await must("modprobe", "mac80211_hwsim", "radios=1")
    await must("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth1")
    await must("ip", "address", "add", "192.0.2.1/24", "dev", "eth0")
    await must("ip", "link", "set", "eth0", "up")
    await must("ip", "link", "set", "eth1", "up")
    await must("udevadm", "settle")
    async with (
        Daemon("wpa_supplicant", "-u", "-s", "-O", "/run/wpa_supplicant", log="wpa_supplicant.log"),
        network_manager(),
        SimulatedSupervisor() as supervisor,
    ):
        supervisor.add_application(1, "lamps", {"RESIN_HOST_TYPE": "esp8266"})
        supervisor.add_application(2, "badges", {"RESIN_HOST_TYPE": MICROBIT})
        variables = {
            "ENM_HOTSPOT_PASSWORD": "correct horse",
            "ENM_DB_DIRECTORY": str(tmp_path / "database"),
            "ENM_ASSETS_DIRECTORY": str(tmp_path / "assets"),
            "ENM_LOCK_FILE_LOCATION": str(LOGS / "resin.lock"),
            "BALENA_SUPERVISOR_ADDRESS": supervisor.url,
            "BALENA_SUPERVISOR_API_KEY": supervisor.api_key or "",
        }
        words = ("env", *(f"{name}={value}" for name, value in variables.items()), sys.executable, "-m", "enmctl")
        said = await run(*words, "doctor")
    print(said.text)  # noqa: T201 - what a person sees
    assert "all is as it should be" in said.text
    assert said.code == ExitCode.DONE
