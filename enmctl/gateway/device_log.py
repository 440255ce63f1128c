"""What happens to a device, in plain text: kept in the database and handed to the source, never a flood."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from enmctl.errors import EnmError
from enmctl.gateway.saying import Saying
from enmctl.sources.contract import Source
from enmctl.store import Store, StoreThread

LOG = logging.getLogger(__name__)

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.CRITICAL,
    "panic": logging.CRITICAL,
}

LINES_WAITING = 2000
"""So many lines may wait; the oldest make room."""

BURST = 40
"""So many lines of one device may come at once."""

LINES_PER_SECOND = 1.0
"""At this rate a device that used up its burst may go on."""

KEEP_AGAIN = 2.0
"""Seconds after which lines that could not be kept are tried again; until then they wait with those that come."""

TALKING_MOST = 4096
"""So many devices' rates are remembered."""

Line = tuple[float, str, str, str]
"""Seconds since the epoch, uuid, level, message."""


class DeviceLog:
    """The logs of all devices.

    Args:
        store: keeps every line.
        source: is handed the lines of ``level`` and above.
        level: one of the original's levels.
        now: seconds since the epoch.
    """

    def __init__(self, store: StoreThread, source: Source, *, level: str, now: Callable[[], float]) -> None:
        self._store = store
        self._source = source
        self._level = LEVELS[level]
        self._now = now
        self._lines: deque[Line] = deque(maxlen=LINES_WAITING)
        self._some = asyncio.Event()
        self._rates: dict[str, tuple[float, float]] = {}
        self._left_out: dict[str, int] = {}
        self._outgoing: deque[Line] = deque(maxlen=LINES_WAITING)
        self._some_outgoing = asyncio.Event()
        self._failing = Saying(LOG)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to write."""
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._keep_all(), name="device-log-keeper"),
            loop.create_task(self._hand_over_all(), name="device-log-sender"),
        ]

    async def stop(self) -> None:
        """Write what waits to the database, and end."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._keep(list(self._lines))
        self._lines.clear()

    def write(self, uuid: str, message: str, *, level: str = "info") -> None:
        """Add a line to a device's log."""
        if LEVELS[level] < self._level:
            return
        if not self._may_write(uuid):
            self._left_out[uuid] = self._left_out.get(uuid, 0) + 1
            return
        if count := self._left_out.pop(uuid, 0):
            self._append(uuid, "warning", f"{count} lines were left out")
        self._append(uuid, level, message)

    def _append(self, uuid: str, level: str, message: str) -> None:
        line = (self._now(), uuid, level, " ".join(message.split()))
        self._lines.append(line)
        self._some.set()
        self._outgoing.append(line)
        self._some_outgoing.set()

    def _may_write(self, uuid: str) -> bool:
        now = asyncio.get_running_loop().time()
        left, at = self._rates.pop(uuid, (float(BURST), now))
        left = min(BURST, left + (now - at) * LINES_PER_SECOND)
        if len(self._rates) >= TALKING_MOST:
            del self._rates[next(iter(self._rates))]
        self._rates[uuid] = (left - 1 if left >= 1 else left, now)
        return left >= 1

    async def _keep_all(self) -> None:
        while True:
            await self._some.wait()
            self._some.clear()
            lines = list(self._lines)
            if not await self._keep(lines):
                self._some.set()
                await asyncio.sleep(KEEP_AGAIN)
                continue
            for line in lines:
                if self._lines and self._lines[0] is line:
                    self._lines.popleft()

    async def _hand_over_all(self) -> None:
        while True:
            await self._some_outgoing.wait()
            self._some_outgoing.clear()
            while self._outgoing:
                await self._hand_over(self._outgoing.popleft())

    async def _keep(self, lines: list[Line]) -> bool:
        """Write lines to the database; whether it took them."""
        if not lines:
            return True
        try:
            await self._store.call(Store.add_events, lines)
        except EnmError as error:
            self._failing.say(logging.WARNING, error, "lines of device logs wait to be kept: %s", error)
            return False
        return True

    async def _hand_over(self, line: Line) -> None:
        at, uuid, _, message = line
        try:
            await self._source.log(uuid, message, at)
        except EnmError as error:
            LOG.debug("a log line of %s was not taken: %s", uuid[:8], error)
        except Exception:
            LOG.exception("a log line of %s failed; this is a bug in enmctl or in its source", uuid[:8])
