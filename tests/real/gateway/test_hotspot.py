"""A gateway and its hotspot, on a small NetworkManager: when it is up, when it is not, and that it stops nothing."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from enmctl.errors import ExitCode
from enmctl.gateway import hotspot as keeping
from enmctl.gateway.run import Running, run_once, running
from enmctl.gateway.wifi_hearing import LEASED
from enmctl.models import GatewayStatus
from enmctl.radio.hotspot import leases as leases_module
from enmctl.simulator.esp8266 import SimulatedEsp8266
from tests.real.gateway.process import running_process
from tests.real.gateway.rig import Rig, eventually, rig
from tests.real.radio.hotspot.fake_network_manager import FakeNetworkManager
from tests.real.radio.private_bus import PrivateBus, needs_a_bus, private_bus

pytestmark = needs_a_bus

HOTSPOT: dict[str, Any] = {"hotspot": "auto", "hotspot_ssid": "boards", "hotspot_password": "correct horse"}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(keeping, "RETRY_FIRST", 0.05)
    monkeypatch.setattr(keeping, "LEASES_INTERVAL", 0.05)
    monkeypatch.setattr(leases_module.Leases.__init__, "__kwdefaults__", {"folders": [tmp_path], "now": time.time})


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig(tmp_path) as world:
        yield world


@asynccontextmanager
async def gateway(world: Rig, bus: PrivateBus, **more: Any) -> AsyncIterator[Running]:
    """A gateway that may have a hotspot, and hears on loopback alone."""
    settings = world.settings(**(HOTSPOT | {"system_bus_address": bus.address} | more))
    async with running(settings) as made:
        world.supervisor.hook_address = f"{made.api.address}/v1/devices/"
        yield made


def facts(running: Running) -> dict[str, Any]:
    told: dict[str, Any] = running.steward.summary()["hotspot"]
    return told


async def test_it_is_up_while_a_gateway_with_an_esp8266_application_runs(
    world: Rig, bus: PrivateBus, manager: FakeNetworkManager
) -> None:
    manager.add_device("wlan0")
    async with gateway(world, bus) as running:
        await eventually(lambda: facts(running)["up"])
        [there] = manager.hotspots
        assert there.secrets["psk"].value == HOTSPOT["hotspot_password"]
        assert facts(running) == {
            "enabled": True,
            "wanted": True,
            "up": True,
            "ssid": "boards",
            "interface": "wlan0",
            "address": "10.42.0.1/24",
            "problem": None,
        }
    assert manager.profiles == {}, "it stays when its gateway has ended"


async def test_without_such_an_application_none_is_raised(
    world: Rig, bus: PrivateBus, manager: FakeNetworkManager
) -> None:
    manager.add_device("wlan0")
    world.supervisor.applications[world.app].config["RESIN_HOST_TYPE"] = "microbit"
    async with gateway(world, bus) as running:
        await eventually(lambda: running.gateway.listening.has_heard)
        await running.gateway.turn()
        assert not facts(running)["wanted"]
    assert manager.asked == []


async def test_switched_off_none_is_raised(world: Rig, bus: PrivateBus, manager: FakeNetworkManager) -> None:
    manager.add_device("wlan0")
    async with gateway(world, bus, hotspot="off") as running:
        await eventually(lambda: running.gateway.listening.has_heard)
        await running.gateway.turn()
    assert manager.asked == []


async def test_stored_boards_have_it_raised_while_the_supervisor_is_away(
    world: Rig, bus: PrivateBus, manager: FakeNetworkManager, unused_tcp_port: int
) -> None:
    await world.add_board()
    world.push()
    async with world.gateway():
        await world.all_on_target()
    manager.add_device("wlan0")
    async with gateway(world, bus, supervisor_address=f"http://127.0.0.1:{unused_tcp_port}"):
        await manager.wait_for(lambda: bool(manager.hotspots))


async def test_paused_means_that_it_is_down_and_resumed_that_it_is_back(
    world: Rig, bus: PrivateBus, manager: FakeNetworkManager
) -> None:
    manager.add_device("wlan0")
    async with gateway(world, bus) as running:
        await eventually(lambda: facts(running)["up"])
        await running.steward.set_target_status(GatewayStatus.PAUSED)
        await eventually(lambda: running.steward.current_status is GatewayStatus.PAUSED)
        assert manager.profiles == {}, "Paused is said while the hotspot still has the radio"
        await running.gateway.turn()
        assert not facts(running)["wanted"], "it is raised again in the middle of the pause"
        await running.steward.set_target_status(GatewayStatus.RUNNING)
        await eventually(lambda: facts(running)["up"])


async def test_a_pause_that_comes_while_it_is_raised_leaves_nothing_of_it(
    world: Rig, bus: PrivateBus, manager: FakeNetworkManager
) -> None:
    manager.add_device("wlan0")
    manager.outcomes = [None]
    async with gateway(world, bus) as running:
        await manager.wait_for(lambda: bool(manager.profiles))
        await running.steward.set_target_status(GatewayStatus.PAUSED)
        await eventually(lambda: running.steward.current_status is GatewayStatus.PAUSED)
        assert manager.profiles == {}


async def test_one_that_is_kept_stays_while_paused_and_after_the_end(
    world: Rig, bus: PrivateBus, manager: FakeNetworkManager
) -> None:
    manager.add_device("wlan0")
    async with gateway(world, bus, hotspot_keep=True) as running:
        await eventually(lambda: facts(running)["up"])
        [there] = manager.hotspots
        await running.steward.set_target_status(GatewayStatus.PAUSED)
        await eventually(lambda: running.steward.current_status is GatewayStatus.PAUSED)
        assert manager.hotspots == [there]
        await running.steward.set_target_status(GatewayStatus.RUNNING)
        await eventually(lambda: facts(running)["up"])
    assert manager.hotspots == [there]


async def test_it_goes_with_a_gateway_that_is_killed(
    world: Rig, bus: PrivateBus, manager: FakeNetworkManager, tmp_path: Path
) -> None:
    manager.add_device("wlan0")
    environment = world.environment(**HOTSPOT, system_bus_address=bus.address)
    async with running_process(environment, "run", log=tmp_path / "log"):
        await manager.wait_for(lambda: bool(manager.hotspots))
    await manager.wait_for(lambda: not manager.profiles)


PROBLEMS = [
    ({"hotspot_password": "1234567"}, "7 bytes"),
    ({"hotspot_ssid": "x" * 33}, "33 bytes"),
    ({"hotspot_interface": "wlan7"}, "no such interface"),
    ({"system_bus_address": "unix:path=/nowhere/bus"}, "no D-Bus"),
]


@pytest.mark.parametrize(("wrong", "says"), PROBLEMS, ids=[next(iter(wrong)) for wrong, _ in PROBLEMS])
@pytest.mark.usefixtures("manager")
async def test_what_keeps_it_down_stops_nothing_else_and_is_said_once(
    world: Rig, bus: PrivateBus, caplog: pytest.LogCaptureFixture, wrong: dict[str, Any], says: str
) -> None:
    caplog.set_level(logging.INFO)
    await world.add_board()
    world.push()
    async with gateway(world, bus, **wrong) as running:
        await world.all_on_target()
        await eventually(lambda: running.gateway.crew.hotspot._delay >= keeping.RETRY_FIRST * 8)
        assert says in facts(running)["problem"]
    lines = [record for record in caplog.records if record.name == keeping.__name__]
    assert sum(says in line.getMessage() for line in lines) == 1, "it is said again and again"


@pytest.mark.parametrize(("hotspot", "level"), [("auto", logging.INFO), ("on", logging.WARNING)])
async def test_a_machine_without_networkmanager_is_a_fault_only_where_a_hotspot_was_asked_for(
    world: Rig, bus: PrivateBus, caplog: pytest.LogCaptureFixture, hotspot: str, level: int
) -> None:
    caplog.set_level(logging.INFO)
    async with gateway(world, bus, hotspot=hotspot) as running:
        await eventually(lambda: facts(running)["problem"] is not None)
        [line] = [record for record in caplog.records if "NetworkManager does not run" in record.getMessage()]
        assert line.levelno == level
        async with FakeNetworkManager(bus.address) as manager:
            manager.add_device("wlan0")
            await eventually(lambda: facts(running)["up"])


async def test_it_comes_back_after_networkmanager_s_restart_and_after_the_bus_s(
    world: Rig, bus: PrivateBus, tmp_path: Path
) -> None:
    async with gateway(world, bus) as running:
        for _ in range(2):
            async with FakeNetworkManager(bus.address) as manager:
                manager.add_device("wlan0")
                await eventually(lambda: facts(running)["up"])
            await eventually(lambda: not facts(running)["up"])
        await bus.end()
        async with private_bus(tmp_path) as again, FakeNetworkManager(again.address) as manager:
            manager.add_device("wlan0")
            await eventually(lambda: facts(running)["up"])


async def test_it_comes_back_when_wifi_is_switched_on_again(
    world: Rig, bus: PrivateBus, manager: FakeNetworkManager
) -> None:
    manager.add_device("wlan0")
    async with gateway(world, bus) as running:
        await eventually(lambda: facts(running)["up"])
        manager.switch_wifi(on=False)
        await eventually(lambda: "switched off" in str(facts(running)["problem"]))
        manager.switch_wifi(on=True)
        await eventually(lambda: facts(running)["up"])


async def test_the_default_password_is_warned_of_once(
    world: Rig, bus: PrivateBus, manager: FakeNetworkManager, caplog: pytest.LogCaptureFixture
) -> None:
    manager.add_device("wlan0")
    async with gateway(world, bus, hotspot_password="resin-hotspot") as running:
        await eventually(lambda: facts(running)["up"])
        manager.take_down(39)
        await eventually(lambda: not facts(running)["up"])
        await eventually(lambda: facts(running)["up"])
    assert caplog.text.count("everybody knows") == 1


async def board_with_a_lease(world: Rig, folder: Path, monkeypatch: pytest.MonkeyPatch) -> SimulatedEsp8266:
    """A board with a target that tells nobody of itself, and that the hotspot has given an address."""
    board = await world.add_board(advertise=False)
    monkeypatch.setattr(leases_module, "HTTP_PORT", board.port)
    world.push()
    (folder / "dnsmasq-wlan0.leases").write_text(f"0 5c:cf:7f:00:00:01 127.0.0.1 {board.name} *\n")
    return board


async def test_a_board_that_mdns_does_not_show_is_found_by_its_lease_and_only_as_long_as_it_is_not_heard(
    world: Rig, bus: PrivateBus, manager: FakeNetworkManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager.add_device("wlan0")
    board = await board_with_a_lease(world, tmp_path, monkeypatch)
    async with gateway(world, bus) as running:
        await world.all_on_target()
        places = running.gateway.crew.discovery._sightings.places

        def leased() -> list[bool]:
            return [name.startswith(LEASED) for name, place in places.items() if place.key.application_id == world.app]

        assert leased() == [True]
        world.mdns.announce(board.name, board.port)
        await eventually(lambda: leased() == [False])
        world.mdns.withdraw(board.name)
        await eventually(lambda: leased() == [True])
        manager.take_down(39)
        await eventually(lambda: leased() == [])


async def test_one_pass_raises_it_before_it_listens(
    world: Rig, bus: PrivateBus, manager: FakeNetworkManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager.add_device("wlan0")
    board = await board_with_a_lease(world, tmp_path, monkeypatch)
    settings = world.settings(**HOTSPOT, system_bus_address=bus.address)
    assert await run_once(settings) == ExitCode.DONE
    assert board.uploads
    await manager.wait_for(lambda: not manager.profiles)
