"""The radio on an air of simulated boards, through bleak: how connections come about, and boards that jump."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from bleak.exc import BleakDBusError, BleakError

from enmctl.errors import RadioError
from enmctl.radio.bluetooth import (
    LinkLostError,
    NoAnswerError,
    NotHeardError,
)
from enmctl.radio.bluetooth import radio as radio_module
from enmctl.settings import Settings
from tests.real.radio.troubled import Troubled, at
from tests.real.radio.waiting import LIMIT, until
from tests.real.simulator.bluetooth.echo import ADDRESS, BOOTLOADER_SERVICE, CONTROL, ECHO, JUMP, EchoBoard
from tests.real.simulator.bluetooth.rig import Rig, rig

OTHER = "E7:00:00:00:00:02"


@pytest.fixture
async def air(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    monkeypatch.setattr(radio_module, "FIRST_PAUSE", 0.01)
    async with rig() as made:
        yield made


async def test_several_connections_at_once_are_made_one_after_the_other(air: Rig) -> None:
    addresses = [f"E7:00:00:00:01:{number:02X}" for number in range(5)]
    for address in addresses:
        await air.board(EchoBoard(address))
    radio = await air.radio()
    connections = await asyncio.gather(*(radio.open(address) for address in addresses))
    for number, connection in enumerate(connections):
        await connection.subscribe(ECHO)
        await connection.request(ECHO, bytes([number]))
    assert [(await connection.wait(LIMIT)) for connection in connections] == [
        (ECHO, bytes([number])) for number in range(5)
    ]


async def test_a_board_that_is_not_there_is_not_heard(air: Rig) -> None:
    radio = await air.radio(Settings(bluetooth_long_timeout=0.2))
    with pytest.raises(NotHeardError, match=OTHER) as caught:
        await radio.open(OTHER)
    assert caught.value.reason == "not-heard"
    with pytest.raises(NotHeardError):
        await radio.open(OTHER, seconds=0.05)


async def test_a_board_that_went_away_after_it_was_heard_is_given_up_in_time(air: Rig) -> None:
    _, host = await air.board()
    radio = await air.radio(Settings(bluetooth_long_timeout=0.2))
    assert await radio.heard(at(ADDRESS), LIMIT)
    host.power(on=False)
    async with asyncio.timeout(LIMIT):
        with pytest.raises((NoAnswerError, NotHeardError)):
            await radio.open(ADDRESS)
    host.power(on=True)
    async with radio.connect(ADDRESS) as connection:
        assert await connection.read(ECHO) == b""


@pytest.mark.parametrize(
    "error",
    [
        BleakDBusError("org.bluez.Error.InProgress", ["Operation already in progress"]),
        BleakDBusError("org.bluez.Error.Failed", ["le-connection-abort-by-local"]),
        BleakError("failed to discover services, device disconnected"),
        TimeoutError(),
    ],
)
async def test_a_connection_is_tried_three_times(air: Rig, error: Exception) -> None:
    await air.board()
    troubled = Troubled(air)
    radio = await air.radio(backend=troubled.backend)
    troubled.connects = [error, error]
    async with radio.connect(ADDRESS) as connection:
        assert await connection.read(ECHO) == b""
    assert troubled.connected == 3
    troubled.connects = [error] * 5
    with pytest.raises((NoAnswerError, LinkLostError)):
        await radio.open(ADDRESS)
    assert troubled.connected == 6


async def test_an_adapter_that_is_gone_ends_the_tries(air: Rig) -> None:
    await air.board()
    troubled = Troubled(air)
    radio = await air.radio(backend=troubled.backend)
    troubled.connects = [BleakDBusError("org.bluez.Error.NotReady", ["Resource Not Ready"])]
    with pytest.raises(RadioError) as caught:
        await radio.open(ADDRESS)
    assert caught.value.reason == "powered-off"
    assert troubled.connected == 1


async def test_after_many_failures_in_a_row_the_adapter_is_switched_off_and_on(air: Rig) -> None:
    await air.board()
    troubled = Troubled(air)
    settings = Settings(bluetooth_long_timeout=2, bluetooth_power_cycle_after=4)
    radio = await air.radio(settings, troubled.backend)
    troubled.connects = [TimeoutError()] * 3
    with pytest.raises(NoAnswerError):
        await radio.open(ADDRESS)
    assert troubled.cycled == 0
    troubled.connects = [TimeoutError()]
    async with radio.connect(ADDRESS) as connection:
        assert troubled.cycled == 1
        assert await connection.read(ECHO) == b""


async def test_a_board_that_is_heard_and_never_connects_takes_no_connection_and_counts_as_a_failure(air: Rig) -> None:
    await air.board()
    troubled = Troubled(air)
    settings = Settings(bluetooth_long_timeout=0.3, bluetooth_power_cycle_after=3)
    radio = await air.radio(settings, troubled.backend)
    troubled.hangs = {ADDRESS}
    for cycled in (0, 0, 1):
        with pytest.raises(NoAnswerError, match="takes no connection") as caught:
            await radio.open(ADDRESS, seconds=0.2)
        assert caught.value.remedy
        assert troubled.cycled == cycled
    assert troubled.connected == 3
    troubled.hangs.clear()
    connection = await radio.open(ADDRESS)
    await connection.close()
    troubled.hangs = {ADDRESS}
    with pytest.raises(NoAnswerError, match="takes no connection"):
        await radio.again(connection, seconds=0.1)
    assert radio._power_cycle.failures == 1


async def test_a_board_that_never_connects_takes_no_time_from_its_neighbours(air: Rig) -> None:
    await air.board()
    await air.board(EchoBoard(OTHER))
    troubled = Troubled(air)
    radio = await air.radio(Settings(bluetooth_long_timeout=0.4, bluetooth_power_cycle_after=0), troubled.backend)
    assert await radio.heard(at(ADDRESS), LIMIT)
    assert await radio.heard(at(OTHER), LIMIT)
    troubled.hangs = {OTHER}
    stuck = [asyncio.ensure_future(radio.open(OTHER, seconds=0.2)) for _ in range(3)]
    await until(lambda: troubled.connected == 1)
    async with radio.connect(ADDRESS, seconds=0.2) as connection:
        assert await connection.read(ECHO) == b""
    for error in await asyncio.gather(*stuck, return_exceptions=True):
        assert isinstance(error, NoAnswerError | NotHeardError)


async def test_nobody_waits_for_the_adapter_without_end(air: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    await air.board()
    await air.board(EchoBoard(OTHER))
    monkeypatch.setattr(radio_module, "TURN", 0.5)
    troubled = Troubled(air)
    radio = await air.radio(Settings(bluetooth_long_timeout=0.4, bluetooth_power_cycle_after=0), troubled.backend)
    assert await radio.heard(at(ADDRESS), LIMIT)
    assert await radio.heard(at(OTHER), LIMIT)
    troubled.hangs = {OTHER}
    stuck = asyncio.ensure_future(radio.open(OTHER, seconds=0.1))
    await until(lambda: troubled.connected == 1)
    with pytest.raises(NoAnswerError, match="busy with other boards") as caught:
        await radio.open(ADDRESS, seconds=0.1)
    assert caught.value.reason == "radio-busy"
    with pytest.raises(NoAnswerError, match="takes no connection"):
        await stuck
    async with radio.connect(ADDRESS):
        pass


async def test_the_adapter_is_left_alone_while_it_carries_others_or_where_that_is_wanted(air: Rig) -> None:
    await air.board()
    await air.board(EchoBoard(OTHER))
    troubled = Troubled(air)
    radio = await air.radio(Settings(bluetooth_long_timeout=2, bluetooth_power_cycle_after=1), troubled.backend)
    async with radio.connect(OTHER):
        troubled.connects = [TimeoutError()] * 3
        with pytest.raises(NoAnswerError):
            await radio.open(ADDRESS)
    radio._settings = Settings(bluetooth_long_timeout=2, bluetooth_power_cycle_after=0)
    troubled.connects = [TimeoutError()] * 3
    with pytest.raises(NoAnswerError):
        await radio.open(ADDRESS)
    assert troubled.cycled == 0


async def test_a_jump_is_followed_to_the_bootloader(air: Rig) -> None:
    await air.board()
    radio = await air.radio()
    async with radio.connect(ADDRESS) as connection:
        await connection.request(JUMP, b"\x01")
        assert await connection.wait_lost(LIMIT)
    advert = await radio.heard(lambda advert: BOOTLOADER_SERVICE in advert.services, LIMIT)
    assert advert is not None
    assert advert.name == "DfuTarg"
    async with radio.connect(advert.address) as connection:
        assert connection.characteristics == {CONTROL}
        assert connection.services == 3


async def test_a_bootloader_with_the_next_address_is_another_device(air: Rig) -> None:
    board = EchoBoard(moves=True)
    await air.board(board)
    radio = await air.radio()
    async with radio.connect(ADDRESS) as connection:
        await connection.request(JUMP, b"\x01")
    advert = await radio.heard(lambda advert: advert.name == "DfuTarg", LIMIT)
    assert advert is not None
    assert advert.address == "E7:12:34:56:78:9B"
    async with radio.connect(advert.address) as connection:
        assert CONTROL in connection.characteristics


async def test_stale_services_are_forgotten_when_they_are_wanted_fresh(air: Rig) -> None:
    await air.board()
    radio = await air.radio(keeps_services=True)
    async with radio.connect(ADDRESS) as connection:
        await connection.request(JUMP, b"\x01")
        assert await connection.wait_lost(LIMIT)
    async with radio.connect(ADDRESS) as connection:
        assert CONTROL not in connection.characteristics
    async with radio.connect(ADDRESS, fresh=True) as connection:
        assert connection.characteristics == {CONTROL}


async def test_a_board_that_was_forgotten_is_connected_to_only_once_it_is_heard_again(air: Rig) -> None:
    _, host = await air.board()
    radio = await air.radio(Settings(bluetooth_long_timeout=0.2))
    assert await radio.heard(at(ADDRESS), LIMIT)
    assert await radio.forget(ADDRESS)
    assert ADDRESS not in radio.adverts
    host.power(on=False)
    with pytest.raises(NotHeardError):
        await radio.open(ADDRESS)
    host.power(on=True)
    async with radio.connect(ADDRESS):
        pass
    assert not await radio.forget(OTHER)


async def test_what_a_board_said_before_it_was_connected_to_counts_no_more(air: Rig) -> None:
    await air.board()
    radio = await air.radio()
    assert await radio.heard(at(ADDRESS), LIMIT)
    async with radio.connect(ADDRESS):
        assert ADDRESS not in radio.adverts
    assert await radio.heard(at(ADDRESS), LIMIT)
    assert ADDRESS in radio.adverts


async def test_directed_advertising_is_heard_by_the_one_it_is_for(air: Rig) -> None:
    board, host = await air.board()
    radio = await air.radio()
    async with radio.connect(ADDRESS):
        assert board.peer is not None
        peer = board.peer
    for target, is_heard in ((peer, True), ("00:00:5E:00:53:77", False)):
        board.directed_to = target
        host.carry_out([])
        host.power(on=False)
        host.power(on=True)
        advert = await radio.heard(at(ADDRESS), 0.3)
        assert (advert is not None) == is_heard
        if advert is not None:
            assert (advert.name, advert.services) == ("", frozenset())
            async with radio.connect(ADDRESS) as connection:
                assert await connection.read(ECHO) == b""


async def test_whoever_is_cancelled_while_connecting_leaves_nothing_behind(air: Rig) -> None:
    board, host = await air.board()
    radio = await air.radio()
    assert await radio.heard(at(ADDRESS), LIMIT)
    host.power(on=False)
    opening = asyncio.ensure_future(radio.open(ADDRESS))
    await until(lambda: not radio.is_listening)
    opening.cancel()
    started = asyncio.get_running_loop().time()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert asyncio.get_running_loop().time() - started < 1
    host.power(on=True)
    await asyncio.sleep(0.05)
    assert board.peer is None
    async with radio.connect(ADDRESS) as connection:
        assert await connection.read(ECHO) == b""
