"""``enmctl hotspot`` in processes of its own, on a small NetworkManager."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from enmctl.errors import ExitCode
from enmctl.gateway.instance import Instance
from tests.real.cli.rig import environment_of
from tests.real.gateway.process import Ended, enmctl, running_process
from tests.real.radio.hotspot.fake_network_manager import FakeNetworkManager
from tests.real.radio.private_bus import PrivateBus, needs_a_bus, private_bus

pytestmark = needs_a_bus


@pytest.fixture
def environment(tmp_path: Path, bus: PrivateBus) -> dict[str, str]:
    """Settings for a hotspot on the bus of the test; what says that gateways raise none is no matter here."""
    ours = {
        "DBUS_SYSTEM_BUS_ADDRESS": bus.address,
        "ENM_HOTSPOT_SSID": "boards",
        "ENM_HOTSPOT_PASSWORD": "correct horse",
    }
    return environment_of(tmp_path) | ours


async def test_up_holds_it_until_ctrl_c(
    environment: dict[str, str], manager: FakeNetworkManager, tmp_path: Path
) -> None:
    manager.add_device("wlan0")
    async with running_process(environment, "hotspot", "up", log=tmp_path / "log") as process:
        await manager.wait_for(lambda: bool(manager.hotspots))
        told = await enmctl(environment, "hotspot", "status", "--json")
        assert json.loads(told.output) == {
            "up": True,
            "ssid": "boards",
            "interface": "wlan0",
            "addresses": ["10.42.0.1/24"],
            "channel": 1,
            "kept": False,
            "clients": [],
        }
        process.send_signal(signal.SIGINT)
        assert await process.wait() == ExitCode.DONE
    assert manager.profiles == {}
    assert "wlan0 (10.42.0.1/24)" in (tmp_path / "log").read_text()


async def test_up_that_is_called_off_halfway_leaves_nothing(
    environment: dict[str, str], manager: FakeNetworkManager, tmp_path: Path
) -> None:
    manager.add_device("wlan0")
    manager.outcomes = [None]
    async with running_process(environment, "hotspot", "up", log=tmp_path / "log") as process:
        await manager.wait_for(lambda: bool(manager.profiles))
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == ExitCode.DONE
    assert manager.profiles == {}


async def test_up_exits_with_7_when_it_goes_down_by_itself(
    environment: dict[str, str], manager: FakeNetworkManager, tmp_path: Path
) -> None:
    manager.add_device("wlan0")
    async with running_process(environment, "hotspot", "up", "--json", log=tmp_path / "log") as process:
        await manager.wait_for(lambda: bool(manager.hotspots) and manager.asked[-2:] == ["GetSettings", "GetAll"])
        manager.take_down(60)
        assert await process.wait() == ExitCode.RADIO
    assert json.loads((tmp_path / "log").read_text())["reason"] == "hotspot-lost"


async def test_one_that_is_kept_is_taken_down_by_down(environment: dict[str, str], manager: FakeNetworkManager) -> None:
    manager.add_device("wlan0")
    told = await enmctl(environment, "hotspot", "up", "--keep")
    assert told.code == ExitCode.DONE, told.talk
    assert "enmctl hotspot down" in told.talk
    assert len(manager.hotspots) == 1
    assert "kept" in (await enmctl(environment, "hotspot", "status")).output
    assert json.loads((await enmctl(environment, "hotspot", "down", "--json")).output) == {"freed": ["wlan0"]}
    assert manager.profiles == {}
    assert "no hotspot is up" in (await enmctl(environment, "hotspot", "down")).talk
    assert "down" in (await enmctl(environment, "hotspot", "status")).output


BAD_INPUT = [
    ({"ENM_HOTSPOT_PASSWORD": "1234567"}, "7 bytes"),
    ({"ENM_HOTSPOT_SSID": "x" * 33}, "33 bytes"),
    ({"ENM_HOTSPOT_INTERFACE": "wlan7"}, "no such interface"),
    ({"ENM_HOTSPOT_INTERFACE": "eth0"}, "no Wi-Fi interface"),
    ({"ENM_HOTSPOT_INTERFACE": "wlan1"}, "cannot be an access point"),
    ({"DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/nowhere/bus"}, "no D-Bus"),
    ({"DBUS_SYSTEM_BUS_ADDRESS": "nonsense"}, "DBUS_SYSTEM_BUS_ADDRESS"),
]


def check_one_line(told: Ended, says: str) -> None:
    assert told.code == ExitCode.RADIO, told.talk
    message, remedy = told.talk.splitlines()
    assert says in message
    assert remedy.strip()


@pytest.mark.parametrize(("wrong", "says"), BAD_INPUT)
async def test_what_cannot_be_raised_gets_one_line_with_its_remedy_and_7(
    environment: dict[str, str], manager: FakeNetworkManager, wrong: dict[str, str], says: str
) -> None:
    manager.add_device("eth0", wifi=False)
    manager.add_device("wlan0")
    manager.add_device("wlan1", capabilities=0)
    check_one_line(await enmctl(environment | wrong, "hotspot", "up"), says)


@pytest.mark.parametrize("is_up", [True, False])
async def test_a_password_that_cannot_be_keeps_nobody_from_looking_or_taking_it_down(
    environment: dict[str, str], manager: FakeNetworkManager, *, is_up: bool
) -> None:
    manager.add_device("wlan0")
    if is_up:
        assert (await enmctl(environment, "hotspot", "up", "--keep")).code == ExitCode.DONE
    wrong = environment | {"ENM_HOTSPOT_PASSWORD": "1234567"}
    told = await enmctl(wrong, "hotspot", "status", "--json")
    assert (told.code, json.loads(told.output)["up"]) == (ExitCode.DONE, is_up)
    assert (await enmctl(wrong, "hotspot", "status")).code == ExitCode.DONE
    assert (await enmctl(wrong, "hotspot", "down")).code == ExitCode.DONE
    assert manager.profiles == {}


async def test_who_may_not_gets_one_line_with_its_remedy_and_7(
    environment: dict[str, str], manager: FakeNetworkManager
) -> None:
    manager.add_device("wlan0")
    manager.permissions = {"wifi.share.protected": "no"}
    check_one_line(await enmctl(environment, "hotspot", "up"), "may not")


async def test_a_bus_that_does_not_let_us_in_gets_one_line_with_its_remedy_and_7(
    environment: dict[str, str], tmp_path: Path
) -> None:
    async with private_bus(tmp_path, policy='<deny user="*"/>'):
        check_one_line(await enmctl(environment, "hotspot", "up"), "let user")


async def test_the_default_password_is_warned_of(environment: dict[str, str], manager: FakeNetworkManager) -> None:
    manager.add_device("wlan0")
    told = await enmctl(environment | {"ENM_HOTSPOT_PASSWORD": ""}, "hotspot", "up", "--keep")
    assert "everybody knows" in told.talk


async def test_beside_a_gateway_up_and_down_leave_it_to_the_gateway(
    environment: dict[str, str], manager: FakeNetworkManager, tmp_path: Path
) -> None:
    manager.add_device("wlan0")
    with Instance.hold(tmp_path / "database" / "enm.db"):
        for word in ("up", "down"):
            told = await enmctl(environment, "hotspot", word)
            assert told.code == ExitCode.BUSY
            assert "enmctl pause" in told.talk
        assert (await enmctl(environment, "hotspot", "status")).code == ExitCode.DONE
    assert not [each for each in manager.asked if each.startswith(("Add", "Delete"))]
