"""What is known of a board whose update did not come to its end, and what cannot be known."""

from __future__ import annotations

import asyncio
from typing import Final

from enmctl.boards.contract import BoardDriver
from enmctl.errors import EnmError, RefusedError, TransferError, UnsettledError
from enmctl.models import DiscoveredBoard, Stage, Step

TOLD_AT_ONCE: Final = 0.5
"""Seconds that a driver has to tell what a board is left with whose update was cancelled; others wait for the end."""


def is_all_sent(last: Step | None) -> bool:
    """Whether the board had all of the image by this step, so that it may start it whatever becomes of us."""
    if last is None:
        return False
    if last.stage is Stage.TRANSFERRING:
        return 0 < last.total <= last.done
    return last.stage in (Stage.ACTIVATING, Stage.RETURNING)


def not_done(board: DiscoveredBoard, limit: float, last: Step | None) -> TransferError | UnsettledError:
    """The error for an update that took longer than it may, in seconds."""
    kind = UnsettledError if is_all_sent(last) else TransferError
    return kind(f"{board.name} was not done after {limit:g} s", remedy="it is tried again later", reason="timeout")


async def runs_what_it_ran(
    driver: BoardDriver, board: DiscoveredBoard, error: BaseException, last: Step | None
) -> bool:
    """Whether a board is known to run what it ran before an update that ended so; False too where nobody can tell."""
    if isinstance(error, UnsettledError):
        return False
    if is_all_sent(last) and not isinstance(error, (RefusedError, TransferError)):
        return False
    try:
        async with asyncio.timeout(None if isinstance(error, EnmError) else TOLD_AT_ONCE):
            return not await driver.left_with(board)
    except (EnmError, TimeoutError):
        return False
