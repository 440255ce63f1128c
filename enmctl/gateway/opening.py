"""A radio that is to be open: opened beside the loop, and tried again, ever less often, for as long as it cannot be."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Protocol

from enmctl.errors import RadioError

LOG = logging.getLogger(__name__)

RETRY_FIRST: Final = 2.0
"""Seconds between two tries at the least; the wait doubles with each."""

RETRY_MOST: Final = 300.0
"""Seconds between two tries at the most, where nothing tells that the radio may have come."""


class Hearing(Protocol):
    """What hears boards over one radio."""

    async def start(self) -> None:
        """Listen. Raises RadioError where that cannot be done."""

    async def stop(self) -> None:
        """Stop, and forget what was heard."""


class Opening:
    """Opens one radio, one try at a time; nobody who only wants it open waits for that.

    Args:
        hearing: what is started.
        changed: called, in the loop, when a try has ended or another is due.
        retry_most: seconds between two tries at the most.

    Attributes:
        opened_at: since when it is open, by the loop's clock; None while it is not.
        problem: why it is not open.
        lock: held while it is opened or closed.
    """

    def __init__(self, hearing: Hearing, *, changed: Callable[[], None], retry_most: float = RETRY_MOST) -> None:
        self._hearing = hearing
        self._changed = changed
        self._retry_most = retry_most
        self._try: asyncio.Task[None] | None = None
        self._delay = RETRY_FIRST
        self._failed_at = 0.0
        self._wait = 0.0
        self.opened_at: float | None = None
        self.problem: RadioError | None = None
        self.lock = asyncio.Lock()

    @property
    def is_first_try(self) -> bool:
        """Whether it is being opened, and nobody knows yet whether it can be."""
        return self._try is not None and self.problem is None

    def want(self) -> None:
        """Have it opened, unless it is open, being opened, or failed too short a while ago."""
        if self.opened_at is None and asyncio.get_running_loop().time() >= self._failed_at + self._wait:
            self._begin()

    async def open(self) -> None:
        """Have it open now, however long ago it failed: joins the try that is under way, or makes one.

        Raises:
            RadioError: it cannot be used, or was let go meanwhile.
        """
        if self.opened_at is not None:
            return
        opening = self._begin()
        await asyncio.wait([opening])
        if opening.cancelled():
            raise RadioError("the radios were let go", remedy="try again when the gateway goes on", reason="let-go")
        opening.result()

    def hurry(self) -> None:
        """Let the next try wait no longer than the first did: the radio may have come."""
        self._wait = min(self._wait, RETRY_FIRST)
        self._changed()

    async def close(self) -> None:
        """Call off a try that is under way, and let the radio go; that comes to its end whoever is cancelled."""
        await asyncio.shield(asyncio.get_running_loop().create_task(self._close()))

    async def _close(self) -> None:
        if self._try is not None:
            self._try.cancel()
            await asyncio.wait([self._try])
        async with self.lock:
            self._wait, self._delay = 0.0, RETRY_FIRST
            self.opened_at = self.problem = None
            await self._hearing.stop()

    def _begin(self) -> asyncio.Task[None]:
        if self._try is None:
            self._try = asyncio.get_running_loop().create_task(self._open(), name="opening a radio")
            self._try.add_done_callback(self._ended)
        return self._try

    async def _open(self) -> None:
        async with self.lock:
            if self.opened_at is None:
                await self._hearing.start()
                self.opened_at = asyncio.get_running_loop().time()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._try = None
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._failed_at, self._wait = asyncio.get_running_loop().time(), self._delay
            self._delay = min(2 * self._delay, self._retry_most)
            if not isinstance(error, RadioError):
                LOG.error("a radio could not be opened; this is a bug in enmctl", exc_info=error)
        elif self.opened_at is not None:
            self._wait, self._delay = 0.0, RETRY_FIRST
        self.problem = error if isinstance(error, RadioError) else None
        self._changed()
