"""How long a link to a board waits, where a person may have to answer first."""

from __future__ import annotations

from typing import Any, cast

import pytest

from enmctl.boards.bluetooth_link import BluetoothLink
from enmctl.models import BoardMode
from enmctl.radio.bluetooth import Advert
from enmctl.radio.bluetooth.connection import PAIRING_TIMEOUT

BOARD = "an identifier of macOS"
APPLICATION, BOOTLOADER = BoardMode.APPLICATION, BoardMode.BOOTLOADER


class Connected:
    """A connection that keeps how long each access may take."""

    address = BOARD
    characteristics: frozenset[str] = frozenset()
    table: frozenset[tuple[str, int]] = frozenset()
    most, services = 20, 3

    def __init__(self) -> None:
        self.limits: list[float | None] = []

    async def subscribe(self, characteristic: str, *, seconds: float | None) -> None:
        del characteristic
        self.limits.append(seconds)

    async def request(self, characteristic: str, data: bytes, *, seconds: float | None) -> None:
        del characteristic, data
        self.limits.append(seconds)

    async def read(self, characteristic: str, *, seconds: float | None) -> bytes:
        del characteristic
        self.limits.append(seconds)
        return b""

    async def close(self) -> None:
        pass


class Radio:
    """A radio that hears one board, and connects to it."""

    def __init__(self) -> None:
        self.connection = Connected()
        self.adverts: dict[str, Advert] = {}

    async def release(self, address: str) -> bool:
        del address
        return False

    forget = release

    async def heard(self, wanted: object, seconds: float) -> Advert:
        del wanted, seconds
        return Advert(BOARD, "a board")

    async def open(self, address: str, *, seconds: float) -> Connected:
        del address, seconds
        return self.connection


@pytest.mark.parametrize(
    ("mode", "may_ask", "first"),
    [(APPLICATION, True, PAIRING_TIMEOUT), (APPLICATION, False, None), (BOOTLOADER, True, None)],
)
async def test_the_first_access_to_a_program_has_the_time_in_which_a_person_lets_the_system_pair(
    mode: BoardMode, may_ask: bool, first: float | None
) -> None:
    radio = Radio()
    link = BluetoothLink(cast("Any", radio), BOARD, "zavit", mode_of=lambda _: mode, may_ask=may_ask)
    for _ in range(2):
        radio.connection = Connected()
        await link.open(mode, 1.0)
        await link.subscribe("x")
        await link.request("x", b"")
        await link.read("x")
        assert radio.connection.limits == [first, None, None]
