"""A connection to a simulated board, through bleak: what it brings, and how each wait in it ends."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import AsyncIterator

import pytest

from enmctl.radio.bluetooth import (
    AttError,
    BluetoothRadio,
    Connection,
    LinkLostError,
    NoAnswerError,
    Notification,
)
from enmctl.radio.bluetooth import connection as connection_module
from enmctl.settings import Settings
from enmctl.simulator.bluetooth.air import Timing
from enmctl.simulator.nordic.contract import Disconnect, Notify
from tests.real.radio.waiting import LIMIT, until
from tests.real.simulator.bluetooth.echo import ADDRESS, ECHO, INDICATED, JUMP, REFUSING, STREAM, EchoBoard
from tests.real.simulator.bluetooth.rig import SETTINGS, Rig, rig


@pytest.fixture
async def air() -> AsyncIterator[Rig]:
    async with rig() as made:
        yield made


async def test_a_connection_shows_what_the_board_has(air: Rig) -> None:
    await air.board()
    radio = await air.radio()
    async with radio.connect(ADDRESS) as connection:
        assert {ECHO, STREAM, JUMP} <= connection.characteristics
        assert connection.services == 4
        assert connection.most == 244
        assert connection.address == ADDRESS
        assert not connection.lost.is_set()


async def test_a_board_of_the_old_kind_takes_twenty_bytes(air: Rig) -> None:
    board = EchoBoard()
    board.most_mtu = 23
    await air.board(board)
    async with (await air.radio()).connect(ADDRESS) as connection:
        assert connection.most == 20


async def test_what_is_written_arrives_in_order_and_what_is_sent_comes_back(air: Rig) -> None:
    board, _ = await air.board()
    async with (await air.radio()).connect(ADDRESS) as connection:
        await connection.subscribe(ECHO)
        for number in range(20):
            await connection.write(ECHO, bytes([number]))
        await connection.request(ECHO, b"\xff")
        assert [data for _, data in board.received] == [bytes([number]) for number in range(20)] + [b"\xff"]
        echoed = [await connection.wait(LIMIT) for _ in range(21)]
        assert echoed == [Notification(ECHO, data) for _, data in board.received]
        assert await connection.wait(0) is None
        assert await connection.read(ECHO) == b"\xff"


async def test_uuids_may_be_written_in_capitals(air: Rig) -> None:
    await air.board()
    async with (await air.radio()).connect(ADDRESS) as connection:
        await connection.subscribe(ECHO.upper())
        await connection.request(ECHO.upper(), b"x")
        assert await connection.wait(LIMIT) == Notification(ECHO, b"x")


async def test_indications_arrive_like_notifications(air: Rig) -> None:
    await air.board()
    async with (await air.radio()).connect(ADDRESS) as connection:
        await connection.subscribe(INDICATED)
        for data in (b"1", b"2", b"3"):
            await connection.request(INDICATED, data)
        assert [await connection.wait(LIMIT) for _ in range(3)] == [
            Notification(INDICATED, data) for data in (b"1", b"2", b"3")
        ]


@pytest.mark.parametrize("code", [0x01, 0x80, 0xFD])
async def test_an_error_of_the_board_brings_its_code(air: Rig, code: int) -> None:
    board, _ = await air.board()
    board.refusal = code
    async with (await air.radio()).connect(ADDRESS) as connection:
        for access in (connection.read(REFUSING), connection.request(REFUSING, b""), connection.subscribe(REFUSING)):
            with pytest.raises(AttError) as caught:
                await access
            assert caught.value.code == code
            assert caught.value.reason == "att-error"
        assert await connection.read(ECHO) == b""


async def test_a_characteristic_that_is_not_there_is_an_att_error(air: Rig) -> None:
    await air.board()
    async with (await air.radio()).connect(ADDRESS) as connection:
        with pytest.raises(AttError) as caught:
            await connection.read("00001531-1212-efde-1523-785feabcd123")
        assert caught.value.code == 0x0A


async def test_waiting_ends_in_time(air: Rig) -> None:
    await air.board()
    async with (await air.radio()).connect(ADDRESS) as connection:
        started = asyncio.get_running_loop().time()
        assert await connection.wait(0.05) is None
        assert not await connection.wait_lost(0.05)
        assert 0.1 <= asyncio.get_running_loop().time() - started < LIMIT


async def test_an_operation_that_is_not_answered_ends_by_the_short_timeout() -> None:
    settings = Settings(bluetooth_short_timeout=0.1, bluetooth_long_timeout=LIMIT)
    async with rig(Timing(interval=0.02, supervision=LIMIT)) as air:
        _, host = await air.board()
        async with (await air.radio(settings)).connect(ADDRESS) as connection:
            host.lose_link()
            started = asyncio.get_running_loop().time()
            with pytest.raises(NoAnswerError) as caught:
                await connection.read(ECHO)
            assert 0.1 <= asyncio.get_running_loop().time() - started < 1
            assert caught.value.reason == "no-answer"


async def test_an_access_behind_many_writes_has_the_time_that_they_take() -> None:
    settings = Settings(bluetooth_short_timeout=0.2, bluetooth_long_timeout=LIMIT)
    async with rig(Timing(interval=0.02, per_event=1)) as air:
        board, _ = await air.board()
        async with (await air.radio(settings)).connect(ADDRESS) as connection:
            for _ in range(24):
                await connection.write(STREAM, b"x")
            await connection.request(ECHO, b"")
            assert board.count == 24


async def test_a_lost_link_ends_every_wait_at_once(air: Rig) -> None:
    _, host = await air.board()
    async with (await air.radio()).connect(ADDRESS) as connection:
        waiting = asyncio.ensure_future(connection.wait(LIMIT))
        losing = asyncio.ensure_future(connection.wait_lost(LIMIT))
        await asyncio.sleep(0)
        host.lose_link()
        with pytest.raises(LinkLostError):
            await waiting
        assert await losing
        for access in (connection.read(ECHO), connection.write(ECHO, b""), connection.subscribe(ECHO)):
            with pytest.raises(LinkLostError):
                await access


async def test_an_operation_under_way_ends_when_the_link_is_lost() -> None:
    settings = Settings(bluetooth_short_timeout=LIMIT, bluetooth_long_timeout=LIMIT)
    async with rig(Timing(interval=0.01, supervision=0.1)) as air:
        _, host = await air.board()
        async with (await air.radio(settings)).connect(ADDRESS) as connection:
            host.lose_link()
            started = asyncio.get_running_loop().time()
            with pytest.raises(LinkLostError):
                await connection.read(ECHO)
            assert 0.05 <= asyncio.get_running_loop().time() - started < 1


async def test_a_link_may_be_lost_while_an_access_is_given_up_for_want_of_time(air: Rig) -> None:
    """Giving up may take a while: a pairing is cancelled over D-Bus."""
    _, host = await air.board()
    radio = await air.radio(Settings(bluetooth_short_timeout=0.05, bluetooth_long_timeout=LIMIT))
    giving_up = asyncio.Event()
    async with radio.connect(ADDRESS) as connection:

        async def access() -> None:
            async with connection._bounded(0.05):
                try:
                    await asyncio.Event().wait()
                finally:
                    giving_up.set()
                    await connection.lost.wait()

        accessing = asyncio.ensure_future(access())
        await giving_up.wait()
        host.carry_out([Disconnect()])
        with pytest.raises(LinkLostError):
            await accessing
        assert connection not in radio._connections


async def test_what_arrived_before_the_end_is_still_there(air: Rig) -> None:
    board, host = await air.board()
    async with (await air.radio()).connect(ADDRESS) as connection:
        await connection.subscribe(ECHO)
        host.carry_out([Notify(ECHO, b"1"), Notify(ECHO, b"2"), Disconnect()])
        assert await connection.wait_lost(LIMIT)
        assert [await connection.wait(1), await connection.wait(1)] == [
            Notification(ECHO, b"1"),
            Notification(ECHO, b"2"),
        ]
        with pytest.raises(LinkLostError):
            await connection.wait(1)
        await until(lambda: board.peer is None)


async def test_the_write_that_makes_a_board_jump_is_answered_before_it_hangs_up(air: Rig) -> None:
    board, _ = await air.board()
    async with (await air.radio()).connect(ADDRESS) as connection:
        await connection.subscribe(ECHO)
        await connection.request(JUMP, b"\x01")
        assert await connection.wait_lost(LIMIT)
        assert await connection.wait(0) == Notification(ECHO, b"jumping")
    assert board.in_bootloader


async def test_closing_waits_until_it_is_so_and_may_be_done_twice(air: Rig) -> None:
    board, _ = await air.board()
    radio = await air.radio()
    connection = await radio.open(ADDRESS)
    assert board.peer is not None
    await connection.close()
    assert connection.lost.is_set()
    await connection.close()
    await until(lambda: board.peer is None)
    with pytest.raises(LinkLostError):
        await connection.read(ECHO)


async def test_whoever_is_cancelled_while_closing_leaves_no_connection_behind() -> None:
    async with rig(Timing(interval=0.05)) as air:
        board, _ = await air.board()
        connection = await (await air.radio()).open(ADDRESS)
        closing = asyncio.ensure_future(connection.close())
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert connection.lost.is_set()
        await until(lambda: board.peer is None)


async def test_a_board_that_floods_loses_its_connection(air: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "MOST_WAITING", 10)
    _, host = await air.board()
    async with (await air.radio()).connect(ADDRESS) as connection:
        await connection.subscribe(ECHO)
        host.carry_out([Notify(ECHO, bytes([number])) for number in range(12)])
        assert await connection.wait_lost(LIMIT)
        assert [await connection.wait(0) for _ in range(10)] == [
            Notification(ECHO, bytes([number])) for number in range(10)
        ]
        with pytest.raises(LinkLostError):
            await connection.wait(0)


async def test_cancelling_a_wait_is_no_lost_link(air: Rig) -> None:
    await air.board()
    async with (await air.radio()).connect(ADDRESS) as connection:
        waiting = asyncio.ensure_future(connection.wait(LIMIT))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await connection.read(ECHO) == b""


async def stream(connection: Connection, packets: int, size: int) -> None:
    """Send like a transfer: at most 24 packets ahead of what was told to have arrived."""
    await connection.subscribe(STREAM)
    packet = bytes(size)
    told = 0
    for sent in range(1, packets + 1):
        await connection.write(STREAM, packet)
        while sent - told >= 24:
            notification = await connection.wait(LIMIT)
            assert notification is not None
            told = int.from_bytes(notification.data, "little")


async def test_it_is_fast_enough_for_every_test(air: Rig) -> None:
    await air.board()
    radio = await air.radio()
    started = time.perf_counter()
    assert await radio.heard(lambda advert: advert.address == ADDRESS, LIMIT)
    heard = time.perf_counter()
    async with radio.connect(ADDRESS) as connection:
        connected = time.perf_counter()
        cpu = time.process_time()
        await stream(connection, 3000, 20)
        rate = 3000 / (time.process_time() - cpu)
    assert heard - started < 0.5
    assert connected - heard < 0.5
    assert rate > 3000, f"{rate:.0f} packets a CPU second"


async def test_nothing_is_left_behind() -> None:
    before = asyncio.all_tasks()
    for _ in range(2):
        async with rig() as air:
            await air.board()
            radio = await air.radio()
            await radio.open(ADDRESS)
    gc.collect()
    assert asyncio.all_tasks() == before


async def test_what_the_libraries_log_does_not_reach_the_terminal(air: Rig, capfd: pytest.CaptureFixture[str]) -> None:
    terminal = logging.StreamHandler()
    logging.getLogger().addHandler(terminal)
    try:
        await air.radio()
        for name in ("bleak.backends.bluezdbus.client", "dbus_fast", "bumble.host"):
            logging.getLogger(name).warning("chatter")
            logging.getLogger(name).debug("chatter")
    finally:
        logging.getLogger().removeHandler(terminal)
    assert capfd.readouterr() == ("", "")


async def test_a_radio_closes_the_connections_that_are_still_open() -> None:
    async with rig() as air:
        board, _ = await air.board()
        from enmctl.simulator.bluetooth.virtual import radio_on

        async with BluetoothRadio(SETTINGS, radio_on(air.air)) as radio:
            connection = await radio.open(ADDRESS)
        assert connection.lost.is_set()
        await until(lambda: board.peer is None)
