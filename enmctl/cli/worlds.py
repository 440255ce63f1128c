"""Simulated worlds as commands use them: one that is kept up, and a hidden one that lasts as long as a command."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import signal
import tempfile
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from enmctl.cli.kept import keep_firmware, keep_memories, kept_firmware, kept_folder, restore_memories
from enmctl.cli.output import Output
from enmctl.errors import OutputError
from enmctl.gateway.reach import Reach
from enmctl.settings import Settings
from enmctl.simulator.world import BOARD_TYPE, SimulatedApplication, World, any_application

HIDDEN_BOARDS = ("1265892", "1265893", "1265894")
"""The boards of a hidden world: the same each time, so that one command can name what another found."""

FIRMWARE_SIZE = 64 * 1024
"""Bytes of its release."""

HIDDEN_BLUETOOTH = {"microbit-v1": 11, "microbit-v2": 22, "nrf51822dk": 33}
"""Its Bluetooth boards, with their chips' numbers, from which their addresses and names follow."""

HIDDEN_SIGNALS = (-48, -61, -74)
"""dBm at which they are heard."""

DK_APPLICATION = 4711
"""What the nRF51822-DK advertises: it has no name but an application's id."""

BLUETOOTH_APPLICATIONS = {"microbit": "badges", "nrf51822dk": "kits"}
"""The applications of ``enmctl simulator`` for Bluetooth boards, by their board types."""

QUICK_BOARDS = {"reboot_time": 1.0}
"""Real ones take three or four seconds to come back."""

NOT_FOR_A_WORLD = (
    "ENM_SOURCE",
    "ENM_FLEET_FILE",
    "ENM_DB_FILE",
    "ENM_API_VERSION",
    "ENM_API_TOKEN",
    "ENM_API_WITHOUT_TOKEN",
)
"""Variables that fit a real gateway alone; those that a world sets itself are not among them."""


class HiddenWorld(NamedTuple):
    """A hidden world: the settings of a gateway in it, its first application, how far it goes, how many boards."""

    settings: Settings
    application_id: int
    reach: Reach
    boards: int


@asynccontextmanager
async def hidden_world(environment: Mapping[str, str] | None = None) -> AsyncGenerator[HiddenWorld]:
    """A world of a few boards; their flash, and what is remembered of transfers to them, is kept for the next one.

    Where the environment names a fleet file the boards on the network are such as that file is for, and come from the
    factory each time.
    """
    fleet_file = (os.environ if environment is None else environment).get("ENM_FLEET_FILE", "")
    applications = simulated_applications(Path(fleet_file)) if fleet_file else []
    with _folder(None) as folder:
        async with World(
            applications=applications or None,
            boards_per_application=0,
            firmware_size=FIRMWARE_SIZE,
            board_options=QUICK_BOARDS,
            bluetooth=has_bluetooth(),
        ) as world:
            for number, application_id in enumerate(world.application_ids):
                for local_id in HIDDEN_BOARDS:
                    image = None if applications else kept_firmware(local_id)
                    options: dict[str, Any] = {} if image is None else {"image": image}
                    await world.add_board(application_id, local_id=str(int(local_id) + 10 * number), **options)
            if world.neighbourhood is not None:
                await _add_kept_boards(world)
            own = {**environment_of(world, folder), "ENM_FLEET_FILE": fleet_file}
            settings = Settings.from_environment(own)
            await asyncio.to_thread(restore_memories, settings.database)
            try:
                yield HiddenWorld(settings, world.application_ids[0], world.reach, len(world.all_boards))
            finally:
                keep_memories(settings.database)
                for board in () if applications else world.boards.values():
                    keep_firmware(board.local_id, board.firmware)


def has_bluetooth() -> bool:
    """Whether Bluetooth boards can be simulated here: the extra ``simulator`` brings what that takes."""
    return find_spec("bumble") is not None


async def _add_kept_boards(world: World) -> None:
    kept = kept_folder()
    for (breed, serial), rssi in zip(HIDDEN_BLUETOOTH.items(), HIDDEN_SIGNALS, strict=True):
        application_id = DK_APPLICATION if breed == "nrf51822dk" else None
        await world.add_to_air(
            breed, serial, application_id=application_id, flash_file=kept / f"{breed}.flash", rssi=rssi
        )


def environment_of(world: World, folder: Path) -> dict[str, str]:
    """The process's environment with all that points outside replaced by the world's."""
    return {**os.environ, **dict.fromkeys(NOT_FOR_A_WORLD, ""), **world.environment(folder)}


def simulated_applications(fleet_file: Path) -> list[tuple[int, str, str]]:
    """What the firmware of simulated boards has to name so that a fleet file takes them; nothing from a broken file."""
    import tomllib

    try:
        sections = tomllib.loads(fleet_file.read_text("utf-8")).get("applications", {})
        return [
            (int(section["boards"]["applications"][0]), name, BOARD_TYPE)
            for name, section in sections.items()
            if section.get("board") == BOARD_TYPE and section.get("boards", {}).get("applications")
        ]
    except (OSError, ValueError, AttributeError, TypeError, LookupError):
        return []


async def keep_up(
    output: Output,
    *,
    boards: int,
    control_port: int,
    api_port: int,
    folder: Path | None,
    devices: int,
    bluetooth: bool,
) -> None:
    """Keep a world up until Ctrl-C or SIGTERM, and print the variables with which a gateway works in it.

    Raises:
        OutputError: the folder cannot be made.
    """
    with _folder(folder) as place:
        async with World(
            applications=applications(bluetooth=bluetooth),
            boards_per_application=0,
            control_port=control_port,
            api_port=api_port,
        ) as world:
            await populate(world, boards)
            environment = world.environment(place)
            if devices:
                settings = Settings.from_environment(environment)
                await asyncio.to_thread(world.fill, settings.database, devices)
            _introduce(output, world, environment)
            await _stop_asked()


def applications(*, bluetooth: bool) -> list[SimulatedApplication]:
    """One for each board type that can be simulated here."""
    known = [any_application()]
    if bluetooth and has_bluetooth():
        known += [any_application(name, board_type) for board_type, name in BLUETOOTH_APPLICATIONS.items()]
    return known


async def populate(world: World, boards: int) -> None:
    """So many boards on the network, and where there is an air a few on that."""
    on_network, *on_air = world.application_ids
    for _ in range(boards):
        await world.add_board(on_network)
    for application_id, count in zip(on_air, (2, 1), strict=False):
        for number in range(count):
            await world.add_bluetooth_board(application_id, number=number)


def _introduce(output: Output, world: World, environment: dict[str, str]) -> None:
    if output.as_json:
        facts: dict[str, Any] = {"environment": environment, "control": world.control_url, **world.describe()}
        output.event(facts)
        return
    output.text("".join(f"unset {name}\n" for name in NOT_FOR_A_WORLD if os.environ.get(name)))
    output.text("".join(f"export {name}={shlex.quote(value)}\n" for name, value in environment.items()))
    output.flush()
    count = f"{len(world.all_boards)} simulated boards and a Supervisor are up"
    output.say(f"{count}; set the variables above in another terminal, and there: enmctl run")
    application_id = world.application_ids[0]
    output.say(f"commands: curl {world.control_url}, like")
    output.say(f"  curl -d '{{\"application\": {application_id}}}' {world.control_url.rstrip('/')}/push")
    for local_id in list(world.bluetooth_boards)[:1]:
        fault = json.dumps({"board": local_id, "fault": "link-lost"})
        output.say(f"  curl -d '{fault}' {world.control_url.rstrip('/')}/break")
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
