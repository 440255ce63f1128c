"""What many devices cost a gateway: ``python -m benchmarks.load``.

- ``decide`` for 10 000 devices at rest, all online and on target: CPU seconds, the median of several calls.
- A quiet pass with 10 000 devices in the store and in the Supervisor, whose list differs from the one before, so that
  it is fetched, parsed and compared whole: wall clock, the median of several passes.
- Resident memory (VmRSS) of ``enmctl run`` after 30 quiet passes with 1000 boards that advertise themselves and answer,
  and what each of the last 500 of them added.
- Whether anything grows over 200 passes of a gateway that updates its boards all the time: the last 20 passes beside
  the first 20 after the first rollout.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from starlette.types import Receive, Scope, Send

from benchmarks.figures import Figure, report
from benchmarks.gateways import Pass, gateway, lists_asked, observed_gateway, resident
from enmctl.gateway.decide import Seen, Stored, Told, decide, full_report
from enmctl.models import Application, BoardKey, Desired, Device, DiscoveredBoard, ListedDevice, Radio
from enmctl.simulator.serving import Listener
from enmctl.simulator.world import World

T = TypeVar("T")

MIB = 1 << 20

WITHIN = 90.0
"""Seconds after which a wait is given up."""

MANY = 10_000
ROUNDS = 11
DECIDE_LIMIT = 50.0
"""Milliseconds."""
PASS_LIMIT = 500.0
"""Milliseconds."""

FLEETS = (500, 1000)
QUIET_PASSES = 30
PASS_DELAY = 0.5
"""Seconds between two passes, so that 30 fit into a benchmark."""
MEMORY_LIMIT = 100.0
"""MiB."""
DEVICE_LIMIT = 25.0
"""KiB for each further device."""

UPDATED = 4
UPDATE_PASSES = 200
PASSES_AT_REST = 2
"""So many passes are at rest between two updates, so that of descriptors and tasks those can be seen that stay."""
COMPARED = 20
GROWTH = {"memory": 1.05, "descriptors": 1.1, "tasks": 1.1, "time": 1.5}
"""The growth that still counts as none: what two stretches differ by that hold different moments of updates."""


def decide_milliseconds() -> float:
    """CPU time of ``decide`` for devices at rest; what this process did before is kept out of it, as ``run`` does."""
    gc.collect()
    gc.freeze()
    now = time.time()
    commit = secrets.token_hex(20)
    config = {"RESIN_HOST_TYPE": "esp8266"}
    devices = [
        Device(
            uuid=secrets.token_hex(31),
            application_id=1,
            board_type="esp8266",
            local_id=str(number),
            name=f"device-{number}",
            commit=commit,
            target_commit=commit,
            config=config,
            target_config=config,
            environment={},
            target_environment={},
            first_listed=1,
        )
        for number in range(MANY)
    ]
    listed = {
        device.uuid: ListedDevice(device.uuid, 1, device.name, _copy(commit), dict(config), {}, commit, "Idle", True)
        for device in devices
    }
    desired = Desired({1: Application(1, "lamps", "esp8266", commit, config)}, listed)
    seen = {key: Seen(_board(key), online=True) for device in devices if (key := device.key) is not None}
    stored = Stored(devices, told={device.uuid: Told(full_report(device, online=True), now) for device in devices})
    spent = []
    for _ in range(ROUNDS):
        started_at = time.process_time()
        actions = decide(desired, seen, stored, now)
        spent.append(time.process_time() - started_at)
        assert not actions
    return statistics.median(spent) * 1000


def _copy(text: str) -> str:
    """The same text as another object, as it comes from elsewhere."""
    return text.encode().decode()


def _board(key: BoardKey) -> DiscoveredBoard:
    name = f"esp8266_{key.application_id}_{key.local_id}"
    return DiscoveredBoard("esp8266", *key, radio=Radio.WIFI, name=name, addresses=("127.0.0.1",), port=80)


class PreparedSupervisor:
    """Answers at once with what a simulated Supervisor would say; each list of devices differs from the one before."""

    def __init__(self, applications: object, devices: Sequence[dict[str, object]]) -> None:
        other = [{**devices[0], "name": "renamed"}, *devices[1:]]
        self._applications = json.dumps(applications).encode()
        self._lists = itertools.cycle([json.dumps(each).encode() for each in (devices, other)])
        self.reports = 0
        self.told = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        while (await receive()).get("more_body"):
            pass
        body = b"{}"
        if scope["method"] == "GET":
            body = next(self._lists) if scope["path"] == "/v1/devices" else self._applications
        else:
            self.reports += 1
            self.told.set()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})


async def quiet_pass_milliseconds(folder: Path) -> float:
    """A pass that finds a new list and nothing to do, from the question to the end of the pass."""
    async with World(boards_per_application=0) as world:
        world.fill(folder / "database" / "enm.db", MANY)
        supervisor = world.supervisor
        applications = [row.shown() for row in supervisor.application_rows.values()]
        devices = [row.shown(supervisor.era) for row in supervisor.devices.values()]
        prepared = PreparedSupervisor(applications, devices)
        environment = world.environment(folder)
    environment |= {"ENM_CONFIG_LOOP_DELAY": "1", "ENM_AVAHI_TIMEOUT": "0.5", "ENM_REPORT_INTERVAL": "86400"}
    async with Listener(prepared) as listener:
        environment["BALENA_SUPERVISOR_ADDRESS"] = listener.url
        async with observed_gateway(environment, folder) as passes:
            async with asyncio.timeout(WITHIN):
                while prepared.reports < MANY:
                    prepared.told.clear()
                    await prepared.told.wait()
            before = len(passes.made)
            await passes.reach(before + 2 * ROUNDS, WITHIN)
    quiet = [each for each in passes.made[before:] if each.asked]
    return statistics.median(each.asked + each.turned for each in quiet) * 1000


async def resident_of_fleet(count: int, folder: Path) -> int:
    """Bytes of ``enmctl run`` with so many boards that are there, on target and told of, after some quiet passes."""
    async with World(boards_per_application=0) as world:
        supervisor, application = world.supervisor, world.application_ids[0]
        world.fill(folder / "database" / "enm.db", count)
        for row in list(supervisor.devices.values()):
            await world.add_board(application, local_id=str(row.id))
        environment = {**world.environment(folder), "ENM_CONFIG_LOOP_DELAY": str(PASS_DELAY)}
        async with gateway(environment, folder) as process:
            await supervisor.wait_for(lambda: all(row.status == "Idle" for row in supervisor.devices.values()), WITHIN)
            supervisor.requests.clear()
            await supervisor.wait_for(lambda: lists_asked(supervisor.requests) >= QUIET_PASSES, WITHIN)
            return resident(process.pid)


async def passes_with_updates(folder: Path) -> list[Pass]:
    """Passes of a gateway whose boards get a new release whenever all have the last one."""
    options = {"flash_speed": 2_000_000.0, "reboot_time": 0.1}
    async with World(
        boards_per_application=UPDATED, firmware_size=16 * 1024, board_options=options, hook_throttle=0.05
    ) as world:
        supervisor, application = world.supervisor, world.application_ids[0]

        def all_on_target() -> bool:
            commit = supervisor.applications[application].commit
            return (
                len(supervisor.devices) == UPDATED
                and supervisor.hooks_at_rest()
                and all(board.fw == commit for board in world.boards.values())
                and all(row.status == "Idle" for row in supervisor.devices.values())
            )

        environment = {**world.environment(folder), "ENM_CONFIG_LOOP_DELAY": str(PASS_DELAY)}
        async with observed_gateway(environment, folder) as passes:
            await supervisor.wait_for(all_on_target, WITHIN)
            before = len(passes.made)
            while len(passes.made) < before + UPDATE_PASSES:
                world.push(application)
                await supervisor.wait_for(all_on_target, WITHIN)
                await passes.reach(len(passes.made) + PASSES_AT_REST, WITHIN)
            return passes.made[before : before + UPDATE_PASSES]


def growth(passes: Sequence[Pass]) -> list[Figure]:
    """The last passes beside the first; of descriptors and tasks those count that are left when work has ended."""
    first, last = passes[:COMPARED], passes[-COMPARED:]

    def figure(name: str, unit: str, of: Callable[[Sequence[Pass]], float]) -> Figure:
        return Figure(
            f"{name}, last of {len(passes)} passes with updates",
            of(last),
            unit,
            of(first),
            "first passes",
            GROWTH[name],
        )

    return [
        figure("memory", "MiB", lambda some: statistics.median(each.resident for each in some) / MIB),
        figure("descriptors", "", lambda some: min(each.descriptors for each in some)),
        figure("tasks", "", lambda some: min(each.tasks for each in some)),
        figure("time", "ms", lambda some: statistics.mean(each.turned for each in some) * 1000),
    ]


def in_folder(run: Callable[[Path], Coroutine[None, None, T]]) -> T:
    """Run something that needs a folder and a loop of its own."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(run(Path(folder)))


def measure() -> list[Figure]:
    """All figures."""
    small, large = (in_folder(partial(resident_of_fleet, count)) for count in FLEETS)
    each = (large - small) / (FLEETS[1] - FLEETS[0])
    return [
        Figure(f"decide, {MANY} devices at rest", decide_milliseconds(), "ms", DECIDE_LIMIT),
        Figure(f"quiet pass, list of {MANY} parsed", in_folder(quiet_pass_milliseconds), "ms", PASS_LIMIT),
        Figure(f"resident memory, {FLEETS[1]} boards", large / MIB, "MiB", MEMORY_LIMIT),
        Figure("memory of each further board", each / 1024, "KiB", DEVICE_LIMIT),
        *growth(in_folder(passes_with_updates)),
    ]


if __name__ == "__main__":
    sys.exit(report(measure()))
