"""Whether a gateway wears out: one micro:bit is updated 200 times over the simulated link by one process.

The original gets slower after about forty updates, and has to be restarted.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.figures import Figure, report
from benchmarks.gateways import observed_gateway
from enmctl.simulator.world import World

CYCLES: Final = 200

APPLICATION: Final = 7654321

SETTLED: Final = 20
"""The cycle beside which the last one is put, and how many are compared in time at each end."""

GROWTH: Final = 1.1
"""What memory and time may grow by; descriptors and tasks may not."""

SIZE: Final = 8 * 1024
"""Bytes of a release."""

WITHIN: Final = 60.0
"""Seconds for one update."""

PASS_DELAY: Final = 0.2
PASSES_AT_REST: Final = 3
"""So many passes after an update nothing of it is left to end."""

MIB: Final = 1 << 20


class Cycle(NamedTuple):
    """One update: its seconds from the push to the report, and what the gateway has at rest after it."""

    seconds: float
    resident: int
    descriptors: int
    tasks: int


async def cycles(folder: Path, count: int = CYCLES) -> list[Cycle]:
    """So many updates, one after another."""
    made = []
    async with World(
        applications=[(APPLICATION, "badges", "microbit")],
        boards_per_application=1,
        bluetooth_firmware_size=SIZE,
        release_at_start=False,
        hook_throttle=0.05,
    ) as world:
        supervisor = world.supervisor

        def on_target() -> bool:
            commit = supervisor.applications[APPLICATION].commit
            rows = supervisor.devices.values()
            return supervisor.hooks_at_rest() and [(row.status, row.commit) for row in rows] == [("Idle", commit)]

        loop = asyncio.get_running_loop()
        environment = {**world.environment(folder), "ENM_CONFIG_LOOP_DELAY": str(PASS_DELAY)}
        async with observed_gateway(environment, folder) as passes:
            await supervisor.wait_for(lambda: bool(supervisor.devices), WITHIN)
            for _ in range(count):
                began = loop.time()
                world.push(APPLICATION)
                await supervisor.wait_for(on_target, WITHIN)
                seconds = loop.time() - began
                supervisor.requests.clear()
                await passes.reach(len(passes.made) + PASSES_AT_REST, WITHIN)
                rest = passes.made[-PASSES_AT_REST + 1 :]
                made.append(
                    Cycle(
                        seconds,
                        rest[-1].resident,
                        min(each.descriptors for each in rest),
                        min(each.tasks for each in rest),
                    )
                )
    return made


def figures(made: Sequence[Cycle]) -> list[Figure]:
    """The memory after the last cycle beside that after the settled one; of the rest, the last cycles beside the first.

    Of descriptors and tasks those count that are left when nothing else is under way: the fewest.
    """
    first, last = made[:SETTLED], made[-SETTLED:]
    name, beside = f"after {len(made)} updates of a micro:bit", f"after {SETTLED}"
    first_seconds, last_seconds = (statistics.median(each.seconds for each in some) for some in (first, last))
    first_descriptors, last_descriptors = (min(each.descriptors for each in some) for some in (first, last))
    first_tasks, last_tasks = (min(each.tasks for each in some) for some in (first, last))
    return [
        Figure(f"memory {name}", last[-1].resident / MIB, "MiB", first[-1].resident / MIB, beside, GROWTH),
        Figure(f"descriptors {name}", last_descriptors, "", first_descriptors, beside),
        Figure(f"tasks {name}", last_tasks, "", first_tasks, beside),
        Figure(f"time of one, last {SETTLED} of {len(made)}", last_seconds, "s", first_seconds, "the first", GROWTH),
    ]


def measure() -> list[Figure]:
    """All of it."""
    with tempfile.TemporaryDirectory() as folder:
        return figures(asyncio.run(cycles(Path(folder))))


if __name__ == "__main__":
    sys.exit(report(measure()))
