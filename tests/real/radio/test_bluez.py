"""The radio over bleak's own BlueZ backend, against a small bluetoothd on a private D-Bus."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from enmctl.errors import RadioError
from enmctl.radio.bluetooth import (
    AttError,
    BluetoothRadio,
    BondLostError,
    BondNeededError,
    LinkLostError,
    NoAnswerError,
    NotHeardError,
    Notification,
    PairingError,
)
from enmctl.radio.bluetooth import radio as radio_module
from enmctl.settings import Settings
from tests.real.radio.bluetoothd import (
    CONTROL,
    DAEMON,
    ECHO,
    SECRET,
    AnswerError,
    FakeBluetoothd,
    FakeDevice,
    address,
    bluetoothd,
)
from tests.real.radio.waiting import LIMIT, until

pytestmark = pytest.mark.skipif(DAEMON is None, reason="dbus-daemon is not installed")

SETTINGS = Settings(bluetooth_short_timeout=2, bluetooth_long_timeout=2)
ADDRESS = FakeDevice.address


@pytest.fixture
async def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeBluetoothd]:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address(tmp_path))
    monkeypatch.setattr(radio_module, "FIRST_PAUSE", 0.01)
    async with bluetoothd(tmp_path) as served:
        served.add_adapter()
        yield served
        await let_bleak_go()


async def let_bleak_go() -> None:
    """Close the bus that bleak keeps for as long as the loop lasts."""
    from bleak.backends.bluezdbus.manager import _global_instances

    manager = _global_instances.pop(asyncio.get_running_loop(), None)
    if manager is not None and manager._bus is not None:
        manager._bus.disconnect()
        if manager._bus_watcher_task is not None:
            await asyncio.wait({manager._bus_watcher_task})


@pytest.fixture
async def radio(daemon: FakeBluetoothd) -> AsyncIterator[BluetoothRadio]:
    assert daemon.objects
    async with BluetoothRadio(SETTINGS) as opened:
        yield opened


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


async def test_a_bonded_device_is_never_removed(daemon: FakeBluetoothd, radio: BluetoothRadio) -> None:
    device = daemon.add_device(FakeDevice(is_bonded=True), known=True)
    assert await radio.is_bonded(ADDRESS)
    assert not await radio.forget(ADDRESS)
    async with radio.connect(ADDRESS, fresh=True) as connection:
        assert await connection.read(SECRET) == b""
    assert device.is_bonded
    assert "RemoveDevice hci0" not in daemon.calls
    assert await radio.unpair(ADDRESS)
    assert not device.is_bonded


async def test_a_characteristic_for_the_bonded_says_so(daemon: FakeBluetoothd, radio: BluetoothRadio) -> None:
    daemon.add_device(FakeDevice())
    async with radio.connect(ADDRESS) as connection:
        for access in (connection.read(SECRET), connection.request(SECRET, b""), connection.subscribe(SECRET)):
            with pytest.raises(BondNeededError) as caught:
                await access
            assert caught.value.code is None


async def test_a_board_without_digits_is_paired_with(daemon: FakeBluetoothd, radio: BluetoothRadio) -> None:
    device = daemon.add_device(FakeDevice())
    async with radio.connect(ADDRESS) as connection:
        await connection.pair()
        assert await connection.read(SECRET) == b""
    assert device.is_bonded
    assert await radio.is_bonded(ADDRESS)
    assert daemon.agent is None


async def test_a_person_is_asked_for_the_digits_that_a_board_shows(
    daemon: FakeBluetoothd, radio: BluetoothRadio
) -> None:
    device = daemon.add_device(FakeDevice(passkey=123456))

    async def right() -> int | None:
        return 123456

    async def wrong() -> int | None:
        return 654321

    async def nobody() -> int | None:
        return None

    async with radio.connect(ADDRESS) as connection:
        for answer in (wrong, nobody):
            with pytest.raises(PairingError) as caught:
                await connection.pair(answer)
            assert caught.value.reason == "pairing-failed"
        with pytest.raises(PairingError) as caught:
            await connection.pair()
        assert caught.value.reason == "passkey-needed"
        assert caught.value.remedy
        await connection.pair(right)
        assert device.is_bonded


async def test_pairing_that_takes_too_long_is_cancelled(daemon: FakeBluetoothd, radio: BluetoothRadio) -> None:
    daemon.add_device(FakeDevice(passkey=123456))

    async def slow() -> int | None:
        await asyncio.sleep(LIMIT)
        return None

    async with radio.connect(ADDRESS) as connection:
        with pytest.raises(NoAnswerError):
            await connection.pair(slow, seconds=0.1)
    assert any(call.startswith("CancelPairing") for call in daemon.calls)
    assert daemon.agent is None


async def test_the_agent_answers_for_the_device_that_is_paired_with_alone(
    daemon: FakeBluetoothd, radio: BluetoothRadio
) -> None:
    device = daemon.add_device(FakeDevice(passkey=1))
    other = f"{device.path[:-2]}FF"
    answers: dict[str, str] = {}

    async def ask() -> int | None:
        asked: list[tuple[str, str, list[Any]]] = [
            ("RequestConfirmation", "ou", [device.path, 7]),
            ("RequestConfirmation", "ou", [other, 7]),
            ("RequestAuthorization", "o", [other]),
            ("AuthorizeService", "os", [device.path, "00001800-0000-1000-8000-00805f9b34fb"]),
            ("DisplayPasskey", "ouq", [device.path, 7, 0]),
            ("RequestPasskey", "o", [other]),
        ]
        for member, signature, body in asked:
            reply = await daemon.ask_agent(member, signature, body)
            answers[f"{member} {body[0][-2:]}"] = reply.error_name or "yes"
        return 1

    async with radio.connect(ADDRESS) as connection:
        await connection.pair(ask)
    rejected = "org.bluez.Error.Rejected"
    assert answers == {
        "RequestConfirmation 9A": "yes",
        "RequestConfirmation FF": rejected,
        "RequestAuthorization FF": rejected,
        "AuthorizeService 9A": rejected,
        "DisplayPasskey 9A": "yes",
        "RequestPasskey FF": rejected,
    }


async def test_a_bond_that_the_board_lost_is_told_as_that(daemon: FakeBluetoothd, radio: BluetoothRadio) -> None:
    device = daemon.add_device(FakeDevice(is_bonded=True, knows_bond=False), known=True)
    with pytest.raises(BondLostError) as caught:
        await radio.open(ADDRESS)
    assert caught.value.reason == "bond-lost"
    assert await radio.unpair(ADDRESS)
    async with radio.connect(ADDRESS) as connection:
        await connection.pair()
        assert await connection.read(SECRET) == b""
    assert device.is_bonded


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


async def test_the_adapter_is_switched_off_and_on_again(daemon: FakeBluetoothd) -> None:
    daemon.add_device(FakeDevice(failures=[AnswerError("Failed", "Software caused connection abort")] * 2))
    daemon.stays_off = 1
    settings = Settings(bluetooth_long_timeout=2, bluetooth_power_cycle_after=2)
    async with BluetoothRadio(settings) as radio, radio.connect(ADDRESS) as connection:
        assert await connection.read(ECHO) == b""
    assert daemon.calls.count("Set hci0") == 2


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
