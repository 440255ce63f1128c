"""What a Supervisor notices of a gateway: ``python -m benchmarks.hook``.

- From a hook to the first byte of the image at the board. The firmware is in the cache: the device is pinned back and
  forth between two commits that it has run before. Both ends are read from the simulator's clock, in this process.
- How many requests a pass costs the Supervisor when there is nothing to do, with 10 and with 1000 devices: counted
  between two of the gateway's questions for the list of devices, the median of several passes.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.figures import Figure, report
from benchmarks.gateways import asks_for_list, gateway, lists_asked
from enmctl.simulator.supervisor import RequestRecord
from enmctl.simulator.world import World

WITHIN = 30.0
"""Seconds after which a wait is given up."""

HOOKS = 7
HOOK_LIMIT = 0.3
"""Seconds."""

FLEETS = (10, 1000)
PASSES = 10
PASS_DELAY = 0.5
"""Seconds between two passes, so that some of them fit into a benchmark."""
REQUESTS_LIMIT = 2


async def seconds_to_first_byte(folder: Path) -> list[float]:
    """Each hook's time until its image begins to arrive at the board."""
    options = {"flash_speed": 2_000_000.0, "reboot_time": 0.2}
    async with World(
        boards_per_application=1, firmware_size=64 * 1024, board_options=options, hook_throttle=0.05
    ) as world:
        supervisor, board = world.supervisor, next(iter(world.boards.values()))
        environment = {**world.environment(folder), "ENM_CONFIG_LOOP_DELAY": "60"}  # only a hook tells of a new target
        async with gateway(environment, folder):
            commits = [supervisor.applications[world.application_ids[0]].commit or ""]
            await supervisor.wait_for(lambda: supervisor.hooks_at_rest() and board.fw == commits[0], WITHIN)
            uuid = next(iter(supervisor.devices))
            commits.append(world.push(world.application_ids[0]))
            seconds = []
            for number in range(HOOKS + 1):
                commit = commits[1 - number % 2]
                if number:
                    supervisor.pin(uuid, commit)
                await supervisor.wait_for(lambda: supervisor.hooks_at_rest() and board.fw == commit, WITHIN)  # noqa: B023
                epoch = time.time() - asyncio.get_running_loop().time()
                hooked_at = next(hook.time for hook in supervisor.hooks if hook.body["commit"] == commit)
                if number:
                    seconds.append(board.uploads[-1].started_at - epoch - hooked_at)
                supervisor.hooks.clear()
            return seconds


async def requests_a_pass(folder: Path, devices: int) -> float:
    """How many requests a quiet pass costs."""
    async with World(boards_per_application=0) as world:
        supervisor = world.supervisor
        world.fill(folder / "database" / "enm.db", devices)
        environment = {
            **world.environment(folder),
            "ENM_CONFIG_LOOP_DELAY": str(PASS_DELAY),
            "ENM_AVAHI_TIMEOUT": "0.5",
        }
        async with gateway(environment, folder):
            await supervisor.wait_for(
                lambda: all(row.status == "Offline" for row in supervisor.devices.values()), WITHIN
            )
            supervisor.requests.clear()
            await supervisor.wait_for(lambda: lists_asked(supervisor.requests) > PASSES + 1, WITHIN)
            return statistics.median(_between_lists(list(supervisor.requests)))


def _between_lists(requests: list[RequestRecord]) -> list[int]:
    """How many requests there are from each question for the list to the next, the first of both counted."""
    places = [place for place, request in enumerate(requests) if asks_for_list(request)]
    return [later - earlier for earlier, later in itertools.pairwise(places)]


def measure() -> list[Figure]:
    """All figures."""
    with tempfile.TemporaryDirectory() as folder:
        seconds = asyncio.run(seconds_to_first_byte(Path(folder)))
    figures = [Figure(f"hook to first byte, median of {HOOKS}", statistics.median(seconds), "s", HOOK_LIMIT)]
    for devices in FLEETS:
        with tempfile.TemporaryDirectory() as folder:
            requests = asyncio.run(requests_a_pass(Path(folder), devices))
        figures.append(Figure(f"Supervisor requests in a quiet pass, {devices} devices", requests, "", REQUESTS_LIMIT))
    return figures


if __name__ == "__main__":
    sys.exit(report(measure()))
