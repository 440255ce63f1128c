"""The update lock: while it is there, the Supervisor does not stop the gateway in the middle of a transfer.

The Supervisor makes the same file before it stops the gateway, so one that is somebody else's means "back off". It is
honoured under both of its names (proxyvisor facts: ``/tmp/resin/resin-updates.lock`` and ``/tmp/balena/updates.lock``).
Ours holds an id that the database knew before the file was there: a left-over is told from a foreign one by it, and
from one that a command beside this gateway still holds by whether it is flocked. A foreign one is never removed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Sequence
from pathlib import Path

from enmctl.errors import StoreError
from enmctl.gateway import lock_file
from enmctl.gateway.lock_file import HeldFile
from enmctl.store import Store, StoreThread

LOG = logging.getLogger(__name__)

LOOK_AGAIN = 1.0
"""Seconds between two looks whether a foreign lock has gone; a file's removal cannot be waited for everywhere."""


class UpdateLock:
    """The lock files, held together from the first transfer that begins to the last that ends.

    Args:
        paths: the lock's names; the first one's folder is made where it is missing, of the others only those count
            whose folder is there.
        store: knows the ids of our own locks.
        joins: whether a lock is shared that another program of this gateway holds; else it is waited for.

    Attributes:
        had_another: whether another program of this gateway held the lock, or may have before this one was made;
            whoever has settled what that left takes it back.
    """

    def __init__(self, paths: Sequence[Path], store: StoreThread, *, joins: bool = False) -> None:
        self._first = paths[0]
        self._others = tuple(path for path in paths[1:] if path != paths[0])
        self._store = store
        self._joins = joins
        self._holders = 0
        self._held: list[HeldFile] = []
        self._turn = asyncio.Lock()
        self._unusable: set[Path] = set()
        self.had_another = True

    @property
    def is_held(self) -> bool:
        """Whether we hold it."""
        return self._holders > 0

    def foreign(self) -> str | None:
        """The lock file that somebody else holds, None where nobody does."""
        held = {each.path for each in self._held}
        return next((str(path) for path in self._paths() if path not in held and lock_file.is_there(path)), None)

    async def is_ours(self) -> bool:
        """Whether a lock is there, and whichever is was taken by this gateway or one of its commands."""
        there = [path for path in self._paths() if lock_file.is_there(path)]
        for path in there:
            if not await self._store.call(Store.knows_lock, lock_file.read(path)):
                return False
        return bool(there)

    async def clear_leftovers(self, *, at_start: bool = False) -> bool:
        """Remove the locks that a program of this gateway left which was killed; anybody else's stay.

        Args:
            at_start: take one for left over also where the file system cannot tell whether its holder lives.

        Returns:
            whether another program of this gateway still holds one.
        """
        is_alive = False
        held = {each.path for each in self._held}
        for path in self._paths():
            if path in held or not lock_file.is_there(path):
                continue
            left_id = lock_file.read(path)
            if not await self._store.call(Store.knows_lock, left_id):
                continue
            self.had_another = True
            if not lock_file.remove_abandoned(path, left_id, in_doubt=at_start):
                is_alive = lock_file.read(path) == left_id or is_alive
            elif not lock_file.is_there(path):
                LOG.info("removed the update lock %s, which a program left that was killed", path)
                await self._forget_unless_elsewhere(left_id)
        return is_alive

    async def acquire(self) -> None:
        """Hold the lock once more; waits for as long as somebody else holds it."""
        async with self._turn:
            if self._holders == 0:
                await self._take()
            self._holders += 1

    async def try_acquire(self) -> bool:
        """Hold the lock once more without waiting; False where somebody else holds it."""
        async with self._turn:
            if self._holders == 0 and not await self._try():
                return False
            self._holders += 1
            return True

    async def release(self) -> None:
        """Hold it once less; with the last, it is removed.

        That the store cannot forget its id is no reason to end a transfer whose bytes are all sent: nobody finds it.
        """
        self._holders -= 1
        if self._holders:
            return
        try:
            await self._let_go()
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
        is_taken = False
        try:
            if self.foreign() is not None:
                await self.clear_leftovers()
            if self._joins and self.foreign() is not None:
                await self._join()
            is_taken = self.foreign() is None and await self._create()
        finally:
            if not is_taken:
                await self._let_go()
        return is_taken

    async def _create(self) -> bool:
        """Make the lock under every name that is not held yet; False where somebody was faster."""
        held = {each.path for each in self._held}
        missing = [path for path in self._paths() if path not in held]
        if not missing:
            return True
        lock_id = f"enmctl {secrets.token_hex(16)}"
        await self._store.call(Store.remember_lock, lock_id)
        for path in missing:
            try:
                made = lock_file.create(path, lock_id)
            except OSError as error:
                made = None
                if not lock_file.is_there(path):
                    self._say_unusable(path, error)
                    continue
            if made is None:
                await self._forget_unless_elsewhere(lock_id)
                return False
            self._held.append(made)
        return True

    async def _join(self) -> None:
        """Hold what another program of this gateway holds."""
        for path in self._paths():
            lock_id = lock_file.read(path)
            if await self._store.call(Store.knows_lock, lock_id) and (held := lock_file.join(path, lock_id)):
                self._held.append(held)

    async def _let_go(self) -> None:
        """Let go of every file, and forget the ids of those that are gone by that."""
        used_ids = {held.lock_id for held in self._held}
        while self._held:
            self._held.pop().let_go()
        for used_id in used_ids:
            await self._forget_unless_elsewhere(used_id)

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
        if all(lock_file.read(path) != lock_id for path in self._paths()):
            await self._store.call(Store.forget_lock, lock_id)
