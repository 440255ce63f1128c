"""The hotspot against a small NetworkManager on a real bus: what it asks, and what it makes of each answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from dbus_fast import Variant

from enmctl.errors import RadioError
from enmctl.radio.hotspot import hotspot as hotspot_module
from enmctl.radio.hotspot.hotspot import Hotspot, Network
from enmctl.settings import Settings
from tests.real.radio.hotspot.fake_network_manager import NAME, FakeNetworkManager, RefusedError
from tests.real.radio.private_bus import PrivateBus, needs_a_bus

pytestmark = needs_a_bus

WITHIN = 10.0


def settings(bus: PrivateBus, **more: Any) -> Settings:
    known = {"system_bus_address": bus.address, "hotspot_ssid": "boards", "hotspot_password": "correct horse"}
    return Settings(**(known | more))


@asynccontextmanager
async def raised(bus: PrivateBus, **more: Any) -> AsyncIterator[tuple[Hotspot, Network]]:
    async with Hotspot.opened(settings(bus, **more)) as hotspot:
        yield hotspot, await hotspot.up()


async def refusal(bus: PrivateBus, **more: Any) -> RadioError:
    """How raising it fails."""
    with pytest.raises(RadioError) as caught:
        async with raised(bus, **more):
            pass
    assert caught.value.remedy
    assert "\n" not in str(caught.value)
    return caught.value


def profile(name: str = "boards", mode: str = "ap", **connection: Variant) -> dict[str, dict[str, Variant]]:
    return {
        "connection": {"id": Variant("s", name), **connection},
        "802-11-wireless": {"mode": Variant("s", mode), "ssid": Variant("ay", b"boards")},
    }


async def test_it_comes_up_and_says_where_and_how(bus: PrivateBus, manager: FakeNetworkManager) -> None:
    manager.add_device("wlan0", access_points=[(2412, 70), (2437, 20)])
    async with raised(bus) as (_, network):
        [there] = manager.hotspots
        shown = (network.name, network.interface, network.addresses, network.channel, network.kept)
        assert shown == ("boards", "wlan0", ("10.42.0.1/24",), 11, False)
        assert there.settings["802-11-wireless"]["ssid"].value == b"boards"
        assert there.secrets["psk"].value == "correct horse"


async def test_it_ends_with_the_connection_to_the_bus(bus: PrivateBus, manager: FakeNetworkManager) -> None:
    manager.add_device("wlan0")
    async with raised(bus):
        assert manager.hotspots
    await manager.wait_for(lambda: not manager.profiles)


async def test_once_taken_down_its_interface_is_free(bus: PrivateBus, manager: FakeNetworkManager) -> None:
    manager.add_device("wlan0")
    async with raised(bus) as (hotspot, network):
        await hotspot.lower(network)
        assert manager.profiles == {}
        assert manager.asked[-1] == "GetManagedObjects", "nobody looked whether the interface is free"


async def test_one_that_is_kept_stays_and_is_taken_up_by_the_next(bus: PrivateBus, manager: FakeNetworkManager) -> None:
    manager.add_device("wlan0")
    async with raised(bus, hotspot_keep=True) as (_, first):
        assert first.kept
    async with raised(bus, hotspot_keep=True) as (hotspot, second):
        assert (second.profile, second.active) == (first.profile, first.active)
        assert manager.asked.count("AddAndActivateConnection2") == 1
        await hotspot.lower(second)
        assert manager.profiles == {}


@pytest.mark.parametrize(
    "other",
    [{"hotspot_password": "another one"}, {"hotspot_interface": "wlan1"}, {"hotspot_keep": False}],
    ids=["password", "interface", "not kept"],
)
async def test_one_that_was_kept_and_is_not_as_it_should_be_is_replaced(
    bus: PrivateBus, manager: FakeNetworkManager, other: dict[str, Any]
) -> None:
    manager.add_device("wlan0")
    manager.add_device("wlan1")
    async with raised(bus, hotspot_keep=True) as (_, first):
        pass
    async with raised(bus, **({"hotspot_keep": True} | other)) as (_, second):
        assert second.profile != first.profile
        assert list(manager.profiles) == [second.profile]


async def test_old_hotspots_of_its_name_are_removed_and_no_others(bus: PrivateBus, manager: FakeNetworkManager) -> None:
    device = manager.add_device("wlan0")
    old = manager.add_profile(profile(), device=device)
    older = manager.add_profile(profile("boards (enmctl)"))
    other = manager.add_profile(profile("lamps"))
    ethernet = manager.add_profile({"connection": {"id": Variant("s", "boards")}})
    async with raised(bus) as (_, network):
        assert set(manager.profiles) == {other, ethernet, network.profile}
        assert not {old, older} & set(manager.profiles)


async def test_a_profile_of_its_name_that_is_no_hotspot_is_left_alone_and_said(
    bus: PrivateBus, manager: FakeNetworkManager, caplog: pytest.LogCaptureFixture
) -> None:
    manager.add_device("wlan0")
    theirs = manager.add_profile(profile(mode="infrastructure"))
    async with raised(bus) as (hotspot, network):
        assert theirs in manager.profiles
        assert manager.profiles[network.profile].settings["connection"]["id"].value == "boards (enmctl)"
        assert await hotspot.current() is not None
    assert "no hotspot" in caplog.text


async def test_an_older_networkmanager_is_asked_the_older_way_and_cleaned_up(
    bus: PrivateBus, manager: FakeNetworkManager
) -> None:
    manager.add_device("wlan0")
    manager.has_second = False
    async with raised(bus) as (hotspot, network):
        assert manager.hotspots
        await hotspot.lower(network)
        assert manager.profiles == {}


async def test_it_waits_until_networkmanager_has_started(bus: PrivateBus) -> None:
    async with FakeNetworkManager(bus.address, starting=True) as manager, Hotspot.opened(settings(bus)) as hotspot:
        raising = asyncio.ensure_future(hotspot.up())
        await manager.wait_for(lambda: "GetManagedObjects" in manager.asked)
        manager.add_device("wlan0")
        manager.has_started()
        assert (await raising).interface == "wlan0"


REASONS = [
    (5, "handed out"),
    (6, "handed out"),
    (7, "password"),
    (8, "let it go"),
    (9, "settings"),
    (10, "failed"),
    (11, "access point in time"),
    (15, "handed out"),
    (18, "handed out"),
    (35, "firmware"),
    (36, "gone"),
    (60, "another connection"),
    (75, "leave the interface alone"),
    (250, "number 250"),
]


@pytest.mark.parametrize(("number", "says"), REASONS)
async def test_each_reason_why_a_device_fails_has_its_words_and_nothing_stays(
    bus: PrivateBus, manager: FakeNetworkManager, number: int, says: str
) -> None:
    manager.add_device("wlan0")
    manager.outcomes = [number]
    error = await refusal(bus)
    assert says in error.message
    assert "wlan0" in error.message
    assert ("dnsmasq" in error.remedy) is (says == "handed out")
    assert error.reason == "hotspot-failed"
    assert manager.profiles == {}


UNMANAGED = "Connection 'x' is not available on device wlan0 because device is strictly unmanaged"
REFUSALS = [
    (f"{NAME}.PermissionDenied", "no-permission", "run as root"),
    ("org.freedesktop.DBus.Error.AccessDenied", "no-permission", "run as root"),
    (f"{NAME}.UnknownDevice", "no-such-interface", "plug"),
    (f"{NAME}.UnknownConnection", "unmanaged", "nmcli device set wlan0"),
    (f"{NAME}.MissingPlugin", "no-wifi-plugin", "install"),
    (f"{NAME}.Device.InvalidConnection", "hotspot-refused", "journalctl"),
]


@pytest.mark.parametrize(("name", "reason", "helps"), REFUSALS)
async def test_each_refusal_has_its_reason_and_remedy(
    bus: PrivateBus, manager: FakeNetworkManager, name: str, reason: str, helps: str
) -> None:
    manager.add_device("wlan0")
    manager.refusal = RefusedError(name, UNMANAGED if name.endswith("UnknownConnection") else "")
    error = await refusal(bus)
    assert error.reason == reason
    assert helps in error.remedy


@pytest.mark.parametrize("action", ["network-control", "settings.modify.system", "wifi.share.protected"])
async def test_a_user_who_may_not_is_told_before_anything_is_touched(
    bus: PrivateBus, manager: FakeNetworkManager, action: str
) -> None:
    manager.add_device("wlan0")
    manager.permissions = {action: "auth"}
    error = await refusal(bus)
    assert error.reason == "no-permission"
    assert f"{NAME}.{action}" in error.remedy
    assert not [each for each in manager.asked if each.startswith("Add")]


async def test_a_bad_password_is_said_before_networkmanager_is_asked(
    bus: PrivateBus, manager: FakeNetworkManager
) -> None:
    assert (await refusal(bus, hotspot_password="short")).reason == "bad-password"
    assert manager.asked == []


async def test_without_networkmanager_that_is_said(bus: PrivateBus) -> None:
    assert (await refusal(bus)).reason == "no-network-manager"
    async with Hotspot.opened(settings(bus)) as hotspot:
        for asked in (hotspot.current(), hotspot.down()):
            with pytest.raises(RadioError, match="does not run"):
                await asked


async def test_one_that_does_not_come_up_in_time_is_given_up_and_removed(
    bus: PrivateBus, manager: FakeNetworkManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hotspot_module, "RAISE_LIMIT", 0.2)
    manager.add_device("wlan0")
    manager.outcomes = [None]
    assert "within 0.2 s" in (await refusal(bus)).message
    assert manager.profiles == {}


async def test_giving_up_halfway_leaves_nothing(bus: PrivateBus, manager: FakeNetworkManager) -> None:
    manager.add_device("wlan0")
    manager.outcomes = [None]
    async with Hotspot.opened(settings(bus)) as hotspot:
        raising = asyncio.ensure_future(hotspot.up())
        await manager.wait_for(lambda: bool(manager.profiles))
        raising.cancel()
        await asyncio.wait([raising])
        assert manager.profiles == {}


async def test_networkmanager_that_goes_while_it_comes_up_is_said(bus: PrivateBus) -> None:
    async with AsyncExitStack() as stack:
        hotspot = await stack.enter_async_context(Hotspot.opened(settings(bus)))
        async with FakeNetworkManager(bus.address) as manager:
            manager.add_device("wlan0")
            manager.outcomes = [None]
            raising = asyncio.ensure_future(hotspot.up())
            await manager.wait_for(lambda: bool(manager.profiles))
        with pytest.raises(RadioError, match="does not run"):
            await raising


@pytest.mark.parametrize(
    ("happens", "says"),
    [
        (lambda manager, _: manager.take_down(39), "somebody took it down"),
        (lambda manager, _: manager.take_down(60), "another connection"),
        (lambda manager, _: manager.take_down(19), "hands out"),
        (lambda manager, device: manager.remove_device(device), "adapter is gone"),
        (lambda manager, _: manager.switch_wifi(on=False), "does not say why"),
    ],
    ids=["by hand", "another", "dnsmasq", "unplugged", "switched off"],
)
async def test_that_it_went_is_noticed_and_why(
    bus: PrivateBus, manager: FakeNetworkManager, happens: Any, says: str
) -> None:
    device = manager.add_device("wlan0")
    async with raised(bus) as (hotspot, network):
        lost = asyncio.ensure_future(hotspot.until_lost(network))
        await manager.wait_for(lambda: manager.asked[-1] == "GetAll")
        happens(manager, device)
        async with asyncio.timeout(WITHIN):
            assert says in await lost
        async with asyncio.timeout(WITHIN):
            assert await hotspot.until_lost(network) == "it is gone"


async def test_that_networkmanager_or_the_bus_went_is_noticed(bus: PrivateBus) -> None:
    async with AsyncExitStack() as stack:
        hotspot = await stack.enter_async_context(Hotspot.opened(settings(bus)))
        async with FakeNetworkManager(bus.address) as manager:
            manager.add_device("wlan0")
            network = await hotspot.up()
            lost = asyncio.ensure_future(hotspot.until_lost(network))
            await manager.wait_for(lambda: manager.asked[-1] == "GetAll")
        assert await lost == "NetworkManager was stopped"
        changed = asyncio.ensure_future(hotspot.until_changed())
        await asyncio.sleep(0)
        async with FakeNetworkManager(bus.address) as manager:
            assert await changed
            manager.add_device("wlan0")
            network = await hotspot.up()
            lost = asyncio.ensure_future(hotspot.until_lost(network))
            await manager.wait_for(lambda: manager.asked[-1] == "GetAll")
            await bus.end()
            assert "D-Bus is gone" in await lost
            assert not await hotspot.until_changed()
            with pytest.raises(RadioError, match="D-Bus is gone"):
                await hotspot.up()


HELPS = [
    (lambda manager, _: manager.switch_wifi(on=True)),
    (lambda manager, _: manager.add_device("wlan1")),
    (lambda manager, device: manager.set_state(device, 30)),
]


@pytest.mark.parametrize("happens", HELPS, ids=["switched on", "plugged in", "handed over"])
async def test_what_may_help_ends_the_waiting(bus: PrivateBus, manager: FakeNetworkManager, happens: Any) -> None:
    device = manager.add_device("wlan0", state=20)
    async with Hotspot.opened(settings(bus)) as hotspot:
        changed = asyncio.ensure_future(hotspot.until_changed())
        await asyncio.sleep(0)
        happens(manager, device)
        async with asyncio.timeout(WITHIN):
            assert await changed


async def test_what_a_failed_try_brings_about_does_not_end_the_waiting(
    bus: PrivateBus, manager: FakeNetworkManager
) -> None:
    manager.add_device("wlan0")
    manager.outcomes = [7]
    async with Hotspot.opened(settings(bus)) as hotspot:
        changed = asyncio.ensure_future(hotspot.until_changed())
        with pytest.raises(RadioError):
            await hotspot.up()
        await hotspot.current()
        assert not changed.done()
        changed.cancel()


async def test_down_removes_whatever_hotspot_of_its_name_there_is(bus: PrivateBus, manager: FakeNetworkManager) -> None:
    device = manager.add_device("wlan0")
    manager.add_profile(profile(), device=device)
    kept = manager.add_profile(profile(mode="infrastructure"))
    async with Hotspot.opened(settings(bus)) as hotspot:
        assert await hotspot.current() is not None
        assert await hotspot.down() == ["wlan0"]
        assert await hotspot.current() is None
        assert await hotspot.down() == []
    assert list(manager.profiles) == [kept]


async def test_an_old_hotspot_that_does_not_go_is_not_waited_for_longer_than_was_said(
    bus: PrivateBus, manager: FakeNetworkManager
) -> None:
    device = manager.add_device("wlan0", way_out=False)
    manager.add_device("wlan1")
    manager.add_profile(profile(), device=device)
    manager.sticks = True
    async with raised(bus, hotspot_delete_delay=0.1) as (_, network):
        assert network.interface == "wlan1"
