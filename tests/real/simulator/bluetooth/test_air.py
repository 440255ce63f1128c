"""The air: how fast packets pass, how many wait, and what it does while nobody listens."""

from __future__ import annotations

import asyncio
import logging

import pytest

from enmctl.radio.bluetooth import Connection, LinkLostError
from enmctl.simulator.bluetooth import backend as backend_module
from enmctl.simulator.bluetooth.air import Timing
from enmctl.simulator.nordic.contract import Notify
from tests.real.radio.waiting import LIMIT, until
from tests.real.simulator.bluetooth.echo import ADDRESS, ECHO, INDICATED, STREAM, STREAM_EVERY, EchoBoard
from tests.real.simulator.bluetooth.rig import rig


async def seconds_for(connection: Connection, packets: int, size: int) -> float:
    """How long it takes until so many packets are known to have arrived."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    for _ in range(packets):
        await connection.write(STREAM, bytes(size))
    told = 0
    while told < packets // STREAM_EVERY * STREAM_EVERY:
        notification = await connection.wait(LIMIT)
        assert notification is not None
        told = int.from_bytes(notification.data, "little")
    return loop.time() - started


async def write_many(connection: Connection, count: int) -> None:
    for _ in range(count):
        await connection.write(STREAM, b"x")


@pytest.mark.parametrize(("interval", "per_event", "packets"), [(0.01, 1, 24), (0.01, 6, 144), (0.03, 4, 48)])
async def test_so_many_packets_pass_at_each_connection_event(interval: float, per_event: int, packets: int) -> None:
    async with rig(Timing(interval=interval, per_event=per_event)) as air:
        board, _ = await air.board()
        async with (await air.radio()).connect(ADDRESS) as connection:
            await connection.subscribe(STREAM)
            taken = await seconds_for(connection, packets, 20)
        events = packets / per_event
        assert interval * (events - 1) <= taken < interval * (events + 3) + 0.3
        assert board.count == packets


async def test_a_large_packet_counts_as_one_and_without_pace_nothing_waits() -> None:
    async with rig(Timing(interval=0.02, per_event=3)) as air:
        await air.board()
        async with (await air.radio()).connect(ADDRESS) as connection:
            await connection.subscribe(STREAM)
            assert 0.02 * 7 <= await seconds_for(connection, 24, 244) < 0.02 * 11 + 0.3


async def test_both_ways_have_their_own_room() -> None:
    async with rig(Timing(interval=0.02, per_event=2)) as air:
        await air.board()
        async with (await air.radio()).connect(ADDRESS) as connection:
            await connection.subscribe(ECHO)
            started = asyncio.get_running_loop().time()
            for number in range(20):
                await connection.write(ECHO, bytes([number]))
            echoed = [await connection.wait(LIMIT) for _ in range(20)]
            assert [bytes([number]) for number in range(20)] == [each.data for each in echoed if each]
            assert 0.02 * 9 <= asyncio.get_running_loop().time() - started < 0.02 * 13 + 0.3


async def test_an_indication_waits_until_the_one_before_is_confirmed() -> None:
    async with rig(Timing(interval=0.02)) as air:
        _, host = await air.board()
        async with (await air.radio()).connect(ADDRESS) as connection:
            await connection.subscribe(INDICATED)
            started = asyncio.get_running_loop().time()
            host.carry_out([Notify(INDICATED, bytes([number])) for number in range(5)])
            told = [await connection.wait(LIMIT) for _ in range(5)]
            assert [each.data for each in told if each] == [bytes([number]) for number in range(5)]
            assert asyncio.get_running_loop().time() - started >= 4 * 0.02


async def test_a_writer_has_to_wait_when_too_much_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend_module, "QUEUE_MOST", 100)
    async with rig(Timing(interval=0.01, per_event=50)) as air:
        board, _ = await air.board()
        async with (await air.radio()).connect(ADDRESS) as connection:
            most = 0
            for sent in range(1, 601):
                await write_many(connection, 1)
                most = max(most, sent - board.count)
            assert most <= 170
            await connection.request(ECHO, b"")
            assert board.count == 600


async def test_a_waiting_writer_is_woken_by_the_loss_of_the_link(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend_module, "QUEUE_MOST", 10)
    async with rig(Timing(interval=0.04, per_event=1)) as air:
        _, host = await air.board()
        async with (await air.radio()).connect(ADDRESS) as connection:
            asyncio.get_running_loop().call_later(0.05, host.lose_link)
            with pytest.raises(LinkLostError):
                await write_many(connection, 200)


async def test_both_sides_notice_a_lost_link_after_the_supervision_timeout() -> None:
    async with rig(Timing(supervision=0.15)) as air:
        board, host = await air.board()
        async with (await air.radio()).connect(ADDRESS) as connection:
            started = asyncio.get_running_loop().time()
            host.lose_link()
            assert not await connection.wait_lost(0.1)
            assert board.peer is not None
            assert await connection.wait_lost(LIMIT)
            assert 0.15 <= asyncio.get_running_loop().time() - started < 1
            await until(lambda: board.peer is None)


async def test_nothing_is_advertised_while_nobody_listens() -> None:
    async with rig(Timing(advertising=0.01)) as air:
        await air.board()
        assert air.air._beat is None
        radio = await air.radio()
        assert await radio.heard(lambda advert: advert.address == ADDRESS, LIMIT)
        async with radio.connect(ADDRESS):
            await until(lambda: air.air._beat is None)


async def test_fifty_boards_are_all_heard() -> None:
    async with rig() as air:
        addresses = {f"E7:00:00:00:00:{number:02X}" for number in range(50)}
        await asyncio.gather(*(air.board(EchoBoard(address)) for address in addresses))
        heard: set[str] = set()
        radio = await air.radio()
        radio.listen(lambda advert: heard.add(advert.address))
        await until(lambda: heard == addresses)


async def test_what_bumble_logs_does_not_reach_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("bumble")
    logger.propagate, logger.handlers = True, []
    terminal = logging.StreamHandler()
    logging.getLogger().addHandler(terminal)
    try:
        async with rig():
            logging.getLogger("bumble.controller").warning("chatter")
    finally:
        logging.getLogger().removeHandler(terminal)
    assert capfd.readouterr() == ("", "")
