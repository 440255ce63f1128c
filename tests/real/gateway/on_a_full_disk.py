"""Runs a gateway whose disk gets full in the middle of its work and has room again; prints what came of it.

on_a_full_disk.py FOLDER limit|ballast news|journal|upload

``limit``: a limit of the process takes all room; ``ballast``: FOLDER is a small file system, and a file fills it.
``news``: the new target cannot be stored; ``journal``: it is stored, and the attempt cannot be written down;
``upload``: that was written down, and the end cannot be.
"""

from __future__ import annotations

import asyncio
import json
import logging
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from enmctl.gateway import workers
from enmctl.models import Outcome
from enmctl.store import Store
from tests.real.gateway.rig import eventually, rig, until_stored

KEEP = 64
"""Bytes of a file that the limit still lets be written: the gateway's lock file, none of the database's pages."""


class Lines(logging.Handler):
    """Keeps what was said."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage() + (" (traceback)" if record.exc_info else ""))


def by_limit(_: Path) -> tuple[Callable[[], None], Callable[[], None]]:
    """How to take all room by a limit, and how to give it back."""
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    return (
        lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (KEEP, hard)),
        lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard)),
    )


def by_ballast(folder: Path) -> tuple[Callable[[], None], Callable[[], None]]:
    """How to take all room by filling the file system, and how to give it back."""
    ballast = folder / "ballast"

    def fill() -> None:
        with ballast.open("wb", buffering=0) as file:
            for size in (65536, 4096, 1):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    continue

    return fill, ballast.unlink


async def main(folder: Path, kind: str, finds: str) -> dict[str, object]:
    lines = Lines()
    logging.getLogger().addHandler(lines)
    logging.getLogger().setLevel(logging.INFO)
    fill, empty = by_limit(folder) if kind == "limit" else by_ballast(folder)
    async with rig(folder) as world:
        board = await world.add_board(flash_speed=60_000.0 if finds == "upload" else 400_000.0)
        first = second = world.push()
        async with world.gateway() as running:
            await world.all_on_target()
            before = len(board.uploads)
            [uuid] = world.supervisor.devices
            if finds == "journal":
                await board.power(on=False)
                await world.wait_for(lambda: world.statuses() == ["Offline"])
                second = world.push()
                await until_stored(running, lambda devices: [device.target_commit for device in devices] == [second])
            if finds == "upload":
                second = world.push()
                await board.wait_for(lambda it: it.uploading, 30)
            lines.lines.clear()
            fill()
            if finds == "journal":
                await board.power(on=True)
            elif finds == "news":
                second = world.push()
            else:
                await board.wait_for(lambda it: it.fw == second and it.state == "running", 30)
            await eventually(lambda: any("the database" in line for line in lines.lines))
            asked = len(world.supervisor.requests)
            await world.wait_for(lambda: len(world.supervisor.requests) > asked + 10)
            during = {
                "uploads": [upload.describe() for upload in list(board.uploads)[before:]],
                "fw": board.fw == first,
                "turning": running.steward.turning(),
                "devices": len(await running.steward.devices()),
                "told": second in {row.commit for row in world.supervisor.devices.values()},
            }
            said = list(lines.lines)
            empty()
            await world.all_on_target()
            store = running.gateway.crew.store
            await until_stored(running, lambda devices: [device.commit for device in devices] == [second])
            attempts = await store.call(Store.attempts)
        return {
            "during": during,
            "said": said,
            "after": {
                "fw": board.fw == second,
                "devices": len(world.supervisor.devices),
                "uuid": uuid in world.supervisor.devices,
                "running": sum(attempt.outcome is Outcome.RUNNING for attempt in attempts),
                "uploads": len(board.uploads) - before,
            },
        }


def check(told: dict[str, Any], finds: str) -> None:
    """See that nothing was done that could not be written down, that it was said, and that all went on."""
    sent = finds == "upload"
    during = told["during"]
    assert len(during.pop("uploads")) == int(sent), json.dumps(told, indent=1)
    assert during == {"fw": not sent, "turning": True, "devices": 1, "told": False}
    failed = "a pass failed" if finds == "news" else "work on board"
    [line] = [line for line in told["said"] if line.startswith(failed)]
    assert "enm.db" in line
    assert "room" in line or "space" in line, "it says what to do"
    assert not [line for line in told["said"] if "(traceback)" in line]
    assert told["after"] == {"fw": True, "devices": 1, "uuid": True, "running": 0, "uploads": 1}


if __name__ == "__main__":
    workers.REST = 0.5  # seconds that a board is left alone; ten of them are long for a test
    told = asyncio.run(main(Path(sys.argv[1]), *sys.argv[2:]))
    sys.stdout.write(json.dumps(told))
