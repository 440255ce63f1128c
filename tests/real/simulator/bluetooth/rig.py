"""An air with boards of tests on it, and radios to reach them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from enmctl.radio.bluetooth import BluetoothRadio
from enmctl.settings import Settings
from enmctl.simulator.bluetooth.air import Air, Timing
from enmctl.simulator.bluetooth.hosting import BoardHost
from enmctl.simulator.bluetooth.virtual import VirtualRadio, radio_on
from tests.real.radio.waiting import LIMIT
from tests.real.simulator.bluetooth.echo import EchoBoard

SETTINGS = Settings(bluetooth_short_timeout=2.0, bluetooth_long_timeout=2.0)


class Rig:
    """An air; what is put on it lasts as long as the rig."""

    def __init__(self, stack: AsyncExitStack, air: Air) -> None:
        self.air = air
        self._stack = stack

    async def board(self, board: EchoBoard | None = None, **options: Any) -> tuple[EchoBoard, BoardHost]:
        """Put a board on the air."""
        board = board or EchoBoard()
        host = await self._stack.enter_async_context(BoardHost(self.air, board, name=board.name, **options))
        return board, host

    async def radio(
        self, settings: Settings = SETTINGS, backend: VirtualRadio | None = None, **options: Any
    ) -> BluetoothRadio:
        """Open a radio on the air."""
        backend = backend or radio_on(self.air, **options)
        return await self._stack.enter_async_context(BluetoothRadio(settings, backend))


@asynccontextmanager
async def rig(timing: Timing | None = None) -> AsyncGenerator[Rig]:
    """A rig with an air of this timing."""
    air = Air(timing)
    stack = AsyncExitStack()
    try:
        yield Rig(stack, air)
    finally:
        async with asyncio.timeout(LIMIT):
            await stack.aclose()
        air.close()
