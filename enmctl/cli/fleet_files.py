"""``enmctl fleet check`` and ``enmctl fleet init``."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from enmctl.boards.installed import board_types, drivers
from enmctl.cli.durations import spell
from enmctl.cli.shell import Call
from enmctl.errors import ExitCode, FirmwareError, FleetError, OfflineError, OutputError, SettingError
from enmctl.gateway.lookout import Bench, look_around, with_bluetooth
from enmctl.models import DiscoveredBoard, Radio
from enmctl.sources.fleet.document import told
from enmctl.sources.fleet.fleet import Fleet, faulty, read_fleet, remedy_for, text_of
from enmctl.sources.fleet.releases import Release, hand_out
from enmctl.sources.fleet.sections import Fault

DEFAULT_FILE: Final = Path("fleet.toml")
PLACED: Final = re.compile(r"(?s)(?P<file>.*?):(?P<line>\d+):(?P<column>\d+): (?P<problem>.*)")
NO_NAME: Final = re.compile(r"[^A-Za-z0-9_-]+")

HEAD: Final = """\
# What should run on the boards of this gateway. `enmctl fleet check` tells whether this is right, `enmctl plan --fleet
# {file}` what it would change; docs/fleet-file.md explains every line.

[policy]
at_once = 4       # never more boards in hand than these
canaries = 1      # so many boards first,
well_for = "{well_for}"  # which must stay well for so long before the others follow
stop_after = 2    # a version that failed on so many boards goes to no further one
rollback = true   # a board that cannot be brought to a version goes back to its last good one
# timezone = "Europe/Vienna"
# windows = [{{ days = ["sat", "sun"], from = "22:00", to = "05:00" }}]
"""

SECTION: Final = """
[applications.{name}]
board = "{board_type}"
firmware = "{firmware}"
version = "{version}"
boards = {boards}  # heard now: {heard}
"""

SIMULATED: Final = ("1.0.0", "1.1.0", "1.2.0-unwell")
"""The versions that are made for simulated boards; what ends in ``-unwell`` comes up and falls silent again."""

FIRST_VERSION: Final = SIMULATED[0]
SIMULATED_SIZE: Final = 64 * 1024
SIMULATED_BLUETOOTH_SIZE: Final = 16 * 1024
FIRMWARE_NAMES: Final = {"microbit": "program.hex", "nrf51822dk": "application.zip"}


def fleet_path(file: Path | None) -> Path:
    """The file that is meant: the one that is named, else ENM_FLEET_FILE, else ``fleet.toml``."""
    named = os.environ.get("ENM_FLEET_FILE")
    return file or (Path(named) if named else DEFAULT_FILE)


def check_fleet(call: Call, file: Path | None) -> int:
    """Print each fault of a fleet file, or what it says; the exit code."""
    from enmctl.settings import Settings

    path, settings = fleet_path(file), Settings.from_environment(call.environment())
    try:
        fleet = read_fleet(path, board_types(), most=settings.asset_max_size)
        described = _described(fleet, settings)
    except FleetError as error:
        if call.output.as_json:
            faults = [_placed(fault) for fault in error.faults]
            call.output.document({"file": str(path), "faults": faults, "untold": error.untold, "applications": []})
        else:
            for fault in error.faults:
                call.output.line(fault)
            if error.untold:
                call.output.line(f"and {error.untold} more")
            if error.remedy and error.remedy != remedy_for(path):
                call.output.say(error.remedy)
        return ExitCode.FILE
    if call.output.as_json:
        call.output.document({"file": str(path), "faults": [], "untold": 0, "applications": described})
    else:
        call.output.table(
            ("application", "boards of type", "commit", "firmware"),
            [(one["name"], one["board"], one["commit"], one["firmware"]) for one in described],
        )
        call.output.say(f"{path} is right")
    return ExitCode.DONE


def _placed(fault: str) -> Mapping[str, Any]:
    match = PLACED.fullmatch(fault)
    if match is None:
        return {"line": None, "column": None, "problem": fault}
    return {"line": int(match["line"]), "column": int(match["column"]), "problem": match["problem"]}


def _described(fleet: Fleet, settings: Any) -> list[dict[str, Any]]:
    """Each application with what a driver makes of its firmware.

    Raises:
        FleetError: a driver refuses a firmware file, or the config.
    """
    known = drivers(settings)
    described, faults = [], []
    for name, application in fleet.document.applications.items():
        for release in dict.fromkeys(fleet.releases[name].values()):
            try:
                words = _read_by_driver(fleet, release, known[application.board_type], application.config, settings)
            except FirmwareError as error:
                faults.append(Fault(release.entry.keys, str(_in_a_file(error, release, application.board_type))))
                continue
            except SettingError as error:
                faults.append(Fault(("applications", name, "config", error.message.split()[0]), str(error)))
                continue
            described.append(
                {
                    "name": name,
                    "id": application.id,
                    "board": application.board_type,
                    "commit": release.commit,
                    "firmware": words,
                }
            )
    if faults:
        raise faulty(fleet.path, text_of(fleet.path), faults)
    return described


def _in_a_file(error: FirmwareError, release: Release, board_type: str) -> FirmwareError:
    """What a driver misses in an asset, for people who named a file."""
    if error.reason != "no-firmware" or release.entry.where.endswith(".tar"):
        return error
    return FirmwareError(
        f"{release.entry.where} is no firmware for {board_type} boards",
        remedy="name a .bin, a .hex, a DFU package (.zip), or an asset (.tar)",
    )


def _read_by_driver(fleet: Fleet, release: Release, driver: Any, config: Mapping[str, str], settings: Any) -> str:
    if release.path is None:
        return f"fetched from {told(release.entry.where)} when it is needed"
    with tempfile.TemporaryDirectory(prefix="enmctl-check-") as folder:
        hand_out(release, fleet.path.parent, Path(folder), settings.asset_max_size)
        described: str = driver.read_firmware(Path(folder), config).describe
    return described


def init_fleet(call: Call, file: Path | None, *, seconds: float | None) -> None:
    """Write a first fleet file.

    Raises:
        OutputError: there is one already, or it cannot be written.
        OfflineError: no board is heard.
    """
    path = fleet_path(file)
    if os.path.exists(path):
        raise OutputError(f"{path} is there already", remedy="name another file, or edit that one", reason="exists")
    call.log_warnings()
    boards, listened = asyncio.run(_boards_heard(call, seconds))
    if not boards:
        raise OfflineError(
            f"no board was heard within {spell(listened)}",
            remedy="power one and bring it into range; enmctl scan tells more",
        )
    types = {board.board_type: board.application_id for board in boards}
    firmware = _firmware_for_simulated(path.parent, types) if call.simulate else {}
    text = HEAD.format(file=shlex.quote(path.name), well_for="20s" if call.simulate else "5m") + "".join(
        SECTION.format(**section) for section in _sections(boards, firmware)
    )
    _write(path, text.encode())
    if call.output.as_json:
        call.output.document({"file": str(path), "boards": [board.local_id for board in boards]})
        return
    call.output.line(f"{path} is written, for {len(boards)} boards")
    simulate, word = "--simulate " if call.simulate else "", shlex.quote(str(path))
    call.output.say(
        f"edit it, then: enmctl fleet check {word}, enmctl {simulate}plan --fleet {word}, "
        f"enmctl {simulate}run --fleet {word}"
    )


async def _boards_heard(call: Call, seconds: float | None) -> tuple[Sequence[DiscoveredBoard], float]:
    async with call.world():
        settings = call.settings
        limit = settings.avahi_timeout if seconds is None else seconds
        bench = Bench(settings, drivers(settings), reach=call.reach, simulated_application=call.simulated_application)
        async with with_bluetooth(bench):
            boards = await look_around(
                bench, limit, heard=lambda boards: call.simulate and len(boards) >= call.simulated_boards
            )
        return boards, limit


def _sections(boards: Sequence[DiscoveredBoard], firmware: Mapping[str, str]) -> list[dict[str, str]]:
    """What is written of each kind of board: those whose firmware names an application by that, others by address.

    An application is of one board type; of two types that name the same, the second goes by address too.
    """
    kinds: dict[tuple[str, int | None], list[DiscoveredBoard]] = {}
    types: dict[int | None, str] = {}
    for board in boards:
        is_its = types.setdefault(board.application_id, board.board_type) == board.board_type
        kinds.setdefault((board.board_type, board.application_id if is_its else None), []).append(board)
    sections = []
    for (board_type, number), mine in kinds.items():
        if number is not None:
            name, taken = f"{board_type}-{number}", f"{{ applications = [{number}] }}"
        else:
            places = ", ".join(f'"{place}"' for place in dict.fromkeys(map(_place, mine)))
            name, taken = board_type, f"{{ addresses = [{places}] }}"
        sections.append(
            {
                "name": NO_NAME.sub("-", name),
                "board_type": board_type,
                "firmware": firmware.get(board_type) or FIRMWARE_NAMES.get(board_type, "firmware.bin"),
                "version": FIRST_VERSION,
                "boards": taken,
                "heard": ", ".join(board.local_id for board in mine),
            }
        )
    return sections


def _place(board: DiscoveredBoard) -> str:
    return board.local_id if board.radio is Radio.BLUETOOTH and not board.addresses else board.addresses[0]


def _firmware_for_simulated(folder: Path, types: Mapping[str, int | None]) -> dict[str, str]:
    """Write firmware of each version for boards of these types; the first version's files by type."""
    first: dict[str, str] = {}
    for number, version in enumerate(SIMULATED):
        for board_type, application_id in types.items():
            kind, data = _simulated_firmware(board_type, application_id, version, number)
            name = f"{'firmware' if kind == '.bin' else board_type}-{version}{kind}"
            _write_new(folder / name, data)
            first.setdefault(board_type, name)
    return first


def _simulated_firmware(board_type: str, application_id: int | None, version: str, seed: int) -> tuple[str, bytes]:
    """A file's ending and content."""
    if board_type == "esp8266":
        from enmctl.simulator.images import esp8266_image

        return ".bin", esp8266_image(fw=version, size=SIMULATED_SIZE, seed=seed)
    from enmctl.simulator.bluetooth.neighbourhood import asset

    ((name, data),) = asset(board_type, application_id, version, size=SIMULATED_BLUETOOTH_SIZE, seed=seed).items()
    return Path(name).suffix, data


def _write_new(path: Path, data: bytes) -> None:
    """Write a file that is not there, or is this one already."""
    if not _holds(path, data):
        if os.path.exists(path):
            raise OutputError(f"{path} is there already", remedy="name a fleet file in another folder", reason="exists")
        _write(path, data)


def _holds(path: Path, data: bytes) -> bool:
    try:
        return path.read_bytes() == data
    except OSError:
        return False


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}", remedy="name another place") from error
