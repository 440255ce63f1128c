"""Simulated worlds as commands use them: one that is kept up, and a hidden one that lasts as long as a command."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
import tempfile
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from enmctl.cli.output import Output
from enmctl.errors import OutputError
from enmctl.settings import Settings
from enmctl.simulator.world import World

HIDDEN_BOARDS = ("1265892", "1265893", "1265894")
"""The boards of a hidden world: the same each time, so that one command can name what another found."""

FIRMWARE_SIZE = 64 * 1024
"""Bytes of its release."""

QUICK_BOARDS = {"reboot_time": 1.0}
"""Real ones take three or four seconds to come back."""

NOT_FOR_A_WORLD = ("ENM_SOURCE", "ENM_DB_FILE", "ENM_API_VERSION", "ENM_API_TOKEN", "ENM_API_WITHOUT_TOKEN")
"""Variables that fit a real gateway alone; those that a world sets itself are not among them."""


@asynccontextmanager
async def hidden_world() -> AsyncGenerator[tuple[Settings, int]]:
    """A world of a few boards; the settings of a gateway in it, and its one application's id."""
    with _folder(None) as folder:
        async with World(boards_per_application=0, firmware_size=FIRMWARE_SIZE, board_options=QUICK_BOARDS) as world:
            (application_id,) = world.application_ids
            for local_id in HIDDEN_BOARDS:
                await world.add_board(application_id, local_id=local_id)
            yield Settings.from_environment(environment_of(world, folder)), application_id


def environment_of(world: World, folder: Path) -> dict[str, str]:
    """The process's environment with all that points outside replaced by the world's."""
    return {**os.environ, **dict.fromkeys(NOT_FOR_A_WORLD, ""), **world.environment(folder)}


async def keep_up(
    output: Output, *, boards: int, control_port: int, api_port: int, folder: Path | None, devices: int
) -> None:
    """Keep a world up until Ctrl-C or SIGTERM, and print the variables with which a gateway works in it.

    Raises:
        OutputError: the folder cannot be made.
    """
    with _folder(folder) as place:
        async with World(boards_per_application=boards, control_port=control_port, api_port=api_port) as world:
            environment = world.environment(place)
            if devices:
                settings = Settings.from_environment(environment)
                await asyncio.to_thread(world.fill, settings.database, devices)
            _introduce(output, world, environment)
            await _stop_asked()


def _introduce(output: Output, world: World, environment: dict[str, str]) -> None:
    if output.as_json:
        facts: dict[str, Any] = {"environment": environment, "control": world.control_url, **world.describe()}
        output.event(facts)
        return
    output.text("".join(f"unset {name}\n" for name in NOT_FOR_A_WORLD if os.environ.get(name)))
    output.text("".join(f"export {name}={shlex.quote(value)}\n" for name, value in environment.items()))
    output.flush()
    count = f"{len(world.boards)} simulated boards and a Supervisor are up"
    output.say(f"{count}; set the variables above in another terminal, and there: enmctl run")
    application_id = world.application_ids[0]
    output.say(f"commands: curl {world.control_url}, like")
    output.say(f"  curl -d '{{\"application\": {application_id}}}' {world.control_url.rstrip('/')}/push")
    output.say("Ctrl-C ends it")


@contextmanager
def _folder(named: Path | None) -> Iterator[Path]:
    if named is None:
        with tempfile.TemporaryDirectory(prefix="enmctl-", ignore_cleanup_errors=True) as folder:
            yield Path(folder)
        return
    try:
        named.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder {named} cannot be made: {error.strerror}", remedy="name another") from error
    yield named.resolve()


async def _stop_asked() -> None:
    """Return at the first SIGINT or SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows: there Ctrl-C raises KeyboardInterrupt by itself
            loop.add_signal_handler(number, stop.set)
    await stop.wait()
