"""Simulated boards on the air: what bleak and the board see of each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from bleak import BleakClient, BleakScanner
from bleak.exc import BleakDBusError, BleakDeviceNotFoundError, BleakError, BleakGATTProtocolError

from enmctl.radio.bluetooth import (
    AttError,
    BondLostError,
    BondNeededError,
    Connection,
    LinkLostError,
    NotHeardError,
    Notification,
    PairingError,
)
from enmctl.settings import Settings
from enmctl.simulator.bluetooth import backend as backend_module
from enmctl.simulator.bluetooth.air import Timing
from enmctl.simulator.bluetooth.virtual import radio_on
from enmctl.simulator.nordic.contract import Bonding, Changed, Disconnect, Notify
from tests.real.radio.waiting import LIMIT, until
from tests.real.simulator.bluetooth.echo import ADDRESS, ECHO, INDICATED, JUMP, SECRET, STREAM, EchoBoard
from tests.real.simulator.bluetooth.rig import Rig, rig


@pytest.fixture
async def air() -> AsyncIterator[Rig]:
    async with rig() as made:
        yield made


async def test_bleaks_own_classes_drive_it(air: Rig) -> None:
    await air.board()
    adapter = radio_on(air.air)
    device = await BleakScanner.find_device_by_address(ADDRESS, timeout=LIMIT, backend=adapter.scanner)
    assert device is not None
    received: list[bytes] = []
    async with BleakClient(device, backend=adapter.client) as client:
        assert client.mtu_size == 247
        characteristic = client.services.get_characteristic(ECHO)
        assert characteristic is not None
        assert characteristic.properties == ["read", "write-without-response", "write", "notify"]
        assert [descriptor.uuid[:8] for descriptor in characteristic.descriptors] == ["00002902"]
        await client.start_notify(ECHO, lambda _, data: received.append(bytes(data)))
        await client.write_gatt_char(ECHO, b"x", response=True)
        await until(lambda: received == [b"x"])
        await client.stop_notify(ECHO)
        await client.write_gatt_char(ECHO, b"y", response=True)
        assert await client.read_gatt_char(ECHO) == b"y"
        assert received == [b"x"]
    assert not client.is_connected
    for access in (client.read_gatt_char(ECHO), client.write_gatt_char(ECHO, b"", response=True)):
        with pytest.raises(BleakError):
            await access
    await adapter.close()


async def test_bleak_gets_the_errors_of_bluez(air: Rig) -> None:
    _, host = await air.board()
    adapter = radio_on(air.air)
    with pytest.raises(BleakDeviceNotFoundError):
        await BleakClient(ADDRESS, backend=adapter.client).connect()
    await BleakScanner.find_device_by_address(ADDRESS, timeout=LIMIT, backend=adapter.scanner)
    client = BleakClient(ADDRESS, backend=adapter.client, timeout=0.2)
    await client.connect()
    with pytest.raises(BleakDBusError, match="Failed to initiate write"):
        await client.write_gatt_char(ECHO, bytes(245), response=False)
    with pytest.raises(BleakDBusError, match="Not paired"):
        await client.read_gatt_char(SECRET)
    with pytest.raises(BleakGATTProtocolError) as caught:
        await client.read_gatt_char(STREAM)
    assert caught.value.code == 0x02
    host.lose_link()
    with pytest.raises(BleakError):
        await client.read_gatt_char(ECHO)
    host.power(on=False)
    with pytest.raises(TimeoutError):
        await client.connect()
    await adapter.close()


async def test_times_never_go_back_and_a_board_is_asked_when_it_is_due(air: Rig) -> None:
    board, host = await air.board()
    async with (await air.radio()).connect(ADDRESS) as connection:
        await connection.subscribe(ECHO)
        now = asyncio.get_running_loop().time()
        board.speak_at(now + 0.06, Notify(ECHO, b"late"))
        board.speak_at(now + 0.02, Notify(ECHO, b"soon"))
        host.carry_out([])
        assert await connection.wait(LIMIT) == Notification(ECHO, b"soon")
        assert asyncio.get_running_loop().time() >= now + 0.02
        assert await connection.wait(LIMIT) == Notification(ECHO, b"late")
        assert asyncio.get_running_loop().time() >= now + 0.06
        board.speak_at(now + 0.07, Disconnect())
        host.carry_out([])
        assert await connection.wait_lost(LIMIT)
    await until(lambda: board.peer is None)
    assert board.times == sorted(board.times)


async def test_what_nobody_has_subscribed_to_is_left_out(air: Rig) -> None:
    board, _ = await air.board()
    async with (await air.radio()).connect(ADDRESS) as connection:
        await connection.request(ECHO, b"1")
        await connection.subscribe(INDICATED)
        await connection.request(ECHO, b"2")
        await connection.request(INDICATED, b"3")
        assert await connection.wait(LIMIT) == Notification(INDICATED, b"3")
        assert board.subscriptions == {INDICATED}
    await until(lambda: not board.subscriptions)
    async with (await air.radio()).connect(ADDRESS) as connection:
        await connection.request(INDICATED, b"4")
        assert await connection.wait(0.05) is None


async def test_only_what_a_characteristic_offers_can_be_done_with_it(air: Rig) -> None:
    board, _ = await air.board()
    async with (await air.radio()).connect(ADDRESS) as connection:
        for access, code in ((connection.read(JUMP), 0x02), (connection.request(STREAM, b""), 0x03)):
            with pytest.raises(AttError) as caught:
                await access
            assert caught.value.code == code
        await connection.write(INDICATED, b"dropped")
        await connection.request(ECHO, b"kept")
        assert board.received == [(ECHO, b"kept")]


async def test_a_long_value_is_read_whole(air: Rig) -> None:
    board = EchoBoard()
    board.most_mtu = 23
    board.received.append((ECHO, bytes(range(100))))
    await air.board(board)
    async with (await air.radio()).connect(ADDRESS) as connection:
        assert await connection.read(ECHO) == bytes(range(100))


async def test_a_board_that_is_switched_off_just_vanishes(air: Rig) -> None:
    board, host = await air.board()
    radio = await air.radio()
    async with radio.connect(ADDRESS) as connection:
        host.power(on=False)
        assert await connection.wait_lost(LIMIT)
    assert not host.is_connected
    assert await radio.heard(lambda _: True, 0.15) is None
    host.power(on=True)
    async with radio.connect(ADDRESS) as connection:
        assert await connection.read(ECHO) == b""
        assert board.peer is not None


async def write_many(connection: Connection, count: int) -> None:
    for number in range(count):
        await connection.write(STREAM, bytes([number]))


async def test_the_link_is_lost_after_as_many_packets_as_asked_for(air: Rig) -> None:
    board, host = await air.board()
    async with (await air.radio()).connect(ADDRESS) as connection:
        host.lose_link(after=5)
        with pytest.raises(LinkLostError):
            await write_many(connection, 100)
        assert await connection.wait_lost(LIMIT)
    await until(lambda: board.peer is None)
    assert [data for _, data in board.received] == [bytes([number]) for number in range(5)]


async def test_a_board_serves_one_at_a_time(air: Rig) -> None:
    await air.board()
    first = await air.radio()
    second = await air.radio(Settings(bluetooth_long_timeout=0.2))
    assert await second.heard(lambda advert: advert.address == ADDRESS, LIMIT)
    async with first.connect(ADDRESS):
        await until(lambda: not first.is_listening)
        second._scan.forget(ADDRESS)
        with pytest.raises(NotHeardError):
            await second.open(ADDRESS)
    async with second.connect(ADDRESS) as connection:
        assert await connection.read(ECHO) == b""


async def test_an_address_that_is_public_works_as_well(air: Rig) -> None:
    await air.board(EchoBoard("00:00:5E:00:53:42", bonding=Bonding.JUST_WORKS))
    radio = await air.radio()
    async with radio.connect("00:00:5E:00:53:42") as connection:
        await connection.pair()
        assert await connection.read(SECRET) == b""
    assert await radio.is_bonded("00:00:5E:00:53:42")


async def test_changed_shows_another_advertisement(air: Rig) -> None:
    board, host = await air.board()
    radio = await air.radio()
    board.name = "uBit [zavit]"
    host.carry_out([Changed()])
    assert await radio.heard(lambda advert: advert.name == "uBit [zavit]", LIMIT)


@pytest.mark.parametrize(
    ("board_is_bonded", "code"),
    [pytest.param(False, 0x05, id="a stranger"), pytest.param(True, 0x0F, id="a peer that forgot the bond")],
)
async def test_a_protected_characteristic_is_refused_until_the_link_is_encrypted(
    air: Rig, monkeypatch: pytest.MonkeyPatch, *, board_is_bonded: bool, code: int
) -> None:
    board = EchoBoard(bonding=Bonding.JUST_WORKS)
    await air.board(board)
    radio = await air.radio()
    if board_is_bonded:
        async with radio.connect(ADDRESS) as connection:
            await connection.pair()
        await radio.unpair(ADDRESS)
    monkeypatch.setattr(backend_module, "NOT_PAIRED", frozenset())
    async with radio.connect(ADDRESS) as connection:
        for access in (connection.read(SECRET), connection.request(SECRET, b"x"), connection.subscribe(SECRET)):
            with pytest.raises(BondNeededError) as caught:
                await access
            assert caught.value.code == code
        assert board.received == []
        assert board.subscriptions == set()
        await connection.pair()
        await connection.request(SECRET, b"x")
        assert board.received == [(SECRET, b"x")]


async def test_a_bond_encrypts_the_next_connection_by_itself(air: Rig) -> None:
    board = EchoBoard(bonding=Bonding.JUST_WORKS)
    _, host = await air.board(board)
    radio = await air.radio()
    async with radio.connect(ADDRESS) as connection:
        await connection.pair()
        assert board.heard_of == ["bonded"]
    assert await radio.is_bonded(ADDRESS)
    async with radio.connect(ADDRESS) as connection:
        assert await connection.read(SECRET) == b""
    assert board.heard_of == ["bonded", "encrypted"]
    assert list(host.bonds) == ["00:00:5E:00:53:01/P"]


async def test_a_bond_outlasts_the_jump_and_the_bootloader_lets_only_its_peer_in(air: Rig) -> None:
    board = EchoBoard(bonding=Bonding.JUST_WORKS)
    _, host = await air.board(board)
    radio = await air.radio()
    async with radio.connect(ADDRESS) as connection:
        await connection.pair()
        board.bonded_only = True
        await connection.request(JUMP, b"\x01")
        assert await connection.wait_lost(LIMIT)
    assert await radio.heard(lambda advert: advert.name == "DfuTarg", LIMIT)
    host.forget_bonds()
    assert await radio.heard(lambda advert: advert.address == ADDRESS, 0.2) is None


async def test_a_bond_that_the_board_lost_makes_it_hang_up(air: Rig) -> None:
    board = EchoBoard(bonding=Bonding.JUST_WORKS)
    _, host = await air.board(board)
    radio = await air.radio()
    async with radio.connect(ADDRESS) as connection:
        await connection.pair()
    host.forget_bonds()
    with pytest.raises(BondLostError):
        await radio.open(ADDRESS)
    assert await radio.unpair(ADDRESS)
    async with radio.connect(ADDRESS) as connection:
        await connection.pair()
        assert await connection.read(SECRET) == b""


async def test_bonds_can_be_kept_for_the_next_simulation() -> None:
    async with rig() as air:
        _, host = await air.board(EchoBoard(bonding=Bonding.JUST_WORKS))
        async with (await air.radio()).connect(ADDRESS) as connection:
            await connection.pair()
        boards, machines = host.bonds, air.air.keys.to_dict()
    async with rig() as air:
        board, _ = await air.board(EchoBoard(bonding=Bonding.JUST_WORKS), bonds=boards)
        for peer, keys in machines.items():
            air.air.keys.put(peer, keys)
        async with (await air.radio()).connect(ADDRESS) as connection:
            assert await connection.read(SECRET) == b""
        assert board.heard_of == ["encrypted"]


async def test_an_open_board_does_not_pair(air: Rig) -> None:
    await air.board()
    async with (await air.radio()).connect(ADDRESS) as connection:
        with pytest.raises(PairingError) as caught:
            await connection.pair()
        assert caught.value.reason == "pairing-failed"
        assert await connection.read(ECHO) == b""


async def test_a_board_with_a_passkey_wants_the_digits_that_it_shows(air: Rig) -> None:
    board = EchoBoard(bonding=Bonding.PASSKEY)
    _, host = await air.board(board)

    async def read_off() -> int | None:
        await until(lambda: bool(host.passkey))
        assert len(host.passkey) == 6
        return int(host.passkey)

    async def mistaken() -> int | None:
        return 0

    radio = await air.radio()
    async with radio.connect(ADDRESS) as connection:
        with pytest.raises(PairingError) as caught:
            await connection.pair(mistaken)
        assert caught.value.reason == "pairing-failed"
    async with radio.connect(ADDRESS) as connection:
        with pytest.raises(PairingError) as caught:
            await connection.pair()
        assert caught.value.reason == "passkey-needed"
        assert host.passkey == ""
        await connection.pair(read_off)
        assert await connection.read(SECRET) == b""
    assert board.heard_of == ["bonded"]
    assert host.passkey == ""


async def test_a_board_with_a_passkey_is_not_content_with_a_bond_that_nobody_vouched_for(air: Rig) -> None:
    board = EchoBoard(bonding=Bonding.JUST_WORKS)
    await air.board(board)
    radio = await air.radio()
    async with radio.connect(ADDRESS) as connection:
        await connection.pair()
    board.bonding = Bonding.PASSKEY
    async with radio.connect(ADDRESS) as connection:
        with pytest.raises(BondNeededError):
            await connection.read(SECRET)


async def test_like_bluez_it_can_pair_unasked_where_no_digits_are_needed(air: Rig) -> None:
    board = EchoBoard(bonding=Bonding.JUST_WORKS)
    await air.board(board)
    async with (await air.radio(pairs_by_itself=True)).connect(ADDRESS) as connection:
        await connection.request(SECRET, b"x")
    assert board.received == [(SECRET, b"x")]
    assert board.heard_of == ["bonded"]


async def test_a_board_may_hang_up_in_the_middle_of_pairing(air: Rig) -> None:
    _, host = await air.board(EchoBoard(bonding=Bonding.PASSKEY))

    async def never() -> int | None:
        host.lose_link()
        await asyncio.sleep(LIMIT)
        return None

    async with (await air.radio()).connect(ADDRESS) as connection:
        with pytest.raises(LinkLostError):
            await connection.pair(never)


async def test_a_paced_air_pairs_and_jumps_like_any_other() -> None:
    async with rig(Timing(interval=0.005, per_event=2, supervision=0.05)) as air:
        await air.board(EchoBoard(bonding=Bonding.JUST_WORKS))
        radio = await air.radio()
        async with radio.connect(ADDRESS) as connection:
            await connection.pair()
            await connection.request(JUMP, b"\x01")
            assert await connection.wait_lost(LIMIT)
        assert await radio.heard(lambda advert: advert.name == "DfuTarg", LIMIT)
