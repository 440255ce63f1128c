"""Whose Bluetooth it is: the platform's own by bleak, or another that is handed in, like a simulated one.

A backend is a pair of bleak's classes, and what bleak has no words for: to forget a device, to pair with a passkey, to
switch the adapter off and on. On Linux bluetoothd is asked for those (``enmctl.radio.bluez``); elsewhere most of them
cannot be done, and are not needed.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from bleak import BleakClient
    from bleak.backends.client import BaseBleakClient
    from bleak.backends.scanner import BaseBleakScanner


SIMULATED = "simulated:"
"""How the name of an adapter begins that is not the platform's."""

Passkey = Callable[[], Awaitable[int | None]]
"""Asks a person for the six digits that a board shows; None where nobody will say."""

_log = logging.getLogger(__name__)


class Backend(Protocol):
    """What ``BluetoothRadio`` works with. Only exceptions of bleak and of ``enmctl.errors`` come out of it."""

    @property
    def scanner(self) -> type[BaseBleakScanner] | None:
        """The scanner class for bleak, None for the platform's."""
        ...

    @property
    def client(self) -> type[BaseBleakClient] | None:
        """The client class for bleak, None for the platform's."""
        ...

    async def close(self) -> None:
        """Let go of what was opened."""
        ...

    async def prepare(self) -> None:
        """Make the adapter there, where it is not by itself.

        Raises:
            RadioError: that cannot be done.
        """
        ...

    async def watch(self, changed: Callable[[], None]) -> None:
        """Have this called, in the loop, when the adapter may have come, gone or been switched, where that is told."""
        ...

    async def forget(self, address: str) -> bool:
        """Have the system forget all it knows of a device, a bond too; False where it cannot, or knew nothing."""
        ...

    async def release(self, address: str) -> bool:
        """End a connection that an earlier run of this program left behind; False where there was none."""
        ...

    async def is_bonded(self, address: str) -> bool | None:
        """Whether the system has a bond with a device; None where it does not tell."""
        ...

    async def pair(self, client: BleakClient, passkey: Passkey | None) -> None:
        """Pair over a connection.

        Raises:
            PairingError: it did not come about.
        """
        ...

    async def power_cycle(self) -> bool:
        """Switch the adapter off and on; False where that cannot be done."""
        ...

    async def restore(self) -> None:
        """Switch the adapter on where ``power_cycle`` has left it off; does nothing elsewhere, and never raises."""
        ...


def quiet_bleak() -> None:
    """Keep the logs of bleak and of what it uses off the terminal: their warnings are told at debug level, as ours."""
    for name in ("bleak", "dbus_fast"):
        logger = logging.getLogger(name)
        logger.propagate = False
        logger.setLevel(logging.WARNING)
        if not any(isinstance(handler, _ToDebug) for handler in logger.handlers):
            logger.addHandler(_ToDebug())


class _ToDebug(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        _log.debug("%s: %s", record.name, record.getMessage())
