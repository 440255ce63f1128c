"""How long a gateway takes from its start until all boards run what they should: ``python -m benchmarks.rollout``.

Ten boards at their factory firmware, 256 KiB to each at the 100 kB/s of a simulated flash, 3 s for a restart, four
transfers at once. The bound is waves * upload + reboot: only a gateway that is there at once, never waits, and gives a
place away while its board restarts could reach it.
"""

from __future__ import annotations

import asyncio
import math
import sys
import tempfile
from pathlib import Path

from benchmarks.figures import Figure, report
from benchmarks.gateways import gateway
from enmctl.simulator.world import World

BOARDS = 10
CONCURRENCY = 4
IMAGE = 256 * 1024
"""Bytes."""
FLASH_SPEED = 100_000.0
"""Bytes a second."""
REBOOT = 3.0
"""Seconds."""

RATIO_MOST = 1.3
WITHIN = 60.0
"""Seconds after which it is given up."""


async def seconds_to_target(folder: Path) -> float:
    """From the start of the gateway's process to the Supervisor having heard that all are on target."""
    options = {"flash_speed": FLASH_SPEED, "reboot_time": REBOOT}
    async with World(boards_per_application=BOARDS, firmware_size=IMAGE, board_options=options) as world:
        supervisor = world.supervisor

        def all_on_target() -> bool:
            rows = supervisor.devices.values()
            return len(rows) == BOARDS and all(
                row.commit is not None and row.commit == row.target_commit and row.status == "Idle" for row in rows
            )

        loop = asyncio.get_running_loop()
        environment = {**world.environment(folder), "ENM_WIFI_CONCURRENCY": str(CONCURRENCY)}
        started_at = loop.time()
        async with gateway(environment, folder):
            await supervisor.wait_for(all_on_target, WITHIN)
            seconds = loop.time() - started_at
        assert all(
            board.fw == supervisor.applications[world.application_ids[0]].commit for board in world.boards.values()
        )
        return seconds


def measure() -> list[Figure]:
    """The one figure."""
    with tempfile.TemporaryDirectory() as folder:
        seconds = asyncio.run(seconds_to_target(Path(folder)))
    bound = math.ceil(BOARDS / CONCURRENCY) * IMAGE / FLASH_SPEED + REBOOT
    return [Figure("start to 10 boards updated", seconds, "s", bound, "waves * upload + reboot", RATIO_MOST)]


if __name__ == "__main__":
    sys.exit(report(measure()))
