"""A virtual Bluetooth adapter for the real bluetoothd: a controller on simulated air behind ``hci_vhci``."""

from __future__ import annotations

from contextlib import AsyncExitStack
from types import TracebackType
from typing import Final, Self

from bumble.transport import open_transport

from enmctl.simulator.bluetooth.air import Air
from enmctl.simulator.bluetooth.controller import AirController
from tests.system.vm.daemons import must

ADDRESS: Final = "C0:FF:EE:00:00:01"


class Adapter:
    """An adapter of this machine, which can be plugged in and out; out at the end of the context.

    Args:
        air: what it hears.
    """

    def __init__(self, air: Air) -> None:
        self._air = air
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await must("modprobe", "hci_vhci")
        await self.plug_in()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.unplug()

    async def plug_in(self) -> None:
        """Have the kernel see it."""
        transport = await self._stack.enter_async_context(await open_transport("vhci"))
        controller = AirController(self._air, "adapter", host=transport.sink, public_address=ADDRESS)
        transport.source.set_packet_sink(controller)
        self._stack.callback(controller.leave)

    async def unplug(self) -> None:
        """Take it away, as by pulling a USB dongle."""
        await self._stack.aclose()
