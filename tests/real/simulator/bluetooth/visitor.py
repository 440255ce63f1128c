"""Another program on a simulated air: ``python -m tests.real.simulator.bluetooth.visitor ADAPTER DEED``."""

from __future__ import annotations

import asyncio
import sys

from enmctl.radio.bluetooth import BluetoothRadio
from enmctl.settings import Settings
from enmctl.simulator.bluetooth.channel import virtual_radio
from tests.real.simulator.bluetooth.echo import ADDRESS, ECHO, SECRET


async def visit(adapter: str, deed: str) -> None:
    """Do what was asked for, and say so on stdout."""
    settings = Settings(bluetooth_adapter=adapter, bluetooth_long_timeout=10, bluetooth_short_timeout=10)
    async with BluetoothRadio(settings, virtual_radio(adapter)) as radio:
        advert = await radio.heard(lambda advert: advert.address == ADDRESS, 10)
        assert advert is not None
        say(f"heard {advert.name}")
        async with radio.connect(ADDRESS) as connection:
            await connection.subscribe(ECHO)
            await connection.request(ECHO, b"hello")
            echoed = await connection.wait(10)
            assert echoed is not None
            say(f"echoed {echoed.data.decode()}")
            if deed == "pair":
                await connection.pair()
            if deed in ("pair", "secret"):
                say(f"secret {await connection.read(SECRET)!r}")
            if deed == "stay":
                await connection.wait_lost(60)
                say("lost")


def say(words: str) -> None:
    """Tell the test."""
    print(words, flush=True)  # noqa: T201 - this is how it is told


if __name__ == "__main__":
    asyncio.run(visit(*sys.argv[1:]))
