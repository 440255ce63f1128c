"""Simulated boards on the air of an adapter that the real bluetoothd drives, and enmctl's radio and drivers on it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any, Final

from enmctl.errors import RadioError
from enmctl.radio.bluetooth import BluetoothRadio
from enmctl.radio.bluez import ADAPTER, SERVICE
from enmctl.radio.system_bus import SystemBus
from enmctl.settings import Settings
from enmctl.simulator.bluetooth.neighbourhood import AS_FAST_AS_IT_GOES, Neighbourhood
from tests.real.boards.air import Room
from tests.system.vm.bluetooth.controller import Adapter
from tests.system.vm.daemons import Daemon, until

SETTINGS: Final = Settings(
    bluetooth_short_timeout=15.0, bluetooth_long_timeout=20.0, return_timeout=40.0, bluetooth_gone_after=30.0
)
"""Limits for an emulated processor."""

SIZE: Final = 8 * 1024
"""Bytes of a program; about a hundred packets pass in a second here."""

TIMING: Final = replace(AS_FAST_AS_IT_GOES, supervision=1.0)


class RealRoom(Room):
    """A room whose radio is the machine's own, as bluetoothd has it."""

    def __init__(self, stack: AsyncExitStack, neighbourhood: Neighbourhood, adapter: Adapter, daemon: Daemon) -> None:
        super().__init__(stack, neighbourhood, SETTINGS)
        self.adapter = adapter
        self.bluetoothd = daemon

    async def open_radio(self, **habits: bool) -> BluetoothRadio:
        """Open the machine's Bluetooth for the drivers."""
        assert not habits, "the real one has its own"
        self._radio = await self._stack.enter_async_context(BluetoothRadio(self.settings))
        for driver in self.drivers.values():
            driver.surroundings.bluetooth = self._radio
        return self._radio


async def known_adapters() -> list[dict[str, Any]]:
    """The adapters that bluetoothd has, by their properties."""
    async with SystemBus.opened(SETTINGS) as bus:
        try:
            objects = await bus.objects(SERVICE, "/")
        except RadioError:
            return []
    return [shown[ADAPTER] for shown in objects.values() if ADAPTER in shown]


async def is_powered() -> bool:
    """Whether an adapter is there and on."""
    return any(properties.get("Powered") for properties in await known_adapters())


def bluetoothd() -> Daemon:
    """Bluetoothd, not started yet."""
    return Daemon("/usr/libexec/bluetooth/bluetoothd", "-n", log="bluetoothd.log", ready=is_powered)


@asynccontextmanager
async def real_room() -> AsyncGenerator[RealRoom]:
    """An empty room with an adapter, and bluetoothd on it."""
    async with (
        Neighbourhood(timing=TIMING) as neighbourhood,
        Adapter(neighbourhood.air) as adapter,
        bluetoothd() as daemon,
        AsyncExitStack() as stack,
    ):
        await until(is_powered)
        yield RealRoom(stack, neighbourhood, adapter, daemon)
