"""A Bluetooth connection as a transfer wants it: the board found again in each of its modes, errors in its words."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from enmctl.boards.adverts import ADDRESS, is_next
from enmctl.dfu import link
from enmctl.dfu.link import AbsentError, GattError, LinkTimeoutError, Notification, Opened
from enmctl.dfu.update import NEEDED
from enmctl.errors import EnmError, RadioError, RefusedError, TransferError
from enmctl.models import BoardMode
from enmctl.radio.bluetooth import (
    Advert,
    AttError,
    BluetoothRadio,
    BondLostError,
    Connection,
    LinkLostError,
    NoAnswerError,
)
from enmctl.radio.bluetooth.connection import PAIRING_TIMEOUT

LOG = logging.getLogger(__name__)

INSUFFICIENT_AUTHENTICATION: Final = 0x05
RIVALS: Final = 1.0
"""Seconds to listen for a second bootloader, where the platform hides addresses and nothing else tells them apart."""

NAMELESS_FOR: Final = 1.0
"""Seconds in which a program tells its name, that comes in the answer to a scan where it did not fit before."""

SHOWN_WITHIN: Final = 3.0
"""Seconds in which a bootloader that a scan can show is heard after the jump; it advertises ten times a second."""

AGAIN_WITHIN: Final = 8.0
"""Seconds for one that none can show to take a connection; it waits for 64 (Nordic SDK 11, ``dfu_transport_ble.c``)."""

LATELY: Final = 30.0
"""Seconds after which a board that is not heard may have become another one."""


def _is_bootloaders(connection: Connection) -> bool:
    """Whether a connection offers all that a bootloader does."""
    return any(connection.characteristics >= needed for needed in NEEDED.values())


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

    A bootloader is found again at the board's address or the next one, or where it waits for this machine alone and
    tells no name. Where the system hides addresses, one at another place is taken for the board's that was not heard
    before the board left its program, if there is only one.

    Args:
        radio: what to reach it with.
        address: the board's, as it was heard.
        name: what to call it in errors.
        mode_of: tells whether an advertisement is a bootloader's or a program's.
        keep: writes the transfer's memory down; None for what is no transfer.
        may_ask: whether a person is there whom the system may ask to pair, which it does at a program's first protected
            access and holds that meanwhile; for systems that pair by themselves.
    """

    def __init__(
        self,
        radio: BluetoothRadio,
        address: str,
        name: str,
        *,
        mode_of: Callable[[Advert], BoardMode],
        keep: Callable[[], Awaitable[None]] | None = None,
        may_ask: bool = False,
    ) -> None:
        self._radio = radio
        self._address = address
        self._name = name
        self._mode_of = mode_of
        self._keep = keep
        self._may_ask = may_ask
        self._is_first_access = False
        self._hides_addresses = not ADDRESS.fullmatch(address)
        self._ours = {address}
        self._others: set[str] = set()
        self._connection: Connection | None = None
        self._before: Connection | None = None
        self._began_in: BoardMode | None = None
        self._was_connected_in: BoardMode | None = None

    @property
    def connection(self) -> Connection:
        """The open connection. Raises LinkLostError where there is none."""
        if self._connection is None:
            raise link.LinkLostError("no connection is open")
        return self._connection

    async def find(self, seconds: float) -> BoardMode | None:
        """What the board runs, before anything is done with it; None where it is not heard."""
        await self._radio.release(self._address)
        return await self.heard(None, seconds)

    async def open(self, mode: BoardMode, seconds: float) -> Opened:
        """See Open. What the system knows of a board that may run something else by now is forgotten first.

        A bootloader asks for no bond: one that hangs up has not lost it.
        """
        await self.close()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        try:
            if self._began_in is None:
                await self._radio.release(self._address)
                self._began_in = mode
                self._note_others()
            connection = await self._open_again(mode)
            if connection is None:
                if mode is BoardMode.APPLICATION or self._was_connected_in is not mode:
                    await self._radio.forget(self._address)
                address = await self._find(mode, seconds)
                connection = await self._radio.open(address, seconds=max(0.1, deadline - loop.time()))
        except (BondLostError, LinkLostError) as error:
            if isinstance(error, BondLostError) and mode is BoardMode.APPLICATION:
                raise
            raise link.LinkLostError("the connection broke at once") from None
        except (RadioError, RefusedError):
            raise
        except AttError as error:
            raise _gatt_error(error) from None
        except EnmError as error:
            raise AbsentError(error.message) from None
        self._connection, self._was_connected_in = connection, mode
        self._is_first_access = self._may_ask and mode is BoardMode.APPLICATION
        self._before = connection
        self._ours.add(connection.address)
        self._note_others()
        return Opened(connection.characteristics, connection.most, connection.services)

    async def _open_again(self, mode: BoardMode) -> Connection | None:
        """Connect to a bootloader that no scan shows, for it waits for this machine alone; None where that is not so.

        Where the system shows the services of its program, it has to forget those first. A program may have the very
        ones of the bootloader (Nordic SDK 11, ``ble_dfu.c``): then it makes no difference.
        """
        before = self._before
        if before is None or mode is not BoardMode.BOOTLOADER or self._hides_addresses:
            return None
        if await self._hear(mode, SHOWN_WITHIN) is not None:
            return None
        try:
            connection = await self._radio.again(before, seconds=AGAIN_WITHIN)
        except RadioError:
            raise
        except EnmError as error:
            LOG.debug("%s takes no connection unheard: %s", self._name, error)
            return None
        if self._was_connected_in is mode or connection.table != before.table or _is_bootloaders(connection):
            return connection
        await connection.close()
        return None

    async def close(self) -> None:
        """See Close."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def unpair(self) -> None:
        """Have this machine forget the board and its bond, so that it can be paired with anew."""
        await self.close()
        await self._radio.unpair(self._address)

    async def lost(self, seconds: float) -> bool:
        """See Lost; a connection that is closed is lost."""
        return self._connection is None or await self._connection.wait_lost(seconds)

    async def subscribe(self, characteristic: str) -> None:
        """See Subscribe."""
        with IN_ITS_WORDS:
            await self.connection.subscribe(characteristic, seconds=self._patience())

    async def read(self, characteristic: str) -> bytes:
        """See Read."""
        with IN_ITS_WORDS:
            return await self.connection.read(characteristic, seconds=self._patience())

    async def write(self, characteristic: str, data: bytes) -> None:
        """See Write."""
        with IN_ITS_WORDS:
            await self.connection.write(characteristic, data)

    async def request(self, characteristic: str, data: bytes) -> None:
        """See Request."""
        with IN_ITS_WORDS:
            await self.connection.request(characteristic, data, seconds=self._patience())

    def _patience(self) -> float | None:
        """Seconds for an access, None for the usual ones."""
        is_first, self._is_first_access = self._is_first_access, False
        return PAIRING_TIMEOUT if is_first else None

    async def wait(self, seconds: float) -> Notification | None:
        """See Wait."""
        with IN_ITS_WORDS:
            arrived = await self.connection.wait(seconds)
            return None if arrived is None else Notification(*arrived)

    async def heard(self, mode: BoardMode | None, seconds: float) -> BoardMode | None:
        """See Heard."""
        advert = await self._hear(mode, seconds)
        if advert is not None and mode is None and not _says_what_it_is(advert):
            advert = await self._hear(None, NAMELESS_FOR, says_what_it_is=True) or advert
        return None if advert is None else self._shown_by(advert)

    async def keep(self) -> None:
        """See Keep."""
        if self._keep is not None:
            await self._keep()

    async def _find(self, mode: BoardMode, seconds: float) -> str:
        """Where the board is heard in this mode.

        Raises:
            AbsentError: it is not heard.
            RefusedError: two boards are, and nothing tells which is meant.
        """
        advert = await self._hear(mode, seconds)
        if advert is None:
            raise AbsentError(f"{self._name} is not heard")
        if not self._hides_addresses or advert.address in self._ours:
            return advert.address
        return await self._the_only_one(advert)

    async def _hear(self, mode: BoardMode | None, seconds: float, *, says_what_it_is: bool = False) -> Advert | None:
        def is_it(advert: Advert) -> bool:
            shown = self._shown_by(advert)
            return shown is not None and mode in (None, shown) and (_says_what_it_is(advert) or not says_what_it_is)

        return await self._radio.heard(is_it, seconds)

    def _shown_by(self, advert: Advert) -> BoardMode | None:
        """What the board runs, as an advertisement shows; None where that is another board's."""
        mode = self._mode_of(advert)
        if advert.address in self._ours:
            waits_for_us = self._was_connected_in is not None and not _says_what_it_is(advert)
            return BoardMode.BOOTLOADER if waits_for_us else mode
        if self._hides_addresses:
            is_ours = mode is BoardMode.BOOTLOADER and self._began_in is not None and advert.address not in self._others
        elif mode is BoardMode.BOOTLOADER:
            is_ours = is_next(advert.address, self._address)
        else:
            is_ours = self._began_in is BoardMode.BOOTLOADER and advert.address not in self._others
            is_ours = is_ours and is_next(self._address, advert.address)
        return mode if is_ours else None

    def _note_others(self) -> None:
        """Remember who is heard while the board is connected, or before it ever was: they are not the board."""
        since = asyncio.get_running_loop().time() - LATELY
        self._others |= {address for address, advert in self._radio.adverts.items() if advert.at >= since}
        self._others -= self._ours

    async def _the_only_one(self, advert: Advert) -> str:
        """Where the bootloader is, if no other may be it as well."""

        def is_rival(other: Advert) -> bool:
            return other.address != advert.address and self._shown_by(other) is BoardMode.BOOTLOADER

        rival = await self._radio.heard(is_rival, RIVALS)
        if rival is None:
            return advert.address
        if rival.address in self._ours:
            return rival.address
        raise RefusedError(
            f"two boards wait in their bootloaders, and this system does not tell which is {self._name}",
            remedy="switch the other one off, and try again",
            reason="ambiguous",
            permanent=False,
        )


def _says_what_it_is(advert: Advert) -> bool:
    """Whether an advertisement has anything in it; one for this machine alone has not (ADV_DIRECT_IND)."""
    return bool(advert.name or advert.services)


def _gatt_error(error: AttError) -> GattError:
    code = error.code
    if code is None and error.reason == "bond-needed":
        code = INSUFFICIENT_AUTHENTICATION
    return GattError(code, error.message)
