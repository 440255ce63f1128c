"""The update lock: while it is there, the Supervisor does not stop the gateway in the middle of a transfer.

The Supervisor makes the same file before it stops the gateway, so one that is somebody else's means "back off". It is
honoured under both of its names (proxyvisor facts: ``/tmp/resin/resin-updates.lock`` and ``/tmp/balena/updates.lock``).
Ours holds an id that the database knew before the file was there: a left-over is told from a foreign one by it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from enmctl.errors import StoreError
from enmctl.store import Store, StoreThread

LOG = logging.getLogger(__name__)

LOOK_AGAIN = 1.0
"""Seconds between two looks whether a foreign lock has gone; a file's removal cannot be waited for everywhere."""

ID_MOST = 256
"""Bytes of a lock file that are read: ours is shorter."""


class UpdateLock:
    """The lock files, held together from the first transfer that begins to the last that ends.

    Args:
        paths: the lock's names; the first one's folder is made where it is missing, of the others only those count
            whose folder is there.
        store: knows the ids of our own locks.
    """

    def __init__(self, paths: Sequence[Path], store: StoreThread) -> None:
        self._first = paths[0]
        self._others = tuple(path for path in paths[1:] if path != paths[0])
        self._store = store
        self._holders = 0
        self._id: str | None = None
        self._held: list[Path] = []
        self._turn = asyncio.Lock()
        self._unusable: set[Path] = set()

    @property
    def is_held(self) -> bool:
        """Whether we hold it."""
        return self._holders > 0

    def foreign(self) -> str | None:
        """The lock file that somebody else holds, None where nobody does."""
        return next((str(path) for path in self._paths() if path not in self._held and _is_there(path)), None)

    async def is_ours(self) -> bool:
        """Whether a lock is there that this gateway or one of its commands took."""
        for path in self._paths():
            if await self._store.call(Store.knows_lock, _read(path)):
                return True
        return False

    async def clear_leftovers(self) -> None:
        """Remove the locks that an earlier run of this gateway left; anybody else's stay."""
        for path in self._paths():
            left_id = _read(path)
            if await self._store.call(Store.knows_lock, left_id):
                _remove(path, left_id)
                LOG.info("removed the update lock %s, which the last run left", path)
                if not _is_there(path):
                    await self._forget_unless_elsewhere(left_id)

    async def acquire(self) -> None:
        """Hold the lock once more; waits for as long as somebody else holds it."""
        async with self._turn:
            if self._holders == 0:
                await self._take()
            self._holders += 1

    async def release(self) -> None:
        """Hold it once less; with the last, it is removed.

        That the store cannot forget its id is no reason to end a transfer whose bytes are all sent: nobody finds it.
        """
        self._holders -= 1
        if self._holders or self._id is None:
            return
        for path in self._held:
            _remove(path, self._id)
        self._held.clear()
        used_id, self._id = self._id, None
        try:
            await self._store.call(Store.forget_lock, used_id)
        except StoreError as error:
            LOG.warning("the database keeps the id of an update lock that is gone: %s", error)

    async def _take(self) -> None:
        said = False
        while not await self._try():
            if not said:
                LOG.warning("somebody else holds the update lock %s: transfers wait until it is gone", self.foreign())
                said = True
            await asyncio.sleep(LOOK_AGAIN)

    async def _try(self) -> bool:
        """Take every name of the lock, or none; nothing is written while somebody else is seen to hold one."""
        if self.foreign() is not None:
            return False
        self._id = f"enmctl {secrets.token_hex(16)}"
        await self._store.call(Store.remember_lock, self._id)
        for path in self._paths():
            try:
                taken = _create(path, self._id)
            except OSError as error:
                taken = False
                if not _is_there(path):
                    self._say_unusable(path, error)
                    continue
            if taken:
                self._held.append(path)
                continue
            for held in self._held:
                _remove(held, self._id)
            self._held.clear()
            await self._store.call(Store.forget_lock, self._id)
            self._id = None
            return False
        return True

    def _paths(self) -> list[Path]:
        with contextlib.suppress(OSError):
            self._first.parent.mkdir(parents=True, exist_ok=True)
        return [path for path in (self._first, *self._others) if path.parent.is_dir()]

    def _say_unusable(self, path: Path, error: OSError) -> None:
        """A laptop without a Supervisor has nobody to lock out: a lock that cannot be made is said and done without."""
        if path not in self._unusable:
            self._unusable.add(path)
            LOG.warning("the update lock %s cannot be made (%s): transfers go on without it", path, error.strerror)

    async def _forget_unless_elsewhere(self, lock_id: str) -> None:
        if all(_read(path) != lock_id for path in self._paths()):
            await self._store.call(Store.forget_lock, lock_id)


def _is_there(path: Path) -> bool:
    return os.path.lexists(path)


def _create(path: Path, lock_id: str) -> bool:
    """Make the lock with its id in it, at once and exclusively; False where it is there already.

    The id is written to a file beside it, which is then linked to the lock's name: nobody ever sees a lock without id.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        draft.write_text(lock_id)
        try:
            os.link(draft, path)
        except FileExistsError:
            return False
        except OSError:
            return _create_directly(path, lock_id)
        return True
    finally:
        draft.unlink(missing_ok=True)


def _create_directly(path: Path, lock_id: str) -> bool:
    """For file systems without hard links."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w") as file:
        file.write(lock_id)
    return True


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(ID_MOST).decode("utf-8", "replace").strip()
    except OSError:
        return ""


def _remove(path: Path, lock_id: str) -> None:
    """Remove the lock if it is still the one with this id."""
    if _read(path) == lock_id:
        with contextlib.suppress(OSError):
            path.unlink()
