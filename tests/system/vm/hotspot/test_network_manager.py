"""A gateway and its hotspot on the real NetworkManager, with a simulated board behind a station that joins it.

The tests are one story, in this order, around one gateway: the machine is slow, and every start of it costs.
"""

from __future__ import annotations

import json
import secrets
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from enmctl.errors import ExitCode
from enmctl.models import Proof
from enmctl.simulator.images import esp8266_image
from enmctl.simulator.supervisor import SimulatedSupervisor
from enmctl.store.reading import read_attempts
from tests.system.vm.daemons import LOGS, WITHIN, Daemon, must, network_manager, run, until
from tests.system.vm.hotspot.station import Station, inside

pytestmark = pytest.mark.system

SSID, PASSWORD = "greenhouse", "correct horse"
APPLICATION, BOARD, SILENT_BOARD = 1234567, "15602487", "15602488"
PROGRAM = (sys.executable, "-m", "enmctl")
NOBODY = ("setpriv", "--reuid", "1000", "--regid", "1000", "--clear-groups")
SMALL = 24 * 1024
"""Bytes of a release."""


@dataclass
class Story:
    """What there is around the gateway, and the gateway."""

    supervisor: SimulatedSupervisor
    station: Station
    environment: dict[str, str]
    database: Path
    manager: Daemon
    gateway: Daemon
    pushed: int = field(default=0)

    def push(self) -> str:
        """A new release, whose firmware tells its commit."""
        commit = secrets.token_hex(20)
        self.pushed += 1
        image = esp8266_image(fw=commit, size=SMALL, seed=self.pushed)
        return self.supervisor.push(APPLICATION, {"firmware.bin": image}, commit)

    async def command(
        self,
        *words: str,
        code: int = ExitCode.DONE,
        user: tuple[str, ...] = (),
        variables: Mapping[str, str] = MappingProxyType({}),
    ) -> str:
        """A command of enmctl beside the gateway; what it said."""
        known = {**self.environment, **variables}
        said = await run(*user, "env", *(f"{name}={value}" for name, value in known.items()), *PROGRAM, *words)
        assert said.code == code, said.text
        return said.text

    async def hotspot(self) -> dict[str, Any]:
        """The hotspot, as a person asks for it."""
        shown: dict[str, Any] = json.loads(await self.command("hotspot", "status", "--json"))
        return shown

    async def until_told_of(self, commit: str, boards: int) -> None:
        """Wait until the Supervisor was told of so many devices that they run a release."""
        await self.supervisor.wait_for(
            lambda: [row.commit for row in self.supervisor.devices.values()] == [commit] * boards, WITHIN
        )


async def is_access_point() -> bool:
    """Whether the radio is one now, as the kernel has it."""
    return "type AP" in (await run("iw", "dev", "wlan0", "info")).text


async def is_free() -> bool:
    """Whether the radio is nobody's access point now."""
    return not await is_access_point()


@pytest.fixture(scope="module", autouse=True)
async def story(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Story]:
    """Radios, NetworkManager, a Supervisor, a station, and a gateway that runs."""
    folder = tmp_path_factory.mktemp("gateway")
    await must("modprobe", "mac80211_hwsim", "radios=2")
    await must("udevadm", "settle")
    async with (
        Station.apart("phy1", "wlan1") as station,
        Daemon("wpa_supplicant", "-u", "-s", "-O", "/run/wpa_supplicant", log="wpa_supplicant.log"),
        network_manager() as manager,
        SimulatedSupervisor(hook_throttle=0.2, apply_interval=0.05) as supervisor,
    ):
        supervisor.add_application(APPLICATION, "lamps", {"RESIN_HOST_TYPE": "esp8266"})
        supervisor.hook_address = "http://127.0.0.1:1337/v1/devices/"
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
        words = (*PROGRAM, "run")
        async with Daemon(*words, log="gateway.log", ready=is_access_point, environment=environment) as gateway:
            yield Story(supervisor, station, environment, folder / "database" / "enm.db", manager, gateway)


@asynccontextmanager
async def board(story: Story, local_id: str, *more: str) -> AsyncGenerator[None]:
    """A board in the station's place."""
    address = await story.station.get_address(f"ESP8266_{APPLICATION}_{local_id}")
    assert address.startswith("10.42.0.")
    words = (sys.executable, "-m", "tests.system.vm.hotspot.board", str(APPLICATION), local_id, address, *more)
    async with Daemon(*inside(*words), log="board.log"):
        yield


async def test_an_application_for_wifi_brings_the_hotspot_up(story: Story) -> None:
    await until(lambda: has_come_up(story, 1))
    shown = await story.hotspot()
    assert (shown["up"], shown["interface"], shown["ssid"]) == (True, "wlan0", SSID)
    assert "channel 1 " in (said := await must("iw", "dev", "wlan0", "info")) or "channel 6 " in said or "11 " in said


async def test_who_has_the_wrong_password_is_not_let_in(story: Story) -> None:
    async with story.station.trying_to_join(SSID, "wrong horses"):
        await until(story.station.is_refused)
        assert not await story.station.is_in()


async def test_a_board_that_joins_is_found_by_mdns_and_updated_and_one_that_is_silent_by_its_lease(
    story: Story,
) -> None:
    async with story.station.trying_to_join(SSID, PASSWORD):
        await story.station.until_in()
        async with board(story, BOARD):
            commit = story.push()
            await story.until_told_of(commit, 1)
        (attempt,) = read_attempts(story.database)
        assert attempt.proof is Proof.VERSION_READ_BACK
        async with board(story, SILENT_BOARD, "silent"):
            await story.until_told_of(commit, 2)


async def test_paused_means_that_the_radio_is_free(story: Story) -> None:
    await story.command("pause")
    assert await is_free()
    await story.command("resume")
    await until(lambda: has_come_up(story, 2))
    assert await is_access_point()


async def test_a_restart_of_networkmanager_is_survived(story: Story) -> None:
    await story.manager.end()
    await story.manager.start()
    await until(lambda: has_come_up(story, 3))
    assert await is_access_point()
    assert "NetworkManager was" in story.gateway.said


async def test_a_radio_that_is_switched_off_is_said_once_and_taken_up_again(story: Story) -> None:
    await must("rfkill", "block", "wifi")
    await until(is_free)
    await until(lambda: said(story, "switched off"))
    await must("rfkill", "unblock", "wifi")
    await until(lambda: has_come_up(story, 4))
    assert await is_access_point()
    assert story.gateway.said.count("switched off") == 1


async def has_come_up(story: Story, times: int) -> bool:
    """Whether the gateway has said so many times that it is up."""
    return story.gateway.said.count(f"hotspot '{SSID}' is up") == times


async def said(story: Story, words: str) -> bool:
    """Whether the gateway has said something."""
    return words in story.gateway.said


async def test_killed_it_leaves_neither_a_hotspot_nor_a_profile(story: Story) -> None:
    assert SSID in await must("nmcli", "-t", "-f", "NAME", "connection", "show")
    await story.gateway.end(signal.SIGKILL)
    await until(is_free)
    assert SSID not in await must("nmcli", "-t", "-f", "NAME", "connection", "show")


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"ENM_HOTSPOT_INTERFACE": "wlan7"}, "wlan7"),
        ({"ENM_HOTSPOT_INTERFACE": "lo"}, "Wi-Fi"),
        ({"ENM_HOTSPOT_PASSWORD": "seven77"}, "8"),
        ({"ENM_HOTSPOT_SSID": "s" * 33}, "32"),
    ],
)
async def test_what_cannot_be_raised_is_said_in_one_line(story: Story, variables: dict[str, str], words: str) -> None:
    told = await story.command("hotspot", "up", code=ExitCode.RADIO, variables=variables)
    assert words in told
    assert "Traceback" not in told
    assert await is_free()


async def test_who_may_not_is_told_so(story: Story) -> None:
    told = await story.command(
        "hotspot", "up", code=ExitCode.RADIO, user=NOBODY, variables={"ENM_DB_DIRECTORY": str(LOGS / "somebody")}
    )
    assert "may not" in told or "not allowed" in told
    assert await is_free()


async def test_by_hand_it_is_up_for_as_long_as_the_command_runs(story: Story) -> None:
    words = (*PROGRAM, "hotspot", "up")
    async with Daemon(*words, log="up.log", ready=is_access_point, environment=story.environment) as raising:
        assert (await story.hotspot())["up"]
        assert await raising.end(signal.SIGINT) in (ExitCode.DONE, ExitCode.INTERRUPTED)
    await until(is_free)
