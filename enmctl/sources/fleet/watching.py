"""Noticing at once that a file has changed: by inotify on Linux, elsewhere by looking now and then.

Folders are watched and not the files in them: editors and deployments put a new file in an old one's place, and a
mounted volume swaps a link. What is on a network file system changes unnoticed; the source is asked every
ENM_CONFIG_LOOP_DELAY seconds anyway, and compares.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from enmctl.sources.fleet.states import States, states_of

LOG = logging.getLogger(__name__)

SETTLE = 0.05
"""Seconds after a change before it is told: what belongs together mostly changes together."""

LOOK_INTERVAL = 1.0
"""Seconds between two looks where the system does not tell of changes."""


class Watch:
    """Tells of changes of some files.

    Args:
        changed: called, in the loop, soon after one of them has changed.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._folders: dict[Path, int] = {}
        self._telling: asyncio.TimerHandle | None = None
        self._looking: asyncio.TimerHandle | None = None
        self._last: States = {}
        self._inotify = _open_inotify()
        if self._inotify is not None:
            self._loop.add_reader(self._inotify.fileno(), self._read)

    def watch(self, states: States) -> None:
        """Watch these files from now on, and no others; one that is in another state already has changed."""
        self._last = dict(states)
        if self._inotify is None or not self._watch_folders():
            self._look_later()
        if states_of(self._last) != self._last:
            self._tell_soon()

    def close(self) -> None:
        """Watch no more."""
        for timer in (self._telling, self._looking):
            if timer is not None:
                timer.cancel()
        self._let_go()

    def _watch_folders(self) -> bool:
        """Have the system tell of changes in each folder; False where it does not."""
        from inotify_simple import flags

        wanted = {folder for path in self._last for folder in (path.parent, _real(path).parent)}
        mask = flags.CLOSE_WRITE | flags.MOVED_TO | flags.MOVED_FROM | flags.CREATE | flags.DELETE | flags.DELETE_SELF
        for folder in self._folders.keys() - wanted:
            with suppress(OSError):  # a folder that was removed is watched no more
                self._inotify.rm_watch(self._folders.pop(folder))
        for folder in wanted - self._folders.keys():
            try:
                self._folders[folder] = self._inotify.add_watch(folder, mask)
            except OSError as error:
                LOG.debug("changes in %s are not told by the system (%s): looked for now and then", folder, error)
                return False
        return True

    def _read(self) -> None:
        if self._inotify is not None and self._inotify.read(timeout=0):
            self._tell_soon()

    def _tell_soon(self) -> None:
        if self._telling is None:
            self._telling = self._loop.call_later(SETTLE, self._tell)

    def _tell(self) -> None:
        self._telling = None
        now = states_of(self._last)
        if now != self._last:
            self._last = now
            self._changed()

    def _look_later(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
        self._looking = self._loop.call_later(LOOK_INTERVAL, self._look)

    def _look(self) -> None:
        self._tell()
        self._look_later()

    def _let_go(self) -> None:
        if self._inotify is not None:
            self._loop.remove_reader(self._inotify.fileno())
            self._inotify.close()
            self._inotify = None


def _real(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        return path


def _open_inotify() -> Any:
    """An inotify descriptor, None where there is none to be had."""
    if sys.platform != "linux":
        return None
    try:
        from inotify_simple import INotify

        return INotify(nonblocking=True)
    except (ImportError, OSError) as error:
        LOG.debug("no inotify here (%s): changes are looked for now and then", error)
        return None
