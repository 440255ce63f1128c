"""``enmctl demo``: a gateway and simulated boards in one process, and what happens between them."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from enmctl.cli.output import Output
from enmctl.cli.progress import Progress
from enmctl.cli.showing import progress
from enmctl.cli.worlds import applications, environment_of, populate
from enmctl.errors import EnmError, UnsettledError
from enmctl.gateway.control import DeviceView
from enmctl.gateway.crew import Watcher
from enmctl.gateway.run import Running, running
from enmctl.models import BoardKey, Step, short
from enmctl.settings import Settings
from enmctl.simulator.world import World

FIRMWARE_SIZE = 96 * 1024
"""Bytes of each release for boards on the network: a second."""

BLUETOOTH_FIRMWARE_SIZE = 16 * 1024
"""Bytes of each for Bluetooth boards: a second or two, and the erasing of a flash."""

KINDS = {"microbit-v1": "micro:bit V1", "microbit-v2": "micro:bit V2", "nrf51822dk": "nRF51822-DK"}
"""What people call the kinds of simulated boards."""

COLUMNS = ("name", "board", "commit", "runs", "status")
"""Of the table that it ends with."""

LIMIT = 60.0
"""Seconds after which the demo says that it did not work."""

QUICK = {
    "ENM_CONFIG_LOOP_DELAY": "1",
    "ENM_SUPERVISOR_CHECK_DELAY": "0.2",
    "ENM_RETRY_DELAY": "1",
    "ENM_PROBE_INTERVAL": "1",
    "ENM_UPDATE_RETRIES": "1",
}
"""Delays that suit somebody who looks on."""


class Stage(Watcher):
    """Hands the gateway's work on to whatever draws it."""

    def __init__(self, shown: Progress, output: Output) -> None:
        self._shown = shown
        self._output = output

    def step(self, key: BoardKey, step: Step) -> None:
        """Draw a step."""
        self._shown.step(key.local_id, step)

    def failed(self, key: BoardKey, error: EnmError) -> None:
        """Draw a failure."""
        self._shown.failed(key.local_id, error)
        self._output.say(f"{key.local_id}: {error.message}")


async def show(output: Output, *, boards: int) -> None:
    """Run the demo and end with the table of devices.

    Raises:
        UnsettledError: it did not come to its end in time.
    """
    try:
        async with asyncio.timeout(LIMIT), _play(output, boards) as (world, gateway):
            await _act(output, world, gateway)
            _tell(output, world, await gateway.steward.devices())
    except TimeoutError:
        raise UnsettledError(
            f"the demo did not come to its end within {LIMIT:.0f} s",
            remedy="run it again with --verbose, and tell us what it says",
        ) from None


def _runs(world: World, local_id: str | None) -> str:
    """The version that a board itself says it runs."""
    if local_id in world.boards:
        return world.boards[local_id].fw[:8]
    board = world.bluetooth_boards.get(local_id or "")
    return "" if board is None else board.runs


def _tell(output: Output, world: World, views: Sequence[DeviceView]) -> None:
    """The table of devices; one JSON object a line where that is asked for."""
    rows = [
        {
            "name": view.device.name,
            "board": view.device.local_id,
            "commit": short(view.device.commit),
            "runs": _runs(world, view.device.local_id),
            "status": view.status,
        }
        for view in views
    ]
    if not output.as_json:
        output.table(COLUMNS, [[row[column] for column in COLUMNS] for row in rows], spare=["runs", "status"])
        return
    for row in rows:
        output.event(row)


@asynccontextmanager
async def _play(output: Output, boards: int) -> AsyncGenerator[tuple[World, Running]]:
    """The simulated world, and a gateway in it."""
    with tempfile.TemporaryDirectory(prefix="enmctl-demo-", ignore_cleanup_errors=True) as folder:
        async with World(
            applications=applications(bluetooth=True),
            boards_per_application=0,
            firmware_size=FIRMWARE_SIZE,
            bluetooth_firmware_size=BLUETOOTH_FIRMWARE_SIZE,
            hook_throttle=0.5,
            board_options={"reboot_time": 1.5},
        ) as world:
            await populate(world, boards)
            output.say(f"{_counted(world)} are switched on, and nothing leaves this machine.")
            if world.neighbourhood is None:
                output.say("With pip install 'enmctl[simulator]' there are Bluetooth boards too.")
            settings = Settings.from_environment({**environment_of(world, Path(folder)), **QUICK})
            async with running(settings, reach=world.reach) as gateway:
                yield world, gateway


def _counted(world: World) -> str:
    """How many simulated boards there are, and of which kinds."""
    kinds = Counter(KINDS[board.board.kind] for board in world.bluetooth_boards.values())
    return ", ".join(f"{count} {kind}" for kind, count in [("ESP8266", len(world.boards)), *kinds.items()])


async def _act(output: Output, world: World, gateway: Running) -> None:
    sick = next(iter(world.boards.values()))
    sick.break_with("flash-write")
    output.say(f"A gateway finds them. Board {sick.local_id} is going to fail at first.")
    await _roll_out(output, world, gateway)
    output.say("All run the first commit. Now a second one is pushed.")
    for application_id in world.application_ids:
        world.push(application_id)
    await _roll_out(output, world, gateway)
    output.say("All run the second commit.")


async def _roll_out(output: Output, world: World, gateway: Running) -> None:
    """Draw the work until all boards are on target."""
    with progress(output) as shown, _quiet_gateway():
        gateway.gateway.crew.watcher = Stage(shown, output)
        await world.supervisor.wait_for(lambda: _on_target(world), LIMIT)
        gateway.gateway.crew.watcher = Watcher()


@contextmanager
def _quiet_gateway() -> Iterator[None]:
    """Keep the gateway's log off the drawing, which tells the same."""
    log = logging.getLogger("enmctl.gateway")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def _on_target(world: World) -> bool:
    rows = world.supervisor.devices.values()
    return (
        len(rows) == len(world.all_boards)
        and world.supervisor.hooks_at_rest()
        and all(row.commit and row.commit == row.target_commit and row.status == "Idle" for row in rows)
    )
