"""The Bluetooth of the machine itself."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from enmctl.errors import RadioError
from enmctl.radio.bluetooth.backend import SIMULATED, Backend, Passkey
from enmctl.radio.bluetooth.errors import PairingError
from enmctl.radio.bluetooth.translation import ON_LINUX, unusable_radio
from enmctl.radio.system_bus import bus_address

if TYPE_CHECKING:
    from bleak import BleakClient
    from bleak.backends.client import BaseBleakClient
    from bleak.backends.scanner import BaseBleakScanner

    from enmctl.settings import Settings

_log = logging.getLogger(__name__)


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
        from bleak.exc import BleakError

        del passkey
        try:
            await client.pair()
        except NotImplementedError:
            _log.debug("this system pairs by itself when it has to")
        except BleakError as error:
            raise unusable_radio(error) or PairingError(
                f"this system did not pair with {client.address} ({error})",
                remedy="pair with it in the system's Bluetooth settings, or use a program that pairs without a passkey",
            ) from error

    async def power_cycle(self) -> bool:
        """See Backend."""
        return False

    async def restore(self) -> None:
        """See Backend: nothing was switched off."""


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

        return BluezBackend(adapter, settings.device_type, bus_address(settings))
    return PlatformBackend()
