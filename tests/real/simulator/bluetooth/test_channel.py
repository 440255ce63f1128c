"""An air that other programs reach over TCP."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from enmctl.errors import BusyError, RadioError, SettingError
from enmctl.radio.bluetooth import BluetoothRadio, LinkLostError
from enmctl.settings import Settings
from enmctl.simulator.bluetooth.channel import AirServer, virtual_radio
from enmctl.simulator.nordic.contract import Bonding
from tests.real.radio.waiting import LIMIT, until
from tests.real.simulator.bluetooth.echo import ADDRESS, ECHO, SECRET, EchoBoard
from tests.real.simulator.bluetooth.rig import SETTINGS, Rig, rig

ROOT = Path(__file__).parents[4]


@pytest.fixture
async def air() -> AsyncIterator[Rig]:
    async with rig() as made:
        yield made


@pytest.fixture
async def server(air: Rig) -> AsyncIterator[AirServer]:
    async with AirServer(air.air) as served:
        yield served


async def visitor(server: AirServer, deed: str) -> Process:
    command = [sys.executable, "-m", "tests.real.simulator.bluetooth.visitor", server.address, deed]
    return await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=PIPE)


async def said(process: Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(30):
        return (await process.stdout.readline()).decode().strip()


async def ended(process: Process) -> list[str]:
    async with asyncio.timeout(30):
        out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode().splitlines()


async def test_another_program_finds_a_board_and_talks_to_it(air: Rig, server: AirServer) -> None:
    board, _ = await air.board()
    assert await ended(await visitor(server, "greet")) == ["heard BBC micro:bit [echo]", "echoed hello"]
    assert board.received == [(ECHO, b"hello")]
    await until(lambda: board.peer is None and not server.guests)


async def test_several_programs_are_on_the_air_at_once(air: Rig, server: AirServer) -> None:
    await air.board()
    other = "E7:00:00:00:00:02"
    await air.board(EchoBoard(other))
    process = await visitor(server, "stay")
    assert await said(process) == "heard BBC micro:bit [echo]"
    assert await said(process) == "echoed hello"
    near = await air.radio()
    far = await air.radio(backend=virtual_radio(server.address))
    for radio in (near, far):
        assert await radio.heard(lambda advert: advert.address == ADDRESS, 0.3) is None
        async with radio.connect(other) as connection:
            await connection.subscribe(ECHO)
            await connection.request(ECHO, b"x")
            assert await connection.wait(LIMIT) == (ECHO, b"x")
    process.terminate()
    await process.wait()


async def test_a_program_that_is_killed_leaves_nothing_behind(air: Rig, server: AirServer) -> None:
    board, _ = await air.board()
    process = await visitor(server, "stay")
    await said(process)
    await said(process)
    assert board.peer is not None
    controllers = len(air.air.controllers)
    process.kill()
    await process.wait()
    await until(lambda: board.peer is None)
    assert len(air.air.controllers) == controllers - 1
    async with (await air.radio()).connect(ADDRESS) as connection:
        assert await connection.read(ECHO) == b"hello"


async def test_bonds_are_the_machines_and_outlast_the_program(air: Rig, server: AirServer) -> None:
    board, _ = await air.board(EchoBoard(bonding=Bonding.JUST_WORKS))
    assert (await ended(await visitor(server, "pair")))[-1] == "secret b''"
    assert board.heard_of == ["bonded"]
    board.bonded_only = True
    assert (await ended(await visitor(server, "secret")))[-1] == "secret b''"
    assert board.heard_of == ["bonded", "encrypted"]
    radio = await air.radio()
    assert await radio.is_bonded(ADDRESS)
    far = await air.radio(backend=virtual_radio(server.address))
    assert await far.is_bonded(ADDRESS)
    assert await far.heard(lambda advert: advert.address == ADDRESS, LIMIT)
    assert await far.unpair(ADDRESS)
    await until(lambda: not air.air.keys.to_dict())
    assert not await radio.is_bonded(ADDRESS)


async def test_a_change_of_the_bonds_reaches_the_programs_that_are_there(air: Rig, server: AirServer) -> None:
    await air.board(EchoBoard(bonding=Bonding.JUST_WORKS))
    first, second = [await air.radio(backend=virtual_radio(server.address)) for _ in range(2)]
    async with first.connect(ADDRESS) as connection:
        await connection.pair()
    async with asyncio.timeout(LIMIT):
        while not await second.is_bonded(ADDRESS):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.005)
    async with second.connect(ADDRESS) as connection:
        assert await connection.read(SECRET) == b""
    air.air.keys.clear()
    async with asyncio.timeout(LIMIT):
        while await second.is_bonded(ADDRESS) or await first.is_bonded(ADDRESS):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.005)


async def test_a_simulator_that_ends_loses_the_connections_and_is_found_again(air: Rig) -> None:
    await air.board()
    async with AirServer(air.air) as server:
        adapter = server.address
        radio = await air.radio(backend=virtual_radio(adapter))
        connection = await radio.open(ADDRESS)
    assert await connection.wait_lost(LIMIT)
    with pytest.raises(LinkLostError):
        await connection.read(ECHO)
    with pytest.raises(RadioError) as caught:
        async with BluetoothRadio(SETTINGS, virtual_radio(adapter)):
            pass
    assert caught.value.reason == "no-adapter"
    async with AirServer(air.air, port=int(adapter.rpartition(":")[2])), radio.connect(ADDRESS) as connection:
        assert await connection.read(ECHO) == b""


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n\r\n", b"\x7e\x02\x00[]", b"\x7e\x03\x00{]x", b"\x01\xff"])
async def test_whoever_speaks_something_else_is_thrown_out(air: Rig, server: AirServer, garbage: bytes) -> None:
    await air.board()
    reader, writer = await asyncio.open_connection(*_place(server))
    welcome = await reader.readexactly(3)
    assert welcome[0] == 0x7E
    assert json.loads(await reader.readexactly(int.from_bytes(welcome[1:], "little"))) == {
        "enmctl-air": 1,
        "bonds": {},
    }
    writer.write(garbage)
    writer.write_eof()
    async with asyncio.timeout(LIMIT):
        assert await reader.read() == b""
    writer.close()
    async with (await air.radio(backend=virtual_radio(server.address))).connect(ADDRESS):
        pass


async def test_something_else_on_the_port_is_no_adapter() -> None:
    async def hello(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x7e\x02\x00{}")
        writer.close()

    async with await asyncio.start_server(hello, "127.0.0.1", 0) as other:
        port = other.sockets[0].getsockname()[1]
        with pytest.raises(RadioError) as caught:
            async with BluetoothRadio(SETTINGS, virtual_radio(f"simulated:127.0.0.1:{port}")):
                pass
    assert caught.value.reason == "no-adapter"


async def test_a_program_that_does_not_read_is_taken_for_dead(server: AirServer) -> None:
    reader, writer = await asyncio.open_connection(*_place(server), limit=1)
    await until(lambda: bool(server.guests))
    (guest,) = server.guests
    for _ in range(4000):
        guest.say({"bonds": "x" * 4000})
        if not server.guests:
            break
        await asyncio.sleep(0)
    await until(lambda: not server.guests)
    writer.close()
    del reader


async def test_a_port_that_is_taken_is_told(server: AirServer) -> None:
    with pytest.raises(BusyError, match="cannot be listened on"):
        async with AirServer(server.air, port=_place(server)[1]):
            pass


@pytest.mark.parametrize("adapter", ["", "hci0", "simulated:", "simulated:127.0.0.1", "simulated:127.0.0.1:x"])
def test_what_is_no_simulated_adapter_is_told(adapter: str) -> None:
    with pytest.raises(SettingError):
        virtual_radio(adapter)


async def test_without_the_simulator_the_adapter_of_one_is_no_adapter() -> None:
    with pytest.raises(RadioError) as caught:
        BluetoothRadio(Settings(bluetooth_adapter="simulated:127.0.0.1:1"))
    assert caught.value.reason == "simulated-adapter"


def _place(server: AirServer) -> tuple[str, int]:
    host, _, port = server.address.removeprefix("simulated:").rpartition(":")
    return host, int(port)
