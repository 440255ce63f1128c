"""A simulated ESP8266 that lives at an address of a real network: board.py APPLICATION ID ADDRESS [silent].

It runs until it is told to end. ``silent`` keeps it from saying over mDNS that it is there.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Self

from enmctl.radio.multicast import open_multicast
from enmctl.simulator.esp8266 import SimulatedEsp8266
from enmctl.simulator.mdns import LoopbackMdns

HTTP_PORT = 80


class StationMdns(LoopbackMdns):
    """The same responder, heard in the network of an address."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self._address = address

    async def __aenter__(self) -> Self:
        self._zeroconf = await open_multicast((self._address,))
        return self


async def main(application_id: int, local_id: str, address: str, *, silent: bool) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with (
        StationMdns(address) as mdns,
        SimulatedEsp8266(
            application_id, local_id, address=address, port=HTTP_PORT, mdns=mdns, advertise=not silent, reboot_time=1.0
        ),
    ):
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), *sys.argv[2:4], silent="silent" in sys.argv))
