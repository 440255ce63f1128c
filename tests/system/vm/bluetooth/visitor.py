"""Another program: visitor.py ADDRESS scans, connects with bleak alone, and prints how many services it saw."""

from __future__ import annotations

import asyncio
import sys

from bleak import BleakClient, BleakScanner

WITHIN = 60.0


async def main(address: str) -> int:
    found = await BleakScanner.find_device_by_address(address, timeout=WITHIN)
    if found is None:
        return 1
    async with BleakClient(found, timeout=WITHIN) as client:
        print(len(list(client.services)))  # noqa: T201 - its answer
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1])))
