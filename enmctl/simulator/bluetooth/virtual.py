"""A simulated Bluetooth adapter, as ``BluetoothRadio`` takes it in the place of the platform's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from enmctl.radio.bluetooth.backend import Passkey
from enmctl.radio.bluetooth.translation import translated
from enmctl.simulator.bluetooth.air import Air
from enmctl.simulator.bluetooth.backend import Stack, VirtualClient, VirtualScanner
from enmctl.simulator.bluetooth.central import AirPlug, Central, Plug, identifier_of, text_of
from enmctl.simulator.bluetooth.quiet import quiet_bumble

if TYPE_CHECKING:
    from bleak import BleakClient


class VirtualRadio:
    """An adapter on the air of simulated boards.

    Args:
        plug: how the air is reached.
        keeps_services: whether it believes a board's services to be as they were, and its name where it tells none, as
            BlueZ does until it forgets it.
        pairs_by_itself: whether it pairs with a board that demands it, as BlueZ does where no digits are needed.
        hides_addresses: whether it is like CoreBluetooth, which calls boards by identifiers of its own, pairs by itself
            and has no words for the rest.
        scans_privately: whether its scans miss what is for this machine alone, as BlueZ's do.
    """

    def __init__(
        self,
        plug: Plug,
        *,
        keeps_services: bool = False,
        pairs_by_itself: bool = False,
        hides_addresses: bool = False,
        scans_privately: bool = False,
    ) -> None:
        quiet_bumble()
        self._hides = hides_addresses
        self._central = Central(plug, identifier_of if hides_addresses else text_of)
        self._stack = stack = Stack(
            self._central,
            keeps_services=keeps_services,
            pairs_by_itself=pairs_by_itself or hides_addresses,
            scans_privately=scans_privately,
        )
        self.scanner: type[VirtualScanner] = type("VirtualScanner", (VirtualScanner,), {"stack": stack})
        self.client: type[VirtualClient] = type("VirtualClient", (VirtualClient,), {"stack": stack})

    async def close(self) -> None:
        """See Backend."""
        await self._central.close()

    async def prepare(self) -> None:
        """See Backend: it is there."""

    async def watch(self, changed: Callable[[], None]) -> None:
        """See Backend: it is never switched."""
        del changed

    async def forget(self, address: str) -> bool:
        """See Backend."""
        if self._hides:
            return False
        if (client := self._stack.clients.get(address)) is not None:
            await client.disconnect()
        self._stack.tables.pop(address, None)
        self._stack.names.pop(address, None)
        known = self._central.known.pop(address, None)
        return self._central.keys.forget(str(known)) or known is not None

    async def release(self, address: str) -> bool:
        """See Backend: a program that is gone has left the air, and its connections with it."""
        del address
        return False

    async def is_bonded(self, address: str) -> bool | None:
        """See Backend."""
        if self._hides:
            return None
        await self._central.device()
        return address in self._central.keys or f"{address}/P" in self._central.keys

    async def pair(self, client: BleakClient, passkey: Passkey | None) -> None:
        """See Backend."""
        if self._hides:
            return
        try:
            await client.pair(passkey=passkey)
        except TimeoutError:
            raise
        except Exception as error:
            raise translated(error, client.address) from error

    async def power_cycle(self) -> bool:
        """See Backend."""
        if self._hides:
            return False
        await self._central.close()
        await self._central.device()
        return True

    async def restore(self) -> None:
        """See Backend: it is never left off."""


def radio_on(air: Air, **habits: bool) -> VirtualRadio:
    """An adapter on an air in this program; ``habits`` as ``VirtualRadio`` has them."""
    return VirtualRadio(AirPlug(air), **habits)
