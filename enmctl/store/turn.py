"""One process at a time makes, imports or sets aside a database. POSIX locks, and none where there are none."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from enmctl import file_lock
from enmctl.errors import StoreError

_HAS_LOCKS: Final = sys.platform != "win32"
"""Windows locks no folders; `run`, which alone comes here beside others, is for Linux."""

_POLL: Final = 0.02
"""Seconds between two looks at a lock that another process holds."""


@contextmanager
def turn(folder: Path, *, timeout: float) -> Iterator[None]:
    """Hold the lock on ``folder``, which leaves no file behind and ends with the process.

    Args:
        folder: where the database is.
        timeout: the longest wait for another process, in seconds.

    Raises:
        StoreError: another process kept it for longer (reason ``locked``).
    """
    if not _HAS_LOCKS:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        deadline = time.monotonic() + timeout
        while not _taken(descriptor):
            if time.monotonic() > deadline:
                raise StoreError(
                    f"another program works on the databases in {folder}",
                    remedy="wait until it is done, then try again",
                    reason="locked",
                )
            time.sleep(_POLL)
        yield
    finally:
        os.close(descriptor)


def in_use(path: Path) -> bool:
    """Whether another process holds the lock that BoltDB takes on its file as long as it has it open."""
    if not _HAS_LOCKS:
        return False
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return not _taken(descriptor, shared=True)
    finally:
        os.close(descriptor)


def _taken(descriptor: int, *, shared: bool = False) -> bool:
    try:
        return file_lock.take(descriptor, shared=shared)
    except OSError:
        return True  # a file system without locks, a network share perhaps: nobody can hold one
