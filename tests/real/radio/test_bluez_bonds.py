"""Pairing and bonds over BlueZ, against a small bluetoothd on a private D-Bus."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from enmctl.radio.bluetooth import (
    BluetoothRadio,
    BondLostError,
    BondNeededError,
    NoAnswerError,
    PairingError,
)
from tests.real.radio.bluetoothd import (
    SECRET,
    FakeBluetoothd,
    FakeDevice,
    needs_daemon,
)
from tests.real.radio.waiting import LIMIT

pytestmark = needs_daemon

ADDRESS = FakeDevice.address


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
