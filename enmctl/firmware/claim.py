"""Having a folder to oneself among processes; the claim ends with the process, however it dies.

Where a folder cannot be locked (Windows) every claim is granted: a gateway, the one program that could meet another at
its cache, runs on Linux.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from enmctl import file_lock


@contextmanager
def claimed(folder: Path) -> Iterator[bool]:
    """Try to have a folder for oneself while the context lasts; False where another process has it, or it moved away.

    The claim sticks to the folder itself, not to its name: it goes along when the folder is renamed.
    """
    if sys.platform == "win32":
        yield True
        return
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield False
        return
    try:
        yield _lock(handle) and _still_there(handle, folder)
    finally:
        os.close(handle)


def _lock(handle: int) -> bool:
    try:
        return file_lock.take(handle)
    except OSError:
        return False


def _still_there(handle: int, folder: Path) -> bool:
    """Whether the name still leads to the folder that was opened: another process may have renamed it meanwhile."""
    try:
        return os.path.samestat(os.fstat(handle), folder.stat())
    except FileNotFoundError:
        return False
