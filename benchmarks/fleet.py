"""A gateway with a fleet file: ``python -m benchmarks.fleet``.

- ``enmctl plan`` for 10 000 devices: the whole process, from its start to its exit, with a file that names each of
  them, a database that knows them all, and each on its target but one; then with a new version for all.
- From a change of the fleet file to the first byte of the image at the first board, nothing of it cached.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.figures import Figure, report
from benchmarks.gateways import gateway
from enmctl.boards.installed import board_types
from enmctl.errors import ExitCode
from enmctl.models import Device
from enmctl.simulator.images import esp8266_image
from enmctl.simulator.world import World
from enmctl.sources.fleet.fleet import read_fleet
from enmctl.store import Store

DEVICES = 10_000
PLAN_LIMIT = 1.0
"""Seconds."""

EDIT_LIMIT = 0.5
"""Seconds."""
EDITS = 7
ROUNDS = 5
WITHIN = 30.0
IMAGE = 64 * 1024

POLICY = '[policy]\nat_once = 4\ncanaries = 1\nwell_for = "5m"\nstop_after = 2\nrollback = true\n'


def fleet_text(application: int, firmware: str, version: str, devices: int = 0, policy: str = "") -> str:
    """A fleet file of one application and so many devices that are named singly."""
    named = "".join(f'[devices.lamp-{number}]\nboard = "{number}"\n' for number in range(devices))
    return (
        f'{policy}[applications.lamps]\nboard = "esp8266"\nfirmware = "{firmware}"\nversion = "{version}"\n'
        f"boards = {{ applications = [{application}] }}\n{named}"
    )


def plan_seconds(folder: Path) -> tuple[float, float]:
    """Seconds of ``enmctl plan`` at rest but for one device, and with a new version for all; the median of some."""
    application, file = 511898, folder / "fleet.toml"
    (folder / "firmware.bin").write_bytes(esp8266_image(fw="1.0", size=IMAGE))
    file.write_text(fleet_text(application, "firmware.bin", "1.0", DEVICES, POLICY), "utf-8")
    commit = read_fleet(file, board_types(), most=1 << 20).releases["lamps"][None].commit
    rows = [
        Device(
            f"{number:032x}",
            application,
            "esp8266",
            str(number),
            f"lamp-{number}",
            commit=commit if number else None,
            target_commit=commit,
            config={},
            target_config={},
            environment={},
            target_environment={},
            first_listed=1,
        )
        for number in range(DEVICES)
    ]
    environment = {**os.environ, "ENM_DB_DIRECTORY": str(folder / "database"), "ENM_FLEET_FILE": str(file)}
    with Store.open(folder / "database" / "enm.db") as store:
        store.add_many(rows)
    at_rest = statistics.median(_plan(environment) for _ in range(ROUNDS))
    file.write_text(fleet_text(application, "firmware.bin", "1.1", DEVICES, POLICY), "utf-8")
    return at_rest, statistics.median(_plan(environment) for _ in range(ROUNDS))


def _plan(environment: dict[str, str]) -> float:
    started_at = time.perf_counter()
    command = [sys.executable, "-m", "enmctl", "plan", "--timeout", "0s", "--json"]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=False)
    seconds = time.perf_counter() - started_at
    assert done.returncode == ExitCode.REMAINS, done
    return seconds


async def edit_seconds(folder: Path) -> list[float]:
    """Each edit's time until an image begins to arrive at a board."""
    options = {"flash_speed": 2_000_000.0, "reboot_time": 0.2}
    async with World(boards_per_application=3, board_options=options) as world:
        boards, file = list(world.boards.values()), folder / "fleet.toml"

        def release(number: int) -> float:
            name = f"firmware-{number}.bin"
            (folder / name).write_bytes(esp8266_image(fw=f"{number}.0", size=IMAGE, seed=number))
            new = file.with_suffix(".new")
            new.write_text(fleet_text(world.application_ids[0], name, f"{number}.0"), "utf-8")
            new.replace(file)
            return time.time()

        release(0)
        environment = {**world.environment(folder), "ENM_FLEET_FILE": str(file), "ENM_CONFIG_LOOP_DELAY": "60"}
        seconds = []
        async with gateway(environment, folder):
            for number in range(EDITS + 1):
                changed_at = release(number) if number else 0.0
                for board in boards:
                    await board.wait_for(lambda it: it.fw == f"{number}.0" and it.state == "running", WITHIN)  # noqa: B023
                if number:
                    seconds.append(min(board.uploads[-1].started_at for board in boards) - changed_at)
                await asyncio.sleep(0.5)  # the gateway writes down how it went
        return seconds


def measure() -> list[Figure]:
    """All figures."""
    with tempfile.TemporaryDirectory() as folder:
        at_rest, all_new = plan_seconds(Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        edits = asyncio.run(edit_seconds(Path(folder)))
    return [
        Figure(f"enmctl plan, {DEVICES} devices, one to do", at_rest, "s", PLAN_LIMIT),
        Figure(f"enmctl plan, {DEVICES} devices, a new version", all_new, "s", PLAN_LIMIT),
        Figure(f"fleet file changed to first byte, median of {EDITS}", statistics.median(edits), "s", EDIT_LIMIT),
    ]


if __name__ == "__main__":
    sys.exit(report(measure()))
