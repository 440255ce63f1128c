"""All of the doctor's checks, one after another, and how they are shown."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence

from enmctl.cli.checks import machine, outside, radios
from enmctl.cli.checks.finding import Finding, State, fault
from enmctl.cli.output import Output
from enmctl.errors import EnmError
from enmctl.models import Radio
from enmctl.settings import Settings

LOG = logging.getLogger(__name__)

OF_THE_MACHINE: Sequence[Callable[[Settings], Finding]] = (
    machine.python,
    machine.database_folder,
    machine.assets_folder,
    machine.database,
    machine.clock,
    machine.update_lock,
    machine.api_port,
)
OF_THE_RADIOS: Sequence[Callable[[Settings, Collection[Radio]], Awaitable[Finding]]] = (
    radios.bus,
    radios.hotspot,
    radios.multicast,
    radios.bluetooth,
    radios.bluetoothd,
)


def examine(settings: Settings) -> list[Finding]:
    """What every check found."""
    return [*(_looked(check, settings) for check in OF_THE_MACHINE), *asyncio.run(_outside(settings))]


async def _outside(settings: Settings) -> list[Finding]:
    source, desired = await outside.source(settings)
    needed = outside.needed_radios(settings, desired)
    return [source, *[await _waited(check, settings, needed) for check in OF_THE_RADIOS]]


def _looked(check: Callable[[Settings], Finding], settings: Settings) -> Finding:
    try:
        return check(settings)
    except Exception as error:  # noqa: BLE001 - a check that breaks must not hide what the others found
        return _broken(check.__name__, error)


async def _waited(
    check: Callable[[Settings, Collection[Radio]], Awaitable[Finding]], settings: Settings, needed: Collection[Radio]
) -> Finding:
    try:
        return await check(settings, needed)
    except Exception as error:  # noqa: BLE001 - likewise
        return _broken(getattr(check, "__name__", "check"), error)


def _broken(name: str, error: Exception) -> Finding:
    """What is told of a check that could not be made."""
    if isinstance(error, EnmError):
        return fault(name.replace("_", " "), error)
    LOG.debug("the check %s broke", name, exc_info=error)
    text = f"this could not be looked at ({type(error).__name__}: {error})"
    return fault(name.replace("_", " "), EnmError(text, remedy="this is a bug in enmctl: report it"))


def show(output: Output, findings: Sequence[Finding]) -> None:
    """A line for each, and the sum of it."""
    if output.as_json:
        output.document(
            [
                {
                    "check": finding.check,
                    "state": finding.state,
                    "message": finding.message,
                    "remedy": finding.remedy,
                    "exit_code": int(finding.exit_code),
                }
                for finding in findings
            ]
        )
        return
    output.table(["check", "state", "what was found"], [(each.check, each.state, each.line) for each in findings])
    counts = Counter(finding.state for finding in findings)
    faults, warnings = counts[State.FAULT], counts[State.WARNING]
    parts = [_counted(count, word) for count, word in ((faults, "fault"), (warnings, "warning")) if count]
    output.say(", ".join(parts) or "all is as it should be")


def _counted(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
