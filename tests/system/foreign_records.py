"""Runs a gateway on loopback that hears of boards with foreign addresses beside its own; prints what came of them.

foreign_records.py FOLDER
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from tests.real.gateway.rig import rig

FOREIGN = ("198.51.100.7", "192.0.2.1", "10.1.2.3", "2001:db8::1")


async def main(folder: Path) -> dict[str, int]:
    async with rig(folder, boards=1) as world:
        world.push()
        for number, address in enumerate(FOREIGN):
            world.mdns.announce(f"ESP8266_{world.app}_{4000 + number}", 80, address=address)
        [own] = world.boards
        world.mdns.announce(f"{own.name}-2", 80, address=FOREIGN[0])
        async with world.gateway():
            await world.all_on_target()
            newest = world.push()
            await world.all_on_target()
        return {"on_target": int(own.fw == newest), "devices": len(world.supervisor.devices)}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(main(Path(sys.argv[1])))))
