"""Whose boards are, as far as a command can tell that works without the gateway: what the fleet file says."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from enmctl.cli.shell import Call
from enmctl.errors import FleetError
from enmctl.models import Desired
from enmctl.settings import FLEET

if TYPE_CHECKING:
    from enmctl.settings import Settings
    from enmctl.sources.fleet.fleet import Fleet


async def claims(call: Call) -> Desired:
    """What the fleet file says of applications; nothing without one, for then a board's firmware has the word.

    A broken file is told and else left out of account: a scan, or a flash by hand, may be just what is needed.
    """
    if call.settings.source != FLEET:
        return Desired()
    try:
        fleet = await asyncio.to_thread(fleet_named, call.settings)
    except FleetError as error:
        call.output.say(f"whose a board is counts by its firmware alone: {error.message}")
        return Desired()
    return Desired() if fleet is None else fleet.desired(())


def fleet_named(settings: Settings) -> Fleet | None:
    """The fleet that ENM_FLEET_FILE names, read as a starting gateway would; None where it names none.

    Raises:
        FleetError: it is broken.
    """
    from enmctl.boards.installed import board_types
    from enmctl.sources.fleet.fleet import read_fleet

    if settings.fleet_file is None:
        return None
    return read_fleet(settings.fleet_file, board_types(), most=settings.asset_max_size)
