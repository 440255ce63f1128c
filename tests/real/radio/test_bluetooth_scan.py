"""The one scan of the radio, on an air of simulated boards: it serves everybody, gives way, and comes back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from bleak.exc import BleakBluetoothNotAvailableError, BleakBluetoothNotAvailableReason, BleakDBusError

from enmctl.errors import RadioError
from enmctl.radio.bluetooth import (
    Advert,
    BluetoothRadio,
    NoAnswerError,
    NotHeardError,
)
from enmctl.radio.bluetooth import radio as radio_module
from enmctl.radio.bluetooth import scanning as scanning_module
from enmctl.settings import Settings
from tests.real.radio.troubled import Troubled, at
from tests.real.radio.waiting import LIMIT, until
from tests.real.simulator.bluetooth.echo import ADDRESS, ECHO, EchoBoard
from tests.real.simulator.bluetooth.rig import SETTINGS, Rig, rig

OTHER = "E7:00:00:00:00:02"


@pytest.fixture
async def air(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    monkeypatch.setattr(radio_module, "FIRST_PAUSE", 0.01)
    async with rig() as made:
        yield made


def at_fault(_: Advert) -> bool:
    raise ZeroDivisionError


async def test_a_board_is_heard_with_its_name_services_and_strength(air: Rig) -> None:
    board, _ = await air.board(rssi=-71)
    radio = await air.radio()
    advert = await radio.heard(at(ADDRESS), LIMIT)
    assert advert == Advert(ADDRESS, "BBC micro:bit [echo]", frozenset(), -71)
    assert radio.adverts[ADDRESS] == advert
    board.in_bootloader = True
    air_board = await radio.heard(lambda advert: advert.name == "DfuTarg", 0.3)
    assert air_board is None


async def test_another_strength_is_heard(air: Rig) -> None:
    _, host = await air.board()
    radio = await air.radio()
    host.rssi = -90
    assert await radio.heard(lambda advert: advert.signal == -90, LIMIT)


async def test_the_name_is_the_advertised_one_and_a_strangers_is_harmless(air: Rig) -> None:
    await air.board(EchoBoard(name="evil\x1b[2J\u202e"))
    radio = await air.radio()
    advert = await radio.heard(at(ADDRESS), LIMIT)
    assert advert is not None
    assert advert.name == "evil\ufffd[2J\ufffd"


async def test_listening_for_a_board_ends_as_soon_as_it_is_heard_and_in_time_otherwise(air: Rig) -> None:
    await air.board()
    radio = await air.radio()
    loop = asyncio.get_running_loop()
    started = loop.time()
    assert await radio.heard(at(ADDRESS), 60)
    assert loop.time() - started < 1
    started = loop.time()
    assert await radio.heard(at(OTHER), 0.1) is None
    assert 0.1 <= loop.time() - started < 1


async def test_one_scan_serves_everybody(air: Rig) -> None:
    await air.board()
    troubled = Troubled(air)
    radio = await air.radio(backend=troubled.backend)
    heard: list[list[Advert]] = [[], []]
    stops = [radio.listen(each.append) for each in heard]
    assert await asyncio.gather(*(radio.heard(at(ADDRESS), LIMIT) for _ in range(3)))
    await until(lambda: all(heard))
    assert troubled.started == 1
    for stop in stops:
        stop()
    counts = [len(each) for each in heard]
    assert await radio.heard(at(ADDRESS), LIMIT)
    assert [len(each) for each in heard] == counts


async def test_a_fault_of_one_listener_stays_its_own(air: Rig) -> None:
    faults: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    await air.board()
    radio = await air.radio()
    radio.listen(at_fault)
    heard: list[Advert] = []
    radio.listen(heard.append)
    await until(lambda: bool(heard and faults))
    with pytest.raises(ZeroDivisionError):
        await radio.heard(at_fault, LIMIT)


async def test_the_scan_is_off_while_a_connection_is_made_and_back_after(air: Rig) -> None:
    await air.board()
    other, _ = await air.board(EchoBoard(OTHER))
    troubled = Troubled(air)
    radio = await air.radio(backend=troubled.backend)
    heard: list[Advert] = []
    radio.listen(heard.append)
    async with radio.connect(ADDRESS) as connection:
        assert not troubled.scanned_while_connecting
        await until(lambda: radio.is_listening)
        heard.clear()
        await until(lambda: any(advert.address == OTHER for advert in heard))
        assert await connection.read(ECHO) == b""
    assert other.peer is None


async def test_nobody_listens_after_a_connection_unless_somebody_wants_to(air: Rig) -> None:
    await air.board()
    radio = await air.radio()
    async with radio.connect(ADDRESS):
        await asyncio.sleep(0.05)
        assert not radio.is_listening


async def test_a_transfer_may_have_the_air_to_itself_and_the_scan_comes_back_by_itself(air: Rig) -> None:
    _, host = await air.board()
    radio = await air.radio()
    radio.listen(lambda _: None)
    for scanning, settings in ((False, SETTINGS), (None, Settings(bluetooth_scan_while_connected=False))):
        radio._settings = settings
        async with radio.connect(ADDRESS, scanning=scanning) as connection:
            await asyncio.sleep(0.05)
            assert not radio.is_listening
            if scanning is None:
                host.lose_link()
                assert await connection.wait_lost(LIMIT)
                await until(lambda: radio.is_listening)
        await until(lambda: radio.is_listening)


async def test_listening_does_not_lose_the_time_that_others_take_to_connect(air: Rig) -> None:
    settings = Settings(bluetooth_short_timeout=1, bluetooth_long_timeout=0.4)
    board, host = await air.board()
    radio = await air.radio(settings)
    assert await radio.heard(at(ADDRESS), LIMIT)
    host.power(on=False)
    board.is_on = False
    before = asyncio.ensure_future(radio.heard(at(OTHER), 0.15))
    connecting = asyncio.ensure_future(radio.open(ADDRESS, seconds=0.35))
    await until(lambda: not radio.is_listening)
    hearing = asyncio.ensure_future(radio.heard(at(OTHER), 0.15))
    with pytest.raises((NoAnswerError, NotHeardError)):
        await connecting
    await air.board(EchoBoard(OTHER))
    assert await hearing is not None
    assert await before is not None


async def test_a_machine_without_bluetooth_says_so_and_what_to_do(air: Rig) -> None:
    troubled = Troubled(air)
    troubled.starts = [BleakBluetoothNotAvailableError("none", BleakBluetoothNotAvailableReason.NO_BLUETOOTH)]
    with pytest.raises(RadioError, match="no Bluetooth adapter") as caught:
        async with BluetoothRadio(SETTINGS, troubled.backend):
            pass
    assert caught.value.remedy
    assert troubled.started == 1


async def test_a_scan_that_cannot_begin_just_now_is_tried_again(air: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning_module, "FIRST_PAUSE", 0.01)
    await air.board()
    busy = BleakDBusError("org.bluez.Error.InProgress", ["Operation already in progress"])
    troubled = Troubled(air)
    troubled.starts = [busy, busy]
    radio = await air.radio(backend=troubled.backend)
    assert await radio.heard(at(ADDRESS), LIMIT)
    troubled.starts = [busy] * 3
    with pytest.raises(RadioError) as caught:
        async with BluetoothRadio(SETTINGS, troubled.backend):
            pass
    assert caught.value.reason == "radio-busy"


async def test_an_adapter_that_comes_back_is_listened_on_again(air: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning_module, "FIRST_PAUSE", 0.01)
    await air.board()
    troubled = Troubled(air)
    radio = await air.radio(backend=troubled.backend)
    async with radio.connect(ADDRESS):
        troubled.starts = [BleakBluetoothNotAvailableError("off", BleakBluetoothNotAvailableReason.POWERED_OFF)] * 3
        with contextlib.suppress(RadioError):
            await radio.heard(at(OTHER), 0.005)
        assert radio.trouble is not None
        assert radio.trouble.reason == "powered-off"
    assert await radio.heard(at(ADDRESS), LIMIT)
    assert radio.trouble is None


async def test_an_adapter_that_stays_away_is_told_to_whoever_listens(air: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning_module, "FIRST_PAUSE", 0.01)
    await air.board()
    troubled = Troubled(air)
    radio = await air.radio(backend=troubled.backend)
    async with radio.connect(ADDRESS):
        troubled.starts = [BleakBluetoothNotAvailableError("off", BleakBluetoothNotAvailableReason.POWERED_OFF)] * 99
        with pytest.raises(RadioError, match="switched off"):
            await radio.heard(at(ADDRESS), 0.1)


async def test_a_scan_that_has_gone_silent_is_begun_anew(air: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning_module, "SILENCE", 0.05)
    troubled = Troubled(air)
    radio = await air.radio(backend=troubled.backend)
    radio.listen(lambda _: None)
    await until(lambda: troubled.started >= 3)


async def test_what_is_remembered_of_strangers_is_bounded(air: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning_module, "MAX_HEARD", 3)
    for number in range(5):
        await air.board(EchoBoard(f"E7:00:00:00:02:{number:02X}"))
    radio = await air.radio()
    heard: set[str] = set()
    radio.listen(lambda advert: heard.add(advert.address))
    await until(lambda: len(heard) == 5)
    assert len(radio.adverts) == 3
