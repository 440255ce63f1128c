"""Whose a board is: the application that its firmware names, or the one that the source says.

A source that says which boards are an application's (a fleet file) has the last word: a board that it gives to nobody
is left alone, whatever its firmware names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from enmctl.errors import FleetError
from enmctl.models import Application, Desired, DiscoveredBoard
from enmctl.settings import FLEET

if TYPE_CHECKING:
    from enmctl.settings import Settings
    from enmctl.sources.fleet.fleet import Fleet


def claimed(board: DiscoveredBoard, desired: Desired) -> tuple[DiscoveredBoard, str]:
    """The board as its application's, with ``application_id`` None where it is nobody's, and what is wrong with that.

    A board that is named singly is taken by whoever names it; the rest by pattern, address or application.
    """
    claimants = [application for application in desired.applications.values() if application.members is not None]
    if not claimants:
        return board, ""
    takers = [each for each in claimants if _lists(each, board)] or [each for each in claimants if _takes(each, board)]
    if len(takers) == 1:
        return _given(board, takers[0].id), ""
    if takers:
        names = " and ".join(sorted(each.name for each in takers))
        return replace(board, application_id=None), f"{names} both claim it: left alone until only one does"
    named = desired.applications.get(board.application_id or 0)
    if named is not None and named.members is None:
        return board, ""
    return replace(board, application_id=None), ""


def _given(board: DiscoveredBoard, application_id: int) -> DiscoveredBoard:
    if board.application_id == application_id:
        return board
    return replace(board, application_id=application_id, named_application=board.application_id)


def _lists(application: Application, board: DiscoveredBoard) -> bool:
    members = application.members
    return members is not None and application.board_type == board.board_type and members.lists(board.local_id)


def _takes(application: Application, board: DiscoveredBoard) -> bool:
    members = application.members
    return (
        members is not None
        and application.board_type == board.board_type
        and members.takes((board.name, board.short_name, board.local_id), board.addresses, board.application_id)
    )


async def claims(settings: Settings, say: Callable[[str], None]) -> Desired:
    """What the fleet file says of applications, for work without the gateway; nothing where there is no such file.

    A broken file is told and else left out of account: a scan, or a flash by hand, may be just what is needed.
    """
    import asyncio

    if settings.source != FLEET:
        return Desired()
    try:
        fleet = await asyncio.to_thread(fleet_named, settings)
    except FleetError as error:
        say(f"whose a board is counts by its firmware alone: {error.message}")
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
