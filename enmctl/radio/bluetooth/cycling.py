"""An adapter that makes no connections any more is switched off and on: some come back to their senses by it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from enmctl.errors import EnmError
from enmctl.radio.bluetooth.backend import Backend
from enmctl.radio.bluetooth.scanning import Scan

POWER_CYCLE_PAUSE = 60.0
"""Seconds between two times that the adapter is switched off and on."""

_log = logging.getLogger(__name__)


class PowerCycle:
    """Counts the connections that failed in a row, and switches the adapter off and on where they are too many.

    That is done by a task of its own: an adapter that is off comes on again whoever is cancelled meanwhile.

    Args:
        backend: whose adapter it is.
        scan: gives way meanwhile.
        is_used: whether there are connections, which would be lost.

    Attributes:
        failures: how many connections have failed since one came about.
    """

    def __init__(self, backend: Backend, scan: Scan, is_used: Callable[[], bool]) -> None:
        self._backend = backend
        self._scan = scan
        self._is_used = is_used
        self._cycled_at: float | None = None
        self._cycling: asyncio.Task[None] | None = None
        self._is_closed = False
        self.failures = 0

    async def failed(self, error: EnmError, *, most: int, turn: float) -> None:
        """Take one more failure into account, and wait until what follows of it is done.

        Args:
            error: why it failed.
            most: so many in a row are too many, 0 where none are.
            turn: seconds to wait at most for others to be done with the adapter.
        """
        self.failures += 1
        if self._cycling is None or self._cycling.done():
            if not self._is_due(most):
                return
            self._cycling = asyncio.create_task(self._cycle(error, most, turn))
        await asyncio.shield(self._cycling)

    async def close(self) -> None:
        """Begin nothing any more, and wait until what was begun is done."""
        self._is_closed = True
        if self._cycling is not None:
            await asyncio.wait({self._cycling})

    def _is_due(self, most: int) -> bool:
        rested = self._cycled_at is None or asyncio.get_running_loop().time() - self._cycled_at >= POWER_CYCLE_PAUSE
        return bool(most) and self.failures >= most and rested and not self._is_closed and not self._is_used()

    async def _cycle(self, error: EnmError, most: int, turn: float) -> None:
        try:
            async with self._scan.held_off(turn):
                if not self._is_due(most):
                    return
                self._cycled_at = asyncio.get_running_loop().time()
                self.failures = 0
                _log.warning(
                    "%d Bluetooth connections failed in a row (%s): the adapter is switched off and on", most, error
                )
                if not await self._backend.power_cycle():
                    _log.debug("the adapter cannot be switched off and on here")
        except EnmError as failed:
            _log.warning("the Bluetooth adapter was not switched off and on as it should: %s", failed)
