"""``enmctl doctor``: what it finds on a machine of each kind, and that it only looks."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from dbus_fast import Variant

from enmctl.cli.checks import machine, radios
from enmctl.cli.checks.finding import Finding, State, exit_code, fault, ok
from enmctl.errors import BusyError, ExitCode, RadioError, StoreError
from enmctl.models import AttemptKind, BoardKey, Radio
from enmctl.radio.hotspot.hotspot import Hotspot
from enmctl.settings import Settings
from enmctl.store import Store
from tests.real.cli.rig import Run, environment_of
from tests.real.gateway.process import enmctl as enmctl_process
from tests.real.gateway.rig import Rig, rig
from tests.real.radio.fake_service import showing
from tests.real.radio.hotspot.fake_network_manager import FakeNetworkManager
from tests.real.radio.private_bus import PrivateBus, needs_a_bus, private_bus

EVERY_RADIO = frozenset(Radio)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.from_environment(environment_of(tmp_path))


def on(bus: PrivateBus, **more: Any) -> Settings:
    return Settings(system_bus_address=bus.address, hotspot_password="correct horse", **more)


def states(found: Any) -> dict[str, str]:
    return {each["check"]: each["state"] for each in found}


def adapter(**more: Variant) -> dict[str, dict[str, Variant]]:
    known = {"Address": Variant("s", "C0:FF:EE:00:00:01"), "Powered": Variant("b", True)}
    return {"org.bluez.Adapter1": known | more}


@pytest.fixture
def no_rfkill(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A kernel that blocks no radio, whatever this machine's does."""
    monkeypatch.setattr(radios, "BLOCKS", tmp_path / "rfkill")
    return tmp_path / "rfkill"


def test_without_any_radio_or_supervisor_each_is_one_line_with_a_remedy_and_the_code_is_7(
    enmctl: Run, monkeypatch: pytest.MonkeyPatch, unused_port: int, tmp_path: Path
) -> None:
    monkeypatch.setenv("RESIN_SUPERVISOR_ADDRESS", f"http://127.0.0.1:{unused_port}")
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path / 'no bus'}".replace(" ", "-"))
    told = enmctl("doctor")
    assert told.exit_code == ExitCode.RADIO
    for check in ("supervisor", "D-Bus", "Bluetooth"):
        [line] = [each for each in told.stdout.splitlines() if each.startswith(f"{check} ")]
        assert " fault " in line
        assert ": " in line
    found = json.loads(enmctl("doctor", "--json").stdout)
    assert states(found)["hotspot"] == "ok", "a hotspot that is not wanted is no fault"
    assert all(each["remedy"] for each in found if each["state"] == "fault")
    assert not (tmp_path / "database").exists(), "the doctor makes what it looks for"


@needs_a_bus
async def test_with_all_there_it_is_all_green(tmp_path: Path, bus: PrivateBus) -> None:
    async with rig(tmp_path) as world, FakeNetworkManager(bus.address) as manager:
        manager.add_device("wlan0")
        async with showing(bus.address, "org.bluez", {"/org/bluez/hci0": adapter()}):
            more = {"ENM_HOTSPOT": "on", "ENM_MDNS_INTERFACES": "all", "DBUS_SYSTEM_BUS_ADDRESS": bus.address}
            told = await enmctl_process(environment(world) | more, "doctor", "--json")
    found = json.loads(told.output)
    assert told.code == ExitCode.DONE
    assert {check for check, state in states(found).items() if state == "fault"} == set()
    assert "1.42.4 can raise it on wlan0" in {each["check"]: each["message"] for each in found}["hotspot"]
    assert not [each for each in manager.asked if each.startswith(("Add", "Delete"))]


def environment(world: Rig) -> dict[str, str]:
    return world.environment(hotspot_password="correct horse")


async def test_a_supervisor_that_does_not_take_the_key_is_a_fault_of_its_own(tmp_path: Path) -> None:
    async with rig(tmp_path) as world:
        told = await enmctl_process(environment(world) | {"BALENA_SUPERVISOR_API_KEY": "wrong"}, "doctor", "--json")
    [found] = [each for each in json.loads(told.output) if each["check"] == "supervisor"]
    assert (found["state"], found["exit_code"]) == ("fault", ExitCode.SOURCE)
    assert "key" in found["message"] + found["remedy"]


def test_a_shell_is_told_of_a_needed_radio_before_all_else() -> None:
    faults = [fault("a", StoreError("no")), fault("b", RadioError("no")), fault("c", BusyError("no"))]
    assert exit_code(faults) == ExitCode.RADIO
    assert exit_code([faults[0], faults[2]]) == ExitCode.FILE
    assert exit_code([ok("a", "fine"), Finding("b", State.WARNING, "careful")]) == ExitCode.DONE


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_a_fault(settings: Settings, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        assert machine.database_folder(settings).state is State.FAULT
    finally:
        tmp_path.chmod(0o700)


def test_a_folder_whose_place_has_a_file_is_a_fault(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "database").write_text("")
    found = machine.database_folder(settings)
    assert (found.state, found.exit_code) == (State.FAULT, ExitCode.FILE)
    assert "ENM_DB_DIRECTORY" in found.remedy


def test_a_nearly_full_disk_is_worth_a_look(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.assets_folder(settings).state is State.OK
    monkeypatch.setattr(machine, "ROOM_LEAST", 1 << 60)
    assert machine.assets_folder(settings).state is State.WARNING


def test_a_whole_database_is_told_from_a_damaged_one(fleet: Path, settings: Settings) -> None:
    assert machine.database(settings) == ok("database", f"{fleet} is whole, with 4 devices")
    with sqlite3.connect(fleet) as connection:
        pages, size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with fleet.open("r+b") as file:
        file.seek(size)
        file.write(b"\xa5" * size * (pages - 1))
    assert (machine.database(settings).state, machine.database(settings).exit_code) == (State.FAULT, ExitCode.FILE)


def test_a_foreign_update_lock_is_worth_a_look(settings: Settings) -> None:
    assert machine.update_lock(settings).state is State.OK
    settings.lock_file.write_text("somebody's")
    assert machine.update_lock(settings).state is State.WARNING


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such pipes")
def test_a_pipe_under_the_locks_name_is_a_foreign_lock_that_holds_nobody_up(settings: Settings) -> None:
    os.mkfifo(settings.lock_file)
    assert machine.update_lock(settings).state is State.WARNING


def test_a_port_that_somebody_has_is_a_fault(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = Settings.from_environment(environment_of(tmp_path) | {"ENM_API_PORT": str(port)})
        found = machine.api_port(settings)
    assert (found.state, found.exit_code) == (State.FAULT, ExitCode.BUSY)
    assert machine.api_port(settings).state is State.OK


def test_an_api_that_would_be_open_to_everybody_is_a_fault(tmp_path: Path) -> None:
    settings = Settings.from_environment(environment_of(tmp_path) | {"ENM_API_HOST": "0.0.0.0"})  # noqa: S104
    assert machine.api_port(settings).exit_code == ExitCode.USAGE


def test_a_clock_that_was_set_back_is_worth_a_look(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.clock(settings).state is State.OK
    with Store.open(settings.database) as store:
        store.begin_attempt(AttemptKind.UPDATE, BoardKey(511898, "1"), None, "abc", 1, time.time() + 3600)
    assert machine.clock(settings).state is State.WARNING
    monkeypatch.setattr(machine, "BUILT", time.time() + 1)
    assert "past" in machine.clock(settings).message


ADAPTERS = [
    ({}, "no Bluetooth adapter", "plug"),
    ({"/org/bluez/hci0": adapter(Powered=Variant("b", False))}, "switched off", "power on"),
]


@needs_a_bus
@pytest.mark.usefixtures("no_rfkill")
@pytest.mark.parametrize(("objects", "says", "helps"), ADAPTERS)
async def test_what_is_amiss_with_the_adapter_is_said(bus: PrivateBus, objects: Any, says: str, helps: str) -> None:
    async with showing(bus.address, "org.bluez", objects):
        found = await radios.bluetooth(on(bus), EVERY_RADIO)
    assert (found.state, found.exit_code) == (State.FAULT, ExitCode.RADIO)
    assert says in found.message
    assert helps in found.remedy


@needs_a_bus
@pytest.mark.usefixtures("no_rfkill")
async def test_an_adapter_that_is_on_is_named_before_one_that_is_off(bus: PrivateBus) -> None:
    objects = {"/org/bluez/hci0": adapter(Powered=Variant("b", False)), "/org/bluez/hci1": adapter()}
    async with showing(bus.address, "org.bluez", objects):
        found = await radios.bluetooth(on(bus), EVERY_RADIO)
    assert found == ok("Bluetooth", "hci1 (C0:FF:EE:00:00:01) is on")


NAMED = [
    ("hci1", "ok", "hci1 (C0:FF:EE:00:00:01) is on"),
    ("hci0", "fault", "hci0 is switched off"),
    ("hci7", "fault", "ENM_BLUETOOTH_ADAPTER is hci7"),
    ("simulated:127.0.0.1:9", "ok", "simulated"),
]


@needs_a_bus
@pytest.mark.parametrize(("named", "state", "says"), NAMED)
async def test_only_the_adapter_that_is_named_is_looked_at(
    bus: PrivateBus, no_rfkill: Path, named: str, state: str, says: str
) -> None:
    write_switch(no_rfkill, "hci0", soft="1" if named == "hci1" else "0")
    write_switch(no_rfkill, "hci1", soft="0")
    objects = {"/org/bluez/hci0": adapter(Powered=Variant("b", False)), "/org/bluez/hci1": adapter()}
    async with showing(bus.address, "org.bluez", objects):
        found = await radios.bluetooth(on(bus, bluetooth_adapter=named), EVERY_RADIO)
    assert found.state == state
    assert says in found.message


@needs_a_bus
async def test_that_the_named_adapter_is_blocked_is_no_less_so_for_another_that_is_not(
    bus: PrivateBus, no_rfkill: Path
) -> None:
    write_switch(no_rfkill, "hci0", soft="0")
    write_switch(no_rfkill, "hci1", soft="1")
    objects = {"/org/bluez/hci0": adapter(), "/org/bluez/hci1": adapter(Powered=Variant("b", False))}
    async with showing(bus.address, "org.bluez", objects):
        found = await radios.bluetooth(on(bus, bluetooth_adapter="hci1"), EVERY_RADIO)
    assert "rfkill unblock" in found.remedy


async def test_a_simulated_adapter_needs_neither_a_bus_nor_bluez() -> None:
    settings = Settings(system_bus_address="unix:path=/nowhere/bus", bluetooth_adapter="simulated:127.0.0.1:9")
    assert (await radios.bluetooth(settings, EVERY_RADIO)).state is State.OK
    assert (await radios.bus(settings, EVERY_RADIO)).state is State.WARNING


def write_switch(switches: Path, name: str, *, soft: str = "0", hard: str = "0") -> None:
    place = switches / f"rfkill-{name}"
    place.mkdir(parents=True)
    for file, text in (("type", "bluetooth"), ("name", name), ("soft", soft), ("hard", hard)):
        (place / file).write_text(f"{text}\n")


@needs_a_bus
@pytest.mark.parametrize(("soft", "hard", "helps"), [("1", "0", "rfkill unblock"), ("0", "1", "switch")])
async def test_a_blocked_adapter_is_told_from_a_missing_one(
    bus: PrivateBus, no_rfkill: Path, soft: str, hard: str, helps: str
) -> None:
    write_switch(no_rfkill, "hci0", soft=soft, hard=hard)
    async with showing(bus.address, "org.bluez", {}):
        assert helps in (await radios.bluetooth(on(bus), EVERY_RADIO)).remedy


@needs_a_bus
async def test_without_bluetoothd_that_is_said_and_is_no_fault_where_no_board_needs_it(bus: PrivateBus) -> None:
    found = await radios.bluetooth(on(bus), EVERY_RADIO)
    assert found.state is State.FAULT
    assert "does not run" in found.message
    assert (await radios.bluetooth(on(bus), {Radio.WIFI})).state is State.WARNING


@needs_a_bus
async def test_a_user_who_may_not_use_bluetooth_is_told_so(tmp_path: Path) -> None:
    policy = '<deny send_destination="org.bluez"/>'
    async with private_bus(tmp_path, policy) as bus, showing(bus.address, "org.bluez", {}):
        found = await radios.bluetooth(on(bus), EVERY_RADIO)
    assert "group bluetooth" in found.remedy


@needs_a_bus
@pytest.mark.parametrize(
    ("hotspot", "interface", "state"),
    [
        ("off", "", State.OK),
        ("auto", "wlan0", State.OK),
        ("auto", "wlan7", State.WARNING),
        ("on", "wlan7", State.FAULT),
    ],
)
async def test_a_hotspot_that_cannot_be_is_a_fault_where_it_was_asked_for(
    bus: PrivateBus, hotspot: str, interface: str, state: State
) -> None:
    async with FakeNetworkManager(bus.address) as manager:
        manager.add_device("wlan0")
        found = await radios.hotspot(on(bus, hotspot=hotspot, hotspot_interface=interface), EVERY_RADIO)
    assert found.state is state


@needs_a_bus
async def test_the_default_password_is_worth_a_look(bus: PrivateBus) -> None:
    async with FakeNetworkManager(bus.address) as manager:
        manager.add_device("wlan0")
        found = await radios.hotspot(Settings(system_bus_address=bus.address), EVERY_RADIO)
    assert found.state is State.WARNING
    assert "ENM_HOTSPOT_PASSWORD" in found.remedy


@needs_a_bus
async def test_a_password_that_cannot_be_is_told_also_where_a_hotspot_is_up(bus: PrivateBus) -> None:
    async with FakeNetworkManager(bus.address) as manager:
        manager.add_device("wlan0")
        async with Hotspot.opened(on(bus)) as hotspot:
            await hotspot.up()
            settings = Settings(system_bus_address=bus.address, hotspot_password="short")
            found = await radios.hotspot(settings, EVERY_RADIO)
    assert found.state is State.WARNING
    assert "ENM_HOTSPOT_PASSWORD" in found.message


async def test_multicast_on_this_machine_alone_is_worth_a_look() -> None:
    assert (await radios.multicast(Settings(mdns_interfaces="127.0.0.1"), EVERY_RADIO)).state is State.WARNING
    found = await radios.multicast(Settings(mdns_interfaces="203.0.113.7"), EVERY_RADIO)
    assert (found.state, found.exit_code) == (State.FAULT, ExitCode.RADIO)


def test_only_the_radios_of_known_boards_are_needed(
    enmctl: Run, fleet: Path, monkeypatch: pytest.MonkeyPatch, unused_port: int
) -> None:
    assert fleet.exists()
    monkeypatch.setenv("RESIN_SUPERVISOR_ADDRESS", f"http://127.0.0.1:{unused_port}")
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nowhere/bus")
    told = enmctl("doctor", "--json")
    assert states(json.loads(told.stdout))["Bluetooth"] == "warning"
    assert told.exit_code == ExitCode.SOURCE


@pytest.mark.parametrize(("said", "found"), [("5.66", "ok"), ("bluetoothctl: 5.50", "fault")])
async def test_an_old_bluez_is_a_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: str, found: str) -> None:
    program = tmp_path / "bluetoothd"
    program.write_text(f"#!/bin/sh\necho '{said}'\n")
    program.chmod(0o755)
    monkeypatch.setattr(radios, "BLUETOOTHD", (str(program),))
    assert (await radios.bluetoothd(Settings(), EVERY_RADIO)).state == found


async def test_a_program_that_does_not_tell_its_version_in_time_is_ended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "bluetoothctl"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setattr(radios, "BLUETOOTHD", (str(program),))
    monkeypatch.setattr(radios, "VERSION_LIMIT", 0.1)
    started = []
    start = asyncio.create_subprocess_exec

    async def noted(*words: Any, **more: Any) -> asyncio.subprocess.Process:
        started.append(await start(*words, **more))
        return started[-1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", noted)
    assert (await radios.bluetoothd(Settings(), EVERY_RADIO)).message == "its version cannot be told here"
    assert [process.returncode for process in started] == [-signal.SIGKILL]
