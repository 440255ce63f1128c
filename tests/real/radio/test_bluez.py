"""The radio over bleak's own BlueZ backend, against a small bluetoothd on a private D-Bus."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest
from dbus_fast import Message

from enmctl.errors import RadioError
from enmctl.radio import bluez as bluez_module
from enmctl.radio import system_bus
from enmctl.radio.bluetooth import (
    AttError,
    BluetoothRadio,
    LinkLostError,
    NoAnswerError,
    NotHeardError,
    Notification,
)
from enmctl.radio.bluez import BluezBackend
from enmctl.settings import Settings
from tests.real.radio.bluetoothd import (
    CONTROL,
    ECHO,
    SECRET,
    AnswerError,
    FakeBluetoothd,
    FakeDevice,
    address,
    bluetoothd,
    let_bleak_go,
    needs_daemon,
)
from tests.real.radio.waiting import LIMIT, until
from tests.real.simulator.bluetooth.rig import SETTINGS

pytestmark = needs_daemon

ADDRESS = FakeDevice.address


def at(wanted: str) -> Any:
    return lambda advert: advert.address == wanted


async def test_a_device_is_heard_connected_to_and_talked_to(daemon: FakeBluetoothd, radio: BluetoothRadio) -> None:
    device = daemon.add_device(FakeDevice())
    advert = await radio.heard(at(ADDRESS), LIMIT)
    assert advert is not None
    assert advert.name == device.name
    assert advert.signal in (-60, -61)
    async with radio.connect(ADDRESS) as connection:
        assert not daemon.is_discovering
        assert connection.characteristics == {ECHO, SECRET}
        assert connection.services == 3
        assert connection.most == 244
        await connection.subscribe(ECHO)
        await connection.write(ECHO, b"command")
        await connection.request(ECHO, b"request")
        assert [await connection.wait(LIMIT) for _ in range(2)] == [
            Notification(ECHO, b"command"),
            Notification(ECHO, b"request"),
        ]
        assert await connection.read(ECHO) == b"request"
    assert [kind for _, _, kind in device.written] == ["command", "request"]
    assert not daemon.property_of(device, "Connected")


async def test_that_a_board_hung_up_is_no_word_of_it(daemon: FakeBluetoothd, radio: BluetoothRadio) -> None:
    device = daemon.add_device(FakeDevice())
    heard: list[str] = []
    async with radio.connect(ADDRESS) as connection:
        radio.listen(lambda advert: heard.append(advert.name))
        await until(lambda: daemon.is_discovering)
        daemon.is_silent = True
        daemon.drop(device)
        assert await connection.wait_lost(LIMIT)
        assert await radio.heard(at(ADDRESS), 0.1) is None
        device.name = "DfuTarg"
        daemon.announce(device)
        await until(lambda: bool(heard))
    assert heard == ["DfuTarg"]


async def test_services_are_stale_until_the_device_is_removed(daemon: FakeBluetoothd, radio: BluetoothRadio) -> None:
    device = daemon.add_device(FakeDevice())
    async with radio.connect(ADDRESS):
        pass
    device.characteristics = (CONTROL,)
    async with radio.connect(ADDRESS) as connection:
        assert CONTROL not in connection.characteristics
    daemon.calls.clear()
    async with radio.connect(ADDRESS, fresh=True) as connection:
        assert connection.characteristics == {CONTROL}
    assert "RemoveDevice hci0" in daemon.calls


async def test_a_connection_that_a_killed_run_left_is_ended(daemon: FakeBluetoothd, radio: BluetoothRadio) -> None:
    device = daemon.add_device(FakeDevice(), connected=True)
    assert await radio.heard(at(ADDRESS), 0.1) is None
    async with radio.connect(ADDRESS) as connection:
        assert await connection.read(ECHO) == b""
        assert not await radio.release(ADDRESS)
    assert not daemon.property_of(device, "Connected")
    assert not await radio.release(ADDRESS)


@pytest.mark.parametrize(
    "failure",
    [
        AnswerError("InProgress", "Operation already in progress"),
        AnswerError("Failed", "le-connection-abort-by-local"),
        AnswerError("Failed", "br-connection-canceled"),
    ],
    ids=lambda failure: failure.text,
)
async def test_what_bluez_fails_to_connect_is_tried_again(
    daemon: FakeBluetoothd, radio: BluetoothRadio, failure: AnswerError
) -> None:
    device = daemon.add_device(FakeDevice())
    if failure.text == "le-connection-abort-by-local":
        failure = AnswerError("Failed", "Software caused connection abort")  # bleak goes on by itself after the other
    device.failures = [failure, failure]
    async with radio.connect(ADDRESS) as connection:
        assert await connection.read(ECHO) == b""


async def test_a_device_that_bluez_has_dropped_is_looked_for_again(
    daemon: FakeBluetoothd, radio: BluetoothRadio
) -> None:
    device = daemon.add_device(FakeDevice())
    assert await radio.heard(at(ADDRESS), LIMIT)
    daemon._remove(device.path)
    async with radio.connect(ADDRESS) as connection:
        assert await connection.read(ECHO) == b""


async def test_errors_of_an_access_are_told_apart(daemon: FakeBluetoothd, radio: BluetoothRadio) -> None:
    device = daemon.add_device(FakeDevice())
    async with radio.connect(ADDRESS) as connection:
        for answer, code in (
            (AnswerError("Failed", "Operation failed with ATT error: 0xfd"), 0xFD),
            (AnswerError("ImproperlyConfigured", ""), 0xFD),
            (AnswerError("NotAuthorized", "Operation Not Authorized"), 0x08),
            (AnswerError("NotPermitted", "Read not permitted"), 0x02),
            (AnswerError("InvalidArguments", "Invalid Length"), 0x0D),
            (AnswerError("Failed", "Operation failed"), None),
        ):
            device.refusal = answer
            with pytest.raises(AttError) as caught:
                await connection.read(ECHO)
            assert caught.value.code == code
        device.refusal = None
        assert await connection.read(ECHO) == b""


async def test_a_link_that_is_lost_in_an_access_is_told_as_that(daemon: FakeBluetoothd, radio: BluetoothRadio) -> None:
    device = daemon.add_device(FakeDevice())
    async with radio.connect(ADDRESS) as connection:
        device.refusal = AnswerError("Failed", "Operation failed")
        reading = asyncio.ensure_future(connection.read(ECHO))
        asyncio.get_running_loop().call_later(0.05, daemon.drop, device)
        with pytest.raises(LinkLostError):
            await reading


async def test_an_access_that_is_never_answered_ends_with_the_link(daemon: FakeBluetoothd) -> None:
    device = daemon.add_device(FakeDevice())
    settings = Settings(bluetooth_short_timeout=LIMIT, bluetooth_long_timeout=2)
    async with BluetoothRadio(settings) as radio, radio.connect(ADDRESS) as connection:
        device.hangs = True
        asyncio.get_running_loop().call_later(0.05, daemon.drop, device)
        started = asyncio.get_running_loop().time()
        with pytest.raises(LinkLostError):
            await connection.read(ECHO)
        assert asyncio.get_running_loop().time() - started < 1


async def test_whoever_is_cancelled_while_closing_still_waits_for_the_end(
    daemon: FakeBluetoothd, radio: BluetoothRadio
) -> None:
    device = daemon.add_device(FakeDevice(disconnect_time=0.1))
    connection = await radio.open(ADDRESS)
    closing = asyncio.ensure_future(connection.close())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert connection.lost.is_set()
    assert not daemon.property_of(device, "Connected")


async def test_nobody_hears_a_device_that_is_not_there(daemon: FakeBluetoothd) -> None:
    async with BluetoothRadio(Settings(bluetooth_long_timeout=0.2)) as radio:
        with pytest.raises(NotHeardError):
            await radio.open(ADDRESS)
    assert not daemon.is_discovering


async def test_an_adapter_can_be_named(daemon: FakeBluetoothd) -> None:
    daemon.add_device(FakeDevice())
    async with BluetoothRadio(Settings(bluetooth_adapter="hci0", bluetooth_long_timeout=2)) as radio:
        async with radio.connect(ADDRESS) as connection:
            assert await connection.read(ECHO) == b""
        assert await radio.forget(ADDRESS)
    with pytest.raises(RadioError, match="hci7") as caught:
        async with BluetoothRadio(Settings(bluetooth_adapter="hci7", bluetooth_long_timeout=2)):
            pass
    assert caught.value.reason == "no-adapter"


async def test_an_adapter_that_is_off_or_missing_is_told(daemon: FakeBluetoothd) -> None:
    for reason in ("powered-off", "no-adapter"):
        if reason == "powered-off":
            daemon.add_adapter(powered=False)
        else:
            daemon.objects.clear()
        await let_bleak_go()
        with pytest.raises(RadioError) as caught:
            async with BluetoothRadio(SETTINGS):
                pass
        assert caught.value.reason == reason
        assert caught.value.remedy


@pytest.mark.parametrize("befalls", ["switched", "pulled"])
async def test_an_adapter_that_goes_is_noticed_at_once_said_once_and_used_again(
    daemon: FakeBluetoothd, radio: BluetoothRadio, caplog: pytest.LogCaptureFixture, befalls: str
) -> None:
    device = daemon.add_device(FakeDevice())
    radio.listen(lambda _: None)
    await until(lambda: radio.is_listening)
    if befalls == "switched":
        daemon.switch(on=False)
    else:
        daemon.pull()
    await until(lambda: radio.trouble is not None)
    assert not radio.is_listening
    if befalls == "switched":
        daemon.switch(on=True)
    else:
        daemon.plug()
    await until(lambda: radio.is_listening)
    assert await radio.heard(at(device.address), LIMIT)
    assert radio.trouble is None
    assert caplog.text.count("cannot be looked for over Bluetooth") == 1


async def test_the_adapter_is_switched_off_and_on_again(daemon: FakeBluetoothd) -> None:
    daemon.add_device(FakeDevice(failures=[AnswerError("Failed", "Software caused connection abort")] * 2))
    daemon.stays_off = 1
    settings = Settings(bluetooth_long_timeout=2, bluetooth_power_cycle_after=2)
    async with BluetoothRadio(settings) as radio, radio.connect(ADDRESS) as connection:
        assert await connection.read(ECHO) == b""
    assert daemon.calls.count("Set hci0") == 2


async def test_switching_it_off_and_on_takes_until_it_is_on(daemon: FakeBluetoothd) -> None:
    daemon.stays_off = 1
    backend = BluezBackend("")
    assert await backend.power_cycle()
    assert daemon.objects["/org/bluez/hci0"]["org.bluez.Adapter1"]["Powered"].value
    daemon.objects.clear()
    assert not await backend.power_cycle()
    await backend.close()


def is_on(daemon: FakeBluetoothd) -> bool:
    return bool(daemon.objects["/org/bluez/hci0"]["org.bluez.Adapter1"]["Powered"].value)


@pytest.mark.parametrize("leaves", ["the try", "the radio"])
async def test_an_adapter_that_is_off_when_somebody_leaves_comes_on_again(daemon: FakeBluetoothd, leaves: str) -> None:
    daemon.add_device(FakeDevice(failures=[AnswerError("Failed", "Software caused connection abort")]))
    switch = daemon._on_freedesktop_dbus_properties_set

    async def switch_slowly(message: Message) -> None:
        await switch(message)
        await asyncio.sleep(0.05)

    daemon._on_freedesktop_dbus_properties_set = switch_slowly  # type: ignore[method-assign]
    async with BluetoothRadio(Settings(bluetooth_long_timeout=2, bluetooth_power_cycle_after=1)) as radio:
        opening = asyncio.ensure_future(radio.open(ADDRESS))
        await until(lambda: not is_on(daemon))
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        if leaves == "the try":
            await until(lambda: is_on(daemon))
            async with radio.connect(ADDRESS) as connection:
                assert await connection.read(ECHO) == b""
    assert is_on(daemon)


async def test_an_adapter_that_does_not_come_on_at_once_is_told_to_again(
    daemon: FakeBluetoothd, radio: BluetoothRadio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bluez_module, "POWER_PAUSE", 0.01)
    daemon.refuses_power = 2
    assert await radio._backend.power_cycle()
    assert is_on(daemon)
    daemon.refuses_power = 1000
    with pytest.raises(NoAnswerError):
        await radio._backend.power_cycle()
    assert not is_on(daemon)
    radio.listen(lambda _: None)
    await until(lambda: radio.trouble is not None)
    daemon.refuses_power = 0
    await until(lambda: radio.is_listening)
    daemon.switch(on=False)
    await until(lambda: not radio.is_listening)
    assert not is_on(daemon), "somebody else has switched it off"


async def test_without_bluetoothd_or_without_a_bus_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address(tmp_path))
    with pytest.raises(RadioError) as caught:
        async with BluetoothRadio(SETTINGS):
            pass
    assert caught.value.reason == "no-dbus"
    async with bluetoothd(tmp_path) as daemon:
        await daemon._bus.release_name("org.bluez")
        with pytest.raises(RadioError) as caught:
            async with BluetoothRadio(SETTINGS):
                pass
        await let_bleak_go()
    assert caught.value.reason == "no-bluetoothd"
    assert "systemctl" in caught.value.remedy


async def test_in_a_container_that_names_no_bus_bluetoothd_is_found_on_the_hosts(
    daemon: FakeBluetoothd, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "")
    monkeypatch.setattr(system_bus, "HOST_SOCKET", tmp_path / "bus")
    device = daemon.add_device(FakeDevice())
    async with BluetoothRadio(SETTINGS) as radio:
        assert await radio.heard(at(device.address), LIMIT)
        async with radio.connect(device.address) as connection:
            assert await connection.read(ECHO) == b""
        assert await radio.forget(device.address)


async def test_a_bus_that_breaks_down_loses_the_connection_and_not_the_program(
    daemon: FakeBluetoothd, radio: BluetoothRadio
) -> None:
    daemon.add_device(FakeDevice())
    connection = await radio.open(ADDRESS)
    daemon._bus.disconnect()
    with contextlib.suppress(Exception):
        await daemon._bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
    with pytest.raises((LinkLostError, NoAnswerError, RadioError)):
        await connection.read(ECHO)
    await connection.close()
