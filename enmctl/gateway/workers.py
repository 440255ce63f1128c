"""Who works on which board: one worker a board at most, and so many transfers at once on a radio."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any

from enmctl.errors import BusyError, EnmError
from enmctl.gateway.saying import Saying
from enmctl.gateway.update_lock import UpdateLock
from enmctl.models import BoardKey, Radio

LOG = logging.getLogger(__name__)

REST = 10.0
"""Seconds that a board is left alone after its worker failed in a way that no driver or source explains."""

CANCEL_LIMIT = 2.0
"""Seconds that cancelled workers get to reach a safe point and write down how they ended."""


class Gate:
    """Lets work start or holds it back; waited for, never polled.

    Attributes:
        closed_by: what ends the work that is ended while it is closed: "paused" or "stopped".
    """

    def __init__(self) -> None:
        self.closed_by = "stopped"
        self._open = asyncio.Event()
        self._open.set()

    @property
    def is_open(self) -> bool:
        """Whether work may start."""
        return self._open.is_set()

    def open(self) -> None:
        """Let work start."""
        self.closed_by = "stopped"
        self._open.set()

    def close(self, by: str = "stopped") -> None:
        """Let no further work start, by a pause or a stop."""
        self.closed_by = by
        self._open.clear()

    def check(self) -> None:
        """Raise BusyError where no work may start."""
        if self.is_open:
            return
        if self.closed_by == "paused":
            raise BusyError("the gateway is paused", remedy="go on with: enmctl resume", reason="paused")
        raise BusyError("the gateway stops", remedy="try again when it runs", reason="stopped")


class HeldPlace:
    """A place on a radio, with the update lock, as one worker holds it while its transfer moves bytes."""

    def __init__(
        self, places: asyncio.Semaphore, lock: UpdateLock, gate: Gate, transferring: set[asyncio.Task[Any] | None]
    ) -> None:
        self._places = places
        self._lock = lock
        self._gate = gate
        self._transferring = transferring
        self._worker = asyncio.current_task()
        self._is_held = False

    async def take(self) -> None:
        """Wait for a place and for the lock; does nothing where both are held.

        Raises:
            BusyError: the gate was closed meanwhile.
        """
        if self._is_held:
            return
        await self._places.acquire()
        try:
            self._gate.check()
            await self._lock.acquire()
        except BaseException:
            self._places.release()
            raise
        self._is_held = True
        self._transferring.add(self._worker)
        try:
            self._gate.check()
        except BaseException:
            await self.give_back()
            raise

    async def give_back(self) -> None:
        """Let others have the place; does nothing where it is not held."""
        if self._is_held:
            self._is_held = False
            self._transferring.discard(self._worker)
            self._places.release()
            await self._lock.release()


class Workers:
    """The running workers.

    Args:
        places: how many transfers a radio carries at once.
        lock: the update lock, held while any transfer runs.
        gate: closed while paused or stopping; a worker that waited for a place checks it again.
        ended: called, in the loop, when a worker has ended.
    """

    def __init__(self, places: Mapping[Radio, int], *, lock: UpdateLock, gate: Gate, ended: Callable[[], None]) -> None:
        self._places = {radio: asyncio.Semaphore(count) for radio, count in places.items()}
        self._lock = lock
        self._gate = gate
        self._ended = ended
        self._tasks: dict[BoardKey, asyncio.Task[None]] = {}
        self._transferring: set[asyncio.Task[Any] | None] = set()
        self._resting: dict[BoardKey, float] = {}
        self._failing = Saying(LOG)

    @property
    def busy(self) -> frozenset[BoardKey]:
        """The boards that are in hand now."""
        return frozenset(self._tasks)

    def is_busy(self, key: BoardKey) -> bool:
        """Whether a worker has the board in hand."""
        return key in self._tasks

    def start(self, key: BoardKey, work: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        """Start a worker for a board; False, and nothing done, where one has it in hand or the gate is closed."""
        loop = asyncio.get_running_loop()
        if key in self._tasks or not self._gate.is_open or loop.time() < self._resting.get(key, 0.0):
            return False
        task = loop.create_task(work(), name=f"worker-{key.application_id}-{key.local_id}")
        self._tasks[key] = task
        task.add_done_callback(lambda done: self._finished(key, done))
        LOG.debug("work on board %s of application %s begins", key.local_id, key.application_id)
        return True

    @asynccontextmanager
    async def place(self, radio: Radio) -> AsyncGenerator[HeldPlace]:
        """Hold one of the radio's places, and the update lock; both can be given back early, and taken again."""
        held = HeldPlace(self._places[radio], self._lock, self._gate, self._transferring)
        await held.take()
        try:
            yield held
        finally:
            await held.give_back()

    async def all_ended(self, seconds: float) -> None:
        """Wait until no worker runs; one that sends no byte yet after so many seconds is ended."""
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=seconds)
        for task in self._tasks.values():
            if task not in self._transferring:
                task.cancel()
        while self._tasks:
            await asyncio.wait(self._tasks.values())

    async def finish(self, seconds: float) -> None:
        """Give the workers so long, then end those that still run at their next safe point."""
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks.values(), timeout=seconds)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=CANCEL_LIMIT)

    def _finished(self, key: BoardKey, task: asyncio.Task[None]) -> None:
        del self._tasks[key]
        if not task.cancelled() and (error := task.exception()) is not None:
            self._rest(key, error)
        self._ended()

    def _rest(self, key: BoardKey, error: BaseException) -> None:
        """Leave a board alone for a while, so that what keeps its worker from working is not met in a tight loop."""
        if isinstance(error, EnmError):
            self._failing.say(logging.ERROR, error, "work on board %s failed: %s", key.local_id, error)
        else:
            LOG.error("work on board %s failed; this is a bug in enmctl", key.local_id, exc_info=error)
        loop = asyncio.get_running_loop()
        self._resting[key] = loop.time() + REST
        loop.call_later(REST, self._rested, key)

    def _rested(self, key: BoardKey) -> None:
        self._resting.pop(key, None)
        self._ended()
