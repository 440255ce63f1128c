"""Whose boards are, as far as a command can tell that works without the gateway."""

from __future__ import annotations

import asyncio

from enmctl.cli.shell import Call
from enmctl.errors import FleetError
from enmctl.models import Desired
from enmctl.settings import FLEET


async def claims(call: Call) -> Desired:
    """What the fleet file says of applications; nothing without one, for then a board's firmware has the word.

    A broken file is told and else left out of account: a scan, or a flash by hand, may be just what is needed.
    """
    settings = call.settings
    if settings.source != FLEET or settings.fleet_file is None:
        return Desired()
    from enmctl.boards.installed import board_types
    from enmctl.sources.fleet.fleet import read_fleet

    try:
        fleet = await asyncio.to_thread(read_fleet, settings.fleet_file, board_types(), most=settings.asset_max_size)
    except FleetError as error:
        call.output.say(f"whose a board is counts by its firmware alone: {error.message}")
        return Desired()
    return fleet.desired(())
