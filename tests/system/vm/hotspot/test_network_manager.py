"""A gateway and its hotspot on the real NetworkManager, with a simulated board behind a station that joins it.

The tests are one story, in this order, around one gateway: the machine is slow, and every start of it costs.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from enmctl.errors import ExitCode, RadioError
from enmctl.models import Proof
from enmctl.radio.hotspot.hotspot import Hotspot
from enmctl.settings import Settings
from enmctl.simulator.images import esp8266_image
from enmctl.simulator.supervisor import SimulatedSupervisor
from enmctl.store.reading import read_attempts
from tests.system.vm.daemons import LOGS, WITHIN, daemon, must, network_manager, run, until
from tests.system.vm.hotspot.station import Station, inside

pytestmark = [pytest.mark.system, pytest.mark.asyncio(loop_scope="module")]

SSID, PASSWORD = "greenhouse", "correct horse"
APPLICATION, BOARD = 1234567, "15602487"
SILENT_BOARD = "15602488"
PROGRAM = (sys.executable, "-m", "enmctl")
SMALL = 48 * 1024
"""Bytes of a release."""


@dataclass
class Story:
    """What there is around the gateway, and the gateway as it runs now."""

    supervisor: SimulatedSupervisor
    station: Station
    environment: dict[str, str]
    gateway: asyncio.subprocess.Process | None = None
    manager: asyncio.subprocess.Process | None = None
    commits: list[str] = field(default_factory=list)

    def push(self) -> str:
        """A new release, whose firmware tells its commit."""
        commit = "".join(random.choices("0123456789abcdef", k=40))
        image = esp8266_image(fw=commit, size=SMALL, seed=len(self.commits))
        self.commits.append(self.supervisor.push(APPLICATION, {"firmware.bin": image}, commit))
        return commit

    async def command(self, *words: str, code: int = ExitCode.DONE) -> str:
        """A command of enmctl beside the gateway."""
        said = await run("env", *(f"{name}={value}" for name, value in self.environment.items()), *PROGRAM, *words)
        assert said.code == code, said.text
        return said.text

    async def all_run(self, commit: str) -> None:
        """Wait until every device is told to run a release."""
        await self.supervisor.wait_for(
            lambda: bool(self.supervisor.devices)
            and all(row.commit == commit and row.status == "Idle" for row in self.supervisor.devices.values()),
            WITHIN,
        )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gateway")


@pytest.fixture(scope="module", autouse=True)
async def story(folder: Path) -> AsyncIterator[Story]:
    """Radios, NetworkManager, a Supervisor, a station, and a gateway that runs."""
    await must("modprobe", "mac80211_hwsim", "radios=2")
    await must("udevadm", "settle")
    async with (
        Station.apart("phy1", "wlan1") as station,
        daemon("wpa_supplicant", "-u", "-s", "-O", "/run/wpa_supplicant", log="wpa_supplicant.log"),
        SimulatedSupervisor(hook_throttle=0.2, apply_interval=0.05) as supervisor,
    ):
        supervisor.add_application(APPLICATION, "lamps", {"RESIN_HOST_TYPE": "esp8266"})
        environment = {
            "ENM_HOTSPOT_SSID": SSID,
            "ENM_HOTSPOT_PASSWORD": PASSWORD,
            "ENM_HOTSPOT": "on",
            "ENM_DB_DIRECTORY": str(folder / "database"),
            "ENM_ASSETS_DIRECTORY": str(folder / "assets"),
            "ENM_LOCK_FILE_LOCATION": str(folder / "resin.lock"),
            "BALENA_APP_LOCK_PATH": str(folder / "none" / "balena.lock"),
            "BALENA_SUPERVISOR_ADDRESS": supervisor.url,
            "BALENA_SUPERVISOR_API_KEY": supervisor.api_key or "",
            "ENM_CONFIG_LOOP_DELAY": "1",
        }
        supervisor.hook_address = "http://127.0.0.1:1337/v1/devices/"
        yield Story(supervisor, station, environment)


@asynccontextmanager
async def board(story: Story, local_id: str, *more: str) -> AsyncGenerator[None]:
    """A board in the station's place."""
    address = await story.station.get_address(f"ESP8266_{APPLICATION}_{local_id}")
    assert address.startswith("10.42.0.")
    words = (sys.executable, "-m", "tests.system.vm.hotspot.board", str(APPLICATION), local_id, address, *more)
    async with daemon(*inside(*words), log="board.log"):
        yield


async def is_access_point() -> bool:
    """Whether the radio is one now, as the kernel has it."""
    return "type AP" in await must("iw", "dev", "wlan0", "info")


async def test_a_board_that_joins_is_found_by_mdns_and_updated(story: Story, folder: Path) -> None:
    ...
