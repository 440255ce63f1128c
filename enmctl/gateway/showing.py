"""Showing how far work on a board is: to the source, the device's log, the HTTP API and the journal."""

from __future__ import annotations

from collections.abc import Callable

from enmctl.boards.contract import BoardDriver
from enmctl.gateway.attempts import Journal
from enmctl.gateway.crew import Crew, Live
from enmctl.gateway.half_way import runs_what_it_ran
from enmctl.models import BoardKey, DeviceStatus, DiscoveredBoard, Report, Stage, Step

STATUS_OF = {
    Stage.DOWNLOADING: DeviceStatus.DOWNLOADING,
    Stage.TRANSFERRING: DeviceStatus.INSTALLING,
    Stage.ACTIVATING: DeviceStatus.STOPPING,
    Stage.RETURNING: DeviceStatus.STARTING,
}
"""What the source is told at each stage; the other stages change nothing."""

PROGRESS_STEP = 10
"""Per cent between two reports of progress."""

Listener = Callable[[Step], None]
"""Called with each step of the work."""


def nobody(_: Step) -> None:
    """Nobody listens."""


class Showing:
    """Tells everybody how far the work on one device is: the source, the device's log, the API, the journal.

    Attributes:
        last: the step that was told last.
    """

    def __init__(self, crew: Crew, uuid: str | None, key: BoardKey, journal: Journal, listener: Listener) -> None:
        self._crew = crew
        self._uuid = uuid
        self._key = key
        self._journal = journal
        self._listener = listener
        self.last: Step | None = None
        self._shown: tuple[DeviceStatus, int | None] | None = None

    async def show(self, step: Step) -> None:
        """Tell of a step."""
        self.last = step
        self._listener(step)
        self._crew.watcher.step(self._key, step)
        await self._journal.note(step)
        status = STATUS_OF.get(step.stage)
        if status is None:
            return
        progress = step.percent
        self._crew.live[self._key] = Live(status, progress)
        told = None if progress is None else progress // PROGRESS_STEP * PROGRESS_STEP
        if self._shown == (status, told) or self._uuid is None:
            return
        is_new = self._shown is None or self._shown[0] is not status
        self._shown = (status, told)
        self._crew.teller.tell(self._uuid, Report(status=status, is_online=True, download_progress=told))
        if is_new or told:
            share = "" if told is None else f" {told} %"
            self._crew.device_log.write(self._uuid, f"{status}{share}")

    async def broken_off(self, driver: BoardDriver, board: DiscoveredBoard, error: BaseException) -> None:
        """Take note of an update that ended so: the board is in no doubt where it is known to run what it ran."""
        if (
            self._uuid is not None
            and self._journal.in_doubt
            and await runs_what_it_ran(driver, board, error, self.last)
        ):
            self._journal.in_doubt = False
