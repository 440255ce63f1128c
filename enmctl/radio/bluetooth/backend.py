"""Whose Bluetooth it is: the platform's own by bleak, or another that is handed in, like a simulated one.

A backend is a pair of bleak's classes, and what bleak has no words for: to forget a device, to pair with a passkey, to
switch the adapter off and on. On Linux bluetoothd is asked for those (``enmctl.radio.bluez``); elsewhere most of them
cannot be done, and are not needed.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

from enmctl.errors import RadioError
from enmctl.radio.bluetooth.translation import ON_LINUX

if TYPE_CHECKING:
    from bleak import BleakClient
    from bleak.backends.client import BaseBleakClient
    from bleak.backends.scanner import BaseBleakScanner

    from enmctl.settings import Settings

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


class PlatformBackend:
    """The Bluetooth of macOS and Windows, which have no words for most of it and need none."""

    scanner: type[BaseBleakScanner] | None = None
    client: type[BaseBleakClient] | None = None

    async def close(self) -> None:
        """See Backend."""

    async def prepare(self) -> None:
        """See Backend."""

    async def watch(self, changed: Callable[[], None]) -> None:
        """See Backend."""
        del changed

    async def forget(self, address: str) -> bool:
        """See Backend."""
        del address
        return False

    async def release(self, address: str) -> bool:
        """See Backend."""
        del address
        return False

    async def is_bonded(self, address: str) -> bool | None:
        """See Backend."""
        del address
        return None

    async def pair(self, client: BleakClient, passkey: Passkey | None) -> None:
        """See Backend: Windows pairs; macOS asks the person itself, at the first access that needs it."""
        del passkey
        try:
            await client.pair()
        except NotImplementedError:
            _log.debug("this system pairs by itself when it has to")

    async def power_cycle(self) -> bool:
        """See Backend."""
        return False


def platform_backend(settings: Settings) -> Backend:
    """The Bluetooth of this machine.

    Raises:
        RadioError: the settings name an adapter that is not the platform's.
    """
    adapter = settings.bluetooth_adapter
    if adapter.startswith(SIMULATED):
        raise RadioError(
            f"{adapter} is the air of a simulator, which this part of enmctl cannot reach",
            remedy="unset ENM_BLUETOOTH_ADAPTER, or use the enmctl command",
            reason="simulated-adapter",
        )
    if ON_LINUX:
        from enmctl.radio.bluez import BluezBackend

        return BluezBackend(adapter, settings.device_type)
    return PlatformBackend()


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
