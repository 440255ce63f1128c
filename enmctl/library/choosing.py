"""Which drivers are wanted: those of one board type, or of the boards that a file can be sent to."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from enmctl.boards.contract import BoardDriver, Firmware
from enmctl.errors import FirmwareError, UnknownError
from enmctl.firmware.inspect import inspect


def drivers_of(installed: Mapping[str, BoardDriver], board_type: str | None) -> Mapping[str, BoardDriver]:
    """The drivers of one type, or of all where none is named.

    Raises:
        UnknownError: no driver of that type is installed.
    """
    if board_type is None:
        return installed
    if board_type not in installed:
        raise UnknownError(
            f"there is no board type {board_type!r} here", remedy=f"installed are {', '.join(sorted(installed))}"
        )
    return {board_type: installed[board_type]}


async def drivers_for(
    drivers: Mapping[str, BoardDriver], file: Path, access: Mapping[str, str]
) -> Mapping[str, BoardDriver]:
    """The drivers of boards that can be sent a file; found out before any radio is touched.

    Raises:
        FirmwareError: it can be sent to no board.
    """
    read = {name: await asyncio.to_thread(_read, driver, file, access) for name, driver in drivers.items()}
    fitting = {name: drivers[name] for name, firmware in read.items() if isinstance(firmware, Firmware)}
    if fitting:
        return fitting
    errors = [error for error in read.values() if isinstance(error, FirmwareError)]
    if len(errors) == 1:
        raise errors[0]
    looked = await asyncio.to_thread(inspect, file)
    if looked.refusals:
        first = looked.refusals[0]
        raise FirmwareError(f"{file.name} cannot be sent, {first.message}", remedy=first.remedy, reason=first.reason)
    raise next((error for error in errors if error.reason == "system"), errors[0])


def _read(driver: BoardDriver, file: Path, access: Mapping[str, str]) -> Firmware | FirmwareError:
    try:
        return driver.read_firmware(file, access)
    except FirmwareError as error:
        return error
