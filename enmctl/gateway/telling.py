"""Telling the source how the devices are: in order for each device, and nothing lost while the source is away."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from enmctl.errors import EnmError, SourceAwayError, SourceGoneError
from enmctl.gateway.decide import Told
from enmctl.models import Report
from enmctl.sources.contract import Source

LOG = logging.getLogger(__name__)

SENDERS = 8
"""How many devices are told of at the same time."""

WAITING_MOST = 16
"""So many reports of one device may wait; more are merged into one, for only the last state matters then."""

AWAY_FIRST, AWAY_MOST = 1.0, 60.0
"""Seconds before the source is tried again after it was away: doubling from the first to the most."""

FAREWELL = 3.0
"""Seconds that an orderly stop takes at most to say that the devices are out of reach."""


class Teller:
    """Sends reports, and remembers what was told.

    Args:
        source: whom to tell.
        now: seconds since the epoch.
        gone: called with the uuid of a device that the source does not know any more.
    """

    def __init__(self, source: Source, *, now: Callable[[], float], gone: Callable[[str], None]) -> None:
        self._source = source
        self._now = now
        self._gone = gone
        self._waiting: dict[str, deque[Report]] = {}
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._sending: set[str] = set()
        self._open = asyncio.Event()
        self._open.set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._away_delay = AWAY_FIRST
        self._senders: list[asyncio.Task[None]] = []
        self.told: dict[str, Told] = {}

    def start(self) -> None:
        """Begin to send."""
        loop = asyncio.get_running_loop()
        self._senders = [loop.create_task(self._send_all(), name=f"teller-{number}") for number in range(SENDERS)]

    async def stop(self) -> None:
        """End at once; what was not told yet is told by the full reports of the next start."""
        for task in self._senders:
            task.cancel()
        await asyncio.gather(*self._senders, return_exceptions=True)
        self._senders = []

    def tell(self, uuid: str, report: Report, *, full: bool = False) -> None:
        """Have the source told; ``full`` marks a report of everything that can be told."""
        told = self.told.get(uuid)
        known = report if told is None else merged(told.report, report)
        at = self._now() if full else (0.0 if told is None else told.at)
        self.told[uuid] = Told(replace(known, download_progress=None), at)
        waiting = self._waiting.setdefault(uuid, deque())
        if waiting and _only_progress(waiting[-1], report):
            waiting[-1] = report
        else:
            waiting.append(report)
        if len(waiting) > WAITING_MOST:
            self._merge(waiting)
        self._enqueue(uuid)

    def forget(self, uuid: str) -> None:
        """Drop what waits and what was told of a device."""
        self.told.pop(uuid, None)
        self._waiting.pop(uuid, None)

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits to be told."""
        return self._idle.is_set()

    async def drained(self) -> None:
        """Wait until nothing waits to be told."""
        await self._idle.wait()

    async def farewell(self, uuids: list[str], report: Report) -> None:
        """Tell the same of many devices, within ``FAREWELL`` seconds in all."""
        for uuid in uuids:
            self.tell(uuid, report)
        try:
            async with asyncio.timeout(FAREWELL):
                await self.drained()
        except TimeoutError:
            LOG.warning("stopped before the source was told that %d devices are out of reach", len(self._waiting))

    def _enqueue(self, uuid: str) -> None:
        self._idle.clear()
        if uuid not in self._sending:
            self._sending.add(uuid)
            self._queue.put_nowait(uuid)

    async def _send_all(self) -> None:
        while True:
            uuid = await self._queue.get()
            await self._open.wait()
            try:
                await self._send(uuid)
            finally:
                self._sending.discard(uuid)
                if self._waiting.get(uuid):
                    self._enqueue(uuid)
                else:
                    self._waiting.pop(uuid, None)
                    if not self._waiting:
                        self._idle.set()

    async def _send(self, uuid: str) -> None:
        waiting = self._waiting.get(uuid)
        while waiting:
            report = waiting[0]
            try:
                await self._source.report(uuid, report)
            except SourceAwayError as error:
                self._merge(waiting)
                self._close_for_a_while(error)
                return
            except SourceGoneError:
                self.forget(uuid)
                self._gone(uuid)
                return
            except EnmError as error:
                LOG.warning("the source does not take a report of %s: %s", uuid[:8], error)
            except Exception:
                LOG.exception("a report of %s could not be sent; this is a bug in enmctl", uuid[:8])
            else:
                self._away_delay = AWAY_FIRST
            if waiting and waiting[0] is report:
                waiting.popleft()

    @staticmethod
    def _merge(waiting: deque[Report]) -> None:
        """Make one report of all that wait, the newest word for each field."""
        report = waiting.popleft()
        while waiting:
            report = merged(report, waiting.popleft())
        waiting.append(report)

    def _close_for_a_while(self, error: SourceAwayError) -> None:
        if not self._open.is_set():
            return
        LOG.info("%s; what there is to tell is kept, and told in %.0f s", error.message, self._away_delay)
        self._open.clear()
        asyncio.get_running_loop().call_later(self._away_delay, self._open.set)
        self._away_delay = min(self._away_delay * 2, AWAY_MOST)


def merged(older: Report, newer: Report) -> Report:
    """One report that says what both say, the newer word where they differ."""
    return replace(older, **newer.fields())


def _only_progress(waiting: Report, report: Report) -> bool:
    """Whether the newer report differs from the one that waits in its progress alone."""
    return report.download_progress is not None and report == replace(
        waiting, download_progress=report.download_progress
    )
