"""Advisory locks on an open file, which end with the process that holds them, whatever way it ends."""

from __future__ import annotations

import sys

if sys.platform == "win32":
    import msvcrt
    import os

    _BYTE = 1 << 30
    """The byte that is locked; far behind any content, for Windows keeps others from reading what is locked."""

    def take(descriptor: int, *, shared: bool = False) -> bool:  # noqa: ARG001 - Windows knows no shared lock here
        """Take the lock without waiting; False where somebody else has it."""
        os.lseek(descriptor, _BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def let_go(descriptor: int) -> None:
        """Let go of the lock."""
        os.lseek(descriptor, _BYTE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def take(descriptor: int, *, shared: bool = False) -> bool:
        """Take the lock without waiting; False where somebody else has it.

        Raises:
            OSError: this file system has no locks.
        """
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def let_go(descriptor: int) -> None:
        """Let go of the lock."""
        fcntl.flock(descriptor, fcntl.LOCK_UN)
