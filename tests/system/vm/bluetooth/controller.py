"""A virtual Bluetooth adapter for the real bluetoothd: a controller in this process behind the kernel's ``hci_vhci``.

``python -m tests.system.vm.bluetooth.controller`` keeps it up until it is told to end. What is on ``link`` is in
the air around it.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from bumble.controller import Controller
from bumble.hci import LeFeatureMask
from bumble.link import LocalLink
from bumble.transport import open_transport

ADDRESS: Final = "C0:FF:EE:00:00:01"

NOT_SIMULATED: Final = LeFeatureMask.LL_PRIVACY | LeFeatureMask.LE_EXTENDED_ADVERTISING
"""What the controller says of itself and does not do; the kernel would use it."""


@asynccontextmanager
async def adapter(link: LocalLink) -> AsyncGenerator[Controller]:
    """An adapter of this machine, on a link that simulated boards share."""
    async with await open_transport("vhci") as transport:
        controller = Controller(
            "adapter", host_source=transport.source, host_sink=transport.sink, link=link, public_address=ADDRESS
        )
        controller.le_features &= ~NOT_SIMULATED
        yield controller


async def main() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with adapter(LocalLink()):  # type: ignore[no-untyped-call]
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main())
