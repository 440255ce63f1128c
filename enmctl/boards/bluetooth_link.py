"""A Bluetooth connection as a transfer wants it: the board found again in each of its modes, errors in its words."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from enmctl.boards.adverts import ADDRESS, mode_of, next_address
from enmctl.dfu import link
from enmctl.dfu.link import AbsentError, GattError, LinkTimeoutError, Notification, Opened
from enmctl.errors import EnmError, RadioError, RefusedError, TransferError
from enmctl.models import BoardMode
from enmctl.radio.bluetooth import (
    Advert,
    AttError,
    BluetoothRadio,
    Connection,
    LinkLostError,
    NoAnswerError,
    NotHeardError,
)

LOG = logging.getLogger(__name__)

INSUFFICIENT_AUTHENTICATION: Final = 0x05
RIVALS: Final = 1.0
"""Seconds to listen for a second bootloader, where the platform hides addresses and nothing else tells them apart."""


class _InItsWords:
    """Raises what the radio raises as a transfer knows it; what it has no word for goes on to people."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        match error:
            case LinkLostError():
                raise link.LinkLostError("the connection was lost") from None
            case AttError():
                raise _gatt_error(error) from None
            case NoAnswerError():
                raise LinkTimeoutError(error.message) from None
            case RadioError() | RefusedError() | TransferError():
                return
            case EnmError():
                raise link.LinkLostError(error.message) from None


IN_ITS_WORDS: Final = _InItsWords()


class BluetoothLink:
    """Keeps ``enmctl.dfu.driver.Link`` over one board.

    Args:
        radio: what to reach it with.
        address: the board's, as its program advertises it, or as it was heard.
        name: what to call it in errors.
        keep: writes the transfer's memory down.
    """

    def __init__(self, radio: BluetoothRadio, address: str, name: str, keep: Callable[[], Awaitable[None]]) -> None:
        self._radio = radio
        self._address = address
        self._name = name
        self._keep = keep
        self._hides_addresses = not ADDRESS.fullmatch(address)
        self._others: frozenset[str] = frozenset()
        self._connection: Connection | None = None
        self._was_connected_in: BoardMode | None = None

    @property
    def connection(self) -> Connection:
        """The open connection. Raises LinkLostError where there is none."""
        if self._connection is None:
            raise link.LinkLostError("no connection is open")
        return self._connection

    async def open(self, mode: BoardMode, seconds: float) -> Opened:
        """See Open. The system's table of services is made anew when the board runs something else than before."""
        await self.close()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        address = await self._find(mode, seconds)
        fresh = self._was_connected_in is not None and self._was_connected_in is not mode
        try:
            connection = await self._radio.open(address, seconds=max(0.1, deadline - loop.time()), fresh=fresh)
        except (NotHeardError, NoAnswerError) as error:
            raise AbsentError(error.message) from None
        except LinkLostError:
            raise link.LinkLostError("the connection broke at once") from None
        except AttError as error:
            raise _gatt_error(error) from None
        self._connection, self._was_connected_in = connection, mode
        return Opened(connection.characteristics, connection.most, connection.services)

    async def close(self) -> None:
        """See Close."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def lost(self, seconds: float) -> bool:
        """See Lost; a connection that is closed is lost."""
        return self._connection is None or await self._connection.wait_lost(seconds)

    async def subscribe(self, characteristic: str) -> None:
        """See Subscribe."""
        with IN_ITS_WORDS:
            await self.connection.subscribe(characteristic)

    async def read(self, characteristic: str) -> bytes:
        """See Read."""
        with IN_ITS_WORDS:
            return await self.connection.read(characteristic)

    async def write(self, characteristic: str, data: bytes) -> None:
        """See Write."""
        with IN_ITS_WORDS:
            await self.connection.write(characteristic, data)

    async def request(self, characteristic: str, data: bytes) -> None:
        """See Request."""
        with IN_ITS_WORDS:
            await self.connection.request(characteristic, data)

    async def wait(self, seconds: float) -> Notification | None:
        """See Wait."""
        with IN_ITS_WORDS:
            arrived = await self.connection.wait(seconds)
            return None if arrived is None else Notification(*arrived)

    async def heard(self, mode: BoardMode | None, seconds: float) -> BoardMode | None:
        """See Heard."""
        self._others = frozenset(self._radio.adverts)
        advert = await self._radio.heard(lambda advert: self._is_it(advert, mode), seconds)
        return None if advert is None else mode_of(advert)

    async def keep(self) -> None:
        """See Keep."""
        await self._keep()

    async def _find(self, mode: BoardMode, seconds: float) -> str:
        """Where the board is heard in this mode.

        Raises:
            AbsentError: it is not heard.
            RefusedError: two boards are, and nothing tells which is meant.
        """
        known = self._radio.adverts.get(self._address)
        if self._was_connected_in is None and known is not None and mode_of(known) is mode:
            return self._address
        advert = await self._radio.heard(lambda advert: self._is_it(advert, mode), seconds)
        if advert is None:
            raise AbsentError(f"{self._name} is not heard")
        if self._hides_addresses and mode is BoardMode.BOOTLOADER:
            await self._refuse_rivals(advert)
        return advert.address

    def _is_it(self, advert: Advert, mode: BoardMode | None) -> bool:
        found = mode_of(advert)
        if mode not in (None, found):
            return False
        if advert.address == self._address:
            return True
        if found is not BoardMode.BOOTLOADER:
            return False
        if self._hides_addresses:
            return advert.address not in self._others
        return advert.address.upper() == (next_address(self._address) or "").upper()

    async def _refuse_rivals(self, advert: Advert) -> None:
        def is_rival(other: Advert) -> bool:
            return other.address != advert.address and self._is_it(other, BoardMode.BOOTLOADER)

        if await self._radio.heard(is_rival, RIVALS) is not None:
            raise RefusedError(
                f"two boards wait in their bootloaders, and this system does not tell which is {self._name}",
                remedy="switch the other one off, and try again",
                reason="ambiguous",
                permanent=False,
            )


def _gatt_error(error: AttError) -> GattError:
    code = error.code
    if code is None and error.reason == "bond-needed":
        code = INSUFFICIENT_AUTHENTICATION
    return GattError(code, error.message)
